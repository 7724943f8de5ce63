#include "proto/sealed/members.h"

#include <errno.h>
#include <stdlib.h>

#include "proto/sealed/members_priv.h"

/* ---- the graph ---------------------------------------------------------------------------------
 */

static int grow(void **p, size_t *cap, size_t n, size_t size)
{
    if (n < *cap)
        return 0;
    size_t more = *cap == 0 ? 16 : *cap * 2;
    void *bigger = realloc(*p, more * size);
    if (bigger == NULL)
        return -ENOMEM;
    *p = bigger;
    *cap = more;
    return 0;
}

static int list_room(struct list *l)
{
    void *p = l->v;
    int rc = grow(&p, &l->cap, l->n, sizeof *l->v);
    l->v = p;
    return rc;
}

static struct list *list_of(struct members *m, enum act_kind kind)
{
    switch (kind) {
    case ACT_GENESIS:
    case ACT_ADD:
        return &m->adds;
    case ACT_OWN:
        return &m->owns;
    case ACT_REVOKE:
        return &m->revokes;
    case ACT_EPOCH:
        return &m->epochs;
    case ACT_FORK:
        return &m->forks;
    case ACT_DOOR:
        return &m->doors;
    case ACT_LABEL:
        break;
    }
    return &m->labels;
}

/* Index of an act, or the number of them. */
static size_t find(const struct members *m, const struct act_id *id)
{
    size_t i = m->n;
    while (i > 0)
        if (act_id_cmp(&m->nodes[--i].id, id) == 0)
            return i;
    return m->n;
}

/* The union of @heads and their ancestors. -EAGAIN when one is not here. */
static int past_of(const struct members *m, struct act_ids heads, struct bits *ret)
{
    *ret = (struct bits){calloc(m->n / 64 + 1, sizeof *ret->w), m->n / 64 + 1};
    if (ret->w == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < heads.n; i++) {
        struct act_id id = act_ids_at(heads, i);
        size_t at = find(m, &id);
        if (at == m->n) {
            free(ret->w);
            *ret = (struct bits){0};
            return -EAGAIN;
        }
        const struct bits *past = &m->nodes[at].past;
        for (size_t w = 0; w < past->n; w++)
            ret->w[w] |= past->w[w];
        bits_set(ret, at);
    }
    return 0;
}

static void node_fini(struct node *x)
{
    free(x->raw);
    free(x->past.w);
}

static bool has_room(const struct members *m, enum act_kind kind, size_t n)
{
    if (kind == ACT_REVOKE)
        return m->n < MEMBERS_ACTS_MAX + MEMBERS_REVOKES_MAX &&
               m->revokes_bytes + n <= MEMBERS_REVOKES_BYTES_MAX;
    return m->n < MEMBERS_ACTS_MAX && m->bytes + n <= MEMBERS_BYTES_MAX;
}

/* Puts a well-formed node into the graph, which takes it over. */
static int attach(struct members *m, struct node *x)
{
    void *nodes = m->nodes;
    struct list *l = list_of(m, x->act.kind);
    int rc = grow(&nodes, &m->cap, m->n, sizeof *m->nodes);
    m->nodes = nodes;
    if (rc == 0)
        rc = list_room(l);
    /* A revoke may bring an epoch, too. */
    bool epoch = x->act.kind == ACT_REVOKE && x->act.revoke.with_epoch;
    if (rc == 0 && epoch)
        rc = list_room(&m->epochs);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < x->act.parents.n; i++) {
        struct act_id id = act_ids_at(x->act.parents, i);
        m->nodes[find(m, &id)].has_child = true;
    }
    l->v[l->n++] = (uint32_t)m->n;
    if (epoch)
        m->epochs.v[m->epochs.n++] = (uint32_t)m->n;
    *(x->act.kind == ACT_REVOKE ? &m->revokes_bytes : &m->bytes) += x->act.raw.n;
    m->nodes[m->n++] = *x;
    return 0;
}

/* Decodes a copy of @raw into a node that owns it. */
static int node_init(struct node *x, struct bytes raw)
{
    *x = (struct node){.id = act_id_of(raw), .raw = malloc(raw.n == 0 ? 1 : raw.n)};
    if (x->raw == NULL)
        return -ENOMEM;
    if (raw.n > 0)
        memcpy(x->raw, raw.p, raw.n);
    int rc = act_decode(bytes_of(x->raw, raw.n), &x->act);
    if (rc < 0)
        node_fini(x);
    else if (x->act.kind == ACT_GENESIS || x->act.kind == ACT_ADD)
        x->member = member_id_of(&x->act.add.member);
    return rc;
}

