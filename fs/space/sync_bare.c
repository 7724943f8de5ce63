/*
 * Contents of deleted files that are held *bare*, without their chunks: nobody looks at them, so
 * they are not fetched. Each has a row. A change that would show such a content, or make it a side
 * of a conflict, is not applied before the chunks are here; then the row goes. What stands between
 * two other contents (a merge's base), or is to be taken over, is *wanted*: it is fetched by
 * itself. That is in memory: who wants it says so again.
 *
 * A bare content is not sent, as its chunks cannot be; its entry arrives anew when they came. Nor
 * is it a version that people are shown.
 */
#include <errno.h>

#include "fs/replica/version.h"
#include "fs/space/merger.h"
#include "fs/space/sync_priv.h"

/* One of them. */
struct bare {
    struct rid rid;
    struct dot dot;
};

static struct sync_key bare_key(const struct bare *v)
{
    uint8_t b[RID_SIZE + DOT_SIZE];
    memcpy(b, v->rid.b, RID_SIZE);
    dot_encode(&v->dot, b + RID_SIZE);
    return sync_key(SYNC_BARE, bytes_of(b, sizeof b));
}

static int read_key(struct bytes key, struct bare *ret)
{
    if (key.n != 1 + RID_SIZE + DOT_SIZE)
        return -EUCLEAN;
    memcpy(ret->rid.b, key.p + 1, RID_SIZE);
    ret->dot = dot_decode(key.p + 1 + RID_SIZE);
    return 0;
}

static struct bare bare_at(const struct buf *b, size_t at)
{
    struct bare v;
    memcpy(&v, b->p + at, sizeof v);
    return v;
}

static bool has(const struct buf *b, const struct bare *v)
{
    for (size_t at = 0; at < b->n; at += sizeof *v) {
        struct bare is = bare_at(b, at);
        if (dot_equal(&is.dot, &v->dot) && rid_equal(&is.rid, &v->rid))
            return true;
    }
    return false;
}

static int add(struct buf *b, const struct bare *v)
{
    if (!has(b, v))
        buf_put(b, v, sizeof *v);
    return buf_status(b);
}

/* Appends the rows that begin with @prefix, of struct bare. */
static int list(struct space *s, struct bytes prefix, struct buf *ret)
{
    struct db_iter *it = db_iter_new(s->db, DB_SYNC, prefix, NULL);
    int rc = it == NULL ? -ENOMEM : 0;
    while (rc == 0 && db_iter_next(it)) {
        struct bare v;
        rc = read_key(db_iter_key(it), &v);
        if (rc == 0)
            buf_put(ret, &v, sizeof v);
    }
    if (rc == 0)
        rc = db_iter_status(it);
    db_iter_free(it);
    return rc < 0 ? rc : buf_status(ret);
}

int sync_load_bare(struct space *s)
{
    const uint8_t prefix = SYNC_BARE;
    struct buf rows CLEANUP(buf_fini) = {0};
    int rc = list(s, bytes_of(&prefix, 1), &rows);
    s->sync->has_bare = rows.n > 0;
    return rc;
}

int sync_is_bare(struct space *s, const struct rid *rid, const struct dot *dot)
{
    struct bare v = {*rid, *dot};
    struct sync_key key = bare_key(&v);
    return s->sync == NULL ? 0 : db_has(s->db, DB_SYNC, sync_key_bytes(&key));
}

static int on_missing(void *arg, const struct content_need *need)
{
    (void)arg;
    (void)need;
    return -ENODATA;
}

/* ---- what a change would show ------------------------------------------------------------------
 */

struct shown {
    const struct bare *v;
    bool is;
};

static int look_content(void *arg, const struct replica_content *c)
{
    struct shown *w = arg;
    w->is = w->is || dot_equal(&c->dot, &w->v->dot);
    return 0;
}

/* Whether a record that is not deleted has this content, or it takes part in its conflict: 1, 0. */
static int is_needed(struct space *s, const struct bare *v)
{
    struct replica_info info;
    struct shown w = {.v = v};
    int rc = replica_stat(s->replica, &v->rid, &info);
    if (rc < 0 || !info.alive)
        return rc;
    w.is = dot_equal(&info.content.dot, &v->dot);
    if (info.conflict)
        rc = replica_contents(s->replica, &v->rid, look_content, &w);
    return rc < 0 ? rc : w.is;
}

