/*
 * fs/space/remove - removes what programs left behind.
 */
#ifndef FS_SPACE_REMOVE_H
#define FS_SPACE_REMOVE_H

#include "proto/base/base.h"

/** Removes a file or a directory and all that is in it, following no link; none: 0. Any depth. */
int remove_tree(int dir_fd, const char *name) MUST_CHECK;

#endif
