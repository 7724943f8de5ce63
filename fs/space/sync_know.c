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

/* Knowledge of @replica has advanced: over what was applied beyond it, too. */
static int close_gaps(struct space *s, struct db_batch *batch, uint64_t replica)
{
    struct sync_key first = gap_key(replica, 0);
    struct db_iter *it = db_iter_new(s->db, DB_SYNC, bytes_of(first.p, 1 + 8), NULL);
    if (it == NULL)
        return -ENOMEM;
    int rc = 0;
    /* Ascending by `after`: each row is met when all that can come before it was. */
    while (rc >= 0 && db_iter_next(it)) {
        struct bytes key = db_iter_key(it), row = db_iter_value(it);
        if (key.n != GAP_KEY || row.n != 8) {
            rc = -EUCLEAN;
            break;
        }
        uint64_t after = get_u64(key.p + 9);
        if (after > vv_get(replica_knowledge(s->replica), replica))
            break;
        rc = replica_know_dot(s->replica, batch, &(struct dot){replica, get_u64(row.p)}, after);
        db_batch_delete(batch, DB_SYNC, key);
    }
    if (rc >= 0)
        rc = db_iter_status(it);
    db_iter_free(it);
    return rc < 0 ? rc : 0;
}

static int know(struct space *s, struct db_batch *batch, const struct exchange_entry *e)
{
    int rc = replica_know_dot(s->replica, batch, &e->dot, e->after);
    if (rc == 1)
        return close_gaps(s, batch, e->dot.replica);
    if (rc == 0 && !vv_has(replica_knowledge(s->replica), &e->dot)) {
        uint8_t row[8];
        struct sync_key key = gap_key(e->dot.replica, e->after);
        put_u64(row, e->dot.counter);
        db_batch_put(batch, DB_SYNC, sync_key_bytes(&key), bytes_of(row, sizeof row));
    }
    return rc;
}

int sync_put_applied(struct space *s, struct db_batch *batch, const struct exchange_entry *e)
{
    struct buf row CLEANUP(buf_fini) = {0};
    struct sync_key key = sync_key_dot(SYNC_ENTRY, &e->dot);
    struct sync_key waits = sync_key_dot(SYNC_CONTENT_WAITS, &e->dot);
    struct arrival a = {.kind = ARRIVAL_ENTRY, .dot = e->dot, .source = e->source};
    sync_put_arrival(s->sync, batch, &a);
    buf_put_u64(&row, a.number);
    buf_put_bytes(&row, e->stored);
    if (buf_status(&row) < 0)
        return -ENOMEM;
    db_batch_put(batch, DB_SYNC, sync_key_bytes(&key), buf_bytes(&row));
    db_batch_delete(batch, DB_SYNC, sync_key_bytes(&waits));
    return know(s, batch, e);
}
