#include "fs/replica/effects.h"

#include <errno.h>

#include "fs/replica/derive.h"
#include "fs/replica/mutant.h"

enum { TOUCHED_ENTRIES, TOUCHED_VALUES };

/* ---- recording ---------------------------------------------------------------------------------
 */

/* What of a record's content and meta a program can see, as bytes to compare. */
static void put_content(const struct record *rec, struct buf *b)
{
    const struct value *v = derive_content(rec);
    buf_put_u8(b, v != NULL);
    if (v == NULL)
        return;
    buf_put(b, v->content.hash, HASH_SIZE);
    buf_put_u64(b, v->content.size);
    buf_put_u64(b, (uint64_t)v->content.mtime_ns);
}

static void put_meta(const struct record *rec, struct buf *b)
{
    const struct value *v = derive_meta(rec);
    buf_put_u8(b, v != NULL);
    if (v == NULL)
        return;
    buf_put_u32(b, v->meta.mode);
    buf_put_bytes(b, v->meta.xattrs);
}

/* Row of TXN_TOUCHED: which; for TOUCHED_VALUES then content as a string, and meta. */
static int put_touched(struct replica *r, const struct record *rec, struct buf *b)
{
    CLEANUP(buf_fini) struct buf content = {0};
    put_content(rec, &content);
    buf_reset(b);
    buf_put_u8(b, TOUCHED_VALUES);
    buf_put_string(b, buf_bytes(&content));
    put_meta(rec, b);
    if (content.failed || b->failed)
        return -ENOMEM;
    return txn_put(&r->txn, TXN_TOUCHED, rid_bytes(&rec->rid), buf_bytes(b));
}

int effects_touch(struct replica *r, const struct record *rec)
{
    struct bytes row;
    int rc = txn_get(&r->txn, TXN_TOUCHED, rid_bytes(&rec->rid), &row);
    if (rc < 0 || (rc == 1 && row.p[0] == TOUCHED_VALUES))
        return rc < 0 ? rc : 0;
    return put_touched(r, rec, &r->scratch);
}

static void put_entry(struct buf *b, const struct place_name *p)
{
    buf_put_u8(b, p != NULL);
    if (p == NULL)
        return;
    rid_put(b, &p->parent);
    buf_put_string(b, p->name);
}

static bool read_entry(struct reader *r, struct place_name *ret)
{
    if (reader_u8(r) == 0)
        return false;
    ret->parent = rid_read(r);
    ret->name = reader_string(r, LIMIT_NAME);
    return true;
}

int effects_entry(struct replica *r, const struct rid *rid, const struct dot *slot,
                  const struct place_name *from, const struct place_name *to)
{
    uint8_t key[RID_SIZE + DOT_SIZE];
    memcpy(key, rid->b, RID_SIZE);
    dot_encode(slot, key + RID_SIZE);
    struct bytes row;
    struct place_name first;
    const struct place_name *was = from;
    int rc = txn_get(&r->txn, TXN_EFFECT, bytes_of(key, sizeof key), &row);
    if (rc == 1) { /* what it was at first counts */
        struct reader in = reader_of(row);
        was = read_entry(&in, &first) ? &first : NULL;
    }
    if (rc < 0)
        return rc;
    buf_reset(&r->scratch);
    put_entry(&r->scratch, was);
    put_entry(&r->scratch, MUTANT(effect_lost) ? from : to);
    rc = buf_status(&r->scratch);
    if (rc == 0)
        rc = txn_put(&r->txn, TXN_EFFECT, bytes_of(key, sizeof key), buf_bytes(&r->scratch));
    if (rc == 0)
        rc = txn_get(&r->txn, TXN_TOUCHED, rid_bytes(rid), &row);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    const uint8_t touched = TOUCHED_ENTRIES;
    return txn_put(&r->txn, TXN_TOUCHED, rid_bytes(rid), bytes_of(&touched, 1));
}

/* ---- reporting ---------------------------------------------------------------------------------
 */

struct report {
    struct replica *r;
    int (*fn)(void *ctx, const struct replica_effect *effect);
    void *ctx;
    struct replica_effect effect;
    struct replica_place *places; /* of the record being reported */
    size_t places_cap;
};

static void fill(struct replica_entry *e, const struct rid *rid, const struct dot *slot,
                 const struct place_name *p)
{
    *e = (struct replica_entry){.rid = *rid, .slot = *slot, .parent = p->parent};
    e->name_len = (uint8_t)p->name.n; /* at most LIMIT_NAME */
    memcpy(e->name, p->name.p, p->name.n);
}

static int add_place(void *ctx, struct bytes key, struct bytes value)
{
    struct report *rep = ctx;
    struct reader in = reader_of(value);
    struct place_name from = {0}, to = {0};
    struct replica_place p = {.slot = dot_decode(key.p + RID_SIZE)};
    p.was = read_entry(&in, &from);
    p.is = read_entry(&in, &to);
    if (p.was == p.is &&
        (!p.was || (rid_equal(&from.parent, &to.parent) && bytes_equal(from.name, to.name))))
        return 0; /* it went and came back */
    size_t n = rep->effect.places_n;
    if (n == rep->places_cap) {
        size_t cap = n == 0 ? 2 : n * 2;
        struct replica_place *v = txn_alloc(&rep->r->txn, cap * sizeof *v);
        if (v == NULL)
            return -ENOMEM;
        if (n > 0)
            memcpy(v, rep->places, n * sizeof *v);
        rep->places = v;
        rep->places_cap = cap;
    }
    if (p.was)
        fill(&p.from, &rep->effect.rid, &p.slot, &from);
    if (p.is)
        fill(&p.to, &rep->effect.rid, &p.slot, &to);
    rep->places[n] = p;
    rep->effect.places_n = n + 1;
    return 0;
}

static int compare_values(struct report *rep, struct bytes row)
{
    struct reader in = reader_of(row);
    if (reader_u8(&in) != TOUCHED_VALUES)
        return 0;
    struct bytes content = reader_string(&in, LIMIT_PART);
    struct bytes meta = bytes_of(in.p, in.n);
    struct record rec;
    int rc = record_load(rep->r, &rep->effect.rid, &rec);
    if (rc < 0)
        return rc;
    CLEANUP(buf_fini) struct buf c = {0};
    CLEANUP(buf_fini) struct buf m = {0};
    put_content(&rec, &c);
    put_meta(&rec, &m);
    if (c.failed || m.failed)
        return -ENOMEM;
    rep->effect.content = !bytes_equal(content, buf_bytes(&c));
    rep->effect.meta = !bytes_equal(meta, buf_bytes(&m));
    return 0;
}

static int report_one(void *ctx, struct bytes key, struct bytes value)
{
    struct report *rep = ctx;
    rep->effect = (struct replica_effect){.rid = rid_at(key, 0)};
    int rc = txn_scan(&rep->r->txn, TXN_EFFECT, key, (struct bytes){NULL, 0}, add_place, rep);
    if (rc == 0)
        rc = compare_values(rep, value);
    if (rc != 0)
        return rc;
    rep->effect.places = rep->places;
    if (rep->effect.places_n == 0 && !rep->effect.content && !rep->effect.meta)
        return 0;
    return rep->fn(rep->ctx, &rep->effect);
}

int replica_effects(struct replica *r, int (*fn)(void *ctx, const struct replica_effect *effect),
                    void *ctx)
{
    struct report rep = {.r = r, .fn = fn, .ctx = ctx};
    return txn_scan(&r->txn, TXN_TOUCHED, (struct bytes){NULL, 0}, (struct bytes){NULL, 0},
                    report_one, &rep);
}
