/*
 * sync/cli/mounts - what the kernel has mounted where, and taking a mount away. Thread: one.
 */
#ifndef SYNC_CLI_MOUNTS_H
#define SYNC_CLI_MOUNTS_H

#include <stdbool.h>
#include <sys/stat.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"

/* The file system type of our mounts in the kernel's table. */
#define MOUNTS_TYPE "fuse.persist"

/* One line of /proc/self/mountinfo, taken apart. */
struct mounts_line {
    struct buf folder; /* unescaped, terminated */
    bool ours;
};

/** -EBADMSG a line that makes no sense, -ENOMEM. Fills @ret, whose buffer is reused. */
int mounts_parse_line(struct bytes line, struct mounts_line *ret) MUST_CHECK;

/** What is mounted on top at exactly @folder: 0 nothing, 1 something else, 2 a persist folder. */
int mounts_at(const char *folder, struct err *err) MUST_CHECK;

/**
 * Whether @path lies in (and is not itself) a persist mount: 0, or 1 with its folder in @ret.
 */
int mounts_around(const char *path, struct buf *ret, struct err *err) MUST_CHECK;

/** stat(), which asks the process of a mount: -ENOTCONN when that is dead; else -errno. */
int mounts_stat(const char *folder, struct stat *ret) MUST_CHECK;

/** Whether @path is @folder or lies below it; both absolute and clean. */
bool mounts_is_below(const char *path, const char *folder);

/**
 * Unmounts; @detach: out of sight at once, whatever still uses it. Errors: -EBUSY in use, -EINVAL
 * not mounted, -EPERM, -ENOENT fusermount3 is needed and missing.
 */
int mounts_unmount(const char *folder, bool detach, struct err *err) MUST_CHECK;

#endif
