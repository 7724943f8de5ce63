#include "sync/net/libp2p/noise.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>

#include "sync/net/libp2p/limits.h"

static const char name[] = "Noise_XX_25519_ChaChaPoly_SHA256";

enum {
    LENGTH_BYTES = 2, /* before each message */
    KEY_SEALED = NOISE_KEY_BYTES + NOISE_TAG_BYTES,
    MESSAGE_2_MIN = NOISE_KEY_BYTES + KEY_SEALED + NOISE_TAG_BYTES,
    MESSAGE_3_MIN = KEY_SEALED + NOISE_TAG_BYTES
};

_Static_assert(P2P_NOISE_PLAIN + NOISE_TAG_BYTES == P2P_NOISE_MESSAGE, "a message and its tag");

/* All that could decrypt, or pretend. */
static void wipe(struct noise *n)
{
    sodium_memzero(&n->state, sizeof n->state);
    sodium_memzero(n->e_secret, sizeof n->e_secret);
}

static int fail(struct noise *n, int rc)
{
    n->stage = NOISE_FAILED;
    n->failure = rc;
    wipe(n);
    sodium_memzero(&n->out, sizeof n->out);
    sodium_memzero(&n->in, sizeof n->in);
    buf_fini(&n->part);
    return rc;
}

void noise_fini(struct noise *n)
{
    if (n == NULL)
        return;
    buf_fini(&n->part);
    sodium_memzero(n, sizeof *n);
}

/* ---- the parts of messages ---------------------------------------------------------------------
 */

/* Agrees on a secret with one key of each side. */
static int agree(struct noise *n, const uint8_t *secret, const uint8_t *public)
{
    uint8_t shared[NOISE_KEY_BYTES];
    int rc = crypto_scalarmult_curve25519(shared, secret, public) == 0 ? 0 : -EBADMSG;
    if (rc == 0)
        noise_mix_key(&n->state, shared);
    sodium_memzero(shared, sizeof shared);
    return rc;
}

/* Appends a fresh key in clear. */
static void put_e(struct noise *n, struct buf *b)
{
    uint8_t public[NOISE_KEY_BYTES];
    randombytes_buf(n->e_secret, sizeof n->e_secret);
    crypto_scalarmult_curve25519_base(public, n->e_secret);
    noise_mix_hash(&n->state, bytes_of(public, sizeof public));
    buf_put(b, public, sizeof public);
}

static void get_e(struct noise *n, struct reader *r)
{
    memcpy(n->remote_e, reader_bytes(r, NOISE_KEY_BYTES).p, NOISE_KEY_BYTES);
    noise_mix_hash(&n->state, bytes_of(n->remote_e, NOISE_KEY_BYTES));
}

static int put_sealed(struct noise *n, struct bytes plain, struct buf *b)
{
    size_t more = plain.n + NOISE_TAG_BYTES;
    int rc = buf_reserve(b, more);
    if (rc == 0)
        rc = noise_state_seal(&n->state, plain, b->p + b->n);
    if (rc == 0)
        b->n += more;
    return rc;
}

static int put_payload(struct noise *n, struct buf *b)
{
    struct buf payload CLEANUP(buf_fini) = {0};
    int rc = noise_payload_put(&payload, n->cfg.keys, n->cfg.muxers, n->cfg.muxers_n);
    return rc < 0 ? rc : put_sealed(n, buf_bytes(&payload), b);
}

/* The rest of a message: the other side's static key is @public. */
static int get_payload(struct noise *n, struct reader *r, const uint8_t *public, struct err *err)
{
    uint8_t plain[P2P_NOISE_HANDSHAKE];
    struct noise_payload p;
    size_t size = r->n - NOISE_TAG_BYTES;
    int rc = noise_state_open(&n->state, reader_bytes(r, r->n), plain);
    if (rc < 0)
        return rc;
    rc = noise_payload_get(bytes_of(plain, size), public, n->cfg.muxers, n->cfg.muxers_n,
                           !n->cfg.initiator, &p, err);
    if (rc < 0)
        return rc;
    n->muxer = p.muxer;
    peer_id_of_key(p.identity, n->remote);
    if (memcmp(p.identity, n->cfg.keys->identity, sizeof p.identity) == 0)
        return err_set(err, -EPERM, "handshake: the peer has the key of this very device");
    if (n->expects && memcmp(n->remote, n->expect, sizeof n->expect) != 0)
        return err_set(err, -EPERM, "handshake: another peer answers than was dialed");
    return 0;
}

