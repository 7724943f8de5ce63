#include "fs/replica/author.h"

#include <assert.h>
#include <errno.h>

#include "fs/replica/mutant.h"

/* ---- a change -------------------------------------------------------------------------------- */

struct change *replica_begin(struct replica *r, struct db_batch *batch)
{
    assert(!r->change.open);
    uint64_t counter = vv_get(&r->known, r->id) + 1;
    if (counter > LIMIT_COUNTER || replica_pend(r) < 0)
        return NULL;
    r->change = (struct change){.r = r,
                                .batch = batch,
                                .dot = {r->id, counter},
                                .hlc = hlc_next(&r->hlc, r->cfg.now_ms(r->cfg.ctx)),
                                .mark = txn_mark(&r->txn),
                                .open = true};
    return &r->change;
}

struct dot change_dot(const struct change *c)
{
    return c->dot;
}

int replica_commit(struct change *c, struct dot *ret_dot)
{
    struct replica *r = c->r;
    assert(c->open);
    if (c->parts == 0) {
        replica_cancel(c);
        if (ret_dot != NULL)
            *ret_dot = (struct dot){0, 0};
        return 0;
    }
    uint64_t before = c->dot.counter - 1;
    int rc = replica_tell_reserve(r);
    if (rc == 0)
        rc = vv_add(&r->known, &c->dot);
    if (rc == 0)
        rc = vv_add(&r->applied, &c->dot);
    if (rc == 0)
        rc = replica_flush(r, c->mark, c->batch);
    if (rc < 0) {
        /* Lowering a counter takes no memory. */
        if (vv_has(&r->known, &c->dot) && vv_set(&r->known, r->id, before) < 0)
            assert(false);
        if (vv_has(&r->applied, &c->dot) && vv_set(&r->applied, r->id, before) < 0)
            assert(false);
        replica_cancel(c);
        return rc;
    }
    replica_tell(r, &c->dot, true);
    if (ret_dot != NULL)
        *ret_dot = c->dot;
    c->open = false;
    return 0;
}

void replica_cancel(struct change *c)
{
    if (c == NULL)
        return;
    assert(c->open);
    c->open = false;
    replica_undo(c->r, c->mark);
}

/* ---- writing parts --------------------------------------------------------------------------- */

/* All that is held of the facet was seen; of a new record, all that may have been cleaned up. */
static int context(const struct change *c, const struct part *p, struct values vs, struct vv *ret)
{
    int rc = vs.n == 0 && !MUTANT(no_floor) ? vv_join(ret, &c->r->floor) : 0;
    for (size_t i = 0; i < vs.n && rc == 0; i++) {
        rc = vv_join_dots(ret, vs.v[i].ctx);
        if (rc == 0 && !dot_equal(&vs.v[i].dot, &c->dot) && !MUTANT(no_last_dot))
            rc = vv_add(ret, &vs.v[i].dot);
    }
    if (rc == 0)
        rc = vv_join_dots(ret, p->extra);
    if (rc == 0 && vv_has(ret, &c->dot))
        rc = vv_set(ret, c->dot.replica, c->dot.counter - 1);
    return rc < 0 ? rc : ret->n > LIMIT_VECTOR ? -E2BIG : 0;
}

/*
 * Later than all that it replaces, so that a wrong clock harms only what it touched. A deletion is
 * later than the rest of its change: what was moved over a file has the name, should an edit of
 * that file turn up.
 */
static struct stamp new_stamp(const struct change *c, const struct part *p, struct values vs)
{
    uint64_t hlc = c->hlc + (p->v.facet == FACET_PLACE && !p->v.place.alive);
    for (size_t i = 0; i < vs.n; i++) {
        uint64_t least = vs.v[i].stamp.hlc;
        if (!dot_equal(&vs.v[i].dot, &c->dot) && least < UINT64_MAX)
            least++;
        if (!MUTANT(stamp_of_clock))
            hlc = max_u64(hlc, least);
    }
    return (struct stamp){hlc, c->r->id};
}

