#include "sync/net/libp2p/yamux.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "sync/net/libp2p/yamux_priv.h"

int yamux_new(bool dials, const struct yamux_events *events, void *user, uint64_t now_ms,
              struct yamux **ret)
{
    struct yamux *y = calloc(1, sizeof *y);
    if (y == NULL)
        return -ENOMEM;
    y->events = events;
    y->user = user;
    y->dials = dials;
    y->now_ms = y->heard_ms = y->drained_ms = now_ms;
    y->next_id = dials ? 1 : 2;
    ring_init(&y->urgent);
    ring_init(&y->data);
    ring_init(&y->waiting);
    *ret = y;
    return 0;
}

void yamux_free(struct yamux *y)
{
    if (y == NULL)
        return;
    assert(!y->calling);
    y->calling = true;
    for (size_t i = 0; i < YAMUX_BUCKETS; i++)
        while (y->buckets[i] != NULL)
            yamux_stream_close(y->buckets[i], YAMUX_CONNECTION);
    free(y);
}

int yamux_fail(struct yamux *y, enum yamux_code code, int rc)
{
    y->failed = rc;
    y->want_away = true;
    y->away_code = code;
    y->want_ping = y->want_pong = false;
    return rc;
}

int yamux_tick(struct yamux *y, uint64_t now_ms)
{
    assert(!y->calling);
    y->now_ms = now_ms;
    if (!yamux_has_more(y))
        y->drained_ms = now_ms;
    if (y->want_ping) /* what has not gone out cannot be answered */
        y->asked_ms = now_ms;
    if (!yamux_wants_read(y)) /* nor heard */
        y->heard_ms = y->asked_ms = now_ms;
    if (now_ms - y->drained_ms >= YAMUX_DRAIN_MS ||
        (y->asked && now_ms - y->asked_ms >= YAMUX_ANSWER_MS))
        return -ETIMEDOUT;
    if (!y->asked && y->failed == 0 && (y->doubted || now_ms - y->heard_ms >= YAMUX_PING_MS)) {
        y->asked = y->want_ping = true;
        y->asked_ms = now_ms;
        y->ping++;
    }
    y->doubted = false;
    return 0;
}

void yamux_doubt(struct yamux *y)
{
    y->doubted = true;
}

void yamux_go_away(struct yamux *y, enum yamux_code code)
{
    y->away_sent = true;
    if (y->failed == 0) {
        y->want_away = true;
        y->away_code = code;
    }
}

size_t yamux_queued(const struct yamux *y)
{
    return y->queued;
}

size_t yamux_streams(const struct yamux *y)
{
    return y->streams;
}

/* ---- the table of streams ----------------------------------------------------------------------
 */

static size_t bucket_of(uint32_t id)
{
    return (id + (id >> 9)) & (YAMUX_BUCKETS - 1);
}

struct yamux_stream *yamux_find(const struct yamux *y, uint32_t id)
{
    struct yamux_stream *s = y->buckets[bucket_of(id)];
    while (s != NULL && s->id != id)
        s = s->next;
    return s != NULL && s->opened ? s : NULL;
}

struct yamux_stream *yamux_stream_new(struct yamux *y, uint32_t id, bool inbound)
{
    struct yamux_stream *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->y = y;
    s->id = id;
    s->inbound = s->opened = s->answered = inbound;
    s->allowance = s->window = s->size = YAMUX_WINDOW;
    s->grant_ms = y->now_ms;
    ring_init(&s->speaks);
    ring_init(&s->sends);
    ring_init(&s->waits);
    struct yamux_stream **bucket = &y->buckets[bucket_of(id)];
    s->next = *bucket;
    *bucket = s;
    y->streams++;
    y->inbound += inbound;
    y->unanswered += !inbound;
    return s;
}

/* What is queued will not be sent. */
static void drop_out(struct yamux_stream *s)
{
    s->y->queued -= s->out.n - s->out_at;
    s->out_at = 0;
    buf_fini(&s->out);
    ring_remove(&s->sends);
    ring_remove(&s->waits);
}

