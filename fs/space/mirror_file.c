/* One file or symbolic link of a mirror: as it is, put right in place, or written anew. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fs/space/mirror_priv.h"
#include "fs/space/remove.h"

enum { PIECE_BYTES = 64 * 1024, PERMISSIONS = 0777 };

/* ---- attributes ---- */

static bool is_user(const char *name)
{
    return strncmp(name, "user.", 5) == 0;
}

static int host_xattrs(int fd, struct buf *ret)
{
    char names[XATTR_LIST_MAX];
    ssize_t n = flistxattr(fd, names, sizeof names);
    if (n < 0)
        return errno == EOPNOTSUPP ? 0 : -errno;
    buf_put(ret, names, (size_t)n);
    return buf_status(ret);
}

/* What of the host's has no place in the space goes. */
static int drop_xattrs(struct mirror *m, const struct attr *a, int fd)
{
    CLEANUP(buf_fini) struct buf names = {0}, value = {0};
    int rc = host_xattrs(fd, &names);
    for (size_t at = 0; rc == 0 && at < names.n;) {
        const char *name = (const char *)names.p + at;
        at += strlen(name) + 1;
        buf_reset(&value);
        if (is_user(name) &&
            tree_xattr_get(m->cfg.space->tree, a->ino, bytes_str(name), &value) == -ENODATA &&
            fremovexattr(fd, name) < 0 && errno != ENODATA)
            rc = -errno;
    }
    return rc;
}

static bool has_xattr(int fd, const char *name, const struct buf *value)
{
    uint8_t is[LIMIT_XATTR_BYTES];
    ssize_t n = fgetxattr(fd, name, is, sizeof is);
    return n >= 0 && bytes_equal(bytes_of(is, (size_t)n), buf_bytes(value));
}

static int put_xattrs(struct mirror *m, const struct attr *a, int fd)
{
    CLEANUP(buf_fini) struct buf names = {0}, value = {0};
    int rc = a->has_xattr ? tree_xattr_list(m->cfg.space->tree, a->ino, &names) : 0;
    for (size_t at = 0; rc == 0 && at < names.n;) {
        const char *name = (const char *)names.p + at;
        at += strlen(name) + 1;
        buf_reset(&value);
        if (!is_user(name) ||
            tree_xattr_get(m->cfg.space->tree, a->ino, bytes_str(name), &value) < 0 ||
            has_xattr(fd, name, &value))
            continue;
        if (fsetxattr(fd, name, value.n > 0 ? value.p : (const void *)"", value.n, 0) < 0 &&
            errno != EOPNOTSUPP && errno != ENOSPC &&
            errno != E2BIG) /* the host's limits are its own */
            rc = -errno;
    }
    return rc;
}

int mirror_attr(struct mirror *m, const struct attr *a, int fd)
{
    struct stat st;
    const struct timespec times[] = {{.tv_nsec = UTIME_OMIT}, a->mtime};
    int rc = drop_xattrs(m, a, fd);
    if (rc == 0)
        rc = put_xattrs(m, a, fd);
    if (rc == 0 && fstat(fd, &st) < 0)
        rc = -errno;
    if (rc == 0 && (st.st_mode & 07777) != (a->mode & PERMISSIONS) &&
        fchmod(fd, a->mode & PERMISSIONS) < 0)
        rc = -errno;
    if (rc == 0 && attr_time_cmp(&st.st_mtim, &a->mtime) != 0 && futimens(fd, times) < 0)
        rc = -errno;
    return rc;
}

/* ---- files ---- */

