/* fallocate, SEEK_DATA and SEEK_HOLE, copy_file_range, and a check of staging files. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/tree/data.h"

enum { COPY_BYTES = 1 << 20 };

/* ---- fallocate ---- */

static int block_to_hole(struct op *x, struct attr *a, struct segment *s, uint64_t block,
                         uint64_t zero_sum)
{
    unsigned i = (unsigned)(block % SEGMENT_BLOCKS);
    uint64_t bit = UINT64_C(1) << i;
    bool based = a->has_base && block * BLOCK_BYTES < a->base_size;
    if ((s->redo & bit) != 0) {
        uint8_t key[16];
        redo_key(a->ino, block, key);
        db_batch_delete(x->batch, DB_REDO, bytes_of(key, sizeof key));
        s->redo &= ~bit;
    }
    if (!based && (s->valid & bit) == 0)
        return 0;
    a->allocated -= min_u64(a->allocated, BLOCK_BYTES);
    /* Over a base the block has to say that it is zeros; else not to be there is enough. */
    s->valid = based ? s->valid | bit : s->valid & ~bit;
    s->on_disk &= s->valid;
    s->sums[i] = based ? zero_sum : 0;
    s->changed = true;
    return 0;
}

static int punch_blocks(struct op *x, struct attr *a, struct file *f, uint64_t from, uint64_t end)
{
    static const uint8_t zeros[BLOCK_BYTES];
    uint64_t zero_sum = block_sum(zeros);
    int rc = file_open_staging(x->t, a, f);
    for (uint64_t block = from; block < end && rc == 0; block++) {
        struct segment *s;
        rc = map_segment(x, a, f, block / SEGMENT_BLOCKS, &s);
        if (rc == 0)
            rc = block_to_hole(x, a, s, block, zero_sum);
    }
    if (rc < 0 || from >= end)
        return rc;
    a->unsynced = true;
    f->dirty_many = true;
    atomic_fetch_add(&f->staging->refs, 1);
    x->staging = f->staging;
    x->punch_from = from * BLOCK_BYTES;
    x->punch_end = end * BLOCK_BYTES;
    return map_flush(x, a, f);
}

static int zero_range(struct op *x, struct attr *a, struct file *f, uint64_t offset, uint64_t end)
{
    end = min_u64(end, a->size);
    if (offset >= end || a->data == ATTR_DATA_NONE)
        return 0;
    int rc = file_prepare(x, a, f, a->size);
    if (rc < 0 || a->data == ATTR_DATA_SMALL)
        return rc < 0 ? rc : file_write(x, a, f, offset, NULL, (size_t)(end - offset));
    uint64_t first = (offset + BLOCK_BYTES - 1) / BLOCK_BYTES, last = end / BLOCK_BYTES;
    if (first > last) /* inside one block */
        return file_write(x, a, f, offset, NULL, (size_t)(end - offset));
    if (first * BLOCK_BYTES > offset)
        rc = file_write(x, a, f, offset, NULL, (size_t)(first * BLOCK_BYTES - offset));
    /* In this order: a segment that has made way is not read again before the commit. */
    if (rc == 0)
        rc = punch_blocks(x, a, f, first, last);
    if (rc == 0 && end > last * BLOCK_BYTES)
        rc = file_write(x, a, f, last * BLOCK_BYTES, NULL, (size_t)(end - last * BLOCK_BYTES));
    return rc;
}

static int fallocate_in(struct op *x, struct attr *a, struct file *f, int mode, uint64_t offset,
                        uint64_t end)
{
    int rc = 0;
    if (!attr_is_file(a))
        return attr_is_dir(a) ? -EISDIR : -ENODEV;
    if ((mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0)
        rc = zero_range(x, a, f, offset, end);
    struct timespec now = attr_now();
    if (rc == 0 && (mode & FALLOC_FL_KEEP_SIZE) == 0 && end > a->size) {
        rc = file_prepare(x, a, f, end);
        if (rc == 0 && a->data == ATTR_DATA_SMALL)
            rc = file_write(x, a, f, a->size, NULL, (size_t)(end - a->size));
        else if (rc == 0)
            rc = file_grow(x, a, f);
        if (rc == 0)
            a->size = end;
    }
    /* Space is taken for real where there is a file to take it for. */
    if (rc == 0 && (mode & FALLOC_FL_PUNCH_HOLE) == 0 && a->data == ATTR_DATA_STAGED) {
        rc = file_open_staging(x->t, a, f);
        if (rc == 0 &&
            fallocate(f->staging->fd, FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)(end - offset)) <
                0 &&
            errno == ENOSPC)
            rc = -ENOSPC;
    }
    if ((mode & FALLOC_FL_PUNCH_HOLE) == 0)
        a->allocated =
            max_u64(a->allocated, block_round(min_u64(end, a->size) - min_u64(offset, a->size)));
    if (rc == 0)
        file_changed(x, a, &now);
    return rc;
}

