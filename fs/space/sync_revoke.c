/*
 * Putting a device out: one act says so, ends its replicas where this device stands, and gives all
 * others a new key. Servers are told as well, when they have the act: what a device showed them to
 * get in does not let it in any more.
 */
#include <errno.h>
#include <stdlib.h>

#include "fs/space/peers.h"
#include "fs/space/sync_priv.h"
#include "proto/sealed/grant.h"

/* ---- who ---------------------------------------------------------------------------------------
 */

static bool is_of(const struct member_public *m, const uint8_t identity[static SIGN_KEY_SIZE])
{
    return memcmp(m->identity, identity, SIGN_KEY_SIZE) == 0;
}

static bool was_member(const struct members *m, const uint8_t identity[static SIGN_KEY_SIZE])
{
    for (size_t i = 0; i < members_acts_n(m); i++) {
        const struct act *a = members_act(m, i);
        if ((a->kind == ACT_ADD || a->kind == ACT_GENESIS) && is_of(&a->add.member, identity))
            return true;
    }
    return false;
}

/* The ids of its members, appended to @ret: ascending, as members are. */
static int find_members(const struct sync *y, const uint8_t identity[static SIGN_KEY_SIZE],
                        struct buf *ret)
{
    for (size_t i = 0; i < members_n(y->members); i++) {
        const struct member_now *m = members_at(y->members, i);
        if (is_of(&m->keys, identity))
            buf_put(ret, m->id.b, MEMBER_ID_SIZE);
    }
    if (ret->n == 0 && buf_status(ret) == 0)
        return was_member(y->members, identity) ? -EALREADY : -ENOENT;
    return buf_status(ret);
}

/* ---- where -------------------------------------------------------------------------------------
 */

static bool has_author(const struct act *a, const struct buf *ids)
{
    for (size_t i = 0; i < ids->n; i += MEMBER_ID_SIZE)
        if (memcmp(ids->p + i, a->author.b, MEMBER_ID_SIZE) == 0)
            return true;
    return false;
}

/* What is applied here of each of their replicas. */
static int find_cuts(struct space *s, const struct buf *ids, struct vv *ret)
{
    const struct members *m = s->sync->members;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < members_acts_n(m); i++) {
        const struct act *a = members_act(m, i);
        if (a->kind != ACT_OWN || !has_author(a, ids))
            continue;
        struct dot last = {a->replica, vv_get(replica_applied(s->replica), a->replica)};
        rc = last.counter == 0 ? 0 : vv_add(ret, &last);
    }
    return rc;
}

/* ---- servers -----------------------------------------------------------------------------------
 */

static struct sync_key untold_key(uint64_t remote, const uint8_t identity[static SIGN_KEY_SIZE])
{
    uint8_t b[8 + SIGN_KEY_SIZE];
    put_u64(b, remote);
    memcpy(b + 8, identity, SIGN_KEY_SIZE);
    return sync_key(SYNC_UNTOLD, bytes_of(b, sizeof b));
}

/* A passphrase that a server was still to be given opens nothing any more. */
static int drop_door(struct space *s, uint64_t remote, struct db_batch *batch)
{
    struct buf blob CLEANUP(buf_fini) = {0};
    struct sync_key key = sync_key_u64(SYNC_BLOB, remote);
    int rc = sync_get(s, &key, 0, &blob);
    if (rc == 0 && !grant_is(buf_bytes(&blob)))
        db_batch_delete(batch, DB_SYNC, sync_key_bytes(&key));
    return rc == -ENOENT ? 0 : rc;
}

static int put_untold(struct space *s, const uint8_t identity[static SIGN_KEY_SIZE],
                      struct db_batch *batch)
{
    const struct sync *y = s->sync;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < y->link_n; i++) {
        struct sync_key key = untold_key(y->link[i].remote, identity);
        db_batch_put(batch, DB_SYNC, sync_key_bytes(&key), bytes_of(NULL, 0));
        rc = drop_door(s, y->link[i].remote, batch);
    }
    return rc;
}

