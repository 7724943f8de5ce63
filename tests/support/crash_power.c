/* One process serves; nodes are never freed before it ends. */
#define FUSE_USE_VERSION 314
#include "crash_power.h"

#include <errno.h>
#include <fuse_lowlevel.h>
#include <linux/falloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "crash_rand.h"

enum { BLOCK = 4096, DISK_BYTES = 1 << 30, ANSWER_MS = 60000 };

struct entry {
    char *name;
    fuse_ino_t node;
};

/* One block as it is on disk; NULL bytes: zeros, or past the size. */
struct old_block {
    uint64_t index;
    uint8_t *bytes;
};

struct node {
    mode_t mode;
    nlink_t nlink;
    uid_t uid;
    gid_t gid;
    struct timespec atime, mtime;
    uint8_t *data;
    size_t size, cap;
    size_t disk_size; /* on disk */
    uint8_t *dirty;   /* a flag for each block of cap: its disk state is in old */
    struct old_block *old;
    size_t old_n, old_cap;
    struct entry *entries;
    size_t entries_n, entries_cap;
    bool jumps;     /* was written elsewhere than at its end */
    size_t last_op; /* number of the last change of a name that concerns it, 1 for the first */
};

/* A change of names; a rename is one of these. */
struct name_op {
    fuse_ino_t dir, to_dir; /* 0: no such side */
    char *name, *to_name;
    fuse_ino_t node, replaced; /* node: gone from dir, come to to_dir */
};

static struct {
    struct node *nodes; /* by inode number */
    size_t nodes_n, nodes_cap;
    struct name_op *ops;
    size_t ops_n, ops_cap, ops_kept;
    struct crash_rand rand;
} fs;

static void *must(void *p)
{
    if (p == NULL)
        abort();
    return p;
}

static struct node *node_of(fuse_ino_t ino)
{
    return &fs.nodes[ino];
}

static struct timespec now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t;
}

static fuse_ino_t make_node(mode_t mode)
{
    if (fs.nodes_n == fs.nodes_cap) {
        fs.nodes_cap = fs.nodes_cap * 2 + 64;
        fs.nodes = must(realloc(fs.nodes, fs.nodes_cap * sizeof *fs.nodes));
    }
    fs.nodes[fs.nodes_n] = (struct node){.mode = mode, .atime = now(), .mtime = now()};
    return fs.nodes_n++;
}

/* ---- names ---- */

static struct entry *find(fuse_ino_t dir, const char *name)
{
    struct node *d = node_of(dir);
    for (size_t i = 0; i < d->entries_n; i++)
        if (strcmp(d->entries[i].name, name) == 0)
            return &d->entries[i];
    return NULL;
}

static void add(fuse_ino_t dir, const char *name, fuse_ino_t node)
{
    struct node *d = node_of(dir);
    if (d->entries_n == d->entries_cap) {
        d->entries_cap = d->entries_cap * 2 + 16;
        d->entries = must(realloc(d->entries, d->entries_cap * sizeof *d->entries));
    }
    d->entries[d->entries_n++] = (struct entry){must(strdup(name)), node};
    node_of(node)->nlink++;
}

static void drop(fuse_ino_t dir, const char *name)
{
    struct node *d = node_of(dir);
    struct entry *e = find(dir, name);
    if (d == NULL || e == NULL)
        abort();
    node_of(e->node)->nlink--;
    free(e->name);
    *e = d->entries[--d->entries_n];
}

static void note(fuse_ino_t dir, const char *name, fuse_ino_t to_dir, const char *to_name,
                 fuse_ino_t node)
{
    struct entry *over = to_dir != 0 ? find(to_dir, to_name) : NULL;
    if (fs.ops_n == fs.ops_cap) {
        fs.ops_cap = fs.ops_cap * 2 + 64;
        fs.ops = must(realloc(fs.ops, fs.ops_cap * sizeof *fs.ops));
    }
    fs.ops[fs.ops_n++] = (struct name_op){
        .dir = dir,
        .to_dir = to_dir,
        .name = name != NULL ? must(strdup(name)) : NULL,
        .to_name = to_name != NULL ? must(strdup(to_name)) : NULL,
        .node = node,
        .replaced = over != NULL ? over->node : 0,
    };
    const fuse_ino_t all[] = {dir, to_dir, node, over != NULL ? over->node : 0};
    for (size_t i = 0; i < ARRAY_N(all); i++)
        if (all[i] != 0)
            node_of(all[i])->last_op = fs.ops_n;
}

