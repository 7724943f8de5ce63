#include "fs/replica/record.h"

#include <assert.h>
#include <errno.h>

#include "fs/replica/digest.h"
#include "fs/replica/effects.h"
#include "fs/replica/mutant.h"
#include "fs/replica/node.h"
#include "fs/replica/past.h"

enum { RECORD_FORMAT = 1 };

int record_decode(struct txn *arena, const struct rid *rid, struct bytes row, struct record *ret)
{
    struct reader r = reader_of(row);
    uint8_t format = reader_u8(&r);
    uint64_t n = reader_varint(&r);
    if (r.failed || format == 0 || n == 0 || n > r.n) /* each takes bytes */
        return -EUCLEAN;
    if (format != RECORD_FORMAT)
        return -ENOTSUP;
    struct value *v = txn_alloc(arena, (size_t)n * sizeof *v);
    if (v == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        struct bytes part = reader_string(&r, LIMIT_PART);
        if (r.failed || value_decode(part, VALUE_STORED, &v[i]) < 0 || !rid_equal(&v[i].rid, rid) ||
            (i > 0 && value_cmp(&v[i - 1], &v[i]) >= 0))
            return -EUCLEAN;
    }
    if (reader_end(&r) < 0)
        return -EUCLEAN;
    *ret = (struct record){*rid, v, (size_t)n};
    return 0;
}

int record_load(struct replica *r, const struct rid *rid, struct record *ret)
{
    struct bytes row;
    int rc = txn_get(&r->txn, DB_RECORD, rid_bytes(rid), &row);
    if (rc < 0)
        return rc;
    if (rc == 0) {
        *ret = (struct record){.rid = *rid};
        return rid_is_dir(rid) ? 0 : node_none(r, rid);
    }
    return record_decode(&r->txn, rid, row, ret);
}

struct values record_facet(const struct record *rec, enum facet facet, const struct dot *slot)
{
    const struct dot none = {0, 0};
    const struct dot *want = slot == NULL ? &none : slot;
    struct values vs = {NULL, 0};
    for (size_t i = 0; i < rec->n; i++) {
        if (rec->v[i].facet != facet || !dot_equal(&rec->v[i].slot, want))
            continue;
        if (vs.n++ == 0)
            vs.v = &rec->v[i];
    }
    return vs;
}

bool record_has(const struct record *rec, const struct value *v)
{
    struct values vs = record_facet(rec, v->facet, &v->slot);
    for (size_t i = 0; i < vs.n; i++)
        if (value_seen(&vs.v[i], &v->dot))
            return true;
    return false;
}

bool record_holds(const struct record *rec, const struct dot *dot)
{
    for (size_t i = 0; i < rec->n; i++)
        if (dot_equal(&rec->v[i].dot, dot))
            return true;
    return false;
}

bool record_drops(const struct replica *r, const struct value *v, const struct value *old)
{
    return value_same_facet(old, v) && value_seen(v, &old->dot) &&
           (v->dot.replica == r->id || dot_equal(&v->dot, &old->dot) ||
            !replica_is_void(r, &old->dot));
}

struct bytes record_log_key(uint8_t key[LOG_KEY], const struct dot *dot, const struct rid *rid)
{
    dot_encode(dot, key);
    memcpy(key + DOT_SIZE, rid->b, RID_SIZE);
    return bytes_of(key, LOG_KEY);
}

/* ---- changing ----------------------------------------------------------------------------------
 */

static int store(struct replica *r, const struct rid *rid, const struct value *const *v, size_t n)
{
    struct buf *b = &r->scratch;
    struct buf one = {0};
    buf_reset(b);
    buf_put_u8(b, RECORD_FORMAT);
    buf_put_varint(b, n);
    for (size_t i = 0; i < n; i++) {
        buf_reset(&one);
        value_encode(v[i], VALUE_STORED, &one);
        buf_put_string(b, buf_bytes(&one));
        if (one.failed)
            b->failed = true;
    }
    buf_fini(&one);
    if (buf_status(b) < 0)
        return -ENOMEM;
    return txn_put(&r->txn, DB_RECORD, rid_bytes(rid), buf_bytes(b));
}

