/*
 * tests/support/hosts - three hosts (sync/net/libp2p/host.h) in one loop, that meet over loopback,
 * ask each new peer for an echo, and note what they are told. Thread: one.
 */
#ifndef TESTS_SUPPORT_HOSTS_H
#define TESTS_SUPPORT_HOSTS_H

#include "sync/net/libp2p/host.h"
#include "tests/support/crash_rand.h"
#include "tests/support/net.h"

enum { HOSTS_DEVS = 3, HOSTS_ASKS = 4096, HOSTS_ASKED = 3000, HOSTS_DIALS = 8, HOSTS_KINDS = 2 };

#define HOSTS_ECHO "/test/echo/1"
#define HOSTS_AGENT "hosts/1"

/* What a device does, once, in a callback. */
enum hosts_where {
    HOSTS_NOWHERE,
    HOSTS_IN_CONNECTED,
    HOSTS_IN_IDENTIFIED,
    HOSTS_IN_DATA,
    HOSTS_IN_CLOSED,
    HOSTS_IN_DISCONNECTED,
    HOSTS_WHERES
};
enum hosts_what { HOSTS_DISCONNECT, HOSTS_STOP, HOSTS_CANCEL, HOSTS_DIAL_AGAIN, HOSTS_WHATS };

/* A stream of a device's own. */
struct hosts_ask {
    struct hosts_dev *dev;
    struct conn_stream *s; /* NULL: gone */
    size_t got;
    int rc;
};

struct hosts_dev {
    struct p2p_host *h; /* NULL: freed */
    unsigned connected, disconnected, identified;
    struct p2p_peer *last;   /* that connected, when it still is */
    struct hosts_ask *asked; /* in the last connected() */
    enum hosts_where where;
    enum hosts_what what;
    struct bytes again; /* whom to dial then: a list of addresses */
};

struct hosts_dial {
    struct p2p_dial *d; /* NULL: done or given up */
    struct p2p_peer *p;
    unsigned done;
    int rc;
};

struct hosts {
    struct net net;
    struct hosts_dev devs[HOSTS_DEVS];
    struct hosts_ask asks[HOSTS_ASKS];
    size_t asks_n;
    struct hosts_dial dials[HOSTS_DIALS];
    struct crash_rand rnd;
};

/* The only ones. */
extern struct hosts hosts;

/* Where to listen: TCP, WebSockets. */
extern const char *const hosts_kinds[HOSTS_KINDS];
extern const struct conn_handler hosts_asking;

/** Of each test: hosts that do not listen; and frees all. */
int hosts_setup(void **state);
int hosts_teardown(void **state);
/** New ones in their place, which know nothing of what was. */
void hosts_renew(void);

void hosts_listen(struct hosts_dev *x, const char *at);
/** Appends a list of one address. */
void hosts_put_text(struct buf *list, const char *text);
/** As p2p_dial(). */
int hosts_try_dial(struct hosts_dial *to, struct hosts_dev *from, const uint8_t *id,
                   struct bytes addrs);
/** Dials @x at all addresses that it listens at. */
void hosts_dial(struct hosts_dial *to, struct hosts_dev *from, const struct hosts_dev *x);
void hosts_until_dialed(struct hosts_dial *to);
/** 0 dials 1, until both know each other. */
void hosts_meet(const char *kind);

/** Asks for an echo of HOSTS_ASKED bytes. */
struct hosts_ask *hosts_ask(struct hosts_dev *x, struct p2p_peer *p);
bool hosts_is_answered(const struct hosts_ask *a);

unsigned hosts_peers(const struct hosts_dev *x);
/** Runs the loop until nothing is asked or dialed any more. */
void hosts_until_rest(void);
bool hosts_rest(void *unused);
/** Runs so many turns of the loop. */
void hosts_turns(unsigned n);

#endif
