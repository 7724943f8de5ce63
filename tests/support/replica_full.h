/*
 * tests/support/replica_full - the tree that a set of values shows, computed from nothing else, by
 * the plainest code there is. It follows the rules of fs/replica/README.md one by one and shares no
 * code with fs/replica but the form of conflict names.
 */
#ifndef TESTS_SUPPORT_REPLICA_FULL_H
#define TESTS_SUPPORT_REPLICA_FULL_H

#include "proto/value.h"

struct full;

/** The label of a replica. */
typedef void (*full_label_fn)(uint64_t replica, char ret[LIMIT_LABEL + 1]);

struct full *full_new(full_label_fn label);
void full_free(struct full *f);

/** Adds a value that a replica holds; copied. */
void full_add(struct full *f, const struct value *v);

/** Derives the tree and appends a line for every shown path, in order: see world_show(). */
void full_show(struct full *f, struct buf *ret);

#endif
