/*
 * proto/sealed/keys - the keys of a member, of an epoch and of a door, and the names made of keys.
 *
 * Everything is derived from 32 byte secrets with libsodium's crypto_kdf under fixed contexts, so
 * that a secret is stored once and serves one purpose per key. Structs with secrets are wiped by
 * their _fini. Randomness comes from randombytes(), which a test may replace. Thread: any.
 *
 * Errors of this folder: -EBADMSG malformed, or does not verify; -ENOKEY the key is not held;
 * -ENOTSUP of a later version; -E2BIG more than a limit allows; -EIO the library cannot start.
 */
#ifndef PROTO_SEALED_KEYS_H
#define PROTO_SEALED_KEYS_H

#include "proto/sealed/ids.h"

/* What every hash and signature begins with, so that none can stand for one of another kind. */
#define SEAL_LABEL_LEAF "persist.leaf.1"      /* hash of a head */
#define SEAL_LABEL_NODE "persist.node.1"      /* hash of two hashes in a signed tree */
#define SEAL_LABEL_ROOT "persist.root.1"      /* signature over a tree */
#define SEAL_LABEL_STATE "persist.state.1"    /* signature over the head of a STATE */
#define SEAL_LABEL_ACT "persist.act.1"        /* signature over the hash of an act */
#define SEAL_LABEL_ACT_HASH "persist.acth.1"  /* that hash */
#define SEAL_LABEL_ACT_ID "persist.actid.1"   /* hash of an act and its signature */
#define SEAL_LABEL_REFS "persist.refs.1"      /* hash of an entry's references */
#define SEAL_LABEL_BODY "persist.body.1"      /* hash of an entry's body */
#define SEAL_LABEL_DIGEST "persist.digest.1"  /* one value in the digest of a state */
#define SEAL_LABEL_CHUNK "persist.chunk.1"    /* id of a chunk */
#define SEAL_LABEL_EPOCH "persist.epoch.1"    /* id of an epoch */
#define SEAL_LABEL_MEMBER "persist.member.1"  /* id of a member */
#define SEAL_LABEL_REPLICA "persist.replica1" /* id of a replica */

/* Contexts of crypto_kdf; which number is which key stands at the structs. */
#define SEAL_CONTEXT_MEMBER "psMembr1"
#define SEAL_CONTEXT_EPOCH "psEpoch1"
#define SEAL_CONTEXT_DOOR "psDoor_1"

enum {
    SEED_SIZE = 32,      /* of a member, a door */
    SIGN_KEY_SIZE = 32,  /* public, Ed25519 */
    SIGNATURE_SIZE = 64, /* Ed25519 */
    BOX_KEY_SIZE = 32,   /* public, X25519 */
    EPOCH_KEY_SIZE = 32,
    REPLICA_RANDOM_SIZE = 16,
    SEAL_NONCE_SIZE = 24, /* random, always */
    SEAL_TAG_SIZE = 16,
};

/* What others know of a member. */
struct member_public {
    uint8_t identity[SIGN_KEY_SIZE]; /* of the device: its PeerId (proto/peer_id.h) */
    uint8_t sign[SIGN_KEY_SIZE];
    uint8_t box[BOX_KEY_SIZE];
};

/* A member's or (sign alone) a door's own keys. Context psMembr1: 1 sign, 2 box. */
struct member_keys {
    uint8_t sign_public[SIGN_KEY_SIZE];
    uint8_t sign_secret[crypto_sign_SECRETKEYBYTES];
    uint8_t box_public[BOX_KEY_SIZE];
    uint8_t box_secret[crypto_box_SECRETKEYBYTES];
};

/* What the key of an epoch derives. Context psEpoch1, in this order from 1. */
struct epoch_keys {
    struct epoch_id id;
    uint8_t key[EPOCH_KEY_SIZE];  /* the epoch key itself, to hand it on */
    uint8_t body[HASH_SIZE];      /* 1: bodies of values and STATEs */
    uint8_t chunk_id[HASH_SIZE];  /* 2: ids of chunks */
    uint8_t chunk[HASH_SIZE];     /* 3: bodies of chunks */
    uint8_t label[HASH_SIZE];     /* 4: labels */
    uint8_t discovery[HASH_SIZE]; /* 5: where members look for each other */
};

