#include "sync/server/public.h"

#include <errno.h>

enum {
    VERSION = 1,
    EPOCH_BYTES = 16,
    ACT_HEADS_MAX = 16,
    REPLACED_MAX = 64,
    TREE_DEPTH_MAX = 8,
    SIGNATURE_BYTES = 64,
    SEALED_MIN = 24 + 256 + 16, /* nonce, the least padding, tag */
    CHUNK_SEALED_MIN = 24 + 4096 + 16,
};

static struct bytes read_ids(struct reader *r, size_t max, size_t size)
{
    uint64_t n = reader_varint(r);
    if (n > max)
        r->failed = true;
    return reader_bytes(r, r->failed ? 0 : (size_t)n * size);
}

static void read_refs(struct reader *r, struct public_entry *ret)
{
    (void)read_ids(r, ACT_HEADS_MAX, PUBLIC_ACT_BYTES);
    ret->replaced = dots_read_set(r, REPLACED_MAX);
    struct bytes chunks = read_ids(r, PUBLIC_CHUNK_IDS_MAX, PUBLIC_CHUNK_BYTES);
    ret->chunks = (struct public_ids){chunks.p, chunks.n / PUBLIC_CHUNK_BYTES};
    if (ret->kind == PUBLIC_STATE && (ret->replaced.n > 0 || ret->chunks.n > 0))
        r->failed = true;
}

int public_entry_parse(struct bytes in, struct public_entry *ret)
{
    memset(ret, 0, sizeof *ret);
    if (in.n > PUBLIC_ENTRY_MAX)
        return -EBADMSG;
    struct reader r = reader_of(in);
    (void)reader_bytes(&r, EPOCH_BYTES);
    uint8_t version = reader_u8(&r);
    uint8_t kind = reader_u8(&r);
    uint16_t flags = reader_u16(&r);
    struct bytes space = reader_bytes(&r, PUBLIC_SPACE_BYTES);
    ret->dot.replica = reader_u64(&r);
    ret->dot.counter = reader_u64(&r);
    (void)reader_u64(&r);
    struct bytes refs_hash = reader_bytes(&r, HASH_SIZE);
    (void)reader_bytes(&r, HASH_SIZE);
    if (r.failed)
        return -EBADMSG;
    if (version != VERSION)
        return -ENOTSUP;
    if ((kind != PUBLIC_VALUE && kind != PUBLIC_STATE) || flags != 0 || !dot_valid(&ret->dot))
        return -EBADMSG;
    ret->kind = kind == PUBLIC_VALUE ? PUBLIC_VALUE : PUBLIC_STATE;
    memcpy(ret->space, space.p, sizeof ret->space);
    struct bytes refs = {r.p, r.n};
    read_refs(&r, ret);
    refs.n -= r.n;
    (void)reader_u16(&r);
    uint8_t depth = reader_u8(&r);
    (void)reader_bytes(&r, (size_t)depth * HASH_SIZE + SIGNATURE_BYTES);
    if (r.failed || depth > TREE_DEPTH_MAX || r.n < SEALED_MIN)
        return -EBADMSG;
    uint8_t hash[HASH_SIZE];
    hash_parts(NULL, "persist.refs.1", &refs, 1, hash);
    return memcmp(hash, refs_hash.p, HASH_SIZE) == 0 ? 0 : -EBADMSG;
}

int public_chunk_parse(struct bytes in, struct public_ids *ret)
{
    if (in.n > PUBLIC_CHUNK_MAX)
        return -EBADMSG;
    struct reader r = reader_of(in);
    struct bytes names = read_ids(&r, PUBLIC_CHUNK_IDS_MAX, PUBLIC_CHUNK_BYTES);
    *ret = (struct public_ids){names.p, names.n / PUBLIC_CHUNK_BYTES};
    return r.failed || r.n < CHUNK_SEALED_MIN ? -EBADMSG : 0;
}

void public_act_id(struct bytes act, uint8_t ret[static PUBLIC_ACT_BYTES])
{
    uint8_t hash[HASH_SIZE];
    hash_parts(NULL, "persist.actid.1", &act, 1, hash);
    memcpy(ret, hash, PUBLIC_ACT_BYTES);
}
