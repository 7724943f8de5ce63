/*
 * The publisher: a thread that turns what changed in the tree into changes of records, when it has
 * settled. A failure leaves the item pending, in the database too; nothing is lost by it.
 */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

#include "fs/space/ignore.h"
#include "fs/space/queue.h"
#include "fs/space/space_priv.h"
#include "proto/base/log.h"

enum {
    SETTLE_MS = 50,   /* a new, moved or removed name is published when it was left alone so long */
    QUIET_MS = 2000,  /* likewise what a program has open for writing */
    OPEN_MS = 600000, /* what stays open in the middle of a save */
    LATER_MS = 20,    /* what waits for something else to be published */
    LATER_DOUBLINGS = 9,
    RETRY_MS = 1000, /* after a failure, and twice as long after each more of its kind */
    RETRY_DOUBLINGS = 6,
    BUSY_ITEMS = 64,        /* with more pending, somebody makes or moves many files: */
    BUSY_MS = 250,          /* that goes first, and a new name is looked at after so long */
    MANY_ITEMS = 50000,     /* more than one wants to have in memory: they do not wait */
    GAP_MS = 20,            /* the folder is in use for so long after a request */
    PATIENCE_MS = 8000,     /* bulk stands back so long for that; then it works */
    BURST_MS = 4,           /* so long, */
    REST_MS = 8,            /* and rests so long */
    ROOM_BYTES = 128 << 10, /* what publishing a small file takes, at most */
    TIDY_MS = 3600000,
    TRIM_ITEMS = 20000, /* after so many published, or */
    TRIM_MS = 1000,     /* when nothing was done for so long, memory is given back */
    FLUSH_PASSES_MAX = 64,
    MORE_MAX = 64, /* items that are published with another one, at most */
};

struct publisher {
    struct space *s;
    pthread_t thread;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t wake, idle;
    struct queue queue;
    bool stop;
    unsigned working;                  /* items: one, and another one between two pieces of it */
    bool tidying;                      /* the thread looks at what is kept of the past */
    unsigned held;                     /* the thread stands back */
    bool catching_up;                  /* so it does between two pieces of a big item, */
    bool parked;                       /* where it is now */
    uint64_t changed_ms;               /* when the tree was changed last */
    uint64_t closed_n;                 /* files that were closed so far */
    uint64_t patience_ms;              /* of the item that is worked at: when its patience ends */
    uint64_t burst_ms;                 /* when the burst that goes on began, or the next one will */
    uint64_t tidy_ms;                  /* when to look at what is kept of the past */
    uint64_t worked;                   /* items, since memory was given back */
    int error;                         /* of the last item; 0: it was published */
    struct queue_item *more[MORE_MAX]; /* taken to be published with the one that is worked at */
    size_t more_n;
    struct inval_list back; /* names that came back with a write: the kernel is to be told */
    pthread_mutex_t turn;   /* one flush at a time; taken before lock */
};

uint64_t space_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void space_use(struct space *s)
{
    atomic_fetch_add_explicit(&s->uses, 1, memory_order_relaxed);
}

