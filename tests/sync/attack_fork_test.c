/*
 * Attack 14 of the list in proto/sealed/README.md: a copy of a device is in use beside it, and both
 * are heard before they hear of each other; or the database stands still between two steps.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fs/space/sync_priv.h"
#include "proto/base/log.h"
#include "tests/support/hostile_server.h"
#include "tests/support/online.h"
#include "tests/support/sync_meet.h"

enum { ANNA, BERT, CARL, COPY, DEVICES };

static const char *const labels[] = {"anna", "bert", "carl"};

static struct sync_meet w;
static struct online on[BERT + 1];
static struct hostile_server server;
static uint64_t forked; /* the replica of anna, and of her copy */

static void save(size_t i, const char *path, const char *text)
{
    device_save_text(&w.d[i], path, text);
    assert_int_equal(publisher_flush(w.d[i].s), 0);
}

/* Anna's device is copied, and each of the two is heard by one of the others. */
static int setup(void **state)
{
    (void)state;
    log_set_level(LOG_LEVEL_NONE);
    memset(on, 0, sizeof on);
    sync_meet_open(&w, labels, COPY);
    save(ANNA, "a", "before");
    save(ANNA, "b", "before");
    save(ANNA, "gone", "deleted by the copy");
    sync_meet_all(&w, COPY);
    device_copy(&w.d[COPY], &w.d[ANNA]);
    memcpy(w.done[COPY], w.done[ANNA], sizeof w.done[COPY]);
    for (size_t i = 0; i < COPY; i++)
        w.done[i][COPY] = w.done[i][ANNA];
    forked = replica_id(w.d[ANNA].s->replica);
    save(ANNA, "a", "of the original");
    save(ANNA, "o", "original alone");
    save(COPY, "b", "of the copy");
    save(COPY, "c", "copy alone");
    device_unlink(&w.d[COPY], "gone");
    sync_meet_give(&w, ANNA, BERT);
    sync_meet_give(&w, COPY, CARL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_N(on); i++)
        online_stop(&on[i]);
    sync_meet_close(&w);
    return 0;
}

static void adopt(size_t i)
{
    assert_int_equal(space_sync_adopt(w.d[i].s, UINT64_MAX), 0);
}

static void expect_all_is_there(size_t n)
{
    for (size_t i = 0; i < n; i++) {
        sync_meet_expect(&w.d[i], "o", "original alone");
        sync_meet_expect(&w.d[i], "c", "copy alone");
        sync_meet_expect(&w.d[i], "a", "of the original");
        sync_meet_expect(&w.d[i], "b", "of the copy");
        assert_int_equal(replica_has_void(w.d[i].s->replica), 0);
    }
}

static void expect_states_equal(size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_true(space_sync_state(w.d[i].s) >= 0);
    sync_meet_all(&w, n);
    for (size_t i = 0; i < n; i++) {
        struct buf peers CLEANUP(buf_fini) = {0};
        assert_int_equal(space_sync_peers(w.d[i].s, &peers), 0);
        assert_int_equal(peers.n, (n - 1) * sizeof(struct sync_peer));
        for (size_t at = 0; at < peers.n; at += sizeof(struct sync_peer)) {
            struct sync_peer p;
            memcpy(&p, peers.p + at, sizeof p);
            assert_true(p.equal);
        }
    }
}

/* ---- tests -------------------------------------------------------------------------------------
 */

static void two_copies_that_were_both_heard_go_on_as_two(void **state)
{
    (void)state;
    struct sync_counts c;
    sync_meet_all(&w, DEVICES);
    uint64_t anna = replica_id(w.d[ANNA].s->replica), copy = replica_id(w.d[COPY].s->replica);
    assert_true(anna != forked && copy != forked && anna != copy);
    for (size_t i = 0; i < DEVICES; i++)
        adopt(i);
    sync_meet_all(&w, DEVICES);
    expect_all_is_there(DEVICES);
    for (size_t i = 0; i < DEVICES; i++) {
        sync_meet_expect(&w.d[i], "gone", NULL); /* its device said so again */
        space_sync_counts(w.d[i].s, &c);
        assert_true(c.forks > 0 && c.last_fork[0] != '\0' && !c.taking_over);
    }
    sync_meet_expect_equal(&w, DEVICES);
    expect_states_equal(DEVICES);
    /* And they go on. */
    save(ANNA, "new", "of anna");
    save(COPY, "new2", "of the copy");
    sync_meet_all(&w, DEVICES);
    for (size_t i = 0; i < DEVICES; i++) {
        sync_meet_expect(&w.d[i], "new", "of anna");
        sync_meet_expect(&w.d[i], "new2", "of the copy");
    }
    sync_meet_expect_equal(&w, DEVICES);
}

