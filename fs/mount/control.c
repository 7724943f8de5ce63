/* The frames of the control socket, and the out that sends them. */
#include "fs/mount/control.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

enum {
    REQUEST_VERSION = 1,
    VERB_NAME_MAX = 32,
    LABEL_SIZE = 64,
    OUT_PIECE_MAX = 64 * 1024, /* of one OUT frame: small enough to be cancelled between two */
    PROGRESS_EVERY_MS = 100
};

/* Bits of a request's flags. */
enum { FLAG_JSON = 1, FLAG_WATCH = 2, FLAG_REPAIR = 4, FLAG_TERMINAL = 8, FLAG_COLOUR = 16 };

ssize_t control_decode(struct bytes in, struct control_frame *ret_frame)
{
    if (in.n < CONTROL_HEAD_BYTES)
        return 0;
    uint32_t n = get_u32(in.p);
    uint8_t type = in.p[4];
    if (n > CONTROL_FRAME_MAX || type < CONTROL_REQUEST || type > CONTROL_EXIT)
        return -EBADMSG;
    if (in.n - CONTROL_HEAD_BYTES < n)
        return 0;
    ret_frame->type = (enum control_type)type;
    ret_frame->payload = bytes_of(in.p + CONTROL_HEAD_BYTES, n);
    return (ssize_t)n + CONTROL_HEAD_BYTES;
}

void control_put(struct buf *b, enum control_type type, struct bytes payload)
{
    assert(payload.n <= CONTROL_FRAME_MAX);
    buf_put_u32(b, (uint32_t)payload.n);
    buf_put_u8(b, (uint8_t)type);
    buf_put_bytes(b, payload);
}

void control_put_request(struct buf *b, const struct verb_call *call)
{
    assert(call->args_n <= VERB_ARGS_MAX);
    struct buf p = {0};
    unsigned flags = (call->json ? FLAG_JSON : 0U) | (call->watch ? FLAG_WATCH : 0U) |
                     (call->repair ? FLAG_REPAIR : 0U) | (call->terminal ? FLAG_TERMINAL : 0U) |
                     (call->colour ? FLAG_COLOUR : 0U);
    buf_put_u8(&p, REQUEST_VERSION);
    buf_put_string(&p, bytes_str(call->verb));
    buf_put_u8(&p, (uint8_t)flags);
    buf_put_u16(&p, call->columns);
    buf_put_u64(&p, call->at_ms);
    buf_put_u8(&p, (uint8_t)call->args_n);
    for (size_t i = 0; i < call->args_n; i++)
        buf_put_string(&p, bytes_str(call->args[i]));
    if (p.failed || p.n > CONTROL_FRAME_MAX)
        b->failed = true;
    else
        control_put(b, CONTROL_REQUEST, buf_bytes(&p));
    buf_fini(&p);
}

/* Copies a string into the request's text, which has room; NULL when it contains a zero byte. */
static const char *keep(struct control_request *r, struct bytes v)
{
    if (v.n > 0 && memchr(v.p, 0, v.n) != NULL)
        return NULL;
    assert(r->text.cap - r->text.n > v.n);
    size_t at = r->text.n;
    buf_put_bytes(&r->text, v);
    buf_put_u8(&r->text, 0);
    return (const char *)r->text.p + at;
}

static bool get_call(struct reader *in, struct control_request *r)
{
    struct verb_call *c = &r->call;
    if (reader_u8(in) != REQUEST_VERSION)
        return false;
    c->verb = keep(r, reader_string(in, VERB_NAME_MAX));
    unsigned flags = reader_u8(in);
    c->json = (flags & FLAG_JSON) != 0;
    c->watch = (flags & FLAG_WATCH) != 0;
    c->repair = (flags & FLAG_REPAIR) != 0;
    c->terminal = (flags & FLAG_TERMINAL) != 0;
    c->colour = (flags & FLAG_COLOUR) != 0;
    c->columns = reader_u16(in);
    c->at_ms = reader_u64(in);
    c->args_n = reader_u8(in);
    if (in->failed || c->verb == NULL || c->args_n > VERB_ARGS_MAX)
        return false;
    for (size_t i = 0; i < c->args_n; i++) {
        c->args[i] = keep(r, reader_string(in, VERB_ARG_BYTES_MAX));
        if (c->args[i] == NULL)
            return false;
    }
    return reader_end(in) == 0;
}

