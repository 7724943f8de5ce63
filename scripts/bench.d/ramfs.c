/*
 * ramfs - a FUSE file system that keeps everything in memory and does no work besides: what it
 * reaches, no other FUSE file system can surpass on this machine. Used by scripts/bench.
 *
 * It takes requests as persist does, with the same settings of the kernel (fs/mount). It keeps no
 * extended attributes, but answers as one that could have them. The attribute "user.requests" of
 * its root counts the requests since the start, one "KIND N" a line.
 */
#define FUSE_USE_VERSION 312
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "fs/mount/device.h"
#include "fs/mount/loop.h"
#include "ramfs_tree.h"

static const double timeout_s = 86400;
static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;

/* ---- the count of requests ---- */

static const char *const kinds[] = {
    [FUSE_LOOKUP] = "LOOKUP",
    [FUSE_FORGET] = "FORGET",
    [FUSE_GETATTR] = "GETATTR",
    [FUSE_SETATTR] = "SETATTR",
    [FUSE_READLINK] = "READLINK",
    [FUSE_SYMLINK] = "SYMLINK",
    [FUSE_MKNOD] = "MKNOD",
    [FUSE_MKDIR] = "MKDIR",
    [FUSE_UNLINK] = "UNLINK",
    [FUSE_RMDIR] = "RMDIR",
    [FUSE_RENAME] = "RENAME",
    [FUSE_LINK] = "LINK",
    [FUSE_OPEN] = "OPEN",
    [FUSE_READ] = "READ",
    [FUSE_WRITE] = "WRITE",
    [FUSE_STATFS] = "STATFS",
    [FUSE_RELEASE] = "RELEASE",
    [FUSE_FSYNC] = "FSYNC",
    [FUSE_SETXATTR] = "SETXATTR",
    [FUSE_GETXATTR] = "GETXATTR",
    [FUSE_LISTXATTR] = "LISTXATTR",
    [FUSE_REMOVEXATTR] = "REMOVEXATTR",
    [FUSE_FLUSH] = "FLUSH",
    [FUSE_OPENDIR] = "OPENDIR",
    [FUSE_READDIR] = "READDIR",
    [FUSE_RELEASEDIR] = "RELEASEDIR",
    [FUSE_FSYNCDIR] = "FSYNCDIR",
    [FUSE_ACCESS] = "ACCESS",
    [FUSE_CREATE] = "CREATE",
    [FUSE_INTERRUPT] = "INTERRUPT",
    [FUSE_IOCTL] = "IOCTL",
    [FUSE_BATCH_FORGET] = "BATCH_FORGET",
    [FUSE_FALLOCATE] = "FALLOCATE",
    [FUSE_READDIRPLUS] = "READDIRPLUS",
    [FUSE_RENAME2] = "RENAME2",
    [FUSE_LSEEK] = "LSEEK",
    [FUSE_COPY_FILE_RANGE] = "COPY_FILE_RANGE",
};
enum { KINDS_N = sizeof kinds / sizeof kinds[0] };

static _Atomic uint64_t requests[KINDS_N];

static void count(void *arg, const void *request, size_t n)
{
    struct fuse_in_header h;
    (void)arg;
    if (n < sizeof h)
        return;
    memcpy(&h, request, sizeof h);
    if (h.opcode < KINDS_N)
        atomic_fetch_add_explicit(&requests[h.opcode], 1, memory_order_relaxed);
}

static size_t print_requests(char *to, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < KINDS_N; i++) {
        uint64_t got = atomic_load(&requests[i]);
        if (got > 0 && kinds[i] != NULL && n < max)
            n += (size_t)snprintf(to + n, max - n, "%s %llu\n", kinds[i], (unsigned long long)got);
    }
    return n < max ? n : max;
}

/* ---- replies ---- */

static void reply(fuse_req_t req, int rc)
{
    fuse_reply_err(req, -rc);
}

/* With the lock held: the kernel learns of @n. */
static struct fuse_entry_param entry_of(struct node *n)
{
    n->lookups++;
    return (struct fuse_entry_param){
        .ino = node_ino(n), .attr = n->st, .attr_timeout = timeout_s, .entry_timeout = timeout_s};
}

static void reply_entry(fuse_req_t req, int rc, const struct fuse_entry_param *e)
{
    if (rc < 0)
        reply(req, rc);
    else
        fuse_reply_entry(req, e);
}

/* ---- names ---- */

static void ram_lookup(fuse_req_t req, fuse_ino_t dir, const char *name)
{
    /* Number 0: the kernel remembers that there is no such name. */
    struct fuse_entry_param e = {.entry_timeout = timeout_s};
    pthread_rwlock_wrlock(&lock);
    struct node *n = name_find(node_of(dir), name);
    if (n != NULL)
        e = entry_of(n);
    pthread_rwlock_unlock(&lock);
    fuse_reply_entry(req, &e);
}

