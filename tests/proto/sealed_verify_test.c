/* Which changes are applied, held, refused, and that a lie about others' changes swallows nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>

#include "proto/sealed/verify.h"
#include "tests/support/sealed_fixture.h"
#include "tests/support/sealed_world.h"

enum { A, B, C };

static struct world w;

/* A, B and C are members with a replica each, and all know all. */
static int set_up(void **state)
{
    (void)state;
    sealed_world_init(&w);
    sealed_world_epoch(&w, A);
    sealed_world_own(&w, A, 0);
    for (unsigned d = B; d <= C; d++) {
        sealed_world_add(&w, A, d);
        sealed_world_tell(&w, A, d);
        sealed_world_own(&w, d, 0);
        sealed_world_tell(&w, d, A);
    }
    sealed_world_tell(&w, A, B);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sealed_world_fini(&w);
    return 0;
}

struct change {
    struct buf stored;
    struct entry entry;
    struct dot claimed[3];
    size_t claimed_n;
    bool origin;
};

/* A change signed by @signer, who knows what @knows knows, with the stamp of no clock that is
 * right: no rule looks at it. */
static struct entry *sign(struct change *c, unsigned signer, unsigned knows, struct dot dot,
                          enum entry_kind kind)
{
    uint8_t heads[LIMIT_ACT_HEADS * ACT_ID_SIZE];
    const struct members *m = w.view[knows];
    struct entry_head h = {
        .kind = kind, .space = *members_space(m), .dot = dot, .stamp = UINT64_MAX};
    struct entry_refs refs = {.acts = {heads, members_heads(m, heads)}};
    buf_reset(&c->stored);
    sealed_entry(signer, &h, &refs, bytes_str("x"), &c->stored);
    assert_int_equal(entry_parse_stored(buf_bytes(&c->stored), &c->entry), 0);
    return &c->entry;
}

/* @m's answer; @highest are the signed counters it has seen of A, B and C. */
static enum verify_result ask(const struct members *m, const struct change *c,
                              const uint64_t highest[3])
{
    uint8_t raw[3 * DOT_SIZE];
    struct vv vv = {0};
    for (size_t i = 0; i < c->claimed_n; i++)
        dot_encode(&c->claimed[i], raw + i * DOT_SIZE);
    for (unsigned d = A; d <= C && highest != NULL; d++)
        if (highest[d] > 0)
            assert_int_equal(vv_add(&vv, &(struct dot){sealed_world_replica(d, 0), highest[d]}), 0);
    struct verify_claim claim = {{raw, c->claimed_n}, c->origin};
    struct verify_value v = {m, &c->entry, &claim, 1, &vv, false};
    enum verify_result r = verify_value(&v);
    vv_fini(&vv);
    return r;
}

static struct dot dot_of(unsigned device, uint64_t counter)
{
    return (struct dot){sealed_world_replica(device, 0), counter};
}

static void signed_change_of_the_owner_is_accepted(void **state)
{
    (void)state;
    struct change c = {.claimed = {dot_of(A, 7), dot_of(B, 4)}, .claimed_n = 2};
    uint8_t key[SIGN_KEY_SIZE];
    sign(&c, B, B, dot_of(B, 5), ENTRY_VALUE);
    assert_int_equal(ask(w.view[A], &c, (uint64_t[]){7, 0, 0}), VERIFY_ACCEPT);
    assert_int_equal(verify_owner(w.view[A], &c.entry, key), VERIFY_ACCEPT);
    assert_memory_equal(key, sealed_public(B).sign, SIGN_KEY_SIZE);
    buf_fini(&c.stored);
}

static void change_of_anothers_replica_is_refused(void **state)
{
    (void)state;
    struct change c = {0};
    sealed_world_label(&w, B, "an act that the others have not seen");
    sign(&c, B, B, dot_of(A, 5), ENTRY_VALUE);
    assert_int_equal(ask(w.view[C], &c, NULL), VERIFY_HOLD_ACTS);
    sealed_world_tell(&w, B, A);
    sealed_world_tell(&w, B, C);
    assert_int_equal(ask(w.view[A], &c, NULL), VERIFY_SIGNATURE);
    assert_int_equal(ask(w.view[C], &c, NULL), VERIFY_SIGNATURE);
    sign(&c, B, B, (struct dot){77, 5}, ENTRY_VALUE);
    assert_int_equal(ask(w.view[A], &c, NULL), VERIFY_OWNER);
    buf_fini(&c.stored);
}

