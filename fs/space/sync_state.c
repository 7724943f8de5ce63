/*
 * STATEs: what a replica says of itself, signed. A member's STATE with the digest that this replica
 * has says that both hold the same values; so all that it knows is known here, too.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "fs/space/sync_priv.h"
#include "proto/base/log.h"

static void state_fini(struct sync_state *st)
{
    vv_fini(&st->known);
    vv_fini(&st->floor);
    buf_fini(&st->more);
}

void sync_states_fini(struct sync *y)
{
    for (size_t i = 0; i < y->state_n; i++)
        state_fini(&y->state[i]);
    free(y->state);
}

static struct sync_state *find_state(struct sync *y, uint64_t replica)
{
    for (size_t i = 0; i < y->state_n; i++)
        if (y->state[i].replica == replica)
            return &y->state[i];
    return NULL;
}

/* The one of @replica, made when there is none; NULL: no memory. */
static struct sync_state *need_state(struct sync *y, uint64_t replica)
{
    struct sync_state *st = find_state(y, replica);
    if (st != NULL || y->state_n == LIMIT_REPLICAS)
        return st;
    struct sync_state *v = reallocarray(y->state, y->state_n + 1, sizeof *v);
    if (v == NULL)
        return NULL;
    y->state = v;
    st = &v[y->state_n++];
    *st = (struct sync_state){.replica = replica};
    return st;
}

static bool misses_the_same(const struct sync_state *st, const struct state *v)
{
    struct state_more old;
    return state_more_decode(buf_bytes(&st->more), &old) == 0 &&
           dots_equal(old.missing, v->more.missing);
}

/* Whether a replica is, or was, one of this device. */
static bool is_own(const struct sync *y, uint64_t replica)
{
    struct members_past *past;
    if (y->members == NULL)
        return false;
    const struct member_public *owner = sync_owner_of(y, replica, &past);
    bool own = owner != NULL && memcmp(owner->sign, y->me->pub.sign, SIGN_KEY_SIZE) == 0;
    members_past_free(past);
    return own;
}

static int remember(struct sync *y, const struct entry *e, const struct state *v, uint64_t arrival)
{
    struct sync_state *st = need_state(y, e->head.dot.replica);
    struct sync_state new = {.number = 0};
    state_more_encode(&v->more, &new.more);
    if (st == NULL || vv_join_dots(&new.known, v->known) < 0 ||
        vv_join_dots(&new.floor, v->more.floor) < 0 || buf_status(&new.more) < 0) {
        state_fini(&new);
        return -ENOMEM;
    }
    st->sent_again = st->sent_again && misses_the_same(st, v);
    state_fini(st);
    st->known = new.known;
    st->floor = new.floor;
    st->more = new.more;
    st->stays_ms = 0;
    st->own = is_own(y, e->head.dot.replica);
    st->number = e->head.dot.counter;
    st->arrival = arrival;
    st->time_ms = v->time_ms;
    st->digest = v->digest;
    st->heads_n = v->heads.n;
    memcpy(st->heads, v->heads.p, v->heads.n * ACT_ID_SIZE);
    /* What the author says of itself is backed by its signature. */
    struct dot own = {e->head.dot.replica, dots_get(v->known, e->head.dot.replica)};
    if (own.counter > vv_get(&y->highest, own.replica))
        y->look_again = true;
    return own.counter == 0 ? 0 : vv_add(&y->highest, &own);
}

int sync_load_states(struct space *s)
{
    const uint8_t prefix = SYNC_STATE;
    struct db_iter *it = db_iter_new(s->db, DB_SYNC, bytes_of(&prefix, 1), NULL);
    int rc = it == NULL ? -ENOMEM : 0;
    while (rc == 0 && db_iter_next(it)) {
        struct bytes row = db_iter_value(it);
        struct entry e;
        struct state v;
        if (row.n < 8 || entry_parse_stored(bytes_of(row.p + 8, row.n - 8), &e) < 0 ||
            state_decode(e.plain, &v) < 0)
            rc = -EUCLEAN;
        else
            rc = remember(s->sync, &e, &v, get_u64(row.p));
    }
    if (rc == 0)
        rc = db_iter_status(it);
    db_iter_free(it);
    return rc;
}

