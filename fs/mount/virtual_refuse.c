/* What .persist refuses, being read-only, or does not have. */
#include "fs/mount/virtual_priv.h"

#include <errno.h>

static bool refused(fuse_req_t req, bool is_virtual)
{
    if (is_virtual)
        ll_reply(req, -EROFS);
    return is_virtual;
}

static bool in_it(fuse_ino_t dir, const char *name)
{
    return virtual_is(dir) || virtual_is_top(dir, name);
}

void virtual_setattr(fuse_req_t req, fuse_ino_t node, struct stat *st, int what,
                     struct fuse_file_info *fi)
{
    if (!refused(req, virtual_is(node)))
        ll_ops.setattr(req, node, st, what, fi);
}

void virtual_readlink(fuse_req_t req, fuse_ino_t node)
{
    if (virtual_is(node))
        ll_reply(req, -EINVAL);
    else
        ll_ops.readlink(req, node);
}

void virtual_mknod(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode, dev_t rdev)
{
    if (!refused(req, virtual_is(dir)))
        ll_ops.mknod(req, dir, name, mode, rdev);
}

void virtual_mkdir(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode)
{
    if (!refused(req, virtual_is(dir)))
        ll_ops.mkdir(req, dir, name, mode);
}

void virtual_symlink(fuse_req_t req, const char *target, fuse_ino_t dir, const char *name)
{
    if (!refused(req, virtual_is(dir)))
        ll_ops.symlink(req, target, dir, name);
}

void virtual_create(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode,
                    struct fuse_file_info *fi)
{
    if (!refused(req, virtual_is(dir)))
        ll_ops.create(req, dir, name, mode, fi);
}

void virtual_unlink(fuse_req_t req, fuse_ino_t dir, const char *name)
{
    if (!refused(req, in_it(dir, name)))
        ll_ops.unlink(req, dir, name);
}

void virtual_rmdir(fuse_req_t req, fuse_ino_t dir, const char *name)
{
    if (!refused(req, in_it(dir, name)))
        ll_ops.rmdir(req, dir, name);
}

void virtual_rename(fuse_req_t req, fuse_ino_t dir, const char *name, fuse_ino_t new_dir,
                    const char *new_name, unsigned flags)
{
    if (!refused(req, in_it(dir, name) || in_it(new_dir, new_name)))
        ll_ops.rename(req, dir, name, new_dir, new_name, flags);
}

void virtual_link(fuse_req_t req, fuse_ino_t node, fuse_ino_t dir, const char *name)
{
    if (!refused(req, virtual_is(node) || virtual_is(dir)))
        ll_ops.link(req, node, dir, name);
}

void virtual_write(fuse_req_t req, fuse_ino_t node, const char *p, size_t n, off_t off,
                   struct fuse_file_info *fi)
{
    if (!refused(req, virtual_is(node)))
        ll_ops.write(req, node, p, n, off, fi);
}

void virtual_fallocate(fuse_req_t req, fuse_ino_t node, int mode, off_t off, off_t n,
                       struct fuse_file_info *fi)
{
    if (!refused(req, virtual_is(node)))
        ll_ops.fallocate(req, node, mode, off, n, fi);
}

void virtual_setxattr(fuse_req_t req, fuse_ino_t node, const char *name, const char *value,
                      size_t n, int flags)
{
    if (!refused(req, virtual_is(node)))
        ll_ops.setxattr(req, node, name, value, n, flags);
}

void virtual_removexattr(fuse_req_t req, fuse_ino_t node, const char *name)
{
    if (!refused(req, virtual_is(node)))
        ll_ops.removexattr(req, node, name);
}

void virtual_getxattr(fuse_req_t req, fuse_ino_t node, const char *name, size_t max)
{
    if (virtual_is(node))
        ll_reply(req, -ENODATA);
    else
        ll_ops.getxattr(req, node, name, max);
}

void virtual_listxattr(fuse_req_t req, fuse_ino_t node, size_t max)
{
    if (!virtual_is(node))
        ll_ops.listxattr(req, node, max);
    else if (max == 0)
        fuse_reply_xattr(req, 0);
    else
        fuse_reply_buf(req, NULL, 0);
}

/* The kernel then copies by reading and writing. */
void virtual_copy_file_range(fuse_req_t req, fuse_ino_t in, off_t in_off,
                             struct fuse_file_info *in_fi, fuse_ino_t out, off_t out_off,
                             struct fuse_file_info *out_fi, size_t n, int flags)
{
    if (virtual_is(in) || virtual_is(out))
        ll_reply(req, -EOPNOTSUPP);
    else
        ll_ops.copy_file_range(req, in, in_off, in_fi, out, out_off, out_fi, n, flags);
}
