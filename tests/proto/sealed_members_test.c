/* Members: every order of arrival gives the same answers, and the answers are the right ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/support/sealed_fixture.h"
#include "tests/support/sealed_world.h"

enum { A, B, C, D, E, F };

static const struct dots no_cuts;

static void swap(size_t *a, size_t *b)
{
    size_t t = *a;
    *a = *b;
    *b = t;
}

static void compare(const struct world *w, const size_t *order, const uint8_t *expected)
{
    uint8_t is[HASH_SIZE];
    struct members *m = sealed_world_insert(w, order);
    sealed_world_answers(m, is);
    assert_memory_equal(is, expected, sizeof is);
    members_free(m);
}

/* Heap's algorithm: every permutation of order[0 .. n). */
static void permute(const struct world *w, size_t *order, size_t n, const uint8_t *expected)
{
    if (n <= 1) {
        compare(w, order, expected);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        permute(w, order, n - 1, expected);
        swap(&order[n % 2 == 0 ? i : 0], &order[n - 1]);
    }
}

/* Every order of the last five acts at most, the others before them; and random ones of all. */
static struct members *settle(const struct world *w)
{
    size_t order[WORLD_ACTS] = {0}, n = w->n - 1, last = n < 5 ? n : 5;
    uint8_t expected[HASH_SIZE];
    for (size_t i = 0; i < n; i++)
        order[i] = i + 1;
    struct members *m = sealed_world_insert(w, order);
    sealed_world_answers(m, expected);
    /* The permutations are of the front, so that acts come before their parents. */
    for (size_t i = 0; i < last; i++)
        swap(&order[i], &order[n - last + i]);
    permute(w, order, last, expected);
    for (unsigned round = 0; round < 20; round++) {
        for (size_t i = n; i > 1; i--)
            swap(&order[i - 1], &order[(size_t)rand() % i]);
        compare(w, order, expected);
    }
    return m;
}

/* A space of the first @n devices, all of which know all, each with its replica 0. */
static void space_of(struct world *w, unsigned n)
{
    sealed_world_init(w);
    sealed_world_epoch(w, A);
    for (unsigned d = 1; d < n; d++) {
        sealed_world_add(w, A, d);
        sealed_world_tell(w, A, d);
        sealed_world_own(w, d, 0);
        sealed_world_tell(w, d, A);
    }
    sealed_world_own(w, A, 0);
    for (unsigned d = 1; d < n; d++)
        sealed_world_tell(w, A, d);
}

static void assert_members(const struct members *m, const char *letters)
{
    for (unsigned d = 0; d < 10; d++) {
        struct member_id id = sealed_world_id(d);
        bool is = members_find(m, &id) != NULL, ought = strchr(letters, (char)('A' + d)) != NULL;
        if (is != ought)
            fail_msg("%c is %sa member", 'A' + (int)d, is ? "" : "not ");
    }
    assert_int_equal(members_n(m), strlen(letters));
}

static struct dots one_cut(uint64_t replica, uint64_t counter)
{
    static uint8_t raw[DOT_SIZE];
    dot_encode(&(struct dot){replica, counter}, raw);
    return (struct dots){raw, 1};
}

/* ---- revocation --------------------------------------------------------------------------------
 */

static void members_that_were_added_are_members(void **state)
{
    (void)state;
    struct world w;
    space_of(&w, 3);
    struct members *m = settle(&w);
    assert_members(m, "ABC");
    for (unsigned d = 0; d < 3; d++)
        assert_true(members_cut(m, sealed_world_replica(d, 0)) == MEMBERS_NO_CUT);
    assert_int_equal(members_cut(m, sealed_world_replica(A, 1)), 0);
    assert_non_null(members_epoch(m));
    members_free(m);
    sealed_world_fini(&w);
}

