/*
 * fs/replica/apply - changes of others, and knowledge. Source: README.md, Merge and Exchange.
 */
#include <assert.h>
#include <errno.h>

#include "fs/replica/digest.h"
#include "fs/replica/mutant.h"
#include "fs/replica/record.h"

static int apply_value(struct replica *r, const struct value *v, const uint8_t *head_hash)
{
    struct record rec;
    int rc = record_load(r, &v->rid, &rec);
    if (rc == 0 && head_hash != NULL && record_holds(&rec, &v->dot))
        rc = digest_sign(r, &v->rid, &v->dot, head_hash);
    if (rc < 0 || (record_has(&rec, v) && !MUTANT(no_vector_check)))
        return rc;
    struct values vs = record_facet(&rec, v->facet, &v->slot);
    size_t stay = 1;
    for (size_t i = 0; i < vs.n; i++)
        stay += !record_drops(r, v, &vs.v[i]);
    if (stay > LIMIT_FACET_VALUES)
        return -EAGAIN;
    rc = record_put(r, &rec, v, head_hash);
    return rc < 0 ? rc : 1;
}

/* Parts come ordered, so no facet is in a change twice. */
static bool ascending(const struct value *a, const struct value *b)
{
    int c = rid_cmp(&a->rid, &b->rid);
    return c < 0 || (c == 0 && value_cmp(a, b) < 0);
}

/* Decodes every part before any of them is used: a change is taken whole or not at all. */
static int decode(struct replica *r, struct bytes in, struct value **ret, size_t *ret_n,
                  struct dot *ret_dot)
{
    struct reader parts;
    size_t n;
    int rc = value_change_open(in, &parts, ret_dot, &n);
    if (rc < 0)
        return rc;
    /* Each part has at least a byte of length: no allocation beyond what came. */
    if (n > parts.n)
        return -EBADMSG;
    struct value *v = txn_alloc(&r->txn, n * sizeof *v);
    if (v == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        rc = value_change_next(&parts, ret_dot, &v[i]);
        if (rc < 0)
            return rc;
        if (i > 0 && !ascending(&v[i - 1], &v[i]))
            return -EBADMSG;
    }
    *ret = v;
    *ret_n = n;
    return reader_end(&parts);
}

/* Of a known change nothing is taken but its head hash. */
static int apply_parts(struct replica *r, struct value *v, size_t n, const uint8_t *head_hash,
                       size_t *ret_taken)
{
    bool known = vv_has(&r->known, &v[0].dot) && !MUTANT(known_again);
    int rc = 0;
    *ret_taken = 0;
    for (size_t i = 0; i < n && rc >= 0; i++) {
        if (MUTANT(clamped_stamp) && hlc_ms(v[i].stamp.hlc) > r->cfg.now_ms(r->cfg.ctx))
            v[i].stamp.hlc = r->cfg.now_ms(r->cfg.ctx) << 16;
        if (!known)
            rc = apply_value(r, &v[i], head_hash);
        else if (head_hash != NULL)
            rc = digest_sign(r, &v[i].rid, &v[i].dot, head_hash);
        *ret_taken += rc == 1;
    }
    if (rc >= 0)
        rc = settle(r);
    if (rc == 0 && MUTANT(know_each_change))
        rc = vv_add(&r->known, &v[0].dot);
    return rc;
}

/* The change came, whether or not anything of it is left. */
static int note_applied(struct replica *r, const struct dot *dot)
{
    if (vv_get(&r->applied, dot->replica) == 0 && r->applied.n >= LIMIT_VECTOR)
        return -E2BIG;
    return MUTANT(applied_not_noted) ? 0 : vv_add(&r->applied, dot);
}

int replica_apply(struct replica *r, struct db_batch *batch, struct bytes change,
                  const uint8_t *head_hash)
{
    assert(!r->change.open);
    struct value *v = NULL;
    struct dot dot = {0, 0};
    size_t n = 0, taken = 0;
    int rc = replica_pend(r);
    if (rc == 0)
        rc = replica_tell_reserve(r);
    if (rc == 0)
        rc = decode(r, change, &v, &n, &dot);
    size_t mark = txn_mark(&r->txn);
    uint64_t before = vv_get(&r->applied, dot.replica);
    if (rc == 0)
        rc = apply_parts(r, v, n, head_hash, &taken);
    if (rc == 0)
        rc = note_applied(r, &dot);
    bool changed = txn_mark(&r->txn) != mark || vv_get(&r->applied, dot.replica) != before;
    if (rc == 0 && changed)
        rc = replica_flush(r, mark, batch);
    if (rc < 0 || !changed) {
        /* Lowering a counter takes no memory. */
        if (vv_get(&r->applied, dot.replica) != before &&
            vv_set(&r->applied, dot.replica, before) < 0)
            assert(false);
        replica_undo(r, mark);
        return rc;
    }
    uint64_t now = r->cfg.now_ms(r->cfg.ctx);
    for (size_t i = 0; i < n && taken > 0; i++)
        (void)hlc_observe(&r->hlc, now, v[i].stamp.hlc); /* one far ahead is not followed */
    if (taken > 0)
        replica_tell(r, &dot, false);
    return 1;
}

int replica_put(struct replica *r, struct db_batch *batch)
{
    return r->pending ? replica_flush(r, 0, batch) : 0;
}

/* @ret := what both cover; no more replicas than fit. */
static int join(struct vv *ret, const struct vv *a, const struct vv *b)
{
    int rc = vv_copy(ret, a);
    if (rc == 0)
        rc = vv_join(ret, b);
    return rc < 0 ? rc : ret->n > LIMIT_VECTOR ? -E2BIG : 0;
}

int replica_know(struct replica *r, struct db_batch *batch, const struct vv *knowledge)
{
    assert(!r->change.open);
    CLEANUP(vv_fini) struct vv known = {0};
    CLEANUP(vv_fini) struct vv applied = {0};
    int rc = join(&known, &r->known, knowledge);
    if (rc == 0)
        rc = join(&applied, &r->applied, knowledge);
    if (rc == 0)
        rc = replica_pend(r);
    if (rc < 0)
        return rc;
    size_t mark = txn_mark(&r->txn);
    vv_swap(&r->known, &known);
    vv_swap(&r->applied, &applied);
    rc = MUTANT(know_in_memory) ? 0 : replica_flush(r, mark, batch);
    if (rc < 0) {
        vv_swap(&r->known, &known);
        vv_swap(&r->applied, &applied);
        replica_undo(r, mark);
    }
    return rc;
}

int replica_know_dot(struct replica *r, struct db_batch *batch, const struct dot *dot,
                     uint64_t after)
{
    uint64_t has = vv_get(&r->known, dot->replica);
    if (has < after || has >= dot->counter)
        return 0;
    struct dot one = *dot;
    int rc = replica_know(r, batch, &(struct vv){.v = &one, .n = 1});
    return rc < 0 ? rc : 1;
}
