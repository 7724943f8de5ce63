/*
 * tests/support/peer_link - links between devices (tests/support/device): on each end the two
 * halves of a session (sync/engine/session.h, serve.h) as an engine runs them, and in between the
 * frames on their way, of which there is room for some. Time stands still, unless a test moves it.
 * Functions fail the test when they cannot do what they say.
 */
#ifndef TESTS_SUPPORT_PEER_LINK_H
#define TESTS_SUPPORT_PEER_LINK_H

#include "sync/engine/serve.h"
#include "sync/engine/session.h"
#include "tests/support/device.h"

enum { PEER_ROOM = 8 };

struct peer_link;

struct peer_end {
    struct peer_link *link;
    struct device *d;
    struct sync_session *session;
    struct sync_serve *serve;
    struct buf out; /* frames on the way to the other end, each with its length, from out_at on */
    size_t out_at, out_n;
    bool failed;
    char why[160];
    bool lies; /* chunks from this end are not what they should be */
    /* What was delivered from this end, also by links that were cut. */
    size_t frames, acts, entries, states, offered, chunks, none, passed, nodes_asked;
    struct buf asked; /* names of the chunks that were asked for from here, likewise */
};

struct peer_link {
    struct peer_end end[2];
    bool up;
    uint64_t now_ms;
    size_t room;      /* frames that fit on the way, each way */
    bool once;        /* a change that is delivered twice fails the test */
    struct buf given; /* dots of the changes that were delivered, either way */
};

/** A link that is down. */
void peer_link_init(struct peer_link *l, struct device *a, struct device *b);
void peer_link_fini(struct peer_link *l);

/** Begins a session on each end. */
void peer_link_open(struct peer_link *l);
/** Ends them; what is on its way is lost. */
void peer_link_cut(struct peer_link *l);

/** Has an end go on; whether it wants to do so again at once. */
bool peer_end_pump(struct peer_end *e);
/** Delivers the oldest frame of this end to the other one, which does not go on yet. False: none.
 */
bool peer_end_deliver(struct peer_end *e);
/** Gives an end a frame, as if it came. */
void peer_end_take(struct peer_end *e, const Persist__Frame *f);

/** Signs what is new on all devices, and has all links that are up go on until nothing moves. */
void peer_links_run(struct peer_link *const *l, size_t n);

#endif
