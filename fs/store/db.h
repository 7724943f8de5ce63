/*
 * fs/store/db - the database: RocksDB behind a small interface. The only file that includes it is
 * db.c, and db_err.c alone turns its error texts into errno.
 *
 * One process opens a database for writing (a lock file says which). A batch is atomic. A write
 * that returned survives the death of the process at once, and the loss of power after db_sync().
 * Keys are big-endian, so that iteration is order. Thread: any, unless said otherwise.
 */
#ifndef FS_STORE_DB_H
#define FS_STORE_DB_H

#include <stdbool.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"

/* The column families, by purpose. Their keys and values: fs/store/README.md. */
enum db_cf {
    DB_META,    /* name of a setting or counter -> value */
    DB_INODE,   /* ino -> attributes */
    DB_DIRENT,  /* directory ino, hash of name, name -> ino, type */
    DB_DATA,    /* ino, number -> 4 KiB of a small file not yet published */
    DB_MAP,     /* ino, segment -> which blocks of a staging file are valid, and their checksums */
    DB_REDO,    /* ino, block -> bytes fsynced here before they are in the staging file for good */
    DB_XATTR,   /* ino, name -> value */
    DB_PENDING, /* what the publisher still has to publish */
    DB_RECORD,  /* record id, facet, dot -> facet value */
    DB_LOG,     /* dot, record id -> the head hash of the dot, or nothing: the index by dot */
    DB_SHOWN,   /* what the records show: derived, can be rebuilt from DB_RECORD */
    DB_VERSION, /* record id, dot -> a version of content: inline bytes or the root of its chunks */
    DB_CHUNK,   /* place of a chunk -> its length, id */
    DB_CHUNKREF, /* chunk id, who refers to it -> nothing */
    DB_BIND,     /* record id -> ino of the file that shows it */
    DB_SYNC,     /* what sessions exchange: acts, signed entries, cursors (fs/space/sync_rows.h) */
    DB_CF_N
};

enum { DB_FORMAT = 5 }; /* format of everything in the database; any other is refused */

struct db;
struct db_batch;
struct db_iter;
struct db_snapshot;
struct packs;

struct db_config {
    bool create;        /* make it when it is missing */
    bool in_memory;     /* no file at all (tests, simulator) */
    size_t cache_bytes; /* block cache; 0: the default of 10 MiB */
};

/**
 * Opens the database in directory @dir.
 * Errors: -ENOENT missing and not to be made, -EBUSY locked (message says by which process),
 * -ENOTSUP of another format, -ENOTDIR also a link to a directory, -EUCLEAN damaged, -EACCES,
 * -ENOSPC, -EIO.
 */
int db_open(const char *dir, const struct db_config *cfg, struct db **ret_db,
            struct err *err) MUST_CHECK;

/** Flushes and closes. All iterators and snapshots must be gone. Accepts NULL. */
void db_close(struct db *db);

/* A value read: borrowed from the database until db_value_fini(). All zero is valid and empty. */
struct db_value {
    struct bytes v;
    void *pin; /* the database's, */
    void *own; /* or memory of its own */
};

void db_value_fini(struct db_value *v);

/** Reads one value. -ENOENT when there is none (then @ret is empty), -EUCLEAN, -EIO. */
int db_get(struct db *db, enum db_cf cf, struct bytes key, struct db_value *ret) MUST_CHECK;

/** Whether a key exists: 1, 0, or a negative errno. */
int db_has(struct db *db, enum db_cf cf, struct bytes key) MUST_CHECK;

/**
 * Has the disk read the family's tables (16 MiB of them at most), as rows all over them will be
 * read soon. Does nothing when that was done in the last seconds, and does not wait.
 */
void db_read_ahead(struct db *db, enum db_cf cf);

/** An empty batch for @db, or NULL when memory ran out. */
struct db_batch *db_batch_new(struct db *db) MUST_CHECK;
void db_batch_free(struct db_batch *b); /* accepts NULL */
void db_batch_clear(struct db_batch *b);
/** Number of operations in it. */
size_t db_batch_n(const struct db_batch *b);
/** Bytes of its encoding: what it will cost the write-ahead log. */
size_t db_batch_bytes(const struct db_batch *b);
void db_batch_put(struct db_batch *b, enum db_cf cf, struct bytes key, struct bytes value);
void db_batch_delete(struct db_batch *b, enum db_cf cf, struct bytes key);
/** Deletes every key k with @from <= k < @to. */
void db_batch_delete_range(struct db_batch *b, enum db_cf cf, struct bytes from, struct bytes to);
/** Remembers the batch as it is now; db_batch_rollback() returns to the newest such point. */
void db_batch_save(struct db_batch *b);
void db_batch_rollback(struct db_batch *b);
/** Forgets the newest point that db_batch_save() remembered. */
void db_batch_keep(struct db_batch *b);

