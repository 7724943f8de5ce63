#include "fs/mount/virtual.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/mount/ll_priv.h"
#include "fs/mount/virtual_nodes.h"
#include "fs/mount/virtual_text.h"
#include "fs/space/space.h"
#include "fs/store/content.h"

enum { LISTINGS = 4, NO_INO = -1 };

static const struct fixed {
    const char *name;
    uint64_t id;
    uint32_t type;
} fixed[] = {
    {"status", VIRTUAL_BIT | VIRTUAL_STATUS, S_IFREG},
    {"status.json", VIRTUAL_BIT | VIRTUAL_STATUS_JSON, S_IFREG},
    {"conflicts", VIRTUAL_BIT | VIRTUAL_CONFLICTS, S_IFREG},
    {"history", VIRTUAL_BIT | VIRTUAL_HISTORY, S_IFDIR},
};

/* A request that may take long: done by a thread of its own, so that no other one waits. */
struct job {
    struct job *next;
    void (*run)(struct virtual *v, struct job *j);
    fuse_req_t req;
    uint64_t node;
    struct fuse_file_info fi;
    size_t size;
    off_t off;
    bool plus;
    char name[];
};

/* An open file: its bytes as they were then. */
struct handle {
    struct handle *prev, *next;
    struct content *content; /* of a version; NULL: the text */
    struct buf text;
};

/* A folder as it was when its listing began. Of the thread. */
struct listing {
    uint64_t node;
    struct buf names; /* as history_view_list() gives them */
};

struct virtual
{
    struct space *space;
    const char *folder, *name;
    struct timespec began;
    struct virtual_nodes *nodes;
    pthread_t thread;
    pthread_mutex_t lock; /* guards all below but the listings */
    pthread_cond_t wake;
    struct job *first, **last;
    struct handle handles; /* head of the list */
    bool stop;
    struct listing listings[LISTINGS];
    unsigned next_listing;
};

static struct virtual *of(fuse_req_t req)
{
    return ((struct ll *)fuse_req_userdata(req))->virtual;
}

static bool is_top(fuse_ino_t dir, const char *name)
{
    return dir == TREE_ROOT && name[0] == '.' && strcmp(name, ".persist") == 0;
}

/* ---- attributes ---- */

/* Old versions are no more for others than the folder's owner says: they get to see nothing. */
static int fill(struct virtual *v, uint64_t node, const struct history_view *view, struct stat *ret)
{
    struct attr root;
    int rc = tree_getattr(space_tree(v->space), TREE_ROOT, &root);
    bool is_dir = view == NULL ? node == (VIRTUAL_BIT | VIRTUAL_TOP) ||
                                     node == (VIRTUAL_BIT | VIRTUAL_HISTORY)
                               : !view->is_version;
    *ret = (struct stat){.st_ino = node,
                         .st_mode = is_dir ? S_IFDIR | 0500 : S_IFREG | 0400,
                         .st_nlink = 1,
                         .st_uid = root.uid,
                         .st_gid = root.gid,
                         .st_blksize = 4096};
    /* The kernel keeps a listing until this time changes. */
    ret->st_mtim = is_dir ? history_view_time(v->space) : attr_now();
    ret->st_ctim = v->began; /* what makes copies takes another one for a change under its hands */
    if (view != NULL && view->is_version) {
        ret->st_size = (off_t)view->size;
        ret->st_blocks = (blkcnt_t)((view->size + 511) / 512);
        ret->st_mtim = (struct timespec){.tv_sec = view->mtime_ns / 1000000000,
                                         .tv_nsec = view->mtime_ns % 1000000000};
        if (ret->st_mtim.tv_nsec < 0) {
            ret->st_mtim.tv_sec--;
            ret->st_mtim.tv_nsec += 1000000000;
        }
        ret->st_ctim = ret->st_mtim;
    }
    ret->st_atim = ret->st_mtim;
    return rc;
}

/* What a node is: @ret NULL for those that are always there. */
static int find(struct virtual *v, uint64_t node, struct history_view *view, struct buf *path,
                const struct history_view **ret)
{
    *ret = NULL;
    if (node < (VIRTUAL_BIT | VIRTUAL_FIRST)) {
        buf_put_u8(path, 0);
        return buf_status(path);
    }
    *ret = view;
    return virtual_nodes_find(v->nodes, node, view, path);
}