static void revoked_member_is_out_and_cut(void **state)
{
    (void)state;
    struct world w;
    space_of(&w, 3);
    sealed_world_own(&w, B, 1);
    sealed_world_tell(&w, B, A);
    sealed_world_revoke(&w, A, (unsigned[]){B}, 1, one_cut(sealed_world_replica(B, 0), 42), true);
    struct members *m = settle(&w);
    assert_members(m, "AC");
    assert_int_equal(members_cut(m, sealed_world_replica(B, 0)), 42);
    assert_int_equal(members_cut(m, sealed_world_replica(B, 1)), 0); /* not named */
    assert_true(members_cut(m, sealed_world_replica(C, 0)) == MEMBERS_NO_CUT);
    assert_true(members_epoch(m)->kind == ACT_REVOKE);
    members_free(m);
    sealed_world_fini(&w);
}

/* What it does unseen after its revocation: a replica that nobody takes anything of. */
static void replica_registered_beside_the_revocation_is_cut_at_nothing(void **state)
{
    (void)state;
    struct world w;
    space_of(&w, 3);
    sealed_world_own(&w, B, 1);
    sealed_world_revoke(&w, A, (unsigned[]){B}, 1, one_cut(sealed_world_replica(B, 0), 42), false);
    sealed_world_revoke(&w, C, (unsigned[]){B}, 1, one_cut(sealed_world_replica(B, 0), 17), false);
    struct members *m = settle(&w);
    assert_int_equal(members_cut(m, sealed_world_replica(B, 1)), 0);
    assert_int_equal(members_cut(m, sealed_world_replica(B, 0)), 17); /* the smaller of two */
    members_free(m);
    sealed_world_fini(&w);
}

static void mutual_revocation_puts_both_out(void **state)
{
    (void)state;
    struct world w;
    space_of(&w, 3);
    sealed_world_revoke(&w, A, (unsigned[]){B}, 1, no_cuts, true);
    sealed_world_revoke(&w, B, (unsigned[]){A}, 1, no_cuts, true);
    struct members *m = settle(&w);
    assert_members(m, "C");
    assert_null(members_epoch(m)); /* each of the two epochs was given to one that is out */
    members_free(m);
    sealed_world_tell(&w, A, C);
    sealed_world_tell(&w, B, C);
    sealed_world_epoch(&w, C);
    m = settle(&w);
    assert_members(m, "C");
    assert_int_equal(members_epoch(m)->epoch.generation, 3);
    members_free(m);
    sealed_world_fini(&w);
}

static void cycle_of_three_puts_all_of_it_out(void **state)
{
    (void)state;
    struct world w;
    space_of(&w, 4);
    sealed_world_revoke(&w, A, (unsigned[]){B}, 1, no_cuts, true);
    sealed_world_revoke(&w, B, (unsigned[]){C}, 1, no_cuts, true);
    sealed_world_revoke(&w, C, (unsigned[]){A}, 1, no_cuts, true);
    struct members *m = settle(&w);
    assert_members(m, "D");
    assert_null(members_epoch(m));
    members_free(m);
    sealed_world_fini(&w);
}

static void backdated_revocation_of_all_counts(void **state)
{
    (void)state;
    struct world w;
    space_of(&w, 3);
    sealed_world_revoke(&w, A, (unsigned[]){C}, 1, no_cuts, true);
    sealed_world_revoke(&w, C, (unsigned[]){A, B, C}, 3, no_cuts, false);
    struct members *m = settle(&w);
    assert_members(m, "");
    members_free(m);
    sealed_world_fini(&w);
}

static void member_that_leaves_is_out(void **state)
{
    (void)state;
    struct world w;
    space_of(&w, 2);
    sealed_world_revoke(&w, B, (unsigned[]){B}, 1, one_cut(sealed_world_replica(B, 0), 5), true);
    struct members *m = settle(&w);
    assert_members(m, "A");
    assert_null(members_epoch(m)); /* who left made it, and knows its key */
    assert_int_equal(members_cut(m, sealed_world_replica(B, 0)), 5);
    members_free(m);
    sealed_world_fini(&w);
}

