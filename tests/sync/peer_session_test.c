/*
 * Devices that speak to each other directly: sync/engine/serve.c and session.c, without an engine,
 * over links in memory (tests/support/peer_link). TEST_SEED has the random ones begin elsewhere; an
 * argument is a pattern of the tests to run.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fs/space/sync_priv.h"
#include "proto/base/log.h"
#include "tests/support/hostile_member.h"
#include "tests/support/peer_link.h"
#include "tests/support/sync_meet.h"

enum {
    ANNA,
    BERT,
    CARL,
    DEVICES,
    AB = 0, /* links */
    BC,
    MANY = 40,
    BIG = 72 << 20, /* more than 1024 chunks */
    MEDIUM = 3 << 20,
    SMALL = 50000, /* one chunk */
    FEW = 4,       /* chunks: MEDIUM has more than ten times as many */
};

static const char *const labels[DEVICES] = {"anna", "bert", "carl"};

static struct sync_meet w;
static struct peer_link line[2], *const links[2] = {&line[AB], &line[BC]};

/* ---- a world -----------------------------------------------------------------------------------
 */

static int setup(void **state)
{
    (void)state;
    log_set_level(LOG_LEVEL_NONE);
    sync_meet_open(&w, labels, DEVICES);
    peer_link_init(&line[AB], &w.d[ANNA], &w.d[BERT]);
    peer_link_init(&line[BC], &w.d[BERT], &w.d[CARL]);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    peer_link_fini(&line[AB]);
    peer_link_fini(&line[BC]);
    sync_meet_close(&w);
    return 0;
}

static void run(void)
{
    peer_links_run(links, 2);
}

/* Links that both know, and on which all is told. */
static void open_links(size_t n)
{
    for (size_t i = 0; i < n; i++)
        peer_link_open(&line[i]);
    run();
}

static void save(size_t who, const char *name, const char *text)
{
    device_save_text(&w.d[who], name, text);
    sync_meet_sign(&w.d[who]);
}

static void save_many(size_t who, const char *prefix, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char name[24];
        snprintf(name, sizeof name, "%s%zu", prefix, i);
        device_save_text(&w.d[who], name, name);
    }
    sync_meet_sign(&w.d[who]);
}

