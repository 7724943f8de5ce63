#include "proto/sealed/grant.h"

#include <assert.h>
#include <errno.h>

enum { VERSION = 2 };

static const char label[GRANT_LABEL_SIZE + 1] = "persist.grant.1\0";

void grant_fini(struct grant *g)
{
    if (g != NULL)
        sodium_memzero(g, sizeof *g);
}

bool grant_is(struct bytes blob)
{
    return blob.n > 0 && blob.p[0] == VERSION;
}

static void put_plain(const struct grant *g, struct buf *b)
{
    size_t n = strlen(g->name);
    buf_put(b, label, GRANT_LABEL_SIZE);
    buf_put(b, g->space.b, SPACE_ID_SIZE);
    buf_put(b, g->secret, SPACE_SECRET_SIZE);
    buf_put_u8(b, (uint8_t)n);
    buf_put(b, g->name, n);
    buf_put_u16(b, (uint16_t)g->epochs_n);
    buf_put(b, g->epochs, g->epochs_n * EPOCH_KEY_SIZE);
}

int grant_seal(const struct grant *g, const uint8_t to[static BOX_KEY_SIZE], struct buf *ret)
{
    struct buf plain CLEANUP(buf_wipe) = {0};
    size_t at = ret->n;
    assert(g->epochs_n <= LIMIT_EPOCHS);
    /* In one piece, so that no copy stays behind in the heap. */
    if (buf_reserve(&plain, GRANT_PLAIN_MAX) < 0)
        return -ENOMEM;
    put_plain(g, &plain);
    size_t n = 1 + plain.n + crypto_box_SEALBYTES;
    if (buf_status(&plain) < 0 || buf_reserve(ret, n) < 0)
        return -ENOMEM;
    ret->p[at] = VERSION;
    if (crypto_box_seal(ret->p + at + 1, plain.p, plain.n, to) != 0)
        return -EBADMSG;
    ret->n = at + n;
    return 0;
}

static int read_plain(struct bytes plain, struct grant *ret)
{
    struct reader r = reader_of(plain);
    struct bytes is = reader_bytes(&r, GRANT_LABEL_SIZE);
    reader_copy(&r, ret->space.b, SPACE_ID_SIZE);
    reader_copy(&r, ret->secret, SPACE_SECRET_SIZE);
    size_t n = reader_u8(&r);
    if (!bytes_equal(is, bytes_of(label, GRANT_LABEL_SIZE)) || n > GRANT_NAME_MAX)
        return -EBADMSG;
    struct bytes name = reader_bytes(&r, n);
    ret->epochs_n = reader_u16(&r);
    if (r.failed || ret->epochs_n > LIMIT_EPOCHS || memchr(name.p, '\0', name.n) != NULL)
        return -EBADMSG;
    memcpy(ret->name, name.p, name.n);
    reader_copy(&r, ret->epochs, ret->epochs_n * EPOCH_KEY_SIZE);
    return reader_end(&r);
}

int grant_open(struct bytes blob, const struct member_keys *k, struct grant *ret)
{
    struct buf plain CLEANUP(buf_wipe) = {0};
    grant_fini(ret);
    if (!grant_is(blob))
        return blob.n > 0 ? -ENOTSUP : -EBADMSG;
    if (blob.n < 1 + crypto_box_SEALBYTES || blob.n > GRANT_BLOB_MAX)
        return -EBADMSG;
    int rc = buf_resize(&plain, blob.n - 1 - crypto_box_SEALBYTES);
    if (rc == 0 &&
        crypto_box_seal_open(plain.p, blob.p + 1, blob.n - 1, k->box_public, k->box_secret) != 0)
        rc = -EKEYREJECTED;
    if (rc == 0)
        rc = read_plain(buf_bytes(&plain), ret);
    if (rc < 0)
        grant_fini(ret);
    return rc;
}