/** The key pairs of a member. Source: libsodium, crypto_kdf, crypto_sign_seed_keypair. 0 or -EIO.
 */
int member_keys_init(struct member_keys *k, const uint8_t seed[static SEED_SIZE]) MUST_CHECK;
/** The sign key pair of a door, from its seed as it is; it has no box key. 0 or -EIO. */
int door_keys_init(struct member_keys *k, const uint8_t seed[static SEED_SIZE]) MUST_CHECK;
/** Wipes it. Accepts NULL. */
void member_keys_fini(struct member_keys *k);

/** The keys of an epoch and its id. Source: libsodium, crypto_kdf. 0 or -EIO. */
int epoch_keys_init(struct epoch_keys *k, const uint8_t key[static EPOCH_KEY_SIZE]) MUST_CHECK;
/** Wipes it. Accepts NULL. */
void epoch_keys_fini(struct epoch_keys *k);

/**
 * The id of the epoch with @key. Two keys with one id are not to be found, so an id commits its
 * maker to one key.
 */
struct epoch_id epoch_id_of(const uint8_t key[static EPOCH_KEY_SIZE]);

/**
 * The id of a member: of all of its keys, so that nobody can put another box key or device under
 * the name of a member: that is another member, and shown as one.
 */
struct member_id member_id_of(const struct member_public *p);

/** The id of a replica of the member with the key @sign that drew @random. */
uint64_t replica_id_of(const uint8_t sign[static SIGN_KEY_SIZE],
                       const uint8_t random[static REPLICA_RANDOM_SIZE]);

/**
 * Whether @key may be another's Ed25519 key: a point of the main group, not of small order, in its
 * only encoding. Source: libsodium, crypto_core_ed25519_is_valid_point.
 */
bool sign_key_valid(const uint8_t key[static SIGN_KEY_SIZE]);

/** Whether @key may be another's X25519 key: not one with which every secret is the same. */
bool box_key_valid(const uint8_t key[static BOX_KEY_SIZE]);

enum { SIGNED_MAX = 128 };

/**
 * Signs @label, 16 bytes, and @data, whose length the label fixes (at most SIGNED_MAX, asserted).
 * Source: libsodium, crypto_sign_detached (RFC 8032).
 */
void label_sign(const struct member_keys *k, const char *label, struct bytes data,
                uint8_t ret[static SIGNATURE_SIZE]);
/** 0, or -EBADMSG when @signature is not of @key over them. */
int label_verify(const uint8_t key[static SIGN_KEY_SIZE], const char *label, struct bytes data,
                 const uint8_t signature[static SIGNATURE_SIZE]) MUST_CHECK;

/**
 * Appends nonce and ciphertext of @plain under @key, with @ad bound to it, to @b; @ad may lie in
 * @b. The construction of libsodium's crypto_aead_xchacha20poly1305_ietf (xchacha.h).
 */
void seal_put(struct buf *b, const uint8_t key[static HASH_SIZE], struct bytes ad,
              struct bytes plain);
/**
 * The same with a nonce that is a keyed hash of @ad and @plain, so that equal input gives equal
 * bytes: a thing that is sent again, or by another, is no other form of it. For what has its own
 * identity in @ad: of other things it would show that they are equal.
 */
void seal_put_same(struct buf *b, const uint8_t key[static HASH_SIZE], struct bytes ad,
                   struct bytes plain);
/**
 * The same where @ad has a keyed hash of @plain already, so that it is not hashed a second time:
 * two plaintexts get one nonce only if that collides. A plaintext that was damaged after it was
 * hashed is told apart by its XXH3.
 */
void seal_put_named(struct buf *b, const uint8_t key[static HASH_SIZE], struct bytes ad,
                    struct bytes plain);
/** Opens what these appended, whole, into @ret (replaced). 0, -EBADMSG or -ENOMEM. */
int seal_open(struct bytes sealed, const uint8_t key[static HASH_SIZE], struct bytes ad,
              struct buf *ret) MUST_CHECK;

/** Wipes what is in @b, then as buf_fini(). Accepts NULL. */
void buf_wipe(struct buf *b);

#endif
