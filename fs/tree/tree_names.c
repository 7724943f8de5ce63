/* Look-up, making and removing of names. */
#include <errno.h>
#include <stdio.h>

#include "fs/tree/acl.h"
#include "fs/tree/data.h"
#include "fs/tree/names.h"
#include "fs/tree/tree_priv.h"

int tree_lookup(struct tree *t, uint64_t dir, struct bytes name, struct attr *ret)
{
    if (bytes_equal(name, bytes_str("."))) /* asked by NFS servers and by handle */
        return node_peek(t, dir, ret);
    if (bytes_equal(name, bytes_str(".."))) {
        struct attr a;
        int rc = node_peek(t, dir, &a);
        return rc < 0 ? rc : node_peek(t, a.parent, ret);
    }
    /* Who looks for one file after a while often looks at all of them: at a tree, a repository. */
    db_read_ahead(t->db, DB_DIRENT);
    db_read_ahead(t->db, DB_INODE);
    struct dirent_value v;
    int rc = dirent_get(t, dir, name, &v);
    if (rc == 0)
        rc = node_peek(t, v.ino, ret);
    /* Gone between the two reads. */
    return rc == -ESTALE ? -ENOENT : rc;
}

int names_check(uint64_t dir, struct bytes name)
{
    if (dir == TREE_ROOT && bytes_equal(name, bytes_str(".persist")))
        return -EPERM;
    return dirent_check_name(name);
}

/* Adds the directory in which a name is to be made or removed. */
int names_add_dir(struct op *x, uint64_t dir, struct attr **ret)
{
    int rc = op_add(x, dir, ret);
    if (rc < 0)
        return rc == -ESTALE ? -ENOENT : rc;
    if (!attr_is_dir(*ret))
        return -ENOTDIR;
    return (*ret)->nlink == 0 ? -ENOENT : 0;
}

void names_touch(struct op *x, struct attr *dir, const struct timespec *now)
{
    dir->mtime = dir->ctime = *now;
    op_put(x, dir);
}

static void fill_new(struct attr *a, const struct attr *dir, const struct tree_new *what,
                     const struct timespec *now)
{
    a->mode = what->mode;
    a->uid = what->caller.uid;
    /* A setgid directory hands down its group, to directories the bit as well. */
    a->gid = (dir->mode & S_ISGID) != 0 ? dir->gid : what->caller.gid;
    if (S_ISDIR(what->mode) && (dir->mode & S_ISGID) != 0)
        a->mode |= S_ISGID;
    a->nlink = S_ISDIR(what->mode) ? 2 : 1;
    a->rdev = what->rdev;
    a->parent = dir->ino;
    a->atime = a->mtime = a->ctime = a->btime = *now;
    if (S_ISLNK(what->mode)) {
        a->size = what->target.n;
        a->data = ATTR_DATA_SMALL;
    }
    a->dirty = S_ISREG(what->mode) || S_ISLNK(what->mode);
}

static int make(struct op *x, uint64_t dir, struct bytes name, const struct tree_new *what,
                struct attr *ret)
{
    struct attr *d, *a;
    int rc = names_add_dir(x, dir, &d);
    if (rc < 0)
        return rc;
    struct dirent_value old;
    rc = dirent_get(x->t, dir, name, &old);
    if (rc != -ENOENT)
        return rc == 0 ? -EEXIST : rc;
    if (S_ISDIR(what->mode) && d->nlink >= TREE_LINK_MAX)
        return -EMLINK;
    struct timespec now = attr_now();
    rc = op_make(x, &a);
    if (rc < 0)
        return rc;
    fill_new(a, d, what, &now);
    rc = stale_renew(x, dir, name, a);
    if (rc == 0 && what->inherits)
        rc = acl_inherit(x, d, a, what->umask);
    if (rc < 0)
        return rc;
    if (S_ISLNK(what->mode)) {
        uint8_t key[8];
        node_key(a->ino, key);
        db_batch_put(x->batch, DB_DATA, bytes_of(key, sizeof key), what->target);
    }
    if (S_ISDIR(what->mode))
        d->nlink++;
    names_touch(x, d, &now);
    dirent_put(x, dir, name, (struct dirent_value){a->ino, a->mode & S_IFMT});
    op_pending_name(x, dir, name, NULL);
    *ret = *a;
    return 0;
}

int names_end(struct op *x, int rc, uint64_t dir, struct bytes name, const struct attr *made,
              struct attr *ret)
{
    struct tree *t = x->t;
    rc = rc < 0 ? op_abort(x, rc) : op_commit(x);
    if (rc < 0)
        return rc;
    tree_tell_name(t, dir, name);
    *ret = *made;
    return 0;
}

int tree_make(struct tree *t, uint64_t dir, struct bytes name, const struct tree_new *what,
              struct attr *ret)
{
    int rc = names_check(dir, name);
    if (rc == 0)
        rc = tree_room(t, 4096 + what->target.n);
    struct op x;
    if (rc == 0)
        rc = op_begin(t, true, &x);
    if (rc < 0)
        return rc;
    struct attr a;
    rc = make(&x, dir, name, what, &a);
    return names_end(&x, rc, dir, name, &a, ret);
}

