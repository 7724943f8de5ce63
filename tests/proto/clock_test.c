/* Stamps, vectors, record ids. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>

#include "proto/hash.h"
#include "proto/hlc.h"

static void hlc_next_never_goes_back(void **state)
{
    (void)state;
    struct hlc h = {0};
    uint64_t a = hlc_next(&h, 1000), b = hlc_next(&h, 1000), c = hlc_next(&h, 500);
    assert_int_equal(hlc_ms(a), 1000);
    assert_true(a < b && b < c);
    assert_int_equal(hlc_ms(hlc_next(&h, 2000)), 2000);
    h.last = UINT64_MAX;
    assert_true(hlc_next(&h, UINT64_MAX) == UINT64_MAX);
}

static void hlc_observe_follows_ten_minutes_and_no_more(void **state)
{
    (void)state;
    struct hlc h = {0};
    uint64_t now = 1000000;
    uint64_t near = (now + HLC_AHEAD_MAX_MS) << 16, far = (now + HLC_AHEAD_MAX_MS + 1) << 16;
    assert_false(hlc_observe(&h, now, far));
    assert_int_equal(hlc_ms(hlc_next(&h, now)), now);
    assert_true(hlc_observe(&h, now, near));
    assert_true(hlc_next(&h, now) > near);
    assert_false(hlc_observe(&h, now, UINT64_MAX));
}

/* A wall clock that was years ahead, and is right again: it was when somebody else's is the same.
 */
static void hlc_goes_back_when_another_agrees_with_the_wall_clock(void **state)
{
    (void)state;
    const uint64_t now = 1000000000000, ahead = now + UINT64_C(315360000000);
    struct hlc h = {0};
    uint64_t wrong = hlc_next(&h, ahead);
    assert_true(hlc_next(&h, now) > wrong); /* nobody says which one is right */
    assert_true(hlc_observe(&h, now, (now - HLC_AHEAD_MAX_MS - 1) << 16));
    assert_true(hlc_next(&h, now) > wrong);
    uint64_t other = (now - 1000) << 16;
    assert_true(hlc_observe(&h, now, other));
    assert_int_equal(hlc_ms(hlc_next(&h, now)), now);
    /* One that is behind since is not followed by a clock that is ahead for others. */
    h.last = now << 16;
    assert_false(hlc_observe(&h, now - HLC_AHEAD_MAX_MS - 1, now << 16));
    assert_true(hlc_observe(&h, now - HLC_AHEAD_MAX_MS, other));
    assert_true(hlc_next(&h, now - 1) > now << 16);
}

static struct vv vector(uint64_t a, uint64_t b, uint64_t c)
{
    struct vv v = {0};
    assert_int_equal(vv_set(&v, 3, c), 0);
    assert_int_equal(vv_set(&v, 1, a), 0);
    assert_int_equal(vv_set(&v, 2, b), 0);
    return v;
}

static void vv_join_covers_both(void **state)
{
    (void)state;
    struct vv a = vector(1, 5, 0), b = vector(4, 2, 1);
    assert_false(vv_covers(&a, &b) || vv_covers(&b, &a));
    assert_int_equal(vv_join(&a, &b), 0);
    assert_true(vv_covers(&a, &b));
    assert_int_equal(vv_get(&a, 1), 4);
    assert_int_equal(vv_get(&a, 2), 5);
    assert_int_equal(vv_get(&a, 3), 1);
    assert_int_equal(vv_get(&a, 4), 0);
    assert_true(vv_has(&a, &(struct dot){2, 5}) && !vv_has(&a, &(struct dot){2, 6}));
    vv_fini(&a);
    vv_fini(&b);
}

static void vv_meet_is_what_both_cover(void **state)
{
    (void)state;
    struct vv a = vector(1, 5, 2), b = vector(4, 2, 0);
    vv_meet(&a, &b);
    assert_int_equal(a.n, 2);
    assert_int_equal(vv_get(&a, 1), 1);
    assert_int_equal(vv_get(&a, 2), 2);
    vv_fini(&a);
    vv_fini(&b);
}

