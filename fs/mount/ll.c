/* Names and attributes; the table of operations. */
#include "fs/mount/ll.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "fs/mount/device.h"
#include "fs/mount/ll_priv.h"
#include "proto/base/log.h"

/* ---- replies ---- */

/* Which errno the kernel may see. */
static int visible(int rc)
{
    int e = -rc;
    switch (e) {
    case EUCLEAN:
    case EBADMSG:
        return EIO;
    default:
        return e > 0 && e < 512 ? e : EIO;
    }
}

void ll_reply(fuse_req_t req, int rc)
{
    fuse_reply_err(req, rc < 0 ? visible(rc) : 0);
}

void ll_reply_attr(fuse_req_t req, int rc, const struct attr *a)
{
    if (rc < 0) {
        ll_reply(req, rc);
        return;
    }
    struct stat st;
    attr_stat(a, &st);
    fuse_reply_attr(req, &st, LL_TIMEOUT_S);
}

void ll_entry(const struct attr *a, struct fuse_entry_param *ret)
{
    *ret = (struct fuse_entry_param){
        .ino = a->ino, .attr_timeout = LL_TIMEOUT_S, .entry_timeout = LL_TIMEOUT_S};
    attr_stat(a, &ret->attr);
}

void ll_reply_entry(fuse_req_t req, int rc, const struct attr *a)
{
    struct fuse_entry_param e = {.entry_timeout = LL_TIMEOUT_S};
    if (rc == 0)
        ll_entry(a, &e);
    if (rc < 0)
        ll_reply(req, rc);
    else
        fuse_reply_entry(req, &e);
}

struct tree_new ll_new(fuse_req_t req, mode_t mode)
{
    const struct fuse_ctx *ctx = fuse_req_ctx(req);
    return (struct tree_new){
        .mode = mode, .inherits = true, .umask = ctx->umask, .caller = {ctx->uid, ctx->gid}};
}

static _Thread_local void *scratch;
static _Thread_local size_t scratch_n;

void *ll_scratch(size_t n)
{
    if (n > scratch_n) {
        free(scratch);
        scratch = malloc(n);
        scratch_n = scratch != NULL ? n : 0;
    }
    return scratch;
}

void ll_thread_done(void)
{
    free(scratch);
    scratch = NULL;
    scratch_n = 0;
    tree_thread_done();
}

/* ---- names ---- */

static void ll_lookup(fuse_req_t req, fuse_ino_t dir, const char *name)
{
    struct attr a;
    int rc = tree_lookup(ll_tree(req), dir, bytes_str(name), &a);
    if (rc == -ENOENT) {
        /* Number 0: the kernel remembers that there is no such name. */
        struct fuse_entry_param none = {.entry_timeout = LL_TIMEOUT_S};
        fuse_reply_entry(req, &none);
        return;
    }
    ll_reply_entry(req, rc, &a);
}

static void ll_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
    (void)nlookup; /* the kernel's last reference: it counts better than anybody else could */
    struct tree *t = ll_tree(req);
    fuse_reply_none(req);
    tree_forget(t, ino);
}

static void ll_forget_multi(fuse_req_t req, size_t n, struct fuse_forget_data *forgets)
{
    struct tree *t = ll_tree(req);
    for (size_t i = 0; i < n; i++)
        tree_forget(t, forgets[i].ino);
    fuse_reply_none(req);
}

static void make(fuse_req_t req, fuse_ino_t dir, const char *name, const struct tree_new *what)
{
    struct attr a;
    int rc = tree_make(ll_tree(req), dir, bytes_str(name), what, &a);
    ll_reply_entry(req, rc, &a);
}

static void ll_mknod(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode, dev_t rdev)
{
    struct tree_new what = ll_new(req, mode);
    what.rdev = rdev;
    make(req, dir, name, &what);
}

static void ll_mkdir(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode)
{
    struct tree_new what = ll_new(req, (mode & 07777) | S_IFDIR);
    make(req, dir, name, &what);
}

