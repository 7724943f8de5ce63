/*
 * fs/tree/op - one change of the tree: inodes locked, changed on copies, written as one batch with
 * any further keys, then shown. What the operations of tree.h are made of, and what the publisher
 * uses to bring records and files up to date in one write.
 */
#ifndef FS_TREE_OP_H
#define FS_TREE_OP_H

#include "fs/tree/tree.h"

enum { OP_NODES_INLINE = 8 };

struct node;
struct staging;

struct op_node {
    struct node *node; /* NULL: a new inode */
    struct attr attr;  /* as it will be */
    bool put, remove;
};

struct op {
    struct tree *t;
    struct db_batch *batch;
    bool names;           /* holds tree.lock */
    int files;            /* how many files there are more with the commit */
    unsigned named;       /* how many files without a name get one with the commit */
    struct buf back;      /* names that the kernel does not know of: see TREE_BACK */
    uint64_t reserve_ino; /* new end of the reserved numbers, 0: unchanged */
    /* What happens to staging files once the batch is written, and not before: */
    struct buf unlink;                        /* files that go, see late_add() */
    struct staging *staging;                  /* a reference, or NULL */
    uint64_t cut_from, punch_from, punch_end; /* UINT64_MAX: nothing to cut; equal: no hole */
    unsigned n;
    struct op_node nodes[OP_NODES_INLINE];
    struct op_node **more; /* those past OP_NODES_INLINE */
    unsigned more_cap;
};

/** Starts; @names: takes tree.lock, needed for more than one inode. */
int op_begin(struct tree *t, bool names, struct op *x) MUST_CHECK;
/** Takes tree.lock in an operation begun without; no inode may have been added. */
void op_lock_names(struct op *x);
/** Locks an inode; *@ret is its state, to be changed in place, then op_put(). -ESTALE. */
int op_add(struct op *x, uint64_t ino, struct attr **ret) MUST_CHECK;
/** Begins one that is about the inode @ino, without names. As op_add(); on errors it is over. */
int op_begin_on(struct tree *t, uint64_t ino, struct op *x, struct attr **ret) MUST_CHECK;
/**
 * op_begin_on() to change the content: a file that others deleted while it was open has a name
 * again with the commit. -ESTALE: they did before it was opened.
 */
int op_begin_write(struct tree *t, uint64_t ino, struct op *x, struct attr **ret) MUST_CHECK;
/** The inode is written with the commit; without this it was only read. */
void op_put(struct op *x, const struct attr *a);
/** A new inode with a fresh number. -ENOMEM. */
int op_make(struct op *x, struct attr **ret) MUST_CHECK;
/** Deletes the inode's own keys with the commit. */
void op_remove(struct op *x, const struct attr *a);
/** The node of an inode that was added. */
struct node *op_node_of(struct op *x, const struct attr *a);
/** The i-th inode that was added or made, i < x->n. */
const struct attr *op_attr(struct op *x, unsigned i);
/** Writes all, lets go. On failure nothing has changed. */
int op_commit(struct op *x) MUST_CHECK;
/** Lets go without writing; for use after any failure before op_commit(). Returns @code. */
int op_abort(struct op *x, int code);

/* ---- what the publisher has to look at: keys of DB_PENDING ---- */

/* Where a file went that left a name. */
struct tree_moved {
    uint64_t ino, dir;
    struct bytes name;
};

enum { PENDING_KEY_MAX = 9 + TREE_NAME_MAX };

/**
 * A name: 'n', directory, name -> nothing, or where the file went (ino, directory, name), or which
 * version it was that was deleted (0, 0, base_ref).
 */
size_t pending_name_key(uint64_t dir, struct bytes name, uint8_t key[PENDING_KEY_MAX]);
/** An inode's content or attributes: 'i', ino -> nothing. */
size_t pending_inode_key(uint64_t ino, uint8_t key[PENDING_KEY_MAX]);
/* fs/space adds: 'r', ino -> nothing: all names below a directory (ignore.c). */
void op_pending_name(struct op *x, uint64_t dir, struct bytes name,
                     const struct tree_moved *moved_to);
