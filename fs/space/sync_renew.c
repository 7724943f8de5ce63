/*
 * A device whose database is a copy: restored from a backup, or of a home directory that was copied
 * to another machine. Two that write under one replica id would contradict each other; so the one
 * that meets a change of its own that it does not have goes on under a new id.
 *
 * As own changes are signed when they are first sent, and nothing is sent before all that a server
 * has was heard, what such a device wrote since is written anew before anybody has seen it.
 */
#include <errno.h>

#include "fs/space/sync_priv.h"
#include "proto/base/log.h"

int sync_put_renewed(struct space *s, struct db_batch *batch)
{
    struct sync *y = s->sync;
    /* What was signed after a fork is void, and written anew, too. */
    uint64_t confirmed = min_u64(y->signed_to, members_cut(y->members, replica_id(s->replica)));
    randombytes_buf(y->random, sizeof y->random);
    int rc = replica_renew(s->replica, batch, replica_id_of(y->me->pub.sign, y->random), confirmed);
    if (rc < 0)
        return rc;
    y->signed_to = y->signed_last = y->states = 0;
    sync_put_own(y, batch);
    return 1;
}

/* The own act of the new id; without it, after a crash, space_sync_join() makes it. */
static int register_id(struct space *s)
{
    struct db_batch *batch = db_batch_new(s->db);
    if (batch == NULL)
        return -ENOMEM;
    pthread_mutex_lock(&s->lock);
    int rc = sync_author_own(s, batch);
    if (rc == 1) {
        rc = db_write(s->db, batch, false);
        s->sync->failed = s->sync->failed || rc < 0;
    }
    pthread_mutex_unlock(&s->lock);
    db_batch_free(batch);
    return rc;
}

int sync_renew(struct space *s)
{
    int rc = exchange_renew(s);
    return rc < 0 ? rc : register_id(s);
}

/* Whether the entry with this head is one that this device signed: 1, 0. */
static int is_own(struct space *s, const struct entry *e)
{
    struct buf row CLEANUP(buf_fini) = {0};
    uint64_t number;
    pthread_mutex_lock(&s->lock);
    uint64_t signed_to = s->sync->signed_to;
    pthread_mutex_unlock(&s->lock);
    if (e->head.dot.counter > signed_to)
        return 0;
    int rc = sync_get_entry(s, &e->head.dot, &number, &row);
    if (rc == -ENOENT) /* superseded since, and dropped */
        return 1;
    if (rc < 0)
        return rc;
    return row.n >= ENTRY_HEAD_SIZE && memcmp(row.p, e->head_raw, ENTRY_HEAD_SIZE) == 0;
}

/* Nobody but this member can make it take a new id. */
static int verify(struct space *s, const struct entry *e)
{
    uint8_t key[SIGN_KEY_SIZE];
    pthread_mutex_lock(&s->lock);
    int rc = s->sync->members != NULL && verify_owner(s->sync->members, e, key) == VERIFY_ACCEPT &&
                     memcmp(key, s->sync->me->pub.sign, sizeof key) == 0 &&
                     entry_verify(e, key) == 0
                 ? 0
                 : -EBADMSG;
    pthread_mutex_unlock(&s->lock);
    return rc;
}

int sync_check_own(struct space *s, const struct entry *e)
{
    int rc = is_own(s, e);
    if (rc != 0)
        return rc;
    rc = verify(s, e);
    if (rc == 0) /* others may have the form that is here: then both are void */
        rc = sync_see_form(s, e);
    bool fork = rc == SYNC_TAKEN;
    if (rc >= 0)
        rc = sync_renew(s);
    if (rc >= 0)
        log_warn("sync: another copy of this device has written to the folder; this one goes on "
                 "under a new id");
    return rc < 0 ? rc : fork;
}

int sync_check_own_state(struct space *s, const struct entry *e, const struct state *v)
{
    struct sync *y = s->sync;
    pthread_mutex_lock(&s->lock);
    bool newer = e->head.dot.counter > y->states && y->members != NULL &&
                 verify_state(y->members, e, v) == VERIFY_ACCEPT;
    pthread_mutex_unlock(&s->lock);
    if (!newer)
        return 0;
    int rc = sync_renew(s);
    if (rc >= 0)
        log_warn("sync: this device was restored from a copy; it goes on under a new id");
    return rc < 0 ? rc : 1;
}
