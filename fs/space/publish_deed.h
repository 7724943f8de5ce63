/*
 * fs/space/publish_deed - a name that is being published. Shared by publish_name.c, and
 * publish_new.c, which publishes many at once.
 */
#ifndef FS_SPACE_PUBLISH_DEED_H
#define FS_SPACE_PUBLISH_DEED_H

#include "fs/space/publish_edit.h"
#include "fs/space/publish_view.h"

struct deed {
    struct space *s;
    struct op *x;
    struct change *c;
    struct publish_item *item;
    struct view *v;
    struct edit *edit;
    struct inval_list *invals;
    struct rid rid; /* what the file shows from now on */
    bool more;      /* a part of what is gone is still to be deleted */
};

/** The change of the records that a new file is. s->lock is held. */
int deed_create(struct deed *d) MUST_CHECK;
/**
 * What the change means for the file, with names locked. -EAGAIN: it is not as it was seen. @arg:
 * struct deed.
 */
int deed_show(void *arg) MUST_CHECK;

/** Whether what was seen is a new small file, which can be published with others. */
bool publish_is_new(const struct publish_item *item, const struct view *v);
/**
 * Publishes a new small file (publish_is_new()), and with the same write those that are due next
 * (publisher_more()). The builds lock (shared) and s->lock are held. A failure is one of all: the
 * first is to be published by itself, the others are pending again.
 */
int publish_new(struct space *s, struct publish_item *item, struct view *v,
                struct inval_list *invals) MUST_CHECK;

#endif
