/*
 * tests/sim/compare - full comparisons between the devices of a run.
 */
#ifndef TESTS_SIM_COMPARE_H
#define TESTS_SIM_COMPARE_H

#include "tests/sim/sim.h"

/** Whether device @i may give what it has: it knows all that any member may have cleaned up. */
bool sim_may_give(const struct sim *s, int i);
/** The first member but @to that may give; -1: none. A server brings its list. */
int sim_giver(const struct sim *s, int to);
/**
 * Device @to compares with @from, a member that may give, and takes what it misses from it. 0;
 * -EXDEV: they must not, or need not; -EINTR: its process died in the middle.
 */
int sim_compare(struct sim *s, int to, int from);

#endif
