/*
 * fs/replica/resolve - open conflicts, and how they end. Source: README.md, Resolution.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "fs/replica/author.h"
#include "fs/replica/mutant.h"

struct origin {
    struct dot *v;
    size_t n, cap;
};

static int origin_add(struct origin *o, const struct value *v)
{
    for (size_t i = 0; i < value_from_n(v); i++) {
        struct dot d = value_from_at(v, i);
        size_t at = 0;
        while (at < o->n && dot_cmp(&o->v[at], &d) < 0)
            at++;
        if (at < o->n && dot_equal(&o->v[at], &d))
            continue;
        if (o->n == o->cap) {
            size_t cap = o->cap == 0 ? 8 : o->cap * 2;
            struct dot *p = reallocarray(o->v, cap, sizeof *p);
            if (p == NULL)
                return -ENOMEM;
            o->v = p;
            o->cap = cap;
        }
        memmove(&o->v[at + 1], &o->v[at], (o->n - at) * sizeof *o->v);
        o->v[at] = d;
        o->n++;
    }
    return 0;
}

/* The saves of all values in @v, or of those with the bytes of @as, as a set in the arena. */
static int joined_from(struct replica *r, const struct value *const *v, size_t n,
                       const struct value *as, struct dots *ret)
{
    struct origin o = {0};
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++)
        if (as == NULL || derive_same_bytes(v[i], as))
            rc = origin_add(&o, v[i]);
    uint8_t *p = txn_alloc(&r->txn, o.n * DOT_SIZE);
    for (size_t i = 0; i < o.n && p != NULL; i++)
        dot_encode(&o.v[i], p + i * DOT_SIZE);
    free(o.v);
    *ret = (struct dots){p, o.n};
    if (rc == 0 && p == NULL)
        rc = -ENOMEM;
    return rc < 0 ? rc : o.n > LIMIT_FROM ? -E2BIG : 0;
}

/* Only where nothing is half-way: a sibling that this would make may exist, and be deleted,
 * already. */
static bool all_known(struct replica *r, struct values vs)
{
    for (size_t i = 0; i < vs.n; i++)
        if (!vv_has(&r->known, &vs.v[i].dot) && vs.v[i].dot.replica != r->id)
            return false;
    return true;
}

/* The part that takes the place of all: no new save and no new stamp, so that resolutions end. */
static int outcome(struct replica *r, struct parts *ps, const struct record *rec,
                   const struct value **unsettled, size_t n, const struct value_content *merged)
{
    struct values vs = record_facet(rec, FACET_CONTENT, NULL);
    const struct value *win = unsettled[0];
    struct part p = {.v = {.rid = rec->rid, .facet = FACET_CONTENT, .stamp = win->stamp},
                     .keep_stamp = true};
    int rc;
    if (merged != NULL) {
        p.v.content = *merged;
        rc = joined_from(r, unsettled, n, NULL, &p.v.from);
    } else {
        const struct value **all = txn_alloc(&r->txn, (vs.n + 1) * sizeof(*all));
        if (all == NULL)
            return -ENOMEM;
        for (size_t i = 0; i < vs.n; i++)
            all[i] = &vs.v[i];
        rc = joined_from(r, all, vs.n, win, &p.v.from);
        if (rc == 0)
            rc = author_body(r, win, &p.v.content);
    }
    p.v.from_own = MUTANT(resolution_is_edit);
    p.keep_stamp = !MUTANT(resolution_is_later);
    return rc < 0 ? rc : parts_add(r, ps, &p);
}

/* Puts the values that become siblings behind the others; both keep their order. */
static int part(struct replica *r, const struct value **v, size_t n, const struct dot *beside,
                size_t beside_n)
{
    const struct value **left = txn_alloc(&r->txn, n * sizeof(*left));
    size_t kept = 0, left_n = 0;
    if (left == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        bool named = false;
        for (size_t j = 0; j < beside_n; j++)
            named = named || dot_equal(&beside[j], &v[i]->dot);
        if (named && i > 0)
            left[left_n++] = v[i];
        else
            v[kept++] = v[i];
    }
    memcpy(v + kept, left, left_n * sizeof(*left));
    return left_n == beside_n ? 0 : -EALREADY;
}

int change_resolve(struct change *c, const struct rid *rid, enum resolve how,
                   const struct value_content *merged, const struct dot *beside, size_t beside_n)
{
    struct replica *r = c->r;
    struct parts ps = {0};
    struct record rec;
    struct slots s;
    struct node node;
    const struct value **unsettled;
    size_t n, siblings_n = beside_n;
    if (!rid_valid(rid) || rid_is_dir(rid) || (how == RESOLVE_MERGED) != (merged != NULL) ||
        (merged == NULL && beside_n > 0))
        return -EINVAL;
    if (merged != NULL && (merged->body.n > LIMIT_BODY || merged->size > LIMIT_FILE))
        return -EINVAL;
    size_t mark = txn_mark(&r->txn);
    int rc = node_load(r, rid, &node);
    if (rc == 0)
        rc = record_load(r, rid, &rec);
    if (rc == 0)
        rc = derive_slots(r, &rec, &s);
    if (rc == 0)
        rc = derive_unsettled(r, &rec, &unsettled, &n);
    if (rc == 0 && node.claims_n == 0)
        rc = -ENOENT;
    if (rc == 0 && n < 2)
        rc = -EALREADY;
    if (rc == 0 && !MUTANT(resolve_early) && !all_known(r, record_facet(&rec, FACET_CONTENT, NULL)))
        rc = -EAGAIN;
    if (rc == 0)
        rc = part(r, unsettled, n, beside, beside_n);
    if (rc == 0 && how == RESOLVE_KEEP_BOTH)
        siblings_n = n - 1;
    if (rc == 0)
        rc = parts_siblings(r, &ps, &rec, &s, unsettled + n - siblings_n, siblings_n);
    if (rc == 0)
        rc = outcome(r, &ps, &rec, unsettled, n - siblings_n, merged);
    return author_write(c, &ps, mark, rc);
}
