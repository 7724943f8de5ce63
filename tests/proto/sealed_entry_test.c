/* Entries: what was signed and sealed comes back whole, and nothing that differs in a bit does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>

#include "proto/sealed/entry.h"
#include "tests/support/sealed_fixture.h"

static uint8_t act_ids[(LIMIT_ACT_HEADS + 1) * ACT_ID_SIZE];
static uint8_t replaced[(LIMIT_REPLACED + 1) * DOT_SIZE];
static uint8_t chunk_ids[(LIMIT_CHUNK_IDS + 1) * CHUNK_ID_SIZE];

/* References up to the limits; the arrays hold one more of each. */
static struct entry_refs refs_of(size_t acts, size_t dots, size_t chunks)
{
    for (size_t i = 0; i <= LIMIT_ACT_HEADS; i++)
        act_ids[i * ACT_ID_SIZE] = (uint8_t)(i + 1);
    for (size_t i = 0; i <= LIMIT_REPLACED; i++)
        dot_encode(&(struct dot){i + 1, 7}, replaced + i * DOT_SIZE);
    for (size_t i = 0; i <= LIMIT_CHUNK_IDS; i++)
        put_u32(chunk_ids + i * CHUNK_ID_SIZE, (uint32_t)i);
    return (struct entry_refs){{act_ids, acts}, {replaced, dots}, {chunk_ids, chunks}};
}

static struct buf seal(const struct buf *stored, const struct epoch_keys *k)
{
    struct buf b = {0};
    struct entry e;
    assert_int_equal(entry_parse_stored(buf_bytes(stored), &e), 0);
    assert_int_equal(entry_seal(&e, k, &b), 0);
    return b;
}

/* All that a receiver checks, with member 1's key and epoch 1's. */
static int receive(struct bytes sealed, struct buf *ret_stored, struct entry *ret)
{
    static struct epoch_keys epoch;
    static struct member_keys member;
    if (epoch.id.b[0] == 0) {
        epoch = sealed_epoch(1);
        member = sealed_member(1);
    }
    struct entry e;
    int rc = entry_parse_sealed(sealed, &e);
    if (rc == 0)
        rc = entry_open(&e, &epoch, ret_stored, ret);
    return rc < 0 ? rc : entry_verify(ret, member.sign_public);
}

static bool accepts(void *ctx, struct bytes sealed)
{
    struct entry e;
    return receive(sealed, ctx, &e) == 0;
}

static void entry_comes_back_as_it_was_made(void **state)
{
    (void)state;
    const size_t sizes[] = {0, 1, 235, 236, 237, 4075, 4076, 4077, 5099, 5100, 5101, 5102, 32768};
    struct entry_refs refs = refs_of(2, 3, 4);
    struct epoch_keys k = sealed_epoch(1);
    static uint8_t plain[32768] = {1, 2, 3};
    for (size_t i = 0; i < ARRAY_N(sizes); i++) {
        struct entry_head h = sealed_head(9, LIMIT_COUNTER);
        h.stamp = UINT64_MAX;
        struct buf stored = {0}, out = {0};
        struct entry e;
        sealed_entry(1, &h, &refs, bytes_of(plain, sizes[i]), &stored);
        struct buf sealed = seal(&stored, &k);
        assert_int_equal(receive(buf_bytes(&sealed), &out, &e), 0);
        assert_true(bytes_equal(buf_bytes(&out), buf_bytes(&stored)));
        assert_true(bytes_equal(e.plain, bytes_of(plain, sizes[i])));
        assert_int_equal(e.body.n % (sizes[i] + 20 > 4096 ? 1024 : 256), 0);
        assert_true(e.body.n - sizes[i] <= 20 + 1024);
        assert_true(dot_equal(&e.head.dot, &h.dot) && e.head.stamp == h.stamp);
        assert_int_equal(space_id_equal(&e.head.space, &h.space), true);
        assert_true(e.refs.acts.n == 2 && e.refs.replaced.n == 3 && e.refs.chunks.n == 4);
        assert_true(dots_equal(e.refs.replaced, refs.replaced));
        buf_fini(&stored);
        buf_fini(&out);
        buf_fini(&sealed);
    }
}

