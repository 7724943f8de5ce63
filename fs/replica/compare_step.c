/*
 * What a comparison found is carried out: first what is new there is written anew, with the
 * directories above it, then what was replaced or cleaned up there goes. Each step is whole by
 * itself, and a comparison that ended in the middle finds the rest again.
 */
#include <assert.h>
#include <errno.h>

#include "fs/replica/compare_priv.h"
#include "fs/replica/rewrite.h"

/* ---- written anew ------------------------------------------------------------------------------
 */

static int add_places(struct replica *r, struct parts *ps, const struct node *n,
                      const struct slots *s)
{
    int rc = 0;
    for (size_t i = 0; i < n->claims_n && rc == 0; i++) {
        const struct claim *at = &n->claims[i];
        const struct slot *slot = derive_slot(s, &at->slot);
        if (slot == NULL)
            return -EUCLEAN;
        rc = parts_place(r, ps, &n->rid, &at->slot,
                         &(struct value_place){.alive = true,
                                               .parent = at->parent,
                                               .name = at->name,
                                               .prev = slot->win->place.prev});
    }
    return rc;
}

/* All of a record, as it is shown. */
static int add_record(struct replica *r, struct parts *ps, const struct node *n,
                      const struct record *rec, const struct slots *s)
{
    const struct value *meta = derive_meta(rec), *content = derive_content(rec);
    struct value_content body;
    int rc = parts_settle(r, ps, rec, s);
    if (rc == 0)
        rc = add_places(r, ps, n, s);
    if (rc == 0 && meta != NULL)
        rc = parts_meta(r, ps, &rec->rid, &meta->meta);
    if (rc == 0 && content != NULL)
        rc = author_body(r, content, &body);
    return rc < 0 || content == NULL ? rc : parts_content(r, ps, &rec->rid, &body);
}

/* Whoever has cleaned up more than the other one takes it for new, too. */
static int cover_floor(const struct comparison *c, struct parts *ps)
{
    const struct rewrite w = {.r = c->r};
    int rc = 0;
    for (size_t i = 0; i < ps->n && rc == 0; i++) {
        CLEANUP(vv_fini) struct vv seen = {0};
        rc = vv_copy(&seen, &c->r->floor);
        if (rc == 0)
            rc = vv_join(&seen, &c->floor);
        if (rc == 0)
            rc = vv_join_dots(&seen, ps->v[i].extra);
        if (rc == 0)
            rc = rewrite_dots(&w, &seen, &ps->v[i].extra);
    }
    return rc;
}

static int write_anew(struct comparison *c, struct db_batch *batch, const struct rid *rid)
{
    struct replica *r = c->r;
    struct parts ps = {0};
    struct record rec;
    struct slots s;
    struct node n;
    struct change *change = replica_begin(r, batch);
    if (change == NULL)
        return -ENOMEM;
    size_t mark = txn_mark(&r->txn);
    int rc = node_load(r, rid, &n);
    if (rc == 0)
        rc = record_load(r, rid, &rec);
    if (rc == 0)
        rc = derive_slots(r, &rec, &s);
    if (rc == 0 && n.claims_n > 0) /* else it was deleted meanwhile */
        rc = add_record(r, &ps, &n, &rec, &s);
    if (rc == 0)
        rc = cover_floor(c, &ps);
    rc = author_write(change, &ps, mark, rc);
    if (rc == 0)
        return replica_commit(change, NULL);
    replica_cancel(change);
    return rc;
}

/* ---- deletions ---------------------------------------------------------------------------------
 */

/* The place that the other one has for a slot, whichever of its values it is; NULL: none. */
static const struct value *place_there(const struct comparison *c, const struct record *rec,
                                       const struct dot *slot)
{
    struct values vs = record_facet(rec, FACET_PLACE, slot);
    const struct value *best = NULL;
    for (size_t i = 0; i < vs.n; i++)
        if (vv_has(&c->known, &vs.v[i].dot) && (best == NULL || derive_cmp(&vs.v[i], best) > 0))
            best = &vs.v[i];
    return best;
}

