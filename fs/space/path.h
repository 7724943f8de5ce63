/*
 * fs/space/path - what a path of the space means, now and formerly: a file of the tree, a record.
 *
 * Paths are as verb.h has them: relative to the root, "" for the root. Thread: any; the functions
 * take the locks they need, unless said otherwise.
 */
#ifndef FS_SPACE_PATH_H
#define FS_SPACE_PATH_H

#include "fs/space/space_priv.h"

/* All zero is valid and empty. */
struct path {
    bool has_file;
    struct attr file; /* what the tree has there now */
    bool shown;       /* the first of the records is shown there */
    struct buf rids;  /* of struct rid: the record shown, then deleted ones, the latest first */
};

/** Finds both. -ENOENT: there is neither, nor ever was. Free: path_fini(). */
int path_find(struct space *s, const char *text, struct path *ret) MUST_CHECK;
void path_fini(struct path *p);

static inline size_t path_rids_n(const struct path *p)
{
    return p->rids.n / sizeof(struct rid);
}

static inline struct rid path_rid(const struct path *p, size_t i)
{
    struct rid rid;
    memcpy(&rid, p->rids.p + i * sizeof rid, sizeof rid);
    return rid;
}

/** What the tree has at a path. -ENOENT. */
int path_file(struct space *s, const char *text, struct attr *ret) MUST_CHECK;

/** Whether the name at a path has changed and is still to be published: 1, 0 or an error. */
int path_is_pending(struct space *s, const char *text) MUST_CHECK;

/** Splits off the first component; *text is then at the rest. False at the end. */
bool path_next(const char **text, struct bytes *ret_name);

/** The length of @text without its last component and the '/' before it. */
size_t path_parent_len(const char *text);

/** Appends where a record is shown, or else was last. s->lock is held. -ENOENT, -ELOOP. */
int path_of_record(struct space *s, const struct rid *rid, struct buf *ret) MUST_CHECK;

/** Appends a path at which the tree has a file. -ENOENT: it has no name. */
int path_of_file(struct space *s, uint64_t ino, struct buf *ret) MUST_CHECK;

/** Appends a name that the file @ino has in a folder. -ENOENT; slow: lists the folder. */
int path_name_of(struct space *s, uint64_t dir, uint64_t ino, struct buf *ret) MUST_CHECK;

/** For tree_list(): appends a name, with its length in a byte before it, to the struct buf @arg. */
bool path_add_entry(void *arg, const struct tree_entry *e);

/** Whether path @at is @path or below it. */
bool path_covers(const char *path, struct bytes at);

#endif
