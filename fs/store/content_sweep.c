/* Deleting chunks to which nothing refers any more. */
#include "fs/store/content.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "fs/store/chunk.h"
#include "fs/store/list.h"

enum {
    BATCH_OPS = 2048,
    STEP_EVERY = 256,
    NODES_KNOWN = 4096, /* a power of two */
};

struct sweep {
    struct db *db;
    struct db_batch *batch;
    const struct content_progress *progress; /* may be NULL */
    uint64_t done_n;
};

static int sweep_init(struct sweep *s, struct db *db, const struct content_progress *progress)
{
    *s = (struct sweep){.db = db, .batch = db_batch_new(db), .progress = progress};
    if (s->batch == NULL)
        return -ENOMEM;
    db_batch_frees(s->batch);
    return 0;
}

static void sweep_fini(struct sweep *s)
{
    db_batch_free(s->batch);
}

static int step(struct sweep *s)
{
    s->done_n++;
    if (s->progress == NULL || s->done_n % STEP_EVERY != 0)
        return 0;
    return s->progress->step(s->progress->arg, s->done_n) ? 0 : -ECANCELED;
}

static int flush(struct sweep *s)
{
    if (db_batch_n(s->batch) == 0)
        return 0;
    int rc = db_write(s->db, s->batch, false);
    db_batch_clear(s->batch);
    return rc;
}

struct release {
    struct db_batch *batch;
    struct bytes node_id;
};

static int release_child(void *arg, const uint8_t id[CONTENT_ID_BYTES])
{
    const struct release *r = arg;
    chunk_unref(r->batch, id, CHUNK_REF_NODE, r->node_id);
    return 0;
}

/* Deletes a node and its references, in a batch of its own: what it asks to be looked at must be
 * asked after an older answer on the same chunk was written. */
static int free_node(struct sweep *s, const uint8_t *id)
{
    int rc = flush(s);
    if (rc < 0)
        return rc;
    CLEANUP(db_value_fini) struct db_value v = {0};
    rc = chunk_get(s->db, id, &v);
    if (rc == 0) {
        struct release r = {s->batch, bytes_of(id, CONTENT_ID_BYTES)};
        rc = content_node_ids(v.v, release_child, &r);
    }
    /* A node that is not here, or damaged: its references, if any, are left to content_gc(). */
    if (rc < 0 && rc != -ENODATA && rc != -EBADMSG && rc != -EUCLEAN)
        return rc;
    rc = chunk_delete(s->db, s->batch, id);
    chunk_free_delete(s->batch, id);
    return rc < 0 ? rc : flush(s);
}

static int look_at(struct sweep *s, const uint8_t *id)
{
    int rc = chunk_is_referred(s->db, id);
    if (rc < 0)
        return rc;
    if (rc == 0 && content_id_is_node(id))
        return free_node(s, id);
    if (rc == 0)
        rc = chunk_delete(s->db, s->batch, id);
    if (rc < 0)
        return rc;
    chunk_free_delete(s->batch, id);
    return db_batch_n(s->batch) >= BATCH_OPS ? flush(s) : 0;
}

/* Looks at each chunk that was asked for when the pass began. 1 when there was any. */
static int sweep_pass(struct sweep *s)
{
    struct bytes prefix = chunk_free_prefix();
    struct db_iter *it = db_iter_new(s->db, DB_META, prefix, NULL);
    if (it == NULL)
        return -ENOMEM;
    int rc = 0, any = 0;
    while (rc == 0 && db_iter_next(it)) {
        struct bytes key = db_iter_key(it);
        if (key.n != prefix.n + CONTENT_ID_BYTES) {
            rc = -EUCLEAN;
            break;
        }
        any = 1;
        rc = look_at(s, key.p + prefix.n);
        if (rc == 0)
            rc = step(s);
    }
    if (rc == 0)
        rc = db_iter_status(it);
    db_iter_free(it);
    int rc_flush = flush(s);
    if (rc == 0)
        rc = rc_flush;
    return rc < 0 ? rc : any;
}

/* Each pass goes one level down, so there are few. */
static int sweep_all(struct sweep *s)
{
    int rc;
    do
        rc = sweep_pass(s);
    while (rc > 0);
    return rc;
}

int content_sweep(struct db *db, const struct content_progress *progress)
{
    CLEANUP(sweep_fini) struct sweep s;
    int rc = sweep_init(&s, db, progress);
    return rc < 0 ? rc : sweep_all(&s);
}

