#include "sync/net/ws_codec.h"

#include <assert.h>
#include <errno.h>

enum {
    LAST_BIT = 0x80,
    RESERVED_BITS = 0x70,
    OPCODE_BITS = 0x0f,
    CONTROL_BIT = 0x08,
    MASKED_BIT = 0x80,
    LENGTH_BITS = 0x7f,
    LENGTH_16 = 126, /* the length follows in so many bits */
    LENGTH_64 = 127
};

/* Eight bytes at once: a big file is masked whole. */
static void mask_copy(uint8_t *to, struct bytes from, const uint8_t mask[WS_MASK_SIZE])
{
    uint64_t word;
    size_t i = 0;
    memcpy(&word, mask, WS_MASK_SIZE);
    memcpy((uint8_t *)&word + WS_MASK_SIZE, mask, WS_MASK_SIZE);
    for (; i + sizeof word <= from.n; i += sizeof word) {
        uint64_t v;
        memcpy(&v, from.p + i, sizeof v);
        v ^= word;
        memcpy(to + i, &v, sizeof v);
    }
    for (; i < from.n; i++)
        to[i] = from.p[i] ^ mask[i % WS_MASK_SIZE];
}

void ws_frame_put(struct buf *b, enum ws_opcode op, bool last, const uint8_t mask[WS_MASK_SIZE],
                  struct bytes payload)
{
    assert((op & CONTROL_BIT) == 0 || (last && payload.n <= WS_CONTROL_MAX));
    if (buf_reserve(b, WS_HEAD_MAX + payload.n) < 0)
        return;
    buf_put_u8(b, (uint8_t)((last ? LAST_BIT : 0) | op));
    if (payload.n < LENGTH_16) {
        buf_put_u8(b, (uint8_t)(MASKED_BIT | payload.n));
    } else if (payload.n <= UINT16_MAX) {
        buf_put_u8(b, MASKED_BIT | LENGTH_16);
        buf_put_u16(b, (uint16_t)payload.n);
    } else {
        buf_put_u8(b, MASKED_BIT | LENGTH_64);
        buf_put_u64(b, payload.n);
    }
    buf_put(b, mask, WS_MASK_SIZE);
    mask_copy(b->p + b->n, payload, mask);
    b->n += payload.n;
}

/* Bytes of the head of a frame, of which the first two are there. */
static size_t head_size(const struct ws_decoder *d)
{
    uint8_t length = d->head[1] & LENGTH_BITS;
    return 2 + (length == LENGTH_16   ? sizeof(uint16_t)
                : length == LENGTH_64 ? sizeof(uint64_t)
                                      : 0);
}

/* The length of the payload; what could be said in fewer bytes is said in these. */
static int read_length(struct ws_decoder *d)
{
    uint8_t length = d->head[1] & LENGTH_BITS;
    d->left = length;
    if (length == LENGTH_16) {
        d->left = (uint64_t)d->head[2] << 8 | d->head[3];
        return d->left < LENGTH_16 ? -EPROTO : 0;
    }
    if (length == LENGTH_64) {
        d->left = get_u64(d->head + 2);
        return d->left <= UINT16_MAX || d->left > INT64_MAX ? -EPROTO : 0;
    }
    return 0;
}

static int begin_control(struct ws_decoder *d)
{
    bool known = d->op == WS_OP_CLOSE || d->op == WS_OP_PING || d->op == WS_OP_PONG;
    d->control_n = 0;
    return known && d->last && d->left <= WS_CONTROL_MAX ? 0 : -EPROTO;
}

static int begin_data(struct ws_decoder *d)
{
    bool begins = d->op == WS_OP_TEXT || d->op == WS_OP_BINARY;
    bool goes_on = d->op == WS_OP_CONTINUATION;
    if (begins ? d->message != 0 : !goes_on || d->message == 0)
        return -EPROTO;
    if (goes_on)
        d->op = d->message;
    d->message = d->last ? WS_OP_CONTINUATION : d->op;
    return 0;
}

static int begin_frame(struct ws_decoder *d)
{
    uint8_t first = d->head[0];
    d->head_n = 0;
    if ((first & RESERVED_BITS) != 0 || (d->head[1] & MASKED_BIT) != 0 || read_length(d) < 0)
        return -EPROTO;
    d->in_frame = true;
    d->last = (first & LAST_BIT) != 0;
    d->op = first & OPCODE_BITS;
    return (first & CONTROL_BIT) != 0 ? begin_control(d) : begin_data(d);
}

static struct bytes take(struct bytes *in, uint64_t n)
{
    struct bytes v = bytes_of(in->p, (size_t)min_u64(in->n, n));
    in->p += v.n;
    in->n -= v.n;
    return v;
}

/* 1: the head is whole, and its payload follows; 0: more is needed. */
static int read_head(struct ws_decoder *d, struct bytes *in)
{
    while (d->head_n < 2 || d->head_n < head_size(d)) {
        struct bytes v = take(in, 1);
        if (v.n == 0)
            return 0;
        d->head[d->head_n++] = *v.p;
    }
    int rc = begin_frame(d);
    return rc < 0 ? rc : 1;
}

int ws_decode(struct ws_decoder *d, struct bytes *in, struct ws_event *ret)
{
    if (!d->in_frame) {
        int rc = read_head(d, in);
        if (rc <= 0)
            return rc;
    }
    struct bytes v = take(in, d->left);
    if (v.n == 0 && d->left > 0)
        return 0;
    d->left -= v.n;
    d->in_frame = d->left > 0;
    if ((d->op & CONTROL_BIT) != 0) {
        memcpy(d->control + d->control_n, v.p, v.n);
        d->control_n += v.n;
        if (d->left > 0)
            return 0;
        v = bytes_of(d->control, d->control_n);
    }
    *ret = (struct ws_event){
        .op = d->op, .last = d->last && d->left == 0, .coming = d->left, .data = v};
    return 1;
}
