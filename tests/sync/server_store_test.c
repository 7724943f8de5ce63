/*
 * The store under a server: rows, one process at a time, and what survives a process that is killed
 * at any moment. Other processes are this program again, with words that say what to do.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/crash_rand.h"
#include "tests/support/server_fixture.h"

/* ---- rows ---- */

static void put(struct server_fixture *f, const char *key, const char *value)
{
    struct srv_batch *b = srv_batch_new(f->store);
    srv_batch_put(b, SRV_LOG, bytes_str(key), bytes_str(value));
    assert_int_equal(srv_store_write(f->store, b, SRV_ORDINARY), 0);
    srv_batch_free(b);
}

static void expect_walk(struct server_fixture *f, const char *prefix, const char *from,
                        const char *want)
{
    struct srv_iter *it = srv_iter_new(f->store, SRV_LOG, bytes_str(prefix), bytes_str(from));
    struct buf b = {0};
    while (srv_iter_next(it)) {
        buf_put_bytes(&b, srv_iter_key(it));
        buf_put_u8(&b, '=');
        buf_put_bytes(&b, srv_iter_value(it));
        buf_put_u8(&b, ' ');
    }
    assert_int_equal(srv_iter_status(it), 0);
    srv_iter_free(it);
    buf_put_u8(&b, 0);
    assert_string_equal((const char *)b.p, want);
    buf_fini(&b);
}

static void rows_are_put_found_and_walked(void **state)
{
    struct server_fixture *f = *state;
    struct buf v = {0};
    assert_int_equal(srv_store_get(f->store, SRV_LOG, bytes_str("a"), &v), -ENOENT);
    put(f, "b1", "x");
    put(f, "a", "1");
    put(f, "b", "2");
    put(f, "b2", "");
    put(f, "c\xff", "3");
    put(f, "c\xff\xff", "4");
    put(f, "d", "5");
    assert_int_equal(srv_store_get(f->store, SRV_LOG, bytes_str("b"), &v), 0);
    assert_true(v.n == 1 && v.p[0] == '2');
    assert_int_equal(srv_store_has(f->store, SRV_LOG, bytes_str("b2")), 1);
    assert_int_equal(srv_store_has(f->store, SRV_LOG, bytes_str("b3")), 0);
    assert_int_equal(srv_store_has(f->store, SRV_CHUNKS, bytes_str("b")), 0);
    expect_walk(f, "b", "", "b=2 b1=x b2= ");
    expect_walk(f, "b", "b1", "b1=x b2= ");
    expect_walk(f, "b", "a", "b=2 b1=x b2= ");
    expect_walk(f, "b", "c", "");
    expect_walk(f, "c\xff", "", "c\xff=3 c\xff\xff=4 ");
    expect_walk(f, "", "c", "c\xff=3 c\xff\xff=4 d=5 ");
    server_fixture_reopen(f);
    struct srv_batch *b = srv_batch_new(f->store);
    srv_batch_delete_all(b, SRV_LOG, bytes_str("c\xff"));
    srv_batch_delete(b, SRV_LOG, bytes_str("b1"));
    assert_int_equal(srv_store_write(f->store, b, SRV_ORDINARY), 0);
    srv_batch_free(b);
    expect_walk(f, "", "", "a=1 b=2 b2= d=5 ");
    buf_fini(&v);
}

static void expect_refused(struct server_fixture *f, uint32_t format, const char *why)
{
    uint8_t other[4];
    put_u32(other, format);
    struct srv_batch *b = srv_batch_new(f->store);
    srv_batch_put(b, SRV_META, bytes_str("format"), bytes_of(other, 4));
    assert_int_equal(srv_store_write(f->store, b, SRV_ORDINARY), 0);
    srv_batch_free(b);
    server_fixture_close(f);
    assert_int_equal(srv_store_open(f->dir, true, &f->store, &f->err), -ENOTSUP);
    assert_non_null(strstr(f->err.msg, why));
    assert_null(f->store);
}

static void older_format_is_refused_with_what_to_do(void **state)
{
    expect_refused(*state, SRV_STORE_FORMAT - 1, "older persist; serve an empty directory instead");
}

static void format_of_another_version_is_refused(void **state)
{
    struct server_fixture *f = *state;
    expect_refused(f, SRV_STORE_FORMAT + 1, "a format that this program does not know");
    char path[128];
    snprintf(path, sizeof path, "%s/none", f->top);
    assert_int_equal(srv_store_open(path, false, &f->store, &f->err), -ENOENT);
}

