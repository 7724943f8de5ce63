/*
 * fs/space/space - one synced folder on this device: its database, its tree of files, its records,
 * and the publisher between the two. The API of the mount process, of commands on a space that is
 * not mounted, and of tests.
 */
#ifndef FS_SPACE_SPACE_H
#define FS_SPACE_SPACE_H

#include <stdbool.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"

struct space;
struct space_member;
struct tree;

struct space_config {
    const char *dir;   /* the space's state directory: db/ and staging/ are below it, keys beside */
    bool create;       /* make a new space in it */
    const char *label; /* this device's label, for history and conflict names */
    /* Who this device is among the members (keyring.h), borrowed as long as the space is open;
     * NULL: nothing is signed, and no session is possible. */
    const struct space_member *member;
    uint64_t tidy_ms;     /* how often to look at what is kept of the past; 0: hourly */
    bool onlooker;        /* ends no conflicts: that is left to the others */
    uint64_t patience_ms; /* how long a conflict is left to devices that know more; 0: 20 s */
};

/**
 * Opens a space. Errors: -ENOENT no space here, -EBUSY open in another process (message: which),
 * -ENOTSUP another format, -EUCLEAN damaged, -EACCES, -ENOSPC, -EIO.
 */
int space_open(const struct space_config *cfg, struct space **ret_space,
               struct err *err) MUST_CHECK;

/** Publishes what is pending, makes all durable, closes. Accepts NULL. */
void space_close(struct space *s);

/**
 * Tells that a program begins to use the folder, and that what it asked for is done: between the
 * two, and for some ms after, what is done in the background stands back. Thread: any.
 */
void space_use(struct space *s);
void space_used(struct space *s);

/** The local tree, as long as @s is open. */
struct tree *space_tree(struct space *s);

/* What a change from outside made of what the kernel may have cached. */
struct space_inval {
    uint64_t ino; /* the directory of the name, or the inode whose data and attributes changed */
    struct bytes name; /* empty: the inode itself; else NUL-terminated behind its end */
};

/** Sets who hears of such changes (NULL: nobody); called with no lock held, from any thread. */
void space_on_inval(struct space *s, void (*fn)(void *arg, const struct space_inval *what),
                    void *arg);

#endif
