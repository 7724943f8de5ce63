/*
 * ramfs_tree - the names, attributes and bytes of the ramfs of scripts/bench, in memory alone.
 *
 * Not safe between threads: ramfs.c holds its lock. Functions that can fail return 0 or a negative
 * errno.
 */
#ifndef BENCH_RAMFS_TREE_H
#define BENCH_RAMFS_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

struct entry;

struct node {
    struct stat st;
    uint64_t lookups; /* that the kernel has to forget */
    char *data;       /* of a file, or the target of a link, ended with a zero */
    size_t room;
    struct node *parent;  /* of a folder */
    struct entry **slots; /* of a folder: in the order of listing, with gaps */
    size_t slots_n, slots_room;
};

struct entry {
    struct entry *next; /* with the same hash */
    struct node *dir, *node;
    size_t slot;
    uint64_t hash;
    char name[];
};

/* What a new node is. */
struct node_new {
    mode_t mode;
    uid_t uid;
    gid_t gid;
    dev_t rdev;
    const char *target; /* of a link */
};

/** Makes the root, once. */
int ramfs_tree_start(void);

/** The node of a number that the kernel uses, and back. */
struct node *node_of(uint64_t ino);
uint64_t node_ino(const struct node *n);

/** The node of that name. NULL: none. */
struct node *name_find(const struct node *dir, const char *name);

/** A new node with a name. -EEXIST, -ENOMEM. */
int name_make(struct node *dir, const char *name, const struct node_new *what, struct node **ret);

/** Another name. -EEXIST, -ENOMEM. */
int name_link(struct node *node, struct node *dir, const char *name);

/** Takes a name away; @folder says of what kind it is to be. -ENOENT, -ENOTDIR, -EISDIR,
 * -ENOTEMPTY. */
int name_remove(struct node *dir, const char *name, bool folder);

/** @flags as of renameat2(2). */
int name_rename(struct node *dir, const char *name, struct node *to, const char *new_name,
                unsigned flags);

/** The kernel has forgotten @n lookups: a node without names and lookups is freed. */
void node_forget(struct node *node, uint64_t n);

/** Bytes that were not written are zeros. -EFBIG, -ENOMEM. */
int node_resize(struct node *file, uint64_t n);
int node_write(struct node *file, const char *p, size_t n, uint64_t at);

/** Sets the time of the last change, and with @content that of the content, to now. */
void node_changed(struct node *node, bool content);

#endif
