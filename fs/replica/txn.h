/*
 * fs/replica/txn - what is pending: a view of the database with changes not yet written.
 *
 * Reads see the pending puts and deletes; what was read stays cached until txn_reset(). Any number
 * of nested marks can be rolled back to. Memory is one arena: whatever a function here returns is
 * valid until txn_reset(), whatever happens to the key. Thread: one.
 */
#ifndef FS_REPLICA_TXN_H
#define FS_REPLICA_TXN_H

#include "fs/store/db.h"

/* Beside the column families, spaces that are never written out. */
enum {
    TXN_TOUCHED = DB_CF_N, /* record id -> what it showed before the first change */
    TXN_EFFECT,            /* record id, slot -> its entry before, and now */
    TXN_DIGEST,            /* nothing -> the digest, as soon as it differs */
    TXN_SPACE_N
};

struct txn_node;
struct txn_undo;
struct txn_block;

struct txn {
    struct db *db;
    struct txn_node *head;
    struct txn_undo *undo;
    size_t undo_n, undo_cap;
    struct txn_block *blocks;
    uint64_t random; /* for the heights of nodes: speed alone depends on it */
};

int txn_init(struct txn *t, struct db *db) MUST_CHECK;
void txn_fini(struct txn *t);

/** Memory that lives until txn_reset(), aligned for anything; NULL when there is none. */
void *txn_alloc(struct txn *t, size_t n) MUST_CHECK;
/** A copy that lives until txn_reset(). @ret->p is NULL when memory ran out and @v is not empty. */
int txn_copy(struct txn *t, struct bytes v, struct bytes *ret) MUST_CHECK;

/** 1: @ret is the value; 0: there is none. */
int txn_get(struct txn *t, int space, struct bytes key, struct bytes *ret) MUST_CHECK;
/** The database has nothing under this key: it is not asked. */
int txn_fresh(struct txn *t, int space, struct bytes key) MUST_CHECK;
int txn_put(struct txn *t, int space, struct bytes key, struct bytes value) MUST_CHECK;
int txn_delete(struct txn *t, int space, struct bytes key) MUST_CHECK;

/** Called in key order; not 0 ends the walk and is returned. It may get, not put or delete. */
typedef int (*txn_scan_fn)(void *ctx, struct bytes key, struct bytes value);
/** Every key with @prefix, from @from on (empty: the first). */
int txn_scan(struct txn *t, int space, struct bytes prefix, struct bytes from, txn_scan_fn fn,
             void *ctx) MUST_CHECK;

/** A point to return to. */
static inline size_t txn_mark(const struct txn *t)
{
    return t->undo_n;
}

void txn_rollback(struct txn *t, size_t mark);

/** Called for each version row that goes into the batch; @old: the value that is deleted. */
typedef int (*txn_flush_fn)(void *ctx, struct bytes key, bool put, struct bytes value);
/**
 * Puts everything that changed since @mark into @batch, calling @fn for rows of DB_VERSION (may be
 * NULL). On error @batch is as before.
 */
int txn_flush(struct txn *t, size_t mark, struct db_batch *batch, txn_flush_fn fn,
              void *ctx) MUST_CHECK;

/** Whether nothing changed since txn_reset(). */
static inline bool txn_clean(const struct txn *t)
{
    return t->undo_n == 0;
}

/** Forgets everything. All memory handed out is gone. */
void txn_reset(struct txn *t);

#endif