static int write_part(struct change *c, const struct part *p)
{
    struct replica *r = c->r;
    struct record rec;
    int rc = record_load(r, &p->v.rid, &rec);
    if (rc < 0)
        return rc;
    struct values vs = record_facet(&rec, p->v.facet, &p->v.slot);
    CLEANUP(vv_fini) struct vv ctx = {0};
    rc = context(c, p, vs, &ctx);
    CLEANUP(buf_fini) struct buf elements = {0};
    vv_put_elements(&elements, &ctx);
    if (rc == 0)
        rc = buf_status(&elements);
    struct value v = p->v;
    v.dot = c->dot;
    v.ctx = (struct dots){elements.p, ctx.n};
    if (!p->keep_stamp)
        v.stamp = new_stamp(c, p, vs);
    if (!v.from_own && v.from.n == 1) {
        struct dot only = dots_at(v.from, 0);
        v.from_own = dot_equal(&only, &v.dot);
    }
    if (v.from_own)
        v.from = (struct dots){NULL, 0};
    if (rc == 0)
        rc = record_put(r, &rec, &v, NULL);
    if (rc == 0)
        (void)hlc_observe(&r->hlc, hlc_ms(c->hlc), v.stamp.hlc);
    return rc;
}

int author_write(struct change *c, const struct parts *ps, size_t mark, int rc)
{
    assert(c->open);
    if (rc == 0 && c->parts + ps->n > LIMIT_CHANGE_PARTS)
        rc = -E2BIG;
    for (size_t i = 0; i < ps->n && rc == 0; i++)
        rc = write_part(c, &ps->v[i]);
    if (rc == 0)
        rc = settle(c->r);
    if (rc < 0) {
        replica_undo(c->r, mark);
        return rc;
    }
    c->parts += ps->n;
    return 0;
}

/* ---- entries --------------------------------------------------------------------------------- */

/* A further name of the record in the same group is shown by the first of them. */
static const struct claimant *holder_of(const struct group *g, const struct rid *rid)
{
    for (size_t i = 0; i < g->n; i++)
        if (rid_equal(&g->v[i].rid, rid) && g->v[i].as != SHOWN_AS_TWIN)
            return &g->v[i];
    return NULL;
}

int author_at(struct replica *r, const struct rid *rid, const struct dot *slot, struct at *ret)
{
    if (!rid_valid(rid) || rid_is_root(rid))
        return -ENOENT;
    int rc = node_load(r, rid, &ret->node);
    const struct claim *claim = rc < 0 ? NULL : node_claim(&ret->node, slot);
    if (claim == NULL)
        return rc < 0 ? rc : -ENOENT;
    ret->claim = *claim;
    rc = record_load(r, rid, &ret->rec);
    if (rc == 0)
        rc = derive_slots(r, &ret->rec, &ret->slots);
    if (rc == 0)
        rc = names_group(r, &claim->parent, claim->name, &ret->group);
    if (rc < 0)
        return rc;
    ret->slot = derive_slot(&ret->slots, slot);
    ret->holder = holder_of(&ret->group, rid);
    if (ret->slot == NULL || ret->holder == NULL)
        return -EUCLEAN;
    ret->shown = names_shown(&ret->group, ret->holder);
    return ret->shown.n == 0 ? -ENOENT : 0;
}

int author_lookup(struct replica *r, const struct rid *dir, struct bytes name, struct rid *ret_rid,
                  struct dot *ret_slot)
{
    struct group g;
    if (name.n == 0 || name.n > LIMIT_NAME)
        return 0;
    int rc = names_group(r, dir, name, &g);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < g.n; i++)
        if (g.v[i].as == SHOWN_AS_NAMED) {
            *ret_rid = g.v[i].rid;
            *ret_slot = g.v[i].slot;
            return 1;
        }
    struct claimant *losers;
    size_t n;
    rc = names_losers(r, dir, name, &losers, &n);
    for (size_t i = 0; rc == 0 && i < n; i++)
        if (bytes_equal(losers[i].name, name)) {
            *ret_rid = losers[i].rid;
            *ret_slot = losers[i].slot;
            return 1;
        }
    return rc;
}

int author_body(struct replica *r, const struct value *v, struct value_content *ret)
{
    uint8_t k[KEY_MAX];
    struct bytes key = past_version_key(k, &v->rid, &v->dot), row;
    int rc = txn_get(&r->txn, DB_VERSION, key, &row);
    if (rc <= 0)
        return rc < 0 ? rc : -EUCLEAN;
    struct replica_content content;
    *ret = v->content;
    return past_version(key, row, &content, &ret->body);
}

int author_from(struct replica *r, const struct value *v, struct dots *ret)
{
    *ret = v->from;
    if (!v->from_own)
        return 0;
    uint8_t *p = txn_alloc(&r->txn, DOT_SIZE);
    if (p == NULL)
        return -ENOMEM;
    dot_encode(&v->dot, p);
    *ret = (struct dots){p, 1};
    return 0;
}
