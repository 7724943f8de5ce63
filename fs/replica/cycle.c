#include "fs/replica/cycle.h"

#include <assert.h>
#include <errno.h>

#include "fs/replica/mutant.h"

enum { LEVEL_ROOT = 2 };

static int collect(void *ctx, struct bytes key, struct bytes value)
{
    (void)value;
    if (key.n != 1 + RID_SIZE)
        return -EUCLEAN;
    struct rid rid = rid_at(key, 1);
    return rids_add(ctx, &rid);
}

int cycle_suspended(struct replica *r, struct rids *ret)
{
    struct counts c;
    int rc = counts_load(r, &c);
    if (rc < 0 || c.suspended == 0)
        return rc;
    const uint8_t tag = SHOWN_SUSPENDED;
    return txn_scan(&r->txn, DB_SHOWN, bytes_of(&tag, 1), (struct bytes){NULL, 0}, collect, ret);
}

/* One step up: 1 and the parent's node, or 0 at the root or where the parent is not held. */
static int step(struct replica *r, struct node *n)
{
    struct rid up;
    int rc = node_up(r, n, &up);
    if (rc < 0 || rid_is_root(&up))
        return rc;
    rc = node_load(r, &up, n);
    return rc < 0 ? rc : n->held;
}

static bool later(const struct node *a, const struct node *b)
{
    int c = stamp_cmp(&a->stamp, &b->stamp);
    if (c == 0)
        c = dot_cmp(&a->dot, &b->dot);
    if (c == 0)
        c = rid_cmp(&a->rid, &b->rid); /* one change can move two directories */
    return MUTANT(earliest_yields) ? c < 0 : c > 0;
}

/* Walks up from @from: 1 and a directory on a cycle that the walk ends in, or 0. Brent's method. */
static int find(struct replica *r, const struct node *from, struct node *ret)
{
    struct node hare = *from, tortoise = *from;
    uint64_t power = 1, length = 0;
    for (;;) {
        int rc = step(r, &hare);
        if (rc <= 0)
            return rc;
        if (rid_equal(&hare.rid, &tortoise.rid)) {
            *ret = hare;
            return 1;
        }
        if (++length == power) {
            tortoise = hare;
            power *= 2;
            length = 0;
        }
    }
}

/* The latest move of the cycle that @on is on does not hold: that directory goes up one level. */
static int break_cycle(struct replica *r, const struct node *on, struct rids *touched)
{
    struct node last = *on, at = *on;
    for (;;) {
        int rc = step(r, &at);
        if (rc < 0)
            return rc;
        assert(rc == 1);
        if (rid_equal(&at.rid, &on->rid))
            break;
        if (later(&at, &last))
            last = at;
    }
    assert(last.level < LEVEL_ROOT); /* at the top level the parent is the root */
    last.level++;
    int rc = node_store(r, &last);
    return rc < 0 ? rc : rids_add(touched, &last.rid);
}

static int reset_levels(struct replica *r, const struct rids *dirs)
{
    for (size_t i = 0; i < dirs->n; i++) {
        struct node n;
        int rc = node_load(r, &dirs->v[i], &n);
        if (rc == 0 && n.level > 0 && !MUTANT(level_stays)) {
            n.level = 0;
            rc = node_store(r, &n);
        }
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* The rows of suspended directories, and their number, as the levels say now. */
static int record_levels(struct replica *r, const struct rids *dirs, uint64_t before_n)
{
    uint64_t now_n = 0;
    for (size_t i = 0; i < dirs->n; i++) {
        struct node n;
        int rc = node_load(r, &dirs->v[i], &n);
        if (rc < 0)
            return rc;
        /* Without any before and now there is no row to take away. */
        if (n.level > 0 || before_n > 0)
            rc = node_mark(r, SHOWN_SUSPENDED, &dirs->v[i], n.level > 0);
        if (rc == 0)
            rc = rids_add(&r->dirty, &dirs->v[i]);
        if (rc < 0)
            return rc;
        now_n += n.level > 0;
    }
    if (now_n == before_n)
        return 0;
    struct counts c;
    int rc = counts_load(r, &c);
    c.suspended = now_n;
    return rc < 0 ? rc : counts_store(r, &c);
}

/*
 * A cycle contains a directory that moved, or one that was suspended and is tried at its place
 * again: all else is part of what was free of cycles before. So walking up from those finds every
 * one.
 */
static int part(struct replica *r, struct rids *dirs)
{
    int rc = cycle_suspended(r, dirs);
    uint64_t before_n = dirs->n;
    if (rc == 0)
        rc = reset_levels(r, dirs);
    for (size_t i = 0; i < r->moved.n && rc == 0; i++)
        rc = rids_add(dirs, &r->moved.v[i]);
    for (size_t i = 0; i < dirs->n && rc == 0; i++) {
        struct node n, on;
        int found;
        do {
            rc = node_load(r, &dirs->v[i], &n);
            found = rc < 0 || !n.held ? rc : find(r, &n, &on);
            rc = found > 0 ? break_cycle(r, &on, dirs) : found;
        } while (found > 0 && rc == 0);
    }
    return rc < 0 ? rc : record_levels(r, dirs, before_n);
}

int cycle_update(struct replica *r)
{
    if (r->moved.n == 0)
        return 0;
    struct rids dirs = {0};
    int rc = part(r, &dirs);
    rids_fini(&dirs);
    return rc;
}
