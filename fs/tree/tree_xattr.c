/* Extended attributes. */
#include <errno.h>
#include <sys/xattr.h>

#include "fs/tree/acl.h"
#include "fs/tree/tree_priv.h"
#include "proto/limits.h"

enum {
    NAME_MAX_BYTES = LIMIT_XATTR_NAME,
    VALUE_MAX = LIMIT_XATTR_VALUE,
    LENGTHS_BYTES = 5, /* of a name and a value, when they are encoded, at most */
};

static size_t xattr_key(uint64_t ino, struct bytes name, uint8_t key[8 + NAME_MAX_BYTES])
{
    put_u64(key, ino);
    memcpy(key + 8, name.p, name.n);
    return 8 + name.n;
}

static bool begins(struct bytes name, const char *with)
{
    size_t n = strlen(with);
    return name.n > n && memcmp(name.p, with, n) == 0;
}

static int check_name(const struct attr *a, struct bytes name)
{
    if (name.n == 0 || name.n > NAME_MAX_BYTES)
        return -ERANGE;
    if (begins(name, "user."))
        /* As on a local disk: others have no place for what a user wants to note. */
        return attr_is_file(a) || attr_is_dir(a) ? 0 : -EPERM;
    return begins(name, "trusted.") || begins(name, "security.") ? 0 : -EOPNOTSUPP;
}

static size_t room_of(struct bytes name, size_t value_n)
{
    return name.n + value_n + LENGTHS_BYTES;
}

/* An inode's attributes, but for @but: how many, and the room of those that are as public as it. */
static int count(struct tree *t, uint64_t ino, struct bytes but, size_t *ret_n, size_t *ret_bytes)
{
    uint8_t prefix[8];
    put_u64(prefix, ino);
    struct db_iter *it = db_iter_new(t->db, DB_XATTR, bytes_of(prefix, sizeof prefix), NULL);
    if (it == NULL)
        return -ENOMEM;
    *ret_n = *ret_bytes = 0;
    while (db_iter_next(it)) {
        struct bytes key = db_iter_key(it);
        struct bytes name = bytes_of(key.p + 8, key.n - 8);
        if (bytes_equal(name, but))
            continue;
        ++*ret_n;
        if (begins(name, "user.") == begins(but, "user."))
            *ret_bytes += room_of(name, db_iter_value(it).n);
    }
    int rc = db_iter_status(it);
    db_iter_free(it);
    return rc;
}

static int commit_change(struct op *x, struct attr *a)
{
    a->ctime = attr_now();
    op_put(x, a);
    op_pending_inode(x, a);
    return op_commit(x);
}

int xattr_put(struct op *x, struct attr *a, struct bytes name, struct bytes value, int flags)
{
    uint8_t key[8 + NAME_MAX_BYTES];
    size_t key_n = xattr_key(a->ino, name, key);
    int there = a->has_xattr ? db_has(x->t->db, DB_XATTR, bytes_of(key, key_n)) : 0;
    if (there < 0)
        return there;
    if (there && (flags & XATTR_CREATE) != 0)
        return -EEXIST;
    if (!there && (flags & XATTR_REPLACE) != 0)
        return -ENODATA;
    size_t n = 0, bytes = 0;
    int rc = a->has_xattr ? count(x->t, a->ino, name, &n, &bytes) : 0;
    if (rc < 0)
        return rc;
    /* Those of a user go to other devices: no more than a record holds. The rest stays here. */
    if (n >= LIMIT_XATTRS || bytes + room_of(name, value.n) > LIMIT_XATTR_BYTES)
        return -ENOSPC;
    db_batch_put(x->batch, DB_XATTR, bytes_of(key, key_n), value);
    a->has_xattr = true;
    return 0;
}

static int set_in(struct op *x, struct attr *a, struct bytes name, struct bytes value, int flags)
{
    enum acl_kind acl = acl_kind_of(name);
    if (acl != ACL_NONE)
        return acl_set(x, a, acl, value, (flags & TREE_XATTR_KILL_SGID) != 0);
    int rc = check_name(a, name);
    if (rc < 0)
        return rc;
    return value.n > VALUE_MAX ? -E2BIG : xattr_put(x, a, name, value, flags);
}

