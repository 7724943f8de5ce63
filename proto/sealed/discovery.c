#include "proto/sealed/discovery.h"

#define LABEL "persist.dht.1"

_Static_assert((int)HASH_SIZE == (int)crypto_hash_sha256_BYTES, "a name is as long as a hash");

void discovery_name(const struct epoch_keys *k, uint64_t day, uint8_t ret[static HASH_SIZE])
{
    uint8_t number[8], hash[HASH_SIZE];
    put_u64(number, day);
    const struct bytes part = bytes_of(number, sizeof number);
    hash_parts(k->discovery, LABEL, &part, 1, hash);
    crypto_hash_sha256(ret, hash, sizeof hash);
    sodium_memzero(hash, sizeof hash);
}
