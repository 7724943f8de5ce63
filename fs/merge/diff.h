/*
 * fs/merge/diff - the fewest insertions and deletions that make one list of lines another one.
 *
 * Lines are numbers: equal lines have equal ones. Source: E. Myers, "An O(ND) difference algorithm
 * and its variations" (1986), the variation in linear space. Takes time in proportion to the number
 * of lines times DIFF_DISTANCE_MAX at most. Pure; thread: any.
 */
#ifndef FS_MERGE_DIFF_H
#define FS_MERGE_DIFF_H

#include "proto/base/buf.h"

enum { DIFF_DISTANCE_MAX = 10000 };

struct lines {
    const uint32_t *p;
    size_t n;
};

/* Lines [a, a + an) of the old list became [b, b + bn) of the new one; not both are none. */
struct diff_hunk {
    size_t a, an, b, bn;
};

/**
 * Appends the hunks to @ret as struct diff_hunk, in order, with a line that stays between any two.
 * Of the equal places of a mere insertion or deletion the last one is taken. -E2BIG: more than
 * DIFF_DISTANCE_MAX insertions and deletions, not counting those that are all there is between what
 * the lists begin and end with alike; -ENOMEM.
 */
int diff_lines(struct lines a, struct lines b, struct buf *ret) MUST_CHECK;

#endif
