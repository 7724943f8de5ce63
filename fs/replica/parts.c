/*
 * fs/replica/parts - what an operation writes besides what it is about, so that it changes nothing
 * else that is shown. Source: README.md, Local operations.
 */
#include <assert.h>
#include <errno.h>

#include "fs/replica/author.h"
#include "fs/replica/conflict_name.h"
#include "fs/replica/cycle.h"
#include "fs/replica/mutant.h"

int parts_add(struct replica *r, struct parts *ps, const struct part *p)
{
    for (size_t i = 0; i < ps->n; i++)
        if (value_same_facet(&ps->v[i].v, &p->v)) {
            ps->v[i] = *p;
            return 0;
        }
    if (ps->n == ps->cap) {
        size_t cap = ps->cap == 0 ? 8 : ps->cap * 2;
        struct part *v = txn_alloc(&r->txn, cap * sizeof *v);
        if (v == NULL)
            return -ENOMEM;
        if (ps->n > 0)
            memcpy(v, ps->v, ps->n * sizeof *v);
        ps->v = v;
        ps->cap = cap;
    }
    ps->v[ps->n++] = *p;
    return 0;
}

static struct part part_of(const struct rid *rid, enum facet facet)
{
    return (struct part){.v = {.rid = *rid, .facet = facet, .from_own = true}};
}

int parts_place(struct replica *r, struct parts *ps, const struct rid *rid, const struct dot *slot,
                const struct value_place *place)
{
    struct part p = part_of(rid, FACET_PLACE);
    p.v.slot = *slot;
    p.v.place = *place;
    return parts_add(r, ps, &p);
}

int parts_meta(struct replica *r, struct parts *ps, const struct rid *rid,
               const struct value_meta *meta)
{
    struct part p = part_of(rid, FACET_META);
    p.v.meta = *meta;
    return parts_add(r, ps, &p);
}

int parts_content(struct replica *r, struct parts *ps, const struct rid *rid,
                  const struct value_content *content)
{
    struct part p = part_of(rid, FACET_CONTENT);
    p.v.content = *content;
    return parts_add(r, ps, &p);
}

/* The place @v again, as an act of whoever made it: origin and stamp stay. */
static int keep_place(struct replica *r, struct parts *ps, const struct value *v,
                      const struct rid *parent, struct bytes name)
{
    struct part p = {.v = *v, .keep_stamp = true};
    int rc = author_from(r, v, &p.v.from);
    p.v.from_own = false;
    p.v.place.parent = *parent;
    p.v.place.name = name;
    return rc < 0 ? rc : parts_add(r, ps, &p);
}

/* ---- affirm, pin, hold ----------------------------------------------------------------------- */

static int affirm_one(struct replica *r, struct parts *ps, const struct node *n)
{
    const struct dot none = {0, 0};
    struct at e;
    int rc = author_at(r, &n->rid, &none, &e);
    if (rc < 0)
        return rc;
    struct part p = part_of(&n->rid, FACET_PLACE);
    p.v.stamp = e.slot->win->stamp; /* it decides who has the name */
    p.keep_stamp = true;
    p.v.place = (struct value_place){
        .alive = true, .parent = e.claim.parent, .name = e.shown, .prev = e.slot->win->place.prev};
    return parts_add(r, ps, &p);
}

