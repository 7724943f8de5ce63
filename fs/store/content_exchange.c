/* What a body from elsewhere still needs, and chunks in and out. */
#include "fs/store/content.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "fs/store/chunk.h"
#include "fs/store/list.h"

enum { VISITED_N = 8192 }; /* a power of two */

/* A node that the walk has been through, as its parent described it. */
struct visited {
    uint8_t id[CONTENT_ID_BYTES];
    uint64_t len; /* 0: the slot is free */
    bool holes;
};

struct missing {
    struct db *db;
    uint64_t from;
    content_need_fn fn;
    void *arg;
    /* Nodes may be shared: a few of them can describe more lists than can ever be walked. */
    struct visited *visited; /* VISITED_N */
};

static struct visited *visited_slot(const struct missing *m, const uint8_t *id)
{
    return &m->visited[(id[1] << 8 | id[2]) & (VISITED_N - 1)];
}

static bool was_visited(const struct missing *m, const struct list_entry *e)
{
    const struct visited *v = visited_slot(m, e->id);
    return v->len == e->len && v->holes == e->hole && memcmp(v->id, e->id, sizeof v->id) == 0;
}

static int walk_list(const struct missing *m, const struct list_head *head, uint64_t off);

static int walk_node(const struct missing *m, unsigned level, const struct list_entry *e,
                     uint64_t off)
{
    if (was_visited(m, e))
        return 0;
    CLEANUP(db_value_fini) struct db_value v = {0};
    struct list_head head;
    int rc = chunk_get(m->db, e->id, &v);
    if (rc == 0)
        rc = list_parse_node(v.v, &head);
    if (rc < 0)
        return rc;
    if (!list_fits(&head, level, e))
        return -EBADMSG;
    rc = walk_list(m, &head, off);
    if (rc == 0 && off >= m->from) {
        struct visited *slot = visited_slot(m, e->id);
        *slot = (struct visited){.len = e->len, .holes = e->hole};
        memcpy(slot->id, e->id, sizeof slot->id);
    }
    return rc;
}

static int walk_entry(const struct missing *m, unsigned level, const struct list_entry *e,
                      uint64_t off)
{
    if (level == 0 && e->hole)
        return 0;
    struct chunk_row row;
    int rc = chunk_stat(m->db, e->id, &row);
    if (rc < 0)
        return rc;
    if (rc == 0) {
        struct content_need need = {.id = e->id, .off = off, .len = e->len, .level = level};
        return m->fn(m->arg, &need);
    }
    if (level > 0)
        return walk_node(m, level, e, off);
    return row.len == e->len ? 0 : -EBADMSG;
}

/* Recursion: through at most three levels of nodes, since each says a lower one than its parent. */
static int walk_list(const struct missing *m, const struct list_head *head, uint64_t off)
{
    struct list_walk w = list_walk_of(head);
    struct list_entry e;
    while (list_walk_next(&w, &e)) {
        int rc = off + e.len > m->from ? walk_entry(m, head->level, &e, off) : 0;
        if (rc != 0)
            return rc;
        off += e.len;
    }
    return 0;
}

int content_missing(struct db *db, struct bytes body, uint64_t from, content_need_fn fn, void *arg)
{
    struct content_info info;
    struct list_head head;
    int rc = list_parse_body(body, &info, &head);
    if (rc < 0 || info.is_inline)
        return rc;
    struct missing m = {.db = db, .from = from, .fn = fn, .arg = arg};
    m.visited = calloc(VISITED_N, sizeof m.visited[0]);
    if (m.visited == NULL)
        return -ENOMEM;
    rc = walk_list(&m, &head, 0);
    free(m.visited);
    return rc;
}

int content_get_chunk(struct db *db, const uint8_t id[static CONTENT_ID_BYTES],
                      struct db_value *ret)
{
    return chunk_get(db, id, ret);
}

enum { UNNAMED_BYTES = 1 << 20, UNNAMED_MAX = 64 };

struct content_put {
    struct chunk_batch batch;
    /* Chunks without an id yet: they are hashed together, which is faster. */
    const struct content_keys *keys;
    struct buf unnamed;
    size_t len[UNNAMED_MAX], n;
    uint64_t known; /* bytes of those that were here */
};

int content_put_new(struct db *db, struct content_put **ret)
{
    struct content_put *p = calloc(1, sizeof *p);
    int rc = p == NULL ? -ENOMEM : chunk_batch_init(&p->batch, db);
    if (rc < 0)
        free(p);
    else
        *ret = p;
    return rc;
}

void content_put_free(struct content_put *p)
{
    if (p == NULL)
        return;
    chunk_batch_fini(&p->batch);
    buf_fini(&p->unnamed);
    free(p);
}

