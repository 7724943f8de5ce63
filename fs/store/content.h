/*
 * fs/store/content - the bytes of one version of a file, as a short *body* and shared chunks.
 *
 * A body is an encoded byte string that whoever keeps versions stores under a key of its own and
 * treats as opaque. It holds content of up to CONTENT_INLINE_MAX bytes itself; larger content is a
 * list of chunks (chunk.h), cut where the bytes say (cdc.h), and zeros as holes. A long list
 * becomes list nodes, stored as chunks too. Encoding and limits: list.h; rows: chunk.h.
 *
 *   new content      content_build() -> one batch with content_ref() and the caller's own row
 *   content received content_parse(), one batch with content_ref() and the caller's row; then
 *                    content_missing() -> content_put_chunk() until nothing is missing
 *   content dropped  one batch with content_unref() and the caller's row; later content_sweep()
 *
 * Who holds what: a chunk lives while something refers to it. Nothing refers to the chunks of a
 * build until the batch with its content_ref() is written. So content_sweep() and content_gc() must
 * not run between the start of a build and that write, nor beside content_put_chunk() or the write
 * of a batch with content_ref(): a readers-writer lock of the caller, shared by all those,
 * exclusive for the sweeps, which can be stopped at any step. A struct content holds no reference:
 * who reads keeps the version alive.
 *
 * Errors everywhere: -ENODATA a chunk is not here (not yet received, or dropped), -EBADMSG bytes
 * that do not parse, verify or fit together (made by a hostile or broken device), -ENOMEM; and
 * those of the database: -EUCLEAN, -EIO, -ENOSPC. sodium_init() was called. Thread: any.
 */
#ifndef FS_STORE_CONTENT_H
#define FS_STORE_CONTENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "fs/store/db.h"
#include "proto/base/buf.h"

enum {
    CONTENT_KEY_BYTES = 32,
    CONTENT_ID_BYTES = 32,
    CONTENT_HASH_BYTES = 32,
    CONTENT_INLINE_MAX = 32 * 1024, /* larger content is a list of chunks */
    CONTENT_CHUNK_MAX = 256 * 1024, /* of a chunk, and of a list node */
    CONTENT_HOLE_MIN = 256 * 1024,  /* a run of zeros at least this long is a hole */
    CONTENT_BODY_MAX = 64 * 1024,   /* no body is longer */
    CONTENT_REFERRER_MAX = 40,
};

#define CONTENT_SIZE_MAX (UINT64_C(1) << 50)

/* Keys of a space. Borrowed by each call; with equal keys equal bytes have equal bodies. */
struct content_keys {
    uint8_t id[CONTENT_KEY_BYTES];    /* names new chunks */
    uint8_t gear[CONTENT_KEY_BYTES];  /* seed of the table that decides where chunks are cut */
    uint8_t equal[CONTENT_KEY_BYTES]; /* of the equality hash */
    /* Further keys under which chunks that are checked or received may be named, one after the
     * other, CONTENT_KEY_BYTES each. */
    const uint8_t *old_ids;
    size_t old_ids_n;
};

/* Told of the work done, now and then. False stops it: the call returns -ECANCELED, and what was
 * done so far stays done. */
struct content_progress {
    bool (*step)(void *arg, uint64_t done_n); /* done_n: chunks or rows looked at */
    void *arg;
};

/* ---- making ---- */

/** The body of content of at most CONTENT_INLINE_MAX bytes; replaces what is in @ret_body. */
int content_inline(struct bytes data, struct buf *ret_body) MUST_CHECK;

/** The equality hash of a body: equal bodies (so with equal keys, equal content) <=> equal hash. */
void content_hash(const struct content_keys *keys, struct bytes body,
                  uint8_t ret_hash[static CONTENT_HASH_BYTES]);

/* Bytes to make content of. They must not change during the build. */
struct content_source {
    uint64_t size; /* at most CONTENT_SIZE_MAX, else -EFBIG */
    /* Reads exactly @n bytes at @off (inside size). 0 or a negative errno, which ends the build. */
    int (*read)(void *arg, uint64_t off, void *p, size_t n);
    /* May be NULL. The first data at or after @off, as lseek(SEEK_DATA) and (SEEK_HOLE) tell it:
     * 0, with off <= *ret_off < *ret_end, everything in between @off and *ret_off being zeros;
     * -ENXIO when there are only zeros to the end. */
    int (*next_data)(void *arg, uint64_t off, uint64_t *ret_off, uint64_t *ret_end);
    /* May be NULL. In the middle of a long build: the chunks and nodes with these ids, one after
     * the other, were not here and can be found now. */
    void (*stored)(void *arg, struct bytes ids);
    void *arg;
    const atomic_bool *cancel; /* may be NULL; true ends the build with -ECANCELED */
};

