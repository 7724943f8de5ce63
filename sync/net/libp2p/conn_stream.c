/*
 * The streams of a connection: their protocol is agreed on, then all goes to its handler.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "sync/net/libp2p/conn_priv.h"

/* ---- begin and end -----------------------------------------------------------------------------
 */

static struct conn_stream *stream_new(struct conn *c, struct yamux_stream *ys)
{
    struct conn_stream *s = calloc(1, sizeof *s);
    struct mss *mss = calloc(1, sizeof *mss);
    if (s == NULL || mss == NULL) {
        free(s);
        free(mss);
        return NULL;
    }
    *s = (struct conn_stream){.c = c, .ys = ys, .mss = mss, .moved_ms = c->now_ms};
    ring_init(&s->all);
    ring_add(&c->streams, &s->all);
    c->streams_n++;
    yamux_set_user(ys, s);
    return s;
}

static void stream_free(struct conn_stream *s)
{
    ring_remove(&s->all);
    s->c->streams_n--;
    free(s->mss);
    free(s);
}

/* Its yamux stream is gone. */
static void ended(struct conn_stream *s, int rc)
{
    if (s->handler != NULL)
        s->handler->closed(s, rc, s->user);
    stream_free(s);
}

/* Ends it from this side, and says so to its handler. */
static void give_up(struct conn_stream *s, int rc)
{
    yamux_reset(s->ys);
    ended(s, rc);
}

/* ---- agreeing on the protocol ------------------------------------------------------------------
 */

static unsigned count_served(const struct conn *c, const struct conn_protocol *p)
{
    unsigned n = 0;
    for (struct ring *r = c->streams.next; r != &c->streams; r = r->next)
        n += CONTAINER_OF(r, struct conn_stream, all)->served == p;
    return n;
}

/* Whether all that the negotiation says was queued: there is room, unless the peer does not read.
 */
static bool say(struct conn_stream *s, const struct buf *said)
{
    return buf_status(said) == 0 &&
           (said->n == 0 || yamux_write(s->ys, buf_bytes(said)) == (ssize_t)said->n);
}

/* A protocol of ours is agreed on with the peer. False: the stream is gone. */
static bool serve(struct conn_stream *s)
{
    const struct conn_protocol *p = &s->c->cfg.protocols[s->mss->at];
    if (count_served(s->c, p) >= p->streams_max) {
        give_up(s, -ENOBUFS);
        return false;
    }
    s->served = p;
    s->handler = p->handler;
    s->user = p->user;
    return true;
}

static bool agreed(struct conn_stream *s)
{
    if (s->handler == NULL && !serve(s))
        return false;
    free(s->mss);
    s->mss = NULL;
    s->moved_ms = s->c->now_ms;
    if (s->handler->opened(s, s->user))
        return true;
    yamux_reset(s->ys);
    stream_free(s);
    return false;
}

/* Takes the negotiation's part off @in. False: there is nothing for a handler, or no stream. */
static bool negotiate(struct conn_stream *s, struct bytes *in)
{
    struct buf said CLEANUP(buf_fini) = {0};
    size_t before = in->n;
    int rc = mss_feed(s->mss, in, &said);
    if (!say(s, &said))
        rc = rc < 0 ? rc : -ENOBUFS;
    yamux_consumed(s->ys, before - in->n);
    if (rc < 0)
        give_up(s, rc);
    return rc == 1 && agreed(s) && in->n > 0;
}

/* ---- what yamux tells --------------------------------------------------------------------------
 */

static bool on_accept(struct yamux_stream *ys, void *user)
{
    struct conn *c = user;
    struct buf said CLEANUP(buf_fini) = {0};
    if (c->cfg.protocols_n == 0)
        return false;
    struct conn_stream *s = stream_new(c, ys);
    if (s == NULL)
        return false;
    mss_init(s->mss, false, c->served, c->cfg.protocols_n, &said);
    if (say(s, &said))
        return true;
    stream_free(s);
    return false;
}

static void on_data(struct yamux_stream *ys, struct bytes data, void *user)
{
    (void)user;
    struct conn_stream *s = yamux_user(ys);
    if (s->mss != NULL && !negotiate(s, &data))
        return;
    s->moved_ms = s->c->now_ms;
    if (s->handler->data != NULL)
        s->handler->data(s, data, s->user);
    else
        yamux_consumed(ys, data.n);
}

