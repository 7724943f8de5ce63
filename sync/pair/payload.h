/*
 * sync/pair/payload - what two devices give each other in a run (pair.h), sealed there.
 *
 *   joins     member keys 96 (identity, sign, box) · label (length 1, bytes)
 *   invites   label (length 1, bytes) · count 1 · so many grants (proto/sealed/grant.h), each
 * length 4, bytes
 *
 * There is at least one grant. Labels are 1 to 64 bytes of plain text (proto/base/utf8.h). Errors:
 * -EBADMSG. Thread: any.
 */
#ifndef SYNC_PAIR_PAYLOAD_H
#define SYNC_PAIR_PAYLOAD_H

#include "proto/base/buf.h"
#include "proto/sealed/act.h"

enum { PAIR_SPACES_MAX = 32, PAIR_LABEL_SIZE = 65 };

struct pair_joiner {
    uint8_t member[ACT_MEMBER_SIZE];
    char label[PAIR_LABEL_SIZE];
};

struct pair_inviter {
    char label[PAIR_LABEL_SIZE];
    struct bytes grants[PAIR_SPACES_MAX]; /* borrowed */
    size_t grants_n;
};

/** Appends it; of labels what fits. */
void pair_joiner_put(const struct pair_joiner *j, struct buf *ret);
int pair_joiner_get(struct bytes in, struct pair_joiner *ret) MUST_CHECK;

void pair_inviter_put(const struct pair_inviter *v, struct buf *ret);
/** The grants are borrowed from @in. */
int pair_inviter_get(struct bytes in, struct pair_inviter *ret) MUST_CHECK;

#endif