static void member_comes_back_by_an_add_that_saw_the_revocation(void **state)
{
    (void)state;
    struct world w;
    space_of(&w, 4);
    sealed_world_revoke(&w, A, (unsigned[]){B}, 1, one_cut(sealed_world_replica(B, 0), 9), false);
    sealed_world_add(&w, D, B); /* has not seen it */
    struct members *m = settle(&w);
    assert_members(m, "ACD");
    members_free(m);
    sealed_world_tell(&w, A, C);
    sealed_world_add(&w, C, B); /* has */
    sealed_world_tell(&w, C, B);
    sealed_world_own(&w, B, 1);
    m = settle(&w);
    assert_members(m, "ABCD");
    assert_int_equal(members_cut(m, sealed_world_replica(B, 0)), 9);
    assert_true(members_cut(m, sealed_world_replica(B, 1)) == MEMBERS_NO_CUT);
    members_free(m);
    /* Its old replica cannot be had again. */
    struct act a = {.kind = ACT_OWN, .replica = sealed_world_replica(B, 0)};
    size_t i = sealed_world_sign(&w, B, &a);
    assert_int_equal(members_insert(w.view[B], buf_bytes(&w.acts[i])), -EBADMSG);
    sealed_world_fini(&w);
}

/* ---- adds --------------------------------------------------------------------------------------
 */

static void add_that_the_revoker_saw_stands(void **state)
{
    (void)state;
    struct world w;
    space_of(&w, 3);
    sealed_world_add(&w, B, D);
    sealed_world_tell(&w, B, D);
    sealed_world_own(&w, D, 0);
    sealed_world_tell(&w, D, A);
    sealed_world_revoke(&w, A, (unsigned[]){B}, 1, no_cuts, false);
    struct members *m = settle(&w);
    assert_members(m, "ACD");
    assert_true(members_cut(m, sealed_world_replica(D, 0)) == MEMBERS_NO_CUT);
    members_free(m);
    sealed_world_fini(&w);
}

/* B's revocation is unseen by B, by D whom it adds, and by E whom D adds. */
static void backdated_add_and_all_that_came_by_it_are_void(void **state)
{
    (void)state;
    struct world w;
    space_of(&w, 3);
    sealed_world_revoke(&w, A, (unsigned[]){B}, 1, no_cuts, true);
    sealed_world_add(&w, B, D);
    sealed_world_tell(&w, B, D);
    sealed_world_own(&w, D, 0);
    sealed_world_add(&w, D, E);
    sealed_world_tell(&w, D, E);
    sealed_world_own(&w, E, 0);
    struct members *m = settle(&w);
    assert_members(m, "AC");
    assert_int_equal(members_cut(m, sealed_world_replica(D, 0)), 0);
    assert_int_equal(members_cut(m, sealed_world_replica(E, 0)), 0);
    members_free(m);
    sealed_world_fini(&w);
}

static void add_of_one_under_another_box_key_is_of_another_member(void **state)
{
    (void)state;
    static const uint8_t label[ACT_LABEL_SIZE];
    struct world w;
    space_of(&w, 3);
    struct act a = {.kind = ACT_ADD,
                    .add = {.member = sealed_public(C), .role = ACT_ROLE_DEVICE, .label = label}};
    memcpy(a.add.member.box, sealed_public(B).box, BOX_KEY_SIZE);
    sealed_world_act(&w, B, &a);
    struct members *m = settle(&w);
    struct member_id id = sealed_world_id(C);
    assert_int_equal(members_n(m), 4);
    assert_memory_equal(members_find(m, &id)->keys.box, sealed_public(C).box, BOX_KEY_SIZE);
    members_free(m);
    sealed_world_fini(&w);
}

static void door_lets_in_until_a_revocation(void **state)
{
    (void)state;
    struct world w;
    space_of(&w, 3);
    sealed_world_door(&w, A, 0);
    sealed_world_tell(&w, A, B);
    sealed_world_tell(&w, A, C);
    sealed_world_join(&w, A, 0, D);
    assert_true(members_door_open(w.view[A], sealed_member(2000).sign_public));
    sealed_world_revoke(&w, A, (unsigned[]){C}, 1, no_cuts, true);
    assert_false(members_door_open(w.view[A], sealed_member(2000).sign_public));
    sealed_world_join(&w, B, 0, E); /* B has not heard of the revocation */
    struct members *m = settle(&w);
    assert_members(m, "ABD");
    members_free(m);
    /* Where it is known, it is not even taken. */
    static const uint8_t label[ACT_LABEL_SIZE];
    struct member_keys door = sealed_member(2000);
    uint8_t heads[LIMIT_ACT_HEADS * ACT_ID_SIZE];
    struct act a = {.kind = ACT_ADD,
                    .space = *members_space(w.view[A]),
                    .number = 2,
                    .add = {true, sealed_public(F), ACT_ROLE_DEVICE, label}};
    a.parents = (struct act_ids){heads, members_heads(w.view[A], heads)};
    memcpy(a.author.b, door.sign_public, SIGN_KEY_SIZE);
    struct buf b = {0};
    assert_int_equal(act_sign(&a, &door, &b), 0);
    assert_int_equal(members_insert(w.view[A], buf_bytes(&b)), -EBADMSG);
    buf_fini(&b);
    sealed_world_fini(&w);
}

