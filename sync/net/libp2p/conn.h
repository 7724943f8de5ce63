/*
 * sync/net/libp2p/conn - a connection to a peer: on a byte stream (TCP, or the messages of a
 * WebSocket one after the other) Noise is agreed on and done, then yamux, and streams of protocols
 * are opened by either side.
 *
 * A machine without sockets and clock: what came goes in by conn_feed(), what is to be written
 * stands in conn_out(). Callbacks come out of conn_feed(), conn_out(), conn_tick() and conn_free()
 * alone, and may call everything but these. A stream is gone after its closed(), and after
 * conn_reset().
 *
 * Source: libp2p specs, connections. Thread: one.
 */
#ifndef SYNC_NET_LIBP2P_CONN_H
#define SYNC_NET_LIBP2P_CONN_H

#include <sys/types.h>

#include "sync/net/libp2p/noise.h"

struct conn;
struct conn_stream;

/* What happens on a stream. @user is what conn_open() or conn_set_user() gave. Those but opened()
 * and closed() may be NULL: what comes is then dropped. */
struct conn_handler {
    /** Both sides agreed on the protocol. False resets it: then it is gone, without closed(). No
     * conn_reset() here. */
    bool (*opened)(struct conn_stream *s, void *user);
    /** Bytes, borrowed until the callback returns; conn_consumed() is to be called for them. */
    void (*data)(struct conn_stream *s, struct bytes data, void *user);
    /** conn_write() took less than it was given, and now takes more. */
    void (*writable)(struct conn_stream *s, void *user);
    /** The peer sends nothing more; this side still may. */
    void (*finished)(struct conn_stream *s, void *user);
    /** The last call. @rc: 0 both sides finished; -ECONNRESET; -ENOTCONN the connection is gone;
     * -ENOPROTOOPT the peer does not have the protocol; -EPROTO; -ETIMEDOUT. */
    void (*closed)(struct conn_stream *s, int rc, void *user);
};

/* A protocol that is served. */
struct conn_protocol {
    const char *id;
    const struct conn_handler *handler;
    unsigned streams_max; /* of the peer's on a connection; P2P_STREAMS_PROTOCOL at most; 0: none */
    unsigned idle_ms;     /* a stream on which nothing came for so long is reset; 0: it may rest */
    void *user;           /* of the handler, until conn_set_user() */
};

enum { CONN_PROTOCOLS_MAX = 16 };

struct conn_config {
    bool dials;
    const struct noise_keys *keys;         /* borrowed until it is open */
    const uint8_t *expect;                 /* PEER_ID_BYTES: who was dialed; NULL: anyone. Copied */
    const struct conn_protocol *protocols; /* borrowed, as handlers are */
    size_t protocols_n;                    /* at most CONN_PROTOCOLS_MAX */
    /** The peer has proved who it is, and streams may be opened. */
    void (*opened)(struct conn *c, void *user);
    /** The peer opens and takes no further streams. May be NULL. */
    void (*away)(struct conn *c, void *user);
    /** Something was done to a stream outside of a callback: conn_out() may have more. Only notes
     * it. */
    void (*kicked)(struct conn *c, void *user);
    void *user;
};

/** Begins. @now_ms: of a clock that never goes back. Errors: -ENOMEM. */
int conn_new(const struct conn_config *cfg, uint64_t now_ms, struct conn **ret) MUST_CHECK;

/** Closes what is open, wipes and frees. Accepts NULL. */
void conn_free(struct conn *c);

/**
 * Takes bytes that came. Not while conn_wants_read() is false. An error ends the connection after
 * what conn_out() still has, and each further call returns the same: as noise_handshake(),
 * mss_feed() and yamux_feed(); conn_why() says it to people.
 */
int conn_feed(struct conn *c, struct bytes in, uint64_t now_ms) MUST_CHECK;

/** False: the peer is to be read no more for now, as it does not take what it asked for. */
bool conn_wants_read(const struct conn *c);

/** What is to be written next, borrowed until the next call; empty: nothing waits. */
struct bytes conn_out(struct conn *c);

/** @n of these bytes are written. */
void conn_sent(struct conn *c, size_t n);

/** To be called each second or so: 0, or -ETIMEDOUT and the connection is at its end. */
int conn_tick(struct conn *c, uint64_t now_ms) MUST_CHECK;

/** The peer may be gone: conn_tick() asks it, and takes silence for an answer in some 10 s. */
void conn_doubt(struct conn *c);

/** Says that no stream is opened or accepted any more. Those that are there go on. */
void conn_go_away(struct conn *c);

/** Whether the peer is known; then who it is (PEER_ID_BYTES). */
bool conn_is_open(const struct conn *c);
const uint8_t *conn_peer(const struct conn *c);
/** The hash of the Noise handshake, NOISE_HASH_BYTES: the same on both sides, and on no other
 * connection. */
const uint8_t *conn_hash(const struct conn *c);
bool conn_dials(const struct conn *c);
const char *conn_why(const struct conn *c);
void *conn_user(const struct conn *c);
/** Streams that are open. */
size_t conn_streams(const struct conn *c);

/**
 * Opens a stream of @protocol (borrowed until opened() or closed()). It may be written to at once,
 * before the peer agreed. Errors: as yamux_open(); -ENOTCONN.
 */
int conn_open(struct conn *c, const char *protocol, const struct conn_handler *handler, void *user,
              struct conn_stream **ret) MUST_CHECK;

/** The same as yamux_write(), yamux_consumed() and yamux_finish() of the stream. */
ssize_t conn_write(struct conn_stream *s, struct bytes data) MUST_CHECK;
void conn_consumed(struct conn_stream *s, size_t n);
void conn_finish(struct conn_stream *s);

/** Ends both directions at once; @s is gone, without a callback. */
void conn_reset(struct conn_stream *s);

void conn_set_user(struct conn_stream *s, void *user);
struct conn *conn_of(const struct conn_stream *s);

#endif
