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

/*
 * Chunks are read in the order in which they lie on the disk, and each is to be the one that its
 * row names. When as many are good as there are rows, all is well; else each row's chunk is looked
 * at.
 */
struct check {
    struct db *db;
    struct db_snapshot *snap;
    const struct content_keys *keys;
    content_id_fn on_bad;
    void *arg;
    const struct content_progress *progress;
    uint64_t seen, good;
};

static void check_fini(struct check *c)
{
    db_snapshot_free(c->db, c->snap);
}

static int step(struct check *c)
{
    bool on = ++c->seen % STEP_EVERY != 0 || c->progress == NULL ||
              c->progress->step(c->progress->arg, c->seen);
    return on ? 0 : -ECANCELED;
}

/* A row of a place that no row of a chunk agrees with. While other threads go on, it may only be
 * the snapshot that still has it. */
static int stray(struct check *c, const struct chunk_placed *at)
{
    int rc = chunk_lies_at(c->db, at->place, at->id);
    return rc == 1 || rc == -EUCLEAN ? c->on_bad(c->arg, at->id) : rc;
}

/* A chunk at its place; one that no row names is reported. */
static int check_at(struct check *c, struct bytes key, struct bytes value)
{
    struct chunk_placed at;
    struct chunk_row row;
    if (chunk_placed(key, value, &at) < 0)
        return 0;
    int rc = chunk_stat(c->db, at.id, &row);
    if (rc < 0 && rc != -EUCLEAN)
        return rc;
    if (rc != 1 || row.place != at.place)
        return stray(c, &at);
    CLEANUP(db_value_fini) struct db_value v = {0};
    rc = chunk_get(c->db, at.id, &v);
    c->good += rc == 0 && at.len == v.v.n && content_check_chunk(c->keys, at.id, v.v) == 0;
    return rc == -EUCLEAN || rc == -ENODATA ? 0 : rc;
}

static int check_places(struct check *c)
{
    struct db_iter *it = db_iter_new_scan(c->db, DB_CHUNK, bytes_of(NULL, 0), c->snap);
    if (it == NULL)
        return -ENOMEM;
    int rc = 0;
    while (rc == 0 && db_iter_next(it)) {
        rc = check_at(c, db_iter_key(it), db_iter_value(it));
        if (rc == 0)
            rc = step(c);
    }
    int ended = db_iter_status(it); /* damage: the rows will tell which chunk */
    db_iter_free(it);
    return rc != 0 || ended == -EUCLEAN ? rc : ended;
}

/* 1: what @row says of chunk @id holds, 0 or a negative errno. */
static int is_good(struct check *c, const uint8_t *id, const struct chunk_row *row)
{
    CLEANUP(db_value_fini) struct db_value v = {0};
    int rc = chunk_get(c->db, id, &v);
    if (rc == 0 && content_check_chunk(c->keys, id, v.v) < 0)
        return 0;
    if (rc == 0)
        rc = chunk_lies_at(c->db, row->place, id);
    return rc == -ENODATA || rc == -EUCLEAN ? 0 : rc;
}

/* One that is deleted meanwhile is not bad, one that is replaced is looked at again. */
static int check_row(struct check *c, const uint8_t *id)
{
    struct chunk_row row, now;
    int rc = chunk_stat(c->db, id, &row);
    while (rc == 1) {
        int good = is_good(c, id, &row);
        if (good != 0)
            return good < 0 ? good : 0;
        rc = chunk_stat(c->db, id, &now);
        if (rc == 1 && now.place == row.place)
            rc = -EUCLEAN;
        row = now;
    }
    return rc == -EUCLEAN ? c->on_bad(c->arg, id) : rc;
}

/* Counts the rows; @each: looks at the chunk of each. */
static int check_rows(struct check *c, bool each, uint64_t *ret_n)
{
    struct db_iter *it = db_iter_new_scan(c->db, DB_CHUNKREF, bytes_of(NULL, 0), c->snap);
    if (it == NULL)
        return -ENOMEM;
    int rc = 0;
    *ret_n = 0;
    while (rc == 0 && db_iter_next(it)) {
        if (db_iter_key(it).n != CONTENT_ID_BYTES)
            continue;
        ++*ret_n;
        if (each)
            rc = check_row(c, db_iter_key(it).p);
    }
    if (rc == 0)
        rc = db_iter_status(it);
    db_iter_free(it);
    return rc;
}

int content_check_all(struct db *db, const struct content_keys *keys, content_id_fn on_bad,
                      void *arg, const struct content_progress *progress)
{
    CLEANUP(check_fini)
    struct check c = {.db = db,
                      .snap = db_snapshot_new(db),
                      .keys = keys,
                      .on_bad = on_bad,
                      .arg = arg,
                      .progress = progress};
    if (c.snap == NULL)
        return -ENOMEM;
    uint64_t rows;
    int rc = check_places(&c);
    if (rc == 0)
        rc = check_rows(&c, false, &rows);
    if (rc == 0 && rows != c.good)
        rc = check_rows(&c, true, &rows);
    return rc;
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
