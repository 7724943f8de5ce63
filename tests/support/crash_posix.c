#include "crash_posix.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { PATH_BYTES = 1024, HELD = 3 };

static void path_of(const char *root, const char *path, char ret[PATH_BYTES])
{
    snprintf(ret, PATH_BYTES, "%s%s%s", root, *path != '\0' ? "/" : "", path);
}

static int result(int rc)
{
    return rc < 0 ? -errno : 0;
}

/* ---- operations ---- */

static int write_all(int fd, const struct crash_op *op)
{
    uint8_t *p = malloc(op->length);
    if (p == NULL)
        return -ENOMEM;
    crash_fill(op->fill, 0, p, op->length);
    ssize_t n = op->kind == CRASH_APPEND ? write(fd, p, op->length)
                                         : pwrite(fd, p, op->length, (off_t)op->offset);
    int rc = n < 0 ? -errno : (size_t)n < op->length ? -EINTR : 0; /* short: cut off */
    free(p);
    return rc;
}

/*
 * A file that was emptied is in the middle of a save, until its program closes it, of which the
 * other side hears when close() has returned; or until it says so.
 */
static int truncate_to(int fd, uint64_t length)
{
    int rc = result(ftruncate(fd, (off_t)length));
    return rc == 0 && length == 0 ? result(fsync(fd)) : rc;
}

static int on_file(const char *path, const struct crash_op *op)
{
    int flags = op->kind == CRASH_FSYNC    ? O_RDONLY
                : op->kind == CRASH_APPEND ? O_WRONLY | O_APPEND
                                           : O_WRONLY;
    int fd = open(path, flags | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int rc;
    if (op->kind == CRASH_FSYNC)
        rc = result(fsync(fd));
    else if (op->kind == CRASH_TRUNCATE)
        rc = truncate_to(fd, op->length);
    else if (op->kind == CRASH_PUNCH || op->kind == CRASH_ALLOCATE)
        rc = result(
            fallocate(fd, op->kind == CRASH_PUNCH ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE : 0,
                      (off_t)op->offset, (off_t)op->length));
    else
        rc = write_all(fd, op);
    int closed = result(close(fd));
    return rc < 0 ? rc : closed;
}

static int make_file(const char *path, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    return fd < 0 ? -errno : result(close(fd));
}

int crash_posix_apply(const char *root, const struct crash_op *op)
{
    char path[PATH_BYTES], to[PATH_BYTES];
    path_of(root, op->path, path);
    path_of(root, op->to, to);
    uint64_t value = op->fill | 1;
    switch (op->kind) {
    case CRASH_CREATE:
        return make_file(path, op->mode);
    case CRASH_MKDIR:
        return result(mkdir(path, op->mode));
    case CRASH_SYMLINK:
        return result(symlink(op->to, path));
    case CRASH_UNLINK:
        return result(unlink(path));
    case CRASH_RMDIR:
        return result(rmdir(path));
    case CRASH_RENAME:
        return result(rename(path, to));
    case CRASH_NOREPLACE:
        return result(renameat2(AT_FDCWD, path, AT_FDCWD, to, RENAME_NOREPLACE));
    case CRASH_EXCHANGE:
        return result(renameat2(AT_FDCWD, path, AT_FDCWD, to, RENAME_EXCHANGE));
    case CRASH_LINK:
        return result(linkat(AT_FDCWD, path, AT_FDCWD, to, 0));
    case CRASH_CHMOD: {
        struct stat st;
        if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode))
            return -EOPNOTSUPP;
        return result(chmod(path, op->mode));
    }
    case CRASH_XATTR:
        return result(lsetxattr(path, "user.crash", &value, sizeof value, 0));
    default:
        return on_file(path, op);
    }
}

/* ---- looking ---- */

static int look_stat(void *arg, const char *path, struct stat *ret)
{
    char full[PATH_BYTES];
    path_of(arg, path, full);
    return result(lstat(full, ret));
}

static int look_read(void *arg, const char *path, struct buf *ret)
{
    char full[PATH_BYTES];
    path_of(arg, path, full);
    buf_reset(ret);
    int fd = open(full, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int rc = buf_resize(ret, CRASH_FILE_MAX + 1);
    size_t at = 0;
    ssize_t n = 1;
    while (rc == 0 && n > 0) {
        n = read(fd, ret->p + at, ret->n - at);
        rc = n < 0 ? -errno : 0;
        at += n > 0 ? (size_t)n : 0;
    }
    ret->n = at;
    close(fd);
    return rc;
}

static int look_readlink(void *arg, const char *path, struct buf *ret)
{
    char full[PATH_BYTES];
    path_of(arg, path, full);
    buf_reset(ret);
    int rc = buf_resize(ret, PATH_BYTES);
    ssize_t n = rc < 0 ? 0 : readlink(full, (char *)ret->p, ret->n);
    ret->n = n < 0 ? 0 : (size_t)n;
    return n < 0 ? -errno : rc;
}

static int look_list(void *arg, const char *path, void (*emit)(void *arg, const char *name),
                     void *emit_arg)
{
    char full[PATH_BYTES];
    path_of(arg, path, full);
    DIR *d = opendir(full);
    if (d == NULL)
        return -errno;
    const struct dirent *e;
    for (errno = 0; (e = readdir(d)) != NULL; errno = 0)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            emit(emit_arg, e->d_name);
    int rc = -errno;
    closedir(d);
    return rc;
}

static int look_xattr(void *arg, const char *path, struct buf *ret)
{
    char full[PATH_BYTES];
    path_of(arg, path, full);
    buf_reset(ret);
    int rc = buf_resize(ret, sizeof(uint64_t));
    ssize_t n = rc < 0 ? 0 : lgetxattr(full, "user.crash", ret->p, ret->n);
    ret->n = n < 0 ? 0 : (size_t)n;
    return n < 0 ? -errno : rc;
}

struct crash_view crash_posix_view(const char *root)
{
    union { /* the view only reads it */
        const char *in;
        void *out;
    } arg = {root};
    return (struct crash_view){arg.out,   look_stat,  look_read, look_readlink,
                               look_list, look_xattr, true,      true};
}

/* ---- workers ---- */

/* A request that its server was just reading when it was ended fails with EIO: the end follows. */
static bool is_going(const char *root)
{
    for (int i = 0; i < 40; i++) {
        struct statvfs v;
        if (statvfs(root, &v) < 0)
            return true;
        usleep(25000);
    }
    return false;
}

void crash_posix_work(const char *root, struct crash_log *log, struct crash_model *m, uint64_t seed,
                      const atomic_bool *stop)
{
    struct crash_rand rand = {seed};
    struct crash_op op = {.kind = CRASH_MKDIR, .mode = 0755};
    int held[HELD] = {-1, -1, -1};
    char path[PATH_BYTES];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(op.path, sizeof op.path, "%s", log->top);
    while (!atomic_load(stop) && crash_log_begin(log, &op)) {
        int rc = crash_posix_apply(root, &op);
        if (rc == -EIO && is_going(root))
            rc = -ENOTCONN;
        crash_log_answer(log, rc);
        crash_model_apply(m, &op);
        if (crash_chance(&rand, 10)) {
            int *fd = &held[crash_below(&rand, HELD)];
            if (*fd >= 0)
                close(*fd);
            path_of(root, op.path, path);
            *fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
        }
        crash_model_choose(m, &rand, log->top, &op);
    }
    _exit(0);
}