static void on_writable(struct yamux_stream *ys, void *user)
{
    (void)user;
    struct conn_stream *s = yamux_user(ys);
    if (s->mss == NULL)
        s->moved_ms = s->c->now_ms;
    if (s->handler != NULL && s->handler->writable != NULL)
        s->handler->writable(s, s->user);
}

static void on_finished(struct yamux_stream *ys, void *user)
{
    (void)user;
    struct conn_stream *s = yamux_user(ys);
    if (s->mss != NULL)
        give_up(s, -EPROTO); /* before anything was agreed on */
    else if (s->handler->finished != NULL)
        s->handler->finished(s, s->user);
    else
        yamux_finish(ys);
}

static void on_closed(struct yamux_stream *ys, enum yamux_end how, void *user)
{
    (void)user;
    ended(yamux_user(ys), how == YAMUX_DONE ? 0 : how == YAMUX_RESET ? -ECONNRESET : -ENOTCONN);
}

static void on_away(struct yamux *y, uint32_t code, void *user)
{
    struct conn *c = user;
    (void)y, (void)code;
    if (c->cfg.away != NULL)
        c->cfg.away(c, c->cfg.user);
}

const struct yamux_events conn_yamux_events = {.accept = on_accept,
                                               .data = on_data,
                                               .writable = on_writable,
                                               .finished = on_finished,
                                               .closed = on_closed,
                                               .away = on_away};

/* ---- time --------------------------------------------------------------------------------------
 */

/* How long it may rest as it is; 0: for ever. */
static uint64_t may_rest(const struct conn_stream *s)
{
    if (s->mss != NULL)
        return P2P_NEGOTIATION_MS;
    return s->served == NULL ? 0 : s->served->idle_ms;
}

static struct conn_stream *find_late(const struct conn *c)
{
    for (struct ring *r = c->streams.next; r != &c->streams; r = r->next) {
        struct conn_stream *s = CONTAINER_OF(r, struct conn_stream, all);
        uint64_t rest = may_rest(s);
        if (rest != 0 && c->now_ms >= s->moved_ms + rest)
            return s;
    }
    return NULL;
}

void conn_tick_streams(struct conn *c)
{
    /* From the first one again: a callback may have ended any of them. */
    for (struct conn_stream *s; (s = find_late(c)) != NULL;)
        give_up(s, -ETIMEDOUT);
}

/* ---- for users ---------------------------------------------------------------------------------
 */

int conn_open(struct conn *c, const char *protocol, const struct conn_handler *handler, void *user,
              struct conn_stream **ret)
{
    struct buf said CLEANUP(buf_fini) = {0};
    struct yamux_stream *ys;
    if (c->stage != CONN_OPEN)
        return -ENOTCONN;
    int rc = yamux_open(c->y, NULL, &ys);
    if (rc < 0)
        return rc;
    struct conn_stream *s = stream_new(c, ys);
    if (s == NULL) {
        yamux_reset(ys);
        return -ENOMEM;
    }
    s->proposal = protocol;
    mss_init(s->mss, true, &s->proposal, 1, &said);
    if (!say(s, &said)) {
        conn_reset(s);
        return -ENOBUFS;
    }
    s->handler = handler;
    s->user = user;
    *ret = s;
    conn_kick(c);
    return 0;
}

ssize_t conn_write(struct conn_stream *s, struct bytes data)
{
    ssize_t n = yamux_write(s->ys, data);
    conn_kick(s->c);
    return n;
}

void conn_consumed(struct conn_stream *s, size_t n)
{
    yamux_consumed(s->ys, n);
    conn_kick(s->c);
}

void conn_finish(struct conn_stream *s)
{
    yamux_finish(s->ys);
    conn_kick(s->c);
}

void conn_reset(struct conn_stream *s)
{
    struct conn *c = s->c;
    yamux_reset(s->ys);
    stream_free(s);
    conn_kick(c);
}

void conn_set_user(struct conn_stream *s, void *user)
{
    s->user = user;
}

struct conn *conn_of(const struct conn_stream *s)
{
    return s->c;
}