int peers_untold(struct space *s, uint64_t remote, uint8_t ret[static SIGN_KEY_SIZE])
{
    struct sync_key prefix = sync_key_u64(SYNC_UNTOLD, remote);
    struct db_iter *it = db_iter_new(s->db, DB_SYNC, sync_key_bytes(&prefix), NULL);
    if (it == NULL)
        return -ENOMEM;
    int rc = db_iter_next(it) ? 1 : db_iter_status(it);
    if (rc == 1) {
        struct bytes key = db_iter_key(it);
        if (key.n == prefix.n + SIGN_KEY_SIZE)
            memcpy(ret, key.p + prefix.n, SIGN_KEY_SIZE);
        else
            rc = -EUCLEAN;
    }
    db_iter_free(it);
    return rc;
}

int peers_told(struct space *s, uint64_t remote, const uint8_t identity[static SIGN_KEY_SIZE])
{
    struct sync_key key = untold_key(remote, identity);
    struct db_batch *batch = db_batch_new(s->db);
    if (batch == NULL)
        return -ENOMEM;
    db_batch_delete(batch, DB_SYNC, sync_key_bytes(&key));
    int rc = db_write(s->db, batch, false);
    db_batch_free(batch);
    return rc;
}

/* ---- all of it ---------------------------------------------------------------------------------
 */

static int author_revoke(struct space *s, const struct buf *ids, enum act_reason reason,
                         struct db_batch *batch)
{
    CLEANUP(vv_fini) struct vv cuts = {0};
    CLEANUP(buf_fini) struct buf elements = {0};
    struct act a;
    int rc = find_cuts(s, ids, &cuts);
    vv_put_elements(&elements, &cuts);
    if (rc == 0)
        rc = buf_status(&elements);
    if (rc < 0)
        return rc;
    memset(&a, 0, sizeof a);
    a.kind = ACT_REVOKE;
    a.author = s->sync->id;
    a.revoke = (struct act_revoke){.members = ids->p,
                                   .members_n = ids->n / MEMBER_ID_SIZE,
                                   .cuts = {elements.p, elements.n / DOT_SIZE},
                                   .reason = (uint8_t)reason,
                                   .with_epoch = true};
    return sync_author_epoch(s, &a, batch);
}

/* Lock held. */
static int revoke(struct space *s, const uint8_t identity[static SIGN_KEY_SIZE],
                  enum act_reason reason)
{
    struct sync *y = s->sync;
    CLEANUP(buf_fini) struct buf ids = {0};
    if (y->members == NULL || y->failed || members_find(y->members, &y->id) == NULL)
        return -ENOTCONN;
    if (is_of(&y->me->pub, identity))
        return -EINVAL;
    int rc = find_members(y, identity, &ids);
    struct db_batch *batch = rc < 0 ? NULL : db_batch_new(s->db);
    if (rc == 0 && batch == NULL)
        rc = -ENOMEM;
    if (rc == 0)
        rc = put_untold(s, identity, batch);
    if (rc == 0)
        rc = author_revoke(s, &ids, reason, batch);
    if (rc == 0)
        rc = sync_write_acts(s, batch);
    db_batch_free(batch);
    if (rc < 0)
        return rc;
    y->look_again = y->ends_due = true;
    y->blobs++;
    space_past_changed(s);
    return 0;
}

int peers_revoke(struct space *s, const uint8_t identity[static SIGN_KEY_SIZE],
                 enum act_reason reason)
{
    struct sync *y = s->sync;
    if (y == NULL)
        return -ENOTCONN;
    pthread_mutex_lock(&s->lock);
    int rc = revoke(s, identity, reason);
    if (rc == 0 && y->kick != NULL)
        y->kick(y->kick_arg, true);
    pthread_mutex_unlock(&s->lock);
    return rc;
}
