/*
 * sync/net/libp2p/yamux - many byte streams over one, as /yamux/1.0.0 has them.
 *
 * A machine without sockets, clock and threads: bytes of the connection go in by yamux_feed(), and
 * those to be sent come out of yamux_take(). A stream's bytes wait in a queue of their own; frames
 * of at most 16 KiB are taken from the queues in turns, after all that is no data. What arrives is
 * handed on as it lies in the caller's buffer and is not kept; the peer may send a stream as much
 * as its window has, which opens again with yamux_consumed().
 *
 * What a peer can make this side keep is bounded: its streams (YAMUX_INBOUND_MAX), one answer to a
 * ping, one frame of each kind for each stream, and refusals; when of these YAMUX_REFUSALS_MAX
 * wait, nothing more is read. Windows grow to YAMUX_WINDOW_MAX while the application keeps up, by
 * YAMUX_GROWTH_MAX for all streams together.
 *
 * Callbacks come out of yamux_feed(), yamux_take() and yamux_free() alone, and may call everything
 * but these three and yamux_tick(). A stream is gone after closed(), and after yamux_reset().
 *
 * Source: libp2p specs, yamux. Thread: one.
 */
#ifndef SYNC_NET_LIBP2P_YAMUX_H
#define SYNC_NET_LIBP2P_YAMUX_H

#include <sys/types.h>

#include "sync/net/libp2p/yamux_frame.h"

#define YAMUX_PROTOCOL "/yamux/1.0.0"

enum {
    YAMUX_INBOUND_MAX = 128,       /* streams that the peer has opened; more are refused */
    YAMUX_UNANSWERED_MAX = 256,    /* streams of ours that the peer has not acknowledged */
    YAMUX_REFUSALS_MAX = 256,      /* that wait to be sent; then nothing is read */
    YAMUX_PAYLOAD_MAX = 16 * 1024, /* of a frame of ours */
    YAMUX_TAKE_MIN = 2048,         /* the least room for yamux_take() */
    YAMUX_STREAM_QUEUE = 256 * 1024,
    YAMUX_QUEUE = 1024 * 1024, /* of all streams */
    YAMUX_WINDOW = 256 * 1024, /* of a new stream, each way */
    YAMUX_WINDOW_MAX = 16 * 1024 * 1024,
    YAMUX_GROWTH_MAX = 16 * 1024 * 1024,
    YAMUX_GROWTH_MS = 400, /* half a window consumed in less: it doubles */
    YAMUX_PING_MS = 30000, /* of silence, then the peer is asked */
    YAMUX_ANSWER_MS = 10000,
    YAMUX_DRAIN_MS = 30000 /* that a peer may take nothing of what waits */
};

enum yamux_code { YAMUX_NORMAL, YAMUX_PROTOCOL_ERROR, YAMUX_INTERNAL_ERROR };

enum yamux_end {
    YAMUX_DONE,      /* both sides finished */
    YAMUX_RESET,     /* by the peer: what was on the way is lost */
    YAMUX_CONNECTION /* the connection is gone, and the stream with it */
};

struct yamux;
struct yamux_stream;

/* @user is what yamux_new() was given. Only away() may be NULL. */
struct yamux_events {
    /** The peer opens @s; false refuses it: then it is gone. */
    bool (*accept)(struct yamux_stream *s, void *user);
    /** Bytes of the stream, borrowed until the callback returns. */
    void (*data)(struct yamux_stream *s, struct bytes data, void *user);
    /** yamux_write() took less than it was given, and now takes more. */
    void (*writable)(struct yamux_stream *s, void *user);
    /** The peer sends nothing more; this side still may. */
    void (*finished)(struct yamux_stream *s, void *user);
    /** The last call for @s, whether or not its bytes were consumed. */
    void (*closed)(struct yamux_stream *s, enum yamux_end how, void *user);
    /** The peer opens and takes no further streams. @code is any number. */
    void (*away)(struct yamux *y, uint32_t code, void *user);
};

/** @dials: this side made the connection. @events is borrowed for as long as *@ret lives. -ENOMEM.
 */
int yamux_new(bool dials, const struct yamux_events *events, void *user, uint64_t now_ms,
              struct yamux **ret) MUST_CHECK;

/** Calls closed() for each stream that is left and frees all. Accepts NULL. */
void yamux_free(struct yamux *y);

/**
 * Takes bytes of the connection from the front of @in. What is left is given again when
 * yamux_wants_read(). Errors end the connection, after what yamux_take() still has: -EPROTO the
 * peer broke the rules, -ENOMEM; each further call returns the same.
 */
int yamux_feed(struct yamux *y, struct bytes *in) MUST_CHECK;

/** False: answers wait that the peer does not take, so nothing is to be read from it. */
bool yamux_wants_read(const struct yamux *y);

/**
 * Writes whole frames into @to, which has @room (at least YAMUX_TAKE_MIN), and returns how many
 * bytes. They count as sent. 0: nothing waits.
 */
size_t yamux_take(struct yamux *y, uint8_t *to, size_t room);

/** Whether yamux_take() has something. */
bool yamux_has_more(const struct yamux *y);

/**
 * To be called each second or so: pings, and sees whether the peer is there. @now_ms: of a clock
 * that never goes back. -ETIMEDOUT: it does not answer, or takes nothing of what waits.
 */
int yamux_tick(struct yamux *y, uint64_t now_ms) MUST_CHECK;

/** The peer may be gone: the next yamux_tick() pings it, however short the silence is. */
void yamux_doubt(struct yamux *y);

/** Tells the peer that no stream is opened or accepted any more; those that are there go on. */
void yamux_go_away(struct yamux *y, enum yamux_code code);

/**
 * Opens a stream; it may be written to at once. -EAGAIN: YAMUX_UNANSWERED_MAX wait for the peer;
 * -ESHUTDOWN one of both goes away, or the connection failed; -EOVERFLOW no ids are left, connect
 * anew; -ENOMEM.
 */
int yamux_open(struct yamux *y, void *stream_user, struct yamux_stream **ret) MUST_CHECK;

/** Something of the caller's; NULL in a stream of the peer. */
void yamux_set_user(struct yamux_stream *s, void *stream_user);
void *yamux_user(const struct yamux_stream *s);
uint32_t yamux_id(const struct yamux_stream *s);

/**
 * Queues a copy of the front of @data and returns how much: as much as the peer's window and the
 * queues have room for. When that is not all, writable() is called later. -EPIPE after
 * yamux_finish(); -ENOMEM.
 */
ssize_t yamux_write(struct yamux_stream *s, struct bytes data) MUST_CHECK;

/** @n bytes that data() brought are done with, and as many may come again. */
void yamux_consumed(struct yamux_stream *s, size_t n);

/** Nothing more is written: the peer hears of it after what is queued. Once or more. */
void yamux_finish(struct yamux_stream *s);

/** Ends both directions at once; @s is gone, without a callback. */
void yamux_reset(struct yamux_stream *s);

/** Bytes of data that wait to be sent. */
size_t yamux_queued(const struct yamux *y);
/** Streams that there are, those that were reset and wait for a frame to say so included. */
size_t yamux_streams(const struct yamux *y);

#endif
