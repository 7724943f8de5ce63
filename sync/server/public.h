/*
 * sync/server/public - the part of entries, chunks and acts that a server can read, and their
 * limits.
 *
 * A server has no key: it checks what it needs to store an entry where it belongs, not whether it
 * is true. An entry:
 *   epoch 16 · version 1 · kind 1 · flags 2 (0) · space 16 · replica 8 · counter 8 · stamp 8 ·
 *   hash of refs 32 · hash of body 32 · refs · index 2 · depth 1 (≤ 8) · path 32·depth ·
 *   signature 64 · nonce 24 · ciphertext + 16
 *   refs: act heads (varint n ≤ 16, 16 each) · replaced dots (n ≤ 64, 16 each) · chunks (n ≤ 1024,
 *   32 each); of a STATE act heads alone
 * A chunk: the chunks that a list names (varint n ≤ 1024, 32 each) · nonce 24 · ciphertext + 16
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
    /* Names, plaintext and its padding, nonce and tag. */
    PUBLIC_CHUNK_MAX = 2 + PUBLIC_CHUNK_IDS_MAX * PUBLIC_CHUNK_BYTES + (256 << 10) + 4096 + 40,
};

enum public_kind { PUBLIC_VALUE = 1, PUBLIC_STATE = 2 };

/* Ids, one after the other. */
struct public_ids {
    const uint8_t *p;
    size_t n;
};

static inline const uint8_t *public_ids_at(struct public_ids ids, size_t i)
{
    return ids.p + i * PUBLIC_CHUNK_BYTES;
}

/* Views borrow from what was parsed. */
struct public_entry {
    enum public_kind kind;
    uint8_t space[PUBLIC_SPACE_BYTES];
    struct dot dot; /* of a STATE the counter numbers the STATEs */
    struct dots replaced;
    struct public_ids chunks;
};

/** -EBADMSG; -ENOTSUP another version. */
int public_entry_parse(struct bytes in, struct public_entry *ret) MUST_CHECK;

/** The chunks that a sealed chunk names: none, unless it is a list. -EBADMSG. */
int public_chunk_parse(struct bytes in, struct public_ids *ret) MUST_CHECK;

/** The id of an act; that of a genesis act is the id of its space. */
void public_act_id(struct bytes act, uint8_t ret[static PUBLIC_ACT_BYTES]);

#endif
