/*
 * fs/replica/rewrite - values of changes that do not count any more, written anew by an own change:
 * after a new replica id (renew.c), and for others (adopt.c).
 */
#ifndef FS_REPLICA_REWRITE_H
#define FS_REPLICA_REWRITE_H

#include "fs/replica/record.h"

/* One change that does not count, in one record. */
struct rewrite_one {
    struct dot dot;
    struct rid rid;
};

/* What does not count: void changes, and those of one replica after @last (counter 0: all of it).
 */
struct rewrite {
    struct replica *r;
    struct dot last; /* all zero: void ones alone */
    struct rewrite_one *v;
    size_t n, cap;
    size_t max; /* of @v; 0: no limit */
};

void rewrite_fini(struct rewrite *w);

/** Appends what is held of @after.replica after @after, in the order of dots. */
int rewrite_collect(struct rewrite *w, const struct dot *after) MUST_CHECK;

bool rewrite_is_lost(const struct rewrite *w, const struct dot *d);

/** The elements of a vector, in the arena. */
int rewrite_dots(const struct rewrite *w, const struct vv *v, struct dots *ret) MUST_CHECK;

/** A vector that claims nothing of what does not count. */
int rewrite_cut(const struct rewrite *w, struct dots in, struct dots *ret) MUST_CHECK;

/** Saves that do not count in the origin of @v become the one that is written now; NULL: none. */
int rewrite_origin(const struct rewrite *w, const struct dot *now, struct value *v) MUST_CHECK;

/**
 * Calls @fn for each value of the change @u in its record, which replaces it: the values are read
 * anew after each.
 */
int rewrite_values(const struct rewrite *w, const struct rewrite_one *u, const struct dot *now,
                   int (*fn)(const struct rewrite *w, struct record *rec, const struct value *old,
                             const struct dot *now)) MUST_CHECK;

#endif
