/* The diff says what was done, in the fewest steps, at the last of equal places, and has an end. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fs/merge/diff.h"
#include "fs/merge/unite.h"
#include "tests/support/crash_rand.h"

enum { LINES_MAX = 60 };

struct list {
    uint32_t p[LINES_MAX];
    size_t n;
};

static struct lines lines_of(const struct list *l)
{
    return (struct lines){l->p, l->n};
}

static void random_list(struct crash_rand *r, uint64_t alphabet, struct list *ret)
{
    ret->n = crash_below(r, LINES_MAX + 1);
    for (size_t i = 0; i < ret->n; i++)
        ret->p[i] = (uint32_t)crash_below(r, alphabet);
}

/* A few edits of a list, as those of a file are. */
static void edit_list(struct crash_rand *r, uint64_t alphabet, const struct list *from,
                      struct list *ret)
{
    ret->n = 0;
    for (size_t i = 0; i < from->n && ret->n + 2 < LINES_MAX; i++) {
        if (crash_chance(r, 10))
            ret->p[ret->n++] = (uint32_t)crash_below(r, alphabet);
        if (!crash_chance(r, 10))
            ret->p[ret->n++] = from->p[i];
    }
}

/* By the table of all beginnings. */
static size_t distance(struct lines a, struct lines b)
{
    static size_t t[LINES_MAX + 1][LINES_MAX + 1];
    for (size_t i = 0; i <= a.n; i++)
        for (size_t k = 0; k <= b.n; k++) {
            if (i == 0 || k == 0)
                t[i][k] = i + k;
            else if (a.p[i - 1] == b.p[k - 1])
                t[i][k] = t[i - 1][k - 1];
            else
                t[i][k] = 1 + (t[i - 1][k] < t[i][k - 1] ? t[i - 1][k] : t[i][k - 1]);
        }
    return t[a.n][b.n];
}

static size_t check_hunks(struct lines a, struct lines b)
{
    struct buf buf = {0};
    assert_int_equal(diff_lines(a, b, &buf), 0);
    const struct diff_hunk *h = (const void *)buf.p;
    size_t n = buf.n / sizeof *h, x = 0, y = 0, steps = 0;
    for (size_t i = 0; i < n; i++) {
        assert_true(h[i].an + h[i].bn > 0);
        assert_true(i == 0 || h[i].a > x);
        assert_int_equal(h[i].a - x, h[i].b - y);
        for (; x < h[i].a; x++, y++)
            assert_int_equal(a.p[x], b.p[y]);
        x += h[i].an;
        y += h[i].bn;
        steps += h[i].an + h[i].bn;
        if (h[i].an == 0 && x < (i + 1 < n ? h[i + 1].a : a.n)) /* it is as far down as can be */
            assert_int_not_equal(b.p[h[i].b], b.p[y]);
        if (h[i].bn == 0 && y < (i + 1 < n ? h[i + 1].b : b.n))
            assert_int_not_equal(a.p[h[i].a], a.p[x]);
    }
    assert_int_equal(a.n - x, b.n - y);
    for (; x < a.n; x++, y++)
        assert_int_equal(a.p[x], b.p[y]);
    buf_fini(&buf);
    return steps;
}

static void diff_random_lists_fewest_steps(void **state)
{
    (void)state;
    struct crash_rand r = {crash_seed("diff")};
    for (int i = 0; i < 20000; i++) {
        static struct list a, b;
        uint64_t alphabet = 1 + crash_below(&r, 12);
        random_list(&r, alphabet, &a);
        if (crash_chance(&r, 50))
            random_list(&r, alphabet, &b);
        else
            edit_list(&r, alphabet, &a, &b);
        assert_int_equal(check_hunks(lines_of(&a), lines_of(&b)),
                         distance(lines_of(&a), lines_of(&b)));
    }
}

static int diff_numbers(size_t an, size_t bn, uint32_t b_from)
{
    uint32_t *a = calloc(an + 2, sizeof *a), *b = calloc(bn + 2, sizeof *b);
    struct buf buf = {0};
    assert_true(a != NULL && b != NULL);
    for (size_t i = 0; i < an; i++)
        a[i] = (uint32_t)i;
    for (size_t i = 0; i < bn; i++)
        b[i] = b_from + (uint32_t)i;
    int rc = diff_lines((struct lines){a, an}, (struct lines){b, bn}, &buf);
    assert_true(rc == 0 || buf.n == 0);
    free(a);
    free(b);
    buf_fini(&buf);
    return rc;
}

static void diff_too_far_apart_e2big(void **state)
{
    (void)state;
    const uint32_t other = 1000000;
    assert_int_equal(diff_numbers(DIFF_DISTANCE_MAX / 2, DIFF_DISTANCE_MAX / 2, other), 0);
    assert_int_equal(diff_numbers(DIFF_DISTANCE_MAX / 2 + 1, DIFF_DISTANCE_MAX / 2, other), -E2BIG);
    assert_int_equal(diff_numbers(100000, 100000, other), -E2BIG);
    /* One insertion, however long, needs no search. */
    assert_int_equal(diff_numbers(10, 100000, 0), 0);
}

static void count(const uint32_t *p, size_t n, size_t ret[static 16])
{
    for (size_t i = 0; i < n; i++)
        ret[p[i]]++;
}

static void unite_random_lists_as_often_as_in_either(void **state)
{
    (void)state;
    struct crash_rand r = {crash_seed("unite")};
    for (int i = 0; i < 5000; i++) {
        static struct list a, b, all, swapped;
        size_t in_a[16] = {0}, in_b[16] = {0}, in_all[16] = {0};
        struct buf ab = {0}, ba = {0};
        random_list(&r, 12, &a);
        edit_list(&r, 12, &a, &b);
        a.n /= 2;
        b.n /= 2;
        assert_int_equal(unite_lines(lines_of(&a), lines_of(&b), &ab), 0);
        assert_int_equal(unite_lines(lines_of(&b), lines_of(&a), &ba), 0);
        assert_int_equal(ab.n, ba.n);
        const struct united *u = (const void *)ab.p, *v = (const void *)ba.p;
        all.n = swapped.n = ab.n / sizeof *u;
        for (size_t k = 0; k < all.n; k++) {
            all.p[k] = u[k].a != UNITED_NONE ? a.p[u[k].a] : b.p[u[k].b];
            swapped.p[k] = v[k].a != UNITED_NONE ? b.p[v[k].a] : a.p[v[k].b];
            assert_true(u[k].a == UNITED_NONE || u[k].b == UNITED_NONE ||
                        a.p[u[k].a] == b.p[u[k].b]);
        }
        assert_memory_equal(all.p, swapped.p, all.n * sizeof *all.p);
        count(a.p, a.n, in_a);
        count(b.p, b.n, in_b);
        count(all.p, all.n, in_all);
        for (size_t k = 0; k < ARRAY_N(in_all); k++)
            assert_int_equal(in_all[k], in_a[k] > in_b[k] ? in_a[k] : in_b[k]);
        buf_fini(&ab);
        buf_fini(&ba);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(diff_random_lists_fewest_steps),
        cmocka_unit_test(diff_too_far_apart_e2big),
        cmocka_unit_test(unite_random_lists_as_often_as_in_either),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
