/*
 * Room on the disk. RocksDB comes badly through a full one: when a table cannot be written to a
 * file, it takes no write any more, or ends the process. So what might meet the end of the disk is
 * refused before. Content leaves free what a merge of tables may take, which are there twice until
 * it ends. The last of the room is for small batches without content, which removing files takes,
 * and for those that give room back.
 */
#include <errno.h>
#include <stdatomic.h>
#include <sys/statvfs.h>
#include <time.h>

#include "fs/store/db_priv.h"

enum {
    CHECK_MS = 50,            /* the disk is asked at least this often, */
    CHECK_BYTES = 256 << 10,  /* and before so much is written on one answer */
    ALL_IN_MEMORY = 64 << 20, /* more than the tables in memory ever hold */
    MERGE_BYTES = 448 << 20,  /* about the most that is merged at a time */
    MERGE_WAIT_NS = 10000000, /* between two looks, of which there are so many: */
    MERGE_WAITS = 1500,       /* at most */
    LIST_BYTES = 1 << 20,     /* for RocksDB's own files beside the tables */
    WORTH_BYTES = 4 << 20,    /* of tables in memory: writing them to files gives room */
};

/* Kept free, or that part of a small disk. */
static const struct {
    uint64_t bytes, share;
} for_small = {16 << 20, 20}, for_large = {64 << 20, 5};

static int ask(struct db *db, uint64_t now_ms, uint64_t *ret_total)
{
    struct statvfs v;
    if (fstatvfs(db->dir_fd, &v) < 0)
        return -errno;
    *ret_total = (uint64_t)v.f_blocks * v.f_frsize;
    atomic_store(&db->room_bytes, (uint64_t)v.f_bavail * v.f_frsize);
    atomic_store(&db->room_used, 0);
    atomic_store(&db->room_ms, now_ms);
    return 0;
}

/* What the tables in memory need, too, to become files. */
static uint64_t in_memory(struct db *db)
{
    uint64_t sum = 0, v = 0;
    for (int i = 0; i < DB_CF_N; i++)
        if (rocksdb_property_int_cf(db->rocks, db->cf[i], "rocksdb.cur-size-all-mem-tables", &v) ==
            0)
            sum += v;
    return sum;
}

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* What merging tables may take: all there are would be written anew. */
static uint64_t to_merge(struct db *db)
{
    uint64_t sum = 0, v = 0;
    for (int i = 0; i < DB_CF_N; i++)
        if (rocksdb_property_int_cf(db->rocks, db->cf[i], "rocksdb.live-sst-files-size", &v) == 0)
            sum += v;
    return sum;
}

static uint64_t kept_last(uint64_t total)
{
    return min_u64(for_small.bytes, total / for_small.share);
}

/* What is in memory is written to tables, and then merged with those there are. */
uint64_t db_room_kept(struct db *db, uint64_t total)
{
    uint64_t memory = in_memory(db);
    return max_u64(min_u64(for_large.bytes, total / for_large.share) + memory,
                   kept_last(total) + min_u64(to_merge(db) + memory, MERGE_BYTES) + memory);
}

int db_room_ask(struct db *db, size_t bytes, bool last)
{
    uint64_t total = 0, now_ms = now();
    int rc = ask(db, now_ms, &total);
    if (rc < 0)
        return rc;
    uint64_t room = atomic_load(&db->room_bytes);
    if (room >= for_large.bytes + ALL_IN_MEMORY + MERGE_BYTES + bytes)
        return 0;
    uint64_t keep = last ? kept_last(total) + in_memory(db) : db_room_kept(db, total);
    return room < keep + bytes ? -ENOSPC : 0;
}

int db_room_tables(struct db *db, uint64_t bytes)
{
    uint64_t total;
    if (db->dir_fd < 0)
        return 0;
    int rc = ask(db, now(), &total);
    if (rc < 0)
        return rc;
    return atomic_load(&db->room_bytes) < in_memory(db) + bytes + LIST_BYTES ? -ENOSPC : 0;
}

static bool is_merging(struct db *db)
{
    uint64_t running = 0, flushing = 0;
    rocksdb_property_int(db->rocks, "rocksdb.num-running-compactions", &running);
    rocksdb_property_int(db->rocks, "rocksdb.num-running-flushes", &flushing);
    return running + flushing > 0;
}

bool db_room_wait(struct db *db)
{
    if (!is_merging(db))
        return false;
    nanosleep(&(struct timespec){.tv_nsec = MERGE_WAIT_NS}, NULL);
    return true;
}

int db_room_write(struct db *db, size_t bytes, bool last)
{
    if (db->dir_fd < 0)
        return 0;
    uint64_t used = atomic_fetch_add(&db->room_used, bytes) + bytes;
    uint64_t room = atomic_load(&db->room_bytes);
    /* While there is plenty, the last answer is good for a while. */
    if (room > 2 * for_large.bytes + MERGE_BYTES + used && used < CHECK_BYTES &&
        now() - atomic_load(&db->room_ms) < CHECK_MS)
        return 0;
    int rc = db_room_ask(db, bytes, last);
    /* As files, tables are smaller than in memory. */
    if (rc == -ENOSPC && in_memory(db) > WORTH_BYTES && db_flush(db) == 0)
        rc = db_room_ask(db, bytes, last);
    /* What removes files waits for the end of merges. */
    for (int i = 0; rc == -ENOSPC && last && i < MERGE_WAITS && db_room_wait(db); i++)
        rc = db_room_ask(db, bytes, last);
    return rc;
}

int db_room(struct db *db, size_t bytes)
{
    return db_room_write(db, bytes, false);
}
