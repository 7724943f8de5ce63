#include "sync/server/mirrors.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/space/mirror.h"
#include "proto/base/escape.h"
#include "sync/state/statefile.h"

enum { PATHS_BYTES_MAX = 64 * 1024 };

static const char file_name[] = "mirrors";

/* All paths, each terminated, the one that was given last at the end. -ENOENT: none was given. */
static int read_paths(int data_fd, struct buf *ret)
{
    int rc = statefile_read(data_fd, file_name, PATHS_BYTES_MAX, ret, NULL);
    if (rc < 0)
        return rc;
    buf_put_u8(ret, 0); /* the last one has no end in the file */
    return buf_status(ret);
}

static size_t size_of(const struct buf *paths, size_t at)
{
    return strnlen((const char *)paths->p + at, paths->n - at - 1) + 1;
}

/* Takes a path out: whether it was among them. */
static bool take_out(struct buf *paths, const char *path)
{
    for (size_t at = 0, n; at < paths->n; at += n) {
        n = size_of(paths, at);
        if (strcmp((const char *)paths->p + at, path) != 0)
            continue;
        memmove(paths->p + at, paths->p + at + n, paths->n - at - n);
        paths->n -= n;
        return true;
    }
    return false;
}

/* Whether there is nothing in a directory, or what a new file system has: 1, 0. */
static int is_empty(int fd)
{
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = copy < 0 ? NULL : fdopendir(copy);
    int rc = d == NULL ? -errno : 1;
    for (const struct dirent *e; rc == 1 && (e = readdir(d)) != NULL;)
        rc = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
             strcmp(e->d_name, "lost+found") == 0;
    if (d != NULL)
        closedir(d);
    else if (copy >= 0)
        close(copy);
    return rc;
}

static int note(int data_fd, struct buf *paths, const char *mirror, struct err *err)
{
    size_t n = strlen(mirror);
    while (paths->n > 0 && paths->n + n > PATHS_BYTES_MAX) /* the oldest */
        take_out(paths, (const char *)paths->p);
    buf_put(paths, mirror, n);
    return buf_status(paths) < 0
               ? err_set(err, -ENOMEM, "out of memory")
               : statefile_write(data_fd, file_name, buf_bytes(paths), false, err);
}

static int claim(int data_fd, const char *mirror, int mirror_fd, struct err *err)
{
    CLEANUP(buf_fini) struct buf paths = {0};
    char shown[300];
    int rc = read_paths(data_fd, &paths);
    if (rc < 0 && rc != -ENOENT)
        return err_set(err, rc, "%s: cannot be read: %s", file_name, strerror(-rc));
    rc = take_out(&paths, mirror) ? 1 : is_empty(mirror_fd);
    escape_to(shown, sizeof shown, bytes_str(mirror));
    if (rc < 0)
        return err_set(err, rc, "mirror: %s: %s", shown, strerror(-rc));
    if (rc == 0)
        return err_set(err, -EINVAL,
                       "mirror: %s is not empty, and was no mirror of this server; give an empty "
                       "directory",
                       shown);
    return note(data_fd, &paths, mirror, err);
}

int srv_mirrors_claim(const char *data, const char *mirror, int mirror_fd, struct err *err)
{
    int fd = open(data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, -errno, "%s: %s", data, strerror(errno));
    int rc = claim(fd, mirror, mirror_fd, err);
    close(fd);
    return rc;
}

int srv_mirrors_of(const char *data, const char *user, struct buf *ret)
{
    CLEANUP(buf_fini) struct buf paths = {0};
    int fd = data != NULL ? open(data, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd < 0)
        return data == NULL || errno == ENOENT ? 0 : -errno;
    size_t before = ret->n, last = 0;
    int rc = read_paths(fd, &paths);
    close(fd);
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    while (last + size_of(&paths, last) < paths.n)
        last += size_of(&paths, last);
    buf_put(ret, paths.p + last, paths.n - last - 1);
    buf_put_u8(ret, '/');
    buf_put(ret, user, strlen(user) + 1);
    struct stat st;
    if (buf_status(ret) < 0)
        return -ENOMEM;
    if (lstat((const char *)ret->p + before, &st) == 0 && S_ISDIR(st.st_mode))
        return 1;
    ret->n = before;
    return 0;
}

/* @path: of the directory, terminated. */
static int each_kept(DIR *d, struct buf *path, int (*fn)(void *arg, const char *path), void *arg)
{
    size_t n = path->n - 1;
    int rc = 0;
    for (const struct dirent *e; rc == 0 && (e = readdir(d)) != NULL;) {
        if (!mirror_is_kept_name(e->d_name))
            continue;
        path->n = n;
        buf_put_u8(path, '/');
        buf_put(path, e->d_name, strlen(e->d_name) + 1);
        rc = buf_status(path) < 0 ? -ENOMEM : fn(arg, (const char *)path->p);
    }
    return rc;
}

int srv_mirrors_kept(const char *data, const char *user, int (*fn)(void *arg, const char *path),
                     void *arg)
{
    CLEANUP(buf_fini) struct buf path = {0};
    int rc = srv_mirrors_of(data, user, &path);
    if (rc <= 0)
        return rc;
    int fd = open((const char *)path.p, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (d == NULL) {
        rc = -errno;
        if (fd >= 0)
            close(fd);
        return rc;
    }
    rc = each_kept(d, &path, fn, arg);
    closedir(d);
    return rc;
}
