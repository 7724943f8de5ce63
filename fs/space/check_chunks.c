/* Every chunk against its id, and whose bytes the damaged ones are. */
#include <errno.h>
#include <stdio.h>

#include "fs/space/check.h"
#include "fs/space/versions.h"
#include "fs/store/chunk.h"

enum {
    CHUNK_BYTES = 64 * 1024, /* of one, about: progress is told in bytes */
    UP_MAX = 3,              /* levels of list nodes above a chunk */
    OWNERS_MAX = 1000,       /* of one damaged chunk that are told of */
};

struct owner {
    struct rid rid;
    struct dot dot;
};

/* ---- who refers to a chunk ---- */

static int owners_of(struct db *db, const uint8_t *id, unsigned up, struct buf *ret)
{
    struct db_iter *it = db_iter_new(db, DB_CHUNKREF, bytes_of(id, CONTENT_ID_BYTES), NULL);
    if (it == NULL)
        return -ENOMEM;
    int rc = 0;
    while (rc == 0 && ret->n < OWNERS_MAX * sizeof(struct owner) && db_iter_next(it)) {
        struct bytes key = db_iter_key(it);
        if (key.n <= CONTENT_ID_BYTES)
            continue;
        struct bytes by = bytes_of(key.p + CONTENT_ID_BYTES + 1, key.n - CONTENT_ID_BYTES - 1);
        uint8_t tag = key.p[CONTENT_ID_BYTES];
        if (tag == CHUNK_REF_NODE && by.n == CONTENT_ID_BYTES && up < UP_MAX) {
            rc = owners_of(db, by.p, up + 1, ret);
        } else if (tag == CHUNK_REF_VERSION && by.n == TREE_BASE_BYTES) {
            struct base_ref ref;
            struct owner o;
            memcpy(ref.b, by.p, sizeof ref.b);
            base_split(&ref, &o.rid, &o.dot);
            buf_put(ret, &o, sizeof o);
            rc = buf_status(ret);
        }
    }
    if (rc == 0)
        rc = db_iter_status(it);
    db_iter_free(it);
    return rc;
}

/* ---- repair ---- */

struct wanted {
    const uint8_t *id;
    uint64_t off, len; /* where it is in the content; len 0: nowhere */
};

static int look_for(void *arg, const struct content_need *need)
{
    struct wanted *w = arg;
    if (memcmp(need->id, w->id, CONTENT_ID_BYTES) != 0)
        return 0;
    w->off = need->off;
    w->len = need->len;
    return 1;
}

/*
 * A file that was written anew since may have the same bytes at the same place: not in the chunk,
 * but in what is not published yet.
 */
static bool take_from_file(struct check *c, const struct owner *o, const struct wanted *w)
{
    struct space *s = c->s;
    CLEANUP(buf_fini) struct buf bytes = {0};
    struct attr a;
    uint64_t ino;
    if (w->len == 0 || w->len > CONTENT_CHUNK_MAX || bind_ino(s, &o->rid, &ino) < 0 ||
        tree_getattr(s->tree, ino, &a) < 0 || !attr_is_file(&a) ||
        buf_resize(&bytes, (size_t)w->len) < 0)
        return false;
    int64_t n = tree_read_unseen(s->tree, ino, w->off, bytes.p, bytes.n);
    return n == (int64_t)w->len && content_check_chunk(&s->keys, w->id, buf_bytes(&bytes)) == 0 &&
           content_put_chunk(s->db, &s->keys, w->id, buf_bytes(&bytes)) == 0;
}

/* Where in its content a chunk is; asked of the lists as if it were missing. */
static int find_chunk(struct space *s, const struct owner *o, struct wanted *w)
{
    CLEANUP(buf_fini) struct buf body = {0};
    pthread_mutex_lock(&s->lock);
    int rc = replica_version_get(s->replica, &o->rid, &o->dot, &body);
    pthread_mutex_unlock(&s->lock);
    return rc < 0 ? rc : content_missing(s->db, buf_bytes(&body), 0, look_for, w);
}

/* Tries every file that should have the chunk; it is forgotten meanwhile, so that its place shows.
 */
