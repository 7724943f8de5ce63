/*
 * fs/mount/watch - a process beside the mount process that cuts the mount off when that was killed.
 *
 * To forget a name or a page the kernel waits for a lock that a program may hold while it waits for
 * an answer of the mount process; no signal ends such a wait. Is the mount process killed while one
 * of its threads is in it, that thread keeps /dev/fuse open: nobody answers, the kernel sees no
 * dead file system, and folder and programs would hang for ever.
 *
 * The watch is told by the kernel when the main thread has died, and aborts the connection: by its
 * file in fusectl, which belongs to who mounted, or which root can mount; where neither is, it has
 * the unanswered requests sent to a device of its own (Linux 6.9) and refuses them. It has no keys,
 * no files and no plaintext; until then it sleeps.
 */
#ifndef FS_MOUNT_WATCH_H
#define FS_MOUNT_WATCH_H

#include "proto/base/err.h"

struct watch;

/**
 * Starts the process. Called by the main thread while there is no other, and nothing in memory that
 * is not to be shared. @confine is called in it, before all else, to take away what it does not
 * need: files, mounts and namespaces, yes; sockets and programs, no. When that fails there is no
 * watch, which watch_connect() notices. Errors: of fork() and socketpair(), -ENOMEM.
 */
int watch_start(int (*confine)(void), struct watch **ret, struct err *err) MUST_CHECK;

/** What it is to cut off: the connection of @fuse_fd, which is mounted on @folder. -EIO. */
int watch_connect(struct watch *w, int fuse_fd, const char *folder, struct err *err) MUST_CHECK;

/** Ends the process, waits for that, and frees @w; NULL is good. */
void watch_stop(struct watch *w);

#endif
