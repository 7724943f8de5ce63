/*
 * sync/state/statefile - small files of the state directory: read with suspicion, written whole or
 * not at all.
 *
 * Everything is opened from a directory descriptor and never through a symbolic link. A file must
 * belong to this user and be closed to all others (0600, directories 0700), else -EPERM.
 */
#ifndef SYNC_STATE_STATEFILE_H
#define SYNC_STATE_STATEFILE_H

#include <stdbool.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"

/**
 * Reads a whole file of at most @max bytes into @ret (appended). -ENOENT (no message: often no
 * error), -EPERM owner or mode, -EFBIG, -EIO, -ENOMEM.
 */
int statefile_read(int dir_fd, const char *name, size_t max, struct buf *ret,
                   struct err *err) MUST_CHECK;

/** Like statefile_read(), but others may read it, only not write it: for the configuration. */
int statefile_read_shared(int dir_fd, const char *name, size_t max, struct buf *ret,
                          struct err *err) MUST_CHECK;

/**
 * Writes a file (0600): to a new one beside it, synced, then moved to its name. @fresh: -EEXIST
 * when the name is taken. After an error what was there before is still there.
 */
int statefile_write(int dir_fd, const char *name, struct bytes v, bool fresh,
                    struct err *err) MUST_CHECK;

/**
 * Opens a directory below @dir_fd, after making it (0700) when @create. -ENOENT (no message),
 * -EPERM owner or mode, -ENOTDIR, -EIO.
 */
int statefile_open_dir(int dir_fd, const char *name, bool create, int *ret_fd,
                       struct err *err) MUST_CHECK;

/** Removes a file or a directory and all that is in it; a missing one is no error. */
int statefile_remove_tree(int dir_fd, const char *name, struct err *err) MUST_CHECK;

#endif