/* Bytes off <= i < end. */
struct content_range {
    uint64_t off, end;
};

struct content;

/* What is known of the bytes: outside the dirty ranges (and past the end of the shorter of the two)
 * they are those of @base. */
struct content_edit {
    struct content *base;
    const struct content_range *dirty; /* sorted by off; may touch and overlap */
    size_t dirty_n;
};

/**
 * Makes the body of @src, and puts the chunks and list nodes that are missing into the database, in
 * batches of its own. @edit may be NULL: all bytes are read. With it, time, reads and writes are in
 * proportion to the dirty ranges; lists and holes that did not change are taken over unread, and
 * (as everything is cut by the bytes alone) the body is the one that would be made without it, if
 * the base was made with the same keys. @ret_body and @ret_hash are untouched on failure; chunks
 * already put then stay until content_gc(). Memory: below 8 MiB.
 *
 * Errors, besides the general: -EFBIG, -ECANCELED, and what src->read and src->next_data return.
 */
int content_build(struct db *db, const struct content_keys *keys, const struct content_source *src,
                  const struct content_edit *edit, struct buf *ret_body,
                  uint8_t ret_hash[static CONTENT_HASH_BYTES]) MUST_CHECK;

/* ---- bodies, from anywhere ---- */

struct content_info {
    uint64_t size;
    bool is_inline;
    struct bytes data; /* inline: the bytes, borrowed from the body */
    unsigned level;    /* else: levels of list nodes below the body's own list, 0..3 */
    size_t children_n; /* else: entries of the body's own list, holes included */
};

/**
 * Decodes and checks a body, as far as that is possible without its chunks. A body from another
 * device must pass before it is stored. -EBADMSG.
 */
int content_parse(struct bytes body, struct content_info *ret_info) MUST_CHECK;

/** Called with a chunk's id; anything but 0 ends the walk and is returned by it. */
typedef int (*content_id_fn)(void *arg, const uint8_t id[CONTENT_ID_BYTES]);

/** Calls @fn with each id of a body's own list, in order (at most 1024, with repetitions). */
int content_body_ids(struct bytes body, content_id_fn fn, void *arg) MUST_CHECK;

/** The same for the bytes of a list node. */
int content_node_ids(struct bytes node, content_id_fn fn, void *arg) MUST_CHECK;

/** Whether an id is that of a list node: ids tell, so that no file's bytes can pass for a list. */
static inline bool content_id_is_node(const uint8_t id[static CONTENT_ID_BYTES])
{
    return (id[0] & 0x80) != 0;
}

/* ---- references ---- */

/**
 * Adds the references of @referrer (1 to CONTENT_REFERRER_MAX bytes) to a body's chunks to @batch.
 * The chunks need not be here yet. A referrer has one body at a time.
 */
int content_ref(struct db_batch *batch, struct bytes body, struct bytes referrer) MUST_CHECK;

/**
 * Adds to @batch the removal of those references, and remembers (in rows, so a crash loses nothing)
 * that the chunks have to be looked at. They go in content_sweep().
 */
int content_unref(struct db_batch *batch, struct bytes body, struct bytes referrer) MUST_CHECK;

/**
 * Deletes the chunks that lost their last reference through content_unref(), and what was below
 * them. Cost in proportion to what is freed, memory bounded. Not during a build (see above), nor
 * beside another sweep. @progress may be NULL.
 */
int content_sweep(struct db *db, const struct content_progress *progress) MUST_CHECK;

/**
 * Finds the chunks to which nothing refers, left by a build that failed or a crash, and sweeps.
 * Walks the references, not the chunks. Otherwise like content_sweep().
 */
int content_gc(struct db *db, const struct content_progress *progress) MUST_CHECK;

/**
 * Gives the room of chunks that a sweep deleted back to the disk. Cost: a walk of the rows of all
 * chunks. Beside anything.
 */
int content_reclaim(struct db *db) MUST_CHECK;

/* ---- reading ---- */

/** Opens a body for reading; it is copied. -EBADMSG. Free: content_free(), before db_close(). */
int content_open(struct db *db, struct bytes body, struct content **ret_content) MUST_CHECK;
void content_free(struct content *c); /* accepts NULL */
uint64_t content_size(const struct content *c);
/** The body, borrowed. */
struct bytes content_body(const struct content *c);

