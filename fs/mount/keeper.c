#include "fs/mount/keeper.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
    AWAKE_NS = 400000,  /* how long after a request */
    REQUESTS = 4,       /* so many wake it: a single one now and then is not worth it */
    PAUSES = 50,        /* between two looks at the clock: about 1 us */
    GAP_NS = 3000,      /* between two looks: something else has run here */
    WINDOW = 64,        /* requests, after which gaps are judged */
    AWAY_NS = 50000000, /* after both processors were seen in use */
    LOWEST = 19,        /* of nice(2) */
};

struct keeper {
    pthread_t thread;
    sem_t wake;
    cpu_set_t all;
    unsigned cpu[2];
    _Atomic uint64_t requests;
    _Atomic unsigned server_cpu; /* where the last one was answered */
    _Atomic unsigned servers_n;
    _Atomic pid_t servers[KEEPER_SERVERS_MAX]; /* who answers them; 0: not known yet */
    _Atomic uint64_t slept_at; /* requests, when it was last seen awake; for keeper_note() */
    _Atomic bool asleep, stop, yield;
};

/* What it sees while it is awake. */
struct watch {
    uint64_t seen; /* requests */
    uint64_t from; /* requests at the start of the window */
    unsigned gaps; /* in the window */
    unsigned cpu;  /* the one that is kept awake */
    bool changed;  /* that is not the first choice */
};

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void run_on(pid_t thread, const cpu_set_t *set)
{
    sched_setaffinity(thread, sizeof *set, set);
}

static void serve_on(struct keeper *k, const cpu_set_t *set)
{
    unsigned n = atomic_load(&k->servers_n);
    for (unsigned i = 0; i < n && i < KEEPER_SERVERS_MAX; i++) {
        pid_t thread = atomic_load(&k->servers[i]);
        if (thread != 0) /* that would be this thread */
            run_on(thread, set);
    }
}

/* Keeps @cpu awake; the answers come from the other one. */
static void stay_on(struct keeper *k, struct watch *w, unsigned cpu)
{
    cpu_set_t mine, theirs;
    CPU_ZERO(&mine);
    CPU_ZERO(&theirs);
    CPU_SET(cpu, &mine);
    CPU_SET(cpu == k->cpu[0] ? k->cpu[1] : k->cpu[0], &theirs);
    w->cpu = cpu;
    run_on(0, &mine);
    serve_on(k, &theirs);
}

static void leave(struct keeper *k)
{
    run_on(0, &k->all);
    serve_on(k, &k->all);
}

/*
 * Who asks runs here when this thread is interrupted once for each request: then this is where the
 * answers are to come from, and the other processor is the one to keep awake. False: that has been
 * done, and was no use: both are wanted.
 */
static bool judge(struct keeper *k, struct watch *w)
{
    bool here = w->gaps > WINDOW / 2;
    w->gaps = 0;
    w->from = w->seen;
    if (!here)
        return true;
    if (w->changed)
        return false;
    w->changed = true;
    stay_on(k, w, w->cpu == k->cpu[0] ? k->cpu[1] : k->cpu[0]);
    return true;
}

/* Until no request has come for a while; 0, or how long to stay away. */
static int64_t stay_awake(struct keeper *k)
{
    struct watch w = {.seen = atomic_load_explicit(&k->requests, memory_order_relaxed)};
    w.from = w.seen;
    stay_on(k, &w, atomic_load(&k->server_cpu) == k->cpu[0] ? k->cpu[1] : k->cpu[0]);
    int64_t since = now_ns(), now = since;
    bool useful = true;
    atomic_store(&k->yield, false);
    while (useful && now - since < AWAKE_NS &&
           !atomic_load_explicit(&k->stop, memory_order_relaxed)) {
        for (int i = 0; i < PAUSES; i++)
            keeper_pause();
        int64_t last = now;
        uint64_t requests = atomic_load_explicit(&k->requests, memory_order_relaxed);
        now = now_ns();
        w.gaps += now - last > GAP_NS;
        if (requests != w.seen)
            since = now;
        w.seen = requests;
        if (w.seen - w.from >= WINDOW)
            useful = judge(k, &w);
        useful = useful && !atomic_load_explicit(&k->yield, memory_order_relaxed);
    }
    leave(k);
    return useful ? 0 : AWAY_NS;
}

static void *keep(void *arg)
{
    struct keeper *k = arg;
    setpriority(PRIO_PROCESS, 0, LOWEST); /* of this thread alone */
    while (!atomic_load(&k->stop)) {
        while (sem_wait(&k->wake) < 0)
            ;
        nanosleep(&(struct timespec){.tv_nsec = stay_awake(k)}, NULL);
        atomic_store(&k->asleep, true);
    }
    return NULL;
}

int keeper_start(struct keeper **ret, struct err *err)
{
    *ret = NULL;
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) < 0 || CPU_COUNT(&set) != 2)
        return 0;
    struct keeper *k = calloc(1, sizeof *k);
    if (k == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    k->all = set;
    for (unsigned cpu = 0, n = 0; n < 2; cpu++)
        if (CPU_ISSET(cpu, &set))
            k->cpu[n++] = cpu;
    atomic_store(&k->asleep, true);
    sem_init(&k->wake, 0, 0);
    int rc = -pthread_create(&k->thread, NULL, keep, k);
    if (rc < 0) {
        sem_destroy(&k->wake);
        free(k);
        return err_set(err, rc, "starting a thread: %s", strerror(-rc));
    }
    *ret = k;
    return 0;
}

void keeper_join(struct keeper *k)
{
    if (k == NULL)
        return;
    unsigned i = atomic_fetch_add(&k->servers_n, 1);
    if (i < KEEPER_SERVERS_MAX)
        atomic_store(&k->servers[i], gettid());
}

void keeper_note(struct keeper *k)
{
    if (k == NULL)
        return;
    uint64_t n = atomic_fetch_add_explicit(&k->requests, 1, memory_order_relaxed) + 1;
    bool asleep = true;
    if (!atomic_load_explicit(&k->asleep, memory_order_relaxed)) {
        atomic_store_explicit(&k->slept_at, n, memory_order_relaxed);
    } else if (n - atomic_load_explicit(&k->slept_at, memory_order_relaxed) >= REQUESTS &&
               atomic_compare_exchange_strong(&k->asleep, &asleep, false)) {
        atomic_store(&k->server_cpu, (unsigned)sched_getcpu());
        sem_post(&k->wake);
    }
}

void keeper_yield(struct keeper *k)
{
    if (k != NULL)
        atomic_store_explicit(&k->yield, true, memory_order_relaxed);
}

void keeper_stop(struct keeper *k)
{
    if (k == NULL)
        return;
    atomic_store(&k->stop, true);
    sem_post(&k->wake);
    pthread_join(k->thread, NULL);
    sem_destroy(&k->wake);
    free(k);
}
