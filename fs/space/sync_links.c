/*
 * Remotes as people and commands see them: how their sessions are, and having them look now.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "fs/space/sync_priv.h"

enum { LINKS_MAX = 64, WAIT_STEP_MS = 100 };

static struct sync_link *find_link(struct sync *y, uint64_t remote)
{
    for (size_t i = 0; i < y->link_n; i++)
        if (y->link[i].remote == remote)
            return &y->link[i];
    return NULL;
}

static int set_link(struct sync *y, const struct sync_link *l)
{
    struct sync_link *at = find_link(y, l->remote);
    if (l->url[0] == '\0') {
        if (at != NULL)
            *at = y->link[--y->link_n];
        return 0;
    }
    if (at == NULL && y->link_n == LINKS_MAX)
        return -E2BIG;
    if (at == NULL) {
        struct sync_link *v = reallocarray(y->link, y->link_n + 1, sizeof *v);
        if (v == NULL)
            return -ENOMEM;
        y->link = v;
        at = &v[y->link_n++];
    }
    *at = *l;
    return 0;
}

int space_sync_set_link(struct space *s, const struct sync_link *l)
{
    if (s->sync == NULL)
        return -ENOTCONN;
    pthread_mutex_lock(&s->lock);
    int rc = set_link(s->sync, l);
    pthread_cond_broadcast(&s->sync->moved);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

int space_sync_links(struct space *s, struct buf *ret)
{
    if (s->sync == NULL)
        return 0;
    pthread_mutex_lock(&s->lock);
    buf_put(ret, s->sync->link, s->sync->link_n * sizeof *s->sync->link);
    pthread_mutex_unlock(&s->lock);
    return buf_status(ret);
}

void space_sync_set_trouble(struct space *s, const char *text)
{
    if (s->sync == NULL)
        return;
    pthread_mutex_lock(&s->lock);
    snprintf(s->sync->trouble, sizeof s->sync->trouble, "%s", text);
    pthread_mutex_unlock(&s->lock);
}

bool space_sync_trouble(struct space *s, char ret[static SYNC_TROUBLE_MAX])
{
    ret[0] = '\0';
    if (s->sync == NULL)
        return false;
    pthread_mutex_lock(&s->lock);
    memcpy(ret, s->sync->trouble, SYNC_TROUBLE_MAX);
    pthread_mutex_unlock(&s->lock);
    return ret[0] != '\0';
}

void space_sync_on_kick(struct space *s, void (*fn)(void *arg, bool now), void *arg)
{
    if (s->sync == NULL)
        return;
    pthread_mutex_lock(&s->lock);
    s->sync->kick = fn;
    s->sync->kick_arg = arg;
    pthread_mutex_unlock(&s->lock);
}

static void kick(struct space *s)
{
    pthread_mutex_lock(&s->lock);
    if (s->sync->kick != NULL)
        s->sync->kick(s->sync->kick_arg, true);
    pthread_mutex_unlock(&s->lock);
}

/* Whether every link that is up is settled and was heard in the last round, and nothing is left to
 * be signed: 1; 0; -ENOTCONN. */
static int is_settled(struct space *s)
{
    struct sync *y = s->sync;
    size_t up = 0;
    bool settled = vv_get(replica_knowledge(s->replica), replica_id(s->replica)) <= y->signed_to;
    for (size_t i = 0; i < y->link_n; i++)
        if (y->link[i].state == SYNC_LINK_UP) {
            up++;
            settled = settled && y->link[i].settled && y->link[i].heard >= y->round;
        }
    return up == 0 ? -ENOTCONN : settled;
}

static void wait_moved(struct space *s)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += WAIT_STEP_MS * 1000000L;
    if (t.tv_nsec >= 1000000000L) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000L;
    }
    pthread_cond_timedwait(&s->sync->moved, &s->lock, &t);
}

int space_sync_now(struct space *s)
{
    if (s->sync == NULL)
        return -ENOTCONN;
    int rc = publisher_flush(s);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&s->lock);
    s->sync->round++;
    pthread_mutex_unlock(&s->lock);
    kick(s);
    return 0;
}

