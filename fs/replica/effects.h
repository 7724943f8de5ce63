/*
 * fs/replica/effects - what differs from the last replica_committed(), while changes are made.
 */
#ifndef FS_REPLICA_EFFECTS_H
#define FS_REPLICA_EFFECTS_H

#include "fs/replica/record.h"

/** Remembers what @rec shows, if it is the first time; to be called before its values change. */
int effects_touch(struct replica *r, const struct record *rec) MUST_CHECK;

/** The entry of @slot of record @rid was @from and is @to; NULL: none. */
int effects_entry(struct replica *r, const struct rid *rid, const struct dot *slot,
                  const struct place_name *from, const struct place_name *to) MUST_CHECK;

#endif
