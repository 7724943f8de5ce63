/*
 * What is deleted everywhere goes: the floor rises to what every member's newest STATE knows, and
 * what is below it is cleaned up. Who is away holds nothing back: it compares in full when it
 * comes back.
 *
 * Away is a member that has said nothing for long. No clock is believed for that alone. Its newest
 * STATE is old by the own clock; and, all the time that this device counted while it heard others,
 * it has stayed the newest and lacked something that is here. So a clock that leaps by years
 * counts as some days, a device with a wrong clock is not away as long as it speaks, one that has
 * been alone does not take the others for away, and who knows all holds nothing back.
 */
#include <errno.h>

#include "fs/space/sync_priv.h"

enum { CLEAN_MAX = 500, ACKS_MAX = 2 * LIMIT_MEMBERS, LACK_SIZE = 24 };

#define DAY_MS (UINT64_C(24) * 3600 * 1000)
#define ACTIVE_MS (30 * DAY_MS)
#define AWAY_MS (180 * DAY_MS)
#define STEP_MS (7 * DAY_MS) /* between two looks no more than this counts */

/* ---- who has said what -------------------------------------------------------------------------
 */

/* What every other member that is not away has said that it knows. */
struct acks {
    struct space *s;
    struct db_batch *batch;
    uint64_t now_ms;
    const struct members_past *past;
    struct replica_ack v[ACKS_MAX + 1]; /* and the own one */
    size_t n;
};

/* What one of them has said: from @first on. */
struct said {
    size_t first;
    uint64_t numbers;   /* of its STATEs, the sum: it grows with each */
    uint64_t newest_ms; /* 0: it has said nothing */
};

static bool is_of(const struct acks *a, const struct sync_state *st, const struct member_now *m)
{
    const struct member_public *owner = members_past_owner(a->past, st->replica);
    return owner != NULL && memcmp(owner->sign, m->keys.sign, SIGN_KEY_SIZE) == 0;
}

/*
 * Adds what a member has said that it knows: false, there is no room. Of replicas that it has had,
 * those that spoke within a month of the newest one count: a device that was copied has two that go
 * on.
 */
static bool add_said(struct acks *a, const struct member_now *m, struct said *ret)
{
    const struct sync *y = a->s->sync;
    *ret = (struct said){.first = a->n};
    for (size_t i = 0; i < y->state_n; i++)
        if (is_of(a, &y->state[i], m))
            ret->newest_ms = max_u64(ret->newest_ms, y->state[i].time_ms);
    for (size_t i = 0; i < y->state_n; i++) {
        const struct sync_state *st = &y->state[i];
        if (!is_of(a, st, m) || st->replica == replica_id(a->s->replica) ||
            st->time_ms + ACTIVE_MS < ret->newest_ms)
            continue;
        if (a->n == ACKS_MAX)
            return false;
        a->v[a->n++] = (struct replica_ack){st->replica, &st->known};
        ret->numbers += st->number;
    }
    return true;
}

/* ---- who is away -------------------------------------------------------------------------------
 */

/* How long a member has lacked something without a word: the row SYNC_LACKS. */
struct lack {
    uint64_t numbers, looked_ms, lacks_ms;
};

static int get_lack(struct space *s, const struct sync_key *key, struct lack *ret)
{
    struct buf row CLEANUP(buf_fini) = {0};
    int rc = sync_get(s, key, 0, &row);
    if (rc == 0 && row.n != LACK_SIZE)
        return -EUCLEAN;
    if (rc == 0)
        *ret = (struct lack){get_u64(row.p), get_u64(row.p + 8), get_u64(row.p + 16)};
    return rc;
}

static void put_lack(struct db_batch *batch, const struct sync_key *key, const struct lack *v)
{
    uint8_t row[LACK_SIZE];
    put_u64(row, v->numbers);
    put_u64(row + 8, v->looked_ms);
    put_u64(row + 16, v->lacks_ms);
    db_batch_put(batch, DB_SYNC, sync_key_bytes(key), bytes_of(row, sizeof row));
}

