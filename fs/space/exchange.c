#include "fs/space/exchange.h"

#include <errno.h>

#include "fs/space/merger.h"
#include "fs/space/space_priv.h"
#include "fs/space/sync_priv.h"

enum { TRIES = 16, COMPARE_SLICE = 200 };

int space_knowledge(struct space *s, struct vv *ret)
{
    pthread_mutex_lock(&s->lock);
    int rc = vv_copy(ret, replica_knowledge(s->replica));
    pthread_mutex_unlock(&s->lock);
    return rc;
}

int space_stream(struct space *s, const struct vv *have, struct replica_stream **ret)
{
    int rc = publisher_flush(s);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&s->lock);
    rc = replica_stream_new(s->replica, have, ret);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

int exchange_each_content(struct bytes change, exchange_content_fn fn, void *arg)
{
    struct reader r;
    struct dot dot;
    size_t n;
    int rc = value_change_open(change, &r, &dot, &n);
    for (size_t i = 0; i < n && rc == 0; i++) {
        struct value v;
        rc = value_change_next(&r, &dot, &v);
        if (rc == 0 && v.facet == FACET_CONTENT)
            rc = fn(arg, &v);
    }
    return rc != 0 ? rc : reader_end(&r);
}

static int on_missing(void *arg, const struct content_need *need)
{
    (void)arg;
    (void)need;
    return -ENODATA;
}

/* Whether all of it is here: 0, -ENODATA. */
static int is_here(struct space *s, const struct value *v)
{
    return content_missing(s->db, v->content.body, 0, on_missing, NULL);
}

/* ---- what a change needs -----------------------------------------------------------------------
 */

struct need {
    struct space *s;
    struct buf rids;   /* of contents that are not here and not superseded */
    struct buf bodies; /* of these */
};

static void need_fini(struct need *n)
{
    buf_fini(&n->rids);
    buf_fini(&n->bodies);
}

/* Lock held. */
static int note_need(void *arg, const struct value *v)
{
    struct need *n = arg;
    int rc = is_here(n->s, v);
    if (rc != -ENODATA)
        return rc;
    rc = replica_is_superseded(n->s->replica, v);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    buf_put(&n->rids, &v->rid, sizeof v->rid);
    buf_put_string(&n->bodies, v->content.body);
    return buf_status(&n->rids) < 0 ? -ENOMEM : buf_status(&n->bodies);
}

/* With the change pending, appends the bodies that are not of deleted records. */
static int keep_needed(struct need *n, struct buf *ret)
{
    struct reader r = reader_of(buf_bytes(&n->bodies));
    for (size_t at = 0; at < n->rids.n; at += sizeof(struct rid)) {
        struct replica_info info;
        struct rid rid;
        struct bytes body = reader_string(&r, CONTENT_BODY_MAX);
        memcpy(&rid, n->rids.p + at, sizeof rid);
        int rc = replica_stat(n->s->replica, &rid, &info);
        if (rc < 0)
            return rc;
        if (n->s->sync == NULL || !info.held || info.alive)
            buf_put_string(ret, body);
    }
    return sync_bare_needs(n->s, ret);
}

/* The change is applied to see what comes of it, and given up. */
static int find_needs(struct space *s, struct bytes change, struct buf *ret)
{
    struct need n = {.s = s};
    pthread_mutex_lock(&s->lock);
    int rc = exchange_each_content(change, note_need, &n);
    if (rc == 0)
        rc = replica_apply(s->replica, NULL, change, NULL);
    if (rc >= 0 || rc == -EAGAIN)
        rc = keep_needed(&n, ret);
    replica_abort(s->replica);
    pthread_mutex_unlock(&s->lock);
    need_fini(&n);
    return rc < 0 ? rc : buf_status(ret);
}

int space_missing(struct space *s, struct bytes change, content_need_fn fn, void *arg)
{
    struct buf bodies CLEANUP(buf_fini) = {0};
    int rc = find_needs(s, change, &bodies);
    struct reader r = reader_of(buf_bytes(&bodies));
    while (rc == 0 && r.n > 0)
        rc = content_missing(s->db, reader_string(&r, CONTENT_BODY_MAX), 0, fn, arg);
    return rc;
}

int space_get_chunk(struct space *s, const uint8_t id[static CONTENT_ID_BYTES],
                    struct db_value *ret)
{
    return content_get_chunk(s->db, id, ret);
}

int space_put_chunk(struct space *s, const uint8_t id[static CONTENT_ID_BYTES], struct bytes data)
{
    pthread_rwlock_rdlock(&s->builds);
    int rc = content_put_chunk(s->db, &s->keys, id, data);
    pthread_rwlock_unlock(&s->builds);
    return rc;
}

/* A content of which chunks are missing, when it was looked at. */
struct lacking {
    struct rid rid;
    struct dot dot;
};

struct missing {
    struct space *s;
    bool any;
    struct buf left; /* with the lock held: of struct lacking, what is not superseded */
};

