/* Members that are let in by a member, without a door. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs/space/merger.h"
#include "fs/space/sync_priv.h"
#include "proto/sealed/discovery.h"
#include "tests/support/hostile_member.h"
#include "tests/support/sync_meet.h"

enum { MERGE_MS = 1000 };

/* anna, and bert whom she let in. */
static void begin(struct sync_meet *m)
{
    sync_meet_found(m, "anna");
    device_granted(&m->d[1], "bert", 2, &m->d[0]);
    sync_meet_give(m, 0, 1);
    assert_int_equal(space_sync_join(m->d[1].s), 1);
    sync_meet_give(m, 1, 0);
}

static void who_was_let_in_is_like_all(void **state)
{
    (void)state;
    struct sync_meet m;
    begin(&m);
    struct device *a = &m.d[0], *b = &m.d[1];
    assert_true(space_sync_is_member(a->s) && space_sync_is_member(b->s));
    device_save_text(a, "a", "of anna\n");
    device_save_text(b, "b", "of bert\n");
    sync_meet_all(&m, 2);
    sync_meet_expect_equal(&m, 2);
    assert_int_not_equal(device_ino(a, "b"), 0);
    assert_int_not_equal(device_ino(b, "a"), 0);
    device_reopen(b);
    assert_true(space_sync_is_member(b->s));
    /* And lets others in. */
    device_granted(&m.d[2], "carl", 3, b);
    sync_meet_all(&m, 3);
    assert_int_equal(space_sync_join(m.d[2].s), 1);
    sync_meet_all(&m, 3);
    assert_int_not_equal(device_ino(&m.d[2], "a"), 0);
    sync_meet_expect_equal(&m, 3);
    sync_meet_close(&m);
}

static void members_have_the_same_names_and_nobody_else_any(void **state)
{
    (void)state;
    enum { DAY_S = 86400, NOW_S = 20787 * DAY_S + 86399 };
    struct sync_meet m;
    struct buf of_anna CLEANUP(buf_fini) = {0}, of_bert CLEANUP(buf_fini) = {0},
                       next CLEANUP(buf_fini) = {0};
    uint8_t today[HASH_SIZE];
    sync_meet_found(&m, "anna");
    device_granted(&m.d[1], "bert", 2, &m.d[0]);
    struct space *a = m.d[0].s, *b = m.d[1].s;
    assert_int_equal(space_sync_names(b, NOW_S, &of_bert), 0);
    assert_int_equal(of_bert.n, 0); /* no acts are here, which would say which epoch it is */
    sync_meet_give(&m, 0, 1);
    assert_int_equal(space_sync_join(b), 1);
    sync_meet_give(&m, 1, 0);
    assert_int_equal(space_sync_names(a, NOW_S, &of_anna), 0);
    assert_int_equal(space_sync_names(b, NOW_S, &of_bert), 0);
    assert_int_equal(of_anna.n, 3 * HASH_SIZE);
    assert_true(bytes_equal(buf_bytes(&of_anna), buf_bytes(&of_bert)));
    discovery_name(sync_epoch(a), 20787, today);
    assert_memory_equal(of_anna.p + HASH_SIZE, today, HASH_SIZE);
    /* A second later it is the next day. */
    assert_int_equal(space_sync_names(a, NOW_S + 1, &next), 0);
    assert_memory_equal(next.p, of_anna.p + HASH_SIZE, 2 * HASH_SIZE);
    assert_memory_not_equal(next.p + 2 * HASH_SIZE, of_anna.p, HASH_SIZE);
    sync_meet_close(&m);
}

static void a_second_grant_makes_no_second_act(void **state)
{
    (void)state;
    struct sync_meet m;
    begin(&m);
    struct device *a = &m.d[0], *b = &m.d[1];
    struct act_add who = {.member = b->member->pub, .role = ACT_ROLE_DEVICE};
    struct buf blob CLEANUP(buf_fini) = {0}, acts CLEANUP(buf_fini) = {0},
                    again CLEANUP(buf_fini) = {0};
    struct grant *g = calloc(1, sizeof *g);
    assert_non_null(g);
    assert_int_equal(space_sync_own_acts(a->s, &acts), 0);
    assert_int_equal(space_sync_grant(a->s, &who, "bert", "notes", &blob), 0);
    assert_int_equal(space_sync_own_acts(a->s, &again), 0);
    assert_true(bytes_equal(buf_bytes(&acts), buf_bytes(&again)));
    assert_int_equal(grant_open(buf_bytes(&blob), &b->member->keys, g), 0);
    assert_int_equal(space_sync_take_grant(b->s, g), 0);
    g->secret[0] ^= 1;
    assert_int_equal(space_sync_take_grant(b->s, g), -EEXIST);
    free(g);
    sync_meet_close(&m);
}

