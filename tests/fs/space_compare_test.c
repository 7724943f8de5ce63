/*
 * Full comparisons between spaces, by what fs/space/sync.h offers: devices that others have cleaned
 * up more than, and changes that somebody withholds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "fs/space/sync_priv.h"
#include "tests/support/sync_meet.h"

enum { ANNA, BERT, CARL, COPY };

struct world {
    struct sync_meet m;
    uint64_t now_ms;
};

static int setup(void **state)
{
    static struct world w;
    static const char *const labels[] = {"anna", "bert", "carl"};
    w.now_ms = 1000000;
    sync_meet_open(&w.m, labels, 3);
    w.m.back = true;
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    sync_meet_close(&w->m);
    return 0;
}

static void save(struct world *w, size_t i, const char *path, const char *text)
{
    device_save_text(&w->m.d[i], path, text);
}

static void say(struct world *w, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_true(space_sync_state(w->m.d[i].s) >= 0);
}

/* All meet, with STATEs, and have their time to compare. */
static void live(struct world *w, size_t n, int rounds)
{
    for (int round = 0; round < rounds; round++) {
        sync_meet_all(&w->m, n);
        say(w, n);
        sync_meet_all(&w->m, n);
        w->now_ms += 11000;
        for (size_t i = 0; i < n; i++) {
            bool tell;
            for (int k = 0; k < 20; k++)
                (void)space_sync_compare(w->m.d[i].s, w->now_ms + (uint64_t)k, &tell);
        }
    }
}

/* What is deleted goes with all that says so. */
static void clean(struct world *w, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct dot cursor = {0, 0};
        while (exchange_clean(w->m.d[i].s, tidy_now_ms()) > 0)
            ;
        assert_int_equal(sync_tidy_slice(w->m.d[i].s, &cursor), 0);
    }
}

static bool is_behind(struct world *w, size_t i)
{
    return !space_sync_may_give(w->m.d[i].s);
}

static void expect_all_equal(struct world *w, size_t n)
{
    struct state_digest first, other;
    replica_digest(w->m.d[0].s->replica, &first);
    for (size_t i = 0; i < n; i++) {
        replica_digest(w->m.d[i].s->replica, &other);
        assert_memory_equal(&first, &other, sizeof first);
        assert_false(is_behind(w, i));
    }
}

/* Carl goes back to a copy of himself that is older than a clean-up. */
static void restore_carl(struct world *w)
{
    device_close(&w->m.d[CARL]);
    w->m.d[CARL] = w->m.d[COPY];
    w->m.d[COPY].s = NULL;
    memset(w->m.done[CARL], 0, sizeof w->m.done[CARL]);
    for (size_t i = 0; i < SYNC_MEET_MAX; i++)
        w->m.done[i][CARL] = 0;
}

static void make_old_carl(struct world *w)
{
    save(w, ANNA, "gone", "1");
    save(w, ANNA, "edited", "1");
    device_make(&w->m.d[ANNA], "dir", S_IFDIR | 0755);
    device_make(&w->m.d[ANNA], "dir/in", S_IFDIR | 0755);
    save(w, ANNA, "dir/in/a", "1");
    save(w, ANNA, "dir/in/b", "1");
    save(w, BERT, "kept", "1");
    live(w, 3, 2);
    device_copy(&w->m.d[COPY], &w->m.d[CARL]);
    device_unlink(&w->m.d[ANNA], "gone");
    device_unlink(&w->m.d[ANNA], "edited");
    device_unlink(&w->m.d[BERT], "dir/in/a");
    device_unlink(&w->m.d[BERT], "dir/in/b");
    device_rmdir(&w->m.d[BERT], "dir/in");
    device_rmdir(&w->m.d[BERT], "dir");
    save(w, BERT, "kept", "2");
    live(w, 3, 2);
    clean(w, 3);
    live(w, 3, 1);
    restore_carl(w);
    sync_meet_expect(&w->m.d[CARL], "gone", "1");
}

