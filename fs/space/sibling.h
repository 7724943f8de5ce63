/*
 * fs/space/sibling - the names of versions that were put beside a file: "stem (conflict from LABEL
 * DATE).ext", which fs/replica gives.
 */
#ifndef FS_SPACE_SIBLING_H
#define FS_SPACE_SIBLING_H

#include <stdbool.h>

#include "proto/base/buf.h"

/** Whether a name is one that a losing version gets. */
bool sibling_is(struct bytes name);

/** Whether @name is that of a version of the file @of; also where the stem was cut to fit. */
bool sibling_is_of(struct bytes name, struct bytes of);

/** Appends the name of the file that @name, a sibling's, is a version of. */
int sibling_file(struct bytes name, struct buf *ret) MUST_CHECK;

/** Appends the name of a sibling that nobody calls a conflict any more: "stem (from …).ext". */
int sibling_plain(struct bytes name, struct buf *ret) MUST_CHECK;

#endif
