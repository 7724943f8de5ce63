/*
 * tests/support/hostile_server - a server that keeps to no rule, for real devices: it speaks
 * proto/session.proto over real sockets, holds what they put, and shows it as a test wants it.
 *
 * Left alone it is an honest server of one space. A test changes what it holds between
 * hostile_server_lock() and _unlock(): what is changed there holds from then on. It runs in a
 * thread of its own; functions are for the test's thread, and fail the test when they cannot.
 */
#ifndef TESTS_SUPPORT_HOSTILE_SERVER_H
#define TESTS_SUPPORT_HOSTILE_SERVER_H

#include <pthread.h>

#include "proto/frame.h"
#include "proto/sealed/keys.h"
#include "sync/net/loop.h"

enum { HOSTILE_PEERS_MAX = 16, HOSTILE_FORMS_MAX = 8192 };

/* An act or entry, in the order of its arrival: the first has seq 1. */
struct hostile_item {
    bool is_act;
    bool left_out; /* shown to nobody */
    uint64_t seq;  /* shown instead of its own; 0: its own */
    struct buf bytes;
    uint8_t from[SIGN_KEY_SIZE]; /* the identity of who put it; zeros: the test */
};

struct hostile_chunk {
    struct chunk_id id;
    struct buf *forms; /* of HOSTILE_FORMS_MAX at most: what is answered, the first one first */
    size_t n;
};

/* What it does instead of the truth. */
struct hostile_ways {
    bool stale;                /* says that any cursor is none of its log */
    bool forgets;              /* says that it has no such space */
    struct dot refuses;        /* has four other forms of it; {0, 0}: of none */
    bool drops;                /* says Done, and holds nothing of what was put */
    bool hides_last;           /* says in Opened that its log is empty */
    uint64_t caught_up;        /* says so in CaughtUp; 0: the truth */
    bool goes_on;              /* never says CaughtUp: its log has no end, for all one knows */
    uint64_t done;             /* is added to the ids in Done */
    bool lists_for_ever;       /* answers ListDots with more dots each time */
    bool swaps_answers;        /* answers each chunk under the id of the next one asked for */
    const uint8_t *hides_from; /* an identity: is shown nothing that others put; NULL: none */
    const uint8_t *token_not;  /* an identity that is refused with CODE_TOKEN; NULL: none */
};

struct hostile_peer;

struct hostile_server {
    char url[64];
    /* Under lock: */
    struct hostile_ways ways;
    struct hostile_item *items;
    size_t items_n;
    struct hostile_chunk *chunks;
    size_t chunks_n;
    struct buf door;
    uint8_t run[FRAME_RUN_SIZE];
    unsigned sessions, ended; /* opened, and gone, so far */
    uint64_t listed;          /* dots that were told, with lists_for_ever */
    unsigned early;           /* questions for chunks before CaughtUp was said */
    /* Its own: */
    pthread_mutex_t lock;
    pthread_t thread;
    struct net_loop *loop;
    struct net_timer *tick;
    struct ws_server *ws;
    struct hostile_peer *peers[HOSTILE_PEERS_MAX];
};

/** Starts it on a free port. */
void hostile_server_start(struct hostile_server *s);
void hostile_server_stop(struct hostile_server *s);

void hostile_server_lock(struct hostile_server *s);
void hostile_server_unlock(struct hostile_server *s);

/** Says these bytes in all sessions: a frame, or anything else. */
void hostile_server_say(struct hostile_server *s, struct bytes frame);
/** Says in all sessions that @sealed is a form of the chunk @id. */
void hostile_server_say_chunk(struct hostile_server *s, const struct chunk_id *id,
                              struct bytes sealed);

/* ---- under lock ---- */

/** Adds an item at the end of the log, copied. */
struct hostile_item *hostile_server_add(struct hostile_server *s, bool is_act, struct bytes bytes);
/** Copies all that @from holds behind what @s holds. */
void hostile_server_copy(struct hostile_server *s, const struct hostile_server *from);
/** Forgets items but the first @n, and chunks but the first @chunks_n, as of an older disk. */
void hostile_server_cut(struct hostile_server *s, size_t n, size_t chunks_n);
/** The chunk with @id; NULL: none. */
struct hostile_chunk *hostile_server_chunk(struct hostile_server *s, const struct chunk_id *id);
/** Adds a form of a chunk, the last one. */
void hostile_chunk_add(struct hostile_chunk *c, struct bytes sealed);

#endif
