/*
 * fs/mount/device - the connection to the kernel: mounts, and stands between libfuse and /dev/fuse.
 *
 * libfuse 3.14 does not know two flags of the protocol: one saves a request for each write
 * (FUSE_HANDLE_KILLPRIV_V2), one says whether the setting of an ACL clears setgid
 * (FUSE_SETXATTR_EXT). They are added to the reply to FUSE_INIT here, and what the requests then
 * say of it is read from them before libfuse decodes them. Source: linux/fuse.h, protocol 7.33.
 */
#ifndef FS_MOUNT_DEVICE_H
#define FS_MOUNT_DEVICE_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/err.h"

struct fuse_conn_info;
struct fuse_session;

enum {
    DEVICE_WRITE_MAX = 1 << 20,                  /* bytes of one write */
    DEVICE_REQUEST_MAX = DEVICE_WRITE_MAX + 4096 /* the longest request, its head included */
};

/**
 * Mounts @folder and gives the session its descriptor. @options: as mount(8) takes them, for root
 * with mount(2), for others with fusermount3(1).
 * Errors: -ENODEV FUSE is not available, -EPERM, -EBUSY, -EINVAL, -EIO.
 */
int device_mount(struct fuse_session *se, const char *folder, const char *options,
                 struct err *err) MUST_CHECK;

/** Unmounts, at once for new calls; who has files open keeps them until this process ends. */
void device_unmount(const char *folder);

/** More of a file is read ahead than FUSE's 128 KiB, where that may be set. Sends no request. */
void device_read_ahead(const char *folder);

/** What the kernel is to do for this file system: the answer to its FUSE_INIT. */
void device_configure(struct fuse_conn_info *conn);

/** Looks at a request before libfuse does. Thread: the one that will process it. */
void device_look(const void *request, size_t n);

/** Whether the setting of an access ACL under way asks to clear setgid. */
bool device_kills_sgid(void);

/** Whether the request under way asks to clear setuid and setgid: the caller may not keep them. */
bool device_kills_suid(void);

#endif
