/* One regular file taken in. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fs/space/import_priv.h"
#include "fs/tree/acl.h"

enum {
    PIECE_BYTES = 1 << 20,
    TRIES = 3,
    SMALL_BYTES =
        32 * 1024, /* its bytes and its time are in one log: no need to put anything off */
    LATE_MAX = 1024,
};
static const uint64_t late_bytes_max = UINT64_C(1) << 30;

int import_xattrs(struct import *m, int fd, uint64_t ino)
{
    char names[XATTR_LIST_MAX];
    ssize_t n = flistxattr(fd, names, sizeof names);
    if (n < 0)
        return errno == ENOTSUP ? 0 : -errno;
    int rc = 0;
    CLEANUP(buf_fini) struct buf value = {0};
    for (const char *name = names; rc == 0 && name < names + n; name += strlen(name) + 1) {
        if (strncmp(name, "user.", 5) != 0 && acl_kind_of(bytes_str(name)) == ACL_NONE)
            continue;
        rc = buf_resize(&value, XATTR_SIZE_MAX);
        ssize_t k = rc < 0 ? rc : fgetxattr(fd, name, value.p, value.n);
        if (rc == 0 && k < 0)
            rc = -errno;
        if (rc == 0)
            rc = tree_xattr_set(m->s->tree, ino, bytes_str(name), bytes_of(value.p, (size_t)k), 0);
    }
    return rc;
}

int import_attr(struct import *m, const struct stat *st, uint64_t ino, bool times)
{
    struct attr a;
    struct tree_set set = {
        .what = TREE_SET_MODE | TREE_SET_UID | TREE_SET_GID,
        .mode = st->st_mode & 07777,
        .uid = st->st_uid,
        .gid = st->st_gid,
        .atime = st->st_atim,
        .mtime = st->st_mtim,
    };
    if (times)
        set.what |= TREE_SET_ATIME | TREE_SET_MTIME;
    return tree_setattr(m->s->tree, ino, &set, &a);
}

int import_settle(struct import *m)
{
    int rc = m->late.n > 0 ? tree_sync(m->s->tree) : 0;
    for (size_t at = 0; rc == 0 && at < m->late.n; at += sizeof(struct import_late)) {
        struct import_late late;
        struct attr a;
        memcpy(&late, m->late.p + at, sizeof late);
        struct tree_set set = {
            .what = TREE_SET_ATIME | TREE_SET_MTIME, .atime = late.atime, .mtime = late.mtime};
        rc = tree_setattr(m->s->tree, late.ino, &set, &a);
        rc = rc == -ESTALE ? 0 : rc;
    }
    buf_reset(&m->late);
    m->late_bytes = 0;
    return rc;
}

static int set_late(struct import *m, const struct stat *st, uint64_t ino)
{
    struct import_late late = {ino, st->st_atim, st->st_mtim};
    buf_put(&m->late, &late, sizeof late);
    m->late_bytes += (uint64_t)st->st_size;
    int rc = buf_status(&m->late);
    if (rc == 0 && (m->late.n >= LATE_MAX * sizeof late || m->late_bytes >= late_bytes_max))
        rc = import_settle(m);
    return rc;
}

/* ---- bytes ---- */

static int copy_range(struct import *m, int fd, uint64_t ino, off_t at, off_t end)
{
    while (at < end) {
        size_t want = (size_t)min_u64((uint64_t)(end - at), PIECE_BYTES);
        ssize_t n = pread(fd, m->piece, want, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0) /* cut meanwhile: found by its size */
            return 0;
        struct tree_write how = {.offset = (uint64_t)at};
        int rc = tree_write(m->s->tree, ino, bytes_of(m->piece, (size_t)n), &how);
        if (rc < 0)
            return rc;
        at += n;
        m->done_bytes += (uint64_t)n;
        out_progress(m->out, m->done_bytes, m->total_bytes, "importing");
        if (want == PIECE_BYTES && out_cancelled(m->out, 0))
            return -ECANCELED;
    }
    return 0;
}

