/*
 * fs/merge/unite - two lists of lines as one that has the lines of both. Pure; thread: any.
 */
#ifndef FS_MERGE_UNITE_H
#define FS_MERGE_UNITE_H

#include "fs/merge/diff.h"

#define UNITED_NONE SIZE_MAX

/* A line of the united list: where it is in each of the two, or UNITED_NONE. */
struct united {
    size_t a, b;
};

/**
 * Appends struct united to @ret: each line as often as the list that has it more often, in the
 * order that the lists agree on; where they differ, the lines of the list first that is less by its
 * numbers. -E2BIG as diff_lines(), -ENOMEM.
 */
int unite_lines(struct lines a, struct lines b, struct buf *ret) MUST_CHECK;

#endif
