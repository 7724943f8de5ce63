#include "sync/state/statefile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* What of a mode others must not have: everything, or for shared files writing. */
static int check_owner(int fd, const char *name, mode_t forbidden, struct err *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_set(err, -errno, "%s: %s", name, strerror(errno));
    if (st.st_uid != geteuid())
        return err_set(err, -EPERM,
                       "%s: belongs to user %u, not to this one; give it back or remove it", name,
                       (unsigned)st.st_uid);
    if ((st.st_mode & forbidden) != 0)
        return err_set(err, -EPERM, "%s: mode %03o lets others in; chmod go-rwx it", name,
                       (unsigned)(st.st_mode & 0777));
    return 0;
}

static int read_fd(int fd, const char *name, size_t max, struct buf *ret, struct err *err)
{
    size_t start = ret->n;
    for (;;) {
        if (buf_reserve(ret, 4096) < 0)
            return err_set(err, -ENOMEM, "%s: out of memory", name);
        ssize_t n = read(fd, ret->p + ret->n, 4096);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(err, -errno, "%s: %s", name, strerror(errno));
        if (n == 0)
            return 0;
        ret->n += (size_t)n;
        if (ret->n - start > max)
            return err_set(err, -EFBIG, "%s: is larger than %zu bytes", name, max);
    }
}

static int read_checked(int dir_fd, const char *name, mode_t forbidden, size_t max, struct buf *ret,
                        struct err *err)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return errno == ENOENT ? -ENOENT : err_set(err, -errno, "%s: %s", name, strerror(errno));
    struct stat st;
    int rc = check_owner(fd, name, forbidden, err);
    if (rc == 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)))
        rc = err_set(err, -EPERM, "%s: is not a plain file", name);
    if (rc == 0)
        rc = read_fd(fd, name, max, ret, err);
    close(fd);
    return rc;
}

int statefile_read(int dir_fd, const char *name, size_t max, struct buf *ret, struct err *err)
{
    return read_checked(dir_fd, name, 077, max, ret, err);
}

int statefile_read_shared(int dir_fd, const char *name, size_t max, struct buf *ret,
                          struct err *err)
{
    return read_checked(dir_fd, name, 022, max, ret, err);
}

static int write_all(int fd, struct bytes v)
{
    while (v.n > 0) {
        ssize_t n = write(fd, v.p, v.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        v.p += n;
        v.n -= (size_t)n;
    }
    return fsync(fd) < 0 ? -errno : 0;
}

int statefile_write(int dir_fd, const char *name, struct bytes v, bool fresh, struct err *err)
{
    char aside[300];
    snprintf(aside, sizeof aside, ".%.255s.%ld", name, (long)getpid());
    /* One of this name is from a process that died: ours is the only one with this id. */
    unlinkat(dir_fd, aside, 0);
    int fd = openat(dir_fd, aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_set(err, -errno, "%s: cannot be written: %s", name, strerror(errno));
    int rc = write_all(fd, v);
    close(fd);
    if (rc == 0 && renameat2(dir_fd, aside, dir_fd, name, fresh ? RENAME_NOREPLACE : 0) < 0)
        rc = -errno;
    if (rc == 0 && fsync(dir_fd) < 0)
        rc = -errno;
    if (rc < 0) {
        unlinkat(dir_fd, aside, 0);
        return err_set(err, rc, "%s: cannot be written: %s", name, strerror(-rc));
    }
    return 0;
}

int statefile_open_dir(int dir_fd, const char *name, bool create, int *ret_fd, struct err *err)
{
    if (create && mkdirat(dir_fd, name, 0700) < 0 && errno != EEXIST)
        return err_set(err, -errno, "%s: cannot be made: %s", name, strerror(errno));
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? -ENOENT : err_set(err, -errno, "%s: %s", name, strerror(errno));
    int rc = check_owner(fd, name, 077, err);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    *ret_fd = fd;
    return 0;
}

static int remove_entries(int dir_fd, struct err *err)
{
    int copy = fcntl(dir_fd, F_DUPFD_CLOEXEC, 3);
    DIR *d = copy < 0 ? NULL : fdopendir(copy);
    if (d == NULL) {
        if (copy >= 0)
            close(copy);
        return err_set(err, -ENOMEM, "removing: no more descriptors");
    }
    int rc = 0;
    struct dirent *e;
    while (rc == 0 && (e = readdir(d)) != NULL)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            rc = statefile_remove_tree(dir_fd, e->d_name, err);
    closedir(d);
    return rc;
}

int statefile_remove_tree(int dir_fd, const char *name, struct err *err)
{
    if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return err_set(err, -errno, "%s: cannot be removed: %s", name, strerror(errno));
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT)
        return 0; /* another one removes it, too */
    if (fd < 0)
        return err_set(err, -errno, "%s: cannot be removed: %s", name, strerror(errno));
    int rc = remove_entries(fd, err);
    close(fd);
    if (rc == 0 && unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        rc = err_set(err, -errno, "%s: cannot be removed: %s", name, strerror(errno));
    return rc;
}
