#include "fs/store/chunk.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>

#include "fs/store/list.h"
#include "fs/store/xxh3.h"
#include "proto/hash_many.h"

enum {
    BATCH_BYTES = 4 << 20, /* of chunks: a sync for each batch */
    NODE_BIT = 0x80,
    SUM_BYTES = 4,
    SUMS_MAX = CONTENT_CHUNK_MAX / PACK_PAGE + 1,
    PLACE_BYTES = 8,
    PLACED_BYTES = 4 + CONTENT_ID_BYTES,
};

static const char free_prefix[] = "content.free.";
enum { FREE_PREFIX_BYTES = sizeof free_prefix - 1 };

_Static_assert(CONTENT_ID_BYTES == crypto_generichash_BYTES, "an id is a hash");
_Static_assert((int)CONTENT_ID_BYTES == (int)HASH_SIZE, "hash_many() makes ids");
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

void chunk_ids(const uint8_t key[static CONTENT_KEY_BYTES], const struct bytes *data, size_t n,
               uint8_t (*ret_ids)[CONTENT_ID_BYTES])
{
    hash_many(key, data, n, ret_ids);
    for (size_t i = 0; i < n; i++)
        ret_ids[i][0] &= (uint8_t)~NODE_BIT;
}

/* The pages of packs that a chunk is in. */
static size_t pages_of(const struct chunk_row *row)
{
    return (size_t)((row->place + row->len - 1) / PACK_PAGE - row->place / PACK_PAGE + 1);
}

/* The row of a chunk, whose sums are then in @ret_value: 1, 0, or a negative errno. */
static int get_row(struct db *db, const uint8_t *id, struct chunk_row *ret,
                   struct db_value *ret_value)
{
    int rc = db_get(db, DB_CHUNKREF, id_bytes(id), ret_value);
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    struct bytes v = ret_value->v;
    if (v.n < CHUNK_ROW_BYTES)
        return -EUCLEAN;
    *ret = (struct chunk_row){get_u32(v.p), get_u64(v.p + 4)};
    bool ok = ret->len > 0 && ret->len <= CONTENT_CHUNK_MAX &&
              v.n == CHUNK_ROW_BYTES + pages_of(ret) * SUM_BYTES;
    return ok ? 1 : -EUCLEAN;
}

int chunk_stat(struct db *db, const uint8_t id[static CONTENT_ID_BYTES], struct chunk_row *ret)
{
    CLEANUP(db_value_fini) struct db_value v = {0};
    return get_row(db, id, ret, &v);
}

int chunk_placed(struct bytes key, struct bytes value, struct chunk_placed *ret)
{
    if (key.n != PLACE_BYTES || value.n != PLACED_BYTES)
        return -EUCLEAN;
    *ret = (struct chunk_placed){get_u64(key.p), get_u32(value.p), value.p + 4};
    return 0;
}

int chunk_lies_at(struct db *db, uint64_t place, const uint8_t id[static CONTENT_ID_BYTES])
{
    CLEANUP(db_value_fini) struct db_value v = {0};
    uint8_t key[PLACE_BYTES];
    put_u64(key, place);
    int rc = db_get(db, DB_CHUNK, bytes_of(key, sizeof key), &v);
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    return v.v.n == PLACED_BYTES && memcmp(v.v.p + 4, id, CONTENT_ID_BYTES) == 0;
}

static uint32_t sum_of(const uint8_t *p, size_t n)
{
    return (uint32_t)XXH3_64bits(p, n);
}

static uint64_t page_end(uint64_t at)
{
    return at - at % PACK_PAGE + PACK_PAGE;
}

/* A chunk that is being read: its row, and the sums in it. */
struct reading {
    struct packs *packs;
    struct chunk_row row;
    const uint8_t *sums;
};

/* Reads and verifies from @start to @end, which are borders of pages or of the chunk. */
static int read_pages(const struct reading *r, uint64_t start, uint64_t end, uint8_t *to)
{
    int rc = pack_read(r->packs, start, to, (size_t)(end - start));
    const uint8_t *sum = r->sums + (start / PACK_PAGE - r->row.place / PACK_PAGE) * SUM_BYTES;
    while (rc == 0 && start < end) {
        size_t n = (size_t)(min_u64(page_end(start), end) - start);
        if (sum_of(to, n) != get_u32(sum))
            return -EUCLEAN;
        sum += SUM_BYTES;
        to += n;
        start += n;
    }
    return rc;
}

/* Of a page, what is asked for. */
static int read_in_page(const struct reading *r, uint64_t at, size_t n, uint8_t *to)
{
    uint8_t page[PACK_PAGE];
    uint64_t start = max_u64(r->row.place, at - at % PACK_PAGE);
    int rc = read_pages(r, start, min_u64(r->row.place + r->row.len, page_end(at)), page);
    if (rc == 0)
        memcpy(to, page + (at - start), n);
    return rc;
}