static void ll_symlink(fuse_req_t req, const char *target, fuse_ino_t dir, const char *name)
{
    struct tree_new what = ll_new(req, S_IFLNK | 0777);
    what.target = bytes_str(target);
    if (what.target.n > 4095)
        ll_reply(req, -ENAMETOOLONG);
    else
        make(req, dir, name, &what);
}

static void ll_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t dir, const char *name)
{
    struct attr a;
    int rc = tree_link(ll_tree(req), ino, dir, bytes_str(name), &a);
    ll_reply_entry(req, rc, &a);
}

static void ll_unlink(fuse_req_t req, fuse_ino_t dir, const char *name)
{
    ll_reply(req, tree_unlink(ll_tree(req), dir, bytes_str(name)));
}

static void ll_rmdir(fuse_req_t req, fuse_ino_t dir, const char *name)
{
    ll_reply(req, tree_rmdir(ll_tree(req), dir, bytes_str(name)));
}

static void ll_rename(fuse_req_t req, fuse_ino_t dir, const char *name, fuse_ino_t new_dir,
                      const char *new_name, unsigned flags)
{
    ll_reply(req,
             tree_rename(ll_tree(req), dir, bytes_str(name), new_dir, bytes_str(new_name), flags));
}

static void ll_readlink(fuse_req_t req, fuse_ino_t ino)
{
    CLEANUP(buf_fini) struct buf target = {0};
    int rc = tree_readlink(ll_tree(req), ino, &target);
    buf_put_u8(&target, 0);
    if (rc == 0)
        rc = buf_status(&target);
    if (rc < 0)
        ll_reply(req, rc);
    else
        fuse_reply_readlink(req, (const char *)target.p);
}

/* ---- attributes ---- */

static void ll_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)fi;
    struct attr a;
    int rc = tree_getattr(ll_tree(req), ino, &a);
    ll_reply_attr(req, rc, &a);
}

static void ll_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int to_set,
                       struct fuse_file_info *fi)
{
    (void)fi;
    static const struct {
        int theirs;
        unsigned ours;
    } flags[] = {
        {FUSE_SET_ATTR_MODE, TREE_SET_MODE},
        {FUSE_SET_ATTR_UID, TREE_SET_UID},
        {FUSE_SET_ATTR_GID, TREE_SET_GID},
        {FUSE_SET_ATTR_SIZE, TREE_SET_SIZE},
        {FUSE_SET_ATTR_ATIME, TREE_SET_ATIME},
        {FUSE_SET_ATTR_MTIME, TREE_SET_MTIME},
        {FUSE_SET_ATTR_ATIME_NOW, TREE_SET_ATIME_NOW},
        {FUSE_SET_ATTR_MTIME_NOW, TREE_SET_MTIME_NOW},
        {FUSE_SET_ATTR_CTIME, TREE_SET_CTIME},
    };
    struct tree_set set = {
        .mode = st->st_mode,
        .uid = st->st_uid,
        .gid = st->st_gid,
        .size = (uint64_t)st->st_size,
        .atime = st->st_atim,
        .mtime = st->st_mtim,
        .ctime = st->st_ctim,
    };
    for (size_t i = 0; i < ARRAY_N(flags); i++)
        if ((to_set & flags[i].theirs) != 0)
            set.what |= flags[i].ours;
    /* A new owner never inherits the rights of the old one's programs. */
    if (device_kills_suid() || (set.what & (TREE_SET_UID | TREE_SET_GID)) != 0)
        set.what |= TREE_SET_KILL_SUID;
    struct attr a;
    int rc = st->st_size < 0 && (to_set & FUSE_SET_ATTR_SIZE) != 0
                 ? -EINVAL
                 : tree_setattr(ll_tree(req), ino, &set, &a);
    ll_reply_attr(req, rc, &a);
}

static void ll_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
                        size_t n, int flags)
{
    if (device_kills_sgid())
        flags |= TREE_XATTR_KILL_SGID;
    ll_reply(req, tree_xattr_set(ll_tree(req), ino, bytes_str(name), bytes_of(value, n), flags));
}