static int covered(const struct comparison *c, struct values vs, struct dots *ret)
{
    const struct rewrite w = {.r = c->r};
    CLEANUP(vv_fini) struct vv seen = {0};
    int rc = 0;
    for (size_t i = 0; i < vs.n && rc == 0; i++)
        if (!vs.v[i].place.alive)
            rc = vv_join_dots(&seen, vs.v[i].place.cseen);
    return rc < 0 ? rc : rewrite_dots(&w, &seen, ret);
}

/* Where there is none, it is in no directory that has gone. */
static struct value_place place_nowhere(const struct value *v)
{
    struct value_place place = v->place;
    const struct rid root = RID_ROOT;
    place.parent = place.prev = root;
    if (!value_name_valid(&root, place.name))
        place.name = bytes_str("deleted");
    return place;
}

/* A deletion that is new there names a directory that has gone: it is made where the place is now.
 */
static int delete_there(struct comparison *c, const struct record *rec, const struct value *v,
                        struct parts *ps)
{
    if (v->facet != FACET_PLACE || v->place.alive || vv_has(&c->known, &v->dot))
        return 0;
    const struct value *at = place_there(c, rec, &v->slot);
    struct value_place place = at != NULL ? at->place : place_nowhere(v);
    if (at == NULL ? !comparison_has(&c->gone, &v->place.parent)
                   : rid_equal(&at->place.parent, &v->place.parent))
        return 0;
    place.alive = false;
    int rc = covered(c, record_facet(rec, FACET_PLACE, &v->slot), &place.cseen);
    return rc < 0 ? rc : parts_place(c->r, ps, &rec->rid, &v->slot, &place);
}

static int write_deleted(struct comparison *c, struct db_batch *batch, const struct rid *rid)
{
    struct replica *r = c->r;
    struct parts ps = {0};
    struct record rec;
    struct slots s;
    struct change *change = replica_begin(r, batch);
    if (change == NULL)
        return -ENOMEM;
    size_t mark = txn_mark(&r->txn);
    int rc = record_load(r, rid, &rec);
    if (rc == 0)
        rc = derive_slots(r, &rec, &s);
    for (size_t i = 0; rc == 0 && i < rec.n && !s.own; i++)
        rc = delete_there(c, &rec, &rec.v[i], &ps);
    rc = author_write(change, &ps, mark, rc);
    if (rc == 0)
        return replica_commit(change, NULL);
    replica_cancel(change);
    return rc;
}

/* ---- what goes ---------------------------------------------------------------------------------
 */

static int drop_stale(struct replica *r, struct bytes row)
{
    struct reader in = reader_of(row);
    struct value v = {.rid = rid_read(&in)};
    struct record rec;
    v.facet = (enum facet)reader_u8(&in);
    v.slot = dot_read(&in);
    v.dot = dot_read(&in);
    int rc = record_load(r, &v.rid, &rec);
    for (size_t i = 0; rc == 0 && i < rec.n && rec.n > 1; i++)
        if (value_cmp(&rec.v[i], &v) == 0)
            return record_forget(r, &rec, &rec.v[i]);
    return rc;
}

/*
 * Removes a record, if it is as it was when it was looked at and nothing is in it any more; its
 * parents are then to be tried, too. 1; 0: not so.
 */
static int remove_one(struct comparison *c, const struct rid *rid, struct rids *next)
{
    struct record rec;
    struct node n;
    int rc = node_load(c->r, rid, &n);
    if (rc == 0)
        rc = record_load(c->r, rid, &rec);
    if (rc < 0 || rec.n == 0 || n.refs_n > 0)
        return rc;
    for (size_t i = 0; i < rec.n; i++) {
        if (!vv_has(&c->known, &rec.v[i].dot) && n.own)
            return 0;
        if (rec.v[i].facet == FACET_PLACE)
            rc = rids_add(next, &rec.v[i].place.parent);
        if (rc < 0)
            return rc;
    }
    rc = record_remove(c->r, &rec);
    return rc < 0 ? rc : 1;
}

/* A record and, from the bottom up, the directories that it was the last one in. */
static int remove_up(struct comparison *c, const struct rid *rid)
{
    struct rids next = {0};
    int rc = remove_one(c, rid, &next);
    for (size_t i = 0; i < next.n && rc >= 0; i++) {
        struct rid up = next.v[i];
        if (comparison_has(&c->gone, &up))
            rc = remove_one(c, &up, &next);
    }
    rids_fini(&next);
    return rc < 0 ? rc : 0;
}

