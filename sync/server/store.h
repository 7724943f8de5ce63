/*
 * sync/server/store - what the server stores, behind a small interface. store*.c alone know that it
 * is RocksDB; another engine needs what is written here and no more.
 *
 * One process has a store at a time. A batch is atomic, and is seen by readers at once. It survives
 * the death of the process, and the loss of power, after srv_store_sync(). Keys are iterated in the
 * order of memcmp. Thread: any, unless said otherwise.
 */
#ifndef SYNC_SERVER_STORE_H
#define SYNC_SERVER_STORE_H

#include <stdbool.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"

/* Families of rows, by purpose. Their keys and values: sync/server/README.md. */
enum srv_family { SRV_META, SRV_ACCOUNTS, SRV_LOG, SRV_ENTRIES, SRV_CHUNKS, SRV_FAMILY_N };

enum { SRV_STORE_FORMAT = 2, SRV_PREFIX_MAX = 64 };

struct srv_store;
struct srv_batch;
struct srv_iter;

/**
 * Opens the store in directory @dir, which it makes (mode 0700) when @create.
 * What in SRV_META begins with 'p' or 'q' and a number is the store's own, and "synced-to".
 * Errors: -EBUSY another process has it (message names it), -ENOENT, -ENOTSUP of another format,
 * -EUCLEAN damaged, -EACCES, -ENOSPC, -EIO.
 */
int srv_store_open(const char *dir, bool create, struct srv_store **ret,
                   struct err *err) MUST_CHECK;
/** Accepts NULL. All iterators must be gone. */
void srv_store_close(struct srv_store *s);

/** Reads a value into @ret, replacing what is in it. -ENOENT, -EUCLEAN, -EIO, -ENOMEM. */
int srv_store_get(struct srv_store *s, enum srv_family family, struct bytes key,
                  struct buf *ret) MUST_CHECK;
/** Whether a key exists: 1, 0, or a negative errno. */
int srv_store_has(struct srv_store *s, enum srv_family family, struct bytes key) MUST_CHECK;

/** An empty batch, or NULL when memory ran out. */
struct srv_batch *srv_batch_new(struct srv_store *s) MUST_CHECK;
void srv_batch_free(struct srv_batch *b); /* accepts NULL */
void srv_batch_put(struct srv_batch *b, enum srv_family family, struct bytes key,
                   struct bytes value);
/** The same for a value in two parts. */
void srv_batch_put_parts(struct srv_batch *b, enum srv_family family, struct bytes key,
                         struct bytes head, struct bytes rest);
void srv_batch_delete(struct srv_batch *b, enum srv_family family, struct bytes key);
/** Deletes every key that begins with @prefix (1 to SRV_PREFIX_MAX bytes). */
void srv_batch_delete_all(struct srv_batch *b, enum srv_family family, struct bytes prefix);

/* What a batch is for: pieces of content leave some of a disk to what is small, and that the last
 * of it to what gives room or takes rights away. */
enum srv_urgency { SRV_BULK, SRV_ORDINARY, SRV_URGENT };

/** Writes a batch. Errors: -ENOSPC, -EIO, -ENOMEM (nothing of it is there). */
int srv_store_write(struct srv_store *s, struct srv_batch *b, enum srv_urgency urgency) MUST_CHECK;
/** Returns when all that was written before the call is on disk. */
int srv_store_sync(struct srv_store *s) MUST_CHECK;
/** Gives the room of what was deleted below @prefix back to the disk. Slow. */
void srv_store_reclaim(struct srv_store *s, enum srv_family family, struct bytes prefix);

/* ---- large values ----
 *
 * They lie beside the rows, in packs: written once, never moved. First the bytes are appended, then
 * a batch has the row that names their place, and says so with srv_batch_keep(). A sync brings
 * bytes to the disk before rows. So after a loss of power a row of a place may be there without its
 * bytes only if it was not synced: srv_store_each_torn() finds it.
 */

struct srv_place {
    uint64_t at, sum; /* address in the packs; XXH3 of the bytes */
    uint32_t n;
};

enum { SRV_PLACE_BYTES = 20, SRV_LARGE_MAX = 1 << 20 };

/** A place as bytes of a row. */
void srv_place_encode(const struct srv_place *p, uint8_t ret[SRV_PLACE_BYTES]);
struct srv_place srv_place_decode(const uint8_t from[SRV_PLACE_BYTES]);

/** Writes 1 to SRV_LARGE_MAX bytes. Errors as srv_store_write() of something ordinary, -EFBIG. */
int srv_store_append(struct srv_store *s, struct bytes value, struct srv_place *ret) MUST_CHECK;
/** Gives up a place that no batch has kept. */
void srv_store_abandon(struct srv_store *s, const struct srv_place *p);
/** Reads it into @ret, replacing what is in it. -EUCLEAN it is not what was written, -EIO, -ENOMEM.
 */
int srv_store_read(struct srv_store *s, const struct srv_place *p, struct buf *ret) MUST_CHECK;

/** The batch has a row with key @key that names the place. */
void srv_batch_keep(struct srv_batch *b, const struct srv_place *p, struct bytes key);
/** With the batch nothing names the place any more. */
void srv_batch_release(struct srv_batch *b, const struct srv_place *p);

/**
 * Gives the room of up to @max places that were released, and are so on the disk, back to the file
 * system; what was released since the last sync waits for the next. 1 when there are more.
 */
int srv_store_give_back(struct srv_store *s, unsigned max) MUST_CHECK;

typedef int srv_torn_fn(void *arg, struct bytes key, const struct srv_place *p);
/**
 * Calls @fn for each row whose bytes were lost with the power, until it returns something else than
 * 0: that. It is to delete the row and release the place. After opening, before anything is
 * written.
 */
int srv_store_each_torn(struct srv_store *s, srv_torn_fn *fn, void *arg) MUST_CHECK;

/**
 * An iterator over the keys that begin with @prefix (up to SRV_PREFIX_MAX bytes), from the first
 * that is not below @from (empty: from the first), as they are now. NULL when memory ran out.
 * A loop: while (srv_iter_next(it)) { … }; then srv_iter_status(). Thread: one.
 */
struct srv_iter *srv_iter_new(struct srv_store *s, enum srv_family family, struct bytes prefix,
                              struct bytes from) MUST_CHECK;
void srv_iter_free(struct srv_iter *it); /* accepts NULL */
bool srv_iter_next(struct srv_iter *it);
struct bytes srv_iter_key(const struct srv_iter *it);   /* borrowed until the next step */
struct bytes srv_iter_value(const struct srv_iter *it); /* likewise */
/** 0, or why the walk ended early: -EUCLEAN, -EIO. */
int srv_iter_status(const struct srv_iter *it) MUST_CHECK;

#endif
