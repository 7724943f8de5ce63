#include <errno.h>
#include <stdlib.h>

#include "proto/sealed/members_priv.h"

/* Sets of acts here are closed: with an act they hold its ancestors. NULL is the set of all. */

static bool in(const struct bits *set, size_t i)
{
    return set == NULL || bits_has(set, i);
}

static bool same(const struct member_id *a, const struct member_id *b)
{
    return member_id_cmp(a, b) == 0;
}

static bool revokes(const struct node *r, const struct member_id *id)
{
    for (size_t i = 0; i < r->act.revoke.members_n; i++)
        if (memcmp(r->act.revoke.members + i * MEMBER_ID_SIZE, id->b, MEMBER_ID_SIZE) == 0)
            return true;
    return false;
}

/* ---- who is a member ---------------------------------------------------------------------------
 */

/* Whether every revoke of @id in @set is among the ancestors of @add. */
static bool saw_revokes(const struct members *m, const struct bits *set, const struct node *add,
                        const struct member_id *id)
{
    for (size_t i = 0; i < m->revokes.n; i++) {
        size_t r = m->revokes.v[i];
        if (in(set, r) && revokes(&m->nodes[r], id) && !bits_has(&add->past, r))
            return false;
    }
    return true;
}

/* Whether a revoke of @id in @set is concurrent with the node @x of index @at. */
static bool revoked_beside(const struct members *m, const struct bits *set, const struct node *x,
                           size_t at)
{
    for (size_t i = 0; i < m->revokes.n; i++) {
        size_t r = m->revokes.v[i];
        const struct node *revoke = &m->nodes[r];
        if (in(set, r) && revokes(revoke, &x->act.author) && !bits_has(&x->past, r) &&
            !bits_has(&revoke->past, at))
            return true;
    }
    return false;
}

/* Whether an add that made the author of @x a member, at that time, stands. */
static bool author_stands(const struct members *m, const bool *stands, const struct node *x)
{
    for (size_t i = 0; i < m->adds.n; i++) {
        const struct node *add = &m->nodes[m->adds.v[i]];
        if (!stands[i] || !bits_has(&x->past, m->adds.v[i]))
            continue;
        if (same(&add->member, &x->act.author) && saw_revokes(m, &x->past, add, &add->member))
            return true;
    }
    return false;
}

/* Whether a revoke in @set that descends from door @d has not seen node @add (NULL: any revoke). */
static bool door_closed(const struct members *m, const struct bits *set, size_t d,
                        const size_t *add)
{
    for (size_t i = 0; i < m->revokes.n; i++) {
        size_t r = m->revokes.v[i];
        if (in(set, r) && bits_has(&m->nodes[r].past, d) &&
            (add == NULL || !bits_has(&m->nodes[r].past, *add)))
            return true;
    }
    return false;
}

static bool is_door(const struct node *door, const struct member_id *key)
{
    return memcmp(door->act.door, key->b, SIGN_KEY_SIZE) == 0;
}

static bool door_stands(const struct members *m, const struct bits *set, const bool *stands,
                        size_t d)
{
    const struct node *door = &m->nodes[d];
    return author_stands(m, stands, door) && !revoked_beside(m, set, door, d);
}

/* Whether an add stands; those of the adds before it are known. */
static bool add_stands(const struct members *m, const struct bits *set, const bool *stands,
                       size_t at)
{
    const struct node *add = &m->nodes[at];
    if (add->act.kind == ACT_GENESIS)
        return true;
    if (!add->act.add.by_door)
        return author_stands(m, stands, add) && !revoked_beside(m, set, add, at);
    for (size_t i = 0; i < m->doors.n; i++) {
        size_t d = m->doors.v[i];
        if (bits_has(&add->past, d) && is_door(&m->nodes[d], &add->act.author) &&
            door_stands(m, set, stands, d) && !door_closed(m, set, d, &at))
            return true;
    }
    return false;
}

/* Which adds of @set stand, into m->stands. Adds come after those they depend on. */
static int decide_stands(struct members *m, const struct bits *set)
{
    if (m->stands_cap < m->adds.n) {
        bool *p = realloc(m->stands, m->adds.cap * sizeof *p);
        if (p == NULL)
            return -ENOMEM;
        m->stands = p;
        m->stands_cap = m->adds.cap;
    }
    for (size_t i = 0; i < m->adds.n; i++)
        m->stands[i] = false;
    for (size_t i = 0; i < m->adds.n; i++)
        m->stands[i] = in(set, m->adds.v[i]) && add_stands(m, set, m->stands, m->adds.v[i]);
    return 0;
}