/* Both copies are lost: those who heard of them take it over. */
static void what_two_lost_copies_wrote_is_taken_over(void **state)
{
    (void)state;
    sync_meet_give(&w, BERT, CARL);
    sync_meet_give(&w, CARL, BERT);
    sync_meet_give(&w, BERT, CARL);
    adopt(BERT);
    sync_meet_give(&w, BERT, CARL);
    adopt(CARL);
    sync_meet_give(&w, CARL, BERT);
    sync_meet_give(&w, BERT, CARL);
    for (size_t i = BERT; i <= CARL; i++) {
        sync_meet_expect(&w.d[i], "o", "original alone");
        sync_meet_expect(&w.d[i], "c", "copy alone");
        sync_meet_expect(&w.d[i], "gone", "deleted by the copy");
        sync_meet_expect(&w.d[i], "a", "of the original");
        sync_meet_expect(&w.d[i], "b", "of the copy");
    }
    struct state_digest theirs, carl;
    replica_digest(w.d[BERT].s->replica, &theirs);
    replica_digest(w.d[CARL].s->replica, &carl);
    assert_memory_equal(&theirs, &carl, sizeof carl);
    assert_true(
        vv_equal(replica_knowledge(w.d[BERT].s->replica), replica_knowledge(w.d[CARL].s->replica)));
}

/* The process dies after each step: what is left to do is found at the next start. */
static void every_step_may_be_the_last_one_of_a_process(void **state)
{
    (void)state;
    struct members *m;
    sync_meet_give(&w, BERT, CARL); /* carl has both forms, and makes the act */
    m = w.d[CARL].s->sync->members;
    assert_int_equal(members_act(m, members_acts_n(m) - 1)->kind, ACT_FORK);
    struct buf fork CLEANUP(buf_fini) = {0};
    buf_put_bytes(&fork, members_act(m, members_acts_n(m) - 1)->raw);
    for (size_t i = 0; i < DEVICES; i++) {
        if (i == CARL)
            continue;
        assert_int_equal(space_sync_take_act(w.d[i].s, 7, buf_bytes(&fork)), SYNC_TAKEN);
        device_reopen(&w.d[i]);
        assert_int_equal(space_sync_settle(w.d[i].s), 0);
        assert_true(vv_get(replica_knowledge(w.d[i].s->replica), forked) <=
                    members_cut(w.d[i].s->sync->members, forked));
        device_reopen(&w.d[i]);
    }
    assert_true(replica_id(w.d[ANNA].s->replica) != forked);
    assert_int_equal(replica_has_void(w.d[BERT].s->replica), 1);
    assert_true(w.d[BERT].s->sync->adopt_at_ms != 0);
    sync_meet_all(&w, DEVICES);
    for (size_t i = 0; i < DEVICES; i++) {
        adopt(i);
        device_reopen(&w.d[i]);
    }
    sync_meet_all(&w, DEVICES);
    expect_all_is_there(DEVICES);
    sync_meet_expect_equal(&w, DEVICES);
}

/* ---- a server that has four others -------------------------------------------------------------
 */

static int setup_server(void **state)
{
    int rc = setup(state);
    hostile_server_start(&server);
    return rc;
}

static int teardown_server(void **state)
{
    int rc = teardown(state);
    hostile_server_stop(&server);
    return rc;
}

static bool bert_has_both(void *arg)
{
    (void)arg;
    return device_ino(&w.d[BERT], "after") != 0 && device_ino(&w.d[BERT], "later") != 0;
}

static bool is_left_out(void *arg)
{
    struct sync_counts c;
    space_sync_counts(w.d[ANNA].s, &c);
    return c.left_out == 1 && online_is_settled(arg);
}

/* It takes no fifth form of one change: that one is left out there, and all later ones go on. */
static void what_a_server_takes_no_more_forms_of_is_left_out_there(void **state)
{
    (void)state;
    const char *urls[] = {server.url};
    online_start(&on[ANNA], &w.d[ANNA], 1, urls, 1);
    online_sync(&on[ANNA]);
    hostile_server_lock(&server);
    server.ways.refuses =
        (struct dot){forked, vv_get(replica_knowledge(w.d[ANNA].s->replica), forked) + 1};
    hostile_server_unlock(&server);
    save(ANNA, "refused", "x");
    online_wait(is_left_out, &on[ANNA], "all else is sent");
    save(ANNA, "after", "x");
    online_sync(&on[ANNA]);
    online_stop(&on[ANNA]);
    device_reopen(&w.d[ANNA]); /* and so it stays */
    online_start(&on[ANNA], &w.d[ANNA], 1, urls, 1);
    save(ANNA, "later", "x");
    online_wait(is_left_out, &on[ANNA], "goes on after a restart");
    online_start(&on[BERT], &w.d[BERT], 2, urls, 1);
    online_wait(bert_has_both, NULL, "bert has what came later");
    hostile_server_lock(&server);
    unsigned sessions = server.sessions;
    hostile_server_unlock(&server);
    assert_in_range(sessions, 4,
                    5); /* anna's first, one after the refusal, one after the restart */
    assert_int_equal(device_ino(&w.d[BERT], "refused"), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(two_copies_that_were_both_heard_go_on_as_two),
        TEST(what_two_lost_copies_wrote_is_taken_over),
        TEST(every_step_may_be_the_last_one_of_a_process),
        cmocka_unit_test_setup_teardown(what_a_server_takes_no_more_forms_of_is_left_out_there,
                                        setup_server, teardown_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
