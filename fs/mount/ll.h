/*
 * fs/mount/ll - the FUSE edge: each request of the kernel is one call of fs/tree and one reply.
 * No decisions are taken here. Node ids are inode numbers; file handles hold nothing but whether
 * the file was opened for writing, so a successor of this process can serve them too.
 */
#ifndef FS_MOUNT_LL_H
#define FS_MOUNT_LL_H

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

struct tree;
struct virtual;

/* The user data of the FUSE session. */
struct ll {
    struct tree *tree;
    struct virtual *virtual; /* of virtual.c alone */
    struct fuse_session *se;
};

extern const struct fuse_lowlevel_ops ll_ops;

/** Frees what the calling thread keeps between requests. */
void ll_thread_done(void);

#endif
