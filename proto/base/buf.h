/*
 * proto/base/buf - byte strings: a borrowed view, an owned growing buffer, and a bounded reader.
 *
 * All fixed-width integers are big-endian, so that the order of keys is the order of numbers.
 * Both writer and reader remember a failure, so that a caller checks once, at the end.
 */
#ifndef PROTO_BASE_BUF_H
#define PROTO_BASE_BUF_H

#include <stdbool.h>
#include <string.h>

#include "proto/base/base.h"

/* A borrowed view. */
struct bytes {
    const uint8_t *p;
    size_t n;
};

/* An owned buffer; all zero is valid and empty. */
struct buf {
    uint8_t *p;
    size_t n, cap;
    bool failed; /* memory ran out: contents are not to be used */
};

static inline struct bytes bytes_of(const void *p, size_t n)
{
    return (struct bytes){p, n};
}

static inline struct bytes bytes_str(const char *s)
{
    return (struct bytes){(const uint8_t *)s, strlen(s)};
}

static inline struct bytes buf_bytes(const struct buf *b)
{
    return (struct bytes){b->p, b->n};
}

bool bytes_equal(struct bytes a, struct bytes b);

/** Order of memcmp, a prefix before what it begins. Returns <0, 0, >0. */
int bytes_cmp(struct bytes a, struct bytes b);

/** Frees the memory and leaves @b empty. Accepts NULL. */
void buf_fini(struct buf *b);

/** Makes @b empty (and not failed), keeping its memory. */
void buf_reset(struct buf *b);

/** Makes room for @more further bytes. 0 or -ENOMEM (then @b is failed). */
int buf_reserve(struct buf *b, size_t more);

/** Sets the length to @n bytes, zero-filling what is new. 0 or -ENOMEM. */
int buf_resize(struct buf *b, size_t n);

void buf_put(struct buf *b, const void *p, size_t n);
void buf_put_bytes(struct buf *b, struct bytes v);
void buf_put_u8(struct buf *b, uint8_t v);
void buf_put_u16(struct buf *b, uint16_t v);
void buf_put_u32(struct buf *b, uint32_t v);
void buf_put_u64(struct buf *b, uint64_t v);
/** LEB128, 1 to 10 bytes. */
void buf_put_varint(struct buf *b, uint64_t v);
/** A varint length, then the bytes. */
void buf_put_string(struct buf *b, struct bytes v);

/** 0, or -ENOMEM when any put on @b ran out of memory. */
int buf_status(const struct buf *b) MUST_CHECK;

/* A bounded cursor. Past a failure every read gives zeros or empty views. */
struct reader {
    const uint8_t *p;
    size_t n; /* bytes left */
    bool failed;
};

static inline struct reader reader_of(struct bytes v)
{
    return (struct reader){v.p, v.n, false};
}

uint8_t reader_u8(struct reader *r);
uint16_t reader_u16(struct reader *r);
uint32_t reader_u32(struct reader *r);
uint64_t reader_u64(struct reader *r);
uint64_t reader_varint(struct reader *r);
/** A view of the next @n bytes, borrowed from what the reader reads. */
struct bytes reader_bytes(struct reader *r, size_t n);
/** A varint length of at most @max, then a view of that many bytes. */
struct bytes reader_string(struct reader *r, size_t max);
/** 0 when nothing failed and nothing is left, else -EBADMSG. */
int reader_end(const struct reader *r) MUST_CHECK;

/* Fixed-width integers in place, for keys. */
static inline void put_u32(uint8_t *p, uint32_t v)
{
    for (int i = 3; i >= 0; i--, v >>= 8)
        p[i] = (uint8_t)v;
}

static inline void put_u64(uint8_t *p, uint64_t v)
{
    for (int i = 7; i >= 0; i--, v >>= 8)
        p[i] = (uint8_t)v;
}

static inline uint32_t get_u32(const uint8_t *p)
{
    uint32_t v = 0;
    for (int i = 0; i < 4; i++)
        v = v << 8 | p[i];
    return v;
}

static inline uint64_t get_u64(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v = v << 8 | p[i];
    return v;
}

#endif
