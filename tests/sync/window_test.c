/*
 * sync/engine/window: a line with a rate, a way and a queue in front of it, in steps of a
 * millisecond. As much is sent as the window says; each piece is answered when it is through.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include <cmocka.h>

#include "proto/base/base.h"
#include "sync/engine/window.h"

enum {
    PIECE = 64 << 10,
    PIECE_MIN = 16 << 10,
    PIECE_MAX = 256 << 10,
    PIECES_MAX = WINDOW_MAX / PIECE_MIN + 1,
    RUN_MS = 20000,
};

struct line {
    size_t rate;     /* bytes in a ms */
    uint64_t way_ms; /* there and back */
    uint64_t jitter_ms;
    bool mixed; /* pieces are of all lengths, else all of one */
};

/* The pieces that are under way, in their order. */
struct way {
    uint64_t sent_ms[PIECES_MAX], answer_ms[PIECES_MAX];
    size_t bytes[PIECES_MAX];
    size_t at, n, sum;
    uint32_t chance;
};

static size_t chance(struct way *y, size_t max)
{
    y->chance = y->chance * 1664525 + 1013904223;
    return (y->chance >> 8) % max;
}

/* Most are short, as chunks are. */
static size_t piece(const struct line *l, struct way *y)
{
    size_t most = chance(y, 4) == 0 ? PIECE_MAX : PIECE;
    return l->mixed ? PIECE_MIN + chance(y, most - PIECE_MIN) : PIECE;
}

static void send_some(const struct line *l, const struct window *w, struct way *y, uint64_t now_ms,
                      uint64_t *free_ms)
{
    while (y->sum < w->bytes) {
        size_t i = (y->at + y->n++) % PIECES_MAX;
        y->bytes[i] = piece(l, y);
        y->sum += y->bytes[i];
        *free_ms = max_u64(*free_ms, now_ms * 1000) + (uint64_t)y->bytes[i] * 1000 / l->rate;
        y->sent_ms[i] = now_ms;
        y->answer_ms[i] = *free_ms / 1000 + l->way_ms;
        if (l->jitter_ms > 0)
            y->answer_ms[i] += chance(y, l->jitter_ms);
    }
}

/* Returns how many bytes came in the second half; *@ret_queue_ms: the longest queue in it. */
static uint64_t run(const struct line *l, struct window *w, uint64_t from_ms,
                    uint64_t *ret_queue_ms)
{
    struct way y = {.n = 0};
    uint64_t came = 0, free_ms = 0;
    *ret_queue_ms = 0;
    for (uint64_t now = from_ms; now < from_ms + RUN_MS; now++) {
        while (y.n > 0 && y.answer_ms[y.at] <= now) {
            size_t bytes = y.bytes[y.at];
            window_answered(w, bytes, now - y.sent_ms[y.at], now);
            y.at = (y.at + 1) % PIECES_MAX;
            y.n--;
            y.sum -= bytes;
            came += now >= from_ms + RUN_MS / 2 ? bytes : 0;
        }
        send_some(l, w, &y, now, &free_ms);
        if (now >= from_ms + RUN_MS / 2 && free_ms > now * 1000)
            *ret_queue_ms = max_u64(*ret_queue_ms, free_ms / 1000 - now);
    }
    return came;
}

static uint64_t full(const struct line *l)
{
    return (uint64_t)l->rate * RUN_MS / 2;
}

static void a_near_line_is_full_and_has_a_short_queue(void **state)
{
    (void)state;
    const struct line l = {.rate = 50000, .way_ms = 1};
    struct window w;
    uint64_t queue_ms;
    window_init(&w);
    assert_true(run(&l, &w, 1, &queue_ms) >= full(&l) * 95 / 100);
    assert_true(queue_ms <= 15);
}

static void a_far_line_that_is_fast_gets_all_that_may_be(void **state)
{
    (void)state;
    const struct line l = {.rate = 100000, .way_ms = 50, .jitter_ms = 3};
    struct window w;
    uint64_t queue_ms;
    window_init(&w);
    assert_true(run(&l, &w, 1, &queue_ms) >= (uint64_t)WINDOW_MAX * (RUN_MS / 2) / 80);
    assert_int_equal(w.bytes, WINDOW_MAX);
}

static void a_far_line_of_medium_rate_is_full(void **state)
{
    (void)state;
    const struct line l = {.rate = 12500, .way_ms = 60};
    struct window w;
    uint64_t queue_ms;
    window_init(&w);
    assert_true(run(&l, &w, 1, &queue_ms) >= full(&l) * 90 / 100);
    assert_true(queue_ms <= 60);
}

/* A long piece takes 20 ms by itself. */
static void a_far_line_is_full_of_pieces_of_all_lengths(void **state)
{
    (void)state;
    const struct line l = {.rate = 12500, .way_ms = 100, .mixed = true};
    struct window w;
    uint64_t queue_ms;
    window_init(&w);
    assert_true(run(&l, &w, 1, &queue_ms) >= full(&l) * 90 / 100);
    assert_true(queue_ms <= 60);
}

static void a_line_whose_answers_are_late_by_chance_is_full(void **state)
{
    (void)state;
    const struct line l = {.rate = 12500, .way_ms = 100, .jitter_ms = 15};
    struct window w;
    uint64_t queue_ms;
    window_init(&w);
    assert_true(run(&l, &w, 1, &queue_ms) >= full(&l) * 85 / 100);
    assert_true(queue_ms <= 60);
}

static void a_slow_line_has_the_least_and_is_full(void **state)
{
    (void)state;
    const struct line l = {.rate = 1000, .way_ms = 40};
    struct window w;
    uint64_t queue_ms;
    window_init(&w);
    assert_true(run(&l, &w, 1, &queue_ms) >= full(&l) * 95 / 100);
    assert_int_equal(w.bytes, WINDOW_MIN);
}

static void a_way_that_becomes_longer_or_shorter_is_learnt(void **state)
{
    (void)state;
    struct line l = {.rate = 100000, .way_ms = 1};
    struct window w;
    uint64_t queue_ms, now = 1;
    window_init(&w);
    run(&l, &w, now, &queue_ms);
    l.way_ms = 40;
    for (int i = 0; i < 5; i++)
        run(&l, &w, now += RUN_MS, &queue_ms);
    assert_int_equal(w.bytes, WINDOW_MAX);
    l.way_ms = 1;
    run(&l, &w, now += RUN_MS, &queue_ms);
    assert_true(queue_ms <= 15);
}

/* Whatever the clock says. */
static void it_stays_within_its_bounds(void **state)
{
    (void)state;
    static const uint64_t took[] = {0, 1, UINT64_MAX, 5, UINT64_MAX / 2, 0};
    struct window w;
    window_init(&w);
    for (size_t i = 0; i < 1000; i++) {
        window_answered(&w, i % 3 == 0 ? SIZE_MAX / 2 : i, took[i % ARRAY_N(took)], i * i * 977);
        assert_in_range(w.bytes, WINDOW_MIN, WINDOW_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_near_line_is_full_and_has_a_short_queue),
        cmocka_unit_test(a_far_line_that_is_fast_gets_all_that_may_be),
        cmocka_unit_test(a_far_line_of_medium_rate_is_full),
        cmocka_unit_test(a_far_line_is_full_of_pieces_of_all_lengths),
        cmocka_unit_test(a_line_whose_answers_are_late_by_chance_is_full),
        cmocka_unit_test(a_slow_line_has_the_least_and_is_full),
        cmocka_unit_test(a_way_that_becomes_longer_or_shorter_is_learnt),
        cmocka_unit_test(it_stays_within_its_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
