#include "sync/net/libp2p/kad_key.h"

#include <sodium.h>

enum { SHA2_256 = 0x12 };

_Static_assert((int)KAD_PLACE_BYTES == (int)crypto_hash_sha256_BYTES, "places are of SHA-256");

struct kad_place kad_place_of(struct bytes name)
{
    struct kad_place ret;
    crypto_hash_sha256(ret.b, name.p, name.n);
    return ret;
}

int kad_place_cmp(const struct kad_place *target, const struct kad_place *a,
                  const struct kad_place *b)
{
    for (size_t i = 0; i < KAD_PLACE_BYTES; i++)
        if (a->b[i] != b->b[i])
            return (a->b[i] ^ target->b[i]) - (b->b[i] ^ target->b[i]);
    return 0;
}

unsigned kad_place_common(const struct kad_place *a, const struct kad_place *b)
{
    unsigned bits = 0;
    while (bits < KAD_PLACE_BITS && ((a->b[bits / 8] ^ b->b[bits / 8]) >> (7 - bits % 8) & 1) == 0)
        bits++;
    return bits;
}

void kad_multihash(const uint8_t digest[static KAD_DIGEST_BYTES],
                   uint8_t ret[static KAD_MULTIHASH_BYTES])
{
    ret[0] = SHA2_256;
    ret[1] = KAD_DIGEST_BYTES;
    memcpy(ret + 2, digest, KAD_DIGEST_BYTES);
}

bool kad_multihash_valid(struct bytes key)
{
    return key.n == KAD_MULTIHASH_BYTES && key.p[0] == SHA2_256 && key.p[1] == KAD_DIGEST_BYTES;
}