/* What waits in a queue goes out under the epoch of the moment, without its author. */
static void entry_sealed_again_under_another_epoch_is_the_same(void **state)
{
    (void)state;
    struct epoch_keys one = sealed_epoch(1), two = sealed_epoch(2);
    struct buf stored = {0}, out = {0};
    struct entry_head h = sealed_head(9, 1);
    struct entry parsed, e;
    sealed_entry(1, &h, NULL, bytes_str("text"), &stored);
    struct buf first = seal(&stored, &one), second = seal(&stored, &two);
    assert_int_equal(entry_parse_sealed(buf_bytes(&first), &parsed), 0);
    assert_int_equal(entry_open(&parsed, &two, &out, &e), -ENOKEY);
    assert_int_equal(entry_open(&parsed, &one, &out, &e), 0);
    assert_int_equal(entry_parse_sealed(buf_bytes(&second), &parsed), 0);
    assert_int_equal(entry_open(&parsed, &two, &out, &e), 0);
    assert_true(bytes_equal(buf_bytes(&out), buf_bytes(&stored)));
    /* The id of the other epoch in front of it does not make it one of that. */
    memcpy(first.p, two.id.b, EPOCH_ID_SIZE);
    assert_int_equal(entry_parse_sealed(buf_bytes(&first), &parsed), 0);
    assert_int_equal(entry_open(&parsed, &two, &out, &e), -EBADMSG);
    buf_fini(&first);
    buf_fini(&second);
    buf_fini(&stored);
    buf_fini(&out);
}

static void same_text_twice_shows_no_likeness(void **state)
{
    (void)state;
    struct buf a = {0}, b = {0};
    struct entry_head h = sealed_head(9, 1);
    struct entry ea, eb;
    sealed_entry(1, &h, NULL, bytes_str("text"), &a);
    sealed_entry(1, &h, NULL, bytes_str("text"), &b);
    assert_int_equal(entry_parse_stored(buf_bytes(&a), &ea), 0);
    assert_int_equal(entry_parse_stored(buf_bytes(&b), &eb), 0);
    assert_memory_not_equal(ea.head.body_hash, eb.head.body_hash, HASH_SIZE);
    buf_fini(&a);
    buf_fini(&b);
}

static void flipped_bit_is_refused(void **state)
{
    (void)state;
    struct epoch_keys k = sealed_epoch(1);
    struct entry_refs refs = refs_of(2, 2, 2);
    struct entry_head h = sealed_head(9, 5);
    struct buf stored = {0}, out = {0};
    sealed_entry(1, &h, &refs, bytes_str("text"), &stored);
    struct buf sealed = seal(&stored, &k);
    assert_true(accepts(&out, buf_bytes(&sealed)));
    assert_int_equal(sealed_flips(buf_bytes(&sealed), accepts, &out), 0);
    for (size_t n = 0; n < sealed.n; n++)
        assert_false(accepts(&out, bytes_of(sealed.p, n)));
    buf_put_u8(&sealed, 0);
    assert_false(accepts(&out, buf_bytes(&sealed)));
    buf_fini(&sealed);
    buf_fini(&stored);
    buf_fini(&out);
}

static bool accepts_stored(void *ctx, struct bytes in)
{
    struct member_keys *k = ctx;
    struct entry e;
    return entry_parse_stored(in, &e) == 0 && entry_verify(&e, k->sign_public) == 0;
}

static void flipped_bit_of_the_stored_form_is_refused(void **state)
{
    (void)state;
    struct member_keys k = sealed_member(1);
    struct entry_head h = sealed_head(9, 5);
    struct entry_refs refs = refs_of(1, 1, 1);
    struct buf stored = {0};
    sealed_entry(1, &h, &refs, bytes_str("text"), &stored);
    assert_true(accepts_stored(&k, buf_bytes(&stored)));
    assert_int_equal(sealed_flips(buf_bytes(&stored), accepts_stored, &k), 0);
    buf_fini(&stored);
}

