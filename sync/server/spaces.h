/*
 * sync/server/spaces - what the devices of an account have pushed: acts, entries, chunks, sealed.
 *
 * Spaces are named by (account, 16 byte id) in every call, and each account has its own: whatever
 * id a client sends, it meets nothing of another account (-ENOENT), not even that it exists.
 *
 * A push is in the log at once, and not to be acknowledged before srv_spaces_sync() has returned:
 * then it is on disk. Each accepted act and entry has a sequence number; a session with a device is
 * a cursor in them. Nothing deletes but retention and the operator.
 *
 * So others can have read what a loss of power takes back. Nothing is lost by that: they have it,
 * and who pushed it, without an acknowledgement, pushes it again. The next process begins another
 * run, at sequence numbers that may have been others'; a cursor behind the end of the last run is
 * stale (srv_space_open()), so the devices that were ahead compare, and put what is gone.
 *
 * Ids are not proved, as the server has no key: up to 4 variants (different bytes) of a dot or a
 * chunk id are kept, and all served, so that garbage that came first does not keep out the good
 * one. Of the STATEs of a replica, the newest that each device sent is kept, for the same reason.
 *
 * Times are given, in ms since 1970. Thread: any.
 */
#ifndef SYNC_SERVER_SPACES_H
#define SYNC_SERVER_SPACES_H

#include <stdbool.h>

#include "proto/sealed/ids.h"
#include "sync/server/store.h"
#include "sync/server/token.h"

enum {
    SPACES_MAX_OF_ACCOUNT = 100,
    SPACES_VARIANTS_MAX = 4,
    SPACES_RATE_S = 200, /* entries and acts of an account, mean, unless set otherwise */
    SPACES_BURST = 20000,
    SPACES_KEPT_FROM = 16 << 20, /* a quota from here on keeps a 64th for what is small, */
    SPACES_KEPT_MAX = 64 << 20,  /* at most so much */
};

#define SPACES_DAY_MS (UINT64_C(24) * 3600 * 1000)
#define SPACES_REPLACED_MS (30 * SPACES_DAY_MS)    /* how long a replaced entry is kept, */
#define SPACES_UNREFERENCED_MS (7 * SPACES_DAY_MS) /* and a chunk that no entry names */

struct srv_spaces;

/* Where a call belongs: the account and token of the login, the space that the client named. */
struct srv_at {
    uint64_t account;
    uint8_t token[TOKEN_ID_BYTES]; /* who pushes; readers may leave it */
    uint8_t space[SPACE_ID_SIZE];
};

/**
 * On an open store, which must stay open. Ends removals of users that a crash cut off. @rate_s: how
 * many entries and acts an account may push a second, after SPACES_BURST at once; 0: SPACES_RATE_S.
 */
int srv_spaces_open(struct srv_store *store, uint32_t rate_s, struct srv_spaces **ret,
                    struct err *err) MUST_CHECK;
void srv_spaces_close(struct srv_spaces *s); /* accepts NULL */

/* ---- pushing ----
 *
 * All return 1 when it was stored, 0 when it was there already (to be acknowledged, too), and:
 * -EBADMSG malformed, or of another space; -ENOENT no such space; -EEXIST it is there in 4 other
 * forms; -EDQUOT the account is full; -ENOSPC the server is full; -EAGAIN too many in too short a
 * time, see srv_spaces_wait_ms(); -EIO, -ENOMEM. @err has a sentence for the device's user.
 * @ret_seq (may be NULL) gets the sequence number of what was stored.
 */

/** An act. A genesis act makes its space when the account has none of that id. */
int srv_push_act(struct srv_spaces *s, const struct srv_at *at, struct bytes act, uint64_t now_ms,
                 uint64_t *ret_seq, struct err *err) MUST_CHECK;

/** An entry. A STATE that is older than what this device sent before is "there already". */
int srv_push_entry(struct srv_spaces *s, const struct srv_at *at, struct bytes entry,
                   uint64_t now_ms, uint64_t *ret_seq, struct err *err) MUST_CHECK;

