#include "fs/space/export.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fs/space/path.h"

enum { DEPTH_MAX = 512 /* one descriptor each */ };

struct place {
    int dir_fd;
    char name[TREE_NAME_MAX + 1];
};

static int place_of(struct place *p, int dir_fd, struct bytes name)
{
    int rc = dirent_check_name(name);
    if (rc < 0)
        return rc;
    p->dir_fd = dir_fd;
    memcpy(p->name, name.p, name.n);
    p->name[name.n] = '\0';
    return 0;
}

/* ---- links ---- */

/* A further name of a file that is copied already. */
static int put_link(const struct export *x, const char *path, const struct place *p)
{
    struct open_how how = {.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    long fd = syscall(SYS_openat2, x->root_fd, path, &how, sizeof how);
    if (fd < 0)
        return -errno;
    char by_fd[40];
    snprintf(by_fd, sizeof by_fd, "/proc/self/fd/%ld", fd);
    int rc = linkat(AT_FDCWD, by_fd, p->dir_fd, p->name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
    close((int)fd);
    return rc;
}

static int put_symlink(struct export *x, const struct attr *a, const struct place *p)
{
    CLEANUP(buf_fini) struct buf target = {0};
    const struct timespec times[] = {a->atime, a->mtime};
    int rc = tree_readlink(x->s->tree, a->ino, &target);
    buf_put_u8(&target, 0);
    if (rc == 0)
        rc = buf_status(&target);
    if (rc < 0)
        return rc == -ENOMEM ? rc : -ENODATA;
    if (symlinkat((const char *)target.p, p->dir_fd, p->name) < 0 ||
        utimensat(p->dir_fd, p->name, times, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    return 0;
}

/* ---- files ---- */

static int put_file(struct export *x, const struct attr *a, const struct place *p)
{
    int fd = openat(p->dir_fd, p->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int rc = export_bytes(x, a, fd);
    if (rc == 0)
        rc = export_attr(x, a, fd);
    if (close(fd) < 0 && rc == 0)
        rc = -errno;
    if (rc == -ENODATA) /* half of it would pass for the whole */
        unlinkat(p->dir_fd, p->name, 0);
    return rc;
}

static int put_special(struct export *x, const struct attr *a, const struct place *p)
{
    const struct timespec times[] = {a->atime, a->mtime};
    if (S_ISSOCK(a->mode) || mknodat(p->dir_fd, p->name, a->mode, (dev_t)a->rdev) < 0) {
        if (!S_ISSOCK(a->mode) && errno != EPERM)
            return -errno;
        x->skipped++;
        return 0;
    }
    x->files++;
    if (fchmodat(p->dir_fd, p->name, a->mode & 07777, 0) < 0 ||
        utimensat(p->dir_fd, p->name, times, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    return 0;
}

static int put_any(struct export *x, const struct attr *a, const struct place *p)
{
    const struct buf *first = a->nlink > 1 ? links_find(&x->links, 0, a->ino) : NULL;
    int rc;
    if (first != NULL)
        rc = put_link(x, (const char *)first->p, p);
    else if (S_ISLNK(a->mode))
        rc = put_symlink(x, a, p);
    else if (attr_is_file(a))
        rc = put_file(x, a, p);
    else
        return put_special(x, a, p);
    if (rc == -ENODATA) {
        buf_put_bytes(&x->unread, buf_bytes(&x->path));
        buf_put_u8(&x->unread, 0);
        return buf_status(&x->unread);
    }
    x->files += rc == 0;
    if (rc < 0 || a->nlink < 2 || first != NULL)
        return rc;
    CLEANUP(buf_fini) struct buf path = {0};
    buf_put_bytes(&path, buf_bytes(&x->path));
    buf_put_u8(&path, 0);
    rc = buf_status(&path);
    return rc < 0 ? rc : links_add(&x->links, 0, a->ino, buf_bytes(&path));
}

/* ---- folders ---- */

static int put_dir(struct export *x, uint64_t ino, int fd, unsigned depth);

static int put_folder(struct export *x, const struct attr *a, const struct place *p, unsigned depth)
{
    if (mkdirat(p->dir_fd, p->name, 0700) < 0)
        return -errno;
    int fd = openat(p->dir_fd, p->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int rc = put_dir(x, a->ino, fd, depth + 1);
    if (rc == 0)
        rc = export_attr(x, a, fd);
    close(fd);
    x->folders += rc == 0;
    return rc;
}

/* @x->path is at the entry while it is copied, and stays there after an error. */
static int put_entry(struct export *x, int dir_fd, struct bytes name, const struct attr *a,
                     unsigned depth)
{
    struct place p;
    size_t n = x->path.n;
    if (n > 0)
        buf_put_u8(&x->path, '/');
    buf_put_bytes(&x->path, name);
    int rc = buf_status(&x->path);
    if (rc == 0)
        rc = place_of(&p, dir_fd, name);
    if (rc == 0)
        rc = attr_is_dir(a) ? put_folder(x, a, &p, depth) : put_any(x, a, &p);
    if (rc == 0)
        x->path.n = n;
    return rc;
}

static int put_dir(struct export *x, uint64_t ino, int fd, unsigned depth)
{
    CLEANUP(buf_fini) struct buf names = {0};
    int rc =
        depth < DEPTH_MAX ? tree_list(x->s->tree, ino, 0, false, path_add_entry, &names) : -ELOOP;
    if (rc == 0)
        rc = buf_status(&names);
    struct reader left = reader_of(buf_bytes(&names));
    while (rc == 0 && left.n > 0) {
        struct attr a;
        size_t n = reader_u8(&left);
        struct bytes name = reader_bytes(&left, n);
        rc = tree_lookup(x->s->tree, ino, name, &a);
        if (rc == 0)
            rc = put_entry(x, fd, name, &a, depth);
        else if (rc == -ENOENT) /* gone meanwhile */
            rc = 0;
    }
    return rc;
}

int export_dir(struct export *x, uint64_t ino)
{
    struct attr a;
    int rc = tree_getattr(x->s->tree, ino, &a);
    if (rc == 0)
        rc = put_dir(x, ino, x->root_fd, 0);
    return rc < 0 ? rc : export_attr(x, &a, x->root_fd);
}

int export_one(struct export *x, const struct attr *a, struct bytes name)
{
    return put_entry(x, x->root_fd, name, a, 0);
}

void export_fini(struct export *x)
{
    links_fini(&x->links);
    buf_fini(&x->path);
    buf_fini(&x->unread);
    free(x->piece);
}
