/* The life of a connection once it is open: messages, keepalive, close. */
#include "sync/net/ws.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "sync/net/ws_priv.h"

enum {
    CLOSE_MS = 5000,
    PING_MS = 30000,
    ANSWER_MS = 10000,
    KEEP_BUFFER = 64 * 1024 /* a longer one is freed when its message is delivered */
};

_Static_assert(SENDQ_HEAD >= LWS_PRE, "libwebsockets puts its header before each fragment");
_Static_assert(WS_MESSAGE_MAX + SENDQ_ROOMY < SENDQ_MAX, "after writable() any message fits");

struct ws *ws_of(lws_dll2_t *d)
{
    return CONTAINER_OF(d, struct ws, list);
}

static void on_timer(void *arg);

static bool is_carried(const struct ws *w)
{
    return w->wsi != NULL || w->wire != NULL;
}

struct ws *ws_new(struct net_loop *l, const struct ws_side *side, void *owner,
                  lws_dll2_owner_t *list, const struct ws_keepalive *keep)
{
    struct ws *w = calloc(1, sizeof *w);
    if (w == NULL || net_timer_new(l, on_timer, w, &w->timer) < 0) {
        free(w);
        return NULL;
    }
    w->side = side;
    w->owner = owner;
    w->loop = l;
    w->keep.ping_ms = keep->ping_ms != 0 ? keep->ping_ms : PING_MS;
    w->keep.answer_ms = keep->answer_ms != 0 ? keep->answer_ms : ANSWER_MS;
    lws_dll2_add_tail(&w->list, list);
    return w;
}

void ws_finish(struct ws *w)
{
    ws_set_end(w, WS_BROKEN, "the connection broke");
    if (w->events != NULL)
        w->events->closed(w, &w->end, w->user);
    lws_dll2_remove(&w->list);
    net_timer_free(w->timer);
    tcp_alive_free(w->alive);
    sendq_fini(&w->out);
    buf_fini(&w->in);
    free(w);
}

void ws_set_end(struct ws *w, unsigned code, const char *reason)
{
    if (w->end.code != 0)
        return;
    w->end.code = code;
    snprintf(w->end.reason, sizeof w->end.reason, "%s", reason != NULL ? reason : "");
}

void ws_kill(struct ws *w, unsigned code, const char *why)
{
    ws_set_end(w, code, why);
    w->state = WS_CLOSED;
    if (is_carried(w))
        w->side->carrier->cut(w);
    else
        w->side->gone(w);
}

void ws_gone(struct ws *w)
{
    w->wsi = NULL;
    w->wire = NULL;
    tcp_alive_free(TAKE_PTR(w->alive));
    if (w->state != WS_HANDSHAKE) /* a client may try again */
        w->state = WS_CLOSED;
    net_timer_cancel(w->timer);
    w->side->gone(w);
}

void ws_abandon_all(lws_dll2_owner_t *list)
{
    lws_start_foreach_dll_safe(lws_dll2_t *, d, next, lws_dll2_get_head(list))
    {
        struct ws *w = ws_of(d);
        if (is_carried(w))
            w->side->carrier->drop(w);
        w->state = WS_CLOSED;
        ws_gone(w);
    }
    lws_end_foreach_dll_safe(d, next);
}

void ws_heard(struct ws *w)
{
    w->heard_ms = net_now_ms();
    w->pinged_ms = 0;
}

int ws_send(struct ws *w, struct bytes message)
{
    if (w->state != WS_OPEN)
        return -ENOTCONN;
    if (message.n > WS_MESSAGE_MAX)
        return -EMSGSIZE;
    int rc = sendq_push(&w->out, message);
    if (rc == 0)
        w->side->carrier->want(w);
    return rc;
}

void ws_pause(struct ws *w)
{
    if (w->state != WS_OPEN || w->paused)
        return;
    w->paused = true;
    w->side->carrier->flow(w, false);
    net_timer_set(w->timer, 0);
}

/* Whether something waits for it to go on. */
static bool has_kept(const struct ws *w)
{
    return w->plain && w->in.n > 0;
}

