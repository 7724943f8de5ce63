#include "sync/server/syncer.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct srv_syncer {
    struct srv_syncer_config cfg;
    int event_fd;
    struct net_watch *watch;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock; /* all below */
    pthread_cond_t asked;
    uint64_t wanted, begun, done; /* numbers of syncs */
    int error;
    bool ends;
};

static void wake(const struct srv_syncer *y)
{
    uint64_t one = 1;
    /* Fails only when the counter is full, that is, when it was written already. */
    ssize_t n = write(y->event_fd, &one, sizeof one);
    (void)n;
}

static struct timespec later(struct timespec t, unsigned ms)
{
    t.tv_nsec += (long)ms * 1000000;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

static void *run(void *arg)
{
    struct srv_syncer *y = arg;
    struct timespec next = {0};
    pthread_mutex_lock(&y->lock);
    for (;;) {
        while (y->wanted == y->begun && !y->ends)
            pthread_cond_wait(&y->asked, &y->lock);
        if (y->wanted == y->begun)
            break;
        pthread_mutex_unlock(&y->lock);
        (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
        clock_gettime(CLOCK_MONOTONIC, &next);
        next = later(next, SYNCER_GAP_MS);
        pthread_mutex_lock(&y->lock);
        uint64_t sync = ++y->begun;
        pthread_mutex_unlock(&y->lock);
        int rc = srv_spaces_sync(y->cfg.spaces);
        pthread_mutex_lock(&y->lock);
        y->done = sync;
        y->error = y->error < 0 ? y->error : rc;
        wake(y);
    }
    pthread_mutex_unlock(&y->lock);
    return NULL;
}

static void on_event(uint32_t events, void *arg)
{
    (void)events;
    struct srv_syncer *y = arg;
    uint64_t n;
    if (read(y->event_fd, &n, sizeof n) < 0)
        return;
    pthread_mutex_lock(&y->lock);
    uint64_t done = y->done;
    int error = y->error;
    y->error = 0;
    pthread_mutex_unlock(&y->lock);
    y->cfg.synced(y->cfg.arg, done, error);
}

int srv_syncer_start(const struct srv_syncer_config *cfg, struct srv_syncer **ret)
{
    struct srv_syncer *y = calloc(1, sizeof *y);
    if (y == NULL)
        return -ENOMEM;
    y->cfg = *cfg;
    pthread_mutex_init(&y->lock, NULL);
    pthread_cond_init(&y->asked, NULL);
    y->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int rc = y->event_fd < 0 ? -errno : 0;
    if (rc == 0)
        rc = net_watch_new(cfg->loop, y->event_fd, EPOLLIN, on_event, y, &y->watch);
    if (rc == 0) {
        rc = -pthread_create(&y->thread, NULL, run, y);
        y->has_thread = rc == 0;
    }
    if (rc < 0) {
        srv_syncer_free(y);
        return rc;
    }
    *ret = y;
    return 0;
}

uint64_t srv_syncer_ask(struct srv_syncer *y)
{
    pthread_mutex_lock(&y->lock);
    uint64_t sync = y->begun + 1;
    if (y->wanted != sync) {
        y->wanted = sync;
        pthread_cond_signal(&y->asked);
    }
    pthread_mutex_unlock(&y->lock);
    return sync;
}

void srv_syncer_free(struct srv_syncer *y)
{
    if (y == NULL)
        return;
    pthread_mutex_lock(&y->lock);
    y->ends = true;
    pthread_cond_signal(&y->asked);
    pthread_mutex_unlock(&y->lock);
    if (y->has_thread)
        pthread_join(y->thread, NULL);
    net_watch_free(y->watch);
    if (y->event_fd >= 0)
        close(y->event_fd);
    pthread_cond_destroy(&y->asked);
    pthread_mutex_destroy(&y->lock);
    free(y);
}
