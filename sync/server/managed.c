#include "sync/server/managed.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/space/sync.h"
#include "proto/base/log.h"
#include "sync/server/managed_priv.h"
#include "sync/server/mirrors.h"
#include "sync/state/seed.h"
#include "sync/state/statefile.h"

enum {
    USERS_MS = 5000,
    BECOMING_MS = 30000, /* a space that was granted is opened, and its acts are fetched */
};

struct managed *managed_find(struct srv_managed *m, const struct srv_at *at)
{
    for (struct ring *r = m->all.next; r != &m->all; r = r->next) {
        struct managed *s = CONTAINER_OF(r, struct managed, in_all);
        if (s->account == at->account && memcmp(s->id, at->space, SPACE_ID_SIZE) == 0 && !s->ends)
            return s;
    }
    return NULL;
}

struct bytes srv_managed_member(const struct srv_managed *m)
{
    return bytes_of(m->public, sizeof m->public);
}

/* What the server is of a space: 1 a member; -EAGAIN about to become one; -ENOTCONN neither. */
static int standing(const struct managed *s)
{
    if (s->failed)
        return -ENOTCONN;
    if (s->space != NULL && space_sync_is_member(s->space))
        return 1;
    bool is_new = s->granted_ms != 0 && net_now_ms() < s->granted_ms + BECOMING_MS;
    return s->space == NULL || is_new ? -EAGAIN : -ENOTCONN;
}

bool srv_managed_has(struct srv_managed *m, const struct srv_at *at)
{
    pthread_mutex_lock(&m->lock);
    const struct managed *s = managed_find(m, at);
    bool has = s != NULL && standing(s) != -ENOTCONN;
    pthread_mutex_unlock(&m->lock);
    return has;
}

struct srv_managed_stats srv_managed_stats(struct srv_managed *m)
{
    pthread_mutex_lock(&m->lock);
    struct srv_managed_stats stats = m->stats;
    stats.spaces = m->n;
    pthread_mutex_unlock(&m->lock);
    return stats;
}

/* ---- what devices ask ---- */

/* A space that is granted again: after the server had been revoked there are new epochs. */
static int grant_again(struct managed *s, const struct grant *g, struct err *err)
{
    if (s->failed)
        return err_set(err, -EIO, "the server cannot open what it has of the space");
    if (s->space == NULL)
        return -EAGAIN;
    s->granted_ms = net_now_ms();
    int rc = space_sync_take_grant(s->space, g);
    return rc < 0 ? err_set(err, rc, "the server has the space under other keys: %s", strerror(-rc))
                  : 0;
}

static int grant_new(struct srv_managed *m, const struct srv_at *at, const struct grant *g,
                     struct err *err)
{
    struct srv_space_info info;
    struct managed *s;
    if (m->n >= MANAGED_MAX)
        return err_set(err, -EMFILE, "the server is a member of as many spaces as it can be");
    int rc = srv_space_info(m->cfg.spaces, at, &info);
    if (rc < 0)
        return err_set(err, rc, "the server has no such space");
    rc = managed_make(m, at, g, &s, err);
    if (rc < 0)
        return rc;
    rc = srv_own_link_start(m->hub, s->account, s->dir_fd, &s->link);
    if (rc < 0) {
        managed_free(s); /* it is tried again: what is on disk is found then */
        return err_set(err, rc, "the server cannot open the space: %s", strerror(-rc));
    }
    s->granted_ms = net_now_ms();
    pthread_mutex_lock(&m->lock);
    ring_add(&m->all, &s->in_all);
    m->n++;
    pthread_cond_signal(&m->work);
    pthread_mutex_unlock(&m->lock);
    return 0;
}

static int take_grant(struct srv_managed *m, const struct srv_at *at, const struct grant *g,
                      struct err *err)
{
    if (memcmp(g->space.b, at->space, SPACE_ID_SIZE) != 0)
        return err_set(err, -EBADMSG, "the grant is of another space");
    pthread_mutex_lock(&m->lock);
    struct managed *s = managed_find(m, at);
    int rc = s != NULL ? grant_again(s, g, err) : 0;
    pthread_mutex_unlock(&m->lock);
    return s != NULL ? rc : grant_new(m, at, g, err);
}

