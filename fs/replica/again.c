/*
 * fs/replica/again - own changes that nobody has yet, written anew under new dots: what they say
 * stays, with its stamp.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "fs/replica/author.h"
#include "fs/replica/record.h"
#include "fs/replica/rewrite.h"

static bool is_among(const struct dot *dots, size_t n, const struct dot *d)
{
    for (size_t i = 0; i < n; i++)
        if (dot_equal(&dots[i], d))
            return true;
    return false;
}

/* @old as of the change @now, which has seen it. */
static int rewrite_value(const struct rewrite *w, struct record *rec, const struct value *old,
                         const struct dot *now)
{
    CLEANUP(vv_fini) struct vv ctx = {0};
    struct value v = *old;
    v.dot = *now;
    v.from_own = false;
    int rc = author_from(w->r, old, &v.from);
    if (rc == 0 && v.facet == FACET_CONTENT)
        rc = author_body(w->r, old, &v.content);
    if (rc == 0)
        rc = vv_join_dots(&ctx, old->ctx);
    if (rc == 0)
        rc = vv_add(&ctx, &old->dot);
    if (rc == 0)
        rc = rewrite_dots(w, &ctx, &v.ctx);
    return rc < 0 ? rc : record_replace(w->r, rec, old, &v);
}

static int end_change(struct replica *r, const struct dot *now)
{
    int rc = vv_add(&r->known, now);
    if (rc == 0)
        rc = vv_add(&r->applied, now);
    if (rc == 0)
        rc = replica_tell_reserve(r);
    if (rc == 0)
        replica_tell(r, now, true);
    return rc;
}

/* Each of the changes by one new one: how many. */
static int rewrite_all(const struct rewrite *w, const struct dot *dots, size_t n)
{
    struct replica *r = w->r;
    struct dot now = {r->id, vv_get(&r->known, r->id)};
    const struct dot *last = NULL;
    int done = 0, rc = 0;
    for (size_t i = 0; rc == 0 && i < w->n; i++) {
        if (!is_among(dots, n, &w->v[i].dot))
            continue;
        if (last == NULL || !dot_equal(&w->v[i].dot, last)) {
            now.counter++;
            done++;
            rc = end_change(r, &now);
        }
        last = &w->v[i].dot;
        if (rc == 0)
            rc = rewrite_values(w, &w->v[i], &now, rewrite_value);
    }
    if (rc == 0)
        rc = settle(r);
    return rc < 0 ? rc : done;
}

int replica_again(struct replica *r, struct db_batch *batch, const struct dot *dots, size_t n)
{
    assert(!r->change.open && !r->pending && n > 0);
    int rc = replica_pend(r);
    if (rc < 0)
        return rc;
    struct rewrite w = {.r = r};
    size_t mark = txn_mark(&r->txn);
    rc = rewrite_collect(&w, &(struct dot){dots[0].replica, dots[0].counter - 1});
    int done = rc < 0 ? rc : rewrite_all(&w, dots, n);
    rc = done < 0 ? done : 0;
    if (done > 0)
        rc = replica_flush(r, mark, batch);
    else if (done == 0)
        replica_undo(r, mark);
    rewrite_fini(&w);
    if (rc < 0)
        replica_abort(r);
    return rc < 0 ? rc : done;
}