static void backdated_door_is_no_door(void **state)
{
    (void)state;
    struct world w;
    space_of(&w, 3);
    sealed_world_revoke(&w, A, (unsigned[]){B}, 1, no_cuts, true);
    sealed_world_door(&w, B, 0);
    sealed_world_join(&w, B, 0, D);
    struct members *m = settle(&w);
    assert_members(m, "AC");
    assert_false(members_door_open(m, sealed_member(2000).sign_public));
    members_free(m);
    sealed_world_fini(&w);
}

/* ---- epochs ------------------------------------------------------------------------------------
 */

/*
 * Two revocations cross: the key of each epoch is known to the one that the other puts out. The
 * first epoch has a box for A alone, but everybody who was added later was given its key.
 */
static void crossing_revocations_leave_no_clean_epoch(void **state)
{
    (void)state;
    struct world w;
    space_of(&w, 4);
    sealed_world_revoke(&w, A, (unsigned[]){B}, 1, no_cuts, true);
    sealed_world_revoke(&w, C, (unsigned[]){D}, 1, no_cuts, true);
    struct members *m = settle(&w);
    assert_members(m, "AC");
    assert_null(members_epoch(m));
    members_free(m);
    sealed_world_tell(&w, C, A);
    size_t made = sealed_world_epoch(&w, A);
    m = settle(&w);
    struct act a;
    assert_int_equal(act_decode(buf_bytes(&w.acts[made]), &a), 0);
    assert_int_equal(epoch_id_cmp(&members_epoch(m)->epoch.id, &a.epoch.id), 0);
    members_free(m);
    sealed_world_fini(&w);
}

static void of_two_clean_epochs_the_smaller_id_is_taken(void **state)
{
    (void)state;
    struct world w;
    space_of(&w, 3);
    struct act a, b;
    size_t i = sealed_world_epoch(&w, A), j = sealed_world_epoch(&w, B);
    assert_int_equal(act_decode(buf_bytes(&w.acts[i]), &a), 0);
    assert_int_equal(act_decode(buf_bytes(&w.acts[j]), &b), 0);
    struct members *m = settle(&w);
    bool first = epoch_id_cmp(&a.epoch.id, &b.epoch.id) < 0;
    assert_int_equal(epoch_id_cmp(&members_epoch(m)->epoch.id, first ? &a.epoch.id : &b.epoch.id),
                     0);
    members_free(m);
    sealed_world_fini(&w);
}

/* ---- forks -------------------------------------------------------------------------------------
 */

static size_t act_of_fork(struct world *w, unsigned by, unsigned signer, uint64_t counter)
{
    struct act a = {.kind = ACT_FORK};
    struct buf stored[2] = {{0}, {0}};
    struct entry e[2];
    for (size_t i = 0; i < 2; i++) {
        struct entry_head h = {.kind = ENTRY_VALUE,
                               .space = *members_space(w->view[by]),
                               .dot = {sealed_world_replica(B, 0), counter}};
        sealed_entry(signer, &h, NULL, bytes_str("x"), &stored[i]);
        assert_int_equal(entry_parse_stored(buf_bytes(&stored[i]), &e[i]), 0);
        a.fork.head[i] = e[i].head_raw;
        a.fork.sign[i] = e[i].sign;
    }
    size_t i = sealed_world_sign(w, by, &a);
    buf_fini(&stored[0]);
    buf_fini(&stored[1]);
    return i;
}

