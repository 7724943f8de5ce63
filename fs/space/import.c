#include "fs/space/import.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/space/ignore.h"
#include "fs/space/import_priv.h"
#include "proto/base/escape.h"

enum { DEPTH_MAX = 512 /* one descriptor each */ };

int import_failed(struct import *m, int code, const char *why)
{
    char shown[300];
    return err_set(m->err, code, "'%s': %s", escape_to(shown, sizeof shown, buf_bytes(&m->path)),
                   why);
}

/* ---- the walk ---- */

struct visit {
    int dir_fd;
    const char *name;
    struct stat st;
};

typedef int (*visit_fn)(struct import *m, const struct visit *v, uint64_t dir, unsigned depth);

/* Calls @fn for the entry @name of @fd; m->path is at it meanwhile, and stays there after an error.
 */
static int visit(struct import *m, int fd, const char *name, uint64_t dir, unsigned depth,
                 visit_fn fn)
{
    struct visit v = {.dir_fd = fd, .name = name};
    size_t n = m->path.n;
    if (n > 0)
        buf_put_u8(&m->path, '/');
    buf_put_bytes(&m->path, bytes_str(name));
    int rc = buf_status(&m->path);
    if (rc == 0 && fstatat(fd, name, &v.st, AT_SYMLINK_NOFOLLOW) < 0)
        rc = import_failed(m, -errno, strerror(errno));
    if (rc == 0)
        rc = fn(m, &v, dir, depth);
    if (rc == 0)
        m->path.n = n;
    return rc;
}

/* Rules come before all else: names that they keep on this device are published when there are
 * none. */
