#include "sync/net/libp2p/noise_state.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>

_Static_assert(crypto_hash_sha256_BYTES == NOISE_HASH_BYTES, "SHA-256");
_Static_assert(crypto_auth_hmacsha256_KEYBYTES == NOISE_HASH_BYTES, "HMAC keys are hashes");
_Static_assert(crypto_aead_chacha20poly1305_ietf_KEYBYTES == NOISE_KEY_BYTES, "cipher");
_Static_assert(crypto_aead_chacha20poly1305_ietf_ABYTES == NOISE_TAG_BYTES, "cipher");

enum { NONCE_BYTES = crypto_aead_chacha20poly1305_ietf_NPUBBYTES, NONCE_ZEROS = 4 };

static void nonce_of(uint64_t n, uint8_t ret[static NONCE_BYTES])
{
    memset(ret, 0, NONCE_ZEROS);
    for (size_t i = NONCE_ZEROS; i < NONCE_BYTES; i++, n >>= 8)
        ret[i] = (uint8_t)n;
}

int noise_cipher_seal(struct noise_cipher *c, struct bytes ad, struct bytes plain, uint8_t *to)
{
    uint8_t nonce[NONCE_BYTES];
    if (c->n == UINT64_MAX)
        return -EOVERFLOW;
    nonce_of(c->n++, nonce);
    crypto_aead_chacha20poly1305_ietf_encrypt(to, NULL, plain.p, plain.n, ad.p, ad.n, NULL, nonce,
                                              c->key);
    return 0;
}

int noise_cipher_open(struct noise_cipher *c, struct bytes ad, struct bytes sealed, uint8_t *to)
{
    uint8_t nonce[NONCE_BYTES];
    if (c->n == UINT64_MAX)
        return -EOVERFLOW;
    nonce_of(c->n++, nonce);
    int rc = crypto_aead_chacha20poly1305_ietf_decrypt(to, NULL, NULL, sealed.p, sealed.n, ad.p,
                                                       ad.n, nonce, c->key);
    return rc == 0 ? 0 : -EBADMSG;
}

void noise_state_init(struct noise_state *s, const char *name)
{
    assert(strlen(name) == NOISE_HASH_BYTES); /* a longer one would be hashed */
    memcpy(s->h, name, NOISE_HASH_BYTES);
    memcpy(s->ck, name, NOISE_HASH_BYTES);
    s->cipher = (struct noise_cipher){0};
    noise_mix_hash(s, bytes_of(NULL, 0));
}

void noise_mix_hash(struct noise_state *s, struct bytes v)
{
    crypto_hash_sha256_state hash;
    crypto_hash_sha256_init(&hash);
    crypto_hash_sha256_update(&hash, s->h, sizeof s->h);
    if (v.n > 0)
        crypto_hash_sha256_update(&hash, v.p, v.n);
    crypto_hash_sha256_final(&hash, s->h);
}

/* HKDF with two results. */
static void derive(const uint8_t ck[static NOISE_HASH_BYTES], struct bytes in,
                   uint8_t ret1[static NOISE_HASH_BYTES], uint8_t ret2[static NOISE_HASH_BYTES])
{
    static const uint8_t none;
    uint8_t key[NOISE_HASH_BYTES], more[NOISE_HASH_BYTES + 1] = {1};
    crypto_auth_hmacsha256(key, in.n > 0 ? in.p : &none, in.n, ck);
    crypto_auth_hmacsha256(ret1, more, 1, key);
    memcpy(more, ret1, NOISE_HASH_BYTES);
    more[NOISE_HASH_BYTES] = 2;
    crypto_auth_hmacsha256(ret2, more, sizeof more, key);
    sodium_memzero(key, sizeof key);
    sodium_memzero(more, sizeof more);
}

void noise_mix_key(struct noise_state *s, const uint8_t secret[static NOISE_KEY_BYTES])
{
    derive(s->ck, bytes_of(secret, NOISE_KEY_BYTES), s->ck, s->cipher.key);
    s->cipher.n = 0;
}

int noise_state_seal(struct noise_state *s, struct bytes plain, uint8_t *to)
{
    int rc = noise_cipher_seal(&s->cipher, bytes_of(s->h, sizeof s->h), plain, to);
    if (rc == 0)
        noise_mix_hash(s, bytes_of(to, plain.n + NOISE_TAG_BYTES));
    return rc;
}

int noise_state_open(struct noise_state *s, struct bytes sealed, uint8_t *to)
{
    int rc = noise_cipher_open(&s->cipher, bytes_of(s->h, sizeof s->h), sealed, to);
    if (rc == 0)
        noise_mix_hash(s, sealed);
    return rc;
}

void noise_split(const struct noise_state *s, struct noise_cipher *ret_initiator,
                 struct noise_cipher *ret_responder)
{
    derive(s->ck, bytes_of(NULL, 0), ret_initiator->key, ret_responder->key);
    ret_initiator->n = ret_responder->n = 0;
}
