/*
 * sync/net/ws_priv - a connection as server and client see it. Thread: the loop's.
 *
 * It lives in a list of its side from the moment it is made. libwebsockets' own object (wsi) comes
 * and goes: a client has one for each attempt, or none. A connection ends when the wsi is destroyed
 * and the side has nothing left to try.
 */
#ifndef SYNC_NET_WS_PRIV_H
#define SYNC_NET_WS_PRIV_H

#include <libwebsockets.h>
#include <netinet/in.h>

#include "sync/net/loop_priv.h"
#include "sync/net/sendq.h"
#include "sync/net/ws.h"

enum ws_state {
    WS_HANDSHAKE,
    WS_OPEN,
    WS_CLOSING, /* by us: what is queued, then the close frame */
    WS_CLOSED,  /* by the peer, or given up: only the end is awaited */
};

/* What differs between the sides. */
struct ws_side {
    /** A callback of libwebsockets before the connection is open; not 0 drops it. */
    int (*handshake)(struct ws *w, enum lws_callback_reasons reason, void *in, size_t len);
    /** It is open now. May be NULL. */
    void (*opened)(struct ws *w);
    /** There is no wsi any more, or it was given up without one. Calls ws_finish(), at once or
     * later. */
    void (*gone)(struct ws *w);
};

struct ws {
    lws_dll2_t list; /* in the list of the side */
    const struct ws_side *side;
    void *owner; /* struct ws_server or struct ws_attempts */
    struct net_loop *loop;
    struct lws *wsi;
    struct net_timer *timer; /* keepalive; a limit of the handshake and of the close */
    const struct ws_events *events;
    void *user;
    enum ws_state state;
    struct ws_keepalive keep;

    struct sendq out;
    struct buf in; /* the message that is coming in */
    bool paused;
    bool want_ping, want_pong;
    uint64_t heard_ms;  /* when the peer last gave a sign of life */
    uint64_t pinged_ms; /* when it was asked for one; 0: it was not */
    uint64_t close_by_ms;

    struct ws_end end;
    char address[INET6_ADDRSTRLEN];
};

/* The only protocol of each virtual host; ended by an empty one. */
extern const struct lws_protocols ws_protocols[];

/** A connection in state WS_HANDSHAKE, in @list. NULL: no memory. */
struct ws *ws_new(struct net_loop *l, const struct ws_side *side, void *owner,
                  lws_dll2_owner_t *list, const struct ws_keepalive *keep);

/** Calls closed() if there are events, takes it from its list and frees it. */
void ws_finish(struct ws *w);

/** Ends it without a close frame, soon; why is kept unless it ended for another reason before. */
void ws_kill(struct ws *w, unsigned code, const char *why);

/**
 * Ends all connections in @list at once, as if their wsis were gone; those, which no longer know
 * them, follow in the loop. Not from a callback of one of them.
 */
void ws_abandon_all(lws_dll2_owner_t *list);

/** Notes how it ended, the first time. */
void ws_set_end(struct ws *w, unsigned code, const char *reason);

/** The connection in a list that @d is in. */
struct ws *ws_of(lws_dll2_t *d);

#endif
