/*
 * fs/space/links - which files with several names were met already, when a tree is copied.
 */
#ifndef FS_SPACE_LINKS_H
#define FS_SPACE_LINKS_H

#include "proto/base/buf.h"

/* All zero is valid and empty. */
struct links {
    void *root;
};

/** What was noted for file @ino of device @dev, borrowed; NULL: nothing. */
const struct buf *links_find(const struct links *l, uint64_t dev, uint64_t ino);
/** Notes a value for a file that has none. -ENOMEM. */
int links_add(struct links *l, uint64_t dev, uint64_t ino, struct bytes value) MUST_CHECK;
void links_fini(struct links *l);

#endif