void space_used(struct space *s)
{
    atomic_fetch_sub_explicit(&s->uses, 1, memory_order_relaxed);
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    atomic_store_explicit(&s->used_ms, (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000,
                          memory_order_relaxed);
}

/* ---- what changed ---- */

static void touch(struct publisher *p, uint64_t ino, struct bytes name, uint64_t delay_ms)
{
    uint64_t now = space_now_ms();
    /* Without memory it stays in the database, and is found at the next start. */
    if (queue_touch(&p->queue, ino, name, now, now + delay_ms) < 0)
        log_warn("out of memory: a change is published at the next start");
}

static uint64_t first_due_ms(const struct publisher *p)
{
    const struct queue_item *first = queue_first(&p->queue);
    return first == NULL ? UINT64_MAX : first->due_ms;
}

void publisher_changed(void *space, const struct tree_change *change)
{
    struct space *s = space;
    struct publisher *p = s->publisher;
    if (p == NULL)
        return;
    pthread_mutex_lock(&p->lock);
    uint64_t before = first_due_ms(p);
    p->changed_ms = space_now_ms();
    switch (change->kind) {
    case TREE_NAME:
        if (ignore_is_rules(change->name))
            atomic_store(&s->rules_seen, true);
        touch(p, change->ino, change->name, p->queue.n < BUSY_ITEMS ? 0 : BUSY_MS);
        break;
    case TREE_BACK:
        inval_name(&p->back, change->ino, change->name);
        inval_inode(&p->back, change->ino);
        touch(p, change->ino, change->name, 0);
        pthread_cond_signal(&p->wake);
        break;
    case TREE_INODE:
        touch(p, change->ino, bytes_of(NULL, 0), p->queue.n < BUSY_ITEMS ? SETTLE_MS : BUSY_MS);
        break;
    case TREE_CLOSED:
        p->closed_n++;
        queue_wake(&p->queue, change->ino, space_now_ms());
        touch(p, change->ino, bytes_of(NULL, 0), 0);
        break;
    case TREE_CLOSED_NEW:
        p->closed_n++;
        queue_wake(&p->queue, change->ino, space_now_ms());
        break;
    case TREE_SYNCED:
        break;
    }
    if (first_due_ms(p) < before)
        pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

static int load_pending(struct publisher *p)
{
    struct db_iter *it = db_iter_new_scan(p->s->db, DB_PENDING, bytes_of(NULL, 0), NULL);
    if (it == NULL)
        return -ENOMEM;
    int rc = 0;
    uint64_t now = space_now_ms();
    while (rc == 0 && db_iter_next(it)) {
        struct bytes key = db_iter_key(it);
        if (key.n < 9)
            continue;
        struct bytes name = bytes_of(key.p + 9, key.n - 9);
        if (ignore_is_rules(name))
            atomic_store(&p->s->rules_seen, true);
        if ((key.p[0] == 'n') == (name.n > 0))
            rc = queue_touch(&p->queue, get_u64(key.p + 1), name, now, now + SETTLE_MS);
    }
    if (rc == 0)
        rc = db_iter_status(it);
    db_iter_free(it);
    return rc;
}

/* ---- publishing ---- */

/* Said once of an item, which may be tried for ever, and of many in a row. Returns when to look
 * again. */
static uint64_t failed(struct publisher *p, struct queue_item *e, int error, uint64_t now)
{
    if (e->error != error && p->error != error)
        log_warn("publishing file %llu: %s; trying again", (unsigned long long)e->ino,
                 strerror(error));
    e->tries = e->error != error ? 0 : (uint8_t)min_u64(e->tries + 1U, RETRY_DOUBLINGS);
    e->error = p->error = error;
    /* Room may come at any time; what cannot be said in records has to be changed first. */
    return now + (error == ENOSPC ? RETRY_MS : (uint64_t)RETRY_MS << e->tries);
}

static struct publish_item item_of(const struct queue_item *e, uint64_t now, bool forced)
{
    return (struct publish_item){
        .ino = e->ino,
        .name = bytes_of(e->name, e->name_n),
        .settled = now - e->touched_ms >= SETTLE_MS,
        .quiet = now - e->touched_ms >= QUIET_MS,
        .forced = forced,
    };
}

/* Publishes one item that was taken out of the queue. Returns when to look again, 0: done. */
static uint64_t work(struct publisher *p, struct queue_item *e, bool forced)
{
    uint64_t now = space_now_ms();
    struct publish_item item = item_of(e, now, forced);
    /* On a full disk publishing waits: what room is left is for deleting. */
    int rc = tree_room(p->s->tree, ROOM_BYTES);
    if (rc == 0)
        rc = e->name_n > 0 ? publish_name(p->s, &item) : publish_inode(p->s, &item);
    e->wait_ino = item.wait_ino;
    if (rc < 0)
        return failed(p, e, -rc, now);
    e->error = p->error = 0;
    switch ((enum publish_result)rc) {
    case PUBLISH_DONE:
        return 0;
    case PUBLISH_SETTLE:
        return e->touched_ms + SETTLE_MS;
    case PUBLISH_OPEN:
        /* Its closing wakes it; looked at now and then all the same. */
        return item.quiet ? now + OPEN_MS : e->touched_ms + QUIET_MS;
    case PUBLISH_LATER:
        if (e->tries < LATER_DOUBLINGS)
            e->tries++;
        return now + ((uint64_t)LATER_MS << e->tries);
    }
    return 0;
}

static void wait_until(struct publisher *p, uint64_t due_ms)
{
    struct timespec t = {.tv_sec = (time_t)(due_ms / 1000),
                         .tv_nsec = (long)(due_ms % 1000) * 1000000};
    pthread_cond_timedwait(&p->wake, &p->lock, &t);
}

static uint64_t tidy_every_ms(const struct publisher *p)
{
    return p->s->cfg.tidy_ms > 0 ? p->s->cfg.tidy_ms : TIDY_MS;
}

/* What is kept of the past, looked at when there is nothing else to do. */
static void tidy(struct publisher *p)
{
    p->tidying = true;
    pthread_mutex_unlock(&p->lock);
    int rc = space_tidy(p->s);
    if (rc < 0)
        log_warn("thinning the history: %s; trying again in an hour", strerror(-rc));
    pthread_mutex_lock(&p->lock);
    p->tidying = false;
    p->tidy_ms = space_now_ms() + tidy_every_ms(p);
    pthread_cond_broadcast(&p->idle);
}

/* What is free now goes back: the disk of files, and memory, which the allocator would keep. */
static void give_back(struct publisher *p)
{
    p->worked = 0;
    pthread_mutex_unlock(&p->lock);
    tree_tidy(p->s->tree);
    malloc_trim(0);
    pthread_mutex_lock(&p->lock);
}

/*
 * While programs use the folder the machine is theirs: until when bulk stands back, 0: it does not.
 * Patience ends; from then on it gets a part of the time.
 */
static uint64_t stand_back_until(struct publisher *p, uint64_t patience_ms)
{
    uint64_t now = space_now_ms();
    bool in_use = atomic_load_explicit(&p->s->uses, memory_order_relaxed) > 0; /* a long fsync */
    uint64_t used_ms = atomic_load_explicit(&p->s->used_ms, memory_order_relaxed);
    uint64_t idle_ms = (in_use ? now : used_ms) + GAP_MS;
    if (now >= idle_ms || now < patience_ms) {
        p->burst_ms = now;
        return now >= idle_ms ? 0 : min_u64(idle_ms, patience_ms);
    }
    if (now >= p->burst_ms + BURST_MS)
        p->burst_ms = now + REST_MS;
    return now < p->burst_ms ? min_u64(idle_ms, p->burst_ms) : 0;
}

/* Is what is pending a heap that somebody made, and not one that has to go? */
static bool is_bulk(const struct publisher *p)
{
    return p->queue.n >= BUSY_ITEMS && p->queue.n < MANY_ITEMS;
}

static bool is_quiet(const struct publisher *p)
{
    return space_now_ms() >= p->changed_ms + TRIM_MS;
}

/* Not by the thread that writes: the kernel may wait for another answer of it. */
static void tell_kernel(struct publisher *p)
{
    struct inval_list back = p->back;
    if (back.b.n == 0)
        return;
    p->back = (struct inval_list){.s = p->s};
    pthread_mutex_unlock(&p->lock);
    inval_send(&back);
    pthread_mutex_lock(&p->lock);
}

/* Waits for an item that is due and takes it; NULL: the end. */
static struct queue_item *next_item(struct publisher *p)
{
    uint64_t back;
    while (!p->stop) {
        tell_kernel(p);
        const struct queue_item *first = queue_first(&p->queue);
        if (first == NULL && p->held == 0 && space_now_ms() >= p->tidy_ms)
            tidy(p);
        else if (p->worked >= TRIM_ITEMS || (first == NULL && p->worked > 0 && is_quiet(p)))
            give_back(p);
        else if (first == NULL && p->worked > 0)
            wait_until(p, p->changed_ms + TRIM_MS);
        else if (first == NULL || p->held > 0)
            wait_until(p, max_u64(p->tidy_ms, space_now_ms() + RETRY_MS));
        else if (first->due_ms > space_now_ms())
            wait_until(p, first->due_ms);
        else if (!is_bulk(p) || (back = stand_back_until(p, first->touched_ms + PATIENCE_MS)) == 0)
            return queue_take(&p->queue);
        else
            wait_until(p, back);
    }
    return NULL;
}

/* When to look again at an item that was worked at. What it waits for may have been closed while it
 * was in no queue, where nothing wakes it. */
static uint64_t again_ms(const struct publisher *p, const struct queue_item *e, uint64_t again,
                         uint64_t closed_before)
{
    return again != 0 && e->wait_ino != 0 && p->closed_n != closed_before ? space_now_ms() : again;
}

static void give(struct publisher *p, struct queue_item *e, uint64_t due_ms)
{
    if (queue_give(&p->queue, e, due_ms) < 0)
        log_warn("out of memory: a change is published at the next start");
}

/* Publishes an item that was taken out of the queue; the lock is given back meanwhile. */
static void publish_taken(struct publisher *p, struct queue_item *e)
{
    uint64_t closed_n = p->closed_n;
    p->working++;
    pthread_mutex_unlock(&p->lock);
    uint64_t again = work(p, e, false);
    pthread_mutex_lock(&p->lock);
    again = again_ms(p, e, again, closed_n);
    p->working--;
    p->worked++;
    if (again == 0)
        free(e);
    else
        give(p, e, again);
    pthread_cond_broadcast(&p->idle);
}

/* The publisher of the thread that publishes; NULL in others. */
static _Thread_local struct publisher *own;
/* What this thread publishes is small. */
static _Thread_local bool small_only;

/* This thread takes items out of the queue: those that are due, or all. */
static _Thread_local enum { TAKES_NONE, TAKES_DUE, TAKES_ALL } takes;

bool publisher_more(struct space *s, struct publish_item *ret)
{
    struct publisher *p = s->publisher;
    if (takes == TAKES_NONE)
        return false;
    pthread_mutex_lock(&p->lock);
    uint64_t now = space_now_ms();
    const struct queue_item *first = queue_first(&p->queue);
    bool due = takes == TAKES_ALL || (first_due_ms(p) <= now && p->held == 0);
    bool is = first != NULL && first->name_n > 0 && due && p->more_n < MORE_MAX;
    if (is) {
        struct queue_item *e = p->more[p->more_n++] = queue_take(&p->queue);
        *ret = item_of(e, now, takes == TAKES_ALL);
    }
    pthread_mutex_unlock(&p->lock);
    return is;
}

void publisher_not_more(struct space *s)
{
    struct publisher *p = s->publisher;
    pthread_mutex_lock(&p->lock);
    struct queue_item *e = p->more[--p->more_n];
    give(p, e, e->due_ms);
    pthread_mutex_unlock(&p->lock);
}

void publisher_more_done(struct space *s, bool published)
{
    struct publisher *p = s->publisher;
    if (takes == TAKES_NONE)
        return;
    pthread_mutex_lock(&p->lock);
    p->worked += published ? p->more_n : 0;
    for (; p->more_n > 0; p->more_n--) {
        struct queue_item *e = p->more[p->more_n - 1];
        if (published)
            free(e);
        else
            give(p, e, e->due_ms);
    }
    pthread_mutex_unlock(&p->lock);
}

bool publisher_between(void)
{
    return small_only || (own != NULL && own->working > 1);
}

static void park(struct publisher *p)
{
    p->parked = true;
    pthread_cond_broadcast(&p->idle);
    while (p->catching_up)
        pthread_cond_wait(&p->wake, &p->lock);
    p->parked = false;
}

void publisher_pause(bool big)
{
    struct publisher *p = own;
    if (p == NULL || publisher_between())
        return;
    pthread_mutex_lock(&p->lock);
    while (!p->stop && (p->held == 0 || (p->catching_up && big))) {
        if (p->catching_up && big) {
            park(p);
            continue;
        }
        tell_kernel(p);
        const struct queue_item *first = queue_first(&p->queue);
        uint64_t due = first == NULL || p->queue.n >= BUSY_ITEMS ? UINT64_MAX : first->due_ms;
        if (due <= space_now_ms()) {
            publish_taken(p, queue_take(&p->queue));
            continue;
        }
        uint64_t back = stand_back_until(p, p->patience_ms);
        if (back == 0)
            break;
        wait_until(p, min_u64(back, due));
    }
    pthread_mutex_unlock(&p->lock);
}

static void *publish(void *arg)
{
    struct publisher *p = own = arg;
    takes = TAKES_DUE;
    pthread_mutex_lock(&p->lock);
    struct queue_item *e;
    while ((e = next_item(p)) != NULL) {
        p->patience_ms = e->touched_ms + PATIENCE_MS;
        publish_taken(p, e);
    }
    pthread_mutex_unlock(&p->lock);
    tree_thread_done();
    return NULL;
}

/* Publishes each pending item once. Counts what is left, and what of that waits for open files. */
static int flush_pass(struct publisher *p, size_t *ret_left)
{
    struct queue left = {0};
    int rc = 0;
    *ret_left = 0;
    takes = TAKES_ALL;
    pthread_mutex_lock(&p->lock);
    uint64_t closed_n = p->closed_n;
    while (p->queue.n > 0 && rc == 0) {
        struct queue_item *e = queue_take(&p->queue);
        pthread_mutex_unlock(&p->lock);
        uint64_t due_ms = e->due_ms;
        uint8_t tries = e->tries;
        uint64_t again = work(p, e, true);
        if (small_only && again != 0) { /* that it was looked at does not put it off */
            again = due_ms;
            e->tries = tries;
        }
        pthread_mutex_lock(&p->lock);
        *ret_left += again != 0 && e->wait_ino == 0;
        if (again == 0)
            free(e);
        else
            rc = queue_give(&left, e, again);
    }
    while (left.n > 0) {
        struct queue_item *e = queue_take(&left);
        if (queue_give(&p->queue, e, again_ms(p, e, e->due_ms, closed_n)) < 0)
            rc = -ENOMEM;
    }
    pthread_cond_signal(&p->wake); /* it may be waiting for what was due without these */
    pthread_mutex_unlock(&p->lock);
    takes = TAKES_NONE;
    queue_fini(&left);
    return rc;
}

static void set_catching_up(struct publisher *p, bool so)
{
    pthread_mutex_lock(&p->lock);
    p->catching_up = so;
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

void publisher_hold(struct space *s)
{
    struct publisher *p = s->publisher;
    pthread_mutex_lock(&p->lock);
    p->held++;
    pthread_cond_signal(&p->wake);
    while (p->tidying || (p->working > 0 && !(p->catching_up && p->parked)))
        pthread_cond_wait(&p->idle, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

void publisher_release(struct space *s)
{
    struct publisher *p = s->publisher;
    pthread_mutex_lock(&p->lock);
    p->held--;
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

/* What waits for something else is done in a later pass; without progress it is not. */
static int flush_passes(struct publisher *p)
{
    size_t left = SIZE_MAX, before = 0;
    int rc = 0;
    for (int pass = 0; pass < FLUSH_PASSES_MAX && left > 0 && left != before && rc == 0; pass++) {
        before = left;
        rc = flush_pass(p, &left);
    }
    return rc;
}

int publisher_flush(struct space *s)
{
    struct publisher *p = s->publisher;
    pthread_mutex_lock(&p->turn);
    publisher_hold(s);
    int rc = flush_passes(p);
    publisher_release(s);
    pthread_mutex_unlock(&p->turn);
    return rc;
}

int publisher_catch_up(struct space *s)
{
    struct publisher *p = s->publisher;
    pthread_mutex_lock(&p->turn);
    set_catching_up(p, true);
    publisher_hold(s);
    small_only = true;
    int rc = flush_passes(p);
    small_only = false;
    set_catching_up(p, false);
    publisher_release(s);
    pthread_mutex_unlock(&p->turn);
    return rc;
}

size_t publisher_failed(struct space *s, struct publish_failed *ret, size_t max)
{
    struct publisher *p = s->publisher;
    size_t n = 0;
    pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < p->queue.n; i++) {
        const struct queue_item *e = p->queue.heap[i];
        if (e->error == 0)
            continue;
        if (n < max) {
            ret[n] = (struct publish_failed){
                .ino = e->ino, .error = e->error, .name_n = min_u64(e->name_n, LIMIT_NAME)};
            memcpy(ret[n].name, e->name, ret[n].name_n);
        }
        n++;
    }
    pthread_mutex_unlock(&p->lock);
    return n;
}

size_t publisher_pending(struct space *s)
{
    struct publisher *p = s->publisher;
    pthread_mutex_lock(&p->lock);
    size_t n = p->queue.n + p->working + p->more_n;
    pthread_mutex_unlock(&p->lock);
    return n;
}

bool publisher_wanted(struct space *s)
{
    struct publisher *p = s->publisher;
    pthread_mutex_lock(&p->lock);
    bool wanted = p->queue.n + p->working + p->more_n > 0 || (p->tidying && p->held > 0);
    pthread_mutex_unlock(&p->lock);
    return wanted;
}

/* ---- start and stop ---- */

static void destroy(struct publisher *p)
{
    inval_drop(&p->back);
    queue_fini(&p->queue);
    pthread_cond_destroy(&p->wake);
    pthread_cond_destroy(&p->idle);
    pthread_mutex_destroy(&p->lock);
    pthread_mutex_destroy(&p->turn);
    free(p);
}

int publisher_start(struct space *s)
{
    struct publisher *p = calloc(1, sizeof *p);
    if (p == NULL)
        return -ENOMEM;
    p->s = s;
    p->back = (struct inval_list){.s = s};
    p->tidy_ms = space_now_ms() + tidy_every_ms(p);
    pthread_mutex_init(&p->lock, NULL);
    pthread_mutex_init(&p->turn, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&p->wake, &monotonic);
    pthread_cond_init(&p->idle, NULL);
    pthread_condattr_destroy(&monotonic);
    int rc = load_pending(p);
    s->publisher = p; /* before the thread asks for it */
    if (rc == 0)
        rc = -pthread_create(&p->thread, NULL, publish, p);
    if (rc < 0) {
        s->publisher = NULL;
        destroy(p);
    }
    return rc;
}

void publisher_stop(struct space *s)
{
    struct publisher *p = s->publisher;
    if (p == NULL)
        return;
    int rc = publisher_flush(s);
    if (rc < 0)
        log_warn("publishing what is pending: %s; it is published at the next start",
                 strerror(-rc));
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
    s->publisher = NULL;
    destroy(p);
}
