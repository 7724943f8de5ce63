#include <assert.h>

#include "sync/net/libp2p/yamux_priv.h"

bool yamux_has_more(const struct yamux *y)
{
    bool streams = y->refused_n > 0 || !ring_is_empty(&y->urgent) || !ring_is_empty(&y->data);
    return y->want_away || y->want_ping || y->want_pong || (y->failed == 0 && streams);
}

void yamux_owe(struct yamux_stream *s, uint16_t flags)
{
    s->owed |= flags;
    if (ring_is_empty(&s->speaks))
        ring_add(&s->y->urgent, &s->speaks);
}

void yamux_wake(struct yamux_stream *s)
{
    if (s->wants && s->allowance > 0 && s->out.n - s->out_at <= YAMUX_STREAM_ROOMY &&
        ring_is_empty(&s->waits))
        ring_add(&s->y->waiting, &s->waits);
}

/* This ends: who writes less than it would leaves the queue full, or does not wait again. */
void yamux_call_waiting(struct yamux *y)
{
    while (y->failed == 0 && y->queued <= YAMUX_ROOMY && !ring_is_empty(&y->waiting)) {
        struct yamux_stream *s = CONTAINER_OF(y->waiting.next, struct yamux_stream, waits);
        ring_remove(&s->waits);
        s->wants = false;
        y->events->writable(s, y->user);
    }
}

static size_t put(uint8_t *to, enum yamux_type type, uint16_t flags, uint32_t stream,
                  uint32_t length)
{
    struct yamux_header h = {(uint8_t)type, flags, stream, length};
    yamux_header_put(&h, to);
    return YAMUX_HEADER_SIZE;
}

/* Frames of the connection itself. */
static size_t take_own(struct yamux *y, uint8_t *to)
{
    size_t n = 0;
    if (y->want_away)
        n += put(to + n, YAMUX_TYPE_AWAY, 0, 0, y->away_code);
    if (y->want_pong)
        n += put(to + n, YAMUX_TYPE_PING, YAMUX_ACK, 0, y->pong);
    if (y->want_ping)
        n += put(to + n, YAMUX_TYPE_PING, YAMUX_SYN, 0, y->ping);
    y->want_away = y->want_pong = y->want_ping = false;
    return n;
}

static size_t take_refusal(struct yamux *y, uint8_t *to)
{
    uint32_t id = y->refused[y->refused_at];
    y->refused_at = (y->refused_at + 1) % YAMUX_REFUSALS_MAX;
    y->refused_n--;
    return put(to, YAMUX_TYPE_WINDOW, YAMUX_RST, id, 0);
}

/* What a stream has to say that is no data. */
static size_t take_owed(struct yamux *y, uint8_t *to)
{
    struct yamux_stream *s = CONTAINER_OF(y->urgent.next, struct yamux_stream, speaks);
    ring_remove(&s->speaks);
    if (yamux_was_reset(s)) {
        size_t n = put(to, YAMUX_TYPE_WINDOW, YAMUX_RST, s->id, 0);
        yamux_stream_free(s);
        return n;
    }
    size_t n = put(to, YAMUX_TYPE_WINDOW, s->owed, s->id, s->grant);
    s->window += s->grant;
    s->opened = true;
    s->fin_sent = s->fin_sent || (s->owed & YAMUX_FIN) != 0;
    s->owed = 0;
    s->grant = 0;
    yamux_stream_settle(s);
    return n;
}

/* A frame of the stream whose turn it is. */
static size_t take_data(struct yamux *y, uint8_t *to, size_t room)
{
    struct yamux_stream *s = CONTAINER_OF(y->data.next, struct yamux_stream, sends);
    size_t left = s->out.n - s->out_at;
    size_t n = (size_t)min_u64(min_u64(left, YAMUX_PAYLOAD_MAX), room - YAMUX_HEADER_SIZE);
    put(to, YAMUX_TYPE_DATA, 0, s->id, (uint32_t)n);
    memcpy(to + YAMUX_HEADER_SIZE, s->out.p + s->out_at, n);
    s->out_at += n;
    y->queued -= n;
    ring_remove(&s->sends);
    if (n < left) {
        ring_add(&y->data, &s->sends);
    } else {
        buf_fini(&s->out);
        s->out_at = 0;
        if (s->finishing)
            yamux_owe(s, YAMUX_FIN);
    }
    yamux_wake(s);
    return YAMUX_HEADER_SIZE + n;
}

/* The next frame. 0: none, or none that is worth what room is left. */
static size_t take_one(struct yamux *y, uint8_t *to, size_t room)
{
    if (room < YAMUX_HEADER_SIZE)
        return 0;
    if (y->refused_n > 0)
        return take_refusal(y, to);
    if (!ring_is_empty(&y->urgent))
        return take_owed(y, to);
    if (!ring_is_empty(&y->data) && room >= YAMUX_TAKE_MIN / 2)
        return take_data(y, to, room);
    return 0;
}

size_t yamux_take(struct yamux *y, uint8_t *to, size_t room)
{
    assert(!y->calling && room >= YAMUX_TAKE_MIN);
    y->calling = true;
    size_t n = take_own(y, to), one;
    while (y->failed == 0 && (one = take_one(y, to + n, room - n)) > 0)
        n += one;
    if (n > 0)
        y->drained_ms = y->now_ms;
    yamux_call_waiting(y);
    y->calling = false;
    return n;
}
