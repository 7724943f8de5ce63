#include "tests/support/replica_device.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t now_ms(void *ctx)
{
    const struct device *d = ctx;
    return (uint64_t)((int64_t)d->w->now_ms + d->ahead_ms);
}

static const char *stem = "dev";

void world_rename_devices(const char *to)
{
    stem = to;
}

void world_label(uint64_t replica, char ret[LIMIT_LABEL + 1])
{
    snprintf(ret, LIMIT_LABEL + 1, "%s%llu", stem, (unsigned long long)replica);
}

static bool label_of(void *ctx, uint64_t replica, char ret[LIMIT_LABEL + 1])
{
    (void)ctx;
    world_label(replica, ret);
    return true;
}

/* Making a database takes longer than most runs: those of worlds that ended are used again,
 * emptied. */
enum { DELETED_MAX = 1000 };

static struct {
    struct db *db;
    size_t deleted;
} pool[WORLD_MAX];

/* The families that a replica has rows in. */
static const enum db_cf used[] = {DB_META, DB_RECORD, DB_LOG, DB_SHOWN, DB_VERSION};

/*
 * Row by row: reading behind deletions of ranges is slow, and so it is behind many of single rows.
 * The number of rows deleted.
 */
static size_t empty(struct db *db)
{
    struct db_batch *b = db_batch_new(db);
    assert(b != NULL);
    for (size_t k = 0; k < ARRAY_N(used); k++) {
        struct db_iter *it = db_iter_new(db, used[k], (struct bytes){NULL, 0}, NULL);
        assert(it != NULL);
        while (db_iter_next(it))
            db_batch_delete(b, used[k], db_iter_key(it));
        db_iter_free(it);
    }
    size_t n = db_batch_n(b);
    int rc = db_write(db, b, false);
    assert(rc == 0);
    db_batch_free(b);
    return n;
}

static void compact(struct db *db)
{
    int rc = db_flush(db);
    for (size_t k = 0; k < ARRAY_N(used) && rc == 0; k++)
        rc = db_compact(db, used[k]);
    assert(rc == 0);
}

static struct db *pool_take(int i)
{
    struct err err;
    struct db *db = NULL;
    if (pool[i].db != NULL) {
        db = pool[i].db;
        pool[i].db = NULL;
        return db;
    }
    pool[i].deleted = 0;
    if (db_open("/replica", &(struct db_config){.create = true, .in_memory = true}, &db, &err) <
        0) {
        fprintf(stderr, "%s\n", err.msg);
        abort();
    }
    return db;
}

static void pool_close(void)
{
    for (int i = 0; i < WORLD_MAX; i++)
        db_close(pool[i].db);
}

static void pool_give(int i, struct db *db)
{
    static bool at_exit;
    if (!at_exit && atexit(pool_close) == 0)
        at_exit = true;
    if (pool[i].db != NULL) { /* of another world at the same time */
        db_close(db);
        return;
    }
    pool[i].deleted += empty(db);
    if (pool[i].deleted > DELETED_MAX) {
        compact(db);
        pool[i].deleted = 0;
    }
    pool[i].db = db;
}

static void replica_start(struct device *d)
{
    struct replica_config cfg = {
        .secret = "a secret of thirty-two bytes !!",
        .id = d->id,
        .label = "own",
        .now_ms = now_ms,
        .label_of = label_of,
        .ctx = d,
    };
    struct err err;
    if (replica_open(d->db, &cfg, &d->r, &err) < 0) {
        fprintf(stderr, "%s\n", err.msg);
        abort();
    }
    d->id = replica_id(d->r);
}

void replica_device_open(struct device *d, int i)
{
    d->db = pool_take(i);
    d->batch = db_batch_new(d->db);
    assert(d->batch != NULL);
    replica_start(d);
}

void replica_device_close(struct device *d, int i)
{
    replica_abort(d->r);
    replica_close(d->r);
    db_batch_free(d->batch);
    pool_give(i, d->db);
    free(d->entries);
}

/* ---- the life of a process ------------------------------------------------------------------- */

void world_reopen(struct world *w, int i)
{
    struct device *d = &w->d[i];
    replica_abort(d->r);
    replica_close(d->r);
    db_batch_clear(d->batch);
    d->joined = NULL;
    replica_start(d);
}

void world_copy(struct world *w, int i, struct buf *ret)
{
    buf_reset(ret);
    for (size_t k = 0; k < ARRAY_N(used); k++) {
        struct db_iter *it = db_iter_new(w->d[i].db, used[k], (struct bytes){NULL, 0}, NULL);
        assert(it != NULL);
        while (db_iter_next(it)) {
            buf_put_u8(ret, (uint8_t)used[k]);
            buf_put_string(ret, db_iter_key(it));
            buf_put_string(ret, db_iter_value(it));
        }
        assert(db_iter_status(it) == 0);
        db_iter_free(it);
    }
    assert(buf_status(ret) == 0);
}

void replica_device_fill(struct device *d, struct bytes copy)
{
    replica_abort(d->r);
    replica_close(d->r);
    db_batch_clear(d->batch);
    d->joined = NULL;
    d->signed_to = 0;
    (void)empty(d->db);
    struct reader in = reader_of(copy);
    while (in.n > 0) {
        enum db_cf cf = (enum db_cf)reader_u8(&in);
        struct bytes key = reader_string(&in, copy.n), value = reader_string(&in, copy.n);
        assert(!in.failed && cf < DB_CF_N);
        db_batch_put(d->batch, cf, key, value);
    }
    int rc = db_write(d->db, d->batch, false);
    assert(rc == 0);
    db_batch_clear(d->batch);
    replica_start(d);
}
