/*
 * Three devices, one operation each, in every order and with every exchange that can make a
 * difference: before the second operation its device and the one of the third may have met the
 * first, and before the third its device may have met the first, the second, both or none. That is
 * 6 orders of 4 x 4 meetings for each choice of three operations out of the first CASE_SHORT
 * (cases.c), with PERSIST_LONG=1
 * of all; an argument is how many.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/cases.h"
#include "tests/sim/run.h"

enum { DEVICES = 3, ORDERS = 6, MEETINGS = 4 };

struct cases {
    int ops;
    uint64_t at, end;
};

static void meet(struct script *s, bool really, int to, int from)
{
    if (really)
        case_step(s, "%d pull|%d|0|-1", to, from);
}

static bool next_case(void *ctx, struct buf *ret)
{
    static const int orders[ORDERS][DEVICES] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                                {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    struct cases *c = ctx;
    struct script s;
    int op[DEVICES];
    if (c->at == c->end)
        return false;
    uint64_t k = c->at++;
    const int *who = orders[k % ORDERS];
    k /= ORDERS;
    unsigned first = (unsigned)(k % MEETINGS), second = (unsigned)(k / MEETINGS % MEETINGS);
    k /= MEETINGS * MEETINGS;
    for (int i = 0; i < DEVICES; i++, k /= (uint64_t)c->ops)
        op[i] = (int)(k % (uint64_t)c->ops);
    case_begin(&s, ret, &(struct sim_setup){.devices = DEVICES, .together = true});
    case_op(&s, who[0], op[0]);
    meet(&s, first & 1, who[1], who[0]);
    meet(&s, first & 2, who[2], who[0]);
    case_op(&s, who[1], op[1]);
    meet(&s, second & 1, who[2], who[0]);
    meet(&s, second & 2, who[2], who[1]);
    case_op(&s, who[2], op[2]);
    return true;
}

static int ops = CASE_SHORT;

static void every_order_of_three_operations(void **state)
{
    (void)state;
    struct cases c = {.ops = ops,
                      .end = (uint64_t)ORDERS * MEETINGS * MEETINGS * (uint64_t)(ops * ops * ops)};
    uint64_t n;
    assert_true(run_scripts(&(struct run_options){.mirror = false}, next_case, &c, &n));
    print_message("%llu cases\n", (unsigned long long)n);
}

int main(int argc, char **argv)
{
    if (crash_env("PERSIST_LONG", 0) != 0)
        ops = CASE_OPS;
    if (argc > 1)
        ops = atoi(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_order_of_three_operations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
