/*
 * fs/space/fold - contents of one file that were written apart, merged one after the other into a
 * result, as its policy says; see fs/merge/merge.h for the order and what is the base of each step.
 *
 * The builds lock is held (shared) from before fold_begin() until the result is part of a change.
 * No other lock may be held: reading takes its time, and a driver may take ten seconds.
 */
#ifndef FS_SPACE_FOLD_H
#define FS_SPACE_FOLD_H

#include "fs/space/policies.h"

struct fold {
    struct space *s;
    struct rid rid;
    const struct policy_found *policy; /* borrowed */
    bool impatient;              /* what another device may do better is no longer left to it */
    struct value_content result; /* body is a view of @body */
    struct buf body;
    struct buf of;     /* of struct dot: the versions that the result is made of */
    struct buf beside; /* of struct dot: those that stay beside it */
    unsigned merged;   /* steps that added to the result */
    bool later;        /* a content is left to history */
};

/**
 * Begins with a content as the result so far, the latest one: @first is copied. @version: which one
 * it is, or which it is an edit of; none: it is new.
 */
int fold_begin(struct fold *f, struct space *s, const struct rid *rid,
               const struct policy_found *policy, const struct value_content *first,
               const struct dot *version) MUST_CHECK;

/**
 * Takes another one in: it is merged, or goes to @beside, or sets @later. 1: not now, because
 * another device may know what this one does not (its history, the driver).
 */
int fold_add(struct fold *f, const struct replica_content *other) MUST_CHECK;
void fold_fini(struct fold *f);

/** The content of a version, with its body in @body. */
int fold_version(struct space *s, const struct rid *rid, const struct replica_content *which,
                 struct buf *body, struct value_content *ret) MUST_CHECK;

/* ---- fold_driver.c ---- */
/**
 * Merges by the driver of the policy. 1: done, @body, @hash and @size are of what it made. 0: it
 * failed, which was logged. -ENOENT: this device has no such driver for this folder. @base may be
 * NULL.
 */
int fold_driver(const struct fold *f, struct content *base, struct content *ours,
                struct content *theirs, struct buf *body, uint8_t hash[static HASH_SIZE],
                uint64_t *ret_size) MUST_CHECK;

#endif
