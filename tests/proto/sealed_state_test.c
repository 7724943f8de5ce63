/* STATEs: one encoding each, and a digest that depends on every part of every value, not on order.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>

#include "proto/sealed/state.h"

static uint8_t elements[(LIMIT_VECTOR + 1) * DOT_SIZE], ids[2 * ACT_ID_SIZE];

static struct state a_state(size_t n)
{
    for (size_t i = 0; i <= LIMIT_VECTOR; i++)
        dot_encode(&(struct dot){i, LIMIT_COUNTER}, elements + i * DOT_SIZE);
    ids[ACT_ID_SIZE] = 1;
    return (struct state){
        .known = {elements, n}, .heads = {ids, 2}, .digest = {{1, 2}}, .time_ms = UINT64_MAX};
}

static void state_round_trips(void **state)
{
    (void)state;
    const size_t sizes[] = {0, 1, LIMIT_VECTOR};
    for (size_t i = 0; i < ARRAY_N(sizes); i++) {
        struct state s = a_state(sizes[i]), out;
        struct buf a = {0}, b = {0};
        state_encode(&s, &a);
        assert_int_equal(state_decode(buf_bytes(&a), &out), 0);
        assert_true(dots_equal(out.known, s.known) && out.time_ms == s.time_ms);
        state_encode(&out, &b);
        assert_true(bytes_equal(buf_bytes(&a), buf_bytes(&b)));
        for (size_t n = 0; n < a.n; n += 1 + a.n / 300)
            assert_int_equal(state_decode(bytes_of(a.p, n), &out), -EBADMSG);
        buf_put_u8(&a, 0);
        assert_int_equal(state_decode(buf_bytes(&a), &out), -EBADMSG);
        buf_fini(&a);
        buf_fini(&b);
    }
}

static void what_concerns_a_comparison_round_trips(void **state)
{
    (void)state;
    uint8_t dots[2 * DOT_SIZE];
    struct state s = a_state(3), out;
    struct buf a = {0}, b = {0};
    dot_encode(&(struct dot){1, 5}, dots);
    dot_encode(&(struct dot){1, 7}, dots + DOT_SIZE);
    s.more = (struct state_more){.floor = {dots, 1},
                                 .asks = 4,
                                 .after = 9,
                                 .missing = {dots, 2},
                                 .list_number = 8,
                                 .list = bytes_str("body")};
    state_encode(&s, &a);
    assert_int_equal(state_decode(buf_bytes(&a), &out), 0);
    state_encode(&out, &b);
    assert_true(bytes_equal(buf_bytes(&a), buf_bytes(&b)));
    assert_true(out.more.asks == 4 && out.more.missing.n == 2 && out.more.list.n == 4);
    /* A floor beyond what is known. */
    dot_encode(&(struct dot){9, 5}, dots);
    s.more.missing.n = 0;
    buf_reset(&a);
    state_encode(&s, &a);
    assert_int_equal(state_decode(buf_bytes(&a), &out), -EBADMSG);
    buf_fini(&a);
    buf_fini(&b);
}

static void vector_beyond_its_limits_is_refused(void **state)
{
    (void)state;
    struct state s = a_state(LIMIT_VECTOR + 1), out;
    struct buf b = {0};
    state_encode(&s, &b);
    assert_int_equal(state_decode(buf_bytes(&b), &out), -EBADMSG);
    const uint64_t counters[] = {0, LIMIT_COUNTER + 1, UINT64_MAX};
    for (size_t i = 0; i < ARRAY_N(counters); i++) {
        s = a_state(2);
        dot_encode(&(struct dot){0, counters[i]}, elements);
        buf_reset(&b);
        state_encode(&s, &b);
        assert_int_equal(state_decode(buf_bytes(&b), &out), -EBADMSG);
    }
    const uint64_t lengths[] = {UINT32_MAX, UINT64_MAX};
    for (size_t i = 0; i < ARRAY_N(lengths); i++) {
        buf_reset(&b);
        buf_put_varint(&b, lengths[i]);
        (void)!buf_resize(&b, 4096);
        assert_int_equal(state_decode(buf_bytes(&b), &out), -EBADMSG);
    }
    buf_fini(&b);
}

static struct value a_value(unsigned n)
{
    return (struct value){
        .rid = {{(uint8_t)n, 7}}, .facet = FACET_PLACE, .slot = {2, 1}, .dot = {3, n + 1}};
}

static void digest_of(const struct space_keys *k, const struct value *v, const uint8_t *head_hash,
                      struct state_digest *ret)
{
    *ret = (struct state_digest){{0}};
    state_digest_toggle(ret, k, v, head_hash);
}

static void digest_is_that_of_the_set(void **state)
{
    (void)state;
    struct space_keys k;
    assert_int_equal(space_keys_init(&k, elements), 0);
    const uint8_t h[HASH_SIZE] = {4};
    struct state_digest forth = {{0}}, back = {{0}};
    for (unsigned i = 0; i < 9; i++) {
        struct value a = a_value(i), b = a_value(8 - i);
        state_digest_toggle(&forth, &k, &a, h);
        state_digest_toggle(&back, &k, &b, h);
    }
    assert_memory_equal(&forth, &back, sizeof forth);
    for (unsigned i = 0; i < 9; i++) {
        struct value a = a_value(i);
        assert_false(sodium_is_zero(forth.b, sizeof forth));
        state_digest_toggle(&forth, &k, &a, h);
    }
    assert_true(sodium_is_zero(forth.b, sizeof forth));
    space_keys_fini(&k);
}

static void digest_depends_on_every_part(void **state)
{
    (void)state;
    struct space_keys k, other;
    const uint8_t secret[SPACE_SECRET_SIZE] = {1};
    uint8_t h[HASH_SIZE] = {4};
    assert_int_equal(space_keys_init(&k, elements), 0);
    assert_int_equal(space_keys_init(&other, secret), 0);
    struct value v = a_value(1);
    struct state_digest d[7];
    digest_of(&k, &v, h, &d[0]);
    digest_of(&other, &v, h, &d[1]);
    h[31] ^= 1;
    digest_of(&k, &v, h, &d[2]);
    h[31] ^= 1;
    v.rid.b[3] ^= 1;
    digest_of(&k, &v, h, &d[3]);
    v = a_value(1);
    v.dot.counter++;
    digest_of(&k, &v, h, &d[4]);
    v = a_value(1);
    v.slot.counter++;
    digest_of(&k, &v, h, &d[5]);
    v = a_value(1);
    v.facet = FACET_META;
    digest_of(&k, &v, h, &d[6]);
    for (size_t i = 0; i < ARRAY_N(d); i++)
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(&d[i], &d[j], sizeof d[0]);
    /* A slot is one of places alone. */
    struct state_digest slot;
    v.slot.counter++;
    digest_of(&k, &v, h, &slot);
    assert_memory_equal(&slot, &d[6], sizeof slot);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(state_round_trips),
        cmocka_unit_test(what_concerns_a_comparison_round_trips),
        cmocka_unit_test(vector_beyond_its_limits_is_refused),
        cmocka_unit_test(digest_is_that_of_the_set),
        cmocka_unit_test(digest_depends_on_every_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
