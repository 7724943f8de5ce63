/* The loop: timers, descriptors, stopping from a signal and from another thread; name lookups. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "sync/net/lookup.h"
#include "sync/net/loop.h"

static struct net_loop *loop;

static int start(void **state)
{
    (void)state;
    return net_loop_new(64, &loop, NULL);
}

static int stop(void **state)
{
    (void)state;
    net_loop_free(loop);
    return 0;
}

static void run(void)
{
    assert_int_equal(net_loop_run(loop), 0);
}

struct tick {
    struct net_timer *timer;
    unsigned fired;
    uint64_t at_ms;
    bool stops;
};

static unsigned order[8];
static unsigned order_n;

static void on_tick(void *arg)
{
    struct tick *t = arg;
    t->fired++;
    t->at_ms = net_now_ms();
    if (order_n < 8)
        order[order_n++] = (unsigned)t->stops;
    if (t->stops)
        net_loop_stop(loop);
}

static void timers_fire_once_in_order_and_not_early(void **state)
{
    (void)state;
    struct tick late = {.stops = true};
    struct tick early = {0};
    struct tick never = {0};
    order_n = 0;
    assert_int_equal(net_timer_new(loop, on_tick, &late, &late.timer), 0);
    assert_int_equal(net_timer_new(loop, on_tick, &early, &early.timer), 0);
    assert_int_equal(net_timer_new(loop, on_tick, &never, &never.timer), 0);
    uint64_t from = net_now_ms();
    net_timer_set(late.timer, 80);
    net_timer_set(early.timer, 10000);
    net_timer_set(early.timer, 30);
    net_timer_set(never.timer, 50);
    net_timer_cancel(never.timer);
    run();
    assert_int_equal(early.fired, 1);
    assert_int_equal(late.fired, 1);
    assert_int_equal(never.fired, 0);
    assert_int_equal(order[0], 0);
    assert_int_equal(order[1], 1);
    assert_true(early.at_ms - from >= 29 && late.at_ms - from >= 79);
    net_timer_free(late.timer);
    net_timer_free(early.timer);
    net_timer_free(never.timer);
}

static void on_suicide(void *arg)
{
    struct tick *t = arg;
    net_timer_free(t->timer);
    net_loop_stop(loop);
}

static void a_timer_may_free_itself(void **state)
{
    (void)state;
    struct tick t = {0};
    assert_int_equal(net_timer_new(loop, on_suicide, &t, &t.timer), 0);
    net_timer_set(t.timer, 0);
    run();
}

struct pair {
    int fds[2];
    struct net_watch *watch;
    struct pair *other; /* is freed by this one's function */
    bool takes;         /* what it is called for */
    unsigned called;
    uint32_t events;
};

static void on_ready(uint32_t events, void *arg)
{
    struct pair *p = arg;
    p->called++;
    p->events = events;
    if (p->takes) {
        char c;
        assert_int_equal(read(p->fds[0], &c, 1), 1);
    }
    if (p->other != NULL) {
        net_watch_free(p->other->watch);
        p->other->watch = NULL;
        p->other->other = NULL;
    }
    net_loop_stop(loop);
}

static void make_pair(struct pair *p)
{
    assert_int_equal(pipe(p->fds), 0);
    assert_int_equal(net_watch_new(loop, p->fds[0], EPOLLIN, on_ready, p, &p->watch), 0);
}

static void end_pair(struct pair *p)
{
    net_watch_free(p->watch);
    close(p->fds[0]);
    close(p->fds[1]);
}

static void a_descriptor_is_served_as_long_as_it_is_wanted(void **state)
{
    (void)state;
    struct pair p = {0};
    struct tick t = {.stops = true};
    make_pair(&p);
    assert_int_equal(net_timer_new(loop, on_tick, &t, &t.timer), 0);
    assert_int_equal(write(p.fds[1], "x", 1), 1);
    run();
    assert_int_equal(p.events, EPOLLIN);
    net_watch_want(p.watch, 0);
    p.takes = true;
    p.called = 0;
    net_timer_set(t.timer, 50);
    run();
    assert_int_equal(p.called, 0);
    net_watch_want(p.watch, EPOLLIN);
    run();
    assert_int_equal(p.called, 1);
    net_timer_free(t.timer);
    end_pair(&p);
}

