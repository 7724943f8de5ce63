/*
 * One that was put out signs as if it had not heard of that: attack 19 of the list in
 * proto/sealed/README.md. Its revocations of all end the list of members and lose nothing: the
 * folder goes on in a new space. Whom it adds is no member.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fs/space/carry.h"
#include "fs/space/peers.h"
#include "fs/space/sync_priv.h"
#include "proto/base/log.h"
#include "tests/support/hostile_member.h"
#include "tests/support/sync_meet.h"

enum { ANNA, MALLORY, BERT, DEVICES, EVE = DEVICES, HOSTILE_REMOTE = 99 };

static const char *const labels[DEVICES] = {"anna", "mallory", "bert"};
static const size_t honest[] = {ANNA, BERT};

static struct sync_meet w, anew;

static int setup(void **state)
{
    (void)state;
    log_set_level(LOG_LEVEL_NONE);
    sync_meet_open(&w, labels, DEVICES);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sync_meet_close(&w);
    sync_meet_close(&anew);
    memset(&w, 0, sizeof w);
    memset(&anew, 0, sizeof anew);
    return 0;
}

static void save(struct sync_meet *m, size_t i, const char *path, const char *text)
{
    device_save_text(&m->d[i], path, text);
    assert_int_equal(publisher_flush(m->d[i].s), 0);
}

static const struct sync *sync_of(size_t i)
{
    return w.d[i].s->sync;
}

static bool is_member(size_t at, size_t who)
{
    return members_find(sync_of(at)->members, &sync_of(who)->id) != NULL;
}

/* Anna puts mallory out; bert hears of it, mallory does not. */
static void put_mallory_out(void)
{
    assert_int_equal(peers_revoke(w.d[ANNA].s, w.d[MALLORY].member->pub.identity, ACT_REASON_LOST),
                     0);
    assert_int_equal(space_sync_settle(w.d[ANNA].s), 0);
    sync_meet_give(&w, ANNA, BERT);
    assert_false(is_member(ANNA, MALLORY) || is_member(BERT, MALLORY));
    assert_true(is_member(MALLORY, MALLORY));
}

/* ---- revocations -------------------------------------------------------------------------------
 */

static int by_id(const void *a, const void *b)
{
    return memcmp(a, b, MEMBER_ID_SIZE);
}

/* Of all, so that nothing of what they made counts. */
static void sign_end_of_all(struct buf *ret)
{
    uint8_t ids[DEVICES * MEMBER_ID_SIZE];
    struct act a;
    memset(&a, 0, sizeof a);
    for (size_t i = 0; i < DEVICES; i++)
        memcpy(ids + i * MEMBER_ID_SIZE, sync_of(i)->id.b, MEMBER_ID_SIZE);
    qsort(ids, DEVICES, MEMBER_ID_SIZE, by_id);
    a.kind = ACT_REVOKE;
    a.revoke.members = ids;
    a.revoke.members_n = DEVICES;
    hostile_act(&w.d[MALLORY], &a, ret);
}

static void expect_files(struct device *d)
{
    sync_meet_expect(d, "a", "of anna\n");
    sync_meet_expect(d, "b", "of bert\n");
    sync_meet_expect(d, "m", "of mallory\n");
    sync_meet_expect(d, "late", "of anna, after mallory's end\n");
}

/* All that was in the folder stays there, and it works on, alone. */
static void expect_out_and_whole(size_t i)
{
    char by[LIMIT_LABEL + 1];
    uint64_t ms;
    assert_int_equal(members_n(sync_of(i)->members), 0);
    assert_true(peers_is_out(w.d[i].s, by, &ms));
    assert_string_equal(by, "mallory");
    (void)space_sync_adopt(w.d[i].s, UINT64_MAX); /* it may not take over what is void now */
    device_reopen(&w.d[i]);
    expect_files(&w.d[i]);
    save(&w, i, "alone", labels[i]);
    sync_meet_expect(&w.d[i], "alone", labels[i]);
}

static bool never_cancelled(struct out *out, unsigned wait_ms)
{
    (void)out;
    (void)wait_ms;
    return false;
}

static void carry_to_new_space(size_t from)
{
    struct out out = {.cancelled = never_cancelled};
    struct err err = {0};
    sync_meet_found(&anew, "anna");
    if (space_carry(w.d[from].s, anew.d[0].s, &out, &err) < 0)
        fail_msg("%s", err.msg);
    expect_files(&anew.d[0]);
    sync_meet_expect(&anew.d[0], "alone", labels[from]);
}

