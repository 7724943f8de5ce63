/*
 * fs/mount/virtual_text - what a command writes, as the content of a virtual file.
 */
#ifndef FS_MOUNT_VIRTUAL_TEXT_H
#define FS_MOUNT_VIRTUAL_TEXT_H

#include "fs/space/verb.h"

/** Runs @verb ("status" or "conflicts") and appends what it writes, publishing nothing. -EIO. */
int virtual_text(struct space *s, const struct verb_call *call, struct buf *ret) MUST_CHECK;

#endif