static int write_temp(struct mirror *m, const struct attr *a)
{
    int dir = m->dir_fd, rc = remove_tree(dir, m->temp);
    if (rc < 0)
        return rc;
    int fd = openat(dir, m->temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    rc = export_bytes(&m->copy, a, fd);
    if (rc == 0)
        rc = mirror_attr(m, a, fd);
    if (rc == 0 && fsync(fd) < 0)
        rc = -errno;
    if (close(fd) < 0 && rc == 0)
        rc = -errno;
    if (rc < 0)
        (void)unlinkat(dir, m->temp, 0);
    return rc;
}

/* What was written beside takes its name; a folder that had it goes first. */
static int move_temp(struct mirror *m, int fd, const char *name)
{
    int dir = m->dir_fd;
    if (renameat(dir, m->temp, fd, name) == 0)
        return 0;
    int rc = errno == EISDIR ? remove_tree(fd, name) : -errno;
    if (rc == 0 && renameat(dir, m->temp, fd, name) < 0)
        rc = -errno;
    if (rc < 0)
        (void)unlinkat(dir, m->temp, 0);
    return rc;
}

static int write_file(struct mirror *m, const struct attr *a, int fd, const char *name)
{
    int rc = write_temp(m, a);
    if (rc == 0)
        rc = move_temp(m, fd, name);
    m->report->written += rc == 0;
    return rc;
}

/* Whether the bytes at the host are those of @a: 1, 0, or a negative errno. */
static int has_bytes(struct mirror *m, const struct attr *a, int fd)
{
    CLEANUP(buf_fini) struct buf pieces = {0};
    int rc = buf_resize(&pieces, (size_t)2 * PIECE_BYTES);
    for (uint64_t at = 0; rc == 0 && at < a->size;) {
        uint8_t *host = pieces.p + PIECE_BYTES;
        int64_t n = tree_read_unseen(m->cfg.space->tree, a->ino, at, pieces.p, PIECE_BYTES);
        if (n <= 0 || pread(fd, host, (size_t)n, (off_t)at) != n ||
            memcmp(pieces.p, host, (size_t)n) != 0)
            return 0;
        at += (uint64_t)n;
        if (m->cancelled)
            rc = -ECANCELED;
    }
    return rc < 0 ? rc : 1;
}

/* A file that is there, whose content is known to be right, or has the size and time of it: put
 * right in place, 1; 0: it has to be written. */
static int keep(struct mirror *m, const struct attr *a, int fd, const char *name, bool known)
{
    int file = openat(fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (file < 0)
        return 0;
    int rc = known ? 1 : has_bytes(m, a, file);
    if (rc == 1)
        rc = mirror_attr(m, a, file);
    else if (rc == 0)
        rc = -EAGAIN;
    close(file);
    return rc == 0 ? 1 : rc == -ECANCELED || rc == -ENOMEM ? rc : 0;
}

static int put_file(struct mirror *m, const struct attr *a, int fd, const char *name,
                    const struct seen *seen)
{
    struct stat st;
    bool there = fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
                 (uint64_t)st.st_size == a->size;
    bool known = there && seen != NULL && seen->ino == a->ino && seen->changes == a->changes &&
                 seen->host_ino == st.st_ino && seen->host_ctime == mirror_ns(&st.st_ctim);
    if (known && seen->ctime == mirror_ns(&a->ctime))
        return 0;
    int rc = 0;
    if (known || (there && attr_time_cmp(&st.st_mtim, &a->mtime) == 0))
        rc = keep(m, a, fd, name, known);
    return rc == 0 ? write_file(m, a, fd, name) : rc < 0 ? rc : 0;
}

/* ---- symbolic links ---- */

static int put_symlink(struct mirror *m, const struct attr *a, int fd, const char *name)
{
    CLEANUP(buf_fini) struct buf target = {0};
    char is[LIMIT_SYMLINK + 1];
    const struct timespec times[] = {{.tv_nsec = UTIME_OMIT}, a->mtime};
    struct stat st;
    int dir = m->dir_fd;
    int rc = tree_readlink(m->cfg.space->tree, a->ino, &target);
    if (rc < 0)
        return rc == -ENOMEM ? rc : -ENODATA;
    ssize_t n = readlinkat(fd, name, is, sizeof is);
    bool same = n >= 0 && bytes_equal(bytes_of(is, (size_t)n), buf_bytes(&target));
    if (same && fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        attr_time_cmp(&st.st_mtim, &a->mtime) == 0)
        return 0;
    buf_put_u8(&target, 0);
    if (buf_status(&target) < 0)
        return -ENOMEM;
    rc = remove_tree(dir, m->temp);
    if (rc < 0)
        return rc;
    if (symlinkat((const char *)target.p, dir, m->temp) < 0 ||
        utimensat(dir, m->temp, times, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    rc = move_temp(m, fd, name);
    m->report->written += rc == 0;
    return rc;
}

/* ---- either ---- */

static void note(struct mirror *m, uint64_t key, const struct attr *a, int fd, const char *name)
{
    struct stat st;
    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    struct seen seen = {.key = key,
                        .ino = a->ino,
                        .changes = a->changes,
                        .ctime = mirror_ns(&a->ctime),
                        .host_ino = st.st_ino,
                        .host_ctime = mirror_ns(&st.st_ctim)};
    buf_put(&m->now, &seen, sizeof seen);
}

int mirror_file(struct mirror *m, uint64_t dir, const struct attr *a, int fd, const char *name)
{
    uint64_t key = mirror_seen_key(dir, bytes_str(name));
    bool is_link = S_ISLNK(a->mode);
    int rc =
        is_link ? put_symlink(m, a, fd, name) : put_file(m, a, fd, name, mirror_seen_find(m, key));
    if (rc == -ENODATA) { /* what there was of it stays */
        m->report->skipped++;
        return 0;
    }
    if (rc == 0 && !is_link)
        note(m, key, a, fd, name);
    m->report->files += rc == 0;
    return rc;
}
