#include "fs/replica/past.h"

#include <assert.h>
#include <errno.h>

enum { VERSION_FORMAT = 2, PLACE_FORMAT = 1, PLACE_KEY_SIZE = 1 + RID_SIZE + 16 + 2 * DOT_SIZE };

_Static_assert((size_t)PLACE_KEY_SIZE <= (size_t)KEY_MAX, "keys of places fit");

struct bytes past_version_key(uint8_t key[KEY_MAX], const struct rid *rid, const struct dot *dot)
{
    uint8_t d[DOT_SIZE];
    dot_encode(dot, d);
    return key_of(key, HISTORY_VERSION, rid_bytes(rid), bytes_of(d, DOT_SIZE),
                  (struct bytes){NULL, 0});
}

/* All but the body, which is what is left in @r. */
static int decode(struct bytes key, struct reader *r, struct replica_content *ret,
                  struct lineage *ret_lineage)
{
    if (key.n != VERSION_KEY_SIZE || reader_u8(r) != VERSION_FORMAT)
        return -EUCLEAN;
    struct replica_content c = {.dot = dot_decode(key.p + 1 + RID_SIZE)};
    c.stamp.hlc = reader_u64(r);
    c.stamp.replica = reader_u64(r);
    c.size = reader_varint(r);
    c.mtime_ns = (int64_t)reader_u64(r);
    struct bytes hash = reader_bytes(r, HASH_SIZE);
    ret_lineage->from_own = reader_u8(r) != 0;
    ret_lineage->from = dots_read_set(r, LIMIT_FROM);
    ret_lineage->ctx = dots_read_vector(r, LIMIT_VECTOR);
    if (r->failed)
        return -EUCLEAN;
    memcpy(c.hash, hash.p, HASH_SIZE);
    *ret = c;
    return 0;
}

int past_lineage(struct bytes key, struct bytes row, struct replica_content *ret,
                 struct lineage *ret_lineage)
{
    struct reader r = reader_of(row);
    return decode(key, &r, ret, ret_lineage);
}

int past_version(struct bytes key, struct bytes row, struct replica_content *ret,
                 struct bytes *ret_body)
{
    struct reader r = reader_of(row);
    struct lineage lineage;
    int rc = decode(key, &r, ret, &lineage);
    if (rc == 0)
        *ret_body = bytes_of(r.p, r.n);
    return rc;
}

static int add_version(struct replica *r, const struct value *v)
{
    uint8_t k[KEY_MAX];
    struct bytes key = past_version_key(k, &v->rid, &v->dot), row;
    /* Of a change that is being made there is none: its dot is new. */
    bool own = r->change.open && dot_equal(&v->dot, &r->change.dot);
    int rc = own ? txn_fresh(&r->txn, DB_VERSION, key) : 0;
    if (rc == 0)
        rc = txn_get(&r->txn, DB_VERSION, key, &row);
    struct buf *b = &r->scratch;
    buf_reset(b);
    buf_put_u8(b, VERSION_FORMAT);
    buf_put_u64(b, v->stamp.hlc);
    buf_put_u64(b, v->stamp.replica);
    buf_put_varint(b, v->content.size);
    buf_put_u64(b, (uint64_t)v->content.mtime_ns);
    buf_put(b, v->content.hash, HASH_SIZE);
    buf_put_u8(b, v->from_own);
    dots_put(b, v->from);
    dots_put(b, v->ctx);
    buf_put_bytes(b, v->content.body);
    if (rc < 0 || buf_status(b) < 0)
        return rc < 0 ? rc : -ENOMEM;
    /* A version is written once; only a second edit in one change replaces the first. */
    if (rc == 1 && (!r->change.open || bytes_equal(row, buf_bytes(b))))
        return 0;
    return txn_put(&r->txn, DB_VERSION, key, buf_bytes(b));
}

struct bytes past_name_key(uint8_t key[KEY_MAX], const struct rid *parent, struct bytes name,
                           const struct rid *rid)
{
    assert(name.n <= LIMIT_NAME);
    uint8_t tail[1 + RID_SIZE] = {0}; /* NUL ends the name, which has none */
    memcpy(tail + 1, rid->b, RID_SIZE);
    return key_of(key, HISTORY_NAME, rid_bytes(parent), name, bytes_of(tail, sizeof tail));
}

struct bytes past_place_key(uint8_t key[KEY_MAX], const struct rid *rid,
                            const struct history_place *p)
{
    uint8_t tail[16 + 2 * DOT_SIZE];
    put_u64(tail, p->stamp.hlc);
    put_u64(tail + 8, p->stamp.replica);
    dot_encode(&p->dot, tail + 16);
    dot_encode(&p->slot, tail + 16 + DOT_SIZE);
    return key_of(key, HISTORY_PLACE, rid_bytes(rid), bytes_of(tail, sizeof tail),
                  (struct bytes){NULL, 0});
}

static int add_place(struct replica *r, const struct value *v)
{
    uint8_t k[KEY_MAX];
    const struct history_place p = {.slot = v->slot, .dot = v->dot, .stamp = v->stamp};
    struct bytes key = past_place_key(k, &v->rid, &p);
    struct buf *b = &r->scratch;
    buf_reset(b);
    buf_put_u8(b, PLACE_FORMAT);
    buf_put_u8(b, v->place.alive);
    rid_put(b, &v->place.parent);
    buf_put_bytes(b, v->place.name);
    if (buf_status(b) < 0)
        return -ENOMEM;
    int rc = txn_put(&r->txn, DB_VERSION, key, buf_bytes(b));
    if (rc < 0)
        return rc;
    key = past_name_key(k, &v->place.parent, v->place.name, &v->rid);
    return txn_put(&r->txn, DB_VERSION, key, (struct bytes){NULL, 0});
}

int past_place(struct bytes key, struct bytes row, struct history_place *ret)
{
    struct reader r = reader_of(row);
    uint8_t format = reader_u8(&r), alive = reader_u8(&r);
    struct rid parent = rid_read(&r);
    if (r.failed || key.n != PLACE_KEY_SIZE || format != PLACE_FORMAT || r.n == 0 ||
        r.n > LIMIT_NAME)
        return -EUCLEAN;
    const uint8_t *p = key.p + 1 + RID_SIZE;
    *ret = (struct history_place){.stamp = {get_u64(p), get_u64(p + 8)},
                                  .dot = dot_decode(p + 16),
                                  .slot = dot_decode(p + 16 + DOT_SIZE),
                                  .alive = alive != 0,
                                  .parent = parent,
                                  .name_len = (uint8_t)r.n};
    memcpy(ret->name, r.p, r.n);
    return 0;
}

int past_add(struct replica *r, const struct value *v)
{
    switch (v->facet) {
    case FACET_PLACE:
        return add_place(r, v);
    case FACET_CONTENT:
        return add_version(r, v);
    case FACET_META:
        break;
    }
    return 0;
}
