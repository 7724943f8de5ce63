/*
 * fs/replica/settle - after records changed: what is derived from them, in four steps.
 *
 * 1 each changed record by itself, 2 cycles of directories, 3 what each record claims, which climbs
 * up only while a directory begins or ceases to hold something, 4 names. No step walks over a tree.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "fs/replica/cycle.h"
#include "fs/replica/derive.h"
#include "fs/replica/mutant.h"
#include "fs/replica/names.h"

/* ---- lists -------------------------------------------------------------------------------------
 */

int rids_add(struct rids *l, const struct rid *rid)
{
    for (size_t i = l->n; i-- > l->head;)
        if (rid_equal(&l->v[i], rid))
            return 0;
    if (l->n == l->cap) {
        size_t cap = l->cap == 0 ? 8 : l->cap * 2;
        struct rid *v = reallocarray(l->v, cap, sizeof *v);
        if (v == NULL)
            return -ENOMEM;
        l->v = v;
        l->cap = cap;
    }
    l->v[l->n++] = *rid;
    return 0;
}

void rids_reset(struct rids *l)
{
    l->n = l->head = 0;
}

void rids_fini(struct rids *l)
{
    free(l->v);
    *l = (struct rids){0};
}

void settle_reset(struct replica *r)
{
    rids_reset(&r->dirty);
    rids_reset(&r->moved);
    r->groups.n = r->clusters.n = 0;
}

/* ---- 1: a record by itself ---------------------------------------------------------------------
 */

static bool same_place(const struct node *n, const struct value *v)
{
    return rid_equal(&n->parent, &v->place.parent) && rid_equal(&n->prev, &v->place.prev) &&
           stamp_cmp(&n->stamp, &v->stamp) == 0 && dot_equal(&n->dot, &v->dot);
}

/* The node of a directory follows its place; what others depend on is noted in @r->moved. */
static int follow_dir(struct replica *r, struct node *n, const struct slots *s)
{
    bool held = s->n > 0;
    const struct value *win = held ? s->v[0].win : NULL;
    if (n->held == held && n->own == s->own && (!held || same_place(n, win)))
        return 0;
    n->held = held;
    n->own = s->own;
    n->parent = held ? win->place.parent : RID_ROOT;
    n->prev = held ? win->place.prev : RID_ROOT;
    n->stamp = held ? win->stamp : (struct stamp){0, 0};
    n->dot = held ? win->dot : (struct dot){0, 0};
    int rc = node_store(r, n);
    return rc < 0 ? rc : rids_add(&r->moved, &n->rid);
}

static int follow_conflict(struct replica *r, const struct record *rec, struct node *n)
{
    const struct value **unsettled;
    size_t unsettled_n;
    int rc = derive_unsettled(r, rec, &unsettled, &unsettled_n);
    if (rc < 0 || n->conflict == (unsettled_n > 1))
        return rc;
    n->conflict = unsettled_n > 1;
    rc = node_mark(r, SHOWN_CONFLICT, &n->rid, n->conflict);
    return rc < 0 ? rc : node_store(r, n);
}

static int follow(struct replica *r, const struct rid *rid)
{
    struct record rec;
    struct slots s;
    struct node n;
    int rc = record_load(r, rid, &rec);
    if (rc == 0 && rid_is_root(rid))
        return 0; /* it has no place, only meta */
    if (rc == 0)
        rc = derive_slots(r, &rec, &s);
    if (rc == 0)
        rc = node_load(r, rid, &n);
    if (rc < 0)
        return rc;
    return rid_is_dir(rid) ? follow_dir(r, &n, &s) : follow_conflict(r, &rec, &n);
}

/* ---- 3: claims ---------------------------------------------------------------------------------
 */

static int count_live(struct replica *r, const struct rid *dir, int by)
{
    struct node n;
    int rc = node_load(r, dir, &n);
    if (rc < 0)
        return rc;
    if (by < 0 && n.live_n == 0)
        return -EUCLEAN;
    uint64_t before = n.live_n;
    n.live_n += (uint64_t)(int64_t)by;
    rc = node_store(r, &n);
    /* A deleted directory is shown while it holds something. */
    if (rc == 0 && n.held && !n.own && (before == 0) != (n.live_n == 0) && !MUTANT(no_climb))
        rc = rids_add(&r->dirty, dir);
    return rc;
}

