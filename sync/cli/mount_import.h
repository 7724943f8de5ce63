/*
 * sync/cli/mount_import - what happens to the files that were in a folder before it became ours.
 *
 * All of them are stored in the space first; then the originals are moved, by renaming, into a
 * directory beside the folder. Thread: one.
 */
#ifndef SYNC_CLI_MOUNT_IMPORT_H
#define SYNC_CLI_MOUNT_IMPORT_H

#include "proto/base/buf.h"
#include "proto/base/err.h"

/** Whether the originals can be moved beside the folder later. -EXDEV a mount of its own, -EACCES.
 */
int mount_import_check(const char *folder, struct err *err) MUST_CHECK;

/**
 * Moves every entry of @folder to a new directory FOLDER.before-persist (or -2, -3, ...), whose
 * path goes to @ret (terminated). After an error what had been moved is back again.
 */
int mount_import_move(const char *folder, struct buf *ret, struct err *err) MUST_CHECK;

#endif
