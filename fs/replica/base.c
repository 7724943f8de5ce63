/*
 * fs/replica/base - the latest version that two contents have in common.
 *
 * A save was made of the greatest version that its author had seen, a resolution of its saves. So
 * the versions kept are a graph, and both contents' ancestors in it are found by walking it.
 */
#include <errno.h>
#include <stdlib.h>

#include "fs/replica/past.h"

enum { OF_A = 1, OF_B = 2 };

/* A version in the graph. */
struct ancestor {
    struct replica_content content;
    struct lineage of;
    uint8_t sides; /* whose ancestor it is */
};

struct family {
    struct replica *r;
    struct ancestor *v; /* the greatest first */
    size_t n, cap;
    size_t *todo; /* a stack of indices; each is put there once a side */
};

/* ---- loading ---- */

static int copy_dots(struct replica *r, struct dots *d)
{
    struct bytes copy;
    int rc = txn_copy(&r->txn, bytes_of(d->p, d->n * DOT_SIZE), &copy);
    d->p = copy.p;
    return rc;
}

static int add_version(void *ctx, struct bytes key, struct bytes row)
{
    struct family *f = ctx;
    if (f->n == f->cap) {
        size_t cap = f->cap == 0 ? 16 : f->cap * 2;
        struct ancestor *v = reallocarray(f->v, cap, sizeof *v);
        if (v == NULL)
            return -ENOMEM;
        f->v = v;
        f->cap = cap;
    }
    struct ancestor *a = &f->v[f->n];
    a->sides = 0;
    int rc = past_lineage(key, row, &a->content, &a->of);
    if (rc == 0)
        rc = copy_dots(f->r, &a->of.from);
    if (rc == 0)
        rc = copy_dots(f->r, &a->of.ctx);
    f->n += rc == 0;
    return rc;
}

static size_t saves(const struct ancestor *a)
{
    return a->of.from_own ? 1 : a->of.from.n;
}

/* The order of contents, the greatest first. */
static int cmp(const void *ap, const void *bp)
{
    const struct ancestor *a = ap, *b = bp;
    int c = stamp_cmp(&b->content.stamp, &a->content.stamp);
    if (c == 0 && saves(a) != saves(b))
        c = saves(a) < saves(b) ? 1 : -1;
    if (c == 0)
        c = memcmp(b->content.hash, a->content.hash, HASH_SIZE);
    return c != 0 ? c : dot_cmp(&b->content.dot, &a->content.dot);
}

static int load(struct family *f, const struct rid *rid)
{
    uint8_t key[KEY_MAX];
    int rc = txn_scan(&f->r->txn, DB_VERSION, key_rid(key, HISTORY_VERSION, rid),
                      (struct bytes){NULL, 0}, add_version, f);
    if (rc < 0)
        return rc;
    if (f->n > 1)
        qsort(f->v, f->n, sizeof *f->v, cmp);
    f->todo = calloc(f->n + 1, sizeof *f->todo);
    return f->todo == NULL ? -ENOMEM : 0;
}

/* ---- walking ---- */

static struct ancestor *find(const struct family *f, const struct dot *dot)
{
    for (size_t i = 0; i < f->n; i++)
        if (dot_equal(&f->v[i].content.dot, dot))
            return &f->v[i];
    return NULL;
}

static void push(struct family *f, struct ancestor *a, uint8_t side, size_t *n)
{
    if (a == NULL || (a->sides & side) != 0)
        return;
    a->sides |= side;
    f->todo[(*n)++] = (size_t)(a - f->v);
}

/*
 * Whether the author of @by had seen @v. Of a resolution its saves are enough: who had seen those
 * and resolved them too, even if that resolution never came here, got the same.
 */
static bool has_seen(const struct ancestor *by, const struct ancestor *v)
{
    bool saves_seen = !v->of.from_own && v->of.from.n > 0;
    for (size_t i = 0; saves_seen && i < v->of.from.n; i++) {
        struct dot save = dots_at(v->of.from, i);
        saves_seen = dots_cover(by->of.ctx, &save);
    }
    return saves_seen || dots_cover(by->of.ctx, &v->content.dot);
}

