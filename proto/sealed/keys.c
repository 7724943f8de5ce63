#include "proto/sealed/keys.h"

#include <assert.h>
#include <errno.h>
#include <xxhash.h>

#include "proto/sealed/xchacha.h"

enum { LABEL_SIZE = 16 };

_Static_assert(SEED_SIZE == crypto_kdf_KEYBYTES && SEED_SIZE == crypto_sign_SEEDBYTES, "seeds");
_Static_assert(SEED_SIZE == crypto_box_SEEDBYTES, "a derived seed makes a box key pair");
_Static_assert(SIGN_KEY_SIZE == crypto_sign_PUBLICKEYBYTES, "Ed25519");
_Static_assert(SIGNATURE_SIZE == crypto_sign_BYTES, "Ed25519");
_Static_assert(BOX_KEY_SIZE == crypto_box_PUBLICKEYBYTES, "X25519");
_Static_assert((int)SEAL_NONCE_SIZE == (int)XCHACHA_NONCE_SIZE, "nonce");
_Static_assert((int)SEAL_TAG_SIZE == (int)XCHACHA_TAG_SIZE, "tag");
_Static_assert((int)HASH_SIZE == (int)XCHACHA_KEY_SIZE, "derived keys seal");

int member_keys_init(struct member_keys *k, const uint8_t seed[static SEED_SIZE])
{
    uint8_t sign[SEED_SIZE], box[SEED_SIZE];
    if (sodium_init() < 0)
        return -EIO;
    int rc = 0;
    if (crypto_kdf_derive_from_key(sign, sizeof sign, 1, SEAL_CONTEXT_MEMBER, seed) != 0 ||
        crypto_kdf_derive_from_key(box, sizeof box, 2, SEAL_CONTEXT_MEMBER, seed) != 0 ||
        crypto_sign_seed_keypair(k->sign_public, k->sign_secret, sign) != 0 ||
        crypto_box_seed_keypair(k->box_public, k->box_secret, box) != 0) {
        member_keys_fini(k);
        rc = -EIO;
    }
    sodium_memzero(sign, sizeof sign);
    sodium_memzero(box, sizeof box);
    return rc;
}

int door_keys_init(struct member_keys *k, const uint8_t seed[static SEED_SIZE])
{
    *k = (struct member_keys){0};
    if (sodium_init() < 0 || crypto_sign_seed_keypair(k->sign_public, k->sign_secret, seed) != 0)
        return -EIO;
    return 0;
}

void member_keys_fini(struct member_keys *k)
{
    if (k != NULL)
        sodium_memzero(k, sizeof *k);
}

int epoch_keys_init(struct epoch_keys *k, const uint8_t key[static EPOCH_KEY_SIZE])
{
    if (sodium_init() < 0)
        return -EIO;
    uint8_t *const out[] = {k->body, k->chunk_id, k->chunk, k->label, k->discovery};
    for (size_t i = 0; i < ARRAY_N(out); i++)
        if (crypto_kdf_derive_from_key(out[i], HASH_SIZE, i + 1, SEAL_CONTEXT_EPOCH, key) != 0) {
            epoch_keys_fini(k);
            return -EIO;
        }
    memcpy(k->key, key, EPOCH_KEY_SIZE);
    k->id = epoch_id_of(key);
    return 0;
}

void epoch_keys_fini(struct epoch_keys *k)
{
    if (k != NULL)
        sodium_memzero(k, sizeof *k);
}

/* ---- names ------------------------------------------------------------------------------------
 */

struct epoch_id epoch_id_of(const uint8_t key[static EPOCH_KEY_SIZE])
{
    uint8_t h[HASH_SIZE];
    struct epoch_id id;
    hash_parts(NULL, SEAL_LABEL_EPOCH, &(struct bytes){key, EPOCH_KEY_SIZE}, 1, h);
    memcpy(id.b, h, EPOCH_ID_SIZE);
    return id;
}

struct member_id member_id_of(const struct member_public *p)
{
    struct member_id id;
    const struct bytes parts[] = {bytes_of(p->identity, SIGN_KEY_SIZE),
                                  bytes_of(p->sign, SIGN_KEY_SIZE), bytes_of(p->box, BOX_KEY_SIZE)};
    hash_parts(NULL, SEAL_LABEL_MEMBER, parts, ARRAY_N(parts), id.b);
    return id;
}

uint64_t replica_id_of(const uint8_t sign[static SIGN_KEY_SIZE],
                       const uint8_t random[static REPLICA_RANDOM_SIZE])
{
    uint8_t h[HASH_SIZE];
    const struct bytes parts[] = {bytes_of(sign, SIGN_KEY_SIZE),
                                  bytes_of(random, REPLICA_RANDOM_SIZE)};
    hash_parts(NULL, SEAL_LABEL_REPLICA, parts, ARRAY_N(parts), h);
    return get_u64(h);
}

bool sign_key_valid(const uint8_t key[static SIGN_KEY_SIZE])
{
    return crypto_core_ed25519_is_valid_point(key) == 1;
}

