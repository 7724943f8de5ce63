/* Reading of file data, wherever it is. */
#include <errno.h>
#include <unistd.h>

#include "fs/tree/data.h"
#include "fs/tree/seen.h"

/* Reads exactly @n bytes of a staging file; past its end are zeros. */
static int staging_read(struct staging *s, uint64_t offset, uint8_t *p, size_t n)
{
    while (n > 0) {
        ssize_t k = pread(s->fd, p, n, (off_t)offset);
        if (k < 0 && errno != EINTR)
            return -errno;
        if (k == 0) {
            memset(p, 0, n);
            return 0;
        }
        if (k > 0) {
            p += k;
            n -= (size_t)k;
            offset += (uint64_t)k;
        }
    }
    return 0;
}

/* What the file has where no block was written: the base, then zeros. */
static int base_read(struct op *x, const struct attr *a, struct file *f, uint64_t offset,
                     uint8_t *p, size_t n)
{
    size_t from_base = 0;
    if (a->has_base && offset < a->base_size) {
        from_base = (size_t)min_u64(n, a->base_size - offset);
        int rc = file_open_base(x->t, a, f);
        if (rc < 0)
            return rc;
        ssize_t k = content_read(f->base->content, offset, p, from_base);
        if (k < 0)
            return (int)k;
        if ((size_t)k < from_base)
            return -EUCLEAN;
    }
    memset(p + from_base, 0, n - from_base);
    return 0;
}

static int staged_read(struct op *x, const struct attr *a, struct file *f, uint64_t offset,
                       uint8_t *p, size_t n)
{
    while (n > 0) {
        /* A run of blocks of one kind, within one segment. */
        struct segment *s;
        int rc = map_segment(x, a, f, offset / SEGMENT_BYTES, &s);
        if (rc < 0)
            return rc;
        unsigned i = (unsigned)(offset % SEGMENT_BYTES / BLOCK_BYTES);
        bool valid = (s->valid >> i & 1) != 0;
        uint64_t end = offset - offset % BLOCK_BYTES;
        do {
            end += BLOCK_BYTES;
            i++;
        } while (i < SEGMENT_BLOCKS && ((s->valid >> i & 1) != 0) == valid && end < offset + n);
        size_t k = (size_t)min_u64(n, end - offset);
        if (valid) {
            rc = file_open_staging(x->t, a, f);
            if (rc == 0)
                rc = staging_read(f->staging, offset, p, k);
        } else {
            rc = base_read(x, a, f, offset, p, k);
        }
        if (rc < 0)
            return rc;
        p += k;
        n -= k;
        offset += k;
    }
    return 0;
}

int file_read(struct op *x, const struct attr *a, struct file *f, uint64_t offset, uint8_t *p,
              size_t n)
{
    int rc;
    switch (a->data) {
    case ATTR_DATA_SMALL:
        rc = small_load(x->t, a, f);
        if (rc == 0 && n > 0)
            memcpy(p, f->small.p + offset, n);
        return rc;
    case ATTR_DATA_STAGED:
        return staged_read(x, a, f, offset, p, n);
    case ATTR_DATA_VERSION:
        return base_read(x, a, f, offset, p, n);
    case ATTR_DATA_NONE:
        break;
    }
    if (n > 0)
        memset(p, 0, n);
    return 0;
}

/* A published file is read without its lock, by as many threads as there are readers. */
static int64_t read_published(struct op *x, const struct attr *a, struct file *f, uint64_t offset,
                              uint8_t *p, size_t n)
{
    int rc = file_open_base(x->t, a, f);
    if (rc < 0)
        return op_abort(x, rc);
    struct base *b = f->base;
    atomic_fetch_add(&b->refs, 1);
    uint64_t base_size = a->base_size;
    (void)op_abort(x, 0);
    size_t from_base = offset < base_size ? (size_t)min_u64(n, base_size - offset) : 0;
    ssize_t k = from_base == 0 ? 0 : content_read(b->content, offset, p, from_base);
    base_put(b);
    if (k < 0)
        return k;
    if ((size_t)k < from_base)
        return -EUCLEAN;
    memset(p + from_base, 0, n - from_base);
    return (int64_t)n;
}

static int64_t read_any(struct tree *t, uint64_t ino, uint64_t offset, void *p, size_t n,
                        bool touch)
{
    struct op x;
    struct attr *a;
    int rc = op_begin_on(t, ino, &x, &a);
    if (rc < 0)
        return rc;
    if (!attr_is_file(a))
        return op_abort(&x, attr_is_dir(a) ? -EISDIR : -EINVAL);
    struct node *node = op_node_of(&x, a);
    struct file *f = file_of(node);
    if (f == NULL)
        return op_abort(&x, -ENOMEM);
    n = offset >= a->size ? 0 : (size_t)min_u64(n, a->size - offset);
    if (touch && f->stale) {
        f->stale = false;
        seen_read(t->seen, a);
    }
    bool flush = touch && atime_touch(t, node);
    int64_t got = (int64_t)n;
    if (n > 0 && a->data == ATTR_DATA_VERSION && file_in_use(f)) {
        got = read_published(&x, a, f, offset, p, n);
    } else {
        rc = file_read(&x, a, f, offset, p, n);
        file_rest(node);
        (void)op_abort(&x, 0);
        if (rc < 0)
            got = rc;
    }
    if (flush)
        atime_flush(t);
    return got;
}

int64_t tree_read(struct tree *t, uint64_t ino, uint64_t offset, void *p, size_t n)
{
    return read_any(t, ino, offset, p, n, true);
}

int64_t tree_read_unseen(struct tree *t, uint64_t ino, uint64_t offset, void *p, size_t n)
{
    return read_any(t, ino, offset, p, n, false);
}
