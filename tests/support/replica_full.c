#include "tests/support/replica_full.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "fs/replica/conflict_name.h"

struct held {
    struct value v;
    uint8_t *raw;
};

struct full_slot {
    struct dot slot;
    const struct value *win;
    bool live, shown;
    bool orphan; /* a directory above is not held yet */
};

struct full_rec {
    struct rid rid;
    struct full_slot *slots;
    size_t slots_n;
    bool own, alive;
    int level;
};

struct full_entry {
    const struct full_rec *rec;
    const struct full_slot *slot;
    struct rid parent;
    char name[LIMIT_NAME + 1];
    bool named, loser;
};

struct full {
    full_label_fn label;
    struct held *v;
    size_t n;
    struct full_rec *rec;
    size_t rec_n;
    struct full_entry *entry;
    size_t entry_n;
};

struct full *full_new(full_label_fn label)
{
    struct full *f = calloc(1, sizeof *f);
    assert(f != NULL);
    f->label = label;
    return f;
}

void full_free(struct full *f)
{
    if (f == NULL)
        return;
    for (size_t i = 0; i < f->n; i++)
        free(f->v[i].raw);
    for (size_t i = 0; i < f->rec_n; i++)
        free(f->rec[i].slots);
    free(f->v);
    free(f->rec);
    free(f->entry);
    free(f);
}

void full_add(struct full *f, const struct value *v)
{
    struct buf b = {0};
    value_encode(v, VALUE_STORED, &b);
    f->v = reallocarray(f->v, f->n + 1, sizeof *f->v);
    assert(f->v != NULL && !b.failed);
    f->v[f->n].raw = b.p;
    int rc = value_decode(buf_bytes(&b), VALUE_STORED, &f->v[f->n].v);
    assert(rc == 0);
    f->n++;
}

/* ---- 1: records by themselves ---------------------------------------------------------------- */

static struct full_rec *find(struct full *f, const struct rid *rid)
{
    for (size_t i = 0; i < f->rec_n; i++)
        if (rid_equal(&f->rec[i].rid, rid))
            return &f->rec[i];
    return NULL;
}

static struct full_rec *make(struct full *f, const struct rid *rid)
{
    struct full_rec *r = find(f, rid);
    if (r != NULL)
        return r;
    f->rec = reallocarray(f->rec, f->rec_n + 1, sizeof *f->rec);
    assert(f->rec != NULL);
    f->rec[f->rec_n] = (struct full_rec){.rid = *rid};
    return &f->rec[f->rec_n++];
}

static void make_slot(struct full_rec *r, const struct dot *slot)
{
    for (size_t i = 0; i < r->slots_n; i++)
        if (dot_equal(&r->slots[i].slot, slot))
            return;
    r->slots = reallocarray(r->slots, r->slots_n + 1, sizeof *r->slots);
    assert(r->slots != NULL);
    r->slots[r->slots_n++] = (struct full_slot){.slot = *slot};
}

static bool is_place(const struct value *v, const struct full_rec *r, const struct full_slot *s)
{
    return v->facet == FACET_PLACE && rid_equal(&v->rid, &r->rid) &&
           (s == NULL || dot_equal(&v->slot, &s->slot));
}

static bool beats(const struct value *a, const struct value *b)
{
    if (b == NULL)
        return true;
    if (a->stamp.hlc != b->stamp.hlc)
        return a->stamp.hlc > b->stamp.hlc;
    if (a->stamp.replica != b->stamp.replica)
        return a->stamp.replica > b->stamp.replica;
    if (a->dot.replica != b->dot.replica)
        return a->dot.replica > b->dot.replica;
    return a->dot.counter > b->dot.counter;
}

static bool seen_by(const struct value *v, const struct dot *d)
{
    return dot_equal(&v->dot, d) || dots_cover(v->ctx, d);
}

