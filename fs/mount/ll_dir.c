/* Listing of directories. */
#include <errno.h>

#include "fs/mount/ll_priv.h"

struct reply {
    fuse_req_t req;
    char *p;
    size_t n, max;
    bool plus;
    /* Entries with one offset (equal hashes of names) are sent together or not at all: else a
     * listing that goes on at that offset would leave the others out. */
    int64_t offset;
    size_t group; /* where the entries of this offset begin */
};

static bool add(void *arg, const struct tree_entry *e)
{
    struct reply *r = arg;
    char name[TREE_NAME_MAX + 1];
    memcpy(name, e->name.p, e->name.n);
    name[e->name.n] = '\0';
    if (e->offset != r->offset) {
        r->offset = e->offset;
        r->group = r->n;
    }
    size_t n;
    if (r->plus) {
        struct fuse_entry_param p;
        ll_entry(e->attr, &p);
        if (e->offset <= 2) /* . and ..: nothing to be looked up */
            p.ino = 0;
        n = fuse_add_direntry_plus(r->req, r->p + r->n, r->max - r->n, name, &p, e->offset);
    } else {
        struct stat st = {.st_ino = e->ino, .st_mode = e->type};
        n = fuse_add_direntry(r->req, r->p + r->n, r->max - r->n, name, &st, e->offset);
    }
    if (n > r->max - r->n) {
        if (r->group > 0)
            r->n = r->group;
        return false;
    }
    r->n += n;
    return true;
}

static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, bool plus)
{
    struct reply r = {.req = req, .p = ll_scratch(size), .max = size, .plus = plus, .offset = -1};
    int rc = r.p == NULL ? -ENOMEM : tree_list(ll_tree(req), ino, off, plus, add, &r);
    if (rc < 0)
        ll_reply(req, rc);
    else
        fuse_reply_buf(req, r.p, r.n);
}

/*
 * Not there, which the kernel takes for all time: it sends neither this nor the releasing of a
 * directory again, and keeps listings in its cache until the directory changes.
 */
void ll_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    (void)fi;
    fuse_reply_err(req, ENOSYS);
}

void ll_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    (void)fi;
    list(req, ino, size, off, false);
}

void ll_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                    struct fuse_file_info *fi)
{
    (void)fi;
    list(req, ino, size, off, true);
}