int srv_managed_grant(struct srv_managed *m, const struct srv_at *at, struct bytes blob,
                      struct err *err)
{
    struct grant *g = sodium_malloc(sizeof *g);
    if (g == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    int rc = grant_open(blob, &m->member.keys, g);
    rc = rc < 0 ? err_set(err, -EBADMSG, "the grant is not for this server")
                : take_grant(m, at, g, err);
    sodium_free(g);
    return rc;
}

static int let_in(struct managed *s, const struct srv_joining *who, struct buf *ret_acts,
                  struct buf *ret_grant)
{
    struct act_add add = {.role = ACT_ROLE_DEVICE};
    memcpy(add.member.identity, who->member, SIGN_KEY_SIZE);
    memcpy(add.member.sign, who->member + SIGN_KEY_SIZE, SIGN_KEY_SIZE);
    memcpy(add.member.box, who->member + 2 * SIGN_KEY_SIZE, BOX_KEY_SIZE);
    if (space_sync_was_revoked(s->space, add.member.identity))
        return -EKEYREVOKED;
    bool plain = utf8_is_label(bytes_str(who->label));
    int rc = space_sync_grant(s->space, &add, plain ? who->label : "device", s->name, ret_grant);
    return rc < 0 ? rc : space_sync_own_acts(s->space, ret_acts);
}

int srv_managed_join(struct srv_managed *m, const struct srv_at *at, const struct srv_joining *who,
                     struct buf *ret_acts, struct buf *ret_grant)
{
    pthread_mutex_lock(&m->lock);
    struct managed *s = managed_find(m, at);
    int rc = s == NULL ? -ENOENT : standing(s);
    if (rc == 1)
        rc = let_in(s, who, ret_acts, ret_grant);
    pthread_mutex_unlock(&m->lock);
    return rc;
}

/* ---- users that go ---- */

/* What the server could read of a removed user's is not kept. */
static void on_timer(void *arg)
{
    struct srv_managed *m = arg;
    struct srv_user user;
    pthread_mutex_lock(&m->lock);
    for (struct ring *r = m->all.next; r != &m->all; r = r->next) {
        struct managed *s = CONTAINER_OF(r, struct managed, in_all);
        if (s->ends || srv_user_of(m->cfg.store, s->account, &user) != -ENOENT)
            continue;
        srv_own_link_free(TAKE_PTR(s->link));
        s->ends = true;
        pthread_cond_signal(&m->work);
    }
    pthread_mutex_unlock(&m->lock);
    net_timer_set(m->timer, USERS_MS);
}

/* ---- beginning and end ---- */

static int load_keys(struct srv_managed *m, int dir_fd, struct err *err)
{
    uint8_t seed[SEED_BYTES];
    struct member_keys identity = {0};
    int rc = seed_load(dir_fd, "identity", seed, err);
    if (rc == 0 && door_keys_init(&identity, seed) < 0)
        rc = err_set(err, -EIO, "identity: the key cannot be derived");
    if (rc == 0)
        rc = seed_load(dir_fd, "member", seed, err);
    if (rc == 0 && space_member_init(&m->member, seed, identity.sign_public) < 0)
        rc = err_set(err, -EIO, "member: the keys cannot be derived");
    sodium_memzero(seed, sizeof seed);
    member_keys_fini(&identity);
    memcpy(m->public, m->member.pub.identity, SIGN_KEY_SIZE);
    memcpy(m->public + SIGN_KEY_SIZE, m->member.pub.sign, SIGN_KEY_SIZE);
    memcpy(m->public + 2 * SIGN_KEY_SIZE, m->member.pub.box, BOX_KEY_SIZE);
    return rc;
}

static int open_dirs(struct srv_managed *m, struct err *err)
{
    int fd = open(m->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, -errno, "%s: %s", m->dir, strerror(errno));
    int rc = load_keys(m, fd, err);
    if (rc == 0)
        rc = statefile_open_dir(fd, "managed", true, &m->dir_fd, err);
    close(fd);
    if (rc < 0)
        return err_wrap(err, rc, "%s", m->dir);
    if (m->cfg.mirror == NULL)
        return 0;
    m->mirror_fd = open(m->cfg.mirror, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return m->mirror_fd < 0 ? err_set(err, -errno, "mirror: %s: %s; make the directory",
                                      m->cfg.mirror, strerror(errno))
                            : srv_mirrors_claim(m->dir, m->cfg.mirror, m->mirror_fd, err);
}

int srv_managed_new(const struct srv_managed_config *cfg, struct srv_managed **ret, struct err *err)
{
    pthread_condattr_t monotonic;
    struct srv_managed *m = calloc(1, sizeof *m);
    if (m == NULL)
        return err_set(err, -ENOMEM, "managed: out of memory");
    m->cfg = *cfg;
    m->dir_fd = m->mirror_fd = -1;
    ring_init(&m->all);
    pthread_mutex_init(&m->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&m->work, &monotonic);
    pthread_condattr_destroy(&monotonic);
    m->dir = strdup(cfg->dir);
    m->mirror = strdup(cfg->mirror != NULL ? cfg->mirror : "");
    int rc = m->dir == NULL || m->mirror == NULL || sodium_init() < 0
                 ? err_set(err, -ENOMEM, "managed: out of memory")
                 : open_dirs(m, err);
    if (rc < 0) {
        srv_managed_free(m);
        return rc;
    }
    *ret = m;
    return 0;
}

static int start_links(struct srv_managed *m)
{
    int rc = 0;
    for (struct ring *r = m->all.next; rc == 0 && r != &m->all; r = r->next) {
        struct managed *s = CONTAINER_OF(r, struct managed, in_all);
        rc = srv_own_link_start(m->hub, s->account, s->dir_fd, &s->link);
    }
    return rc;
}

/* Signals are for the main thread. */
static int start_thread(struct srv_managed *m)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&m->thread, NULL, managed_work, m);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    m->has_thread = rc == 0;
    return -rc;
}