static void reply_entry(fuse_req_t req, uint64_t node, const struct history_view *view)
{
    struct virtual *v = of(req);
    struct fuse_entry_param e = {.ino = node};
    int rc = fill(v, node, view, &e.attr);
    if (rc < 0)
        ll_reply(req, rc);
    else if (fuse_reply_entry(req, &e) == 0)
        return;
    virtual_nodes_forget(v->nodes, node, 1);
}

/* ---- the thread ---- */

static void *work(void *arg)
{
    struct virtual *v = arg;
    pthread_mutex_lock(&v->lock);
    while (!v->stop) {
        struct job *j = v->first;
        if (j == NULL) {
            pthread_cond_wait(&v->wake, &v->lock);
            continue;
        }
        v->first = j->next;
        if (v->first == NULL)
            v->last = &v->first;
        pthread_mutex_unlock(&v->lock);
        j->run(v, j);
        free(j);
        pthread_mutex_lock(&v->lock);
    }
    pthread_mutex_unlock(&v->lock);
    ll_thread_done();
    return NULL;
}

/* NULL after a reply: out of memory. */
static struct job *job_new(fuse_req_t req, uint64_t node, const char *name,
                           void (*run)(struct virtual *v, struct job *j))
{
    size_t n = strlen(name);
    struct job *j = calloc(1, sizeof *j + n + 1);
    if (j == NULL) {
        ll_reply(req, -ENOMEM);
        return NULL;
    }
    j->run = run;
    j->req = req;
    j->node = node;
    memcpy(j->name, name, n);
    return j;
}

static void job_add(struct job *j)
{
    struct virtual *v = of(j->req);
    pthread_mutex_lock(&v->lock);
    *v->last = j;
    v->last = &j->next;
    pthread_cond_signal(&v->wake);
    pthread_mutex_unlock(&v->lock);
}

/* ---- names ---- */

static int enter(struct virtual *v, const struct job *j, uint64_t *ret, struct history_view *view)
{
    CLEANUP(buf_fini) struct buf path = {0};
    const struct history_view *dir;
    int rc = find(v, j->node, view, &path, &dir);
    if (rc == 0 && dir != NULL && dir->is_version)
        rc = -ENOTDIR;
    if (rc == 0)
        rc = history_view_find(v->space, (const char *)path.p, bytes_str(j->name), view);
    if (rc < 0)
        return rc;
    path.n--;
    if (path.n > 0)
        buf_put_u8(&path, '/');
    buf_put_bytes(&path, bytes_str(j->name));
    *ret = buf_status(&path) < 0 ? 0 : virtual_nodes_enter(v->nodes, buf_bytes(&path), view);
    return *ret == 0 ? -ENOMEM : 0;
}

static void run_lookup(struct virtual *v, struct job *j)
{
    struct history_view view;
    uint64_t node;
    int rc = enter(v, j, &node, &view);
    if (rc < 0)
        ll_reply(j->req, rc);
    else
        reply_entry(j->req, node, &view);
}

static void lookup_fixed(fuse_req_t req, const char *name)
{
    for (size_t i = 0; i < ARRAY_N(fixed); i++)
        if (strcmp(fixed[i].name, name) == 0) {
            reply_entry(req, fixed[i].id, NULL);
            return;
        }
    ll_reply(req, -ENOENT);
}

static void do_lookup(fuse_req_t req, fuse_ino_t dir, const char *name)
{
    if (is_top(dir, name)) {
        reply_entry(req, VIRTUAL_BIT | VIRTUAL_TOP, NULL);
    } else if (!virtual_is(dir)) {
        ll_ops.lookup(req, dir, name);
    } else if (dir == (VIRTUAL_BIT | VIRTUAL_TOP)) {
        lookup_fixed(req, name);
    } else {
        struct job *j = job_new(req, dir, name, run_lookup);
        if (j != NULL)
            job_add(j);
    }
}

static void do_forget(fuse_req_t req, fuse_ino_t node, uint64_t n)
{
    if (!virtual_is(node)) {
        ll_ops.forget(req, node, n);
        return;
    }
    virtual_nodes_forget(of(req)->nodes, node, n);
    fuse_reply_none(req);
}