/* A value leaves the record; @kept are those that stay. */
static int drop(struct replica *r, const struct value *gone, const struct value *const *kept,
                size_t n)
{
    if (gone->facet == FACET_PLACE) {
        int rc = node_refer(r, &gone->place.parent, -1);
        if (rc < 0)
            return rc;
    }
    for (size_t i = 0; i < n && !MUTANT(log_row_lost); i++)
        if (dot_equal(&kept[i]->dot, &gone->dot))
            return 0;
    uint8_t key[LOG_KEY];
    return txn_delete(&r->txn, DB_LOG, record_log_key(key, &gone->dot, &gone->rid));
}

static int enter(struct replica *r, const struct record *rec, const struct value *v,
                 const uint8_t *head_hash)
{
    uint8_t key[LOG_KEY];
    int rc = 0;
    if (!record_holds(rec, &v->dot))
        rc = txn_put(&r->txn, DB_LOG, record_log_key(key, &v->dot, &v->rid),
                     bytes_of(head_hash, head_hash == NULL ? 0 : HASH_SIZE));
    if (rc == 0 && v->facet == FACET_PLACE)
        rc = node_refer(r, &v->place.parent, 1);
    return rc < 0 ? rc : past_add(r, v);
}

/* @v NULL: drops @also alone. */
static int put(struct replica *r, struct record *rec, const struct value *also,
               const struct value *v, const uint8_t *head_hash)
{
    const struct record was = *rec;
    assert(v == NULL || rid_equal(&rec->rid, &v->rid));
    int rc = effects_touch(r, rec);
    const struct value **kept = txn_alloc(&r->txn, (rec->n + 1) * sizeof(*kept));
    const struct value **gone = txn_alloc(&r->txn, (rec->n + 1) * sizeof(*gone));
    if (rc < 0 || kept == NULL || gone == NULL)
        return rc < 0 ? rc : -ENOMEM;
    size_t kept_n = 0, gone_n = 0;
    bool in = v == NULL;
    for (size_t i = 0; i < rec->n; i++) {
        const struct value *old = &rec->v[i];
        if (old == also || (v != NULL && (record_drops(r, v, old) ||
                                          (MUTANT(one_value) && value_same_facet(old, v))))) {
            gone[gone_n++] = old;
            continue;
        }
        if (!in && value_cmp(v, old) < 0) {
            kept[kept_n++] = v;
            in = true;
        }
        kept[kept_n++] = old;
    }
    if (!in)
        kept[kept_n++] = v;
    if (v != NULL)
        rc = enter(r, rec, v, head_hash);
    if (rc == 0)
        rc = store(r, &was.rid, kept, kept_n);
    if (rc == 0)
        rc = record_load(r, &was.rid, rec);
    if (rc == 0)
        rc = digest_follow(r, &was, rec);
    for (size_t i = 0; i < gone_n && rc == 0; i++)
        rc = drop(r, gone[i], kept, kept_n);
    return rc < 0 ? rc : rids_add(&r->dirty, &was.rid);
}

int record_put(struct replica *r, struct record *rec, const struct value *v,
               const uint8_t *head_hash)
{
    return put(r, rec, NULL, v, head_hash);
}

int record_replace(struct replica *r, struct record *rec, const struct value *also,
                   const struct value *v)
{
    return put(r, rec, also, v, NULL);
}

int record_forget(struct replica *r, struct record *rec, const struct value *gone)
{
    assert(rec->n > 1);
    return put(r, rec, gone, NULL, NULL);
}

int record_remove(struct replica *r, struct record *rec)
{
    int rc = effects_touch(r, rec);
    if (rc == 0)
        rc = digest_follow(r, rec, &(struct record){.rid = rec->rid});
    for (size_t i = 0; i < rec->n && rc == 0; i++)
        rc = drop(r, &rec->v[i], NULL, 0);
    if (rc == 0)
        rc = txn_delete(&r->txn, DB_RECORD, rid_bytes(&rec->rid));
    if (rc == 0)
        rc = rids_add(&r->dirty, &rec->rid);
    if (rc == 0)
        rec->n = 0;
    return rc;
}
