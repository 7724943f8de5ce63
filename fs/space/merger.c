#include "fs/space/merger.h"

#include <errno.h>
#include <stdlib.h>

#include "proto/base/log.h"

enum {
    PATIENCE_MS = 20000, /* left to devices that can do better: twice what a driver may take */
    RETRY_MS = 1000,
    ROOM_BYTES = 128 << 10, /* what ending a conflict takes at least */
};

/* A conflict that is left to others. */
struct waiting {
    struct rid rid;
    uint64_t since_ms;
};

struct merger {
    struct space *s;
    pthread_t thread;
    pthread_mutex_t turn; /* one pass at a time; taken before lock */
    struct buf waiting;   /* of struct waiting, ascending; guarded by turn */
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t wake, idle;
    bool woken, stop, working, failing;
    unsigned held;
};

static uint64_t patience_ms(const struct space *s)
{
    return s->cfg.patience_ms > 0 ? s->cfg.patience_ms : PATIENCE_MS;
}

/* ---- a pass over all conflicts ---- */

static int add_rid(void *ctx, const struct rid *rid)
{
    struct buf *b = ctx;
    buf_put(b, rid, sizeof *rid);
    return buf_status(b);
}

static bool is_stopped(struct merger *m)
{
    pthread_mutex_lock(&m->lock);
    bool stop = m->stop;
    pthread_mutex_unlock(&m->lock);
    return stop;
}

struct pass {
    struct merger *m;
    bool impatient;
    size_t at;        /* in the list of who waited before */
    struct buf still; /* who waits after it */
    uint64_t due_ms;  /* when the first of them has waited long enough */
};

/* Since when a record waits; both lists ascend. */
static uint64_t since(struct pass *p, const struct rid *rid)
{
    for (; p->at < p->m->waiting.n; p->at += sizeof(struct waiting)) {
        struct waiting w;
        memcpy(&w, p->m->waiting.p + p->at, sizeof w);
        int c = rid_cmp(&w.rid, rid);
        if (c == 0)
            return w.since_ms;
        if (c > 0)
            break;
    }
    return space_now_ms();
}

static int look(struct pass *p, const struct rid *rid)
{
    struct space *s = p->m->s;
    struct waiting w = {.rid = *rid, .since_ms = since(p, rid)};
    uint64_t due_ms = w.since_ms + patience_ms(s);
    bool late = space_now_ms() >= due_ms;
    int rc = tree_room(s->tree, ROOM_BYTES);
    if (rc == 0)
        rc = merge_record(s, rid, p->impatient || late);
    if (rc != MERGE_LEFT)
        return rc < 0 ? rc : 0;
    if (due_ms < p->due_ms)
        p->due_ms = due_ms;
    buf_put(&p->still, &w, sizeof w);
    return buf_status(&p->still);
}

static int run_pass(struct merger *m, bool impatient, uint64_t *ret_due_ms)
{
    CLEANUP(buf_fini) struct buf rids = {0};
    struct pass p = {.m = m, .impatient = impatient, .due_ms = UINT64_MAX};
    int failed = 0;
    pthread_mutex_lock(&m->s->lock);
    int rc = replica_conflicts(m->s->replica, add_rid, &rids);
    pthread_mutex_unlock(&m->s->lock);
    for (size_t at = 0; rc == 0 && at < rids.n && !is_stopped(m); at += sizeof(struct rid)) {
        struct rid rid;
        memcpy(&rid, rids.p + at, sizeof rid);
        int one = look(&p, &rid);
        failed = one < 0 ? one : failed; /* the others are not kept waiting by it */
    }
    struct buf old = m->waiting;
    m->waiting = p.still;
    buf_fini(&old);
    *ret_due_ms = p.due_ms;
    return rc < 0 ? rc : failed;
}

/* ---- the thread ---- */

