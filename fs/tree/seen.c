#include "fs/tree/seen.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fs/tree/process.h"

enum {
    BUCKETS = 4096,
    THREADS = 512,    /* whose process is remembered, */
    THREAD_MS = 1000, /* for so long: no number is used again that soon */
    UNSETTLED_MAX = 256,
    KEY_BYTES = 16,
};

struct link {
    struct link *prev, *next;
};

/* What a process saw last of a file. */
struct view {
    struct view *next; /* in its bucket */
    struct link all, own;
    struct program *by;
    uint8_t key[KEY_BYTES]; /* the record; of a file that has none: zeros, its number */
    uint64_t seen_ms;
    uint64_t saving; /* the file that it writes; 0: none */
    struct base_ref base;
    bool based, behind;
};

/* A process that has views, or a thread of which it is not known yet. */
struct program {
    struct program *next; /* in its bucket */
    pid_t pid;
    unsigned n;
    struct link views; /* the newest first */
};

struct thread {
    pid_t tid, process; /* process 0: it is to be looked up */
    uint64_t until_ms;
};

/* A thread whose process is to be looked up. */
struct unsettled {
    pid_t tid;
    uint64_t since_ms; /* what it has seen from then on is its process' */
};

struct seen {
    struct seen_source source;
    _Atomic unsigned behind_n;
    pthread_t thread;
    pthread_cond_t wake;
    pthread_mutex_t turn; /* one looks up at a time; taken before lock */
    pthread_mutex_t lock; /* guards all below */
    bool stop;
    size_t unsettled_n;
    struct unsettled unsettled[UNSETTLED_MAX];
    unsigned n;
    struct link all; /* the newest first */
    struct view *views[BUCKETS];
    struct program *programs[BUCKETS];
    struct thread threads[THREADS];
};

/* For whom this thread works. */
static _Thread_local pid_t caller;

/* ---- lists ---- */

static void list_init(struct link *l)
{
    l->prev = l->next = l;
}

static void list_add(struct link *l, struct link *e)
{
    e->next = l->next;
    e->prev = l;
    l->next->prev = e;
    l->next = e;
}

static void list_remove(struct link *e)
{
    e->prev->next = e->next;
    e->next->prev = e->prev;
}

/* ---- views ---- */

static size_t key_bucket(const uint8_t key[KEY_BYTES])
{
    /* Records are named by hashes, files counted. */
    return (get_u64(key) ^ get_u64(key + 8)) % BUCKETS;
}

static struct program **program_slot(struct seen *s, pid_t pid)
{
    struct program **p = &s->programs[(unsigned)pid % BUCKETS];
    while (*p != NULL && (*p)->pid != pid)
        p = &(*p)->next;
    return p;
}

static struct program *program_of(struct seen *s, pid_t pid)
{
    struct program **at = program_slot(s, pid);
    if (*at == NULL) {
        *at = calloc(1, sizeof **at);
        if (*at != NULL) {
            (*at)->pid = pid;
            list_init(&(*at)->views);
        }
    }
    return *at;
}

static void program_rest(struct seen *s, struct program *p)
{
    if (p->n > 0)
        return;
    struct program **at = program_slot(s, p->pid);
    *at = p->next;
    free(p);
}

static void set_behind(struct seen *s, struct view *v, bool behind)
{
    if (behind && !v->behind)
        atomic_fetch_add(&s->behind_n, 1);
    else if (!behind && v->behind)
        atomic_fetch_sub(&s->behind_n, 1);
    v->behind = behind;
}

static struct view *view_get(struct seen *s, const uint8_t key[KEY_BYTES], pid_t pid)
{
    struct view *v = s->views[key_bucket(key)];
    while (v != NULL && (v->by->pid != pid || memcmp(v->key, key, KEY_BYTES) != 0))
        v = v->next;
    return v;
}

static void bucket_remove(struct seen *s, struct view *v)
{
    struct view **at = &s->views[key_bucket(v->key)];
    while (*at != v)
        at = &(*at)->next;
    *at = v->next;
}