/* Notes a change and does it. */
static void change(fuse_ino_t dir, const char *name, fuse_ino_t to_dir, const char *to_name,
                   fuse_ino_t node)
{
    note(dir, name, to_dir, to_name, node);
    if (to_dir != 0 && fs.ops[fs.ops_n - 1].replaced != 0)
        drop(to_dir, to_name);
    if (to_dir != 0)
        add(to_dir, to_name, node);
    if (dir != 0)
        drop(dir, name);
}

static void undo(const struct name_op *op)
{
    if (op->dir != 0)
        add(op->dir, op->name, op->node);
    if (op->to_dir != 0)
        drop(op->to_dir, op->to_name);
    if (op->replaced != 0)
        add(op->to_dir, op->to_name, op->replaced);
}

/* ---- bytes ---- */

static void grow(struct node *n, size_t size)
{
    if (size <= n->cap)
        return;
    size_t cap = (size + size / 2 + 16 * BLOCK) / BLOCK * BLOCK;
    n->data = must(realloc(n->data, cap));
    memset(n->data + n->cap, 0, cap - n->cap);
    n->dirty = must(realloc(n->dirty, cap / BLOCK));
    memset(n->dirty + n->cap / BLOCK, 0, (cap - n->cap) / BLOCK);
    n->cap = cap;
}

/* Before bytes change: keeps what is on disk of their blocks. */
static void keep_old(struct node *n, size_t from, size_t end)
{
    for (size_t i = from / BLOCK; i * BLOCK < end; i++) {
        if (n->dirty[i])
            continue;
        n->dirty[i] = 1;
        if (n->old_n == n->old_cap) {
            n->old_cap = n->old_cap * 2 + 64;
            n->old = must(realloc(n->old, n->old_cap * sizeof *n->old));
        }
        struct old_block *o = &n->old[n->old_n++];
        *o = (struct old_block){.index = i};
        if (i * BLOCK < n->disk_size) {
            o->bytes = must(malloc(BLOCK));
            memcpy(o->bytes, n->data + i * BLOCK, BLOCK);
        }
    }
}

static void forget_old(struct node *n)
{
    for (size_t i = 0; i < n->old_n; i++) {
        n->dirty[n->old[i].index] = 0;
        free(n->old[i].bytes);
    }
    n->old_n = 0;
    n->disk_size = n->size;
}

static void put(struct node *n, const char *p, size_t size, size_t offset)
{
    n->jumps = n->jumps || offset != n->size;
    grow(n, offset + size);
    keep_old(n, offset, offset + size);
    if (p != NULL)
        memcpy(n->data + offset, p, size);
    else
        memset(n->data + offset, 0, size);
    if (offset + size > n->size)
        n->size = offset + size;
    n->mtime = now();
}

static void resize(struct node *n, size_t size)
{
    grow(n, size);
    n->jumps = n->jumps || size < n->size;
    if (size < n->size) {
        keep_old(n, size, n->size);
        memset(n->data + size, 0, n->size - size);
    }
    n->size = size;
    n->mtime = now();
}

static void sync_node(fuse_ino_t ino)
{
    struct node *n = node_of(ino);
    forget_old(n);
    if (n->last_op > fs.ops_kept)
        fs.ops_kept = n->last_op;
}

static void sync_all(void)
{
    for (size_t i = FUSE_ROOT_ID; i < fs.nodes_n; i++)
        forget_old(&fs.nodes[i]);
    fs.ops_kept = fs.ops_n;
}

/* ---- the cut ---- */

/* The part that was appended since the last sync: the first of it is kept. */
static void cut_appended(struct node *n)
{
    size_t end = n->disk_size + (size_t)crash_below(&fs.rand, n->size - n->disk_size + 1);
    memset(n->data + end, 0, n->cap - end);
    if (crash_chance(&fs.rand, 60))
        n->size = end;
    forget_old(n);
}

static void cut_node(struct node *n)
{
    if (n->data == NULL)
        return;
    if (!n->jumps) {
        cut_appended(n);
        return;
    }
    unsigned kept_percent = (unsigned)crash_below(&fs.rand, 3) * 50; /* none, half, all */
    size_t size = n->size, low = n->disk_size < size ? n->disk_size : size;
    if (crash_chance(&fs.rand, 50))
        size = n->disk_size;
    else if (crash_chance(&fs.rand, 50))
        size = low + (size_t)crash_below(&fs.rand, (n->size > low ? n->size - low : 0) + 1);
    for (size_t i = 0; i < n->old_n; i++) {
        const struct old_block *o = &n->old[i];
        if (crash_chance(&fs.rand, kept_percent))
            continue;
        uint8_t *to = n->data + o->index * BLOCK;
        if (o->bytes != NULL)
            memcpy(to, o->bytes, BLOCK);
        else
            memset(to, 0, BLOCK);
    }
    grow(n, size);
    memset(n->data + size, 0, n->cap - size);
    n->size = size;
    forget_old(n);
}

