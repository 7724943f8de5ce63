/*
 * fs/replica/adopt - void values that are held are taken over as own ones. Source: README.md, Void
 * changes.
 *
 * What is taken over keeps its stamp, and has seen what it had seen, but for what is void: so equal
 * ones of several devices are recognised, and nothing is superseded that its author had not seen.
 */
#include <assert.h>
#include <errno.h>

#include "fs/replica/author.h"
#include "fs/replica/rewrite.h"

struct adoption {
    struct rewrite w;
    bool alone;
    struct dot now; /* the own change; its counter is used up once something is written */
    size_t parts;   /* written in it */
};

/* ---- what somebody took over -------------------------------------------------------------------
 */

static bool same_place(const struct value *v, const struct value *by)
{
    return rid_equal(&v->place.parent, &by->place.parent) &&
           bytes_equal(v->place.name, by->place.name) && (by->place.alive || !v->place.alive);
}

static bool same_data(const struct value *v, const struct value *by)
{
    switch (v->facet) {
    case FACET_PLACE:
        return same_place(v, by);
    case FACET_META:
        return v->meta.mode == by->meta.mode && bytes_equal(v->meta.xattrs, by->meta.xattrs);
    case FACET_CONTENT:
        return derive_same_bytes(v, by);
    }
    return false;
}

/* Whether @by says all that the void @v says, and has seen all that it had seen: 1, 0. */
static int says_all(const struct adoption *a, const struct value *v, const struct value *by)
{
    struct dots seen;
    if (rewrite_is_lost(&a->w, &by->dot) || stamp_cmp(&v->stamp, &by->stamp) != 0 ||
        !same_data(v, by))
        return 0;
    int rc = rewrite_cut(&a->w, v->ctx, &seen);
    bool all = rc == 0;
    for (size_t i = 0; all && i < seen.n; i++) {
        struct dot d = dots_at(seen, i);
        all = value_seen(by, &d);
    }
    return rc < 0 ? rc : all;
}

/* A later void value of the same author stands for this one: an author's values are a chain. */
static bool stands_for(const struct value *v, const struct value *by)
{
    return by->dot.replica == v->dot.replica && by->dot.counter > v->dot.counter;
}

/* 1: another value of its facet says what @v says; 0. */
static int is_adopted(const struct adoption *a, const struct record *rec, const struct value *v)
{
    struct values vs = record_facet(rec, v->facet, &v->slot);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < vs.n; i++)
        rc = stands_for(v, &vs.v[i]) ? 1 : says_all(a, v, &vs.v[i]);
    return rc;
}

/* ---- writing -----------------------------------------------------------------------------------
 */

/* The own value of the facet of @v, which @v has perhaps not seen; NULL: none. */
static const struct value *own_value(const struct adoption *a, const struct record *rec,
                                     const struct value *v)
{
    struct values vs = record_facet(rec, v->facet, &v->slot);
    for (size_t i = 0; i < vs.n; i++)
        if (vs.v[i].dot.replica == a->now.replica)
            return &vs.v[i];
    return NULL;
}

/* What @v had seen and, if there is one, what @own has: @v is written in its place, too. */
static int seen_by(const struct adoption *a, const struct value *v, const struct value *own,
                   struct dots *ret)
{
    CLEANUP(vv_fini) struct vv ctx = {0};
    int rc = rewrite_cut(&a->w, v->ctx, ret);
    if (rc == 0)
        rc = vv_join_dots(&ctx, *ret);
    if (rc == 0 && own != NULL)
        rc = vv_join_dots(&ctx, own->ctx);
    if (rc == 0 && own != NULL)
        rc = vv_add(&ctx, &own->dot);
    if (rc == 0 && vv_has(&ctx, &a->now))
        rc = vv_set(&ctx, a->now.replica, a->now.counter - 1);
    if (rc == 0 && ctx.n > LIMIT_VECTOR)
        rc = -E2BIG;
    return rc < 0 ? rc : rewrite_dots(&a->w, &ctx, ret);
}

/* Adds what a deletion has seen of the name, or of the content, that @v is a value of. */
static int add_deleted(const struct value *deletion, const struct value *v, struct vv *ret)
{
    if (v->facet == FACET_CONTENT)
        return vv_join_dots(ret, deletion->place.cseen);
    if (!value_same_facet(deletion, v))
        return 0;
    int rc = vv_join_dots(ret, deletion->ctx);
    return rc < 0 ? rc : vv_add(ret, &deletion->dot);
}

/*
 * Whether @v is deleted by somebody whose deletion counts: 1, 0. A void deletion is, if there is
 * another one.
 */
