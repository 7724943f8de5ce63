/* Which version each process saw last: who is known by what, what is forgotten, and when. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs/tree/process.h"
#include "fs/tree/seen.h"
#include "proto/base/buf.h"

/* A machine of our own: its clock, and processes whose numbers can be used again. */
enum { PIDS = 20000, THREAD_OF_9 = 10 };

static struct {
    _Atomic uint64_t now_ms;
    uint64_t began_ms[PIDS];
    _Atomic unsigned looked;
} machine;

static int process_here(pid_t thread, pid_t *ret)
{
    machine.looked++;
    *ret = thread == THREAD_OF_9 ? 9 : thread;
    return 0;
}

static int began_here(pid_t process, uint64_t *ret_ms)
{
    *ret_ms = machine.began_ms[process];
    return 0;
}

static uint64_t now_here(void)
{
    return machine.now_ms;
}

static int setup(void **state)
{
    static const struct seen_source source = {process_here, began_here, now_here};
    memset(machine.began_ms, 0, sizeof machine.began_ms);
    machine.looked = 0;
    machine.now_ms = 100000;
    *state = seen_new(&source);
    return *state == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    seen_free(*state);
    return 0;
}

static struct base_ref version(uint8_t record, uint8_t n)
{
    struct base_ref ref = {{0}};
    ref.b[0] = record;
    ref.b[TREE_BASE_BYTES - 1] = n;
    return ref;
}

/* The file that shows version @n of a record; @n 0: a file that has no record. */
static struct attr file(uint64_t ino, uint8_t record, uint8_t n)
{
    struct attr a = {.ino = ino,
                     .mode = S_IFREG | 0644,
                     .nlink = 1,
                     .bound = n > 0,
                     .has_base = n > 0,
                     .dirty = n == 0,
                     .base = version(record, n)};
    a.record[0] = record;
    return a;
}

static void as(struct seen *s, pid_t tid, void (*act)(struct seen *, const struct attr *),
               const struct attr *a)
{
    machine.now_ms++;
    seen_caller(tid);
    act(s, a);
    seen_caller(0);
    seen_settle(s);
}

/* What a process is behind with; 0: nothing. */
static uint8_t behind(struct seen *s, pid_t tid, uint8_t record)
{
    struct base_ref ref;
    uint8_t key[16] = {record};
    seen_caller(tid);
    bool is = seen_behind(s, key, &ref);
    seen_caller(0);
    return is ? ref.b[TREE_BASE_BYTES - 1] : 0;
}

static void replace(struct seen *s, uint8_t record)
{
    uint8_t key[16] = {record};
    seen_replaced(s, key);
}

static void publish(struct seen *s, uint64_t ino, uint8_t record, uint8_t n, bool merged)
{
    struct base_ref ref = version(record, n);
    seen_published(s, ino, &ref, merged);
}

static void who_read_the_older_one_is_behind(void **state)
{
    struct seen *s = *state;
    struct attr one = file(1, 7, 1), two = file(2, 7, 2);
    as(s, 5, seen_read, &one);
    assert_int_equal(behind(s, 5, 7), 0);
    replace(s, 7);
    assert_int_equal(behind(s, 5, 7), 1);
    assert_int_equal(behind(s, 6, 7), 0); /* never opened it */
    assert_int_equal(behind(s, 0, 7), 0); /* this program's own */
    as(s, 6, seen_read, &two);
    assert_int_equal(behind(s, 6, 7), 0);
    as(s, 5, seen_read, &two);
    assert_int_equal(behind(s, 5, 7), 0);
}

static void what_a_process_saved_it_has_seen(void **state)
{
    struct seen *s = *state;
    struct attr one = file(1, 7, 1), fresh = file(3, 7, 0);
    as(s, 5, seen_read, &one);
    as(s, 6, seen_read, &one);
    /* By a new file that takes the name: the record is known once it is published. */
    as(s, 5, seen_write, &fresh);
    publish(s, 3, 7, 2, false);
    assert_int_equal(behind(s, 5, 7), 0);
    replace(s, 7);
    assert_int_equal(behind(s, 5, 7), 2);
    assert_int_equal(behind(s, 6, 7), 1);
    /* Merged with what came: what it saved is not what is shown. */
    struct attr three = file(3, 7, 3);
    as(s, 5, seen_write, &three);
    publish(s, 3, 7, 4, true);
    assert_int_equal(behind(s, 5, 7), 4);
    assert_int_equal(behind(s, 6, 7), 1);
}

/* By a new file that had become a record of its own, 8, when it took the name. */
static void what_a_process_saved_by_another_record_it_has_seen(void **state)
{
    struct seen *s = *state;
    struct attr one = file(1, 7, 1), half = file(3, 8, 0), tmp = file(3, 8, 2);
    uint8_t note[16] = {7};
    as(s, 5, seen_read, &one);
    as(s, 6, seen_read, &one);
    as(s, 5, seen_write, &half);
    publish(s, 3, 8, 1, false);
    publish(s, 3, 8, 2, false);
    as(s, 5, seen_write, &tmp);
    seen_moved(s, &tmp, note);
    publish(s, 3, 7, 5, false);
    replace(s, 8);
    assert_int_equal(behind(s, 5, 8), 0); /* that one is nobody's any more */
    replace(s, 7);
    assert_int_equal(behind(s, 5, 7), 5);
    assert_int_equal(behind(s, 6, 7), 1);
}

