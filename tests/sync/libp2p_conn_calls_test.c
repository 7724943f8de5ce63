/* Connections to peers whose callbacks end streams, open others and write, in the middle of it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/support/sides.h"

/* ---- one thing ---- */

enum { GOAL = 3 << 20 };

static enum sides_call resets_in;
static size_t resets; /* which end is reset there; SIDES_ENDS: it was */

static bool reset_one(struct sides_end *e, enum sides_call call)
{
    if (call != resets_in || resets == SIDES_ENDS)
        return true;
    struct sides_end *other = &sides.ends[resets];
    resets = SIDES_ENDS;
    if (other->s != NULL && (other != e || call != SIDES_OPENED))
        conn_reset(TAKE_PTR(other->s));
    return true;
}

/* Two streams send both ways; in the first call of each kind one of their ends is reset. */
static void an_end_may_be_reset_in_each_callback(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4 * (SIDES_CLOSED + 1); i++) {
        sides.ends_n = 0;
        sides_connect();
        for (unsigned j = 0; j < 2; j++)
            (void)sides_open(&sides.a, SIDES_ECHO);
        resets_in = (enum sides_call)(i / 4);
        resets = i % 4;
        if (resets_in != SIDES_OPENED)
            sides_settle();
        sides.act = reset_one;
        for (size_t j = 0; j < sides.ends_n; j++) {
            sides.ends[j].goal = GOAL;
            sides.ends[j].ends = true;
            sides_pump(&sides.ends[j]);
        }
        sides_settle();
        sides.act = NULL;
        assert_int_equal(resets, SIDES_ENDS);
        assert_false(sides.a.failed || sides.b.failed);
        struct sides_end *e = sides_open(&sides.b, SIDES_ECHO);
        e->goal = GOAL;
        e->ends = true;
        sides_pump(e);
        sides_settle();
        assert_int_equal(sides.ends[sides.ends_n - 1].got, GOAL);
        sides_end(&sides.a);
        sides_end(&sides.b);
        for (size_t j = 0; j < sides.ends_n; j++)
            assert_true(sides.ends[j].s == NULL && sides.ends[j].closed <= 1);
    }
}

static struct conn *ending;
static unsigned tried;

static bool open_another(struct sides_end *e, enum sides_call call)
{
    struct conn_stream *s;
    (void)e;
    tried += call == SIDES_CLOSED;
    if (call == SIDES_CLOSED)
        assert_int_equal(conn_open(ending, SIDES_ECHO, &sides_handler, NULL, &s), -ENOTCONN);
    return true;
}

static void nothing_is_opened_on_a_connection_that_ends(void **state)
{
    (void)state;
    sides_connect();
    for (int i = 0; i < 3; i++)
        (void)sides_open(&sides.a, SIDES_ECHO);
    sides_settle();
    sides.act = open_another;
    ending = sides.a.c;
    tried = 0;
    conn_free(TAKE_PTR(sides.a.c));
    sides.act = NULL;
    assert_int_equal(tried, 3);
}

/* ---- anything ---- */

static void act_mad(struct sides_end *e, bool may_reset)
{
    struct sides_end *other = &sides.ends[crash_below(&sides.rnd, sides.ends_n)];
    struct side *x = crash_chance(&sides.rnd, 50) ? &sides.a : &sides.b;
    struct conn_stream *s;
    switch (crash_below(&sides.rnd, 12)) {
    case 0:
        if (may_reset && e->s != NULL)
            conn_reset(TAKE_PTR(e->s));
        return;
    case 1:
        if (other->s != NULL && (other != e || may_reset))
            conn_reset(TAKE_PTR(other->s));
        return;
    case 2:
        if (e->s != NULL)
            conn_finish(e->s);
        return;
    case 3:
    case 4:
    case 5:
        if (x->c != NULL && sides.ends_n < SIDES_ENDS - 300 &&
            conn_open(x->c, sides_protocols[crash_below(&sides.rnd, SIDES_PROTOCOLS)].id,
                      &sides_handler, &sides.ends[sides.ends_n], &s) == 0)
            (void)sides_new_end(s);
        return;
    case 6:
    case 7:
        if (other->s != NULL && conn_write(other->s, bytes_str("some, and more")) < 0)
            return;
        return;
    default:
        return;
    }
}

static bool go_mad(struct sides_end *e, enum sides_call call)
{
    if (call == SIDES_OPENED && crash_chance(&sides.rnd, 10)) {
        e->s = NULL;
        return false;
    }
    act_mad(e, call != SIDES_OPENED);
    return true;
}

static void callbacks_may_do_what_they_like(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < crash_share(40) + 1; i++) {
        sides.ends_n = 0;
        sides.a.failed = sides.b.failed = false;
        sides_connect();
        sides.act = go_mad;
        (void)sides_open(&sides.a, SIDES_ECHO);
        for (int j = 0; j < 4000; j++) {
            (void)sides_step();
            act_mad(&sides.ends[crash_below(&sides.rnd, sides.ends_n)], true);
            sides.now += crash_below(&sides.rnd, 30);
            if (j % 50 == 0) {
                assert_int_equal(conn_tick(sides.a.c, sides.now), 0);
                assert_int_equal(conn_tick(sides.b.c, sides.now), 0);
            }
        }
        assert_false(sides.a.failed || sides.b.failed);
        assert_true(sides.ends_n > 50);
        sides_end(&sides.a);
        sides_end(&sides.b);
        sides.act = NULL;
        for (size_t j = 0; j < sides.ends_n; j++)
            assert_true(sides.ends[j].s == NULL);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, sides_setup, sides_teardown)
    const struct CMUnitTest tests[] = {
        TEST(an_end_may_be_reset_in_each_callback),
        TEST(nothing_is_opened_on_a_connection_that_ends),
        TEST(callbacks_may_do_what_they_like),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
