/*
 * proto/sealed/chunk - a piece of content under the keys of an epoch.
 *
 *   id      keyed hash of the name that the piece has within bodies of content (which is a hash of
 * its bytes under a key of the space); equal pieces have one id within an epoch, none across sealed
 * names (varint n ≤ 1024, 32 each) · nonce 24 · ciphertext + 16 of: length 4 · plaintext · zeros up
 * to 4 KiB; associated data = space · epoch · id · names
 *
 * The names are the chunks that a list chunk refers to, so that a server knows what belongs
 * together; a chunk of content has none. Errors as in keys.h. Thread: any.
 */
#ifndef PROTO_SEALED_CHUNK_H
#define PROTO_SEALED_CHUNK_H

#include "proto/sealed/keys.h"

enum {
    CHUNK_PAD = 4096,
    /* Length and plaintext are padded to 260 KiB at most. */
    CHUNK_SEALED_MAX = 2 + LIMIT_CHUNK_IDS * CHUNK_ID_SIZE + SEAL_NONCE_SIZE + LIMIT_CHUNK +
                       CHUNK_PAD + SEAL_TAG_SIZE,
};

/**
 * The id in an epoch of the piece that bodies name @name. Source: BLAKE2b-256 keyed with the
 * epoch's key for ids.
 */
struct chunk_id chunk_id_of(const struct epoch_keys *k, const uint8_t name[static HASH_SIZE]);

/**
 * Appends the sealed form of @plain (at most LIMIT_CHUNK bytes, asserted), which has the id @id.
 * 0 or -ENOMEM.
 */
int chunk_seal(const struct epoch_keys *k, const struct space_id *space, const struct chunk_id *id,
               struct chunk_ids names, struct bytes plain, struct buf *ret) MUST_CHECK;

/** Reads the names alone, as a server does. The limits are checked. 0 or -EBADMSG. */
int chunk_names(struct bytes sealed, struct chunk_ids *ret) MUST_CHECK;

/**
 * Opens the chunk @id of the epoch of @k into @ret (replaced). The seal binds the id, so only a
 * member can have put something else under it: the caller checks the bytes against the piece's
 * name. 0, -EBADMSG, -ENOMEM.
 */
int chunk_open(const struct epoch_keys *k, const struct space_id *space, const struct chunk_id *id,
               struct bytes sealed, struct buf *ret) MUST_CHECK;

#endif
