/*
 * fs/space/ignore_priv - what the files ignore*.c share: rules in memory. Guarded by space.lock.
 */
#ifndef FS_SPACE_IGNORE_PRIV_H
#define FS_SPACE_IGNORE_PRIV_H

#include "fs/space/ignore.h"
#include "fs/space/ignore_rules.h"

enum {
    IGNORE_DEPTH_MAX = 2 * LIMIT_DEPTH,
    IGNORE_SLOTS = 1024,
    IGNORE_SLOTS_FULL = IGNORE_SLOTS - IGNORE_DEPTH_MAX - 1
};

/* What is known of one folder's own rules. */
struct ignore_slot {
    bool used;
    struct rid dir, file;
    struct ignore_rules *rules; /* NULL: none */
};

/* Rules that are in force, and where in a path what they speak of begins. */
struct ignore_level {
    const struct ignore_slot *slot;
    size_t from;
};

/* All that a name in one folder has to be looked at for. */
struct ignore_folder {
    bool valid;
    bool ignored; /* the folder itself, so all that is in it */
    struct rid rid;
    struct buf path;
    struct buf levels; /* of struct ignore_level */
};

struct ignore {
    struct ignore_rules builtin;
    struct ignore_slot slots[IGNORE_SLOTS];
    size_t slots_n;
    struct ignore_folder last; /* names are looked at folder by folder */
    struct dot refused;        /* the version of rules that was complained of last */
    uint64_t generation;       /* counts changes of rules */
};

/** Drops all that is known of rules. */
void ignore_forget(struct ignore *g);
/** A folder's own rules; good until ignore_forget(). */
int ignore_slot(struct space *s, const struct rid *dir, const struct ignore_slot **ret) MUST_CHECK;
/** Makes ignore.last what names in folder @dir have to be looked at for. -ENOENT: it is nowhere. */
int ignore_enter(struct space *s, const struct rid *dir) MUST_CHECK;

#endif
