/* Writing and truncating of file data. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "fs/tree/data.h"

/* A long run goes to the disk while the next one is written: then fsync has little to wait for. */
static void note_run(struct staging *s, uint64_t offset, size_t n)
{
    if (offset != s->run_end)
        s->run_from = offset;
    s->run_end = offset + n;
    if (s->run_end - s->run_from < RUN_BYTES)
        return;
    sync_file_range(s->fd, (off_t)s->run_from, (off_t)(s->run_end - s->run_from),
                    SYNC_FILE_RANGE_WRITE);
    s->run_from = s->run_end;
}

static int staging_write(struct staging *s, uint64_t offset, const uint8_t *p, size_t n)
{
    uint64_t from = offset;
    while (n > 0) {
        ssize_t k = pwrite(s->fd, p, n, (off_t)offset);
        if (k < 0 && errno != EINTR)
            return errno == EDQUOT ? -ENOSPC : -errno;
        if (k > 0) {
            p += k;
            n -= (size_t)k;
            offset += (uint64_t)k;
        }
    }
    note_run(s, from, (size_t)(offset - from));
    return 0;
}

void file_changed(struct op *x, struct attr *a, const struct timespec *now)
{
    a->mtime = a->ctime = *now;
    a->changes++;
    if (!a->dirty) {
        a->dirty = true;
        op_pending_inode(x, a);
    }
    a->half = a->bound;
    op_put(x, a);
}

/*
 * Who syncs after each few blocks will do so again: the copy that fsync would make is made with the
 * write, so that fsync finds all in the log.
 */
static bool copy_at_once(struct file *f)
{
    f->since_sync += f->since_sync < UINT_MAX;
    return f->syncs_often && f->since_sync <= OFTEN_BLOCKS && f->syncing == 0 &&
           f->redo_n < REDO_BLOCKS_MAX;
}

/* Notes a written block: its checksum, and what fsync has to do for it. */
static void note_block(struct op *x, struct attr *a, struct file *f, struct segment *s,
                       uint64_t block, const uint8_t *bytes)
{
    unsigned i = (unsigned)(block % SEGMENT_BLOCKS);
    uint64_t bit = UINT64_C(1) << i;
    bool based = a->has_base && block * BLOCK_BYTES < a->base_size;
    if ((s->valid & bit) == 0 && !based)
        a->allocated += BLOCK_BYTES;
    s->sums[i] = block_sum(bytes);
    s->valid |= bit;
    s->changed = true;
    if ((s->redo & bit) == 0 && copy_at_once(f)) {
        s->redo |= bit;
        s->on_disk |= bit;
        f->redo_n++;
    }
    if ((s->redo & bit) != 0) {
        uint8_t key[16];
        redo_key(a->ino, block, key);
        db_batch_put(x->batch, DB_REDO, bytes_of(key, sizeof key), bytes_of(bytes, BLOCK_BYTES));
        return;
    }
    a->unsynced = true;
    if (f->dirty_many || (f->dirty_n > 0 && f->dirty[f->dirty_n - 1] == block))
        return;
    if (f->dirty_n == DIRTY_BLOCKS_MAX)
        f->dirty_many = true;
    else
        f->dirty[f->dirty_n++] = block;
}

/* Bytes of one block, the rest of it being what the file had there. */
static int write_part(struct op *x, struct attr *a, struct file *f, uint64_t offset,
                      const uint8_t *p, size_t n)
{
    uint8_t bytes[BLOCK_BYTES] = {0};
    uint64_t start = offset - offset % BLOCK_BYTES;
    int rc = 0;
    if (start < a->size)
        rc = file_read(x, a, f, start, bytes, (size_t)min_u64(BLOCK_BYTES, a->size - start));
    if (rc < 0)
        return rc;
    if (p != NULL)
        memcpy(bytes + offset % BLOCK_BYTES, p, n);
    else
        memset(bytes + offset % BLOCK_BYTES, 0, n);
    rc = staging_write(f->staging, start, bytes, BLOCK_BYTES);
    if (rc < 0)
        return rc;
    struct segment *s;
    rc = map_segment(x, a, f, start / SEGMENT_BYTES, &s);
    if (rc == 0)
        note_block(x, a, f, s, start / BLOCK_BYTES, bytes);
    return rc;
}