/* A chunk, as it is pushed and served. */
struct srv_chunk {
    const uint8_t *id; /* CHUNK_ID_SIZE */
    struct bytes sealed;
};

int srv_push_chunk(struct srv_spaces *s, const struct srv_at *at, const struct srv_chunk *c,
                   uint64_t now_ms, struct err *err) MUST_CHECK;

/**
 * The passphrase blob of a space (at most DOOR_BLOB_MAX), instead of the one that is there; empty:
 * removes it. It is not counted as stored, but as a change in the rate.
 */
int srv_push_door(struct srv_spaces *s, const struct srv_at *at, struct bytes blob, uint64_t now_ms,
                  struct err *err) MUST_CHECK;

/** How long the account has to wait until it may push another entry or act; 0: not at all. */
uint64_t srv_spaces_wait_ms(struct srv_spaces *s, uint64_t account, uint64_t now_ms);

/** What was pushed before the call is on disk when it returns 0: acknowledge. */
int srv_spaces_sync(struct srv_spaces *s) MUST_CHECK;

/* The log of a space has grown; called by what pushed, in its thread. */
typedef void srv_grown_fn(void *arg, uint64_t account, const uint8_t space[SPACE_ID_SIZE]);
/** Sets who is told; NULL: nobody. Before the first push. */
void srv_spaces_on_grown(struct srv_spaces *s, srv_grown_fn *fn, void *arg);

/* ---- reading ---- */

struct srv_space_info {
    uint8_t id[SPACE_ID_SIZE];
    uint64_t log_id;   /* random: a space that was made anew has another log */
    uint64_t last_seq; /* the newest in the log; 0: none */
    uint64_t created_ms;
    uint64_t bytes, entries, chunks; /* what is stored; acts count as entries, variants each */
};

/** -ENOENT. */
int srv_space_info(struct srv_spaces *s, const struct srv_at *at,
                   struct srv_space_info *ret) MUST_CHECK;

/** Reads the passphrase blob into @ret, replacing what is in it. -ENOENT: none, or no such space.
 */
int srv_door_get(struct srv_spaces *s, const struct srv_at *at, struct buf *ret) MUST_CHECK;

enum { SRV_RUN_SIZE = 16 };

/* A space as a session finds it. */
struct srv_opened {
    bool exists;
    bool on_disk; /* no: what is here may be told after srv_spaces_sync() and another call */
    bool stale;   /* the run and cursor that were given are not of this log */
    uint8_t run[SRV_RUN_SIZE];
    uint64_t last_seq;
    uint64_t quota_bytes, used_bytes; /* of the account */
};

/**
 * Begins a session at @cursor of @run, which the last session was given (empty and 0: none).
 *
 * A run is what one process of a server adds to the log of a space. Each begins one in a space
 * before it shows or adds anything, with a new id; the log says where. So a server that was put
 * back to a copy of its data does not know the runs that came after the copy, or knows that a run
 * ended before the cursor; and what of a log lies before a run that it knows has not changed.
 */
int srv_space_open(struct srv_spaces *s, const struct srv_at *at, struct bytes run, uint64_t cursor,
                   struct srv_opened *ret) MUST_CHECK;

typedef int srv_space_fn(void *arg, const struct srv_space_info *info);
/** Calls @fn for each space of an account, until it returns something else than 0: that. */
int srv_space_list(struct srv_spaces *s, uint64_t account, srv_space_fn *fn, void *arg) MUST_CHECK;

enum srv_item_kind { SRV_ACT, SRV_VALUE, SRV_STATE };

/* An act or entry; the bytes are borrowed until the function returns. */
struct srv_item {
    enum srv_item_kind kind;
    uint64_t seq;
    struct dot dot; /* not of an act */
    struct bytes bytes;
};

/* Returns 0 to go on. */
typedef int srv_item_fn(void *arg, const struct srv_item *item);

enum srv_log { SRV_LOG_ALL, SRV_LOG_ACTS };

struct srv_cursor {
    uint64_t after; /* the last sequence number that was read; 0: from the beginning */
    bool more;      /* there is more already */
};