static void change_that_names_no_acts_has_no_owner(void **state)
{
    (void)state;
    struct change c = {0};
    struct entry_head h = {
        .kind = ENTRY_VALUE, .space = *members_space(w.view[A]), .dot = dot_of(B, 1)};
    sealed_entry(B, &h, NULL, bytes_str("x"), &c.stored);
    assert_int_equal(entry_parse_stored(buf_bytes(&c.stored), &c.entry), 0);
    assert_int_equal(ask(w.view[A], &c, NULL), VERIFY_OWNER);
    h.space = sealed_space(9);
    buf_reset(&c.stored);
    sealed_entry(B, &h, NULL, bytes_str("x"), &c.stored);
    assert_int_equal(entry_parse_stored(buf_bytes(&c.stored), &c.entry), 0);
    assert_int_equal(ask(w.view[A], &c, NULL), VERIFY_SPACE);
    buf_fini(&c.stored);
}

static void change_beyond_anothers_last_signed_one_is_held(void **state)
{
    (void)state;
    struct change c = {.claimed = {dot_of(A, 1007)}, .claimed_n = 1};
    sign(&c, B, B, dot_of(B, 5), ENTRY_VALUE);
    for (uint64_t n = 7; n < 1007; n += 100)
        assert_int_equal(ask(w.view[A], &c, (uint64_t[]){n, 0, 0}), VERIFY_HOLD_VECTOR);
    assert_int_equal(ask(w.view[A], &c, (uint64_t[]){1006, 0, 0}), VERIFY_HOLD_VECTOR);
    assert_int_equal(ask(w.view[A], &c, (uint64_t[]){1007, 0, 0}), VERIFY_ACCEPT);
    buf_fini(&c.stored);
}

static void vector_of_strangers_or_of_the_own_future_is_refused(void **state)
{
    (void)state;
    struct change c = {.claimed = {dot_of(B, 5)}, .claimed_n = 1};
    uint64_t all[] = {100, 100, 100};
    sign(&c, B, B, dot_of(B, 5), ENTRY_VALUE);
    assert_int_equal(ask(w.view[A], &c, all), VERIFY_VECTOR);
    c.origin = true; /* of the changes that it embodies it may be one itself */
    assert_int_equal(ask(w.view[A], &c, all), VERIFY_ACCEPT);
    c.claimed[0].counter = 6;
    assert_int_equal(ask(w.view[A], &c, all), VERIFY_VECTOR);
    c.origin = false;
    c.claimed[0].counter = 4;
    assert_int_equal(ask(w.view[A], &c, all), VERIFY_ACCEPT);
    c.claimed[0] = (struct dot){77, 1};
    assert_int_equal(ask(w.view[A], &c, all), VERIFY_VECTOR);
    c.claimed[0] = dot_of(C, 1); /* of a replica registered since, in acts that B did not name */
    struct change early = c;
    early.stored = (struct buf){0};
    sign(&early, B, B, dot_of(B, 5), ENTRY_VALUE);
    sealed_world_own(&w, A, 1);
    early.claimed[0] = (struct dot){sealed_world_replica(A, 1), 1};
    assert_int_equal(ask(w.view[A], &early, all), VERIFY_VECTOR);
    buf_fini(&early.stored);
    buf_fini(&c.stored);
}

static void change_of_a_revoked_device_is_accepted_up_to_its_cut(void **state)
{
    (void)state;
    struct change c = {0}, seen = {.claimed = {dot_of(B, 1000)}, .claimed_n = 1};
    uint8_t raw[DOT_SIZE];
    struct dot last = dot_of(B, 10);
    dot_encode(&last, raw);
    sign(&seen, A, A, dot_of(A, 3), ENTRY_VALUE);
    assert_int_equal(ask(w.view[A], &seen, (uint64_t[]){0, 10, 0}), VERIFY_HOLD_VECTOR);
    sealed_world_revoke(&w, A, (unsigned[]){B}, 1, (struct dots){raw, 1}, true);
    sign(&c, B, B, dot_of(B, 10), ENTRY_VALUE);
    assert_int_equal(ask(w.view[A], &c, NULL), VERIFY_ACCEPT);
    sign(&c, B, B, dot_of(B, 11), ENTRY_VALUE);
    assert_int_equal(ask(w.view[A], &c, NULL), VERIFY_CUT);
    assert_int_equal(ask(w.view[B], &c, NULL), VERIFY_ACCEPT); /* who has not heard */
    /* What others saw of it above the cut counts as the cut. */
    assert_int_equal(ask(w.view[A], &seen, (uint64_t[]){0, 10, 0}), VERIFY_ACCEPT);
    assert_int_equal(ask(w.view[A], &seen, (uint64_t[]){0, 9, 0}), VERIFY_HOLD_VECTOR);
    buf_fini(&c.stored);
    buf_fini(&seen.stored);
}

