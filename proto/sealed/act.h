/*
 * proto/sealed/act - one signed statement about the members of a space, and what is sealed in it.
 *
 *   act     version 1 · kind 1 · space 16 (zeros in genesis) · author 32 · number 4
 *           · parents (varint n ≤ 16, 16 each, ascending) · what the kind says · signature 64
 *   genesis random 32 · member 96 · role 1
 *   add     by door 1 · member 96 · role 1 · label 121
 *   own     replica 8 · random 16
 *   revoke  members (varint n, 1 to 64, 32 each, ascending) · cuts, a vector · reason 1
 *           · with an epoch 1 · epoch, if so
 *   epoch   id 16 · generation 4 · boxes (varint n ≤ 256, 144 each, ascending by member)
 *   fork    two times: head 108 · sign (entry.h)
 *   door    public key 32
 *   label   label 121
 *   member  identity 32 · sign 32 · box 32
 *   label   epoch id 16 · nonce 24 · ciphertext of (length 1 · label · zeros, 65 in all) + 16;
 *           associated data = space · epoch id · member id
 *   box     member id 32 · sealed box of (space 16 · epoch id 16 · epoch key 32)
 *
 * The signature is over persist.act.1 and the hash of what stands before it. The id of an act is
 * the hash of all of it, signature included: what has a false signature is another act, and takes
 * nobody's place. The space's id is that of its genesis. An act is at most LIMIT_ACT bytes.
 *
 * Views borrow from what was decoded. Errors as in keys.h. Thread: any.
 */
#ifndef PROTO_SEALED_ACT_H
#define PROTO_SEALED_ACT_H

#include "proto/base/utf8.h"
#include "proto/sealed/entry.h"

enum act_kind {
    ACT_GENESIS = 1,
    ACT_ADD,
    ACT_OWN,
    ACT_REVOKE,
    ACT_EPOCH,
    ACT_FORK,
    ACT_DOOR,
    ACT_LABEL
};

enum act_role { ACT_ROLE_DEVICE = 1, ACT_ROLE_SERVER = 2 };

/* Why a member was revoked, for people. Others than these may come. */
enum act_reason { ACT_REASON_NONE, ACT_REASON_LOST, ACT_REASON_LEFT, ACT_REASON_RENEWED };

enum {
    ACT_RANDOM_SIZE = 32,
    ACT_MEMBER_SIZE = 2 * SIGN_KEY_SIZE + BOX_KEY_SIZE,
    ACT_LABEL_PLAIN = 1 + LIMIT_LABEL,
    ACT_LABEL_SIZE = EPOCH_ID_SIZE + SEAL_NONCE_SIZE + ACT_LABEL_PLAIN + SEAL_TAG_SIZE,
    ACT_BOX_PLAIN = SPACE_ID_SIZE + EPOCH_ID_SIZE + EPOCH_KEY_SIZE,
    ACT_BOX_SIZE = MEMBER_ID_SIZE + ACT_BOX_PLAIN + crypto_box_SEALBYTES,
};

struct act_add {
    bool by_door; /* the author is a door: its public key stands for the member's id */
    struct member_public member;
    enum act_role role;
    const uint8_t *label; /* ACT_LABEL_SIZE */
};

struct act_epoch {
    struct epoch_id id;
    uint32_t generation;  /* 1 + the highest among the ancestors */
    const uint8_t *boxes; /* @boxes_n of ACT_BOX_SIZE */
    size_t boxes_n;
};

struct act_revoke {
    const uint8_t *members; /* @members_n ids */
    size_t members_n;
    struct dots cuts; /* of replicas of theirs: the last counter accepted; not named: 0 */
    uint8_t reason;
    bool with_epoch; /* then @epoch of struct act holds */
};

struct act_fork {
    uint64_t counter;       /* of a decoded one: of both heads */
    const uint8_t *head[2]; /* ENTRY_HEAD_SIZE */
    struct entry_sign sign[2];
};

struct act {
    enum act_kind kind;
    struct space_id space;
    struct member_id author;
    uint32_t number;        /* 1 + the acts of the author among the ancestors */
    struct act_ids parents; /* all newest acts that the author knew */

    uint8_t random[ACT_RANDOM_SIZE]; /* genesis; of an own the first REPLICA_RANDOM_SIZE */
    struct act_add add;              /* add; genesis: member and role */
    uint64_t replica;                /* own; of a decoded fork, too */
    struct act_revoke revoke;
    struct act_epoch epoch; /* epoch, and revoke with one */
    struct act_fork fork;
    uint8_t door[SIGN_KEY_SIZE];
    const uint8_t *label; /* ACT_LABEL_SIZE */

    /* Of a decoded one: */
    struct bytes raw;
    const uint8_t *signature;
};

/**
 * Appends the encoding of @a, signed with @k. Ids are in order and counts within their limits
 * (asserted). -E2BIG more than LIMIT_ACT; -ENOMEM.
 */
int act_sign(const struct act *a, const struct member_keys *k, struct buf *ret) MUST_CHECK;

/**
 * Decodes and checks all that can be checked without other acts and without the author's key, keys
 * of members included. -EBADMSG; -ENOTSUP another version.
 */
int act_decode(struct bytes in, struct act *ret) MUST_CHECK;

/** 0 when a decoded act is signed with @key, else -EBADMSG. */
int act_verify(const struct act *a, const uint8_t key[static SIGN_KEY_SIZE]) MUST_CHECK;

/** The id of an encoded act. */
struct act_id act_id_of(struct bytes raw);

/** The id of the space that a genesis makes. */
struct space_id act_space_of(struct bytes genesis);

static inline struct member_id act_revoke_member(const struct act_revoke *r, size_t i)
{
    struct member_id id;
    memcpy(id.b, r->members + i * MEMBER_ID_SIZE, MEMBER_ID_SIZE);
    return id;
}

static inline struct member_id act_box_member(const struct act_epoch *e, size_t i)
{
    struct member_id id;
    memcpy(id.b, e->boxes + i * ACT_BOX_SIZE, MEMBER_ID_SIZE);
    return id;
}

/** Seals @label (at most LIMIT_LABEL bytes, asserted) of @member. 0 or -ENOMEM. */
int act_label_seal(const struct epoch_keys *k, const struct space_id *space,
                   const struct member_id *member, struct bytes label,
                   uint8_t ret[static ACT_LABEL_SIZE]) MUST_CHECK;

/** The epoch that a sealed label needs. */
struct epoch_id act_label_epoch(const uint8_t label[static ACT_LABEL_SIZE]);

/**
 * Opens a label into @ret, NUL-terminated. -ENOKEY it is of another epoch; -EBADMSG it does not
 * open, or is none that may be shown (utf8_is_label()).
 */
int act_label_open(const struct epoch_keys *k, const struct space_id *space,
                   const struct member_id *member, const uint8_t label[static ACT_LABEL_SIZE],
                   char ret[static LIMIT_LABEL + 1]) MUST_CHECK;

/** Writes the box of an epoch's key for @to. Source: libsodium, crypto_box_seal. 0 or -EBADMSG. */
int act_box_seal(const struct epoch_keys *k, const struct space_id *space,
                 const struct member_public *to, uint8_t ret[static ACT_BOX_SIZE]) MUST_CHECK;

/**
 * Opens the box of @member with its keys @k. -ENOKEY there is none; -EBADMSG it does not open, or
 * to something else than the key of this epoch: then a new epoch is due.
 */
int act_box_open(const struct act_epoch *e, const struct space_id *space,
                 const struct member_id *member, const struct member_keys *k,
                 struct epoch_keys *ret) MUST_CHECK;

#endif
