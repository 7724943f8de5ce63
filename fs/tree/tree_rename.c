/* rename(2), with NOREPLACE and EXCHANGE. */
#include <errno.h>
#include <stdio.h>

#include "fs/tree/names.h"
#include "fs/tree/tree_priv.h"

/* One side of a rename: a directory, a name in it, and the file that has the name (or NULL). */
struct side {
    struct attr *dir, *file;
    struct bytes name;
};

/* -EINVAL when directory @ino is @dir or one above it. */
static int check_not_below(struct op *x, uint64_t ino, uint64_t dir)
{
    while (dir != TREE_ROOT) {
        if (dir == ino)
            return -EINVAL;
        struct attr *a;
        int rc = op_add(x, dir, &a); /* some of them are locked already */
        if (rc < 0)
            return rc;
        dir = a->parent;
    }
    return ino == TREE_ROOT ? -EINVAL : 0;
}

static int add_side(struct op *x, uint64_t dir, struct side *s)
{
    struct dirent_value v;
    int rc = names_add_dir(x, dir, &s->dir);
    if (rc == 0)
        rc = dirent_get(x->t, dir, s->name, &v);
    if (rc == 0)
        rc = op_add(x, v.ino, &s->file);
    return rc == -ESTALE ? -EUCLEAN : rc;
}

/* May the file be replaced by the other? */
static int check_replace(struct tree *t, const struct attr *from, const struct attr *to)
{
    if (attr_is_dir(from) != attr_is_dir(to))
        return attr_is_dir(from) ? -ENOTDIR : -EISDIR;
    if (!attr_is_dir(to))
        return 0;
    int rc = dirent_none(t, to->ino);
    return rc < 0 ? rc : rc == 0 ? -ENOTEMPTY : 0;
}

/* Gives the file of @from the name of @to. */
static void put_at(struct op *x, struct attr *file, const struct side *from, const struct side *to,
                   const struct timespec *now)
{
    file->ctime = *now;
    file->parent = to->dir->ino;
    op_put(x, file);
    dirent_put(x, to->dir->ino, to->name, (struct dirent_value){file->ino, file->mode & S_IFMT});
    struct tree_moved moved = {file->ino, to->dir->ino, to->name};
    op_pending_name(x, from->dir->ino, from->name, &moved);
    if (attr_is_dir(file) && from->dir != to->dir) {
        from->dir->nlink--;
        to->dir->nlink++;
    }
}

static int exchange(struct op *x, struct side *from, struct side *to, const struct timespec *now)
{
    if (attr_is_dir(to->file) && from->dir != to->dir &&
        check_not_below(x, to->file->ino, from->dir->ino) < 0)
        return -EINVAL;
    stale_exchange(x->t, from->file, to->file);
    put_at(x, from->file, from, to, now);
    put_at(x, to->file, to, from, now);
    return 0;
}

static int move(struct op *x, struct side *from, struct side *to, const struct timespec *now)
{
    int rc = 0;
    from->file->has_over = false;
    if (to->file != NULL) {
        rc = check_replace(x->t, from->file, to->file);
        if (rc < 0)
            return rc;
        if (attr_is_dir(to->file))
            to->dir->nlink--;
        stale_replace(x->t, from->file, to->file);
        names_drop(x, to->file, now);
        /* That ends a save, whether or not its close comes before a crash. */
        from->file->half = false;
    } else {
        rc = stale_renew(x, to->dir->ino, to->name, from->file);
    }
    if (rc < 0)
        return rc;
    dirent_delete(x, from->dir->ino, from->name);
    put_at(x, from->file, from, to, now);
    op_pending_name(x, to->dir->ino, to->name, NULL);
    return 0;
}

static int do_rename(struct op *x, uint64_t dir, uint64_t new_dir, struct side *from,
                     struct side *to, unsigned flags)
{
    int rc = add_side(x, dir, from);
    if (rc < 0)
        return rc;
    rc = add_side(x, new_dir, to);
    if (rc < 0 && (rc != -ENOENT || to->dir == NULL || to->dir->nlink == 0))
        return rc;
    if (rc == -ENOENT && (flags & RENAME_EXCHANGE) != 0)
        return -ENOENT;
    if (to->file != NULL && (flags & RENAME_NOREPLACE) != 0)
        return -EEXIST;
    if (to->file == from->file) /* two names of one file: nothing to do */
        return 0;
    if (attr_is_dir(from->file) && from->dir != to->dir) {
        if (check_not_below(x, from->file->ino, new_dir) < 0)
            return -EINVAL;
        if (to->file == NULL && to->dir->nlink >= TREE_LINK_MAX)
            return -EMLINK;
    }
    struct timespec now = attr_now();
    rc = (flags & RENAME_EXCHANGE) != 0 ? exchange(x, from, to, &now) : move(x, from, to, &now);
    if (rc < 0)
        return rc;
    names_touch(x, from->dir, &now);
    names_touch(x, to->dir, &now);
    return 0;
}

int tree_rename(struct tree *t, uint64_t dir, struct bytes name, uint64_t new_dir,
                struct bytes new_name, unsigned flags)
{
    if ((flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE)) != 0)
        return -EINVAL;
    int rc = names_check(new_dir, new_name);
    if (rc == 0 && name.n > TREE_NAME_MAX)
        rc = -ENAMETOOLONG;
    struct op x;
    if (rc == 0)
        rc = op_begin(t, true, &x);
    if (rc < 0)
        return rc;
    struct side from = {.name = name}, to = {.name = new_name};
    rc = do_rename(&x, dir, new_dir, &from, &to, flags);
    rc = rc < 0 ? op_abort(&x, rc) : op_commit(&x);
    if (rc < 0)
        return rc;
    tree_tell_name(t, new_dir, new_name);
    tree_tell_name(t, dir, name);
    return 0;
}
