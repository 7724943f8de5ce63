/*
 * fs/replica/renew - a new replica id, after the database went back in time. Source: README.md,
 * Rolled-back databases.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "fs/replica/author.h"
#include "fs/replica/mutant.h"

/* An own change above what peers confirmed: its dot and one record that it is in. */
struct unconfirmed {
    struct dot dot;
    struct rid rid;
};

struct renewal {
    struct replica *r;
    struct dot old; /* the own id of before, and the last counter that was confirmed */
    struct unconfirmed *v;
    size_t n, cap;
};

static int collect(void *ctx, struct bytes key, struct bytes row)
{
    struct renewal *w = ctx;
    (void)row;
    if (key.n != DOT_SIZE + RID_SIZE)
        return -EUCLEAN;
    if (w->n == w->cap) {
        size_t cap = w->cap == 0 ? 16 : w->cap * 2;
        struct unconfirmed *v = reallocarray(w->v, cap, sizeof *v);
        if (v == NULL)
            return -ENOMEM;
        w->v = v;
        w->cap = cap;
    }
    w->v[w->n++] = (struct unconfirmed){dot_decode(key.p), rid_at(key, DOT_SIZE)};
    return 0;
}

static bool is_lost(const struct renewal *w, const struct dot *d)
{
    return d->replica == w->old.replica && d->counter > w->old.counter;
}

/* A vector that claims no unconfirmed change. */
static int cut_vector(const struct renewal *w, struct dots in, struct dots *ret)
{
    CLEANUP(vv_fini) struct vv v = {0};
    int rc = vv_join_dots(&v, in);
    if (rc == 0 && vv_get(&v, w->old.replica) > w->old.counter && !MUTANT(renew_uncut))
        rc = vv_set(&v, w->old.replica, w->old.counter);
    uint8_t *p = txn_alloc(&w->r->txn, v.n * DOT_SIZE);
    if (rc < 0 || p == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < v.n; i++)
        dot_encode(&v.v[i], p + i * DOT_SIZE);
    *ret = (struct dots){p, v.n};
    return 0;
}

static int cmp_dots(const void *ap, const void *bp)
{
    struct dot a = dot_decode(ap), b = dot_decode(bp);
    return dot_cmp(&a, &b);
}

/* Unconfirmed saves in an origin become the one save that is written now. */
static int cut_origin(const struct renewal *w, const struct dot *now, struct value *v)
{
    if (v->from_own || v->from.n == 0)
        return 0;
    uint8_t *p = txn_alloc(&w->r->txn, (v->from.n + 1) * DOT_SIZE);
    size_t n = 0;
    if (p == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < v->from.n; i++) {
        struct dot d = dots_at(v->from, i);
        if (!is_lost(w, &d))
            dot_encode(&d, p + n++ * DOT_SIZE);
    }
    if (n < v->from.n)
        dot_encode(now, p + n++ * DOT_SIZE);
    qsort(p, n, DOT_SIZE, cmp_dots);
    v->from = (struct dots){p, n};
    if (n == 1) {
        struct dot only = dots_at(v->from, 0);
        v->from_own = dot_equal(&only, now);
    }
    if (v->from_own)
        v->from = (struct dots){NULL, 0};
    return 0;
}

static int rewrite_value(const struct renewal *w, struct record *rec, const struct value *old,
                         const struct dot *now)
{
    struct value v = *old;
    v.dot = *now;
    int rc = cut_vector(w, old->ctx, &v.ctx);
    if (rc == 0)
        rc = cut_origin(w, now, &v);
    if (rc == 0 && v.facet == FACET_PLACE && !v.place.alive)
        rc = cut_vector(w, old->place.cseen, &v.place.cseen);
    if (rc == 0 && v.facet == FACET_CONTENT)
        rc = author_body(w->r, old, &v.content);
    return rc < 0 ? rc : record_replace(w->r, rec, old, &v);
}

static int rewrite_record(const struct renewal *w, const struct unconfirmed *u,
                          const struct dot *now)
{
    struct record rec;
    int rc = record_load(w->r, &u->rid, &rec);
    for (size_t i = 0; rc == 0 && i < rec.n; i++) {
        if (!dot_equal(&rec.v[i].dot, &u->dot))
            continue;
        rc = rewrite_value(w, &rec, &rec.v[i], now);
        i = SIZE_MAX; /* the values are others now: from the first again */
    }
    return rc;
}

static int rewrite_all(const struct renewal *w, uint64_t new_id)
{
    struct replica *r = w->r;
    struct dot now = {new_id, vv_get(&r->known, new_id)};
    int rc = 0;
    for (size_t i = 0; i < w->n && rc == 0; i++) {
        if (i == 0 || !dot_equal(&w->v[i].dot, &w->v[i - 1].dot))
            now.counter++;
        rc = rewrite_record(w, &w->v[i], &now);
        if (rc == 0)
            rc = vv_add(&r->known, &now);
        if (rc == 0)
            rc = vv_add(&r->applied, &now);
    }
    return rc;
}

static int renew(struct renewal *w, uint64_t new_id)
{
    struct replica *r = w->r;
    uint8_t prefix[8], from[DOT_SIZE];
    put_u64(prefix, w->old.replica);
    dot_encode(&(struct dot){w->old.replica, w->old.counter + 1}, from);
    int rc = txn_scan(&r->txn, DB_LOG, bytes_of(prefix, sizeof prefix), bytes_of(from, sizeof from),
                      collect, w);
    if (rc == 0)
        rc = rewrite_all(w, new_id);
    if (rc == 0 && vv_get(&r->known, w->old.replica) > w->old.counter)
        rc = vv_set(&r->known, w->old.replica, w->old.counter);
    if (rc == 0 && vv_get(&r->applied, w->old.replica) > w->old.counter)
        rc = vv_set(&r->applied, w->old.replica, w->old.counter);
    r->id = new_id;
    return rc < 0 ? rc : settle(r);
}

int replica_renew(struct replica *r, struct db_batch *batch, uint64_t new_id, uint64_t confirmed)
{
    assert(!r->change.open && !r->pending);
    struct renewal w = {.r = r, .old = {r->id, confirmed}};
    if (new_id == r->id || vv_get(&r->known, new_id) != 0)
        return -EINVAL;
    int rc = replica_pend(r);
    if (rc == 0)
        rc = renew(&w, new_id);
    if (rc == 0)
        rc = replica_flush(r, 0, batch);
    free(w.v);
    if (rc < 0)
        replica_abort(r);
    return rc;
}