static void a_number_that_is_used_again_is_another_process(void **state)
{
    struct seen *s = *state;
    struct attr one = file(1, 7, 1);
    machine.began_ms[5] = 1000;
    as(s, 5, seen_read, &one);
    replace(s, 7);
    assert_int_equal(behind(s, 5, 7), 1);
    machine.now_ms += 60000;
    machine.began_ms[5] = machine.now_ms - 10;
    assert_int_equal(behind(s, 5, 7), 0);
    /* And it is forgotten. */
    machine.began_ms[5] = 1000;
    assert_int_equal(behind(s, 5, 7), 0);
}

static void the_threads_of_a_process_are_one(void **state)
{
    struct seen *s = *state;
    struct attr one = file(1, 7, 1), other = file(2, 8, 1);
    as(s, THREAD_OF_9, seen_read, &one);
    as(s, 9, seen_read, &other);
    replace(s, 7);
    replace(s, 8);
    assert_int_equal(behind(s, 9, 7), 1);
    assert_int_equal(behind(s, THREAD_OF_9, 7), 1);
    assert_int_equal(behind(s, THREAD_OF_9, 8), 1);
    /* Read again by the other thread, a long time after. */
    machine.now_ms += 60000;
    struct attr two = file(1, 7, 2);
    as(s, 9, seen_read, &two);
    assert_int_equal(behind(s, THREAD_OF_9, 7), 0);
}

static void few_are_looked_up(void **state)
{
    struct seen *s = *state;
    for (uint64_t i = 0; i < 1000; i++) {
        struct attr a = file(i, (uint8_t)(i % 250), 1);
        as(s, 5, seen_read, &a);
        machine.now_ms--;
    }
    assert_true(machine.looked <= 2);
}

static void it_is_bounded(void **state)
{
    struct seen *s = *state;
    struct attr mine = file(1, 7, 1);
    as(s, 5, seen_read, &mine);
    /* One that reads everything costs others nothing, */
    for (uint64_t i = 0; i < 3 * SEEN_MAX; i++) {
        struct attr a = file(100 + i, 0, 0);
        as(s, 6, seen_read, &a);
    }
    replace(s, 7);
    assert_int_equal(behind(s, 5, 7), 1);
    /* but many that read something each do: the oldest goes. */
    for (pid_t pid = 100; pid < 100 + SEEN_MAX + 1; pid++)
        as(s, pid, seen_read, &mine);
    assert_int_equal(behind(s, 5, 7), 0);
    replace(s, 7);
    assert_int_equal(behind(s, 101, 7), 1);
}

enum { WORKERS = 4, ROUNDS = 5000 };

struct worker {
    struct seen *s;
    pid_t pid;
};

/* What many threads do at once; what is right then is for the thread sanitizer to say. */
static void *work(void *arg)
{
    struct worker *w = arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct attr a = file(i % 50 + 1, (uint8_t)(i % 50), 1), fresh = file(1000 + i, 0, 0);
        struct base_ref ref;
        seen_caller(w->pid + (pid_t)(i % 3));
        seen_read(w->s, &a);
        seen_write(w->s, &fresh);
        publish(w->s, 1000 + i, (uint8_t)(i % 50), 2, i % 2 == 0);
        if (i % 5 == 0)
            replace(w->s, (uint8_t)(i % 50));
        (void)seen_behind(w->s, a.record, &ref);
    }
    return NULL;
}

static void many_at_once(void **state)
{
    struct worker w[WORKERS];
    pthread_t threads[WORKERS];
    for (int i = 0; i < WORKERS; i++) {
        w[i] = (struct worker){*state, 8 + i};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &w[i]), 0);
    }
    for (int i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

/* ---- the machine that this is ---- */

static void *tid_of_thread(void *arg)
{
    pid_t *p = arg;
    pid_t tid = (pid_t)syscall(SYS_gettid);
    assert_int_equal(process_of(tid, &p[0]), 0);
    p[1] = tid;
    return NULL;
}

static void processes_are_found(void **state)
{
    (void)state;
    pthread_t thread;
    pid_t found[2] = {0, 0};
    assert_int_equal(pthread_create(&thread, NULL, tid_of_thread, found), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(found[0], getpid());
    assert_int_not_equal(found[1], getpid());
    uint64_t own, child_ms, before = process_now_ms();
    assert_int_equal(process_began(getpid(), &own), 0);
    assert_true(own <= before && before - own < 600000);
    usleep(20000);
    pid_t child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    assert_int_equal(process_began(child, &child_ms), 0);
    assert_true(child_ms > before && child_ms <= process_now_ms());
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(process_of(child, &found[0]), -ESRCH);
    assert_int_equal(process_began(child, &child_ms), -ESRCH);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(who_read_the_older_one_is_behind),
        TEST(what_a_process_saved_it_has_seen),
        cmocka_unit_test_setup_teardown(what_a_process_saved_by_another_record_it_has_seen, setup,
                                        teardown),
        TEST(a_number_that_is_used_again_is_another_process),
        TEST(the_threads_of_a_process_are_one),
        TEST(few_are_looked_up),
        TEST(it_is_bounded),
        TEST(many_at_once),
        TEST(processes_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
