#include "sync/net/ws_wire.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "sync/net/ws_upgrade.h"

enum {
    FRAGMENT = 64 * 1024,
    READ_BYTES = 128 * 1024,
    TURNS = 8,       /* reads and writes in one turn of the loop */
    CLOSE_MS = 3000, /* for the answer to the server's close to go out */
    CODE_MIN = 1000, /* of a close */
    CODE_DEFINED_END = 1015,
    CODE_FREE = 3000,
    CODE_END = 5000
};

_Static_assert((int)READ_BYTES > (int)WS_ANSWER_MAX, "an answer fits in");

struct ws_wire {
    struct ws *ws;
    struct stream *stream;
    struct net_timer *step;
    void (*failed)(struct ws *w, unsigned status, const char *why);
    enum { CONNECTING, ASKED, OPEN } stage;
    char key[WS_KEY_SIZE];
    const char *subprotocol;
    unsigned status; /* the server's answer when it is not to the good */
    bool paused;
    bool dead;   /* it is cut when the timer fires */
    bool ending; /* it is cut when all is written, or the timer fires */
    bool want_pong;
    uint8_t pong[WS_CONTROL_MAX];
    size_t pong_n;
    struct ws_decoder decoder;
    struct buf out; /* frames, of which out_at bytes are written */
    size_t out_at;
    size_t in_at, in_n; /* what is read and not taken yet */
    uint8_t in[READ_BYTES];
};

/* What was written, or never will be; a token may be in it. */
static void forget_out(struct ws_wire *r)
{
    if (r->stage != OPEN && r->out.p != NULL)
        sodium_memzero(r->out.p, r->out.n);
    buf_fini(&r->out);
    r->out_at = 0;
}

static void wire_free(struct ws_wire *r)
{
    r->ws->wire = NULL;
    stream_free(r->stream);
    net_timer_free(r->step);
    forget_out(r);
    free(r);
}

static void end(struct ws_wire *r)
{
    struct ws *w = r->ws;
    wire_free(r);
    ws_gone(w);
}

static bool is_reading(const struct ws_wire *r)
{
    return !r->dead && !r->ending && !r->paused;
}

static void rewatch(struct ws_wire *r)
{
    bool more = r->out_at < r->out.n || r->want_pong || (r->stage == OPEN && ws_has_more(r->ws));
    if (r->stage != CONNECTING && !r->dead)
        stream_want(r->stream, is_reading(r), more);
}

/* ---- frames out --------------------------------------------------------------------------------
 */

static int put_frame(struct ws_wire *r, enum ws_opcode op, bool last, struct bytes payload)
{
    uint8_t mask[WS_MASK_SIZE];
    randombytes_buf(mask, sizeof mask);
    ws_frame_put(&r->out, op, last, mask, payload);
    return buf_status(&r->out);
}

static int put(struct ws *w, const struct ws_out *f)
{
    return put_frame(w->wire, f->first ? f->op : WS_OP_CONTINUATION, f->last,
                     bytes_of(f->data, f->n));
}

static int put_close(struct ws *w)
{
    struct buf payload CLEANUP(buf_fini) = {0};
    buf_put_u16(&payload, (uint16_t)w->end.code);
    buf_put_bytes(&payload, bytes_str(w->end.reason));
    int rc = buf_status(&payload);
    return rc < 0 ? rc : put_frame(w->wire, WS_OP_CLOSE, true, buf_bytes(&payload));
}

/* Frames for one write. */
static int fill(struct ws_wire *r)
{
    int rc = 0;
    if (r->want_pong && !r->ws->close_sent)
        rc = put_frame(r, WS_OP_PONG, true, bytes_of(r->pong, r->pong_n));
    r->want_pong = false;
    while (rc >= 0 && r->stage == OPEN && r->out.n < FRAGMENT && ws_has_more(r->ws))
        rc = ws_write_one(r->ws);
    return rc;
}

