/*
 * fs/space/unsent - what of a space cannot go to other devices as it is, and why: for `status`.
 *
 * Two things come to that: a change of the files of which no change of records can be made (a file
 * with more names than a record has), and a change of records that is more than an entry holds.
 * Both stay on this device, and the rest goes on without them.
 */
#ifndef FS_SPACE_UNSENT_H
#define FS_SPACE_UNSENT_H

#include "fs/space/space_priv.h"

enum { UNSENT_MAX = 8 }; /* files that are named; the others are counted */

struct unsent {
    size_t n;                    /* all */
    size_t named;                /* of them in the two below */
    struct buf path[UNSENT_MAX]; /* relative to the root */
    const char *why[UNSENT_MAX]; /* and what can be done */
};

/** Free: unsent_fini(), in any case. -ENOMEM, -EIO. */
int unsent_get(struct space *s, struct unsent *ret) MUST_CHECK;
void unsent_fini(struct unsent *u);

#endif