static void fork_cuts_below_its_dot(void **state)
{
    (void)state;
    struct world w;
    space_of(&w, 3);
    size_t i = act_of_fork(&w, C, B, 30), j = act_of_fork(&w, A, B, 20);
    assert_int_equal(members_insert(w.view[C], buf_bytes(&w.acts[i])), 1);
    assert_int_equal(members_insert(w.view[A], buf_bytes(&w.acts[j])), 1);
    struct members *m = settle(&w);
    assert_members(m, "ABC");
    assert_int_equal(members_cut(m, sealed_world_replica(B, 0)), 19);
    members_free(m);
    i = act_of_fork(&w, C, A, 5); /* not B's signatures: A would like to frame it */
    assert_int_equal(members_insert(w.view[C], buf_bytes(&w.acts[i])), -EBADMSG);
    sealed_world_fini(&w);
}

/* ---- what is refused ---------------------------------------------------------------------------
 */

static int offer(struct world *w, unsigned device, struct act *a)
{
    size_t i = sealed_world_sign(w, device, a);
    int rc = members_insert(w->view[A], buf_bytes(&w->acts[i]));
    buf_fini(&w->acts[--w->n]);
    return rc;
}

static void act_of_a_stranger_is_refused(void **state)
{
    (void)state;
    static const uint8_t label[ACT_LABEL_SIZE];
    struct world w;
    space_of(&w, 2);
    sealed_world_tell(&w, A, D); /* a stranger that saw all acts: a server */
    struct member_id b = sealed_world_id(B);
    struct act add = {.kind = ACT_ADD,
                      .add = {.member = sealed_public(D), .role = ACT_ROLE_DEVICE, .label = label}};
    struct act own = {.kind = ACT_OWN, .replica = sealed_world_replica(D, 0)};
    struct act revoke = {.kind = ACT_REVOKE, .revoke = {b.b, 1, no_cuts, 0, false}};
    assert_int_equal(offer(&w, D, &add), -EBADMSG);
    assert_int_equal(offer(&w, D, &own), -EBADMSG);
    assert_int_equal(offer(&w, D, &revoke), -EBADMSG);
    add = (struct act){.kind = ACT_ADD,
                       .add = {true, sealed_public(D), ACT_ROLE_DEVICE, label}}; /* no such door */
    assert_int_equal(offer(&w, D, &add), -EBADMSG);
    sealed_world_fini(&w);
}

static bool takes(void *ctx, struct bytes in)
{
    struct members *m;
    const struct world *w = ctx;
    assert_int_equal(members_new(buf_bytes(&w->acts[0]), NULL, &m), 0);
    for (size_t i = 1; i + 1 < w->n; i++)
        assert_int_equal(members_insert(m, buf_bytes(&w->acts[i])), 1);
    int rc = members_insert(m, in);
    members_free(m);
    return rc == 1;
}

static void forged_act_is_refused_and_the_true_one_still_taken(void **state)
{
    (void)state;
    struct world w;
    sealed_world_init(&w);
    sealed_world_add(&w, A, B);
    struct buf *act = &w.acts[1];
    assert_true(takes(&w, buf_bytes(act)));
    assert_int_equal(sealed_flips(buf_bytes(act), takes, &w), 0);
    struct members *m;
    assert_int_equal(members_new(buf_bytes(&w.acts[0]), NULL, &m), 0);
    act->p[act->n - 1] ^= 1;
    assert_int_equal(members_insert(m, buf_bytes(act)), -EBADMSG);
    act->p[act->n - 1] ^= 1;
    assert_int_equal(members_insert(m, buf_bytes(act)), 1);
    assert_int_equal(members_insert(m, buf_bytes(act)), 0);
    members_free(m);
    sealed_world_fini(&w);
}

