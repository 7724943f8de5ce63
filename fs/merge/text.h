/*
 * fs/merge/text - merges two texts that were edited apart, line by line.
 *
 * Symmetric: which text is @a and which is @b changes nothing, neither the outcome nor a byte.
 * Edits of different lines are all taken, those of neighbouring ones, too; the same edit of both
 * sides is one. They overlap when
 *  - both changed one line, or one changed what is around a place where the other inserted; where
 *    neither adds or removes a line, or neither does more than remove some, this is looked at line
 *    by line;
 *  - both inserted at one place, unless it is the same; a change that makes more lines of some
 *    counts as an insertion at either end, for how much of it is new is not known.
 * Line ends, the last newline and a byte order mark are merged apart from the lines: see
 * fs/merge/split. Pure; thread: any.
 */
#ifndef FS_MERGE_TEXT_H
#define FS_MERGE_TEXT_H

#include "fs/merge/split.h"

enum text_overlap {
    OVERLAP_STOPS,  /* nothing is merged */
    OVERLAP_UNITES, /* the lines of both, in the order of their bytes, what they share once */
};

/**
 * Appends the merge of @a and @b, edits of @base (empty: they have nothing in common), to @ret.
 * Returns 1 when it is there, 0 when edits overlap, -E2BIG when one is longer than fs/merge/split
 * takes or too different from the base (fs/merge/diff), -ENOMEM; but for 1, @ret is as it was.
 */
int text_merge(struct bytes base, struct bytes a, struct bytes b, enum text_overlap overlap,
               struct buf *ret) MUST_CHECK;

#endif