void ws_resume(struct ws *w)
{
    if (!w->paused)
        return;
    w->paused = false;
    ws_heard(w);
    net_timer_set(w->timer, has_kept(w) ? 0 : w->keep.ping_ms);
    if (is_carried(w))
        w->side->carrier->flow(w, true);
}

void ws_close(struct ws *w, unsigned code, const char *reason)
{
    if (w->state == WS_HANDSHAKE) {
        ws_kill(w, code, reason);
        return;
    }
    if (w->state != WS_OPEN)
        return;
    ws_resume(w); /* or the peer's close would not be read */
    ws_set_end(w, code, reason);
    w->state = WS_CLOSING;
    w->close_by_ms = net_now_ms() + CLOSE_MS;
    net_timer_set(w->timer, CLOSE_MS);
    w->side->carrier->want(w);
}

void ws_hand_over(struct ws *w, const struct ws_events *events, void *user)
{
    w->events = events;
    w->user = user;
}

static void on_nothing(struct ws *w, const struct ws_end *end, void *user)
{
    (void)w, (void)end, (void)user;
}

void ws_drop(struct ws *w)
{
    static const struct ws_events nobody = {.closed = on_nothing};
    w->events = &nobody;
    ws_kill(w, WS_BROKEN, NULL);
}

void ws_want_room(struct ws *w)
{
    w->out.wanted = true;
}

size_t ws_queued(const struct ws *w)
{
    return w->out.bytes;
}

size_t ws_received(const struct ws *w)
{
    return w->in.cap;
}

const char *ws_address(const struct ws *w)
{
    return w->address;
}

uint16_t ws_port(const struct ws *w)
{
    return w->port;
}

/* Closes because of what the peer did: what is queued is dropped. */
static void refuse(struct ws *w, unsigned code, const char *reason)
{
    ws_close(w, code, reason);
    sendq_fini(&w->out);
    buf_fini(&w->in);
}

void ws_opened(struct ws *w)
{
    w->state = WS_OPEN;
    ws_heard(w);
    net_timer_set(w->timer, w->keep.ping_ms);
    if (w->side->opened != NULL)
        w->side->opened(w);
    if (w->events->opened != NULL)
        w->events->opened(w, w->user);
}

static void deliver(struct ws *w, struct bytes message)
{
    if (w->events->message != NULL)
        w->events->message(w, message, w->user);
    if (w->in.cap > KEEP_BUFFER)
        buf_fini(&w->in);
    else
        buf_reset(&w->in);
}

/* Of a plain connection. What was read already when it was paused comes even so, and waits. */
static void stream_piece(struct ws *w, struct bytes piece)
{
    if (!w->paused && w->in.n == 0) {
        if (piece.n > 0)
            deliver(w, piece);
        return;
    }
    buf_put_bytes(&w->in, piece);
    if (buf_status(&w->in) < 0)
        refuse(w, WS_INTERNAL, "out of memory");
    else if (!w->paused)
        deliver(w, buf_bytes(&w->in));
}

void ws_piece(struct ws *w, struct bytes piece, uint64_t coming, bool last, bool binary)
{
    ws_heard(w);
    if (w->state != WS_OPEN)
        return;
    if (!binary) {
        refuse(w, WS_BAD_TYPE, "only binary messages");
    } else if (w->plain) {
        stream_piece(w, piece);
    } else if (w->in.n + piece.n + coming > WS_MESSAGE_MAX) {
        refuse(w, WS_TOO_BIG, "message too long");
    } else if (last && w->in.n == 0) {
        deliver(w, piece);
    } else {
        buf_put_bytes(&w->in, piece);
        if (buf_status(&w->in) < 0)
            refuse(w, WS_INTERNAL, "out of memory");
        else if (last)
            deliver(w, buf_bytes(&w->in));
    }
}

