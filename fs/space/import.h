/*
 * fs/space/import - takes the files of an ordinary directory into a space.
 */
#ifndef FS_SPACE_IMPORT_H
#define FS_SPACE_IMPORT_H

#include "fs/space/out.h"
#include "proto/base/err.h"

struct space;

/**
 * Stores everything below the directory @dir_fd (which stays the caller's, and is not changed) in
 * the space, at its root; returns when all of it is durable. What an earlier, interrupted import
 * has stored already is recognised. Progress goes to @out, in bytes.
 * Errors: -ECANCELED @out takes no more, -ENOSPC, -EACCES, -EIO, -ENOMEM.
 */
int space_import(struct space *s, int dir_fd, struct out *out, struct err *err) MUST_CHECK;

#endif