static void do_forget_multi(fuse_req_t req, size_t n, struct fuse_forget_data *forgets)
{
    size_t to = 0;
    for (size_t i = 0; i < n; i++)
        if (virtual_is(forgets[i].ino))
            virtual_nodes_forget(of(req)->nodes, forgets[i].ino, forgets[i].nlookup);
        else
            forgets[to++] = forgets[i];
    ll_ops.forget_multi(req, to, forgets);
}

static void do_getattr(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
    if (!virtual_is(node)) {
        ll_ops.getattr(req, node, fi);
        return;
    }
    CLEANUP(buf_fini) struct buf path = {0};
    struct history_view view;
    const struct history_view *seen;
    struct stat st;
    int rc = find(of(req), node, &view, &path, &seen);
    if (rc == 0)
        rc = fill(of(req), node, seen, &st);
    if (rc < 0)
        ll_reply(req, rc);
    else
        fuse_reply_attr(req, &st, 0);
}

/* ---- listings ---- */

static int list_now(struct virtual *v, uint64_t node, struct buf *ret)
{
    CLEANUP(buf_fini) struct buf path = {0};
    struct history_view view;
    const struct history_view *dir;
    buf_reset(ret);
    if (node == (VIRTUAL_BIT | VIRTUAL_TOP)) {
        for (size_t i = 0; i < ARRAY_N(fixed); i++) {
            buf_put_u8(ret, fixed[i].type == S_IFREG);
            buf_put_u8(ret, (uint8_t)strlen(fixed[i].name));
            buf_put_bytes(ret, bytes_str(fixed[i].name));
        }
        return buf_status(ret);
    }
    int rc = find(v, node, &view, &path, &dir);
    return rc < 0 ? rc : history_view_list(v->space, (const char *)path.p, ret);
}

/* The listing that an offset is of; a new one where it begins, or is not known any more. */
static int listing_of(struct virtual *v, uint64_t node, off_t off, struct listing **ret)
{
    struct listing *l = NULL;
    for (size_t i = 0; i < LISTINGS; i++)
        if (v->listings[i].node == node)
            l = &v->listings[i];
    *ret = l;
    if (l != NULL && off > 0)
        return 0;
    if (l == NULL)
        l = &v->listings[v->next_listing++ % LISTINGS];
    *ret = l;
    l->node = 0;
    int rc = list_now(v, node, &l->names);
    l->node = rc == 0 ? node : 0;
    return rc;
}

static size_t add_entry(const struct job *j, char *p, size_t room, const char *name, bool is_file,
                        off_t off)
{
    struct fuse_entry_param e = {.ino = 0}; /* nothing to be looked up */
    e.attr.st_ino = (ino_t)NO_INO;
    e.attr.st_mode = is_file ? S_IFREG : S_IFDIR;
    return j->plus ? fuse_add_direntry_plus(j->req, p, room, name, &e, off)
                   : fuse_add_direntry(j->req, p, room, name, &e.attr, off);
}

/* An entry's offset is where the one after it begins, with 2 for . and .. */
static void run_list(struct virtual *v, struct job *j)
{
    struct listing *l;
    char *p = malloc(j->size);
    size_t n = 0, more = 0;
    int rc = p == NULL ? -ENOMEM : listing_of(v, j->node, j->off, &l);
    for (off_t i = j->off; rc == 0 && i < 2 && n + more <= j->size; i++) {
        more = add_entry(j, p + n, j->size - n, i == 0 ? "." : "..", false, i + 1);
        n += more <= j->size - n ? more : 0;
    }
    struct reader left = reader_of(rc == 0 ? buf_bytes(&l->names) : bytes_of(NULL, 0));
    while (left.n > 0) {
        char name[256];
        bool is_file = reader_u8(&left) != 0;
        size_t k = reader_u8(&left);
        memcpy(name, reader_bytes(&left, k).p, k);
        name[k] = '\0';
        off_t end = (off_t)(l->names.n - left.n) + 2;
        if (end <= j->off)
            continue;
        more = add_entry(j, p + n, j->size - n, name, is_file, end);
        if (more > j->size - n)
            break;
        n += more;
    }
    if (rc < 0)
        ll_reply(j->req, rc);
    else
        fuse_reply_buf(j->req, p, n);
    free(p);
}

