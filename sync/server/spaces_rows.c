/* Keys and values of the rows of spaces. */
#include <assert.h>
#include <errno.h>

#include "proto/sealed/chunk.h"
#include "sync/server/spaces_priv.h"

void row_add(struct row_key *k, const void *p, size_t n)
{
    assert(k->n + n <= sizeof k->p);
    memcpy(k->p + k->n, p, n);
    k->n += n;
}

void row_add_u64(struct row_key *k, uint64_t v)
{
    uint8_t p[8];
    put_u64(p, v);
    row_add(k, p, sizeof p);
}

void row_add_u8(struct row_key *k, uint8_t v)
{
    row_add(k, &v, 1);
}

void row_add_dot(struct row_key *k, const struct dot *dot)
{
    row_add_u64(k, dot->replica);
    row_add_u64(k, dot->counter);
}

struct row_key row_of(uint64_t space, char letter)
{
    struct row_key k = {.n = 0};
    row_add_u64(&k, space);
    row_add_u8(&k, (uint8_t)letter);
    return k;
}

struct row_key row_meta(char letter, uint64_t n)
{
    struct row_key k = {.n = 0};
    row_add_u8(&k, (uint8_t)letter);
    row_add_u64(&k, n);
    return k;
}

struct row_key row_value(uint64_t space, const struct dot *dot, unsigned variant)
{
    struct row_key k = row_of(space, 'e');
    row_add_dot(&k, dot);
    row_add_u8(&k, (uint8_t)variant);
    return k;
}

struct row_key row_chunk(uint64_t space, const uint8_t *id, unsigned variant)
{
    struct row_key k = row_of(space, 'c');
    row_add(&k, id, CHUNK_ID_SIZE);
    row_add_u8(&k, (uint8_t)variant);
    return k;
}

struct row_key row_named(uint64_t space, const uint8_t *id)
{
    struct row_key k = row_of(space, 'r');
    row_add(&k, id, CHUNK_ID_SIZE);
    return k;
}

struct row_key row_named_by_value(uint64_t space, const uint8_t *id, const struct dot *by,
                                  unsigned variant)
{
    struct row_key k = row_named(space, id);
    row_add_u8(&k, 'e');
    row_add_dot(&k, by);
    row_add_u8(&k, (uint8_t)variant);
    return k;
}

struct row_key row_named_by_chunk(uint64_t space, const uint8_t *id, const uint8_t *by,
                                  unsigned variant)
{
    struct row_key k = row_named(space, id);
    row_add_u8(&k, 'c');
    row_add(&k, by, CHUNK_ID_SIZE);
    row_add_u8(&k, (uint8_t)variant);
    return k;
}

struct row_key row_queue(char letter, uint64_t ms, uint64_t space, const void *id, size_t id_n)
{
    struct row_key k = row_meta(letter, ms);
    row_add_u64(&k, space);
    row_add(&k, id, id_n);
    return k;
}

int row_chunk_names(struct bytes sealed, struct chunk_ids *ret)
{
    struct reader r = reader_of(sealed);
    *ret = chunk_ids_read(&r);
    bool holds = r.n >= SEAL_NONCE_SIZE + CHUNK_PAD + SEAL_TAG_SIZE;
    return r.failed || !holds || sealed.n > CHUNK_SEALED_MAX ? -EBADMSG : 0;
}

int row_is_named(struct srv_store *store, uint64_t space, const uint8_t *id)
{
    struct row_key k = row_named(space, id);
    struct srv_iter *it = srv_iter_new(store, SRV_CHUNKS, row_bytes(&k), bytes_of(NULL, 0));
    if (it == NULL)
        return -ENOMEM;
    int rc = srv_iter_next(it) ? 1 : srv_iter_status(it);
    srv_iter_free(it);
    return rc;
}