int parts_affirm(struct replica *r, struct parts *ps, const struct rid *dir,
                 const struct rid *not_below)
{
    struct rid at = *dir;
    int depth = 0;
    while (!rid_is_root(&at) && !MUTANT(no_affirm)) {
        struct node n;
        int rc = node_load(r, &at, &n);
        if (rc == 0 && !n.held)
            rc = -ENOENT; /* a directory above is still on its way */
        if (rc == 0 && not_below != NULL && rid_equal(&at, not_below))
            rc = -EINVAL;
        if (rc == 0 && ++depth > LIMIT_DEPTH)
            rc = -ENAMETOOLONG;
        if (rc == 0 && !n.own)
            rc = affirm_one(r, ps, &n);
        if (rc == 0)
            rc = node_up(r, &n, &at);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static bool same_path(const struct slot *a, const struct slot *b)
{
    return rid_equal(&a->win->place.parent, &b->win->place.parent) &&
           bytes_equal(a->win->place.name, b->win->place.name);
}

static int pin_one(struct replica *r, struct parts *ps, const struct rid *dir,
                   const struct claimant *c)
{
    struct record rec;
    struct slots s;
    int rc = record_load(r, &c->rid, &rec);
    if (rc == 0)
        rc = derive_slots(r, &rec, &s);
    if (rc < 0)
        return rc;
    const struct slot *slot = derive_slot(&s, &c->slot);
    if (slot == NULL)
        return -EUCLEAN;
    if (rid_is_dir(&c->rid)) /* the only place; deleted ones are shown too */
        return keep_place(r, ps, slot->win, dir, c->name);
    for (size_t i = 0; i < s.n && rc == 0; i++)
        if (s.v[i].shown && same_path(&s.v[i], slot))
            rc = keep_place(r, ps, s.v[i].win, dir, c->name);
    return rc;
}

int parts_pin(struct replica *r, struct parts *ps, const struct at *e)
{
    struct claimant *near;
    size_t near_n;
    int rc = 0;
    if (MUTANT(no_pin))
        return 0;
    if (e->holder->as == SHOWN_AS_NAMED)
        for (size_t i = 0; i < e->group.n && rc == 0; i++)
            if (e->group.v[i].as == SHOWN_AS_LOSER && e->group.v[i].name.n > 0)
                rc = pin_one(r, ps, &e->group.parent, &e->group.v[i]);
    /* A conflict name with '+' would lose it. */
    if (rc == 0)
        rc = names_losers(r, &e->group.parent, e->shown, &near, &near_n);
    for (size_t i = 0; rc == 0 && i < near_n; i++)
        if (!rid_equal(&near[i].rid, &e->rec.rid) && near[i].name.n > 0)
            rc = pin_one(r, ps, &e->group.parent, &near[i]);
    return rc;
}

static int hold_one(struct replica *r, struct parts *ps, const struct rid *rid)
{
    struct record rec;
    struct slots s;
    struct node n;
    struct rid up;
    int rc = record_load(r, rid, &rec);
    if (rc == 0)
        rc = derive_slots(r, &rec, &s);
    if (rc == 0)
        rc = node_load(r, rid, &n);
    if (rc == 0)
        rc = node_up(r, &n, &up);
    if (rc == 0 && s.n == 0)
        rc = -EUCLEAN;
    return rc < 0 ? rc : keep_place(r, ps, s.v[0].win, &up, s.v[0].win->place.name);
}

int parts_hold(struct replica *r, struct parts *ps)
{
    struct rids all = {0};
    int rc = MUTANT(no_hold) ? 0 : cycle_suspended(r, &all);
    for (size_t i = 0; i < all.n && rc == 0; i++)
        rc = hold_one(r, ps, &all.v[i]);
    rids_fini(&all);
    return rc;
}

/* ---- siblings -------------------------------------------------------------------------------- */

/* The vector that covers a set of dots. */
static int cover(struct replica *r, struct dots set, struct dots *ret)
{
    CLEANUP(vv_fini) struct vv v = {0};
    int rc = vv_join_dots(&v, set);
    uint8_t *p = txn_alloc(&r->txn, v.n * DOT_SIZE);
    if (rc < 0 || p == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < v.n; i++)
        dot_encode(&v.v[i], p + i * DOT_SIZE);
    *ret = (struct dots){p, v.n};
    return 0;
}

static int sibling_name(struct replica *r, const struct value *loser, struct bytes name,
                        struct bytes *ret)
{
    char label[LIMIT_LABEL + 1], buf[LIMIT_NAME + 1];
    replica_label(r, loser->stamp.replica, label);
    size_t n = conflict_name(name, label, loser->stamp.hlc, NULL, buf);
    return txn_copy(&r->txn, bytes_of(buf, n), ret);
}

static int sibling(struct replica *r, struct parts *ps, const struct record *rec,
                   const struct value_place *beside, const struct value *loser)
{
    struct dots from;
    struct record held;
    int rc = author_from(r, loser, &from);
    if (rc < 0)
        return rc;
    struct rid rid = hash_sibling(&r->keys, &rec->rid, from);
    rc = record_load(r, &rid, &held);
    if (rc < 0 || (held.n > 0 && !MUTANT(sibling_again)))
        return rc; /* someone made it; perhaps it was deleted since */
    /* An empty origin: nobody made this place, so any deletion beats it. */
    struct part place = {.v = {.rid = rid, .facet = FACET_PLACE, .stamp = loser->stamp},
                         .keep_stamp = true};
    place.v.from = MUTANT(sibling_by_user) ? from : place.v.from;
    place.v.place = (struct value_place){.alive = true, .parent = beside->parent};
    rc = sibling_name(r, loser, beside->name, &place.v.place.name);
    struct part content = {.v = {.rid = rid, .facet = FACET_CONTENT, .stamp = loser->stamp},
                           .keep_stamp = true};
    content.v.from = from;
    if (rc == 0)
        rc = author_body(r, loser, &content.v.content);
    if (rc == 0)
        rc = cover(r, from, &content.extra);
    if (rc == 0)
        rc = parts_add(r, ps, &place);
    if (rc == 0)
        rc = parts_add(r, ps, &content);
    const struct value *meta = derive_meta(rec);
    if (rc < 0 || meta == NULL)
        return rc;
    struct part m = {.v = *meta, .keep_stamp = true};
    m.v.rid = rid;
    return parts_add(r, ps, &m);
}

int parts_siblings(struct replica *r, struct parts *ps, const struct record *rec,
                   const struct slots *slots, const struct value *const *losers, size_t n)
{
    const struct slot *first = NULL;
    for (size_t i = 0; i < slots->n && first == NULL; i++)
        if (slots->v[i].shown)
            first = &slots->v[i];
    int rc = first == NULL && n > 0 ? -ENOENT : 0;
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = sibling(r, ps, rec, &first->win->place, losers[i]);
    return rc;
}

int parts_settle(struct replica *r, struct parts *ps, const struct record *rec,
                 const struct slots *slots)
{
    const struct value **unsettled;
    size_t n;
    int rc = derive_unsettled(r, rec, &unsettled, &n);
    return rc < 0 || n < 2 || MUTANT(no_siblings)
               ? rc
               : parts_siblings(r, ps, rec, slots, unsettled + 1, n - 1);
}

/* ---- bury ------------------------------------------------------------------------------------ */

/* All content that is held or superseded: what a deletion of the last name covers. */
static int content_seen(struct replica *r, const struct record *rec, struct dots *ret)
{
    CLEANUP(vv_fini) struct vv v = {0};
    struct values vs = record_facet(rec, FACET_CONTENT, NULL);
    int rc = 0;
    for (size_t i = 0; i < vs.n && rc == 0; i++) {
        rc = vv_join_dots(&v, vs.v[i].ctx);
        if (rc == 0)
            rc = vv_add(&v, &vs.v[i].dot);
    }
    uint8_t *p = txn_alloc(&r->txn, v.n * DOT_SIZE);
    if (rc < 0 || p == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < v.n; i++)
        dot_encode(&v.v[i], p + i * DOT_SIZE);
    *ret = (struct dots){p, v.n};
    return v.n > LIMIT_VECTOR ? -E2BIG : 0;
}

static bool is_buried(const struct at *e, const struct slot *s, const struct dot *but)
{
    if (rid_is_dir(&e->rec.rid))
        return but == NULL;
    return s->shown && same_path(s, e->slot) && (but == NULL || !dot_equal(&s->slot, but));
}

int parts_bury(struct replica *r, struct parts *ps, const struct at *e, const struct dot *but)
{
    bool every = true;
    int rc = 0;
    for (size_t i = 0; i < e->slots.n; i++)
        if (e->slots.v[i].shown && !is_buried(e, &e->slots.v[i], but))
            every = false;
    struct dots cseen = {NULL, 0};
    if (every || MUTANT(hard_unlink)) {
        rc = parts_settle(r, ps, &e->rec, &e->slots);
        if (rc == 0)
            rc = content_seen(r, &e->rec, &cseen);
    }
    for (size_t i = 0; i < e->slots.n && rc == 0; i++) {
        const struct slot *s = &e->slots.v[i];
        if (!is_buried(e, s, but))
            continue;
        const struct value_place *p = &s->win->place;
        bool dir = rid_is_dir(&e->rec.rid);
        rc = parts_place(r, ps, &e->rec.rid, &s->slot,
                         &(struct value_place){.alive = false,
                                               .parent = dir ? e->claim.parent : p->parent,
                                               .name = p->name,
                                               .prev = p->prev,
                                               .cseen = cseen});
    }
    return rc;
}
