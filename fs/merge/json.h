/*
 * fs/merge/json - merges two JSON documents that were edited apart, key by key.
 *
 * A key that one side changed, added or removed is as that side has it. A key that both changed: of
 * objects, their keys are merged; of arrays of distinct scalars, what either side added is there
 * and what either removed is not, in the order of the base, then the additions of the earlier, then
 * of the later side; otherwise the later side's value, but a change outlives a removal. The text is
 * that of the later document, with its order, blanks and line ends; what comes from the other one
 * stands behind the key that it has before it, as it is spelled there. Pure; thread: any.
 */
#ifndef FS_MERGE_JSON_H
#define FS_MERGE_JSON_H

#include "fs/merge/json_tree.h"

/**
 * Appends the merge to @ret. @base of no bytes: there is none. Returns 1 when it is there; 0 when
 * the documents as wholes were both changed and cannot be merged by keys; -EBADMSG when one of them
 * is no JSON, -E2BIG when one is too long (fs/merge/json_tree, fs/merge/split), -ENOMEM.
 */
int json_merge(struct bytes base, struct bytes earlier, struct bytes later,
               struct buf *ret) MUST_CHECK;

#endif
