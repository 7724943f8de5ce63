/*
 * proto/sealed/entry - one change or STATE as it is signed by its author and sealed for the way.
 *
 * The author signs head and body once. Whoever sends an entry, at first or again, seals it under
 * the epoch of that moment; so a database keeps the stored form, in plain, and no ciphertext.
 *
 *   head    version 1 · kind 1 · flags 2 (0) · space 16 · replica 8 · counter 8 · stamp 8
 *           · hash of refs 32 · hash of body 32                                  108 bytes
 *   refs    act heads (varint n ≤ 16, 16 each, ascending) · replaced dots (varint n ≤ 64, 16 each,
 *           ascending) · chunk ids (varint n ≤ 1024, 32 each); of a STATE only act heads
 *   sign    index 2 · depth 1 (≤ 8) · path 32·depth · signature 64
 *   body    random 16 · length 4 · plaintext · zeros up to 256 bytes (to 1 KiB above 4 KiB)
 *   sealed  epoch id 16 · head · refs · sign · nonce 24 · ciphertext of the body + 16;
 *           associated data: all before the nonce; at most LIMIT_ENTRY
 *   stored  head · refs · sign · body
 *
 * The random bytes make the public hash of the body useless for guessing what is in it. A VALUE is
 * signed through the root of a tree of up to 256 heads, so that one signature does for an import:
 *   leaf = hash(persist.leaf.1, head), node = hash(persist.node.1, left, right), a missing right is
 *   zeros; signature over persist.root.1 · root. A STATE: signature over persist.state.1 · head.
 *
 * Views borrow from what was parsed. Errors as in keys.h. Thread: any.
 */
#ifndef PROTO_SEALED_ENTRY_H
#define PROTO_SEALED_ENTRY_H

#include "proto/sealed/keys.h"

enum entry_kind { ENTRY_VALUE = 1, ENTRY_STATE = 2 };

enum {
    ENTRY_HEAD_SIZE = 108,
    ENTRY_SIGN_MIN = 2 + 1 + SIGNATURE_SIZE,
    ENTRY_SIGN_MAX = ENTRY_SIGN_MIN + LIMIT_TREE_DEPTH * HASH_SIZE,
    ENTRY_TREE_MAX = 1 << LIMIT_TREE_DEPTH, /* heads under one signature */
    ENTRY_BODY_RANDOM = 16,
};

struct entry_head {
    enum entry_kind kind;
    struct space_id space;
    struct dot dot; /* of a STATE the counter numbers the STATEs */
    uint64_t stamp; /* HLC, any */
    uint8_t refs_hash[HASH_SIZE], body_hash[HASH_SIZE];
};

struct entry_refs {
    struct act_ids acts;     /* the newest acts that the author knew */
    struct dots replaced;    /* a set: a hint for servers, without effect on devices */
    struct chunk_ids chunks; /* what the body refers to */
};

/* Where the head is in a signed tree. */
struct entry_sign {
    uint16_t index;
    uint8_t depth;
    const uint8_t *path;      /* @depth hashes: the neighbour at each level, from the leaf up */
    const uint8_t *signature; /* SIGNATURE_SIZE */
};

/* A parsed entry. */
struct entry {
    struct entry_head head;
    const uint8_t *head_raw; /* ENTRY_HEAD_SIZE */
    struct entry_refs refs;
    struct entry_sign sign;
    struct bytes open; /* head, refs and sign together */
    /* Of a sealed one: */
    struct epoch_id epoch;
    struct bytes ad, sealed;
    /* Of a stored one: */
    struct bytes body, plain;
};

/* ---- the author's side -------------------------------------------------------------------------
 */

/* An entry before it is signed. */
struct entry_draft {
    uint8_t head[ENTRY_HEAD_SIZE];
    struct buf refs, body;
};

/**
 * Builds refs, body and head of an entry. @h: kind, space, dot, stamp (the hashes are ignored).
 * The ids and dots of @refs are in order, within their limits, and acts alone for a STATE
 * (asserted). -E2BIG when it could not be sealed within LIMIT_ENTRY; -ENOMEM; then @d is empty.
 */
int entry_draft_init(struct entry_draft *d, const struct entry_head *h,
                     const struct entry_refs *refs, struct bytes plain) MUST_CHECK;
/** Wipes and frees. Accepts NULL. */
void entry_draft_fini(struct entry_draft *d);

/**
 * Signs @n drafts of VALUEs (1 to ENTRY_TREE_MAX) with one signature, or one STATE, and appends
 * the stored form of each to the buffer in @ret of the same index. 0 or -ENOMEM.
 */
int entry_sign(const struct member_keys *k, const struct entry_draft *drafts, size_t n,
               struct buf *ret) MUST_CHECK;

/** The plaintext in the stored form that entry_sign() made of a draft. */
struct bytes entry_draft_plain(const struct entry_draft *d, struct bytes stored);

/** Appends the sealed form of a stored entry under an epoch to @ret. 0 or -ENOMEM. */
int entry_seal(const struct entry *stored, const struct epoch_keys *k, struct buf *ret) MUST_CHECK;

/* ---- the receiver's side -----------------------------------------------------------------------
 */

/**
 * Parses a sealed entry; the hash of the refs is checked, nothing else can be without keys.
 * -EBADMSG; -ENOTSUP another version.
 */
int entry_parse_sealed(struct bytes in, struct entry *ret) MUST_CHECK;

/** Parses a stored entry and checks the hashes of refs and body. Errors the same. */
int entry_parse_stored(struct bytes in, struct entry *ret) MUST_CHECK;

/**
 * Opens a parsed sealed entry: its stored form into @ret_stored (replaced), and that parsed into
 * @ret. -ENOKEY: it is of another epoch than @k; -EBADMSG it does not open, or not to its body.
 */
int entry_open(const struct entry *sealed, const struct epoch_keys *k, struct buf *ret_stored,
               struct entry *ret) MUST_CHECK;

/** The hash that names a head: two of one dot that differ prove a fork. */
void entry_head_hash(const uint8_t head[static ENTRY_HEAD_SIZE], uint8_t ret[static HASH_SIZE]);

/**
 * The root under which a VALUE is signed. What was once verified for a member's key and a root
 * holds for every entry with that root: a caller may remember such pairs and leave entry_verify().
 */
void entry_root(const struct entry *e, uint8_t ret[static HASH_SIZE]);

/** 0 when the entry is signed with the member's @key, else -EBADMSG. */
int entry_verify(const struct entry *e, const uint8_t key[static SIGN_KEY_SIZE]) MUST_CHECK;

/* ---- parts, for others that carry heads --------------------------------------------------------
 */

/** Reads a head. -EBADMSG, -ENOTSUP. */
int entry_head_read(const uint8_t raw[static ENTRY_HEAD_SIZE], struct entry_head *ret) MUST_CHECK;

/** Reads the sign part of an entry of @kind; fails the reader when it is malformed. */
struct entry_sign entry_sign_read(struct reader *r, enum entry_kind kind);
/** Appends it. */
void entry_sign_put(struct buf *b, const struct entry_sign *s);

/** As entry_verify(), of a head with its sign part alone. */
int entry_head_verify(const uint8_t head[static ENTRY_HEAD_SIZE], enum entry_kind kind,
                      const struct entry_sign *s,
                      const uint8_t key[static SIGN_KEY_SIZE]) MUST_CHECK;

#endif
