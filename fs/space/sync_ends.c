/*
 * What follows from acts that came. Conflicts are named by the labels of now. And replicas that the
 * acts have ended, by a fork or a revocation: what they made after that is void on every device. It
 * is taken out of what is known here; what was taken in of it stays, until somebody has taken it
 * over. The own replica goes on under a new id. And there is an epoch to seal under.
 */
#include <errno.h>
#include <stdio.h>

#include "fs/space/sync_priv.h"
#include "proto/base/log.h"

enum { GAP_KEY = 1 + DOT_SIZE };

/* ---- which ones --------------------------------------------------------------------------------
 */

static size_t count_acts(const struct sync *y, enum act_kind kind)
{
    size_t n = 0;
    for (size_t i = 0; i < members_acts_n(y->members); i++)
        n += members_act(y->members, i)->kind == kind;
    return n;
}

/* The last dots that count of others' replicas that ended, appended to @ret. */
static int list_ends(struct space *s, struct buf *ret)
{
    struct sync *y = s->sync;
    if (count_acts(y, ACT_FORK) == 0 && count_acts(y, ACT_REVOKE) == 0)
        return 0;
    for (size_t i = 0; i < members_acts_n(y->members); i++) {
        const struct act *a = members_act(y->members, i);
        if (a->kind != ACT_OWN || a->replica == replica_id(s->replica))
            continue;
        struct dot end = {a->replica, members_cut(y->members, a->replica)};
        if (end.counter != MEMBERS_NO_CUT)
            buf_put(ret, &end, sizeof end);
    }
    return buf_status(ret);
}

/* Says so to the replica and to STATEs. 1: there are such; 0. Lock held. */
static int set_ends(struct space *s)
{
    struct buf ends CLEANUP(buf_fini) = {0};
    int rc = list_ends(s, &ends);
    size_t n = ends.n / sizeof(struct dot);
    if (rc == 0)
        rc = replica_set_ends(s->replica, (const struct dot *)(const void *)ends.p, n);
    if (rc < 0)
        return rc;
    sync_cap_states(s);
    return n > 0;
}

/* ---- people are told ---------------------------------------------------------------------------
 */

static void tell_fork(struct space *s, const struct act *a)
{
    char label[LIMIT_LABEL + 1];
    struct sync_counts *c = &s->sync->counts;
    if (!sync_label_of(s, a->replica, label))
        snprintf(label, sizeof label, "device %08x", (unsigned)(a->replica >> 32));
    snprintf(c->last_fork, sizeof c->last_fork,
             "%s wrote two things under one number: a copy of it is in use, or it is not honest",
             label);
    log_warn("sync: %s; what it wrote from change %llu on is taken over by other devices",
             c->last_fork, (unsigned long long)a->fork.counter);
}

/* Tells of the forks that are new, all but at the start. Lock held. */
static void tell_forks(struct space *s, bool at_start)
{
    struct sync *y = s->sync;
    uint64_t n = 0;
    for (size_t i = 0; i < members_acts_n(y->members); i++) {
        const struct act *a = members_act(y->members, i);
        if (a->kind == ACT_FORK && ++n > y->counts.forks && !at_start)
            tell_fork(s, a);
    }
    y->counts.forks = n;
}

/* ---- the database ------------------------------------------------------------------------------
 */

/* What was applied beyond what is known is no ground for knowing a void change. */
static int drop_gaps(struct space *s, struct db_batch *batch)
{
    const uint8_t prefix = SYNC_GAP;
    struct db_iter *it = db_iter_new(s->db, DB_SYNC, bytes_of(&prefix, 1), NULL);
    if (it == NULL)
        return -ENOMEM;
    int rc = 0;
    while (rc == 0 && db_iter_next(it)) {
        struct bytes key = db_iter_key(it), row = db_iter_value(it);
        if (key.n != GAP_KEY || row.n != 8)
            rc = -EUCLEAN;
        else if (members_cut(s->sync->members, get_u64(key.p + 1)) < get_u64(row.p))
            db_batch_delete(batch, DB_SYNC, key);
    }
    if (rc == 0)
        rc = db_iter_status(it);
    db_iter_free(it);
    return rc;
}

int sync_put_ended(struct space *s, struct db_batch *batch)
{
    int any = replica_end(s->replica, batch);
    int rc = any < 0 ? any : drop_gaps(s, batch);
    vv_reset(&s->sync->gapless); /* knowledge may have become less */
    return rc < 0 ? rc : any;
}

/* The void changes that wait for content, appended to @ret. */
static int list_waiting(struct space *s, struct buf *ret)
{
    struct buf all CLEANUP(buf_fini) = {0};
    int rc = space_sync_waiting(s, &all);
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; rc == 0 && i < all.n; i += sizeof(struct sync_wait)) {
        struct sync_wait w;
        memcpy(&w, all.p + i, sizeof w);
        if (members_cut(s->sync->members, w.dot.replica) < w.dot.counter)
            buf_put(ret, &w.dot, sizeof w.dot);
    }
    pthread_mutex_unlock(&s->lock);
    return rc < 0 ? rc : buf_status(ret);
}

/* They are asked about again, and refused. */
static int drop_waiting(struct space *s)
{
    struct buf dots CLEANUP(buf_fini) = {0};
    int rc = list_waiting(s, &dots);
    for (size_t i = 0; rc >= 0 && i < dots.n; i += sizeof(struct dot)) {
        struct dot dot;
        memcpy(&dot, dots.p + i, sizeof dot);
        rc = space_sync_retry(s, &dot);
    }
    return rc < 0 ? rc : 0;
}

/* ---- all of it ---------------------------------------------------------------------------------
 */

static bool own_ended(struct space *s)
{
    pthread_mutex_lock(&s->lock);
    bool ended = sync_owns_replica(s) &&
                 members_cut(s->sync->members, replica_id(s->replica)) != MEMBERS_NO_CUT;
    pthread_mutex_unlock(&s->lock);
    return ended;
}

static int take(struct space *s)
{
    int rc = own_ended(s) ? sync_renew(s) : 0;
    if (rc >= 0)
        rc = sync_ensure_epoch(s);
    if (rc >= 0)
        rc = sync_publish_again(s);
    if (rc >= 0)
        rc = exchange_relabel(s);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&s->lock);
    rc = set_ends(s);
    tell_forks(s, false);
    pthread_mutex_unlock(&s->lock);
    if (rc <= 0)
        return rc;
    rc = exchange_end(s);
    if (rc == 0)
        rc = drop_waiting(s);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&s->lock);
    rc = sync_plan_adoption(s);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

int sync_take_ends(struct space *s)
{
    struct sync *y = s->sync;
    pthread_mutex_lock(&s->lock);
    bool due = y->ends_due && y->members != NULL;
    y->ends_due = y->ends_due && !due;
    pthread_mutex_unlock(&s->lock);
    int rc = due ? take(s) : 0;
    if (rc < 0) {
        pthread_mutex_lock(&s->lock);
        y->ends_due = true;
        pthread_mutex_unlock(&s->lock);
    }
    return rc;
}

int sync_load_ends(struct space *s)
{
    s->sync->ends_due = true; /* perhaps the process before this one did not come to it */
    if (s->sync->members == NULL)
        return 0;
    int rc = set_ends(s);
    tell_forks(s, true);
    return rc == 1 ? sync_plan_adoption(s) : rc;
}