/* The walk of content_gc() over the references, which come in groups by chunk. */
struct gc {
    struct sweep s;
    uint8_t (*known)[CONTENT_ID_BYTES]; /* NODES_KNOWN nodes that are here, or wanted */
    uint8_t id[CONTENT_ID_BYTES];       /* of the group */
    bool here, referred;
};

static void gc_fini(struct gc *g)
{
    free(g->known);
    sweep_fini(&g->s);
}

/* Whether the node that a reference names is here, or at least referred to (so that it may come
 * back). References of other nodes are left from a node that got lost or was damaged. 1 or 0. */
static int node_lives(struct gc *g, const uint8_t *node)
{
    uint8_t *known = g->known[(node[1] << 8 | node[2]) & (NODES_KNOWN - 1)];
    if (memcmp(known, node, CONTENT_ID_BYTES) == 0)
        return 1;
    struct chunk_row row;
    int rc = chunk_stat(g->s.db, node, &row);
    if (rc == 0)
        rc = chunk_is_referred(g->s.db, node);
    if (rc > 0)
        memcpy(known, node, CONTENT_ID_BYTES);
    return rc;
}

static int gc_end_group(struct gc *g)
{
    if (g->here && !g->referred)
        chunk_free_put(g->s.batch, g->id);
    return db_batch_n(g->s.batch) >= BATCH_OPS ? flush(&g->s) : 0;
}

static int gc_row(struct gc *g, struct bytes key)
{
    if (key.n < CONTENT_ID_BYTES)
        return -EUCLEAN;
    if (memcmp(g->id, key.p, CONTENT_ID_BYTES) != 0) {
        int rc = gc_end_group(g);
        if (rc < 0)
            return rc;
        memcpy(g->id, key.p, CONTENT_ID_BYTES);
        g->here = g->referred = false;
    }
    if (key.n == CONTENT_ID_BYTES) {
        g->here = true;
        return 0;
    }
    struct bytes referrer = {key.p + CONTENT_ID_BYTES + 1, key.n - CONTENT_ID_BYTES - 1};
    if (key.p[CONTENT_ID_BYTES] == CHUNK_REF_NODE && referrer.n == CONTENT_ID_BYTES) {
        int rc = node_lives(g, referrer.p);
        if (rc < 0)
            return rc;
        if (rc == 0) {
            chunk_unref(g->s.batch, g->id, CHUNK_REF_NODE, referrer);
            return 0;
        }
    }
    g->referred = true;
    return 0;
}

static int gc_walk(struct gc *g)
{
    struct db_iter *it = db_iter_new_scan(g->s.db, DB_CHUNKREF, bytes_of(NULL, 0), NULL);
    if (it == NULL)
        return -ENOMEM;
    int rc = 0;
    while (rc == 0 && db_iter_next(it)) {
        rc = gc_row(g, db_iter_key(it));
        if (rc == 0)
            rc = step(&g->s);
    }
    if (rc == 0)
        rc = db_iter_status(it);
    if (rc == 0)
        rc = gc_end_group(g);
    db_iter_free(it);
    int rc_flush = flush(&g->s);
    return rc < 0 ? rc : rc_flush;
}

int content_gc(struct db *db, const struct content_progress *progress)
{
    CLEANUP(gc_fini) struct gc g = {0};
    int rc = sweep_init(&g.s, db, progress);
    if (rc < 0)
        return rc;
    g.known = calloc(NODES_KNOWN, sizeof g.known[0]);
    if (g.known == NULL)
        return -ENOMEM;
    rc = gc_walk(&g);
    return rc < 0 ? rc : sweep_all(&g.s);
}

/* A row must be gone from the disk before what it names is: walks an older state than is synced. */
int content_reclaim(struct db *db)
{
    uint64_t settled = pack_settled(db_packs(db)), end = 0;
    struct db_iter *it = db_iter_new_scan(db, DB_CHUNK, bytes_of(NULL, 0), NULL);
    if (it == NULL)
        return -ENOMEM;
    int rc = db_sync(db);
    while (rc == 0 && end < settled && db_iter_next(it)) {
        struct chunk_placed at;
        rc = chunk_placed(db_iter_key(it), db_iter_value(it), &at);
        if (rc < 0)
            break;
        rc = pack_punch(db_packs(db), end, min_u64(at.place, settled));
        end = at.place + at.len;
    }
    if (rc == 0)
        rc = db_iter_status(it);
    if (rc == 0 && end < settled)
        rc = pack_punch(db_packs(db), end, settled);
    db_iter_free(it);
    return rc;
}