/*
 * A body is opaque to the records: one that cannot be read here is not taken in. -ENODATA: chunks
 * are missing, and neither is it superseded nor its record deleted, so far.
 */
static int check_body(void *arg, const struct value *v)
{
    struct missing *m = arg;
    struct content_info info;
    struct replica_info record = {.held = false};
    int rc = content_parse(v->content.body, &info);
    if (rc == 0 && info.size != v->content.size)
        rc = -EBADMSG;
    if (rc == 0)
        rc = is_here(m->s, v);
    if (rc != -ENODATA)
        return rc;
    pthread_mutex_lock(&m->s->lock);
    rc = replica_is_superseded(m->s->replica, v);
    if (rc == 0 && m->s->sync != NULL)
        rc = replica_stat(m->s->replica, &v->rid, &record);
    pthread_mutex_unlock(&m->s->lock);
    m->any = true;
    return rc < 0 ? rc : rc == 1 || (record.held && !record.alive) ? 0 : -ENODATA;
}

/* Lock held: what superseded it may have been cleaned up since it was looked at. */
static int check_again(void *arg, const struct value *v)
{
    struct missing *m = arg;
    struct lacking l = {v->rid, v->dot};
    int rc = is_here(m->s, v);
    if (rc != -ENODATA)
        return rc;
    rc = replica_is_superseded(m->s->replica, v);
    if (rc == 0)
        buf_put(&m->left, &l, sizeof l);
    return rc < 0 ? rc : buf_status(&m->left);
}

/* With the change pending: those are held without their chunks, if they are deleted. -ENODATA. */
static int put_bare(struct missing *m, struct db_batch *batch)
{
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < m->left.n; at += sizeof(struct lacking)) {
        struct lacking l;
        memcpy(&l, m->left.p + at, sizeof l);
        rc = sync_put_bare(m->s, batch, &l.rid, &l.dot);
    }
    return rc;
}

/* What is to be done: apply a change, or entries with one each; know; renew; clean up; end
 * replicas, take over what they left; name conflicts by the labels of now; publish
 * anew what waits. */
struct job {
    struct bytes change;
    struct exchange_entry *entry;
    size_t entry_n;
    bool lacks; /* chunks of content that is superseded, or deleted */
    const struct vv *knowledge;
    bool renew;
    bool clean;
    uint64_t now_ms; /* of the clean-up */
    bool end;
    bool adopt;
    bool relabel;
    bool again;
    struct comparison *compare;
    struct comparison_at *at; /* NULL: what follows for the knowledge */
};

/* 1: something of them is new; 0. */
static int apply_entries(struct space *s, struct exchange_entry *e, size_t n,
                         struct db_batch *batch)
{
    int rc = 0, any = 0;
    for (size_t i = 0; rc >= 0 && i < n; i++) {
        rc = replica_apply(s->replica, NULL, e[i].change, e[i].head_hash);
        if (rc < 0)
            return rc;
        e[i].is_new = rc == 1;
        any = any || rc == 1;
        rc = sync_put_applied(s, batch, &e[i]);
    }
    sync_put_own(s->sync, batch);
    if (rc == 0)
        rc = replica_put(s->replica, batch);
    if (rc == 0)
        rc = sync_put_known(s, batch, e, n);
    return rc < 0 ? rc : any;
}

/* @fn for each content that is to be applied. */
static int each_content(const struct job *j, exchange_content_fn fn, void *arg)
{
    int rc = j->change.n == 0 ? 0 : exchange_each_content(j->change, fn, arg);
    for (size_t i = 0; rc == 0 && i < j->entry_n; i++)
        rc = exchange_each_content(j->entry[i].change, fn, arg);
    return rc;
}

static int do_job(struct space *s, const struct job *j, struct db_batch *batch)
{
    if (j->knowledge != NULL)
        return replica_know(s->replica, batch, j->knowledge);
    if (j->clean)
        return sync_put_cleaned(s, batch, j->now_ms);
    if (j->renew)
        return sync_put_renewed(s, batch);
    if (j->adopt)
        return sync_put_adopted(s, batch);
    if (j->end)
        return sync_put_ended(s, batch);
    if (j->again)
        return sync_put_again(s, batch);
    if (j->relabel)
        return replica_relabel(s->replica, batch);
    if (j->compare != NULL)
        return j->at == NULL ? comparison_know(j->compare, batch)
                             : comparison_step(j->compare, j->at, batch, COMPARE_SLICE);
    if (j->entry_n > 0)
        return apply_entries(s, j->entry, j->entry_n, batch);
    return replica_apply(s->replica, batch, j->change, NULL);
}

/* The same, and no content is shown, nor held, that is not to be without its chunks. */
static int do_looked(struct space *s, const struct job *j, struct db_batch *batch)
{
    struct missing m = {.s = s};
    int rc = j->lacks ? each_content(j, check_again, &m) : 0;
    int taken = rc < 0 ? rc : do_job(s, j, batch);
    rc = taken < 0 ? 0 : put_bare(&m, batch);
    if (rc == 0 && taken >= 0) /* an entry waits for them by itself */
        rc = sync_put_shown(s, batch, j->entry_n == 0);
    buf_fini(&m.left);
    return rc < 0 ? rc : taken;
}