static int copy_bytes(struct import *m, int fd, uint64_t ino, const struct stat *st)
{
    off_t at = 0;
    while (at < st->st_size) {
        off_t data = lseek(fd, at, SEEK_DATA), end = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
        if (end < 0 && errno == ENXIO) /* only a hole is left */
            break;
        if (end < 0) { /* the file system knows nothing of holes */
            data = at;
            end = st->st_size;
        }
        end = (off_t)min_u64((uint64_t)end, (uint64_t)st->st_size);
        int rc = copy_range(m, fd, ino, data, end);
        if (rc < 0)
            return rc;
        at = end;
    }
    struct attr a;
    int rc = tree_getattr(m->s->tree, ino, &a);
    struct tree_set set = {.what = TREE_SET_SIZE, .size = (uint64_t)st->st_size};
    if (rc == 0 && a.size < set.size)
        rc = tree_setattr(m->s->tree, ino, &set, &a);
    return rc;
}

/* ---- the file ---- */

static bool is_stored(const struct attr *a, const struct stat *st)
{
    return attr_is_file(a) && a->size == (uint64_t)st->st_size &&
           a->mtime.tv_sec == st->st_mtim.tv_sec && a->mtime.tv_nsec == st->st_mtim.tv_nsec;
}

static bool has_changed(const struct stat *a, const struct stat *b)
{
    return a->st_size != b->st_size || a->st_mtim.tv_sec != b->st_mtim.tv_sec ||
           a->st_mtim.tv_nsec != b->st_mtim.tv_nsec;
}

/* Into a new file that is open for writing, so that nothing of it is published before the end. */
static int fill(struct import *m, int fd, uint64_t ino, const struct stat *st)
{
    int rc = copy_bytes(m, fd, ino, st);
    if (rc == 0)
        rc = import_xattrs(m, fd, ino);
    bool small = st->st_size <= SMALL_BYTES;
    if (rc == 0)
        rc = import_attr(m, st, ino, small);
    return rc < 0 || small ? rc : set_late(m, st, ino);
}

static int take_once(struct import *m, int fd, struct bytes name, uint64_t dir,
                     const struct stat *st, uint64_t *ret_ino)
{
    struct attr a;
    struct tree_new what = {.mode = S_IFREG | 0600, .caller = {st->st_uid, st->st_gid}};
    int rc = import_clear(m, dir, name);
    if (rc == 0)
        rc = tree_make(m->s->tree, dir, name, &what, &a);
    if (rc == 0)
        rc = tree_open_file(m->s->tree, a.ino, true, false, &a);
    if (rc < 0)
        return rc;
    rc = fill(m, fd, a.ino, st);
    tree_close_file(m->s->tree, a.ino, true);
    *ret_ino = a.ino;
    return rc;
}

static int take(struct import *m, int fd, struct bytes name, uint64_t dir, uint64_t *ret_ino)
{
    struct stat st, after;
    for (int i = 0; i < TRIES; i++) {
        if (fstat(fd, &st) < 0)
            return -errno;
        if (!S_ISREG(st.st_mode))
            return -EAGAIN;
        int rc = take_once(m, fd, name, dir, &st, ret_ino);
        if (rc < 0)
            return rc;
        if (fstat(fd, &after) < 0)
            return -errno;
        if (!has_changed(&st, &after))
            return 0;
    }
    return -EAGAIN;
}

int import_file(struct import *m, int dir_fd, const char *name, uint64_t dir, const struct stat *st)
{
    struct attr a;
    int rc = tree_lookup(m->s->tree, dir, bytes_str(name), &a);
    if (rc == 0 && is_stored(&a, st)) {
        m->done_bytes += (uint64_t)st->st_size;
        rc = import_attr(m, st, a.ino, true);
        return rc < 0 || st->st_nlink < 2
                   ? rc
                   : links_add(&m->links, st->st_dev, st->st_ino, bytes_of(&a.ino, sizeof a.ino));
    }
    if (m->piece == NULL)
        m->piece = malloc(PIECE_BYTES);
    if (m->piece == NULL)
        return -ENOMEM;
    const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    int fd = openat(dir_fd, name, flags | O_NOATIME);
    if (fd < 0 && errno == EPERM)
        fd = openat(dir_fd, name, flags);
    if (fd < 0)
        return import_failed(m, -errno, strerror(errno));
    rc = take(m, fd, bytes_str(name), dir, &a.ino);
    close(fd);
    if (rc == -EAGAIN)
        return import_failed(m, rc, "a program changes it; close it there and try again");
    if (rc == 0 && st->st_nlink > 1)
        rc = links_add(&m->links, st->st_dev, st->st_ino, bytes_of(&a.ino, sizeof a.ino));
    return rc;
}
