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

/* The timers of a loop: timer.c. All zero but for @lws: there are none. */
struct net_timers {
    struct lws_context *lws;
    lws_sorted_usec_list_t sul;
    uint64_t armed_us;       /* when libwebsockets will call; 0: it will not */
    struct net_timer **heap; /* those that are set */
    size_t n, cap, made;     /* there is room for all that were made */
};

struct net_timers *net_loop_timers(struct net_loop *l);

/** Whether net_loop_free() is running: nothing new is to be started. */
bool net_loop_is_ending(const struct net_loop *l);

#endif