uint64_t space_sync_round(struct space *s)
{
    pthread_mutex_lock(&s->lock);
    uint64_t round = s->sync->round;
    pthread_mutex_unlock(&s->lock);
    return round;
}

int space_sync_wait(struct space *s, uint64_t wait_ms, struct out *out)
{
    if (s->sync == NULL)
        return -ENOTCONN;
    for (uint64_t end = space_now_ms() + wait_ms;;) {
        pthread_mutex_lock(&s->lock);
        int rc = is_settled(s);
        if (rc == 0)
            wait_moved(s);
        pthread_mutex_unlock(&s->lock);
        if (rc != 0)
            return rc < 0 ? rc : 0;
        if (out_cancelled(out, 0))
            return -ECANCELED;
        if (space_now_ms() >= end)
            return -ETIMEDOUT;
    }
}

/* ---- a remote that lost changes ----------------------------------------------------------------
 */

/* What is in a row arrives anew, as @a, which gets its number. */
static int arrives(struct space *s, struct db_batch *batch, struct bytes key, struct bytes row,
                   struct arrival *a)
{
    struct buf again CLEANUP(buf_fini) = {0};
    if (row.n < 8)
        return -EUCLEAN;
    struct sync_key old = sync_key_u64(SYNC_ARRIVAL, get_u64(row.p));
    db_batch_delete(batch, DB_SYNC, sync_key_bytes(&old));
    sync_put_arrival(s->sync, batch, a);
    buf_put_u64(&again, a->number);
    buf_put(&again, row.p + 8, row.n - 8);
    db_batch_put(batch, DB_SYNC, key, buf_bytes(&again));
    return buf_status(&again);
}

static int arrive_again(struct space *s, struct db_batch *batch, struct bytes key, struct bytes row)
{
    struct arrival a = {.kind = ARRIVAL_ENTRY, .dot = dot_decode(key.p + 1)};
    return arrives(s, batch, key, row, &a);
}

/* Of others, too: a device that was put back together with the remote hears so of it. */
static int states_again(struct space *s, struct db_batch *batch)
{
    struct sync *y = s->sync;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < y->state_n; i++) {
        struct buf row CLEANUP(buf_fini) = {0};
        struct sync_state *st = &y->state[i];
        struct arrival a = {.kind = ARRIVAL_STATE, .dot = {st->replica, st->number}};
        struct sync_key key = sync_key_u64(SYNC_STATE, st->replica);
        rc = sync_get(s, &key, 0, &row);
        if (rc == 0)
            rc = arrives(s, batch, sync_key_bytes(&key), buf_bytes(&row), &a);
        if (rc == 0)
            st->arrival = a.number;
    }
    return rc;
}

static void acts_again(struct sync *y, struct db_batch *batch)
{
    for (size_t i = 0; i < members_acts_n(y->members); i++) {
        struct arrival a = {.kind = ARRIVAL_ACT, .act = (uint32_t)i};
        sync_put_arrival(y, batch, &a);
    }
}

/* Walks the own entries beside the ascending @dots. */
static int entries_again(struct space *s, struct db_batch *batch, struct bytes dots)
{
    const uint8_t prefix = SYNC_ENTRY;
    size_t at = 0;
    int n = 0, rc = 0;
    struct db_iter *it = db_iter_new_scan(s->db, DB_SYNC, bytes_of(&prefix, 1), NULL);
    if (it == NULL)
        return -ENOMEM;
    while (rc == 0 && db_iter_next(it)) {
        struct bytes key = db_iter_key(it);
        if (key.n != 1 + DOT_SIZE)
            continue;
        int c = 1;
        while (at + DOT_SIZE <= dots.n && (c = memcmp(dots.p + at, key.p + 1, DOT_SIZE)) < 0)
            at += DOT_SIZE;
        if (c == 0 && at + DOT_SIZE <= dots.n)
            continue;
        rc = arrive_again(s, batch, key, db_iter_value(it));
        n += rc == 0;
    }
    if (rc == 0)
        rc = db_iter_status(it);
    db_iter_free(it);
    return rc < 0 ? rc : n;
}

