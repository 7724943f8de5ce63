/*
 * Entries that come many at once: fs/space/sync_batch.c. Anna and a member that signs what it likes
 * make them, Bert takes them.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs/space/sync_priv.h"
#include "proto/base/log.h"
#include "tests/support/hostile_member.h"
#include "tests/support/sync_meet.h"

enum { ANNA, MALLORY, BERT, DEVICES, MANY = 200, REMOTE = 7 };

static const char *const labels[DEVICES] = {"anna", "mallory", "bert"};

static struct sync_meet w;

/* What is given to Bert, and what becomes of it. */
static struct buf came[MANY];
static struct bytes given[MANY];
static int fate[MANY];

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
    for (size_t i = 0; i < MANY; i++)
        buf_fini(&came[i]);
    sync_meet_close(&w);
    return 0;
}

static struct device *bert(void)
{
    return &w.d[BERT];
}

/* Anna makes @n files and signs them: the first @n of @came. */
static void make_files(size_t n)
{
    struct arrival at;
    for (size_t i = 0; i < n; i++) {
        char name[24];
        snprintf(name, sizeof name, "f%zu", i);
        device_save_text(&w.d[ANNA], name, name);
    }
    sync_meet_sign(&w.d[ANNA]);
    for (size_t i = 0; i < n; i++) {
        struct buf chunks CLEANUP(buf_fini) = {0};
        assert_int_equal(space_sync_next(w.d[ANNA].s, w.done[ANNA][BERT], BERT + 1, &at), 1);
        assert_int_equal(space_sync_seal(w.d[ANNA].s, &at, &came[i], &chunks), 0);
        w.done[ANNA][BERT] = at.number;
        given[i] = buf_bytes(&came[i]);
    }
}

static int give(size_t n)
{
    int rc = space_sync_take_entries(bert()->s, REMOTE, given, n, fate);
    assert_int_equal(space_sync_settle(bert()->s), 0);
    return rc;
}

/* How many of the files Bert has; they are not signed in the order of their numbers. */
static size_t bert_has(void)
{
    size_t has = 0;
    for (size_t i = 0; i < MANY; i++) {
        char name[24];
        snprintf(name, sizeof name, "f%zu", i);
        has += device_ino(bert(), name) != 0;
    }
    return has;
}

/* All of Anna's is known there, so that nothing of it is waited for. */
static void expect_known(void)
{
    uint64_t anna = replica_id(w.d[ANNA].s->replica);
    CLEANUP(vv_fini) struct vv known = {0};
    assert_int_equal(space_knowledge(bert()->s, &known), 0);
    assert_int_equal(vv_get(&known, anna), vv_get(replica_knowledge(w.d[ANNA].s->replica), anna));
}

/* ---- tests -------------------------------------------------------------------------------------
 */

static void many_are_taken_and_shown(void **state)
{
    (void)state;
    make_files(MANY);
    uint64_t before = db_written(bert()->s->db);
    assert_int_equal(give(MANY), 0);
    assert_true(db_written(bert()->s->db) - before < MANY / 8); /* not one write for each */
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(fate[i], SYNC_TAKEN);
    assert_int_equal(bert_has(), MANY);
    expect_known();
    assert_int_equal(give(MANY), 0);
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(fate[i], SYNC_KNOWN);
    device_reopen(bert());
    expect_known();
    sync_meet_expect(bert(), "f100", "f100");
}

static void order_makes_no_difference(void **state)
{
    (void)state;
    make_files(MANY);
    for (size_t i = 0; i < MANY; i++)
        given[i] = buf_bytes(&came[(i * 77 + 5) % MANY]); /* 77 and MANY have no common factor */
    assert_int_equal(give(MANY), 0);
    expect_known();
    assert_int_equal(bert_has(), MANY);
}

static void one_that_comes_twice_is_known_then(void **state)
{
    (void)state;
    make_files(3);
    given[3] = given[1];
    assert_int_equal(give(4), 0);
    assert_int_equal(fate[1], SYNC_TAKEN);
    assert_int_equal(fate[3], SYNC_KNOWN);
    expect_known();
}

