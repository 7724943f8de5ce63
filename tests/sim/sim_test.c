/*
 * Random runs of the simulator (sim.h), and the scripts that are kept. PERSIST_TEST_SEED is the
 * first seed, PERSIST_RUNS how many. An argument is a pattern of the tests to run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

#include "tests/sim/run.h"

static void run(const struct run_options *o, uint64_t runs)
{
    uint64_t n = crash_env("PERSIST_RUNS", crash_share(runs));
    assert_true(run_seeds(o, crash_env("PERSIST_TEST_SEED", 1), n));
    print_message("%llu runs\n", (unsigned long long)n);
}

static void kept_scripts_hold(void **state)
{
    (void)state;
    assert_true(run_kept_scripts(&(struct run_options){.model = true}));
}

static void same_seed_gives_the_same_run(void **state)
{
    (void)state;
    const struct run_options o = {.gen = {.devices_max = 5, .steps_max = 120}, .twice = true};
    run(&o, 100);
}

static void random_runs_hold(void **state)
{
    (void)state;
    const struct run_options o = {.gen = {.devices_max = 8, .steps_max = 120, .checked = 5},
                                  .model = true};
    run(&o, 2500);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kept_scripts_hold),
        cmocka_unit_test(same_seed_gives_the_same_run),
        cmocka_unit_test(random_runs_hold),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
