/*
 * tests/support/session_world - a server in its own process with the users anna (three devices) and
 * ben (one), and what their devices do. Fails the test when it cannot.
 */
#ifndef TESTS_SUPPORT_SESSION_WORLD_H
#define TESTS_SUPPORT_SESSION_WORLD_H

#include "tests/support/server_fixture.h"
#include "tests/support/server_process.h"
#include "tests/support/wire.h"

enum { ANNA_1, ANNA_2, ANNA_3, BEN, WORLD_TOKENS };

struct session_world {
    struct server_process server;
    struct wire *wire;
    char token[WORLD_TOKENS][TOKEN_TEXT_SIZE];
    struct srv_at at; /* of space number 1; its account is not used */
};

/* A device's session. */
struct caller {
    struct wire_end *end;
    uint64_t puts; /* sent */
    bool exists, stale;
    struct buf run;
    uint64_t last, quota, used; /* as Opened said */
    uint64_t seq;               /* of the last item, or as CaughtUp said */
    unsigned acts, entries;     /* that came */
};

/** For cmocka. */
int session_world_setup(void **state);
int session_world_teardown(void **state);

/** Links device number @who, which has the token of that number; ends with caller_end(). */
struct caller caller_join(struct session_world *w, unsigned who);
/** Opens space 1 at what another session of the device had reached (NULL: at the beginning). */
void caller_open(struct session_world *w, struct caller *d, const struct caller *before);
/** Both. */
struct caller caller_start(struct session_world *w, unsigned who, const struct caller *before);
/** Closes and leaves what it had reached for the next session. */
void caller_leave(struct caller *d);
void caller_end(struct caller *d);

/** Puts the genesis of space 1, or a value without references; does not wait. */
void caller_put_genesis(struct caller *d);
void caller_put_value(struct session_world *w, struct caller *d, uint64_t replica, uint64_t counter,
                      size_t sealed_n);
/** Waits until all Puts are Done. */
void caller_wait_done(struct caller *d);
/** Reads Items until CaughtUp. */
void caller_catch_up(struct caller *d);
/** Reads Items until it has had so many entries and acts. */
void caller_wait_items(struct caller *d, unsigned entries, unsigned acts);
/** Makes space 1, with values 1 to @n of replica 7; all are Done. */
void caller_fill(struct session_world *w, struct caller *d, unsigned n);

/** Waits until the server ends the session with @code; the frames before End are dropped. */
void caller_expect_end(struct caller *d, Persist__Code code);

#endif
