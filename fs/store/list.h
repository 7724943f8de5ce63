/*
 * fs/store/list - lists of chunks and list nodes: their encoding, limits and boundaries.
 *
 *   body   format 1 (1) · kind (1) ·
 *            kind 0, inline: size varint (<= 32 KiB) · the bytes
 *            kind 1, list:   level (1) · size varint (> 32 KiB, <= 2^50) · entries
 *   node   format 1 (1) · level (1) · entries            (stored as a chunk, its id says "node")
 *   entry  len * 2 + flag, varint · id 32                (no id for a hole)
 *
 * Entries go on to the end of the bytes. Level 0: they are chunks (len 1 to 256 KiB) and holes
 * (flag 1, len >= 256 KiB, no two in a row). Level k > 0: they are nodes of level k - 1; len is the
 * size of the content below, flag 1 says that there are holes below. A node has 1 to 1024 entries.
 * A body has 1 to 128, unless its level is 3: then up to 1024, and its nodes have levels 2, 1, 0.
 *
 * Where nodes end: an entry that is no hole ends the node, if it has at least 64 entries and the
 * last byte of that entry's id is 0; the 1024th always does. A list of at most 128 entries is the
 * body's own; else all of it is made into nodes (the last may be short), whose list is the next
 * level. So all boundaries follow from the bytes.
 */
#ifndef FS_STORE_LIST_H
#define FS_STORE_LIST_H

#include "fs/store/content.h"

enum {
    LIST_FORMAT = 1,
    LIST_KIND_INLINE = 0,
    LIST_KIND_LIST = 1,
    LIST_CHILDREN_MAX = 1024,
    LIST_ROOT_MAX = 128,
    LIST_NODE_MIN = 64,
    LIST_LEVEL_MAX = 3,
};

struct list_entry {
    uint64_t len;
    bool hole; /* level 0: it is one; above: there are some below */
    uint8_t id[CONTENT_ID_BYTES];
};

/* What a list says of itself; borrowed from checked bytes. */
struct list_head {
    unsigned level;
    size_t n;
    uint64_t size;
    bool holes; /* any flag is set */
    struct bytes entries;
};

/** Checks a list node. -EBADMSG. */
int list_parse_node(struct bytes node, struct list_head *ret_head) MUST_CHECK;

/** Checks a body: fills @ret_info, and @ret_head (all zero for an inline one). -EBADMSG. */
int list_parse_body(struct bytes body, struct content_info *ret_info,
                    struct list_head *ret_head) MUST_CHECK;

/** Whether a node is what the entry of its parent (a list of @parent_level) says. */
bool list_fits(const struct list_head *node, unsigned parent_level, const struct list_entry *e);

/* Walks the entries of a checked list. */
struct list_walk {
    struct reader r;
    unsigned level;
};

struct list_walk list_walk_of(const struct list_head *head);
bool list_walk_next(struct list_walk *w, struct list_entry *ret);

/** Calls @fn with each id of a checked list; see content_body_ids(). */
int list_each_id(const struct list_head *head, content_id_fn fn, void *arg) MUST_CHECK;

void list_put_inline(struct buf *b, struct bytes data);
void list_put_body_head(struct buf *b, unsigned level, uint64_t size);
void list_put_node_head(struct buf *b, unsigned level);
void list_put_entry(struct buf *b, unsigned level, const struct list_entry *e);

/** Whether entry @e, the @n-th of a node of @level (from 1), is its last. */
bool list_ends_node(const struct list_entry *e, unsigned level, size_t n);

/* A decoded list, to search in. */
struct list_item {
    uint64_t end; /* offset in the list where it ends; it begins where the one before ends */
    bool hole;
    uint8_t id[CONTENT_ID_BYTES];
};

struct list {
    unsigned level;
    size_t n;
    bool holes;
    unsigned pins; /* for its keeper's use */
    struct list_item items[];
};

/** Decodes a checked list; NULL when memory ran out. Free: free(). */
struct list *list_new(const struct list_head *head) MUST_CHECK;

/** Index of the item that holds offset @off, which is inside the list. */
size_t list_find(const struct list *l, uint64_t off);

static inline uint64_t list_start(const struct list *l, size_t i)
{
    return i == 0 ? 0 : l->items[i - 1].end;
}

#endif
