/*
 * fs/space/publish_edit - new content of a record as it is published: what a program saved, and
 * where that is an edit of an older version than the one that is shown, both in one. Shared by
 * publish_inode.c and publish_name.c.
 */
#ifndef FS_SPACE_PUBLISH_EDIT_H
#define FS_SPACE_PUBLISH_EDIT_H

#include "fs/space/space_priv.h"

struct edit {
    struct value_content content; /* what becomes of the record */
    struct captured captured;     /* what was saved */
    bool based, merged;
    struct dot base;  /* if based: the version that was edited */
    struct dot over;  /* if merged: the one that is shown, and is in the content too */
    struct dot saved; /* once authored: the version that is as it was saved */
    struct dot dot;   /* and the one that is the content */
    struct buf body;  /* of what is merged */
};

/** The version of record @rid that a file, of that record or another, is an edit of, if any. */
bool edit_base(const struct rid *rid, const struct attr *a, struct dot *ret);
/**
 * Takes the content of a file, of record @rid or (NULL) of none yet. @merge: what came meanwhile is
 * merged with it as the policy says, if it can be. The builds lock is held; for @merge, no other.
 * Free: edit_fini().
 */
int edit_take(struct space *s, const struct rid *rid, const struct attr *a, bool merge,
              struct edit *ret) MUST_CHECK;
void edit_fini(struct edit *e);

/**
 * Where both were merged, the first of two changes: what was saved, as it was. So it is in the
 * history, and what the program saves next is an edit of that. -EAGAIN: another version is shown by
 * now. The caller has begun no change yet; after a failure: replica_abort().
 */
int edit_keep_saved(struct space *s, struct db_batch *batch, const struct rid *rid,
                    struct edit *e) MUST_CHECK;
/** The content, in a change of the caller. */
int edit_author(struct change *c, const struct rid *rid, struct edit *e) MUST_CHECK;
/**
 * The file is as published: its content is that of e->dot. The caller does op_put(). False: a
 * program has it open for writing, and goes on with what it saved: the file is shown what was
 * merged when that has closed it, for which it is to stay pending.
 */
bool edit_show(struct space *s, struct op *x, struct attr *a, const struct edit *e,
               struct inval_list *invals);

#endif