int tree_fallocate(struct tree *t, uint64_t ino, int mode, uint64_t offset, uint64_t length)
{
    const int known = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE;
    if ((mode & ~known) != 0)
        return -EOPNOTSUPP;
    if (length == 0)
        return -EINVAL;
    if (length > FILE_BYTES_MAX || offset > FILE_BYTES_MAX - length)
        return -EFBIG;
    int rc = (mode & FALLOC_FL_PUNCH_HOLE) != 0 ? 0 : tree_room(t, length);
    struct op x;
    struct attr *a;
    if (rc == 0)
        rc = op_begin_write(t, ino, &x, &a);
    if (rc < 0)
        return rc;
    struct node *n = op_node_of(&x, a);
    struct file *f = file_of(n);
    rc = f == NULL ? -ENOMEM : fallocate_in(&x, a, f, mode, offset, offset + length);
    file_rest(n);
    rc = rc < 0 ? op_abort(&x, rc) : op_commit(&x);
    if (rc == 0)
        tree_tell(t, TREE_INODE, ino);
    return rc;
}

/* ---- SEEK_DATA, SEEK_HOLE ---- */

/* The first valid block at or after @block; UINT64_MAX when there is none. */
static int next_valid(struct tree *t, uint64_t ino, uint64_t block, uint64_t *ret)
{
    uint8_t from[16];
    put_u64(from, ino);
    put_u64(from + 8, block / SEGMENT_BLOCKS);
    struct db_iter *it = db_iter_new(t->db, DB_MAP, bytes_of(from, 8), NULL);
    if (it == NULL)
        return -ENOMEM;
    db_iter_seek(it, bytes_of(from, sizeof from));
    *ret = UINT64_MAX;
    int bad = 0;
    while (bad == 0 && *ret == UINT64_MAX && db_iter_next(it)) {
        struct segment s = {0};
        uint64_t index = get_u64(db_iter_key(it).p + 8);
        bad = segment_decode(db_iter_value(it), index, &s);
        uint64_t valid = s.valid;
        if (index == block / SEGMENT_BLOCKS)
            valid &= UINT64_MAX << block % SEGMENT_BLOCKS;
        if (valid != 0)
            *ret = index * SEGMENT_BLOCKS + (uint64_t)__builtin_ctzll(valid);
    }
    int rc = bad < 0 ? bad : db_iter_status(it);
    db_iter_free(it);
    return rc;
}

static int base_next(struct op *x, const struct attr *a, struct file *f, uint64_t offset, bool data,
                     uint64_t *ret)
{
    if (!a->has_base || offset >= a->base_size) {
        *ret = data ? UINT64_MAX : offset;
        return 0;
    }
    int rc = file_open_base(x->t, a, f);
    if (rc == 0)
        rc = data ? content_next_data(f->base->content, offset, ret)
                  : content_next_hole(f->base->content, offset, ret);
    if (rc == -ENXIO) {
        *ret = data ? UINT64_MAX : a->base_size;
        rc = 0;
    }
    if (rc == 0 && *ret >= a->base_size)
        *ret = data ? UINT64_MAX : a->base_size;
    return rc;
}

static int staged_next_data(struct op *x, const struct attr *a, struct file *f, uint64_t offset,
                            uint64_t *ret)
{
    uint64_t block, based;
    int rc = next_valid(x->t, a->ino, offset / BLOCK_BYTES, &block);
    if (rc == 0)
        rc = base_next(x, a, f, offset, true, &based);
    if (rc == 0)
        *ret = min_u64(block == UINT64_MAX ? block : max_u64(offset, block * BLOCK_BYTES), based);
    return rc;
}

static int staged_next_hole(struct op *x, const struct attr *a, struct file *f, uint64_t offset,
                            uint64_t *ret)
{
    while (offset < a->size) {
        uint64_t block = offset / BLOCK_BYTES, valid, hole;
        int rc = next_valid(x->t, a->ino, block, &valid);
        if (rc < 0)
            return rc;
        if (valid == block) {
            offset = (block + 1) * BLOCK_BYTES;
            continue;
        }
        rc = base_next(x, a, f, offset, false, &hole);
        if (rc < 0)
            return rc;
        uint64_t end = valid == UINT64_MAX ? a->size : valid * BLOCK_BYTES;
        if (hole < end) {
            *ret = hole;
            return 0;
        }
        offset = end;
    }
    *ret = a->size;
    return 0;
}

static int seek_in(struct op *x, const struct attr *a, struct file *f, uint64_t offset, bool data,
                   uint64_t *ret)
{
    switch (a->data) {
    case ATTR_DATA_SMALL:
        *ret = data ? offset : a->size;
        return 0;
    case ATTR_DATA_VERSION:
        return base_next(x, a, f, offset, data, ret);
    case ATTR_DATA_STAGED:
        return data ? staged_next_data(x, a, f, offset, ret)
                    : staged_next_hole(x, a, f, offset, ret);
    case ATTR_DATA_NONE:
        break;
    }
    *ret = data ? UINT64_MAX : offset;
    return 0;
}