static int visit_rules(struct import *m, int fd, uint64_t dir, unsigned depth, visit_fn fn)
{
    struct stat st;
    if (fstatat(fd, IGNORE_RULES, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
        return 0;
    return visit(m, fd, IGNORE_RULES, dir, depth, fn);
}

/* Calls @fn for each entry. */
static int walk(struct import *m, int fd, uint64_t dir, unsigned depth, visit_fn fn)
{
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = copy < 0 ? NULL : fdopendir(copy);
    if (d == NULL) {
        int rc = import_failed(m, -errno, strerror(errno));
        if (copy >= 0)
            close(copy);
        return rc;
    }
    int rc = visit_rules(m, fd, dir, depth, fn);
    while (rc == 0) {
        errno = 0;
        const struct dirent *e = readdir(d);
        if (e == NULL) {
            rc = errno != 0 ? import_failed(m, -errno, strerror(errno)) : 0;
            break;
        }
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            strcmp(e->d_name, IGNORE_RULES) != 0)
            rc = visit(m, fd, e->d_name, dir, depth, fn);
    }
    closedir(d);
    return rc;
}

static int open_dir(struct import *m, const struct visit *v, unsigned depth)
{
    if (v->st.st_dev != m->dev)
        return import_failed(m, -EXDEV, "another file system is mounted here; unmount it first");
    if (depth >= DEPTH_MAX)
        return import_failed(m, -ENAMETOOLONG, "too many folders in one another");
    int fd = openat(v->dir_fd, v->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? import_failed(m, -errno, strerror(errno)) : fd;
}

/* ---- first all is looked at: what cannot be taken in is said before anything is ---- */

static int look(struct import *m, const struct visit *v, uint64_t dir, unsigned depth)
{
    if (depth == 0 && strcmp(v->name, ".persist") == 0)
        return import_failed(m, -EINVAL, "this name is reserved at the top; rename it first");
    if (S_ISREG(v->st.st_mode)) {
        m->total_bytes += (uint64_t)v->st.st_size;
        if (v->st.st_dev != m->dev)
            return import_failed(m, -EXDEV, "another file is mounted here; unmount it first");
    }
    if (out_cancelled(m->out, 0))
        return -ECANCELED;
    if (!S_ISDIR(v->st.st_mode))
        return 0;
    int fd = open_dir(m, v, depth);
    if (fd < 0)
        return fd;
    int rc = walk(m, fd, dir, depth + 1, look);
    close(fd);
    return rc;
}

/* ---- then it is taken in ---- */

static int import_entry(struct import *m, const struct visit *v, uint64_t dir, unsigned depth);

int import_clear(struct import *m, uint64_t dir, struct bytes name)
{
    struct attr a;
    int rc = tree_lookup(m->s->tree, dir, name, &a);
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    if (attr_is_dir(&a))
        return import_failed(m, -EISDIR, "the space has a folder of this name already");
    rc = tree_unlink(m->s->tree, dir, name);
    if (rc == 0)
        tree_forget(m->s->tree, a.ino);
    return rc;
}

static int import_dir(struct import *m, const struct visit *v, uint64_t dir, unsigned depth)
{
    struct attr a;
    struct bytes name = bytes_str(v->name);
    int rc = tree_lookup(m->s->tree, dir, name, &a);
    if (rc == 0 && !attr_is_dir(&a))
        return import_failed(m, -ENOTDIR, "the space has a file of this name already");
    struct tree_new what = {.mode = S_IFDIR | 0700, .caller = {v->st.st_uid, v->st.st_gid}};
    if (rc == -ENOENT)
        rc = tree_make(m->s->tree, dir, name, &what, &a);
    if (rc < 0)
        return rc;
    int fd = open_dir(m, v, depth);
    if (fd < 0)
        return fd;
    rc = walk(m, fd, a.ino, depth + 1, import_entry);
    if (rc == 0)
        rc = import_xattrs(m, fd, a.ino);
    if (rc == 0)
        rc = import_attr(m, &v->st, a.ino, true);
    close(fd);
    return rc;
}

static int read_link(struct import *m, const struct visit *v, struct buf *ret)
{
    int rc = buf_resize(ret, 4096);
    if (rc < 0)
        return rc;
    ssize_t n = readlinkat(v->dir_fd, v->name, (char *)ret->p, ret->n);
    if (n < 0)
        return import_failed(m, -errno, strerror(errno));
    ret->n = (size_t)n;
    return 0;
}

/* Links and what has no bytes: made anew each time, that costs less than to compare. */
static int import_other(struct import *m, const struct visit *v, uint64_t dir)
{
    CLEANUP(buf_fini) struct buf target = {0};
    struct attr a;
    struct bytes name = bytes_str(v->name);
    struct tree_new what = {
        .mode = v->st.st_mode, .rdev = v->st.st_rdev, .caller = {v->st.st_uid, v->st.st_gid}};
    int rc = S_ISLNK(v->st.st_mode) ? read_link(m, v, &target) : 0;
    if (rc == 0)
        rc = import_clear(m, dir, name);
    what.target = buf_bytes(&target);
    if (rc == 0)
        rc = tree_make(m->s->tree, dir, name, &what, &a);
    if (rc == 0)
        rc = import_attr(m, &v->st, a.ino, true);
    if (rc == 0 && v->st.st_nlink > 1)
        rc = links_add(&m->links, v->st.st_dev, v->st.st_ino, bytes_of(&a.ino, sizeof a.ino));
    return rc;
}

/* A further name of a file that was taken in already. */
static int import_link(struct import *m, const struct visit *v, uint64_t dir,
                       const struct buf *first)
{
    struct attr a;
    uint64_t ino;
    struct bytes name = bytes_str(v->name);
    memcpy(&ino, first->p, sizeof ino);
    int rc = tree_lookup(m->s->tree, dir, name, &a);
    if (rc == 0 && a.ino == ino)
        return 0;
    rc = rc == 0 || rc == -ENOENT ? import_clear(m, dir, name) : rc;
    return rc < 0 ? rc : tree_link(m->s->tree, ino, dir, name, &a);
}

static int import_entry(struct import *m, const struct visit *v, uint64_t dir, unsigned depth)
{
    int rc;
    bool is_dir = S_ISDIR(v->st.st_mode);
    const struct buf *first =
        is_dir || v->st.st_nlink < 2 ? NULL : links_find(&m->links, v->st.st_dev, v->st.st_ino);
    if (is_dir)
        rc = import_dir(m, v, dir, depth);
    else if (first != NULL)
        rc = import_link(m, v, dir, first);
    else if (S_ISREG(v->st.st_mode))
        rc = import_file(m, v->dir_fd, v->name, dir, &v->st);
    else
        rc = import_other(m, v, dir);
    if (rc == 0 && out_cancelled(m->out, 0))
        rc = -ECANCELED;
    if (rc < 0 && rc != -ECANCELED && m->err != NULL && m->err->code == 0)
        import_failed(m, rc, strerror(-rc));
    return rc;
}

static int import_all(struct import *m, int dir_fd)
{
    struct stat st;
    if (fstat(dir_fd, &st) < 0)
        return import_failed(m, -errno, strerror(errno));
    m->dev = st.st_dev;
    int rc = walk(m, dir_fd, TREE_ROOT, 0, look);
    if (rc == 0)
        rc = walk(m, dir_fd, TREE_ROOT, 0, import_entry);
    if (rc == 0)
        rc = import_settle(m);
    if (rc == 0)
        rc = import_xattrs(m, dir_fd, TREE_ROOT);
    if (rc == 0)
        rc = import_attr(m, &st, TREE_ROOT, true);
    return rc < 0 ? rc : tree_sync(m->s->tree);
}

int space_import(struct space *s, int dir_fd, struct out *out, struct err *err)
{
    struct err own = {0};
    struct import m = {.s = s, .out = out, .err = err != NULL ? err : &own};
    m.err->code = 0;
    int rc = import_all(&m, dir_fd);
    if (rc == -ECANCELED)
        rc = err_set(m.err, rc, "interrupted; the same again goes on where it was");
    else if (rc < 0 && m.err->code == 0)
        rc = err_set(m.err, rc, "%s", strerror(-rc));
    links_fini(&m.links);
    buf_fini(&m.path);
    buf_fini(&m.late);
    free(m.piece);
    return rc < 0 ? err_wrap(m.err, rc, "import") : 0;
}
