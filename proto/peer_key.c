#include "proto/peer_key.h"

#include <errno.h>
#include <sodium.h>

enum {
    HEAD = 4,
    TYPE = 0x08, /* field 1, a number */
    DATA = 0x12, /* field 2, bytes */
    ED25519 = 1,
    TYPES = 4 /* RSA 0, Ed25519 1, Secp256k1 2, ECDSA 3 */
};

_Static_assert(HEAD + PEER_KEY_PUBLIC_BYTES == PEER_KEY_BYTES, "length of a key");
_Static_assert(PEER_KEY_SECRET_BYTES == crypto_sign_SECRETKEYBYTES, "a secret is libsodium's");

void peer_key_encode(const uint8_t key[static PEER_KEY_PUBLIC_BYTES],
                     uint8_t ret[static PEER_KEY_BYTES])
{
    static const uint8_t head[HEAD] = {TYPE, ED25519, DATA, PEER_KEY_PUBLIC_BYTES};
    memcpy(ret, head, sizeof head);
    memcpy(ret + HEAD, key, PEER_KEY_PUBLIC_BYTES);
}

/* Looks at what stands before @n bytes of key. */
static int check_head(struct bytes in, size_t n)
{
    if (in.n < HEAD || in.p[0] != TYPE || in.p[1] >= TYPES)
        return -EBADMSG;
    if (in.p[1] != ED25519)
        return -ENOTSUP;
    return in.p[2] == DATA && in.p[3] == n && in.n == HEAD + n ? 0 : -EBADMSG;
}

int peer_key_decode(struct bytes in, uint8_t ret[static PEER_KEY_PUBLIC_BYTES])
{
    int rc = check_head(in, PEER_KEY_PUBLIC_BYTES);
    if (rc == 0)
        memcpy(ret, in.p + HEAD, PEER_KEY_PUBLIC_BYTES);
    return rc;
}

int peer_key_decode_secret(struct bytes in, uint8_t ret[static PEER_KEY_SECRET_BYTES])
{
    uint8_t public[PEER_KEY_PUBLIC_BYTES];
    bool twice = in.n == HEAD + PEER_KEY_SECRET_BYTES + sizeof public;
    int rc = check_head(in, PEER_KEY_SECRET_BYTES + (twice ? sizeof public : 0));
    if (rc < 0)
        return rc;
    const uint8_t *pair = in.p + HEAD;
    crypto_sign_seed_keypair(public, ret, pair);
    if (sodium_memcmp(ret, pair, PEER_KEY_SECRET_BYTES) == 0 &&
        (!twice || sodium_memcmp(pair + PEER_KEY_SECRET_BYTES, public, sizeof public) == 0))
        return 0;
    sodium_memzero(ret, PEER_KEY_SECRET_BYTES);
    return -EBADMSG;
}
