/*
 * proto/hash_many - keyed BLAKE2b-256 of many inputs at once: each lane of the processor's vectors
 * has one of them. Many chunks cost a third of what they cost one after the other.
 */
#ifndef PROTO_HASH_MANY_H
#define PROTO_HASH_MANY_H

#include "proto/hash.h"

/**
 * Gives each of the @n inputs what crypto_generichash() with the key gives it, which needs no
 * particular processor and is what is used where there is none with AVX2. Thread: any.
 */
void hash_many(const uint8_t key[static HASH_SIZE], const struct bytes *in, size_t n,
               uint8_t (*ret)[HASH_SIZE]);

#endif