static void list(fuse_req_t req, fuse_ino_t node, size_t size, off_t off, bool plus)
{
    struct job *j = job_new(req, node, "", run_list);
    if (j == NULL)
        return;
    j->size = size;
    j->off = off;
    j->plus = plus;
    job_add(j);
}

static void do_readdir(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
                       struct fuse_file_info *fi)
{
    if (virtual_is(node))
        list(req, node, size, off, false);
    else
        ll_ops.readdir(req, node, size, off, fi);
}

static void do_readdirplus(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
                           struct fuse_file_info *fi)
{
    if (virtual_is(node))
        list(req, node, size, off, true);
    else
        ll_ops.readdirplus(req, node, size, off, fi);
}

/* ---- open files ---- */

static int take_text(struct virtual *v, uint64_t node, struct buf *ret)
{
    bool conflicts = node == (VIRTUAL_BIT | VIRTUAL_CONFLICTS);
    struct verb_call call = {.verb = conflicts ? "conflicts" : "status",
                             .args = {conflicts ? "" : NULL},
                             .args_n = conflicts,
                             .folder = v->folder,
                             .name = v->name,
                             .mounted = true,
                             .json = node == (VIRTUAL_BIT | VIRTUAL_STATUS_JSON),
                             .as_published = true};
    return virtual_text(v->space, &call, ret);
}

static void handle_free(struct handle *h)
{
    if (h->content != NULL)
        content_free(h->content);
    buf_fini(&h->text);
    free(h);
}

static void handle_add(struct virtual *v, struct handle *h)
{
    pthread_mutex_lock(&v->lock);
    h->prev = &v->handles;
    h->next = v->handles.next;
    h->prev->next = h->next->prev = h;
    pthread_mutex_unlock(&v->lock);
}

static void handle_remove(struct virtual *v, struct handle *h)
{
    pthread_mutex_lock(&v->lock);
    h->prev->next = h->next;
    h->next->prev = h->prev;
    pthread_mutex_unlock(&v->lock);
    handle_free(h);
}

static int open_now(struct virtual *v, uint64_t node, struct handle *h)
{
    CLEANUP(buf_fini) struct buf path = {0};
    struct history_view view;
    const struct history_view *seen;
    int rc = find(v, node, &view, &path, &seen);
    if (rc < 0)
        return rc;
    return seen != NULL ? history_view_open(v->space, seen, &h->content)
                        : take_text(v, node, &h->text);
}

static void run_open(struct virtual *v, struct job *j)
{
    struct handle *h = calloc(1, sizeof *h);
    int rc = h == NULL ? -ENOMEM : open_now(v, j->node, h);
    if (rc < 0) {
        free(h);
        ll_reply(j->req, rc);
        return;
    }
    handle_add(v, h);
    j->fi.fh = (uint64_t)(uintptr_t)h;
    j->fi.direct_io = h->content == NULL; /* its size is not known before */
    j->fi.keep_cache = h->content != NULL;
    j->fi.noflush = 1;
    if (fuse_reply_open(j->req, &j->fi) == -ENOENT)
        handle_remove(v, h);
}

static void do_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
    if (!virtual_is(node)) {
        ll_ops.open(req, node, fi);
        return;
    }
    if ((fi->flags & O_ACCMODE) != O_RDONLY || (fi->flags & O_TRUNC) != 0) {
        ll_reply(req, -EROFS);
        return;
    }
    struct job *j = job_new(req, node, "", run_open);
    if (j == NULL)
        return;
    j->fi = *fi;
    job_add(j);
}

static struct handle *handle_of(const struct fuse_file_info *fi)
{
    return (struct handle *)(uintptr_t)fi->fh;
}

static void do_release(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
    if (!virtual_is(node)) {
        ll_ops.release(req, node, fi);
        return;
    }
    handle_remove(of(req), handle_of(fi));
    ll_reply(req, 0);
}

static void do_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
                    struct fuse_file_info *fi)
{
    if (!virtual_is(node)) {
        ll_ops.read(req, node, size, off, fi);
        return;
    }
    const struct handle *h = handle_of(fi);
    if (h->content == NULL) {
        size_t at = min_u64((uint64_t)off, h->text.n);
        fuse_reply_buf(req, (const char *)h->text.p + at, min_u64(size, h->text.n - at));
        return;
    }
    void *p = ll_scratch(size);
    ssize_t n = p == NULL ? -ENOMEM : content_read(h->content, (uint64_t)off, p, size);
    if (n < 0)
        ll_reply(req, (int)n);
    else
        fuse_reply_buf(req, p, (size_t)n);
}