static void what_was_deleted_and_cleaned_up_goes_from_a_restored_device(void **state)
{
    struct world *w = *state;
    make_old_carl(w);
    save(w, CARL, "edited", "of carl");
    save(w, CARL, "dir/in/new", "of carl, too");
    sync_meet_give(&w->m, ANNA, CARL);
    sync_meet_give(&w->m, BERT, CARL);
    assert_true(is_behind(w, CARL));
    /* Nothing of his is given meanwhile. */
    sync_meet_sign(&w->m.d[CARL]);
    assert_true(space_sync_unsigned(w->m.d[CARL].s) > 0);
    live(w, 3, 6);
    for (size_t i = 0; i < 3; i++) {
        sync_meet_expect(&w->m.d[i], "gone", NULL);
        sync_meet_expect(&w->m.d[i], "dir/in/a", NULL);
        sync_meet_expect(&w->m.d[i], "dir/in/b", NULL);
        sync_meet_expect(&w->m.d[i], "edited", "of carl");
        sync_meet_expect(&w->m.d[i], "dir/in/new", "of carl, too");
        sync_meet_expect(&w->m.d[i], "kept", "2");
    }
    expect_all_equal(w, 3);
    /* No list is kept for longer than somebody asks. */
    live(w, 3, 2);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(w->m.d[i].s->sync->compare.list.n, 0);
}

static void a_process_that_ends_in_the_middle_compares_again(void **state)
{
    struct world *w = *state;
    make_old_carl(w);
    save(w, CARL, "edited", "of carl");
    for (int i = 0; i < 8; i++) {
        live(w, 3, 1);
        device_reopen(&w->m.d[i % 2 == 0 ? CARL : ANNA]);
    }
    live(w, 3, 6);
    for (size_t i = 0; i < 3; i++) {
        sync_meet_expect(&w->m.d[i], "gone", NULL);
        sync_meet_expect(&w->m.d[i], "dir/in/a", NULL);
        sync_meet_expect(&w->m.d[i], "edited", "of carl");
    }
    expect_all_equal(w, 3);
}

/* The next change of anna is not given to carl, by nobody. */
static void withhold(struct world *w)
{
    const struct replica *r = w->m.d[ANNA].s->replica;
    w->m.victim = CARL;
    w->m.withheld = (struct dot){replica_id(r), vv_get(replica_knowledge(r), replica_id(r)) + 1};
}

static void get_peer(struct world *w, size_t i, const char *label, struct sync_peer *ret)
{
    struct buf peers CLEANUP(buf_fini) = {0};
    assert_int_equal(space_sync_peers(w->m.d[i].s, &peers), 0);
    for (size_t at = 0; at < peers.n; at += sizeof *ret) {
        memcpy(ret, peers.p + at, sizeof *ret);
        if (strcmp(ret->label, label) == 0)
            return;
    }
    fail_msg("no STATE of %s", label);
}

static size_t count_peers(struct world *w, size_t i)
{
    struct buf peers CLEANUP(buf_fini) = {0};
    assert_int_equal(space_sync_peers(w->m.d[i].s, &peers), 0);
    return peers.n / sizeof(struct sync_peer);
}

static void a_restored_device_is_listed_once(void **state)
{
    struct world *w = *state;
    uint64_t before = replica_id(w->m.d[CARL].s->replica);
    make_old_carl(w);
    save(w, CARL, "new", "under another id");
    live(w, 3, 6);
    assert_true(replica_id(w->m.d[CARL].s->replica) != before);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(count_peers(w, i), 2);
    for (size_t i = 0; i < 3; i++) {
        device_reopen(&w->m.d[i]);
        assert_int_equal(count_peers(w, i), 2);
    }
}

/* The original goes on, too: the one is no id that the other one has left. */
static void two_copies_in_use_are_listed_both(void **state)
{
    struct world *w = *state;
    save(w, CARL, "a", "1");
    live(w, 3, 2);
    device_copy(&w->m.d[COPY], &w->m.d[CARL]);
    save(w, CARL, "b", "of the original");
    live(w, 3, 2);
    live(w, 4, 6);
    save(w, COPY, "c", "of the copy");
    live(w, 4, 6);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(count_peers(w, i), 3);
    save(w, ANNA, "d", "1");
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(count_peers(w, i), 3);
}

