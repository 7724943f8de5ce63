/*
 * sync/engine/session_priv - what session.c, push.c and pull.c share. Not for others.
 */
#ifndef SYNC_ENGINE_SESSION_PRIV_H
#define SYNC_ENGINE_SESSION_PRIV_H

#include "sync/engine/session.h"
#include "sync/engine/sources.h"
#include "sync/engine/window.h"

enum {
    JOBS_MAX = 8,           /* entries with chunks that are pushed at once */
    PUTS_MAX = 4096,        /* Puts that are not Done */
    FETCHES_BUSY = 64,      /* contents that are fetched at once, but for smaller ones, and */
    FETCHES_MAX = 256,      /* so many with these and those that other sessions fetch */
    FETCH_NEEDS_MAX = 4096, /* chunks that one of them looks ahead */
    PASSED_BYTES = FRAME_PASSING_WINDOW / 4, /* of chunks ahead; then the remote is told */
    CAME_MAX = 64,                           /* entries that are taken together, */
    CAME_BYTES = 512 << 10,                  /* of so many bytes, but for the last one */
    RETRY_MS = 60000, /* content that the remote did not have is asked for again */
    LOOK_MS = 2000,   /* between two looks at all that waits, while enough is fetched */
};

/* A Put that is not Done. */
struct put {
    uint64_t id, arrival; /* arrival 0: of a chunk */
    uint64_t of;          /* the arrival that it is sent for; 0: none */
    uint64_t at_ms;
    size_t bytes;
    struct job *job; /* of the entry that ends it */
    bool ahead;      /* an act that is put before what arrived before it */
};

/* An entry whose chunks have to be there first. */
struct job {
    struct arrival at;
    struct buf todo; /* struct sync_chunk: to be asked for, from todo_at on */
    size_t todo_at;
    struct buf send; /* the remote misses these, from send_at on */
    size_t send_at;
    struct buf nodes; /* list nodes that are put last, the last one first */
    size_t asked;     /* chunks in the question that is open; 0: none */
    bool used, ended; /* ended: the entry is put */
};

struct push {
    uint64_t scan; /* arrivals up to here were looked at */
    uint64_t acts; /* acts that arrived up to here are put, ahead of all else */
    uint64_t next_id;
    struct put *puts; /* a ring of PUTS_MAX */
    size_t puts_at, puts_n, bytes;
    struct window window; /* bytes of them beyond which no more chunks are put */
    uint64_t now_ms;      /* of the last push_pump() */
    struct job jobs[JOBS_MAX];
    uint64_t fresh;     /* of a file that is being cut: space_sync_fresh() */
    struct job *asking; /* the job whose question is open */
    uint64_t blob_id;   /* the Put with the passphrase's blob; 0: none */
    struct buf blob;    /* which it has */
    bool no_blob;       /* there was none to be given when it was looked, */
    uint64_t blobs;     /* which was after so many were set */
    uint64_t done_id;   /* Puts up to this one are Done */
    uint64_t acts_id;   /* the last Put with an act */
    uint64_t untold_id; /* the Put that says of a device that it is out; 0: none */
    uint8_t untold[SIGN_KEY_SIZE];
    bool no_untold;         /* like no_blob, */
    uint64_t untold_blobs;  /* and blobs */
    uint64_t not_before_ms; /* the interval */
    /* While a remote has no room, entries with chunks are passed over until hold_until_ms (0: they
     * are not), then looked at again from the first one on. */
    uint64_t hold_until_ms, held; /* held: that arrival; 0: none */
    uint64_t kept_back; /* the first change that is not given yet: space_sync_may_give(); 0: none */
    uint64_t small_to;  /* arrivals up to here are put, but for those with chunks */
};

/* A chunk that was asked for. */
struct asked {
    struct sync_chunk chunk;
    struct fetch *fetch;
    size_t epoch;
    uint64_t at_ms;
    uint64_t len;
};

/* A chunk that is to be asked for. */
struct need {
    uint8_t name[CONTENT_ID_BYTES];
    uint64_t len;
};

/* Content that is fetched. */
struct fetch {
    struct dot dot;
    uint64_t rank; /* struct sync_wait */
    bool used;
    struct buf needs; /* struct need: those from at on were not looked at; of those before it */
    size_t at, held;  /* held, the first ones, are left to others, who were asked for them */
    bool more;        /* there was no room for what comes behind them */
    size_t open;      /* chunks that were asked for */
    bool missing;     /* the remote has not all of it */
};

