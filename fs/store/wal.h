/*
 * fs/store/wal - the write-ahead log: batches of the database, in the order they were written.
 *
 * It stands in for RocksDB's own. That one is appended to, so that to sync it is to sync the length
 * and the blocks of a file as well; here the file system has all blocks beforehand, and one write
 * to the disk is enough.
 *
 * The log is a set of segments, files of a fixed size that are used again when the database has in
 * its tables what they hold. A record is a header and a batch:
 *
 *   u64 checksum   XXH3 of the rest, with the database's own seed
 *   u64 number     of the record: each is one more than that before
 *   u64 synced     up to this record all was on disk when this one was written
 *   u32 length     of the batch
 *   u32 CRC-32C    of the batch
 *
 * padded to 8 bytes. A record with one flipped byte is put right: the CRC, being linear, says where
 * it may be, and the checksum is the proof. The log ends at the first record that does not hold
 * even so; what a segment held before has lower numbers. When a later record says that the bad one
 * was synced, the log is damaged.
 */
#ifndef FS_STORE_WAL_H
#define FS_STORE_WAL_H

#include <stdbool.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"

enum {
    WAL_HEADER_BYTES = 32,
    WAL_SEGMENT_BYTES = 4 << 20, /* at least: a segment grows for a record that is larger */
};

struct wal;

struct wal_record {
    uint64_t number, synced;
    struct bytes batch;
    size_t n; /* all its bytes */
};

/** The record that @at begins with. -EBADMSG: there is none that holds. */
int wal_record_read(struct bytes at, uint64_t seed, struct wal_record *ret) MUST_CHECK;

/* What to do with a record that the tables do not hold yet. */
typedef int wal_apply_fn(void *arg, const struct wal_record *r);

/**
 * Opens the log in directory @dir, which it makes, and calls @apply for each record after @after,
 * in order; they are on disk then. The log is left empty; the next record has number @ret_next. The
 * caller must have that number, less one, in its tables before it appends.
 * Errors: -EUCLEAN damaged, -ENOSPC, -EIO, and what @apply returns.
 */
int wal_open(const char *dir, uint64_t seed, uint64_t after, wal_apply_fn *apply, void *arg,
             struct wal **ret, uint64_t *ret_next, struct err *err) MUST_CHECK;

/** How many records had a flipped byte, which was put right, when the log was opened. */
unsigned wal_healed(const struct wal *w);

/** @needed: the tables may lack what it holds. Accepts NULL. */
void wal_close(struct wal *w, bool needed);

/**
 * Appends a record and gives its number. It survives the process. When there is no room in any
 * segment, @persisted(arg) says up to which number records are not needed any more.
 * Thread: one at a time. Errors: -ENOSPC, -EIO (then it is not there).
 */
int wal_append(struct wal *w, struct bytes batch, uint64_t (*persisted)(void *arg), void *arg,
               uint64_t *ret_number) MUST_CHECK;

/** Takes the newest record back: the database refused it. Thread: as wal_append(). */
int wal_undo(struct wal *w) MUST_CHECK;

/** Returns when all records appended before the call are on disk. Thread: any. */
int wal_sync(struct wal *w) MUST_CHECK;

#endif