static int read_verified(const struct reading *r, size_t from, size_t n, uint8_t *to)
{
    uint64_t at = r->row.place + from, end = at + n, chunk_end = r->row.place + r->row.len;
    while (at < end) {
        uint64_t whole = end == chunk_end ? end : end - end % PACK_PAGE;
        bool at_border = at == r->row.place || at % PACK_PAGE == 0;
        uint64_t to_end = at_border && whole > at ? whole : min_u64(end, page_end(at));
        int rc = at_border && whole > at ? read_pages(r, at, to_end, to)
                                         : read_in_page(r, at, (size_t)(to_end - at), to);
        if (rc < 0)
            return rc;
        to += to_end - at;
        at = to_end;
    }
    return 0;
}

/* @at: where it was found the last time; *ret_same: it is still there. */
static int try_read(struct db *db, const struct chunk_part *part, uint64_t *at, bool *ret_same,
                    void *to)
{
    CLEANUP(db_value_fini) struct db_value v = {0};
    struct reading r = {.packs = db_packs(db)};
    int rc = get_row(db, part->id, &r.row, &v);
    if (rc <= 0)
        return rc == 0 ? -ENODATA : rc;
    if (r.row.len != part->len)
        return -EBADMSG;
    *ret_same = *at == r.row.place;
    *at = r.row.place;
    r.sums = v.v.p + CHUNK_ROW_BYTES;
    if (part->ahead > 0)
        pack_will_read(r.packs, r.row.place + part->from + part->skip, part->ahead);
    return read_verified(&r, part->from, part->n, to);
}

int chunk_read(struct db *db, const struct chunk_part *part, void *to)
{
    assert(part->from + part->n <= part->len);
    uint64_t place = UINT64_MAX;
    bool same = false;
    int rc;
    do /* it may have been replaced in between */
        rc = try_read(db, part, &place, &same, to);
    while (rc == -EUCLEAN && !same && place != UINT64_MAX);
    return rc;
}

int chunk_get(struct db *db, const uint8_t id[static CONTENT_ID_BYTES], struct db_value *ret)
{
    CLEANUP(db_value_fini) struct db_value v = {0};
    struct reading r = {.packs = db_packs(db)};
    *ret = (struct db_value){0};
    int rc = get_row(db, id, &r.row, &v);
    if (rc <= 0)
        return rc == 0 ? -ENODATA : rc;
    ret->own = malloc(r.row.len);
    if (ret->own == NULL)
        return -ENOMEM;
    ret->v = bytes_of(ret->own, r.row.len);
    r.sums = v.v.p + CHUNK_ROW_BYTES;
    rc = read_verified(&r, 0, r.row.len, ret->own);
    if (rc == -EUCLEAN) { /* it may have been replaced in between */
        struct chunk_part whole = {.id = id, .len = r.row.len, .n = r.row.len};
        rc = chunk_read(db, &whole, ret->own);
    }
    if (rc < 0)
        db_value_fini(ret);
    return rc;
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
    pack_done(db_packs(b->db), &b->writer);
    db_batch_free(b->batch);
    buf_fini(&b->ids);
    b->batch = NULL;
}

static void put_rows(struct db_batch *b, const uint8_t *id, struct bytes data, uint64_t place)
{
    uint8_t key[PLACE_BYTES], placed[PLACED_BYTES], row[CHUNK_ROW_BYTES + SUMS_MAX * SUM_BYTES];
    put_u64(key, place);
    put_u32(placed, (uint32_t)data.n);
    memcpy(placed + 4, id, CONTENT_ID_BYTES);
    put_u32(row, (uint32_t)data.n);
    put_u64(row + 4, place);
    size_t row_n = CHUNK_ROW_BYTES;
    for (uint64_t at = place, end = place + data.n; at < end; at = page_end(at)) {
        size_t n = (size_t)(min_u64(page_end(at), end) - at);
        put_u32(row + row_n, sum_of(data.p + (at - place), n));
        row_n += SUM_BYTES;
    }
    db_batch_put(b, DB_CHUNK, bytes_of(key, sizeof key), bytes_of(placed, sizeof placed));
    db_batch_put(b, DB_CHUNKREF, id_bytes(id), bytes_of(row, row_n));
}

static bool is_in_batch(const struct chunk_batch *b, const uint8_t *id)
{
    for (size_t at = 0; at < b->ids.n; at += CONTENT_ID_BYTES)
        if (memcmp(b->ids.p + at, id, CONTENT_ID_BYTES) == 0)
            return true;
    return false;
}

/* So that no two threads find that a chunk is not here, and each leaves a place for it. */
static pthread_mutex_t writing = PTHREAD_MUTEX_INITIALIZER;
static _Atomic uint64_t written; /* batches, each counted when it can be read */

