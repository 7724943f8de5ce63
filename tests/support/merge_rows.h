/*
 * tests/support/merge_rows - tables of contents that were written apart, and what they merge to.
 */
#ifndef TESTS_SUPPORT_MERGE_ROWS_H
#define TESTS_SUPPORT_MERGE_ROWS_H

#include "proto/base/buf.h"

struct merge_row {
    const char *base, *earlier, *later;
    const char *ought; /* NULL: not merged */
};

/** As json_merge() and frontmatter_merge() are: 1 merged into @ret, 0 not. */
typedef int merge_fn(struct bytes base, struct bytes earlier, struct bytes later, struct buf *ret);

/** Fails the test at the first row of which @merge makes something else. */
void merge_check_rows(merge_fn *merge, const struct merge_row *rows, size_t n);

#endif
