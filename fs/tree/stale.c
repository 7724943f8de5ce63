/*
 * Saves of programs that have not seen what is there: each is an edit of the version that its
 * program saw, which is noted as the base of the file, in the batch of the save.
 */
#include <errno.h>

#include "fs/tree/data.h"
#include "fs/tree/seen.h"

enum {
    GONE_BYTES = 16 + TREE_BASE_BYTES,
    YOUNG_S = 600, /* a file that was made here no longer ago may be a program's temporary file */
};

void tree_serve(pid_t tid)
{
    seen_caller(tid);
}

void tree_published(struct tree *t, uint64_t ino, const struct base_ref *ref, bool merged)
{
    seen_published(t->seen, ino, ref, merged);
}

void tree_moved(struct tree *t, const struct attr *a, const uint8_t record[16])
{
    seen_moved(t->seen, a, record);
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

/* The same, of the record that has the name of the file. */
static bool version_at_name(const struct attr *a, struct base_ref *ret)
{
    if (a->has_over)
        *ret = a->over;
    return a->has_over || version_of(a, ret);
}

/* @a becomes an edit of what the caller saw of a file that has version @there. */
static void edit_of(struct tree *t, struct attr *a, const struct base_ref *there)
{
    if (!attr_is_file(a) || (a->bound && memcmp(a->record, there->b, sizeof a->record) == 0))
        return;
    bool over = a->bound || (a->has_base && a->base_size > 0); /* the base is what its bytes are */
    if (over) {
        a->has_over = true;
    } else {
        a->has_base = true;
        a->base_size = 0;
    }
    struct base_ref *to = over ? &a->over : &a->base;
    if (!seen_behind(t->seen, there->b, to))
        *to = *there;
}

/* A file that has a record, and the name for long, is one that a person moves. */
static bool may_be_temporary(const struct attr *a)
{
    return !a->bound || attr_now().tv_sec - a->btime.tv_sec < YOUNG_S;
}

void stale_replace(struct tree *t, struct attr *a, const struct attr *old)
{
    struct base_ref there;
    if (may_be_temporary(a) && version_at_name(old, &there))
        edit_of(t, a, &there);
}

void stale_exchange(struct tree *t, struct attr *a, struct attr *b)
{
    struct base_ref of_a, of_b;
    bool has_a = version_at_name(a, &of_a), has_b = version_at_name(b, &of_b);
    a->has_over = b->has_over = false;
    if (has_b)
        edit_of(t, a, &of_b);
    if (has_a)
        edit_of(t, b, &of_a);
}

int stale_renew(struct op *x, uint64_t dir, struct bytes name, struct attr *a)
{
    uint8_t key[PENDING_KEY_MAX];
    size_t n = pending_name_key(dir, name, key);
    struct db_value v;
    if (!attr_is_file(a) || !may_be_temporary(a))
        return 0;
    int rc = db_get(x->t->db, DB_PENDING, bytes_of(key, n), &v);
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    struct base_ref there;
    struct attr *old;
    uint64_t ino = v.v.n > 16 ? get_u64(v.v.p) : 0;
    if (ino != 0 && ino != a->ino && op_add(x, ino, &old) == 0)
        stale_replace(x->t, a, old);
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
    op_pending_name(x, dir, name, version_at_name(a, &there) ? &gone : NULL);
}
