/*
 * fs/replica/clean - the floor, removal of deleted records, a new replica id. Source: README.md,
 * Clean-up and Rolled-back databases.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "fs/replica/derive.h"
#include "fs/replica/mutant.h"
#include "fs/replica/node.h"

/* ---- the floor ------------------------------------------------------------------------------- */

/* What every member acknowledged, if all that it did before is here; else empty. */
static int common(const struct replica *r, const struct replica_ack *acks, size_t n, struct vv *ret)
{
    for (size_t i = 0; i < n; i++)
        if (!MUTANT(acks_alone) &&
            vv_get(&r->known, acks[i].replica) < vv_get(acks[i].knowledge, acks[i].replica))
            return 0; /* an edit made before the acknowledgement may still be on its way */
    int rc = vv_copy(ret, &r->known);
    for (size_t i = 0; i < n && rc == 0; i++)
        vv_meet(ret, acks[i].knowledge);
    return rc;
}

int replica_raise_floor(struct replica *r, struct db_batch *batch, const struct replica_ack *acks,
                        size_t n)
{
    assert(!r->change.open);
    CLEANUP(vv_fini) struct vv floor = {0};
    int rc = common(r, acks, n, &floor);
    if (rc == 0)
        rc = vv_join(&floor, &r->floor);
    if (rc < 0 || vv_equal(&floor, &r->floor))
        return rc;
    rc = replica_pend(r);
    if (rc < 0)
        return rc;
    struct vv before = r->floor;
    size_t mark = txn_mark(&r->txn);
    r->floor = floor;
    rc = replica_flush(r, mark, batch);
    if (rc < 0) {
        r->floor = before;
        replica_undo(r, mark);
        return rc;
    }
    floor = before; /* to be freed */
    return 0;
}

/* ---- removal --------------------------------------------------------------------------------- */

static int collect(void *ctx, struct bytes key, struct bytes row)
{
    (void)row;
    if (key.n != 1 + RID_SIZE)
        return -EUCLEAN;
    struct rid rid = rid_at(key, 1);
    struct rids *l = ctx;
    l->head = l->n; /* the rows differ: no search for repetitions */
    return rids_add(l, &rid);
}

/* 1: deleted for all, and nothing says that it is in this record: it may go. */
static int removable(struct replica *r, const struct node *n, const struct record *rec)
{
    if (!n->dead || (n->refs_n > 0 && !MUTANT(clean_from_top)) || rec->n == 0)
        return 0;
    for (size_t i = 0; i < rec->n; i++)
        if (!vv_has(&r->floor, &rec->v[i].dot) && !MUTANT(clean_at_once))
            return 0;
    return 1;
}

/* Removes @rid if it may go, then what that sets free: from the bottom up. The number removed. */
static int remove_up(struct replica *r, const struct rid *rid, struct rids *next)
{
    struct node n;
    struct record rec;
    int rc = node_load(r, rid, &n);
    if (rc == 0)
        rc = record_load(r, rid, &rec);
    if (rc == 0)
        rc = removable(r, &n, &rec);
    if (rc <= 0)
        return rc;
    for (size_t i = 0; i < rec.n && rc >= 0; i++)
        if (rec.v[i].facet == FACET_PLACE && !rid_is_root(&rec.v[i].place.parent))
            rc = rids_add(next, &rec.v[i].place.parent);
    if (rc >= 0)
        rc = record_remove(r, &rec);
    if (rc == 0)
        rc = settle(r);
    return rc < 0 ? rc : 1;
}

static int clean(struct replica *r, size_t max)
{
    struct rids dead = {0};
    const uint8_t tag = SHOWN_DEAD;
    int rc =
        txn_scan(&r->txn, DB_SHOWN, bytes_of(&tag, 1), (struct bytes){NULL, 0}, collect, &dead);
    dead.head = dead.n; /* parents that are added are looked at once more */
    size_t removed = 0;
    for (size_t i = 0; i < dead.n && rc >= 0 && removed < max; i++) {
        struct rid rid = dead.v[i];
        rc = remove_up(r, &rid, &dead);
        removed += rc == 1;
        if (dead.head <= i)
            dead.head = i + 1;
    }
    rids_fini(&dead);
    return rc < 0 ? rc : (int)removed;
}

int replica_clean(struct replica *r, struct db_batch *batch, size_t max)
{
    assert(!r->change.open);
    int rc = replica_pend(r);
    size_t mark = txn_mark(&r->txn);
    if (rc == 0)
        rc = clean(r, max > INT32_MAX ? INT32_MAX : max);
    int flushed = rc > 0 ? replica_flush(r, mark, batch) : 0;
    if (rc <= 0 || flushed < 0)
        replica_undo(r, mark);
    return flushed < 0 ? flushed : rc;
}