static void another_root_under_the_same_space_is_refused(void **state)
{
    (void)state;
    struct world w, other;
    struct members *m;
    sealed_world_init(&w);
    sealed_world_init(&other);
    const struct space_id *space = members_space(w.view[A]);
    assert_int_equal(members_new(buf_bytes(&w.acts[0]), space, &m), 0);
    members_free(m);
    w.acts[0].p[70] ^= 1; /* its random bytes */
    assert_int_equal(members_new(buf_bytes(&w.acts[0]), space, &m), -EBADMSG);
    assert_int_equal(members_new(buf_bytes(&w.acts[0]), NULL, &m), -EBADMSG);
    sealed_world_add(&other, A, B);
    assert_int_equal(members_new(buf_bytes(&other.acts[1]), NULL, &m), -EBADMSG);
    sealed_world_fini(&w);
    sealed_world_fini(&other);
}

static void replica_of_another_cannot_be_registered(void **state)
{
    (void)state;
    struct world w;
    space_of(&w, 2);
    struct act own = {.kind = ACT_OWN, .replica = sealed_world_replica(A, 1)};
    put_u32(own.random, 1);
    assert_int_equal(offer(&w, B, &own), -EBADMSG);
    own.number = 0;
    own.replica = sealed_world_replica(B, 1);
    assert_int_equal(offer(&w, B, &own), 1);
    sealed_world_fini(&w);
}

static void number_or_generation_out_of_order_is_refused(void **state)
{
    (void)state;
    struct world w;
    space_of(&w, 2);
    const uint32_t numbers[] = {1, 2, 4, 5, UINT32_MAX}; /* 3 is next */
    for (size_t i = 0; i < ARRAY_N(numbers); i++) {
        struct act label = {
            .kind = ACT_LABEL, .number = numbers[i], .label = (const uint8_t[ACT_LABEL_SIZE]){0}};
        assert_int_equal(offer(&w, B, &label), numbers[i] == 2 ? 1 : -EBADMSG);
    }
    const uint32_t generations[] = {1, 3, UINT32_MAX, 2};
    for (size_t i = 0; i < ARRAY_N(generations); i++) {
        struct act epoch = {.kind = ACT_EPOCH, .epoch = {{{9}}, generations[i], NULL, 0}};
        sealed_world_tell(&w, A, B);
        assert_int_equal(offer(&w, B, &epoch), generations[i] == 2 ? 1 : -EBADMSG);
    }
    sealed_world_fini(&w);
}

/* ---- limits ------------------------------------------------------------------------------------
 */

static void more_members_or_acts_than_the_limits_are_refused(void **state)
{
    (void)state;
    static const uint8_t label[ACT_LABEL_SIZE];
    struct world w;
    sealed_world_init(&w);
    for (unsigned d = 1; d < LIMIT_MEMBERS; d++)
        sealed_world_add(&w, A, d);
    struct act add = {
        .kind = ACT_ADD,
        .add = {.member = sealed_public(70), .role = ACT_ROLE_DEVICE, .label = label}};
    assert_int_equal(offer(&w, A, &add), -EBADMSG);
    for (size_t i = LIMIT_MEMBERS; i < LIMIT_AUTHOR_ACTS; i++)
        sealed_world_label(&w, A, "x");
    struct act one = {.kind = ACT_LABEL, .label = label};
    assert_int_equal(offer(&w, A, &one), -EBADMSG);
    sealed_world_revoke(&w, A, (unsigned[]){B}, 1, no_cuts, true); /* always */
    assert_int_equal(members_n(w.view[A]), LIMIT_MEMBERS - 1);
    sealed_world_fini(&w);
}

/* Of an unknown author, with an unknown parent: it waits, and nothing says that it is junk. */
static void insert_junk(struct members *m, uint32_t number)
{
    static const uint8_t parent[ACT_ID_SIZE] = {9};
    struct member_keys k = sealed_member(77);
    struct act a = {.kind = ACT_DOOR,
                    .space = *members_space(m),
                    .author = sealed_world_id(77),
                    .number = number,
                    .parents = {parent, 1}};
    struct buf b = {0};
    memcpy(a.door, k.sign_public, SIGN_KEY_SIZE);
    assert_int_equal(act_sign(&a, &k, &b), 0);
    assert_int_equal(members_insert(m, buf_bytes(&b)), -EAGAIN);
    buf_fini(&b);
}