/* A head that says something else, under the old signature or another member's. */
static void entry_moved_to_another_place_is_refused(void **state)
{
    (void)state;
    struct epoch_keys k = sealed_epoch(1);
    struct entry_head h = sealed_head(9, 5);
    struct buf stored = {0}, out = {0};
    struct entry e;
    sealed_entry(1, &h, NULL, bytes_str("text"), &stored);
    struct buf sealed = seal(&stored, &k);
    const size_t at[] = {EPOCH_ID_SIZE + 1, EPOCH_ID_SIZE + 4, EPOCH_ID_SIZE + 27,
                         EPOCH_ID_SIZE + 35}; /* kind, space, replica, counter */
    for (size_t i = 0; i < ARRAY_N(at); i++) {
        sealed.p[at[i]] ^= 3;
        assert_int_equal(receive(buf_bytes(&sealed), &out, &e), -EBADMSG);
        sealed.p[at[i]] ^= 3;
    }
    /* Even by one who holds the epoch key and can seal anything. */
    stored.p[35] ^= 3;
    assert_int_equal(entry_parse_stored(buf_bytes(&stored), &e), 0);
    assert_int_equal(entry_verify(&e, sealed_public(1).sign), -EBADMSG);
    buf_fini(&sealed);
    buf_reset(&stored);
    sealed_entry(2, &h, NULL, bytes_str("text"), &stored);
    sealed = seal(&stored, &k);
    assert_int_equal(receive(buf_bytes(&sealed), &out, &e), -EBADMSG);
    buf_fini(&sealed);
    buf_fini(&stored);
    buf_fini(&out);
}

/* ---- trees -------------------------------------------------------------------------------------
 */

static void sign_many(size_t n, struct buf *stored)
{
    static struct entry_draft drafts[ENTRY_TREE_MAX];
    static const struct entry_refs none;
    struct member_keys k = sealed_member(1);
    for (size_t i = 0; i < n; i++) {
        struct entry_head h = sealed_head(9, i + 1);
        stored[i].n = 0;
        assert_int_equal(entry_draft_init(&drafts[i], &h, &none, bytes_str("x")), 0);
    }
    assert_int_equal(entry_sign(&k, drafts, n, stored), 0);
    for (size_t i = 0; i < n; i++)
        entry_draft_fini(&drafts[i]);
}

static void every_entry_of_a_tree_stands_alone(void **state)
{
    (void)state;
    static struct buf stored[ENTRY_TREE_MAX];
    const size_t sizes[] = {1, 2, 3, 4, 5, 7, 8, 9, 31, 100, 129, 255, 256};
    struct member_public p = sealed_public(1);
    for (size_t s = 0; s < ARRAY_N(sizes); s++) {
        size_t n = sizes[s];
        uint8_t depth = 0, root[HASH_SIZE], first[HASH_SIZE];
        while ((size_t)1 << depth < n)
            depth++;
        sign_many(n, stored);
        for (size_t i = 0; i < n; i++) {
            struct entry e;
            assert_int_equal(entry_parse_stored(buf_bytes(&stored[i]), &e), 0);
            assert_int_equal(e.head.dot.counter, i + 1);
            assert_true(e.sign.depth == depth && e.sign.index == i);
            assert_int_equal(entry_verify(&e, p.sign), 0);
            entry_root(&e, root);
            if (i == 0)
                memcpy(first, root, sizeof first);
            assert_memory_equal(root, first, sizeof root);
        }
    }
    for (size_t i = 0; i < ENTRY_TREE_MAX; i++)
        buf_fini(&stored[i]);
}

static void path_of_another_entry_does_not_fit(void **state)
{
    (void)state;
    static struct buf stored[5];
    struct member_public p = sealed_public(1);
    sign_many(5, stored);
    for (size_t i = 0; i < 5; i++)
        for (size_t j = 0; j < 5; j++) {
            struct entry a, b;
            assert_int_equal(entry_parse_stored(buf_bytes(&stored[i]), &a), 0);
            assert_int_equal(entry_parse_stored(buf_bytes(&stored[j]), &b), 0);
            int rc = entry_head_verify(a.head_raw, ENTRY_VALUE, &b.sign, p.sign);
            assert_int_equal(rc, i == j ? 0 : -EBADMSG);
        }
    for (size_t i = 0; i < 5; i++)
        buf_fini(&stored[i]);
}

static bool accepts_sign(void *ctx, struct bytes in)
{
    struct reader r = reader_of(in);
    struct entry_sign s = entry_sign_read(&r, ENTRY_VALUE);
    return reader_end(&r) == 0 &&
           entry_head_verify(ctx, ENTRY_VALUE, &s, sealed_public(1).sign) == 0;
}

