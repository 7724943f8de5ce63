/*
 * fs/replica/losers - the entries under conflict names, and which conflict name each has.
 *
 * Conflict names that differ only in '+' at their end are a cluster: one row, decided together.
 * Names of different clusters can never meet.
 */
#ifndef FS_REPLICA_LOSERS_H
#define FS_REPLICA_LOSERS_H

#include "fs/replica/names.h"

struct loser {
    struct rid rid;
    struct dot slot;
    struct stamp stamp;
    struct dot dot;
    struct bytes wanted; /* the name that it claims and does not have */
};

/** Claimant @c of group @g lost, or no longer loses, its name. */
int losers_add(struct replica *r, const struct group *g, const struct claimant *c) MUST_CHECK;
int losers_remove(struct replica *r, const struct group *g, const struct claimant *c) MUST_CHECK;

/** Name @name of @parent was taken or became free: a conflict name may have to give way to it. */
int losers_touch(struct replica *r, const struct rid *parent, struct bytes name) MUST_CHECK;

/** Decides the conflict names of all clusters touched. */
int losers_settle(struct replica *r) MUST_CHECK;

/** Adds a name to a list, unless it is there. @name is borrowed from the arena. */
int place_names_add(struct place_names *l, const struct rid *parent, struct bytes name) MUST_CHECK;

/** Order in which entries are named: directories first, stamp, dot, record id, slot. */
int names_cmp(const struct rid *a_rid, const struct stamp *a_stamp, const struct dot *a_dot,
              const struct dot *a_slot, const struct rid *b_rid, const struct stamp *b_stamp,
              const struct dot *b_dot, const struct dot *b_slot);

#endif
