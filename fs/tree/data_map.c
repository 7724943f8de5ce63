/* Which blocks of a staging file are valid, and their checksums. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "fs/store/xxh3.h"
#include "fs/tree/data.h"

/* All words of a block together: one that is off says by how much, and where modulo its size. */
static uint32_t fold(const uint8_t block[BLOCK_BYTES])
{
    uint32_t all = 0, word;
    for (size_t i = 0; i < BLOCK_BYTES; i += sizeof word) {
        memcpy(&word, block + i, sizeof word);
        all ^= word;
    }
    return all;
}

uint64_t block_sum(const uint8_t block[BLOCK_BYTES])
{
    uint32_t folded = fold(block);
    return (uint64_t)get_u32((const uint8_t *)&folded) << 32 |
           (XXH3_64bits(block, BLOCK_BYTES) & UINT32_MAX);
}

bool block_heal(uint8_t block[BLOCK_BYTES], uint64_t sum)
{
    uint8_t off[4];
    put_u32(off, (uint32_t)((block_sum(block) ^ sum) >> 32));
    size_t lane = 0;
    while (lane < sizeof off - 1 && off[lane] == 0)
        lane++;
    for (size_t i = lane + 1; i < sizeof off; i++)
        if (off[i] != 0)
            return false;
    for (size_t i = lane; i < BLOCK_BYTES && off[lane] != 0; i += sizeof off) {
        block[i] ^= off[lane];
        if (block_sum(block) == sum)
            return true;
        block[i] ^= off[lane];
    }
    return false;
}

static void segment_key(uint64_t ino, uint64_t index, uint8_t key[16])
{
    put_u64(key, ino);
    put_u64(key + 8, index);
}

void redo_key(uint64_t ino, uint64_t block, uint8_t key[16])
{
    put_u64(key, ino);
    put_u64(key + 8, block);
}

/*
 * Two bits for each block: 00 not valid, 10 valid, 01 valid and on disk, 11 in DB_REDO; then the
 * sums of the valid ones.
 */
struct bytes segment_encode(const struct segment *s, uint8_t room[SEGMENT_VALUE_MAX])
{
    size_t n = SEGMENT_BITS_BYTES;
    put_u64(room, (s->valid & ~s->on_disk) | s->redo);
    put_u64(room + 8, s->on_disk | s->redo);
    for (int i = 0; i < SEGMENT_BLOCKS; i++)
        if ((s->valid >> i & 1) != 0) {
            put_u64(room + n, s->sums[i]);
            n += 8;
        }
    return bytes_of(room, n);
}

int segment_decode(struct bytes v, uint64_t index, struct segment *ret)
{
    if (v.n < SEGMENT_BITS_BYTES)
        return -EUCLEAN;
    uint64_t first = get_u64(v.p), second = get_u64(v.p + 8), valid = first | second;
    size_t n = SEGMENT_BITS_BYTES;
    if (v.n != n + 8 * (size_t)__builtin_popcountll(valid))
        return -EUCLEAN;
    *ret = (struct segment){.index = index, .loaded = true};
    ret->valid = valid;
    ret->redo = first & second;
    ret->on_disk = second;
    for (int i = 0; i < SEGMENT_BLOCKS; i++)
        if ((valid >> i & 1) != 0) {
            ret->sums[i] = get_u64(v.p + n);
            n += 8;
        }
    return 0;
}

static void segment_put(struct op *x, uint64_t ino, struct segment *s)
{
    uint8_t key[16], room[SEGMENT_VALUE_MAX];
    segment_key(ino, s->index, key);
    db_batch_put(x->batch, DB_MAP, bytes_of(key, sizeof key), segment_encode(s, room));
    s->changed = false;
}

int map_segment(struct op *x, const struct attr *a, struct file *f, uint64_t index,
                struct segment **ret)
{
    struct segment **at = &f->segments[index % MAP_CACHE_SEGMENTS];
    if (*at == NULL) {
        *at = calloc(1, sizeof **at);
        if (*at == NULL)
            return -ENOMEM;
    }
    struct segment *s = *at;
    if (s->loaded && s->index == index) {
        *ret = s;
        return 0;
    }
    if (s->loaded && s->changed)
        segment_put(x, a->ino, s);
    *s = (struct segment){.index = index};
    uint8_t key[16];
    segment_key(a->ino, index, key);
    struct db_value v;
    int rc = db_get(x->t->db, DB_MAP, bytes_of(key, sizeof key), &v);
    if (rc == 0)
        rc = segment_decode(v.v, index, s);
    else if (rc == -ENOENT)
        rc = 0;
    db_value_fini(&v);
    s->loaded = rc == 0;
    *ret = s;
    return rc;
}

int map_flush(struct op *x, const struct attr *a, struct file *f)
{
    for (int i = 0; i < MAP_CACHE_SEGMENTS; i++)
        if (f->segments[i] != NULL && f->segments[i]->changed)
            segment_put(x, a->ino, f->segments[i]);
    return 0;
}

static void delete_range(struct op *x, enum db_cf cf, uint64_t ino, uint64_t from)
{
    uint8_t lo[16], hi[16];
    put_u64(lo, ino);
    put_u64(lo + 8, from);
    put_u64(hi, ino);
    put_u64(hi + 8, UINT64_MAX);
    db_batch_delete_range(x->batch, cf, bytes_of(lo, sizeof lo), bytes_of(hi, sizeof hi));
}

void redo_delete_from(struct op *x, uint64_t ino, uint64_t block)
{
    delete_range(x, DB_REDO, ino, block);
}

void map_delete_from(struct op *x, const struct attr *a, struct file *f, uint64_t index)
{
    delete_range(x, DB_MAP, a->ino, index);
    delete_range(x, DB_REDO, a->ino, index * SEGMENT_BLOCKS);
    if (f == NULL)
        return;
    for (int i = 0; i < MAP_CACHE_SEGMENTS; i++)
        if (f->segments[i] != NULL && f->segments[i]->index >= index) {
            free(f->segments[i]);
            f->segments[i] = NULL;
        }
}