/* A change whose content has another size than it says: only applying it shows that. */
static void make_senseless(struct buf *ret)
{
    struct buf good CLEANUP(buf_fini) = {0}, bad CLEANUP(buf_fini) = {0};
    struct hostile_file f = {.kind = KIND_FILE,
                             .name = "senseless",
                             .name_n = 9,
                             .content = bytes_str("text"),
                             .stamp = tidy_now_ms() << 16};
    struct dot dot = hostile_next_dot(&w.d[MALLORY]);
    struct reader r;
    size_t n;
    hostile_change(&w.d[MALLORY], &dot, &f, 1, &good);
    assert_int_equal(value_change_open(buf_bytes(&good), &r, &dot, &n), 0);
    value_change_begin(&bad, &dot, n);
    for (size_t i = 0; i < n; i++) {
        struct buf part CLEANUP(buf_fini) = {0};
        struct value v;
        assert_int_equal(value_change_next(&r, &dot, &v), 0);
        if (v.facet == FACET_CONTENT)
            v.content.size++;
        value_encode(&v, VALUE_WIRE, &part);
        buf_put_string(&bad, buf_bytes(&part));
    }
    hostile_entry_seal(&w.d[MALLORY], &(struct hostile_entry){.dot = dot, .plain = buf_bytes(&bad)},
                       ret);
}

static void a_bad_one_is_named_and_the_others_are_taken(void **state)
{
    (void)state;
    struct buf senseless CLEANUP(buf_fini) = {0}, broken CLEANUP(buf_fini) = {0};
    struct sync_counts counts;
    make_files(40);
    make_senseless(&senseless);
    buf_put_bytes(&broken, buf_bytes(&came[20]));
    broken.p[broken.n - 1] ^= 1;
    given[10] = buf_bytes(&senseless);
    given[20] = buf_bytes(&broken);
    assert_int_equal(give(40), 0);
    for (size_t i = 0; i < 40; i++)
        assert_int_equal(fate[i], i == 10 || i == 20 ? SYNC_REFUSED : SYNC_TAKEN);
    assert_int_equal(bert_has(), 38);
    assert_int_equal(device_ino(bert(), "senseless"), 0);
    space_sync_counts(bert()->s, &counts);
    assert_int_equal(counts.refused, 2);
    char name[40];
    struct entry e;
    assert_int_equal(entry_parse_sealed(buf_bytes(&senseless), &e), 0);
    snprintf(name, sizeof name, "%016llx.%llu", (unsigned long long)e.head.dot.replica,
             (unsigned long long)e.head.dot.counter);
    assert_non_null(strstr(counts.last_refused, name));
    /* Nothing is left half done: the true ones still come. */
    given[0] = buf_bytes(&came[10]);
    given[1] = buf_bytes(&came[20]);
    assert_int_equal(give(2), 0);
    expect_known();
    assert_int_equal(bert_has(), 40);
}

/* A child that is to take many in, and ends by @how while it does. */
static void end_while_taking(int how)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct rlimit none = {0, 0};
        (void)setrlimit(RLIMIT_CORE, &none);
        sync_poison_begin_many(bert()->s->sync);
        raise(how);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    device_reopen(bert());
}

static void after_a_crash_each_is_taken_by_itself_and_none_is_left_out(void **state)
{
    (void)state;
    make_files(40);
    end_while_taking(SIGKILL);
    assert_false(sync_poison_alone(bert()->s->sync));
    for (int i = 0; i < 3; i++)
        end_while_taking(SIGABRT);
    assert_true(sync_poison_alone(bert()->s->sync));
    uint64_t before = db_written(bert()->s->db);
    assert_int_equal(give(40), 0);
    assert_true(db_written(bert()->s->db) - before >= 40);
    for (size_t i = 0; i < 40; i++)
        assert_int_equal(fate[i], SYNC_TAKEN);
    expect_known();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(many_are_taken_and_shown),
        TEST(order_makes_no_difference),
        TEST(one_that_comes_twice_is_known_then),
        TEST(a_bad_one_is_named_and_the_others_are_taken),
        TEST(after_a_crash_each_is_taken_by_itself_and_none_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
