/*
 * proto/sealed/state - what a STATE says: what its replica knows, and a digest of what it holds.
 *
 * Encoding of the plaintext of an entry of kind STATE:
 *   known vector (varint n ≤ 1024, 16 each) · act heads (varint n ≤ 16, 16 each) · digest 32
 *   · time 8
 * Thread: any.
 */
#ifndef PROTO_SEALED_STATE_H
#define PROTO_SEALED_STATE_H

#include "proto/sealed/ids.h"
#include "proto/value.h"

/* The XOR over all current values of living records; zeros for none. */
struct state_digest {
    uint8_t b[HASH_SIZE];
};

struct state {
    struct dots known;    /* a vector, the replica itself included, not above any cut */
    struct act_ids heads; /* the newest acts that the replica has */
    struct state_digest digest;
    uint64_t time_ms; /* since 1970, for people */
};

/** Appends the encoding. */
void state_encode(const struct state *s, struct buf *b);
/** Decodes and checks a whole plaintext, views into @in. 0 or -EBADMSG. */
int state_decode(struct bytes in, struct state *ret) MUST_CHECK;

/**
 * Takes a value into the digest, or out of it: one call for each current value of a living record
 * that comes or goes, in any order. @head_hash: entry_head_hash() of the entry that brought it.
 */
void state_digest_toggle(struct state_digest *d, const struct space_keys *k, const struct value *v,
                         const uint8_t head_hash[static HASH_SIZE]);

#endif
