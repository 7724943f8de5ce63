/*
 * sync/links/clients - the WebSocket clients of the process: one for each set of trusted roots.
 *
 * Thread: the loop's.
 */
#ifndef SYNC_LINKS_CLIENTS_H
#define SYNC_LINKS_CLIENTS_H

#include "sync/net/ws_client.h"

enum { CLIENTS_MAX = 64 };

struct clients;

/** -ENOMEM. */
int clients_new(struct net_loop *l, struct clients **ret) MUST_CHECK;

/** Cuts all connections (closed() is called). Accepts NULL. */
void clients_free(struct clients *c);

/**
 * The client that trusts @ca_file ("": the system's roots) as that file is now, for ws:// to other
 * machines when @insecure. Borrowed. Errors: -ENOENT the roots, -EMFILE too many, -ENOMEM.
 */
int clients_get(struct clients *c, const char *ca_file, bool insecure, struct ws_client **ret,
                struct err *err) MUST_CHECK;

#endif