/* ---- the messages ------------------------------------------------------------------------------
 */

/* Appends a message with its length. */
static int put_message(struct buf *out, const struct buf *message)
{
    buf_put_u16(out, (uint16_t)message->n);
    buf_put_bytes(out, buf_bytes(message));
    return buf_status(message) < 0 ? -ENOMEM : buf_status(out);
}

static int put_1(struct noise *n, struct buf *out)
{
    struct buf m CLEANUP(buf_fini) = {0};
    put_e(n, &m);
    noise_mix_hash(&n->state, bytes_of(NULL, 0)); /* its payload */
    return put_message(out, &m);
}

/* ee, and the responder's s: the order of the steps is that of the pattern. */
static int put_2(struct noise *n, struct buf *out)
{
    const struct noise_keys *k = n->cfg.keys;
    struct buf m CLEANUP(buf_fini) = {0};
    put_e(n, &m);
    int rc = agree(n, n->e_secret, n->remote_e);
    if (rc == 0)
        rc = put_sealed(n, bytes_of(k->static_public, NOISE_KEY_BYTES), &m);
    if (rc == 0)
        rc = agree(n, k->static_secret, n->remote_e);
    if (rc == 0)
        rc = put_payload(n, &m);
    return rc < 0 ? rc : put_message(out, &m);
}

static int put_3(struct noise *n, struct buf *out)
{
    const struct noise_keys *k = n->cfg.keys;
    struct buf m CLEANUP(buf_fini) = {0};
    int rc = put_sealed(n, bytes_of(k->static_public, NOISE_KEY_BYTES), &m);
    if (rc == 0)
        rc = agree(n, k->static_secret, n->remote_e);
    if (rc == 0)
        rc = put_payload(n, &m);
    return rc < 0 ? rc : put_message(out, &m);
}

static int get_1(struct noise *n, struct bytes message)
{
    struct reader r = reader_of(message);
    if (message.n != NOISE_KEY_BYTES)
        return -EPROTO;
    get_e(n, &r);
    noise_mix_hash(&n->state, bytes_of(NULL, 0));
    return 0;
}

static int get_2(struct noise *n, struct bytes message, struct err *err)
{
    uint8_t public[NOISE_KEY_BYTES];
    struct reader r = reader_of(message);
    if (message.n < MESSAGE_2_MIN)
        return -EPROTO;
    get_e(n, &r);
    int rc = agree(n, n->e_secret, n->remote_e);
    if (rc == 0)
        rc = noise_state_open(&n->state, reader_bytes(&r, KEY_SEALED), public);
    if (rc == 0)
        rc = agree(n, n->e_secret, public);
    return rc < 0 ? rc : get_payload(n, &r, public, err);
}

static int get_3(struct noise *n, struct bytes message, struct err *err)
{
    uint8_t public[NOISE_KEY_BYTES];
    struct reader r = reader_of(message);
    if (message.n < MESSAGE_3_MIN)
        return -EPROTO;
    int rc = noise_state_open(&n->state, reader_bytes(&r, KEY_SEALED), public);
    if (rc == 0)
        rc = agree(n, n->e_secret, public);
    return rc < 0 ? rc : get_payload(n, &r, public, err);
}

/* ---- the handshake -----------------------------------------------------------------------------
 */

int noise_init(struct noise *n, const struct noise_config *cfg, struct buf *out)
{
    memset(n, 0, sizeof *n);
    n->cfg = *cfg;
    n->muxer = -1;
    n->stage = cfg->initiator ? NOISE_AWAITS_2 : NOISE_AWAITS_1;
    n->cfg.expect = NULL;
    n->expects = cfg->expect != NULL;
    if (n->expects)
        memcpy(n->expect, cfg->expect, sizeof n->expect);
    noise_state_init(&n->state, name);
    int rc = cfg->initiator ? put_1(n, out) : 0;
    return rc < 0 ? fail(n, rc) : 0;
}

static int open_up(struct noise *n)
{
    bool initiator = n->cfg.initiator;
    noise_split(&n->state, initiator ? &n->out : &n->in, initiator ? &n->in : &n->out);
    memcpy(n->hash, n->state.h, sizeof n->hash);
    wipe(n);
    n->cfg.keys = NULL;
    n->cfg.muxers = NULL;
    n->stage = NOISE_OPEN;
    return 1;
}

