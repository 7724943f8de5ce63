/*
 * tests/sim/run - runs of the simulator, each in a child process: what fails there ends the child.
 *
 * A failing run is made shorter as long as it fails, and printed as a script that can be kept in
 * tests/sim/scripts/.
 */
#ifndef TESTS_SIM_RUN_H
#define TESTS_SIM_RUN_H

#include "tests/sim/gen.h"

struct run_options {
    struct gen_options gen;
    bool mirror; /* beside model.py */
    bool every;  /* compares with it after every step */
    bool twice;  /* each run once more: it must be the same */
};

/** Runs of @n seeds from @first on: whether all is well. */
bool run_seeds(const struct run_options *o, uint64_t first, uint64_t n);

/** One run, of a script: lines, the first of which is the setup. */
bool run_script(const struct run_options *o, const char *script);

/** One run of the calls of @fn: true once for each script, until false. All is well? */
typedef bool (*run_next_fn)(void *ctx, struct buf *script);
bool run_scripts(const struct run_options *o, run_next_fn next, void *ctx, uint64_t *ret_n);

/** Every file of tests/sim/scripts/. */
bool run_kept_scripts(const struct run_options *o);

/** The directory of these sources, for scripts and model_driver.py. */
const char *run_dir(void);

#endif