/* Whole blocks, aligned. */
static int write_blocks(struct op *x, struct attr *a, struct file *f, uint64_t offset,
                        const uint8_t *p, size_t n)
{
    int rc = staging_write(f->staging, offset, p, n);
    for (size_t at = 0; at < n && rc == 0; at += BLOCK_BYTES) {
        struct segment *s;
        rc = map_segment(x, a, f, (offset + at) / SEGMENT_BYTES, &s);
        if (rc == 0)
            note_block(x, a, f, s, (offset + at) / BLOCK_BYTES, p + at);
    }
    return rc;
}

static int staged_write(struct op *x, struct attr *a, struct file *f, uint64_t offset,
                        const uint8_t *p, size_t n)
{
    static const uint8_t zeros[SEGMENT_BYTES];
    int rc = file_open_staging(x->t, a, f);
    while (n > 0 && rc == 0) {
        size_t in_block = (size_t)(offset % BLOCK_BYTES), k;
        if (in_block != 0 || n < BLOCK_BYTES) {
            k = (size_t)min_u64(n, BLOCK_BYTES - in_block);
            rc = write_part(x, a, f, offset, p, k);
        } else {
            k = n - n % BLOCK_BYTES;
            if (p == NULL)
                k = (size_t)min_u64(k, sizeof zeros);
            rc = write_blocks(x, a, f, offset, p != NULL ? p : zeros, k);
        }
        p = p != NULL ? p + k : NULL;
        n -= k;
        offset += k;
    }
    return rc < 0 ? rc : map_flush(x, a, f);
}

int file_to_staged(struct op *x, struct attr *a, struct file *f)
{
    CLEANUP(buf_fini) struct buf all = {0};
    if (a->data == ATTR_DATA_SMALL) {
        int rc = small_load(x->t, a, f);
        if (rc < 0)
            return rc;
        buf_put(&all, f->small.p, (size_t)a->size);
        if (buf_status(&all) < 0)
            return -ENOMEM;
        small_drop(x, a);
        small_forget(f);
        a->base_size = 0; /* what shows is all in the bytes just taken */
        a->allocated = 0;
    }
    a->data = ATTR_DATA_STAGED;
    a->unsynced = true;
    f->dirty_many = false; /* nothing was staged so far */
    f->dirty_n = 0;
    int rc = staged_write(x, a, f, 0, all.p, all.n);
    if (rc < 0 || all.n == 0)
        return rc;
    /* The database gives up bytes that may have been synced: it keeps them here instead. */
    rc = file_redo_dirty(x, a, f);
    f->dirty_n = 0;
    return rc;
}

/* A small file with the bytes that the base shows; they are stored with the first write. */
static int to_small(struct op *x, struct attr *a, struct file *f)
{
    small_forget(f);
    int rc = buf_resize(&f->small, (size_t)a->size);
    if (rc == 0)
        rc = file_read(x, a, f, 0, f->small.p, f->small.n);
    if (rc < 0)
        return rc;
    f->small_loaded = true;
    a->data = ATTR_DATA_SMALL;
    a->base_size = 0;
    return 0;
}

int file_prepare(struct op *x, struct attr *a, struct file *f, uint64_t size)
{
    bool small = size <= TREE_SMALL_MAX;
    switch (a->data) {
    case ATTR_DATA_NONE:
    case ATTR_DATA_VERSION:
        return small ? to_small(x, a, f) : file_to_staged(x, a, f);
    case ATTR_DATA_SMALL:
        return small ? 0 : file_to_staged(x, a, f);
    case ATTR_DATA_STAGED:
        break;
    }
    return 0;
}

int file_write(struct op *x, struct attr *a, struct file *f, uint64_t offset, const uint8_t *p,
               size_t n)
{
    int rc = file_prepare(x, a, f, max_u64(a->size, offset + n));
    if (rc == 0 && offset > a->size)
        rc = file_grow(x, a, f);
    if (rc < 0)
        return rc;
    return a->data == ATTR_DATA_SMALL ? small_write(x, a, f, offset, p, n)
                                      : staged_write(x, a, f, offset, p, n);
}

