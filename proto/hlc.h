/*
 * proto/hlc - hybrid logical clock: 48 bits of milliseconds since 1970, then 16 bits of count.
 *
 * Gives stamps that do not go back with the wall clock and that follow the stamps of others, so
 * that "later" means what a person expects. The wall clock is an argument: nothing here asks for
 * the time.
 */
#ifndef PROTO_HLC_H
#define PROTO_HLC_H

#include <stdbool.h>
#include <stdint.h>

enum { HLC_AHEAD_MAX_MS = 10 * 60 * 1000 }; /* a clock further ahead is wrong, and not followed */

struct hlc {
    uint64_t last; /* the greatest stamp given or followed */
};

/* When, and by whom. A stamp that was received is never altered. */
struct stamp {
    uint64_t hlc;
    uint64_t replica;
};

/** Order: time, then replica. */
int stamp_cmp(const struct stamp *a, const struct stamp *b);

static inline uint64_t hlc_ms(uint64_t stamp)
{
    return stamp >> 16;
}

/** A new stamp, greater than all since it went back (until the 64 bits are used up: then equal). */
uint64_t hlc_next(struct hlc *h, uint64_t now_ms);

/**
 * Follows a stamp seen. False when it is more than HLC_AHEAD_MAX_MS ahead: then nothing changes.
 * One that agrees with the wall clock, to as much, says that the wall clock is right: if this clock
 * is further ahead, from a time when the wall clock was wrong, it goes back to the stamp.
 */
bool hlc_observe(struct hlc *h, uint64_t now_ms, uint64_t stamp);

#endif