/* Whether the i-th add makes its device a member in @set. */
static bool makes_member(const struct members *m, const struct bits *set, size_t i)
{
    const struct node *add = &m->nodes[m->adds.v[i]];
    return m->stands[i] && saw_revokes(m, set, add, &add->member);
}

static bool is_member(const struct members *m, const struct bits *set, const struct member_id *id)
{
    for (size_t i = 0; i < m->adds.n; i++)
        if (same(&m->nodes[m->adds.v[i]].member, id) && makes_member(m, set, i))
            return true;
    return false;
}

/* Members in @set; one that was added twice counts twice, which a limit may. */
static size_t count_members(const struct members *m, const struct bits *set)
{
    size_t n = 0;
    for (size_t i = 0; i < m->adds.n; i++)
        n += makes_member(m, set, i);
    return n;
}

/* ---- well-formed acts --------------------------------------------------------------------------
 */

static size_t count(const struct list *l, const struct bits *set)
{
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++)
        n += in(set, l->v[i]);
    return n;
}

const struct node *members_rules_own(const struct members *m, const struct bits *past,
                                     uint64_t replica)
{
    for (size_t i = 0; i < m->owns.n; i++)
        if (in(past, m->owns.v[i]) && m->nodes[m->owns.v[i]].act.replica == replica)
            return &m->nodes[m->owns.v[i]];
    return NULL;
}

const struct member_public *members_rules_keys(const struct members *m, const struct bits *past,
                                               const struct member_id *id)
{
    for (size_t i = 0; i < m->adds.n; i++) {
        const struct node *add = &m->nodes[m->adds.v[i]];
        if (in(past, m->adds.v[i]) && same(&add->member, id))
            return &add->act.add.member;
    }
    return NULL;
}

/* Its number follows those of its author's acts before it, of which there are not too many. */
static bool numbered(const struct members *m, const struct node *x)
{
    size_t all = 0, limited = 0;
    for (size_t i = 0; i < m->n; i++)
        if (bits_has(&x->past, i) && same(&m->nodes[i].act.author, &x->act.author)) {
            all++;
            limited += m->nodes[i].act.kind != ACT_REVOKE;
        }
    return x->act.number == all + 1 && (x->act.kind == ACT_REVOKE || limited < LIMIT_AUTHOR_ACTS);
}

static bool epoch_follows(const struct members *m, const struct node *x)
{
    uint32_t highest = 0;
    for (size_t i = 0; i < m->epochs.n; i++) {
        const struct act_epoch *e = &m->nodes[m->epochs.v[i]].act.epoch;
        if (!bits_has(&x->past, m->epochs.v[i]))
            continue;
        if (epoch_id_cmp(&e->id, &x->act.epoch.id) == 0)
            return false;
        highest = e->generation > highest ? e->generation : highest;
    }
    return x->act.epoch.generation == highest + 1 &&
           (x->act.kind == ACT_REVOKE || count(&m->epochs, &x->past) < LIMIT_EPOCHS);
}

static bool own_fits(const struct members *m, const struct node *x,
                     const struct member_public *author)
{
    return x->act.replica == replica_id_of(author->sign, x->act.random) &&
           members_rules_own(m, &x->past, x->act.replica) == NULL &&
           count(&m->owns, &x->past) < LIMIT_REPLICAS;
}

static bool revoke_fits(const struct members *m, const struct node *x)
{
    for (size_t i = 0; i < x->act.revoke.members_n; i++) {
        struct member_id id = act_revoke_member(&x->act.revoke, i);
        if (members_rules_keys(m, &x->past, &id) == NULL)
            return false;
    }
    return !x->act.revoke.with_epoch || epoch_follows(m, x);
}

static bool fork_fits(const struct members *m, const struct node *x)
{
    const struct node *own = members_rules_own(m, &x->past, x->act.replica);
    const struct member_public *owner =
        own == NULL ? NULL : members_rules_keys(m, &x->past, &own->act.author);
    if (owner == NULL)
        return false;
    for (size_t i = 0; i < 2; i++)
        if (entry_head_verify(x->act.fork.head[i], ENTRY_VALUE, &x->act.fork.sign[i], owner->sign) <
            0)
            return false;
    return true;
}