static void what_was_lost_on_the_way_is_asked_for(void **state)
{
    struct world *w = *state;
    live(w, 3, 2);
    withhold(w);
    save(w, ANNA, "a", "1");
    sync_meet_all(&w->m, 3);
    save(w, ANNA, "b", "1");
    live(w, 3, 2);
    w->m.withheld = (struct dot){0, 0}; /* from now on only what is given again can bring it */
    sync_meet_expect(&w->m.d[CARL], "a", NULL);
    sync_meet_expect(&w->m.d[CARL], "b", "1");
    live(w, 3, 12);
    sync_meet_expect(&w->m.d[CARL], "a", "1");
    expect_all_equal(w, 3);
    sync_meet_expect_equal(&w->m, 3);
}

static void what_is_withheld_on_all_routes_is_told(void **state)
{
    struct world *w = *state;
    struct sync_peer p;
    live(w, 3, 2);
    withhold(w);
    save(w, ANNA, "a", "1");
    sync_meet_all(&w->m, 3);
    save(w, ANNA, "b", "1");
    live(w, 3, 20);
    sync_meet_expect(&w->m.d[CARL], "a", NULL);
    bool differs = false;
    for (size_t i = ANNA; i <= BERT; i++) {
        get_peer(w, CARL, i == ANNA ? "anna" : "bert", &p);
        assert_false(p.equal);
        differs = differs || p.differs;
        if (p.differs)
            assert_non_null(strstr(p.about, "of anna"));
    }
    assert_true(differs);
    assert_false(is_behind(w, CARL)); /* what is new here is given all the same */
    /* When it comes after all, nothing is told any more. */
    w->m.withheld = (struct dot){0, 0};
    memset(w->m.done, 0, sizeof w->m.done);
    live(w, 3, 2);
    sync_meet_expect_equal(&w->m, 3);
    get_peer(w, CARL, "anna", &p);
    assert_true(p.equal && !p.differs && p.about[0] == '\0');
}

/* ---- who is waited for -------------------------------------------------------------------------
 */

#define DAY_MS (UINT64_C(24) * 3600 * 1000)

static void set_link(struct world *w, size_t i, enum sync_link_state state)
{
    struct sync_link l = {.remote = 1, .url = "ws://s", .state = state, .caught_up = true};
    assert_int_equal(space_sync_set_link(w->m.d[i].s, &l), 0);
}

/* Looks every day of @days from @day on: how many records went. */
static int days_go_by(struct world *w, size_t i, unsigned day, unsigned days)
{
    int n = 0;
    for (unsigned k = day; k < day + days; k++) {
        int rc = exchange_clean(w->m.d[i].s, tidy_now_ms() + k * DAY_MS);
        assert_true(rc >= 0);
        n += rc;
    }
    return n;
}

static void who_is_alone_cleans_up_what_it_deleted(void **state)
{
    struct world *w = *state;
    teardown(state);
    memset(&w->m, 0, sizeof w->m);
    sync_meet_found(&w->m, "anna");
    w->m.back = true;
    save(w, ANNA, "gone", "1");
    save(w, ANNA, "edited", "1");
    save(w, ANNA, "kept", "1");
    /* Bert joins, and Anna does not know it. */
    device_join(&w->m.d[BERT], "bert", 2, &w->m.d[ANNA]);
    sync_meet_give(&w->m, ANNA, BERT);
    assert_int_equal(space_sync_join(w->m.d[BERT].s), 1);
    say(w, 2);
    device_unlink(&w->m.d[ANNA], "gone");
    device_unlink(&w->m.d[ANNA], "edited");
    assert_int_equal(publisher_flush(w->m.d[ANNA].s), 0);
    assert_int_equal(exchange_clean(w->m.d[ANNA].s, tidy_now_ms()), 0); /* nobody can know of it */
    sync_meet_sign(&w->m.d[ANNA]);
    assert_int_equal(exchange_clean(w->m.d[ANNA].s, tidy_now_ms()), 2);
    assert_int_equal(exchange_clean(w->m.d[ANNA].s, tidy_now_ms()), 0);
    save(w, BERT, "edited", "of bert");
    live(w, 2, 8);
    for (size_t i = 0; i < 2; i++) {
        sync_meet_expect(&w->m.d[i], "gone", NULL);
        sync_meet_expect(&w->m.d[i], "edited", "of bert");
        sync_meet_expect(&w->m.d[i], "kept", "1");
    }
    expect_all_equal(w, 2);
}

