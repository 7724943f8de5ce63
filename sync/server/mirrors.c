#include "sync/server/mirrors.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/space/mirror.h"
#include "sync/state/statefile.h"

enum { PATH_BYTES_MAX = 4096 };

static const char file_name[] = "mirrors";

int srv_mirrors_note(const char *data, const char *mirror, struct err *err)
{
    int fd = open(data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, -errno, "%s: %s", data, strerror(errno));
    int rc = statefile_write(fd, file_name, bytes_str(mirror), false, err);
    close(fd);
    return rc;
}

int srv_mirrors_of(const char *data, const char *user, struct buf *ret)
{
    int fd = data != NULL ? open(data, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd < 0)
        return data == NULL || errno == ENOENT ? 0 : -errno;
    size_t before = ret->n;
    int rc = statefile_read(fd, file_name, PATH_BYTES_MAX, ret, NULL);
    close(fd);
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
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
