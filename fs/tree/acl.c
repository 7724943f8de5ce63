#include "fs/tree/acl.h"

#include <endian.h>
#include <errno.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <sys/stat.h>

#include "fs/tree/tree_priv.h"

enum {
    HEADER = sizeof(struct posix_acl_xattr_header),
    ENTRY = sizeof(struct posix_acl_xattr_entry),
    PERM_AT = offsetof(struct posix_acl_xattr_entry, e_perm),
    BASE_N = 3, /* owner, group, others */
    MODE_BITS = 0777,
    RWX = 7,
};

static const char *const names[] = {
    [ACL_ACCESS] = "system.posix_acl_access",
    [ACL_DEFAULT] = "system.posix_acl_default",
};

/* ---- the format ---- */

struct entry {
    unsigned tag, perm;
    uint32_t id;
};

static size_t entries_n(struct bytes list)
{
    return list.n < HEADER ? 0 : (list.n - HEADER) / ENTRY;
}

static struct entry entry_at(const uint8_t *list, size_t i)
{
    struct posix_acl_xattr_entry e;
    memcpy(&e, list + HEADER + i * ENTRY, sizeof e);
    return (struct entry){le16toh(e.e_tag), le16toh(e.e_perm), le32toh(e.e_id)};
}

enum acl_kind acl_kind_of(struct bytes name)
{
    if (bytes_equal(name, bytes_str(names[ACL_ACCESS])))
        return ACL_ACCESS;
    return bytes_equal(name, bytes_str(names[ACL_DEFAULT])) ? ACL_DEFAULT : ACL_NONE;
}

/* Whether an entry with tag @tag may come after one with @before; 0: the first. */
static bool may_follow(unsigned before, unsigned tag)
{
    switch (tag) {
    case ACL_USER_OBJ:
        return before == 0;
    case ACL_USER:
    case ACL_GROUP_OBJ:
        return before == ACL_USER_OBJ || before == ACL_USER;
    case ACL_GROUP:
    case ACL_MASK:
        return before == ACL_GROUP_OBJ || before == ACL_GROUP;
    case ACL_OTHER:
        return before == ACL_GROUP_OBJ || before == ACL_MASK;
    default:
        return false;
    }
}

/* One that names somebody needs a mask: it is what keeps them within the mode. */
static bool entries_hold(struct bytes list)
{
    unsigned before = 0;
    bool named = false, mask = false;
    for (size_t i = 0; i < entries_n(list); i++) {
        struct entry e = entry_at(list.p, i);
        bool has_id = e.tag == ACL_USER || e.tag == ACL_GROUP;
        if (!may_follow(before, e.tag) || e.perm > RWX || (has_id && e.id == UINT32_MAX))
            return false;
        named |= has_id;
        mask |= e.tag == ACL_MASK;
        before = e.tag;
    }
    return before == ACL_OTHER && (mask || !named);
}

int acl_check(struct bytes list)
{
    struct posix_acl_xattr_header h;
    if (list.n > ACL_VALUE_MAX)
        return -E2BIG;
    if (list.n < HEADER || (list.n - HEADER) % ENTRY != 0)
        return -EINVAL;
    memcpy(&h, list.p, sizeof h);
    if (le32toh(h.a_version) != POSIX_ACL_XATTR_VERSION)
        return -EINVAL;
    return list.n == HEADER || entries_hold(list) ? 0 : -EINVAL;
}

/* Where in a list the permissions are that the mode shows, in its order. */
static void find_shown(struct bytes list, size_t ret[BASE_N])
{
    memset(ret, 0, BASE_N * sizeof ret[0]);
    for (size_t i = 0; i < entries_n(list); i++) {
        size_t at = HEADER + i * ENTRY + PERM_AT;
        switch (entry_at(list.p, i).tag) {
        case ACL_USER_OBJ:
            ret[0] = at;
            break;
        case ACL_GROUP_OBJ:
        case ACL_MASK: /* comes after the group */
            ret[1] = at;
            break;
        case ACL_OTHER:
            ret[2] = at;
            break;
        default:
            break;
        }
    }
}

