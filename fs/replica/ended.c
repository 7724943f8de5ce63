/*
 * fs/replica/ended - replicas whose later changes are void. Source: README.md, Void changes.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "fs/replica/record.h"

uint64_t replica_end_of(const struct replica *r, uint64_t id)
{
    for (size_t i = 0; i < r->ends_n; i++)
        if (r->ends[i].replica == id)
            return r->ends[i].counter;
    return UINT64_MAX;
}

int replica_set_ends(struct replica *r, const struct dot *last, size_t n)
{
    struct dot *ends = calloc(n == 0 ? 1 : n, sizeof *ends);
    if (ends == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        assert(last[i].replica != r->id);
        ends[i] = last[i];
    }
    free(r->ends);
    r->ends = ends;
    r->ends_n = n;
    return 0;
}

/* Lowering takes no memory. */
void replica_cap(const struct replica *r, struct vv *v)
{
    for (size_t i = 0; i < r->ends_n; i++) {
        const struct dot *end = &r->ends[i];
        if (vv_get(v, end->replica) > end->counter && vv_set(v, end->replica, end->counter) < 0)
            assert(false);
    }
}

static bool is_beyond(const struct replica *r, const struct vv *v)
{
    bool beyond = false;
    for (size_t i = 0; i < v->n; i++)
        beyond = beyond || replica_is_void(r, &v->v[i]);
    return beyond;
}

/* The records stay as they are: what is void in them is taken over later. */
int replica_end(struct replica *r, struct db_batch *batch)
{
    assert(!r->change.open && !r->pending);
    if (!is_beyond(r, &r->known) && !is_beyond(r, &r->applied) && !is_beyond(r, &r->floor))
        return 0;
    int rc = replica_pend(r);
    if (rc < 0)
        return rc;
    replica_cap(r, &r->known);
    replica_cap(r, &r->applied);
    replica_cap(r, &r->floor);
    rc = replica_flush(r, txn_mark(&r->txn), batch);
    if (rc < 0)
        replica_abort(r);
    return rc < 0 ? rc : 1;
}

static int found(void *ctx, struct bytes key, struct bytes row)
{
    (void)ctx;
    (void)row;
    return key.n == LOG_KEY ? 1 : -EUCLEAN;
}

int replica_has_void(struct replica *r)
{
    int rc = 0;
    for (size_t i = 0; i < r->ends_n && rc == 0; i++) {
        uint8_t prefix[8], from[DOT_SIZE];
        put_u64(prefix, r->ends[i].replica);
        dot_encode(&(struct dot){r->ends[i].replica, r->ends[i].counter + 1}, from);
        rc = txn_scan(&r->txn, DB_LOG, bytes_of(prefix, sizeof prefix), bytes_of(from, DOT_SIZE),
                      found, NULL);
    }
    return replica_done(r, rc);
}
