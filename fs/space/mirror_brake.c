/* Whether a run of the mirror would take away more than anybody wants to lose at once. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/space/mirror_priv.h"

/* What a file is known by, wherever it is: one that was moved is still there. */
struct mark {
    uint64_t mtime, size;
};

static int by_mark(const void *a, const void *b)
{
    const struct mark *x = a, *y = b;
    int by_time = (x->mtime > y->mtime) - (x->mtime < y->mtime);
    return by_time != 0 ? by_time : (x->size > y->size) - (x->size < y->size);
}

/* ---- the two sides ---- */

static int host_entry(struct mirror *m, int fd, const char *name, unsigned depth, struct buf *ret);

static int host_dir(struct mirror *m, int fd, unsigned depth, struct buf *ret)
{
    CLEANUP(buf_fini) struct buf names = {0};
    int rc = depth < MIRROR_DEPTH_MAX ? mirror_host_names(fd, &names) : -ELOOP;
    struct reader r = reader_of(buf_bytes(&names));
    while (rc == 0 && r.n > 0) {
        char name[TREE_NAME_MAX + 1];
        size_t n = reader_u8(&r);
        reader_copy(&r, (uint8_t *)name, n);
        name[n] = '\0';
        rc = host_entry(m, fd, name, depth, ret);
    }
    return rc;
}

static int host_entry(struct mirror *m, int fd, const char *name, unsigned depth, struct buf *ret)
{
    struct stat st;
    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (S_ISREG(st.st_mode)) {
        struct mark mark = {mirror_ns(&st.st_mtim), (uint64_t)st.st_size};
        buf_put(ret, &mark, sizeof mark);
        return buf_status(ret);
    }
    if (!S_ISDIR(st.st_mode))
        return 0;
    int sub = mirror_open_dir(fd, name);
    if (sub < 0)
        return sub;
    int rc = host_dir(m, sub, depth + 1, ret);
    close(sub);
    return rc;
}

static int space_dir(struct mirror *m, uint64_t dir, unsigned depth, struct buf *ret)
{
    CLEANUP(buf_fini) struct buf names = {0};
    int rc = depth < MIRROR_DEPTH_MAX ? mirror_space_names(m, dir, &names) : -ELOOP;
    struct reader r = reader_of(buf_bytes(&names));
    while (rc == 0 && r.n > 0) {
        struct attr a;
        size_t n = reader_u8(&r);
        rc = tree_lookup(m->cfg.space->tree, dir, reader_bytes(&r, n), &a);
        if (rc == 0 && attr_is_dir(&a)) {
            rc = space_dir(m, a.ino, depth + 1, ret);
        } else if (rc == 0 && attr_is_file(&a)) {
            struct mark mark = {mirror_ns(&a.mtime), a.size};
            buf_put(ret, &mark, sizeof mark);
            rc = buf_status(ret);
        } else if (rc == -ENOENT) { /* gone meanwhile */
            rc = 0;
        }
    }
    return rc;
}

/* ---- compared ---- */

static size_t sort(struct buf *b)
{
    size_t n = b->n / sizeof(struct mark);
    if (n > 0)
        qsort(b->p, n, sizeof(struct mark), by_mark);
    return n;
}

static struct mark at(const struct buf *b, size_t i)
{
    struct mark mark;
    memcpy(&mark, b->p + i * sizeof mark, sizeof mark);
    return mark;
}

/* How many marks of @a are in @b, too. */
static size_t common(struct buf *a, struct buf *b)
{
    size_t an = sort(a), bn = sort(b), n = 0;
    for (size_t i = 0, j = 0; i < an && j < bn;) {
        struct mark x = at(a, i), y = at(b, j);
        int order = by_mark(&x, &y);
        n += order == 0;
        i += order <= 0;
        j += order >= 0;
    }
    return n;
}

int mirror_brake(struct mirror *m, int fd)
{
    CLEANUP(buf_fini) struct buf host = {0}, space = {0};
    int rc = host_dir(m, fd, 0, &host);
    size_t n = host.n / sizeof(struct mark);
    if (rc < 0 || n < MIRROR_BRAKE_MIN)
        return rc;
    rc = space_dir(m, TREE_ROOT, 0, &space);
    return rc < 0 ? rc : 2 * common(&host, &space) < n;
}