static bool lacks_something(const struct acks *a, const struct said *said)
{
    const struct vv *known = replica_knowledge(a->s->replica);
    for (size_t i = said->first; i < a->n; i++)
        if (!vv_covers(a->v[i].knowledge, known))
            return true;
    return said->first == a->n;
}

/* Who hears nobody cannot tell who is silent. */
static bool hears_others(const struct sync *y)
{
    for (size_t i = 0; i < y->link_n; i++)
        if (y->link[i].state == SYNC_LINK_UP && y->link[i].caught_up)
            return true;
    return false;
}

/* By the own clock; a time that is still to come says nothing. */
static bool is_recent(const struct said *said, uint64_t now_ms)
{
    return said->newest_ms <= now_ms + DAY_MS && said->newest_ms + AWAY_MS > now_ms;
}

/* 1: it is; 0. */
static int is_away(struct acks *a, const struct member_now *m, const struct said *said)
{
    struct sync_key key = sync_key(SYNC_LACKS, bytes_of(m->id.b, sizeof m->id.b));
    struct lack v = {.numbers = 0};
    int rc = get_lack(a->s, &key, &v);
    if (rc < 0 && rc != -ENOENT)
        return rc;
    if (!lacks_something(a, said)) {
        if (rc == 0)
            db_batch_delete(a->batch, DB_SYNC, sync_key_bytes(&key));
        return 0;
    }
    if (rc == -ENOENT || v.numbers != said->numbers)
        v = (struct lack){.numbers = said->numbers, .looked_ms = a->now_ms};
    if (hears_others(a->s->sync) && v.looked_ms < a->now_ms)
        v.lacks_ms += min_u64(a->now_ms - v.looked_ms, STEP_MS);
    v.looked_ms = a->now_ms;
    put_lack(a->batch, &key, &v);
    return v.lacks_ms >= AWAY_MS && !is_recent(said, a->now_ms);
}

/* ---- clean-up ----------------------------------------------------------------------------------
 */

/* 1: all that have to have said something have; 0. */
static int collect(struct acks *a)
{
    const struct sync *y = a->s->sync;
    int all = members_n(y->members) > 0;
    for (size_t i = 0; i < members_n(y->members); i++) {
        const struct member_now *m = members_at(y->members, i);
        struct said said;
        if (!add_said(a, m, &said))
            return 0;
        if (member_id_cmp(&m->id, &y->id) == 0)
            continue;
        int away = is_away(a, m, &said);
        if (away < 0)
            return away;
        if (away == 1)
            a->n = said.first;
        else if (a->n == said.first)
            all = 0;
    }
    return all;
}

/*
 * Of own changes those that are signed: a deletion that nobody can have heard of is not to go while
 * others may hold what it deletes. Before the first one is signed nobody else holds anything.
 */
static int own_ack(const struct space *s, struct vv *ret)
{
    const struct vv *known = replica_knowledge(s->replica);
    uint64_t own = replica_id(s->replica);
    int rc = vv_copy(ret, known);
    if (s->sync->signed_last == 0 && known->n == (vv_get(known, own) > 0))
        return rc;
    return rc < 0 ? rc : vv_set(ret, own, min_u64(vv_get(known, own), s->sync->signed_last));
}

int sync_put_cleaned(struct space *s, struct db_batch *batch, uint64_t now_ms)
{
    struct sync *y = s->sync;
    CLEANUP(vv_fini) struct vv own = {0};
    uint8_t heads[LIMIT_ACT_HEADS * ACT_ID_SIZE];
    struct members_past *past = NULL;
    struct act_ids ids = {heads, members_heads(y->members, heads)};
    int rc = members_past_new(y->members, ids, &past);
    struct acks a = {.s = s, .batch = batch, .now_ms = now_ms, .past = past};
    if (rc == 0)
        rc = own_ack(s, &own);
    int all = rc == 0 ? collect(&a) : rc;
    if (all == 1) {
        a.v[a.n++] = (struct replica_ack){replica_id(s->replica), &own};
        rc = replica_raise_floor(s->replica, batch, a.v, a.n);
    }
    if (all == 1 && rc == 0)
        rc = replica_clean(s->replica, batch, CLEAN_MAX);
    members_past_free(past);
    return all < 0 ? all : rc;
}
