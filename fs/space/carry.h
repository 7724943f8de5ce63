/*
 * fs/space/carry - takes the tree of one space into a new one, as it stands: what is in the folder
 * now, not its past, and nothing of who the members were.
 */
#ifndef FS_SPACE_CARRY_H
#define FS_SPACE_CARRY_H

#include "fs/space/out.h"
#include "proto/base/err.h"

struct space;

/**
 * Copies everything in @from to @to, which is new and empty; returns when all of it is durable. In
 * @from only what was pending is done first: edits are published, open conflicts ended. Files,
 * folders, links, modes, owners, times and attributes are equal then; what has a record in @from
 * has one in @to, what stays on this device stays there. Neither space is mounted or has a session.
 * Progress goes to @out, in bytes. Errors name the path: -ECANCELED @out takes no more, -EUCLEAN a
 * file cannot be read, -ENOSPC, -EIO, -ENOMEM; @to is then of no use.
 */
int space_carry(struct space *from, struct space *to, struct out *out, struct err *err) MUST_CHECK;

#endif
