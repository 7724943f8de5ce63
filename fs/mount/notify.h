/*
 * fs/mount/notify - tells the kernel what changed without it: after changes from other devices were
 * put into the tree, what it has cached of them is invalid.
 */
#ifndef FS_MOUNT_NOTIFY_H
#define FS_MOUNT_NOTIFY_H

struct fuse_session;
struct space;

/** From now on @space's changes from outside invalidate the caches of this session. */
void notify_start(struct space *space, struct fuse_session *se);
void notify_stop(struct space *space);

#endif