void sync_cap_states(struct space *s)
{
    for (size_t i = 0; i < s->sync->state_n; i++)
        replica_cap(s->replica, &s->sync->state[i].known);
}

const struct sync_state *sync_own_state(const struct space *s)
{
    return find_state(s->sync, replica_id(s->replica));
}

bool sync_state_is_current(const struct sync *y, const struct sync_state *st)
{
    return members_cut(y->members, st->replica) == MEMBERS_NO_CUT;
}

/* The row and arrival of a STATE, in place of the one before. */
static int put_state(struct space *s, struct bytes stored, const struct entry *e,
                     const struct state *v, uint64_t source)
{
    struct sync *y = s->sync;
    struct buf row CLEANUP(buf_fini) = {0};
    const struct sync_state *old = find_state(y, e->head.dot.replica);
    struct arrival a = {.kind = ARRIVAL_STATE, .dot = e->head.dot, .source = source};
    struct db_batch *batch = db_batch_new(s->db);
    if (batch == NULL)
        return -ENOMEM;
    if (old != NULL) {
        struct sync_key gone = sync_key_u64(SYNC_ARRIVAL, old->arrival);
        db_batch_delete(batch, DB_SYNC, sync_key_bytes(&gone));
    }
    sync_put_arrival(y, batch, &a);
    sync_put_own(y, batch);
    buf_put_u64(&row, a.number);
    buf_put_bytes(&row, stored);
    struct sync_key key = sync_key_u64(SYNC_STATE, e->head.dot.replica);
    int rc = buf_status(&row);
    if (rc == 0 && e->head.dot.replica == replica_id(s->replica))
        rc = sync_compare_said(s, batch, v);
    if (rc == 0) {
        db_batch_put(batch, DB_SYNC, sync_key_bytes(&key), buf_bytes(&row));
        rc = db_write(s->db, batch, false);
    }
    db_batch_free(batch);
    if (rc < 0)
        y->next = a.number;
    if (rc == 0)
        rc = remember(y, e, v, a.number);
    sync_cap_states(s);
    return rc;
}

/* ---- making ------------------------------------------------------------------------------------
 */

bool sync_state_says(const struct sync_state *own, const struct state *v)
{
    return own != NULL && own->heads_n == v->heads.n &&
           memcmp(own->heads, v->heads.p, v->heads.n * ACT_ID_SIZE) == 0 &&
           memcmp(&own->digest, &v->digest, sizeof v->digest) == 0;
}

/* Signs @v as this replica's next STATE. */
static int author(struct space *s, const struct state *v)
{
    struct sync *y = s->sync;
    struct buf plain CLEANUP(buf_fini) = {0}, stored CLEANUP(buf_fini) = {0};
    struct entry_draft draft = {.refs = {0}};
    struct entry e;
    struct entry_head head = {.kind = ENTRY_STATE,
                              .space = y->space,
                              .dot = {replica_id(s->replica), y->states + 1},
                              .stamp = v->time_ms};
    state_encode(v, &plain);
    int rc = buf_status(&plain);
    if (rc == 0)
        rc = entry_draft_init(&draft, &head, &(struct entry_refs){.acts = v->heads},
                              buf_bytes(&plain));
    if (rc == 0)
        rc = entry_sign(&y->me->keys, &draft, 1, &stored);
    entry_draft_fini(&draft);
    if (rc == 0)
        rc = entry_parse_stored(buf_bytes(&stored), &e);
    if (rc < 0)
        return rc;
    y->states++;
    return put_state(s, buf_bytes(&stored), &e, v, 0);
}

/* What this replica knows, its own changes as far as they are signed. */
static int known_now(struct space *s, struct vv *ret)
{
    const struct sync *y = s->sync;
    int rc = vv_copy(ret, replica_knowledge(s->replica));
    return rc < 0 ? rc : vv_set(ret, replica_id(s->replica), y->signed_last);
}

/* What a STATE says that is made now; views of the buffers. */
struct saying {
    struct state v;
    struct buf known, floor;
    uint8_t heads[LIMIT_ACT_HEADS * ACT_ID_SIZE];
};

static void saying_fini(struct saying *w)
{
    buf_fini(&w->known);
    buf_fini(&w->floor);
}

