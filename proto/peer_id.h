/*
 * proto/peer_id - the name of a device: the libp2p PeerId of its Ed25519 public key.
 *
 * The identity multihash (0x00, length) of the protobuf PublicKey { Type = Ed25519, Data = key },
 * as base58btc text. Others may have keys of other kinds, whose ids are names here and no more:
 * they can stand in an address, but no such peer is talked to. Thread: any.
 * Source: libp2p specs, peer-ids and RFC 0001.
 */
#ifndef PROTO_PEER_ID_H
#define PROTO_PEER_ID_H

#include <stdbool.h>

#include "proto/base/buf.h"

enum {
    PEER_ID_KEY_BYTES = 32,
    PEER_ID_BYTES = 38,        /* 2 of multihash, 4 of protobuf, 32 of key */
    PEER_ID_TEXT_SIZE = 56,    /* 52 characters ("12D3KooW…") and their end */
    PEER_ID_ANY_MAX = 44,      /* of any peer: a key protobuf of up to 42 bytes is its own id */
    PEER_ID_ANY_TEXT_SIZE = 64 /* the text of such a one, with its end */
};

/** The binary PeerId of a public key. */
void peer_id_of_key(const uint8_t key[PEER_ID_KEY_BYTES], uint8_t ret_id[PEER_ID_BYTES]);

/** The key that @id names. Errors: -ENOTSUP another peer's than one with an Ed25519 key. */
int peer_id_key(struct bytes id, uint8_t ret_key[PEER_ID_KEY_BYTES]) MUST_CHECK;

/** The text of a binary PeerId. Returns @ret_text. */
const char *peer_id_text(const uint8_t id[PEER_ID_BYTES], char ret_text[PEER_ID_TEXT_SIZE]);

/**
 * Reads a text of any form: base58 ("12D3KooW…"), or a CID in any base of proto/multibase.h
 * ("bafzaaj…"). Errors: -EBADMSG it is no peer's; -ENOTSUP its key is not Ed25519.
 */
int peer_id_parse(struct bytes text, uint8_t ret_id[PEER_ID_BYTES]) MUST_CHECK;

/** Whether @id can be that of a peer with a key of any kind. */
bool peer_id_any_valid(struct bytes id);
/** The text of such a one. Returns @ret_text. */
const char *peer_id_any_text(struct bytes id, char ret_text[PEER_ID_ANY_TEXT_SIZE]);
/** As peer_id_parse(), of a key of any kind; returns the length of the id. Errors: -EBADMSG. */
int peer_id_any_parse(struct bytes text, uint8_t ret_id[PEER_ID_ANY_MAX]) MUST_CHECK;

#endif
