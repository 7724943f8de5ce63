/*
 * scripts/bench.d/work - what workloads share. Of what fails they end, with a word why.
 */
#ifndef SCRIPTS_BENCH_WORK_H
#define SCRIPTS_BENCH_WORK_H

#include <stddef.h>
#include <stdint.h>

/** Seconds, of a clock that only goes on. */
double now(void);
/** The next of a row of pseudo-random numbers (xorshift), none of which is 0. */
uint64_t stir(uint64_t x);

int open_or_die(const char *path, int flags);
void write_or_die(int fd, const void *p, size_t n);
void close_or_die(int fd);
/** The number that an argument is. */
uint64_t number(const char *text);

#endif
