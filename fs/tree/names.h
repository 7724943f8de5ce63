/*
 * fs/tree/names - what making, removing and renaming of names share. Not for other folders.
 */
#ifndef FS_TREE_NAMES_H
#define FS_TREE_NAMES_H

#include "fs/tree/tree_priv.h"

/** Adds the directory in which a name is to be made or removed. -ENOENT (removed), -ENOTDIR. */
int names_add_dir(struct op *x, uint64_t dir, struct attr **ret) MUST_CHECK;

/** Whether a name may be given to a file: dirent_check_name(), and -EPERM for a reserved one. */
int names_check(uint64_t dir, struct bytes name) MUST_CHECK;

/**
 * Ends an operation of which @rc is the outcome, and which makes @name of @made: commits it, tells
 * of it, and fills @ret; or aborts it. What it returns is the caller's.
 */
int names_end(struct op *x, int rc, uint64_t dir, struct bytes name, const struct attr *made,
              struct attr *ret) MUST_CHECK;

#endif
