/* A wire of TCP: attempts to connect, what waits to be sent, the end. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sync/net/libp2p/wire_priv.h"

enum {
    READ_BYTES = 64 * 1024,
    TURNS = 4, /* reads in one turn of the loop */
    ROOMY = WIRE_QUEUE / 4,
    CLOSE_MS = 5000
};

static size_t queued(const struct wire_tcp *t)
{
    return t->out.n - t->out_at;
}

static bool is_reading(const struct wire *w)
{
    const struct wire_tcp *t = &w->tcp;
    return !w->freed && (t->stage == TCP_CLOSING || (t->stage == TCP_OPEN && !w->paused));
}

static void rewatch(struct wire *w)
{
    const struct wire_tcp *t = &w->tcp;
    bool says_end = t->stage == TCP_CLOSING && !t->finished;
    if (t->stage == TCP_OPEN || t->stage == TCP_CLOSING)
        stream_want(t->stream, is_reading(w), queued(t) > 0 || says_end);
}

/* It ends in a turn of its own. */
static void end_soon(struct wire *w, const char *why)
{
    struct wire_tcp *t = &w->tcp;
    if (t->why[0] == '\0')
        snprintf(t->why, sizeof t->why, "%s", why);
    t->stage = TCP_GONE;
    net_timer_cancel(t->limit);
    net_timer_set(t->step, 0);
    if (t->stream != NULL)
        stream_want(t->stream, false, false);
}

static void broke(struct wire *w, int rc)
{
    end_soon(w, rc == -EPIPE       ? "the peer closed the connection"
                : rc == -ETIMEDOUT ? "the peer does not answer any more"
                                   : strerror(-rc));
}

/* ---- bytes -------------------------------------------------------------------------------------
 */

/* What waits goes out, as far as it can. */
static int flush(struct wire_tcp *t)
{
    while (queued(t) > 0) {
        ssize_t n = stream_write(t->stream, t->out.p + t->out_at, queued(t));
        if (n <= 0)
            return (int)n;
        t->out_at += (size_t)n;
    }
    buf_fini(&t->out); /* a connection that rests keeps nothing */
    t->out_at = 0;
    return 0;
}

static int enqueue(struct wire_tcp *t, struct bytes data)
{
    if (t->out_at > 0) {
        memmove(t->out.p, t->out.p + t->out_at, queued(t));
        t->out.n -= t->out_at;
        t->out_at = 0;
    }
    buf_put_bytes(&t->out, data);
    return buf_status(&t->out);
}

ssize_t wire_tcp_write(struct wire *w, struct bytes data)
{
    struct wire_tcp *t = &w->tcp;
    ssize_t sent = 0;
    if (t->stage != TCP_OPEN)
        return -ENOTCONN;
    if (queued(t) == 0)
        sent = stream_write(t->stream, data.p, data.n);
    if (sent >= 0) {
        size_t n = (size_t)min_u64(data.n - (size_t)sent, WIRE_QUEUE - queued(t));
        int rc = n > 0 ? enqueue(t, bytes_of(data.p + sent, n)) : 0;
        sent = rc < 0 ? rc : sent + (ssize_t)n;
    }
    if (sent < 0) {
        broke(w, (int)sent);
        return sent;
    }
    t->wants_room = (size_t)sent < data.n;
    rewatch(w);
    return sent;
}

static int write_some(struct wire *w)
{
    struct wire_tcp *t = &w->tcp;
    int rc = queued(t) > 0 ? flush(t) : 0;
    if (rc == 0 && t->stage == TCP_OPEN && t->wants_room && queued(t) <= ROOMY) {
        t->wants_room = false;
        w->events->writable(w, w->user);
    }
    if (rc == 0 && t->stage == TCP_CLOSING && !t->finished && queued(t) == 0) {
        t->finished = true;
        stream_finish(t->stream);
    }
    return rc;
}

/* What comes after wire_close() is thrown away: closing over it would tell the peer to do the same
 * with what it was sent last. */
static int read_some(struct wire *w)
{
    uint8_t in[READ_BYTES];
    for (int i = 0; i < TURNS && is_reading(w); i++) {
        ssize_t n = stream_read(w->tcp.stream, in, sizeof in);
        if (n <= 0)
            return (int)n;
        if (w->tcp.stage == TCP_OPEN)
            w->events->data(w, bytes_of(in, (size_t)n), w->user);
    }
    return 0;
}

/* ---- its life ----------------------------------------------------------------------------------
 */

static void drop_attempt(struct wire_tcp *t)
{
    stream_free(TAKE_PTR(t->stream));
    net_timer_set(t->step, 0);
}