static void ram_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n)
{
    pthread_rwlock_wrlock(&lock);
    node_forget(node_of(ino), n);
    pthread_rwlock_unlock(&lock);
    fuse_reply_none(req);
}

static void ram_forget_multi(fuse_req_t req, size_t n, struct fuse_forget_data *forgets)
{
    pthread_rwlock_wrlock(&lock);
    for (size_t i = 0; i < n; i++)
        node_forget(node_of(forgets[i].ino), forgets[i].nlookup);
    pthread_rwlock_unlock(&lock);
    fuse_reply_none(req);
}

static int make(fuse_req_t req, fuse_ino_t dir, const char *name, struct node_new *what,
                struct fuse_entry_param *ret)
{
    const struct fuse_ctx *ctx = fuse_req_ctx(req);
    what->uid = ctx->uid;
    what->gid = ctx->gid;
    if (!S_ISLNK(what->mode))
        what->mode &= ~ctx->umask;
    struct node *n;
    pthread_rwlock_wrlock(&lock);
    int rc = name_make(node_of(dir), name, what, &n);
    if (rc == 0)
        *ret = entry_of(n);
    pthread_rwlock_unlock(&lock);
    return rc;
}

static void ram_mknod(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode, dev_t rdev)
{
    struct fuse_entry_param e;
    int rc = make(req, dir, name, &(struct node_new){.mode = mode, .rdev = rdev}, &e);
    reply_entry(req, rc, &e);
}

static void ram_mkdir(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode)
{
    struct fuse_entry_param e;
    int rc = make(req, dir, name, &(struct node_new){.mode = (mode & 07777) | S_IFDIR}, &e);
    reply_entry(req, rc, &e);
}

static void ram_symlink(fuse_req_t req, const char *target, fuse_ino_t dir, const char *name)
{
    struct fuse_entry_param e;
    struct node_new what = {.mode = S_IFLNK | 0777, .target = target};
    int rc = make(req, dir, name, &what, &e);
    reply_entry(req, rc, &e);
}

static void ram_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t dir, const char *name)
{
    struct fuse_entry_param e;
    pthread_rwlock_wrlock(&lock);
    int rc = name_link(node_of(ino), node_of(dir), name);
    if (rc == 0)
        e = entry_of(node_of(ino));
    pthread_rwlock_unlock(&lock);
    reply_entry(req, rc, &e);
}

static void remove_name(fuse_req_t req, fuse_ino_t dir, const char *name, bool folder)
{
    pthread_rwlock_wrlock(&lock);
    int rc = name_remove(node_of(dir), name, folder);
    pthread_rwlock_unlock(&lock);
    reply(req, rc);
}

static void ram_unlink(fuse_req_t req, fuse_ino_t dir, const char *name)
{
    remove_name(req, dir, name, false);
}

static void ram_rmdir(fuse_req_t req, fuse_ino_t dir, const char *name)
{
    remove_name(req, dir, name, true);
}

static void ram_rename(fuse_req_t req, fuse_ino_t dir, const char *name, fuse_ino_t to,
                       const char *new_name, unsigned flags)
{
    pthread_rwlock_wrlock(&lock);
    int rc = name_rename(node_of(dir), name, node_of(to), new_name, flags);
    pthread_rwlock_unlock(&lock);
    reply(req, rc);
}

static void ram_readlink(fuse_req_t req, fuse_ino_t ino)
{
    fuse_reply_readlink(req, node_of(ino)->data); /* never changes */
}

/* ---- attributes ---- */

static void ram_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)fi;
    pthread_rwlock_rdlock(&lock);
    struct stat st = node_of(ino)->st;
    pthread_rwlock_unlock(&lock);
    fuse_reply_attr(req, &st, timeout_s);
}

static int set(struct node *n, const struct stat *to, int what)
{
    int rc = (what & FUSE_SET_ATTR_SIZE) != 0 ? node_resize(n, (uint64_t)to->st_size) : 0;
    if (rc < 0)
        return rc;
    node_changed(n, (what & FUSE_SET_ATTR_MTIME_NOW) != 0);
    if ((what & FUSE_SET_ATTR_MODE) != 0)
        n->st.st_mode = (n->st.st_mode & S_IFMT) | (to->st_mode & 07777);
    if ((what & FUSE_SET_ATTR_UID) != 0)
        n->st.st_uid = to->st_uid;
    if ((what & FUSE_SET_ATTR_GID) != 0)
        n->st.st_gid = to->st_gid;
    if ((what & FUSE_SET_ATTR_ATIME_NOW) != 0)
        n->st.st_atim = n->st.st_ctim;
    else if ((what & FUSE_SET_ATTR_ATIME) != 0)
        n->st.st_atim = to->st_atim;
    if ((what & FUSE_SET_ATTR_MTIME_NOW) == 0 && (what & FUSE_SET_ATTR_MTIME) != 0)
        n->st.st_mtim = to->st_mtim;
    return 0;
}

