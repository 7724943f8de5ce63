/*
 * fs/space/peers - the devices of a space as its acts tell of them: who is a member, who was, who
 * let whom in; and putting one out. Thread: any. Common errors as in sync.h.
 */
#ifndef FS_SPACE_PEERS_H
#define FS_SPACE_PEERS_H

#include "fs/space/sync.h"
#include "proto/peer_id.h"

struct peer {
    struct member_id id;
    struct member_public keys;
    char peer_id[PEER_ID_TEXT_SIZE];
    char label[LIMIT_LABEL + 1]; /* as it gave it last; else the end of its PeerId */
    enum act_role role;
    bool is_this, is_member;
    bool is_online; /* so says a server that is reached */
    /* Of its newest STATE: */
    uint64_t seen_ms; /* since 1970, by its clock; 0: none */
    bool is_equal;    /* it holds what this device holds now */
    uint64_t behind;  /* changes that this device knows and it did not */
    /* Who let it in: */
    bool is_first, by_door;       /* it made the space; it came through a passphrase of: */
    char by[LIMIT_LABEL + 1];     /* like @label */
    uint64_t since_ms;            /* when this device heard of it; 0: not known */
    char out_by[LIMIT_LABEL + 1]; /* of one that is no member: who put it out */
    uint64_t out_ms;              /* when this device heard of that; 0: not known */
};

/** All that are members, or were, appended to @ret as struct peer: members first, by label. */
int peers_list(struct space *s, struct buf *ret) MUST_CHECK;

/** Whether this device was put out: then @ret_by has the label of who did, @ret_ms when it heard of
 * it (0: not known). */
bool peers_is_out(struct space *s, char ret_by[static LIMIT_LABEL + 1], uint64_t *ret_ms);

/**
 * Revokes the members of the device with this identity, in one durable write: what they made counts
 * up to what this device has taken in; doors close; there is a new epoch for all others; the
 * servers that this device has are to be told (peers_untold()).
 * -ENOTCONN this device is no member; -ENOENT no such member; -EALREADY it is out; -EINVAL it is
 * this device; -ENOSPC, -EIO, -ENOMEM.
 */
int peers_revoke(struct space *s, const uint8_t identity[static SIGN_KEY_SIZE],
                 enum act_reason reason) MUST_CHECK;

/** A device that @remote is still to be told to be out, after all acts: 1 and its identity; 0. */
int peers_untold(struct space *s, uint64_t remote, uint8_t ret[static SIGN_KEY_SIZE]) MUST_CHECK;
/** @remote knows it, durably. */
int peers_told(struct space *s, uint64_t remote,
               const uint8_t identity[static SIGN_KEY_SIZE]) MUST_CHECK;

#endif
