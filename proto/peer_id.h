/*
 * proto/peer_id - the name of a device: the libp2p PeerId of its Ed25519 public key.
 *
 * The identity multihash (0x00, length) of the protobuf PublicKey { Type = Ed25519, Data = key },
 * as base58btc text. Source: libp2p specs, peer-ids.
 */
#ifndef PROTO_PEER_ID_H
#define PROTO_PEER_ID_H

#include "proto/base/buf.h"

enum {
    PEER_ID_KEY_BYTES = 32,
    PEER_ID_BYTES = 38,    /* 2 of multihash, 4 of protobuf, 32 of key */
    PEER_ID_TEXT_SIZE = 56 /* 52 characters ("12D3KooW…") and their end */
};

/** The binary PeerId of a public key. */
void peer_id_of_key(const uint8_t key[PEER_ID_KEY_BYTES], uint8_t ret_id[PEER_ID_BYTES]);

/** The text of a binary PeerId. Returns @ret_text. */
const char *peer_id_text(const uint8_t id[PEER_ID_BYTES], char ret_text[PEER_ID_TEXT_SIZE]);

#endif
