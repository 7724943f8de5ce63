/*
 * sync/net/ws - one WebSocket connection, of either side: whole binary messages, bounded queues.
 *
 * On a plain one, which has no token and no subprotocol, the messages are a stream of bytes: they
 * come in pieces as they arrive, and have any length.
 *
 * Connections come from ws_server.h and ws_client.h. Nothing is queued without a bound: ws_send()
 * says -EAGAIN when 1 MiB waits, and a connection that is paused reads nothing, so that TCP slows
 * the peer down. Pings go out by themselves, and a peer that is silent is dropped. Thread: the
 * loop's; no callback runs inside a call of this file.
 */
#ifndef SYNC_NET_WS_H
#define SYNC_NET_WS_H

#include "proto/base/buf.h"
#include "proto/base/err.h"

#define WS_SUBPROTOCOL "persist.sync.v1"
#define WS_PATH "/v1/sync"
/* Of a pipe for two devices: ws_pair.h. */
#define WS_PAIR_SUBPROTOCOL "persist.pair.v1"
#define WS_PAIR_PATH "/v1/pair/"

enum {
    WS_MESSAGE_MAX = 512 * 1024, /* bytes of a message, in and out */
    WS_REASON_MAX = 123,         /* bytes of the reason of a close: a control frame has 125 */
    WS_TOKEN_MAX = 256
};

/* Close codes (RFC 6455, section 7.4); 4000 to 4999 are the application's. */
enum {
    WS_NORMAL = 1000,
    WS_GOING_AWAY = 1001,
    WS_BAD_TYPE = 1003, /* a text message */
    WS_NO_CODE = 1005,  /* the peer closed and named no code; never sent */
    WS_BROKEN = 1006,   /* ended without a close: the line, the peer or the handshake; never sent */
    WS_TOO_BIG = 1009,
    WS_INTERNAL = 1011
};

struct ws;

/* How a connection ended. */
struct ws_end {
    unsigned code;
    bool by_peer;                   /* the code is the peer's */
    unsigned http_status;           /* of a client: the server's answer when it is not 101, or 0 */
    char reason[WS_REASON_MAX + 1]; /* of the peer's close, or why it broke; not escaped */
};

/* @user is what the side that made the connection gave. Each may be NULL but closed. */
struct ws_events {
    /** Messages may be sent from now on. */
    void (*opened)(struct ws *w, void *user);
    /** A whole message, or of a plain one any piece, borrowed until the callback returns. */
    void (*message)(struct ws *w, struct bytes message, void *user);
    /** There is room again, after ws_send() returned -EAGAIN. */
    void (*writable)(struct ws *w, void *user);
    /** The last call, exactly once, opened or not: @w is freed when it returns. */
    void (*closed)(struct ws *w, const struct ws_end *end, void *user);
};

/* When a silent peer is asked, and when it is given up; 0: 30 s and 10 s. */
struct ws_keepalive {
    unsigned ping_ms;   /* of silence, then a ping is sent */
    unsigned answer_ms; /* after that without a byte, the peer is dead */
};

/**
 * Queues a copy of a message. Errors: -EAGAIN the queue is full, wait for writable(); -EMSGSIZE
 * longer than WS_MESSAGE_MAX; -ENOTCONN not open yet, or closing; -ENOMEM.
 */
int ws_send(struct ws *w, struct bytes message) MUST_CHECK;

/**
 * Reads nothing more (the rest of the message that is being delivered is kept) until ws_resume().
 * The peer is told that this side lives; whether the peer does is not noticed meanwhile.
 */
void ws_pause(struct ws *w);
void ws_resume(struct ws *w);

/**
 * Closes: what is queued is sent first, then @code and @reason (cut to WS_REASON_MAX; may be NULL),
 * in 5 s altogether. No callback but closed() comes any more; its end has this code and reason,
 * unless the peer had closed before. A connection that is not open yet is given up.
 */
void ws_close(struct ws *w, unsigned code, const char *reason);

/** What happens from now on is told to @events, and @user. @events is borrowed as those that the
 * connection began with. */
void ws_hand_over(struct ws *w, const struct ws_events *events, void *user);

/** Ends it soon: no callback comes any more, and @w is gone. Also from one of them. */
void ws_drop(struct ws *w);

/** Lets writable() come when a quarter of what may wait does, as if ws_send() had said -EAGAIN. */
void ws_want_room(struct ws *w);

/** Bytes that wait to be sent, with the bookkeeping; and those of the message that is coming in. */
size_t ws_queued(const struct ws *w);
size_t ws_received(const struct ws *w);

/** The peer's address in numbers, without the port; "" for one that is not connected. */
const char *ws_address(const struct ws *w);
uint16_t ws_port(const struct ws *w);

#endif
