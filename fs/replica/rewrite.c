#include "fs/replica/rewrite.h"

#include <errno.h>
#include <stdlib.h>

#include "fs/replica/mutant.h"

void rewrite_fini(struct rewrite *w)
{
    free(w->v);
}

static int collect(void *ctx, struct bytes key, struct bytes row)
{
    struct rewrite *w = ctx;
    (void)row;
    if (key.n != LOG_KEY)
        return -EUCLEAN;
    if (w->max != 0 && w->n == w->max)
        return 1;
    if (w->n == w->cap) {
        size_t cap = w->cap == 0 ? 16 : w->cap * 2;
        struct rewrite_one *v = reallocarray(w->v, cap, sizeof *v);
        if (v == NULL)
            return -ENOMEM;
        w->v = v;
        w->cap = cap;
    }
    w->v[w->n++] = (struct rewrite_one){dot_decode(key.p), rid_at(key, DOT_SIZE)};
    return 0;
}

int rewrite_collect(struct rewrite *w, const struct dot *after)
{
    uint8_t prefix[8], from[DOT_SIZE];
    put_u64(prefix, after->replica);
    dot_encode(&(struct dot){after->replica, after->counter + 1}, from);
    int rc = txn_scan(&w->r->txn, DB_LOG, bytes_of(prefix, sizeof prefix),
                      bytes_of(from, sizeof from), collect, w);
    return rc < 0 ? rc : 0;
}

/* The last counter of a replica that counts. */
static uint64_t last_of(const struct rewrite *w, uint64_t replica)
{
    uint64_t end = replica_end_of(w->r, replica);
    return w->last.replica != 0 && replica == w->last.replica ? min_u64(end, w->last.counter) : end;
}

bool rewrite_is_lost(const struct rewrite *w, const struct dot *d)
{
    return d->counter > last_of(w, d->replica);
}

int rewrite_dots(const struct rewrite *w, const struct vv *v, struct dots *ret)
{
    uint8_t *p = txn_alloc(&w->r->txn, v->n * DOT_SIZE);
    if (p == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < v->n; i++)
        dot_encode(&v->v[i], p + i * DOT_SIZE);
    *ret = (struct dots){p, v->n};
    return 0;
}

int rewrite_cut(const struct rewrite *w, struct dots in, struct dots *ret)
{
    CLEANUP(vv_fini) struct vv v = {0};
    int rc = 0;
    for (size_t i = 0; i < in.n && rc == 0; i++) {
        struct dot d = dots_at(in, i);
        if (!MUTANT(renew_uncut))
            d.counter = min_u64(d.counter, last_of(w, d.replica));
        if (d.counter > 0)
            rc = vv_add(&v, &d);
    }
    return rc < 0 ? rc : rewrite_dots(w, &v, ret);
}

static int cmp_dots(const void *ap, const void *bp)
{
    struct dot a = dot_decode(ap), b = dot_decode(bp);
    return dot_cmp(&a, &b);
}

int rewrite_origin(const struct rewrite *w, const struct dot *now, struct value *v)
{
    struct dots from = v->from;
    if (v->from_own) {
        v->from_own = now != NULL;
        return 0;
    }
    if (from.n == 0)
        return 0;
    uint8_t *p = txn_alloc(&w->r->txn, (from.n + 1) * DOT_SIZE);
    size_t n = 0;
    if (p == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < from.n; i++) {
        struct dot d = dots_at(from, i);
        if (!rewrite_is_lost(w, &d))
            dot_encode(&d, p + n++ * DOT_SIZE);
    }
    if (n < from.n && now != NULL)
        dot_encode(now, p + n++ * DOT_SIZE);
    qsort(p, n, DOT_SIZE, cmp_dots);
    v->from = (struct dots){p, n};
    if (n == 1 && now != NULL) {
        struct dot only = dots_at(v->from, 0);
        v->from_own = dot_equal(&only, now);
    }
    if (v->from_own)
        v->from = (struct dots){NULL, 0};
    return 0;
}

int rewrite_values(const struct rewrite *w, const struct rewrite_one *u, const struct dot *now,
                   int (*fn)(const struct rewrite *w, struct record *rec, const struct value *old,
                             const struct dot *now))
{
    struct record rec;
    int rc = record_load(w->r, &u->rid, &rec);
    for (size_t i = 0; rc == 0 && i < rec.n; i++) {
        if (!dot_equal(&rec.v[i].dot, &u->dot))
            continue;
        rc = fn(w, &rec, &rec.v[i], now);
        i = SIZE_MAX; /* the values are others now: from the first again */
    }
    return rc;
}
