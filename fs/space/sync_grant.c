/*
 * Letting others into a space without a passphrase: an add by this device, and the keys sealed to
 * who is added.
 */
#include <errno.h>
#include <stdio.h>

#include "fs/space/sync_priv.h"
#include "proto/sealed/discovery.h"

bool space_sync_is_member(struct space *s)
{
    if (s->sync == NULL)
        return false;
    pthread_mutex_lock(&s->lock);
    bool may = sync_may_sign(s);
    pthread_mutex_unlock(&s->lock);
    return may;
}

/* Authors the add of @who, unless it is a member. */
static int author_add(struct space *s, const struct act_add *who, const char *label)
{
    struct sync *y = s->sync;
    uint8_t sealed[ACT_LABEL_SIZE];
    struct act a;
    struct member_id id = member_id_of(&who->member);
    const struct epoch_keys *k = sync_epoch(s);
    if (members_find(y->members, &id) != NULL)
        return 0;
    if (k == NULL)
        return -ENOKEY;
    if (members_n(y->members) >= LIMIT_MEMBERS)
        return -ENOBUFS;
    memset(&a, 0, sizeof a);
    a.kind = ACT_ADD;
    a.author = y->id;
    a.add = *who;
    a.add.label = sealed;
    int rc = act_label_seal(k, &y->space, &id, bytes_str(label), sealed);
    struct db_batch *batch = rc == 0 ? db_batch_new(s->db) : NULL;
    if (rc == 0 && batch == NULL)
        rc = -ENOMEM;
    if (rc == 0)
        rc = sync_author(s, &a, &y->me->keys, batch);
    if (rc == 0)
        rc = sync_write_acts(s, batch);
    db_batch_free(batch);
    return rc;
}

static int seal(const struct space *s, const struct member_public *to, const char *name,
                struct buf *ret)
{
    struct grant *g = sodium_malloc(sizeof *g);
    if (g == NULL)
        return -ENOMEM;
    g->space = s->sync->space;
    memcpy(g->secret, s->keyring.secret, sizeof g->secret);
    snprintf(g->name, sizeof g->name, "%s", name);
    g->epochs_n = s->keyring.epochs_n;
    for (size_t i = 0; i < g->epochs_n; i++)
        memcpy(g->epochs[i], s->keyring.epochs[i].key, EPOCH_KEY_SIZE);
    int rc = grant_seal(g, to->box, ret);
    sodium_free(g);
    return rc;
}

int space_sync_grant(struct space *s, const struct act_add *who, const char *label,
                     const char *name, struct buf *ret_blob)
{
    if (s->sync == NULL)
        return -ENOTCONN;
    pthread_mutex_lock(&s->lock);
    int rc = sync_may_sign(s) ? author_add(s, who, label) : -ENOTCONN;
    if (rc == 0)
        rc = seal(s, &who->member, name, ret_blob);
    if (rc == 0 && s->sync->kick != NULL) /* links are made with it, and others are to hear of it */
        s->sync->kick(s->sync->kick_arg, true);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

/* Under lock. */
static int take_epochs(struct space *s, const struct grant *g)
{
    struct err err = {0};
    size_t before = s->keyring.epochs_n;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < g->epochs_n; i++)
        rc = keyring_add(&s->keyring, g->epochs[i]);
    if (rc == 0 && s->keyring.epochs_n > before)
        rc = keyring_write(&s->keyring, s->dir_fd, &err);
    s->sync->look_again = true;
    return rc;
}

