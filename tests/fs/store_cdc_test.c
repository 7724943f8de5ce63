#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fs/store/cdc.h"
#include "tests/support/content_fixture.h"

enum { BYTES = 32 << 20 };

static uint8_t *data;
static struct cdc cdc;

static int setup(void **state)
{
    (void)state;
    static const uint8_t seed[CDC_SEED_BYTES] = {7};
    struct content_random r = {1};
    data = malloc(BYTES);
    if (data == NULL)
        return -1;
    content_random_fill(&r, data, BYTES);
    cdc_init(&cdc, seed);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(data);
    return 0;
}

static void cut_random_bytes_sizes_gather_around_mean(void **state)
{
    (void)state;
    size_t n = 0, near = 0;
    for (size_t off = 0; off < BYTES; n++) {
        size_t len = cdc_cut(&cdc, data + off, BYTES - off);
        assert_in_range(len, 1, CDC_MAX);
        assert_true(len > CDC_MIN || off + len == BYTES);
        near += len >= CDC_MEAN / 2 && len <= CDC_MEAN * 2;
        off += len;
    }
    assert_in_range(BYTES / n, CDC_MEAN * 9 / 10, CDC_MEAN * 11 / 10);
    assert_true(near * 10 > n * 8);
}

static void cut_depends_on_nothing_behind_it(void **state)
{
    (void)state;
    for (size_t off = 0; off + 2 * CDC_MAX < BYTES; off += 1 << 20) {
        size_t len = cdc_cut(&cdc, data + off, BYTES - off);
        assert_int_equal(cdc_cut(&cdc, data + off, CDC_MAX), len);
        if (len < CDC_MAX)
            assert_int_equal(cdc_cut(&cdc, data + off, len), len);
    }
}

static void cut_short_content_is_one_chunk(void **state)
{
    (void)state;
    for (size_t n = 1; n <= CDC_MIN; n += 1023)
        assert_int_equal(cdc_cut(&cdc, data, n), n);
}

/* A byte put in front moves all cuts but the first few by one. */
static void cut_after_insertion_finds_old_cuts(void **state)
{
    (void)state;
    size_t same = 0, total = 0, old = 0, new = 1;
    while (old < BYTES && new < BYTES) {
        if (old == new) {
            same++;
            total++;
            old += cdc_cut(&cdc, data + old, BYTES - old);
            new = old;
        } else if (old < new) {
            old += cdc_cut(&cdc, data + old, BYTES - old);
            total++;
        } else {
            new += cdc_cut(&cdc, data + new, BYTES - new);
        }
    }
    assert_true(total - same < 12);
}

static void cut_other_seed_cuts_elsewhere(void **state)
{
    (void)state;
    static const uint8_t seed[CDC_SEED_BYTES] = {8};
    struct cdc other;
    cdc_init(&other, seed);
    size_t a = 0, b = 0, same = 0;
    for (int i = 0; i < 100; i++) {
        a += cdc_cut(&cdc, data + a, BYTES - a);
        b += cdc_cut(&other, data + b, BYTES - b);
        same += a == b;
    }
    assert_true(same < 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_random_bytes_sizes_gather_around_mean),
        cmocka_unit_test(cut_depends_on_nothing_behind_it),
        cmocka_unit_test(cut_short_content_is_one_chunk),
        cmocka_unit_test(cut_after_insertion_finds_old_cuts),
        cmocka_unit_test(cut_other_seed_cuts_elsewhere),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