/* A join of vectors covers what one of them covers: no need to compute it. */
static bool deleted_within(struct full *f, const struct full_rec *r, const struct full_slot *s,
                           const struct value *v)
{
    for (size_t i = 0; i < value_from_n(v); i++) {
        struct dot d = value_from_at(v, i);
        bool seen = false;
        for (size_t j = 0; j < f->n; j++) {
            const struct value *del = &f->v[j].v;
            seen = seen || (is_place(del, r, s) && !del->place.alive && seen_by(del, &d));
        }
        if (!seen)
            return false;
    }
    return true;
}

static void decide_slot(struct full *f, const struct full_rec *r, struct full_slot *s)
{
    bool deletion = false;
    for (size_t i = 0; i < f->n; i++)
        deletion = deletion || (is_place(&f->v[i].v, r, s) && !f->v[i].v.place.alive);
    for (size_t i = 0; i < f->n; i++) {
        const struct value *v = &f->v[i].v;
        if (is_place(v, r, s) && v->place.alive && !(deletion && deleted_within(f, r, s, v)) &&
            beats(v, s->live ? s->win : NULL)) {
            s->win = v;
            s->live = true;
        }
    }
    for (size_t i = 0; i < f->n && !s->live; i++)
        if (is_place(&f->v[i].v, r, s) && beats(&f->v[i].v, s->win))
            s->win = &f->v[i].v;
    s->shown = s->live;
}

static bool has_unseen_save(struct full *f, const struct full_rec *r)
{
    for (size_t i = 0; i < f->n; i++) {
        const struct value *c = &f->v[i].v;
        if (c->facet != FACET_CONTENT || !rid_equal(&c->rid, &r->rid))
            continue;
        for (size_t k = 0; k < value_from_n(c); k++) {
            struct dot d = value_from_at(c, k);
            bool seen = false;
            for (size_t j = 0; j < f->n; j++) {
                const struct value *del = &f->v[j].v;
                seen = seen || (is_place(del, r, NULL) && !del->place.alive &&
                                dots_cover(del->place.cseen, &d));
            }
            if (!seen)
                return true;
        }
    }
    return false;
}

static bool later_slot(const struct full_slot *a, const struct full_slot *b)
{
    if (b == NULL || beats(a->win, b->win) != beats(b->win, a->win))
        return b == NULL || beats(a->win, b->win);
    return dot_cmp(&a->slot, &b->slot) > 0;
}

static void decide_record(struct full *f, struct full_rec *r)
{
    struct full_slot *last = NULL;
    for (size_t i = 0; i < r->slots_n; i++) {
        decide_slot(f, r, &r->slots[i]);
        r->own = r->own || r->slots[i].live;
        if (later_slot(&r->slots[i], last))
            last = &r->slots[i];
    }
    if (!r->own && has_unseen_save(f, r)) {
        last->shown = true;
        r->own = true;
    }
    r->alive = r->own;
}

/* ---- 2: cycles ------------------------------------------------------------------------------- */

static struct rid up(struct full *f, const struct full_rec *r)
{
    const struct value_place *p = &r->slots[0].win->place;
    if (r->level == 0)
        return p->parent;
    const struct full_rec *prev = find(f, &p->prev);
    return r->level == 1 && prev != NULL && prev->own ? p->prev : RID_ROOT;
}

static bool is_above(struct full *f, const struct full_rec *r, const struct full_rec *of)
{
    const struct full_rec *x = of;
    for (size_t i = 0; i <= f->rec_n; i++) {
        struct rid p = up(f, x);
        x = find(f, &p);
        if (x == NULL)
            return false;
        if (x == r)
            return true;
    }
    return false;
}

static bool later_dir(const struct full_rec *a, const struct full_rec *b)
{
    const struct value *x = a->slots[0].win, *y = b->slots[0].win;
    if (beats(x, y) != beats(y, x))
        return beats(x, y);
    return rid_cmp(&a->rid, &b->rid) > 0;
}

