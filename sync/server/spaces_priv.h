/*
 * sync/server/spaces_priv - what the spaces*.c files share: rows, and what is held in memory of the
 * accounts that are in use. Not for others.
 */
#ifndef SYNC_SERVER_SPACES_PRIV_H
#define SYNC_SERVER_SPACES_PRIV_H

#include <pthread.h>

#include "sync/server/spaces.h"

/* In memory; all of it is on disk in the row 'n'. */
struct space {
    struct account *account;
    uint64_t number; /* begins every key; never used again */
    struct srv_space_info now;
    bool has_run;       /* this process has begun its run, */
    uint64_t run_sync;  /* which is on the disk after the sync of this number */
    struct dot highest; /* of the replica that pushed last; none: not known */
};

struct account {
    uint64_t number, quota_bytes, quota_entries;
    uint64_t bytes, entries;    /* of all its spaces */
    uint64_t credit, credit_ms; /* thousandths of an entry that may be pushed at once; when */
    struct space *spaces[SPACES_MAX_OF_ACCOUNT];
    unsigned spaces_n;
};

struct srv_spaces {
    struct srv_store *store;
    pthread_mutex_t lock; /* all below, and each read of rows that a write depends on */
    void *accounts;       /* tree of struct account, by number */
    uint64_t next_space;
    uint64_t rate_s;        /* entries and acts of an account, mean */
    uint64_t begun, synced; /* numbers of syncs */
    srv_grown_fn *grown;
    void *grown_arg;
    struct srv_stats stats;
    uint8_t run_key[32]; /* random: names the runs of this process */
};

/* ---- rows: sync/server/README.md ---- */

enum {
    ROW_KEY_MAX = 80,
    ENTRY_HEAD_BYTES = 16,      /* seq, ms (STATE: counter) */
    CHUNK_HEAD_BYTES = 8 + 1,   /* ms, what follows: the bytes, or their place */
    VARIANT_KEY_DOT = 16 + 1,   /* what follows space and letter in the key of a value, */
    VARIANT_KEY_CHUNK = 32 + 1, /* and of a chunk */
    SPACE_PREFIX_BYTES = 8 + 1,
};

struct row_key {
    uint8_t p[ROW_KEY_MAX];
    size_t n;
};

static inline struct bytes row_bytes(const struct row_key *k)
{
    return bytes_of(k->p, k->n);
}

/** The keys of a space: its number, a letter, and more. */
struct row_key row_of(uint64_t space, char letter);
void row_add(struct row_key *k, const void *p, size_t n);
void row_add_u64(struct row_key *k, uint64_t v);
void row_add_u8(struct row_key *k, uint8_t v);
void row_add_dot(struct row_key *k, const struct dot *dot);
/** Keys of SRV_META: a letter and a number. */
struct row_key row_meta(char letter, uint64_t n);

struct row_key row_value(uint64_t space, const struct dot *dot, unsigned variant);
struct row_key row_chunk(uint64_t space, const uint8_t *id, unsigned variant);
/** That a value, or a list chunk, names a chunk; the first without @by: the beginning of all. */
struct row_key row_named(uint64_t space, const uint8_t *id);
struct row_key row_named_by_value(uint64_t space, const uint8_t *id, const struct dot *by,
                                  unsigned variant);
struct row_key row_named_by_chunk(uint64_t space, const uint8_t *id, const uint8_t *by,
                                  unsigned variant);
/** The queue of what may be dropped: 'r' a dot, 'u' a chunk. */
struct row_key row_queue(char letter, uint64_t ms, uint64_t space, const void *id, size_t id_n);

/**
 * The chunks that a sealed chunk names: none, unless it is a list. What it has beside them is for
 * those who can open it: only its length is looked at. -EBADMSG.
 */
int row_chunk_names(struct bytes sealed, struct chunk_ids *ret) MUST_CHECK;

/*
 * A variant of a chunk. Lists, which name others, are in their row, so that rows tell what goes
 * with a chunk, whatever became of its bytes; all others are in packs. Numbers of variants may have
 * gaps.
 */
struct chunk_row {
    uint64_t ms;
    uint64_t n; /* bytes of the chunk */
    bool is_placed;
    struct srv_place place; /* when it is, */
    struct bytes sealed;    /* when it is not: of the row's value */
};

/** The value of a row as it is. -EUCLEAN. */
int chunk_row_parse(struct bytes value, struct chunk_row *ret) MUST_CHECK;
/** Reads a row, into @value: 1 it is there, 0 it is not, or a negative errno. */
int chunk_row_get(struct srv_store *store, const struct row_key *k, struct buf *value,
                  struct chunk_row *ret) MUST_CHECK;
/** The bytes of a chunk, in its row or @b. -EUCLEAN. */
int chunk_row_bytes(struct srv_store *store, const struct chunk_row *c, struct buf *b,
                    struct bytes *ret) MUST_CHECK;
/** Puts the row of a new chunk into @batch, and its bytes into the packs, if they go there. */
int chunk_row_put(struct srv_store *store, struct srv_batch *batch, const struct row_key *k,
                  struct bytes sealed, bool names_others, struct chunk_row *c) MUST_CHECK;
void chunk_row_delete(struct srv_batch *batch, const struct row_key *k, const struct chunk_row *c);

/** Deletes all chunks of a space that is being dropped, step by step. */
int chunk_rows_drop(struct srv_store *store, uint64_t space) MUST_CHECK;
/** Deletes the rows of chunks whose bytes were lost with the power, with the lock held. */
int chunk_rows_mend(struct srv_spaces *s) MUST_CHECK;

/** Whether anything names a chunk: 1, 0, or a negative errno. */
int row_is_named(struct srv_store *store, uint64_t space, const uint8_t *id) MUST_CHECK;

/* ---- memory: all with the lock held ---- */

/** -ENOENT no such account. */
int spaces_account(struct srv_spaces *s, uint64_t number, struct account **ret) MUST_CHECK;
/** -ENOENT no such space. */
int spaces_find(struct srv_spaces *s, const struct srv_at *at, struct space **ret) MUST_CHECK;
/** The space of a number, for upkeep. -ENOENT it was dropped. */
int spaces_numbered(struct srv_spaces *s, uint64_t number, struct space **ret) MUST_CHECK;

/** Puts the row of @sp with what it is to be into @b. */
void spaces_batch_info(struct srv_batch *b, const struct space *sp,
                       const struct srv_space_info *now);
/** After that was written. */
void spaces_take_info(struct space *sp, const struct srv_space_info *now);

/** Puts the row that begins this process's run, at sequence number @first, into @b. */
int spaces_batch_run(struct srv_spaces *s, struct srv_batch *b, const struct space *sp,
                     uint64_t first) MUST_CHECK;
/** After that was written. */
void spaces_take_run(const struct srv_spaces *s, struct space *sp);

/** The lock is taken inside: number and end of the log of a space. -ENOENT. */
int spaces_look_up(struct srv_spaces *s, const struct srv_at *at, uint64_t *ret_number,
                   uint64_t *ret_last_seq) MUST_CHECK;

#endif
