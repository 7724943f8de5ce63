/* The bytes and attributes of one file, copied out. */
#include <errno.h>
#include <stdlib.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fs/space/export.h"
#include "fs/tree/acl.h"

enum { PIECE_BYTES = 1 << 20, TRIES = 3 };

static int write_all(int fd, const uint8_t *p, size_t n, uint64_t at)
{
    while (n > 0) {
        ssize_t k = pwrite(fd, p, n, (off_t)at);
        if (k < 0 && errno != EINTR)
            return -errno;
        if (k > 0) {
            p += k;
            n -= (size_t)k;
            at += (uint64_t)k;
        }
    }
    return 0;
}

static int copy_range(struct export *x, uint64_t ino, int fd, uint64_t at, uint64_t end)
{
    while (at < end) {
        size_t want = (size_t)min_u64(end - at, PIECE_BYTES);
        int64_t n = tree_read_unseen(x->s->tree, ino, at, x->piece, want);
        if (n <= 0) /* cut meanwhile: copied again */
            return n == 0 ? 0 : n == -ENOMEM ? -ENOMEM : -ENODATA;
        int rc = write_all(fd, x->piece, (size_t)n, at);
        if (rc < 0)
            return rc;
        at += (uint64_t)n;
        x->done_bytes += (uint64_t)n;
        out_progress(x->out, x->done_bytes, x->total_bytes, "exporting");
        if (out_cancelled(x->out, 0))
            return -ECANCELED;
    }
    return 0;
}

static int copy_once(struct export *x, const struct attr *a, int fd)
{
    struct tree *t = x->s->tree;
    int64_t at = 0;
    int rc = ftruncate(fd, 0) < 0 || ftruncate(fd, (off_t)a->size) < 0 ? -errno : 0;
    while (rc == 0 && (uint64_t)at < a->size) {
        at = tree_seek(t, a->ino, (uint64_t)at, SEEK_DATA);
        int64_t end = at < 0 ? at : tree_seek(t, a->ino, (uint64_t)at, SEEK_HOLE);
        if (end == -ENXIO) /* only a hole is left */
            break;
        if (end < 0)
            return end == -ENOMEM ? -ENOMEM : -ENODATA;
        rc = copy_range(x, a->ino, fd, (uint64_t)at, min_u64((uint64_t)end, a->size));
        at = end;
    }
    return rc;
}

int export_bytes(struct export *x, const struct attr *a, int fd)
{
    struct attr before = *a, after;
    if (x->piece == NULL)
        x->piece = malloc(PIECE_BYTES);
    if (x->piece == NULL)
        return -ENOMEM;
    /* Of a file that is being written all the time, the last try is as good as any. */
    for (int i = 0; i < TRIES; i++) {
        uint64_t done = x->done_bytes;
        int rc = copy_once(x, &before, fd);
        if (rc < 0)
            return rc;
        if (tree_getattr(x->s->tree, a->ino, &after) < 0 || after.changes == before.changes)
            break;
        before = after;
        if (i + 1 < TRIES)
            x->done_bytes = done;
    }
    return 0;
}

static int put_xattrs(struct export *x, const struct attr *a, int fd)
{
    CLEANUP(buf_fini) struct buf names = {0}, value = {0};
    int rc = a->has_xattr ? tree_xattr_list(x->s->tree, a->ino, &names) : 0;
    for (size_t at = 0; rc == 0 && at < names.n;) {
        const char *name = (const char *)names.p + at;
        at += strlen(name) + 1;
        bool acl = acl_kind_of(bytes_str(name)) != ACL_NONE;
        if (strncmp(name, "user.", 5) != 0 && !acl)
            continue;
        buf_reset(&value);
        rc = tree_xattr_get(x->s->tree, a->ino, bytes_str(name), &value);
        if (rc == -ENODATA) { /* removed a moment ago */
            rc = 0;
            continue;
        }
        if (rc == 0 &&
            fsetxattr(fd, name, value.n > 0 ? value.p : (const void *)"", value.n, 0) < 0 &&
            !(acl && errno == EOPNOTSUPP)) /* not every file system has them */
            rc = -errno;
    }
    return rc;
}

int export_attr(struct export *x, const struct attr *a, int fd)
{
    const struct timespec times[] = {a->atime, a->mtime};
    int rc = put_xattrs(x, a, fd);
    if (rc == 0 && (fchmod(fd, a->mode & 07777) < 0 || futimens(fd, times) < 0))
        rc = -errno;
    return rc;
}
