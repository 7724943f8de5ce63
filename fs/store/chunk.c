#include "fs/store/chunk.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sodium.h>

#include "fs/store/list.h"
#include "fs/store/xxh3.h"

enum {
    /* A batch doubles its memory when it grows: up to three times this is in use for a moment. */
    BATCH_BYTES = 2 << 20,
    NODE_BIT = 0x80,
    SUM_BYTES = 8,
    TRAILER_BYTES = CONTENT_ID_BYTES + SUM_BYTES,
    PLACE_BYTES = 8,
};

static const char free_prefix[] = "content.free.";
enum { FREE_PREFIX_BYTES = sizeof free_prefix - 1 };

_Static_assert(CONTENT_ID_BYTES == crypto_generichash_BYTES, "an id is a hash");
_Static_assert(CONTENT_KEY_BYTES == crypto_generichash_KEYBYTES, "keys of the usual length");

static struct bytes id_bytes(const uint8_t *id)
{
    return bytes_of(id, CONTENT_ID_BYTES);
}

void chunk_id(const uint8_t key[static CONTENT_KEY_BYTES], bool is_node, struct bytes data,
              uint8_t ret_id[static CONTENT_ID_BYTES])
{
    int rc = crypto_generichash(ret_id, CONTENT_ID_BYTES, data.p, data.n, key, CONTENT_KEY_BYTES);
    assert(rc == 0);
    (void)rc;
    ret_id[0] = (uint8_t)((ret_id[0] & ~NODE_BIT) | (is_node ? NODE_BIT : 0));
}

int chunk_stat(struct db *db, const uint8_t id[static CONTENT_ID_BYTES], struct chunk_row *ret)
{
    CLEANUP(db_value_fini) struct db_value v = {0};
    int rc = db_get(db, DB_CHUNKREF, id_bytes(id), &v);
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    if (v.v.n != CHUNK_ROW_BYTES)
        return -EUCLEAN;
    *ret = (struct chunk_row){get_u32(v.v.p), get_u64(v.v.p + 4)};
    return 1;
}

int chunk_open(struct bytes stored, struct bytes *ret_data, const uint8_t **ret_id)
{
    if (stored.n < TRAILER_BYTES)
        return -EUCLEAN;
    const uint8_t *sum = stored.p + stored.n - SUM_BYTES;
    if (XXH3_64bits(stored.p, stored.n - SUM_BYTES) != get_u64(sum))
        return -EUCLEAN;
    *ret_data = bytes_of(stored.p, stored.n - TRAILER_BYTES);
    *ret_id = sum - CONTENT_ID_BYTES;
    return 0;
}

static int get_at(struct db *db, uint64_t place, struct db_value *ret)
{
    uint8_t key[PLACE_BYTES];
    put_u64(key, place);
    return db_get(db, DB_CHUNK, bytes_of(key, sizeof key), ret);
}

int chunk_get(struct db *db, const uint8_t id[static CONTENT_ID_BYTES], struct db_value *ret)
{
    struct chunk_row row, again;
    *ret = (struct db_value){0};
    int rc = chunk_stat(db, id, &row);
    if (rc <= 0)
        return rc == 0 ? -ENODATA : rc;
    rc = get_at(db, row.place, ret);
    /* It may have been replaced in between. */
    if (rc == -ENOENT && chunk_stat(db, id, &again) == 1 && again.place != row.place)
        rc = get_at(db, again.place, ret);
    const uint8_t *stored_id;
    if (rc == 0)
        rc = chunk_open(ret->v, &ret->v, &stored_id);
    if (rc == 0 && memcmp(stored_id, id, CONTENT_ID_BYTES) != 0)
        rc = -EUCLEAN;
    if (rc < 0)
        db_value_fini(ret);
    return rc == -ENOENT ? -ENODATA : rc;
}

struct node_refs {
    struct db_batch *b;
    const uint8_t *node_id;
};