static void cut(uint64_t seed)
{
    fs.rand.s = seed;
    size_t kept = fs.ops_kept + (size_t)crash_below(&fs.rand, fs.ops_n - fs.ops_kept + 1);
    while (fs.ops_n > kept)
        undo(&fs.ops[--fs.ops_n]);
    for (size_t i = FUSE_ROOT_ID; i < fs.nodes_n; i++) {
        cut_node(&fs.nodes[i]);
        fs.nodes[i].last_op = 0;
    }
    fs.ops_n = fs.ops_kept = 0;
}

/* ---- FUSE ---- */

static void stat_of(fuse_ino_t ino, struct stat *ret)
{
    const struct node *n = node_of(ino);
    *ret = (struct stat){.st_ino = ino,
                         .st_mode = n->mode,
                         .st_nlink = S_ISDIR(n->mode) ? 2 : n->nlink,
                         .st_uid = n->uid,
                         .st_gid = n->gid,
                         .st_size = (off_t)n->size,
                         .st_blksize = BLOCK,
                         .st_blocks = (blkcnt_t)(n->size + 511) / 512,
                         .st_atim = n->atime,
                         .st_mtim = n->mtime,
                         .st_ctim = n->mtime};
}

static void entry_of(fuse_ino_t ino, struct fuse_entry_param *e)
{
    *e = (struct fuse_entry_param){.ino = ino, .attr_timeout = 60, .entry_timeout = 60};
    stat_of(ino, &e->attr);
}

static void reply_entry(fuse_req_t req, fuse_ino_t ino)
{
    struct fuse_entry_param e;
    entry_of(ino, &e);
    fuse_reply_entry(req, &e);
}

static void do_lookup(fuse_req_t req, fuse_ino_t dir, const char *name)
{
    const struct entry *e = find(dir, name);
    if (e == NULL)
        fuse_reply_err(req, ENOENT);
    else
        reply_entry(req, e->node);
}

static void do_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)fi;
    struct stat st;
    stat_of(ino, &st);
    fuse_reply_attr(req, &st, 60);
}

static void do_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int what,
                       struct fuse_file_info *fi)
{
    struct node *n = node_of(ino);
    if ((what & FUSE_SET_ATTR_SIZE) != 0)
        resize(n, (size_t)st->st_size);
    if ((what & FUSE_SET_ATTR_MODE) != 0)
        n->mode = (n->mode & S_IFMT) | (st->st_mode & 07777);
    if ((what & FUSE_SET_ATTR_UID) != 0)
        n->uid = st->st_uid;
    if ((what & FUSE_SET_ATTR_GID) != 0)
        n->gid = st->st_gid;
    if ((what & FUSE_SET_ATTR_MTIME) != 0)
        n->mtime = (what & FUSE_SET_ATTR_MTIME_NOW) != 0 ? now() : st->st_mtim;
    do_getattr(req, ino, fi);
}

static fuse_ino_t make_in(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode)
{
    const struct fuse_ctx *c = fuse_req_ctx(req);
    fuse_ino_t ino = make_node(mode);
    node_of(ino)->uid = c->uid;
    node_of(ino)->gid = c->gid;
    change(0, NULL, dir, name, ino);
    return ino;
}

static void do_mknod(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode, dev_t rdev)
{
    (void)rdev;
    if (find(dir, name) != NULL)
        fuse_reply_err(req, EEXIST);
    else
        reply_entry(req, make_in(req, dir, name, mode));
}

static void do_mkdir(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode)
{
    do_mknod(req, dir, name, S_IFDIR | mode, 0);
}

static void do_create(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode,
                      struct fuse_file_info *fi)
{
    const struct entry *old = find(dir, name);
    if (old != NULL && (fi->flags & O_EXCL) != 0) {
        fuse_reply_err(req, EEXIST);
        return;
    }
    fuse_ino_t ino = old != NULL ? old->node : make_in(req, dir, name, S_IFREG | (mode & 07777));
    if ((fi->flags & O_TRUNC) != 0)
        resize(node_of(ino), 0);
    struct fuse_entry_param e;
    entry_of(ino, &e);
    fi->keep_cache = 1;
    fuse_reply_create(req, &e, fi);
}

