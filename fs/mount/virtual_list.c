/* Listings of the folders of .persist. */
#include "fs/mount/virtual_priv.h"

#include <errno.h>
#include <stdlib.h>

enum { NO_INO = -1 };

static int list_now(struct virtual *v, uint64_t node, struct buf *ret)
{
    CLEANUP(buf_fini) struct buf path = {0};
    struct history_view view;
    const struct history_view *dir;
    buf_reset(ret);
    if (node == (VIRTUAL_BIT | VIRTUAL_TOP))
        return virtual_list_top(ret);
    int rc = virtual_find(v, node, &view, &path, &dir);
    return rc < 0 ? rc : history_view_list(v->space, (const char *)path.p, ret);
}

/* The listing that an offset is of; a new one where it begins, or is not known any more. */
static int listing_of(struct virtual *v, uint64_t node, off_t off, struct virtual_listing **ret)
{
    struct virtual_listing *l = NULL;
    for (size_t i = 0; i < VIRTUAL_LISTINGS; i++)
        if (v->listings[i].node == node)
            l = &v->listings[i];
    *ret = l;
    if (l != NULL && off > 0)
        return 0;
    if (l == NULL)
        l = &v->listings[v->next_listing++ % VIRTUAL_LISTINGS];
    *ret = l;
    l->node = 0;
    int rc = list_now(v, node, &l->names);
    l->node = rc == 0 ? node : 0;
    return rc;
}

static size_t add_entry(const struct virtual_job *j, char *p, size_t room, const char *name,
                        bool is_file, off_t off)
{
    struct fuse_entry_param e = {.ino = 0}; /* nothing to be looked up */
    e.attr.st_ino = (ino_t)NO_INO;
    e.attr.st_mode = is_file ? S_IFREG : S_IFDIR;
    return j->plus ? fuse_add_direntry_plus(j->req, p, room, name, &e, off)
                   : fuse_add_direntry(j->req, p, room, name, &e.attr, off);
}

/* An entry's offset is where the one after it begins, with 2 for . and .. */
static void run_list(struct virtual *v, struct virtual_job *j)
{
    struct virtual_listing *l;
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
    struct virtual_job *j = virtual_job_new(req, node, "", run_list);
    if (j == NULL)
        return;
    j->size = size;
    j->off = off;
    j->plus = plus;
    virtual_job_add(j);
}

void virtual_readdir(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
                     struct fuse_file_info *fi)
{
    if (virtual_is(node))
        list(req, node, size, off, false);
    else
        ll_ops.readdir(req, node, size, off, fi);
}

void virtual_readdirplus(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
                         struct fuse_file_info *fi)
{
    if (virtual_is(node))
        list(req, node, size, off, true);
    else
        ll_ops.readdirplus(req, node, size, off, fi);
}