/* Both are ready at once, and whichever is served first frees the other. */
static void a_watch_that_is_freed_by_another_is_not_called(void **state)
{
    (void)state;
    struct pair a = {0};
    struct pair b = {0};
    make_pair(&a);
    make_pair(&b);
    a.other = &b;
    b.other = &a;
    a.takes = b.takes = true;
    assert_int_equal(write(a.fds[1], "x", 1), 1);
    assert_int_equal(write(b.fds[1], "x", 1), 1);
    run();
    assert_int_equal(a.called + b.called, 1);
    end_pair(&a);
    end_pair(&b);
}

static void a_plain_file_cannot_be_watched(void **state)
{
    (void)state;
    FILE *f = tmpfile();
    struct net_watch *w;
    assert_non_null(f);
    assert_int_equal(net_watch_new(loop, fileno(f), EPOLLIN, on_ready, NULL, &w), -EPERM);
    fclose(f);
}

static atomic_bool ran;

static void *stop_from_thread(void *arg)
{
    atomic_store(&ran, true);
    net_loop_stop(arg);
    return NULL;
}

static void another_thread_stops_it(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        pthread_t t;
        atomic_store(&ran, false);
        assert_int_equal(pthread_create(&t, NULL, stop_from_thread, loop), 0);
        run();
        assert_true(atomic_load(&ran));
        assert_int_equal(pthread_join(t, NULL), 0);
    }
}

static void a_stop_before_the_run_counts(void **state)
{
    (void)state;
    net_loop_stop(loop);
    net_loop_stop(loop);
    run();
}

static void on_signal(int signal)
{
    (void)signal;
    net_loop_stop(loop);
}

static void a_signal_handler_stops_it(void **state)
{
    (void)state;
    struct sigaction action = {.sa_handler = on_signal};
    struct sigaction before;
    assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
    alarm(1);
    run();
    assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
}

static void a_signalfd_stops_it(void **state)
{
    (void)state;
    sigset_t set;
    sigset_t before;
    struct pair p = {0};
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &set, &before), 0);
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    assert_int_equal(net_watch_new(loop, fd, EPOLLIN, on_ready, &p, &p.watch), 0);
    assert_int_equal(raise(SIGUSR1), 0);
    run();
    struct signalfd_siginfo info;
    assert_int_equal(read(fd, &info, sizeof info), sizeof info);
    net_watch_free(p.watch);
    close(fd);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
}

struct found {
    unsigned called, n;
    int error;
};

static void on_found(int error, const struct addrinfo *list, void *arg)
{
    struct found *f = arg;
    f->called++;
    f->error = error;
    for (; list != NULL; list = list->ai_next)
        f->n++;
    net_loop_stop(loop);
}

static void names_are_looked_up_beside_the_loop(void **state)
{
    (void)state;
    struct found f = {0};
    struct lookup *l;
    assert_int_equal(lookup_start(loop, "127.0.0.1", on_found, &f, &l), 0);
    assert_int_equal(f.called, 0);
    run();
    assert_int_equal(f.error, 0);
    assert_int_equal(f.n, 1);
    assert_int_equal(lookup_start(loop, "name.invalid", on_found, &f, &l), 0);
    run();
    assert_int_not_equal(f.error, 0);
    assert_int_equal(f.called, 2);
}

static void a_cancelled_lookup_is_not_heard_of(void **state)
{
    (void)state;
    struct found f = {0};
    struct tick t = {.stops = true};
    assert_int_equal(net_timer_new(loop, on_tick, &t, &t.timer), 0);
    for (int i = 0; i < 20; i++) {
        struct lookup *l;
        assert_int_equal(lookup_start(loop, "127.0.0.1", on_found, &f, &l), 0);
        lookup_cancel(l);
    }
    net_timer_set(t.timer, 50);
    run();
    assert_int_equal(f.called, 0);
    net_timer_free(t.timer);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(timers_fire_once_in_order_and_not_early),
        CASE(a_timer_may_free_itself),
        CASE(a_descriptor_is_served_as_long_as_it_is_wanted),
        CASE(a_watch_that_is_freed_by_another_is_not_called),
        CASE(a_plain_file_cannot_be_watched),
        CASE(another_thread_stops_it),
        CASE(a_stop_before_the_run_counts),
        CASE(a_signal_handler_stops_it),
        CASE(a_signalfd_stops_it),
        CASE(names_are_looked_up_beside_the_loop),
        CASE(a_cancelled_lookup_is_not_heard_of),
    };
    return cmocka_run_group_tests_name("net_loop", tests, NULL, NULL);
}
