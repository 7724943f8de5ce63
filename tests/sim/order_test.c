/*
 * Three devices, enumerated: every order of what they do, with every exchange that can make a
 * difference, over a small tree (cases.h).
 *
 * one each    Each device does one thing of the first CASE_SHORT of cases.c. Before the second
 * acts, it and the third may have met the first; before the third acts, it may have met the first,
 * the second, both or none. Which device is the first does not matter: no two stamps are equal, and
 * of equal trees it does not show who made them. three each  Each device runs one of the programs
 * below, step by step. Every interleaving of the nine steps, and before the last step of each
 * device it may have taken all that the others have. Of interleavings that differ by steps next to
 * each other which do not meet and do not touch the same names, one is tried: they make the same
 * changes, and no two stamps that are compared differ in their order.
 *
 * PERSIST_LONG=1: all of CASE_OPS, all programs and not only the first PROGRAMS_SHORT, also run
 * alike by two or three devices, and exchanges before every step: millions of cases. An argument is
 * a pattern of the tests to run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

#include "tests/sim/cases.h"
#include "tests/sim/run.h"

enum { DEVICES = 3, MEETINGS = 4, STEPS = 3, ALL_STEPS = DEVICES * STEPS, PROGRAMS_SHORT = 6 };

static bool is_long(void)
{
    return crash_env("PERSIST_LONG", 0) != 0;
}

static void begin(struct script *s, struct buf *text)
{
    case_begin(s, text, &(struct sim_setup){.devices = DEVICES, .together = true});
}

static void meet(struct script *s, bool really, int to, int from)
{
    if (really)
        case_step(s, "%d pull|%d|0|-1", to, from);
}

static void run_all(run_next_fn next, void *ctx)
{
    uint64_t n;
    assert_true(run_scripts(&(struct run_options){.model = false}, next, ctx, &n));
    print_message("%llu cases\n", (unsigned long long)n);
}

/* ---- one each -------------------------------------------------------------------------------- */

struct cases {
    int ops;
    uint64_t at, end;
};

static bool next_case(void *ctx, struct buf *ret)
{
    struct cases *c = ctx;
    struct script s;
    if (c->at == c->end)
        return false;
    uint64_t k = c->at++;
    unsigned first = (unsigned)(k % MEETINGS), second = (unsigned)(k / MEETINGS % MEETINGS);
    begin(&s, ret);
    k /= MEETINGS * MEETINGS;
    for (int i = 0; i < DEVICES; i++, k /= (uint64_t)c->ops) {
        meet(&s, i == 1 && first & 1, 1, 0);
        meet(&s, i == 1 && first & 2, 2, 0);
        meet(&s, i == 2 && second & 1, 2, 0);
        meet(&s, i == 2 && second & 2, 2, 1);
        case_op(&s, i, (int)(k % (uint64_t)c->ops));
    }
    return true;
}

static void every_exchange_of_one_operation_each(void **state)
{
    (void)state;
    struct cases c = {.ops = is_long() ? CASE_OPS : CASE_SHORT};
    c.end = (uint64_t)MEETINGS * MEETINGS * (uint64_t)(c.ops * c.ops * c.ops);
    run_all(next_case, &c);
}

/* ---- three each ------------------------------------------------------------------------------ */

/*
 * What a step does, and a letter for each thing of which it writes a value whose stamp can be
 * compared with another's: a, b, f, g as in the tree; n, x, h, a name; d, where folders are.
 */
struct act {
    const char *what, *touches;
};

static const struct act programs[][STEPS] = {
    {{"edit|/f|#", "f"}, {"edit|/a/g|#", "g"}, {"edit|/f|#", "f"}},
    {{"mv|/a|/b/a", "ad"}, {"create|/b/a/n|#", "an"}, {"mv|/b/a|/x", "adx"}},
    {{"mv|/b|/a/b", "bd"}, {"rm|/a/g", "g"}, {"mv|/a/b|/b", "bd"}},
    {{"rm|/a/g", "g"}, {"rm|/a", "ad"}, {"rm|/f", "f"}},
    {{"create|/x|#", "x"}, {"mv|/x|/f", "xf"}, {"mv|/f|/a/g", "fg"}},
    {{"ln|/f|/h", "fh"}, {"rm|/f", "f"}, {"edit|/h|#", "fh"}},
    {{"rm|/f", "f"}, {"mkdir|/f", "f"}, {"create|/f/n|#", "fn"}},
};