/**
 * Calls @fn for what follows @c in the log, in order, up to @max_bytes (but for at least one), and
 * moves @c behind it. What @fn returns ends it; @c is then before that item.
 * -ENOENT; -ESTALE the cursor is ahead of the log: the server lost what it had.
 */
int srv_log_read(struct srv_spaces *s, const struct srv_at *at, enum srv_log which,
                 size_t max_bytes, srv_item_fn *fn, void *arg, struct srv_cursor *c) MUST_CHECK;

/** All variants of a value; how many, 0 for none, -ENOENT no such space. */
int srv_entry_get(struct srv_spaces *s, const struct srv_at *at, const struct dot *dot,
                  srv_item_fn *fn, void *arg) MUST_CHECK;

/** An act by its id: 1, or 0. */
int srv_act_get(struct srv_spaces *s, const struct srv_at *at, const uint8_t id[ACT_ID_SIZE],
                srv_item_fn *fn, void *arg) MUST_CHECK;

typedef int srv_chunk_fn(void *arg, const struct srv_chunk *c);
/** All variants of a chunk, as srv_entry_get(). */
int srv_chunk_get(struct srv_spaces *s, const struct srv_at *at, const uint8_t id[CHUNK_ID_SIZE],
                  srv_chunk_fn *fn, void *arg) MUST_CHECK;

/**
 * Which of @n chunks have to be pushed before an entry that names them: bit i % 8 of byte i / 8 of
 * @ret is set. One that would soon be dropped, as nothing names it, is among them.
 */
int srv_chunks_missing(struct srv_spaces *s, const struct srv_at *at, const uint8_t *ids, size_t n,
                       uint64_t now_ms, uint8_t *ret) MUST_CHECK;

typedef int srv_dot_fn(void *arg, const struct dot *dot);
/** Calls @fn with the highest counter that was pushed of each replica, from @from on. */
int srv_space_vector(struct srv_spaces *s, const struct srv_at *at, uint64_t from, srv_dot_fn *fn,
                     void *arg) MUST_CHECK;
/** Calls @fn for each dot that is stored, in order, from @from on: for a full comparison. */
int srv_space_dots(struct srv_spaces *s, const struct srv_at *at, const struct dot *from,
                   srv_dot_fn *fn, void *arg) MUST_CHECK;

/* ---- upkeep ---- */

struct srv_swept {
    uint64_t entries, chunks, bytes;
};

/**
 * Drops what was replaced 30 days ago, and chunks that nothing names for 7 days; gives the room of
 * chunks back that were dropped before the last sync. Looks at up to @max rows; 1 when there is
 * more to do. Adds to @ret.
 */
int srv_spaces_sweep(struct srv_spaces *s, uint64_t now_ms, unsigned max,
                     struct srv_swept *ret) MUST_CHECK;

/** The quotas of a user have changed, and are on disk: they hold for all pushes from now on. */
void srv_spaces_set_quota(struct srv_spaces *s, uint64_t account, uint64_t bytes, uint64_t entries);

/** Drops all that a removed user stored. */
int srv_spaces_drop(struct srv_spaces *s, uint64_t account) MUST_CHECK;

struct srv_usage {
    uint64_t bytes, entries, chunks, spaces;
};

/** What an account stores, as it is accounted. -ENOENT. */
int srv_spaces_usage(struct srv_spaces *s, uint64_t account, struct srv_usage *ret) MUST_CHECK;
/** The same, counted row by row: slow; differs only in a damaged store. */
int srv_spaces_recount(struct srv_spaces *s, uint64_t account, struct srv_usage *ret) MUST_CHECK;

/* For /metrics: nothing here tells of one account. Counted since the start, but for the last. */
struct srv_stats {
    uint64_t acts, entries, chunks, doors; /* stored */
    uint64_t there;                        /* pushed again */
    uint64_t refused;                      /* malformed, or a fifth variant */
    uint64_t over_quota, over_rate, no_space;
    uint64_t syncs;
    struct srv_swept swept;
    struct srv_usage stored; /* of all accounts */
};

int srv_spaces_stats(struct srv_spaces *s, struct srv_stats *ret) MUST_CHECK;

#endif
