/*
 * fs/space/rate - how many bytes a second went by of late. Thread: one, or under a lock.
 */
#ifndef FS_SPACE_RATE_H
#define FS_SPACE_RATE_H

#include <stdint.h>

enum { RATE_S = 5 }; /* seconds that count */

/* All zeros: nothing went by. */
struct rate {
    uint64_t second;        /* the newest one that has bytes, of space_now_ms()'s clock */
    uint64_t bytes[RATE_S]; /* of each second, by its number modulo RATE_S */
};

/** @n bytes went by now. */
void rate_add(struct rate *r, uint64_t now_ms, uint64_t n);
/** Bytes a second over the last RATE_S seconds. */
uint64_t rate_of(const struct rate *r, uint64_t now_ms);

#endif
