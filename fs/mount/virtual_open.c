/* Open files of .persist: a handle keeps what was there when it was opened. */
#include "fs/mount/virtual_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/mount/virtual_text.h"
#include "fs/space/sync.h"
#include "fs/store/content.h"

enum { FETCH_MS = 10000 }; /* how long who opens a version waits for its bytes */

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

static void handle_free(struct virtual_handle *h)
{
    if (h->content != NULL)
        content_free(h->content);
    buf_fini(&h->text);
    free(h);
}

static void handle_add(struct virtual *v, struct virtual_handle *h)
{
    pthread_mutex_lock(&v->lock);
    h->prev = &v->handles;
    h->next = v->handles.next;
    h->prev->next = h->next->prev = h;
    pthread_mutex_unlock(&v->lock);
}

void virtual_handle_remove(struct virtual *v, struct virtual_handle *h)
{
    pthread_mutex_lock(&v->lock);
    h->prev->next = h->next;
    h->next->prev = h->prev;
    pthread_mutex_unlock(&v->lock);
    handle_free(h);
}

static int open_now(struct virtual *v, uint64_t node, struct virtual_handle *h)
{
    CLEANUP(buf_fini) struct buf path = {0};
    struct history_view view;
    const struct history_view *seen;
    int rc = virtual_find(v, node, &view, &path, &seen);
    if (rc < 0)
        return rc;
    return seen != NULL ? history_view_open(v->space, seen, &h->content)
                        : take_text(v, node, &h->text);
}

/* Whether there is somebody to fetch from, or will be soon. */
static bool has_server(struct virtual *v)
{
    CLEANUP(buf_fini) struct buf links = {0};
    bool has = false;
    if (space_sync_links(v->space, &links) < 0)
        return false;
    for (size_t i = 0; i < links.n && !has; i += sizeof(struct sync_link)) {
        struct sync_link l;
        memcpy(&l, links.p + i, sizeof l);
        has = l.state == SYNC_LINK_UP || l.state == SYNC_LINK_CONNECTING;
    }
    return has;
}

/* The bytes of a version are not on this device, and are asked for: 0: to be tried again. */
static int wait_for_bytes(struct virtual *v, const struct virtual_job *j)
{
    if (fuse_req_interrupted(j->req))
        return -EINTR;
    if (!has_server(v))
        return -EHOSTDOWN;
    return virtual_now_ms() < j->began_ms + FETCH_MS ? 0 : -ETIMEDOUT;
}

static void run_open(struct virtual *v, struct virtual_job *j)
{
    struct virtual_handle *h = calloc(1, sizeof *h);
    int rc = h == NULL ? -ENOMEM : open_now(v, j->node, h);
    if (rc < 0) {
        free(h);
        rc = rc == -ENODATA ? wait_for_bytes(v, j) : rc;
        j->again = rc == 0;
        if (rc < 0)
            ll_reply(j->req, rc);
        return;
    }
    handle_add(v, h);
    j->fi.fh = (uint64_t)(uintptr_t)h;
    j->fi.direct_io = h->content == NULL; /* its size is not known before */
    j->fi.keep_cache = h->content != NULL;
    j->fi.noflush = 1;
    if (fuse_reply_open(j->req, &j->fi) == -ENOENT)
        virtual_handle_remove(v, h);
}

void virtual_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
    if (!virtual_is(node)) {
        ll_ops.open(req, node, fi);
        return;
    }
    if ((fi->flags & O_ACCMODE) != O_RDONLY || (fi->flags & O_TRUNC) != 0) {
        ll_reply(req, -EROFS);
        return;
    }
    struct virtual_job *j = virtual_job_new(req, node, "", run_open);
    if (j == NULL)
        return;
    j->fi = *fi;
    virtual_job_add(j);
}

static struct virtual_handle *handle_of(const struct fuse_file_info *fi)
{
    return (struct virtual_handle *)(uintptr_t)fi->fh;
}

void virtual_release(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
    if (!virtual_is(node)) {
        ll_ops.release(req, node, fi);
        return;
    }
    virtual_handle_remove(virtual_of(req), handle_of(fi));
    ll_reply(req, 0);
}

void virtual_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
                  struct fuse_file_info *fi)
{
    if (!virtual_is(node)) {
        ll_ops.read(req, node, size, off, fi);
        return;
    }
    const struct virtual_handle *h = handle_of(fi);
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

void virtual_lseek(fuse_req_t req, fuse_ino_t node, off_t off, int whence,
                   struct fuse_file_info *fi)
{
    if (!virtual_is(node)) {
        ll_ops.lseek(req, node, off, whence, fi);
        return;
    }
    const struct virtual_handle *h = handle_of(fi);
    uint64_t size = h->content != NULL ? content_size(h->content) : h->text.n;
    if (off < 0 || (uint64_t)off >= size)
        ll_reply(req, -ENXIO);
    else
        fuse_reply_lseek(req, whence == SEEK_DATA ? off : (off_t)size);
}

void virtual_fsync(fuse_req_t req, fuse_ino_t node, int datasync, struct fuse_file_info *fi)
{
    if (virtual_is(node))
        ll_reply(req, 0);
    else
        ll_ops.fsync(req, node, datasync, fi);
}