static int put_node_ref(void *arg, const uint8_t id[CONTENT_ID_BYTES])
{
    const struct node_refs *n = arg;
    chunk_ref(n->b, id, CHUNK_REF_NODE, id_bytes(n->node_id));
    return 0;
}

int chunk_batch_init(struct chunk_batch *b, struct db *db)
{
    *b = (struct chunk_batch){.db = db, .batch = db_batch_new(db)};
    return b->batch == NULL ? -ENOMEM : 0;
}

void chunk_batch_fini(struct chunk_batch *b)
{
    db_batch_free(b->batch);
    buf_fini(&b->ids);
    b->batch = NULL;
}

/* The row and the bytes. */
static void put_rows(struct db_batch *b, const uint8_t *id, struct bytes data, uint64_t place)
{
    uint8_t key[PLACE_BYTES], row[CHUNK_ROW_BYTES], trailer[TRAILER_BYTES];
    put_u64(key, place);
    put_u32(row, (uint32_t)data.n);
    put_u64(row + 4, place);
    XXH3_state_t *sum = XXH3_createState();
    memcpy(trailer, id, CONTENT_ID_BYTES);
    XXH3_64bits_reset(sum);
    XXH3_64bits_update(sum, data.p, data.n);
    XXH3_64bits_update(sum, id, CONTENT_ID_BYTES);
    put_u64(trailer + CONTENT_ID_BYTES, XXH3_64bits_digest(sum));
    XXH3_freeState(sum);
    db_batch_put_parts(b, DB_CHUNK, bytes_of(key, sizeof key), data,
                       bytes_of(trailer, sizeof trailer));
    db_batch_put(b, DB_CHUNKREF, id_bytes(id), bytes_of(row, sizeof row));
}

void chunk_batch_put(struct chunk_batch *b, const uint8_t id[static CONTENT_ID_BYTES],
                     struct bytes data)
{
    assert(data.n > 0 && data.n <= CONTENT_CHUNK_MAX);
    put_rows(b->batch, id, data, db_next_place(b->db));
    buf_put(&b->ids, id, CONTENT_ID_BYTES);
    if (!content_id_is_node(id))
        return;
    struct list_head head;
    struct node_refs refs = {b->batch, id};
    int rc = list_parse_node(data, &head);
    if (rc == 0)
        rc = list_each_id(&head, put_node_ref, &refs);
    assert(rc == 0); /* checked by the caller */
    (void)rc;
}

static int delete_bytes(struct db *db, struct db_batch *b, const uint8_t *id)
{
    struct chunk_row row;
    int rc = chunk_stat(db, id, &row);
    if (rc == 1) {
        uint8_t key[PLACE_BYTES];
        put_u64(key, row.place);
        db_batch_delete(b, DB_CHUNK, bytes_of(key, sizeof key));
    }
    return rc < 0 ? rc : 0;
}

int chunk_batch_write(struct chunk_batch *b)
{
    /* So that no two threads find that a chunk is not here, and each gives it a place. */
    static pthread_mutex_t writing = PTHREAD_MUTEX_INITIALIZER;
    if (b->ids.n == 0)
        return 0;
    pthread_mutex_lock(&writing);
    int rc = buf_status(&b->ids);
    for (size_t at = 0; rc == 0 && at < b->ids.n; at += CONTENT_ID_BYTES)
        rc = delete_bytes(b->db, b->batch, b->ids.p + at);
    if (rc == 0)
        rc = db_write(b->db, b->batch, false);
    pthread_mutex_unlock(&writing);
    db_batch_clear(b->batch);
    buf_reset(&b->ids);
    return rc;
}

int chunk_delete(struct db *db, struct db_batch *b, const uint8_t id[static CONTENT_ID_BYTES])
{
    int rc = delete_bytes(db, b, id);
    db_batch_delete(b, DB_CHUNKREF, id_bytes(id));
    return rc;
}

