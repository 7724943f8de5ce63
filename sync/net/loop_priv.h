/* sync/net/loop_priv - the loop as the WebSockets of sync/net see it. Thread: the loop's. */
#ifndef SYNC_NET_LOOP_PRIV_H
#define SYNC_NET_LOOP_PRIV_H

#include <libwebsockets.h>
#include <stdbool.h>

#include "sync/net/loop.h"

/* Keepalives of libwebsockets are off everywhere: ws.c has its own. */
extern const lws_retry_bo_t net_loop_no_keepalive;

/** The context that owns all connections. */
struct lws_context *net_loop_lws(struct net_loop *l);

/* The timers of a loop: timer.c. */
struct net_timers {
    int fd; /* of a timerfd: readable when the first of them is due */
    struct net_watch *watch;
    uint64_t armed_us;       /* when that will be; 0: never */
    struct net_timer **heap; /* those that are set */
    size_t n, cap, made;     /* there is room for all that were made */
};

struct net_timers *net_loop_timers(struct net_loop *l);

/** Of a loop that can watch descriptors. Errors: -EMFILE, -ENOMEM. */
int net_timers_init(struct net_timers *a, struct net_loop *l) MUST_CHECK;
/** After its watch was freed. */
void net_timers_fini(struct net_timers *a);

/** Whether net_loop_free() is running: nothing new is to be started. */
bool net_loop_is_ending(const struct net_loop *l);

#endif
