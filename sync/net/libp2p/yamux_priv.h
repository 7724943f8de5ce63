/* sync/net/libp2p/yamux_priv - what the parts of yamux share: yamux.c, yamux_in.c, yamux_out.c. */
#ifndef SYNC_NET_LIBP2P_YAMUX_PRIV_H
#define SYNC_NET_LIBP2P_YAMUX_PRIV_H

#include "proto/base/ring.h"
#include "sync/net/libp2p/yamux.h"

enum {
    YAMUX_BUCKETS = 256, /* a power of two */
    /* Half of a queue is free: who waits for room is called. */
    YAMUX_STREAM_ROOMY = YAMUX_STREAM_QUEUE / 2,
    YAMUX_ROOMY = YAMUX_QUEUE / 2,
};

struct yamux_stream {
    struct yamux *y;
    struct yamux_stream *next; /* of its bucket */
    void *user;
    uint32_t id;
    bool inbound; /* the peer's */

    /* out */
    struct ring speaks; /* in y->urgent: a frame that is no data is owed */
    struct ring sends;  /* in y->data: bytes are queued */
    struct ring waits;  /* in y->waiting: there is room for it, writable() is owed */
    uint16_t owed;      /* flags to be sent; after YAMUX_RST nothing else counts */
    uint32_t grant;     /* bytes to be allowed to the peer */
    bool opened;        /* the peer knows of it: SYN was sent, or it is the peer's */
    bool answered;      /* of ours: the peer has acknowledged it */
    bool finishing;     /* yamux_finish() */
    bool fin_sent;
    bool wants;         /* a write took less than all */
    uint64_t allowance; /* bytes the peer lets us queue; at most 2^32-1 */
    struct buf out;     /* of it, out_at bytes are sent */
    size_t out_at;

    /* in */
    bool fin_got;
    uint32_t window;   /* bytes the peer may send still */
    uint32_t size;     /* of the window, when it is open */
    size_t unread;     /* given to data(), not consumed yet */
    uint32_t consumed; /* and not granted again yet */
    uint64_t grant_ms; /* when it last was */
};

struct yamux {
    const struct yamux_events *events;
    void *user;
    bool dials;
    bool calling; /* in feed, take or free: callbacks come */
    int failed;   /* 0, or why the connection is at its end */
    uint64_t now_ms;

    struct yamux_stream *buckets[YAMUX_BUCKETS];
    size_t streams, inbound, unanswered;
    uint64_t next_id; /* of ours */
    /* The peer's ids, counted from 1: the highest, and which of those right below it were used (bit
     * 0: the highest). Two threads of a peer may send their first frames in either order. */
    uint64_t peer_id, peer_ids;
    bool away_sent, away_got;
    uint32_t growth; /* what all windows have beyond their first size */

    /* in */
    uint8_t head[YAMUX_HEADER_SIZE];
    size_t head_n;
    uint32_t in_stream; /* whose payload comes; 0: it is skipped */
    uint32_t in_left;
    bool in_fin; /* the stream ends with it */
    uint64_t heard_ms;

    /* out */
    struct ring urgent, data, waiting;
    size_t queued; /* bytes of data */
    uint32_t refused[YAMUX_REFUSALS_MAX];
    size_t refused_at, refused_n;
    bool want_away, want_ping, want_pong;
    uint32_t away_code, ping, pong;
    bool asked;   /* a ping was sent, and nothing has come since */
    bool doubted; /* one is to be sent */
    uint64_t asked_ms, drained_ms;
};

/** The stream that both sides know by @id. NULL: there is none. */
struct yamux_stream *yamux_find(const struct yamux *y, uint32_t id);
/** A stream in the table, with windows as they are at first. NULL: no memory. */
struct yamux_stream *yamux_stream_new(struct yamux *y, uint32_t id, bool inbound);
/** Takes it out of everything. */
void yamux_stream_free(struct yamux_stream *s);
/** The end of @s, with the last callback unless the application has reset it. */
void yamux_stream_close(struct yamux_stream *s, enum yamux_end how);
/** Closes it when both sides are done. */
void yamux_stream_settle(struct yamux_stream *s);

static inline bool yamux_was_reset(const struct yamux_stream *s)
{
    return (s->owed & YAMUX_RST) != 0;
}

/** Sends @flags and what is granted, soon. */
void yamux_owe(struct yamux_stream *s, uint16_t flags);
/** Has writable() called when @s waits and nothing of its own is in the way. */
void yamux_wake(struct yamux_stream *s);
/** Calls who waits, while the queue has room. */
void yamux_call_waiting(struct yamux *y);
/** The end of the connection: only a go away is still sent. Returns @rc. */
int yamux_fail(struct yamux *y, enum yamux_code code, int rc);

#endif
