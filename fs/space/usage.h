/*
 * fs/space/usage - how much a space holds, and what it takes.
 */
#ifndef FS_SPACE_USAGE_H
#define FS_SPACE_USAGE_H

#include "fs/space/space_priv.h"

struct usage {
    uint64_t files, folders; /* in the tree now, the root left out; files: all that is no folder */
    uint64_t bytes;          /* of files, as their sizes say */
    uint64_t open_conflicts, siblings;
    uint64_t disk_bytes;   /* of the state directory */
    uint64_t memory_bytes; /* resident in this process */
};

enum { USAGE_POLICIES_MAX = 256 };

/**
 * Counts: one walk over the inodes and one over the names, about a second for a million. @policies
 * (may be NULL) gets the folders that have a .persistpolicy: inodes, uint64_t each, so many at
 * most.
 */
int usage_get(struct space *s, struct usage *ret, struct buf *policies) MUST_CHECK;

#endif
