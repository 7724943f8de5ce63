/*
 * tests/support/crash_rand - random numbers with a seed that can be given again.
 */
#ifndef TESTS_SUPPORT_CRASH_RAND_H
#define TESTS_SUPPORT_CRASH_RAND_H

#include <stdbool.h>

#include "proto/base/base.h"

/* Of many alike runs one in so many is made: all, but with sanitizers, which are slow. */
#ifndef TEST_SHARE
#define TEST_SHARE 1
#endif

struct crash_rand {
    uint64_t s;
};

/** The seed of this run: PERSIST_TEST_SEED, else a new one. Prints it, once for each @what. */
uint64_t crash_seed(const char *what);

/** A number from the environment variable @name, @fallback without one. */
uint64_t crash_env(const char *name, uint64_t fallback);

/** How many of @n runs are made. */
uint64_t crash_share(uint64_t n);

uint64_t crash_next(struct crash_rand *r);
/** 0 <= result < @n. */
uint64_t crash_below(struct crash_rand *r, uint64_t n);
/** True in @percent of 100 cases. */
bool crash_chance(struct crash_rand *r, unsigned percent);

/** Fills @p with bytes @from <= i < @from + @n of the endless string that @seed names. */
void crash_fill(uint64_t seed, uint64_t from, void *p, size_t n);

#endif