/* What the effects of what is pending need. */
struct effects {
    struct space *s;
    struct buf *needed; /* of struct bare */
};

static int look_effect(void *arg, const struct replica_effect *e)
{
    struct effects *w = arg;
    uint8_t prefix[1 + RID_SIZE] = {SYNC_BARE};
    struct buf rows CLEANUP(buf_fini) = {0};
    if (rid_is_dir(&e->rid))
        return 0;
    memcpy(prefix + 1, e->rid.b, RID_SIZE);
    int rc = list(w->s, bytes_of(prefix, sizeof prefix), &rows);
    for (size_t at = 0; rc == 0 && at < rows.n; at += sizeof(struct bare)) {
        struct bare v = bare_at(&rows, at);
        rc = is_needed(w->s, &v);
        if (rc == 1)
            rc = add(w->needed, &v);
    }
    return rc;
}

static int find_needed(struct space *s, struct buf *ret)
{
    return s->sync == NULL || !s->sync->has_bare
               ? 0
               : replica_effects(s->replica, look_effect, &(struct effects){s, ret});
}

int sync_bare_needs(struct space *s, struct buf *ret_bodies)
{
    struct buf needed CLEANUP(buf_fini) = {0}, body CLEANUP(buf_fini) = {0};
    int rc = find_needed(s, &needed);
    for (size_t at = 0; rc == 0 && at < needed.n; at += sizeof(struct bare)) {
        struct bare v = bare_at(&needed, at);
        rc = version_read(s->db, &v.rid, &v.dot, &body);
        if (rc == 0)
            buf_put_string(ret_bodies, buf_bytes(&body));
    }
    return rc < 0 ? rc : buf_status(ret_bodies);
}

static int want(struct space *s, const struct rid *rid, const struct dot *dot)
{
    struct sync *y = s->sync;
    struct bare v = {*rid, *dot};
    if (has(&y->wanted, &v))
        return 0;
    y->wants++;
    int rc = add(&y->wanted, &v);
    if (rc == 0 && y->kick != NULL)
        y->kick(y->kick_arg, false);
    return rc;
}

int sync_ask_bare(struct space *s, const struct rid *rid, const struct dot *dot)
{
    int rc = sync_is_bare(s, rid, dot);
    if (rc != 1)
        return rc;
    rc = want(s, rid, dot);
    return rc < 0 ? rc : -ENODATA;
}

/* ---- with what is applied ----------------------------------------------------------------------
 */

int sync_put_bare(struct space *s, struct db_batch *batch, const struct rid *rid,
                  const struct dot *dot)
{
    struct bare v = {*rid, *dot};
    struct sync_key key = bare_key(&v);
    struct replica_info info;
    int rc = replica_stat(s->replica, rid, &info);
    if (rc < 0 || s->sync == NULL || !info.held || info.alive)
        return rc < 0 ? rc : -ENODATA;
    db_batch_put(batch, DB_SYNC, sync_key_bytes(&key), bytes_of(NULL, 0));
    s->sync->has_bare = true;
    return 0;
}

/* The chunks of a content came: it is as any other one from now on, and so is its entry. */
static int put_whole(struct space *s, struct db_batch *batch, const struct bare *v)
{
    struct sync_key key = bare_key(v);
    db_batch_delete(batch, DB_SYNC, sync_key_bytes(&key));
    int rc = sync_arrive_again(s, batch, &v->dot);
    return rc == -ENOENT ? 0 : rc; /* it was superseded */
}

int sync_put_shown(struct space *s, struct db_batch *batch, bool wanted)
{
    struct buf needed CLEANUP(buf_fini) = {0}, body CLEANUP(buf_fini) = {0};
    int rc = find_needed(s, &needed), lacks = 0;
    for (size_t at = 0; rc == 0 && at < needed.n; at += sizeof(struct bare)) {
        struct bare v = bare_at(&needed, at);
        rc = version_read(s->db, &v.rid, &v.dot, &body);
        if (rc == 0)
            rc = content_missing(s->db, buf_bytes(&body), 0, on_missing, NULL);
        if (rc == 0)
            rc = put_whole(s, batch, &v);
        else if (rc == -ENODATA) {
            lacks = rc;
            rc = wanted ? want(s, &v.rid, &v.dot) : 0;
        }
    }
    return rc < 0 ? rc : lacks;
}