bool box_key_valid(const uint8_t key[static BOX_KEY_SIZE])
{
    /* crypto_scalarmult refuses a point of small order; any scalar will do. */
    static const uint8_t scalar[crypto_scalarmult_SCALARBYTES] = {8};
    uint8_t shared[crypto_scalarmult_BYTES];
    return crypto_scalarmult(shared, scalar, key) == 0;
}

/* ---- signatures and seals ----------------------------------------------------------------------
 */

static size_t labelled(const char *label, struct bytes data, uint8_t ret[LABEL_SIZE + SIGNED_MAX])
{
    size_t n = strlen(label);
    assert(n <= LABEL_SIZE && data.n <= SIGNED_MAX);
    memset(ret, 0, LABEL_SIZE);
    memcpy(ret, label, n);
    memcpy(ret + LABEL_SIZE, data.p, data.n);
    return LABEL_SIZE + data.n;
}

void label_sign(const struct member_keys *k, const char *label, struct bytes data,
                uint8_t ret[static SIGNATURE_SIZE])
{
    uint8_t m[LABEL_SIZE + SIGNED_MAX];
    size_t n = labelled(label, data, m);
    int rc = crypto_sign_detached(ret, NULL, m, n, k->sign_secret);
    assert(rc == 0); /* it has no way to fail */
    (void)rc;
}

int label_verify(const uint8_t key[static SIGN_KEY_SIZE], const char *label, struct bytes data,
                 const uint8_t signature[static SIGNATURE_SIZE])
{
    uint8_t m[LABEL_SIZE + SIGNED_MAX];
    size_t n = labelled(label, data, m);
    return crypto_sign_verify_detached(signature, m, n, key) == 0 ? 0 : -EBADMSG;
}

static void put_sealed(struct buf *b, const uint8_t key[static HASH_SIZE],
                       const uint8_t nonce[static SEAL_NONCE_SIZE], struct bytes ad,
                       struct bytes plain)
{
    /* Growing may move @ad when it lies in @b. */
    bool inside = b->p != NULL && ad.p >= b->p && ad.p < b->p + b->n;
    size_t at = inside ? (size_t)(ad.p - b->p) : 0, n = b->n;
    if (buf_reserve(b, SEAL_NONCE_SIZE + plain.n + SEAL_TAG_SIZE) < 0)
        return;
    memcpy(b->p + n, nonce, SEAL_NONCE_SIZE);
    b->failed = xchacha_seal(key, nonce, bytes_of(inside ? b->p + at : ad.p, ad.n), plain,
                             b->p + n + SEAL_NONCE_SIZE) < 0;
    b->n = n + SEAL_NONCE_SIZE + plain.n + SEAL_TAG_SIZE;
}

void seal_put(struct buf *b, const uint8_t key[static HASH_SIZE], struct bytes ad,
              struct bytes plain)
{
    uint8_t nonce[SEAL_NONCE_SIZE];
    randombytes_buf(nonce, sizeof nonce);
    put_sealed(b, key, nonce, ad, plain);
}

/* With a nonce that follows from @ad and @what. */
static void put_same(struct buf *b, const uint8_t *key, const char *label, struct bytes ad,
                     struct bytes what, struct bytes plain)
{
    uint8_t hash[HASH_SIZE], length[8];
    put_u64(length, ad.n); /* else bytes could move from one part to the other */
    const struct bytes parts[] = {bytes_of(length, sizeof length), ad, what};
    _Static_assert(sizeof hash >= (size_t)SEAL_NONCE_SIZE, "its first bytes are the nonce");
    hash_parts(key, label, parts, ARRAY_N(parts), hash);
    put_sealed(b, key, hash, ad, plain);
}

void seal_put_same(struct buf *b, const uint8_t key[static HASH_SIZE], struct bytes ad,
                   struct bytes plain)
{
    put_same(b, key, "persist.nonce.1", ad, plain, plain);
}

void seal_put_named(struct buf *b, const uint8_t key[static HASH_SIZE], struct bytes ad,
                    struct bytes plain)
{
    XXH128_canonical_t sum;
    XXH128_canonicalFromHash(&sum, XXH3_128bits(plain.p, plain.n));
    put_same(b, key, "persist.nonce.2", ad, bytes_of(sum.digest, sizeof sum.digest), plain);
}

int seal_open(struct bytes sealed, const uint8_t key[static HASH_SIZE], struct bytes ad,
              struct buf *ret)
{
    if (sealed.n < SEAL_NONCE_SIZE + SEAL_TAG_SIZE)
        return -EBADMSG;
    size_t n = sealed.n - SEAL_NONCE_SIZE - SEAL_TAG_SIZE;
    uint8_t none; /* instead of NULL */
    buf_reset(ret);
    if (buf_reserve(ret, n) < 0)
        return -ENOMEM;
    int rc = xchacha_open(key, sealed.p, ad,
                          bytes_of(sealed.p + SEAL_NONCE_SIZE, sealed.n - SEAL_NONCE_SIZE),
                          n == 0 ? &none : ret->p);
    ret->n = rc == 0 ? n : 0;
    return rc;
}

void buf_wipe(struct buf *b)
{
    if (b != NULL && b->p != NULL)
        sodium_memzero(b->p, b->cap);
    buf_fini(b);
}
