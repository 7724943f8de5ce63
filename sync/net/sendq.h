/*
 * sync/net/sendq - what waits to be sent on one connection: bounded, and it tells when there is
 * room again. Thread: the loop's.
 *
 * A message costs its bytes and its bookkeeping, so that many small ones are bounded, too.
 */
#ifndef SYNC_NET_SENDQ_H
#define SYNC_NET_SENDQ_H

#include "proto/base/buf.h"

enum {
    SENDQ_MAX = 1 << 20,         /* a queue that holds this much takes no more */
    SENDQ_ROOMY = SENDQ_MAX / 4, /* at most this much waits: the sender is called */
    SENDQ_HEAD = 16              /* bytes before each message, for whoever frames it */
};

struct sendq_item {
    struct sendq_item *next;
    size_t n;    /* bytes of the message */
    size_t sent; /* of them, gone already */
    uint8_t head[SENDQ_HEAD];
    uint8_t data[];
};

/* All zero is valid and empty. */
struct sendq {
    struct sendq_item *first, *last;
    size_t bytes; /* the cost of all messages */
    bool wanted;  /* somebody was refused, and waits for room */
};

/** Frees all messages. */
void sendq_fini(struct sendq *q);

/** Appends a copy. Errors: -EAGAIN no room now (a first message always has), -ENOMEM. */
int sendq_push(struct sendq *q, struct bytes message) MUST_CHECK;

/** Removes and frees the first message. */
void sendq_pop(struct sendq *q);

/** Whether somebody who was refused is to be called now; says so once. */
bool sendq_has_room(struct sendq *q);

#endif
