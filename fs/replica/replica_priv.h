/*
 * fs/replica/replica_priv - the replica's state, for the files of this folder only.
 *
 * The layers, each above the next: author, apply, clean -> settle -> cycle, names, effects -> node,
 * record, history -> txn. One operation first changes records (record_put() marks them as dirty),
 * then settle() brings what is derived from them up to date.
 */
#ifndef FS_REPLICA_REPLICA_PRIV_H
#define FS_REPLICA_REPLICA_PRIV_H

#include "fs/replica/exchange.h"
#include "fs/replica/history.h"
#include "fs/replica/txn.h"

/* First bytes of keys. */
enum {
    SHOWN_NODE = 'D',      /* record id -> struct node */
    SHOWN_NAME = 'N',      /* directory id, name -> who wants this name */
    SHOWN_LOSER = 'L',     /* directory id, root of conflict names -> entries under such names */
    SHOWN_SUSPENDED = 'U', /* record id of a directory at level > 0 -> nothing */
    SHOWN_CONFLICT = 'C',  /* record id with an open conflict -> nothing */
    SHOWN_DEAD = 'X',      /* record id of a deleted record that is not shown -> nothing */
    SHOWN_COUNTS = '#',    /* nothing -> struct counts */
    HISTORY_VERSION = 'v', /* record id, dot -> content with body */
    HISTORY_PLACE = 'p',   /* record id, stamp, dot, slot -> place */
    HISTORY_NAME = 'n',    /* directory id, name, NUL, record id -> nothing */
    KEY_MAX = 1 + RID_SIZE + LIMIT_NAME + 1 + RID_SIZE
};

/* A list of record ids without repetition; those before @head were taken out. */
struct rids {
    struct rid *v;
    size_t n, cap, head;
};

int rids_add(struct rids *l, const struct rid *rid) MUST_CHECK;
void rids_reset(struct rids *l);
void rids_fini(struct rids *l);

/* A name in a directory, borrowed from the arena. */
struct place_name {
    struct rid parent;
    struct bytes name;
};

/* A list of names without repetition. */
struct place_names {
    struct place_name *v;
    size_t n, cap;
};

struct pending_change {
    struct dot dot;
    bool own;
};

struct change {
    struct replica *r;
    struct db_batch *batch;
    struct dot dot;
    uint64_t hlc;
    size_t mark;  /* of the transaction, before the change */
    size_t parts; /* written so far */
    bool open;
};

struct replica {
    struct db *db;
    struct replica_config cfg;
    char label[LIMIT_LABEL + 1];
    struct space_keys keys;
    uint64_t id;
    struct hlc hlc;
    struct vv known, floor, applied; /* with what is pending */
    struct state_digest digest;      /* the same */
    /* Without it, while @pending. */
    bool pending;
    struct {
        uint64_t id;
        struct vv known, floor, applied;
        struct state_digest digest;
    } saved;
    struct txn txn;
    struct change change;
    struct dot *ends; /* of replicas that ended the last dot that counts */
    size_t ends_n;
    struct pending_change *told; /* changes to tell of once they are written */
    size_t told_n, told_cap;
    struct buf scratch; /* for encodings; used within one function */
    /* What settle() still has to do. */
    struct rids dirty, moved;
    struct place_names groups, clusters;
};

/** Before anything pending: remembers the state to go back to. */
int replica_pend(struct replica *r) MUST_CHECK;
/** Puts what is pending since @mark, and the replica's own state, into @batch; NULL: later. */
int replica_flush(struct replica *r, size_t mark, struct db_batch *batch) MUST_CHECK;
/** Undoes what an operation did since @mark. */
void replica_undo(struct replica *r, size_t mark);
/** Room for one more replica_tell(). */
int replica_tell_reserve(struct replica *r) MUST_CHECK;
void replica_tell(struct replica *r, const struct dot *dot, bool own);
/** At the end of a query: gives memory back when nothing is pending. Returns @rc. */
int replica_done(struct replica *r, int rc);

/** The last counter of a replica that counts; UINT64_MAX: it goes on. */
uint64_t replica_end_of(const struct replica *r, uint64_t id);
static inline bool replica_is_void(const struct replica *r, const struct dot *dot)
{
    return dot->counter > replica_end_of(r, dot->replica);
}

/** The brings-up-to-date of everything derived. */
int settle(struct replica *r) MUST_CHECK;
void settle_reset(struct replica *r);

/** A key: tag, then up to three pieces. @key must hold KEY_MAX bytes. */
struct bytes key_of(uint8_t key[KEY_MAX], int tag, struct bytes a, struct bytes b, struct bytes c);

static inline struct bytes rid_bytes(const struct rid *rid)
{
    return bytes_of(rid->b, RID_SIZE);
}

static inline struct bytes key_rid(uint8_t key[KEY_MAX], int tag, const struct rid *rid)
{
    return key_of(key, tag, rid_bytes(rid), (struct bytes){NULL, 0}, (struct bytes){NULL, 0});
}

/** The record id at @at in a key that has one there. */
static inline struct rid rid_at(struct bytes key, size_t at)
{
    struct rid rid;
    memcpy(rid.b, key.p + at, RID_SIZE);
    return rid;
}

#endif
