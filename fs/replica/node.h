/*
 * fs/replica/node - what is derived of one record: where it is shown, and what a directory holds.
 *
 * Rows of DB_SHOWN: SHOWN_NODE and SHOWN_COUNTS. What a struct node points to lives in the arena.
 */
#ifndef FS_REPLICA_NODE_H
#define FS_REPLICA_NODE_H

#include "fs/replica/replica_priv.h"

/* A name that a record is shown under, or would be if others did not want it too. */
struct claim {
    struct dot slot;
    struct rid parent;
    struct bytes name;
    struct stamp stamp; /* of the place value */
    struct dot dot;
};

struct node {
    struct rid rid;
    bool held;     /* the record has a place, alive or deleted */
    bool own;      /* it is alive by itself */
    bool conflict; /* two or more unsettled contents */
    bool dead;     /* held and not shown */
    uint8_t level; /* of a directory: 0; suspended by a cycle: 1 at the former parent, 2 the root */
    uint64_t live_n; /* claims in this directory */
    uint64_t refs_n; /* place values that name it as parent */
    /* Of a held directory, its place: */
    struct rid parent, prev;
    struct stamp stamp;
    struct dot dot;
    struct claim *claims;
    size_t claims_n;
};

/* How many rows of a kind there are, so that the usual case, none, costs no search. */
struct counts {
    uint64_t suspended, losers;
};

int node_load(struct replica *r, const struct rid *rid, struct node *ret) MUST_CHECK;
/** A record that is not held, and is no directory, has no node: the database is not asked. */
int node_none(struct replica *r, const struct rid *rid) MUST_CHECK;
int node_store(struct replica *r, const struct node *n) MUST_CHECK;

/** @by more place values name @rid as parent. */
int node_refer(struct replica *r, const struct rid *rid, int by) MUST_CHECK;

/** Where a held directory is: the parent after cycles are broken. */
int node_up(struct replica *r, const struct node *n, struct rid *ret) MUST_CHECK;

const struct claim *node_claim(const struct node *n, const struct dot *slot);

/** Whether entries may be made in this directory: the root, or one that is shown. */
static inline bool node_is_open(const struct node *n)
{
    return rid_is_root(&n->rid) || n->claims_n > 0;
}

int counts_load(struct replica *r, struct counts *ret) MUST_CHECK;
int counts_store(struct replica *r, const struct counts *c) MUST_CHECK;

/** Puts or deletes the row @tag of @rid, which says no more than that it is there. */
int node_mark(struct replica *r, int tag, const struct rid *rid, bool there) MUST_CHECK;

#endif
