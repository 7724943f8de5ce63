/*
 * sync/server/store_priv - what the store*.c files share. Not for others.
 */
#ifndef SYNC_SERVER_STORE_PRIV_H
#define SYNC_SERVER_STORE_PRIV_H

#include <rocksdb/c.h>

#include "sync/server/store.h"

struct srv_store {
    int dir_fd, lock_fd; /* -1: not open */
    rocksdb_t *rocks;
    rocksdb_options_t *options;
    rocksdb_cache_t *cache;
    rocksdb_readoptions_t *read;
    rocksdb_writeoptions_t *write;
    rocksdb_column_family_handle_t *family[SRV_FAMILY_N];
};

/**
 * Makes this process the only one with the directory, for as long as @ret_fd is open. -EBUSY: there
 * is one, and @err says which.
 */
int srv_store_lock(int dir_fd, const char *dir, int *ret_fd, struct err *err) MUST_CHECK;

/** Whether the disk has room for a batch of @bytes: 0, -ENOSPC, -EIO. */
int srv_store_room(struct srv_store *s, size_t bytes, enum srv_urgency urgency) MUST_CHECK;

#endif