static void junk_that_waits_keeps_no_true_act_out(void **state)
{
    (void)state;
    struct world w;
    sealed_world_init(&w);
    size_t acts[] = {sealed_world_add(&w, A, B), sealed_world_own(&w, A, 0),
                     sealed_world_own(&w, A, 1)};
    struct members *m;
    assert_int_equal(members_new(buf_bytes(&w.acts[0]), NULL, &m), 0);
    /* One is before the junk, its child behind it; then their parent. */
    assert_int_equal(members_insert(m, buf_bytes(&w.acts[acts[1]])), -EAGAIN);
    for (uint32_t i = 1; i <= 2 * MEMBERS_WAITING_MAX; i++)
        insert_junk(m, i);
    assert_int_equal(members_dropped(m).n, 1);
    assert_int_equal(members_insert(m, buf_bytes(&w.acts[acts[2]])), -EAGAIN);
    assert_int_equal(members_insert(m, buf_bytes(&w.acts[acts[0]])), 1);
    assert_int_equal(members_acts_n(m), 4);
    assert_int_equal(members_dropped(m).n, 0);
    members_free(m);
    /* Of one who is not known yet likewise, if it comes behind the junk. */
    sealed_world_tell(&w, A, B);
    size_t of_new = sealed_world_own(&w, B, 0);
    assert_int_equal(members_new(buf_bytes(&w.acts[0]), NULL, &m), 0);
    for (uint32_t i = 1; i <= MEMBERS_WAITING_MAX; i++)
        insert_junk(m, i);
    assert_int_equal(members_insert(m, buf_bytes(&w.acts[of_new])), -EAGAIN);
    assert_int_equal(members_dropped(m).n, 1);
    for (size_t i = 0; i < ARRAY_N(acts); i++)
        assert_int_equal(members_insert(m, buf_bytes(&w.acts[acts[i]])), 1);
    assert_int_equal(members_acts_n(m), 5);
    members_free(m);
    sealed_world_fini(&w);
}

static void waiting_acts_are_bounded(void **state)
{
    (void)state;
    struct world w;
    sealed_world_init(&w);
    uint8_t parent[ACT_ID_SIZE] = {1};
    struct member_keys k = sealed_member(A);
    struct act a = {.kind = ACT_DOOR,
                    .space = *members_space(w.view[A]),
                    .author = sealed_world_id(A),
                    .parents = {parent, 1}};
    memcpy(a.door, k.sign_public, SIGN_KEY_SIZE);
    struct buf b = {0};
    struct act_id ids[MEMBERS_WAITING_MAX + 1];
    for (uint32_t i = 0; i < ARRAY_N(ids); i++) {
        a.number = i + 1;
        buf_reset(&b);
        assert_int_equal(act_sign(&a, &k, &b), 0);
        ids[i] = act_id_of(buf_bytes(&b));
        assert_int_equal(members_insert(w.view[A], buf_bytes(&b)), -EAGAIN);
        assert_int_equal(members_dropped(w.view[A]).n, i == MEMBERS_WAITING_MAX);
    }
    assert_memory_equal(members_dropped(w.view[A]).p, &ids[0], ACT_ID_SIZE);
    struct act_id missing[2];
    assert_int_equal(members_missing(w.view[A], missing, 2), 1);
    assert_memory_equal(missing[0].b, parent, ACT_ID_SIZE);
    /* One that waits takes no second place. */
    assert_int_equal(members_insert(w.view[A], buf_bytes(&b)), -EAGAIN);
    assert_int_equal(members_dropped(w.view[A]).n, 0);
    buf_fini(&b);
    sealed_world_fini(&w);
}

/* ---- random graphs -----------------------------------------------------------------------------
 */