/* Which of an Offer are wanted. */
struct want {
    uint8_t bits[FRAME_OFFER_MAX / 8];
    size_t n; /* bytes */
};

struct pull {
    struct buf came; /* entries that are not taken yet, each with its length */
    size_t came_n;
    uint64_t came_seq;  /* of the last one */
    struct buf waiting; /* struct sync_wait, from waiting_at on */
    size_t waiting_at;
    bool more_waiting; /* something waits that is not in the list */
    uint64_t look_ms;  /* when it is looked at the latest what that is */
    uint64_t wants;    /* space_sync_wants() */
    uint64_t retry_ms; /* when what was missing is asked for again; 0: nothing was */
    uint64_t held_ms;  /* when what others were asked for may be asked for here; 0: nothing is */
    uint64_t room_ms;  /* the disk is full: no content is asked for before this; 0: it is not */
    bool full;         /* that was told */
    struct fetch fetch[FETCHES_MAX];
    struct asked asked[FRAME_CHUNKS_MAX]; /* a ring */
    size_t asked_at, asked_n;
    uint64_t asked_bytes;
    struct window window;  /* as many of them are there at once */
    uint64_t passed_bytes; /* of chunks that came ahead, of which the remote was not told */
    /* With another device. */
    struct want want[FRAME_OFFERS_MAX]; /* that are not sent: a ring */
    size_t want_at, want_n;
    uint64_t taken; /* as it was told */
};

struct sync_session {
    struct sync_session_config cfg;
    char *url;
    int source; /* in cfg.sources; -1: none yet */
    uint64_t remote;
    struct sync_remote row;
    uint64_t last; /* of the remote's log, when the session began */
    bool opened, caught_up, failed;
    bool unstored; /* the cursors moved, and are not written down yet */
    /* Asking what is new, to which CaughtUp is the answer; see hear(). */
    enum { HEAR_NOTHING, HEAR_DOTS, HEAR_CAUGHT_UP } hear;
    uint64_t asked_round, heard_round;
    /* A remote that went back in time: its dots are compared with what is here. */
    bool comparing;
    struct dot compared; /* up to here */
    struct buf theirs;   /* dots, ascending */
    struct push push;
    struct pull pull;
    struct sync_online online;
};

/** Nothing is expected of the remote any more: others may be asked for what it was to bring. */
void sync_session_give_up(struct sync_session *x);
/** Ends the session: @why is one sentence, or NULL. */
void sync_session_fail(struct sync_session *x, uint64_t after_ms, const char *why);
/** The same after @rc of a write to the database: @why, or that the disk is full. */
void sync_session_unwritten(struct sync_session *x, int rc, const char *why);
bool sync_session_can_send(const struct sync_session *x);
void sync_session_send(struct sync_session *x, const Persist__Frame *f);
/** Writes the cursors down; not while it compares. */
void sync_session_store(struct sync_session *x);

/* ---- push.c ---- */
int push_init(struct sync_session *x) MUST_CHECK;
void push_fini(struct sync_session *x);
/** Puts what there is to put; returns when to come again, 0: when something happens. */
uint64_t push_pump(struct sync_session *x, uint64_t now_ms, bool now);
void push_done(struct sync_session *x, uint64_t id, uint64_t now_ms);
/**
 * The remote does not take a Put, as it has too many other forms of it: what it was sent for is
 * left out from now on. False: it is none that can be.
 */
bool push_left_out(struct sync_session *x, uint64_t id);
void push_missing(struct sync_session *x, ProtobufCBinaryData bits);
/** Whether the Put with this id has a chunk. */
bool push_is_chunk(const struct sync_session *x, uint64_t id);
/** Whether all arrivals are put and Done. */
bool push_is_settled(const struct sync_session *x);

/* ---- pull.c ---- */
void pull_fini(struct sync_session *x);
/** Keeps entries to be taken together; whether there were enough, or something else, to be taken.
 */
bool pull_items(struct sync_session *x, const Persist__Items *items);
/** Takes what is kept, before anything that comes after it. */
void pull_take(struct sync_session *x);
void pull_chunk(struct sync_session *x, const Persist__Chunk *c, uint64_t now_ms);
void pull_passing(struct sync_session *x, const Persist__SealedChunk *c);
void pull_offer(struct sync_session *x, const Persist__Offer *o);
uint64_t pull_pump(struct sync_session *x, uint64_t now_ms);
bool pull_is_settled(const struct sync_session *x);

#endif
