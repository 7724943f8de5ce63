/*
 * fs/space/export - copies files of the tree to an ordinary directory.
 *
 * Names are data from others: each is made in, and opened below, the directory that it belongs in,
 * without following a link.
 */
#ifndef FS_SPACE_EXPORT_H
#define FS_SPACE_EXPORT_H

#include "fs/space/links.h"
#include "fs/space/out.h"
#include "fs/space/space_priv.h"

/* A copy under way. */
struct export
{
    struct space *s;
    struct out *out;
    int root_fd;     /* where the copy goes; the caller's */
    struct buf path; /* of what is being copied, below root_fd */
    struct links links;
    uint8_t *piece;
    uint64_t done_bytes, total_bytes;
    uint64_t files, folders; /* copied; files: all that is no folder */
    uint64_t skipped;        /* sockets, and devices without the right to make them */
    struct buf unread;       /* paths of files that could not be read, each with its NUL */
};

/** Copies what is in directory @ino to root_fd. A negative errno: @path tells where. */
int export_dir(struct export *x, uint64_t ino) MUST_CHECK;
/** Copies one file or link to @name in root_fd. */
int export_one(struct export *x, const struct attr *a, struct bytes name) MUST_CHECK;
void export_fini(struct export *x);

/* ---- export_file.c ---- */
/** Copies the bytes of a regular file to @fd. -ENODATA: it cannot be read. Else as write(2). */
int export_bytes(struct export *x, const struct attr *a, int fd) MUST_CHECK;
/** Gives @fd the user's attributes of a file, then its mode and times. */
int export_attr(struct export *x, const struct attr *a, int fd) MUST_CHECK;

#endif