int content_put_add(struct content_put *p, const struct content_keys *keys,
                    const uint8_t id[static CONTENT_ID_BYTES], struct bytes data)
{
    if (data.n == 0 || data.n > CONTENT_CHUNK_MAX)
        return -EBADMSG;
    int rc = content_check_chunk(keys, id, data);
    struct list_head head;
    if (rc == 0 && content_id_is_node(id))
        rc = list_parse_node(data, &head);
    return rc < 0 ? rc : chunk_batch_put(&p->batch, id, 0, data);
}

/* Adds it, if it is not here. */
static int put_new(struct content_put *p, const uint8_t *id, struct bytes data)
{
    int rc = chunk_batch_has(&p->batch, id);
    if (rc == 1)
        p->known += data.n;
    if (rc == 0)
        return chunk_batch_put_new(&p->batch, id, 0, data);
    return rc < 0 ? rc : 0;
}

static int name_all(struct content_put *p)
{
    struct bytes data[UNNAMED_MAX];
    uint8_t id[UNNAMED_MAX][CONTENT_ID_BYTES];
    const uint8_t *at = p->unnamed.p;
    int rc = 0;
    for (size_t i = 0; i < p->n; at += p->len[i++])
        data[i] = bytes_of(at, p->len[i]);
    if (p->n > 0)
        chunk_ids(p->keys->id, data, p->n, id);
    for (size_t i = 0; i < p->n && rc == 0; i++)
        rc = put_new(p, id[i], data[i]);
    buf_reset(&p->unnamed);
    p->n = 0;
    return rc;
}

int content_put_new_one(struct content_put *p, const struct content_keys *keys, bool is_node,
                        struct bytes data)
{
    uint8_t id[CONTENT_ID_BYTES];
    struct list_head head;
    if (data.n == 0 || data.n > CONTENT_CHUNK_MAX)
        return -EBADMSG;
    if (is_node) {
        int rc = list_parse_node(data, &head);
        chunk_id(keys->id, true, data, id);
        return rc < 0 ? rc : put_new(p, id, data);
    }
    int rc = p->n == UNNAMED_MAX || p->unnamed.n + data.n > UNNAMED_BYTES ? name_all(p) : 0;
    if (rc == 0)
        rc = buf_reserve(&p->unnamed, UNNAMED_BYTES - p->unnamed.n);
    if (rc < 0)
        return rc;
    buf_put_bytes(&p->unnamed, data);
    p->len[p->n++] = data.n;
    p->keys = keys;
    return 0;
}

int content_put_has(struct content_put *p, const uint8_t id[static CONTENT_ID_BYTES])
{
    return chunk_batch_has(&p->batch, id);
}

uint64_t content_put_known(struct content_put *p)
{
    uint64_t n = p->known;
    p->known = 0;
    return n;
}

int content_put_flush(struct content_put *p)
{
    int rc = name_all(p), rc_write = chunk_batch_write(&p->batch);
    return rc < 0 ? rc : rc_write;
}

int content_put_chunk(struct db *db, const struct content_keys *keys,
                      const uint8_t id[static CONTENT_ID_BYTES], struct bytes data)
{
    struct content_put *p;
    int rc = content_put_new(db, &p);
    if (rc < 0)
        return rc;
    rc = content_put_add(p, keys, id, data);
    if (rc == 0)
        rc = content_put_flush(p);
    content_put_free(p);
    return rc;
}

/* Adds the deletion of a chunk's places that its row does not name. */
static int delete_strays(struct db *db, struct db_batch *b, const uint8_t *id)
{
    struct db_iter *it = db_iter_new_scan(db, DB_CHUNK, bytes_of(NULL, 0), NULL);
    if (it == NULL)
        return -ENOMEM;
    while (db_iter_next(it)) {
        struct chunk_placed at;
        if (chunk_placed(db_iter_key(it), db_iter_value(it), &at) == 0 &&
            memcmp(at.id, id, CONTENT_ID_BYTES) == 0)
            db_batch_delete(b, DB_CHUNK, db_iter_key(it));
    }
    int rc = db_iter_status(it);
    db_iter_free(it);
    return rc == -EUCLEAN ? 0 : rc;
}

int content_drop_chunk(struct db *db, const uint8_t id[static CONTENT_ID_BYTES])
{
    struct db_batch *b = db_batch_new(db);
    if (b == NULL)
        return -ENOMEM;
    struct chunk_row row;
    int rc = chunk_stat(db, id, &row);
    if (rc == 1)
        rc = chunk_delete(db, b, id);
    else if (rc == 0)
        rc = delete_strays(db, b, id);
    if (rc == 0)
        rc = db_write(db, b, false);
    db_batch_free(b);
    return rc;
}