static int is_deleted(const struct adoption *a, const struct record *rec, const struct value *v)
{
    CLEANUP(vv_fini) struct vv deleted = {0};
    size_t n = 0;
    int rc = 0;
    for (size_t i = 0; i < rec->n && rc == 0; i++) {
        const struct value *d = &rec->v[i];
        if (d->facet != FACET_PLACE || d->place.alive || rewrite_is_lost(&a->w, &d->dot))
            continue;
        n += value_same_facet(d, v);
        rc = add_deleted(d, v, &deleted);
    }
    if (rc < 0 || v->facet == FACET_META)
        return rc;
    if (v->facet == FACET_PLACE && !v->place.alive)
        return n > 0;
    return value_from_within(v, &deleted);
}

/* Whether @v is a void deletion; one that only repeats somebody's deletion is not. */
static bool is_void_deletion(const struct adoption *a, const struct value *v)
{
    bool lost = false;
    for (size_t i = 0; i < value_from_n(v); i++) {
        struct dot d = value_from_at(v, i);
        lost = lost || rewrite_is_lost(&a->w, &d);
    }
    return v->facet == FACET_PLACE && !v->place.alive && lost;
}

/* The void @v as an own value. */
static int copy(const struct adoption *a, const struct record *rec, const struct value *v,
                struct value *ret)
{
    struct replica *r = a->w.r;
    *ret = *v;
    int deleted = is_deleted(a, rec, v), rc = deleted < 0 ? deleted : 0;
    if (rc == 0) /* what was deleted stays so: then it is nobody's save */
        rc = rewrite_origin(&a->w, deleted ? NULL : &a->now, ret);
    if (rc == 0 && v->facet == FACET_CONTENT)
        rc = author_body(r, v, &ret->content);
    if (is_void_deletion(a, v)) {
        ret->place.alive = true;
        ret->place.cseen = (struct dots){NULL, 0};
        ret->from_own = !deleted;
        ret->from = (struct dots){NULL, 0};
    } else if (rc == 0 && v->facet == FACET_PLACE && !v->place.alive) {
        rc = rewrite_cut(&a->w, v->place.cseen, &ret->place.cseen);
    }
    return rc;
}

/* The own @v again, as its author's save that it was. */
static int again(const struct adoption *a, const struct value *v, struct value *ret)
{
    *ret = *v;
    ret->from_own = false;
    int rc = author_from(a->w.r, v, &ret->from);
    return rc < 0 || v->facet != FACET_CONTENT ? rc : author_body(a->w.r, v, &ret->content);
}

static int write_value(struct adoption *a, struct record *rec, const struct value *gone,
                       struct value *v)
{
    v->dot = a->now;
    a->parts++;
    return record_replace(a->w.r, rec, gone, v);
}

/* A loser of a content becomes a sibling file, as in a conflict that is resolved. */
static int write_sibling(struct adoption *a, const struct record *rec, const struct value *loser)
{
    struct replica *r = a->w.r;
    struct parts ps = {0};
    struct slots s;
    int rc = derive_slots(r, rec, &s);
    if (rc == 0)
        rc = parts_siblings(r, &ps, rec, &s, &loser, 1);
    if (rc == -ENOENT) /* not shown: history has it */
        return 0;
    for (size_t i = 0; i < ps.n && rc == 0; i++) {
        struct value v = ps.v[i].v;
        struct record sibling;
        CLEANUP(vv_fini) struct vv ctx = {0};
        rc = record_load(r, &v.rid, &sibling);
        if (rc == 0)
            rc = vv_copy(&ctx, &r->floor);
        if (rc == 0)
            rc = vv_join_dots(&ctx, ps.v[i].extra);
        if (rc == 0)
            rc = rewrite_dots(&a->w, &ctx, &v.ctx);
        if (rc == 0)
            rc = write_value(a, &sibling, NULL, &v);
    }
    return rc;
}

/* A void deletion is not greater than anything; else it is as in reading. */
static bool is_greater(const struct value *a, const struct value *b)
{
    if (a->facet == FACET_PLACE && (!a->place.alive || !b->place.alive))
        return a->place.alive;
    return (a->facet == FACET_CONTENT ? derive_content_cmp(a, b) : derive_cmp(a, b)) > 0;
}

/*
 * There is an own value in the facet. Own values of a facet have to be a chain, as a vector knows
 * no other; so one value takes the place of both, with the data of the greater one.
 */
static int adopt_beside(struct adoption *a, struct record *rec, const struct value *v,
                        const struct value *own)
{
    bool wins = is_greater(v, own);
    const struct value *lose = wins ? own : v;
    struct value one;
    int rc = 0;
    if (v->facet == FACET_CONTENT && !derive_same_bytes(v, own))
        rc = write_sibling(a, rec, lose);
    if (rc == 0)
        rc = wins ? copy(a, rec, v, &one) : again(a, own, &one);
    if (rc == 0)
        rc = seen_by(a, v, own, &one.ctx);
    return rc < 0 ? rc : write_value(a, rec, v, &one);
}

/*
 * A record that was dead may be cleaned up elsewhere: with its name all of it is written. Where
 * several values of a facet are held, nobody has cleaned it up.
 */
