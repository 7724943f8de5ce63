/*
 * fs/replica/exchange - how two replicas bring each other up to date, and what follows from it.
 *
 * The sender streams every change that the receiver's knowledge does not cover, from a snapshot,
 * and then its own knowledge. Only that last step (replica_know()) advances the receiver's
 * knowledge: a session may be cut anywhere before, changes may come twice and in any order. Threads
 * and errors as in replica.h. The rules: fs/replica/README.md.
 */
#ifndef FS_REPLICA_EXCHANGE_H
#define FS_REPLICA_EXCHANGE_H

#include "fs/replica/replica.h"
#include "proto/sealed/state.h"

/** Knowledge: the changes of which this replica holds each part or what superseded it. Borrowed. */
const struct vv *replica_knowledge(const struct replica *r);

/** The floor: what every member has acknowledged, up to which deleted records may be gone. */
const struct vv *replica_floor(const struct replica *r);

/**
 * Of each replica the highest counter of a change that was applied or given out here, or is known.
 * Borrowed.
 */
const struct vv *replica_applied(const struct replica *r);

/**
 * The digest of what this replica holds: over the values of living records, deleted names left out,
 * whose head hash is known.
 */
void replica_digest(const struct replica *r, struct state_digest *ret);

struct replica_stream;

/**
 * Begins to stream what @have does not cover, in the state of this call (nothing may be pending:
 * asserted). It may be read by any one thread, also while @r goes on.
 */
int replica_stream_new(struct replica *r, const struct vv *have,
                       struct replica_stream **ret_stream) MUST_CHECK;
void replica_stream_free(struct replica_stream *s); /* accepts NULL */

/**
 * The same of own changes above counter @after alone, in their order, at less cost: nothing may be
 * written until it is freed. It has no knowledge to tell.
 */
int replica_stream_own(struct replica *r, uint64_t after,
                       struct replica_stream **ret_stream) MUST_CHECK;

/** The next change, encoded (proto/value), into @ret (replaced). 1; 0: that was all. */
int replica_stream_next(struct replica_stream *s, struct dot *ret_dot, struct buf *ret) MUST_CHECK;

/** The knowledge that holds once all of the stream was applied. Borrowed. */
const struct vv *replica_stream_knowledge(const struct replica_stream *s);

/** What is left of one change, encoded, into @ret. -ENOENT: all of it was superseded. */
int replica_change_get(struct replica *r, const struct dot *dot, struct buf *ret) MUST_CHECK;

/**
 * Applies one received change. Pending in @batch like an own one; @batch NULL: replica_put()
 * follows, perhaps after more changes. Known, superseded or repeated parts are dropped. @head_hash:
 * of the change's entry, HASH_SIZE bytes; NULL: not known. Values of the change that are held
 * already without a head hash get it. 1: something is pending; 0: nothing new. Errors, with nothing
 * changed: -EBADMSG malformed; -EAGAIN a facet has LIMIT_FACET_VALUES concurrent values: keep the
 * change for later, and do not take over the sender's knowledge; -E2BIG it is of one replica more
 * than LIMIT_VECTOR.
 */
int replica_apply(struct replica *r, struct db_batch *batch, struct bytes change,
                  const uint8_t *head_hash) MUST_CHECK;

/** Puts into @batch what changes that were applied without one have changed. */
int replica_put(struct replica *r, struct db_batch *batch) MUST_CHECK;

/* A change that was signed, and the head hash of its entry. */
struct replica_head {
    struct dot dot;
    uint8_t hash[HASH_SIZE];
};

/**
 * Own changes were signed, @n of one replica, ascending: what is held of them gets their head
 * hashes. Pending in @batch; nothing happens when all of it was superseded, or has one.
 */
int replica_signed(struct replica *r, struct db_batch *batch, const struct replica_head *heads,
                   size_t n) MUST_CHECK;

