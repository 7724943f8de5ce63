/*
 * fs/space/drivers - the merge drivers that this device allows for one space: names that policies
 * may use, and the command of each. Local configuration; nothing that others wrote gets in.
 *
 * The file `drivers` in the space's state directory, of mode 0600: a line for each, the name and
 * the words of the command, apart by tabs; in them \t, \n and \\ stand for a tab, a newline and a
 * backslash.
 */
#ifndef FS_SPACE_DRIVERS_H
#define FS_SPACE_DRIVERS_H

#include <stdbool.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"

enum { DRIVERS_BYTES_MAX = 64 << 10, DRIVERS_MAX = 64, DRIVER_WORDS_MAX = 32 };

#define DRIVERS_FILE "drivers"

struct driver {
    const char *name;
    const char *argv[DRIVER_WORDS_MAX + 1]; /* ends with NULL; the first is an absolute path */
};

/* All zero is valid and empty. Sorted by name. */
struct drivers {
    struct buf text; /* what the drivers point to */
    struct driver *v;
    size_t n;
};

/** Takes a file apart. -EBADMSG says why. @ret is valid, whatever the result. */
int drivers_parse(struct bytes file, struct drivers *ret, struct err *e) MUST_CHECK;
/**
 * Reads the file in @dir_fd; none: no drivers. -EPERM it is not this user's or open to others,
 * -EBADMSG, -EFBIG, -EIO, -ENOMEM.
 */
int drivers_read(int dir_fd, struct drivers *ret, struct err *e) MUST_CHECK;
void drivers_fini(struct drivers *d);

/** The driver of that name, or NULL. */
const struct driver *drivers_find(const struct drivers *d, struct bytes name);

/** Whether a policy can use a driver of this name. */
bool drivers_name_valid(struct bytes name);

/** Appends the file with @set added or put in place of its namesake (NULL: none), @without taken
 * out (NULL: none). -E2BIG: more drivers, words or bytes than there may be. */
int drivers_put(const struct drivers *d, const struct driver *set, const char *without,
                struct buf *ret) MUST_CHECK;

#endif
