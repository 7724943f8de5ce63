#include "fs/space/space.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/replica/version.h"
#include "fs/space/ignore.h"
#include "fs/space/merger.h"
#include "fs/space/space_priv.h"
#include "fs/space/sync_priv.h"

/* The keys of a space; of a new one that has none they are made: it has no members. */
static int get_keys(struct space *s, struct err *err)
{
    int rc = keyring_read(&s->keyring, s->dir_fd, err);
    if (rc == -ENOENT && s->cfg.create && faccessat(s->dir_fd, "db", F_OK, 0) < 0) {
        rc = keyring_found(&s->keyring, NULL);
        if (rc == 0)
            rc = keyring_write(&s->keyring, s->dir_fd, err);
    }
    if (rc == -ENOENT)
        return err_set(err, rc, "no space in %s", s->cfg.dir);
    if (rc == -EACCES)
        return err_set(err, rc, "%s/keys: permission denied; check owner and mode", s->cfg.dir);
    return rc;
}

/* ---- callbacks ---- */

static int base_open(void *arg, const struct base_ref *ref, struct content **ret)
{
    struct space *s = arg;
    struct rid rid;
    struct dot dot;
    CLEANUP(buf_fini) struct buf body = {0};
    base_split(ref, &rid, &dot);
    int rc = version_read(s->db, &rid, &dot, &body);
    if (rc == 0)
        rc = content_open(s->db, buf_bytes(&body), ret);
    return rc == -ENOENT ? -EUCLEAN : rc;
}

static uint64_t wall_ms(void *ctx)
{
    (void)ctx;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static struct bytes referrer(const struct rid *rid, const struct dot *dot, struct base_ref *ref)
{
    *ref = base_of(rid, dot);
    return bytes_of(ref->b, sizeof ref->b);
}

static const char versions_key[] = "versions";

/* How many versions there are, for people: counted along, so that nobody has to walk over them. */
static void put_versions(struct space *s, struct db_batch *batch)
{
    uint8_t value[8];
    put_u64(value, s->versions);
    db_batch_put(batch, DB_META, bytes_str(versions_key), bytes_of(value, sizeof value));
}

static int load_versions(struct space *s)
{
    struct db_value v;
    int rc = db_get(s->db, DB_META, bytes_str(versions_key), &v);
    if (rc == 0 && v.v.n == 8)
        s->versions = get_u64(v.v.p);
    db_value_fini(&v);
    return rc == -ENOENT ? 0 : rc;
}

static int version_added(void *ctx, struct db_batch *batch, const struct rid *rid,
                         const struct dot *dot, struct bytes body)
{
    struct space *s = ctx;
    struct base_ref ref;
    s->versions++;
    put_versions(s, batch);
    return content_ref(batch, body, referrer(rid, dot, &ref));
}

static int version_removed(void *ctx, struct db_batch *batch, const struct rid *rid,
                           const struct dot *dot, struct bytes body)
{
    struct space *s = ctx;
    struct base_ref ref;
    s->versions -= s->versions > 0;
    s->versions_removed++;
    put_versions(s, batch);
    sync_bare_goes(s, batch, rid, dot);
    int rc = sync_version_goes(s, batch, rid, dot, body);
    return rc < 0 ? rc : content_unref(batch, body, referrer(rid, dot, &ref));
}

/* What was counted along is not so. Failing, the count is off until the next check. */
static void changes_aborted(void *ctx)
{
    int rc = load_versions(ctx);
    (void)rc;
}

void space_past_changed(struct space *s)
{
    struct timespec now = attr_now();
    int64_t ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec, last = atomic_load(&s->past_ns);
    atomic_store(&s->past_ns, ns > last ? ns : last + 1);
}

static void record_changed(void *ctx, const struct dot *dot, bool own)
{
    struct space *s = ctx;
    space_past_changed(s);
    if (s->subscriber != NULL)
        s->subscriber(s->subscriber_arg, dot, own);
}

/* ---- opening ---- */

static int open_dir(struct space *s, struct err *err)
{
    s->dir_fd = open(s->cfg.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->dir_fd < 0)
        return err_set(err, -errno, "%s: %s", s->cfg.dir,
                       errno == ENOENT ? "no such space" : strerror(errno));
    return 0;
}

static int open_db(struct space *s, struct err *err)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s/db", s->cfg.dir) >= (int)sizeof path)
        return err_set(err, -ENAMETOOLONG, "%s: path too long", s->cfg.dir);
    if (s->cfg.create && mkdirat(s->dir_fd, "db", 0700) < 0 && errno != EEXIST)
        return err_set(err, -errno, "making %s: %s", path, strerror(errno));
    return db_open(path, &(struct db_config){.create = s->cfg.create}, &s->db, err);
}

