/*
 * Which members are online, as servers say or direct links show, and which of them have
 * acknowledged what is held here. What a server says moves nothing but that; an acknowledgement is
 * a member's signed STATE.
 */
#include <errno.h>
#include <stdio.h>

#include "fs/space/sync_priv.h"
#include "proto/peer_id.h"

static bool is_among(const struct sync_online *o, const uint8_t identity[static SIGN_KEY_SIZE])
{
    for (size_t i = 0; i < o->n; i++)
        if (memcmp(o->identity[i], identity, SIGN_KEY_SIZE) == 0)
            return true;
    return false;
}

/* Whether a link is with that device itself. */
static bool is_with(const struct sync_link *l, const struct member_public *m)
{
    uint8_t id[PEER_ID_BYTES];
    char text[PEER_ID_TEXT_SIZE];
    const size_t n = sizeof SYNC_DIRECT_URL - 1;
    if (strncmp(l->url, SYNC_DIRECT_URL, n) != 0)
        return false;
    peer_id_of_key(m->identity, id);
    return strcmp(l->url + n, peer_id_text(id, text)) == 0;
}

bool sync_is_online(const struct sync *y, const struct member_public *m)
{
    for (size_t i = 0; i < y->link_n; i++)
        if (y->link[i].state == SYNC_LINK_UP &&
            (is_among(&y->link[i].online, m->identity) || is_with(&y->link[i], m)))
            return true;
    return false;
}

/* The identities whose STATEs acknowledge what @held covers, or tell of the values that are here
 * now; of a device that was copied one is enough. */
static size_t find_acks(struct space *s, const struct members_past *past, const struct vv *held,
                        const uint8_t *ret[static LIMIT_REPLICAS])
{
    struct sync *y = s->sync;
    uint8_t heads[LIMIT_ACT_HEADS * ACT_ID_SIZE];
    struct state now = {.heads = {heads, members_heads(y->members, heads)}};
    size_t n = 0;
    replica_digest(s->replica, &now.digest);
    for (size_t i = 0; i < y->state_n; i++) {
        const struct sync_state *st = &y->state[i];
        const struct member_public *owner = members_past_owner(past, st->replica);
        if (owner != NULL && sync_state_is_current(y, st) &&
            (vv_covers(&st->known, held) || sync_state_says(st, &now)))
            ret[n++] = owner->identity;
    }
    return n;
}

static bool has(const uint8_t *const *ids, size_t n, const uint8_t id[static SIGN_KEY_SIZE])
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(ids[i], id, SIGN_KEY_SIZE) == 0)
            return true;
    return false;
}

/* The first one online that has not; NULL: all have. */
static const struct member_now *find_silent(struct space *s, const struct members_past *past,
                                            const struct vv *held)
{
    struct sync *y = s->sync;
    const uint8_t *acks[LIMIT_REPLICAS];
    size_t n = find_acks(s, past, held, acks);
    for (size_t i = 0; i < members_n(y->members); i++) {
        const struct member_now *m = members_at(y->members, i);
        bool own = memcmp(m->keys.identity, y->me->pub.identity, SIGN_KEY_SIZE) == 0;
        if (!own && sync_is_online(y, &m->keys) && !has(acks, n, m->keys.identity))
            return m;
    }
    return NULL;
}

int space_sync_acknowledged(struct space *s, const struct vv *held,
                            char ret_label[static LIMIT_LABEL + 1])
{
    struct sync *y = s->sync;
    uint8_t heads[LIMIT_ACT_HEADS * ACT_ID_SIZE];
    struct members_past *past = NULL;
    const struct member_now *silent = NULL;
    int rc = 0;
    if (y == NULL)
        return -ENOTCONN;
    pthread_mutex_lock(&s->lock);
    if (y->members != NULL) {
        struct act_ids ids = {heads, members_heads(y->members, heads)};
        rc = members_past_new(y->members, ids, &past);
    }
    if (past != NULL)
        silent = find_silent(s, past, held);
    if (silent != NULL && !sync_label_of_member(s, &silent->keys, ret_label))
        snprintf(ret_label, LIMIT_LABEL + 1, "%02x%02x%02x%02x", silent->keys.identity[0],
                 silent->keys.identity[1], silent->keys.identity[2], silent->keys.identity[3]);
    members_past_free(past);
    pthread_mutex_unlock(&s->lock);
    return rc < 0 ? rc : silent == NULL;
}