/* ---- processes ---- */

static _Noreturn void hold_open(struct server_fixture *f)
{
    char byte = srv_store_open(f->dir, false, &f->store, NULL) == 0 ? 'y' : 'n';
    (void)!write(STDOUT_FILENO, &byte, 1);
    for (;;)
        pause();
}

static void second_process_is_refused_with_the_pid_of_the_first(void **state)
{
    struct server_fixture *f = *state;
    struct srv_store *second = NULL;
    char want[64];
    snprintf(want, sizeof want, "is served by process %d already", (int)getpid());
    assert_int_equal(srv_store_open(f->dir, true, &second, &f->err), -EBUSY);
    assert_non_null(strstr(f->err.msg, want));
    server_fixture_close(f);
    int fd;
    char byte = 0;
    pid_t pid = server_start_again(f, "hold", 0, &fd);
    assert_int_equal(read(fd, &byte, 1), 1);
    assert_int_equal(byte, 'y');
    snprintf(want, sizeof want, "is served by process %d already", (int)pid);
    assert_int_equal(srv_store_open(f->dir, true, &second, &f->err), -EBUSY);
    assert_non_null(strstr(f->err.msg, want));
    server_kill_again(pid);
    close(fd);
    server_fixture_open(f); /* its file is still there, with its number */
}

/* ---- killed at any moment ---- */

enum { KILLS = 60, KILL_AFTER_US = 40000 };

/* What a round pushes as number @i: entries, STATEs and chunks, some replacing others. */
static int push_number(struct server_fixture *f, const struct srv_at *at, uint64_t i)
{
    uint8_t fill = (uint8_t)(i % 251);
    struct dot before = {5, i / 4};
    struct server_entry value = {.dot = {5, i}, .fill = fill, .sealed_n = 300 + i % 3000};
    struct server_entry state = {.kind = ENTRY_STATE, .dot = {5, i}, .fill = fill};
    f->now_ms += 5;
    if (i % 7 == 0)
        return server_push_chunk(f, at, (unsigned)i, NULL, 0, fill, 5000 + i * 37 % 70000);
    if (i % 11 == 0)
        return server_push(f, at, &state);
    if (i % 4 == 0 && before.counter > 0) {
        value.replaced = &before;
        value.replaced_n = 1;
    }
    return server_push(f, at, &value);
}

/* Pushes without end; what is on the disk is told, as numbers, before more is pushed. */
static int push_until_killed(struct server_fixture *f, uint64_t i)
{
    server_fixture_open(f);
    struct srv_at at = server_at(f->anna.account, 1, 1);
    f->now_ms = SERVER_START_MS + i * 5;
    for (;;) {
        uint64_t until = i + 1 + i % 9;
        for (; i < until; i++)
            if (push_number(f, &at, i) < 0)
                return 2;
        if (srv_spaces_sync(f->spaces) < 0 || write(STDOUT_FILENO, &i, sizeof i) != sizeof i)
            return 3;
    }
}

/* Number @i is stored, whole. */
static bool has_number(struct server_fixture *f, const struct srv_at *at, uint64_t i)
{
    struct server_seen seen = {0};
    if (i % 7 == 0) {
        uint8_t id[CHUNK_ID_SIZE];
        server_chunk_id((unsigned)i, id);
        return srv_chunk_get(f->spaces, at, id, server_see_chunk, &seen) >= 1 &&
               seen.bytes >= 5000 + i * 37 % 70000;
    }
    if (i % 11 == 0)
        return true; /* a newer STATE may be in its place; looked at below */
    return srv_entry_get(f->spaces, at, &(struct dot){5, i}, server_see_item, &seen) == 1 &&
           seen.fills == i % 251;
}

static void expect_all(struct server_fixture *f, const struct srv_at *at, uint64_t from,
                       uint64_t until)
{
    uint64_t states = 0;
    for (uint64_t i = 1; i < until; i++) {
        if (i >= from && !has_number(f, at, i))
            fail_msg("%" PRIu64 " of %" PRIu64 " was acknowledged and is not there", i, until);
        states += i % 11 == 0 && i % 7 != 0;
    }
    struct server_seen seen = server_read_log(f, at);
    /* One that was not acknowledged may be there, too. */
    assert_true(seen.states <= 1 && (seen.states == 1 || states == 0));
    struct srv_space_info info = {.log_id = 0};
    assert_int_equal(srv_space_info(f->spaces, at, &info), 0);
    assert_int_equal(info.entries, seen.n);
    server_check_usage(f, f->anna.account);
}

