/*
 * fs/mount/virtual_nodes - the nodes of .persist that the kernel knows, by node id and by path.
 *
 * A node lives until the kernel has forgotten it; its id is never used again. Thread: any.
 */
#ifndef FS_MOUNT_VIRTUAL_NODES_H
#define FS_MOUNT_VIRTUAL_NODES_H

#include "fs/space/history_view.h"

#define VIRTUAL_BIT (UINT64_C(1) << 63)

/* Those that are always there. */
enum {
    VIRTUAL_TOP = 1,
    VIRTUAL_STATUS,
    VIRTUAL_STATUS_JSON,
    VIRTUAL_CONFLICTS,
    VIRTUAL_HISTORY,
    VIRTUAL_FIRST = 16, /* from here on: folders and versions of the history */
};

struct virtual_nodes;

/* NULL: out of memory. */
struct virtual_nodes *virtual_nodes_new(void);
void virtual_nodes_free(struct virtual_nodes *t); /* accepts NULL */

/**
 * The node of a path of the history (@path a folder's, or a version's with its name behind it),
 * known once more to the kernel. 0: out of memory.
 */
uint64_t virtual_nodes_enter(struct virtual_nodes *t, struct bytes path,
                             const struct history_view *view);

/** What node @id is; its path, NUL-terminated, replaces what is in @path. -ESTALE, -ENOMEM. */
int virtual_nodes_find(struct virtual_nodes *t, uint64_t id, struct history_view *ret,
                       struct buf *path) MUST_CHECK;

/** The kernel knows it @n times less. */
void virtual_nodes_forget(struct virtual_nodes *t, uint64_t id, uint64_t n);

#endif