/* Takes an act whose parents are here: 1, or an error; -EAGAIN when they are not. */
static int take(struct members *m, struct bytes raw)
{
    struct node x;
    if (raw.n > LIMIT_ACT)
        return -EBADMSG;
    int rc = node_init(&x, raw);
    if (rc < 0)
        return rc;
    if (x.act.kind == ACT_GENESIS || !space_id_equal(&x.act.space, &m->space))
        rc = -EBADMSG;
    if (rc == 0)
        rc = past_of(m, x.act.parents, &x.past);
    if (rc == 0)
        rc = members_rules_check(m, &x);
    if (rc == 0 && !has_room(m, x.act.kind, raw.n))
        rc = -ENOBUFS;
    if (rc == 0)
        rc = attach(m, &x);
    if (rc < 0) {
        node_fini(&x);
        return rc;
    }
    return 1;
}

/* ---- what waits --------------------------------------------------------------------------------
 */

static bool waits(const struct members *m, const struct act_id *id)
{
    for (size_t i = 0; i < m->waiting_n; i++)
        if (act_id_cmp(&m->waiting[i].id, id) == 0)
            return true;
    return false;
}

/* Whether a member signed it, so that no server made it up. */
static bool is_of_member(const struct members *m, struct bytes raw)
{
    struct act a;
    if (act_decode(raw, &a) < 0)
        return false;
    const struct member_now *author = members_find(m, &a.author);
    return author != NULL && act_verify(&a, author->keys.sign) == 0;
}

/* The others stay in the order in which they came. */
static void stop_waiting(struct members *m, size_t i)
{
    const struct waiting w = m->waiting[i];
    struct waiting_sum *sum = &m->waiting_sum[w.of_member];
    sum->n--;
    sum->bytes -= w.n;
    free(w.raw);
    m->waiting_n--;
    memmove(m->waiting + i, m->waiting + i + 1, (m->waiting_n - i) * sizeof *m->waiting);
}

static void drop(struct members *m, size_t i)
{
    buf_put(&m->dropped, m->waiting[i].id.b, ACT_ID_SIZE);
    stop_waiting(m, i);
}

/* Of its kind the one that waits longest goes. One act always has room: it has LIMIT_ACT at most.
 */
static void make_room(struct members *m, bool of_member, size_t n)
{
    const struct waiting_sum *sum = &m->waiting_sum[of_member];
    while (sum->n >= MEMBERS_WAITING_MAX || sum->bytes + n > MEMBERS_WAITING_BYTES_MAX) {
        size_t i = 0;
        while (m->waiting[i].of_member != of_member)
            i++;
        drop(m, i);
    }
}

static int wait_for_parents(struct members *m, const struct act_id *id, struct bytes raw)
{
    if (waits(m, id))
        return -EAGAIN;
    bool of_member = is_of_member(m, raw);
    make_room(m, of_member, raw.n);
    void *p = m->waiting;
    int rc = grow(&p, &m->waiting_cap, m->waiting_n, sizeof *m->waiting);
    m->waiting = p;
    uint8_t *copy = rc < 0 ? NULL : malloc(raw.n);
    if (copy == NULL)
        return -ENOMEM;
    memcpy(copy, raw.p, raw.n);
    m->waiting[m->waiting_n++] = (struct waiting){*id, copy, raw.n, of_member};
    m->waiting_sum[of_member].n++;
    m->waiting_sum[of_member].bytes += raw.n;
    rc = buf_status(&m->dropped);
    return rc < 0 ? rc : -EAGAIN;
}

/* Takes what waited, until nothing more can be. What is refused goes. */
static int take_waiting(struct members *m)
{
    for (bool any = true; any;) {
        any = false;
        for (size_t i = 0; i < m->waiting_n;) {
            int rc = take(m, bytes_of(m->waiting[i].raw, m->waiting[i].n));
            if (rc == -ENOMEM)
                return rc;
            any = any || rc == 1;
            if (rc == -EAGAIN)
                i++;
            else if (rc == 1)
                stop_waiting(m, i);
            else
                drop(m, i);
        }
    }
    return buf_status(&m->dropped);
}

/* ---- interface ---------------------------------------------------------------------------------
 */

int members_new(struct bytes genesis, const struct space_id *space, struct members **ret)
{
    struct members *m = calloc(1, sizeof *m);
    struct node x;
    if (m == NULL)
        return -ENOMEM;
    int rc = genesis.n > LIMIT_ACT ? -EBADMSG : node_init(&x, genesis);
    if (rc < 0) {
        free(m);
        return rc;
    }
    m->space = act_space_of(genesis);
    if (x.act.kind != ACT_GENESIS || act_verify(&x.act, x.act.add.member.sign) < 0 ||
        (space != NULL && !space_id_equal(space, &m->space)))
        rc = -EBADMSG;
    if (rc == 0)
        rc = attach(m, &x);
    if (rc < 0)
        node_fini(&x);
    else
        rc = members_rules_decide(m);
    if (rc < 0) {
        members_free(m);
        return rc;
    }
    *ret = m;
    return 0;
}

