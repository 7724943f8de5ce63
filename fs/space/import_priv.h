/*
 * fs/space/import_priv - what the files of the import share. Not for others.
 */
#ifndef FS_SPACE_IMPORT_PRIV_H
#define FS_SPACE_IMPORT_PRIV_H

#include "fs/space/import.h"
#include "fs/space/links.h"
#include "fs/space/space_priv.h"

/* An import under way. */
struct import {
    struct space *s;
    struct out *out;
    struct err *err;
    struct buf path; /* of what is being imported */
    dev_t dev;       /* the file system that it is on */
    struct links links;
    uint8_t *piece;
    uint64_t done_bytes, total_bytes;
    struct buf late; /* of struct import_late */
    uint64_t late_bytes;
};

/*
 * The time of a large file is set once its bytes are on disk: a file that has its time is whole,
 * also for the next import after a loss of power.
 */
struct import_late {
    uint64_t ino;
    struct timespec atime, mtime;
};

/** Sets @err to "'path': why; what to do". Returns @code. */
int import_failed(struct import *m, int code, const char *why);

/* ---- import_file.c ---- */
/** Imports the regular file @name of @dir_fd as @name in @dir. */
int import_file(struct import *m, int dir_fd, const char *name, uint64_t dir,
                const struct stat *st) MUST_CHECK;
/** Gives file @ino the user's attributes that @fd has. */
int import_xattrs(struct import *m, int fd, uint64_t ino) MUST_CHECK;
/** Gives it owner, mode and times; @times false: not yet. */
int import_attr(struct import *m, const struct stat *st, uint64_t ino, bool times) MUST_CHECK;
/** Makes all durable, then sets the times that were put off. */
int import_settle(struct import *m) MUST_CHECK;
/** Takes away what an earlier import, or somebody else, left at the name. */
int import_clear(struct import *m, uint64_t dir, struct bytes name) MUST_CHECK;

#endif
