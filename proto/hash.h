/*
 * proto/hash - keyed BLAKE2b-256 over labelled input, and what the space secret derives.
 *
 * Input begins with a 16 byte ASCII label, zero padded; each part is preceded by its length as 64
 * bits, so that no two lists of parts give one input. Thread: any.
 */
#ifndef PROTO_HASH_H
#define PROTO_HASH_H

#include <sodium.h>

#include "proto/vv.h"

enum { HASH_SIZE = 32, SPACE_SECRET_SIZE = 32 };

/* Derived from the space secret (crypto_kdf, context "psSpace1"); never rotates. */
struct space_keys {
    uint8_t rid[HASH_SIZE];    /* 1: record ids */
    uint8_t equal[HASH_SIZE];  /* 2: equality of content */
    uint8_t gear[HASH_SIZE];   /* 3: the table that places chunk borders */
    uint8_t digest[HASH_SIZE]; /* 4: digest of a replica's state */
    uint8_t chunk[HASH_SIZE];  /* 5: names of chunks within bodies of content */
};

/** Derives the keys. 0, or -EIO when the library cannot start. Wipe them with space_keys_fini(). */
int space_keys_init(struct space_keys *k,
                    const uint8_t secret[static SPACE_SECRET_SIZE]) MUST_CHECK;
void space_keys_fini(struct space_keys *k);

/** Hash of @n parts under @key (32 bytes, or NULL for an unkeyed one) and @label (1 to 16 bytes).
 */
void hash_parts(const uint8_t *key, const char *label, const struct bytes *parts, size_t n,
                uint8_t ret[static HASH_SIZE]);

/** The id of the @generation-th record of @kind made as @name in @parent. */
struct rid hash_rid(const struct space_keys *k, enum kind kind, const struct rid *parent,
                    struct bytes name, uint64_t generation);

/** The id of the conflict sibling of @rid that keeps the saves @from (a set of dots). */
struct rid hash_sibling(const struct space_keys *k, const struct rid *rid, struct dots from);

/* Hash of content by pieces, for equality alone: equal bytes, equal hash. */
struct hash_equal {
    crypto_generichash_state state;
};

void hash_equal_init(struct hash_equal *h, const struct space_keys *k);
void hash_equal_update(struct hash_equal *h, struct bytes piece);
void hash_equal_final(struct hash_equal *h, uint8_t ret[static HASH_SIZE]);
/** The same of content that lies in memory. */
void hash_equal_of(const struct space_keys *k, struct bytes content, uint8_t ret[static HASH_SIZE]);

#endif
