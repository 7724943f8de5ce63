#include "fs/mount/virtual_priv.h"

#include <errno.h>
#include <stdlib.h>

#include "fs/space/space.h"

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
int virtual_find(struct virtual *v, uint64_t node, struct history_view *view, struct buf *path,
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
    struct virtual *v = virtual_of(req);
    struct fuse_entry_param e = {.ino = node};
    int rc = fill(v, node, view, &e.attr);
    if (rc < 0)
        ll_reply(req, rc);
    else if (fuse_reply_entry(req, &e) == 0)
        return;
    virtual_nodes_forget(v->nodes, node, 1);
}

/* ---- names ---- */

static int enter(struct virtual *v, const struct virtual_job *j, uint64_t *ret,
                 struct history_view *view)
{
    CLEANUP(buf_fini) struct buf path = {0};
    const struct history_view *dir;
    int rc = virtual_find(v, j->node, view, &path, &dir);
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

static void run_lookup(struct virtual *v, struct virtual_job *j)
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
    if (virtual_is_top(dir, name)) {
        reply_entry(req, VIRTUAL_BIT | VIRTUAL_TOP, NULL);
    } else if (!virtual_is(dir)) {
        ll_ops.lookup(req, dir, name);
    } else if (dir == (VIRTUAL_BIT | VIRTUAL_TOP)) {
        lookup_fixed(req, name);
    } else {
        struct virtual_job *j = virtual_job_new(req, dir, name, run_lookup);
        if (j != NULL)
            virtual_job_add(j);
    }
}

static void do_forget(fuse_req_t req, fuse_ino_t node, uint64_t n)
{
    if (!virtual_is(node)) {
        ll_ops.forget(req, node, n);
        return;
    }
    virtual_nodes_forget(virtual_of(req)->nodes, node, n);
    fuse_reply_none(req);
}

static void do_forget_multi(fuse_req_t req, size_t n, struct fuse_forget_data *forgets)
{
    size_t to = 0;
    for (size_t i = 0; i < n; i++)
        if (virtual_is(forgets[i].ino))
            virtual_nodes_forget(virtual_of(req)->nodes, forgets[i].ino, forgets[i].nlookup);
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
    int rc = virtual_find(virtual_of(req), node, &view, &path, &seen);
    if (rc == 0)
        rc = fill(virtual_of(req), node, seen, &st);
    if (rc < 0)
        ll_reply(req, rc);
    else
        fuse_reply_attr(req, &st, 0);
}

int virtual_list_top(struct buf *ret)
{
    for (size_t i = 0; i < ARRAY_N(fixed); i++) {
        buf_put_u8(ret, fixed[i].type == S_IFREG);
        buf_put_u8(ret, (uint8_t)strlen(fixed[i].name));
        buf_put_bytes(ret, bytes_str(fixed[i].name));
    }
    return buf_status(ret);
}

/* ---- requests ---- */

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
    .setattr = virtual_setattr,
    .readlink = virtual_readlink,
    .mknod = virtual_mknod,
    .mkdir = virtual_mkdir,
    .unlink = virtual_unlink,
    .rmdir = virtual_rmdir,
    .symlink = virtual_symlink,
    .rename = virtual_rename,
    .link = virtual_link,
    .open = virtual_open,
    .create = virtual_create,
    .release = virtual_release,
    .read = virtual_read,
    .write = virtual_write,
    .fsync = virtual_fsync,
    .fsyncdir = virtual_fsync,
    .opendir = ll_opendir,
    .readdir = virtual_readdir,
    .readdirplus = virtual_readdirplus,
    .setxattr = virtual_setxattr,
    .getxattr = virtual_getxattr,
    .listxattr = virtual_listxattr,
    .removexattr = virtual_removexattr,
    .fallocate = virtual_fallocate,
    .lseek = virtual_lseek,
    .copy_file_range = virtual_copy_file_range,
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
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&v->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    v->nodes = virtual_nodes_new();
    int rc = v->nodes == NULL ? -ENOMEM : -pthread_create(&v->thread, NULL, virtual_work, v);
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
    virtual_take_later(v);
    while (v->first != NULL) {
        struct virtual_job *j = v->first;
        v->first = j->next;
        ll_reply(j->req, -ENODEV);
        free(j);
    }
    while (v->handles.next != &v->handles)
        virtual_handle_remove(v, v->handles.next);
    for (size_t i = 0; i < VIRTUAL_LISTINGS; i++)
        buf_fini(&v->listings[i].names);
    virtual_nodes_free(v->nodes);
    pthread_cond_destroy(&v->wake);
    pthread_mutex_destroy(&v->lock);
    free(v);
}