static void vv_set_to_zero_takes_out(void **state)
{
    (void)state;
    struct vv a = vector(1, 5, 2), b = {0};
    assert_int_equal(vv_set(&a, 2, 0), 0);
    assert_int_equal(a.n, 2);
    assert_int_equal(vv_copy(&b, &a), 0);
    assert_true(vv_equal(&a, &b));
    vv_fini(&a);
    vv_fini(&b);
}

static void vv_reads_what_it_wrote(void **state)
{
    (void)state;
    struct vv a = vector(1, 5, 2), b = {0};
    struct buf buf = {0};
    vv_put(&buf, &a);
    struct reader r = reader_of(buf_bytes(&buf));
    assert_int_equal(vv_read(&r, &b), 0);
    assert_true(reader_end(&r) == 0 && vv_equal(&a, &b));
    buf.p[buf.n - 1] = 0; /* a counter of zero */
    r = reader_of(buf_bytes(&buf));
    assert_int_equal(vv_read(&r, &b), -EBADMSG);
    vv_fini(&a);
    vv_fini(&b);
    buf_fini(&buf);
}

static void rid_depends_on_every_input_and_holds_its_kind(void **state)
{
    (void)state;
    const uint8_t secret[SPACE_SECRET_SIZE] = {1};
    struct space_keys k;
    assert_int_equal(space_keys_init(&k, secret), 0);
    const struct rid root = RID_ROOT;
    struct rid a = hash_rid(&k, KIND_FILE, &root, bytes_str("a"), 0);
    struct rid all[] = {a, hash_rid(&k, KIND_DIR, &root, bytes_str("a"), 0),
                        hash_rid(&k, KIND_FILE, &a, bytes_str("a"), 0),
                        hash_rid(&k, KIND_FILE, &root, bytes_str("b"), 0),
                        hash_rid(&k, KIND_FILE, &root, bytes_str("a"), 1)};
    for (size_t i = 0; i < ARRAY_N(all); i++)
        for (size_t j = 0; j < i; j++)
            assert_false(rid_equal(&all[i], &all[j]));
    assert_int_equal(rid_kind(&a), KIND_FILE);
    assert_int_equal(rid_kind(&all[1]), KIND_DIR);
    struct rid again = hash_rid(&k, KIND_FILE, &root, bytes_str("a"), 0);
    assert_true(rid_equal(&a, &again));
    assert_true(rid_is_root(&root) && rid_is_dir(&root) && !rid_is_root(&a));
    char hex[RID_HEX_SIZE];
    rid_hex(&root, hex);
    assert_string_equal(hex, "00000000000000000000000000000000");
    space_keys_fini(&k);
}

static void hash_equal_by_pieces_is_that_of_the_whole(void **state)
{
    (void)state;
    const uint8_t secret[SPACE_SECRET_SIZE] = {1};
    struct space_keys k;
    struct hash_equal h;
    uint8_t a[HASH_SIZE], b[HASH_SIZE];
    assert_int_equal(space_keys_init(&k, secret), 0);
    hash_equal_of(&k, bytes_str("hello"), a);
    hash_equal_init(&h, &k);
    hash_equal_update(&h, bytes_str("he"));
    hash_equal_update(&h, bytes_str("llo"));
    hash_equal_final(&h, b);
    assert_memory_equal(a, b, HASH_SIZE);
    space_keys_fini(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hlc_next_never_goes_back),
        cmocka_unit_test(hlc_observe_follows_ten_minutes_and_no_more),
        cmocka_unit_test(hlc_goes_back_when_another_agrees_with_the_wall_clock),
        cmocka_unit_test(vv_join_covers_both),
        cmocka_unit_test(vv_meet_is_what_both_cover),
        cmocka_unit_test(vv_set_to_zero_takes_out),
        cmocka_unit_test(vv_reads_what_it_wrote),
        cmocka_unit_test(rid_depends_on_every_input_and_holds_its_kind),
        cmocka_unit_test(hash_equal_by_pieces_is_that_of_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
