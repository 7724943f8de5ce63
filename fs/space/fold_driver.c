/* A step of a merge that a driver of this device makes, in files of a directory of its own. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/space/driver_run.h"
#include "fs/space/drivers.h"
#include "fs/space/fold.h"
#include "fs/space/remove.h"
#include "proto/base/escape.h"
#include "proto/base/log.h"

static const char folder[] = "merge";

static int write_all(int fd, const uint8_t *p, size_t n)
{
    while (n > 0) {
        ssize_t done = write(fd, p, n);
        if (done < 0 && errno != EINTR)
            return -errno;
        p += done > 0 ? done : 0;
        n -= done > 0 ? (size_t)done : 0;
    }
    return 0;
}

/* A side of the merge as a file; none is an empty one. */
static int put_side(int dir_fd, const char *name, struct content *c)
{
    enum { PIECE = 256 << 10 };
    CLEANUP(buf_fini) struct buf piece = {0};
    int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int rc = fd < 0 ? -errno : buf_resize(&piece, PIECE);
    for (uint64_t at = 0; rc == 0 && c != NULL && at < content_size(c);) {
        ssize_t n = content_read(c, at, piece.p, piece.n);
        rc = n < 0 ? (int)n : n == 0 ? -EUCLEAN : write_all(fd, piece.p, (size_t)n);
        at += n > 0 ? (size_t)n : 0;
    }
    if (fd >= 0)
        close(fd);
    return rc;
}

static int read_file(void *arg, uint64_t off, void *p, size_t n)
{
    ssize_t got = pread(*(const int *)arg, p, n, (off_t)off);
    return got < 0 ? -errno : (size_t)got < n ? -EIO : 0;
}

/* What the driver left as the result. */
static int take_result(const struct fold *f, int dir_fd, struct buf *body,
                       uint8_t hash[static HASH_SIZE], uint64_t *ret_size, struct err *e)
{
    struct stat st;
    int fd = openat(dir_fd, DRIVER_OURS, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        if (fd >= 0)
            close(fd);
        return err_set(e, -EPROTO, "it left no result");
    }
    struct content_source src = {.size = (uint64_t)st.st_size, .read = read_file, .arg = &fd};
    int rc =
        st.st_size > DRIVER_OUTPUT_BYTES
            ? err_set(e, -EPROTO, "its result is longer than %d MiB", DRIVER_OUTPUT_BYTES >> 20)
            : content_build(f->s->db, &f->s->keys, &src, NULL, body, hash);
    close(fd);
    *ret_size = src.size;
    return rc;
}

static int run(const struct fold *f, const struct driver *d, struct content *const sides[static 3],
               struct buf *body, uint8_t hash[static HASH_SIZE], uint64_t *ret_size, struct err *e)
{
    static const char *const names[] = {DRIVER_BASE, DRIVER_OURS, DRIVER_THEIRS};
    int rc = remove_tree(f->s->dir_fd, folder);
    if (rc == 0 && mkdirat(f->s->dir_fd, folder, 0700) < 0)
        rc = -errno;
    if (rc < 0)
        return rc;
    int dir_fd = openat(f->s->dir_fd, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir_fd < 0)
        return -errno;
    for (size_t i = 0; rc == 0 && i < ARRAY_N(names); i++)
        rc = sides[i] != NULL && content_size(sides[i]) > DRIVER_OUTPUT_BYTES
                 ? err_set(e, -EPROTO, "a version is longer than %d MiB", DRIVER_OUTPUT_BYTES >> 20)
                 : put_side(dir_fd, names[i], sides[i]);
    if (rc == 0)
        rc = driver_run(dir_fd, d->argv, &f->s->closing, e);
    if (rc == 0)
        rc = take_result(f, dir_fd, body, hash, ret_size, e);
    close(dir_fd);
    int removed = remove_tree(f->s->dir_fd, folder);
    return rc < 0 ? rc : removed;
}

int fold_driver(const struct fold *f, struct content *base, struct content *ours,
                struct content *theirs, struct buf *body, uint8_t hash[static HASH_SIZE],
                uint64_t *ret_size)
{
    CLEANUP(drivers_fini) struct drivers drivers = {.v = NULL};
    struct content *const sides[] = {base, ours, theirs};
    struct err e = {0};
    char path[200], name[POLICY_DRIVER_MAX + 1];
    struct bytes driver = f->policy->how.driver;
    if (drivers_read(f->s->dir_fd, &drivers, &e) < 0)
        return -ENOENT; /* that is told by the status */
    const struct driver *d = drivers_find(&drivers, driver);
    if (d == NULL)
        return -ENOENT;
    pthread_mutex_lock(&f->s->driver_lock);
    int rc = run(f, d, sides, body, hash, ret_size, &e);
    pthread_mutex_unlock(&f->s->driver_lock);
    if (rc == 0)
        return 1;
    if (rc == -ENOMEM || rc == -ENOSPC || rc == -ENODATA || rc == -ECANCELED)
        return rc; /* another time */
    escape_to(path, sizeof path, buf_bytes(&f->policy->path));
    escape_to(name, sizeof name, driver);
    log_warn("merging %s with the driver '%s': %s; both versions are kept", path, name,
             e.code < 0 ? e.msg : strerror(-rc));
    return 0;
}