/* An interleaving so far. A choice is a device and, in its lowest bit, whether it takes first. */
struct walk {
    size_t program[DEVICES];
    int choice[ALL_STEPS], depth;
    bool started;
};

static bool is_independent(const struct act *a, const struct act *b)
{
    return strpbrk(a->touches, b->touches) == NULL;
}

/* A device that runs the same program as one that has not begun goes after it. */
static bool is_in_turn(const struct walk *w, int device, const int done[DEVICES])
{
    for (int i = 0; i < device && done[device] == 0; i++)
        if (done[i] == 0 && w->program[i] == w->program[device])
            return false;
    return true;
}

/* Whether the last choice is possible, and no other interleaving stands for this one. */
static bool is_allowed(const struct walk *w)
{
    int done[DEVICES] = {0}, last = w->depth - 1;
    bool news[DEVICES] = {false};
    for (int k = 0; k < last; k++) {
        int i = w->choice[k] / 2;
        done[i]++;
        for (int j = 0; j < DEVICES; j++)
            news[j] = news[j] ? j != i || w->choice[k] % 2 == 0 : j != i;
    }
    int i = w->choice[last] / 2;
    bool takes = w->choice[last] % 2 == 1;
    if (done[i] == STEPS || !is_in_turn(w, i, done))
        return false;
    if (takes && (!news[i] || (done[i] != STEPS - 1 && !is_long())))
        return false;
    if (last == 0 || takes || w->choice[last - 1] % 2 == 1 || w->choice[last - 1] / 2 <= i)
        return true;
    int j = w->choice[last - 1] / 2;
    return !is_independent(&programs[w->program[i]][done[i]],
                           &programs[w->program[j]][done[j] - 1]);
}

/* The next choice of programs, in ascending order. */
static bool next_programs(struct walk *w)
{
    size_t apart = is_long() ? 0 : 1, n = is_long() ? ARRAY_N(programs) : PROGRAMS_SHORT;
    for (int i = DEVICES; i-- > 0;) {
        w->program[i]++;
        for (int k = i + 1; k < DEVICES; k++)
            w->program[k] = w->program[k - 1] + apart;
        if (w->program[DEVICES - 1] < n)
            return true;
    }
    return false;
}

static bool next_walk(struct walk *w)
{
    for (int i = 1; i < DEVICES && !w->started; i++)
        w->program[i] = is_long() ? 0 : (size_t)i;
    int choice = w->started ? w->choice[--w->depth] + 1 : 0;
    w->started = true;
    for (;;) {
        if (choice < DEVICES * 2) {
            w->choice[w->depth++] = choice;
            if (!is_allowed(w)) {
                choice = w->choice[--w->depth] + 1;
                continue;
            }
            if (w->depth == ALL_STEPS)
                return true;
            choice = 0;
        } else if (w->depth > 0) {
            choice = w->choice[--w->depth] + 1;
        } else if (next_programs(w)) {
            choice = 0;
        } else {
            return false;
        }
    }
}

static bool next_interleaving(void *ctx, struct buf *ret)
{
    struct walk *w = ctx;
    struct script s;
    int done[DEVICES] = {0};
    if (!next_walk(w))
        return false;
    begin(&s, ret);
    for (int k = 0; k < ALL_STEPS; k++) {
        int i = w->choice[k] / 2;
        for (int j = 0; j < DEVICES; j++)
            meet(&s, w->choice[k] % 2 == 1 && j != i, i, j);
        case_act(&s, i, programs[w->program[i]][done[i]++].what);
    }
    return true;
}

static void every_interleaving_of_three_operations_each(void **state)
{
    (void)state;
    run_all(next_interleaving, &(struct walk){.started = false});
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_exchange_of_one_operation_each),
        cmocka_unit_test(every_interleaving_of_three_operations_each),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
