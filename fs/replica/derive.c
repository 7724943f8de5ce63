#include "fs/replica/derive.h"

#include <assert.h>
#include <errno.h>

#include "fs/replica/mutant.h"

int derive_cmp(const struct value *a, const struct value *b)
{
    int c = stamp_cmp(&a->stamp, &b->stamp);
    return c != 0 ? c : dot_cmp(&a->dot, &b->dot);
}

bool derive_same_bytes(const struct value *a, const struct value *b)
{
    return memcmp(a->content.hash, b->content.hash, HASH_SIZE) == 0;
}

int derive_content_cmp(const struct value *a, const struct value *b)
{
    int c = stamp_cmp(&a->stamp, &b->stamp);
    if (c != 0)
        return c;
    size_t an = value_from_n(a), bn = value_from_n(b);
    if (an != bn)
        return an < bn ? -1 : 1;
    c = memcmp(a->content.hash, b->content.hash, HASH_SIZE);
    return c != 0 ? c : dot_cmp(&a->dot, &b->dot);
}

static const struct value *greatest(struct values vs,
                                    int (*cmp)(const struct value *, const struct value *))
{
    const struct value *best = NULL;
    for (size_t i = 0; i < vs.n; i++)
        if (best == NULL || cmp(&vs.v[i], best) > 0)
            best = &vs.v[i];
    return best;
}

static int earlier(const struct value *a, const struct value *b)
{
    return derive_cmp(b, a);
}

const struct value *derive_meta(const struct record *rec)
{
    return greatest(record_facet(rec, FACET_META, NULL),
                    MUTANT(earliest_mode) ? earlier : derive_cmp);
}

const struct value *derive_content(const struct record *rec)
{
    return greatest(record_facet(rec, FACET_CONTENT, NULL), derive_content_cmp);
}

/* ---- places ------------------------------------------------------------------------------------
 */

/* A deletion beats what it had seen: @deleted joins what all deletions of the slot have seen. */
static int slot_state(struct values vs, struct slot *ret, struct vv *cseen)
{
    CLEANUP(vv_fini) struct vv deleted = {0};
    size_t deletions = 0;
    int rc = 0;
    for (size_t i = 0; i < vs.n && rc == 0; i++) {
        const struct value *v = &vs.v[i];
        if (v->place.alive)
            continue;
        deletions++;
        rc = vv_join_dots(&deleted, v->ctx);
        if (rc == 0)
            rc = vv_add(&deleted, &v->dot);
        if (rc == 0)
            rc = vv_join_dots(cseen, v->place.cseen);
    }
    if (rc < 0)
        return rc;
    const struct value *live = NULL;
    for (size_t i = 0; i < vs.n; i++) {
        const struct value *v = &vs.v[i];
        if (!v->place.alive ||
            (deletions > 0 && (value_from_within(v, &deleted) || MUTANT(delete_wins))))
            continue;
        if (live == NULL || derive_cmp(v, live) > 0)
            live = v;
    }
    ret->slot = vs.v[0].slot;
    ret->live = ret->shown = live != NULL;
    ret->win = live != NULL ? live : greatest(vs, derive_cmp);
    return 0;
}

/* A record without a name lives on if a save of it was not seen by who deleted it. */
static void revive(const struct record *rec, const struct vv *cseen, struct slots *s)
{
    struct values cs = record_facet(rec, FACET_CONTENT, NULL);
    bool unseen = false;
    for (size_t i = 0; i < cs.n; i++)
        unseen = unseen || !value_from_within(&cs.v[i], cseen);
    if (!unseen || MUTANT(no_revival))
        return;
    struct slot *last = &s->v[0];
    for (size_t i = 1; i < s->n; i++)
        if (derive_cmp(s->v[i].win, last->win) >= 0)
            last = &s->v[i]; /* ascending by slot, so the greater slot decides a tie */
    last->shown = true;
    s->own = true;
}

int derive_slots(struct replica *r, const struct record *rec, struct slots *ret)
{
    CLEANUP(vv_fini) struct vv cseen = {0};
    struct slots s = {.v = txn_alloc(&r->txn, (rec->n + 1) * sizeof *s.v)};
    if (s.v == NULL)
        return -ENOMEM;
    /* Places come first in the order of values, grouped by slot. */
    for (size_t i = 0; i < rec->n && rec->v[i].facet == FACET_PLACE;) {
        struct values vs = record_facet(rec, FACET_PLACE, &rec->v[i].slot);
        int rc = slot_state(vs, &s.v[s.n], &cseen);
        if (rc < 0)
            return rc;
        s.own = s.own || s.v[s.n].live;
        s.n++;
        i += vs.n;
    }
    if (s.n > 0 && !s.own)
        revive(rec, &cseen, &s);
    *ret = s;
    return 0;
}

const struct slot *derive_slot(const struct slots *s, const struct dot *slot)
{
    for (size_t i = 0; i < s->n; i++)
        if (dot_equal(&s->v[i].slot, slot))
            return &s->v[i];
    return NULL;
}

/* ---- content -----------------------------------------------------------------------------------
 */

/* Whether the author of @by had all saves of @v in hand. */
static bool accounts_for(const struct value *by, const struct value *v)
{
    for (size_t i = 0; i < value_from_n(v); i++) {
        struct dot d = value_from_at(v, i);
        if (!value_seen(by, &d))
            return false;
    }
    return true;
}

int derive_unsettled(struct replica *r, const struct record *rec, const struct value ***ret,
                     size_t *ret_n)
{
    struct values vs = record_facet(rec, FACET_CONTENT, NULL);
    const struct value **v = txn_alloc(&r->txn, (vs.n + 1) * sizeof(*v));
    if (v == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < vs.n; i++) { /* insertion sort, the greatest first: few values */
        size_t at = i;
        for (; at > 0 && derive_content_cmp(v[at - 1], &vs.v[i]) < 0; at--)
            v[at] = v[at - 1];
        v[at] = &vs.v[i];
    }
    size_t n = 0;
    const struct value **out = txn_alloc(&r->txn, (vs.n + 1) * sizeof(*out));
    if (out == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < vs.n; i++) {
        bool settled = false;
        for (size_t j = 0; j < i && !settled; j++)
            settled = derive_same_bytes(v[i], v[j]) ||
                      (accounts_for(v[j], v[i]) && !MUTANT(never_settled));
        if (!settled)
            out[n++] = v[i];
    }
    *ret = out;
    *ret_n = n;
    return 0;
}
