/* What two devices give each other: it comes out as it went in, and nothing else does. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sync/pair/pair.h"
#include "sync/pair/payload.h"

enum { LABEL_MAX = PAIR_LABEL_SIZE - 1, GRANT = 700 };

/* One of the longest label, or of the shortest. */
static struct pair_joiner joiner(size_t label)
{
    struct pair_joiner j = {.label = ""};
    for (size_t i = 0; i < sizeof j.member; i++)
        j.member[i] = (uint8_t)(i * 7);
    memset(j.label, 'x', label);
    return j;
}

static struct pair_inviter inviter(size_t label, size_t n)
{
    static uint8_t grants[PAIR_SPACES_MAX][GRANT];
    struct pair_inviter v = {.grants_n = n};
    memset(v.label, 'y', label);
    for (size_t i = 0; i < n; i++) {
        memset(grants[i], (int)i + 1, GRANT);
        v.grants[i] = bytes_of(grants[i], GRANT - i);
    }
    return v;
}

static void a_device_that_joins_comes_out_as_it_went_in(void **state)
{
    (void)state;
    static const size_t labels[] = {1, LABEL_MAX - 1, LABEL_MAX};
    for (size_t i = 0; i < ARRAY_N(labels); i++) {
        struct pair_joiner j = joiner(labels[i]), got;
        struct buf b CLEANUP(buf_fini) = {0};
        pair_joiner_put(&j, &b);
        assert_int_equal(b.n, ACT_MEMBER_SIZE + 1 + labels[i]);
        assert_int_equal(pair_joiner_get(buf_bytes(&b), &got), 0);
        assert_memory_equal(got.member, j.member, sizeof j.member);
        assert_string_equal(got.label, j.label);
    }
}

static void a_device_that_invites_comes_out_as_it_went_in(void **state)
{
    (void)state;
    static const size_t numbers[] = {1, 2, PAIR_SPACES_MAX};
    for (size_t i = 0; i < ARRAY_N(numbers); i++) {
        struct pair_inviter v = inviter(LABEL_MAX, numbers[i]), got;
        struct buf b CLEANUP(buf_fini) = {0};
        pair_inviter_put(&v, &b);
        assert_true(b.n <= PAIR_PAYLOAD_MAX);
        assert_int_equal(pair_inviter_get(buf_bytes(&b), &got), 0);
        assert_string_equal(got.label, v.label);
        assert_int_equal(got.grants_n, v.grants_n);
        for (size_t k = 0; k < v.grants_n; k++) {
            assert_true(bytes_equal(got.grants[k], v.grants[k]));
            assert_true(got.grants[k].p > b.p && got.grants[k].p < b.p + b.n); /* borrowed */
        }
    }
}

/* Each beginning, and one byte more; each in memory of its own, so that what reads beyond shows. */
static void what_is_cut_or_longer_is_refused(void **state)
{
    (void)state;
    struct pair_joiner j = joiner(5);
    struct pair_inviter v = inviter(5, 2);
    for (int joins = 0; joins < 2; joins++) {
        struct buf b CLEANUP(buf_fini) = {0};
        if (joins != 0)
            pair_joiner_put(&j, &b);
        else
            pair_inviter_put(&v, &b);
        size_t whole = b.n;
        buf_put_u8(&b, 0);
        for (size_t n = 0; n <= whole + 1; n++) {
            uint8_t *copy = malloc(n > 0 ? n : 1);
            assert_non_null(copy);
            memcpy(copy, b.p, n);
            int rc = joins != 0 ? pair_joiner_get(bytes_of(copy, n), &j)
                                : pair_inviter_get(bytes_of(copy, n), &v);
            assert_int_equal(rc, n == whole ? 0 : -EBADMSG);
            free(copy);
        }
    }
}

static void put_inviter(struct buf *b, const char *label, uint8_t label_n, uint8_t count)
{
    buf_reset(b);
    buf_put_u8(b, label_n);
    buf_put(b, label, label_n);
    buf_put_u8(b, count);
    for (uint8_t i = 0; i < count; i++) {
        buf_put_u32(b, 1);
        buf_put_u8(b, i);
    }
}

static void at_least_one_grant_and_at_most_so_many(void **state)
{
    (void)state;
    struct buf b CLEANUP(buf_fini) = {0};
    for (unsigned n = 0; n <= UINT8_MAX; n++) {
        struct pair_inviter got;
        put_inviter(&b, "desk", 4, (uint8_t)n);
        assert_int_equal(pair_inviter_get(buf_bytes(&b), &got),
                         n >= 1 && n <= PAIR_SPACES_MAX ? 0 : -EBADMSG);
    }
}

static void a_label_is_plain_text(void **state)
{
    (void)state;
    static const struct {
        const char *label;
        size_t n;
        bool good;
    } all[] = {{"desk", 4, true},
               {"the d\xc3\xa4sk", 9, true},
               {"", 0, false},
               {"de\x1b[2Jsk", 8, false},
               {"de\nsk", 5, false},
               {"de\0sk", 5, false},
               {"de\x7fsk", 5, false},
               {"de/sk", 5, false},
               {"de\xffsk", 5, false},
               {"de\xe2\x80\xaesk", 7, false}}; /* turns the direction of what follows */
    for (size_t i = 0; i < ARRAY_N(all); i++) {
        struct buf b CLEANUP(buf_fini) = {0}, m CLEANUP(buf_fini) = {0};
        struct pair_inviter v;
        struct pair_joiner j = joiner(1);
        put_inviter(&b, all[i].label, (uint8_t)all[i].n, 1);
        assert_int_equal(pair_inviter_get(buf_bytes(&b), &v), all[i].good ? 0 : -EBADMSG);
        buf_put(&m, j.member, sizeof j.member);
        buf_put_u8(&m, (uint8_t)all[i].n);
        buf_put(&m, all[i].label, all[i].n);
        assert_int_equal(pair_joiner_get(buf_bytes(&m), &j), all[i].good ? 0 : -EBADMSG);
    }
}

static void lengths_are_held_against_what_is_there(void **state)
{
    (void)state;
    static const uint32_t lengths[] = {2, 0x7fffffff, 0xfffffffe, 0xffffffff};
    char text[UINT8_MAX];
    struct buf b CLEANUP(buf_fini) = {0};
    struct pair_inviter v;
    memset(text, 'z', sizeof text);
    for (unsigned n = 1; n <= UINT8_MAX; n++) {
        put_inviter(&b, text, (uint8_t)n, 1);
        assert_int_equal(pair_inviter_get(buf_bytes(&b), &v), n <= LABEL_MAX ? 0 : -EBADMSG);
    }
    for (size_t i = 0; i < ARRAY_N(lengths); i++) {
        put_inviter(&b, "desk", 4, 1);
        b.n -= 5;
        buf_put_u32(&b, lengths[i]);
        buf_put_u8(&b, 0);
        assert_int_equal(pair_inviter_get(buf_bytes(&b), &v), -EBADMSG);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_device_that_joins_comes_out_as_it_went_in),
        cmocka_unit_test(a_device_that_invites_comes_out_as_it_went_in),
        cmocka_unit_test(what_is_cut_or_longer_is_refused),
        cmocka_unit_test(at_least_one_grant_and_at_most_so_many),
        cmocka_unit_test(a_label_is_plain_text),
        cmocka_unit_test(lengths_are_held_against_what_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
