/*
 * fs/space/policies - which merge strategy holds for a file: what the files named .persistpolicy
 * say, the nearest folder's first.
 *
 * They are in force as they were published last, as rules of what is ignored are. One with an error
 * in it says nothing; those above it hold, and then the default.
 */
#ifndef FS_SPACE_POLICIES_H
#define FS_SPACE_POLICIES_H

#include "fs/merge/policy.h"
#include "fs/space/space_priv.h"

#define POLICY_NAME ".persistpolicy"

/* What holds for one file. All zero is valid. */
struct policy_found {
    struct buf path; /* of the file */
    struct strategy how;
    struct policy policy; /* what @how is a view of */
};

/** Finds it for a record that is shown; s->lock is held. -ENOENT: it is not. */
int policies_find(struct space *s, const struct rid *rid, struct policy_found *ret) MUST_CHECK;
void policies_fini(struct policy_found *p);

/**
 * Appends a line, NUL at its end, for each thing that is wrong with the policy of folder @dir (an
 * inode): an error in it, a driver that this device has not or does not allow. Thread: any.
 */
int policies_errors(struct space *s, uint64_t dir, struct buf *ret) MUST_CHECK;

#endif