static void entry_of_the_other_kind_is_refused(void **state)
{
    (void)state;
    struct change c = {0};
    struct state s = {0};
    sign(&c, B, B, dot_of(B, 1), ENTRY_STATE);
    assert_int_equal(ask(w.view[A], &c, NULL), VERIFY_SIGNATURE);
    assert_int_equal(verify_state(w.view[A], &c.entry, &s), VERIFY_ACCEPT);
    sign(&c, B, B, dot_of(B, 1), ENTRY_VALUE);
    assert_int_equal(verify_state(w.view[A], &c.entry, &s), VERIFY_SIGNATURE);
    buf_fini(&c.stored);
}

static void state_counts_only_of_a_member_that_signed_it(void **state)
{
    (void)state;
    struct change c = {0};
    uint8_t raw[DOT_SIZE];
    dot_encode(&(struct dot){77, 1}, raw);
    struct state s = {0}, strange = {.known = {raw, 1}};
    sign(&c, C, B, dot_of(B, 1), ENTRY_STATE);
    assert_int_equal(verify_state(w.view[A], &c.entry, &s), VERIFY_SIGNATURE);
    sign(&c, B, B, dot_of(B, 1), ENTRY_STATE);
    assert_int_equal(verify_state(w.view[A], &c.entry, &s), VERIFY_ACCEPT);
    assert_int_equal(verify_state(w.view[A], &c.entry, &strange), VERIFY_VECTOR);
    sealed_world_revoke(&w, A, (unsigned[]){B}, 1, (struct dots){NULL, 0}, true);
    assert_int_equal(verify_state(w.view[A], &c.entry, &s), VERIFY_MEMBER);
    sealed_world_add(&w, A, B); /* back, but its old replica is not */
    assert_int_equal(verify_state(w.view[A], &c.entry, &s), VERIFY_CUT);
    buf_fini(&c.stored);
}

static void known_root_spares_the_signature_alone(void **state)
{
    (void)state;
    struct change c = {0};
    struct vv none = {0};
    sign(&c, C, B, dot_of(B, 1), ENTRY_VALUE); /* not B's signature */
    struct verify_value v = {w.view[A], &c.entry, NULL, 0, &none, false};
    assert_int_equal(verify_value(&v), VERIFY_SIGNATURE);
    v.signature_known = true;
    assert_int_equal(verify_value(&v), VERIFY_ACCEPT);
    buf_fini(&c.stored);
}

static void every_result_has_its_text(void **state)
{
    (void)state;
    for (enum verify_result r = VERIFY_ACCEPT; r <= VERIFY_MEMORY; r++)
        for (enum verify_result other = VERIFY_ACCEPT; other < r; other++)
            assert_string_not_equal(verify_text(r), verify_text(other));
    assert_true(verify_holds(VERIFY_HOLD_ACTS) && verify_holds(VERIFY_HOLD_VECTOR));
    assert_false(verify_holds(VERIFY_ACCEPT) || verify_holds(VERIFY_CUT));
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
#define IN_A_WORLD(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        IN_A_WORLD(signed_change_of_the_owner_is_accepted),
        IN_A_WORLD(change_of_anothers_replica_is_refused),
        IN_A_WORLD(change_that_names_no_acts_has_no_owner),
        IN_A_WORLD(change_beyond_anothers_last_signed_one_is_held),
        IN_A_WORLD(vector_of_strangers_or_of_the_own_future_is_refused),
        IN_A_WORLD(change_of_a_revoked_device_is_accepted_up_to_its_cut),
        IN_A_WORLD(entry_of_the_other_kind_is_refused),
        IN_A_WORLD(state_counts_only_of_a_member_that_signed_it),
        IN_A_WORLD(known_root_spares_the_signature_alone),
        cmocka_unit_test(every_result_has_its_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
