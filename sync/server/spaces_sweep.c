/* Retention: what was replaced, and chunks that nothing names. Each row of the queue is a batch. */
#include <errno.h>

#include "proto/sealed/entry.h"
#include "sync/server/spaces_priv.h"

struct sweep {
    struct srv_spaces *s;
    uint64_t now_ms;
    struct srv_swept *swept;
    /* Of the row at hand: */
    struct space *sp;
    struct srv_space_info next;
    struct srv_batch *b;
};

/* Something does not name a chunk any more: it is looked at when its days are over. */
static void unname(struct sweep *w, const struct row_key *named, const uint8_t *id)
{
    struct row_key queue = row_queue('u', w->now_ms, w->sp->number, id, CHUNK_ID_SIZE);
    srv_batch_delete(w->b, SRV_CHUNKS, row_bytes(named));
    srv_batch_put(w->b, SRV_META, row_bytes(&queue), bytes_of(NULL, 0));
}

static int drop_value(struct sweep *w, const struct dot *dot, unsigned variant, struct bytes row)
{
    struct entry e;
    if (row.n < ENTRY_HEAD_BYTES)
        return -EUCLEAN;
    struct bytes entry = bytes_of(row.p + ENTRY_HEAD_BYTES, row.n - ENTRY_HEAD_BYTES);
    if (entry_parse_sealed(entry, &e) < 0)
        return -EUCLEAN;
    for (size_t i = 0; i < e.refs.chunks.n; i++) {
        struct chunk_id id = chunk_ids_at(e.refs.chunks, i);
        struct row_key named = row_named_by_value(w->sp->number, id.b, dot, variant);
        unname(w, &named, id.b);
    }
    struct row_key k = row_value(w->sp->number, dot, variant);
    struct row_key log = row_of(w->sp->number, 'l');
    row_add(&log, row.p, 8);
    srv_batch_delete(w->b, SRV_ENTRIES, row_bytes(&k));
    srv_batch_delete(w->b, SRV_LOG, row_bytes(&log));
    w->next.bytes -= entry.n;
    w->next.entries--;
    return 0;
}

/* A dot whose days are over. It may come again, and is then kept until something replaces it. */
static int drop_dot(struct sweep *w, const uint8_t *id)
{
    struct dot dot = dot_decode(id);
    struct row_key replaced = row_of(w->sp->number, 'x');
    row_add_dot(&replaced, &dot);
    srv_batch_delete(w->b, SRV_ENTRIES, row_bytes(&replaced));
    struct buf row = {0};
    int rc = 0;
    for (unsigned i = 0; rc == 0 && i < SPACES_VARIANTS_MAX; i++) {
        struct row_key k = row_value(w->sp->number, &dot, i);
        rc = srv_store_get(w->s->store, SRV_ENTRIES, row_bytes(&k), &row);
        if (rc == 0)
            rc = drop_value(w, &dot, i, buf_bytes(&row));
    }
    buf_fini(&row);
    return rc == -ENOENT ? 0 : rc;
}

static int drop_variant(struct sweep *w, const uint8_t *id, unsigned variant,
                        const struct chunk_row *c)
{
    struct chunk_ids names = {.n = 0};
    if (!c->is_placed && row_chunk_names(c->sealed, &names) < 0)
        return -EUCLEAN;
    if (c->ms + SPACES_UNREFERENCED_MS > w->now_ms)
        return -EAGAIN; /* it came again: its own row in the queue will see to it */
    for (size_t i = 0; i < names.n; i++) {
        struct chunk_id below = chunk_ids_at(names, i);
        struct row_key named = row_named_by_chunk(w->sp->number, below.b, id, variant);
        unname(w, &named, below.b);
    }
    struct row_key k = row_chunk(w->sp->number, id, variant);
    chunk_row_delete(w->b, &k, c);
    w->next.bytes -= c->n;
    w->next.chunks--;
    return 0;
}

