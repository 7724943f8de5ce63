/*
 * fs/space/restore - puts files of the past back into the tree, each an ordinary change of now:
 * what was there before it stays in the history.
 */
#ifndef FS_SPACE_RESTORE_H
#define FS_SPACE_RESTORE_H

#include "fs/space/space_priv.h"

struct out;

/* What was done so far. */
struct restore {
    struct space *s;
    struct out *out;
    struct inval_list invals;
    bool mounted;       /* the kernel forgets files by itself */
    uint64_t restored;  /* files, links and folders made, or made what they were */
    uint64_t removed;   /* that came later */
    uint64_t unchanged; /* as they were already */
    uint64_t kept;      /* of this device alone, or in use: left as they are */
    uint64_t missing;   /* whose content of then is kept no more */
};

/** Tells the kernel of what was done so far. */
void restore_tell(struct restore *r);

/* A file or symlink as it was. */
struct restore_from {
    struct rid rid;
    struct replica_content content;
};

/**
 * Makes what has @name in @dir (a file, a link, nothing) what @from was. Counts it.
 * Errors: -EISDIR a folder has the name, -EBUSY a program is writing the file, -ENOENT the version
 * is kept no more, or @dir is gone; -ENOSPC, -EIO.
 */
int restore_file(struct restore *r, uint64_t dir, struct bytes name,
                 const struct restore_from *from) MUST_CHECK;

/** The folder @name in @dir, made (as record @rid was) when nothing has the name. -ENOTDIR. */
int restore_folder(struct restore *r, uint64_t dir, struct bytes name, const struct rid *rid,
                   struct attr *ret) MUST_CHECK;

/**
 * Removes what has @name in @dir, and all below it, except what has no history to come back from.
 * Counts both.
 */
int restore_remove(struct restore *r, uint64_t dir, struct bytes name) MUST_CHECK;

/* ---- restore_at.c ---- */
/** Brings what is at @path back as it was at @at_ms. -ENOENT: nothing was there then. */
int restore_at(struct restore *r, const char *path, uint64_t at_ms) MUST_CHECK;

#endif