/* Anna and Bert go on, Carl knows nothing of it. */
static void leave_carl_behind(struct world *w)
{
    save(w, ANNA, "gone", "1");
    save(w, ANNA, "edited", "1");
    live(w, 3, 2);
    device_unlink(&w->m.d[ANNA], "gone");
    device_unlink(&w->m.d[BERT], "edited");
    live(w, 2, 2);
    set_link(w, ANNA, SYNC_LINK_UP);
    set_link(w, BERT, SYNC_LINK_UP);
}

static void who_was_away_for_long_is_not_waited_for_and_compares(void **state)
{
    struct world *w = *state;
    leave_carl_behind(w);
    assert_int_equal(days_go_by(w, ANNA, 0, 180), 0);
    device_reopen(&w->m.d[ANNA]);
    set_link(w, ANNA, SYNC_LINK_UP);
    assert_int_equal(days_go_by(w, ANNA, 180, 2), 2);
    assert_int_equal(days_go_by(w, BERT, 0, 180), 0);
    assert_int_equal(days_go_by(w, BERT, 180, 2), 2);
    live(w, 2, 1);
    save(w, CARL, "edited", "of carl");
    save(w, CARL, "new", "of carl, too");
    /* Also when he hears of all that went. */
    sync_meet_give(&w->m, ANNA, CARL);
    assert_true(is_behind(w, CARL));
    live(w, 3, 8);
    for (size_t i = 0; i < 3; i++) {
        sync_meet_expect(&w->m.d[i], "gone", NULL);
        sync_meet_expect(&w->m.d[i], "edited", "of carl");
        sync_meet_expect(&w->m.d[i], "new", "of carl, too");
    }
    expect_all_equal(w, 3);
}

static void who_never_said_anything_is_waited_for_as_long(void **state)
{
    struct world *w = *state;
    save(w, ANNA, "gone", "1");
    live(w, 2, 2);
    device_unlink(&w->m.d[ANNA], "gone");
    live(w, 2, 2);
    set_link(w, ANNA, SYNC_LINK_UP);
    assert_int_equal(days_go_by(w, ANNA, 0, 180), 0);
    assert_int_equal(days_go_by(w, ANNA, 180, 2), 1);
}

static struct sync_state *state_of(struct world *w, size_t i, size_t of)
{
    struct sync *y = w->m.d[i].s->sync;
    for (size_t k = 0; k < y->state_n; k++)
        if (y->state[k].replica == replica_id(w->m.d[of].s->replica))
            return &y->state[k];
    fail_msg("no STATE");
    return NULL;
}

static void no_clock_makes_a_device_be_away(void **state)
{
    struct world *w = *state;
    leave_carl_behind(w);
    /* The own clock is wrong by ten years for a day, and back. */
    assert_int_equal(days_go_by(w, ANNA, 0, 10), 0);
    assert_int_equal(days_go_by(w, ANNA, 3650, 2), 0);
    assert_int_equal(days_go_by(w, ANNA, 11, 168), 0);
    /* Carl's is; but he speaks. */
    state_of(w, ANNA, CARL)->time_ms = 0;
    for (unsigned day = 0; day < 200; day += 20) {
        assert_int_equal(days_go_by(w, BERT, day, 20), 0);
        state_of(w, BERT, CARL)->time_ms = 0;
        state_of(w, BERT, CARL)->number++;
    }
    /* And when his is ahead by years, that does not keep him. */
    state_of(w, ANNA, CARL)->time_ms = tidy_now_ms() + 4000 * DAY_MS;
    assert_int_equal(days_go_by(w, ANNA, 180, 10), 2);
}

