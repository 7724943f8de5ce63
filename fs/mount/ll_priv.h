/*
 * fs/mount/ll_priv - what the ll_*.c files share. Not for others.
 */
#ifndef FS_MOUNT_LL_PRIV_H
#define FS_MOUNT_LL_PRIV_H

#include "fs/mount/ll.h"
#include "fs/tree/tree.h"

/* Nothing changes but through this kernel, or with an invalidation: it may keep what it knows. */
#define LL_TIMEOUT_S 86400.0

static inline struct tree *ll_tree(fuse_req_t req)
{
    return ((struct ll *)fuse_req_userdata(req))->tree;
}

/** Replies with an error (a negative errno) or, for 0, with success. */
void ll_reply(fuse_req_t req, int rc);
void ll_reply_attr(fuse_req_t req, int rc, const struct attr *a);
void ll_reply_entry(fuse_req_t req, int rc, const struct attr *a);
void ll_entry(const struct attr *a, struct fuse_entry_param *ret);
/** A file that the caller makes: its own, with its umask. */
struct tree_new ll_new(fuse_req_t req, mode_t mode);
/** A buffer of this thread of at least @n bytes, good until its next use. NULL: out of memory. */
void *ll_scratch(size_t n);

/* ll_dir.c */
void ll_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ll_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void ll_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                    struct fuse_file_info *fi);

/* ll_file.c */
void ll_create(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode,
               struct fuse_file_info *fi);
void ll_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ll_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ll_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void ll_write(fuse_req_t req, fuse_ino_t ino, const char *p, size_t n, off_t off,
              struct fuse_file_info *fi);
void ll_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void ll_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t n,
                  struct fuse_file_info *fi);
void ll_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi);
void ll_copy_file_range(fuse_req_t req, fuse_ino_t in, off_t in_off, struct fuse_file_info *in_fi,
                        fuse_ino_t out, off_t out_off, struct fuse_file_info *out_fi, size_t n,
                        int flags);

#endif
