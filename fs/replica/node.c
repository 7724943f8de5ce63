#include "fs/replica/node.h"

#include <assert.h>
#include <errno.h>

enum { NODE_FORMAT = 1, NODE_HELD = 1, NODE_OWN = 2, NODE_CONFLICT = 4, NODE_DEAD = 8 };

static struct stamp stamp_read(struct reader *r)
{
    struct stamp s;
    s.hlc = reader_u64(r);
    s.replica = reader_u64(r);
    return s;
}

static void stamp_put(struct buf *b, const struct stamp *s)
{
    buf_put_u64(b, s->hlc);
    buf_put_u64(b, s->replica);
}

static int decode_claims(struct replica *r, struct reader *in, struct node *n)
{
    uint64_t count = reader_varint(in);
    if (in->failed || count > in->n) /* each takes bytes */
        return -EUCLEAN;
    n->claims_n = (size_t)count;
    n->claims = txn_alloc(&r->txn, n->claims_n * sizeof *n->claims);
    if (n->claims == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < n->claims_n; i++) {
        struct claim *c = &n->claims[i];
        c->slot = dot_read(in);
        c->parent = rid_read(in);
        c->name = reader_string(in, LIMIT_NAME);
        c->stamp = stamp_read(in);
        c->dot = dot_read(in);
        if (c->name.n == 0)
            return -EUCLEAN;
    }
    return reader_end(in) < 0 ? -EUCLEAN : 0;
}

int node_load(struct replica *r, const struct rid *rid, struct node *ret)
{
    uint8_t key[KEY_MAX];
    struct bytes row;
    int rc = txn_get(&r->txn, DB_SHOWN, key_rid(key, SHOWN_NODE, rid), &row);
    if (rc < 0)
        return rc;
    *ret = (struct node){.rid = *rid};
    if (rc == 0)
        return 0;
    struct reader in = reader_of(row);
    if (reader_u8(&in) != NODE_FORMAT)
        return -EUCLEAN;
    uint8_t flags = reader_u8(&in);
    ret->held = (flags & NODE_HELD) != 0;
    ret->own = (flags & NODE_OWN) != 0;
    ret->conflict = (flags & NODE_CONFLICT) != 0;
    ret->dead = (flags & NODE_DEAD) != 0;
    if (rid_is_dir(rid)) {
        ret->level = reader_u8(&in);
        ret->live_n = reader_varint(&in);
        ret->refs_n = reader_varint(&in);
        if (ret->held) {
            ret->parent = rid_read(&in);
            ret->prev = rid_read(&in);
            ret->stamp = stamp_read(&in);
            ret->dot = dot_read(&in);
        }
    }
    return decode_claims(r, &in, ret);
}

int node_none(struct replica *r, const struct rid *rid)
{
    uint8_t key[KEY_MAX];
    return txn_fresh(&r->txn, DB_SHOWN, key_rid(key, SHOWN_NODE, rid));
}

static void encode(const struct node *n, struct buf *b)
{
    buf_put_u8(b, NODE_FORMAT);
    buf_put_u8(b, (uint8_t)((n->held ? NODE_HELD : 0) | (n->own ? NODE_OWN : 0) |
                            (n->conflict ? NODE_CONFLICT : 0) | (n->dead ? NODE_DEAD : 0)));
    if (rid_is_dir(&n->rid)) {
        buf_put_u8(b, n->level);
        buf_put_varint(b, n->live_n);
        buf_put_varint(b, n->refs_n);
        if (n->held) {
            rid_put(b, &n->parent);
            rid_put(b, &n->prev);
            stamp_put(b, &n->stamp);
            dot_put(b, &n->dot);
        }
    }
    buf_put_varint(b, n->claims_n);
    for (size_t i = 0; i < n->claims_n; i++) {
        const struct claim *c = &n->claims[i];
        dot_put(b, &c->slot);
        rid_put(b, &c->parent);
        buf_put_string(b, c->name);
        stamp_put(b, &c->stamp);
        dot_put(b, &c->dot);
    }
}

int node_store(struct replica *r, const struct node *n)
{
    uint8_t k[KEY_MAX];
    struct bytes key = key_rid(k, SHOWN_NODE, &n->rid);
    if (!n->held && n->live_n == 0 && n->refs_n == 0 && n->claims_n == 0 && !n->conflict)
        return txn_delete(&r->txn, DB_SHOWN, key);
    buf_reset(&r->scratch);
    encode(n, &r->scratch);
    if (buf_status(&r->scratch) < 0)
        return -ENOMEM;
    return txn_put(&r->txn, DB_SHOWN, key, buf_bytes(&r->scratch));
}

int node_refer(struct replica *r, const struct rid *rid, int by)
{
    struct node n;
    int rc = node_load(r, rid, &n);
    if (rc < 0)
        return rc;
    if (by < 0 && n.refs_n == 0)
        return -EUCLEAN;
    n.refs_n += (uint64_t)(int64_t)by;
    return node_store(r, &n);
}

int node_up(struct replica *r, const struct node *n, struct rid *ret)
{
    *ret = n->level == 0 ? n->parent : RID_ROOT;
    if (n->level != 1 || rid_is_root(&n->prev))
        return 0;
    struct node prev;
    int rc = node_load(r, &n->prev, &prev);
    if (rc == 0 && prev.held && prev.own)
        *ret = n->prev;
    return rc;
}

const struct claim *node_claim(const struct node *n, const struct dot *slot)
{
    for (size_t i = 0; i < n->claims_n; i++)
        if (dot_equal(&n->claims[i].slot, slot))
            return &n->claims[i];
    return NULL;
}

int counts_load(struct replica *r, struct counts *ret)
{
    const uint8_t key = SHOWN_COUNTS;
    struct bytes row;
    *ret = (struct counts){0, 0};
    int rc = txn_get(&r->txn, DB_SHOWN, bytes_of(&key, 1), &row);
    if (rc <= 0)
        return rc;
    struct reader in = reader_of(row);
    ret->suspended = reader_u64(&in);
    ret->losers = reader_u64(&in);
    return reader_end(&in) < 0 ? -EUCLEAN : 0;
}

int counts_store(struct replica *r, const struct counts *c)
{
    const uint8_t key = SHOWN_COUNTS;
    uint8_t row[16];
    put_u64(row, c->suspended);
    put_u64(row + 8, c->losers);
    return txn_put(&r->txn, DB_SHOWN, bytes_of(&key, 1), bytes_of(row, sizeof row));
}

int node_mark(struct replica *r, int tag, const struct rid *rid, bool there)
{
    uint8_t k[KEY_MAX];
    struct bytes key = key_rid(k, tag, rid);
    if (there)
        return txn_put(&r->txn, DB_SHOWN, key, (struct bytes){NULL, 0});
    return txn_delete(&r->txn, DB_SHOWN, key);
}
