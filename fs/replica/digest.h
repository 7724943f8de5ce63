/*
 * fs/replica/digest - the digest of the current values, kept up to date, and the head hashes that
 * it is made of. Source: README.md, Digest.
 */
#ifndef FS_REPLICA_DIGEST_H
#define FS_REPLICA_DIGEST_H

#include "fs/replica/record.h"

/**
 * Takes @was out of the digest and @is into it: two states of one record. The rows of DB_LOG of
 * both must be there.
 */
int digest_follow(struct replica *r, const struct record *was, const struct record *is) MUST_CHECK;

/** The head hash of record @rid's values of @dot: 1; 0: not known, or there are none. */
int digest_head(struct replica *r, const struct rid *rid, const struct dot *dot,
                struct bytes *ret) MUST_CHECK;

/** Record @rid's values of @dot, if there are any, get a head hash if they have none. */
int digest_sign(struct replica *r, const struct rid *rid, const struct dot *dot,
                const uint8_t head_hash[static HASH_SIZE]) MUST_CHECK;

/** At the beginning of what is pending. */
int digest_begin(struct replica *r) MUST_CHECK;
/** After a rollback of the transaction: the digest as it was then. */
void digest_rolled_back(struct replica *r);

#endif
