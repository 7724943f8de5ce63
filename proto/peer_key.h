/*
 * proto/peer_key - keys as libp2p writes them: a protobuf of a type and the key. Thread: any.
 *
 * There is one encoding of a public key, since its hash is a name. Keys of other types than
 * Ed25519 are refused. Source: libp2p specs, peer-ids.
 */
#ifndef PROTO_PEER_KEY_H
#define PROTO_PEER_KEY_H

#include "proto/base/buf.h"

enum {
    PEER_KEY_BYTES = 36, /* an encoded public key: 4 and the key's 32 */
    PEER_KEY_PUBLIC_BYTES = 32,
    PEER_KEY_SECRET_BYTES = 64 /* as libsodium's: the seed, the public key */
};

void peer_key_encode(const uint8_t key[static PEER_KEY_PUBLIC_BYTES],
                     uint8_t ret[static PEER_KEY_BYTES]);

/** Errors: -EBADMSG it is no key in its one encoding; -ENOTSUP it is of another type. */
int peer_key_decode(struct bytes in, uint8_t ret[static PEER_KEY_PUBLIC_BYTES]) MUST_CHECK;

/**
 * Reads a private key as other programs keep it in files, the old form with the public key twice
 * included. @ret is a secret: wipe it. Errors: as peer_key_decode(); -EBADMSG, too, when the public
 * key in it is not that of the seed: whoever signs with such a pair gives the seed away.
 */
int peer_key_decode_secret(struct bytes in, uint8_t ret[static PEER_KEY_SECRET_BYTES]) MUST_CHECK;

#endif