/* Breaks one cycle, if there is any. */
static bool break_one(struct full *f)
{
    for (size_t i = 0; i < f->rec_n; i++) {
        struct full_rec *r = &f->rec[i], *last = r;
        if (!rid_is_dir(&r->rid) || !is_above(f, r, r))
            continue;
        for (size_t j = 0; j < f->rec_n; j++) {
            struct full_rec *x = &f->rec[j];
            if (rid_is_dir(&x->rid) && is_above(f, x, r) && is_above(f, r, x) && later_dir(x, last))
                last = x;
        }
        last->level++;
        return true;
    }
    return false;
}

/* ---- 3: who is shown ------------------------------------------------------------------------- */

static struct rid parent_of(struct full *f, const struct full_rec *r, const struct full_slot *s)
{
    return rid_is_dir(&r->rid) ? up(f, r) : s->win->place.parent;
}

static bool reaches_root(struct full *f, struct rid at, bool mark)
{
    while (!rid_is_root(&at)) {
        struct full_rec *r = find(f, &at);
        if (r == NULL)
            return false;
        if (mark)
            r->alive = true;
        at = up(f, r);
    }
    return true;
}

static void revive_above(struct full *f)
{
    for (size_t i = 0; i < f->rec_n; i++) {
        struct full_rec *r = &f->rec[i];
        for (size_t s = 0; r->own && s < r->slots_n; s++) {
            struct rid p = parent_of(f, r, &r->slots[s]);
            if (!r->slots[s].shown)
                continue;
            if (!reaches_root(f, p, false))
                r->slots[s].orphan = true;
            else
                reaches_root(f, p, true);
        }
    }
}

static void list_entries(struct full *f)
{
    for (size_t i = 0; i < f->rec_n; i++) {
        struct full_rec *r = &f->rec[i];
        if (!r->alive)
            continue;
        if (!r->own)
            r->slots[0].shown = true;
        for (size_t s = 0; s < r->slots_n; s++) {
            if (!r->slots[s].shown || r->slots[s].orphan)
                continue;
            f->entry = reallocarray(f->entry, f->entry_n + 1, sizeof *f->entry);
            assert(f->entry != NULL);
            f->entry[f->entry_n++] = (struct full_entry){
                .rec = r, .slot = &r->slots[s], .parent = parent_of(f, r, &r->slots[s])};
        }
    }
}

/* ---- 4: names -------------------------------------------------------------------------------- */

static int cmp_entries(const void *ap, const void *bp)
{
    const struct full_entry *a = ap, *b = bp;
    bool ad = rid_is_dir(&a->rec->rid), bd = rid_is_dir(&b->rec->rid);
    const struct value *x = a->slot->win, *y = b->slot->win;
    if (ad != bd)
        return ad ? -1 : 1;
    if (beats(x, y) != beats(y, x))
        return beats(x, y) ? 1 : -1;
    int c = rid_cmp(&a->rec->rid, &b->rec->rid);
    return c != 0 ? c : dot_cmp(&a->slot->slot, &b->slot->slot);
}

static bool same_dir(const struct full_entry *a, const struct full_entry *b)
{
    return rid_equal(&a->parent, &b->parent);
}

static bool is_taken(struct full *f, const struct full_entry *e, const char *name)
{
    for (size_t i = 0; i < f->entry_n; i++)
        if (f->entry[i].named && same_dir(&f->entry[i], e) && strcmp(f->entry[i].name, name) == 0)
            return true;
    return false;
}

static void name_first(struct full *f, size_t at)
{
    struct full_entry *e = &f->entry[at];
    struct bytes want = e->slot->win->place.name;
    for (size_t i = 0; i < at; i++) {
        const struct full_entry *b = &f->entry[i];
        if (same_dir(b, e) && bytes_equal(b->slot->win->place.name, want) && b->rec == e->rec)
            return; /* the same record twice */
    }
    memcpy(e->name, want.p, want.n);
    e->loser = is_taken(f, e, e->name);
    e->named = !e->loser;
}

