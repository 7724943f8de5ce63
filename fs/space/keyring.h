/*
 * fs/space/keyring - the secrets of one space on this device, and the file "keys" that holds them.
 *
 *   file    format 1 (2; 3: with an inviter) · space 16 (zeros: without members) · space secret 32
 * · has door 1 · door seed 32 (zeros without) · genesis (length 2, bytes; none: it comes from
 * others) · epochs (count 2, 32 each) · inviter 32 (format 3) · checksum 8
 *
 * The file is made with the space, and is the only thing besides the database that a space cannot
 * be opened without. The door seed is there from joining through a door until the own add is made.
 * The inviter is the device that is asked until the acts say who the members are. Thread: one at a
 * time.
 */
#ifndef FS_SPACE_KEYRING_H
#define FS_SPACE_KEYRING_H

#include "proto/base/err.h"
#include "proto/sealed/act.h"
#include "proto/sealed/door.h"
#include "proto/sealed/grant.h"

struct keyring {
    struct space_id space; /* zeros: without members */
    uint8_t secret[SPACE_SECRET_SIZE];
    bool has_door;
    uint8_t door[SEED_SIZE];
    struct buf genesis;
    struct epoch_keys *epochs; /* in the order in which they became known */
    size_t epochs_n;
    bool invited;
    uint8_t inviter[SIGN_KEY_SIZE]; /* the identity of the device that has granted it, directly */
};

/* The device as a member: its keys, and what others know of it. */
struct space_member {
    struct member_keys keys;
    struct member_public pub;
};

/** From the device's two secrets: member seed and the public key of its identity. 0 or -EIO. */
int space_member_init(struct space_member *m, const uint8_t seed[static SEED_SIZE],
                      const uint8_t identity[static SIGN_KEY_SIZE]) MUST_CHECK;
/** Wipes it. Accepts NULL. */
void space_member_fini(struct space_member *m);

/**
 * A new space: draws its secret and its first epoch, and signs its genesis as @m; @m NULL: one that
 * has no members and stays on this device. -ENOMEM, -EIO.
 */
int keyring_found(struct keyring *k, const struct space_member *m) MUST_CHECK;
/** A space that is joined through an open door. -ENOMEM, -EIO. */
int keyring_join(struct keyring *k, const struct space_id *space,
                 const struct door *door) MUST_CHECK;
/** A space that this device was granted. -ENOMEM, -EIO. */
int keyring_grant(struct keyring *k, const struct grant *grant) MUST_CHECK;
/** Wipes it. Accepts NULL. */
void keyring_fini(struct keyring *k);

/** The keys of an epoch; NULL: not held. Valid until the next keyring_add(). */
const struct epoch_keys *keyring_find(const struct keyring *k, const struct epoch_id *id);
/** Adds an epoch, unless it is there. -ENOMEM, -EIO, -E2BIG. */
int keyring_add(struct keyring *k, const uint8_t key[static EPOCH_KEY_SIZE]) MUST_CHECK;

/** Writes the file in a directory: new, fsync, rename. */
int keyring_write(const struct keyring *k, int dir_fd, struct err *err) MUST_CHECK;
/** Reads it. -ENOENT (no message), -EACCES, -EUCLEAN damaged, -ENOTSUP a newer format. */
int keyring_read(struct keyring *k, int dir_fd, struct err *err) MUST_CHECK;

#endif
