/*
 * fs/store/lister - makes a body out of the entries of its content, one after the other.
 *
 * Full nodes are put into the database as they arise. Where a node of an older list covers the next
 * bytes, and a node would begin here on its level and all below (lister_takes_node()), it can be
 * added whole. Boundaries: list.h. Thread: one.
 */
#ifndef FS_STORE_LISTER_H
#define FS_STORE_LISTER_H

#include "fs/store/chunk.h"
#include "fs/store/list.h"

struct lister_level {
    uint64_t total_n; /* entries of this level so far */
    size_t open_n;    /* of them in no node yet; all, while total_n <= LIST_ROOT_MAX */
    struct list_entry open[LIST_CHILDREN_MAX];
};

struct lister {
    struct chunk_sink *sink;
    uint64_t size; /* bytes of content so far */
    struct buf node;
    struct lister_level levels[LIST_LEVEL_MAX + 1];
};

void lister_init(struct lister *l, struct chunk_sink *sink);
void lister_fini(struct lister *l);

/** Appends a chunk or hole (@level 0), or a whole node. -EFBIG: more than lists can hold. */
int lister_add(struct lister *l, unsigned level, const struct list_entry *e) MUST_CHECK;

/** Whether a node can be added to the list of @level (> 0) now, as if its chunks had been. */
bool lister_takes_node(const struct lister *l, unsigned level);

/** Appends the body to @ret_body. */
int lister_finish(struct lister *l, struct buf *ret_body) MUST_CHECK;

#endif
