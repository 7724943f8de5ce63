/*
 * Entries that were superseded: they go, and the own ones among them are named in the next own
 * entries, so that servers can drop theirs.
 */
#include <errno.h>

#include "fs/space/sync_priv.h"

enum { SLICE_ROWS = 2000 };

int sync_is_current(struct space *s, const struct dot *dot)
{
    uint8_t prefix[DOT_SIZE];
    dot_encode(dot, prefix);
    struct db_iter *it = db_iter_new(s->db, DB_LOG, bytes_of(prefix, sizeof prefix), NULL);
    if (it == NULL)
        return -ENOMEM;
    int rc = db_iter_next(it);
    if (rc == 0)
        rc = db_iter_status(it);
    db_iter_free(it);
    return rc;
}

void sync_drop_entry(struct space *s, struct db_batch *batch, const struct dot *dot,
                     uint64_t number)
{
    struct sync_key entry = sync_key_dot(SYNC_ENTRY, dot);
    struct sync_key arrival = sync_key_u64(SYNC_ARRIVAL, number);
    struct sync_key replaced = sync_key_dot(SYNC_REPLACED, dot);
    db_batch_delete(batch, DB_SYNC, sync_key_bytes(&entry));
    db_batch_delete(batch, DB_SYNC, sync_key_bytes(&arrival));
    if (dot->replica == replica_id(s->replica))
        db_batch_put(batch, DB_SYNC, sync_key_bytes(&replaced), bytes_of(NULL, 0));
}

static int slice(struct space *s, struct db_batch *batch, struct dot *cursor)
{
    const uint8_t prefix = SYNC_ENTRY;
    struct sync_key from = sync_key_dot(SYNC_ENTRY, cursor);
    struct db_iter *it = db_iter_new(s->db, DB_SYNC, bytes_of(&prefix, 1), NULL);
    if (it == NULL)
        return -ENOMEM;
    int rc = 0;
    size_t n = 0;
    db_iter_seek(it, sync_key_bytes(&from));
    while (rc >= 0 && n < SLICE_ROWS && db_iter_next(it)) {
        struct bytes key = db_iter_key(it), row = db_iter_value(it);
        if (key.n != 1 + DOT_SIZE || row.n < 8) {
            rc = -EUCLEAN;
            break;
        }
        *cursor = dot_decode(key.p + 1);
        rc = sync_is_current(s, cursor);
        if (rc == 0)
            sync_drop_entry(s, batch, cursor, get_u64(row.p));
        n++;
    }
    if (rc >= 0)
        rc = db_iter_status(it);
    db_iter_free(it);
    cursor->counter++; /* the next one */
    return rc < 0 ? rc : n == SLICE_ROWS;
}

/* Changes that were never sent, and that others have replaced. */
static int drop_too_big(struct space *s, struct db_batch *batch)
{
    const uint8_t prefix = SYNC_TOO_BIG;
    struct db_iter *it = db_iter_new(s->db, DB_SYNC, bytes_of(&prefix, 1), NULL);
    int rc = 0;
    if (it == NULL)
        return -ENOMEM;
    while (rc >= 0 && db_iter_next(it)) {
        struct bytes key = db_iter_key(it);
        if (key.n != 1 + DOT_SIZE) {
            rc = -EUCLEAN;
            break;
        }
        struct dot dot = dot_decode(key.p + 1);
        rc = sync_is_current(s, &dot);
        if (rc == 0)
            db_batch_delete(batch, DB_SYNC, key);
    }
    if (rc >= 0)
        rc = db_iter_status(it);
    db_iter_free(it);
    return rc;
}

int sync_tidy_slice(struct space *s, struct dot *cursor)
{
    if (s->sync == NULL)
        return 0;
    struct db_batch *batch = db_batch_new(s->db);
    if (batch == NULL)
        return -ENOMEM;
    /* Under lock: what is looked at does not come back, but the own replica may change its id. */
    pthread_mutex_lock(&s->lock);
    int more = slice(s, batch, cursor), rc = more < 0 ? more : 0;
    if (more == 0)
        rc = drop_too_big(s, batch);
    if (rc == 0 && db_batch_n(batch) > 0)
        rc = db_write(s->db, batch, false);
    pthread_mutex_unlock(&s->lock);
    db_batch_free(batch);
    return rc < 0 ? rc : more;
}

int sync_take_replaced(struct space *s, struct db_batch *batch, struct buf *ret)
{
    const uint8_t prefix = SYNC_REPLACED;
    struct db_iter *it = db_iter_new(s->db, DB_SYNC, bytes_of(&prefix, 1), NULL);
    if (it == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < LIMIT_REPLACED && db_iter_next(it); i++) {
        struct bytes key = db_iter_key(it);
        buf_put(ret, key.p + 1, key.n - 1);
        db_batch_delete(batch, DB_SYNC, key);
    }
    int rc = db_iter_status(it);
    db_iter_free(it);
    return rc < 0 ? rc : buf_status(ret);
}
