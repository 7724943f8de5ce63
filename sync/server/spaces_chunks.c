/* The rows of chunks, and where their bytes are. */
#include <errno.h>

#include "sync/server/spaces_priv.h"

enum { FOLLOWS_BYTES, FOLLOWS_PLACE };
enum { DROP_STEP_ROWS = 256 };

int chunk_row_parse(struct bytes value, struct chunk_row *ret)
{
    if (value.n < CHUNK_HEAD_BYTES)
        return -EUCLEAN;
    struct bytes rest = bytes_of(value.p + CHUNK_HEAD_BYTES, value.n - CHUNK_HEAD_BYTES);
    *ret = (struct chunk_row){.ms = get_u64(value.p)};
    ret->is_placed = value.p[8] == FOLLOWS_PLACE;
    if (ret->is_placed ? rest.n != SRV_PLACE_BYTES : value.p[8] != FOLLOWS_BYTES)
        return -EUCLEAN;
    if (ret->is_placed)
        ret->place = srv_place_decode(rest.p);
    else
        ret->sealed = rest;
    ret->n = ret->is_placed ? ret->place.n : rest.n;
    return 0;
}

int chunk_row_get(struct srv_store *store, const struct row_key *k, struct buf *value,
                  struct chunk_row *ret)
{
    int rc = srv_store_get(store, SRV_CHUNKS, row_bytes(k), value);
    if (rc == 0)
        rc = chunk_row_parse(buf_bytes(value), ret);
    return rc == -ENOENT ? 0 : rc < 0 ? rc : 1;
}

int chunk_row_bytes(struct srv_store *store, const struct chunk_row *c, struct buf *b,
                    struct bytes *ret)
{
    *ret = c->sealed;
    if (!c->is_placed)
        return 0;
    int rc = srv_store_read(store, &c->place, b);
    *ret = buf_bytes(b);
    return rc;
}

int chunk_row_put(struct srv_store *store, struct srv_batch *batch, const struct row_key *k,
                  struct bytes sealed, bool names_others, struct chunk_row *c)
{
    uint8_t head[CHUNK_HEAD_BYTES];
    uint8_t place[SRV_PLACE_BYTES];
    c->is_placed = !names_others;
    if (c->is_placed) {
        int rc = srv_store_append(store, sealed, &c->place);
        if (rc < 0)
            return rc;
        srv_batch_keep(batch, &c->place, row_bytes(k));
        srv_place_encode(&c->place, place);
    }
    put_u64(head, c->ms);
    head[8] = c->is_placed ? FOLLOWS_PLACE : FOLLOWS_BYTES;
    srv_batch_put_parts(batch, SRV_CHUNKS, row_bytes(k), bytes_of(head, sizeof head),
                        c->is_placed ? bytes_of(place, sizeof place) : sealed);
    return 0;
}

void chunk_row_delete(struct srv_batch *batch, const struct row_key *k, const struct chunk_row *c)
{
    srv_batch_delete(batch, SRV_CHUNKS, row_bytes(k));
    if (c->is_placed)
        srv_batch_release(batch, &c->place);
}

/* Some rows: 1 when there are more. */
static int drop_some(struct srv_store *store, struct srv_iter *it)
{
    struct srv_batch *b = srv_batch_new(store);
    if (b == NULL)
        return -ENOMEM;
    int rc = 0;
    bool more = true;
    for (unsigned n = 0; rc == 0 && n < DROP_STEP_ROWS && (more = srv_iter_next(it)); n++) {
        struct row_key k = {.n = 0};
        struct chunk_row c;
        row_add(&k, srv_iter_key(it).p, srv_iter_key(it).n);
        rc = chunk_row_parse(srv_iter_value(it), &c);
        if (rc == 0)
            chunk_row_delete(b, &k, &c);
    }
    if (rc == 0)
        rc = srv_store_write(store, b, SRV_URGENT);
    srv_batch_free(b);
    return rc < 0 ? rc : more;
}

int chunk_rows_drop(struct srv_store *store, uint64_t space)
{
    struct row_key prefix = row_of(space, 'c');
    struct srv_iter *it = srv_iter_new(store, SRV_CHUNKS, row_bytes(&prefix), bytes_of(NULL, 0));
    if (it == NULL)
        return -ENOMEM;
    int rc;
    while ((rc = drop_some(store, it)) == 1)
        ;
    if (rc == 0)
        rc = srv_iter_status(it);
    srv_iter_free(it);
    return rc;
}

static int drop_torn(void *arg, struct bytes key, const struct srv_place *place)
{
    struct srv_spaces *s = arg;
    struct space *sp;
    struct row_key k = {.n = 0};
    if (key.n < SPACE_PREFIX_BYTES || key.n > sizeof k.p)
        return -EUCLEAN;
    row_add(&k, key.p, key.n);
    int rc = spaces_numbered(s, get_u64(key.p), &sp);
    bool has_space = rc == 0; /* else it is being dropped */
    if (rc < 0 && rc != -ENOENT)
        return rc;
    struct srv_batch *b = srv_batch_new(s->store);
    if (b == NULL)
        return -ENOMEM;
    chunk_row_delete(b, &k, &(struct chunk_row){.is_placed = true, .place = *place});
    struct srv_space_info next = {.log_id = 0};
    if (has_space) {
        next = sp->now;
        next.bytes -= place->n;
        next.chunks--;
        spaces_batch_info(b, sp, &next);
    }
    rc = srv_store_write(s->store, b, SRV_URGENT);
    srv_batch_free(b);
    if (rc == 0 && has_space)
        spaces_take_info(sp, &next);
    return rc;
}

int chunk_rows_mend(struct srv_spaces *s)
{
    return srv_store_each_torn(s->store, drop_torn, s);
}