/* What a version was made of. */
static void push_parents(struct family *f, size_t i, uint8_t side, size_t *n)
{
    const struct ancestor *a = &f->v[i];
    for (size_t k = 0; !a->of.from_own && k < a->of.from.n; k++) {
        struct dot save = dots_at(a->of.from, k);
        push(f, find(f, &save), side, n);
    }
    for (size_t k = i + 1; a->of.from_own && k < f->n; k++)
        if (has_seen(a, &f->v[k])) {
            push(f, &f->v[k], side, n);
            return;
        }
}

static void mark(struct family *f, const struct dot *of, size_t of_n, uint8_t side)
{
    size_t n = 0;
    for (size_t i = 0; i < of_n; i++)
        push(f, find(f, &of[i]), side, &n);
    while (n > 0)
        push_parents(f, f->todo[--n], side, &n);
}

/* What the authors of some contents had seen, these included. */
static int add_seen(const struct family *f, const struct dot *of, size_t n, struct vv *ret)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        const struct ancestor *a = find(f, &of[i]);
        rc = vv_add(ret, &of[i]);
        if (rc == 0 && a != NULL)
            rc = vv_join_dots(ret, a->of.ctx);
    }
    return rc;
}

/* Whether what both sides have seen is in the history, or is seen by what is there: 1, 0. */
static int is_whole(const struct family *f, const struct dot *a, size_t a_n, const struct dot *b)
{
    CLEANUP(vv_fini) struct vv both = {0}, of_b = {0}, here = {0};
    int rc = add_seen(f, a, a_n, &both);
    if (rc == 0)
        rc = add_seen(f, b, 1, &of_b);
    if (rc == 0)
        rc = vv_copy(&here, &f->r->floor);
    vv_meet(&both, &of_b);
    for (size_t i = 0; rc == 0 && i < f->n; i++)
        if (vv_has(&both, &f->v[i].content.dot))
            rc = add_seen(f, &f->v[i].content.dot, 1, &here);
    return rc < 0 ? rc : vv_covers(&here, &both);
}

/* ---- the latest of both ---- */

/* The greatest ancestor of @side that has the bytes of @a; f->n: none. */
static size_t same_bytes(const struct family *f, const struct ancestor *a, uint8_t side)
{
    for (size_t i = 0; i < f->n; i++)
        if ((f->v[i].sides & side) != 0 &&
            memcmp(f->v[i].content.hash, a->content.hash, HASH_SIZE) == 0)
            return i;
    return f->n;
}

/* A pair counts from its earlier one: what was since is in one of the two alone. */
static const struct ancestor *latest_common(const struct family *f)
{
    size_t best = f->n;
    for (size_t i = 0; i < f->n && i < best; i++) {
        if ((f->v[i].sides & OF_A) == 0)
            continue;
        size_t other = (f->v[i].sides & OF_B) != 0 ? i : same_bytes(f, &f->v[i], OF_B);
        size_t rank = other > i ? other : i;
        best = rank < best ? rank : best;
    }
    return best < f->n ? &f->v[best] : NULL;
}

int replica_base(struct replica *r, const struct rid *rid, const struct dot *a, size_t a_n,
                 const struct dot *b, struct replica_content *ret, bool *ret_whole)
{
    struct family f = {.r = r};
    int rc = load(&f, rid);
    int whole = rc < 0 ? rc : is_whole(&f, a, a_n, b);
    *ret = (struct replica_content){.dot = {0, 0}};
    if (whole >= 0) {
        mark(&f, a, a_n, OF_A);
        mark(&f, b, 1, OF_B);
        const struct ancestor *common = latest_common(&f);
        if (common != NULL)
            *ret = common->content;
        *ret_whole = whole > 0;
    }
    free(f.v);
    free(f.todo);
    return replica_done(r, whole < 0 ? whole : 0);
}
