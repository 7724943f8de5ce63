/* Open files and their data. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "fs/mount/device.h"
#include "fs/mount/ll_priv.h"

/* All that a handle says. */
enum { HANDLE_READS = 1, HANDLE_WRITES = 2 };

static bool writes(const struct fuse_file_info *fi)
{
    return (fi->flags & O_ACCMODE) != O_RDONLY;
}

/*
 * Content changes only through this kernel or with an invalidation, so it keeps what it has, unless
 * @anew: then it drops the pages when it gets the handle, and asks for the size. (To be told of the
 * attributes of a file that is being opened waits for nobody.)
 */
static void opened(fuse_req_t req, fuse_ino_t ino, bool anew, struct fuse_file_info *fi)
{
    const struct ll *ll = fuse_req_userdata(req);
    fi->fh = writes(fi) ? HANDLE_WRITES : HANDLE_READS;
    fi->keep_cache = !anew;
    fi->noflush = 1;
    if (anew)
        fuse_lowlevel_notify_inval_inode(ll->se, ino, -1, 0);
}

void ll_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct attr a;
    bool truncate = (fi->flags & O_TRUNC) != 0;
    struct tree_set kill = {.what = TREE_SET_KILL_SUID};
    int rc = truncate && device_kills_suid() ? tree_setattr(ll_tree(req), ino, &kill, &a) : 0;
    if (rc == 0)
        rc = tree_open_file(ll_tree(req), ino, writes(fi), truncate, &a);
    if (rc < 0) {
        ll_reply(req, rc);
        return;
    }
    opened(req, ino, rc == 1, fi);
    /* A call that was interrupted has no one to release the handle. */
    if (fuse_reply_open(req, fi) == -ENOENT)
        tree_close_file(ll_tree(req), ino, writes(fi));
}

void ll_create(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode,
               struct fuse_file_info *fi)
{
    struct tree *t = ll_tree(req);
    struct tree_new what = ll_new(req, (mode & 07777) | S_IFREG);
    struct attr a;
    int rc = tree_make(t, dir, bytes_str(name), &what, &a);
    if (rc == -EEXIST && (fi->flags & O_EXCL) == 0)
        rc = tree_lookup(t, dir, bytes_str(name), &a);
    if (rc == 0)
        rc = tree_open_file(t, a.ino, writes(fi), (fi->flags & O_TRUNC) != 0, &a);
    if (rc < 0) {
        ll_reply(req, rc);
        return;
    }
    opened(req, a.ino, rc == 1, fi);
    struct fuse_entry_param e;
    ll_entry(&a, &e);
    if (fuse_reply_create(req, &e, fi) == -ENOENT)
        tree_close_file(t, a.ino, writes(fi));
}

void ll_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct tree *t = ll_tree(req);
    bool writing = fi->fh == HANDLE_WRITES;
    ll_reply(req, 0);
    tree_close_file(t, ino, writing);
}

void ll_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    void *p = ll_scratch(size);
    int64_t n = -ENOMEM;
    if (p != NULL && (fi->flags & O_NOATIME) != 0)
        n = tree_read_unseen(ll_tree(req), ino, (uint64_t)off, p, size);
    else if (p != NULL)
        n = tree_read(ll_tree(req), ino, (uint64_t)off, p, size);
    if (n < 0)
        ll_reply(req, (int)n);
    else
        fuse_reply_buf(req, p, (size_t)n);
}

void ll_write(fuse_req_t req, fuse_ino_t ino, const char *p, size_t n, off_t off,
              struct fuse_file_info *fi)
{
    struct tree_write how = {.offset = (uint64_t)off,
                             .adds = (fi->flags & O_APPEND) != 0,
                             .kill_suid = device_kills_suid()};
    int rc = tree_write(ll_tree(req), ino, bytes_of(p, n), &how);
    if (rc < 0)
        ll_reply(req, rc);
    else
        fuse_reply_write(req, n);
}

void ll_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)datasync;
    (void)fi;
    ll_reply(req, tree_sync_file(ll_tree(req), ino));
}

/*
 * For these calls the protocol does not say whether the caller may keep setuid and setgid: who is
 * not root may not.
 */
static int kill_suid_of_others(fuse_req_t req, fuse_ino_t ino)
{
    struct attr a;
    int rc = tree_getattr(ll_tree(req), ino, &a);
    if (rc < 0 || fuse_req_ctx(req)->uid == 0 || (a.mode & (S_ISUID | S_ISGID)) == 0)
        return rc;
    struct tree_set set = {.what = TREE_SET_KILL_SUID};
    return tree_setattr(ll_tree(req), ino, &set, &a);
}

void ll_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t n,
                  struct fuse_file_info *fi)
{
    (void)fi;
    int rc = off < 0 || n <= 0
                 ? -EINVAL
                 : tree_fallocate(ll_tree(req), ino, mode, (uint64_t)off, (uint64_t)n);
    ll_reply(req, rc < 0 ? rc : kill_suid_of_others(req, ino));
}

void ll_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
    (void)fi;
    int64_t at = off < 0 ? -ENXIO : tree_seek(ll_tree(req), ino, (uint64_t)off, whence);
    if (at < 0)
        ll_reply(req, (int)at);
    else
        fuse_reply_lseek(req, at);
}

void ll_copy_file_range(fuse_req_t req, fuse_ino_t in, off_t in_off, struct fuse_file_info *in_fi,
                        fuse_ino_t out, off_t out_off, struct fuse_file_info *out_fi, size_t n,
                        int flags)
{
    (void)in_fi;
    (void)out_fi;
    int64_t done = flags != 0 || in_off < 0 || out_off < 0
                       ? -EINVAL
                       : tree_copy(ll_tree(req), in, (uint64_t)in_off, out, (uint64_t)out_off, n);
    int rc = done > 0 ? kill_suid_of_others(req, out) : 0;
    if (done < 0 || rc < 0)
        ll_reply(req, done < 0 ? (int)done : rc);
    else
        fuse_reply_write(req, (size_t)done);
}
