#include "proto/base/buf.h"

#include <errno.h>
#include <stdlib.h>

bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

int bytes_cmp(struct bytes a, struct bytes b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n == 0 ? 0 : memcmp(a.p, b.p, n);
    return c != 0 ? c : (a.n > b.n) - (a.n < b.n);
}

void buf_fini(struct buf *b)
{
    if (b == NULL)
        return;
    free(b->p);
    *b = (struct buf){0};
}

void buf_reset(struct buf *b)
{
    b->n = 0;
    b->failed = false;
}

int buf_reserve(struct buf *b, size_t more)
{
    size_t need;
    if (b->failed || __builtin_add_overflow(b->n, more, &need)) {
        b->failed = true;
        return -ENOMEM;
    }
    if (need <= b->cap)
        return 0;
    size_t cap = b->cap < 64 ? 64 : b->cap;
    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    uint8_t *p = realloc(b->p, cap);
    if (p == NULL) {
        b->failed = true;
        return -ENOMEM;
    }
    b->p = p;
    b->cap = cap;
    return 0;
}

int buf_resize(struct buf *b, size_t n)
{
    if (n > b->n) {
        int rc = buf_reserve(b, n - b->n);
        if (rc < 0)
            return rc;
        memset(b->p + b->n, 0, n - b->n);
    }
    b->n = n;
    return 0;
}

void buf_put(struct buf *b, const void *p, size_t n)
{
    if (n == 0 || buf_reserve(b, n) < 0)
        return;
    memcpy(b->p + b->n, p, n);
    b->n += n;
}

void buf_put_bytes(struct buf *b, struct bytes v)
{
    buf_put(b, v.p, v.n);
}

void buf_put_u8(struct buf *b, uint8_t v)
{
    buf_put(b, &v, 1);
}

void buf_put_u16(struct buf *b, uint16_t v)
{
    uint8_t t[2] = {(uint8_t)(v >> 8), (uint8_t)v};
    buf_put(b, t, sizeof t);
}

void buf_put_u32(struct buf *b, uint32_t v)
{
    uint8_t t[4];
    put_u32(t, v);
    buf_put(b, t, sizeof t);
}

void buf_put_u64(struct buf *b, uint64_t v)
{
    uint8_t t[8];
    put_u64(t, v);
    buf_put(b, t, sizeof t);
}

void buf_put_varint(struct buf *b, uint64_t v)
{
    uint8_t t[10];
    size_t n = 0;
    while (v >= 0x80) {
        t[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    t[n++] = (uint8_t)v;
    buf_put(b, t, n);
}

void buf_put_string(struct buf *b, struct bytes v)
{
    buf_put_varint(b, v.n);
    buf_put_bytes(b, v);
}

int buf_status(const struct buf *b)
{
    return b->failed ? -ENOMEM : 0;
}

struct bytes reader_bytes(struct reader *r, size_t n)
{
    if (r->failed || n > r->n) {
        r->failed = true;
        return (struct bytes){NULL, 0};
    }
    struct bytes v = {r->p, n};
    r->p += n;
    r->n -= n;
    return v;
}

uint8_t reader_u8(struct reader *r)
{
    struct bytes v = reader_bytes(r, 1);
    return v.n == 0 ? 0 : v.p[0];
}

uint16_t reader_u16(struct reader *r)
{
    struct bytes v = reader_bytes(r, 2);
    if (v.n == 0)
        return 0;
    return (uint16_t)(v.p[0] << 8 | v.p[1]);
}

uint32_t reader_u32(struct reader *r)
{
    struct bytes v = reader_bytes(r, 4);
    return v.n == 0 ? 0 : get_u32(v.p);
}

uint64_t reader_u64(struct reader *r)
{
    struct bytes v = reader_bytes(r, 8);
    return v.n == 0 ? 0 : get_u64(v.p);
}

uint64_t reader_varint(struct reader *r)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t b = reader_u8(r);
        if (shift == 63 && b > 1)
            break;
        v |= (uint64_t)(b & 0x7f) << shift;
        if ((b & 0x80) == 0) {
            /* One number has one encoding: a zero last byte would be a second one. */
            if (b == 0 && shift > 0)
                break;
            return r->failed ? 0 : v;
        }
    }
    r->failed = true;
    return 0;
}

struct bytes reader_string(struct reader *r, size_t max)
{
    uint64_t n = reader_varint(r);
    if (n > max)
        r->failed = true;
    return reader_bytes(r, (size_t)n);
}

int reader_end(const struct reader *r)
{
    return r->failed || r->n != 0 ? -EBADMSG : 0;
}