/** Says that a batch gives room back: on a full disk it may take what is kept for that. */
void db_batch_frees(struct db_batch *b);

/**
 * Writes a batch, atomically, and leaves it as it is. @sync: returns when it is on disk.
 * Errors: -ENOSPC, -EIO (nothing of it is there).
 */
int db_write(struct db *db, struct db_batch *b, bool sync) MUST_CHECK;

/** Returns when everything that was written before the call is on disk. */
int db_sync(struct db *db) MUST_CHECK;

/**
 * Moves what is in memory to table files; frees write-ahead logs. Used by gc, tests and close.
 * -ENOSPC when the disk may not have room for them, and nothing is done.
 */
int db_flush(struct db *db) MUST_CHECK;

/** Rewrites one family without what is deleted, gives space back. -ENOSPC as of db_flush(). */
int db_compact(struct db *db, enum db_cf cf) MUST_CHECK;

/** Whether the disk has room for content of @bytes beside the database: 0, -ENOSPC, -EIO. */
int db_room(struct db *db, size_t bytes) MUST_CHECK;

/**
 * Bytes that content must leave free on a disk of @total, or the database cannot write what it has
 * in memory to tables, and merge those.
 */
uint64_t db_room_kept(struct db *db, uint64_t total);

/** While tables are merged they are there twice: waits 10 ms for the end of that. False: none are.
 */
bool db_room_wait(struct db *db);

/** The files with the bytes of chunks. */
struct packs *db_packs(struct db *db);

/** A state of the whole database to read from; NULL when memory ran out. */
struct db_snapshot *db_snapshot_new(struct db *db) MUST_CHECK;
void db_snapshot_free(struct db *db, struct db_snapshot *s); /* accepts NULL */

/**
 * An iterator over the keys that begin with @prefix (empty: all), from @snap or, when NULL, from
 * the state at this call. Starts before the first; NULL when memory ran out. Thread: one.
 */
struct db_iter *db_iter_new(struct db *db, enum db_cf cf, struct bytes prefix,
                            const struct db_snapshot *snap) MUST_CHECK;
/** The same for a walk of everything: does not disturb the cache, verifies checksums, reads ahead.
 */
struct db_iter *db_iter_new_scan(struct db *db, enum db_cf cf, struct bytes prefix,
                                 const struct db_snapshot *snap) MUST_CHECK;
void db_iter_free(struct db_iter *it); /* accepts NULL */
/** Goes to the first key >= @key (given whole, with the prefix). */
void db_iter_seek(struct db_iter *it, struct bytes key);
/** Goes to the last key <= @key. */
void db_iter_seek_before(struct db_iter *it, struct bytes key);
/**
 * Steps; the first call goes to the first key, unless there was a seek: then it stays there once.
 * So a loop is: while (db_iter_next(it)) { … }; then db_iter_status().
 */
bool db_iter_next(struct db_iter *it);
struct bytes db_iter_key(const struct db_iter *it);   /* borrowed until the next step */
struct bytes db_iter_value(const struct db_iter *it); /* likewise */
/** 0, or why the walk ended early: -EUCLEAN, -EIO. */
int db_iter_status(const struct db_iter *it) MUST_CHECK;

/** Counts the batches written since the database was opened: equal, nothing was written between. */
uint64_t db_written(struct db *db);

/** Approximate number of keys of a family. */
uint64_t db_estimate_keys(struct db *db, enum db_cf cf);

/** Bytes of memory that the database holds: caches, tables in memory, indexes. */
uint64_t db_memory(struct db *db);

/* @bytes more were verified; false: stop. */
typedef bool db_verify_step(void *arg, uint64_t bytes);
/* Something is damaged: what, as a sentence without its end. */
typedef void db_verify_fault(void *arg, bool repaired, const char *what);

/**
 * Verifies every byte of the files that the database consists of, and goes on behind damage.
 * @repair: tables whose rows are whole are written anew. Nothing is said of what is in memory.
 * Errors: -ECANCELED by @step; it could not be done: -ENOMEM, -ENOSPC, -EIO.
 */
int db_verify(struct db *db, bool repair, db_verify_step *step, db_verify_fault *fault,
              void *arg) MUST_CHECK;

#endif