static int write_some(struct ws_wire *r)
{
    for (int i = 0; i < TURNS && !r->dead; i++) {
        int rc = r->out_at == r->out.n && !r->ending ? fill(r) : 0;
        if (rc < 0 || r->out_at == r->out.n)
            return rc;
        ssize_t n = stream_write(r->stream, r->out.p + r->out_at, r->out.n - r->out_at);
        if (n <= 0)
            return (int)n;
        r->out_at += (size_t)n;
        if (r->out_at < r->out.n)
            continue;
        if (r->stage == OPEN && ws_has_more(r->ws)) {
            buf_reset(&r->out);
            r->out_at = 0;
        } else {
            forget_out(r);
        }
    }
    return 0;
}

/* ---- frames in ---------------------------------------------------------------------------------
 */

static int read_answer(struct ws_wire *r)
{
    struct ws_answer a;
    int rc = ws_answer_get(bytes_of(r->in, r->in_n), r->key, r->subprotocol, &a);
    if (rc <= 0)
        return rc;
    if (a.status != 101) {
        r->status = a.status;
        return -EPROTO;
    }
    r->in_at = a.n;
    r->stage = OPEN;
    ws_opened(r->ws);
    return 1;
}

/* May a peer close with @code? */
static bool is_code(unsigned code)
{
    static const unsigned never[] = {1004, WS_NO_CODE, WS_BROKEN};
    for (size_t i = 0; i < ARRAY_N(never); i++)
        if (code == never[i])
            return false;
    return (code >= CODE_MIN && code < CODE_DEFINED_END) || (code >= CODE_FREE && code < CODE_END);
}

/* The server closes, or answers the close of this side. */
static int on_close(struct ws_wire *r, struct bytes why)
{
    struct ws *w = r->ws;
    if (why.n == 1 || (why.n > 1 && !is_code((unsigned)why.p[0] << 8 | why.p[1])))
        return -EPROTO;
    ws_peer_closed(w, why);
    r->ending = true;
    net_timer_set(r->step, CLOSE_MS);
    int rc = w->close_sent ? 0 : put_frame(r, WS_OP_CLOSE, true, why);
    return rc < 0 ? rc : 1;
}

/* 1, or a negative errno. */
static int on_frame(struct ws_wire *r, const struct ws_event *e)
{
    switch (e->op) {
    case WS_OP_PING:
        ws_heard(r->ws);
        memcpy(r->pong, e->data.p, r->pong_n = e->data.n);
        r->want_pong = true;
        return 1;
    case WS_OP_PONG:
        ws_heard(r->ws);
        return 1;
    case WS_OP_CLOSE:
        return on_close(r, e->data);
    case WS_OP_CONTINUATION:
    case WS_OP_TEXT:
    case WS_OP_BINARY:
    default:
        ws_piece(r->ws, e->data, e->coming, e->last, e->op == WS_OP_BINARY);
        return 1;
    }
}

/* Takes what was read, up to where it is paused. */
static int digest(struct ws_wire *r)
{
    if (r->stage == ASKED) {
        int rc = read_answer(r);
        if (rc <= 0)
            return rc;
    }
    int rc = 1;
    struct bytes in = bytes_of(r->in + r->in_at, r->in_n - r->in_at);
    while (rc > 0 && is_reading(r)) {
        struct ws_event e;
        rc = ws_decode(&r->decoder, &in, &e);
        r->in_at = r->in_n - in.n;
        if (rc > 0)
            rc = on_frame(r, &e);
    }
    if (rc == -EPROTO)
        ws_set_end(r->ws, WS_BROKEN, "the server sent what is no frame");
    if (r->in_at == r->in_n)
        r->in_at = r->in_n = 0;
    return rc < 0 ? rc : 0;
}

static int read_some(struct ws_wire *r)
{
    int rc = r->in_n > 0 ? digest(r) : 0;
    for (int i = 0; i < TURNS && rc == 0 && is_reading(r); i++) {
        ssize_t n = stream_read(r->stream, r->in + r->in_n, READ_BYTES - r->in_n);
        if (n <= 0)
            return (int)n;
        r->in_n += (size_t)n;
        rc = digest(r);
    }
    if (rc == 0 && is_reading(r) && stream_has_read(r->stream))
        net_timer_set(r->step, 0);
    return rc;
}