/**
 * Reads up to @n bytes at @off into @p: the number of bytes, less than @n only at the end (0 past
 * it), or a negative errno. Any number of threads at once.
 */
ssize_t content_read(struct content *c, uint64_t off, void *p, size_t n) MUST_CHECK;

/** lseek's SEEK_DATA and SEEK_HOLE, in a few lookups each. -ENXIO past the end, or no data left. */
int content_next_data(struct content *c, uint64_t off, uint64_t *ret_off) MUST_CHECK;
int content_next_hole(struct content *c, uint64_t off, uint64_t *ret_off) MUST_CHECK;

/* ---- exchange ---- */

struct content_need {
    const uint8_t *id; /* CONTENT_ID_BYTES, borrowed */
    uint64_t off;      /* where in the content its bytes are */
    uint64_t len;      /* bytes of content in (below) it; of a chunk: its length */
    unsigned level;    /* 0: chunk, else list node */
};

/** Anything but 0 ends the walk and is returned by it. */
typedef int (*content_need_fn)(void *arg, const struct content_need *need);

/**
 * Calls @fn for the chunks that a body needs from offset @from on and that are not here, in order;
 * below a list node that is not here nothing is known yet. (To go on where a walk was ended:
 * @from = need.off + need.len.) 0: what was not reported is all here, and fits: every list node
 * says what its parent says of it, every chunk has its length. -EBADMSG: it does not.
 */
int content_missing(struct db *db, struct bytes body, uint64_t from, content_need_fn fn,
                    void *arg) MUST_CHECK;

/** Reads a chunk or list node, as it is sent to others. -ENODATA. */
int content_get_chunk(struct db *db, const uint8_t id[static CONTENT_ID_BYTES],
                      struct db_value *ret) MUST_CHECK;

/**
 * Stores a chunk or list node from elsewhere, whether it is here or not (so it repairs one, too).
 * -EBADMSG, nothing stored: too long, not of that id, or a list node that is not well-formed.
 */
int content_put_chunk(struct db *db, const struct content_keys *keys,
                      const uint8_t id[static CONTENT_ID_BYTES], struct bytes data) MUST_CHECK;

/* The same for many: their bytes reach the disk together. Thread: one at a time. */
struct content_put;
int content_put_new(struct db *db, struct content_put **ret) MUST_CHECK;
/** As content_put_chunk(), but it can be found after content_put_flush(). */
int content_put_add(struct content_put *p, const struct content_keys *keys,
                    const uint8_t id[static CONTENT_ID_BYTES], struct bytes data) MUST_CHECK;
/**
 * The same for one whose id is not known, of the newest keys (borrowed until it is flushed); it is
 * not stored when it is here. -EBADMSG: it cannot be one.
 */
int content_put_new_one(struct content_put *p, const struct content_keys *keys, bool is_node,
                        struct bytes data) MUST_CHECK;
/** Whether a chunk is here, or was added: 1, 0, or a negative errno. */
int content_put_has(struct content_put *p, const uint8_t id[static CONTENT_ID_BYTES]) MUST_CHECK;
/** Bytes of those that were here already, as far as is known after a flush; told once. */
uint64_t content_put_known(struct content_put *p);
/** After an error all since the last one is lost, and has to come again. */
int content_put_flush(struct content_put *p) MUST_CHECK;
void content_put_free(struct content_put *p); /* accepts NULL; forgets what was not flushed */

/** Forgets a damaged chunk but not the references to it: content_missing() will ask for it. */
int content_drop_chunk(struct db *db, const uint8_t id[static CONTENT_ID_BYTES]) MUST_CHECK;

/* ---- verification ---- */

/** Whether @data is what @id names under one of the keys: 0 or -EBADMSG. */
int content_check_chunk(const struct content_keys *keys, const uint8_t id[static CONTENT_ID_BYTES],
                        struct bytes data) MUST_CHECK;

/**
 * Reads every chunk in the database and checks it; @on_bad hears of each that is damaged or gone
 * while its row of references says that it is here. 0 when the walk came to its end.
 */
int content_check_all(struct db *db, const struct content_keys *keys, content_id_fn on_bad,
                      void *arg, const struct content_progress *progress) MUST_CHECK;

/** 0 when everything below a body is here and fits; -ENODATA, -EBADMSG. Reads lists, not chunks. */
int content_check_body(struct db *db, struct bytes body) MUST_CHECK;

#endif