static void no_member_lets_nobody_in(void **state)
{
    (void)state;
    struct sync_meet m;
    sync_meet_found(&m, "anna");
    device_granted(&m.d[1], "bert", 2, &m.d[0]);
    struct member_public nobody = {.identity = {1}};
    struct act_add who = {.member = nobody, .role = ACT_ROLE_DEVICE};
    struct buf blob CLEANUP(buf_fini) = {0};
    assert_false(space_sync_is_member(m.d[1].s));
    assert_int_equal(space_sync_grant(m.d[1].s, &who, "x", "notes", &blob), -ENOTCONN);
    /* And keys that are none make no member. */
    assert_true(space_sync_grant(m.d[0].s, &who, "x", "notes", &blob) < 0);
    assert_int_equal(blob.n, 0);
    sync_meet_close(&m);
}

static void who_was_revoked_is_known(void **state)
{
    (void)state;
    struct sync_meet m;
    begin(&m);
    struct device *a = &m.d[0], *b = &m.d[1];
    struct buf raw CLEANUP(buf_fini) = {0};
    struct member_id id = member_id_of(&b->member->pub);
    struct act revoke;
    assert_false(space_sync_was_revoked(a->s, b->member->pub.identity));
    memset(&revoke, 0, sizeof revoke);
    revoke.kind = ACT_REVOKE;
    revoke.revoke.members = id.b;
    revoke.revoke.members_n = 1;
    hostile_act(a, &revoke, &raw);
    assert_int_equal(space_sync_take_act(a->s, 9, buf_bytes(&raw)), SYNC_TAKEN);
    assert_true(space_sync_was_revoked(a->s, b->member->pub.identity));
    assert_false(space_sync_was_revoked(a->s, a->member->pub.identity));
    sync_meet_close(&m);
}

/* ---- an onlooker ---- */

/* Two others save the same file at once; the third may look at it for a while. How many changes it
 * has made of it. */
static uint64_t changes_of_third(bool onlooker)
{
    struct sync_meet m;
    begin(&m);
    m.d[2].onlooker = onlooker;
    device_granted(&m.d[2], "carl", 3, &m.d[0]);
    sync_meet_all(&m, 3);
    assert_int_equal(space_sync_join(m.d[2].s), 1);
    device_save_text(&m.d[0], "f", "1\n2\n3\n4\n5\n6\n7\n8\n9\n");
    sync_meet_all(&m, 3);
    device_save_text(&m.d[0], "f", "one\n2\n3\n4\n5\n6\n7\n8\n9\n");
    device_save_text(&m.d[1], "f", "1\n2\n3\n4\n5\n6\n7\n8\nnine\n");
    sync_meet_give(&m, 0, 2);
    sync_meet_give(&m, 1, 2);
    struct space *s = m.d[2].s;
    merger_release(s); /* of the fixture */
    usleep(MERGE_MS * 1000);
    merger_hold(s);
    pthread_mutex_lock(&s->lock);
    uint64_t n = vv_get(replica_knowledge(s->replica), replica_id(s->replica));
    pthread_mutex_unlock(&s->lock);
    sync_meet_close(&m);
    return n;
}

static void an_onlooker_ends_no_conflict(void **state)
{
    (void)state;
    assert_true(changes_of_third(false) > 0);
    assert_int_equal(changes_of_third(true), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_was_let_in_is_like_all),
        cmocka_unit_test(members_have_the_same_names_and_nobody_else_any),
        cmocka_unit_test(a_second_grant_makes_no_second_act),
        cmocka_unit_test(no_member_lets_nobody_in),
        cmocka_unit_test(who_was_revoked_is_known),
        cmocka_unit_test(an_onlooker_ends_no_conflict),
    };
    return cmocka_run_group_tests_name("space grant", tests, NULL, NULL);
}
