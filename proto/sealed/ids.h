/*
 * proto/sealed/ids - names of spaces, members, epochs, acts and chunks: hashes, cut to their size.
 *
 * Who makes which: keys.h (epoch, member), act.h (act, space), chunk.h (chunk). Thread: any.
 */
#ifndef PROTO_SEALED_IDS_H
#define PROTO_SEALED_IDS_H

#include "proto/hash.h"

enum {
    SPACE_ID_SIZE = 16,
    EPOCH_ID_SIZE = 16,
    ACT_ID_SIZE = 16,
    MEMBER_ID_SIZE = HASH_SIZE,
    CHUNK_ID_SIZE = HASH_SIZE,
};

struct space_id {
    uint8_t b[SPACE_ID_SIZE];
};

struct epoch_id {
    uint8_t b[EPOCH_ID_SIZE];
};

struct act_id {
    uint8_t b[ACT_ID_SIZE];
};

struct member_id {
    uint8_t b[MEMBER_ID_SIZE];
};

struct chunk_id {
    uint8_t b[CHUNK_ID_SIZE];
};

/* Borrowed, encoded ids: of acts ascending, of chunks in any order. */
struct act_ids {
    const uint8_t *p;
    size_t n; /* ids */
};

struct chunk_ids {
    const uint8_t *p;
    size_t n; /* ids */
};

static inline bool space_id_equal(const struct space_id *a, const struct space_id *b)
{
    return memcmp(a->b, b->b, SPACE_ID_SIZE) == 0;
}

static inline int epoch_id_cmp(const struct epoch_id *a, const struct epoch_id *b)
{
    return memcmp(a->b, b->b, EPOCH_ID_SIZE);
}

static inline int act_id_cmp(const struct act_id *a, const struct act_id *b)
{
    return memcmp(a->b, b->b, ACT_ID_SIZE);
}

static inline int member_id_cmp(const struct member_id *a, const struct member_id *b)
{
    return memcmp(a->b, b->b, MEMBER_ID_SIZE);
}

static inline struct act_id act_ids_at(struct act_ids ids, size_t i)
{
    struct act_id id;
    memcpy(id.b, ids.p + i * ACT_ID_SIZE, ACT_ID_SIZE);
    return id;
}

static inline struct chunk_id chunk_ids_at(struct chunk_ids ids, size_t i)
{
    struct chunk_id id;
    memcpy(id.b, ids.p + i * CHUNK_ID_SIZE, CHUNK_ID_SIZE);
    return id;
}

/** A varint count, then the ids. */
void act_ids_put(struct buf *b, struct act_ids ids);
void chunk_ids_put(struct buf *b, struct chunk_ids ids);

/** Reads at most LIMIT_ACT_HEADS; fails the reader when there are more, or not ascending. */
struct act_ids act_ids_read(struct reader *r);
/** Reads at most LIMIT_CHUNK_IDS; fails the reader when there are more. */
struct chunk_ids chunk_ids_read(struct reader *r);

/** Reads @n bytes into @ret, zeros when the reader fails. */
void reader_copy(struct reader *r, void *ret, size_t n);

#endif