static void flipped_bit_of_a_path_is_refused(void **state)
{
    (void)state;
    static struct buf stored[5];
    sign_many(5, stored);
    for (size_t i = 0; i < 5; i += 2) {
        struct entry e;
        struct buf sign = {0};
        uint8_t head[ENTRY_HEAD_SIZE];
        assert_int_equal(entry_parse_stored(buf_bytes(&stored[i]), &e), 0);
        memcpy(head, e.head_raw, sizeof head);
        entry_sign_put(&sign, &e.sign);
        assert_true(accepts_sign(head, buf_bytes(&sign)));
        assert_int_equal(sealed_flips(buf_bytes(&sign), accepts_sign, head), 0);
        buf_fini(&sign);
    }
    for (size_t i = 0; i < 5; i++)
        buf_fini(&stored[i]);
}

/* A STATE's signature does not serve for a VALUE, nor the other way. */
static void signature_of_one_kind_is_none_of_the_other(void **state)
{
    (void)state;
    struct entry_head h = sealed_head(9, 1);
    struct member_public p = sealed_public(1);
    struct buf stored = {0};
    struct entry e;
    for (unsigned i = 0; i < 2; i++) {
        h.kind = i == 0 ? ENTRY_VALUE : ENTRY_STATE;
        enum entry_kind other = i == 0 ? ENTRY_STATE : ENTRY_VALUE;
        buf_reset(&stored);
        sealed_entry(1, &h, NULL, bytes_str("x"), &stored);
        assert_int_equal(entry_parse_stored(buf_bytes(&stored), &e), 0);
        assert_int_equal(entry_head_verify(e.head_raw, h.kind, &e.sign, p.sign), 0);
        assert_int_equal(entry_head_verify(e.head_raw, other, &e.sign, p.sign), -EBADMSG);
    }
    buf_fini(&stored);
}

/* ---- limits ------------------------------------------------------------------------------------
 */

static void counter_outside_its_range_is_refused(void **state)
{
    (void)state;
    const uint64_t bad[] = {0, LIMIT_COUNTER + 1, UINT32_MAX * UINT64_C(1) << 32, UINT64_MAX};
    struct entry_head h = sealed_head(9, 1), out;
    struct buf stored = {0};
    struct entry e;
    sealed_entry(1, &h, NULL, bytes_str("x"), &stored);
    for (size_t i = 0; i < ARRAY_N(bad); i++) {
        put_u64(stored.p + 28, bad[i]);
        assert_int_equal(entry_head_read(stored.p, &out), -EBADMSG);
        assert_int_equal(entry_parse_stored(buf_bytes(&stored), &e), -EBADMSG);
    }
    put_u64(stored.p + 28, LIMIT_COUNTER);
    assert_int_equal(entry_head_read(stored.p, &out), 0);
    buf_fini(&stored);
}

static void later_version_is_told_apart_and_flags_are_refused(void **state)
{
    (void)state;
    struct entry_head h = sealed_head(9, 1), out;
    struct buf stored = {0};
    sealed_entry(1, &h, NULL, bytes_str("x"), &stored);
    stored.p[0] = 2;
    assert_int_equal(entry_head_read(stored.p, &out), -ENOTSUP);
    stored.p[0] = 1;
    stored.p[3] = 1;
    assert_int_equal(entry_head_read(stored.p, &out), -EBADMSG);
    stored.p[3] = 0;
    stored.p[1] = 3;
    assert_int_equal(entry_head_read(stored.p, &out), -EBADMSG);
    buf_fini(&stored);
}

/* A sealed entry whose refs are written by hand, @body_n bytes of anything behind. */
static int parse_refs(const struct buf *refs, const struct buf *sign)
{
    struct entry_head h = sealed_head(9, 1);
    struct buf in = {0}, first = {0};
    struct entry e;
    sealed_entry(1, &h, NULL, bytes_str("x"), &first);
    buf_put(&in, h.space.b, EPOCH_ID_SIZE);
    buf_put(&in, first.p, ENTRY_HEAD_SIZE);
    hash_parts(NULL, SEAL_LABEL_REFS, &(struct bytes){refs->p, refs->n}, 1,
               in.p + EPOCH_ID_SIZE + 44);
    buf_put_bytes(&in, buf_bytes(refs));
    buf_put_bytes(&in, buf_bytes(sign));
    (void)!buf_resize(&in, in.n + 24 + 256 + 16);
    int rc = entry_parse_sealed(buf_bytes(&in), &e);
    buf_fini(&in);
    buf_fini(&first);
    return rc;
}

