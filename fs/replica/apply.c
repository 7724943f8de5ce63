/*
 * fs/replica/apply - changes of others, and knowledge. Source: README.md, Merge and Exchange.
 */
#include <assert.h>
#include <errno.h>

#include "fs/replica/mutant.h"
#include "fs/replica/record.h"

static int apply_value(struct replica *r, const struct value *v)
{
    struct record rec;
    int rc = record_load(r, &v->rid, &rec);
    if (rc < 0 || (record_has(&rec, v) && !MUTANT(no_vector_check)))
        return rc;
    struct values vs = record_facet(&rec, v->facet, &v->slot);
    size_t stay = 1;
    for (size_t i = 0; i < vs.n; i++)
        stay += !dots_cover(v->ctx, &vs.v[i].dot);
    if (stay > LIMIT_FACET_VALUES)
        return -EAGAIN;
    rc = record_put(r, &rec, v);
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

int replica_apply(struct replica *r, struct db_batch *batch, struct bytes change)
{
    assert(!r->change.open);
    struct value *v = NULL;
    struct dot dot = {0, 0};
    size_t n = 0;
    int rc = replica_pend(r);
    if (rc == 0)
        rc = replica_tell_reserve(r);
    if (rc == 0)
        rc = decode(r, change, &v, &n, &dot);
    size_t mark = txn_mark(&r->txn), taken = 0;
    if (rc < 0 || (vv_has(&r->known, &dot) && !MUTANT(known_again))) {
        replica_undo(r, mark);
        return rc;
    }
    for (size_t i = 0; i < n && rc >= 0; i++) {
        if (MUTANT(clamped_stamp) && hlc_ms(v[i].stamp.hlc) > r->cfg.now_ms(r->cfg.ctx))
            v[i].stamp.hlc = r->cfg.now_ms(r->cfg.ctx) << 16;
        rc = apply_value(r, &v[i]);
        taken += rc == 1;
    }
    if (rc >= 0)
        rc = settle(r);
    if (rc == 0 && MUTANT(know_each_change))
        rc = vv_add(&r->known, &dot);
    if (rc == 0 && taken > 0)
        rc = replica_flush(r, mark, batch);
    if (rc < 0 || taken == 0) {
        replica_undo(r, mark);
        return rc;
    }
    uint64_t now = r->cfg.now_ms(r->cfg.ctx);
    for (size_t i = 0; i < n; i++)
        (void)hlc_observe(&r->hlc, now, v[i].stamp.hlc); /* one far ahead is not followed */
    replica_tell(r, &dot, false);
    return 1;
}

int replica_know(struct replica *r, struct db_batch *batch, const struct vv *knowledge)
{
    assert(!r->change.open);
    CLEANUP(vv_fini) struct vv joined = {0};
    int rc = replica_pend(r);
    if (rc == 0)
        rc = vv_copy(&joined, &r->known);
    if (rc == 0)
        rc = vv_join(&joined, knowledge);
    if (rc < 0 || joined.n > LIMIT_VECTOR)
        return rc < 0 ? rc : -E2BIG;
    struct vv before = r->known;
    size_t mark = txn_mark(&r->txn);
    r->known = joined;
    rc = MUTANT(know_in_memory) ? 0 : replica_flush(r, mark, batch);
    if (rc < 0) {
        r->known = before;
        replica_undo(r, mark);
        return rc;
    }
    joined = before; /* to be freed */
    return 0;
}

bool replica_may_exchange(const struct replica *r, const struct vv *floor)
{
    return r->known.n == 0 || vv_covers(&r->known, floor);
}