/* ---- its life ----------------------------------------------------------------------------------
 */

/* Why it broke before it was open. */
static void tell_failed(struct ws_wire *r, int error)
{
    const char *verdict = stream_verdict(r->stream);
    char why[WS_REASON_MAX + 1];
    if (verdict != NULL)
        snprintf(why, sizeof why, "certificate: %s", verdict);
    else if (error == -EPIPE)
        snprintf(why, sizeof why, "cannot connect: the server ended the connection");
    else if (error == -EPROTO)
        snprintf(why, sizeof why, "cannot connect: %s",
                 r->stage == CONNECTING
                     ? "the server does not speak TLS there, or none that is safe"
                 : r->ws->plain ? "what answers is no WebSocket"
                                : "what answers is no server of persist");
    else
        snprintf(why, sizeof why, "cannot connect: %s", strerror(-error));
    r->failed(r->ws, r->status, why);
}

static int go_on_connecting(struct ws_wire *r)
{
    int rc = stream_connect(r->stream);
    if (rc == 1)
        r->stage = ASKED;
    return rc < 0 ? rc : 0;
}

static void on_ready(uint32_t events, void *arg)
{
    struct ws_wire *r = arg;
    int rc = r->stage == CONNECTING ? go_on_connecting(r) : 0;
    if (r->paused && (events & (EPOLLHUP | EPOLLERR)) != 0)
        rc = stream_error(r->stream);
    if (rc == 0 && r->stage != CONNECTING && is_reading(r))
        rc = read_some(r);
    if (rc == 0 && r->stage != CONNECTING)
        rc = write_some(r);
    if (rc < 0 && r->stage != OPEN)
        tell_failed(r, rc);
    else if (rc == -ETIMEDOUT)
        ws_set_end(r->ws, WS_BROKEN, WS_NO_ANSWER);
    if (rc < 0 || (r->ending && r->out_at == r->out.n))
        end(r);
    else
        rewatch(r);
}

static void on_step(void *arg)
{
    struct ws_wire *r = arg;
    if (r->dead || r->ending)
        end(r);
    else
        on_ready(0, r);
}

int ws_wire_new(struct ws *w, const struct ws_wire_config *cfg)
{
    struct ws_wire *r = calloc(1, sizeof *r);
    uint8_t nonce[WS_NONCE_SIZE];
    if (r == NULL)
        return -ENOMEM;
    r->ws = w;
    r->failed = cfg->failed;
    randombytes_buf(nonce, sizeof nonce);
    ws_key_of(nonce, r->key);
    r->subprotocol = cfg->subprotocol;
    const struct ws_ask ask = {.path = cfg->path,
                               .host = cfg->host,
                               .key = r->key,
                               .subprotocol = cfg->subprotocol,
                               .authorization = cfg->authorization};
    ws_request_put(&r->out, &ask);
    struct stream_config stream = cfg->stream;
    stream.fn = on_ready;
    stream.arg = r;
    int rc = buf_status(&r->out);
    if (rc == 0)
        rc = net_timer_new(w->loop, on_step, r, &r->step);
    if (rc == 0)
        rc = stream_new(w->loop, &stream, &r->stream);
    if (rc < 0)
        wire_free(r);
    else
        w->wire = r;
    return rc;
}

static void want(struct ws *w)
{
    rewatch(w->wire);
}

static void flow(struct ws *w, bool on)
{
    struct ws_wire *r = w->wire;
    r->paused = !on;
    rewatch(r);
    if (is_reading(r) && (r->in_n > 0 || stream_has_read(r->stream)))
        net_timer_set(r->step, 0);
}

static void cut(struct ws *w)
{
    w->wire->dead = true;
    net_timer_set(w->wire->step, 0);
}

static void drop(struct ws *w)
{
    wire_free(w->wire);
}

const struct ws_carrier ws_wire_carrier = {.fragment = FRAGMENT,
                                           .want = want,
                                           .flow = flow,
                                           .put = put,
                                           .close = put_close,
                                           .cut = cut,
                                           .drop = drop};
