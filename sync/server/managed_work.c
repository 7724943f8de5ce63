/* The thread of managed spaces: opens them, writes mirrors, closes. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fs/space/sync.h"
#include "fs/tree/tree.h"
#include "proto/base/escape.h"
#include "proto/base/log.h"
#include "sync/server/managed_priv.h"
#include "sync/state/statefile.h"

enum { RETRY_MS = 30000, TIDY_MS = 60000 };

static const char opened_file[] = "opened";

/* ---- opening ---- */

static void on_change(void *arg, const struct space_inval *what)
{
    struct managed *s = arg;
    uint64_t now = net_now_ms(), never = 0;
    (void)what;
    atomic_store(&s->last_ms, now);
    if (atomic_compare_exchange_strong(&s->first_ms, &never, now)) {
        pthread_mutex_lock(&s->of->lock);
        pthread_cond_signal(&s->of->work);
        pthread_mutex_unlock(&s->of->lock);
    }
}

/* The directory that the mirrors of a user are in. */
static int open_user_dir(const struct managed *s)
{
    int root = s->of->mirror_fd;
    if (mkdirat(root, s->user, 0700) < 0 && errno != EEXIST)
        return -errno;
    int fd = openat(root, s->user, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* A space whose first opening was cut off begins anew: there is nothing in it. */
static int open_space(struct managed *s, struct err *err)
{
    bool fresh = faccessat(s->dir_fd, opened_file, F_OK, AT_SYMLINK_NOFOLLOW) < 0;
    struct space_config cfg = {.dir = s->dir,
                               .create = fresh,
                               .label = "server",
                               .member = &s->of->member,
                               .onlooker = true};
    struct space *space;
    int rc = fresh ? statefile_remove_tree(s->dir_fd, "db", err) : 0;
    if (rc == 0 && fresh)
        rc = statefile_remove_tree(s->dir_fd, "staging", err);
    if (rc == 0)
        rc = space_open(&cfg, &space, err);
    if (rc < 0)
        return rc;
    if (fresh)
        rc = statefile_write(s->dir_fd, opened_file, bytes_of(NULL, 0), false, err);
    if (rc < 0) {
        space_close(space);
        return rc;
    }
    pthread_mutex_lock(&s->of->lock);
    s->space = space;
    pthread_mutex_unlock(&s->of->lock);
    return 0;
}

static int start_engine(struct managed *s, struct err *err)
{
    struct engine_config cfg = {
        .space = s->space, .run_fd = s->dir_fd, .fd_max = s->of->cfg.fd_max};
    return engine_start(&cfg, &s->engine, err);
}

static void open_one(struct managed *s)
{
    struct err err = {0};
    int rc = open_space(s, &err);
    if (rc == 0 && s->of->mirror_fd >= 0) {
        space_on_inval(s->space, on_change, s);
        on_change(s, NULL);
    }
    if (rc == 0)
        rc = start_engine(s, &err);
    if (rc == 0) {
        log_info("managed: a space is open user=%s name=%s", s->user, s->name);
        return;
    }
    log_error("managed: user=%s name=%s: cannot be opened: %s", s->user, s->name, err.msg);
    pthread_mutex_lock(&s->of->lock);
    s->failed = true;
    pthread_mutex_unlock(&s->of->lock);
}

static void close_one(struct managed *s)
{
    struct space *space = s->space;
    engine_stop(TAKE_PTR(s->engine));
    if (space != NULL)
        space_on_inval(space, NULL, NULL);
    if (s->mirror != NULL)
        mirror_free(TAKE_PTR(s->mirror));
    pthread_mutex_lock(&s->of->lock);
    s->space = NULL;
    pthread_mutex_unlock(&s->of->lock);
    space_close(space);
}

/* ---- mirrors ---- */

/* Whether the space has what the server stores: before that, what is missing may be about to come.
 */
static bool is_caught_up(struct space *space)
{
    struct buf links CLEANUP(buf_fini) = {0};
    struct sync_link l;
    if (space_sync_links(space, &links) < 0 || links.n < sizeof l)
        return false;
    memcpy(&l, links.p, sizeof l);
    return l.caught_up;
}

/* When the mirror of a space is to be written; 0: not as things are. */
static uint64_t mirror_due(struct managed *s)
{
    uint64_t first = atomic_load(&s->first_ms), last = atomic_load(&s->last_ms);
    if (s->engine == NULL || first == 0)
        return 0;
    uint64_t at = min_u64(last + MANAGED_SETTLE_MS, first + MANAGED_SETTLE_MAX_MS);
    return max_u64(at, s->retry_ms);
}

static void tell(const struct managed *s, const struct mirror_report *r)
{
    if (r->kept[0] != '\0')
        log_warn("mirror: user=%s name=%s: %s is kept as %s", s->user, s->name,
                 r->was_other ? "what was there before"
                              : "more than half of it was to go at once; the old state",
                 r->kept);
    if (r->skipped > 0)
        log_warn("mirror: user=%s name=%s: %ju files could not be read", s->user, s->name,
                 (uintmax_t)r->skipped);
    if (r->written > 0 || r->removed > 0)
        log_info("mirror: user=%s name=%s written=%ju removed=%ju files=%ju", s->user, s->name,
                 (uintmax_t)r->written, (uintmax_t)r->removed, (uintmax_t)r->files);
}

static int run_mirror(struct managed *s, struct mirror_report *r, struct err *err)
{
    struct srv_managed *m = s->of;
    int fd = open_user_dir(s);
    if (fd < 0)
        return err_set(err, fd, "%s: %s", s->user, strerror(-fd));
    struct mirror_config cfg = {
        .space = s->space, .name = s->name, .root = m->mirror, .state_fd = s->dir_fd};
    int rc = s->mirror == NULL ? mirror_new(&cfg, &s->mirror) : 0;
    if (rc == 0) {
        pthread_mutex_lock(&m->lock);
        m->running = s->mirror;
        if (m->ends)
            mirror_cancel(s->mirror);
        pthread_mutex_unlock(&m->lock);
        rc = mirror_run(s->mirror, fd, r, err);
        pthread_mutex_lock(&m->lock);
        m->running = NULL;
        pthread_mutex_unlock(&m->lock);
    }
    close(fd);
    return rc;
}

static void write_mirror(struct managed *s)
{
    struct mirror_report r;
    struct err err = {0};
    if (!is_caught_up(s->space)) {
        s->retry_ms = net_now_ms() + MANAGED_SETTLE_MS;
        return;
    }
    uint64_t first = atomic_exchange(&s->first_ms, 0);
    memset(&r, 0, sizeof r);
    int rc = run_mirror(s, &r, &err);
    tell(s, &r);
    s->retry_ms = 0;
    if (rc < 0 && rc != -ECANCELED) {
        uint64_t never = 0;
        log_error("mirror: user=%s name=%s: %s; it is tried again", s->user, s->name, err.msg);
        atomic_compare_exchange_strong(&s->first_ms, &never, first);
        s->retry_ms = net_now_ms() + RETRY_MS;
    }
    pthread_mutex_lock(&s->of->lock);
    s->of->stats.mirror_runs += rc == 0;
    s->of->stats.mirror_failed += rc < 0 && rc != -ECANCELED;
    s->of->stats.mirror_braked += r.kept[0] != '\0';
    pthread_mutex_unlock(&s->of->lock);
}

/* ---- the loop ---- */

/* When something of a space is to be done; 0: nothing, as things are. */
static uint64_t due(struct managed *s)
{
    uint64_t mirror = mirror_due(s), tidy = s->engine != NULL ? s->tidy_ms : 0;
    if (s->ends || (s->space == NULL && !s->failed))
        return 1;
    return mirror == 0 ? tidy : tidy == 0 ? mirror : min_u64(mirror, tidy);
}

/* What is to be done now, in @ret (NULL: nothing); until when there is nothing. Under lock. */
static uint64_t next(struct srv_managed *m, struct managed **ret)
{
    uint64_t now = net_now_ms(), until = now + TIDY_MS;
    *ret = NULL;
    for (struct ring *r = m->all.next; r != &m->all && *ret == NULL; r = r->next) {
        struct managed *s = CONTAINER_OF(r, struct managed, in_all);
        uint64_t at = due(s);
        if (at != 0 && at <= now)
            *ret = s;
        else if (at != 0)
            until = min_u64(until, at);
    }
    return until;
}

/* No kernel tells that it has forgotten a file. */
static void tidy(struct managed *s)
{
    s->tidy_ms = net_now_ms() + TIDY_MS;
    int rc = tree_forget_all(space_tree(s->space));
    if (rc < 0)
        log_warn("managed: user=%s name=%s: tidying: %s", s->user, s->name, strerror(-rc));
}

static void do_one(struct managed *s)
{
    if (s->ends) {
        close_one(s);
        pthread_mutex_lock(&s->of->lock);
        ring_remove(&s->in_all);
        s->of->n--;
        pthread_mutex_unlock(&s->of->lock);
        managed_remove(s);
        managed_free(s);
    } else if (s->space == NULL) {
        open_one(s);
    } else if (s->tidy_ms <= net_now_ms()) {
        tidy(s);
    } else {
        write_mirror(s);
    }
}

static void wait_until(struct srv_managed *m, uint64_t ms)
{
    struct timespec t = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    (void)pthread_cond_timedwait(&m->work, &m->lock, &t);
}

void *managed_work(void *srv_managed)
{
    struct srv_managed *m = srv_managed;
    pthread_mutex_lock(&m->lock);
    while (!m->ends) {
        struct managed *s;
        uint64_t until = next(m, &s);
        if (s == NULL) {
            wait_until(m, until);
            continue;
        }
        pthread_mutex_unlock(&m->lock);
        do_one(s);
        pthread_mutex_lock(&m->lock);
    }
    pthread_mutex_unlock(&m->lock);
    for (struct ring *r = m->all.next; r != &m->all; r = r->next)
        close_one(CONTAINER_OF(r, struct managed, in_all));
    return NULL;
}
