/*
 * proto/id - names of things: records and changes.
 *
 * A record id is 16 bytes of a keyed hash; its last two bits are the record's kind, so that the
 * kind of a record is known from its id alone and cannot be contradicted. The root directory is
 * all zero. A dot names one change forever: the replica that made it and its counter there.
 */
#ifndef PROTO_ID_H
#define PROTO_ID_H

#include <stdbool.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/limits.h"

enum { RID_SIZE = 16, DOT_SIZE = 16, RID_HEX_SIZE = 33 };

enum kind { KIND_DIR, KIND_FILE, KIND_SYMLINK };

struct rid {
    uint8_t b[RID_SIZE];
};

#define RID_ROOT ((struct rid){{0}})

struct dot {
    uint64_t replica, counter; /* counter: 1 to LIMIT_COUNTER; 0 in "no dot" */
};

static inline int rid_cmp(const struct rid *a, const struct rid *b)
{
    return memcmp(a->b, b->b, RID_SIZE);
}

static inline bool rid_equal(const struct rid *a, const struct rid *b)
{
    return rid_cmp(a, b) == 0;
}

bool rid_is_root(const struct rid *rid);

/** The kind in @rid; only of ids that passed rid_valid(). */
static inline enum kind rid_kind(const struct rid *rid)
{
    return (enum kind)(rid->b[RID_SIZE - 1] & 3);
}

/** Whether the kind in @rid is one of enum kind. */
static inline bool rid_valid(const struct rid *rid)
{
    return (rid->b[RID_SIZE - 1] & 3) != 3;
}

static inline bool rid_is_dir(const struct rid *rid)
{
    return rid_kind(rid) == KIND_DIR;
}

/** Writes @rid as 32 hexadecimal digits and a NUL. */
void rid_hex(const struct rid *rid, char ret[RID_HEX_SIZE]);

void rid_put(struct buf *b, const struct rid *rid);
/** Reads 16 bytes; fails the reader when they hold no kind. */
struct rid rid_read(struct reader *r);

/** Order: replica, counter. */
static inline int dot_cmp(const struct dot *a, const struct dot *b)
{
    if (a->replica != b->replica)
        return a->replica < b->replica ? -1 : 1;
    return (a->counter > b->counter) - (a->counter < b->counter);
}

static inline bool dot_equal(const struct dot *a, const struct dot *b)
{
    return a->replica == b->replica && a->counter == b->counter;
}

static inline bool dot_valid(const struct dot *d)
{
    return d->counter >= 1 && d->counter <= LIMIT_COUNTER;
}

static inline bool dot_is_none(const struct dot *d)
{
    return d->replica == 0 && d->counter == 0;
}

/** Big-endian replica, counter: the order of the bytes is that of dot_cmp(). */
static inline void dot_encode(const struct dot *d, uint8_t ret[DOT_SIZE])
{
    put_u64(ret, d->replica);
    put_u64(ret + 8, d->counter);
}

static inline struct dot dot_decode(const uint8_t p[DOT_SIZE])
{
    return (struct dot){get_u64(p), get_u64(p + 8)};
}

void dot_put(struct buf *b, const struct dot *d);
struct dot dot_read(struct reader *r);

#endif
