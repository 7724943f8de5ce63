/*
 * What follows from an applied entry for this device's knowledge: see sync_priv.h, `after`.
 */
#include <errno.h>

#include "fs/space/sync_priv.h"

enum { GAP_KEY = 1 + 16 };

static struct sync_key gap_key(uint64_t replica, uint64_t after)
{
    return sync_key_dot(SYNC_GAP, &(struct dot){replica, after});
}

/* Knowledge that grows with what is applied. */
struct growth {
    struct vv to;
    struct vv looked; /* up to here what was applied beyond it is in @to */
};

/* Of @dot's replica a change is applied that follows on @after: known, if all up to that is. */
static int grow(struct growth *g, const struct dot *dot, uint64_t after)
{
    uint64_t has = vv_get(&g->to, dot->replica);
    return has < after || has >= dot->counter ? 0 : vv_add(&g->to, dot);
}

/* Over what was applied beyond the knowledge of a replica before. */
static int close_gaps(struct space *s, struct db_batch *batch, struct growth *g, uint64_t replica)
{
    struct sync_key first = gap_key(replica, vv_get(&s->sync->gapless, replica));
    struct db_iter *it = db_iter_new(s->db, DB_SYNC, bytes_of(first.p, 1 + 8), NULL);
    if (it == NULL)
        return -ENOMEM;
    int rc = 0;
    db_iter_seek(it, sync_key_bytes(&first)); /* not over all that was deleted before it */
    /* Ascending by `after`: each row is met when all that can come before it was. */
    while (rc == 0 && db_iter_next(it)) {
        struct bytes key = db_iter_key(it), row = db_iter_value(it);
        if (key.n != GAP_KEY || row.n != 8) {
            rc = -EUCLEAN;
            break;
        }
        uint64_t after = get_u64(key.p + 9);
        if (after > vv_get(&g->to, replica))
            break;
        rc = grow(g, &(struct dot){replica, get_u64(row.p)}, after);
        db_batch_delete(batch, DB_SYNC, key);
    }
    if (rc == 0)
        rc = db_iter_status(it);
    db_iter_free(it);
    if (rc == 0)
        rc = vv_add(&s->sync->gapless, &(struct dot){replica, vv_get(&g->to, replica)});
    return rc;
}

/* By the entries, which are in any order, and by what waited for them, until nothing is next. */
static int grow_by(struct space *s, struct db_batch *batch, struct growth *g,
                   const struct exchange_entry *e, size_t n)
{
    int rc = 0;
    for (bool grown = true; rc == 0 && grown;) {
        for (size_t i = 0; rc == 0 && i < n; i++)
            rc = grow(g, &e[i].dot, e[i].after);
        grown = false;
        for (size_t i = 0; rc == 0 && i < g->to.n; i++) {
            struct dot d = g->to.v[i];
            if (vv_has(&g->looked, &d))
                continue;
            grown = true;
            rc = vv_add(&g->looked, &d);
            if (rc == 0)
                rc = close_gaps(s, batch, g, d.replica);
        }
    }
    return rc;
}

int sync_put_known(struct space *s, struct db_batch *batch, const struct exchange_entry *e,
                   size_t n)
{
    struct growth g = {.to = {.n = 0}};
    const struct vv *known = replica_knowledge(s->replica);
    int rc = vv_copy(&g.to, known);
    if (rc == 0)
        rc = vv_copy(&g.looked, known);
    if (rc == 0)
        rc = grow_by(s, batch, &g, e, n);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        uint8_t row[8];
        struct sync_key key = gap_key(e[i].dot.replica, e[i].after);
        if (vv_has(&g.to, &e[i].dot))
            continue;
        put_u64(row, e[i].dot.counter);
        db_batch_put(batch, DB_SYNC, sync_key_bytes(&key), bytes_of(row, sizeof row));
    }
    if (rc == 0 && !vv_covers(known, &g.to))
        rc = replica_know(s->replica, batch, &g.to);
    vv_fini(&g.to);
    vv_fini(&g.looked);
    return rc;
}

/* Whether the version has these bytes, with what is pending: of a superseded content there is none,
 * and of a dot that came in two forms it may have others. 1; 0; or a negative errno. */
static int is_held(struct space *s, const struct dot *dot, const struct entry_shared *shared)
{
    struct buf body CLEANUP(buf_wipe) = {0};
    int rc = replica_version_get(s->replica, &shared->rid, dot, &body);
    return rc == -ENOENT ? 0 : rc < 0 ? rc : bytes_equal(buf_bytes(&body), shared->body);
}

int sync_put_applied(struct space *s, struct db_batch *batch, const struct exchange_entry *e)
{
    struct entry_shared shared = sync_shared(e->stored, e->change);
    struct sync_key waits = sync_key_dot(SYNC_CONTENT_WAITS, &e->dot);
    struct arrival a = {.kind = ARRIVAL_ENTRY, .dot = e->dot, .source = e->source};
    int held = shared.at > 0 ? is_held(s, &e->dot, &shared) : 0;
    if (held < 0)
        return held;
    if (held == 0)
        shared.at = 0;
    sync_put_arrival(s->sync, batch, &a);
    if (s->sync->counts.content_waiting > 0) /* else there is no such row */
        db_batch_delete(batch, DB_SYNC, sync_key_bytes(&waits));
    return sync_put_entry(batch, &e->dot, a.number, e->stored, &shared);
}