void sync_bare_goes(struct space *s, struct db_batch *batch, const struct rid *rid,
                    const struct dot *dot)
{
    struct bare v = {*rid, *dot};
    struct sync_key key = bare_key(&v);
    if (s->sync != NULL && s->sync->has_bare)
        db_batch_delete(batch, DB_SYNC, sync_key_bytes(&key));
}

/* ---- what is wanted ----------------------------------------------------------------------------
 */

void sync_bare_waits(struct space *s, struct buf *ret)
{
    struct sync *y = s->sync;
    pthread_mutex_lock(&s->lock);
    for (size_t at = 0; at < y->wanted.n; at += sizeof(struct bare)) {
        struct bare v = bare_at(&y->wanted, at);
        struct sync_wait w = {.dot = v.dot};
        buf_put(ret, &w, sizeof w);
    }
    pthread_mutex_unlock(&s->lock);
}

/* The first wanted content of a change: 0; -ENOENT: there is none. */
static int find_wanted(struct space *s, const struct dot *dot, struct bare *ret)
{
    struct sync *y = s->sync;
    int rc = -ENOENT;
    pthread_mutex_lock(&s->lock);
    for (size_t at = 0; rc < 0 && at < y->wanted.n; at += sizeof *ret) {
        *ret = bare_at(&y->wanted, at);
        rc = dot_equal(&ret->dot, dot) ? 0 : -ENOENT;
    }
    pthread_mutex_unlock(&s->lock);
    return rc;
}

int sync_wanted_needs(struct space *s, const struct dot *dot, content_need_fn fn, void *arg)
{
    struct buf body CLEANUP(buf_fini) = {0};
    struct bare v;
    int rc = find_wanted(s, dot, &v);
    if (rc == 0)
        rc = sync_flush_chunks(s);
    if (rc == 0)
        rc = version_read(s->db, &v.rid, &v.dot, &body);
    return rc == -ENOENT ? 0 : rc < 0 ? rc : content_missing(s->db, buf_bytes(&body), 0, fn, arg);
}

static void unwant(struct sync *y, const struct bare *v)
{
    for (size_t at = 0; at < y->wanted.n; at += sizeof *v) {
        struct bare is = bare_at(&y->wanted, at);
        if (!dot_equal(&is.dot, &v->dot) || !rid_equal(&is.rid, &v->rid))
            continue;
        memmove(y->wanted.p + at, y->wanted.p + at + sizeof *v, y->wanted.n - at - sizeof *v);
        y->wanted.n -= sizeof *v;
        return;
    }
}

int sync_wanted_is_here(struct space *s, const struct dot *dot)
{
    struct bare v;
    int rc = find_wanted(s, dot, &v);
    if (rc == 0)
        rc = sync_wanted_needs(s, dot, on_missing, NULL);
    if (rc < 0)
        return rc == -ENODATA ? SYNC_CONTENT : rc;
    struct db_batch *batch = db_batch_new(s->db);
    if (batch == NULL)
        return -ENOMEM;
    pthread_mutex_lock(&s->lock);
    uint64_t next = s->sync->next;
    rc = sync_is_bare(s, &v.rid, &v.dot); /* it may have gone meanwhile */
    if (rc == 1)
        rc = put_whole(s, batch, &v);
    rc = sync_write_arrivals(s, batch, rc, next);
    if (rc == 0)
        unwant(s->sync, &v);
    pthread_mutex_unlock(&s->lock);
    db_batch_free(batch);
    if (rc == 0)
        merger_wake(s);
    return rc < 0 ? rc : SYNC_TAKEN;
}

bool space_sync_wants(struct space *s, uint64_t *at)
{
    if (s->sync == NULL)
        return false;
    pthread_mutex_lock(&s->lock);
    bool more = s->sync->wants != *at;
    *at = s->sync->wants;
    pthread_mutex_unlock(&s->lock);
    return more;
}