static void bucket_add(struct seen *s, struct view *v)
{
    struct view **at = &s->views[key_bucket(v->key)];
    v->next = *at;
    *at = v;
}

static void own_remove(struct seen *s, struct view *v)
{
    list_remove(&v->own);
    v->by->n--;
    program_rest(s, v->by);
}

static void own_add(struct view *v, struct program *p)
{
    v->by = p;
    p->n++;
    list_add(&p->views, &v->own);
}

static void view_drop(struct seen *s, struct view *v)
{
    set_behind(s, v, false);
    bucket_remove(s, v);
    list_remove(&v->all);
    own_remove(s, v);
    s->n--;
    free(v);
}

/* A new view. NULL, without memory: it is as if nothing had been seen. */
static struct view *view_add(struct seen *s, const uint8_t key[KEY_BYTES], pid_t pid)
{
    struct program *p = program_of(s, pid);
    struct view *v = p != NULL ? calloc(1, sizeof *v) : NULL;
    if (v == NULL) {
        if (p != NULL)
            program_rest(s, p);
        return NULL;
    }
    memcpy(v->key, key, sizeof v->key);
    bucket_add(s, v);
    own_add(v, p);
    list_add(&s->all, &v->all);
    s->n++;
    if (p->n > SEEN_OF_ONE_MAX)
        view_drop(s, CONTAINER_OF(p->views.prev, struct view, own));
    if (s->n > SEEN_MAX)
        view_drop(s, CONTAINER_OF(s->all.prev, struct view, all));
    return v;
}

/* The view is used: others are forgotten first. */
static void view_touch(struct seen *s, struct view *v)
{
    list_remove(&v->all);
    list_add(&s->all, &v->all);
    list_remove(&v->own);
    list_add(&v->by->views, &v->own);
}

/* ---- processes ---- */

static struct thread *thread_slot(struct seen *s, pid_t tid)
{
    return &s->threads[(unsigned)tid % THREADS];
}

/* The process of a thread; 0: not known without looking. */
static pid_t thread_known(struct seen *s, pid_t tid, uint64_t now_ms)
{
    const struct thread *t = thread_slot(s, tid);
    return t->tid == tid && now_ms < t->until_ms ? t->process : 0;
}

/* As whose the views of the caller are to be noted: its process, or itself until that is known. */
static pid_t caller_known(struct seen *s, uint64_t now_ms)
{
    struct thread *t = thread_slot(s, caller);
    if (t->tid == caller && now_ms < t->until_ms)
        return t->process != 0 ? t->process : caller;
    if (s->unsettled_n == UNSETTLED_MAX) /* so be it: most processes have one thread */
        return caller;
    *t = (struct thread){caller, 0, now_ms + THREAD_MS};
    s->unsettled[s->unsettled_n++] = (struct unsettled){caller, now_ms};
    if (s->unsettled_n == 1)
        pthread_cond_signal(&s->wake);
    return caller;
}

/* What a thread has seen is its process', and takes the place of what that had seen before. */
static void settle(struct seen *s, const struct unsettled *u, pid_t process)
{
    *thread_slot(s, u->tid) = (struct thread){u->tid, process, s->source.now_ms() + THREAD_MS};
    struct program *from = *program_slot(s, u->tid);
    struct program *to = process != u->tid && from != NULL ? program_of(s, process) : NULL;
    if (to == NULL)
        return;
    for (unsigned n = from->n; n > 0; n--) {
        struct view *v = CONTAINER_OF(from->views.next, struct view, own);
        if (v->seen_ms < u->since_ms)
            break;
        struct view *old = view_get(s, v->key, process);
        own_remove(s, v);
        own_add(v, to);
        if (old != NULL)
            view_drop(s, old);
    }
    program_rest(s, to);
}

