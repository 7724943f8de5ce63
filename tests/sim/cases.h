/*
 * tests/sim/cases - scripts of enumerated cases over a small tree: a/ with g in it, b/, f.
 */
#ifndef TESTS_SIM_CASES_H
#define TESTS_SIM_CASES_H

#include "tests/sim/sim.h"

/* What one device can do; the first CASE_SHORT say the most. */
enum { CASE_SHORT = 6, CASE_OPS = 24 };

struct script {
    struct buf *text;
    long long at;
    int saves;
};

/** Begins a script: the setup, the tree on device 0, and all other devices take it. */
void case_begin(struct script *s, struct buf *text, const struct sim_setup *setup);
/** Operation @op, which may be several steps, on device @i. */
void case_op(struct script *s, int i, int op);
/** The steps of @what, apart by ';', on device @i; '#' stands for a new save. */
void case_act(struct script *s, int i, const char *what);
/** A further step, of which @fmt gives all but the time. */
void case_step(struct script *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
