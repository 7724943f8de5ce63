/*
 * tests/support/wire - devices that speak proto/session.proto to a server, frame by frame: for
 * tests, for attacks, for load. Nothing here checks what the server says.
 *
 * All ends of a wire are served by one loop, in wire_run() and in the calls that wait. A call that
 * waits returns early, with nothing, when its end is closed. Thread: one.
 */
#ifndef TESTS_SUPPORT_WIRE_H
#define TESTS_SUPPORT_WIRE_H

#include "proto/frame.h"
#include "proto/sealed/keys.h"
#include "sync/net/ws_client.h"

enum { WIRE_WAIT_MS = 120000 };

struct wire;

/** NULL, after a message on stderr, when it cannot be made. */
struct wire *wire_new(const struct ws_client_config *cfg) MUST_CHECK;
/** Cuts and frees all its ends. Accepts NULL. */
void wire_free_all(struct wire *w);
/** Runs the loop until @done says true (NULL: never), or for @ms: whether it was done. */
bool wire_run(struct wire *w, unsigned ms, bool (*done)(void *arg), void *arg);

struct wire_frame; /* in the list of those that came */

/* A connection. */
struct wire_end {
    struct wire *wire;
    struct wire_end *next;
    struct ws *ws;          /* NULL: closed */
    bool is_open, is_roomy; /* the WebSocket; its queue */
    struct ws_end end;      /* how it closed */
    bool paused;            /* reads nothing */
    size_t frames_n, bytes; /* that came, ever */
    struct wire_frame *first, **last;
    /* When set, it gets each frame at once, and none is kept. It may send what has room. */
    void (*on_frame)(struct wire_end *e, const Persist__Frame *f);
    void *arg;
};

/** Begins to connect; the end lives until wire_free_all(). NULL: the URL is wrong. */
struct wire_end *wire_connect(struct wire *w, const char *url, const char *token) MUST_CHECK;
/** Answers the Challenge, as device number @identity, for a token; whether a Welcome came. */
bool wire_link(struct wire_end *e, const char *token, unsigned identity) MUST_CHECK;
/** Both. NULL: it was not welcome. */
struct wire_end *wire_join(struct wire *w, const char *url, const char *token,
                           unsigned identity) MUST_CHECK;
/** The Proof of a device for a nonce and a token. */
void wire_prove(unsigned identity, struct bytes nonce, const char *token, uint8_t ret_identity[32],
                uint8_t ret_signature[SIGNATURE_SIZE]);

/** Stops and goes on reading. */
void wire_end_pause(struct wire_end *e, bool paused);
/** Closes, and waits until it is closed. */
void wire_end_close(struct wire_end *e);
/** Waits until it is closed; whether it is. */
bool wire_wait_closed(struct wire_end *e, unsigned ms);

/** Sends, when there is room. False: it is closed, or WIRE_WAIT_MS were not enough. */
bool wire_send(struct wire_end *e, const Persist__Frame *f);
bool wire_send_bytes(struct wire_end *e, struct bytes message);

/** The next frame, or the next of a kind, past others. NULL: none within @ms. frame_free() it. */
Persist__Frame *wire_next(struct wire_end *e, unsigned ms) MUST_CHECK;
Persist__Frame *wire_wait(struct wire_end *e, Persist__Frame__KindCase kind,
                          unsigned ms) MUST_CHECK;

/* Frames of a device. */
bool wire_open(struct wire_end *e, const uint8_t space[16], struct bytes run, uint64_t cursor);
bool wire_put_act(struct wire_end *e, uint64_t id, struct bytes act);
bool wire_put_entry(struct wire_end *e, uint64_t id, struct bytes entry);
bool wire_put_chunk(struct wire_end *e, uint64_t id, const uint8_t chunk[32], struct bytes sealed);
bool wire_put_door(struct wire_end *e, uint64_t id, struct bytes blob);
bool wire_put_revoked(struct wire_end *e, uint64_t id, const uint8_t identity[32]);
bool wire_get_chunks(struct wire_end *e, struct bytes ids);
bool wire_ask_chunks(struct wire_end *e, struct bytes ids);
bool wire_list_dots(struct wire_end *e, struct bytes after);
bool wire_list_spaces(struct wire_end *e);

#endif