static struct bytes ref_key(uint8_t key[static CHUNK_REF_KEY_MAX], const uint8_t *id, uint8_t tag,
                            struct bytes referrer)
{
    assert(referrer.n > 0 && referrer.n <= CONTENT_REFERRER_MAX);
    memcpy(key, id, CONTENT_ID_BYTES);
    key[CONTENT_ID_BYTES] = tag;
    memcpy(key + CONTENT_ID_BYTES + 1, referrer.p, referrer.n);
    return bytes_of(key, CONTENT_ID_BYTES + 1 + referrer.n);
}

void chunk_ref(struct db_batch *b, const uint8_t id[static CONTENT_ID_BYTES], uint8_t tag,
               struct bytes referrer)
{
    uint8_t key[CHUNK_REF_KEY_MAX];
    db_batch_put(b, DB_CHUNKREF, ref_key(key, id, tag, referrer), bytes_of("", 0));
}

void chunk_unref(struct db_batch *b, const uint8_t id[static CONTENT_ID_BYTES], uint8_t tag,
                 struct bytes referrer)
{
    uint8_t key[CHUNK_REF_KEY_MAX];
    db_batch_delete(b, DB_CHUNKREF, ref_key(key, id, tag, referrer));
    chunk_free_put(b, id);
}

int chunk_is_referred(struct db *db, const uint8_t id[static CONTENT_ID_BYTES])
{
    struct db_iter *it = db_iter_new(db, DB_CHUNKREF, id_bytes(id), NULL);
    if (it == NULL)
        return -ENOMEM;
    int found = 0;
    while (found == 0 && db_iter_next(it))
        found = db_iter_key(it).n > CONTENT_ID_BYTES;
    int rc = db_iter_status(it);
    db_iter_free(it);
    return rc < 0 ? rc : found;
}

struct bytes chunk_free_prefix(void)
{
    return bytes_of(free_prefix, FREE_PREFIX_BYTES);
}

static struct bytes free_key(uint8_t key[static FREE_PREFIX_BYTES + CONTENT_ID_BYTES],
                             const uint8_t *id)
{
    memcpy(key, free_prefix, FREE_PREFIX_BYTES);
    memcpy(key + FREE_PREFIX_BYTES, id, CONTENT_ID_BYTES);
    return bytes_of(key, FREE_PREFIX_BYTES + CONTENT_ID_BYTES);
}

void chunk_free_put(struct db_batch *b, const uint8_t id[static CONTENT_ID_BYTES])
{
    uint8_t key[FREE_PREFIX_BYTES + CONTENT_ID_BYTES];
    db_batch_put(b, DB_META, free_key(key, id), bytes_of("", 0));
}

void chunk_free_delete(struct db_batch *b, const uint8_t id[static CONTENT_ID_BYTES])
{
    uint8_t key[FREE_PREFIX_BYTES + CONTENT_ID_BYTES];
    db_batch_delete(b, DB_META, free_key(key, id));
}

int chunk_sink_init(struct chunk_sink *s, struct db *db, const uint8_t *key)
{
    *s = (struct chunk_sink){.key = key};
    return chunk_batch_init(&s->batch, db);
}

void chunk_sink_fini(struct chunk_sink *s)
{
    chunk_batch_fini(&s->batch);
}

int chunk_sink_put(struct chunk_sink *s, bool is_node, struct bytes data,
                   uint8_t ret_id[static CONTENT_ID_BYTES])
{
    chunk_id(s->key, is_node, data, ret_id);
    uint8_t *seen = s->seen[ret_id[1]];
    if (memcmp(seen, ret_id, CONTENT_ID_BYTES) == 0)
        return 0;
    struct chunk_row row;
    int rc = chunk_stat(s->batch.db, ret_id, &row);
    if (rc < 0)
        return rc;
    if (rc == 0) {
        chunk_batch_put(&s->batch, ret_id, data);
        rc = db_batch_bytes(s->batch.batch) >= BATCH_BYTES ? chunk_sink_flush(s) : 0;
    } else {
        rc = 0;
    }
    memcpy(seen, ret_id, CONTENT_ID_BYTES);
    return rc;
}

int chunk_sink_flush(struct chunk_sink *s)
{
    return chunk_batch_write(&s->batch);
}