/* Of several addresses, what is wrong with the first one is told. */
static void note_failure(struct wire_tcp *t, const char *why)
{
    if (t->why[0] == '\0')
        snprintf(t->why, sizeof t->why, "cannot connect: %s", why);
}

static void go_on_connecting(struct wire *w)
{
    struct wire_tcp *t = &w->tcp;
    int rc = stream_connect(t->stream);
    if (rc == 0)
        return;
    if (rc < 0) {
        note_failure(t, strerror(-rc));
        drop_attempt(t);
        return;
    }
    t->stage = TCP_OPEN;
    t->why[0] = '\0';
    net_timer_cancel(t->step);
    net_timer_cancel(t->limit);
    wire_name(w, t->address, t->port);
    w->events->opened(w, w->user);
}

static void on_ready(uint32_t events, void *arg)
{
    struct wire *w = arg;
    struct wire_tcp *t = &w->tcp;
    int rc = 0;
    w->busy = true;
    if (t->stage == TCP_CONNECTING)
        go_on_connecting(w);
    else if ((events & (EPOLLHUP | EPOLLERR)) != 0 && !is_reading(w))
        rc = stream_error(t->stream);
    if (rc == 0)
        rc = read_some(w);
    if (rc == 0 && !w->freed && (t->stage == TCP_OPEN || t->stage == TCP_CLOSING))
        rc = write_some(w);
    w->busy = false;
    if (w->freed) {
        wire_free(w);
        return;
    }
    if (rc < 0 && t->stage != TCP_GONE)
        broke(w, rc);
    rewatch(w);
}

static void attempt(struct wire *w)
{
    struct wire_tcp *t = &w->tcp;
    t->address = hosts_next(&t->hosts);
    struct stream_config cfg = {.address = t->address, .port = t->port, .fn = on_ready, .arg = w};
    int rc = stream_new(t->loop, &cfg, &t->stream);
    if (rc < 0) {
        note_failure(t, strerror(-rc));
        net_timer_set(t->step, 0);
    } else if (hosts_has_more(&t->hosts)) {
        net_timer_set(t->step, HOSTS_ATTEMPT_MS);
    }
}

/* The next attempt, or the end. */
static void on_step(void *arg)
{
    struct wire *w = arg;
    struct wire_tcp *t = &w->tcp;
    if (t->stage == TCP_CONNECTING) {
        if (t->stream != NULL)
            note_failure(t, "no answer");
        stream_free(TAKE_PTR(t->stream));
        if (hosts_has_more(&t->hosts)) {
            attempt(w);
            return;
        }
        if (t->hosts.why != NULL)
            note_failure(t, t->hosts.why);
    }
    wire_end(w, t->why);
}

static void on_limit(void *arg)
{
    struct wire *w = arg;
    end_soon(w, w->tcp.stage == TCP_CONNECTING ? "no connection in time" : "closed");
}

static int make_timers(struct wire *w, struct net_loop *l)
{
    w->tcp.loop = l;
    int rc = net_timer_new(l, on_step, w, &w->tcp.step);
    return rc < 0 ? rc : net_timer_new(l, on_limit, w, &w->tcp.limit);
}

int wire_tcp_dial(struct wire *w, struct net_loop *l, const char *host, int family, uint16_t port)
{
    struct wire_tcp *t = &w->tcp;
    t->port = port;
    int rc = make_timers(w, l);
    if (rc == 0)
        rc = hosts_find(&t->hosts, l, host, family, t->step);
    if (rc == 0)
        net_timer_set(t->limit, HOSTS_CONNECT_MS);
    return rc;
}

int wire_tcp_adopt(struct wire *w, struct net_loop *l, int fd)
{
    struct wire_tcp *t = &w->tcp;
    t->stage = TCP_OPEN;
    int rc = make_timers(w, l);
    if (rc == 0)
        rc = stream_adopt(l, fd, on_ready, w, &t->stream);
    if (rc == 0)
        rewatch(w);
    return rc;
}

void wire_tcp_flow(struct wire *w)
{
    rewatch(w);
}

void wire_tcp_close(struct wire *w)
{
    struct wire_tcp *t = &w->tcp;
    if (t->stage == TCP_CONNECTING) {
        end_soon(w, "closed");
    } else if (t->stage == TCP_OPEN) {
        snprintf(t->why, sizeof t->why, "closed");
        t->stage = TCP_CLOSING;
        net_timer_set(t->limit, CLOSE_MS);
        rewatch(w);
    }
}

void wire_tcp_fini(struct wire *w)
{
    struct wire_tcp *t = &w->tcp;
    hosts_fini(&t->hosts);
    stream_free(t->stream);
    net_timer_free(t->step);
    net_timer_free(t->limit);
    buf_fini(&t->out);
}
