#include "proto/sealed/chunk.h"

#include <assert.h>
#include <errno.h>

enum { LENGTH_SIZE = 4 };

static size_t padded(size_t n)
{
    return (LENGTH_SIZE + n + CHUNK_PAD - 1) / CHUNK_PAD * CHUNK_PAD;
}

struct chunk_id chunk_id_of(const struct epoch_keys *k, const uint8_t name[static HASH_SIZE])
{
    struct chunk_id id;
    struct bytes part = bytes_of(name, HASH_SIZE);
    hash_parts(k->chunk_id, SEAL_LABEL_CHUNK, &part, 1, id.b);
    return id;
}

static void put_ad(struct buf *b, const struct epoch_keys *k, const struct space_id *space,
                   const struct chunk_id *id, struct bytes names)
{
    buf_put(b, space->b, SPACE_ID_SIZE);
    buf_put(b, k->id.b, EPOCH_ID_SIZE);
    buf_put(b, id->b, CHUNK_ID_SIZE);
    buf_put_bytes(b, names);
}

int chunk_seal(const struct epoch_keys *k, const struct space_id *space, const struct chunk_id *id,
               struct chunk_ids names, struct bytes plain, struct buf *ret)
{
    struct buf ad CLEANUP(buf_fini) = {0}, padded_plain CLEANUP(buf_wipe) = {0};
    assert(plain.n <= LIMIT_CHUNK && names.n <= LIMIT_CHUNK_IDS);
    size_t at = ret->n;
    chunk_ids_put(ret, names);
    if (buf_status(ret) < 0 || buf_reserve(&padded_plain, padded(plain.n)) < 0)
        return -ENOMEM;
    put_ad(&ad, k, space, id, bytes_of(ret->p + at, ret->n - at));
    buf_put_u32(&padded_plain, (uint32_t)plain.n);
    buf_put_bytes(&padded_plain, plain);
    if (buf_resize(&padded_plain, padded(plain.n)) < 0 || buf_status(&ad) < 0)
        return -ENOMEM;
    seal_put_named(ret, k->chunk, buf_bytes(&ad), buf_bytes(&padded_plain));
    return buf_status(ret);
}

static int split(struct bytes sealed, struct chunk_ids *ret_names, struct bytes *ret_names_raw,
                 struct bytes *ret_rest)
{
    struct reader r = reader_of(sealed);
    if (sealed.n > CHUNK_SEALED_MAX)
        return -EBADMSG;
    *ret_names = chunk_ids_read(&r);
    size_t around = SEAL_NONCE_SIZE + SEAL_TAG_SIZE;
    if (r.failed || r.n < around + CHUNK_PAD || (r.n - around) % CHUNK_PAD != 0 ||
        r.n - around > padded(LIMIT_CHUNK))
        return -EBADMSG;
    *ret_names_raw = bytes_of(sealed.p, sealed.n - r.n);
    *ret_rest = bytes_of(r.p, r.n);
    return 0;
}

int chunk_names(struct bytes sealed, struct chunk_ids *ret)
{
    struct bytes names_raw, rest;
    return split(sealed, ret, &names_raw, &rest);
}

/* Takes length and padding off. */
static int unpad(struct buf *b)
{
    struct reader r = reader_of(buf_bytes(b));
    uint32_t n = reader_u32(&r);
    (void)reader_bytes(&r, n);
    if (r.failed || n > LIMIT_CHUNK || b->n != padded(n) || !sodium_is_zero(r.p, r.n))
        return -EBADMSG;
    memmove(b->p, b->p + LENGTH_SIZE, n);
    b->n = n;
    return 0;
}

int chunk_open(const struct epoch_keys *k, const struct space_id *space, const struct chunk_id *id,
               struct bytes sealed, struct buf *ret)
{
    struct buf ad CLEANUP(buf_fini) = {0};
    struct chunk_ids names;
    struct bytes names_raw, rest;
    int rc = split(sealed, &names, &names_raw, &rest);
    if (rc < 0)
        return rc;
    put_ad(&ad, k, space, id, names_raw);
    if (buf_status(&ad) < 0)
        return -ENOMEM;
    rc = seal_open(rest, k->chunk, buf_bytes(&ad), ret);
    if (rc == 0)
        rc = unpad(ret);
    if (rc < 0)
        buf_reset(ret);
    return rc;
}
