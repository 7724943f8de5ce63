/* Frees what no kept version needs. */
#include <errno.h>

#include "fs/space/usage.h"
#include "fs/space/verb.h"
#include "proto/base/human.h"
#include "proto/base/json.h"

enum { ROW_BYTES = 80 /* of a reference to a chunk, about: progress is told in bytes */ };

struct gc {
    struct space *s;
    struct out *out;
    uint64_t versions, deleted; /* removed */
    uint64_t before_bytes, after_bytes;
};

static int thin(struct gc *g)
{
    struct rid cursor = RID_ROOT;
    int more = 1;
    while (more == 1) {
        uint64_t removed;
        more = tidy_slice(g->s, tidy_now_ms(), &cursor, &removed);
        g->versions += more < 0 ? 0 : removed;
        if (more == 1 && out_cancelled(g->out, 0))
            return -ECANCELED;
    }
    return more;
}

static bool step(void *arg, uint64_t done_n)
{
    struct gc *g = arg;
    out_progress(g->out, done_n * ROW_BYTES, 0, "looking for what is unused");
    return !out_cancelled(g->out, 0);
}

static int free_chunks(struct gc *g)
{
    struct content_progress progress = {step, g};
    pthread_rwlock_wrlock(&g->s->builds);
    int rc = content_gc(g->s->db, &progress);
    pthread_rwlock_unlock(&g->s->builds);
    return rc;
}

/* What gc does better with room than without, and can leave. */
static int if_room(int rc)
{
    return rc == -ENOSPC ? 0 : rc;
}

/* Gives the room of deleted rows back; families that did not shrink are left alone. */
static int compact(struct gc *g, uint64_t chunks_before)
{
    struct db *db = g->s->db;
    static const enum db_cf small[] = {DB_META, DB_PENDING, DB_REDO, DB_DATA, DB_MAP};
    int rc = if_room(db_flush(db));
    for (size_t i = 0; rc == 0 && i < ARRAY_N(small); i++)
        rc = if_room(db_compact(db, small[i]));
    if (rc == 0 && g->versions > 0)
        rc = if_room(db_compact(db, DB_VERSION));
    if (rc == 0 && db_estimate_keys(db, DB_CHUNK) < chunks_before) {
        rc = if_room(db_compact(db, DB_CHUNKREF));
        if (rc == 0)
            rc = if_room(db_compact(db, DB_CHUNK));
    }
    return rc;
}

/* Gives back what is free already: needs no room, and what comes after it does. */
static int give_back(struct gc *g)
{
    int rc = tree_sync(g->s->tree);
    return rc < 0 ? rc : content_reclaim(g->s->db);
}

static int free_more(struct gc *g)
{
    int rc = if_room(publisher_flush(g->s));
    if (rc == 0)
        rc = if_room(db_flush(g->s->db));
    uint64_t chunks = db_estimate_keys(g->s->db, DB_CHUNK);
    if (rc == 0)
        rc = thin(g);
    if (rc == 0)
        rc = if_room(tidy_deleted(g->s, &g->deleted));
    if (rc == 0)
        rc = free_chunks(g);
    if (rc == 0)
        rc = compact(g, chunks);
    return rc < 0 ? rc : give_back(g);
}

static int run(struct gc *g)
{
    struct usage u;
    int rc = usage_get(g->s, &u, NULL);
    g->before_bytes = u.disk_bytes;
    if (rc == 0)
        rc = give_back(g);
    if (rc == 0)
        rc = free_more(g);
    if (rc == 0)
        rc = usage_get(g->s, &u, NULL);
    g->after_bytes = u.disk_bytes;
    return rc;
}

static int report(const struct gc *g, const struct verb_call *call)
{
    CLEANUP(buf_fini) struct buf text = {0};
    char n[HUMAN_MAX], freed_text[HUMAN_MAX], left[HUMAN_MAX];
    uint64_t freed = g->before_bytes - min_u64(g->before_bytes, g->after_bytes);
    if (!call->json)
        return out_printf(g->out, "%s old version%s removed, %s freed; the database takes %s\n",
                          human_count(g->versions, n), g->versions == 1 ? "" : "s",
                          human_bytes(freed, freed_text), human_bytes(g->after_bytes, left));
    struct json j;
    json_init(&j, &text);
    json_object(&j);
    json_key_u64(&j, "versions_removed", g->versions);
    json_key_u64(&j, "deleted_removed", g->deleted);
    json_key_u64(&j, "freed_bytes", freed);
    json_key_u64(&j, "database_bytes", g->after_bytes);
    json_end(&j);
    int rc = json_finish(&j);
    return rc < 0 ? rc : out_buf(g->out, &text);
}

int verb_gc(struct space *s, const struct verb_call *call, struct out *out)
{
    struct gc g = {.s = s, .out = out};
    int rc = run(&g);
    if (rc == 0)
        rc = report(&g, call);
    if (rc == -ENOSPC)
        out_error(out, "gc: the disk is full; remove something else from it and run it again");
    else if (rc == -EOPNOTSUPP)
        out_error(out,
                  "gc: the file system of the database cannot give back a part of a file; move "
                  "the state to one that can, as ext4, xfs and btrfs");
    else if (rc < 0 && rc != -ECANCELED)
        out_error(out, "gc: %s", strerror(-rc));
    return verb_status_of(rc);
}