int tree_write(struct tree *t, uint64_t ino, struct bytes data, const struct tree_write *how)
{
    int rc = tree_room(t, data.n + 1024);
    struct op x;
    struct attr *a;
    if (rc == 0)
        rc = op_begin_write(t, ino, &x, &a);
    if (rc < 0)
        return rc;
    struct node *node = op_node_of(&x, a);
    struct file *f = file_of(node);
    uint64_t offset = how->append ? a->size : how->offset;
    if (f == NULL)
        rc = -ENOMEM;
    else if (!attr_is_file(a))
        rc = -EINVAL;
    else if (data.n > FILE_BYTES_MAX || offset > FILE_BYTES_MAX - data.n)
        rc = -EFBIG;
    else if (f->stale && !how->append && !how->adds)
        rc = stale_write(&x, node, a, offset);
    if (rc == 0)
        rc = file_write(&x, a, f, offset, data.p, data.n);
    if (rc == 0) {
        struct timespec now = attr_now();
        a->size = max_u64(a->size, offset + data.n);
        file_changed(&x, a, &now);
        if (how->kill_suid)
            op_kill_suid(&x, a);
    }
    file_rest(node);
    bool bound = a->bound; /* else it is published with its name, which was told of */
    rc = rc < 0 ? op_abort(&x, rc) : op_commit(&x);
    if (rc == 0 && bound)
        tree_tell(t, TREE_INODE, ino);
    return rc;
}

int file_grow(struct op *x, struct attr *a, struct file *f)
{
    size_t in_block = (size_t)(a->size % BLOCK_BYTES);
    if (a->data != ATTR_DATA_STAGED || in_block == 0)
        return 0;
    struct segment *s;
    int rc = map_segment(x, a, f, a->size / SEGMENT_BYTES, &s);
    if (rc < 0 || (s->valid >> (a->size % SEGMENT_BYTES / BLOCK_BYTES) & 1) == 0)
        return rc;
    return staged_write(x, a, f, a->size, NULL, BLOCK_BYTES - in_block);
}

/*
 * Cuts a staged file: blocks past the end are forgotten. The rest of the last block stays as it is
 * until the file grows: zeros now would be there before the batch is, and outlive its loss.
 */
static int staged_cut(struct op *x, struct attr *a, struct file *f, uint64_t size)
{
    uint64_t block_end = (size + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
    int rc = file_open_staging(x->t, a, f);
    if (rc < 0)
        return rc;
    uint64_t block = block_end / BLOCK_BYTES, index = block / SEGMENT_BLOCKS;
    if (block % SEGMENT_BLOCKS != 0) {
        struct segment *s;
        rc = map_segment(x, a, f, index, &s);
        if (rc < 0)
            return rc;
        uint64_t keep = (UINT64_C(1) << block % SEGMENT_BLOCKS) - 1;
        s->valid &= keep;
        s->redo &= keep;
        s->on_disk &= keep;
        s->changed = true;
        index++;
    }
    map_delete_from(x, a, f, index);
    redo_delete_from(x, a->ino, block);
    atomic_fetch_add(&f->staging->refs, 1);
    x->staging = f->staging;
    x->cut_from = block_end;
    return map_flush(x, a, f);
}

static int cut(struct op *x, struct node *n, struct attr *a, struct file *f, uint64_t size)
{
    if (size == 0 && a->data != ATTR_DATA_NONE) {
        file_drop(x, n, a);
        a->base_size = a->allocated = 0;
        return 0;
    }
    int rc = 0;
    if (a->data == ATTR_DATA_SMALL) {
        rc = small_resize(x, a, f, (size_t)size);
    } else if (a->data == ATTR_DATA_STAGED) {
        rc = staged_cut(x, a, f, size);
    }
    a->base_size = min_u64(a->base_size, size);
    a->allocated = min_u64(a->allocated, block_round(size));
    return rc;
}

int file_truncate(struct op *x, struct node *n, struct attr *a, uint64_t size,
                  const struct timespec *now)
{
    if (size > FILE_BYTES_MAX)
        return -EFBIG;
    if (size == a->size) {
        /* As with a local disk: the times change, the content does not. */
        a->mtime = a->ctime = *now;
        return 0;
    }
    struct file *f = file_of(n);
    if (f == NULL)
        return -ENOMEM;
    int rc = 0;
    if (size < a->size)
        rc = cut(x, n, a, f, size);
    else if (a->data == ATTR_DATA_SMALL && size > TREE_SMALL_MAX)
        rc = file_to_staged(x, a, f);
    else if (a->data == ATTR_DATA_SMALL)
        rc = small_resize(x, a, f, (size_t)size);
    else
        rc = file_grow(x, a, f);
    if (rc == 0) {
        a->size = size;
        file_changed(x, a, now);
        /* Without a program that writes on, this is the whole of the change. */
        a->half = a->half && f->writers > 0;
        f->cut = f->writers > 0 && (size == 0 || f->cut);
    }
    file_rest(n);
    return rc;
}
