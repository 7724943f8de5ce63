/*
 * fs/space/queue - what is pending, in the order in which it is due. The same is in the database
 * (DB_PENDING), without the times; this queue is made anew at each start.
 */
#ifndef FS_SPACE_QUEUE_H
#define FS_SPACE_QUEUE_H

#include "proto/base/buf.h"

struct queue_item {
    struct queue_item *hash_next;
    size_t heap_at;
    uint64_t due_ms, touched_ms;
    uint64_t ino, wait_ino;
    int error;      /* an errno: why it could not be published when that was tried last; 0 */
    uint8_t tries;  /* since it was touched */
    uint8_t name_n; /* 0: the inode, not a name */
    uint8_t name[];
};

struct queue {
    struct queue_item **buckets;
    size_t buckets_n;
    struct queue_item **heap; /* by due_ms */
    size_t n, cap;
    size_t waiting_n; /* items with a wait_ino */
};

/** Notes a change; a known item is due at @due_ms from now on. -ENOMEM. */
int queue_touch(struct queue *q, uint64_t ino, struct bytes name, uint64_t now_ms,
                uint64_t due_ms) MUST_CHECK;
/** The item that is due first, NULL when there is none; it stays in the queue. */
const struct queue_item *queue_first(const struct queue *q);
/** Takes the first item out; free() it. */
struct queue_item *queue_take(struct queue *q);
/** Puts an item back. If it was touched meanwhile, that stands, and @item is freed. */
int queue_give(struct queue *q, struct queue_item *item, uint64_t due_ms) MUST_CHECK;
/** Makes the items that wait for file @ino due. */
void queue_wake(struct queue *q, uint64_t ino, uint64_t now_ms);
void queue_fini(struct queue *q);

#endif