static uint64_t next_random(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

/* Bytes that no two files share. */
static void fill_big(size_t who, const char *name, size_t n)
{
    static uint64_t x = 88172645463325252;
    uint64_t *p = malloc(n);
    assert_non_null(p);
    for (size_t i = 0; i < n / sizeof *p; i++)
        p[i] = next_random(&x);
    device_save(&w.d[who], name, p, n / sizeof *p * sizeof *p);
    free(p);
}

static void save_big(size_t who, const char *name, size_t n)
{
    fill_big(who, name, n);
    sync_meet_sign(&w.d[who]);
}

static bool has(size_t who, const char *name)
{
    return device_ino(&w.d[who], name) != 0;
}

static size_t size_at(size_t who, const char *name)
{
    struct attr a;
    uint64_t ino = device_ino(&w.d[who], name);
    return ino == 0 || tree_getattr(w.d[who].s->tree, ino, &a) < 0 ? 0 : a.size;
}

static void reset_counts(struct peer_link *l)
{
    for (size_t i = 0; i < 2; i++) {
        struct peer_end *e = &l->end[i];
        e->frames = e->acts = e->entries = e->states = e->offered = e->chunks = e->none = 0;
    }
}

static void revoke(size_t by, size_t whom)
{
    struct buf raw CLEANUP(buf_fini) = {0};
    struct member_id id = member_id_of(&w.d[whom].member->pub);
    struct act a;
    memset(&a, 0, sizeof a);
    a.kind = ACT_REVOKE;
    a.revoke.members = id.b;
    a.revoke.members_n = 1;
    hostile_act(&w.d[by], &a, &raw);
    assert_int_equal(space_sync_take_act(w.d[by].s, 0, buf_bytes(&raw)), SYNC_TAKEN);
}

/* ---- what comes through ------------------------------------------------------------------------
 */

static void two_devices_have_the_same_in_the_end(void **state)
{
    (void)state;
    line[AB].once = true;
    save_many(ANNA, "a", MANY);
    save_many(BERT, "b", MANY);
    open_links(1);
    save(ANNA, "later", "of anna");
    save(BERT, "later still", "of bert");
    device_unlink(&w.d[BERT], "a3");
    run();
    sync_meet_expect_equal(&w, 2);
    sync_meet_expect(&w.d[BERT], "a1", "a1");
    sync_meet_expect(&w.d[ANNA], "b1", "b1");
    sync_meet_expect(&w.d[BERT], "later", "of anna");
    sync_meet_expect(&w.d[ANNA], "later still", "of bert");
    sync_meet_expect(&w.d[ANNA], "a3", NULL);
    assert_true(sync_session_is_settled(line[AB].end[0].session));
    assert_true(sync_serve_is_settled(line[AB].end[0].serve));
    assert_true(sync_serve_is_settled(line[AB].end[1].serve));
}

static void changes_go_through_a_device_in_the_middle(void **state)
{
    (void)state;
    line[AB].once = line[BC].once = true;
    save_many(ANNA, "a", MANY);
    save_big(ANNA, "medium", MEDIUM);
    save_many(CARL, "c", MANY);
    open_links(2);
    save(CARL, "later", "of carl");
    run();
    sync_meet_expect_equal(&w, DEVICES);
    sync_meet_expect(&w.d[ANNA], "later", "of carl");
    sync_meet_expect(&w.d[CARL], "a7", "a7");
    assert_int_equal(size_at(CARL, "medium"), MEDIUM);
}

/* Nothing is asked first: what is saved here is there with one frame. */
static void an_own_change_goes_out_at_once(void **state)
{
    (void)state;
    open_links(1);
    save(ANNA, "f", "text");
    reset_counts(&line[AB]);
    (void)peer_end_pump(&line[AB].end[0]);
    assert_true(peer_end_deliver(&line[AB].end[0]));
    assert_false(peer_end_deliver(&line[AB].end[0]));
    (void)peer_end_pump(&line[AB].end[1]);
    sync_meet_expect(&w.d[BERT], "f", "text");
    assert_int_equal(line[AB].end[0].offered, 0);
    /* The other one says so, and then it is settled. */
    assert_false(sync_serve_is_settled(line[AB].end[0].serve));
    run();
    assert_true(sync_serve_is_settled(line[AB].end[0].serve));
}

/* One frame each way, and both go on. */
static void step(struct peer_link *l)
{
    for (size_t i = 0; i < 2; i++) {
        (void)peer_end_pump(&l->end[i]);
        (void)peer_end_deliver(&l->end[i]);
    }
}

static void small_files_come_before_a_big_one_which_comes_whole(void **state)
{
    (void)state;
    save_big(ANNA, "big", BIG);
    save_big(ANNA, "medium", MEDIUM);
    save_big(ANNA, "small", SMALL);
    peer_link_open(&line[AB]);
    for (int i = 0; i < 1000 && !has(BERT, "small"); i++)
        step(&line[AB]);
    assert_true(has(BERT, "small"));
    assert_false(has(BERT, "medium") || has(BERT, "big"));
    assert_in_range(line[AB].end[0].chunks, 1, FEW); /* of the others, what was on its way */
    /* While the big one comes, a note passes by all that was asked for and is not on its way. */
    for (int i = 0; i < 1000 && line[AB].end[0].chunks < 200; i++)
        step(&line[AB]);
    save(ANNA, "note", "now");
    for (int i = 0; i < PEER_ROOM + 2 && !has(BERT, "note"); i++)
        step(&line[AB]);
    assert_true(has(BERT, "note"));
    assert_false(has(BERT, "big"));
    run();
    assert_int_equal(size_at(BERT, "big"), BIG);
    assert_true(line[AB].end[1].nodes_asked > 0);
    assert_int_equal(line[AB].end[0].none, 0);
    sync_meet_expect_equal(&w, 2);
}

static void on_kick(void *arg, bool now)
{
    (void)arg;
    (void)now;
}

/* While a file is cut, before there is an entry that names it. */
static void chunks_of_a_file_that_is_being_cut_go_ahead_of_it(void **state)
{
    (void)state;
    open_links(1);
    space_sync_on_kick(w.d[ANNA].s, on_kick, NULL);
    fill_big(ANNA, "f", 8 * MEDIUM);
    assert_int_equal(publisher_flush(w.d[ANNA].s), 0);
    for (int i = 0; i < 500; i++)
        step(&line[AB]);
    size_t passed = line[AB].end[0].passed;
    assert_true(passed > FRAME_PASSING_WINDOW / CONTENT_CHUNK_MAX);
    assert_int_equal(line[AB].end[0].entries, 0);
    run();
    assert_int_equal(size_at(BERT, "f"), 8 * MEDIUM);
    assert_int_equal(line[AB].end[0].passed, passed);
    /* What went ahead is not asked for. */
    assert_in_range(line[AB].end[0].chunks, 0, 8 * MEDIUM / 65536 * 2 - passed);
    space_sync_on_kick(w.d[ANNA].s, NULL, NULL);
}

static void what_was_replaced_while_it_was_fetched_is_not_missed(void **state)
{
    (void)state;
    save_big(ANNA, "f", MEDIUM);
    peer_link_open(&line[AB]);
    while (line[AB].end[0].chunks == 0)
        step(&line[AB]);
    save_big(ANNA, "f", MEDIUM / 2);
    save_big(ANNA, "g", MEDIUM);
    device_unlink(&w.d[ANNA], "g");
    run();
    assert_int_equal(size_at(BERT, "f"), MEDIUM / 2);
    assert_false(has(BERT, "g"));
    sync_meet_expect_equal(&w, 2);
}

/* Carl stands for a server of both: what one of the two made comes to the other twice. */
static void what_both_have_from_elsewhere_crosses_in_no_entry(void **state)
{
    (void)state;
    save_many(CARL, "c", MANY);
    sync_meet_all(&w, DEVICES);
    open_links(1);
    reset_counts(&line[AB]);
    save_many(CARL, "d", MANY);
    assert_int_equal(space_sync_state(w.d[CARL].s), 1);
    sync_meet_give(&w, CARL, ANNA);
    sync_meet_give(&w, CARL, BERT);
    run();
    assert_true(line[AB].end[0].offered >= MANY);
    assert_int_equal(line[AB].end[0].entries + line[AB].end[1].entries, 0);
    assert_int_equal(line[AB].end[0].states + line[AB].end[1].states, 0);
    /* What only one of the two has yet is given, once. */
    line[AB].once = true;
    save_many(CARL, "e", MANY);
    sync_meet_give(&w, CARL, ANNA);
    run();
    sync_meet_give(&w, CARL, BERT);
    run();
    assert_int_equal(line[AB].end[0].entries, MANY);
    assert_int_equal(line[AB].end[1].entries, 0);
    sync_meet_expect_equal(&w, DEVICES);
}

static void a_device_without_a_server_has_all_through_one_that_has_one(void **state)
{
    (void)state;
    line[BC].once = true;
    peer_link_open(&line[BC]);
    for (int i = 0; i < 3; i++) {
        char name[24];
        snprintf(name, sizeof name, "a%d", i);
        save_big(ANNA, name, MEDIUM);
        sync_meet_give(&w, ANNA, BERT); /* by the server */
        snprintf(name, sizeof name, "c%d", i);
        save(CARL, name, name);
        run();
        sync_meet_give(&w, BERT, ANNA);
    }
    run();
    assert_int_equal(size_at(CARL, "a2"), MEDIUM);
    sync_meet_expect(&w.d[ANNA], "c2", "c2");
    sync_meet_expect_equal(&w, DEVICES);
}

/* Bert knows of a file by a server that does not have its content; then Anna has it. */
static void content_that_waits_is_fetched_when_it_is_offered(void **state)
{
    (void)state;
    open_links(1);
    save_big(CARL, "f", MEDIUM);
    sync_meet_give_entries(&w, CARL, BERT);
    run();
    assert_false(has(BERT, "f"));
    sync_meet_give(&w, CARL, ANNA);
    run();
    assert_int_equal(size_at(BERT, "f"), MEDIUM);
    assert_int_equal(line[AB].end[0].entries, 0);
}

/* Bert has the entry of a file from a server, and then the device that made it sends it. */
static void content_that_waits_is_fetched_when_its_entry_comes_again(void **state)
{
    (void)state;
    peer_link_open(&line[BC]);
    run();
    save_big(CARL, "f", MEDIUM);
    sync_meet_give_entries(&w, CARL, BERT);
    assert_false(has(BERT, "f"));
    run();
    assert_int_equal(size_at(BERT, "f"), MEDIUM);
}

static void what_came_over_a_link_is_not_offered_back_there(void **state)
{
    (void)state;
    open_links(1);
    reset_counts(&line[AB]);
    save_many(BERT, "b", MANY);
    run();
    assert_int_equal(line[AB].end[1].entries, MANY);
    assert_int_equal(line[AB].end[0].offered + line[AB].end[1].offered, 0);
    /* Nor in the next session, as far as the other one has heard where the log ends. */
    save_many(BERT, "c", 3 * MANY);
    run();
    peer_link_cut(&line[AB]);
    reset_counts(&line[AB]);
    open_links(1);
    assert_in_range(line[AB].end[0].offered, 0, 64);
}

static void a_new_member_joins_through_another_device_alone(void **state)
{
    (void)state;
    struct device *d = &w.d[DEVICES];
    struct peer_link l, *one = &l;
    save_many(ANNA, "a", MANY);
    device_granted(d, "dora", DEVICES + 1, &w.d[ANNA]);
    peer_link_init(&l, d, &w.d[ANNA]);
    peer_link_open(&l);
    peer_links_run(&one, 1);
    device_save_text(d, "d", "of dora");
    peer_links_run(&one, 1);
    peer_link_fini(&l);
    sync_meet_expect(d, "a3", "a3");
    sync_meet_expect(&w.d[ANNA], "d", "of dora");
}

/* ---- who may -----------------------------------------------------------------------------------
 */

static void who_is_no_member_is_not_served(void **state)
{
    (void)state;
    struct sync_serve *x = NULL;
    struct sync_serve_config cfg = {.space = w.d[ANNA].s, .remote = 7, .peer = {1}};
    assert_int_equal(sync_serve_new(&cfg, &x), -EACCES);
    assert_null(x);
    revoke(ANNA, BERT);
    memcpy(cfg.peer, w.d[BERT].member->pub.identity, SIGN_KEY_SIZE);
    assert_int_equal(sync_serve_new(&cfg, &x), -EACCES);
}

static void who_is_revoked_is_given_nothing_more(void **state)
{
    (void)state;
    open_links(1);
    save_big(ANNA, "f", MEDIUM);
    for (int i = 0; line[AB].end[0].chunks == 0 && i < 1000; i++)
        step(&line[AB]);
    (void)peer_end_pump(&line[AB].end[1]);
    while (peer_end_deliver(&line[AB].end[1]) || peer_end_deliver(&line[AB].end[0]))
        ; /* it has asked for more, and nothing is on the way */
    save(ANNA, "secret", "of anna");
    revoke(ANNA, BERT);
    reset_counts(&line[AB]);
    (void)peer_end_pump(&line[AB].end[0]);
    assert_true(line[AB].end[0].failed);
    while (peer_end_deliver(&line[AB].end[0]))
        ;
    assert_int_equal(line[AB].end[0].frames, 1); /* End */
    assert_int_equal(line[AB].end[0].chunks + line[AB].end[0].entries, 0);
    assert_true(line[AB].end[1].failed);
}

/* Also when the other one does not read, and nothing can be sent. */
static void who_is_revoked_and_does_not_read_is_cut(void **state)
{
    (void)state;
    open_links(1);
    line[AB].room = 0;
    (void)peer_end_pump(&line[AB].end[0]);
    revoke(ANNA, BERT);
    (void)peer_end_pump(&line[AB].end[0]);
    assert_true(line[AB].end[0].failed);
}

/* ---- bounds ------------------------------------------------------------------------------------
 */

/* What is on the way never exceeds the room (tests/support/peer_link asserts that); and it comes
 * when it is read at last. */
static void a_slow_reader_costs_nothing_but_time(void **state)
{
    (void)state;
    open_links(1);
    line[AB].room = 1;
    for (int i = 0; i < 5; i++) {
        char prefix[16];
        snprintf(prefix, sizeof prefix, "%d-", i);
        save_many(ANNA, prefix, 500);
        (void)peer_end_pump(&line[AB].end[0]);
        assert_in_range(line[AB].end[0].out.n, 0, FRAME_MAX + 4);
    }
    save_big(ANNA, "f", MEDIUM);
    run();
    sync_meet_expect_equal(&w, 2);
    assert_int_equal(size_at(BERT, "f"), MEDIUM);
}

/* ---- cursors -----------------------------------------------------------------------------------
 */

static uint64_t cursor_of(struct peer_end *e)
{
    uint64_t cursor, last;
    sync_session_progress(e->session, &cursor, &last);
    return cursor;
}

static void the_next_session_goes_on_where_this_one_was(void **state)
{
    (void)state;
    save_many(ANNA, "a", MANY);
    open_links(1);
    uint64_t before = cursor_of(&line[AB].end[1]);
    assert_true(before > 0);
    peer_link_cut(&line[AB]);
    save(ANNA, "f", "text");
    reset_counts(&line[AB]);
    open_links(1);
    sync_meet_expect(&w.d[BERT], "f", "text");
    assert_in_range(line[AB].end[0].offered, 1, 4);
    assert_true(cursor_of(&line[AB].end[1]) > before);
}

/* Anna is put back to what she was; Bert has what she made since, and it is hers again. */
static void a_device_that_was_restored_is_heard_from_its_beginning(void **state)
{
    (void)state;
    struct device old;
    save_many(ANNA, "a", MANY);
    open_links(1);
    peer_link_cut(&line[AB]);
    memset(&old, 0, sizeof old);
    device_copy(&old, &w.d[ANNA]);
    uint64_t replica = replica_id(old.s->replica);
    save_many(ANNA, "b", MANY);
    open_links(1);
    peer_link_fini(&line[AB]);
    peer_link_init(&line[AB], &old, &w.d[BERT]);
    device_save_text(&old, "new", "of the copy"); /* under a number that was used */
    peer_link_open(&line[AB]);
    /* An engine signs when all was heard. */
    while (!sync_session_is_caught_up(line[AB].end[0].session))
        step(&line[AB]);
    run();
    assert_true(replica_id(old.s->replica) != replica);
    assert_true(line[AB].end[0].offered >= MANY);
    assert_true(line[AB].end[0].entries <= 2); /* what Bert has is not given again */
    sync_meet_expect(&old, "b7", "b7");
    sync_meet_expect(&w.d[BERT], "new", "of the copy");
    /* And the log under the new id is another one. */
    peer_link_cut(&line[AB]);
    reset_counts(&line[AB]);
    open_links(1);
    assert_true(line[AB].end[0].offered >= MANY);
    assert_int_equal(line[AB].end[0].entries, 0);
    peer_link_fini(&line[AB]);
    device_close(&old);
}

/* Two copies of Anna write under one dot. Bert has the one's, Carl the other's: that is seen, as
 * the heads that are offered differ. */
static void a_fork_is_seen_between_two_that_have_one_form_each(void **state)
{
    (void)state;
    struct device copy;
    sync_meet_sign(&w.d[ANNA]);
    memset(&copy, 0, sizeof copy);
    device_copy(&copy, &w.d[ANNA]);
    uint64_t replica = replica_id(copy.s->replica);
    save(ANNA, "f", "of anna");
    sync_meet_give(&w, ANNA, BERT);
    device_close(&w.d[ANNA]);
    w.d[ANNA] = copy;
    save(ANNA, "g", "of the copy");
    sync_meet_give(&w, ANNA, CARL);
    peer_link_open(&line[BC]);
    run();
    assert_true(members_cut(w.d[BERT].s->sync->members, replica) != MEMBERS_NO_CUT);
    assert_true(members_cut(w.d[CARL].s->sync->members, replica) != MEMBERS_NO_CUT);
}

/* ---- at random ---------------------------------------------------------------------------------
 */

static uint64_t first_seed(void)
{
    const char *text = getenv("TEST_SEED");
    return text != NULL ? strtoull(text, NULL, 10) : 1;
}

static void change_something(uint64_t *x, size_t who)
{
    char name[24];
    snprintf(name, sizeof name, "f%u", (unsigned)(next_random(x) % 12));
    switch (next_random(x) % 6) {
    case 0:
        if (has(who, name))
            device_unlink(&w.d[who], name);
        break;
    case 1:
        save_big(who, name, next_random(x) % 3 == 0 ? MEDIUM / 4 : SMALL);
        break;
    default:
        save(who, name, labels[who]);
    }
}

/* Some of what may happen next. */
static void go_on(uint64_t *x, bool cuts)
{
    struct peer_link *l = &line[next_random(x) % 2];
    struct peer_end *e = &l->end[next_random(x) % 2];
    unsigned what = (unsigned)(next_random(x) % 100);
    if (what < 3)
        change_something(x, next_random(x) % DEVICES);
    else if (what < 4)
        sync_meet_give_entries(&w, next_random(x) % 2 == 0 ? ANNA : CARL, BERT);
    else if (what < 6)
        assert_true(space_sync_state(w.d[next_random(x) % DEVICES].s) >= 0);
    else if (what < 8 && cuts && l->up)
        peer_link_cut(l);
    else if (!l->up && what < 30)
        peer_link_open(l);
    else if (l->up && what < 60)
        (void)peer_end_pump(e);
    else if (l->up)
        (void)peer_end_deliver(e);
    assert_false(line[AB].end[0].failed || line[AB].end[1].failed);
    assert_false(line[BC].end[0].failed || line[BC].end[1].failed);
}

/* As an engine has them do it when nothing has changed for some time. */
static void tell_states(void)
{
    for (int round = 0; round < 2; round++) {
        run();
        for (size_t i = 0; i < DEVICES; i++)
            assert_true(space_sync_state(w.d[i].s) >= 0);
    }
    run();
}

static void try_seed(uint64_t seed, bool cuts)
{
    uint64_t x = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    for (size_t i = 0; i < 2; i++) {
        line[i].room = 1 + next_random(&x) % PEER_ROOM;
        line[i].once = !cuts;
        peer_link_open(&line[i]);
    }
    for (int i = 0; i < 400; i++)
        go_on(&x, cuts);
    for (size_t i = 0; i < 2; i++)
        if (!line[i].up)
            peer_link_open(&line[i]);
    tell_states();
    sync_meet_expect_equal(&w, DEVICES);
}

static void try_seeds(bool cuts)
{
    enum { SEEDS = 3 };
    uint64_t first = first_seed();
    for (uint64_t seed = first; seed < first + SEEDS; seed++) {
        printf("TEST_SEED=%llu\n", (unsigned long long)seed);
        fflush(stdout);
        try_seed(seed, cuts);
        teardown(NULL);
        setup(NULL);
    }
}

static void whatever_comes_first_all_are_the_same_in_the_end(void **state)
{
    (void)state;
    try_seeds(false);
}

static void sessions_that_are_cut_anywhere_lose_nothing(void **state)
{
    (void)state;
    try_seeds(true);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(two_devices_have_the_same_in_the_end),
        TEST(changes_go_through_a_device_in_the_middle),
        TEST(an_own_change_goes_out_at_once),
        TEST(small_files_come_before_a_big_one_which_comes_whole),
        TEST(chunks_of_a_file_that_is_being_cut_go_ahead_of_it),
        TEST(what_was_replaced_while_it_was_fetched_is_not_missed),
        TEST(what_both_have_from_elsewhere_crosses_in_no_entry),
        TEST(a_device_without_a_server_has_all_through_one_that_has_one),
        TEST(content_that_waits_is_fetched_when_it_is_offered),
        TEST(content_that_waits_is_fetched_when_its_entry_comes_again),
        TEST(what_came_over_a_link_is_not_offered_back_there),
        TEST(a_new_member_joins_through_another_device_alone),
        TEST(who_is_no_member_is_not_served),
        TEST(who_is_revoked_is_given_nothing_more),
        TEST(who_is_revoked_and_does_not_read_is_cut),
        TEST(a_slow_reader_costs_nothing_but_time),
        TEST(the_next_session_goes_on_where_this_one_was),
        TEST(a_device_that_was_restored_is_heard_from_its_beginning),
        TEST(a_fork_is_seen_between_two_that_have_one_form_each),
        TEST(whatever_comes_first_all_are_the_same_in_the_end),
        TEST(sessions_that_are_cut_anywhere_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
