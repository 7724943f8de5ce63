/* Reading: the log, entries, acts, chunks, what there is. */
#include <errno.h>

#include "sync/server/spaces_priv.h"

/* The key of what a row of the log is about, and what of it the log says itself. -EUCLEAN. */
static int read_log_row(uint64_t space, struct bytes row, struct row_key *ret_key,
                        struct srv_item *ret)
{
    static const struct {
        char letter;
        size_t n;
    } of[] = {[SRV_ACT] = {'a', ACT_ID_SIZE},
              [SRV_VALUE] = {'e', VARIANT_KEY_DOT},
              [SRV_STATE] = {'s', 8 + TOKEN_ID_BYTES}};
    if (row.n == 0 || row.p[0] >= ARRAY_N(of) || row.n != 1 + of[row.p[0]].n)
        return -EUCLEAN;
    ret->kind = (enum srv_item_kind)row.p[0];
    *ret_key = row_of(space, of[ret->kind].letter);
    row_add(ret_key, row.p + 1, row.n - 1);
    return 0;
}

/* Reads what a key of SRV_ENTRIES has into @row and @ret. -ENOENT. */
static int read_item(struct srv_spaces *s, const struct row_key *k, struct buf *row,
                     struct srv_item *ret)
{
    int rc = srv_store_get(s->store, SRV_ENTRIES, row_bytes(k), row);
    if (rc < 0)
        return rc;
    if (row->n < ENTRY_HEAD_BYTES)
        return -EUCLEAN;
    ret->seq = get_u64(row->p);
    ret->bytes = bytes_of(row->p + ENTRY_HEAD_BYTES, row->n - ENTRY_HEAD_BYTES);
    const uint8_t *id = k->p + SPACE_PREFIX_BYTES;
    if (ret->kind == SRV_VALUE)
        ret->dot = dot_decode(id);
    else if (ret->kind == SRV_STATE)
        ret->dot = (struct dot){get_u64(id), get_u64(row->p + 8)};
    return 0;
}

struct log_walk {
    struct srv_spaces *s;
    uint64_t space, end; /* the last sequence number to be shown */
    size_t bytes, max_bytes;
    srv_item_fn *fn;
    void *arg;
    struct srv_cursor *c;
    struct buf row;
};

/* One row of the log; sets c->more when it has to wait for the next call. */
static int walk_row(struct log_walk *w, uint64_t seq, struct bytes log)
{
    struct row_key k;
    struct srv_item item = {.seq = 0};
    int rc = read_log_row(w->space, log, &k, &item);
    if (rc < 0)
        return rc;
    rc = read_item(w->s, &k, &w->row, &item);
    /* Dropped, or a newer STATE is in its place, since the walk began. */
    if (rc == -ENOENT || (rc == 0 && item.seq != seq)) {
        w->c->after = seq;
        return 0;
    }
    if (rc < 0)
        return rc;
    if (w->bytes > 0 && item.bytes.n > w->max_bytes - min_u64(w->bytes, w->max_bytes)) {
        w->c->more = true;
        return 0;
    }
    rc = w->fn(w->arg, &item);
    if (rc != 0)
        return rc;
    w->bytes += item.bytes.n;
    w->c->after = seq;
    return 0;
}

static int walk(struct log_walk *w, enum srv_log which)
{
    struct row_key prefix = row_of(w->space, which == SRV_LOG_ACTS ? 'a' : 'l');
    struct row_key from = prefix;
    row_add_u64(&from, w->c->after + 1);
    struct srv_iter *it = srv_iter_new(w->s->store, SRV_LOG, row_bytes(&prefix), row_bytes(&from));
    if (it == NULL)
        return -ENOMEM;
    int rc = 0;
    while (rc == 0 && !w->c->more && srv_iter_next(it)) {
        struct bytes key = srv_iter_key(it);
        uint64_t seq = key.n == SPACE_PREFIX_BYTES + 8 ? get_u64(key.p + SPACE_PREFIX_BYTES) : 0;
        if (seq > w->end)
            break;
        rc = seq == 0 ? -EUCLEAN : walk_row(w, seq, srv_iter_value(it));
    }
    if (rc == 0)
        rc = srv_iter_status(it);
    srv_iter_free(it);
    return rc;
}

