/*
 * tests/support/pair_stranger - a device on libp2p that is no persist: it speaks the protocol of
 * pairing (sync/pair/pair.h) as far as a test wants, or carries the messages of two others.
 *
 * All of them are in one loop, which runs in stranger_until() alone. Thread: one.
 */
#ifndef TESTS_SUPPORT_PAIR_STRANGER_H
#define TESTS_SUPPORT_PAIR_STRANGER_H

#include <stdbool.h>

#include "proto/sealed/grant.h"
#include "sync/net/libp2p/host.h"
#include "sync/pair/pair.h"
#include "sync/pair/payload.h"

enum { STRANGER_MESSAGES = 7 };

struct stranger {
    struct p2p_host *host;
    uint8_t seed[SEED_SIZE]; /* of its identity */
    struct member_keys keys;
    struct member_public member;
    struct p2p_dial *dial;
    struct conn_stream *s; /* NULL: none, or gone */
    bool opened;           /* the other side took the stream */
    bool ended;            /* the stream, or the other side of it */
    struct buf in;         /* of the stream, not yet a message */
    size_t bytes;          /* that came, in all */
    unsigned got, sent;    /* the number of the last message; got stays when an end comes */
    bool refused;          /* the other side said that it is over */

    /* What it does. */
    const char *code;   /* NULL: it speaks no protocol */
    unsigned send_to;   /* the last message that it sends */
    unsigned alter;     /* the message of which a byte in the middle is changed; 0: none */
    bool closes;        /* serving: at once */
    bool garbage;       /* serving: sends some */
    bool keeps_open;    /* does not end its side */
    bool other_id;      /* says that it is another device */
    struct bytes gives; /* its payload; borrowed */
    /* Serving: makes the payload from what the other one gave; NULL: @gives. */
    void (*give)(struct stranger *x, const struct pair_joiner *to, struct buf *ret);
    struct stranger *relay; /* the other half of one in the middle */

    struct pair *machine;
    struct pair_tries tries;
    struct grant grant; /* of a guest: what it was given */
    bool granted;
};

/** Once in a program. */
void stranger_start(void);
/** Ends all; no stranger is used after it. */
void stranger_stop(void);

/** A new one, with keys of its own or, if not NULL, the identity of @twin. */
void stranger_init(struct stranger *x, const struct stranger *twin);
/** Cuts its connection and frees it. Accepts one that is zeros. */
void stranger_fini(struct stranger *x);

/** Opens a stream of @protocol with the device at @address (with /p2p/ID), when it is there. */
void stranger_dial(struct stranger *x, const char *address, const char *protocol);
/** Serves pairing; its address in @ret. */
void stranger_listen(struct stranger *x, char ret[static 200]);
/** Its payload of one that joins, under @label. */
void stranger_gives_member(const struct stranger *x, const char *label, struct buf *ret);
/** Sends bytes as they are. */
void stranger_write(struct stranger *x, struct bytes data);
/** Closes the connection that the stream is on. */
void stranger_leave(struct stranger *x);

/** Runs the loop until @condition holds. False, after a failed check, when it does not in @ms. */
bool stranger_until(bool (*condition)(void *arg), void *arg, unsigned ms, const char *what);
/** Runs the loop for so long. */
void stranger_run_ms(unsigned ms);
/** Waits for message @number. */
bool stranger_until_got(struct stranger *x, unsigned number);
bool stranger_until_sent(struct stranger *x, unsigned number);
bool stranger_until_ended(struct stranger *x);

#endif
