/*
 * fs/replica/history - what was: old contents and former places of records.
 *
 * Every content that was held stays as a version until replica_thin() removes it; every place value
 * leaves a small entry. Threads, batches and errors as in replica.h.
 */
#ifndef FS_REPLICA_HISTORY_H
#define FS_REPLICA_HISTORY_H

#include "fs/replica/replica.h"

/* A content that a record had. */
struct history_version {
    struct replica_content content;
    bool current;      /* held now: shown, or part of an open conflict */
    uint64_t until_ms; /* when the next version or the deletion came; UINT64_MAX: not yet */
    bool deleted;      /* what ended it is a deletion */
};

/* A place that a record had, or a deletion of it. */
struct history_place {
    struct dot slot, dot;
    struct stamp stamp;
    bool alive;
    struct rid parent;
    uint8_t name_len;
    char name[LIMIT_NAME + 1];
};

/** Every version of @rid, the oldest first. */
int replica_versions(struct replica *r, const struct rid *rid,
                     int (*fn)(void *ctx, const struct history_version *v), void *ctx) MUST_CHECK;

/** Every place that @rid had, the oldest first. */
int replica_places(struct replica *r, const struct rid *rid,
                   int (*fn)(void *ctx, const struct history_place *p), void *ctx) MUST_CHECK;

/* An entry of a directory as it was at a time. */
struct history_entry {
    struct replica_entry entry;     /* the record's own name, not a conflict name */
    struct replica_content content; /* of then; none for directories or when thinned since */
};

/** What directory @dir showed at @at_ms. Slow: reads every record that ever was in it. */
int replica_list_at(struct replica *r, const struct rid *dir, uint64_t at_ms,
                    int (*fn)(void *ctx, const struct history_entry *e), void *ctx) MUST_CHECK;

/** Every record that has or had the name @name in @parent, deleted ones included. */
int replica_find(struct replica *r, const struct rid *parent, struct bytes name,
                 int (*fn)(void *ctx, const struct rid *rid), void *ctx) MUST_CHECK;

/** Every record that has or had a name in @dir, once for each name. */
int replica_find_in(struct replica *r, const struct rid *dir,
                    int (*fn)(void *ctx, const struct rid *rid), void *ctx) MUST_CHECK;

/**
 * What a three-way merge of two contents starts from: the latest version that both embody, by the
 * saves that each was made of; versions with equal bytes are one. @a (of @a_n versions, merged
 * already) and @b are versions of @rid. @ret: its dot is none when the history has none.
 * @ret_whole: all that both were made of is in the history; else another device may know a later
 * one.
 */
int replica_base(struct replica *r, const struct rid *rid, const struct dot *a, size_t a_n,
                 const struct dot *b, struct replica_content *ret, bool *ret_whole) MUST_CHECK;

/* How long versions are kept after something replaced them. Ages ascend. */
struct history_policy {
    uint64_t all_ms;    /* younger: every one */
    uint64_t hourly_ms; /* younger: the last of each hour */
    uint64_t daily_ms;  /* younger: the last of each day */
    uint64_t weekly_ms; /* younger: the last of each week; older ones go */
};

/** 1, 7, 30 and 90 days. */
extern const struct history_policy history_policy_default;

/**
 * Thins versions and former places of up to @max records, from @cursor on (all zero: the first),
 * which is moved. 1: there is more; 0: that was all, @cursor is zero again. Pending in @batch.
 * A version in force is never removed, nor is one that a deletion ended within the policy's ages.
 */
int replica_thin(struct replica *r, struct db_batch *batch, uint64_t now_ms,
                 const struct history_policy *policy, struct rid *cursor, size_t max) MUST_CHECK;

#endif