void yamux_stream_free(struct yamux_stream *s)
{
    struct yamux *y = s->y;
    struct yamux_stream **at = &y->buckets[bucket_of(s->id)];
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    drop_out(s);
    ring_remove(&s->speaks);
    y->streams--;
    y->inbound -= s->inbound;
    y->unanswered -= !s->answered;
    y->growth -= s->size - YAMUX_WINDOW;
    free(s);
}

void yamux_stream_close(struct yamux_stream *s, enum yamux_end how)
{
    if (!yamux_was_reset(s))
        s->y->events->closed(s, how, s->y->user);
    yamux_stream_free(s);
}

void yamux_stream_settle(struct yamux_stream *s)
{
    if (s->fin_got && s->fin_sent)
        yamux_stream_close(s, YAMUX_DONE);
}

/* ---- what the application does with a stream ---------------------------------------------------
 */

int yamux_open(struct yamux *y, void *stream_user, struct yamux_stream **ret)
{
    if (y->away_sent || y->away_got || y->failed != 0)
        return -ESHUTDOWN;
    if (y->unanswered >= YAMUX_UNANSWERED_MAX)
        return -EAGAIN;
    if (y->next_id > UINT32_MAX)
        return -EOVERFLOW;
    struct yamux_stream *s = yamux_stream_new(y, (uint32_t)y->next_id, false);
    if (s == NULL)
        return -ENOMEM;
    y->next_id += 2;
    s->user = stream_user;
    yamux_owe(s, YAMUX_SYN);
    *ret = s;
    return 0;
}

void yamux_set_user(struct yamux_stream *s, void *stream_user)
{
    s->user = stream_user;
}

void *yamux_user(const struct yamux_stream *s)
{
    return s->user;
}

uint32_t yamux_id(const struct yamux_stream *s)
{
    return s->id;
}

/* Appends, after what was sent has been thrown out when it is the bigger part. */
static int append(struct yamux_stream *s, const uint8_t *p, size_t n)
{
    size_t left = s->out.n - s->out_at;
    if (s->out_at > left) {
        memmove(s->out.p, s->out.p + s->out_at, left);
        s->out.n = left;
        s->out_at = 0;
    }
    if (buf_reserve(&s->out, n) < 0) {
        s->out.failed = false;
        return -ENOMEM;
    }
    buf_put(&s->out, p, n);
    return 0;
}

ssize_t yamux_write(struct yamux_stream *s, struct bytes data)
{
    struct yamux *y = s->y;
    if (s->finishing)
        return -EPIPE;
    size_t room = YAMUX_STREAM_QUEUE - (s->out.n - s->out_at);
    size_t n =
        (size_t)min_u64(min_u64(data.n, s->allowance), min_u64(room, YAMUX_QUEUE - y->queued));
    if (n > 0) {
        if (append(s, data.p, n) < 0)
            return -ENOMEM;
        s->allowance -= n;
        y->queued += n;
        if (ring_is_empty(&s->sends))
            ring_add(&y->data, &s->sends);
    }
    if (n < data.n) {
        s->wants = true;
        yamux_wake(s);
    }
    return (ssize_t)n;
}

void yamux_consumed(struct yamux_stream *s, size_t n)
{
    struct yamux *y = s->y;
    assert(n <= s->unread);
    s->unread -= n;
    s->consumed += (uint32_t)n;
    if (s->fin_got || s->consumed < s->size / 2)
        return;
    if (y->now_ms - s->grant_ms < YAMUX_GROWTH_MS && s->size < YAMUX_WINDOW_MAX &&
        s->size <= YAMUX_GROWTH_MAX - y->growth) {
        s->grant += s->size;
        y->growth += s->size;
        s->size *= 2;
    }
    s->grant += s->consumed;
    s->consumed = 0;
    s->grant_ms = y->now_ms;
    yamux_owe(s, 0);
}

void yamux_finish(struct yamux_stream *s)
{
    if (s->finishing)
        return;
    s->finishing = true;
    s->wants = false;
    ring_remove(&s->waits);
    if (s->out.n == s->out_at)
        yamux_owe(s, YAMUX_FIN);
}

void yamux_reset(struct yamux_stream *s)
{
    if (!s->opened) { /* the peer has not heard of it */
        yamux_stream_free(s);
        return;
    }
    drop_out(s);
    s->wants = false;
    yamux_owe(s, YAMUX_RST);
}