static void do_lseek(fuse_req_t req, fuse_ino_t node, off_t off, int whence,
                     struct fuse_file_info *fi)
{
    if (!virtual_is(node)) {
        ll_ops.lseek(req, node, off, whence, fi);
        return;
    }
    const struct handle *h = handle_of(fi);
    uint64_t size = h->content != NULL ? content_size(h->content) : h->text.n;
    if (off < 0 || (uint64_t)off >= size)
        ll_reply(req, -ENXIO);
    else
        fuse_reply_lseek(req, whence == SEEK_DATA ? off : (off_t)size);
}

static void do_fsync(fuse_req_t req, fuse_ino_t node, int datasync, struct fuse_file_info *fi)
{
    if (virtual_is(node))
        ll_reply(req, 0);
    else
        ll_ops.fsync(req, node, datasync, fi);
}

/* ---- what a read-only directory refuses ---- */

static bool refused(fuse_req_t req, bool is_virtual)
{
    if (is_virtual)
        ll_reply(req, -EROFS);
    return is_virtual;
}

static bool in_it(fuse_ino_t dir, const char *name)
{
    return virtual_is(dir) || is_top(dir, name);
}

static void do_setattr(fuse_req_t req, fuse_ino_t node, struct stat *st, int what,
                       struct fuse_file_info *fi)
{
    if (!refused(req, virtual_is(node)))
        ll_ops.setattr(req, node, st, what, fi);
}

static void do_readlink(fuse_req_t req, fuse_ino_t node)
{
    if (virtual_is(node))
        ll_reply(req, -EINVAL);
    else
        ll_ops.readlink(req, node);
}

static void do_mknod(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode, dev_t rdev)
{
    if (!refused(req, virtual_is(dir)))
        ll_ops.mknod(req, dir, name, mode, rdev);
}

static void do_mkdir(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode)
{
    if (!refused(req, virtual_is(dir)))
        ll_ops.mkdir(req, dir, name, mode);
}

static void do_symlink(fuse_req_t req, const char *target, fuse_ino_t dir, const char *name)
{
    if (!refused(req, virtual_is(dir)))
        ll_ops.symlink(req, target, dir, name);
}

static void do_create(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode,
                      struct fuse_file_info *fi)
{
    if (!refused(req, virtual_is(dir)))
        ll_ops.create(req, dir, name, mode, fi);
}

static void do_unlink(fuse_req_t req, fuse_ino_t dir, const char *name)
{
    if (!refused(req, in_it(dir, name)))
        ll_ops.unlink(req, dir, name);
}

static void do_rmdir(fuse_req_t req, fuse_ino_t dir, const char *name)
{
    if (!refused(req, in_it(dir, name)))
        ll_ops.rmdir(req, dir, name);
}

static void do_rename(fuse_req_t req, fuse_ino_t dir, const char *name, fuse_ino_t new_dir,
                      const char *new_name, unsigned flags)
{
    if (!refused(req, in_it(dir, name) || in_it(new_dir, new_name)))
        ll_ops.rename(req, dir, name, new_dir, new_name, flags);
}

static void do_link(fuse_req_t req, fuse_ino_t node, fuse_ino_t dir, const char *name)
{
    if (!refused(req, virtual_is(node) || virtual_is(dir)))
        ll_ops.link(req, node, dir, name);
}

static void do_write(fuse_req_t req, fuse_ino_t node, const char *p, size_t n, off_t off,
                     struct fuse_file_info *fi)
{
    if (!refused(req, virtual_is(node)))
        ll_ops.write(req, node, p, n, off, fi);
}

static void do_fallocate(fuse_req_t req, fuse_ino_t node, int mode, off_t off, off_t n,
                         struct fuse_file_info *fi)
{
    if (!refused(req, virtual_is(node)))
        ll_ops.fallocate(req, node, mode, off, n, fi);
}

static void do_setxattr(fuse_req_t req, fuse_ino_t node, const char *name, const char *value,
                        size_t n, int flags)
{
    if (!refused(req, virtual_is(node)))
        ll_ops.setxattr(req, node, name, value, n, flags);
}

