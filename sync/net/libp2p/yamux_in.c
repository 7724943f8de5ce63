#include <assert.h>
#include <errno.h>

#include "sync/net/libp2p/yamux_priv.h"

bool yamux_wants_read(const struct yamux *y)
{
    return y->refused_n < YAMUX_REFUSALS_MAX && y->failed == 0;
}

static int broken(struct yamux *y)
{
    return yamux_fail(y, YAMUX_PROTOCOL_ERROR, -EPROTO);
}

/* Whether the peer may open @id: then it is used. */
static bool use_id(struct yamux *y, uint32_t id)
{
    bool odd = (id & 1) != 0;
    if (odd == y->dials)
        return false;
    uint64_t n = ((uint64_t)id + odd) / 2;
    if (n > y->peer_id) {
        uint64_t on = n - y->peer_id;
        y->peer_ids = (on < 64 ? y->peer_ids << on : 0) | 1;
        y->peer_id = n;
        return true;
    }
    uint64_t back = y->peer_id - n;
    if (back >= 64 || (y->peer_ids >> back & 1) != 0)
        return false;
    y->peer_ids |= (uint64_t)1 << back;
    return true;
}

static void refuse(struct yamux *y, uint32_t id)
{
    size_t at = (y->refused_at + y->refused_n++) % YAMUX_REFUSALS_MAX;
    y->refused[at] = id;
}

/* The peer opens a stream. */
static int on_syn(struct yamux *y, const struct yamux_header *h)
{
    if ((h->type == YAMUX_TYPE_DATA && h->length > YAMUX_WINDOW) || !use_id(y, h->stream))
        return broken(y);
    if ((h->flags & YAMUX_RST) != 0)
        return 0;
    if (y->away_sent || y->inbound >= YAMUX_INBOUND_MAX) {
        refuse(y, h->stream);
        return 0;
    }
    struct yamux_stream *s = yamux_stream_new(y, h->stream, true);
    if (s == NULL)
        return yamux_fail(y, YAMUX_INTERNAL_ERROR, -ENOMEM);
    yamux_owe(s, YAMUX_ACK);
    if (!y->events->accept(s, y->user))
        yamux_reset(s);
    return 0;
}

static void on_fin(struct yamux_stream *s)
{
    if (s->fin_got)
        return;
    s->fin_got = true;
    s->y->events->finished(s, s->y->user);
    if (!yamux_was_reset(s))
        yamux_stream_settle(s);
}

static int on_window(struct yamux_stream *s, uint32_t more)
{
    if (more > UINT32_MAX - s->allowance)
        return broken(s->y);
    s->allowance += more;
    yamux_wake(s);
    return 0;
}

/* A frame of a stream that is there. */
static int on_frame(struct yamux_stream *s, const struct yamux_header *h)
{
    struct yamux *y = s->y;
    if (!s->answered) {
        s->answered = true;
        y->unanswered--;
    }
    if ((h->flags & YAMUX_RST) != 0) {
        yamux_stream_close(s, YAMUX_RESET);
        return 0;
    }
    if (h->type == YAMUX_TYPE_WINDOW) {
        int rc = on_window(s, h->length);
        if (rc < 0)
            return rc;
    } else if (h->length > 0) {
        if (h->length > s->window || s->fin_got)
            return broken(y);
        s->window -= h->length;
        y->in_stream = s->id;
    }
    if ((h->flags & YAMUX_FIN) == 0)
        return 0;
    if (y->in_left > 0)
        y->in_fin = true;
    else
        on_fin(s);
    return 0;
}

static int on_stream(struct yamux *y, const struct yamux_header *h)
{
    bool data = h->type == YAMUX_TYPE_DATA;
    if (data && h->length > YAMUX_WINDOW_MAX) /* no window was ever that wide */
        return broken(y);
    if ((h->flags & YAMUX_SYN) != 0) {
        int rc = on_syn(y, h);
        if (rc < 0)
            return rc;
    }
    y->in_left = data ? h->length : 0;
    y->in_stream = 0;
    y->in_fin = false;
    struct yamux_stream *s = yamux_find(y, h->stream);
    return s != NULL && !yamux_was_reset(s) ? on_frame(s, h) : 0;
}

static int on_header(struct yamux *y)
{
    struct yamux_header h;
    if (yamux_header_get(y->head, &h) < 0)
        return broken(y);
    switch (h.type) {
    case YAMUX_TYPE_PING:
        if ((h.flags & YAMUX_SYN) != 0) {
            y->want_pong = true;
            y->pong = h.length;
        }
        return 0;
    case YAMUX_TYPE_AWAY:
        y->away_got = true;
        if (y->events->away != NULL)
            y->events->away(y, h.length, y->user);
        return 0;
    default:
        return on_stream(y, &h);
    }
}

static struct bytes cut(struct bytes *in, size_t n)
{
    struct bytes front = bytes_of(in->p, (size_t)min_u64(in->n, n));
    *in = bytes_of(in->p + front.n, in->n - front.n);
    return front;
}

static void take_payload(struct yamux *y, struct bytes *in)
{
    struct bytes piece = cut(in, y->in_left);
    struct yamux_stream *s = yamux_find(y, y->in_stream);
    y->in_left -= (uint32_t)piece.n;
    if (s == NULL || yamux_was_reset(s))
        return;
    s->unread += piece.n;
    y->events->data(s, piece, y->user);
    if (y->in_left == 0 && y->in_fin && !yamux_was_reset(s))
        on_fin(s);
}

static int take_header(struct yamux *y, struct bytes *in)
{
    struct bytes piece = cut(in, YAMUX_HEADER_SIZE - y->head_n);
    memcpy(y->head + y->head_n, piece.p, piece.n);
    y->head_n += piece.n;
    if (y->head_n < YAMUX_HEADER_SIZE)
        return 0;
    y->head_n = 0;
    return on_header(y);
}

int yamux_feed(struct yamux *y, struct bytes *in)
{
    assert(!y->calling);
    int rc = y->failed;
    y->calling = true;
    if (in->n > 0) {
        y->heard_ms = y->now_ms;
        y->asked = y->want_ping = false;
    }
    while (rc == 0 && in->n > 0) {
        if (y->in_left > 0)
            take_payload(y, in);
        else if (yamux_wants_read(y))
            rc = take_header(y, in);
        else
            break;
    }
    yamux_call_waiting(y);
    y->calling = false;
    return rc;
}