static void who_hears_nobody_takes_nobody_for_away(void **state)
{
    struct world *w = *state;
    leave_carl_behind(w);
    set_link(w, ANNA, SYNC_LINK_DOWN);
    assert_int_equal(days_go_by(w, ANNA, 0, 400), 0);
    set_link(w, ANNA, SYNC_LINK_UP);
    assert_int_equal(days_go_by(w, ANNA, 400, 150), 0);
    /* Nor who lacks nothing, however long ago that was said. */
    live(w, 3, 2);
    assert_int_equal(days_go_by(w, ANNA, 600, 1), 2);
    set_link(w, ANNA, SYNC_LINK_UP);
    save(w, ANNA, "kept", "1");
    live(w, 3, 2);
    assert_int_equal(days_go_by(w, ANNA, 601, 200), 0);
    device_unlink(&w->m.d[ANNA], "kept");
    live(w, 2, 2);
    assert_int_equal(days_go_by(w, ANNA, 801, 100), 0);
}

/* @told: each has said what it cleaned up before it hears of the other one. */
static void come_together(struct world *w, bool told)
{
    live(w, 3, 1);
    for (size_t i = 0; i < 2; i++)
        set_link(w, i, SYNC_LINK_UP);
    const char *const names[] = {"gone of a", "gone of b", "edited of a", "edited of b", "moved"};
    for (size_t i = 0; i < 5; i++)
        save(w, ANNA, names[i], "1");
    live(w, 3, 2);
    for (size_t i = 0; i < 2; i++) {
        device_unlink(&w->m.d[i], i == 0 ? "gone of a" : "gone of b");
        device_unlink(&w->m.d[i], i == 0 ? "edited of b" : "edited of a");
        if (i == BERT)
            device_unlink(&w->m.d[i], "moved");
        sync_meet_sign(&w->m.d[i]);
        assert_int_equal(days_go_by(w, i, 0, 182), i == BERT ? 3 : 2);
        if (told)
            assert_int_equal(space_sync_state(w->m.d[i].s), 1);
    }
    save(w, ANNA, "edited of a", "of anna");
    save(w, BERT, "edited of b", "of bert");
    device_rename(&w->m.d[ANNA], "moved", "new");
    live(w, 3, 12);
    for (size_t i = 0; i < 3; i++) {
        sync_meet_expect(&w->m.d[i], "gone of a", NULL);
        sync_meet_expect(&w->m.d[i], "gone of b", NULL);
        sync_meet_expect(&w->m.d[i], "edited of a", "of anna");
        sync_meet_expect(&w->m.d[i], "edited of b", "of bert");
        sync_meet_expect(&w->m.d[i], "moved", NULL);
        sync_meet_expect(&w->m.d[i], "new", "1");
    }
    expect_all_equal(w, 3);
}

static void two_that_were_away_from_each_other_come_together(void **state)
{
    come_together(*state, true);
}

static void what_came_before_it_was_told_is_written_anew(void **state)
{
    come_together(*state, false);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_deleted_and_cleaned_up_goes_from_a_restored_device),
        TEST(a_restored_device_is_listed_once),
        TEST(two_copies_in_use_are_listed_both),
        TEST(a_process_that_ends_in_the_middle_compares_again),
        TEST(what_was_lost_on_the_way_is_asked_for),
        TEST(what_is_withheld_on_all_routes_is_told),
        TEST(who_is_alone_cleans_up_what_it_deleted),
        TEST(who_was_away_for_long_is_not_waited_for_and_compares),
        TEST(who_never_said_anything_is_waited_for_as_long),
        TEST(no_clock_makes_a_device_be_away),
        TEST(who_hears_nobody_takes_nobody_for_away),
        TEST(two_that_were_away_from_each_other_come_together),
        TEST(what_came_before_it_was_told_is_written_anew),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