static bool try_files(struct check *c, const uint8_t *id, const struct buf *owners)
{
    for (size_t at = 0; at < owners->n; at += sizeof(struct owner)) {
        struct owner o;
        struct wanted w = {.id = id};
        memcpy(&o, owners->p + at, sizeof o);
        if (find_chunk(c->s, &o, &w) >= 0 && take_from_file(c, &o, &w))
            return true;
    }
    return false;
}

/* What can still be read is kept, wrong as it is; what cannot stays forgotten, to be sent anew. */
static bool repair(struct check *c, const uint8_t *id, const struct buf *owners)
{
    CLEANUP(db_value_fini) struct db_value old = {0};
    bool readable = content_get_chunk(c->s->db, id, &old) == 0 && old.v.n <= CONTENT_CHUNK_MAX;
    if (content_id_is_node(id) || owners->n == 0 || content_drop_chunk(c->s->db, id) < 0)
        return false;
    if (try_files(c, id, owners))
        return true;
    struct chunk_batch b;
    if (readable && old.v.n > 0 && chunk_batch_init(&b, c->s->db) == 0) {
        if (chunk_batch_put(&b, id, 0, old.v) < 0 || chunk_batch_write(&b) < 0)
            check_problem(c, bytes_of(NULL, 0), CHECK_FOUND, "a damaged chunk is lost");
        chunk_batch_fini(&b);
    }
    return false;
}

/* ---- the walk ---- */

static int add_bad(void *arg, const uint8_t id[CONTENT_ID_BYTES])
{
    struct buf *bad = arg;
    buf_put(bad, id, CONTENT_ID_BYTES);
    return buf_status(bad);
}

struct steps {
    struct check *c;
    uint64_t seen_n;
};

static bool step(void *arg, uint64_t done_n)
{
    struct steps *w = arg;
    uint64_t more = done_n - w->seen_n;
    w->seen_n = done_n;
    return check_step(w->c, more * CHUNK_BYTES);
}

static int tell(struct check *c, const uint8_t *id)
{
    CLEANUP(buf_fini) struct buf owners = {0};
    int rc = owners_of(c->s->db, id, 0, &owners);
    if (rc == -ENOMEM)
        return rc;
    bool fine = c->repair && repair(c, id, &owners);
    enum check_fate fate = fine ? CHECK_REPAIRED : CHECK_FOUND;
    char what[200], hex[2 * 8 + 1];
    for (int i = 0; i < 8; i++)
        snprintf(hex + 2 * (size_t)i, 3, "%02x", id[i]);
    if (owners.n == 0)
        check_problem(c, bytes_of(NULL, 0), fate, "chunk %s, which nothing uses, is damaged", hex);
    for (size_t at = 0; at < owners.n; at += sizeof(struct owner)) {
        char name[VERSION_NAME_SIZE];
        struct owner o;
        memcpy(&o, owners.p + at, sizeof o);
        snprintf(what, sizeof what, "chunk %s of version %s is damaged", hex,
                 version_name(&o.dot, name));
        check_problem_record(c, &o.rid, fate, what);
    }
    return 0;
}

int check_chunks(struct check *c)
{
    CLEANUP(buf_fini) struct buf bad = {0};
    struct steps w = {.c = c};
    struct content_progress progress = {step, &w};
    /* What is being built, received or swept would look like damage. */
    pthread_rwlock_rdlock(&c->s->builds);
    int rc = content_check_all(c->s->db, &c->s->keys, add_bad, &bad, &progress);
    pthread_rwlock_unlock(&c->s->builds);
    for (size_t at = 0; rc != -ENOMEM && rc != -ECANCELED && at < bad.n; at += CONTENT_ID_BYTES) {
        int told = tell(c, bad.p + at);
        rc = told < 0 ? told : rc;
    }
    if (rc == 0 || rc == -ENOMEM || rc == -ECANCELED)
        return rc;
    check_problem(c, bytes_of(NULL, 0), CHECK_FOUND, "the table of chunks cannot be read: %s",
                  strerror(-rc));
    return 0;
}
