/*
 * Files that have lost their last name while somebody uses them. They stay in the database, noted
 * under "orphan", until the kernel forgets them, or until the next mount.
 */
#include <errno.h>

#include "fs/tree/data.h"
#include "fs/tree/tree_priv.h"

static const char prefix[] = "orphan";
enum { PREFIX_BYTES = sizeof prefix - 1, KEY_BYTES = PREFIX_BYTES + 8 };

static void orphan_key(uint64_t ino, uint8_t key[KEY_BYTES])
{
    memcpy(key, prefix, PREFIX_BYTES);
    put_u64(key + PREFIX_BYTES, ino);
}

void orphan_put(struct op *x, uint64_t ino)
{
    uint8_t key[KEY_BYTES];
    orphan_key(ino, key);
    db_batch_put(x->batch, DB_META, bytes_of(key, sizeof key), bytes_of(NULL, 0));
}

void orphan_take(struct op *x, uint64_t ino)
{
    uint8_t key[KEY_BYTES];
    orphan_key(ino, key);
    db_batch_delete(x->batch, DB_META, bytes_of(key, sizeof key));
    x->files++;
    x->named++;
}

static void delete_ino_range(struct op *x, enum db_cf cf, uint64_t ino)
{
    uint8_t from[8], to[8];
    put_u64(from, ino);
    put_u64(to, ino + 1);
    db_batch_delete_range(x->batch, cf, bytes_of(from, sizeof from), bytes_of(to, sizeof to));
}

void orphan_reap(struct tree *t, uint64_t ino)
{
    struct op x;
    struct attr *a;
    if (op_begin(t, true, &x) < 0)
        return;
    if (op_add(&x, ino, &a) < 0 || a->nlink != 0) {
        (void)op_abort(&x, 0);
        return;
    }
    struct node *n = op_node_of(&x, a);
    if (n->file != NULL && file_in_use(n->file)) {
        (void)op_abort(&x, 0);
        return;
    }
    file_drop(&x, n, a);
    if (a->has_xattr)
        delete_ino_range(&x, DB_XATTR, ino);
    uint8_t key[KEY_BYTES];
    orphan_key(ino, key);
    db_batch_delete(x.batch, DB_META, bytes_of(key, sizeof key));
    op_remove(&x, a);
    /* On failure it stays noted, and goes at the next mount. */
    if (op_commit(&x) == 0)
        atomic_fetch_sub(&t->orphans, 1);
}

int orphan_reap_all(struct tree *t)
{
    struct db_iter *it = db_iter_new(t->db, DB_META, bytes_of(prefix, PREFIX_BYTES), NULL);
    if (it == NULL)
        return -ENOMEM;
    while (db_iter_next(it)) {
        struct bytes key = db_iter_key(it);
        if (key.n != KEY_BYTES)
            continue;
        atomic_fetch_add(&t->orphans, 1);
        orphan_reap(t, get_u64(key.p + PREFIX_BYTES));
    }
    int rc = db_iter_status(it);
    db_iter_free(it);
    return rc;
}

void tree_forget(struct tree *t, uint64_t ino)
{
    if (atomic_load(&t->orphans) == 0)
        return;
    struct attr a;
    if (node_peek(t, ino, &a) == 0 && a.nlink == 0)
        orphan_reap(t, ino);
}

int tree_forget_all(struct tree *t)
{
    return atomic_exchange(&t->orphans, 0) > 0 ? orphan_reap_all(t) : 0;
}