void ws_peer_closed(struct ws *w, struct bytes why)
{
    if (w->state == WS_OPEN && has_kept(w))
        deliver(w, buf_bytes(&w->in));
    if (w->state == WS_OPEN) {
        w->end.by_peer = true;
        char reason[WS_REASON_MAX + 1] = "";
        if (why.n > 2)
            snprintf(reason, sizeof reason, "%.*s", (int)(why.n - 2), (const char *)why.p + 2);
        ws_set_end(w, why.n >= 2 ? (unsigned)why.p[0] << 8 | why.p[1] : WS_NO_CODE, reason);
    }
    w->state = WS_CLOSED;
    sendq_fini(&w->out);
}

static int send_control(struct ws *w)
{
    uint8_t frame[SENDQ_HEAD + 1] = {0}; /* one byte: libwebsockets hides an empty pong */
    struct ws_out f = {.op = w->want_ping ? WS_OP_PING : WS_OP_PONG,
                       .first = true,
                       .last = true,
                       .data = frame + SENDQ_HEAD,
                       .n = 1};
    *(w->want_ping ? &w->want_ping : &w->want_pong) = false;
    return w->side->carrier->put(w, &f);
}

static int send_fragment(struct ws *w)
{
    struct sendq_item *i = w->out.first;
    size_t n = min_u64(i->n - i->sent, w->side->carrier->fragment);
    struct ws_out f = {.op = WS_OP_BINARY,
                       .first = i->sent == 0,
                       .last = i->sent + n == i->n,
                       .data = i->data + i->sent,
                       .n = n};
    if (w->side->carrier->put(w, &f) < 0)
        return -1;
    i->sent += n;
    if (f.last)
        sendq_pop(&w->out);
    /* While the queue moves, a peer that is behind a slow line may be late with its answer. */
    if (w->out.first != NULL && w->pinged_ms != 0)
        w->pinged_ms = net_now_ms();
    return 0;
}

bool ws_has_more(const struct ws *w)
{
    bool open = w->state == WS_OPEN || w->state == WS_CLOSING;
    return open && !w->close_sent &&
           (w->want_ping || w->want_pong || w->out.first != NULL || w->state == WS_CLOSING);
}

int ws_write_one(struct ws *w)
{
    int rc = 0;
    if (w->want_ping || w->want_pong) {
        rc = send_control(w);
    } else if (w->out.first != NULL) {
        rc = send_fragment(w);
    } else if (w->state == WS_CLOSING) {
        w->close_sent = true;
        return w->side->carrier->close(w);
    }
    if (rc == 0 && w->state == WS_OPEN && sendq_has_room(&w->out) && w->events->writable != NULL)
        w->events->writable(w, w->user);
    return rc;
}

/* Asks a silent peer, and gives up one that does not answer. */
static void keep_alive(struct ws *w)
{
    uint64_t now = net_now_ms();
    if (w->pinged_ms != 0) {
        uint64_t until = w->pinged_ms + w->keep.answer_ms;
        if (now >= until)
            ws_kill(w, WS_BROKEN, WS_NO_ANSWER);
        else
            net_timer_set(w->timer, until - now);
        return;
    }
    uint64_t until = w->heard_ms + w->keep.ping_ms;
    if (now < until) {
        net_timer_set(w->timer, until - now);
        return;
    }
    w->pinged_ms = now;
    w->want_ping = true;
    net_timer_set(w->timer, w->keep.answer_ms);
    w->side->carrier->want(w);
}

static void on_timer(void *arg)
{
    struct ws *w = arg;
    if (w->state == WS_HANDSHAKE) {
        ws_kill(w, WS_BROKEN, "the handshake took too long");
    } else if (w->state == WS_CLOSING) {
        ws_kill(w, w->end.code, w->end.reason);
    } else if (w->state == WS_OPEN && w->paused) {
        /* Pings of the peer are not read: an unasked pong says that this side lives. */
        w->want_pong = true;
        net_timer_set(w->timer, w->keep.answer_ms / 2);
        w->side->carrier->want(w);
    } else if (w->state == WS_OPEN) {
        keep_alive(w);
        if (has_kept(w))
            deliver(w, buf_bytes(&w->in));
    }
}
