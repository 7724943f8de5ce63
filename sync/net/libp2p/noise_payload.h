/*
 * sync/net/libp2p/noise_payload - what each side of a Noise handshake says inside it: who it is,
 * that the handshake is its own, and which muxers it has. Pure. Thread: any.
 *
 * Source: libp2p specs, noise, and connections/inlined-muxer-negotiation.
 */
#ifndef SYNC_NET_LIBP2P_NOISE_PAYLOAD_H
#define SYNC_NET_LIBP2P_NOISE_PAYLOAD_H

#include "proto/base/err.h"
#include "proto/peer_key.h"
#include "sync/net/libp2p/noise_state.h"

enum { NOISE_SIGNATURE_BYTES = 64 };

/* The keys of this process: the X25519 key of its handshakes, and the identity's word for it. */
struct noise_keys {
    uint8_t identity[PEER_KEY_PUBLIC_BYTES];
    uint8_t static_public[NOISE_KEY_BYTES];
    uint8_t static_secret[NOISE_KEY_BYTES];
    uint8_t signature[NOISE_SIGNATURE_BYTES];
};

/**
 * Makes a fresh key, once at each start, and never to be stored; @identity, an Ed25519 key pair of
 * libsodium's, is not kept. Wipe with noise_keys_fini(). Errors: -EIO no random numbers.
 */
int noise_keys_init(struct noise_keys *k,
                    const uint8_t identity[static PEER_KEY_SECRET_BYTES]) MUST_CHECK;
void noise_keys_fini(struct noise_keys *k);

/** Appends the payload: anyone who dials may read it. */
int noise_payload_put(struct buf *b, const struct noise_keys *k, const char *const *muxers,
                      size_t muxers_n) MUST_CHECK;

/* What the other side said. Borrows nothing. */
struct noise_payload {
    uint8_t identity[PEER_KEY_PUBLIC_BYTES];
    /* Of our list: the muxer that both sides choose from the lists, of which the initiator's
     * order counts; -1: one of them has no list, so it is negotiated afterwards. */
    int muxer;
};

/**
 * Reads and checks a payload: that the identity signed @static_public, the key of this very
 * handshake. @theirs_first: the other side is the initiator. Errors, with a message: -EBADMSG;
 * -ENOTSUP an identity that is not Ed25519; -ENOPROTOOPT no muxer in common.
 */
int noise_payload_get(struct bytes in, const uint8_t static_public[static NOISE_KEY_BYTES],
                      const char *const *muxers, size_t muxers_n, bool theirs_first,
                      struct noise_payload *ret, struct err *err) MUST_CHECK;

#endif
