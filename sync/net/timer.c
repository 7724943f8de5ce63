/*
 * Timers of a loop, in a heap; a descriptor tells when the first is due. Those of libwebsockets are
 * a list that is searched from the beginning for each timer that is set, and there are thousands.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "sync/net/loop_priv.h"

struct net_timer {
    struct net_timers *all;
    size_t at;       /* in the heap, from 1 on; 0: it is not set */
    uint64_t due_us; /* of the monotonic clock */
    void (*fn)(void *arg);
    void *arg;
};

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* ---- the heap: the timer at @at is not due before the one at @at / 2 ---- */

static void place(struct net_timers *a, struct net_timer *t, size_t at)
{
    a->heap[at - 1] = t;
    t->at = at;
}

static void rise(struct net_timers *a, struct net_timer *t)
{
    size_t at = t->at;
    for (; at > 1 && a->heap[at / 2 - 1]->due_us > t->due_us; at /= 2)
        place(a, a->heap[at / 2 - 1], at);
    place(a, t, at);
}

static void sink(struct net_timers *a, struct net_timer *t)
{
    size_t at = t->at;
    for (size_t next; (next = 2 * at) <= a->n; at = next) {
        if (next < a->n && a->heap[next]->due_us < a->heap[next - 1]->due_us)
            next++;
        if (a->heap[next - 1]->due_us >= t->due_us)
            break;
        place(a, a->heap[next - 1], at);
    }
    place(a, t, at);
}

static void take_out(struct net_timer *t)
{
    struct net_timers *a = t->all;
    size_t at = t->at;
    if (at == 0)
        return;
    struct net_timer *last = a->heap[--a->n];
    t->at = 0;
    if (last == t)
        return;
    place(a, last, at);
    rise(a, last);
    sink(a, last);
}

/* ---- firing ---- */

/* Has the loop told when the first one is due, unless it will be told early enough. */
static void arrange(struct net_timers *a)
{
    if (a->n == 0 || (a->armed_us != 0 && a->armed_us <= a->heap[0]->due_us))
        return;
    a->armed_us = a->heap[0]->due_us;
    struct itimerspec when = {.it_value = {.tv_sec = (time_t)(a->armed_us / 1000000),
                                           .tv_nsec = (long)(a->armed_us % 1000000) * 1000}};
    int rc = timerfd_settime(a->fd, TFD_TIMER_ABSTIME, &when, NULL);
    assert(rc == 0); /* fails only for what is no timer */
    (void)rc;
}

/* Those that are due now; what they set is due later. */
static void fire(uint32_t events, void *arg)
{
    (void)events;
    struct net_timers *a = arg;
    uint64_t now = now_us(), times;
    if (read(a->fd, &times, sizeof times) < 0)
        return; /* it was set anew meanwhile */
    a->armed_us = 0;
    while (a->n > 0 && a->heap[0]->due_us <= now) {
        struct net_timer *t = a->heap[0];
        take_out(t);
        t->fn(t->arg);
    }
    arrange(a);
}

int net_timers_init(struct net_timers *a, struct net_loop *l)
{
    a->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    return a->fd < 0 ? -errno : net_watch_new(l, a->fd, EPOLLIN, fire, a, &a->watch);
}

void net_timers_fini(struct net_timers *a)
{
    if (a->fd >= 0)
        close(a->fd);
    free(a->heap);
}

/* ---- timers ---- */

int net_timer_new(struct net_loop *l, void (*fn)(void *arg), void *arg, struct net_timer **ret)
{
    struct net_timers *a = net_loop_timers(l);
    struct net_timer *t = calloc(1, sizeof *t);
    if (t == NULL)
        return -ENOMEM;
    if (a->made == a->cap) {
        size_t cap = a->cap == 0 ? 64 : 2 * a->cap;
        struct net_timer **heap = reallocarray(a->heap, cap, sizeof(struct net_timer *));
        if (heap == NULL) {
            free(t);
            return -ENOMEM;
        }
        a->heap = heap;
        a->cap = cap;
    }
    a->made++;
    *t = (struct net_timer){.all = a, .fn = fn, .arg = arg};
    *ret = t;
    return 0;
}

void net_timer_free(struct net_timer *t)
{
    if (t == NULL)
        return;
    take_out(t);
    t->all->made--;
    free(t);
}

void net_timer_set(struct net_timer *t, uint64_t ms)
{
    struct net_timers *a = t->all;
    take_out(t);
    t->due_us = now_us() + min_u64(ms, UINT64_C(1) << 40) * 1000 + 1;
    place(a, t, ++a->n);
    rise(a, t);
    arrange(a);
}

void net_timer_cancel(struct net_timer *t)
{
    take_out(t);
}