void seen_settle(struct seen *s)
{
    struct unsettled u[UNSETTLED_MAX];
    pid_t process;
    pthread_mutex_lock(&s->turn);
    pthread_mutex_lock(&s->lock);
    size_t n = s->unsettled_n;
    memcpy(u, s->unsettled, n * sizeof *u);
    s->unsettled_n = 0;
    pthread_mutex_unlock(&s->lock);
    for (size_t i = 0; i < n; i++) {
        if (s->source.process_of(u[i].tid, &process) < 0)
            continue;
        pthread_mutex_lock(&s->lock);
        settle(s, &u[i], process);
        pthread_mutex_unlock(&s->lock);
    }
    pthread_mutex_unlock(&s->turn);
}

static void *settle_later(void *arg)
{
    struct seen *s = arg;
    pthread_mutex_lock(&s->lock);
    while (!s->stop) {
        if (s->unsettled_n == 0) {
            pthread_cond_wait(&s->wake, &s->lock);
            continue;
        }
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        t.tv_nsec += SEEN_SETTLE_MS * 1000000L;
        t.tv_sec += t.tv_nsec / 1000000000;
        t.tv_nsec %= 1000000000;
        while (!s->stop && pthread_cond_timedwait(&s->wake, &s->lock, &t) == 0)
            ;
        pthread_mutex_unlock(&s->lock);
        seen_settle(s);
        pthread_mutex_lock(&s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* The process that this thread works for, looked up if need be; 0: nobody, or it is gone. */
static pid_t caller_process(struct seen *s)
{
    pid_t process;
    pthread_mutex_lock(&s->lock);
    pid_t known = thread_known(s, caller, s->source.now_ms());
    pthread_mutex_unlock(&s->lock);
    return known != 0 || s->source.process_of(caller, &process) < 0 ? known : process;
}

void seen_caller(pid_t thread)
{
    caller = thread;
}

/* ---- what is seen ---- */

/* What a file is known by: its record, or that of which it was a version when it lost its name. */
static void key_of(const struct attr *a, bool gone, uint8_t key[KEY_BYTES])
{
    memset(key, 0, KEY_BYTES);
    if (a->bound)
        memcpy(key, a->record, KEY_BYTES);
    else if (gone)
        memcpy(key, a->base.b, KEY_BYTES);
    else
        put_u64(key + 8, a->ino);
}

static void note(struct seen *s, const struct attr *a, bool writes)
{
    if (caller == 0 || !attr_is_file(a))
        return;
    /* Its record has another file, which it got while this one was being opened. */
    bool gone = !a->bound && a->nlink == 0 && a->has_base && !a->dirty;
    uint8_t key[KEY_BYTES];
    key_of(a, gone, key);
    pthread_mutex_lock(&s->lock);
    uint64_t now_ms = s->source.now_ms();
    pid_t pid = caller_known(s, now_ms);
    struct view *v = view_get(s, key, pid);
    bool keep = writes && v != NULL;
    if (v == NULL)
        v = view_add(s, key, pid);
    else
        view_touch(s, v);
    if (v != NULL && !keep) {
        set_behind(s, v, gone);
        v->seen_ms = now_ms;
        v->based = a->has_base;
        v->base = a->base;
    }
    if (v != NULL)
        v->saving = a->dirty || writes ? a->ino : 0;
    pthread_mutex_unlock(&s->lock);
}

void seen_read(struct seen *s, const struct attr *a)
{
    note(s, a, false);
}

void seen_write(struct seen *s, const struct attr *a)
{
    note(s, a, true);
}

static bool is_behind(struct seen *s, const uint8_t record[KEY_BYTES])
{
    pthread_mutex_lock(&s->lock);
    const struct view *v = s->views[key_bucket(record)];
    while (v != NULL && (!v->behind || memcmp(v->key, record, KEY_BYTES) != 0))
        v = v->next;
    pthread_mutex_unlock(&s->lock);
    return v != NULL;
}

bool seen_behind(struct seen *s, const uint8_t record[16], struct base_ref *ret)
{
    uint64_t began_ms;
    if (caller == 0 || atomic_load(&s->behind_n) == 0 || !is_behind(s, record))
        return false;
    seen_settle(s);
    pid_t process = caller_process(s);
    if (process == 0 || s->source.process_began(process, &began_ms) < 0)
        return false;
    pthread_mutex_lock(&s->lock);
    struct view *v = view_get(s, record, process);
    if (v != NULL && began_ms > v->seen_ms) { /* the number was another process' then */
        view_drop(s, v);
        v = NULL;
    }
    bool behind = v != NULL && v->behind && v->based;
    if (behind)
        *ret = v->base;
    pthread_mutex_unlock(&s->lock);
    return behind;
}

/* ---- what becomes of it ---- */

/* A file has got its record: what is known of the file is of that. */
static void name_record(struct seen *s, struct view *v, const uint8_t record[KEY_BYTES])
{
    struct view *old = view_get(s, record, v->by->pid);
    if (old != NULL)
        view_drop(s, old);
    bucket_remove(s, v);
    memcpy(v->key, record, KEY_BYTES);
    bucket_add(s, v);
}

void seen_published(struct seen *s, uint64_t ino, const struct base_ref *ref, bool merged)
{
    const uint8_t *record = ref->b;
    uint8_t file[KEY_BYTES] = {0};
    put_u64(file + 8, ino);
    struct view *v, *next;
    pthread_mutex_lock(&s->lock);
    for (v = s->views[key_bucket(file)]; v != NULL; v = next) {
        next = v->next;
        if (memcmp(v->key, file, KEY_BYTES) == 0) {
            name_record(s, v, record);
            next = s->views[key_bucket(file)]; /* the one that follows may have been dropped */
        }
    }
    for (v = s->views[key_bucket(record)]; v != NULL; v = v->next) {
        if (memcmp(v->key, record, KEY_BYTES) != 0)
            continue;
        if (v->saving == ino) {
            v->saving = 0;
            v->based = true;
            v->base = *ref;
            set_behind(s, v, merged);
        } else if (merged) {
            set_behind(s, v, true);
        }
    }
    pthread_mutex_unlock(&s->lock);
}

static struct view *any_view(struct seen *s, const uint8_t key[KEY_BYTES])
{
    struct view *v = s->views[key_bucket(key)];
    while (v != NULL && memcmp(v->key, key, KEY_BYTES) != 0)
        v = v->next;
    return v;
}

void seen_moved(struct seen *s, const struct attr *a, const uint8_t record[16])
{
    struct view *v;
    pthread_mutex_lock(&s->lock);
    while ((v = any_view(s, a->record)) != NULL) {
        bool same = v->based && memcmp(&v->base, &a->base, sizeof v->base) == 0;
        if (v->saving == a->ino || same) {
            v->saving = a->ino;
            name_record(s, v, record);
        } else {
            view_drop(s, v);
        }
    }
    pthread_mutex_unlock(&s->lock);
}

void seen_replaced(struct seen *s, const uint8_t record[16])
{
    pthread_mutex_lock(&s->lock);
    for (struct view *v = s->views[key_bucket(record)]; v != NULL; v = v->next)
        if (memcmp(v->key, record, KEY_BYTES) == 0) {
            v->saving = 0;
            set_behind(s, v, true);
        }
    pthread_mutex_unlock(&s->lock);
}

/* ---- the whole ---- */

static void destroy(struct seen *s)
{
    pthread_cond_destroy(&s->wake);
    pthread_mutex_destroy(&s->lock);
    pthread_mutex_destroy(&s->turn);
    free(s);
}

struct seen *seen_new(const struct seen_source *source)
{
    static const struct seen_source here = {process_of, process_began, process_now_ms};
    struct seen *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->source = source != NULL ? *source : here;
    pthread_mutex_init(&s->turn, NULL);
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&s->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    list_init(&s->all);
    if (pthread_create(&s->thread, NULL, settle_later, s) == 0)
        return s;
    destroy(s);
    return NULL;
}

void seen_free(struct seen *s)
{
    if (s == NULL)
        return;
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    while (s->n > 0)
        view_drop(s, CONTAINER_OF(s->all.prev, struct view, all));
    destroy(s);
}
