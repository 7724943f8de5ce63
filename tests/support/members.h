/*
 * tests/support/members - devices of one space that exchange what is signed and sealed, and nothing
 * else: each transfer is what a server in the middle would carry. Functions fail the running test
 * when something of it is not taken.
 */
#ifndef TESTS_SUPPORT_MEMBERS_H
#define TESTS_SUPPORT_MEMBERS_H

#include "tests/support/device.h"

enum { MEMBERS_MAX = 3 };

/* anna, bert and carl, as far as they are open. */
struct members {
    struct device d[MEMBERS_MAX];
    uint64_t done[MEMBERS_MAX][MEMBERS_MAX]; /* arrivals of the first that the second was given */
};

/** Device 0 makes the space. */
void members_found(struct members *m);
/** Device @i joins, through a door of device @of. */
void members_join(struct members *m, size_t i, size_t of);
void members_close(struct members *m);

/**
 * Gives device @b what device @a has and @b was not given, contents included; what @a has pending
 * is published first. How many arrivals.
 */
size_t members_give(struct members *m, size_t a, size_t b);
/** The first @n give each other all that they have. */
void members_meet(struct members *m, size_t n);

/** The first @n hold and know the same. */
void members_expect_equal(struct members *m, size_t n);

#endif