int control_get_request(struct bytes payload, struct control_request *ret)
{
    struct control_request r = {0};
    /* Room for every string and its end at once: the call points into it. */
    if (payload.n > CONTROL_FRAME_MAX)
        return -EBADMSG;
    if (buf_reserve(&r.text, payload.n + VERB_ARGS_MAX + 2) < 0)
        return -ENOMEM;
    struct reader in = reader_of(payload);
    if (!get_call(&in, &r)) {
        buf_fini(&r.text);
        return -EBADMSG;
    }
    *ret = r;
    return 0;
}

void control_request_fini(struct control_request *r)
{
    buf_fini(&r->text);
    r->call = (struct verb_call){0};
}

int control_get_progress(struct bytes payload, uint64_t *ret_done, uint64_t *ret_total,
                         char ret_label[LABEL_SIZE])
{
    struct reader in = reader_of(payload);
    uint64_t done = reader_u64(&in);
    uint64_t total = reader_u64(&in);
    struct bytes label = reader_string(&in, CONTROL_FRAME_MAX);
    if (reader_end(&in) < 0 || (label.n > 0 && memchr(label.p, 0, label.n) != NULL))
        return -EBADMSG;
    size_t n = label.n < LABEL_SIZE ? label.n : LABEL_SIZE - 1;
    if (n > 0)
        memcpy(ret_label, label.p, n);
    ret_label[n] = '\0';
    *ret_done = done;
    *ret_total = total;
    return 0;
}

/* Sends all of what is in the scratch buffer. */
static int flush(struct control_out *o)
{
    if (buf_status(&o->scratch) < 0)
        o->broken = true;
    size_t at = 0;
    while (!o->broken && at < o->scratch.n) {
        ssize_t n = send(o->fd, o->scratch.p + at, o->scratch.n - at, MSG_NOSIGNAL);
        if (n >= 0)
            at += (size_t)n;
        else if (errno != EINTR)
            o->broken = true;
    }
    buf_reset(&o->scratch);
    return o->broken ? -ECANCELED : 0;
}

static struct control_out *control_out_of(struct out *o)
{
    return CONTAINER_OF(o, struct control_out, out);
}

static int send_bytes(struct out *out, struct bytes v)
{
    struct control_out *o = control_out_of(out);
    while (v.n > 0 && !o->broken) {
        size_t n = v.n < OUT_PIECE_MAX ? v.n : OUT_PIECE_MAX;
        control_put(&o->scratch, CONTROL_OUT, bytes_of(v.p, n));
        int rc = flush(o);
        if (rc < 0)
            return rc;
        v.p += n;
        v.n -= n;
    }
    return o->broken ? -ECANCELED : 0;
}

static void send_progress(struct out *out, uint64_t done, uint64_t total, const char *label)
{
    struct control_out *o = control_out_of(out);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    if (done != total && now_ms - o->shown_ms < PROGRESS_EVERY_MS)
        return;
    o->shown_ms = now_ms;
    struct buf p = {0};
    buf_put_u64(&p, done);
    buf_put_u64(&p, total);
    buf_put_string(&p, bytes_str(label));
    /* Progress that cannot be shown is no reason to fail: a dead connection shows at the next
     * write. */
    if (buf_status(&p) == 0) {
        control_put(&o->scratch, CONTROL_PROGRESS, buf_bytes(&p));
        (void)flush(o);
    }
    buf_fini(&p);
}

static void send_error(struct out *out, const char *line)
{
    struct control_out *o = control_out_of(out);
    control_put(&o->scratch, CONTROL_ERROR, bytes_str(line));
    (void)flush(o);
}

static bool is_cancelled(struct out *out, unsigned wait_ms)
{
    struct control_out *o = control_out_of(out);
    if (o->broken)
        return true;
    struct pollfd p = {.fd = o->fd, .events = POLLRDHUP};
    int n = poll(&p, 1, (int)(wait_ms < 3600000 ? wait_ms : 3600000));
    if (n > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) != 0)
        o->broken = true;
    return o->broken;
}

void control_out_init(struct control_out *o, int fd)
{
    *o = (struct control_out){
        .out = {.write = send_bytes,
                .progress = send_progress,
                .error = send_error,
                .cancelled = is_cancelled},
        .fd = fd,
    };
}

void control_out_fini(struct control_out *o)
{
    buf_fini(&o->scratch);
}

int control_out_exit(struct control_out *o, int status)
{
    uint8_t byte = (uint8_t)status;
    control_put(&o->scratch, CONTROL_EXIT, bytes_of(&byte, 1));
    return flush(o);
}