static struct claim claim_of(const struct slot *s, const struct rid *parent)
{
    const struct value *v = s->win;
    return (struct claim){s->slot, *parent, v->place.name, v->stamp, v->dot};
}

/* What the record claims now: its shown places; a directory has one, which cycles may have moved.
 */
static int wanted_claims(struct replica *r, const struct node *n, const struct slots *s,
                         struct claim **ret, size_t *ret_n)
{
    struct claim *v = txn_alloc(&r->txn, (s->n + 1) * sizeof *v);
    if (v == NULL)
        return -ENOMEM;
    size_t count = 0;
    if (rid_is_dir(&n->rid)) {
        struct rid up;
        int rc = s->n == 0 ? 0 : node_up(r, n, &up);
        if (rc < 0)
            return rc;
        if (s->n > 0 && (s->own || n->live_n > 0))
            v[count++] = claim_of(&s->v[0], &up);
    } else {
        for (size_t i = 0; i < s->n; i++)
            if (s->v[i].shown)
                v[count++] = claim_of(&s->v[i], &s->v[i].win->place.parent);
    }
    *ret = v;
    *ret_n = count;
    return 0;
}

static bool same_claim(const struct claim *a, const struct claim *b)
{
    return dot_equal(&a->slot, &b->slot) && rid_equal(&a->parent, &b->parent) &&
           bytes_equal(a->name, b->name) && stamp_cmp(&a->stamp, &b->stamp) == 0 &&
           dot_equal(&a->dot, &b->dot);
}

static bool among(const struct claim *c, const struct claim *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (same_claim(c, &v[i]))
            return true;
    return false;
}

/* Claims that are only in @old end, those only in @want begin. Both are few: names of one record.
 */
static int change_claims(struct replica *r, const struct rid *rid, const struct claim *old,
                         size_t old_n, const struct claim *want, size_t want_n)
{
    int rc = 0;
    for (size_t i = 0; i < old_n && rc == 0; i++) {
        if (among(&old[i], want, want_n))
            continue;
        rc = names_release(r, rid, &old[i]);
        if (rc == 0)
            rc = count_live(r, &old[i].parent, -1);
    }
    for (size_t i = 0; i < want_n && rc == 0; i++) {
        if (among(&want[i], old, old_n))
            continue;
        rc = names_claim(r, rid, &want[i]);
        if (rc == 0)
            rc = count_live(r, &want[i].parent, 1);
    }
    return rc;
}

static int claim(struct replica *r, const struct rid *rid)
{
    struct record rec;
    struct slots s;
    struct node n;
    struct claim *want;
    size_t want_n;
    int rc = rid_is_root(rid) ? 1 : record_load(r, rid, &rec);
    if (rc == 0)
        rc = derive_slots(r, &rec, &s);
    if (rc == 0)
        rc = node_load(r, rid, &n);
    if (rc == 0)
        rc = wanted_claims(r, &n, &s, &want, &want_n);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    struct claim *old = n.claims;
    size_t old_n = n.claims_n;
    bool dead = s.n > 0 && want_n == 0;
    if (dead != n.dead)
        rc = node_mark(r, SHOWN_DEAD, rid, dead);
    n.dead = dead;
    n.held = s.n > 0;
    n.own = s.own;
    n.claims = want;
    n.claims_n = want_n;
    if (rc == 0)
        rc = node_store(r, &n);
    return rc < 0 ? rc : change_claims(r, rid, old, old_n, want, want_n);
}

/* ---- all ----------------------------------------------------------------------------------------
 */

int settle(struct replica *r)
{
    int rc = 0;
    for (size_t i = 0; i < r->dirty.n && rc == 0; i++)
        rc = follow(r, &r->dirty.v[i]);
    if (rc == 0)
        rc = cycle_update(r);
    while (rc == 0 && r->dirty.head < r->dirty.n) {
        struct rid rid = r->dirty.v[r->dirty.head++];
        rc = claim(r, &rid);
    }
    if (rc == 0)
        rc = names_settle(r);
    settle_reset(r);
    return rc;
}
