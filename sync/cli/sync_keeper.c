#include "sync/cli/sync_keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fs/space/sync.h"
#include "proto/base/log.h"
#include "sync/cli/runfile.h"
#include "sync/cli/starter.h"
#include "sync/cli/sync_process.h"

enum {
    WAIT_MS = 2000, /* the first one, of which half is by chance; then doubled */
    WAIT_MS_MAX = 60000,
    STEADY_MS = 60000, /* a process that has lived so long does not die at once */
};

struct sync_keeper {
    struct sync_keeper_config cfg; /* without `why` */
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake;
    bool stop, attached;
    bool wanted; /* it is to be started though it has left no pid file */
    unsigned wait_ms;
    uint64_t attached_ms, due_ms; /* since when; when to look next */
    unsigned failures;            /* of starts, in a row */
};

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* With the lock. A start that fails may have been cut off: the second one in a row is an error,
 * and said once. */
static void cannot_start(struct sync_keeper *k, const char *why)
{
    char text[SYNC_TROUBLE_MAX];
    snprintf(text, sizeof text, "the sync process cannot be started: %.450s", why);
    space_sync_set_trouble(k->cfg.space, text);
    if (++k->failures == 2)
        log_error("%s", text);
}

static void forget_trouble(struct sync_keeper *k, const char *text)
{
    space_sync_set_trouble(k->cfg.space, text);
    k->failures = 0;
}

static void look_later(struct sync_keeper *k)
{
    k->due_ms = now_ms() + k->wait_ms / 2 + randombytes_uniform(k->wait_ms / 2);
    k->wait_ms = 2 * k->wait_ms < WAIT_MS_MAX ? 2 * k->wait_ms : WAIT_MS_MAX;
}

/* Whether the state directory is still where it was: none is made anew for one that was removed. */
static bool is_home_there(const struct home *h)
{
    struct stat here, there;
    return fstat(h->fd, &here) == 0 && stat(h->path, &there) == 0 && here.st_ino == there.st_ino &&
           here.st_dev == there.st_dev;
}

/* Who ends on purpose takes the pid file along; so does a start that fails, after a death. */
static bool has_died(const struct sync_keeper *k)
{
    return faccessat(k->cfg.run_fd, SYNC_RUNFILE, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Starts it, unless it lives or is not to. 0, or an error with a message. */
static int start(const struct sync_keeper *k, struct err *err)
{
    pid_t pid;
    if (!is_home_there(k->cfg.home))
        return err_set(err, -ENOENT, "%s: was removed, or is another one now", k->cfg.home->path);
    int rc = runfile_owner_named(k->cfg.run_fd, SYNC_RUNFILE, &pid, err);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    log_info("sync: the sync process does not run; it is started");
    return starter_sync(k->cfg.starter, err);
}

/* With the lock, which is let go meanwhile. */
static void look(struct sync_keeper *k)
{
    struct err err = {0};
    if (!k->wanted && !has_died(k)) {
        forget_trouble(k, "the sync process was ended; 'persist sync' starts it");
        look_later(k);
        return;
    }
    k->wanted = true;
    pthread_mutex_unlock(&k->lock);
    int rc = start(k, &err);
    pthread_mutex_lock(&k->lock);
    if (!k->attached && rc < 0)
        cannot_start(k, err.msg);
    look_later(k);
}

static void wait_until(struct sync_keeper *k, uint64_t by_ms)
{
    struct timespec t = {.tv_sec = (time_t)(by_ms / 1000),
                         .tv_nsec = (long)(by_ms % 1000) * 1000000L};
    pthread_cond_timedwait(&k->wake, &k->lock, &t);
}

static void *run(void *arg)
{
    struct sync_keeper *k = arg;
    pthread_mutex_lock(&k->lock);
    while (!k->stop) {
        if (k->attached)
            pthread_cond_wait(&k->wake, &k->lock);
        else if (now_ms() < k->due_ms)
            wait_until(k, k->due_ms);
        else
            look(k);
    }
    pthread_mutex_unlock(&k->lock);
    return NULL;
}

void sync_keeper_tell(void *keeper, bool attached)
{
    struct sync_keeper *k = keeper;
    pthread_mutex_lock(&k->lock);
    if (attached && !k->attached) {
        k->attached_ms = now_ms();
        k->wanted = false;
        forget_trouble(k, "");
    } else if (!attached && k->attached) {
        pid_t pid;
        struct err err = {0};
        k->wanted =
            has_died(k) && runfile_owner_named(k->cfg.run_fd, SYNC_RUNFILE, &pid, &err) == 0;
        if (now_ms() - k->attached_ms >= STEADY_MS)
            k->wait_ms = WAIT_MS;
        look_later(k);
        pthread_cond_signal(&k->wake);
    }
    k->attached = attached;
    pthread_mutex_unlock(&k->lock);
}

/* Signals are for the main thread. */
static int start_thread(struct sync_keeper *k)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&k->thread, NULL, run, k);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return -rc;
}

static void keeper_free(struct sync_keeper *k)
{
    pthread_cond_destroy(&k->wake);
    pthread_mutex_destroy(&k->lock);
    free(k);
}

int sync_keeper_start(const struct sync_keeper_config *cfg, struct sync_keeper **ret,
                      struct err *err)
{
    struct sync_keeper *k = calloc(1, sizeof *k);
    if (k == NULL)
        return err_set(err, -ENOMEM, "sync process: out of memory");
    *k = (struct sync_keeper){.cfg = *cfg, .wanted = true, .wait_ms = WAIT_MS};
    k->cfg.why = NULL;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&k->lock, NULL);
    pthread_cond_init(&k->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (cfg->why[0] != '\0')
        cannot_start(k, cfg->why);
    look_later(k); /* the mount attaches meanwhile, as a rule */
    int rc = start_thread(k);
    if (rc < 0) {
        keeper_free(k);
        return err_set(err, rc, "sync process: %s", strerror(-rc));
    }
    *ret = k;
    return 0;
}

void sync_keeper_stop(struct sync_keeper *k)
{
    if (k == NULL)
        return;
    pthread_mutex_lock(&k->lock);
    k->stop = true;
    pthread_cond_signal(&k->wake);
    pthread_mutex_unlock(&k->lock);
    pthread_join(k->thread, NULL);
    keeper_free(k);
}
