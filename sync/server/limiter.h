/*
 * sync/server/limiter - how often an address may do something in a minute, as showing a wrong
 * token.
 *
 * Of fixed size: addresses share a place when there are many, and the newer one takes it, so a
 * flood of addresses costs no memory. Thread: one.
 */
#ifndef SYNC_SERVER_LIMITER_H
#define SYNC_SERVER_LIMITER_H

#include <stdbool.h>

#include "proto/base/buf.h"

enum {
    LIMITER_FAILS = 5, /* wrong tokens */
    LIMITER_TIMES_MAX = 10,
    LIMITER_WINDOW_MS = 60000,
    LIMITER_SETS = 1024,
    LIMITER_WAYS = 4
};

struct limiter {
    unsigned times;
    uint8_t seed[16]; /* which addresses share places is not to be guessed */
    struct limiter_place {
        uint8_t address[16];
        uint64_t fail_ms[LIMITER_TIMES_MAX]; /* the newest ones, in a ring of l->times */
        unsigned next, n;
    } place[LIMITER_SETS][LIMITER_WAYS];
};

/** @times in a minute, at most LIMITER_TIMES_MAX. */
void limiter_init(struct limiter *l, unsigned times);

/**
 * Milliseconds until @address (4 bytes, or 16, of which the first 8 count: that is what one
 * customer has; empty: not limited) may do it again; 0: now.
 */
uint64_t limiter_wait(const struct limiter *l, struct bytes address, uint64_t now_ms);

/** It did. */
void limiter_fail(struct limiter *l, struct bytes address, uint64_t now_ms);

#endif