static void random_act(struct world *w, unsigned d)
{
    struct member_id self = sealed_world_id(d);
    if (members_find(w->view[d], &self) == NULL || w->n > 60)
        return;
    unsigned other = (unsigned)rand() % 6, i = (unsigned)rand() % 3;
    struct member_id id = sealed_world_id(other);
    bool known = false, owned = members_cut(w->view[d], sealed_world_replica(d, i)) != 0;
    for (size_t n = 0; n < members_acts_n(w->view[d]); n++) {
        const struct act *a = members_act(w->view[d], n);
        struct member_id who = member_id_of(&a->add.member);
        known = known ||
                ((a->kind == ACT_ADD || a->kind == ACT_GENESIS) && member_id_cmp(&who, &id) == 0);
        owned = owned || (a->kind == ACT_OWN && a->replica == sealed_world_replica(d, i));
    }
    switch (rand() % 8) {
    case 0:
    case 1:
        if (known)
            sealed_world_revoke(w, d, &other, 1, one_cut(sealed_world_replica(other, i), 10 + w->n),
                                rand() % 2);
        break;
    case 2:
    case 3:
        sealed_world_add(w, d, other);
        break;
    case 4:
        if (!owned)
            sealed_world_own(w, d, i);
        break;
    case 5:
        sealed_world_epoch(w, d);
        break;
    case 6:
        sealed_world_label(w, d, "label");
        break;
    default:
        if (members_door_open(w->view[d], sealed_member(2000).sign_public))
            sealed_world_join(w, d, 0, other);
        break;
    }
}

static void random_graphs_give_one_answer_in_every_order(void **state)
{
    (void)state;
    const char *given = getenv("PERSIST_TEST_SEED");
    unsigned seed = given != NULL ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
    printf("PERSIST_TEST_SEED=%u\n", seed);
    for (unsigned round = 0; round < 12; round++) {
        srand(seed + round);
        struct world w;
        space_of(&w, 4);
        sealed_world_door(&w, A, 0);
        for (unsigned d = B; d <= F; d++)
            sealed_world_tell(&w, A, d);
        for (unsigned step = 0; step < 40; step++) {
            random_act(&w, (unsigned)rand() % 6);
            if (rand() % 2)
                sealed_world_tell(&w, (unsigned)rand() % 6, (unsigned)rand() % 6);
        }
        size_t order[WORLD_ACTS] = {0}, n = w.n - 1;
        uint8_t expected[HASH_SIZE];
        for (size_t i = 0; i < n; i++)
            order[i] = i + 1;
        struct members *m = sealed_world_insert(&w, order);
        sealed_world_answers(m, expected);
        members_free(m);
        for (unsigned again = 0; again < 8; again++) {
            for (size_t i = n; i > 1; i--)
                swap(&order[i - 1], &order[(size_t)rand() % i]);
            compare(&w, order, expected);
        }
        sealed_world_fini(&w);
    }
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_that_were_added_are_members),
        cmocka_unit_test(revoked_member_is_out_and_cut),
        cmocka_unit_test(replica_registered_beside_the_revocation_is_cut_at_nothing),
        cmocka_unit_test(mutual_revocation_puts_both_out),
        cmocka_unit_test(cycle_of_three_puts_all_of_it_out),
        cmocka_unit_test(backdated_revocation_of_all_counts),
        cmocka_unit_test(member_that_leaves_is_out),
        cmocka_unit_test(member_comes_back_by_an_add_that_saw_the_revocation),
        cmocka_unit_test(add_that_the_revoker_saw_stands),
        cmocka_unit_test(backdated_add_and_all_that_came_by_it_are_void),
        cmocka_unit_test(add_of_one_under_another_box_key_is_of_another_member),
        cmocka_unit_test(door_lets_in_until_a_revocation),
        cmocka_unit_test(backdated_door_is_no_door),
        cmocka_unit_test(crossing_revocations_leave_no_clean_epoch),
        cmocka_unit_test(of_two_clean_epochs_the_smaller_id_is_taken),
        cmocka_unit_test(fork_cuts_below_its_dot),
        cmocka_unit_test(act_of_a_stranger_is_refused),
        cmocka_unit_test(forged_act_is_refused_and_the_true_one_still_taken),
        cmocka_unit_test(another_root_under_the_same_space_is_refused),
        cmocka_unit_test(replica_of_another_cannot_be_registered),
        cmocka_unit_test(number_or_generation_out_of_order_is_refused),
        cmocka_unit_test(more_members_or_acts_than_the_limits_are_refused),
        cmocka_unit_test(waiting_acts_are_bounded),
        cmocka_unit_test(junk_that_waits_keeps_no_true_act_out),
        cmocka_unit_test(random_graphs_give_one_answer_in_every_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
