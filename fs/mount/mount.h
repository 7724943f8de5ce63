/*
 * fs/mount/mount - serves one folder: opens the space's database and answers the kernel's FUSE
 * requests until the folder is unmounted. Runs in the mount process, after it went to the
 * background.
 */
#ifndef FS_MOUNT_MOUNT_H
#define FS_MOUNT_MOUNT_H

#include <stdbool.h>

#include "proto/base/err.h"

struct space;
struct watch;

struct mount_config {
    struct space *space; /* open; stays the caller's, as the next one does */
    struct watch *watch; /* started, not connected; for this mount alone */
    const char *folder;  /* absolute path of an existing empty directory */
    const char *name;    /* of the space, to show */
    const char *options; /* -o: comma separated FUSE and mount options; may be NULL */
    /* Called once, when it is mounted and before a request is answered: an error ends it. */
    int (*mounted)(void *arg, struct err *err);
    /* Called once, when the folder is usable. */
    void (*ready)(void *arg);
    /* As device_unmount(), for which this process may have no right any more. */
    void (*unmount)(void *arg);
    void *arg;
};

/**
 * Mounts and serves; returns 0 when the folder was unmounted (by anybody) or a SIGTERM, SIGINT or
 * SIGHUP came, with everything published and durable.
 * Errors: -EINVAL unknown option, -ENODEV FUSE is not available, -EPERM, -EBUSY, -EIO.
 */
int mount_serve(const struct mount_config *cfg, struct err *err) MUST_CHECK;

/** Checks -o without mounting. -EINVAL names the first unknown option in @err. */
int mount_check_options(const char *options, struct err *err) MUST_CHECK;

#endif