/* One try. -EAGAIN: @blocked names a file that has to be published first. */
static int apply_once(struct space *s, const struct job *j, struct inval_list *invals,
                      struct blocked *blocked)
{
    struct op x;
    uint64_t next = s->sync == NULL ? 0 : s->sync->next;
    struct comparison_at before = {0};
    if (j->at != NULL)
        before = *j->at;
    int rc = op_begin(s->tree, false, &x);
    if (rc < 0)
        return rc;
    int taken = do_looked(s, j, x.batch);
    op_lock_names(&x); /* programs wait for names no longer than they are changed */
    rc = taken < 0 ? taken : show_effects(s, &x, invals, blocked);
    rc = rc < 0 ? op_abort(&x, rc) : op_commit(&x);
    if (rc < 0) {
        replica_abort(s->replica);
        if (s->sync != NULL) {
            s->sync->next = next;
            vv_reset(&s->sync->gapless);
        }
        if (j->at != NULL)
            *j->at = before;
        return rc;
    }
    replica_committed(s->replica);
    return taken;
}

static int apply(struct space *s, const struct job *j)
{
    int rc = -EAGAIN;
    struct blocked blocked = {0};
    for (int i = 0; i < TRIES && rc == -EAGAIN; i++) {
        struct inval_list invals = {.s = s};
        blocked.dir = 0;
        pthread_mutex_lock(&s->lock);
        rc = apply_once(s, j, &invals, &blocked);
        pthread_mutex_unlock(&s->lock);
        if (rc >= 0) {
            inval_send(&invals);
            break;
        }
        inval_drop(&invals);
        if (rc != -EAGAIN || blocked.dir == 0)
            break;
        struct publish_item item = {.ino = blocked.dir,
                                    .name = buf_bytes(&blocked.name),
                                    .settled = true,
                                    .quiet = true,
                                    .forced = true};
        int published = publish_name(s, &item);
        /* What cannot be published now (a program is writing it), or ever, makes way. */
        blocked.aside = published != PUBLISH_DONE || item.local;
    }
    buf_fini(&blocked.name);
    return rc;
}

static int apply_change(struct space *s, struct job j)
{
    struct missing m = {.s = s};
    /* No sweep may come between the look at the chunks and the references to them. */
    pthread_rwlock_rdlock(&s->builds);
    int rc = each_content(&j, check_body, &m);
    j.lacks = m.any;
    if (rc == 0)
        rc = apply(s, &j);
    pthread_rwlock_unlock(&s->builds);
    return rc;
}

int space_apply(struct space *s, struct bytes change)
{
    return apply_change(s, (struct job){.change = change});
}

int exchange_apply(struct space *s, struct exchange_entry *e, size_t n)
{
    int rc = apply_change(s, (struct job){.entry = e, .entry_n = n});
    if (rc == 1) /* it may make a conflict, or make one known whole */
        merger_wake(s);
    return rc;
}

int exchange_renew(struct space *s)
{
    struct sync before = *s->sync;
    int rc = apply(s, &(struct job){.renew = true});
    if (rc >= 0)
        return 0;
    pthread_mutex_lock(&s->lock);
    memcpy(s->sync->random, before.random, sizeof before.random);
    s->sync->signed_to = before.signed_to;
    s->sync->signed_last = before.signed_last;
    s->sync->states = before.states;
    pthread_mutex_unlock(&s->lock);
    return rc;
}

int exchange_end(struct space *s)
{
    int rc = apply(s, &(struct job){.end = true});
    return rc < 0 ? rc : 0;
}

int exchange_relabel(struct space *s)
{
    return apply(s, &(struct job){.relabel = true});
}

int exchange_again(struct space *s)
{
    return apply(s, &(struct job){.again = true});
}

int exchange_adopt(struct space *s)
{
    return apply(s, &(struct job){.adopt = true});
}

int exchange_clean(struct space *s, uint64_t now_ms)
{
    int rc = apply(s, &(struct job){.clean = true, .now_ms = now_ms});
    pthread_mutex_lock(&s->lock);
    if (rc > 0 && s->sync->kick != NULL) /* others are to hear of the floor */
        s->sync->kick(s->sync->kick_arg, false);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

int exchange_compare(struct space *s, struct comparison *c, struct comparison_at *at)
{
    int rc = apply(s, &(struct job){.compare = c, .at = at});
    merger_wake(s);
    return rc;
}

int space_know(struct space *s, const struct vv *knowledge)
{
    int rc = apply(s, &(struct job){.knowledge = knowledge});
    merger_wake(s);
    return rc < 0 ? rc : 0;
}

void space_subscribe(struct space *s, void (*fn)(void *arg, const struct dot *dot, bool own),
                     void *arg)
{
    pthread_mutex_lock(&s->lock);
    s->subscriber = fn;
    s->subscriber_arg = arg;
    pthread_mutex_unlock(&s->lock);
}