static int drop_chunk(struct sweep *w, const uint8_t *id)
{
    int rc = row_is_named(w->s->store, w->sp->number, id);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    struct buf value = {0};
    for (unsigned i = 0; rc == 0 && i < SPACES_VARIANTS_MAX; i++) {
        struct row_key k = row_chunk(w->sp->number, id, i);
        struct chunk_row c;
        rc = chunk_row_get(w->s->store, &k, &value, &c);
        if (rc == 1)
            rc = drop_variant(w, id, i, &c);
    }
    buf_fini(&value);
    return rc;
}

static void note(struct sweep *w)
{
    const struct srv_space_info *was = &w->sp->now;
    struct srv_swept *const sums[] = {w->swept, &w->s->stats.swept};
    for (size_t i = 0; i < ARRAY_N(sums); i++) {
        sums[i]->entries += was->entries - w->next.entries;
        sums[i]->chunks += was->chunks - w->next.chunks;
        sums[i]->bytes += was->bytes - w->next.bytes;
    }
    spaces_take_info(w->sp, &w->next);
}

/* With the lock held. @key: letter, ms, number of the space, id. */
static int sweep_row(struct sweep *w, struct bytes key)
{
    const uint8_t *id = key.p + 17;
    int rc = spaces_numbered(w->s, get_u64(key.p + 9), &w->sp);
    bool is_gone = rc == -ENOENT;
    if (rc < 0 && !is_gone)
        return rc;
    w->b = srv_batch_new(w->s->store);
    if (w->b == NULL)
        return -ENOMEM;
    if (!is_gone) {
        w->next = w->sp->now;
        rc = key.p[0] == 'r' ? drop_dot(w, id) : drop_chunk(w, id);
    }
    if (rc == -EAGAIN || is_gone) {
        srv_batch_free(w->b);
        w->b = srv_batch_new(w->s->store);
        rc = w->b == NULL ? -ENOMEM : 0;
        is_gone = true; /* nothing but the row of the queue */
    }
    if (rc == 0) {
        srv_batch_delete(w->b, SRV_META, key);
        if (!is_gone)
            spaces_batch_info(w->b, w->sp, &w->next);
        rc = srv_store_write(w->s->store, w->b, SRV_URGENT);
    }
    if (rc == 0 && !is_gone)
        note(w);
    srv_batch_free(w->b);
    return rc;
}

/* One of the two queues: 1 when it has more than @max rows that are due. */
static int sweep_queue(struct sweep *w, char letter, size_t id_bytes, uint64_t kept_ms,
                       unsigned *max)
{
    uint8_t prefix = (uint8_t)letter;
    struct srv_iter *it =
        srv_iter_new(w->s->store, SRV_META, bytes_of(&prefix, 1), bytes_of(NULL, 0));
    if (it == NULL)
        return -ENOMEM;
    int rc = 0;
    while (rc == 0 && srv_iter_next(it)) {
        struct bytes key = srv_iter_key(it);
        if (key.n != 17 + id_bytes)
            rc = -EUCLEAN;
        else if (get_u64(key.p + 1) + kept_ms > w->now_ms)
            break;
        else if (*max == 0)
            rc = 1;
        if (rc != 0)
            break;
        --*max;
        pthread_mutex_lock(&w->s->lock);
        rc = sweep_row(w, key);
        pthread_mutex_unlock(&w->s->lock);
    }
    if (rc == 0)
        rc = srv_iter_status(it);
    srv_iter_free(it);
    return rc;
}

int srv_spaces_sweep(struct srv_spaces *s, uint64_t now_ms, unsigned max, struct srv_swept *ret)
{
    struct sweep w = {.s = s, .now_ms = now_ms, .swept = ret};
    int rc = srv_store_give_back(s->store, max);
    if (rc != 0)
        return rc;
    rc = sweep_queue(&w, 'r', DOT_SIZE, SPACES_REPLACED_MS, &max);
    return rc != 0 ? rc : sweep_queue(&w, 'u', CHUNK_ID_SIZE, SPACES_UNREFERENCED_MS, &max);
}