static int make_link(struct op *x, uint64_t ino, uint64_t dir, struct bytes name, struct attr *ret)
{
    struct attr *d, *a;
    int rc = names_add_dir(x, dir, &d);
    if (rc == 0)
        rc = op_add(x, ino, &a);
    if (rc < 0)
        return rc;
    if (attr_is_dir(a))
        return -EPERM;
    if (a->nlink == 0)
        return -ENOENT;
    if (a->nlink >= TREE_LINK_MAX)
        return -EMLINK;
    struct dirent_value old;
    rc = dirent_get(x->t, dir, name, &old);
    if (rc != -ENOENT)
        return rc == 0 ? -EEXIST : rc;
    struct timespec now = attr_now();
    a->nlink++;
    a->ctime = now;
    a->parent = dir;
    op_put(x, a);
    names_touch(x, d, &now);
    dirent_put(x, dir, name, (struct dirent_value){ino, a->mode & S_IFMT});
    op_pending_name(x, dir, name, NULL);
    *ret = *a;
    return 0;
}

int tree_link(struct tree *t, uint64_t ino, uint64_t dir, struct bytes name, struct attr *ret)
{
    int rc = names_check(dir, name);
    if (rc == 0)
        rc = tree_room(t, 4096);
    struct op x;
    if (rc == 0)
        rc = op_begin(t, true, &x);
    if (rc < 0)
        return rc;
    struct attr a;
    rc = make_link(&x, ino, dir, name, &a);
    return names_end(&x, rc, dir, name, &a, ret);
}

struct bytes names_beside(struct bytes name, unsigned i, char room[NAMES_BESIDE_ROOM])
{
    if (i == 0)
        return name;
    int keep = (int)min_u64(name.n, TREE_NAME_MAX - 16);
    int n = snprintf(room, NAMES_BESIDE_ROOM, "%.*s (local %u)", keep, (const char *)name.p, i);
    return bytes_of(room, (size_t)n);
}

/* One name of @a less; the last one makes it an orphan. */
void names_drop(struct op *x, struct attr *a, const struct timespec *now)
{
    a->ctime = *now;
    a->nlink = attr_is_dir(a) ? 0 : a->nlink - 1;
    op_put(x, a);
    gone_forget(op_node_of(x, a));
    if (a->nlink == 0) {
        orphan_put(x, a->ino);
        atomic_fetch_add(&x->t->orphans, 1);
        x->files--;
    }
}

static int remove_name(struct op *x, uint64_t dir, struct bytes name, bool is_rmdir)
{
    struct attr *d, *a;
    struct dirent_value v;
    int rc = names_add_dir(x, dir, &d);
    if (rc == 0)
        rc = dirent_get(x->t, dir, name, &v);
    if (rc == 0)
        rc = op_add(x, v.ino, &a);
    if (rc < 0)
        return rc == -ESTALE ? -EUCLEAN : rc;
    if (is_rmdir != attr_is_dir(a))
        return is_rmdir ? -ENOTDIR : -EISDIR;
    if (is_rmdir) {
        rc = dirent_none(x->t, v.ino);
        if (rc <= 0)
            return rc < 0 ? rc : -ENOTEMPTY;
        d->nlink--;
    }
    struct timespec now = attr_now();
    names_touch(x, d, &now);
    dirent_delete(x, dir, name);
    stale_remove(x, dir, name, a);
    names_drop(x, a, &now);
    return 0;
}

static int remove_entry(struct tree *t, uint64_t dir, struct bytes name, bool is_rmdir)
{
    struct op x;
    int rc = op_begin(t, true, &x);
    if (rc < 0)
        return rc;
    rc = remove_name(&x, dir, name, is_rmdir);
    rc = rc < 0 ? op_abort(&x, rc) : op_commit(&x);
    if (rc == 0)
        tree_tell_name(t, dir, name);
    return rc;
}

int tree_unlink(struct tree *t, uint64_t dir, struct bytes name)
{
    return remove_entry(t, dir, name, false);
}

int tree_rmdir(struct tree *t, uint64_t dir, struct bytes name)
{
    return remove_entry(t, dir, name, true);
}

int tree_readlink(struct tree *t, uint64_t ino, struct buf *ret)
{
    struct attr a;
    int rc = node_peek(t, ino, &a);
    if (rc < 0)
        return rc;
    if (!S_ISLNK(a.mode))
        return -EINVAL;
    uint8_t key[8];
    node_key(ino, key);
    struct db_value v;
    rc = db_get(t->db, DB_DATA, bytes_of(key, sizeof key), &v);
    if (rc < 0)
        return rc == -ENOENT ? -EUCLEAN : rc;
    buf_put_bytes(ret, v.v);
    db_value_fini(&v);
    atime_touch_ino(t, ino);
    return buf_status(ret);
}