/* One that has to compare acknowledges nothing: others may do without what it has not sent yet. */
static int say(struct space *s, struct saying *ret)
{
    struct sync *y = s->sync;
    CLEANUP(vv_fini) struct vv known = {0};
    int rc = known_now(s, &known);
    if (rc == 0 && sync_has_to_compare(s)) {
        vv_meet(&known, replica_floor(s->replica));
        rc = vv_set(&known, replica_id(s->replica), y->signed_last);
    }
    vv_put_elements(&ret->known, &known);
    ret->v.time_ms = tidy_now_ms();
    ret->v.known = (struct dots){ret->known.p, ret->known.n / DOT_SIZE};
    ret->v.heads = (struct act_ids){ret->heads, members_heads(y->members, ret->heads)};
    replica_digest(s->replica, &ret->v.digest);
    if (rc == 0)
        rc = sync_compare_say(s, &ret->floor, &ret->v.more);
    return rc < 0 ? rc : buf_status(&ret->known);
}

/* Whether the last own STATE says the same: 1, 0. */
static int is_said_again(struct space *s, const struct saying *w)
{
    const struct sync_state *own = sync_own_state(s);
    CLEANUP(buf_fini) struct buf more = {0};
    CLEANUP(vv_fini) struct vv known = {0};
    int rc = vv_join_dots(&known, w->v.known);
    state_more_encode(&w->v.more, &more);
    if (rc == 0)
        rc = buf_status(&more);
    return rc < 0 ? rc
                  : sync_state_says(own, &w->v) && vv_equal(&own->known, &known) &&
                        bytes_equal(buf_bytes(&own->more), buf_bytes(&more));
}

bool sync_has_unsigned(const struct space *s)
{
    return vv_get(replica_knowledge(s->replica), replica_id(s->replica)) > s->sync->signed_to;
}

int sync_author_state(struct space *s)
{
    struct saying w = {.known = {0}};
    int rc = say(s, &w);
    int same = rc == 0 ? is_said_again(s, &w) : rc;
    rc = same < 0 ? same : 0;
    if (same == 0)
        rc = author(s, &w.v);
    saying_fini(&w);
    return rc < 0 ? rc : !same;
}

int space_sync_state(struct space *s)
{
    if (s->sync == NULL)
        return -ENOTCONN;
    pthread_mutex_lock(&s->lock);
    int rc = sync_may_sign(s) ? 0 : -ENOTCONN;
    /* A STATE says what its author did before it: all of that has to be signed, if it may be. */
    if (rc == 0 && (!sync_has_unsigned(s) || sync_is_behind(s)))
        rc = sync_author_state(s);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

/* ---- taking ------------------------------------------------------------------------------------
 */

int sync_take_state(struct space *s, uint64_t source, struct bytes stored)
{
    struct sync *y = s->sync;
    struct entry e;
    struct state v;
    if (entry_parse_stored(stored, &e) < 0 || state_decode(e.plain, &v) < 0)
        return SYNC_REFUSED;
    if (e.head.dot.replica == replica_id(s->replica)) {
        int renewed = sync_check_own_state(s, &e, &v);
        if (renewed <= 0)
            return renewed < 0 ? renewed : SYNC_KNOWN;
    }
    pthread_mutex_lock(&s->lock);
    const struct sync_state *old = find_state(y, e.head.dot.replica);
    int rc = SYNC_KNOWN;
    if (old == NULL || old->number < e.head.dot.counter) {
        enum verify_result r =
            y->members == NULL ? VERIFY_HOLD_ACTS : verify_state(y->members, &e, &v);
        rc = r == VERIFY_ACCEPT ? put_state(s, stored, &e, &v, source) : SYNC_REFUSED;
        if (rc == 0)
            rc = sync_compare_heard(s, e.head.dot.replica, &v) ? SYNC_CONTENT : SYNC_TAKEN;
        y->states_heard += rc >= 0 && rc != SYNC_REFUSED;
    }
    pthread_mutex_unlock(&s->lock);
    return rc;
}

/*
 * What a STATE says of its own replica; of others no more than came here, for its author may say
 * what it likes: what it counts among the known, this device would not take any more.
 */
static int believed(struct space *s, const struct sync_state *st, struct vv *ret)
{
    const struct vv *applied = replica_applied(s->replica);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < st->known.n; i++) {
        struct dot d = st->known.v[i];
        if (d.replica != st->replica)
            d.counter = min_u64(d.counter, vv_get(applied, d.replica));
        if (d.counter > 0)
            rc = vv_add(ret, &d);
    }
    return rc;
}

