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
    bool model;  /* what is shown in the end is compared with what model.py derives */
    bool mirror; /* it takes the same steps, too */
    bool every;  /* and is compared with after each of them */
    bool twice;  /* each run once more: it must be the same */
};

/** Runs of @n seeds from @first on: whether all is well. */
bool run_seeds(const struct run_options *o, uint64_t first, uint64_t n);

/** One run, of a script: lines, the first of which is the setup. */
bool run_script(const struct run_options *o, const char *script);

/** Writes the next script over @script; false: there is none. */
typedef bool (*run_next_fn)(void *ctx, struct buf *script);
/** Runs all scripts: whether all is well, and how many there were. */
bool run_scripts(const struct run_options *o, run_next_fn next, void *ctx, uint64_t *ret_n);

/** Every file of tests/sim/scripts/. */
bool run_kept_scripts(const struct run_options *o);

/** The directory of these sources, for scripts and model_driver.py. */
const char *run_dir(void);

#endif
