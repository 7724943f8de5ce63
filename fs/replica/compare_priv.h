/*
 * fs/replica/compare_priv - a comparison, for compare.c and compare_step.c.
 */
#ifndef FS_REPLICA_COMPARE_PRIV_H
#define FS_REPLICA_COMPARE_PRIV_H

#include "fs/replica/author.h"
#include "fs/replica/compare.h"
#include "fs/replica/digest.h"

enum { STALE_SIZE = RID_SIZE + 1 + 2 * DOT_SIZE };

struct comparison {
    struct replica *r;
    struct vv known, floor; /* of the other one */
    struct db_iter *own;    /* the records here, as they were at the beginning */
    bool more;              /* the iterator is on one that was not compared */
    bool behind;            /* it may have cleaned up what is held here: what it lacks can go */
    struct comparison_found found;
    struct buf ask;
    /* What is to be done, by record, ascending: */
    struct rids anew;    /* new there, or above such: written anew */
    struct rids deleted; /* deleted here by changes that are new there: at the place there */
    struct rids gone;    /* not held there */
    struct buf stale;    /* record, facet, slot, dot: not held there */
    /* and what says it: */
    struct rids dead;  /* directories that are deleted there */
    struct rids fresh; /* shown here, with changes that are new there */
    struct rids above; /* the directories above those, in no order */
};

bool comparison_has(const struct rids *ascending, const struct rid *rid);

#endif
