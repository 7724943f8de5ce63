/* Attributes: chmod, chown, utimensat, and the part of truncate that is not data. */
#include <errno.h>

#include "fs/tree/acl.h"
#include "fs/tree/data.h"
#include "fs/tree/tree_priv.h"

int tree_getattr(struct tree *t, uint64_t ino, struct attr *ret)
{
    return node_peek(t, ino, ret);
}

static void set_times(struct attr *a, const struct tree_set *set, const struct timespec *now)
{
    if ((set->what & TREE_SET_ATIME_NOW) != 0)
        a->atime = *now;
    else if ((set->what & TREE_SET_ATIME) != 0)
        a->atime = set->atime;
    if ((set->what & TREE_SET_MTIME_NOW) != 0)
        a->mtime = *now;
    else if ((set->what & TREE_SET_MTIME) != 0)
        a->mtime = set->mtime;
}

void op_kill_suid(struct op *x, struct attr *a)
{
    static const char capability[] = "security.capability";
    uint8_t key[8 + sizeof capability - 1];
    if (a->has_xattr) {
        put_u64(key, a->ino);
        memcpy(key + 8, capability, sizeof capability - 1);
        db_batch_delete(x->batch, DB_XATTR, bytes_of(key, sizeof key));
    }
    a->mode &= ~(uint32_t)S_ISUID;
    /* Without group execution the bit means mandatory locking, and stays. */
    if ((a->mode & S_IXGRP) != 0)
        a->mode &= ~(uint32_t)S_ISGID;
}

static int set_in(struct op *x, struct attr *a, const struct tree_set *set)
{
    struct timespec now = attr_now();
    if ((set->what & TREE_SET_SIZE) != 0) {
        if (!attr_is_file(a))
            return attr_is_dir(a) ? -EISDIR : -EINVAL;
        int rc = stale_truncate(x, op_node_of(x, a), a, set->size, &now);
        if (rc < 0)
            return rc;
    }
    if ((set->what & TREE_SET_KILL_SUID) != 0 && !attr_is_dir(a))
        op_kill_suid(x, a);
    if ((set->what & TREE_SET_MODE) != 0) {
        int rc = op_chmod(x, a, set->mode);
        if (rc < 0)
            return rc;
    }
    if ((set->what & TREE_SET_UID) != 0)
        a->uid = set->uid;
    if ((set->what & TREE_SET_GID) != 0)
        a->gid = set->gid;
    set_times(a, set, &now);
    a->ctime = (set->what & TREE_SET_CTIME) != 0 ? set->ctime : now;
    op_put(x, a);
    if ((set->what & (TREE_SET_MODE | TREE_SET_SIZE | TREE_SET_MTIME | TREE_SET_MTIME_NOW |
                      TREE_SET_KILL_SUID)) != 0)
        op_pending_inode(x, a);
    return 0;
}

int tree_setattr(struct tree *t, uint64_t ino, const struct tree_set *set, struct attr *ret)
{
    struct op x;
    struct attr *a, now = {0};
    int rc = (set->what & TREE_SET_SIZE) != 0 ? op_begin_write(t, ino, &x, &a)
                                              : op_begin_on(t, ino, &x, &a);
    if (rc < 0)
        return rc;
    rc = set_in(&x, a, set);
    if (rc == 0)
        now = *a;
    rc = rc < 0 ? op_abort(&x, rc) : op_commit(&x);
    if (rc < 0)
        return rc;
    *ret = now;
    if (now.bound)
        tree_tell(t, TREE_INODE, ino);
    return 0;
}
