/* Verification of chunks, and of what is below a body. */
#include "fs/store/content.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#include "fs/store/chunk.h"
#include "fs/store/list.h"

enum { STEP_EVERY = 64 };

int content_check_chunk(const struct content_keys *keys, const uint8_t id[static CONTENT_ID_BYTES],
                        struct bytes data)
{
    uint8_t got[CONTENT_ID_BYTES];
    bool is_node = content_id_is_node(id);
    chunk_id(keys->id, is_node, data, got);
    for (size_t i = 0; memcmp(got, id, sizeof got) != 0; i++) {
        if (i == keys->old_ids_n)
            return -EBADMSG;
        chunk_id(keys->old_ids + i * CONTENT_KEY_BYTES, is_node, data, got);
    }
    return 0;
}

/* Two walks side by side: of the rows that say which chunks are here, and of the chunks. */
struct check {
    struct db *db;
    struct db_snapshot *snap;
    struct db_iter *rows, *chunks;
    bool chunk_valid; /* chunks stands on one that no row was found for yet */
    const struct content_keys *keys;
    content_id_fn on_bad;
    void *arg;
};

static void check_fini(struct check *c)
{
    db_iter_free(c->rows);
    db_iter_free(c->chunks);
    db_snapshot_free(c->db, c->snap);
}

static int check_init(struct check *c)
{
    struct bytes all = {NULL, 0};
    c->snap = db_snapshot_new(c->db);
    if (c->snap == NULL)
        return -ENOMEM;
    c->rows = db_iter_new_scan(c->db, DB_CHUNKREF, all, c->snap);
    c->chunks = db_iter_new_scan(c->db, DB_CHUNK, all, c->snap);
    return c->rows == NULL || c->chunks == NULL ? -ENOMEM : 0;
}

/* A walk ends at a damaged block or blob: goes on behind the chunk that it could not read. */
static int skip_damaged(struct check *c, const uint8_t *id)
{
    int rc = db_iter_status(c->chunks);
    if (rc != -EUCLEAN)
        return rc;
    db_iter_free(c->chunks);
    c->chunks = db_iter_new_scan(c->db, DB_CHUNK, bytes_of(NULL, 0), c->snap);
    if (c->chunks == NULL)
        return -ENOMEM;
    uint8_t next[CONTENT_ID_BYTES + 1]; /* the least key after id */
    memcpy(next, id, CONTENT_ID_BYTES);
    next[CONTENT_ID_BYTES] = 0;
    db_iter_seek(c->chunks, bytes_of(next, sizeof next));
    c->chunk_valid = db_iter_next(c->chunks);
    return 0;
}

static int report(const struct check *c, struct bytes key)
{
    uint8_t id[CONTENT_ID_BYTES] = {0};
    memcpy(id, key.p, key.n < sizeof id ? key.n : sizeof id);
    return c->on_bad(c->arg, id);
}

/* Checks the chunk that the row (@id, @len) says is here. */
static int check_row(struct check *c, struct bytes id, struct bytes len)
{
    int order = -1;
    while (c->chunk_valid && (order = bytes_cmp(db_iter_key(c->chunks), id)) < 0) {
        int rc = report(c, db_iter_key(c->chunks)); /* one without a row */
        if (rc != 0)
            return rc;
        c->chunk_valid = db_iter_next(c->chunks);
    }
    if (!c->chunk_valid || order > 0) {
        int rc = report(c, id);
        return rc != 0 || c->chunk_valid ? rc : skip_damaged(c, id.p);
    }
    struct bytes data = {0};
    bool ok = chunk_open(db_iter_value(c->chunks), &data) == 0 && len.n == 4 &&
              get_u32(len.p) == data.n && content_check_chunk(c->keys, id.p, data) == 0;
    int rc = ok ? 0 : report(c, id);
    c->chunk_valid = db_iter_next(c->chunks);
    return rc;
}

static int check_rows(struct check *c, const struct content_progress *progress)
{
    uint64_t done_n = 0;
    c->chunk_valid = db_iter_next(c->chunks);
    while (db_iter_next(c->rows)) {
        struct bytes key = db_iter_key(c->rows);
        if (key.n != CONTENT_ID_BYTES)
            continue;
        int rc = check_row(c, key, db_iter_value(c->rows));
        if (rc != 0)
            return rc;
        if (++done_n % STEP_EVERY == 0 && progress != NULL &&
            !progress->step(progress->arg, done_n))
            return -ECANCELED;
    }
    for (; c->chunk_valid; c->chunk_valid = db_iter_next(c->chunks)) {
        int rc = report(c, db_iter_key(c->chunks));
        if (rc != 0)
            return rc;
    }
    int rc = db_iter_status(c->rows);
    return rc < 0 ? rc : db_iter_status(c->chunks);
}

int content_check_all(struct db *db, const struct content_keys *keys, content_id_fn on_bad,
                      void *arg, const struct content_progress *progress)
{
    CLEANUP(check_fini) struct check c = {.db = db, .keys = keys, .on_bad = on_bad, .arg = arg};
    int rc = check_init(&c);
    return rc < 0 ? rc : check_rows(&c, progress);
}

static int is_missing(void *arg, const struct content_need *need)
{
    (void)arg;
    (void)need;
    return -ENODATA;
}

int content_check_body(struct db *db, struct bytes body)
{
    return content_missing(db, body, 0, is_missing, NULL);
}