int chunk_batch_has(struct chunk_batch *b, const uint8_t id[static CONTENT_ID_BYTES])
{
    struct chunk_row row;
    if (b->ids.n == 0)
        b->since = atomic_load(&written);
    return is_in_batch(b, id) ? 1 : chunk_stat(b->db, id, &row);
}

int chunk_batch_put(struct chunk_batch *b, const uint8_t id[static CONTENT_ID_BYTES], uint64_t off,
                    struct bytes data)
{
    b->replaces = true;
    return chunk_batch_put_new(b, id, off, data);
}

int chunk_batch_put_new(struct chunk_batch *b, const uint8_t id[static CONTENT_ID_BYTES],
                        uint64_t off, struct bytes data)
{
    assert(data.n > 0 && data.n <= CONTENT_CHUNK_MAX);
    uint64_t place;
    if (is_in_batch(b, id)) /* a second place would be one that no row names */
        return 0;
    int rc = db_room(b->db, data.n);
    if (rc == 0)
        rc = pack_append(db_packs(b->db), &b->writer, (size_t)(off % PACK_PAGE), data, &place);
    if (rc < 0)
        return rc;
    put_rows(b->batch, id, data, place);
    buf_put(&b->ids, id, CONTENT_ID_BYTES);
    if (!content_id_is_node(id))
        return 0;
    struct list_head head;
    struct node_refs refs = {b->batch, id};
    rc = list_parse_node(data, &head);
    if (rc == 0)
        rc = list_each_id(&head, put_node_ref, &refs);
    assert(rc == 0); /* checked by the caller */
    return rc;
}

static int delete_place(struct db *db, struct db_batch *b, const uint8_t *id)
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

/* Those that are here, as they were when it was looked or another batch brought them since, lie
 * elsewhere from now on. */
static int delete_places(struct chunk_batch *b)
{
    int rc = 0;
    if (!b->replaces && b->since == atomic_load(&written))
        return 0;
    for (size_t at = 0; rc == 0 && at < b->ids.n; at += CONTENT_ID_BYTES)
        rc = delete_place(b->db, b->batch, b->ids.p + at);
    return rc;
}

int chunk_batch_write(struct chunk_batch *b)
{
    if (b->ids.n == 0)
        return 0;
    int rc = pack_sync(db_packs(b->db), &b->writer);
    pthread_mutex_lock(&writing);
    if (rc == 0)
        rc = buf_status(&b->ids);
    if (rc == 0)
        rc = delete_places(b);
    if (rc == 0)
        rc = db_write(b->db, b->batch, false);
    atomic_fetch_add(&written, 1);
    pthread_mutex_unlock(&writing);
    pack_done(db_packs(b->db), &b->writer);
    db_batch_clear(b->batch);
    buf_reset(&b->ids);
    b->replaces = false;
    return rc;
}

int chunk_delete(struct db *db, struct db_batch *b, const uint8_t id[static CONTENT_ID_BYTES])
{
    int rc = delete_place(db, b, id);
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

/* Writes the batch, as it is full, and tells what can be found now. */
static int write_full(struct chunk_sink *s)
{
    CLEANUP(buf_fini) struct buf ids = {0};
    if (s->stored != NULL)
        buf_put_bytes(&ids, buf_bytes(&s->batch.ids));
    int rc = chunk_batch_write(&s->batch);
    if (rc == 0 && s->stored != NULL && buf_status(&ids) == 0)
        s->stored(s->stored_arg, buf_bytes(&ids));
    return rc;
}

int chunk_sink_put(struct chunk_sink *s, bool is_node, uint64_t off, struct bytes data,
                   uint8_t ret_id[static CONTENT_ID_BYTES])
{
    chunk_id(s->key, is_node, data, ret_id);
    return chunk_sink_put_named(s, ret_id, off, data);
}

int chunk_sink_put_named(struct chunk_sink *s, const uint8_t id[static CONTENT_ID_BYTES],
                         uint64_t off, struct bytes data)
{
    uint8_t *seen = s->seen[id[1]];
    if (memcmp(seen, id, CONTENT_ID_BYTES) == 0)
        return 0;
    int rc = chunk_batch_has(&s->batch, id);
    if (rc < 0)
        return rc;
    if (rc == 0) {
        rc = chunk_batch_put_new(&s->batch, id, off, data);
        if (rc == 0 && s->batch.writer.end - s->batch.writer.from >= BATCH_BYTES)
            rc = write_full(s);
        if (rc < 0)
            return rc;
    } else {
        rc = 0;
    }
    memcpy(seen, id, CONTENT_ID_BYTES);
    return rc;
}

int chunk_sink_flush(struct chunk_sink *s)
{
    return chunk_batch_write(&s->batch);
}
