/*
 * fs/tree/tree_priv - what the files of fs/tree share: the tree, its nodes. Not for
 * other folders.
 */
#ifndef FS_TREE_TREE_PRIV_H
#define FS_TREE_TREE_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "fs/tree/op.h"

enum {
    NODE_SHARDS = 64,
    NODE_BUCKETS = 512,  /* hash buckets of a shard */
    NODE_IDLE_MAX = 256, /* nodes of a shard that are kept though nobody uses them */
    INO_BLOCK = 4096,    /* inode numbers reserved at a time */
    TREE_LINK_MAX = 65000,
    TREE_SMALL_MAX = 32 << 10, /* bytes of a file that lives in DB_DATA */
};

#define TREE_NEXT_INO_KEY "next-ino"

struct seen; /* seen.h */
struct file; /* the state of a file whose data is in use: data.h */

/* An inode in memory. There is at most one of each number, so it is the truth while it is held. */
struct node {
    struct node *hash_next;
    struct node *idle_prev, *idle_next; /* in the shard's idle list when refs is 0 */
    uint64_t ino;
    unsigned refs; /* guarded by the shard's lock */
    pthread_mutex_t lock;
    /* guarded by lock: */
    bool loaded, gone;
    bool lost; /* others took its last name */
    struct attr attr;
    struct file *file; /* NULL: data not in use */
};

struct node_shard {
    pthread_mutex_t lock;
    struct node *buckets[NODE_BUCKETS];
    struct node idle; /* head of the list, oldest last */
    unsigned idle_n;
};

struct tree {
    struct tree_config cfg;
    struct db *db;
    unsigned healed; /* blocks of staging files that were put right when it was opened */
    int staging_fd;  /* directory of staging files, or -1 */
    uint64_t name_seed;
    pthread_mutex_t lock;            /* names */
    uint64_t next_ino, reserved_ino; /* guarded by lock */
    struct node_shard shards[NODE_SHARDS];
    struct seen *seen;        /* which version each process saw last */
    _Atomic unsigned untold;  /* changes that the kernel may not have been told of */
    _Atomic uint64_t orphans; /* files without a name that are still in the database */
    _Atomic uint64_t files;
    pthread_mutex_t gone_lock;
    struct gone *gone; /* open files that others deleted: gone.c; guarded by gone_lock */
    pthread_mutex_t atime_lock;
    struct buf atimes; /* numbers of inodes with a new time of reading; guarded by atime_lock */
    pthread_mutex_t late_lock;
    struct buf late;     /* staging files to remove: data_late.c; guarded by late_lock */
    uint64_t late_bytes; /* what they take on disk; likewise */
    bool usable;         /* opening came to its end */
    _Atomic uint64_t room_checked_ms, room_left; /* room.c: what may still be written */
};

/* ---- node.c ---- */
int node_cache_init(struct tree *t);
void node_cache_fini(struct tree *t);
/** Takes a reference to a node, reading it when needed. -ESTALE when there is no such inode. */
int node_get(struct tree *t, uint64_t ino, struct node **ret) MUST_CHECK;
void node_put(struct tree *t, struct node *n); /* accepts NULL */
void node_lock(struct node *n);
/** Attributes of an inode, from its node or, without making one, from the database. */
int node_peek(struct tree *t, uint64_t ino, struct attr *ret) MUST_CHECK;
void node_key(uint64_t ino, uint8_t key[8]);

void tree_tell_name(struct tree *t, uint64_t dir, struct bytes name);
void tree_tell(struct tree *t, enum tree_event kind, uint64_t ino);

/* ---- orphan.c: files without a name ---- */
void orphan_put(struct op *x, uint64_t ino);
/** It has a name again. */
void orphan_take(struct op *x, uint64_t ino);
/** Deletes an inode without a name and all that belongs to it, when nobody uses it. */
void orphan_reap(struct tree *t, uint64_t ino);
int orphan_reap_all(struct tree *t) MUST_CHECK;

/* ---- gone.c: open files that others deleted; see op_gone() ---- */
struct gone;
void gone_free(struct gone *g); /* accepts NULL */
/** Whoever takes a name now is not known to be another device. */
void gone_forget(struct node *n);
/** In an operation with names that changes the content of @a: puts it back, if it is one. */
int gone_back(struct op *x, struct attr *a) MUST_CHECK;
/** Whether others took the last name of a file that no program had open. */
bool gone_is_lost(struct op *x, const struct attr *a);

/* ---- tree_xattr.c: attributes of any name, as parts of an operation ---- */
/** Appends a value. -ENODATA. */
int xattr_read(struct tree *t, const struct attr *a, struct bytes name, struct buf *ret) MUST_CHECK;
/** @flags: XATTR_CREATE, XATTR_REPLACE. The caller does op_put(). */
int xattr_put(struct op *x, struct attr *a, struct bytes name, struct bytes value,
              int flags) MUST_CHECK;
/** -ENODATA. The caller does op_put(). */
int xattr_delete(struct op *x, struct attr *a, struct bytes name) MUST_CHECK;

/* ---- stale.c: saves of programs that have not seen what is there ---- */
/** The version that the caller saw last of a file, if it is not the one that it is based on. */
bool stale_is(struct tree *t, const struct attr *a, struct base_ref *ret);
/** Truncates, as file_truncate(): what is written then is an edit of what the caller saw. */
int stale_truncate(struct op *x, struct node *n, struct attr *a, uint64_t size,
                   const struct timespec *now) MUST_CHECK;
/**
 * Before a write into an open file that its writer has not seen: it has the bytes again that the
 * writer saw. Not so where those end before @offset: what is added there belongs to what is there.
 */
int stale_write(struct op *x, struct node *n, struct attr *a, uint64_t offset) MUST_CHECK;
/**
 * A file takes the name of another one. If it is new, or was made here not long ago, it is an edit
 * of what the caller saw of that. The caller does op_put().
 */
void stale_replace(struct tree *t, struct attr *a, const struct attr *old);
/** Two files take each other's names: each is an edit of what the caller saw of the other. */
void stale_exchange(struct tree *t, struct attr *a, struct attr *b);
/** stale_replace() for a name that another file has just left, or that was just deleted. */
int stale_renew(struct op *x, uint64_t dir, struct bytes name, struct attr *a) MUST_CHECK;
/** op_pending_name() of a name that the file loses. */
void stale_remove(struct op *x, uint64_t dir, struct bytes name, const struct attr *a);

/* ---- tree_version.c ---- */
/** File @ino, which is not that of the version's own record, is based on @ref. */
void base_use_put(struct op *x, const struct base_ref *ref, uint64_t ino);

#endif
