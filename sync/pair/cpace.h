/*
 * sync/pair/cpace - CPACE-RISTR255-SHA512: two sides that know the same short code get the same
 * key, and who does not know it tests one guess in each run, and none by listening.
 *
 * Source: draft-irtf-cfrg-cpace-21. Randomness comes from randombytes(), which a test may replace.
 * Thread: any.
 */
#ifndef SYNC_PAIR_CPACE_H
#define SYNC_PAIR_CPACE_H

#include <sodium.h>

#include "proto/base/buf.h"

enum {
    CPACE_SHARE_SIZE = crypto_core_ristretto255_BYTES,
    CPACE_KEY_SIZE = crypto_hash_sha512_BYTES, /* of the ISK; for a key derivation only */
    CPACE_TAG_SIZE = crypto_auth_hmacsha512_BYTES
};

/* One side of one run; wiped with cpace_fini(). */
struct cpace {
    uint8_t secret[crypto_core_ristretto255_SCALARBYTES];
    uint8_t share[CPACE_SHARE_SIZE]; /* to be sent */
};

/* What a side sends. */
struct cpace_sent {
    struct bytes share, ad; /* ad: any data that both are to agree on */
};

/** The element that the code @prs, the channel @ci and the run @sid stand for. */
void cpace_generator(struct bytes prs, struct bytes ci, struct bytes sid,
                     uint8_t ret[static CPACE_SHARE_SIZE]);

/** Draws the secret of a new run and makes the share. 0 or -EIO. */
int cpace_init(struct cpace *c, struct bytes prs, struct bytes ci, struct bytes sid) MUST_CHECK;
void cpace_fini(struct cpace *c); /* accepts NULL */

/** Appends the transcript of two sides with roles ("ir"), who began first. */
void cpace_transcript(const struct cpace_sent *a, const struct cpace_sent *b, struct buf *ret);
/** The same of sides without roles ("oc"), in any order. */
void cpace_transcript_oc(const struct cpace_sent *a, const struct cpace_sent *b, struct buf *ret);

/**
 * The key (ISK) of this run with the other side's share. -EBADMSG: that is no share, or this side's
 * own, sent back; then @ret is zeros.
 */
int cpace_key(const struct cpace *c, struct bytes share, struct bytes sid, struct bytes transcript,
              uint8_t ret[static CPACE_KEY_SIZE]) MUST_CHECK;

/** The tag by which a side that sent @own shows that it has @key. Compare with sodium_memcmp(). */
void cpace_tag(const uint8_t key[static CPACE_KEY_SIZE], struct bytes sid,
               const struct cpace_sent *own, uint8_t ret[static CPACE_TAG_SIZE]);

#endif