int64_t tree_seek(struct tree *t, uint64_t ino, uint64_t offset, int whence)
{
    if (whence != SEEK_DATA && whence != SEEK_HOLE)
        return -EINVAL;
    struct op x;
    struct attr *a;
    int rc = op_begin_on(t, ino, &x, &a);
    if (rc < 0)
        return rc;
    struct node *n = op_node_of(&x, a);
    struct file *f = file_of(n);
    uint64_t at = 0, size = a->size;
    if (f == NULL)
        rc = -ENOMEM;
    else if (offset >= size)
        rc = -ENXIO;
    else
        rc = seek_in(&x, a, f, offset, whence == SEEK_DATA, &at);
    file_rest(n);
    (void)op_abort(&x, 0);
    if (rc == 0 && whence == SEEK_DATA && at >= size)
        rc = -ENXIO;
    return rc < 0 ? rc : (int64_t)min_u64(at, size);
}

int tree_dirty(struct tree *t, uint64_t ino, struct buf *ret)
{
    uint8_t prefix[8];
    put_u64(prefix, ino);
    struct db_iter *it = db_iter_new(t->db, DB_MAP, bytes_of(prefix, sizeof prefix), NULL);
    if (it == NULL)
        return -ENOMEM;
    uint64_t range[2] = {0, 0};
    int bad = 0;
    while (bad == 0 && db_iter_next(it)) {
        struct bytes key = db_iter_key(it);
        struct segment s = {0};
        bad = key.n != 16 ? -EUCLEAN : segment_decode(db_iter_value(it), get_u64(key.p + 8), &s);
        uint64_t at = s.index * SEGMENT_BYTES, valid = s.valid;
        for (; valid != 0; valid >>= 1, at += BLOCK_BYTES) {
            if ((valid & 1) == 0)
                continue;
            if (at != range[1]) {
                if (range[1] > range[0])
                    buf_put(ret, range, sizeof range);
                range[0] = at;
            }
            range[1] = at + BLOCK_BYTES;
        }
    }
    if (range[1] > range[0])
        buf_put(ret, range, sizeof range);
    int rc = bad < 0 ? bad : db_iter_status(it);
    db_iter_free(it);
    return rc < 0 ? rc : buf_status(ret);
}

/* ---- copy_file_range ---- */

/* A whole published file into an empty one: the copy is based on the same version. 1: done. */
static int share(struct tree *t, uint64_t from, uint64_t to, uint64_t n)
{
    struct op x;
    int rc = op_begin(t, true, &x);
    if (rc < 0)
        return rc;
    struct attr *a, *b;
    rc = op_add(&x, from, &a);
    if (rc == 0)
        rc = op_add(&x, to, &b);
    if (rc < 0 || a == b || a->data != ATTR_DATA_VERSION || b->size != 0 || n < a->size ||
        a->size <= TREE_SMALL_MAX)
        return op_abort(&x, rc < 0 ? rc : 0);
    rc = gone_back(&x, b);
    if (rc < 0)
        return op_abort(&x, rc);
    struct node *node = op_node_of(&x, b);
    struct timespec now = attr_now();
    file_drop(&x, node, b);
    b->data = ATTR_DATA_VERSION;
    b->has_base = true;
    b->base = a->base;
    b->base_size = a->base_size;
    b->size = a->size;
    file_changed(&x, b, &now);
    base_use_put(&x, &a->base, to);
    rc = op_commit(&x);
    return rc < 0 ? rc : 1;
}

int64_t tree_copy(struct tree *t, uint64_t from, uint64_t from_offset, uint64_t to,
                  uint64_t to_offset, uint64_t n)
{
    struct attr a;
    int rc = node_peek(t, from, &a);
    if (rc < 0)
        return rc;
    if (from_offset >= a.size)
        return 0;
    n = min_u64(n, a.size - from_offset);
    if (from_offset == 0 && to_offset == 0) {
        rc = share(t, from, to, n);
        if (rc != 0) {
            tree_tell(t, TREE_INODE, to);
            return rc < 0 ? rc : (int64_t)n;
        }
    }
    size_t chunk = (size_t)min_u64(n, COPY_BYTES);
    uint8_t *p = malloc(chunk);
    if (p == NULL)
        return -ENOMEM;
    uint64_t done = 0;
    int64_t k = 1;
    while (done < n && k > 0) {
        k = tree_read(t, from, from_offset + done, p, (size_t)min_u64(chunk, n - done));
        if (k <= 0)
            break;
        struct tree_write how = {.offset = to_offset + done};
        rc = tree_write(t, to, bytes_of(p, (size_t)k), &how);
        if (rc < 0)
            k = rc;
        else
            done += (uint64_t)k;
    }
    free(p);
    return done > 0 || k >= 0 ? (int64_t)done : k;
}