static void backdated_revocations_of_all_lose_nothing_and_a_new_space_goes_on(void **state)
{
    (void)state;
    struct buf end CLEANUP(buf_fini) = {0}, sealed CLEANUP(buf_fini) = {0};
    struct buf change CLEANUP(buf_fini) = {0};
    save(&w, ANNA, "a", "of anna\n");
    save(&w, BERT, "b", "of bert\n");
    save(&w, MALLORY, "m", "of mallory\n");
    sync_meet_all(&w, DEVICES);
    put_mallory_out();
    save(&w, ANNA, "late", "of anna, after mallory's end\n");
    sync_meet_give(&w, ANNA, BERT);
    sign_end_of_all(&end);
    for (size_t i = 0; i < ARRAY_N(honest); i++) {
        struct space *s = w.d[honest[i]].s;
        assert_int_equal(space_sync_take_act(s, HOSTILE_REMOTE, buf_bytes(&end)), SYNC_TAKEN);
        assert_int_equal(space_sync_settle(s), 0);
    }
    for (size_t i = 0; i < ARRAY_N(honest); i++)
        expect_out_and_whole(honest[i]);
    carry_to_new_space(ANNA);
    /* Neither mallory's acts nor its changes are of that space. */
    struct hostile_file f = {
        .kind = KIND_FILE, .name = "forged", .name_n = strlen("forged"), .content = bytes_str("x")};
    struct hostile_entry x = {.dot = hostile_next_dot(&w.d[MALLORY])};
    hostile_change(&w.d[MALLORY], &x.dot, &f, 1, &change);
    x.plain = buf_bytes(&change);
    hostile_entry_seal(&w.d[MALLORY], &x, &sealed);
    struct space *s = anew.d[0].s;
    assert_int_equal(space_sync_take_act(s, HOSTILE_REMOTE, buf_bytes(&end)), SYNC_REFUSED);
    assert_int_not_equal(space_sync_take_entry(s, HOSTILE_REMOTE, buf_bytes(&sealed)), SYNC_TAKEN);
    sync_meet_expect(&anew.d[0], "forged", NULL);
    assert_int_equal(members_n(s->sync->members), 1);
    /* Who is let in there gets all of it. */
    sync_meet_join(&anew, 1, "bert", 0);
    sync_meet_all(&anew, 2);
    expect_files(&anew.d[1]);
    save(&anew, 1, "b", "of bert\n");
    sync_meet_all(&anew, 2);
    sync_meet_expect_equal(&anew, 2);
}

/* ---- adds --------------------------------------------------------------------------------------
 */

/* What eve and mallory tell counts nowhere, and eve is told nothing. */
static void expect_eve_is_none(void)
{
    assert_true(is_member(EVE, EVE)); /* in what it knows */
    save(&w, EVE, "e", "of eve\n");
    save(&w, ANNA, "a", "under the new key\n");
    for (size_t i = 0; i < ARRAY_N(honest); i++) {
        (void)sync_meet_offer(&w, MALLORY, honest[i]);
        assert_true(sync_meet_offer(&w, EVE, honest[i]) > 0);
        assert_int_equal(space_sync_adopt(w.d[honest[i]].s, UINT64_MAX), 0);
        assert_false(is_member(honest[i], EVE));
        assert_int_equal(members_n(sync_of(honest[i])->members), ARRAY_N(honest));
        sync_meet_expect(&w.d[honest[i]], "e", NULL);
    }
    (void)sync_meet_offer(&w, ANNA, EVE);
    const struct epoch_keys *now = sync_epoch(w.d[ANNA].s);
    assert_non_null(now);
    assert_null(keyring_find(&w.d[EVE].s->keyring, &now->id));
    sync_meet_expect(&w.d[EVE], "a", NULL);
    sync_meet_give(&w, ANNA, BERT);
    sync_meet_expect(&w.d[BERT], "a", "under the new key\n");
}

static void whom_a_member_that_is_out_adds_is_none(void **state)
{
    (void)state;
    put_mallory_out();
    device_granted(&w.d[EVE], "eve", EVE + 1, &w.d[MALLORY]);
    sync_meet_give(&w, MALLORY, EVE);
    assert_int_equal(space_sync_join(w.d[EVE].s), 1);
    expect_eve_is_none();
}

/* The passphrase was known before, and the device that comes by it has not heard. */
static void who_comes_by_a_door_that_is_closed_is_none(void **state)
{
    (void)state;
    device_join(&w.d[EVE], "eve", EVE + 1, &w.d[BERT]);
    sync_meet_all(&w, DEVICES);
    put_mallory_out();
    sync_meet_give(&w, MALLORY, EVE);
    assert_int_equal(space_sync_join(w.d[EVE].s), 1);
    expect_eve_is_none();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(backdated_revocations_of_all_lose_nothing_and_a_new_space_goes_on),
        TEST(whom_a_member_that_is_out_adds_is_none),
        TEST(who_comes_by_a_door_that_is_closed_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