uint32_t acl_mode(struct bytes list)
{
    size_t at[BASE_N];
    find_shown(list, at);
    return (uint32_t)(list.p[at[0]] << 6 | list.p[at[1]] << 3 | list.p[at[2]]);
}

bool acl_is_mode(struct bytes list)
{
    return entries_n(list) == BASE_N;
}

void acl_chmod(struct buf *list, uint32_t mode)
{
    size_t at[BASE_N];
    find_shown(buf_bytes(list), at);
    for (unsigned i = 0; i < BASE_N; i++)
        list->p[at[i]] = (uint8_t)(mode >> (6 - 3 * i) & RWX);
}

void acl_restrict(struct buf *list, uint32_t mode)
{
    acl_chmod(list, mode & acl_mode(buf_bytes(list)));
}

/* ---- as part of an operation ---- */

/* A stored list; -ENODATA. */
static int load(struct tree *t, const struct attr *a, enum acl_kind kind, struct buf *ret)
{
    int rc = xattr_read(t, a, bytes_str(names[kind]), ret);
    if (rc < 0)
        return rc;
    return acl_check(buf_bytes(ret)) < 0 || ret->n == HEADER ? -EUCLEAN : 0;
}

static int drop(struct op *x, struct attr *a, enum acl_kind kind)
{
    int rc = xattr_delete(x, a, bytes_str(names[kind]));
    return rc == -ENODATA ? 0 : rc;
}

static void put_mode_bits(struct attr *a, uint32_t mode)
{
    a->mode = (a->mode & ~(uint32_t)MODE_BITS) | mode;
}

int acl_set(struct op *x, struct attr *a, enum acl_kind kind, struct bytes list, bool kill_sgid)
{
    if (S_ISLNK(a->mode))
        return -EOPNOTSUPP;
    int rc = list.n > 0 ? acl_check(list) : 0;
    if (rc < 0)
        return rc;
    if (entries_n(list) == 0)
        return drop(x, a, kind);
    if (kind == ACL_DEFAULT)
        return attr_is_dir(a) ? xattr_put(x, a, bytes_str(names[kind]), list, 0) : -EACCES;
    put_mode_bits(a, acl_mode(list));
    if (kill_sgid)
        a->mode &= ~(uint32_t)S_ISGID;
    return acl_is_mode(list) ? drop(x, a, kind) : xattr_put(x, a, bytes_str(names[kind]), list, 0);
}

int op_chmod(struct op *x, struct attr *a, uint32_t mode)
{
    CLEANUP(buf_fini) struct buf list = {0};
    a->mode = (a->mode & S_IFMT) | (mode & ~(uint32_t)S_IFMT);
    int rc = load(x->t, a, ACL_ACCESS, &list);
    if (rc < 0)
        return rc == -ENODATA ? 0 : rc;
    acl_chmod(&list, mode);
    return xattr_put(x, a, bytes_str(names[ACL_ACCESS]), buf_bytes(&list), 0);
}

int acl_inherit(struct op *x, const struct attr *dir, struct attr *a, uint32_t umask)
{
    CLEANUP(buf_fini) struct buf list = {0};
    if (S_ISLNK(a->mode))
        return 0;
    int rc = load(x->t, dir, ACL_DEFAULT, &list);
    if (rc == -ENODATA) {
        a->mode &= ~(umask & MODE_BITS);
        return 0;
    }
    if (rc == 0 && attr_is_dir(a))
        rc = xattr_put(x, a, bytes_str(names[ACL_DEFAULT]), buf_bytes(&list), 0);
    if (rc < 0)
        return rc;
    acl_restrict(&list, a->mode);
    put_mode_bits(a, acl_mode(buf_bytes(&list)));
    return acl_is_mode(buf_bytes(&list))
               ? 0
               : xattr_put(x, a, bytes_str(names[ACL_ACCESS]), buf_bytes(&list), 0);
}
