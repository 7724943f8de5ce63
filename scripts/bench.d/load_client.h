/*
 * scripts/bench.d/load_client - thousands of devices that speak proto/session.proto to a server, in
 * one thread and one epoll set, at little cost: their WebSockets are not masked (with zeros, that
 * is), not encrypted, and never refuse to read. What the server says is believed; what goes wrong
 * ends the program. Thread: one.
 */
#ifndef LOAD_CLIENT_H
#define LOAD_CLIENT_H

#include "proto/frame.h"
#include "proto/sealed/ids.h"
#include "sync/server/token.h"

struct load;

enum load_state {
    LOAD_IDLE,
    LOAD_CONNECTING,
    LOAD_UPGRADING,
    LOAD_LINKING,
    LOAD_OPENING,
    LOAD_OPEN
};

struct load_device {
    struct load *load;
    unsigned number; /* makes its identity */
    char token[TOKEN_TEXT_SIZE];
    uint8_t space[SPACE_ID_SIZE];
    enum load_state state; /* LOAD_OPEN: all that the server had has come */
    int fd;
    struct buf in;      /* a part of what was read */
    struct buf message; /* fragments of a message */
    struct buf out;     /* what the socket did not take */
    size_t out_at;
    uint64_t puts; /* the id of the last Put */
};

typedef void load_frame_fn(void *arg, struct load_device *d, const Persist__Frame *f);

/** Frames of devices that are open go to @fn. */
struct load *load_new(unsigned port, load_frame_fn *fn, void *arg);
void load_free(struct load *l); /* accepts NULL */

/** Begins to connect, link and open a device whose number, token and space are set. */
void load_connect(struct load *l, struct load_device *d);
/** Closes the connection, and frees what the device holds. */
void load_close(struct load_device *d);
/** Waits up to @ms for something to happen, and handles what has. */
void load_turn(struct load *l, int ms);

/** The public key that device @number has as its identity. */
void load_identity(unsigned number, uint8_t ret[32]);

void load_send(struct load_device *d, const Persist__Frame *f);
void load_put_entry(struct load_device *d, struct bytes entry);
void load_put_chunk(struct load_device *d, const uint8_t id[CHUNK_ID_SIZE], struct bytes sealed);
/** Bytes that the socket did not take yet. */
size_t load_unsent(const struct load_device *d);

/** Ends the program with a message when @rc is negative. */
void load_must(int rc, const char *what);

#endif