static void killed_at_any_moment_keeps_what_was_acknowledged(void **state)
{
    struct server_fixture *f = *state;
    struct srv_at at = server_make_space(f, f->anna.account, 1);
    struct crash_rand rand = {crash_seed("server_store_test")};
    server_fixture_close(f);
    uint64_t done = 1;
    unsigned with_pushes = 0;
    for (int kills = 0; kills < KILLS; kills++) {
        int fd;
        uint64_t from = done;
        /* What was pushed and not acknowledged may be there or not: it is pushed again, as a
         * device does. */
        pid_t pid = server_start_again(f, "push", done, &fd);
        uint64_t told;
        if (kills % 4 != 0) /* the others: while it opens */
            assert_int_equal(read(fd, &told, sizeof told), sizeof told);
        done = kills % 4 != 0 ? told : done;
        struct timespec t = {.tv_nsec = (long)(1000 * crash_below(&rand, KILL_AFTER_US))};
        nanosleep(&t, NULL);
        server_kill_again(pid);
        while (read(fd, &told, sizeof told) == sizeof told)
            done = told;
        close(fd);
        with_pushes += done > from;
        server_fixture_open(f);
        expect_all(f, &at, kills == KILLS - 1 ? 1 : from, done);
        server_fixture_close(f);
    }
    server_fixture_open(f);
    assert_true(with_pushes > KILLS / 2);
}

/* ---- threads ---- */

enum { THREADS = 4, EACH = 300 };

struct pusher {
    struct server_fixture *f;
    struct srv_at at;
    uint64_t replica;
    int wrong;
};

static void *push_many(void *arg)
{
    struct pusher *p = arg;
    struct buf b = {0};
    struct server_seen seen = {0};
    struct srv_cursor c = {0};
    for (uint64_t i = 1; i <= EACH; i++) {
        struct server_entry e = {.dot = {p->replica, i}};
        server_entry(&p->at, &e, &b);
        p->wrong +=
            srv_push_entry(p->f->spaces, &p->at, buf_bytes(&b), SERVER_START_MS, NULL, NULL) != 1;
        if (i % 50 == 0)
            p->wrong += srv_spaces_sync(p->f->spaces) != 0;
        p->wrong +=
            srv_log_read(p->f->spaces, &p->at, SRV_LOG_ALL, 5000, server_see_item, &seen, &c) != 0;
    }
    buf_fini(&b);
    return NULL;
}

static void threads_push_and_read_at_once(void **state)
{
    struct server_fixture *f = *state;
    struct pusher p[THREADS];
    pthread_t threads[THREADS];
    struct srv_at a = server_make_space(f, f->anna.account, 1);
    struct srv_at b = server_make_space(f, f->ben.account, 1);
    for (unsigned i = 0; i < THREADS; i++) {
        p[i] = (struct pusher){f, i % 2 == 0 ? a : b, i + 1, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, push_many, &p[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(p[i].wrong, 0);
    }
    assert_int_equal(server_read_log(f, &a).values, THREADS / 2 * EACH);
    assert_int_equal(server_read_log(f, &b).values, THREADS / 2 * EACH);
    server_check_usage(f, f->anna.account);
    server_check_usage(f, f->ben.account);
}

int main(int argc, char **argv)
{
    struct server_fixture f;
    uint64_t from;
    if (server_is_again(argc, argv, &f, &from)) {
        if (strcmp(argv[1], "hold") == 0)
            hold_open(&f);
        return push_until_killed(&f, from);
    }
#define CASE(name)                                                                                 \
    cmocka_unit_test_setup_teardown(name, server_fixture_setup, server_fixture_teardown)
    const struct CMUnitTest tests[] = {
        CASE(rows_are_put_found_and_walked),
        CASE(format_of_another_version_is_refused),
        CASE(older_format_is_refused_with_what_to_do),
        CASE(second_process_is_refused_with_the_pid_of_the_first),
        CASE(killed_at_any_moment_keeps_what_was_acknowledged),
        CASE(threads_push_and_read_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
