/*
 * sync/server/store_priv - what the store*.c files share. Not for others.
 */
#ifndef SYNC_SERVER_STORE_PRIV_H
#define SYNC_SERVER_STORE_PRIV_H

#include <pthread.h>
#include <rocksdb/c.h>

#include "fs/store/pack.h"
#include "sync/server/store.h"

struct srv_store {
    int dir_fd, lock_fd; /* -1: not open */
    rocksdb_t *rocks;
    rocksdb_options_t *options;
    rocksdb_cache_t *cache;
    rocksdb_readoptions_t *read;
    rocksdb_writeoptions_t *write;
    rocksdb_column_family_handle_t *family[SRV_FAMILY_N];
    struct packs *packs;
    pthread_mutex_t lock;               /* all below */
    uint64_t packs_synced;              /* the packs are on the disk up to this address */
    int packs_error;                    /* of a sync: what was written may be lost since */
    uint64_t released, released_synced; /* batches that released places; on the disk */
};

struct srv_batch {
    struct srv_store *s;
    rocksdb_writebatch_t *wb;
    bool releases;
};

/**
 * Makes this process the only one with the directory, for as long as @ret_fd is open. -EBUSY: there
 * is one, and @err says which.
 */
int srv_store_lock(int dir_fd, const char *dir, int *ret_fd, struct err *err) MUST_CHECK;

/** Opens the packs, of a store whose rows are open. */
int srv_packs_open(struct srv_store *s) MUST_CHECK;

/* What a sync covers. */
struct srv_packs_sync {
    uint64_t released;
};

/** The first part of a sync: the bytes, before rows that name them. */
int srv_packs_sync(struct srv_store *s, struct srv_packs_sync *ret) MUST_CHECK;
/** The last, when the rows are on the disk. */
void srv_packs_synced(struct srv_store *s, const struct srv_packs_sync *y);

/** Whether the disk has room for a batch of @bytes: 0, -ENOSPC, -EIO. */
int srv_store_room(struct srv_store *s, size_t bytes, enum srv_urgency urgency) MUST_CHECK;
/**
 * Whether it has room for opening the database, which writes the logs again, as tables: on a full
 * one RocksDB ends the process. 0, -ENOSPC, -EIO.
 */
int srv_store_room_to_open(struct srv_store *s) MUST_CHECK;

#endif
