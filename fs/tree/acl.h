/*
 * fs/tree/acl - access control lists: POSIX 1003.1e draft 17, as acl(5) tells it.
 *
 * The kernel checks permissions (FUSE_POSIX_ACL) and keeps lists in its cache, also that there is
 * none. What is left to the file system is done here: a list and the mode say the same, and new
 * files inherit.
 *
 * A list is the value of an extended attribute, system.posix_acl_access or, of a directory,
 * system.posix_acl_default (linux/posix_acl_xattr.h), all little endian:
 *
 *     u32 version (2), then for each entry: u16 tag, u16 permissions (rwx: 4, 2, 1), u32 id
 *
 * Order: owner (tag 1), any users (2, id), group (4), any groups (8, id), mask (16), others (32).
 * There is one of owner, group and others, and one mask where there are users or groups with an id.
 *
 * The mode's bits are the permissions of owner, mask (of the group when there is no mask) and
 * others. A list of only these three says no more than the mode does, and is not stored as the
 * access list of a file.
 */
#ifndef FS_TREE_ACL_H
#define FS_TREE_ACL_H

#include "fs/tree/op.h"

enum { ACL_VALUE_MAX = 4096 }; /* what the kernel asks for, and one block of ext4 holds */

enum acl_kind { ACL_NONE, ACL_ACCESS, ACL_DEFAULT };

/* ---- the format ---- */

/** Which list an attribute of this name is; ACL_NONE: some other attribute. */
enum acl_kind acl_kind_of(struct bytes name);
/** -EINVAL: not a list. -E2BIG. One without entries is none, too. */
int acl_check(struct bytes list) MUST_CHECK;
/** The bits of the mode that a list (that is one) says. */
uint32_t acl_mode(struct bytes list);
/** Whether it says no more than that. */
bool acl_is_mode(struct bytes list);
/** chmod: owner, mask (or group) and others get what @mode says. */
void acl_chmod(struct buf *list, uint32_t mode);
/** The list of a file made with @mode where this one is the default. acl_mode() is its mode. */
void acl_restrict(struct buf *list, uint32_t mode);

/* ---- as part of an operation ---- */

/**
 * Sets a list; the access list sets the mode, too. An empty one (no bytes, or no entries) removes
 * it. -EINVAL, -E2BIG, -EACCES (the default list of what is no directory), -EOPNOTSUPP (a symlink).
 * @kill_sgid: the caller may not keep the bit: is not of the file's group, nor privileged.
 */
int acl_set(struct op *x, struct attr *a, enum acl_kind kind, struct bytes list,
            bool kill_sgid) MUST_CHECK;
/** What new inode @a gets from @dir: the default list, or else what @umask leaves of the mode. */
int acl_inherit(struct op *x, const struct attr *dir, struct attr *a, uint32_t umask) MUST_CHECK;

#endif
