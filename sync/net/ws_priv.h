/*
 * sync/net/ws_priv - a connection as server and client see it. Thread: the loop's.
 *
 * It lives in a list of its side from the moment it is made. What carries its bytes comes and goes:
 * of a server libwebsockets' own object (wsi), of a client a wire for each attempt, or none. A
 * connection ends when that is gone and the side has nothing left to try.
 */
#ifndef SYNC_NET_WS_PRIV_H
#define SYNC_NET_WS_PRIV_H

#include <libwebsockets.h>
#include <netinet/in.h>

#include "sync/net/loop_priv.h"
#include "sync/net/sendq.h"
#include "sync/net/tcp_alive.h"
#include "sync/net/ws.h"
#include "sync/net/ws_codec.h"

/* Why it ends, of a peer that is silent. */
#define WS_NO_ANSWER "the other side does not answer"

enum ws_state {
    WS_HANDSHAKE,
    WS_OPEN,
    WS_CLOSING, /* by us: what is queued, then the close frame */
    WS_CLOSED,  /* by the peer, or given up: only the end is awaited */
};

/* A frame to send. */
struct ws_out {
    enum ws_opcode op; /* of each piece of a message WS_OP_BINARY */
    bool first, last;  /* of its message */
    uint8_t *data;     /* LWS_PRE bytes before it are free to be written, too */
    size_t n;
};

/* How bytes are carried. Called while there is something that carries them. */
struct ws_carrier {
    size_t fragment; /* bytes of a message that one frame has at most */
    /** Calls ws_write_one() when something can be sent: soon, never at once. */
    void (*want)(struct ws *w);
    /** Whether what comes is read. */
    void (*flow)(struct ws *w, bool on);
    /** Takes a frame. Below 0: the connection broke. */
    int (*put)(struct ws *w, const struct ws_out *frame);
    /** Takes the close frame with what is in w->end; the connection is gone afterwards, or cut. As
     * put(). */
    int (*close)(struct ws *w);
    /** Calls ws_gone(), soon. */
    void (*cut)(struct ws *w);
    /** Forgets the connection: ws_gone() is not called any more. */
    void (*drop)(struct ws *w);
};

/* What differs between the sides. */
struct ws_side {
    const struct ws_carrier *carrier;
    /** Of a server: a callback of libwebsockets before the connection is open; not 0 drops it. */
    int (*handshake)(struct ws *w, enum lws_callback_reasons reason, void *in, size_t len);
    /** It is open now. May be NULL. */
    void (*opened)(struct ws *w);
    /** Nothing carries it any more, or it was given up before anything did. Calls ws_finish(), at
     * once or later. */
    void (*gone)(struct ws *w);
};

struct ws_wire;

struct ws {
    lws_dll2_t list; /* in the list of the side */
    const struct ws_side *side;
    void *owner; /* struct ws_server or struct ws_attempts */
    struct net_loop *loop;
    struct lws *wsi;         /* of a server */
    struct tcp_alive *alive; /* of its socket; a client's stream has its own */
    struct ws_wire *wire;    /* of a client */
    struct net_timer *timer; /* keepalive; a limit of the handshake and of the close */
    const struct ws_events *events;
    void *user;
    enum ws_state state;
    struct ws_keepalive keep;

    bool plain; /* see ws.h */

    struct sendq out;
    struct buf in; /* the message that is coming in */
    bool paused;
    bool want_ping, want_pong, close_sent;
    uint64_t heard_ms;  /* when the peer last gave a sign of life */
    uint64_t pinged_ms; /* when it was asked for one; 0: it was not */
    uint64_t close_by_ms;

    struct ws_end end;
    char address[INET6_ADDRSTRLEN];
    uint16_t port;
};

/* What libwebsockets carries, and the protocols of its virtual host; ended by an empty one. */
extern const struct ws_carrier ws_lws_carrier;
extern const struct lws_protocols ws_lws_protocols[];

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

/* What a carrier tells. */

/** The handshake is done. */
void ws_opened(struct ws *w);

/** The peer gave a sign of life. */
void ws_heard(struct ws *w);

/** A piece of a message; @coming: bytes of its frame that follow; @last: none of the message do. */
void ws_piece(struct ws *w, struct bytes piece, uint64_t coming, bool last, bool binary);

/** The peer closes, and @why is what its frame has. */
void ws_peer_closed(struct ws *w, struct bytes why);

/** Whether there is a frame to send, and puts the next one. Below 0: the connection broke. */
bool ws_has_more(const struct ws *w);
int ws_write_one(struct ws *w);

/** Nothing carries it any more. */
void ws_gone(struct ws *w);

/** Notes how it ended, the first time. */
void ws_set_end(struct ws *w, unsigned code, const char *reason);

/** The connection in a list that @d is in. */
struct ws *ws_of(lws_dll2_t *d);

#endif