/** Of a file without a record nothing is noted: it is published with its name, which is. */
void op_pending_inode(struct op *x, const struct attr *a);

/* ---- directory entries ---- */

struct dirent_key {
    uint8_t b[16 + TREE_NAME_MAX];
    size_t n;
};

struct dirent_value {
    uint64_t ino;
    unsigned type; /* S_IFMT bits */
};

void dirent_key(const struct tree *t, uint64_t dir, struct bytes name, struct dirent_key *ret);
/** -ENOENT, -ENAMETOOLONG. */
int dirent_get(struct tree *t, uint64_t dir, struct bytes name,
               struct dirent_value *ret) MUST_CHECK;
void dirent_put(struct op *x, uint64_t dir, struct bytes name, struct dirent_value v);
void dirent_delete(struct op *x, uint64_t dir, struct bytes name);
int dirent_decode(struct bytes value, struct dirent_value *ret) MUST_CHECK;
/** Calls @fn for each entry of a directory, locking nothing; not 0 ends the walk and is returned.
 */
int dirent_each(struct tree *t, uint64_t dir,
                int (*fn)(void *arg, struct bytes name, struct dirent_value v),
                void *arg) MUST_CHECK;
/** 1: the directory has no entry, 0: it has. */
int dirent_none(struct tree *t, uint64_t dir) MUST_CHECK;
/** 0 when the name can be one of a file: -EINVAL, -ENAMETOOLONG. */
int dirent_check_name(struct bytes name) MUST_CHECK;

/* ---- names and data, as parts of a larger change ---- */

/** The directory's entries have changed. */
void names_touch(struct op *x, struct attr *dir, const struct timespec *now);
/** Sets the mode (07777) of an inode, and its access ACL by it. The caller does op_put(). */
int op_chmod(struct op *x, struct attr *a, uint32_t mode) MUST_CHECK;
/** One name of @a less; the last one makes it an orphan. */
void names_drop(struct op *x, struct attr *a, const struct timespec *now);
enum { NAMES_BESIDE_MAX = 1000, NAMES_BESIDE_ROOM = TREE_NAME_MAX + 16 };
/** The @i-th name beside @name, 0: that itself. The result is a view of @name or @room. */
struct bytes names_beside(struct bytes name, unsigned i, char room[NAMES_BESIDE_ROOM]);
/** Who had it was another device: names_drop() of the last name of @a. Nobody opens it to write. */
void op_lost(struct op *x, const struct attr *a);
/**
 * Likewise, and if a program has the file open, its first write gives it @name in @dir again, or
 * one beside it, and makes it a file like any new one. -ENOMEM.
 */
int op_gone(struct op *x, const struct attr *a, uint64_t dir, struct bytes name) MUST_CHECK;
/**
 * A folder that was in @dir has lost its name, too: it comes back with such files, as a new one. 1:
 * there were some, now with @dir to begin at; 0, -ENOMEM.
 */
int op_gone_folder(struct op *x, const struct attr *a, uint64_t dir, struct bytes name) MUST_CHECK;
/** The file's bytes are now those of version @ref of @size bytes, and no others. */
void op_set_version(struct op *x, struct attr *a, const struct base_ref *ref, uint64_t size);
/** The version that the file is based on is kept, though no record shows the file any more. */
void op_keep_base(struct op *x, const struct attr *a);
/** Whether a program has the file open; @writing: for writing. */
bool op_is_open(struct op *x, const struct attr *a, bool writing);
/** Of a file that is open for writing: TREE_CLOSED is told even if nothing will be written. */
void op_tell_closed(struct op *x, const struct attr *a);
/** Whether the program that writes the file has emptied it and not yet closed or fsynced it. */
bool op_is_cut(struct op *x, const struct attr *a);

#endif
