/*
 * fs/replica/renew - a new replica id, after the database went back in time. Source: README.md,
 * Rolled-back databases.
 */
#include <assert.h>
#include <errno.h>

#include "fs/replica/author.h"
#include "fs/replica/rewrite.h"

/* A deletion covers what its author had written before, which is written anew before it, too. */
static int cut_cseen(const struct rewrite *w, const struct dot *now, struct dots in,
                     struct dots *ret)
{
    struct dot before = {now->replica, now->counter - 1};
    int rc = rewrite_cut(w, in, ret);
    if (rc < 0 || before.counter == 0 || dots_get(in, w->last.replica) <= w->last.counter)
        return rc;
    CLEANUP(vv_fini) struct vv v = {0};
    rc = vv_join_dots(&v, *ret);
    if (rc == 0)
        rc = vv_add(&v, &before);
    return rc < 0 ? rc : rewrite_dots(w, &v, ret);
}

static int rewrite_value(const struct rewrite *w, struct record *rec, const struct value *old,
                         const struct dot *now)
{
    struct value v = *old;
    v.dot = *now;
    int rc = rewrite_cut(w, old->ctx, &v.ctx);
    if (rc == 0)
        rc = rewrite_origin(w, now, &v);
    if (rc == 0 && v.facet == FACET_PLACE && !v.place.alive)
        rc = cut_cseen(w, now, old->place.cseen, &v.place.cseen);
    if (rc == 0 && v.facet == FACET_CONTENT)
        rc = author_body(w->r, old, &v.content);
    return rc < 0 ? rc : record_replace(w->r, rec, old, &v);
}

static int rewrite_all(const struct rewrite *w, uint64_t new_id)
{
    struct replica *r = w->r;
    struct dot now = {new_id, vv_get(&r->known, new_id)};
    int rc = 0;
    for (size_t i = 0; i < w->n && rc == 0; i++) {
        if (i == 0 || !dot_equal(&w->v[i].dot, &w->v[i - 1].dot))
            now.counter++;
        rc = rewrite_values(w, &w->v[i], &now, rewrite_value);
        if (rc == 0)
            rc = vv_add(&r->known, &now);
        if (rc == 0)
            rc = vv_add(&r->applied, &now);
    }
    return rc;
}

static int renew(struct rewrite *w, uint64_t new_id)
{
    struct replica *r = w->r;
    int rc = rewrite_collect(w, &w->last);
    r->id = new_id;
    if (rc == 0)
        rc = rewrite_all(w, new_id);
    if (rc == 0 && vv_get(&r->known, w->last.replica) > w->last.counter)
        rc = vv_set(&r->known, w->last.replica, w->last.counter);
    if (rc == 0 && vv_get(&r->applied, w->last.replica) > w->last.counter)
        rc = vv_set(&r->applied, w->last.replica, w->last.counter);
    return rc < 0 ? rc : settle(r);
}

int replica_renew(struct replica *r, struct db_batch *batch, uint64_t new_id, uint64_t confirmed)
{
    assert(!r->change.open && !r->pending);
    struct rewrite w = {.r = r, .last = {r->id, confirmed}};
    if (new_id == r->id || vv_get(&r->known, new_id) != 0)
        return -EINVAL;
    int rc = replica_pend(r);
    if (rc == 0)
        rc = renew(&w, new_id);
    if (rc == 0)
        rc = replica_flush(r, 0, batch);
    rewrite_fini(&w);
    if (rc < 0)
        replica_abort(r);
    return rc;
}
