#include "fs/space/peers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "fs/space/sync_priv.h"

/* ---- labels ------------------------------------------------------------------------------------
 */

/* What @a says of the label of @id; NULL: nothing. */
static const uint8_t *label_in(const struct act *a, const struct member_id *id)
{
    if (a->kind == ACT_LABEL && member_id_cmp(&a->author, id) == 0)
        return a->label;
    if (a->kind != ACT_ADD)
        return NULL;
    struct member_id added = member_id_of(&a->add.member);
    return member_id_cmp(&added, id) == 0 ? a->add.label : NULL;
}

bool sync_label_of_id(struct space *s, const struct member_id *id, char ret[LIMIT_LABEL + 1])
{
    struct sync *y = s->sync;
    const struct member_now *m = members_find(y->members, id);
    if (m != NULL)
        return sync_label_of_member(s, &m->keys, ret);
    for (size_t i = members_acts_n(y->members); i > 0; i--) {
        const uint8_t *label = label_in(members_act(y->members, i - 1), id);
        if (label == NULL)
            continue;
        struct epoch_id epoch = act_label_epoch(label);
        const struct epoch_keys *k = keyring_find(&s->keyring, &epoch);
        if (k != NULL && act_label_open(k, &y->space, id, label, ret) == 0)
            return true;
    }
    return false;
}

static void text_of(const struct member_public *keys, char ret[static PEER_ID_TEXT_SIZE])
{
    uint8_t id[PEER_ID_BYTES];
    peer_id_of_key(keys->identity, id);
    peer_id_text(id, ret);
}

static const struct member_public *keys_of(const struct members *m, const struct member_id *id)
{
    for (size_t i = 0; i < members_acts_n(m); i++) {
        const struct act *a = members_act(m, i);
        if (a->kind != ACT_ADD && a->kind != ACT_GENESIS)
            continue;
        struct member_id added = member_id_of(&a->add.member);
        if (member_id_cmp(&added, id) == 0)
            return &a->add.member;
    }
    return NULL;
}

static void put_label(struct space *s, const struct member_id *id, char ret[LIMIT_LABEL + 1])
{
    enum { SHOWN = 8 };
    char text[PEER_ID_TEXT_SIZE];
    const struct member_public *keys = keys_of(s->sync->members, id);
    if (sync_label_of_id(s, id, ret))
        return;
    ret[0] = '\0';
    if (keys == NULL)
        return;
    text_of(keys, text);
    snprintf(ret, LIMIT_LABEL + 1, "%s", text + strlen(text) - SHOWN);
}

/* ---- one of them -------------------------------------------------------------------------------
 */

static void put_state(struct space *s, const struct members_past *past, struct peer *p)
{
    struct sync *y = s->sync;
    uint8_t heads[LIMIT_ACT_HEADS * ACT_ID_SIZE];
    const struct sync_state *newest = NULL;
    struct state now = {.heads = {heads, members_heads(y->members, heads)}};
    const struct vv *known = replica_knowledge(s->replica);
    replica_digest(s->replica, &now.digest);
    for (size_t i = 0; i < y->state_n; i++) {
        const struct sync_state *st = &y->state[i];
        const struct member_public *owner = members_past_owner(past, st->replica);
        if (owner == NULL || memcmp(owner, &p->keys, sizeof *owner) != 0)
            continue;
        if (newest == NULL || st->time_ms > newest->time_ms)
            newest = st;
    }
    if (newest == NULL)
        return;
    p->seen_ms = newest->time_ms;
    /* The digest knows nothing of what is not signed yet. */
    p->is_equal = p->is_member && !sync_has_unsigned(s) && sync_state_says(newest, &now);
    for (size_t i = 0; i < known->n; i++) {
        uint64_t theirs = vv_get(&newest->known, known->v[i].replica);
        p->behind += known->v[i].counter > theirs ? known->v[i].counter - theirs : 0;
    }
}

/* Whose passphrase it was. */
static void put_door(struct space *s, const struct act *add, struct peer *p)
{
    const struct members *m = s->sync->members;
    p->by_door = true;
    for (size_t i = 0; i < members_acts_n(m); i++) {
        const struct act *a = members_act(m, i);
        if (a->kind == ACT_DOOR && memcmp(a->door, add->author.b, SIGN_KEY_SIZE) == 0)
            put_label(s, &a->author, p->by);
    }
}

/* By the act number @i, an add or the genesis. */
static void put_add(struct space *s, size_t i, struct peer *p)
{
    const struct act *a = members_act(s->sync->members, i);
    p->since_ms = sync_act_time(s, i);
    p->role = a->add.role;
    p->is_first = a->kind == ACT_GENESIS;
    if (!p->is_first && a->add.by_door)
        put_door(s, a, p);
    else if (!p->is_first)
        put_label(s, &a->author, p->by);
}

