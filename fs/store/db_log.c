/*
 * Writing: a batch goes to the log, then to RocksDB's tables in memory. Those are written to files
 * for all families at once, and each batch notes its number in the log with what it writes; so the
 * number that the table files hold says which records of the log they lack.
 */
#include <errno.h>
#include <limits.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>

#include "fs/store/db_err.h"
#include "fs/store/db_priv.h"

enum { SMALL_BYTES = 4096 }; /* of a batch that may take the last of the room */

static const char number_key[] = "wal-number", seed_key[] = "wal-seed";

/* A number of DB_META, as @options see it; 0: there is none, or @ret_rc says why not. */
static uint64_t read_number(struct db *db, rocksdb_readoptions_t *options, const char *key,
                            int *ret_rc)
{
    char *error = NULL;
    size_t n = 0;
    char *v = rocksdb_get_cf(db->rocks, options, db->cf[DB_META], key, strlen(key), &n, &error);
    *ret_rc = db_err_take(&error, NULL);
    uint64_t number = v != NULL && n == 8 ? get_u64((const uint8_t *)v) : 0;
    rocksdb_free(v);
    return number;
}

static void put_number(struct db *db, rocksdb_writebatch_t *wb, const char *key, uint64_t number)
{
    uint8_t v[8];
    put_u64(v, number);
    rocksdb_writebatch_put_cf(wb, db->cf[DB_META], key, strlen(key), (const char *)v, sizeof v);
}

/* Puts a batch, and that it is record @number of the log, into the tables. */
static int to_tables(struct db *db, rocksdb_writebatch_t *wb, uint64_t number)
{
    char *error = NULL;
    put_number(db, wb, number_key, number);
    rocksdb_write(db->rocks, db->write, wb, &error);
    return db_err_take(&error, NULL);
}

static int replay(void *arg, const struct wal_record *r)
{
    struct db *db = arg;
    rocksdb_writebatch_t *wb = rocksdb_writebatch_create_from((const char *)r->batch.p, r->batch.n);
    int rc = to_tables(db, wb, r->number);
    rocksdb_writebatch_destroy(wb);
    return rc;
}

/* Notes where the log goes on, in the tables in files. */
static int begin(struct db *db, uint64_t seed, uint64_t next)
{
    rocksdb_writebatch_t *wb = rocksdb_writebatch_create();
    put_number(db, wb, seed_key, seed);
    int rc = to_tables(db, wb, next - 1);
    rocksdb_writebatch_destroy(wb);
    return rc < 0 ? rc : db_flush(db);
}

int db_log_open(struct db *db, const char *dir, struct err *err)
{
    int rc;
    uint64_t seed = read_number(db, db->read, seed_key, &rc), next = 0;
    if (rc < 0)
        return rc;
    uint64_t number = read_number(db, db->read, number_key, &rc);
    if (rc < 0)
        return rc;
    while (seed == 0)
        randombytes_buf(&seed, sizeof seed);
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/wal", dir) >= (int)sizeof path)
        return err_set(err, -ENAMETOOLONG, "path of the database is too long: %s", dir);
    rc = wal_open(path, seed, number, replay, db, &db->wal, &next, err);
    if (rc < 0)
        return rc;
    rc = begin(db, seed, next);
    return rc < 0 ? err_set(err, rc, "%s", strerror(-rc)) : 0;
}

void db_log_close(struct db *db, bool clean)
{
    wal_close(db->wal, !clean);
    db->wal = NULL;
}

static uint64_t persisted(void *arg)
{
    int rc;
    struct db *db = arg;
    return read_number(db, db->read_tables, number_key, &rc);
}

/* Under db->order. */
static int write_logged(struct db *db, struct db_batch *b)
{
    size_t n;
    const char *p = rocksdb_writebatch_data(b->wb, &n);
    uint64_t number;
    int rc = wal_append(db->wal, bytes_of(p, n), persisted, db, &number);
    if (rc < 0)
        return rc;
    rocksdb_writebatch_set_save_point(b->wb);
    rc = to_tables(db, b->wb, number);
    db_batch_rollback(b);
    if (rc < 0 && wal_undo(db->wal) < 0)
        rc = -EIO;
    return rc;
}

static int write_unlogged(struct db *db, struct db_batch *b)
{
    char *error = NULL;
    rocksdb_write(db->rocks, db->write, b->wb, &error);
    return db_err_take(&error, NULL);
}

static int write_in_order(struct db *db, struct db_batch *b)
{
    pthread_mutex_lock(&db->order);
    int rc = db->wal != NULL ? write_logged(db, b) : write_unlogged(db, b);
    if (rc == 0)
        atomic_fetch_add(&db->written, 1);
    pthread_mutex_unlock(&db->order);
    return rc;
}

/* RocksDB counts what it does, in each thread: a tenth of the time that a write takes. */
static void count_nothing(void)
{
    enum { PERF_DISABLE = 1 };
    static _Thread_local bool done;
    if (!done)
        rocksdb_set_perf_level(PERF_DISABLE);
    done = true;
}

int db_write(struct db *db, struct db_batch *b, bool sync)
{
    count_nothing();
    size_t bytes = db_batch_bytes(b);
    int rc = db_room_write(db, bytes, b->frees || (!b->stores && bytes <= SMALL_BYTES));
    if (rc < 0)
        return rc;
    rc = write_in_order(db, b);
    /* No room for one more segment of the log: with all in the tables, those there are free. */
    if (rc == -ENOSPC && db->wal != NULL && db_flush(db) == 0)
        rc = write_in_order(db, b);
    return rc == 0 && sync ? db_sync(db) : rc;
}

int db_sync(struct db *db)
{
    return db->wal != NULL ? wal_sync(db->wal) : 0;
}

/*
 * RocksDB's C API can flush one family only. A compaction flushes all of them, together, when the
 * tables in memory have something of its range; this is a range that they always have.
 */
int db_flush(struct db *db)
{
    int rc = 0;
    uint64_t want = read_number(db, db->read, number_key, &rc);
    if (db->wal == NULL || rc < 0)
        return rc;
    rc = db_room_tables(db, 0);
    if (rc < 0)
        return rc;
    rocksdb_compact_range_cf(db->rocks, db->cf[DB_META], number_key, strlen(number_key), number_key,
                             strlen(number_key));
    uint64_t have = read_number(db, db->read_tables, number_key, &rc);
    if (rc < 0 || have >= want)
        return rc;
    rc = db_room_ask(db, 0, true);
    return rc < 0 ? rc : -EIO;
}