static int open_replica(struct space *s, struct err *err)
{
    struct replica_config cfg = {
        .label = s->label,
        .now_ms = wall_ms,
        .version_added = version_added,
        .version_removed = version_removed,
        .version_kept = tidy_version_kept,
        .changed = record_changed,
        .aborted = changes_aborted,
        .label_of = sync_label_of,
        .ctx = s,
    };
    int rc = sync_prepare(s, &cfg.id, err);
    if (rc < 0)
        return rc;
    memcpy(cfg.secret, s->keyring.secret, sizeof cfg.secret);
    rc = replica_open(s->db, &cfg, &s->replica, err);
    sodium_memzero(cfg.secret, sizeof cfg.secret);
    if (rc < 0)
        return rc;
    const struct space_keys *derived = replica_keys(s->replica);
    memcpy(s->keys.id, derived->chunk, sizeof s->keys.id);
    memcpy(s->keys.gear, derived->gear, sizeof s->keys.gear);
    memcpy(s->keys.equal, derived->equal, sizeof s->keys.equal);
    return 0;
}

static int open_parts(struct space *s, struct err *err)
{
    if (sodium_init() < 0)
        return err_set(err, -EIO, "libsodium does not start");
    int rc = open_dir(s, err);
    if (rc == 0)
        rc = get_keys(s, err);
    if (rc == 0)
        rc = open_db(s, err);
    if (rc == 0)
        rc = open_replica(s, err);
    if (rc == 0)
        rc = load_versions(s);
    if (rc == 0)
        rc = sync_open(s, err);
    if (rc == 0)
        rc = ignore_open(s);
    if (rc < 0)
        return rc;
    struct tree_config tree = {.db = s->db,
                               .dir_fd = s->dir_fd,
                               .base_open = base_open,
                               .changed = publisher_changed,
                               .arg = s};
    rc = tree_open(&tree, &s->tree, err);
    if (rc == 0) {
        rc = publisher_start(s);
        if (rc == -EUCLEAN)
            err_set(err, rc,
                    "the table of what is pending is damaged; restore %s from a copy, or clone the "
                    "folder again",
                    s->cfg.dir);
        else if (rc < 0)
            err_set(err, rc, "starting the publisher: %s", strerror(-rc));
    }
    if (rc == 0) {
        rc = merger_start(s);
        if (rc < 0)
            err_set(err, rc, "starting the thread that merges: %s", strerror(-rc));
    }
    return rc;
}

int space_open(const struct space_config *cfg, struct space **ret_space, struct err *err)
{
    struct space *s = calloc(1, sizeof *s);
    if (s == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    s->cfg = *cfg;
    s->cfg.dir = strdup(cfg->dir);
    s->dir_fd = -1;
    snprintf(s->label, sizeof s->label, "%s", cfg->label != NULL ? cfg->label : "");
    s->cfg.label = s->label;
    space_past_changed(s);
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_init(&s->inval_lock, NULL);
    pthread_mutex_init(&s->driver_lock, NULL);
    pthread_rwlock_init(&s->builds, NULL);
    int rc = s->cfg.dir == NULL ? err_set(err, -ENOMEM, "out of memory") : open_parts(s, err);
    if (rc < 0) {
        space_close(s);
        return rc;
    }
    *ret_space = s;
    return 0;
}

void space_close(struct space *s)
{
    if (s == NULL)
        return;
    merger_stop(s);
    publisher_stop(s);
    tree_close(s->tree);
    ignore_close(s);
    sync_close(s);
    replica_close(s->replica);
    db_close(s->db);
    if (s->dir_fd >= 0)
        close(s->dir_fd);
    sodium_memzero(&s->keys, sizeof s->keys);
    keyring_fini(&s->keyring);
    pthread_rwlock_destroy(&s->builds);
    pthread_mutex_destroy(&s->inval_lock);
    pthread_mutex_destroy(&s->driver_lock);
    pthread_mutex_destroy(&s->lock);
    char *dir = (char *)(uintptr_t)s->cfg.dir;
    free(dir);
    free(s);
}

struct tree *space_tree(struct space *s)
{
    return s->tree;
}

void space_on_inval(struct space *s, void (*fn)(void *arg, const struct space_inval *what),
                    void *arg)
{
    pthread_mutex_lock(&s->inval_lock);
    s->inval = fn;
    s->inval_arg = arg;
    pthread_mutex_unlock(&s->inval_lock);
}