int space_sync_take_grant(struct space *s, const struct grant *g)
{
    if (s->sync == NULL)
        return -ENOTCONN;
    pthread_mutex_lock(&s->lock);
    int rc = sodium_memcmp(s->keyring.secret, g->secret, SPACE_SECRET_SIZE) != 0
                 ? -EEXIST
                 : take_epochs(s, g);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

int space_sync_has_device(struct space *s, const uint8_t identity[static SIGN_KEY_SIZE])
{
    int rc = -ENOTCONN;
    if (s->sync == NULL)
        return rc;
    pthread_mutex_lock(&s->lock);
    const struct members *m = s->sync->members;
    if (m != NULL)
        rc = 0;
    for (size_t i = 0; rc == 0 && i < members_n(m); i++)
        rc = memcmp(members_at(m, i)->keys.identity, identity, SIGN_KEY_SIZE) == 0;
    pthread_mutex_unlock(&s->lock);
    return rc;
}

int space_sync_devices(struct space *s, struct buf *ret)
{
    const struct sync *y = s->sync;
    if (y == NULL)
        return -ENOTCONN;
    pthread_mutex_lock(&s->lock);
    if (y->members == NULL && s->keyring.invited)
        buf_put(ret, s->keyring.inviter, SIGN_KEY_SIZE);
    for (size_t i = 0; y->members != NULL && i < members_n(y->members); i++) {
        const struct member_now *m = members_at(y->members, i);
        if (m->role == ACT_ROLE_DEVICE && member_id_cmp(&m->id, &y->id) != 0)
            buf_put(ret, m->keys.identity, SIGN_KEY_SIZE);
    }
    pthread_mutex_unlock(&s->lock);
    return buf_status(ret);
}

int space_sync_names(struct space *s, uint64_t now, struct buf *ret)
{
    uint64_t today = discovery_day(now);
    if (s->sync == NULL)
        return -ENOTCONN;
    pthread_mutex_lock(&s->lock);
    const struct epoch_keys *k = s->sync->members == NULL ? NULL : sync_epoch(s);
    for (int day = -1; k != NULL && day <= 1; day++) {
        uint8_t name[HASH_SIZE];
        discovery_name(k, today + (uint64_t)day, name);
        buf_put(ret, name, sizeof name);
    }
    pthread_mutex_unlock(&s->lock);
    return buf_status(ret);
}

size_t space_sync_acts(struct space *s)
{
    size_t n = 0;
    if (s->sync == NULL)
        return n;
    pthread_mutex_lock(&s->lock);
    if (s->sync->members != NULL)
        n = members_acts_n(s->sync->members);
    pthread_mutex_unlock(&s->lock);
    return n;
}

static bool names_device(const struct members *m, const struct member_id *id,
                         const uint8_t identity[static SIGN_KEY_SIZE])
{
    for (size_t i = 0; i < members_acts_n(m); i++) {
        const struct act *a = members_act(m, i);
        if (a->kind != ACT_ADD && a->kind != ACT_GENESIS)
            continue;
        struct member_id is = member_id_of(&a->add.member);
        if (member_id_cmp(&is, id) == 0)
            return memcmp(a->add.member.identity, identity, SIGN_KEY_SIZE) == 0;
    }
    return false;
}

static bool was_revoked(const struct members *m, const uint8_t identity[static SIGN_KEY_SIZE])
{
    for (size_t i = 0; i < members_acts_n(m); i++) {
        const struct act *a = members_act(m, i);
        for (size_t j = 0; a->kind == ACT_REVOKE && j < a->revoke.members_n; j++) {
            struct member_id id = act_revoke_member(&a->revoke, j);
            if (names_device(m, &id, identity))
                return true;
        }
    }
    return false;
}

bool space_sync_was_revoked(struct space *s, const uint8_t identity[static SIGN_KEY_SIZE])
{
    if (s->sync == NULL)
        return false;
    pthread_mutex_lock(&s->lock);
    bool is = s->sync->members != NULL && was_revoked(s->sync->members, identity);
    pthread_mutex_unlock(&s->lock);
    return is;
}

int space_sync_own_acts(struct space *s, struct buf *ret)
{
    struct sync *y = s->sync;
    if (y == NULL)
        return -ENOTCONN;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; y->members != NULL && i < members_acts_n(y->members); i++) {
        const struct act *a = members_act(y->members, i);
        if (member_id_cmp(&a->author, &y->id) == 0)
            buf_put_string(ret, a->raw);
    }
    pthread_mutex_unlock(&s->lock);
    return buf_status(ret);
}
