/*
 * fs/store/chunk - chunks and list nodes in the database: their ids and rows.
 *
 *   DB_CHUNKREF  id                        -> length (4), place (8), sums (4 each): it is here
 *   DB_CHUNK     place (8)                 -> length (4), id: what lies there
 *   DB_CHUNKREF  id · 'n' · node id        -> nothing: a node that is here refers to the chunk
 *   DB_CHUNKREF  id · 'v' · referrer       -> nothing: a version refers to it
 *   DB_META      "content.free." · id      -> nothing: lost a reference, content_sweep() looks
 *
 * The bytes are in packs (pack.h), the chunks of a file after each other. There is a sum (half an
 * XXH3) for each page of a pack that the chunk is in, of its bytes there: a page can be read, and
 * verified, alone. The first two are written and deleted together, and so are a node and its
 * references to what is below.
 */
#ifndef FS_STORE_CHUNK_H
#define FS_STORE_CHUNK_H

#include "fs/store/content.h"
#include "fs/store/pack.h"

enum {
    CHUNK_ROW_BYTES = 4 + 8, /* and the sums */
    CHUNK_REF_NODE = 'n',
    CHUNK_REF_VERSION = 'v',
    CHUNK_REF_KEY_MAX = CONTENT_ID_BYTES + 1 + CONTENT_REFERRER_MAX,
};

/** Id of a chunk or node: keyed BLAKE2b-256 of its bytes, the first bit replaced: 1 for a node. */
void chunk_id(const uint8_t key[static CONTENT_KEY_BYTES], bool is_node, struct bytes data,
              uint8_t ret_id[static CONTENT_ID_BYTES]);

/** The ids of @n chunks, no nodes, which is faster than one by one. */
void chunk_ids(const uint8_t key[static CONTENT_KEY_BYTES], const struct bytes *data, size_t n,
               uint8_t (*ret_ids)[CONTENT_ID_BYTES]);

struct chunk_row {
    uint32_t len;
    uint64_t place;
};

/** Whether a chunk is here: 1 (and its row), 0, or a negative errno. */
int chunk_stat(struct db *db, const uint8_t id[static CONTENT_ID_BYTES],
               struct chunk_row *ret) MUST_CHECK;

/* A row of DB_CHUNK, borrowed. */
struct chunk_placed {
    uint64_t place;
    uint32_t len;
    const uint8_t *id;
};

/** Decodes it. -EUCLEAN. */
int chunk_placed(struct bytes key, struct bytes value, struct chunk_placed *ret) MUST_CHECK;

/** Whether a row of DB_CHUNK, if there is one, says that chunk @id lies at @place. 1, 0, or errno.
 */
int chunk_lies_at(struct db *db, uint64_t place,
                  const uint8_t id[static CONTENT_ID_BYTES]) MUST_CHECK;

/** Reads a chunk. -ENODATA, -EUCLEAN. */
int chunk_get(struct db *db, const uint8_t id[static CONTENT_ID_BYTES],
              struct db_value *ret) MUST_CHECK;

/* A part of a chunk. */
struct chunk_part {
    const uint8_t *id;
    size_t len; /* what the chunk's length has to be */
    size_t from, n;
    size_t skip, ahead; /* @skip after @from, so much will be read soon: if not of it, then of those
                         * after it */
};

/** Reads a part. -ENODATA, -EUCLEAN; -EBADMSG of another length. */
int chunk_read(struct db *db, const struct chunk_part *part, void *to) MUST_CHECK;

/* A batch with new chunks: their bytes go to the packs at once, their rows with the batch. */
struct chunk_batch {
    struct db *db;
    struct db_batch *batch;
    struct buf ids; /* of the chunks in it */
    struct pack_writer writer;
    uint64_t since; /* how many batches were written when it was first looked for a new one */
    bool replaces;  /* some of them may be here */
};

/** -ENOMEM. */
int chunk_batch_init(struct chunk_batch *b, struct db *db) MUST_CHECK;
void chunk_batch_fini(struct chunk_batch *b);
/** Whether a chunk is in the batch or here: 1, 0, or a negative errno. */
int chunk_batch_has(struct chunk_batch *b, const uint8_t id[static CONTENT_ID_BYTES]) MUST_CHECK;
/**
 * Adds a chunk, if it is not in the batch yet; for a node (checked bytes) also its references. One
 * that is here is replaced. @off: where in the file it begins, see pack_append(); else 0. -ENOSPC,
 * -EIO: it is not in the batch.
 */
int chunk_batch_put(struct chunk_batch *b, const uint8_t id[static CONTENT_ID_BYTES], uint64_t off,
                    struct bytes data) MUST_CHECK;
/** The same for one of which chunk_batch_has() has said that it is not there: then that is not
 * looked up again. */
int chunk_batch_put_new(struct chunk_batch *b, const uint8_t id[static CONTENT_ID_BYTES],
                        uint64_t off, struct bytes data) MUST_CHECK;
/** Writes it and empties it. A chunk that another thread has written meanwhile is replaced. */
int chunk_batch_write(struct chunk_batch *b) MUST_CHECK;

/** Adds to @b the deletion of a chunk's rows. 0, also when it is not here. */
int chunk_delete(struct db *db, struct db_batch *b,
                 const uint8_t id[static CONTENT_ID_BYTES]) MUST_CHECK;

/** Adds or removes a reference of @tag and @referrer; the removal asks content_sweep() to look. */
void chunk_ref(struct db_batch *b, const uint8_t id[static CONTENT_ID_BYTES], uint8_t tag,
               struct bytes referrer);
void chunk_unref(struct db_batch *b, const uint8_t id[static CONTENT_ID_BYTES], uint8_t tag,
                 struct bytes referrer);

/** Whether anything refers to a chunk: 1, 0, or a negative errno. */
int chunk_is_referred(struct db *db, const uint8_t id[static CONTENT_ID_BYTES]) MUST_CHECK;

/** A row by which content_sweep() is asked to look at a chunk: its prefix, adding, deleting. */
struct bytes chunk_free_prefix(void);
void chunk_free_put(struct db_batch *b, const uint8_t id[static CONTENT_ID_BYTES]);
void chunk_free_delete(struct db_batch *b, const uint8_t id[static CONTENT_ID_BYTES]);

/* Puts what a build makes into the database, in batches; passes over what is here. Thread: one. */
struct chunk_sink {
    struct chunk_batch batch;
    const uint8_t *key;                          /* CONTENT_KEY_BYTES, borrowed */
    uint8_t seen[256][CONTENT_ID_BYTES];         /* some ids that are here or in the batch */
    void (*stored)(void *arg, struct bytes ids); /* as in struct content_source; may be NULL */
    void *stored_arg;
};

/** -ENOMEM. @key is borrowed until chunk_sink_fini(). */
int chunk_sink_init(struct chunk_sink *s, struct db *db, const uint8_t *key) MUST_CHECK;
void chunk_sink_fini(struct chunk_sink *s);
int chunk_sink_put(struct chunk_sink *s, bool is_node, uint64_t off, struct bytes data,
                   uint8_t ret_id[static CONTENT_ID_BYTES]) MUST_CHECK;
/** The same of a chunk whose id is known. */
int chunk_sink_put_named(struct chunk_sink *s, const uint8_t id[static CONTENT_ID_BYTES],
                         uint64_t off, struct bytes data) MUST_CHECK;
/** Writes what is still in the batch. */
int chunk_sink_flush(struct chunk_sink *s) MUST_CHECK;

#endif
