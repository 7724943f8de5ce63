/*
 * Saves of programs that have not seen what is there: each is an edit of the version that its
 * program saw, which is noted as the base of the file, in the batch of the save.
 */
#include <errno.h>

#include "fs/tree/data.h"
#include "fs/tree/seen.h"

enum { GONE_BYTES = 16 + TREE_BASE_BYTES };

void tree_serve(pid_t tid)
{
    seen_caller(tid);
}

void tree_published(struct tree *t, uint64_t ino, const struct base_ref *ref, bool merged)
{
    seen_published(t->seen, ino, ref, merged);
}

void tree_replaced(struct tree *t, const uint8_t record[16])
{
    seen_replaced(t->seen, record);
}

/* The version that a file shows, or is an edit of. A copy of another file's is neither. */
static bool version_of(const struct attr *a, struct base_ref *ret)
{
    bool own = a->bound ? memcmp(a->record, a->base.b, sizeof a->record) == 0 : a->base_size == 0;
    if (!attr_is_file(a) || !a->has_base || !own)
        return false;
    *ret = a->base;
    return true;
}

bool stale_is(struct tree *t, const struct attr *a, struct base_ref *ret)
{
    struct base_ref now;
    return version_of(a, &now) && seen_behind(t->seen, now.b, ret) &&
           memcmp(ret, &now, sizeof now) != 0;
}

/* Gives the file the bytes of what its writer saw. */
static int turn_to(struct op *x, struct attr *a, const struct base_ref *seen, uint64_t offset)
{
    struct content *c;
    const struct tree_config *cfg = &x->t->cfg;
    int rc = cfg->base_open != NULL ? cfg->base_open(cfg->arg, seen, &c) : -EUCLEAN;
    if (rc < 0) /* not kept any more */
        return rc == -ENOMEM || rc == -EIO ? rc : 0;
    uint64_t size = content_size(c);
    content_free(c);
    if (offset > size)
        return 0;
    op_set_version(x, a, seen, size);
    seen_write(x->t->seen, a);
    return 0;
}

int stale_write(struct op *x, struct node *n, struct attr *a, uint64_t offset)
{
    struct base_ref seen;
    n->file->stale = false;
    return a->dirty || !stale_is(x->t, a, &seen) ? 0 : turn_to(x, a, &seen, offset);
}

int stale_truncate(struct op *x, struct node *n, struct attr *a, uint64_t size,
                   const struct timespec *now)
{
    struct base_ref seen;
    bool stale = stale_is(x->t, a, &seen);
    int rc = stale && size > 0 && !a->dirty ? turn_to(x, a, &seen, 0) : 0;
    if (rc == 0)
        rc = file_truncate(x, n, a, size, now);
    if (rc == 0 && stale && size == 0) {
        a->base = seen;
        a->base_size = 0;
        if (!a->dirty) /* it was empty, which is not what was seen */
            file_changed(x, a, now);
    }
    if (rc == 0)
        seen_write(x->t->seen, a);
    return rc;
}

/* @a, which has no record, becomes an edit of what the caller saw of a file that has version
 * @there.
 */
static void edit_of(struct tree *t, struct attr *a, const struct base_ref *there)
{
    if (!attr_is_file(a) || a->bound || (a->has_base && a->base_size > 0))
        return;
    a->has_base = true;
    a->base_size = 0;
    if (!seen_behind(t->seen, there->b, &a->base))
        a->base = *there;
}

void stale_replace(struct tree *t, struct attr *a, const struct attr *old)
{
    struct base_ref there;
    if (version_of(old, &there))
        edit_of(t, a, &there);
}

int stale_renew(struct op *x, uint64_t dir, struct bytes name, struct attr *a)
{
    uint8_t key[PENDING_KEY_MAX];
    size_t n = pending_name_key(dir, name, key);
    struct db_value v;
    if (!attr_is_file(a))
        return 0;
    int rc = db_get(x->t->db, DB_PENDING, bytes_of(key, n), &v);
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    struct base_ref there;
    struct attr old;
    uint64_t ino = v.v.n > 16 ? get_u64(v.v.p) : 0;
    if (ino != 0 && node_peek(x->t, ino, &old) == 0)
        stale_replace(x->t, a, &old);
    else if (ino == 0 && v.v.n == GONE_BYTES) {
        memcpy(there.b, v.v.p + 16, sizeof there.b);
        edit_of(x->t, a, &there);
    }
    db_value_fini(&v);
    return 0;
}

void stale_remove(struct op *x, uint64_t dir, struct bytes name, const struct attr *a)
{
    struct base_ref there = {{0}};
    struct tree_moved gone = {0, 0, bytes_of(there.b, sizeof there.b)};
    op_pending_name(x, dir, name, version_of(a, &there) ? &gone : NULL);
}
