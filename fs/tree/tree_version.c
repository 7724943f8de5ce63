/* Files that share the bytes of a version, and which versions are kept for them. */
#include <errno.h>

#include "fs/tree/names.h"
#include "fs/tree/tree_priv.h"

enum { USE_KEY_BYTES = TREE_BASE_BYTES + 8 };

static void use_key(const struct base_ref *ref, uint64_t ino, uint8_t key[USE_KEY_BYTES])
{
    memcpy(key, ref->b, TREE_BASE_BYTES);
    put_u64(key + TREE_BASE_BYTES, ino);
}

void base_use_put(struct op *x, const struct base_ref *ref, uint64_t ino)
{
    uint8_t key[USE_KEY_BYTES];
    use_key(ref, ino, key);
    db_batch_put(x->batch, DB_BIND, bytes_of(key, sizeof key), bytes_of(NULL, 0));
}

void op_keep_base(struct op *x, const struct attr *a)
{
    if (a->has_base && a->base_size > 0)
        base_use_put(x, &a->base, a->ino);
}

/* Whether file @ino is based on @ref; if not, the note that says so is deleted. 1 or 0. */
static int look_at_use(struct tree *t, const struct base_ref *ref, uint64_t ino)
{
    struct op x;
    struct attr *a;
    int rc = op_begin(t, false, &x);
    if (rc < 0)
        return rc;
    rc = op_add(&x, ino, &a);
    if (rc < 0 && rc != -ESTALE)
        return op_abort(&x, rc);
    if (rc == 0 && a->has_base && memcmp(a->base.b, ref->b, TREE_BASE_BYTES) == 0)
        return op_abort(&x, 1);
    uint8_t key[USE_KEY_BYTES];
    use_key(ref, ino, key);
    db_batch_delete(x.batch, DB_BIND, bytes_of(key, sizeof key));
    return op_commit(&x);
}

int tree_base_used(struct tree *t, const struct base_ref *ref)
{
    struct db_iter *it = db_iter_new(t->db, DB_BIND, bytes_of(ref->b, TREE_BASE_BYTES), NULL);
    if (it == NULL)
        return -ENOMEM;
    int rc = 0;
    while (rc == 0 && db_iter_next(it)) {
        struct bytes key = db_iter_key(it);
        if (key.n == USE_KEY_BYTES)
            rc = look_at_use(t, ref, get_u64(key.p + TREE_BASE_BYTES));
    }
    if (rc == 0)
        rc = db_iter_status(it);
    db_iter_free(it);
    return rc;
}

/* Takes the name from the file that has it. */
static int make_room(struct op *x, uint64_t dir, struct bytes name, const struct timespec *now)
{
    struct dirent_value v;
    struct attr *old;
    int rc = dirent_get(x->t, dir, name, &v);
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    rc = op_add(x, v.ino, &old);
    if (rc < 0)
        return rc == -ESTALE ? -EUCLEAN : rc;
    if (attr_is_dir(old))
        return -EISDIR;
    names_drop(x, old, now);
    return 0;
}

static int make(struct op *x, uint64_t dir, struct bytes name, const struct tree_new *what,
                const struct base_ref *ref, uint64_t size, const struct timespec *mtime,
                struct attr *ret)
{
    struct attr *d, *a;
    struct timespec now = attr_now();
    int rc = names_add_dir(x, dir, &d);
    if (rc == 0)
        rc = make_room(x, dir, name, &now);
    if (rc == 0)
        rc = op_make(x, &a);
    if (rc < 0)
        return rc;
    a->mode = what->mode;
    a->uid = what->caller.uid;
    a->gid = (d->mode & S_ISGID) != 0 ? d->gid : what->caller.gid;
    a->nlink = 1;
    a->parent = dir;
    a->atime = a->ctime = a->btime = now;
    a->mtime = *mtime;
    op_set_version(x, a, ref, size);
    a->dirty = true; /* not published at this name */
    base_use_put(x, ref, a->ino);
    names_touch(x, d, &now);
    dirent_put(x, dir, name, (struct dirent_value){a->ino, a->mode & S_IFMT});
    op_pending_name(x, dir, name, NULL);
    *ret = *a;
    return 0;
}

int tree_make_version(struct tree *t, uint64_t dir, struct bytes name, const struct tree_new *what,
                      const struct base_ref *ref, uint64_t size, const struct timespec *mtime,
                      struct attr *ret)
{
    int rc = S_ISREG(what->mode) ? dirent_check_name(name) : -EINVAL;
    if (rc == 0)
        rc = tree_room(t, 4096);
    struct op x;
    if (rc == 0)
        rc = op_begin(t, true, &x);
    if (rc < 0)
        return rc;
    struct attr a;
    rc = make(&x, dir, name, what, ref, size, mtime, &a);
    return names_end(&x, rc, dir, name, &a, ret);
}
