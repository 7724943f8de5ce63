/*
 * sync/links/netwatch - tells when the network of this machine has become another: an address or a
 * route is new. At most once a second, and soon after the change. Thread: the loop's.
 *
 * Source: rtnetlink(7).
 */
#ifndef SYNC_LINKS_NETWATCH_H
#define SYNC_LINKS_NETWATCH_H

#include "sync/net/loop.h"

struct netwatch;

/** Calls @changed with @arg from then on. Errors: -EPERM, -EMFILE, -ENOMEM. */
int netwatch_new(struct net_loop *l, void (*changed)(void *arg), void *arg,
                 struct netwatch **ret) MUST_CHECK;
void netwatch_free(struct netwatch *w); /* accepts NULL */

#endif
