/*
 * sync/net/backoff - how long to wait before the next attempt to connect. Pure. Thread: any.
 *
 * The n-th wait in a row is drawn from 1 to 2 s, 2 to 4 s, 4 to 8 s ... at last 30 to 60 s, so that
 * the clients of a server that was away do not come back all at once.
 */
#ifndef SYNC_NET_BACKOFF_H
#define SYNC_NET_BACKOFF_H

#include <stdint.h>

/* All zero: nothing failed yet. */
struct backoff {
    unsigned failures; /* in a row */
};

/** After a failure: milliseconds to wait. @random is drawn evenly from all 32 bit numbers. */
uint32_t backoff_next(struct backoff *b, uint32_t random);

/** After a good connection: the next wait is a short one again. */
void backoff_reset(struct backoff *b);

#endif
