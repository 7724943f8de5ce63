/*
 * tests/support/sealed_fixture - members, epochs and entries with fixed keys, for tests of what is
 * signed and sealed. Everything is made of a small number, so that two calls give the same.
 */
#ifndef TESTS_SUPPORT_SEALED_FIXTURE_H
#define TESTS_SUPPORT_SEALED_FIXTURE_H

#include "proto/sealed/entry.h"

/** Member @n's keys. Wiped with member_keys_fini(). */
struct member_keys sealed_member(unsigned n);
/** What others know of member @n. */
struct member_public sealed_public(unsigned n);
/** The @n-th epoch's keys. Wiped with epoch_keys_fini(). */
struct epoch_keys sealed_epoch(unsigned n);
/** An id of a space. */
struct space_id sealed_space(unsigned n);

/** A head of a VALUE of replica @replica in space 1. */
struct entry_head sealed_head(uint64_t replica, uint64_t counter);

/** The stored form of one entry, signed alone by member @n. */
void sealed_entry(unsigned n, const struct entry_head *h, const struct entry_refs *refs,
                  struct bytes plain, struct buf *ret);

/**
 * Calls @accepts for @in with each single bit flipped, one after the other. The number of bits
 * with which it returned true.
 */
size_t sealed_flips(struct bytes in, bool (*accepts)(void *ctx, struct bytes in), void *ctx);

#endif