void members_free(struct members *m)
{
    if (m == NULL)
        return;
    for (size_t i = 0; i < m->n; i++)
        node_fini(&m->nodes[i]);
    for (size_t i = 0; i < m->waiting_n; i++)
        free(m->waiting[i].raw);
    const struct list *lists[] = {&m->adds,  &m->owns,  &m->revokes, &m->epochs,
                                  &m->forks, &m->doors, &m->labels};
    for (size_t i = 0; i < ARRAY_N(lists); i++)
        free(lists[i]->v);
    free(m->nodes);
    free(m->waiting);
    buf_fini(&m->dropped);
    free(m->now);
    free(m->stands);
    free(m);
}

int members_insert(struct members *m, struct bytes act)
{
    struct act_id id = act_id_of(act);
    buf_reset(&m->dropped);
    if (members_has(m, &id))
        return 0;
    int rc = take(m, act);
    if (rc == -EAGAIN)
        return wait_for_parents(m, &id, act);
    if (rc < 0)
        return rc;
    rc = take_waiting(m);
    int decided = members_rules_decide(m);
    return rc < 0 ? rc : decided < 0 ? decided : 1;
}

struct act_ids members_dropped(const struct members *m)
{
    return (struct act_ids){m->dropped.p, m->dropped.n / ACT_ID_SIZE};
}

size_t members_missing(const struct members *m, struct act_id *ret, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < m->waiting_n; i++) {
        struct act a;
        if (act_decode(bytes_of(m->waiting[i].raw, m->waiting[i].n), &a) < 0)
            continue;
        for (size_t p = 0; p < a.parents.n && n < max; p++) {
            struct act_id id = act_ids_at(a.parents, p);
            bool listed = members_has(m, &id) || waits(m, &id);
            for (size_t j = 0; j < n && !listed; j++)
                listed = act_id_cmp(&ret[j], &id) == 0;
            if (!listed)
                ret[n++] = id;
        }
    }
    return n;
}

const struct space_id *members_space(const struct members *m)
{
    return &m->space;
}

size_t members_acts_n(const struct members *m)
{
    return m->n;
}

const struct act *members_act(const struct members *m, size_t i)
{
    return &m->nodes[i].act;
}

bool members_has(const struct members *m, const struct act_id *id)
{
    return find(m, id) < m->n;
}

size_t members_heads(const struct members *m, uint8_t ret[static LIMIT_ACT_HEADS * ACT_ID_SIZE])
{
    size_t n = 0;
    for (size_t i = 0; i < m->n; i++) {
        if (m->nodes[i].has_child)
            continue;
        /* Into its place among the smallest. */
        const uint8_t *id = m->nodes[i].id.b;
        size_t at = n;
        while (at > 0 && memcmp(ret + (at - 1) * ACT_ID_SIZE, id, ACT_ID_SIZE) > 0)
            at--;
        if (at == LIMIT_ACT_HEADS)
            continue;
        size_t kept = n < LIMIT_ACT_HEADS ? n : LIMIT_ACT_HEADS - 1;
        memmove(ret + (at + 1) * ACT_ID_SIZE, ret + at * ACT_ID_SIZE, (kept - at) * ACT_ID_SIZE);
        memcpy(ret + at * ACT_ID_SIZE, id, ACT_ID_SIZE);
        n = kept + 1;
    }
    return n;
}

uint32_t members_next_number(const struct members *m, const struct member_id *author)
{
    uint32_t n = 1;
    for (size_t i = 0; i < m->n; i++)
        n += member_id_cmp(&m->nodes[i].act.author, author) == 0;
    return n;
}

uint32_t members_next_generation(const struct members *m)
{
    uint32_t highest = 0;
    for (size_t i = 0; i < m->epochs.n; i++) {
        uint32_t g = m->nodes[m->epochs.v[i]].act.epoch.generation;
        highest = g > highest ? g : highest;
    }
    return highest + 1;
}

size_t members_n(const struct members *m)
{
    return m->now_n;
}

const struct member_now *members_at(const struct members *m, size_t i)
{
    return &m->now[i];
}

const struct member_now *members_find(const struct members *m, const struct member_id *id)
{
    for (size_t i = 0; i < m->now_n; i++)
        if (member_id_cmp(&m->now[i].id, id) == 0)
            return &m->now[i];
    return NULL;
}

const struct act *members_epoch(const struct members *m)
{
    return m->epoch == SIZE_MAX ? NULL : &m->nodes[m->epoch].act;
}

int members_past_new(const struct members *m, struct act_ids heads, struct members_past **ret)
{
    struct members_past *p = malloc(sizeof *p);
    if (p == NULL)
        return -ENOMEM;
    p->m = m;
    int rc = past_of(m, heads, &p->acts);
    if (rc < 0) {
        free(p);
        return rc;
    }
    *ret = p;
    return 0;
}

void members_past_free(struct members_past *p)
{
    if (p == NULL)
        return;
    free(p->acts.w);
    free(p);
}

const struct member_public *members_past_owner(const struct members_past *p, uint64_t replica)
{
    const struct node *own = members_rules_own(p->m, &p->acts, replica);
    return own == NULL ? NULL : members_rules_keys(p->m, &p->acts, &own->act.author);
}
