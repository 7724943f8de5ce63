/*
 * tests/support/sides - two connections to peers (sync/net/libp2p/conn.h) in memory, with a line
 * between them that cuts where it likes, and a clock of the test's own. Streams send bytes that the
 * other end knows. Thread: one.
 */
#ifndef TESTS_SUPPORT_SIDES_H
#define TESTS_SUPPORT_SIDES_H

#include "sync/net/libp2p/conn.h"
#include "tests/support/crash_rand.h"

enum { SIDES_ENDS = 4096, SIDES_PROTOCOLS = 4, SIDES_LIMIT = 2, SIDES_IDLE_MS = 1000 };

/* Both serve these. */
#define SIDES_ECHO "/test/echo/1"
#define SIDES_FEW "/test/few/1"     /* SIDES_LIMIT streams */
#define SIDES_BRIEF "/test/brief/1" /* they rest SIDES_IDLE_MS at most */
#define SIDES_PICKY "/test/picky/1" /* opened() refuses all */
extern const struct conn_protocol sides_protocols[SIDES_PROTOCOLS];
extern const struct conn_handler sides_handler;

/* A stream, as one side's application sees it. */
struct sides_end {
    struct conn_stream *s; /* NULL: gone */
    unsigned opened, finished, closed;
    int rc;
    uint64_t goal, sent, got, other; /* which bytes come; UINT64_MAX: any */
    bool ends, wrong;                /* finishes when all is sent */
};

struct side {
    struct conn *c;
    struct noise_keys keys;
    uint8_t id[PEER_ID_BYTES];
    unsigned opened, away, kicks;
    struct buf line; /* to the other side */
    bool failed;
};

enum sides_call { SIDES_OPENED, SIDES_DATA, SIDES_WRITABLE, SIDES_FINISHED, SIDES_CLOSED };

struct sides {
    struct side a, b; /* a dials */
    struct sides_end ends[SIDES_ENDS];
    size_t ends_n;
    struct crash_rand rnd;
    uint64_t now;
    /* What else is done at the end of each callback; NULL: nothing. False in opened() refuses the
     * stream. */
    bool (*act)(struct sides_end *e, enum sides_call call);
};

/* The only ones. */
extern struct sides sides;

/** Of each test; sides_teardown() checks the bytes, and that all streams are gone. */
int sides_setup(void **state);
int sides_teardown(void **state);

/** Begins one, as conn_new(). */
void sides_begin(struct side *x, bool dials, const uint8_t *expect);
/** Begins both, until they are open. */
void sides_connect(void);
void sides_end(struct side *x);

/** Opens a stream. */
struct sides_end *sides_open(struct side *x, const char *protocol);
struct sides_end *sides_new_end(struct conn_stream *s);
/** Sends up to the goal, as far as there is room; that goes on by itself. */
void sides_pump(struct sides_end *e);

/** Moves some bytes onto the line, or off it: whether there were any. */
bool sides_take(struct side *from);
bool sides_give(struct side *from, struct side *to);
/** Each of that once; or until nothing is left to be moved. */
bool sides_step(void);
void sides_settle(void);
/** Some of @n bytes: 0 of none. */
size_t sides_piece(size_t n);
void sides_cut_front(struct buf *line, size_t n);

#endif