/* The knowledge of one whose values are those of this replica, beyond what is known here: 1. */
static int find_equal(struct space *s, struct vv *ret)
{
    struct sync *y = s->sync;
    struct state_digest digest;
    uint8_t heads[LIMIT_ACT_HEADS * ACT_ID_SIZE];
    /* What no key is known for does not count: any server can make such. */
    if (y->members == NULL || y->counts.content_waiting > 0 ||
        y->counts.waiting > sync_wait_count(y, SYNC_LOCKED_ONES))
        return 0;
    struct state now = {.heads = {heads, members_heads(y->members, heads)}};
    replica_digest(s->replica, &digest);
    now.digest = digest;
    for (size_t i = 0; i < y->state_n; i++) {
        const struct sync_state *st = &y->state[i];
        if (st->replica == replica_id(s->replica) || !sync_state_says(st, &now) ||
            !sync_state_is_current(y, st))
            continue;
        int rc = believed(s, st, ret);
        if (rc < 0 || !vv_covers(replica_knowledge(s->replica), ret))
            return rc < 0 ? rc : 1;
        vv_reset(ret);
    }
    return 0;
}

int sync_close_by_states(struct space *s)
{
    struct vv known = {.n = 0};
    pthread_mutex_lock(&s->lock);
    int rc = find_equal(s, &known);
    pthread_mutex_unlock(&s->lock);
    if (rc == 1)
        rc = space_know(s, &known);
    vv_fini(&known);
    return rc < 0 ? rc : 0;
}

/* ---- who knows the same and holds something else -----------------------------------------------
 */

enum { DIFFERS_MS = 60000 };

/* Nothing is under way here that would explain a difference. */
static bool is_at_rest(struct space *s)
{
    const struct sync *y = s->sync;
    return sync_may_sign(s) && y->adopt_at_ms == 0 && y->counts.content_waiting == 0 &&
           y->counts.waiting == sync_wait_count(y, SYNC_LOCKED_ONES) &&
           vv_equal(replica_applied(s->replica), replica_knowledge(s->replica)) &&
           vv_get(replica_knowledge(s->replica), replica_id(s->replica)) == y->signed_to;
}

static bool differs(struct space *s, const struct sync_state *st, const struct state *now,
                    const struct vv *known)
{
    return st->replica != replica_id(s->replica) && sync_state_is_current(s->sync, st) &&
           st->heads_n == now->heads.n &&
           memcmp(st->heads, now->heads.p, now->heads.n * ACT_ID_SIZE) == 0 &&
           memcmp(&st->digest, &now->digest, sizeof now->digest) != 0 &&
           vv_equal(&st->known, known);
}

static void tell_difference(struct space *s, struct sync_state *st)
{
    char label[LIMIT_LABEL + 1];
    if (!sync_label_of(s, st->replica, label))
        snprintf(label, sizeof label, "device %08x", (unsigned)(st->replica >> 32));
    log_error("sync: %s knows the same changes as this device, but holds something else: something "
              "was withheld or damaged; 'persist check' on both says what is whole",
              label);
    st->told = true;
}

/* One device's difference, which has to stay for a minute: when to look again, 0: not. */
static uint64_t note_difference(struct space *s, struct sync_state *st, bool is, uint64_t now_ms)
{
    if (!is) {
        st->differs_ms = 0;
        st->told = false;
        return 0;
    }
    if (st->differs_ms == 0)
        st->differs_ms = now_ms;
    if (now_ms < st->differs_ms + DIFFERS_MS)
        return st->differs_ms + DIFFERS_MS;
    if (!st->told)
        tell_difference(s, st);
    return 0;
}

