/*
 * tests/support/pairs - wires (sync/net/libp2p/wire.h) on real sockets, dialed and accepted in one
 * loop; their ends send bytes that the other end knows. Thread: one.
 */
#ifndef TESTS_SUPPORT_PAIRS_H
#define TESTS_SUPPORT_PAIRS_H

#include "sync/net/libp2p/wire.h"
#include "tests/support/crash_rand.h"
#include "tests/support/net.h"

enum { PAIRS_ENDS = 408, PAIRS_KINDS = 4 };

/* What an end does in a callback. */
enum {
    PAIRS_FREE_IN_OPENED = 1,
    PAIRS_FREE_IN_DATA = 2,
    PAIRS_FREE_IN_WRITABLE = 4,
    PAIRS_FREE_IN_CLOSED = 8
};

struct pairs_end {
    struct wire *w; /* NULL: closed or freed */
    unsigned n;     /* which bytes it sends */
    unsigned other; /* and which it gets */
    unsigned does;
    unsigned opened, writables, closed;
    uint64_t goal, sent, got;
    bool paused, rests, wrong;
    char why[256];
    struct net_timer *timer; /* to go on reading */
};

struct pairs {
    struct net net;
    struct wire_listener *listener;
    struct pairs_end ends[PAIRS_ENDS];
    unsigned ends_n;
    struct crash_rand rnd;
    bool refuses; /* what connects */
    unsigned refused;
    unsigned frees_listener; /* in its so-and-so-many-th accepted() */
};

/* The only ones. */
extern struct pairs pairs;

/* Where to listen: TCP, then WebSockets, of IPv4 and IPv6. */
extern const char *const pairs_kinds[PAIRS_KINDS];

/** Of each test: a loop and a client; and frees all, checks the bytes and that no descriptor is
 * left. */
int pairs_setup(void **state);
int pairs_teardown(void **state);
/** Frees all ends, after the same check. */
void pairs_free_ends(void);

/** Listens, at a multiaddr. */
int pairs_try_listen(const char *at);
void pairs_listen(const char *at);
/** The port that is listened at. */
unsigned pairs_port(void);
/** The text of a multiaddr, until the next call. */
const char *pairs_text(struct bytes address);

/** Dials a new end. @form: an address with * for the port. */
struct pairs_end *pairs_dial(struct bytes address);
struct pairs_end *pairs_dial_text(const char *form, unsigned port);
/** The first of all ends dials the second; nothing listens any more. */
void pairs_make(const char *kind);
/** A socket that is connected to the listener. */
int pairs_raw(void);

/** Sends up to the goal, as far as there is room; that goes on by itself. */
void pairs_pump(struct pairs_end *e);
/** Goes on reading. @end: a struct pairs_end. */
void pairs_resume(void *end);

void pairs_until_open(struct pairs_end *e); /* and another end is there */
void pairs_until_closed(struct pairs_end *e);
void pairs_until_all_closed(void);
/** Both of a pair have got what the other has sent. */
void pairs_until_done(void);

#endif
