/*
 * Small files: in DB_DATA, a row for each 4 KiB, so that a write costs what it writes:
 *
 *   ino                -> bytes 0 to 4095 (of a symlink: its target)
 *   ino, u8 number n   -> bytes n * 4096 and on
 */
#include <errno.h>

#include "fs/tree/data.h"

enum { KEY_MAX = 9 };

_Static_assert(TREE_SMALL_MAX / BLOCK_BYTES <= UINT8_MAX, "the number of a row is one byte");

static struct bytes row_key(uint64_t ino, size_t block, uint8_t key[KEY_MAX])
{
    node_key(ino, key);
    key[8] = (uint8_t)block;
    return bytes_of(key, block == 0 ? 8 : 9);
}

static size_t blocks_of(uint64_t size)
{
    return (size_t)(block_round(size) / BLOCK_BYTES);
}

static int load_row(struct tree *t, uint64_t ino, size_t block, struct buf *to)
{
    uint8_t key[KEY_MAX];
    struct db_value v;
    int rc = db_get(t->db, DB_DATA, row_key(ino, block, key), &v);
    if (rc == 0 && v.v.n <= to->n - block * BLOCK_BYTES)
        memcpy(to->p + block * BLOCK_BYTES, v.v.p, v.v.n);
    else if (rc == 0)
        rc = -EUCLEAN;
    db_value_fini(&v);
    return rc == -ENOENT ? -EUCLEAN : rc;
}

int small_load(struct tree *t, const struct attr *a, struct file *f)
{
    if (f->small_loaded)
        return 0;
    small_forget(f);
    int rc = a->size > TREE_SMALL_MAX ? -EUCLEAN : buf_resize(&f->small, (size_t)a->size);
    for (size_t i = 0; rc == 0 && i < blocks_of(a->size); i++)
        rc = load_row(t, a->ino, i, &f->small);
    f->small_stored = f->small.n;
    f->small_loaded = rc == 0;
    return rc;
}

void small_forget(struct file *f)
{
    buf_fini(&f->small);
    f->small_loaded = false;
    f->small_stored = 0;
}

/* Stores the rows of the bytes @from to @to, and of those that are in none yet. */
static void store(struct op *x, struct attr *a, struct file *f, size_t from, size_t to)
{
    uint8_t key[KEY_MAX];
    if (f->small_stored < f->small.n) {
        from = min_u64(from, f->small_stored);
        to = f->small.n;
    }
    for (size_t i = from / BLOCK_BYTES; i < blocks_of(to); i++) {
        size_t at = i * BLOCK_BYTES;
        struct bytes row = bytes_of(f->small.p + at, min_u64(BLOCK_BYTES, f->small.n - at));
        db_batch_put(x->batch, DB_DATA, row_key(a->ino, i, key), row);
    }
    f->small_stored = f->small.n;
    a->allocated = block_round(f->small.n);
}

int small_write(struct op *x, struct attr *a, struct file *f, size_t offset, const uint8_t *p,
                size_t n)
{
    int rc = small_load(x->t, a, f);
    if (rc == 0 && offset + n > f->small.n)
        rc = buf_resize(&f->small, offset + n);
    if (rc < 0)
        return rc;
    if (p != NULL && n > 0)
        memcpy(f->small.p + offset, p, n);
    else if (n > 0)
        memset(f->small.p + offset, 0, n);
    store(x, a, f, offset, offset + n);
    return 0;
}

int small_resize(struct op *x, struct attr *a, struct file *f, size_t size)
{
    int rc = small_load(x->t, a, f);
    if (rc < 0 || size >= f->small.n)
        return rc < 0 ? rc : small_write(x, a, f, size, NULL, 0);
    uint8_t key[KEY_MAX];
    for (size_t i = blocks_of(size); i < blocks_of(f->small_stored); i++)
        db_batch_delete(x->batch, DB_DATA, row_key(a->ino, i, key));
    f->small.n = f->small_stored = size;
    if (size % BLOCK_BYTES != 0)
        store(x, a, f, size - 1, size);
    a->allocated = block_round(size);
    return 0;
}

void small_drop(struct op *x, const struct attr *a)
{
    uint8_t key[KEY_MAX];
    for (size_t i = 0; i < max_u64(blocks_of(a->size), 1); i++)
        db_batch_delete(x->batch, DB_DATA, row_key(a->ino, i, key));
}