static bool is_out_by(const struct act *a, const struct member_id *id)
{
    for (size_t i = 0; a->kind == ACT_REVOKE && i < a->revoke.members_n; i++) {
        struct member_id out = act_revoke_member(&a->revoke, i);
        if (member_id_cmp(&out, id) == 0)
            return true;
    }
    return false;
}

/* Who put out one that is no member, by the newest act that says so. False: nobody, it is out with
 * who let it in. */
static bool put_out(struct space *s, const struct member_id *id, char by[LIMIT_LABEL + 1],
                    uint64_t *ret_ms)
{
    const struct members *m = s->sync->members;
    for (size_t i = members_acts_n(m); i > 0; i--) {
        const struct act *a = members_act(m, i - 1);
        if (!is_out_by(a, id))
            continue;
        put_label(s, &a->author, by);
        *ret_ms = sync_act_time(s, i - 1);
        return true;
    }
    by[0] = '\0';
    *ret_ms = 0;
    return false;
}

/* The member that act number @i adds; @is_member: it is one now. */
static struct peer peer_of(struct space *s, const struct members_past *past, size_t i)
{
    struct sync *y = s->sync;
    const struct act *a = members_act(y->members, i);
    struct peer p = {.id = member_id_of(&a->add.member), .keys = a->add.member};
    const struct member_now *now = members_find(y->members, &p.id);
    text_of(&p.keys, p.peer_id);
    put_label(s, &p.id, p.label);
    put_add(s, i, &p);
    p.is_member = now != NULL;
    p.is_this = member_id_cmp(&p.id, &y->id) == 0;
    p.is_online = now != NULL && sync_is_online(y, &p.keys);
    if (!p.is_member)
        (void)put_out(s, &p.id, p.out_by, &p.out_ms);
    if (!p.is_this)
        put_state(s, past, &p);
    return p;
}

/* ---- all of them -------------------------------------------------------------------------------
 */

/* Whether a later act adds the same one again. */
static bool is_added_again(const struct members *m, size_t i)
{
    struct member_id id = member_id_of(&members_act(m, i)->add.member);
    for (size_t j = i + 1; j < members_acts_n(m); j++) {
        const struct act *a = members_act(m, j);
        struct member_id other;
        if (a->kind != ACT_ADD)
            continue;
        other = member_id_of(&a->add.member);
        if (member_id_cmp(&other, &id) == 0)
            return true;
    }
    return false;
}

static int by_label(const void *a, const void *b)
{
    const struct peer *x = a, *y = b;
    if (x->is_member != y->is_member)
        return x->is_member ? -1 : 1;
    int c = strcmp(x->label, y->label);
    return c != 0 ? c : member_id_cmp(&x->id, &y->id);
}

/* Lock held. */
static int list(struct space *s, struct buf *ret)
{
    const struct members *m = s->sync->members;
    uint8_t heads[LIMIT_ACT_HEADS * ACT_ID_SIZE];
    struct act_ids ids = {heads, members_heads(m, heads)};
    struct members_past *past = NULL;
    int rc = members_past_new(m, ids, &past);
    for (size_t i = 0; rc == 0 && i < members_acts_n(m); i++) {
        enum act_kind kind = members_act(m, i)->kind;
        if ((kind != ACT_ADD && kind != ACT_GENESIS) || is_added_again(m, i))
            continue;
        struct peer p = peer_of(s, past, i);
        buf_put(ret, &p, sizeof p);
    }
    members_past_free(past);
    return rc < 0 ? rc : buf_status(ret);
}

int peers_list(struct space *s, struct buf *ret)
{
    size_t from = ret->n;
    if (s->sync == NULL)
        return -ENOTCONN;
    pthread_mutex_lock(&s->lock);
    int rc = s->sync->members == NULL ? -ENOTCONN : list(s, ret);
    pthread_mutex_unlock(&s->lock);
    if (rc == 0 && ret->n > from)
        qsort(ret->p + from, (ret->n - from) / sizeof(struct peer), sizeof(struct peer), by_label);
    return rc;
}

bool peers_is_out(struct space *s, char ret_by[static LIMIT_LABEL + 1], uint64_t *ret_ms)
{
    struct sync *y = s->sync;
    if (y == NULL)
        return false;
    pthread_mutex_lock(&s->lock);
    bool out = y->members != NULL && members_find(y->members, &y->id) == NULL &&
               put_out(s, &y->id, ret_by, ret_ms);
    pthread_mutex_unlock(&s->lock);
    return out;
}
