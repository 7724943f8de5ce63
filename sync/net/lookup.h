/*
 * sync/net/lookup - addresses of a host name, without stopping the loop: getaddrinfo() runs in a
 * thread of its own, which a slow resolver keeps for as long as it likes. Thread: the loop's.
 */
#ifndef SYNC_NET_LOOKUP_H
#define SYNC_NET_LOOKUP_H

#include <netdb.h>

#include "sync/net/loop.h"

struct lookup;

/* @error is of getaddrinfo(); the list is borrowed until the callback returns. The lookup is over.
 */
typedef void (*lookup_fn)(int error, const struct addrinfo *list, void *arg);

/**
 * Looks the stream addresses of @host up and calls @fn. Errors: -ENOMEM, -EMFILE, -EAGAIN no
 * thread; then @fn is not called.
 */
int lookup_start(struct net_loop *l, const char *host, lookup_fn fn, void *arg,
                 struct lookup **ret) MUST_CHECK;

/** The callback does not come any more. Accepts NULL; not one that is over. */
void lookup_cancel(struct lookup *l);

#endif
