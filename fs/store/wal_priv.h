/*
 * fs/store/wal_priv - what the wal*.c files share. Not for others.
 */
#ifndef FS_STORE_WAL_PRIV_H
#define FS_STORE_WAL_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "fs/store/wal.h"

struct segment {
    int fd;
    uint64_t size; /* bytes that the file system has for it */
    uint64_t last; /* number of the newest record in it since this process began; 0: none */
};

struct wal {
    int dir_fd;
    uint64_t seed;
    pthread_mutex_t lock; /* of the segments */
    struct segment *segments;
    size_t n, current;
    uint64_t at;             /* where in the current segment the next record goes */
    uint64_t before;         /* where the newest record begins */
    _Atomic uint64_t number; /* of the newest record */
    pthread_mutex_t sync_lock;
    _Atomic uint64_t synced; /* up to this number all is on disk */
    unsigned healed;         /* records that replay found to have one flipped byte */
    int failed; /* why a sync failed; another would say that all is well, and be wrong */
};

/** Opens the file of segment @i. @create: makes it, with all its blocks. */
int wal_segment_open(struct wal *w, size_t i, bool create) MUST_CHECK;

/** Calls @apply for the records after @after; @ret_last: the last there is, or @after. */
int wal_replay(struct wal *w, uint64_t after, wal_apply_fn *apply, void *arg, uint64_t *ret_last,
               struct err *err) MUST_CHECK;

/** How many bytes a record with a batch of @batch_n takes. */
size_t wal_record_bytes(size_t batch_n);

/** The checksum of a record: of its header after the checksum, and of the batch. */
uint64_t wal_checksum(const uint8_t *header, struct bytes batch, uint64_t seed);

/**
 * Makes the bytes at @p, of @n there are, a record with number @number, if one byte that was
 * flipped is all that keeps them from being it. False: they are not, and are no record.
 */
bool wal_heal(uint8_t *p, size_t n, uint64_t seed, uint64_t number) MUST_CHECK;

#endif