int srv_managed_start(struct srv_managed *m, struct srv_hub *hub, struct net_loop *loop,
                      struct err *err)
{
    m->hub = hub;
    m->loop = loop;
    int rc = managed_load(m, err);
    if (rc < 0)
        return rc;
    rc = net_timer_new(loop, on_timer, m, &m->timer);
    if (rc == 0)
        rc = start_links(m);
    if (rc == 0)
        rc = start_thread(m);
    if (rc < 0)
        return err_set(err, rc, "managed: %s", strerror(-rc));
    net_timer_set(m->timer, USERS_MS);
    return 0;
}

static void end_thread(struct srv_managed *m)
{
    pthread_mutex_lock(&m->lock);
    m->ends = true;
    if (m->running != NULL)
        mirror_cancel(m->running);
    pthread_cond_signal(&m->work);
    pthread_mutex_unlock(&m->lock);
    if (m->has_thread)
        pthread_join(m->thread, NULL);
}

void srv_managed_free(struct srv_managed *m)
{
    if (m == NULL)
        return;
    end_thread(m);
    while (!ring_is_empty(&m->all)) {
        struct managed *s = CONTAINER_OF(m->all.next, struct managed, in_all);
        ring_remove(&s->in_all);
        srv_own_link_free(s->link);
        managed_free(s);
    }
    net_timer_free(m->timer);
    if (m->dir_fd >= 0)
        close(m->dir_fd);
    if (m->mirror_fd >= 0)
        close(m->mirror_fd);
    space_member_fini(&m->member);
    pthread_cond_destroy(&m->work);
    pthread_mutex_destroy(&m->lock);
    free(m->dir);
    free(m->mirror);
    free(m);
}