static void ram_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *to, int what,
                        struct fuse_file_info *fi)
{
    (void)fi;
    pthread_rwlock_wrlock(&lock);
    int rc = set(node_of(ino), to, what);
    struct stat st = node_of(ino)->st;
    pthread_rwlock_unlock(&lock);
    if (rc < 0)
        reply(req, rc);
    else
        fuse_reply_attr(req, &st, timeout_s);
}

static void ram_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
                         size_t n, int flags)
{
    (void)ino, (void)name, (void)value, (void)n, (void)flags;
    reply(req, -EOPNOTSUPP);
}

static void ram_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t max)
{
    if (ino != FUSE_ROOT_ID || strcmp(name, "user.requests") != 0) {
        /* Of what cannot be there, as persist does: ls(1) then asks once, not for each file. */
        reply(req, strcmp(name, "security.selinux") == 0 ? -EOPNOTSUPP : -ENODATA);
        return;
    }
    char text[2048];
    size_t n = print_requests(text, sizeof text);
    if (max == 0)
        fuse_reply_xattr(req, n);
    else if (n > max)
        reply(req, -ERANGE);
    else
        fuse_reply_buf(req, text, n);
}

static void ram_listxattr(fuse_req_t req, fuse_ino_t ino, size_t max)
{
    (void)ino;
    if (max == 0)
        fuse_reply_xattr(req, 0);
    else
        fuse_reply_buf(req, NULL, 0);
}

static void ram_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
    (void)ino, (void)name;
    reply(req, -ENODATA);
}

static void ram_statfs(fuse_req_t req, fuse_ino_t ino)
{
    (void)ino;
    enum { MANY = 1 << 24 };
    struct statvfs v = {.f_bsize = 4096,
                        .f_frsize = 4096,
                        .f_blocks = MANY,
                        .f_bfree = MANY,
                        .f_bavail = MANY,
                        .f_files = MANY,
                        .f_ffree = MANY,
                        .f_favail = MANY,
                        .f_namemax = 255};
    fuse_reply_statfs(req, &v);
}

/* ---- open files ---- */

static void opened(struct fuse_file_info *fi)
{
    fi->keep_cache = 1;
    fi->noflush = 1;
}

static int truncate_opened(struct node *n, const struct fuse_file_info *fi)
{
    return (fi->flags & O_TRUNC) != 0 ? node_resize(n, 0) : 0;
}

static void ram_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    pthread_rwlock_wrlock(&lock);
    int rc = truncate_opened(node_of(ino), fi);
    pthread_rwlock_unlock(&lock);
    opened(fi);
    if (rc < 0)
        reply(req, rc);
    else
        fuse_reply_open(req, fi);
}

static void ram_create(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode,
                       struct fuse_file_info *fi)
{
    struct fuse_entry_param e;
    int rc = make(req, dir, name, &(struct node_new){.mode = (mode & 07777) | S_IFREG}, &e);
    if (rc == -EEXIST && (fi->flags & O_EXCL) == 0) {
        pthread_rwlock_wrlock(&lock);
        struct node *n = name_find(node_of(dir), name);
        rc = n != NULL ? truncate_opened(n, fi) : -ENOENT;
        if (rc == 0)
            e = entry_of(n);
        pthread_rwlock_unlock(&lock);
    }
    opened(fi);
    if (rc < 0)
        reply(req, rc);
    else
        fuse_reply_create(req, &e, fi);
}

static void ram_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino, (void)fi;
    reply(req, 0);
}

static void ram_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                     struct fuse_file_info *fi)
{
    (void)fi;
    pthread_rwlock_rdlock(&lock);
    const struct node *n = node_of(ino);
    size_t left = off < n->st.st_size ? (size_t)(n->st.st_size - off) : 0;
    fuse_reply_buf(req, left > 0 ? n->data + off : NULL, left < size ? left : size);
    pthread_rwlock_unlock(&lock);
}

static void ram_write(fuse_req_t req, fuse_ino_t ino, const char *p, size_t size, off_t off,
                      struct fuse_file_info *fi)
{
    (void)fi;
    pthread_rwlock_wrlock(&lock);
    int rc = node_write(node_of(ino), p, size, (uint64_t)off);
    pthread_rwlock_unlock(&lock);
    if (rc < 0)
        reply(req, rc);
    else
        fuse_reply_write(req, size);
}

static void ram_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)ino, (void)datasync, (void)fi;
    reply(req, 0);
}

/* ---- listing ---- */