int srv_log_read(struct srv_spaces *s, const struct srv_at *at, enum srv_log which,
                 size_t max_bytes, srv_item_fn *fn, void *arg, struct srv_cursor *c)
{
    struct log_walk w = {
        .s = s, .max_bytes = max_bytes, .fn = fn, .arg = arg, .c = c, .row = {.p = NULL}};
    int rc = spaces_look_up(s, at, &w.space, &w.end);
    if (rc < 0)
        return rc;
    if (c->after > w.end)
        return -ESTALE;
    c->more = false;
    rc = walk(&w, which);
    buf_fini(&w.row);
    if (rc == 0 && !c->more)
        c->after = w.end;
    return rc;
}

int srv_entry_get(struct srv_spaces *s, const struct srv_at *at, const struct dot *dot,
                  srv_item_fn *fn, void *arg)
{
    uint64_t space;
    uint64_t end;
    struct buf row = {0};
    int n = 0;
    int rc = spaces_look_up(s, at, &space, &end);
    for (; rc == 0 && n < SPACES_VARIANTS_MAX; n++) {
        struct srv_item item = {.kind = SRV_VALUE};
        struct row_key k = row_value(space, dot, (unsigned)n);
        rc = read_item(s, &k, &row, &item);
        if (rc == -ENOENT) {
            rc = 0;
            break;
        }
        if (rc == 0)
            rc = fn(arg, &item);
    }
    buf_fini(&row);
    return rc != 0 ? rc : n;
}

int srv_act_get(struct srv_spaces *s, const struct srv_at *at, const uint8_t id[ACT_ID_SIZE],
                srv_item_fn *fn, void *arg)
{
    uint64_t space;
    uint64_t end;
    int rc = spaces_look_up(s, at, &space, &end);
    if (rc < 0)
        return rc;
    struct buf row = {0};
    struct srv_item item = {.kind = SRV_ACT};
    struct row_key k = row_of(space, 'a');
    row_add(&k, id, ACT_ID_SIZE);
    rc = read_item(s, &k, &row, &item);
    bool found = rc == 0;
    if (found)
        rc = fn(arg, &item);
    buf_fini(&row);
    if (!found && rc == -ENOENT)
        return 0;
    return rc != 0 ? rc : 1;
}

int srv_chunk_get(struct srv_spaces *s, const struct srv_at *at, const uint8_t id[CHUNK_ID_SIZE],
                  srv_chunk_fn *fn, void *arg)
{
    uint64_t space;
    uint64_t end;
    struct buf value = {0};
    struct buf bytes = {0};
    int n = 0;
    int rc = spaces_look_up(s, at, &space, &end);
    for (unsigned i = 0; rc == 0 && i < SPACES_VARIANTS_MAX; i++) {
        struct row_key k = row_chunk(space, id, i);
        struct srv_chunk c = {.id = id};
        struct chunk_row row;
        rc = chunk_row_get(s->store, &k, &value, &row);
        if (rc == 1) {
            n++;
            rc = chunk_row_bytes(s->store, &row, &bytes, &c.sealed);
            if (rc == 0)
                rc = fn(arg, &c);
        }
    }
    buf_fini(&value);
    buf_fini(&bytes);
    return rc != 0 ? rc : n;
}

/* Whether a chunk is not there, or will not be for long: 1, 0, or a negative errno. */
static int is_missing(struct srv_spaces *s, uint64_t space, const uint8_t *id, uint64_t now_ms)
{
    bool is_there = false;
    bool is_new = false;
    int rc = 0;
    struct buf value = {0};
    for (unsigned i = 0; rc >= 0 && i < SPACES_VARIANTS_MAX && !is_new; i++) {
        struct row_key k = row_chunk(space, id, i);
        struct chunk_row row;
        rc = chunk_row_get(s->store, &k, &value, &row);
        is_there = is_there || rc == 1;
        is_new = rc == 1 && row.ms + SPACES_UNREFERENCED_MS > now_ms + SPACES_DAY_MS;
    }
    buf_fini(&value);
    if (rc < 0)
        return rc;
    if (!is_there || is_new)
        return !is_there;
    rc = row_is_named(s->store, space, id);
    return rc < 0 ? rc : rc == 0;
}

