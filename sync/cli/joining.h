/*
 * sync/cli/joining - what `clone` and `pair` do alike: a folder that others have comes to this
 * device. Errors have a message that begins with @what, the command. Thread: one.
 */
#ifndef SYNC_CLI_JOINING_H
#define SYNC_CLI_JOINING_H

#include "sync/cli/session.h"

/**
 * Checks the folder @path as `mount` does, before anything is changed, and opens @s, which makes
 * the state directory. @ret_folder: its absolute path. -ENOTEMPTY; as mount_checks.h,
 * session_open().
 */
int joining_check(const char *path, struct session *s, struct buf *ret_folder,
                  struct err *err) MUST_CHECK;

/**
 * Makes the space of @k at @folder, under @name or, when it is NULL, one that fits the folder. The
 * home is locked, and @s read again, by the caller. -EEXIST: folder, or name, is taken; as
 * spaces_create().
 */
int joining_create(struct session *s, const char *what, const char *folder, const char *name,
                   const struct keyring *k, const struct space_entry **ret,
                   struct err *err) MUST_CHECK;

/** Runs "persist mount FOLDER", as a person would, unless it is mounted. Its exit status. */
int joining_mount(const struct session *s, const char *what, const struct space_entry *e);

/** Runs "persist unmount FOLDER". Its exit status. */
int joining_unmount(const char *what, const struct space_entry *e);

/** Waits until the tree is there. The exit status. */
int joining_first_sync(const struct session *s, const struct space_entry *e);

#endif