static void do_removexattr(fuse_req_t req, fuse_ino_t node, const char *name)
{
    if (!refused(req, virtual_is(node)))
        ll_ops.removexattr(req, node, name);
}

static void do_getxattr(fuse_req_t req, fuse_ino_t node, const char *name, size_t max)
{
    if (virtual_is(node))
        ll_reply(req, -ENODATA);
    else
        ll_ops.getxattr(req, node, name, max);
}

static void do_listxattr(fuse_req_t req, fuse_ino_t node, size_t max)
{
    if (!virtual_is(node))
        ll_ops.listxattr(req, node, max);
    else if (max == 0)
        fuse_reply_xattr(req, 0);
    else
        fuse_reply_buf(req, NULL, 0);
}

/* The kernel then copies by reading and writing. */
static void do_copy_file_range(fuse_req_t req, fuse_ino_t in, off_t in_off,
                               struct fuse_file_info *in_fi, fuse_ino_t out, off_t out_off,
                               struct fuse_file_info *out_fi, size_t n, int flags)
{
    if (virtual_is(in) || virtual_is(out))
        ll_reply(req, -EOPNOTSUPP);
    else
        ll_ops.copy_file_range(req, in, in_off, in_fi, out, out_off, out_fi, n, flags);
}

static void do_init(void *userdata, struct fuse_conn_info *conn)
{
    ll_ops.init(userdata, conn);
}

static void do_statfs(fuse_req_t req, fuse_ino_t node)
{
    ll_ops.statfs(req, node); /* of the disk: any node will do */
}

const struct fuse_lowlevel_ops virtual_ops = {
    .init = do_init,
    .statfs = do_statfs,
    .lookup = do_lookup,
    .forget = do_forget,
    .forget_multi = do_forget_multi,
    .getattr = do_getattr,
    .setattr = do_setattr,
    .readlink = do_readlink,
    .mknod = do_mknod,
    .mkdir = do_mkdir,
    .unlink = do_unlink,
    .rmdir = do_rmdir,
    .symlink = do_symlink,
    .rename = do_rename,
    .link = do_link,
    .open = do_open,
    .create = do_create,
    .release = do_release,
    .read = do_read,
    .write = do_write,
    .fsync = do_fsync,
    .fsyncdir = do_fsync,
    .opendir = ll_opendir,
    .readdir = do_readdir,
    .readdirplus = do_readdirplus,
    .setxattr = do_setxattr,
    .getxattr = do_getxattr,
    .listxattr = do_listxattr,
    .removexattr = do_removexattr,
    .fallocate = do_fallocate,
    .lseek = do_lseek,
    .copy_file_range = do_copy_file_range,
};

/* ---- life ---- */

int virtual_new(struct space *s, const char *folder, const char *name, struct virtual **ret)
{
    struct virtual *v = calloc(1, sizeof *v);
    if (v == NULL)
        return -ENOMEM;
    *v = (struct virtual){
        .space = s, .folder = folder, .name = name, .began = attr_now(), .last = &v->first};
    v->handles.prev = v->handles.next = &v->handles;
    pthread_mutex_init(&v->lock, NULL);
    pthread_cond_init(&v->wake, NULL);
    v->nodes = virtual_nodes_new();
    int rc = v->nodes == NULL ? -ENOMEM : -pthread_create(&v->thread, NULL, work, v);
    if (rc < 0) {
        virtual_nodes_free(v->nodes);
        free(v);
        return rc;
    }
    *ret = v;
    return 0;
}

void virtual_free(struct virtual *v)
{
    if (v == NULL)
        return;
    pthread_mutex_lock(&v->lock);
    v->stop = true;
    pthread_cond_signal(&v->wake);
    pthread_mutex_unlock(&v->lock);
    pthread_join(v->thread, NULL);
    while (v->first != NULL) {
        struct job *j = v->first;
        v->first = j->next;
        ll_reply(j->req, -ENODEV);
        free(j);
    }
    while (v->handles.next != &v->handles)
        handle_remove(v, v->handles.next);
    for (size_t i = 0; i < LISTINGS; i++)
        buf_fini(&v->listings[i].names);
    virtual_nodes_free(v->nodes);
    pthread_cond_destroy(&v->wake);
    pthread_mutex_destroy(&v->lock);
    free(v);
}
