/*
 * sync/cli/resolve - from a path that a person typed to a space and the place in it.
 *
 * Nothing needs to exist below the mount point (paths of deleted files are asked for), and the
 * folder need not be mounted. Symbolic links on the way to it are followed, the last component
 * only where a folder is meant. Thread: one.
 */
#ifndef SYNC_CLI_RESOLVE_H
#define SYNC_CLI_RESOLVE_H

#include <stdbool.h>

#include "sync/cli/spaces.h"

/**
 * Appends to @ret the absolute path @path (relative: to @base) without ".", "..", empty components
 * and a
 * '/' at its end, looking at no file; not terminated.
 */
void resolve_clean(const char *base, const char *path, struct buf *ret);

/**
 * The absolute path of @path with the links of what exists followed; the last component too when
 * @follow_last. Terminated, in @ret. -ENOENT the current directory is gone, -ENOMEM, -EINVAL empty.
 */
int resolve_path(const char *path, bool follow_last, struct buf *ret, struct err *err) MUST_CHECK;

/* A place in a space. */
struct target {
    const struct space_entry *space; /* borrowed from the list */
    struct buf path;                 /* relative to its root, terminated; "" for the root */
};

void target_fini(struct target *t);

/** Places the absolute clean path @path. 0, -ENOENT it is in no space, -ENOMEM. */
int target_place(const struct space_list *l, const char *path, struct target *ret) MUST_CHECK;

/**
 * The space and place of a PATH (@folder false) or FOLDER argument. -ENOENT in no space, and as
 * resolve_path(); the message names @path.
 */
int target_find(const struct space_list *l, const char *path, bool folder, struct target *ret,
                struct err *err) MUST_CHECK;

/** Without an argument: the space of the current directory, else the only one. -EINVAL. */
int target_default(const struct space_list *l, struct target *ret, struct err *err) MUST_CHECK;

/**
 * Takes "PATH@VERSION" apart at the last '@', in place. -EINVAL there is no '@', or nothing on one
 * of its sides.
 */
int target_split_version(char *text, const char **ret_version, struct err *err) MUST_CHECK;

#endif
