/*
 * sync/cli/mount_checks - everything that can be known to go wrong before a folder is mounted.
 *
 * Each check changes nothing, but for a dead mount, which is taken away. Thread: one.
 */
#ifndef SYNC_CLI_MOUNT_CHECKS_H
#define SYNC_CLI_MOUNT_CHECKS_H

#include "sync/cli/session.h"

/**
 * The absolute path of the mount point @path, which must be a directory, not mounted by us, in no
 * folder of ours. A mount whose process died is detached. Errors: -ENOENT, -ENOTDIR, -EACCES,
 * -EBUSY.
 */
int mount_checks_folder(const char *path, struct buf *ret_folder, struct err *err) MUST_CHECK;

/** The state directory and the folder do not contain each other. -EINVAL. */
int mount_checks_home(const struct home *h, const char *folder, struct err *err) MUST_CHECK;

/** Whether the folder has entries: 1, 0, or a negative errno. */
int mount_checks_has_files(const char *folder, struct err *err) MUST_CHECK;

/** Whether FUSE can be used by this user. -ENODEV, -EACCES. */
int mount_checks_fuse(struct err *err) MUST_CHECK;

#endif
