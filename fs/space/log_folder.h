/*
 * fs/space/log_folder - what has become of the entries of a folder: the part of `log` for folders.
 */
#ifndef FS_SPACE_LOG_FOLDER_H
#define FS_SPACE_LOG_FOLDER_H

#include "fs/space/space_priv.h"
#include "fs/space/verb.h"

/** Writes what is and was in folder @dir, what changed last first. A negative errno on failure. */
int log_folder(struct space *s, const struct verb_call *call, const struct rid *dir,
               struct out *out) MUST_CHECK;

#endif
