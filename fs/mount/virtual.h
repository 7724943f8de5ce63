/*
 * fs/mount/virtual - the directory .persist at the root of the mount: status, conflicts, history.
 *
 * Read-only, made up when it is asked for, and known to nobody else: it is in no listing of the
 * root, in no table and in no record. Its requests are taken out before fs/mount/ll sees them. Its
 * node ids have the highest bit, which inode numbers, counted from 1, never reach.
 */
#ifndef FS_MOUNT_VIRTUAL_H
#define FS_MOUNT_VIRTUAL_H

#include <stdbool.h>
#include <stdint.h>

#include "fs/mount/ll.h"

struct space;
struct virtual;

/** @folder and @name as struct verb_call has them; borrowed. -ENOMEM. */
int virtual_new(struct space *s, const char *folder, const char *name, struct virtual **ret);
void virtual_free(struct virtual *v); /* accepts NULL */

/* Passes on to ll_ops what is not of the directory. */
extern const struct fuse_lowlevel_ops virtual_ops;

static inline bool virtual_is(uint64_t node)
{
    return node >> 63 != 0;
}

#endif
