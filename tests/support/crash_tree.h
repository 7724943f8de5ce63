/*
 * tests/support/crash_tree - a local tree (fs/tree) on a database in a directory, without FUSE, and
 * the operations and the view of crash_model on it.
 */
#ifndef TESTS_SUPPORT_CRASH_TREE_H
#define TESTS_SUPPORT_CRASH_TREE_H

#include "crash_model.h"
#include "fs/tree/tree.h"

enum { CRASH_HELD_MAX = 6 };

struct crash_tree {
    struct db *db;
    struct tree *tree;
    int dir_fd;
    struct crash_view view;
    uint64_t held[CRASH_HELD_MAX]; /* files that are kept open; 0: free */
};

/** Opens the tree in @dir, which is made when it is missing; on failure prints why. 0 or -errno. */
int crash_tree_open(struct crash_tree *c, const char *dir) MUST_CHECK;
/** The same with everything in memory; no file can be over 32 KiB. */
int crash_tree_open_memory(struct crash_tree *c) MUST_CHECK;
/** A clean end, as of an unmount. */
void crash_tree_close(struct crash_tree *c);

/** Does an operation: opens the file for it where that is needed, and closes it. */
int crash_tree_apply(struct crash_tree *c, const struct crash_op *op) MUST_CHECK;
/** Keeps a file open for writing, in place of the one that place @i had; NULL: of none. */
void crash_tree_hold(struct crash_tree *c, unsigned i, const char *path);
/** The inode of @path. */
int crash_tree_find(struct crash_tree *c, const char *path, struct attr *ret) MUST_CHECK;

/** Makes a file one as published: its bytes go to chunks, and become its base. */
int crash_tree_publish(struct crash_tree *c, const char *path) MUST_CHECK;

/** Whether each checksum in the map of blocks is that of the block in the staging file. */
bool crash_tree_sums_hold(struct crash_tree *c, char why[256]);

/** Copies the directory @from, with all below it, to the new directory @to. */
int crash_copy_dir(const char *from, const char *to) MUST_CHECK;
/** A number that changes when a file below a directory does: its name, size or times. */
uint64_t crash_dir_state(const char *dir);
/** Removes a directory and all below it. */
void crash_remove_dir(const char *dir);
/** A new directory for a test; the name is in a static buffer. */
const char *crash_temp_dir(void);

#endif