int sync_write_arrivals(struct space *s, struct db_batch *batch, int rc, uint64_t next)
{
    sync_put_own(s->sync, batch);
    if (rc == 0)
        rc = db_write(s->db, batch, true);
    if (rc < 0)
        s->sync->next = next;
    else
        s->sync->durable = s->sync->next - 1;
    return rc;
}

int space_sync_push_again(struct space *s, struct bytes dots)
{
    if (s->sync == NULL || s->sync->members == NULL)
        return -ENOTCONN;
    struct db_batch *batch = db_batch_new(s->db);
    if (batch == NULL)
        return -ENOMEM;
    pthread_mutex_lock(&s->lock);
    uint64_t next = s->sync->next;
    acts_again(s->sync, batch);
    int n = entries_again(s, batch, dots);
    int rc = n < 0 ? n : states_again(s, batch);
    rc = sync_write_arrivals(s, batch, rc, next);
    pthread_mutex_unlock(&s->lock);
    db_batch_free(batch);
    return rc < 0 ? rc : n;
}

int sync_arrive_again(struct space *s, struct db_batch *batch, const struct dot *dot)
{
    struct buf row CLEANUP(buf_fini) = {0};
    struct sync_key key = sync_key_dot(SYNC_ENTRY, dot);
    int rc = sync_get(s, &key, 0, &row);
    return rc < 0 ? rc : arrive_again(s, batch, sync_key_bytes(&key), buf_bytes(&row));
}

int sync_send_again(struct space *s, struct dots dots)
{
    struct db_batch *batch = db_batch_new(s->db);
    if (batch == NULL)
        return -ENOMEM;
    pthread_mutex_lock(&s->lock);
    uint64_t next = s->sync->next;
    int rc = 0, n = 0;
    for (size_t i = 0; rc == 0 && i < dots.n; i++) {
        struct dot dot = dots_at(dots, i);
        rc = sync_arrive_again(s, batch, &dot);
        n += rc == 0;
        rc = rc == -ENOENT ? 0 : rc;
    }
    rc = sync_write_arrivals(s, batch, rc, next);
    pthread_mutex_unlock(&s->lock);
    db_batch_free(batch);
    return rc < 0 ? rc : n;
}

/* ---- blobs -------------------------------------------------------------------------------------
 */

int space_sync_get_blob(struct space *s, uint64_t remote, struct buf *ret)
{
    struct sync_key key = sync_key_u64(SYNC_BLOB, remote);
    return sync_get(s, &key, 0, ret);
}

static int write_blob(struct space *s, uint64_t remote, struct bytes blob)
{
    struct sync_key key = sync_key_u64(SYNC_BLOB, remote);
    struct db_batch *batch = db_batch_new(s->db);
    if (batch == NULL)
        return -ENOMEM;
    if (blob.n > 0)
        db_batch_put(batch, DB_SYNC, sync_key_bytes(&key), blob);
    else
        db_batch_delete(batch, DB_SYNC, sync_key_bytes(&key));
    int rc = db_write(s->db, batch, true);
    db_batch_free(batch);
    return rc;
}

int space_sync_set_blob(struct space *s, uint64_t remote, struct bytes blob)
{
    pthread_mutex_lock(&s->lock);
    int rc = write_blob(s, remote, blob);
    s->sync->blobs++; /* after it can be read */
    pthread_mutex_unlock(&s->lock);
    if (rc == 0 && blob.n > 0)
        kick(s);
    return rc;
}

uint64_t space_sync_blobs(struct space *s)
{
    pthread_mutex_lock(&s->lock);
    uint64_t n = s->sync->blobs;
    pthread_mutex_unlock(&s->lock);
    return n;
}

int space_sync_blob_given(struct space *s, uint64_t remote, struct bytes blob)
{
    struct buf now CLEANUP(buf_fini) = {0};
    pthread_mutex_lock(&s->lock);
    int rc = space_sync_get_blob(s, remote, &now);
    if (rc == 0 && bytes_equal(buf_bytes(&now), blob))
        rc = write_blob(s, remote, bytes_of(NULL, 0));
    pthread_mutex_unlock(&s->lock);
    return rc == -ENOENT ? 0 : rc;
}