static int write_rest(struct adoption *a, struct record *rec)
{
    static const enum facet facets[] = {FACET_META, FACET_CONTENT};
    int rc = 0;
    for (size_t i = 0; i < ARRAY_N(facets) && rc == 0; i++) {
        struct values vs = record_facet(rec, facets[i], NULL);
        struct value v;
        if (vs.n != 1 || rewrite_is_lost(&a->w, &vs.v[0].dot) || dot_equal(&vs.v[0].dot, &a->now))
            continue;
        const struct value *old = vs.v;
        rc = again(a, old, &v);
        if (rc == 0)
            rc = seen_by(a, old, old, &v.ctx);
        if (rc == 0)
            rc = write_value(a, rec, old, &v);
    }
    return rc;
}

static int adopt_value(struct adoption *a, struct record *rec, const struct value *v)
{
    const struct value *own = own_value(a, rec, v);
    bool undone = is_void_deletion(a, v);
    struct slots s;
    struct value one;
    if (own != NULL)
        return adopt_beside(a, rec, v, own);
    int rc = derive_slots(a->w.r, rec, &s);
    if (rc == 0)
        rc = copy(a, rec, v, &one);
    if (rc == 0)
        rc = seen_by(a, v, NULL, &one.ctx);
    if (rc == 0)
        rc = write_value(a, rec, v, &one);
    return rc == 0 && undone && !s.own ? write_rest(a, rec) : rc;
}

/* ---- changes -----------------------------------------------------------------------------------
 */

/* One record of a void change. 1: something was done; 0: it is left to somebody. */
static int adopt_record(struct adoption *a, const struct rewrite_one *u)
{
    struct record rec;
    int rc = record_load(a->w.r, &u->rid, &rec);
    bool any = false;
    for (size_t i = 0; rc == 0 && i < rec.n; i++) {
        if (!dot_equal(&rec.v[i].dot, &u->dot))
            continue;
        int adopted = is_adopted(a, &rec, &rec.v[i]);
        if (adopted < 0)
            return adopted;
        if (adopted == 0 && !a->alone)
            continue;
        rc = adopted ? record_forget(a->w.r, &rec, &rec.v[i]) : adopt_value(a, &rec, &rec.v[i]);
        any = true;
        i = SIZE_MAX; /* the values are others now: from the first again */
    }
    return rc < 0 ? rc : any;
}

/* The own change is complete: the next one has the next counter. */
static int end_change(struct adoption *a)
{
    struct replica *r = a->w.r;
    if (a->parts == 0)
        return 0;
    int rc = vv_add(&r->known, &a->now);
    if (rc == 0)
        rc = vv_add(&r->applied, &a->now);
    if (rc == 0)
        rc = replica_tell_reserve(r);
    if (rc < 0)
        return rc;
    replica_tell(r, &a->now, true);
    a->now.counter++;
    a->parts = 0;
    return 0;
}

/* At most so many parts of a change may come of one record of a void one. */
enum { PARTS_OF_RECORD = 64 };

/* All that were collected, each void change by one own one: how many, or an error. */
static int adopt_all(struct adoption *a)
{
    struct rewrite *w = &a->w;
    int n = 0;
    for (size_t i = 0; i < w->n; i++) {
        bool next = i == 0 || !dot_equal(&w->v[i].dot, &w->v[i - 1].dot);
        int rc = 0;
        if (next || a->parts + PARTS_OF_RECORD > LIMIT_CHANGE_PARTS)
            rc = end_change(a);
        if (rc == 0)
            rc = adopt_record(a, &w->v[i]);
        if (rc < 0)
            return rc;
        n += rc;
    }
    int rc = end_change(a);
    return rc < 0 ? rc : n;
}

static int adopt(struct adoption *a, size_t max)
{
    struct replica *r = a->w.r;
    /* Of what is left to others the first ones stay: all are looked at then. */
    a->w.max = a->alone ? max : 0;
    int rc = 0;
    for (size_t i = 0; i < r->ends_n && rc == 0; i++)
        rc = rewrite_collect(&a->w, &r->ends[i]);
    if (rc < 0)
        return rc;
    int n = adopt_all(a);
    rc = n < 0 ? n : settle(r);
    return rc < 0 ? rc : n;
}

int replica_adopt(struct replica *r, struct db_batch *batch, bool alone, size_t max)
{
    assert(!r->change.open && !r->pending);
    int rc = replica_pend(r);
    if (rc < 0)
        return rc;
    struct adoption a = {
        .w = {.r = r}, .alone = alone, .now = {r->id, vv_get(&r->known, r->id) + 1}};
    size_t mark = txn_mark(&r->txn);
    int n = adopt(&a, max);
    rc = n < 0 ? n : 0;
    if (n > 0)
        rc = replica_flush(r, mark, batch);
    else if (n == 0)
        replica_undo(r, mark);
    rewrite_fini(&a.w);
    if (rc < 0)
        replica_abort(r);
    return rc < 0 ? rc : n;
}
