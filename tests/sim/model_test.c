/*
 * The C code and model.py on the same histories: after every step, or whenever all have met, they
 * show, know and hold the same. PERSIST_LONG=1: all cases of three devices, and more histories;
 * PERSIST_RUNS: how many of these. An argument is a pattern of the tests to run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

#include "tests/sim/cases.h"
#include "tests/sim/run.h"

static bool is_long(void)
{
    return crash_env("PERSIST_LONG", 0) != 0;
}

/* Sessions that are cut, and early resolutions, before all meet; @r decides. */
static void put_sessions(struct script *s, const struct sim_setup *setup, struct crash_rand *r)
{
    static const int many[] = {0, 2, 5};
    uint64_t n = (uint64_t)setup->devices + (setup->server != SERVER_NONE);
    for (int k = many[crash_below(r, 3)]; k > 0; k--) {
        uint64_t a = crash_below(r, n), b = (a + 1 + crash_below(r, n - 1)) % n;
        case_step(s, "%d pull|%d|%u|%d", (int)a, (int)b, (unsigned)crash_below(r, 100000),
                  (int)crash_below(r, 4) - 1);
        if (a < (uint64_t)setup->devices && crash_chance(r, 50))
            case_step(s, "%d resolve", (int)a);
    }
}

static struct sim_setup setup_of(int devices, enum sim_policy policy, struct crash_rand *r)
{
    return (struct sim_setup){.devices = devices,
                              .server = (enum sim_server)crash_below(r, 2),
                              .policy = policy,
                              .together = crash_chance(r, 50)};
}

/* ---- one operation on each device ------------------------------------------------------------ */

struct cases {
    int devices;
    bool sorted; /* only one order of the same operations */
    int op[3];
    enum sim_policy policy;
    struct crash_rand r;
    bool more;
};

static void step_case(struct cases *c)
{
    static const enum sim_policy next[] = {POLICY_MERGE, POLICY_KEEP};
    if (c->devices == 2 && c->policy == POLICY_KEEP) {
        c->policy = next[0];
        return;
    }
    c->policy = POLICY_KEEP;
    for (int i = c->devices; i-- > 0;) {
        if (++c->op[i] < CASE_OPS) {
            for (int k = i + 1; k < c->devices; k++)
                c->op[k] = c->sorted ? c->op[i] : 0;
            return;
        }
        c->op[i] = 0;
    }
    c->more = false;
}

static bool next_case(void *ctx, struct buf *ret)
{
    struct cases *c = ctx;
    struct script s;
    struct sim_setup setup = setup_of(c->devices, c->policy, &c->r);
    if (!c->more)
        return false;
    case_begin(&s, ret, &setup);
    for (int i = 0; i < c->devices; i++)
        case_op(&s, i, c->op[i]);
    put_sessions(&s, &setup, &c->r);
    step_case(c);
    return true;
}

static void run_cases(int devices, bool sorted)
{
    const struct run_options o = {.mirror = true};
    struct cases c = {.devices = devices, .sorted = sorted, .r = {7}, .more = true};
    uint64_t n;
    assert_true(run_scripts(&o, next_case, &c, &n));
    print_message("%llu cases\n", (unsigned long long)n);
}

static void two_devices_one_operation_each(void **state)
{
    (void)state;
    run_cases(2, false);
}

static void three_devices_one_operation_each(void **state)
{
    (void)state;
    run_cases(3, !is_long());
}

/* ---- random histories ------------------------------------------------------------------------ */

static void random_histories(void **state)
{
    (void)state;
    const struct run_options o = {
        .gen = {.devices_max = 4, .steps_max = 80, .plain = true}, .mirror = true, .every = true};
    uint64_t n = crash_env("PERSIST_RUNS", crash_share(is_long() ? 3000 : 150));
    assert_true(run_seeds(&o, crash_env("PERSIST_TEST_SEED", 1), n));
    print_message("%llu histories\n", (unsigned long long)n);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_devices_one_operation_each),
        cmocka_unit_test(three_devices_one_operation_each),
        cmocka_unit_test(random_histories),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