int srv_chunks_missing(struct srv_spaces *s, const struct srv_at *at, const uint8_t *ids, size_t n,
                       uint64_t now_ms, uint8_t *ret)
{
    uint64_t space;
    uint64_t end;
    int rc = spaces_look_up(s, at, &space, &end);
    if (rc < 0)
        return rc;
    memset(ret, 0, (n + 7) / 8);
    for (size_t i = 0; i < n; i++) {
        rc = is_missing(s, space, ids + i * CHUNK_ID_SIZE, now_ms);
        if (rc < 0)
            return rc;
        ret[i / 8] = (uint8_t)(ret[i / 8] | rc << i % 8);
    }
    return 0;
}

/* A row of a walk over dots: key and value. */
typedef int dot_row_fn(struct bytes key, struct bytes value, srv_dot_fn *fn, void *arg);

/* Calls @row for each row of a space with the prefix @letter, from @first on. */
static int walk_dots(struct srv_spaces *s, char letter, uint64_t space, const struct row_key *first,
                     dot_row_fn *row, srv_dot_fn *fn, void *arg)
{
    struct row_key prefix = row_of(space, letter);
    struct srv_iter *it = srv_iter_new(s->store, SRV_ENTRIES, row_bytes(&prefix), row_bytes(first));
    if (it == NULL)
        return -ENOMEM;
    int rc = 0;
    while (rc == 0 && srv_iter_next(it)) {
        struct bytes key = srv_iter_key(it);
        rc = key.n != first->n ? -EUCLEAN : row(key, srv_iter_value(it), fn, arg);
    }
    if (rc == 0)
        rc = srv_iter_status(it);
    srv_iter_free(it);
    return rc;
}

static int highest_row(struct bytes key, struct bytes value, srv_dot_fn *fn, void *arg)
{
    if (value.n != 8)
        return -EUCLEAN;
    struct dot dot = {get_u64(key.p + SPACE_PREFIX_BYTES), get_u64(value.p)};
    return fn(arg, &dot);
}

int srv_space_vector(struct srv_spaces *s, const struct srv_at *at, uint64_t from, srv_dot_fn *fn,
                     void *arg)
{
    uint64_t space;
    uint64_t end;
    int rc = spaces_look_up(s, at, &space, &end);
    if (rc < 0)
        return rc;
    struct row_key first = row_of(space, 'v');
    row_add_u64(&first, from);
    return walk_dots(s, 'v', space, &first, highest_row, fn, arg);
}

/* A dot, whatever variants it has. */
static int variant_row(struct bytes key, struct bytes value, srv_dot_fn *fn, void *arg)
{
    (void)value;
    struct dot dot = dot_decode(key.p + SPACE_PREFIX_BYTES);
    return key.p[key.n - 1] == 0 ? fn(arg, &dot) : 0;
}

int srv_space_dots(struct srv_spaces *s, const struct srv_at *at, const struct dot *from,
                   srv_dot_fn *fn, void *arg)
{
    uint64_t space;
    uint64_t end;
    int rc = spaces_look_up(s, at, &space, &end);
    if (rc < 0)
        return rc;
    struct row_key first = row_value(space, from, 0);
    return walk_dots(s, 'e', space, &first, variant_row, fn, arg);
}

int srv_door_get(struct srv_spaces *s, const struct srv_at *at, struct buf *ret)
{
    uint64_t space;
    uint64_t end;
    int rc = spaces_look_up(s, at, &space, &end);
    if (rc < 0)
        return rc;
    struct row_key k = row_of(space, 'd');
    return srv_store_get(s->store, SRV_ENTRIES, row_bytes(&k), ret);
}
