/* sync/net/libp2p/conn_priv - what conn.c and conn_stream.c share. Not for others. */
#ifndef SYNC_NET_LIBP2P_CONN_PRIV_H
#define SYNC_NET_LIBP2P_CONN_PRIV_H

#include "proto/base/ring.h"
#include "sync/net/libp2p/conn.h"
#include "sync/net/libp2p/limits.h"
#include "sync/net/libp2p/multistream.h"
#include "sync/net/libp2p/yamux.h"

enum conn_stage {
    CONN_SECURITY,  /* agreeing on Noise */
    CONN_HANDSHAKE, /* of Noise */
    CONN_MUXER,     /* agreeing on yamux: the handshake did not */
    CONN_OPEN,
    CONN_FAILED
};

struct conn_stream {
    struct conn *c;
    struct yamux_stream *ys;
    struct ring all;                    /* in c->streams */
    struct mss *mss;                    /* while the protocol is agreed on */
    const char *proposal;               /* of ours */
    const struct conn_protocol *served; /* of the peer's, once it is agreed on */
    const struct conn_handler *handler; /* NULL: not known yet */
    void *user;
    uint64_t moved_ms; /* when it was made or agreed on, or something came afterwards */
};

struct conn {
    struct conn_config cfg;
    uint8_t expect[PEER_ID_BYTES];
    enum conn_stage stage;
    int failure; /* of CONN_FAILED */
    struct err why;
    bool calling; /* callbacks come: who made that call looks at conn_out() afterwards */
    uint64_t began_ms, now_ms;
    struct mss mss;
    struct noise noise;
    struct yamux *y; /* when it is open */
    struct buf out;  /* to be written, from out_at on */
    size_t out_at;
    struct buf plain;  /* that came, and is not taken yet */
    struct buf frames; /* of yamux, before they are encrypted */
    const char *served[CONN_PROTOCOLS_MAX];
    struct ring streams;
    size_t streams_n;
};

extern const struct yamux_events conn_yamux_events;

/** Has conn_out() looked at. */
static inline void conn_kick(struct conn *c)
{
    if (!c->calling)
        c->cfg.kicked(c, c->cfg.user);
}

/** Resets what the peer does not agree on in time, or what rests too long. */
void conn_tick_streams(struct conn *c);

#endif