/* 1: it is over. */
static int on_message(struct noise *n, struct bytes message, struct buf *out, struct err *err)
{
    int rc;
    switch (n->stage) {
    case NOISE_AWAITS_1:
        rc = get_1(n, message);
        if (rc == 0)
            rc = put_2(n, out);
        n->stage = NOISE_AWAITS_3;
        return rc;
    case NOISE_AWAITS_2:
        rc = get_2(n, message, err);
        if (rc == 0)
            rc = put_3(n, out);
        return rc < 0 ? rc : open_up(n);
    case NOISE_AWAITS_3:
        rc = get_3(n, message, err);
        return rc < 0 ? rc : open_up(n);
    case NOISE_OPEN:
    case NOISE_FAILED:
        break;
    }
    return n->stage == NOISE_OPEN ? 1 : n->failure;
}

/*
 * Takes up to one message off the front of *in: 1, and it is *ret, in *in or in what is kept; 0:
 * all was taken. What is kept grows with what came, not with what a length promises.
 */
static int take_message(struct noise *n, struct bytes *in, size_t min, size_t max,
                        struct bytes *ret)
{
    for (;;) {
        bool has_length = n->part.n >= LENGTH_BYTES;
        size_t size = has_length ? (size_t)n->part.p[0] << 8 | n->part.p[1] : 0;
        if (has_length && (size < min || size > max))
            return -EPROTO;
        size_t more = LENGTH_BYTES + size - n->part.n;
        if (has_length && n->part.n == LENGTH_BYTES && in->n >= size) {
            *ret = bytes_of(in->p, size); /* whole, as mostly: not copied */
            *in = bytes_of(in->p + size, in->n - size);
            return 1;
        }
        if (has_length && more == 0) {
            *ret = bytes_of(n->part.p + LENGTH_BYTES, size);
            return 1;
        }
        if (in->n == 0)
            return 0;
        more = (size_t)min_u64(more, in->n);
        buf_put(&n->part, in->p, more);
        *in = bytes_of(in->p + more, in->n - more);
        if (n->part.failed)
            return -ENOMEM;
    }
}

int noise_handshake(struct noise *n, struct bytes *in, struct buf *out, struct err *err)
{
    int rc = n->stage == NOISE_FAILED ? n->failure : n->stage == NOISE_OPEN;
    struct bytes message;
    if (err != NULL)
        *err = (struct err){0};
    while (rc == 0 && (rc = take_message(n, in, 1, P2P_NOISE_HANDSHAKE, &message)) == 1) {
        rc = on_message(n, message, out, err);
        buf_reset(&n->part);
    }
    if (rc >= 0)
        return rc;
    if (err != NULL && err->code == 0)
        err_set(err, rc, "handshake: %s",
                rc == -EPROTO    ? "what came is no message of one"
                : rc == -EBADMSG ? "what came is not to be decrypted"
                                 : "out of memory");
    return fail(n, rc);
}

/* ---- under its keys ----------------------------------------------------------------------------
 */

int noise_encrypt(struct noise *n, struct bytes plain, struct buf *out)
{
    if (n->stage == NOISE_FAILED)
        return n->failure;
    assert(n->stage == NOISE_OPEN);
    while (plain.n > 0) {
        struct bytes now = bytes_of(plain.p, (size_t)min_u64(plain.n, P2P_NOISE_PLAIN));
        size_t size = now.n + NOISE_TAG_BYTES;
        buf_put_u16(out, (uint16_t)size);
        int rc = buf_reserve(out, size);
        if (rc == 0)
            rc = noise_cipher_seal(&n->out, bytes_of(NULL, 0), now, out->p + out->n);
        if (rc < 0)
            return fail(n, rc);
        out->n += size;
        plain = bytes_of(plain.p + now.n, plain.n - now.n);
    }
    return 0;
}

int noise_decrypt(struct noise *n, struct bytes in, struct buf *out)
{
    struct bytes message;
    int rc;
    if (n->stage == NOISE_FAILED)
        return n->failure;
    assert(n->stage == NOISE_OPEN);
    while ((rc = take_message(n, &in, NOISE_TAG_BYTES, P2P_NOISE_MESSAGE, &message)) == 1) {
        size_t size = message.n - NOISE_TAG_BYTES;
        rc = buf_reserve(out, size + 1); /* some place, for no bytes, too */
        if (rc == 0)
            rc = noise_cipher_open(&n->in, bytes_of(NULL, 0), message, out->p + out->n);
        buf_reset(&n->part);
        if (rc < 0)
            break;
        out->n += size;
    }
    return rc < 0 ? fail(n, rc) : 0;
}
