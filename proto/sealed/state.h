/*
 * proto/sealed/state - what a STATE says: what its replica knows, and a digest of what it holds.
 *
 * Encoding of the plaintext of an entry of kind STATE:
 *   known vector (varint n ≤ 1024, 16 each) · act heads (varint n ≤ 16, 16 each) · digest 32
 *   · time 8 · nothing, or more:
 *   more     floor vector · asks 8, after 8 · missing set (varint n ≤ 1024, 16 each)
 *            · list number 8 · list string
 *
 * A full comparison by STATEs: one that finds itself different asks a replica for a list of what it
 * holds, newer than the last that it saw of it. That one makes a list (proto/holdings.h), stores it
 * as content is stored, and says so. What is missing then is named, to be sent again. Thread: any.
 */
#ifndef PROTO_SEALED_STATE_H
#define PROTO_SEALED_STATE_H

#include "proto/sealed/ids.h"
#include "proto/value.h"

/* The XOR over all current values of living records; zeros for none. */
struct state_digest {
    uint8_t b[HASH_SIZE];
};

/* What concerns clean-up and comparison; all zero: nothing. */
struct state_more {
    struct dots floor;    /* what the replica may have cleaned up: within the known */
    uint64_t asks, after; /* a replica, for a list after this number of it; 0: none */
    struct dots missing;  /* a set: what the one that is asked should send again */
    uint64_t list_number; /* of the STATE that a list was made for; 0: there is none */
    struct bytes list;    /* its body (fs/store/content.h) */
};

enum { STATE_MISSING_MAX = 1024 };

struct state {
    struct dots known;    /* a vector, the replica itself included, not above any cut */
    struct act_ids heads; /* the newest acts that the replica has */
    struct state_digest digest;
    uint64_t time_ms; /* since 1970, for people */
    struct state_more more;
};

/** Appends the encoding. */
void state_encode(const struct state *s, struct buf *b);
/** Decodes and checks a whole plaintext, views into @in. 0 or -EBADMSG. */
int state_decode(struct bytes in, struct state *ret) MUST_CHECK;

/** The encoding of @more alone; nothing of what is all zero. */
void state_more_encode(const struct state_more *more, struct buf *b);
/** Decodes that; empty: all zero. 0 or -EBADMSG. */
int state_more_decode(struct bytes in, struct state_more *ret) MUST_CHECK;

/**
 * Takes a value into the digest, or out of it: one call for each current value of a living record
 * that comes or goes, in any order. @head_hash: entry_head_hash() of the entry that brought it.
 */
void state_digest_toggle(struct state_digest *d, const struct space_keys *k, const struct value *v,
                         const uint8_t head_hash[static HASH_SIZE]);

#endif
