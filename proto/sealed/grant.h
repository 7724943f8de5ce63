/*
 * proto/sealed/grant - a space handed to one member: what a device gives to the server that it made
 * a member, and such a server to a device that joins.
 *
 *   blob    version 2 · sealed box, to the member's box key, of
 *           (persist.grant.1, 16 · space 16 · space secret 32 · name (length 1, bytes) · count 2 ·
 *           epoch keys, 32 each)
 *
 * A blob of version 1 is a passphrase's (door.h). Who made a grant does not show: anybody can make
 * one. What it says is believed only as far as the acts of the space bear it out. Errors as in
 * keys.h.
 */
#ifndef PROTO_SEALED_GRANT_H
#define PROTO_SEALED_GRANT_H

#include "proto/sealed/keys.h"

enum {
    GRANT_LABEL_SIZE = 16,
    GRANT_NAME_MAX = 64,
    GRANT_PLAIN_MAX = GRANT_LABEL_SIZE + SPACE_ID_SIZE + SPACE_SECRET_SIZE + 1 + GRANT_NAME_MAX +
                      2 + LIMIT_EPOCHS * EPOCH_KEY_SIZE,
    GRANT_BLOB_MAX = 1 + GRANT_PLAIN_MAX + crypto_box_SEALBYTES,
};

/* What is granted; wiped with grant_fini(). */
struct grant {
    struct space_id space;
    uint8_t secret[SPACE_SECRET_SIZE];
    char name[GRANT_NAME_MAX + 1]; /* of the space, where it was granted: any bytes; may be "" */
    uint8_t epochs[LIMIT_EPOCHS][EPOCH_KEY_SIZE];
    size_t epochs_n;
};

void grant_fini(struct grant *g); /* accepts NULL */

/** Whether a blob is a grant, of this version. */
bool grant_is(struct bytes blob);

/** Appends the blob of @g for the member with the box key @to. -EBADMSG no such key; -ENOMEM. */
int grant_seal(const struct grant *g, const uint8_t to[static BOX_KEY_SIZE],
               struct buf *ret) MUST_CHECK;

/**
 * Opens a blob. -EKEYREJECTED: it is not for this member, or damaged; -EBADMSG: what is in it makes
 * no sense; -ENOTSUP another version; -ENOMEM. After an error @ret is empty.
 */
int grant_open(struct bytes blob, const struct member_keys *k, struct grant *ret) MUST_CHECK;

#endif
