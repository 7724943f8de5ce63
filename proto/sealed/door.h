/*
 * proto/sealed/door - a space behind a passphrase: the blob that a server keeps for who joins.
 *
 *   blob    version 1 · salt 16 · commitment 32 · nonce 24 · ciphertext + 16 of
 *           (door seed 32 · space secret 32 · count 2 · epoch keys, 32 each);
 *           associated data = space · version
 *
 * The key is Argon2id of passphrase and salt. How much it costs is fixed by the version, never read
 * from the blob: nobody can make it weak, or make it take all memory. The commitment is checked
 * before the cipher, so that one blob is of one passphrase alone. Errors as in keys.h.
 */
#ifndef PROTO_SEALED_DOOR_H
#define PROTO_SEALED_DOOR_H

#include "proto/sealed/keys.h"

enum {
    DOOR_SALT_SIZE = 16,
    DOOR_HEAD_SIZE = 1 + DOOR_SALT_SIZE + HASH_SIZE,
    DOOR_PLAIN_MIN = SEED_SIZE + SPACE_SECRET_SIZE + 2,
    DOOR_BLOB_MAX = DOOR_HEAD_SIZE + SEAL_NONCE_SIZE + DOOR_PLAIN_MIN +
                    LIMIT_EPOCHS * EPOCH_KEY_SIZE + SEAL_TAG_SIZE,
    DOOR_OPSLIMIT = 3,
    DOOR_MEMLIMIT = 256 * 1024 * 1024, /* 0.9 s */
    PASSPHRASE_SYMBOLS = 16,           /* of 32: 80 bits */
    PASSPHRASE_SIZE = 20,              /* four groups with hyphens, and NUL */
    PASSPHRASE_MIN = 12,               /* bytes of one that a person makes */
    PASSPHRASE_MAX = 1024,
};

/* What the passphrase gives: wiped with door_key_fini(). */
struct door_key {
    uint8_t wrap[HASH_SIZE];       /* psDoor_1 1 */
    uint8_t commitment[HASH_SIZE]; /* psDoor_1 2 */
};

/* What is behind the door; wiped with door_fini(). */
struct door {
    uint8_t seed[SEED_SIZE]; /* signs the add of who joins: door_keys_init() */
    uint8_t secret[SPACE_SECRET_SIZE];
    uint8_t epochs[LIMIT_EPOCHS][EPOCH_KEY_SIZE];
    size_t epochs_n;
};

/** Draws a passphrase "XXXX-XXXX-XXXX-XXXX": digits and capitals without I, L, O and U. */
void passphrase_new(char ret[static PASSPHRASE_SIZE]);

/**
 * What a person typed in the form that is hashed. One of ours may be typed without hyphens, in
 * small letters, with O for 0 and I or L for 1; any other is taken as it is, without the end of
 * its line. @ret: at least PASSPHRASE_MAX bytes; wipe it. Returns the length; -EINVAL it is shorter
 * than PASSPHRASE_MIN or too long.
 */
int passphrase_normal(struct bytes typed, char ret[static PASSPHRASE_MAX]) MUST_CHECK;

/** The key of a normal passphrase. Takes a second and 256 MiB. -ENOMEM, -EIO. */
int door_key_init(struct door_key *k, struct bytes passphrase,
                  const uint8_t salt[static DOOR_SALT_SIZE]) MUST_CHECK;
void door_key_fini(struct door_key *k); /* accepts NULL */
void door_fini(struct door *d);         /* accepts NULL */

/**
 * The salt of a blob: what door_key_init() needs. -EBADMSG; -ENOTSUP another version.
 */
int door_salt(struct bytes blob, uint8_t ret[static DOOR_SALT_SIZE]) MUST_CHECK;

/** Appends the blob of @d under the key that was made with @salt. 0 or -ENOMEM. */
int door_seal(const struct door *d, const struct door_key *k,
              const uint8_t salt[static DOOR_SALT_SIZE], const struct space_id *space,
              struct buf *ret) MUST_CHECK;

/**
 * Opens a blob. -EKEYREJECTED: it is of another passphrase; -EBADMSG: damaged, or of another space;
 * -ENOTSUP. After an error @ret is empty.
 */
int door_open(struct bytes blob, const struct door_key *k, const struct space_id *space,
              struct door *ret) MUST_CHECK;

#endif
