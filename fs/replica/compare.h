/*
 * fs/replica/compare - the full comparison with another replica, by a list of what that one holds.
 * Source: README.md, Full comparison. Part of the interface, as exchange.h.
 *
 * The one side makes a list with replica_list_put(), the other compares it, record by record, and
 * then carries out what follows:
 *
 *   comparison_new(); comparison_record() for each of the list; comparison_end();
 *   what is missing here has to come first; comparison_step() until there is no more, _know().
 *
 * Between calls the replica may change; what was noted is looked at again when it is carried out.
 * Memory: 16 to 32 bytes for each record that is to be changed. Thread: as all calls on the
 * replica.
 */
#ifndef FS_REPLICA_COMPARE_H
#define FS_REPLICA_COMPARE_H

#include "fs/replica/exchange.h"
#include "proto/holdings.h"

/* ---- a list ---- */

/** Appends the head of a list of this replica, of whose own changes those up to @own are told. */
int replica_list_head(const struct replica *r, uint64_t own, struct buf *ret) MUST_CHECK;

/**
 * Appends up to @max records, those behind @after, or the @first ones, and moves @after: 1; 0:
 * these were the last. -E2BIG: one of them has too many values.
 */
int replica_list_put(struct replica *r, struct rid *after, bool first, size_t max,
                     struct buf *ret) MUST_CHECK;

/* ---- a comparison ---- */

struct comparison;

/* What a comparison found. */
struct comparison_found {
    uint64_t missing; /* values that are held there, and neither held nor known here */
    uint64_t gone;    /* records that are no more there, and go here */
    uint64_t stale;   /* values that were replaced there, and go here */
    uint64_t again;   /* records with changes that are new there: written anew */
    uint64_t odd;     /* values that are told apart, and nothing explains it: left as they are */
    struct dot first; /* one of the missing, or else of the odd ones */
};

enum { COMPARISON_ASK_MAX = 1024 };

/**
 * Compares with a list that begins with @head, which is copied. @went_back: this replica was
 * restored from a copy; else what the other one does not hold goes here only if it may have been
 * cleaned up there. -ENOMEM, -EIO.
 */
int comparison_new(struct replica *r, const struct holdings_head *head, bool went_back,
                   struct comparison **ret) MUST_CHECK;
void comparison_free(struct comparison *c); /* accepts NULL */

/** The next record of the list. Reads alone. */
int comparison_record(struct comparison *c, const struct holdings_record *theirs) MUST_CHECK;
/** That was all of it. */
int comparison_end(struct comparison *c) MUST_CHECK;

void comparison_found(const struct comparison *c, struct comparison_found *ret);
/** Changes that have to come, at most COMPARISON_ASK_MAX, ascending: 16 bytes each. */
struct bytes comparison_ask(const struct comparison *c);

/* How far it was carried out: all zero at the beginning. */
struct comparison_at {
    size_t anew, deleted, stale, gone, left;
};

/**
 * Carries out some of what was found, of at most @max records, pending in @batch, and moves @at: 1;
 * 0: there was nothing more. When the batch is not written, @at is to be as it was before. Own
 * changes that it makes are as those of replica_begin().
 */
int comparison_step(struct comparison *c, struct comparison_at *at, struct db_batch *batch,
                    size_t max) MUST_CHECK;

/**
 * After the last step, if nothing was missing: knows what the other one does, with its floor.
 * Pending in @batch. -EAGAIN: something changed meanwhile, it has to be compared once more.
 */
int comparison_know(struct comparison *c, struct db_batch *batch) MUST_CHECK;

#endif
