/*
 * fs/space/publish_view - what is to be done with a name of the tree that changed. Shared by
 * publish_look.c, which finds it out, and publish_name.c, which does it.
 */
#ifndef FS_SPACE_PUBLISH_VIEW_H
#define FS_SPACE_PUBLISH_VIEW_H

#include "fs/space/space_priv.h"

enum action {
    ACT_FORGET,  /* in step with the records, or of this device alone */
    ACT_KEEP,    /* its directory is not published: looked at when that is */
    ACT_WAIT,    /* see view.wait */
    ACT_CREATE,  /* a new record */
    ACT_REPLACE, /* the record of this name has a new file */
    ACT_LINK,    /* a further name */
    ACT_MOVE,    /* the file's record was at view.from */
    ACT_CLEAR,   /* another kind of file has the name: delete the record first */
    ACT_UNLINK,  /* the name is gone */
    ACT_FOLLOW,  /* the file went to view.to: publish that name */
};

struct view {
    enum action act;
    enum publish_result wait;
    struct attr dir, file;
    bool has_file, has_record;
    bool was_temporary; /* ACT_REPLACE: the file had a record of its own, at view.from: that goes */
    struct replica_entry record, from;
    uint64_t to_dir;
    struct buf to_name;
    struct buf children; /* names in a directory that was published: length byte, name */
};

/** Looks at an item, and says in @v what to do. s->lock is held. Free to_name: buf_fini(). */
int publish_look(struct space *s, struct publish_item *item, struct view *v) MUST_CHECK;

#endif
