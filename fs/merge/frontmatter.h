/*
 * fs/merge/frontmatter - merges two Markdown files that were edited apart.
 *
 * The block of front matter is merged key by key: what one side changed, added or removed is as
 * that side has it; of lists that both changed, what either added is there and what either removed
 * is not (tags of both sides); another value that both changed is the later side's, but a change
 * outlives a removal. The rest is merged as text. A file without such a block, or with one that
 * fs/merge/front does not understand, is merged as text altogether. Pure; thread: any.
 */
#ifndef FS_MERGE_FRONTMATTER_H
#define FS_MERGE_FRONTMATTER_H

#include "proto/base/buf.h"

/** Appends the merge to @ret. Returns as text_merge(). */
int frontmatter_merge(struct bytes base, struct bytes earlier, struct bytes later,
                      struct buf *ret) MUST_CHECK;

#endif
