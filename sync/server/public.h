/*
 * sync/server/public - the part of entries and acts that a server can read, and their limits.
 *
 * A server has no key: it checks what it needs to store an entry where it belongs, not whether it
 * is true. An entry:
 *   epoch 16 · version 1 · kind 1 · flags 2 (0) · space 16 · replica 8 · counter 8 · stamp 8 ·
 *   hash of refs 32 · hash of body 32 · refs · index 2 · depth 1 (≤ 8) · path 32·depth ·
 *   signature 64 · nonce 24 · ciphertext + 16
 *   refs: act heads (varint n ≤ 16, 16 each) · replaced dots (n ≤ 64, 16 each) · chunks (n ≤ 1024,
 *   32 each); of a STATE act heads alone
 * Thread: any.
 */
#ifndef SYNC_SERVER_PUBLIC_H
#define SYNC_SERVER_PUBLIC_H

#include "proto/hash.h"
#include "proto/id.h"

enum {
    PUBLIC_SPACE_BYTES = 16,
    PUBLIC_ACT_BYTES = 16,
    PUBLIC_CHUNK_BYTES = 32,
    PUBLIC_CHUNK_IDS_MAX = 1024,
    PUBLIC_ENTRY_MAX = 128 << 10,
    PUBLIC_ACT_MAX = 64 << 10,
    /* Plaintext, its padding, and epoch, nonce and tag. */
    PUBLIC_CHUNK_MAX = (256 << 10) + 4096 + 64,
};

enum public_kind { PUBLIC_VALUE = 1, PUBLIC_STATE = 2 };

/* Views borrow from what was parsed. */
struct public_entry {
    enum public_kind kind;
    uint8_t space[PUBLIC_SPACE_BYTES];
    struct dot dot; /* of a STATE the counter numbers the STATEs */
    struct dots replaced;
    const uint8_t *chunks; /* ids, one after the other */
    size_t chunks_n;
};

/** -EBADMSG; -ENOTSUP another version. */
int public_entry_parse(struct bytes in, struct public_entry *ret) MUST_CHECK;

/** The id of an act; that of a genesis act is the id of its space. */
void public_act_id(struct bytes act, uint8_t ret[static PUBLIC_ACT_BYTES]);

#endif