/* Not there, which the kernel takes for all time, and for the releasing, too. */
static void ram_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino, (void)fi;
    reply(req, -ENOSYS);
}

/* What is at a place of a listing: ".", "..", then the slots. NULL: a gap. */
static struct node *listed(struct node *dir, size_t at, const char **ret_name)
{
    static const char *const dots[] = {".", ".."};
    struct entry *e = at >= 2 ? dir->slots[at - 2] : NULL;
    *ret_name = at < 2 ? dots[at] : e != NULL ? e->name : NULL;
    if (at < 2)
        return at == 0 ? dir : dir->parent;
    return e != NULL ? e->node : NULL;
}

/* With the lock held: the bytes that were put to @p. */
static size_t list_to(fuse_req_t req, struct node *dir, char *p, size_t max, size_t at, bool plus)
{
    size_t n = 0;
    for (; at < dir->slots_n + 2; at++) {
        const char *name;
        struct node *node = listed(dir, at, &name);
        if (node == NULL)
            continue;
        size_t more;
        off_t next = (off_t)at + 1;
        if (plus) {
            struct fuse_entry_param e = entry_of(node);
            if (at < 2)
                e.ino = 0; /* nothing to be looked up */
            more = fuse_add_direntry_plus(req, p + n, max - n, name, &e, next);
            node->lookups -= at < 2 || more > max - n;
        } else
            more = fuse_add_direntry(req, p + n, max - n, name, &node->st, next);
        if (more > max - n)
            break;
        n += more;
    }
    return n;
}

static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, bool plus)
{
    char *p = malloc(size);
    if (p == NULL) {
        reply(req, -ENOMEM);
        return;
    }
    pthread_rwlock_wrlock(&lock);
    size_t n = list_to(req, node_of(ino), p, size, (size_t)off, plus);
    pthread_rwlock_unlock(&lock);
    fuse_reply_buf(req, p, n);
    free(p);
}

static void ram_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                        struct fuse_file_info *fi)
{
    (void)fi;
    list(req, ino, size, off, false);
}

static void ram_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                            struct fuse_file_info *fi)
{
    (void)fi;
    list(req, ino, size, off, true);
}

/* ---- the life of the mount ---- */

static void ram_init(void *userdata, struct fuse_conn_info *conn)
{
    (void)userdata;
    device_configure(conn);
}

static const struct fuse_lowlevel_ops ops = {
    .init = ram_init,
    .lookup = ram_lookup,
    .forget = ram_forget,
    .forget_multi = ram_forget_multi,
    .getattr = ram_getattr,
    .setattr = ram_setattr,
    .readlink = ram_readlink,
    .mknod = ram_mknod,
    .mkdir = ram_mkdir,
    .unlink = ram_unlink,
    .rmdir = ram_rmdir,
    .symlink = ram_symlink,
    .rename = ram_rename,
    .link = ram_link,
    .open = ram_open,
    .create = ram_create,
    .release = ram_release,
    .read = ram_read,
    .write = ram_write,
    .fsync = ram_fsync,
    .fsyncdir = ram_fsync,
    .opendir = ram_opendir,
    .readdir = ram_readdir,
    .readdirplus = ram_readdirplus,
    .statfs = ram_statfs,
    .setxattr = ram_setxattr,
    .getxattr = ram_getxattr,
    .listxattr = ram_listxattr,
    .removexattr = ram_removexattr,
};

static int serve(struct fuse_session *se)
{
    static const struct loop_hooks hooks = {.before = count, .no_disk = true};
    struct loop *loop;
    struct err e;
    setsid();
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; fd++)
        dup2(null, fd);
    int rc = loop_start(se, &hooks, &loop, &e);
    if (rc == 0)
        rc = loop_join(loop);
    fuse_session_destroy(se);
    return rc < 0 ? 1 : 0;
}

int main(int argc, char **argv)
{
    if (argc != 2)
        errx(2, "usage: ramfs FOLDER: mounts it, and serves it in the background");
    mallopt(M_TOP_PAD, 64 << 20); /* fewer calls for memory */
    char name[] = "ramfs", *args_v[] = {name, NULL};
    struct fuse_args args = FUSE_ARGS_INIT(1, args_v);
    struct fuse_session *se = fuse_session_new(&args, &ops, sizeof ops, NULL);
    struct err e = {0};
    if (se == NULL || ramfs_tree_start() < 0)
        errx(1, "out of memory");
    if (device_mount(se, argv[1], "", &e) < 0)
        errx(1, "%s", e.msg);
    pid_t pid = fork();
    if (pid < 0) {
        device_unmount(argv[1]);
        err(1, "fork");
    }
    if (pid == 0)
        return serve(se);
    close(fuse_session_fd(se));
    device_read_ahead(argv[1]); /* answered by the child: it serves when this returns */
    return 0;
}
