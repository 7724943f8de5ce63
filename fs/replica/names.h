/*
 * fs/replica/names - who has which name in a directory.
 *
 * The records shown in a directory claim names. Of those that claim one name the first in order has
 * it; the others are shown under conflict names. Rows of DB_SHOWN: SHOWN_NAME: directory, name ->
 * all that claim it and how each is shown. SHOWN_LOSER: directory, root (a conflict name without
 * the '+' at its end) -> the losers that may be shown under it. Source: README.md, Names.
 */
#ifndef FS_REPLICA_NAMES_H
#define FS_REPLICA_NAMES_H

#include "fs/replica/node.h"

/* How a claimant is shown. */
enum shown_as {
    SHOWN_NOT_YET,  /* names_settle() decides */
    SHOWN_AS_NAMED, /* has the name */
    SHOWN_AS_TWIN,  /* not at all: the same record is shown under this name already */
    SHOWN_AS_LOSER  /* under a conflict name */
};

struct claimant {
    struct rid rid;
    struct dot slot;
    struct stamp stamp;
    struct dot dot;
    enum shown_as as;
    struct bytes name; /* the conflict name, of SHOWN_AS_LOSER; empty until decided */
};

/* All that claim one name in a directory, in order once settled. */
struct group {
    struct rid parent;
    struct bytes name;
    struct claimant *v;
    size_t n;
};

/** Record @rid claims, or no longer claims, @c->name in @c->parent with its place @c->slot. */
int names_claim(struct replica *r, const struct rid *rid, const struct claim *c) MUST_CHECK;
int names_release(struct replica *r, const struct rid *rid, const struct claim *c) MUST_CHECK;

/** Decides every name that claims and releases touched, and reports effects. */
int names_settle(struct replica *r) MUST_CHECK;

/** Marks all conflict names as to be decided anew. */
int names_touch_losers(struct replica *r) MUST_CHECK;

/** Loads who claims @name in @parent. n == 0: nobody. */
int names_group(struct replica *r, const struct rid *parent, struct bytes name,
                struct group *ret) MUST_CHECK;
/** Stores a group that was loaded, changed. */
int names_store(struct replica *r, const struct group *g) MUST_CHECK;
/** Decodes a row of SHOWN_NAME. */
int names_decode(struct txn *arena, struct bytes key, struct bytes row,
                 struct group *ret) MUST_CHECK;

/** The name that claimant @c of @g is shown under; empty: none. */
struct bytes names_shown(const struct group *g, const struct claimant *c);

/** The claimant of @g that is @slot of @rid, or NULL. */
struct claimant *names_find(const struct group *g, const struct rid *rid, const struct dot *slot);

/** Every loser in @parent whose conflict name differs from @name at most in '+' at the end. */
int names_losers(struct replica *r, const struct rid *parent, struct bytes name,
                 struct claimant **ret, size_t *ret_n) MUST_CHECK;

#endif