static bool door_is_new(const struct members *m, const struct node *x)
{
    for (size_t i = 0; i < m->doors.n; i++)
        if (bits_has(&x->past, m->doors.v[i]) &&
            memcmp(m->nodes[m->doors.v[i]].act.door, x->act.door, SIGN_KEY_SIZE) == 0)
            return false;
    return true;
}

static bool kind_fits(const struct members *m, const struct node *x,
                      const struct member_public *author)
{
    switch (x->act.kind) {
    case ACT_ADD:
        return count_members(m, &x->past) < LIMIT_MEMBERS;
    case ACT_OWN:
        return own_fits(m, x, author);
    case ACT_REVOKE:
        return revoke_fits(m, x);
    case ACT_EPOCH:
        return epoch_follows(m, x);
    case ACT_FORK:
        return fork_fits(m, x);
    case ACT_DOOR:
        return door_is_new(m, x);
    case ACT_LABEL:
        return true;
    case ACT_GENESIS:
        break;
    }
    return false;
}

/* An open door among the ancestors of an add through it. */
static bool door_was_open(const struct members *m, const struct node *x)
{
    for (size_t i = 0; i < m->doors.n; i++)
        if (bits_has(&x->past, m->doors.v[i]) &&
            is_door(&m->nodes[m->doors.v[i]], &x->act.author) &&
            !door_closed(m, &x->past, m->doors.v[i], NULL))
            return true;
    return false;
}

static bool well_formed(const struct members *m, const struct node *x)
{
    bool by_door = x->act.kind == ACT_ADD && x->act.add.by_door;
    const struct member_public *author = NULL;
    if (by_door ? !door_was_open(m, x) : !is_member(m, &x->past, &x->act.author))
        return false;
    if (!by_door)
        author = members_rules_keys(m, &x->past, &x->act.author);
    if (!numbered(m, x) || act_verify(&x->act, by_door ? x->act.author.b : author->sign) < 0)
        return false;
    return kind_fits(m, x, author);
}

int members_rules_check(struct members *m, const struct node *x)
{
    int rc = decide_stands(m, &x->past);
    if (rc == 0 && !well_formed(m, x))
        rc = -EBADMSG;
    /* What stands is again said of the whole set; the room is there. */
    int again = decide_stands(m, NULL);
    return rc < 0 ? rc : again;
}

/* ---- answers -----------------------------------------------------------------------------------
 */

static bool is_label(const struct members *m, size_t i, const struct member_id *id)
{
    const struct act *a = &m->nodes[i].act;
    if (a->kind == ACT_LABEL)
        return same(&a->author, id);
    return a->kind == ACT_ADD && same(&m->nodes[i].member, id);
}

/* Whether a label of @id descends from that of node @i. */
static bool has_later_label(const struct members *m, size_t i, const struct member_id *id)
{
    for (size_t j = i + 1; j < m->n; j++)
        if (bits_has(&m->nodes[j].past, i) && is_label(m, j, id))
            return true;
    return false;
}

/* Of the labels that no other one has seen that with the smallest id. */
static const uint8_t *newest_label(const struct members *m, const struct member_id *id)
{
    const struct node *best = NULL;
    for (size_t i = 0; i < m->n; i++) {
        const struct node *x = &m->nodes[i];
        if (is_label(m, i, id) && !has_later_label(m, i, id) &&
            (best == NULL || act_id_cmp(&x->id, &best->id) < 0))
            best = x;
    }
    if (best == NULL)
        return NULL;
    return best->act.kind == ACT_LABEL ? best->act.label : best->act.add.label;
}

static int by_id(const void *a, const void *b)
{
    const struct member_now *x = a, *y = b;
    return member_id_cmp(&x->id, &y->id);
}

/* The members, once each: of several adds that with the smallest id says the role. */
static int decide_members(struct members *m)
{
    if (m->now_cap < m->adds.n) {
        struct member_now *p = realloc(m->now, m->adds.cap * sizeof *p);
        if (p == NULL)
            return -ENOMEM;
        m->now = p;
        m->now_cap = m->adds.cap;
    }
    m->now_n = 0;
    for (size_t i = 0; i < m->adds.n; i++) {
        const struct node *add = &m->nodes[m->adds.v[i]];
        bool first = makes_member(m, NULL, i);
        for (size_t j = 0; j < m->adds.n && first; j++) {
            const struct node *other = &m->nodes[m->adds.v[j]];
            first = !(same(&other->member, &add->member) && makes_member(m, NULL, j) &&
                      act_id_cmp(&other->id, &add->id) < 0);
        }
        if (first)
            m->now[m->now_n++] = (struct member_now){
                add->member, add->act.add.member, add->act.add.role, newest_label(m, &add->member)};
    }
    qsort(m->now, m->now_n, sizeof *m->now, by_id);
    return 0;
}

