/*
 * sync/net/hosts - the addresses of a host that is to be connected to, to be tried in turn.
 * Thread: the loop's.
 */
#ifndef SYNC_NET_HOSTS_H
#define SYNC_NET_HOSTS_H

#include <netinet/in.h>
#include <stdbool.h>

#include "sync/net/lookup.h"

enum {
    HOSTS_MAX = 8,           /* addresses; more are left out */
    HOSTS_ATTEMPT_MS = 3000, /* for one of them, while there is another to try */
    HOSTS_CONNECT_MS = 10000 /* for all of it */
};

/* All zero is valid and empty. */
struct hosts {
    char addresses[HOSTS_MAX][INET6_ADDRSTRLEN]; /* in numbers */
    size_t n, next;
    const char *why; /* there are none, or NULL */
    struct lookup *lookup;
    int family;
    struct net_timer *found;
};

/**
 * Finds the addresses of @host, which is a name or one itself, of @family (AF_INET, AF_INET6, or
 * AF_UNSPEC for both), and sets @found to fire at once when they are there. Errors: those of
 * lookup_start(); then it does not.
 */
int hosts_find(struct hosts *h, struct net_loop *l, const char *host, int family,
               struct net_timer *found) MUST_CHECK;

/** The next address, or NULL. */
const char *hosts_next(struct hosts *h);
/** Whether hosts_next() has another one. */
bool hosts_has_more(const struct hosts *h);

/** Looks no more. */
void hosts_fini(struct hosts *h);

/** Whether @host is an address in numbers; its family, if so, in *ret_family. */
bool hosts_is_numeric(const char *host, int *ret_family);

#endif