static void name_loser(struct full *f, struct full_entry *e)
{
    const struct value *win = e->slot->win;
    char label[LIMIT_LABEL + 1];
    f->label(win->stamp.replica, label);
    conflict_name(win->place.name, label, win->stamp.hlc, &e->rec->rid, e->name);
    while (is_taken(f, e, e->name) && strlen(e->name) < LIMIT_NAME)
        strcat(e->name, "+");
    e->named = true;
}

/* ---- output ---------------------------------------------------------------------------------- */

static bool content_beats(const struct value *a, const struct value *b)
{
    if (b == NULL || a->stamp.hlc != b->stamp.hlc)
        return b == NULL || a->stamp.hlc > b->stamp.hlc;
    if (a->stamp.replica != b->stamp.replica)
        return a->stamp.replica > b->stamp.replica;
    if (value_from_n(a) != value_from_n(b))
        return value_from_n(a) > value_from_n(b);
    int c = memcmp(a->content.hash, b->content.hash, HASH_SIZE);
    return c != 0 ? c > 0 : beats(a, b);
}

static void put_hash(struct full *f, const struct rid *rid, struct buf *ret)
{
    const struct value *best = NULL;
    for (size_t i = 0; i < f->n; i++) {
        const struct value *v = &f->v[i].v;
        if (v->facet == FACET_CONTENT && rid_equal(&v->rid, rid) && content_beats(v, best))
            best = v;
    }
    for (size_t i = 0; best != NULL && i < 8; i++) {
        char hex[3];
        snprintf(hex, sizeof hex, "%02x", best->content.hash[i]);
        buf_put(ret, hex, 2);
    }
}

static int cmp_named(const void *ap, const void *bp)
{
    const struct full_entry *const *a = ap, *const *b = bp;
    return strcmp((*a)->name, (*b)->name);
}

static void show_dir(struct full *f, const struct rid *dir, const char *path, struct buf *ret)
{
    const struct full_entry **in = calloc(f->entry_n + 1, sizeof(*in));
    size_t n = 0;
    for (size_t i = 0; i < f->entry_n; i++)
        if (f->entry[i].named && rid_equal(&f->entry[i].parent, dir))
            in[n++] = &f->entry[i];
    if (n > 1)
        qsort(in, n, sizeof(*in), cmp_named);
    for (size_t i = 0; i < n; i++) {
        char *at = NULL;
        int len = asprintf(&at, "%s/%s", path, in[i]->name);
        assert(len > 0);
        buf_put(ret, at, (size_t)len);
        bool is_dir = rid_is_dir(&in[i]->rec->rid);
        buf_put(ret, is_dir ? "/" : " = ", is_dir ? 1 : 3);
        if (!is_dir)
            put_hash(f, &in[i]->rec->rid, ret);
        buf_put(ret, "\n", 1);
        if (is_dir)
            show_dir(f, &in[i]->rec->rid, at, ret);
        free(at);
    }
    free(in);
}

void full_show(struct full *f, struct buf *ret)
{
    for (size_t i = 0; i < f->n; i++)
        if (f->v[i].v.facet == FACET_PLACE)
            make_slot(make(f, &f->v[i].v.rid), &f->v[i].v.slot);
    for (size_t i = 0; i < f->rec_n; i++)
        decide_record(f, &f->rec[i]);
    while (break_one(f))
        ;
    revive_above(f);
    list_entries(f);
    if (f->entry_n > 1)
        qsort(f->entry, f->entry_n, sizeof *f->entry, cmp_entries);
    for (size_t i = 0; i < f->entry_n; i++)
        name_first(f, i);
    for (size_t i = 0; i < f->entry_n; i++)
        if (f->entry[i].loser)
            name_loser(f, &f->entry[i]);
    const struct rid root = RID_ROOT;
    show_dir(f, &root, "", ret);
}
