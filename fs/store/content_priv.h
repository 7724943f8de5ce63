/*
 * fs/store/content_priv - what the content_*.c files share: an open content and its lists.
 */
#ifndef FS_STORE_CONTENT_PRIV_H
#define FS_STORE_CONTENT_PRIV_H

#include <pthread.h>

#include "fs/store/list.h"

enum {
    CONTENT_NODES_CACHED = 32, /* at most 48 KiB each, mostly 15 */
};

struct content_node {
    uint8_t id[CONTENT_ID_BYTES];
    struct list *list; /* NULL: the slot is free */
    uint64_t used;     /* time of last use, as counted by content.clock */
};

struct content {
    struct db *db;
    struct buf body;
    struct content_info info; /* its data points into body */
    struct list *root;        /* NULL: inline */
    pthread_mutex_t lock;     /* guards what follows, and `pins` of the lists in nodes */
    uint64_t clock;
    struct content_node nodes[CONTENT_NODES_CACHED];
    _Atomic uint64_t asked; /* up to here in the content, the disk was asked to read ahead */
};

/* A list of a content, kept from being freed until content_list_done(). All zero is valid. */
struct content_list {
    struct list *list;
    uint64_t off; /* in the content, where it begins */
};

/**
 * Finds the list of @level (at most the body's) that holds the byte at @off (inside the size).
 * -ENODATA, -EBADMSG, -ENOMEM, -EUCLEAN, -EIO.
 */
int content_list_at(struct content *c, unsigned level, uint64_t off,
                    struct content_list *ret) MUST_CHECK;
void content_list_done(struct content *c, struct content_list *l);

#endif