int tree_xattr_set(struct tree *t, uint64_t ino, struct bytes name, struct bytes value, int flags)
{
    int rc = tree_room(t, value.n + 4096);
    struct op x;
    struct attr *a;
    if (rc == 0)
        rc = op_begin_on(t, ino, &x, &a);
    if (rc < 0)
        return rc;
    rc = set_in(&x, a, name, value, flags);
    rc = rc < 0 ? op_abort(&x, rc) : commit_change(&x, a);
    if (rc == 0)
        tree_tell(t, TREE_INODE, ino);
    return rc;
}

int xattr_read(struct tree *t, const struct attr *a, struct bytes name, struct buf *ret)
{
    if (!a->has_xattr)
        return -ENODATA;
    uint8_t key[8 + NAME_MAX_BYTES];
    size_t key_n = xattr_key(a->ino, name, key);
    struct db_value v;
    int rc = db_get(t->db, DB_XATTR, bytes_of(key, key_n), &v);
    if (rc < 0)
        return rc == -ENOENT ? -ENODATA : rc;
    buf_put_bytes(ret, v.v);
    db_value_fini(&v);
    return buf_status(ret);
}

int tree_xattr_get(struct tree *t, uint64_t ino, struct bytes name, struct buf *ret)
{
    struct attr a;
    int rc = node_peek(t, ino, &a);
    if (rc == 0 && name.n > NAME_MAX_BYTES)
        rc = -ERANGE;
    if (rc == 0 && begins(name, "system.") && acl_kind_of(name) == ACL_NONE)
        rc = -EOPNOTSUPP;
    if (rc == 0)
        rc = xattr_read(t, &a, name, ret);
    /* A label is asked for in vain for each file, of no use to the kernel's cache. In these words
     * ls and its like take it for all of the file system, and ask no more. */
    return rc == -ENODATA && bytes_equal(name, bytes_str("security.selinux")) ? -EOPNOTSUPP : rc;
}

int tree_xattr_list(struct tree *t, uint64_t ino, struct buf *ret)
{
    struct attr a;
    int rc = node_peek(t, ino, &a);
    if (rc < 0 || !a.has_xattr)
        return rc;
    uint8_t prefix[8];
    put_u64(prefix, ino);
    struct db_iter *it = db_iter_new(t->db, DB_XATTR, bytes_of(prefix, sizeof prefix), NULL);
    if (it == NULL)
        return -ENOMEM;
    while (db_iter_next(it)) {
        struct bytes key = db_iter_key(it);
        buf_put(ret, key.p + 8, key.n - 8);
        buf_put_u8(ret, 0);
    }
    rc = db_iter_status(it);
    db_iter_free(it);
    return rc < 0 ? rc : buf_status(ret);
}

int xattr_delete(struct op *x, struct attr *a, struct bytes name)
{
    uint8_t key[8 + NAME_MAX_BYTES];
    size_t key_n = xattr_key(a->ino, name, key);
    int there = a->has_xattr ? db_has(x->t->db, DB_XATTR, bytes_of(key, key_n)) : 0;
    if (there <= 0)
        return there < 0 ? there : -ENODATA;
    size_t n, bytes;
    int rc = count(x->t, a->ino, name, &n, &bytes);
    if (rc < 0)
        return rc;
    db_batch_delete(x->batch, DB_XATTR, bytes_of(key, key_n));
    a->has_xattr = n > 0;
    return 0;
}

static int remove_in(struct op *x, struct attr *a, struct bytes name)
{
    enum acl_kind acl = acl_kind_of(name);
    if (acl != ACL_NONE) /* one that is not there is removed, too, as the kernel does it */
        return acl_set(x, a, acl, bytes_of(NULL, 0), false);
    int rc = check_name(a, name);
    return rc < 0 ? rc : xattr_delete(x, a, name);
}

int tree_xattr_remove(struct tree *t, uint64_t ino, struct bytes name)
{
    struct op x;
    struct attr *a;
    int rc = op_begin_on(t, ino, &x, &a);
    if (rc < 0)
        return rc;
    rc = remove_in(&x, a, name);
    rc = rc < 0 ? op_abort(&x, rc) : commit_change(&x, a);
    if (rc == 0)
        tree_tell(t, TREE_INODE, ino);
    return rc;
}
