/* What is kept of the past, and for how long. */
#include <errno.h>

#include "fs/space/space_priv.h"
#include "fs/space/sync_priv.h"

enum {
    SLICE_RECORDS = 256,
    TIDY_SLICES_MAX = 256, /* of one call: 65,536 records, a million in a day */
    SWEEP_MS = 200,        /* no publishing meanwhile */
};

static const char cursor_key[] = "tidy-cursor";

int tidy_version_kept(void *space, const struct rid *rid, const struct dot *dot)
{
    struct space *s = space;
    struct base_ref ref = base_of(rid, dot);
    uint64_t ino;
    struct attr a;
    int rc = bind_ino(s, rid, &ino);
    if (rc == 0)
        rc = tree_getattr(s->tree, ino, &a);
    if (rc == 0 && a.has_base && memcmp(&a.base, &ref, sizeof ref) == 0)
        return 1;
    return rc == 0 || rc == -ENOENT || rc == -ESTALE ? tree_base_used(s->tree, &ref) : rc;
}

uint64_t tidy_now_ms(void)
{
    struct timespec now = attr_now();
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int tidy_slice(struct space *s, uint64_t now_ms, struct rid *cursor, uint64_t *ret_removed)
{
    struct db_batch *b = db_batch_new(s->db);
    if (b == NULL)
        return -ENOMEM;
    db_batch_frees(b);
    pthread_mutex_lock(&s->lock);
    uint64_t before = s->versions_removed;
    int more = replica_thin(s->replica, b, now_ms, &history_policy_default, cursor, SLICE_RECORDS);
    int rc = more < 0 ? more : db_batch_n(b) > 0 ? db_write(s->db, b, false) : 0;
    if (rc == 0 && db_batch_n(b) > 0)
        space_past_changed(s);
    if (rc == 0)
        replica_committed(s->replica);
    else
        replica_abort(s->replica);
    *ret_removed = s->versions_removed - before;
    pthread_mutex_unlock(&s->lock);
    db_batch_free(b);
    return rc < 0 ? rc : more;
}

/* ---- the hourly run ---- */

static int read_cursor(struct space *s, struct rid *ret)
{
    struct db_value v;
    int rc = db_get(s->db, DB_META, bytes_str(cursor_key), &v);
    *ret = RID_ROOT;
    if (rc == 0 && v.v.n == sizeof ret->b)
        memcpy(ret->b, v.v.p, sizeof ret->b);
    db_value_fini(&v);
    return rc == -ENOENT ? 0 : rc;
}

static int write_cursor(struct space *s, const struct rid *cursor)
{
    struct db_batch *b = db_batch_new(s->db);
    if (b == NULL)
        return -ENOMEM;
    db_batch_put(b, DB_META, bytes_str(cursor_key), bytes_of(cursor->b, sizeof cursor->b));
    int rc = db_write(s->db, b, false);
    db_batch_free(b);
    return rc;
}

static bool sweep_on(void *arg, uint64_t done_n)
{
    (void)done_n;
    return space_now_ms() < *(const uint64_t *)arg;
}

/* A bit at a time; what is left is remembered in the database. */
static int sweep(struct space *s)
{
    int rc = -ECANCELED;
    while (rc == -ECANCELED && !publisher_wanted(s)) {
        uint64_t until_ms = space_now_ms() + SWEEP_MS;
        struct content_progress progress = {sweep_on, &until_ms};
        pthread_rwlock_wrlock(&s->builds);
        rc = content_sweep(s->db, &progress);
        pthread_rwlock_unlock(&s->builds);
    }
    return rc == -ECANCELED ? 0 : rc;
}

static int tidy_entries(struct space *s)
{
    struct dot cursor = {0, 0};
    int more = 1;
    while (more == 1 && !publisher_wanted(s))
        more = sync_tidy_slice(s, &cursor);
    while (more >= 0 && s->sync != NULL && s->sync->members != NULL && !publisher_wanted(s)) {
        more = exchange_clean(s, tidy_now_ms());
        if (more == 0)
            break;
    }
    return more < 0 ? more : 0;
}

int tidy_deleted(struct space *s, uint64_t *ret_removed)
{
    struct dot cursor = {0, 0};
    int more = 1;
    *ret_removed = 0;
    while (more > 0 && s->sync != NULL && s->sync->members != NULL) {
        more = exchange_clean(s, tidy_now_ms());
        *ret_removed += more > 0 ? (uint64_t)more : 0;
    }
    for (more = more < 0 ? more : 1; more == 1;)
        more = sync_tidy_slice(s, &cursor);
    return more;
}

int space_tidy(struct space *s)
{
    struct rid cursor;
    uint64_t removed;
    int more = 1, rc = read_cursor(s, &cursor);
    for (int i = 0; rc == 0 && more == 1 && i < TIDY_SLICES_MAX; i++) {
        if (publisher_wanted(s))
            break;
        more = tidy_slice(s, tidy_now_ms(), &cursor, &removed);
        rc = more < 0 ? more : 0;
    }
    if (rc == 0)
        rc = write_cursor(s, &cursor);
    if (rc == 0)
        rc = tidy_entries(s);
    return rc < 0 ? rc : sweep(s);
}