static void put_counts(struct buf *b, uint64_t acts, uint64_t dots, uint64_t chunks)
{
    /* As many as are claimed, up to one above the limit. */
    buf_reset(b);
    buf_put_varint(b, acts);
    buf_put(b, act_ids, (size_t)min_u64(acts, LIMIT_ACT_HEADS + 1) * ACT_ID_SIZE);
    buf_put_varint(b, dots);
    buf_put(b, replaced, (size_t)min_u64(dots, LIMIT_REPLACED + 1) * DOT_SIZE);
    buf_put_varint(b, chunks);
    buf_put(b, chunk_ids, (size_t)min_u64(chunks, LIMIT_CHUNK_IDS + 1) * CHUNK_ID_SIZE);
}

static void more_references_than_the_limits_are_refused(void **state)
{
    (void)state;
    (void)refs_of(0, 0, 0);
    const uint64_t beyond[] = {1, UINT32_MAX, UINT64_MAX};
    struct buf refs = {0}, sign = {0};
    (void)!buf_resize(&sign, ENTRY_SIGN_MIN);
    put_counts(&refs, LIMIT_ACT_HEADS, LIMIT_REPLACED, LIMIT_CHUNK_IDS);
    assert_int_equal(parse_refs(&refs, &sign), 0);
    for (size_t i = 0; i < ARRAY_N(beyond); i++) {
        bool one = beyond[i] == 1;
        put_counts(&refs, one ? LIMIT_ACT_HEADS + 1 : beyond[i], 0, 0);
        assert_int_equal(parse_refs(&refs, &sign), -EBADMSG);
        put_counts(&refs, 0, one ? LIMIT_REPLACED + 1 : beyond[i], 0);
        assert_int_equal(parse_refs(&refs, &sign), -EBADMSG);
        put_counts(&refs, 0, 0, one ? LIMIT_CHUNK_IDS + 1 : beyond[i]);
        assert_int_equal(parse_refs(&refs, &sign), -EBADMSG);
    }
    put_counts(&refs, 2, 2, 0);
    assert_int_equal(parse_refs(&refs, &sign), 0);
    refs.p[1] = 9; /* acts not ascending */
    assert_int_equal(parse_refs(&refs, &sign), -EBADMSG);
    buf_fini(&refs);
    buf_fini(&sign);
}

static void depth_and_index_beyond_their_limits_are_refused(void **state)
{
    (void)state;
    struct buf refs = {0}, sign = {0};
    put_counts(&refs, 0, 0, 0);
    const struct {
        uint16_t index;
        uint8_t depth;
        int rc;
    } cases[] = {{0, 0, 0},          {1, 0, -EBADMSG},      {255, 8, 0},
                 {256, 8, -EBADMSG}, {0xffff, 8, -EBADMSG}, {0, 9, -EBADMSG},
                 {0, 255, -EBADMSG}, {4, 2, -EBADMSG},      {3, 2, 0}};
    for (size_t i = 0; i < ARRAY_N(cases); i++) {
        buf_reset(&sign);
        buf_put_u16(&sign, cases[i].index);
        buf_put_u8(&sign, cases[i].depth);
        (void)!buf_resize(&sign, ENTRY_SIGN_MIN + (size_t)cases[i].depth * HASH_SIZE);
        assert_int_equal(parse_refs(&refs, &sign), cases[i].rc);
    }
    buf_fini(&refs);
    buf_fini(&sign);
}

static void state_with_more_than_acts_is_refused(void **state)
{
    (void)state;
    struct entry_head h = sealed_head(9, 1);
    struct entry_refs refs = refs_of(1, 0, 0);
    struct buf stored = {0};
    struct entry e;
    h.kind = ENTRY_STATE;
    sealed_entry(1, &h, &refs, bytes_str("x"), &stored);
    assert_int_equal(entry_parse_stored(buf_bytes(&stored), &e), 0);
    buf_reset(&stored);
    h.kind = ENTRY_VALUE;
    refs = refs_of(1, 0, 1);
    sealed_entry(1, &h, &refs, bytes_str("x"), &stored);
    stored.p[1] = ENTRY_STATE;
    assert_int_equal(entry_parse_stored(buf_bytes(&stored), &e), -EBADMSG);
    buf_fini(&stored);
}

