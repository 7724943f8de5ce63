/*
 * fs/replica/record - the values of one record: one row, with its indexes.
 *
 * Rows: DB_RECORD: record id -> format, count, each value. DB_LOG: dot, record id -> the head hash
 * of the dot's entry, or nothing before it is known, while the record holds a value of this dot.
 * What a struct record points to lives in the arena.
 */
#ifndef FS_REPLICA_RECORD_H
#define FS_REPLICA_RECORD_H

#include "fs/replica/replica_priv.h"

enum { LOG_KEY = DOT_SIZE + RID_SIZE };

struct record {
    struct rid rid;
    struct value *v; /* ordered by facet, slot, dot */
    size_t n;
};

/* The values of one facet of a record. */
struct values {
    const struct value *v;
    size_t n;
};

/** Decodes a row. 0 or -EUCLEAN, -ENOTSUP, -ENOMEM. */
int record_decode(struct txn *arena, const struct rid *rid, struct bytes row,
                  struct record *ret) MUST_CHECK;

/** Loads a record; one that is not held has no values. */
int record_load(struct replica *r, const struct rid *rid, struct record *ret) MUST_CHECK;

/** The values of a facet; of FACET_PLACE those of @slot. */
struct values record_facet(const struct record *rec, enum facet facet, const struct dot *slot);

/** Whether value @v brings nothing: it is held, or superseded by one that is. */
bool record_has(const struct record *rec, const struct value *v);

/** Whether it holds a value of @dot. */
bool record_holds(const struct record *rec, const struct dot *dot);

/**
 * Whether @v takes the place of @old, a value of its record: it has seen it. What is void only an
 * own change has seen for sure: others may have seen what another of its forms was.
 */
bool record_drops(const struct replica *r, const struct value *v, const struct value *old);

/** The key in DB_LOG of the values of @dot in record @rid. */
struct bytes record_log_key(uint8_t key[LOG_KEY], const struct dot *dot, const struct rid *rid);

/**
 * Adds @v, drops those it supersedes and any of the same facet with its dot, keeps the indexes,
 * history, digest and counts of parents, marks the record as dirty, and loads @rec anew.
 * @head_hash: of the entry of @v's dot, NULL when it is not known; values of that dot that @rec
 * holds already have theirs.
 */
int record_put(struct replica *r, struct record *rec, const struct value *v,
               const uint8_t *head_hash) MUST_CHECK;

/** The same for a value without a head hash, and drops @also (one of @rec's values). */
int record_replace(struct replica *r, struct record *rec, const struct value *also,
                   const struct value *v) MUST_CHECK;

/** Drops @gone, one of @rec's values, of which another one of its facet says all. */
int record_forget(struct replica *r, struct record *rec, const struct value *gone) MUST_CHECK;

/** Takes the whole record out, but for its history. */
int record_remove(struct replica *r, struct record *rec) MUST_CHECK;

#endif
