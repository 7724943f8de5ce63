/*
 * fs/store/db_priv - what the db*.c files share. Not for others.
 */
#ifndef FS_STORE_DB_PRIV_H
#define FS_STORE_DB_PRIV_H

#include <pthread.h>
#include <rocksdb/c.h>

#include "fs/store/db.h"
#include "fs/store/pack.h"
#include "fs/store/wal.h"

struct db {
    rocksdb_t *rocks;
    rocksdb_options_t *options;
    rocksdb_cache_t *cache;
    rocksdb_env_t *env; /* NULL: files */
    rocksdb_column_family_handle_t *cf[DB_CF_N];
    rocksdb_readoptions_t *read, *read_tables;
    rocksdb_writeoptions_t *write;
    struct wal *wal;          /* NULL: in memory */
    pthread_mutex_t order;    /* batches get into the log as they get into the tables */
    _Atomic uint64_t written; /* batches */
    pthread_mutex_t verify;   /* one at a time */
    struct packs *packs;
    int dir_fd;                        /* to ask for room on the disk; -1: in memory */
    _Atomic uint64_t ahead_s[DB_CF_N]; /* when the tables of a family were last read ahead */
    _Atomic uint64_t room_bytes, room_used, room_ms; /* free when asked; written since; when */
};

struct db_batch {
    struct db *db;
    rocksdb_writebatch_t *wb;
    bool frees;
    bool stores; /* content of files */
};

/** After RocksDB found its list of files damaged: whether that was mended, and it can be opened. */
bool db_mend(const char *dir);

/**
 * Before RocksDB, which would make a new database where an unreadable one stands, or forget what is
 * behind a damaged entry of the list of its files.
 */
int db_look_first(const char *dir, const struct db_config *cfg, struct err *err) MUST_CHECK;

/** Says why the database cannot be opened; @err has RocksDB's words. Returns @code. */
int db_open_error(int code, const char *dir, struct err *err);

/** The family of this name; DB_CF_N: none. */
enum db_cf db_family(const char *name);

/** Writes all tables of a family anew. */
void db_rewrite(struct db *db, enum db_cf cf);

/** Removes what a verification that was ended left. */
void db_verify_clear(struct db *db);

/** Opens the list of files that is in use; below 0: it cannot be. */
int db_list_open(const char *dir) MUST_CHECK;

/** Opens the log and brings the tables up to it. */
int db_log_open(struct db *db, const char *dir, struct err *err) MUST_CHECK;

/** Closes it. @clean: the tables have everything. */
void db_log_close(struct db *db, bool clean);

/**
 * Whether the disk has room for @bytes: 0, -ENOSPC, -EIO. @last: they may take what is kept for
 * small batches that store no content, and those that give room back.
 */
int db_room_write(struct db *db, size_t bytes, bool last) MUST_CHECK;
/** The same, by asking the disk, and without making room. */
int db_room_ask(struct db *db, size_t bytes, bool last) MUST_CHECK;

/** Whether the tables in memory, and @bytes beside them, have room in files: 0, -ENOSPC, -EIO. */
int db_room_tables(struct db *db, uint64_t bytes) MUST_CHECK;

struct db_snapshot {
    const rocksdb_snapshot_t *snapshot;
};

#endif