/* The largest entry that may be made can be sealed, and none that is larger is read. */
static void entry_above_the_limit_is_neither_made_nor_read(void **state)
{
    (void)state;
    static uint8_t plain[LIMIT_ENTRY + 1];
    struct entry_refs refs = refs_of(LIMIT_ACT_HEADS, LIMIT_REPLACED, LIMIT_CHUNK_IDS);
    struct entry_head h = sealed_head(9, 1);
    struct epoch_keys k = sealed_epoch(1);
    struct entry_draft d;
    size_t lo = 0, hi = sizeof plain; /* it fits; it does not */
    while (hi - lo > 1) {
        size_t mid = (lo + hi) / 2;
        int rc = entry_draft_init(&d, &h, &refs, bytes_of(plain, mid));
        assert_true(rc == 0 || rc == -E2BIG);
        entry_draft_fini(&d);
        *(rc == 0 ? &lo : &hi) = mid;
    }
    assert_true(lo > 90000);
    struct buf stored = {0}, out = {0};
    struct entry e;
    sealed_entry(1, &h, &refs, bytes_of(plain, lo), &stored);
    struct buf sealed = seal(&stored, &k);
    assert_true(sealed.n <= LIMIT_ENTRY && sealed.n > LIMIT_ENTRY - 2048);
    assert_int_equal(receive(buf_bytes(&sealed), &out, &e), 0);
    assert_int_equal(e.plain.n, lo);
    (void)!buf_resize(&sealed, LIMIT_ENTRY);
    assert_int_equal(entry_parse_sealed(buf_bytes(&sealed), &e), 0);
    (void)!buf_resize(&sealed, LIMIT_ENTRY + 1);
    assert_int_equal(entry_parse_sealed(buf_bytes(&sealed), &e), -EBADMSG);
    (void)!buf_resize(&stored, LIMIT_ENTRY + 1);
    assert_int_equal(entry_parse_stored(buf_bytes(&stored), &e), -EBADMSG);
    buf_fini(&sealed);
    buf_fini(&stored);
    buf_fini(&out);
}

/* A body by its author that claims another length, or hides something in its padding. */
static void body_of_another_form_is_refused(void **state)
{
    (void)state;
    const uint32_t lengths[] = {0, 1, 235, 236, 237, UINT32_MAX};
    for (size_t i = 0; i < ARRAY_N(lengths); i++) {
        struct entry_head h = sealed_head(9, 1);
        struct buf stored = {0};
        struct entry e;
        sealed_entry(1, &h, NULL, bytes_str("x"), &stored);
        uint8_t *body = stored.p + stored.n - 256;
        put_u32(body + 16, lengths[i]);
        hash_parts(NULL, SEAL_LABEL_BODY, &(struct bytes){body, 256}, 1, stored.p + 76);
        /* With length 0 the "x" is in the padding. */
        bool good = lengths[i] > 0 && lengths[i] <= 236;
        assert_int_equal(entry_parse_stored(buf_bytes(&stored), &e), good ? 0 : -EBADMSG);
        buf_fini(&stored);
    }
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entry_comes_back_as_it_was_made),
        cmocka_unit_test(entry_sealed_again_under_another_epoch_is_the_same),
        cmocka_unit_test(same_text_twice_shows_no_likeness),
        cmocka_unit_test(flipped_bit_is_refused),
        cmocka_unit_test(flipped_bit_of_the_stored_form_is_refused),
        cmocka_unit_test(entry_moved_to_another_place_is_refused),
        cmocka_unit_test(every_entry_of_a_tree_stands_alone),
        cmocka_unit_test(path_of_another_entry_does_not_fit),
        cmocka_unit_test(flipped_bit_of_a_path_is_refused),
        cmocka_unit_test(signature_of_one_kind_is_none_of_the_other),
        cmocka_unit_test(counter_outside_its_range_is_refused),
        cmocka_unit_test(later_version_is_told_apart_and_flags_are_refused),
        cmocka_unit_test(more_references_than_the_limits_are_refused),
        cmocka_unit_test(depth_and_index_beyond_their_limits_are_refused),
        cmocka_unit_test(state_with_more_than_acts_is_refused),
        cmocka_unit_test(entry_above_the_limit_is_neither_made_nor_read),
        cmocka_unit_test(body_of_another_form_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