static void do_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    if ((fi->flags & O_TRUNC) != 0)
        resize(node_of(ino), 0);
    fi->keep_cache = 1;
    fuse_reply_open(req, fi);
}

static void do_unlink(fuse_req_t req, fuse_ino_t dir, const char *name)
{
    const struct entry *e = find(dir, name);
    if (e != NULL)
        change(dir, name, 0, NULL, e->node);
    fuse_reply_err(req, e != NULL ? 0 : ENOENT);
}

static void do_rmdir(fuse_req_t req, fuse_ino_t dir, const char *name)
{
    const struct entry *e = find(dir, name);
    if (e != NULL && node_of(e->node)->entries_n > 0)
        fuse_reply_err(req, ENOTEMPTY);
    else
        do_unlink(req, dir, name);
}

static void do_rename(fuse_req_t req, fuse_ino_t dir, const char *name, fuse_ino_t to_dir,
                      const char *to_name, unsigned flags)
{
    const struct entry *from = find(dir, name), *to = find(to_dir, to_name);
    int rc = from == NULL ? ENOENT : 0;
    if (rc == 0 && flags == RENAME_NOREPLACE && to != NULL)
        rc = EEXIST;
    else if (rc == 0 && (flags & ~(unsigned)RENAME_NOREPLACE) != 0)
        rc = EINVAL;
    else if (rc == 0 && to != NULL && node_of(to->node)->entries_n > 0)
        rc = ENOTEMPTY;
    if (rc == 0 && (to == NULL || to->node != from->node))
        change(dir, name, to_dir, to_name, from->node);
    fuse_reply_err(req, rc);
}

static void do_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t dir, const char *name)
{
    if (find(dir, name) != NULL) {
        fuse_reply_err(req, EEXIST);
        return;
    }
    change(0, NULL, dir, name, ino);
    reply_entry(req, ino);
}

static void do_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                    struct fuse_file_info *fi)
{
    (void)fi;
    const struct node *n = node_of(ino);
    size_t at = (size_t)off, k = at >= n->size ? 0 : n->size - at < size ? n->size - at : size;
    fuse_reply_buf(req, k == 0 ? NULL : (const char *)n->data + at, k);
}

static void do_write(fuse_req_t req, fuse_ino_t ino, const char *p, size_t size, off_t off,
                     struct fuse_file_info *fi)
{
    (void)fi;
    put(node_of(ino), p, size, (size_t)off);
    fuse_reply_write(req, size);
}

static void do_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
                         struct fuse_file_info *fi)
{
    (void)fi;
    struct node *n = node_of(ino);
    size_t from = (size_t)off, end = (size_t)off + (size_t)len;
    if ((mode & FALLOC_FL_PUNCH_HOLE) != 0 && from < n->size)
        put(n, NULL, (end < n->size ? end : n->size) - from, from);
    else if (mode == 0 && end > n->size)
        resize(n, end);
    fuse_reply_err(req, 0);
}

static void do_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)datasync;
    (void)fi;
    sync_node(ino);
    fuse_reply_err(req, 0);
}

static void do_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                       struct fuse_file_info *fi)
{
    (void)fi;
    const struct node *d = node_of(ino);
    char *p = must(malloc(size));
    size_t n = 0;
    for (size_t i = (size_t)off; i < d->entries_n + 2; i++) {
        const char *name = i == 0 ? "." : i == 1 ? ".." : d->entries[i - 2].name;
        struct stat st = {.st_ino = i < 2 ? ino : d->entries[i - 2].node};
        st.st_mode = i < 2 ? S_IFDIR : node_of(st.st_ino)->mode;
        size_t k = fuse_add_direntry(req, p + n, size - n, name, &st, (off_t)i + 1);
        if (k > size - n)
            break;
        n += k;
    }
    fuse_reply_buf(req, p, n);
    free(p);
}

static void do_statfs(fuse_req_t req, fuse_ino_t ino)
{
    (void)ino;
    struct statvfs v = {.f_bsize = BLOCK,
                        .f_frsize = BLOCK,
                        .f_blocks = DISK_BYTES / BLOCK,
                        .f_bfree = DISK_BYTES / BLOCK / 2,
                        .f_bavail = DISK_BYTES / BLOCK / 2,
                        .f_namemax = 255};
    fuse_reply_statfs(req, &v);
}

