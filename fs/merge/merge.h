/*
 * fs/merge/merge - what becomes of contents that were written apart: one entry to all strategies.
 *
 * Two contents, with what both come from, and a strategy (fs/merge/policy) give one outcome, the
 * same on each device that has the same three.
 *
 * More than two are folded by the caller, so that all devices do the same: order them by (HLC,
 * replica). The result is the latest to begin with; then each of the others, from the later to the
 * earlier, is merged with the result, which is the later side each time. One whose outcome is not
 * MERGE_DONE leaves the result as it is, and is itself kept beside it (KEEP_BOTH, a driver that
 * failed) or only in history (LATER). The base of each step is the latest version that both the
 * result and the other one embody, by their sets of saves. Equal contents are one before that.
 * Pure; thread: any.
 */
#ifndef FS_MERGE_MERGE_H
#define FS_MERGE_MERGE_H

#include "fs/merge/policy.h"

enum merge_outcome {
    MERGE_DONE,      /* the result is there */
    MERGE_KEEP_BOTH, /* the later is shown, the other one becomes a sibling */
    MERGE_LATER,     /* the later is shown, the other one is in history */
    MERGE_EXEC,      /* the caller runs the driver; if that fails, both are kept */
};

struct merge_input {
    struct bytes name; /* of the file, or its path; what is behind the last '.' of it counts */
    struct bytes base; /* what both are edits of; without one: empty */
    struct bytes a, b;
    bool b_is_later; /* by (HLC, replica) */
};

/** The outcome where a content cannot be read or is too long to be merged (TEXT_BYTES_MAX). */
enum merge_outcome merge_unread(const struct strategy *how);

/**
 * Returns an enum merge_outcome, or -ENOMEM. With MERGE_DONE the result is appended to @ret, else
 * @ret is as it was. Contents that are equal are merged, whatever the strategy is.
 */
int merge_contents(const struct strategy *how, const struct merge_input *in,
                   struct buf *ret) MUST_CHECK;

#endif