/* ---- steps -------------------------------------------------------------------------------------
 */

static int step_write(struct comparison *c, struct comparison_at *at, struct db_batch *batch,
                      size_t max)
{
    int rc = 0;
    for (size_t n = 0; n < max && rc == 0; n++)
        if (at->anew < c->anew.n)
            rc = write_anew(c, batch, &c->anew.v[at->anew++]);
        else if (at->deleted < c->deleted.n)
            rc = write_deleted(c, batch, &c->deleted.v[at->deleted++]);
    return rc;
}

static int go_one(struct comparison *c, struct comparison_at *at)
{
    if (at->stale == c->stale.n)
        return remove_up(c, &c->gone.v[at->gone++]);
    struct bytes row = bytes_of(c->stale.p + at->stale, STALE_SIZE);
    at->stale += STALE_SIZE;
    return drop_stale(c->r, row);
}

static bool has_more_to_go(const struct comparison *c, const struct comparison_at *at)
{
    return at->stale < c->stale.n || at->gone < c->gone.n;
}

static int step_gone(struct comparison *c, struct comparison_at *at, struct db_batch *batch,
                     size_t max)
{
    struct replica *r = c->r;
    int rc = replica_pend(r);
    size_t mark = txn_mark(&r->txn);
    for (size_t n = 0; n < max && rc == 0 && has_more_to_go(c, at); n++)
        rc = go_one(c, at);
    if (rc == 0)
        rc = settle(r);
    if (rc == 0)
        rc = replica_flush(r, mark, batch);
    if (rc < 0)
        replica_undo(r, mark);
    return rc;
}

/*
 * A directory in which something is that does not go, as the other one has it, or it was made
 * meanwhile: it is written anew. 1: it is left; 0.
 */
static int is_left(struct comparison *c, const struct rid *rid)
{
    struct record rec;
    int rc = record_load(c->r, rid, &rec);
    bool left = rc == 0 && rec.n > 0;
    for (size_t i = 0; left && i < rec.n; i++)
        left = vv_has(&c->known, &rec.v[i].dot);
    return rc < 0 ? rc : left;
}

static int step_left(struct comparison *c, struct comparison_at *at, struct db_batch *batch,
                     size_t max)
{
    int rc = 0;
    for (size_t n = 0; n < max && at->left < c->gone.n && rc == 0; n++) {
        const struct rid *rid = &c->gone.v[at->left++];
        rc = is_left(c, rid);
        if (rc == 1)
            rc = write_anew(c, batch, rid);
    }
    return rc;
}

int comparison_step(struct comparison *c, struct comparison_at *at, struct db_batch *batch,
                    size_t max)
{
    assert(!c->r->change.open);
    int rc;
    if (at->anew < c->anew.n || at->deleted < c->deleted.n)
        rc = step_write(c, at, batch, max);
    else if (has_more_to_go(c, at))
        rc = step_gone(c, at, batch, max);
    else if (at->left < c->gone.n)
        rc = step_left(c, at, batch, max);
    else
        return 0;
    return rc < 0 ? rc : 1;
}

/* Whether all that was to go is gone. */
static int is_done(struct comparison *c)
{
    int rc = 0;
    for (size_t i = 0; i < c->gone.n && rc == 0; i++)
        rc = is_left(c, &c->gone.v[i]);
    return rc == 1 ? -EAGAIN : rc;
}

int comparison_know(struct comparison *c, struct db_batch *batch)
{
    struct replica *r = c->r;
    CLEANUP(vv_fini) struct vv floor = {0};
    int rc = c->found.missing > 0 ? -EAGAIN : is_done(c);
    if (rc == 0)
        rc = vv_copy(&floor, &r->floor);
    if (rc == 0)
        rc = vv_join(&floor, &c->floor);
    if (rc == 0)
        rc = replica_pend(r);
    if (rc < 0)
        return rc;
    vv_swap(&r->floor, &floor); /* replica_abort() has what was before */
    return replica_know(r, batch, &c->known);
}
