#include "proto/sealed/ids.h"

static void put(struct buf *b, const uint8_t *p, size_t n, size_t size)
{
    buf_put_varint(b, n);
    buf_put(b, p, n * size);
}

static struct bytes read(struct reader *r, size_t max, size_t size)
{
    uint64_t n = reader_varint(r);
    if (n > max)
        r->failed = true;
    return reader_bytes(r, r->failed ? 0 : (size_t)n * size);
}

void act_ids_put(struct buf *b, struct act_ids ids)
{
    put(b, ids.p, ids.n, ACT_ID_SIZE);
}

void chunk_ids_put(struct buf *b, struct chunk_ids ids)
{
    put(b, ids.p, ids.n, CHUNK_ID_SIZE);
}

struct act_ids act_ids_read(struct reader *r)
{
    struct bytes raw = read(r, LIMIT_ACT_HEADS, ACT_ID_SIZE);
    struct act_ids ids = {raw.p, raw.n / ACT_ID_SIZE};
    for (size_t i = 1; i < ids.n; i++)
        if (memcmp(ids.p + (i - 1) * ACT_ID_SIZE, ids.p + i * ACT_ID_SIZE, ACT_ID_SIZE) >= 0)
            r->failed = true;
    return ids;
}

struct chunk_ids chunk_ids_read(struct reader *r)
{
    struct bytes raw = read(r, LIMIT_CHUNK_IDS, CHUNK_ID_SIZE);
    return (struct chunk_ids){raw.p, raw.n / CHUNK_ID_SIZE};
}

void reader_copy(struct reader *r, void *ret, size_t n)
{
    struct bytes v = reader_bytes(r, n);
    if (v.n == n)
        memcpy(ret, v.p, n);
    else
        memset(ret, 0, n);
}
