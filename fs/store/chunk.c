#include "fs/store/chunk.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <xxhash.h>

#include "fs/store/list.h"

enum {
    /* A batch doubles its memory when it grows: up to three times this is in use for a moment. */
    BATCH_BYTES = 2 << 20,
    NODE_BIT = 0x80,
    SUM_BYTES = 8,
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

int chunk_stat(struct db *db, const uint8_t id[static CONTENT_ID_BYTES], uint32_t *ret_len)
{
    CLEANUP(db_value_fini) struct db_value v = {0};
    int rc = db_get(db, DB_CHUNKREF, id_bytes(id), &v);
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    if (v.v.n != 4)
        return -EUCLEAN;
    *ret_len = get_u32(v.v.p);
    return 1;
}

int chunk_open(struct bytes stored, struct bytes *ret)
{
    if (stored.n < SUM_BYTES)
        return -EUCLEAN;
    struct bytes data = bytes_of(stored.p, stored.n - SUM_BYTES);
    if (XXH3_64bits(data.p, data.n) != get_u64(data.p + data.n))
        return -EUCLEAN;
    *ret = data;
    return 0;
}

int chunk_get(struct db *db, const uint8_t id[static CONTENT_ID_BYTES], struct db_value *ret)
{
    int rc = db_get(db, DB_CHUNK, id_bytes(id), ret);
    if (rc == 0)
        rc = chunk_open(ret->v, &ret->v);
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

void chunk_put(struct db_batch *b, const uint8_t id[static CONTENT_ID_BYTES], struct bytes data)
{
    assert(data.n > 0 && data.n <= CONTENT_CHUNK_MAX);
    uint8_t len[4];
    put_u32(len, (uint32_t)data.n);
    uint8_t sum[SUM_BYTES];
    put_u64(sum, XXH3_64bits(data.p, data.n));
    db_batch_put_parts(b, DB_CHUNK, id_bytes(id), data, bytes_of(sum, sizeof sum));
    db_batch_put(b, DB_CHUNKREF, id_bytes(id), bytes_of(len, sizeof len));
    if (!content_id_is_node(id))
        return;
    struct list_head head;
    struct node_refs refs = {b, id};
    int rc = list_parse_node(data, &head);
    if (rc == 0)
        rc = list_each_id(&head, put_node_ref, &refs);
    assert(rc == 0); /* checked by the caller */
    (void)rc;
}

void chunk_delete(struct db_batch *b, const uint8_t id[static CONTENT_ID_BYTES])
{
    db_batch_delete(b, DB_CHUNK, id_bytes(id));
    db_batch_delete(b, DB_CHUNKREF, id_bytes(id));
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
    *s = (struct chunk_sink){.db = db, .key = key, .batch = db_batch_new(db)};
    return s->batch == NULL ? -ENOMEM : 0;
}

void chunk_sink_fini(struct chunk_sink *s)
{
    db_batch_free(s->batch);
    s->batch = NULL;
}

int chunk_sink_put(struct chunk_sink *s, bool is_node, struct bytes data,
                   uint8_t ret_id[static CONTENT_ID_BYTES])
{
    chunk_id(s->key, is_node, data, ret_id);
    uint8_t *seen = s->seen[ret_id[1]];
    if (memcmp(seen, ret_id, CONTENT_ID_BYTES) == 0)
        return 0;
    uint32_t len;
    int rc = chunk_stat(s->db, ret_id, &len);
    if (rc < 0)
        return rc;
    if (rc == 0) {
        chunk_put(s->batch, ret_id, data);
        rc = db_batch_bytes(s->batch) >= BATCH_BYTES ? chunk_sink_flush(s) : 0;
    } else {
        rc = 0;
    }
    memcpy(seen, ret_id, CONTENT_ID_BYTES);
    return rc;
}

int chunk_sink_flush(struct chunk_sink *s)
{
    if (db_batch_n(s->batch) == 0)
        return 0;
    int rc = db_write(s->db, s->batch, false);
    db_batch_clear(s->batch);
    return rc;
}
