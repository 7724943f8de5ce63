/*
 * fs/tree/attr - what an inode is, apart from its data: the value of column family DB_INODE.
 */
#ifndef FS_TREE_ATTR_H
#define FS_TREE_ATTR_H

#include <stdbool.h>
#include <sys/stat.h>
#include <time.h>

#include "proto/base/buf.h"

enum { TREE_ROOT = 1, TREE_NAME_MAX = 255, TREE_BASE_BYTES = 32 };

/* Where a file's bytes are. */
enum attr_data {
    ATTR_DATA_NONE,    /* nowhere: empty, or all a hole */
    ATTR_DATA_SMALL,   /* in DB_DATA; also a symlink's target */
    ATTR_DATA_STAGED,  /* in the staging file, over the base */
    ATTR_DATA_VERSION, /* in the base alone: as published */
};

/* A version of content, as the layer above names it: which record (as in attr.record), and then
 * which version of it; that is opaque here. */
struct base_ref {
    uint8_t b[TREE_BASE_BYTES];
};

struct attr {
    uint64_t ino;
    uint32_t mode, uid, gid, nlink;
    uint64_t rdev;
    uint64_t size;      /* bytes */
    uint64_t allocated; /* bytes that take room, about: holes do not */
    struct timespec atime, mtime, ctime;
    struct timespec btime; /* when it was made here; 0: what is in it, or its record, is older */
    uint64_t parent;       /* directory: the one it is in; file: the one of its newest name */
    uint64_t changes; /* counts changes of the content: tells whether it is still what one read */
    enum attr_data data;
    bool has_xattr; /* false: none, no need to look */
    bool has_base;  /* base and base_size hold */
    bool has_over;  /* over holds */
    bool bound;     /* record holds */
    bool dirty;     /* content differs from what was last published */
    bool half; /* a published file in the middle of a save: written, not yet closed or fsynced */
    bool unsynced;      /* staged, and written since the last fsync */
    uint8_t record[16]; /* the record that shows this file */
    struct base_ref
        base; /* the version that unwritten blocks come from, and that it is an edit of */
    struct base_ref over; /* not published yet: it took the name of a file of another record, and is
                             an edit of this version of that */
    uint64_t base_size;   /* bytes of the base that still show; past them are zeros */
    uint32_t staging; /* which staging file of this inode: one more after each that was dropped */
};

/** Appends the encoding of @a to @out. */
void attr_encode(const struct attr *a, struct buf *out);

/** Decodes a stored value. -EBADMSG when it is not one. */
int attr_decode(struct bytes v, uint64_t ino, struct attr *ret) MUST_CHECK;

/** Fills what stat(2) shows. */
void attr_stat(const struct attr *a, struct stat *ret);

static inline bool attr_is_dir(const struct attr *a)
{
    return S_ISDIR(a->mode);
}

static inline bool attr_is_file(const struct attr *a)
{
    return S_ISREG(a->mode);
}

/** The current time, as files get it. */
struct timespec attr_now(void);

/** <0, 0, >0. */
int attr_time_cmp(const struct timespec *a, const struct timespec *b);

#endif
