/*
 * sync/cli/identity - who this device is: its Ed25519 key, its PeerId, its label. Thread: one.
 */
#ifndef SYNC_CLI_IDENTITY_H
#define SYNC_CLI_IDENTITY_H

#include "fs/space/keyring.h"
#include "proto/peer_id.h"
#include "proto/sealed/keys.h"
#include "sync/cli/home.h"

struct identity {
    uint8_t key[PEER_ID_KEY_BYTES]; /* public */
    char peer_id[PEER_ID_TEXT_SIZE];
    char label[LABEL_SIZE];
};

/**
 * Reads the identity, after making it on first use: a random seed in sync/identity. The label is
 * the configured one, else the host's name, else the end of the PeerId.
 * Errors: -EPERM owner or mode, -EBADMSG the file is not a seed, -EINVAL configuration, -EIO.
 */
int identity_load(const struct home *h, struct identity *ret, struct err *err) MUST_CHECK;

/**
 * The device as a member of spaces: keys of a second seed, spaces/member, which no process that
 * talks to the network reads. Made on first use. Wipe it: space_member_fini(). Errors the same.
 */
int identity_member(const struct home *h, const struct identity *id, struct space_member *ret,
                    struct err *err) MUST_CHECK;

/**
 * The device's keys, made on first use likewise: only the sign keys of @ret are filled in. Wipe it
 * with member_keys_fini(). Errors as identity_load().
 */
int identity_keys(const struct home *h, struct member_keys *ret, struct err *err) MUST_CHECK;

#endif