/**
 * Everything that @knowledge covers was applied: knows it from now on. Pending in @batch.
 * Source: README.md, Exchange. -E2BIG when it would have more than LIMIT_VECTOR replicas.
 */
int replica_know(struct replica *r, struct db_batch *batch, const struct vv *knowledge) MUST_CHECK;

/**
 * Replica @dot.replica says that between @after and @dot it made nothing that is not superseded: if
 * all up to @after is known, all up to @dot is from now on, as by replica_know(). 1; 0: not so, or
 * it is known.
 */
int replica_know_dot(struct replica *r, struct db_batch *batch, const struct dot *dot,
                     uint64_t after) MUST_CHECK;

/** Every value that is held, for tests and comparison. @fn must not call the replica. */
int replica_values(struct replica *r, int (*fn)(void *ctx, const struct value *v),
                   void *ctx) MUST_CHECK;

/* ---- clean-up -----------------------------------------------------------------------------------
 */

/* The newest acknowledged knowledge of a member's replica, heard with or before the own knowledge.
 */
struct replica_ack {
    uint64_t replica;
    const struct vv *knowledge;
};

/**
 * Raises the floor to what all @acks and the own knowledge cover, provided that this replica has
 * all that each member did before it acknowledged; else leaves it. @acks: every other member, once.
 */
int replica_raise_floor(struct replica *r, struct db_batch *batch, const struct replica_ack *acks,
                        size_t n) MUST_CHECK;

/**
 * Removes records that are deleted everywhere, at most @max. The number removed; fewer than @max:
 * that was all for now. History keeps its own. Pending in @batch.
 */
int replica_clean(struct replica *r, struct db_batch *batch, size_t max) MUST_CHECK;

/**
 * Takes a new replica id, before the first change after the database went back in time (was
 * restored from a copy). Own changes above @confirmed, the last own counter that a peer confirmed,
 * are no longer known as changes: they are written anew under the new id. Those up to @confirmed
 * that were signed after the copy was made get their head hashes from whoever has their entries:
 * replica_apply() with changes that are known.
 */
int replica_renew(struct replica *r, struct db_batch *batch, uint64_t new_id,
                  uint64_t confirmed) MUST_CHECK;

/**
 * Own changes (@n > 0 of one replica, ascending) that nobody else has are written anew, each by a
 * new change, which has seen it: data, stamp and origin stay. Pending in @batch. How many were
 * still held.
 */
int replica_again(struct replica *r, struct db_batch *batch, const struct dot *dots,
                  size_t n) MUST_CHECK;

/* ---- replicas that ended ------------------------------------------------------------------------
 *
 * What a replica made after its end (a fork, a revocation) is void for everybody. Who holds such
 * values as current ones takes them over as own changes, so that nothing is lost.
 */

/**
 * The replicas that ended: of each the last dot that counts, with counter 0: none. Void values are
 * from then on superseded by nothing of others. Copied, in memory: to be said again after opening.
 * The own replica is none of them (asserted).
 */
int replica_set_ends(struct replica *r, const struct dot *last, size_t n) MUST_CHECK;

/**
 * Takes void changes out of what is known, applied and acknowledged. Pending in @batch. 1; 0: there
 * are none there.
 */
int replica_end(struct replica *r, struct db_batch *batch) MUST_CHECK;

/** Lowers a vector, of another device's knowledge, to the ends. Takes no memory. */
void replica_cap(const struct replica *r, struct vv *v);

/** Whether a void value is held: 1, 0. */
int replica_has_void(struct replica *r) MUST_CHECK;

/**
 * Drops void values that somebody took over, and, if @alone, takes over the others, by one own
 * change for each void one: contents, names and attributes are written anew, deletions taken back.
 * Of at most @max records of such changes (if @alone); how many. Pending in @batch. 0: nothing is
 * left to do.
 */
int replica_adopt(struct replica *r, struct db_batch *batch, bool alone, size_t max) MUST_CHECK;

#endif
