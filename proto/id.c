#include "proto/id.h"

bool rid_is_root(const struct rid *rid)
{
    static const struct rid root;
    return rid_equal(rid, &root);
}

void rid_hex(const struct rid *rid, char ret[RID_HEX_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < RID_SIZE; i++) {
        ret[2 * i] = digits[rid->b[i] >> 4];
        ret[2 * i + 1] = digits[rid->b[i] & 15];
    }
    ret[2 * RID_SIZE] = '\0';
}

void rid_put(struct buf *b, const struct rid *rid)
{
    buf_put(b, rid->b, RID_SIZE);
}

struct rid rid_read(struct reader *r)
{
    struct rid rid = {{0}};
    struct bytes v = reader_bytes(r, RID_SIZE);
    if (v.n == RID_SIZE)
        memcpy(rid.b, v.p, RID_SIZE);
    if (!rid_valid(&rid))
        r->failed = true;
    return rid;
}

void dot_put(struct buf *b, const struct dot *d)
{
    buf_put_u64(b, d->replica);
    buf_put_u64(b, d->counter);
}

struct dot dot_read(struct reader *r)
{
    struct dot d;
    d.replica = reader_u64(r);
    d.counter = reader_u64(r);
    return d;
}