/* The size when @max is 0, else the bytes if they fit. */
static void reply_sized(fuse_req_t req, int rc, const struct buf *b, size_t max)
{
    if (rc < 0)
        ll_reply(req, rc);
    else if (max == 0)
        fuse_reply_xattr(req, b->n);
    else if (b->n > max)
        ll_reply(req, -ERANGE);
    else
        fuse_reply_buf(req, (const char *)b->p, b->n);
}

static void ll_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t max)
{
    CLEANUP(buf_fini) struct buf b = {0};
    int rc = tree_xattr_get(ll_tree(req), ino, bytes_str(name), &b);
    reply_sized(req, rc, &b, max);
}

/* Names of "trusted." are root's own. */
static void hide_trusted(struct buf *names)
{
    static const char prefix[] = "trusted.";
    size_t to = 0;
    for (size_t at = 0; at < names->n;) {
        size_t n = strlen((const char *)names->p + at) + 1;
        if (strncmp((const char *)names->p + at, prefix, sizeof prefix - 1) != 0) {
            memmove(names->p + to, names->p + at, n);
            to += n;
        }
        at += n;
    }
    names->n = to;
}

static void ll_listxattr(fuse_req_t req, fuse_ino_t ino, size_t max)
{
    CLEANUP(buf_fini) struct buf b = {0};
    int rc = tree_xattr_list(ll_tree(req), ino, &b);
    if (rc == 0 && fuse_req_ctx(req)->uid != 0)
        hide_trusted(&b);
    reply_sized(req, rc, &b, max);
}

static void ll_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
    ll_reply(req, tree_xattr_remove(ll_tree(req), ino, bytes_str(name)));
}

static void ll_statfs(fuse_req_t req, fuse_ino_t ino)
{
    (void)ino;
    struct tree_usage u;
    int rc = tree_usage(ll_tree(req), &u);
    if (rc < 0) {
        ll_reply(req, rc);
        return;
    }
    struct statvfs v = {
        .f_bsize = u.block_bytes,
        .f_frsize = u.block_bytes,
        .f_blocks = u.blocks,
        .f_bfree = u.free_blocks,
        .f_bavail = u.avail_blocks,
        .f_files = u.files + u.avail_blocks,
        .f_ffree = u.avail_blocks,
        .f_favail = u.avail_blocks,
        .f_namemax = TREE_NAME_MAX,
    };
    fuse_reply_statfs(req, &v);
}

/* ---- the connection ---- */

static void ll_init(void *userdata, struct fuse_conn_info *conn)
{
    (void)userdata;
    device_configure(conn);
}

static void ll_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    ll_fsync(req, ino, datasync, fi);
}

/*
 * Left out on purpose: releasedir (see ll_opendir()), flush (a write that was answered needs none),
 * access (default_permissions).
 */
const struct fuse_lowlevel_ops ll_ops = {
    .init = ll_init,
    .lookup = ll_lookup,
    .forget = ll_forget,
    .forget_multi = ll_forget_multi,
    .getattr = ll_getattr,
    .setattr = ll_setattr,
    .readlink = ll_readlink,
    .mknod = ll_mknod,
    .mkdir = ll_mkdir,
    .unlink = ll_unlink,
    .rmdir = ll_rmdir,
    .symlink = ll_symlink,
    .rename = ll_rename,
    .link = ll_link,
    .open = ll_open,
    .create = ll_create,
    .release = ll_release,
    .read = ll_read,
    .write = ll_write,
    .fsync = ll_fsync,
    .fsyncdir = ll_fsyncdir,
    .opendir = ll_opendir,
    .readdir = ll_readdir,
    .readdirplus = ll_readdirplus,
    .statfs = ll_statfs,
    .setxattr = ll_setxattr,
    .getxattr = ll_getxattr,
    .listxattr = ll_listxattr,
    .removexattr = ll_removexattr,
    .fallocate = ll_fallocate,
    .lseek = ll_lseek,
    .copy_file_range = ll_copy_file_range,
};