static void wait_until(struct merger *m, uint64_t due_ms)
{
    if (due_ms == UINT64_MAX) {
        pthread_cond_wait(&m->wake, &m->lock);
        return;
    }
    struct timespec t = {.tv_sec = (time_t)(due_ms / 1000),
                         .tv_nsec = (long)(due_ms % 1000) * 1000000};
    pthread_cond_timedwait(&m->wake, &m->lock, &t);
}

/* A pass, with the lock given back meanwhile. Returns when the next one is due. */
static uint64_t work(struct merger *m)
{
    uint64_t due_ms = UINT64_MAX;
    m->woken = false;
    m->working = true;
    pthread_mutex_unlock(&m->lock);
    pthread_mutex_lock(&m->turn);
    int rc = run_pass(m, false, &due_ms);
    pthread_mutex_unlock(&m->turn);
    pthread_mutex_lock(&m->lock);
    m->working = false;
    pthread_cond_broadcast(&m->idle);
    if (rc < 0 && !m->failing)
        log_warn("merging what was edited apart: %s; trying again", strerror(-rc));
    m->failing = rc < 0;
    return rc < 0 ? space_now_ms() + RETRY_MS : due_ms;
}

static void *merge(void *arg)
{
    struct merger *m = arg;
    uint64_t due_ms = UINT64_MAX;
    pthread_mutex_lock(&m->lock);
    while (!m->stop) {
        if (m->held == 0 && (m->woken || space_now_ms() >= due_ms))
            due_ms = work(m);
        else
            wait_until(m, m->held == 0 ? due_ms : UINT64_MAX);
    }
    pthread_mutex_unlock(&m->lock);
    tree_thread_done();
    return NULL;
}

void merger_wake(struct space *s)
{
    struct merger *m = s->merger;
    if (m == NULL)
        return;
    pthread_mutex_lock(&m->lock);
    m->woken = true;
    pthread_cond_signal(&m->wake);
    pthread_mutex_unlock(&m->lock);
}

int merger_flush(struct space *s, bool impatient)
{
    uint64_t due_ms;
    struct merger *m = s->merger;
    pthread_mutex_lock(&m->turn);
    int rc = run_pass(m, impatient, &due_ms);
    pthread_mutex_unlock(&m->turn);
    merger_wake(s);
    return rc;
}

void merger_hold(struct space *s)
{
    struct merger *m = s->merger;
    pthread_mutex_lock(&m->lock);
    m->held++;
    while (m->working)
        pthread_cond_wait(&m->idle, &m->lock);
    pthread_mutex_unlock(&m->lock);
}

void merger_release(struct space *s)
{
    struct merger *m = s->merger;
    pthread_mutex_lock(&m->lock);
    m->held--;
    pthread_cond_signal(&m->wake);
    pthread_mutex_unlock(&m->lock);
}

/* ---- start and stop ---- */

static void destroy(struct merger *m)
{
    buf_fini(&m->waiting);
    pthread_cond_destroy(&m->wake);
    pthread_cond_destroy(&m->idle);
    pthread_mutex_destroy(&m->lock);
    pthread_mutex_destroy(&m->turn);
    free(m);
}

int merger_start(struct space *s)
{
    struct merger *m = calloc(1, sizeof *m);
    if (m == NULL)
        return -ENOMEM;
    m->s = s;
    m->woken = true;
    m->held = s->cfg.onlooker;
    pthread_mutex_init(&m->lock, NULL);
    pthread_mutex_init(&m->turn, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&m->wake, &monotonic);
    pthread_cond_init(&m->idle, NULL);
    pthread_condattr_destroy(&monotonic);
    s->merger = m;
    int rc = -pthread_create(&m->thread, NULL, merge, m);
    if (rc < 0) {
        s->merger = NULL;
        destroy(m);
    }
    return rc;
}

void merger_stop(struct space *s)
{
    struct merger *m = s->merger;
    if (m == NULL)
        return;
    atomic_store(&s->closing, true);
    pthread_mutex_lock(&m->lock);
    m->stop = true;
    pthread_cond_signal(&m->wake);
    pthread_mutex_unlock(&m->lock);
    pthread_join(m->thread, NULL);
    s->merger = NULL;
    destroy(m);
}