/* Whether all that were given a key by node @e, or because it was there, are members. */
static bool given_to_members(const struct members *m, size_t e)
{
    const struct act *a = &m->nodes[e].act;
    if (members_find(m, &a->author) == NULL)
        return false;
    for (size_t i = 0; i < a->epoch.boxes_n; i++) {
        struct member_id id = act_box_member(&a->epoch, i);
        if (members_find(m, &id) == NULL)
            return false;
    }
    /* Who is added gets the keys that there are, even if the add does not stand. */
    for (size_t i = 0; i < m->adds.n; i++) {
        const struct node *add = &m->nodes[m->adds.v[i]];
        if (bits_has(&add->past, e) && members_find(m, &add->member) == NULL)
            return false;
    }
    return true;
}

/* One key may be given out by several acts: all of them must be clean. */
static bool epoch_clean(const struct members *m, const struct epoch_id *id)
{
    for (size_t i = 0; i < m->epochs.n; i++) {
        size_t e = m->epochs.v[i];
        if (epoch_id_cmp(&m->nodes[e].act.epoch.id, id) == 0 && !given_to_members(m, e))
            return false;
    }
    return true;
}

static void decide_epoch(struct members *m)
{
    const struct act_epoch *best = NULL;
    m->epoch = SIZE_MAX;
    for (size_t i = 0; i < m->epochs.n; i++) {
        const struct act_epoch *e = &m->nodes[m->epochs.v[i]].act.epoch;
        bool better = best == NULL || e->generation > best->generation ||
                      (e->generation == best->generation && epoch_id_cmp(&e->id, &best->id) < 0);
        if (better && epoch_clean(m, &e->id)) {
            best = e;
            m->epoch = m->epochs.v[i];
        }
    }
}

int members_rules_decide(struct members *m)
{
    int rc = decide_stands(m, NULL);
    if (rc == 0)
        rc = decide_members(m);
    if (rc == 0)
        decide_epoch(m);
    return rc;
}

/* What the revokes and the add of its owner leave of a replica that node @own registers. */
static uint64_t cut_of(const struct members *m, const struct node *own)
{
    uint64_t cut = author_stands(m, m->stands, own) ? MEMBERS_NO_CUT : 0;
    for (size_t i = 0; i < m->revokes.n; i++) {
        const struct node *r = &m->nodes[m->revokes.v[i]];
        if (revokes(r, &own->act.author) && !bits_has(&own->past, m->revokes.v[i]))
            cut = min_u64(cut, dots_get(r->act.revoke.cuts, own->act.replica));
    }
    return cut;
}

uint64_t members_cut(const struct members *m, uint64_t replica)
{
    const struct node *first = members_rules_own(m, NULL, replica);
    uint64_t cut = first == NULL ? 0 : MEMBERS_NO_CUT;
    for (size_t i = 0; i < m->owns.n; i++) {
        const struct node *own = &m->nodes[m->owns.v[i]];
        if (own->act.replica != replica)
            continue;
        /* Two owners of one id cannot be told apart: nothing of either is accepted. */
        bool alone = same(&own->act.author, &first->act.author);
        cut = min_u64(cut, alone ? cut_of(m, own) : 0);
    }
    for (size_t i = 0; i < m->forks.n; i++) {
        const struct act *a = &m->nodes[m->forks.v[i]].act;
        if (a->replica == replica)
            cut = min_u64(cut, a->fork.counter - 1);
    }
    return cut;
}

bool members_door_open(const struct members *m, const uint8_t key[static SIGN_KEY_SIZE])
{
    for (size_t i = 0; i < m->doors.n; i++) {
        size_t d = m->doors.v[i];
        if (memcmp(m->nodes[d].act.door, key, SIGN_KEY_SIZE) == 0 &&
            door_stands(m, NULL, m->stands, d) && !door_closed(m, NULL, d, NULL))
            return true;
    }
    return false;
}