static const struct fuse_lowlevel_ops ops = {
    .lookup = do_lookup,
    .getattr = do_getattr,
    .setattr = do_setattr,
    .mknod = do_mknod,
    .mkdir = do_mkdir,
    .create = do_create,
    .open = do_open,
    .unlink = do_unlink,
    .rmdir = do_rmdir,
    .rename = do_rename,
    .link = do_link,
    .read = do_read,
    .write = do_write,
    .fallocate = do_fallocate,
    .fsync = do_fsync,
    .fsyncdir = do_fsync,
    .readdir = do_readdir,
    .statfs = do_statfs,
};

/* ---- the server ---- */

static struct fuse_session *open_session(const char *mount)
{
    char *argv[] = {must(strdup("crash_power")), must(strdup("-oallow_other")),
                    must(strdup("-ofsname=crash_power"))};
    struct fuse_args args = FUSE_ARGS_INIT(3, argv);
    struct fuse_session *se = fuse_session_new(&args, &ops, sizeof ops, NULL);
    for (size_t i = 0; i < ARRAY_N(argv); i++)
        free(argv[i]);
    fuse_opt_free_args(&args);
    if (se != NULL && fuse_session_mount(se, mount) < 0) {
        fuse_session_destroy(se);
        return NULL;
    }
    return se;
}

/* What the test asks for. */
struct command {
    enum { SYNC = 1, CUT } kind;
    uint64_t seed;
};

/*
 * Serves requests of the kernel and, between them, one of the test; false: the mount is gone. A cut
 * that is asked for waits for that.
 */
static bool serve_once(struct fuse_session *se, int fd, struct fuse_buf *buf, struct command *next)
{
    struct pollfd p[] = {{.fd = fuse_session_fd(se), .events = POLLIN},
                         {.fd = next->kind == CUT ? -1 : fd, .events = POLLIN}};
    if (poll(p, ARRAY_N(p), -1) < 0)
        return errno == EINTR;
    if (p[0].revents != 0) {
        int n = fuse_session_receive_buf(se, buf);
        if (n == -EINTR || n == -EAGAIN)
            return true;
        if (n <= 0)
            return false;
        fuse_session_process_buf(se, buf);
        return !fuse_session_exited(se);
    }
    if (p[1].revents == 0)
        return true;
    if (read(fd, next, sizeof *next) != (ssize_t)sizeof *next)
        return false;
    if (next->kind == CUT)
        return true;
    sync_all();
    return write(fd, "s", 1) == 1;
}

static void serve(const char *mount, int fd)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    make_node(0);
    make_node(S_IFDIR | 0700);
    for (;;) {
        struct fuse_session *se = open_session(mount);
        struct fuse_buf buf = {0};
        struct command next = {.kind = SYNC};
        if (se == NULL || write(fd, "m", 1) != 1)
            _exit(1);
        while (serve_once(se, fd, &buf, &next))
            ;
        fuse_session_destroy(se);
        free(buf.mem);
        while (next.kind != CUT)
            if (read(fd, &next, sizeof next) != (ssize_t)sizeof next)
                _exit(0);
        cut(next.seed);
    }
}

static bool answers(struct crash_power *p)
{
    char c;
    struct pollfd f = {.fd = p->fd, .events = POLLIN};
    return poll(&f, 1, ANSWER_MS) == 1 && read(p->fd, &c, 1) == 1;
}

bool crash_power_start(struct crash_power *p, const char *mount)
{
    int fds[2];
    snprintf(p->mount, sizeof p->mount, "%s", mount);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
        return false;
    p->server = fork();
    if (p->server == 0) {
        close(fds[0]);
        serve(mount, fds[1]);
    }
    close(fds[1]);
    p->fd = fds[0];
    return p->server > 0 && answers(p);
}

bool crash_power_sync(struct crash_power *p)
{
    struct command c = {.kind = SYNC};
    return write(p->fd, &c, sizeof c) == (ssize_t)sizeof c && answers(p);
}

bool crash_power_cut(struct crash_power *p, uint64_t seed)
{
    if (umount2(p->mount, 0) < 0)
        return false;
    struct command c = {.kind = CUT, .seed = seed};
    return write(p->fd, &c, sizeof c) == (ssize_t)sizeof c && answers(p);
}

void crash_power_stop(struct crash_power *p)
{
    umount2(p->mount, MNT_DETACH);
    close(p->fd);
    if (p->server > 0)
        waitpid(p->server, NULL, 0);
}