static uint64_t watch(struct space *s, uint64_t now_ms)
{
    struct sync *y = s->sync;
    uint8_t heads[LIMIT_ACT_HEADS * ACT_ID_SIZE];
    struct vv known = {.n = 0};
    uint64_t next = 0;
    struct state now = {.heads = {heads, members_heads(y->members, heads)}};
    bool ready = is_at_rest(s) && known_now(s, &known) == 0;
    replica_digest(s->replica, &now.digest);
    for (size_t i = 0; i < y->state_n; i++) {
        struct sync_state *st = &y->state[i];
        uint64_t at = note_difference(s, st, ready && differs(s, st, &now, &known), now_ms);
        next = next == 0 ? at : at == 0 ? next : min_u64(next, at);
    }
    vv_fini(&known);
    return next;
}

uint64_t space_sync_watch(struct space *s, uint64_t now_ms)
{
    uint64_t next = 0;
    if (s->sync == NULL)
        return 0;
    pthread_mutex_lock(&s->lock);
    if (s->sync->members != NULL && s->sync->state_n > 0)
        next = watch(s, now_ms);
    pthread_mutex_unlock(&s->lock);
    return next;
}

uint64_t space_sync_states_heard(struct space *s)
{
    if (s->sync == NULL)
        return 0;
    pthread_mutex_lock(&s->lock);
    uint64_t n = s->sync->states_heard;
    pthread_mutex_unlock(&s->lock);
    return n;
}

/* Whether the owner of a replica is online. */
static bool owner_is_online(const struct sync *y, uint64_t replica)
{
    struct members_past *past;
    const struct member_public *owner = sync_owner_of(y, replica, &past);
    bool is = owner != NULL && sync_is_online(y, owner);
    members_past_free(past);
    return is;
}

static bool has_seen(const struct sync *y, struct act_ids heads, uint64_t replica)
{
    struct members_past *past = NULL;
    bool has = members_past_new(y->members, heads, &past) == 0 &&
               members_past_owner(past, replica) != NULL;
    members_past_free(past);
    return has;
}

/*
 * Whether the owner of a replica goes on under another id: an own act of it that came after this
 * one's, and which the newest STATE under this one had not seen. Of two copies that are both in use
 * each hears of the other's act and says so: then both stay.
 */
static bool is_left(struct space *s, const struct sync_state *st)
{
    struct sync *y = s->sync;
    struct members_past *past;
    const struct member_public *owner = sync_owner_of(y, st->replica, &past);
    struct member_id id = {.b = {0}};
    bool left = false;
    if (owner != NULL)
        id = member_id_of(owner);
    members_past_free(past);
    for (size_t i = 0; owner != NULL && !left && i < members_acts_n(y->members); i++) {
        const struct act *a = members_act(y->members, i);
        if (a->kind != ACT_OWN || a->replica == st->replica || member_id_cmp(&a->author, &id) != 0)
            continue;
        bool speaks = a->replica == replica_id(s->replica) || find_state(y, a->replica) != NULL;
        left = speaks && has_seen(y, a->parents, st->replica) &&
               !has_seen(y, (struct act_ids){st->heads, st->heads_n}, a->replica);
    }
    return left;
}

int space_sync_peers(struct space *s, struct buf *ret)
{
    struct sync *y = s->sync;
    struct state now;
    uint8_t heads[LIMIT_ACT_HEADS * ACT_ID_SIZE];
    if (y == NULL || y->members == NULL)
        return -ENOTCONN;
    pthread_mutex_lock(&s->lock);
    now.heads = (struct act_ids){heads, members_heads(y->members, heads)};
    replica_digest(s->replica, &now.digest);
    for (size_t i = 0; i < y->state_n; i++) {
        const struct sync_state *st = &y->state[i];
        struct sync_peer p = {.time_ms = st->time_ms,
                              .equal = sync_state_says(st, &now),
                              .online = owner_is_online(y, st->replica),
                              .differs = st->told || y->compare.found_with == st->replica};
        p.differs = p.differs && !p.equal;
        if (!p.equal)
            sync_compare_about(s, st->replica, p.about);
        if (st->replica == replica_id(s->replica) || !sync_state_is_current(y, st) ||
            is_left(s, st))
            continue;
        if (!sync_label_of(s, st->replica, p.label))
            snprintf(p.label, sizeof p.label, "%08x", (unsigned)(st->replica >> 32));
        buf_put(ret, &p, sizeof p);
    }
    pthread_mutex_unlock(&s->lock);
    return buf_status(ret);
}
