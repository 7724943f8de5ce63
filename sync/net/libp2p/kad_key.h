/*
 * sync/net/libp2p/kad_key - places in the key space of Kademlia: where a peer or a key is, and what
 * is near to what. Pure. Thread: any. Source: libp2p specs, kad-dht.
 */
#ifndef SYNC_NET_LIBP2P_KAD_KEY_H
#define SYNC_NET_LIBP2P_KAD_KEY_H

#include "proto/base/buf.h"

enum {
    KAD_PLACE_BYTES = 32,
    KAD_PLACE_BITS = 8 * KAD_PLACE_BYTES,
    KAD_DIGEST_BYTES = 32,   /* of SHA-256: what a key stands for */
    KAD_MULTIHASH_BYTES = 34 /* as a key of providers has it: 0x12, 0x20, the digest */
};

struct kad_place {
    uint8_t b[KAD_PLACE_BYTES];
};

/** The place of a key or a peer's binary id: its SHA-256. */
struct kad_place kad_place_of(struct bytes name);

/** <0, 0, >0: @a is nearer to @target than @b, as near, less near. */
int kad_place_cmp(const struct kad_place *target, const struct kad_place *a,
                  const struct kad_place *b);

/** Leading bits that are the same: KAD_PLACE_BITS of equal ones. */
unsigned kad_place_common(const struct kad_place *a, const struct kad_place *b);

/** The key of providers for a digest of SHA-256. */
void kad_multihash(const uint8_t digest[static KAD_DIGEST_BYTES],
                   uint8_t ret[static KAD_MULTIHASH_BYTES]);

/** Whether @key is such a one. */
bool kad_multihash_valid(struct bytes key);

#endif
