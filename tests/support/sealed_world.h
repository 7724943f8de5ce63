/*
 * tests/support/sealed_world - devices that act on the members of a space, each knowing what it
 * was told. All acts are kept, to be inserted elsewhere in any order. Device 0 makes the space.
 */
#ifndef TESTS_SUPPORT_SEALED_WORLD_H
#define TESTS_SUPPORT_SEALED_WORLD_H

#include "proto/sealed/members.h"

enum { WORLD_DEVICES = 80, WORLD_ACTS = 600 };

struct world {
    struct members *view[WORLD_DEVICES]; /* NULL: has not looked yet */
    struct buf acts[WORLD_ACTS];         /* the genesis is the first */
    size_t n;
    unsigned epochs; /* made: sealed_epoch() of their numbers */
};

void sealed_world_init(struct world *w);
void sealed_world_fini(struct world *w);

struct member_id sealed_world_id(unsigned device);
/** The @i-th replica of a device. */
uint64_t sealed_world_replica(unsigned device, unsigned i);

/** Device @to learns all that @from knows. */
void sealed_world_tell(struct world *w, unsigned from, unsigned to);

/** Completes @a (space, author, number, parents) as @device would and signs it. Index in @acts. */
size_t sealed_world_sign(struct world *w, unsigned device, struct act *a);
/** The same, and the device takes it. */
size_t sealed_world_act(struct world *w, unsigned device, struct act *a);

size_t sealed_world_add(struct world *w, unsigned device, unsigned whom);
size_t sealed_world_own(struct world *w, unsigned device, unsigned i);
/** Revokes @n devices; @cuts may be of none. With an epoch, if wanted, for those that remain. */
size_t sealed_world_revoke(struct world *w, unsigned device, const unsigned *whom, size_t n,
                           struct dots cuts, bool epoch);
size_t sealed_world_epoch(struct world *w, unsigned device);
size_t sealed_world_label(struct world *w, unsigned device, const char *label);
/** Opens door @door: its keys are those of sealed_member(2000 + @door). */
size_t sealed_world_door(struct world *w, unsigned device, unsigned door);
/** @whom joins through @door, having learned what @device knows, which takes the act. */
size_t sealed_world_join(struct world *w, unsigned device, unsigned door, unsigned whom);

/** A hash of all answers of @m about the devices and replicas of a world. */
void sealed_world_answers(const struct members *m, uint8_t ret[static HASH_SIZE]);

/**
 * Inserts all acts behind the genesis in the given order into a new set. Fails the test when not
 * all are taken in the end.
 */
struct members *sealed_world_insert(const struct world *w, const size_t *order);

#endif
