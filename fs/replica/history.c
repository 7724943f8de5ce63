#include "fs/replica/history.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "fs/replica/past_list.h"
#include "fs/replica/record.h"

/* ---- lists of one record --------------------------------------------------------------------- */

static int add_version(void *ctx, struct bytes key, struct bytes row)
{
    struct versions *l = ctx;
    struct bytes body;
    if (l->n == l->cap) {
        size_t cap = l->cap == 0 ? 8 : l->cap * 2;
        struct history_version *v = reallocarray(l->v, cap, sizeof *v);
        if (v == NULL)
            return -ENOMEM;
        l->v = v;
        l->cap = cap;
    }
    l->v[l->n] = (struct history_version){.until_ms = UINT64_MAX};
    int rc = past_version(key, row, &l->v[l->n].content, &body);
    l->n += rc == 0;
    return rc;
}

static int add_place(void *ctx, struct bytes key, struct bytes row)
{
    struct places *l = ctx;
    if (l->n == l->cap) {
        size_t cap = l->cap == 0 ? 4 : l->cap * 2;
        struct history_place *v = reallocarray(l->v, cap, sizeof *v);
        if (v == NULL)
            return -ENOMEM;
        l->v = v;
        l->cap = cap;
    }
    int rc = past_place(key, row, &l->v[l->n]);
    l->n += rc == 0;
    return rc;
}

static int cmp_versions(const void *ap, const void *bp)
{
    const struct replica_content *a = &((const struct history_version *)ap)->content;
    const struct replica_content *b = &((const struct history_version *)bp)->content;
    int c = stamp_cmp(&a->stamp, &b->stamp);
    return c != 0 ? c : dot_cmp(&a->dot, &b->dot);
}

int past_places(struct replica *r, const struct rid *rid, struct places *ret)
{
    uint8_t key[KEY_MAX];
    return txn_scan(&r->txn, DB_VERSION, key_rid(key, HISTORY_PLACE, rid), (struct bytes){NULL, 0},
                    add_place, ret);
}

void past_places_fini(struct places *l)
{
    free(l->v);
    *l = (struct places){0};
}

void past_versions_fini(struct versions *l)
{
    free(l->v);
    *l = (struct versions){0};
}

/* What ended version @v first: what has stamp @next, or a deletion before that. */
static void end_version(struct history_version *v, uint64_t next, const struct places *places)
{
    uint64_t from = v->content.stamp.hlc, end = next;
    for (size_t i = 0; i < places->n; i++) {
        uint64_t at = places->v[i].stamp.hlc;
        if (places->v[i].alive || at < from || at >= end)
            continue;
        end = at;
        v->deleted = true;
    }
    v->until_ms = end == UINT64_MAX ? UINT64_MAX : hlc_ms(end);
}

static bool is_held(const struct record *rec, const struct dot *dot)
{
    struct values vs = record_facet(rec, FACET_CONTENT, NULL);
    for (size_t i = 0; i < vs.n; i++)
        if (dot_equal(&vs.v[i].dot, dot))
            return true;
    return false;
}

int past_versions(struct replica *r, const struct rid *rid, const struct places *places,
                  struct versions *ret)
{
    uint8_t key[KEY_MAX];
    struct record rec;
    struct node node;
    int rc = txn_scan(&r->txn, DB_VERSION, key_rid(key, HISTORY_VERSION, rid),
                      (struct bytes){NULL, 0}, add_version, ret);
    if (rc == 0)
        rc = record_load(r, rid, &rec);
    if (rc == 0)
        rc = node_load(r, rid, &node);
    if (rc < 0)
        return rc;
    if (ret->n > 1)
        qsort(ret->v, ret->n, sizeof *ret->v, cmp_versions);
    for (size_t i = 0; i < ret->n; i++) {
        struct history_version *v = &ret->v[i];
        v->current = is_held(&rec, &v->content.dot);
        if (v->current && node.own)
            continue;
        uint64_t next = i + 1 < ret->n ? ret->v[i + 1].content.stamp.hlc : UINT64_MAX;
        end_version(v, next, places);
        /* Superseded by what has a lower stamp, or by what is gone since: it ended at once. */
        if (v->until_ms == UINT64_MAX && !v->current)
            v->until_ms = hlc_ms(v->content.stamp.hlc);
    }
    return 0;
}

int replica_versions(struct replica *r, const struct rid *rid,
                     int (*fn)(void *ctx, const struct history_version *v), void *ctx)
{
    CLEANUP(past_places_fini) struct places places = {0};
    CLEANUP(past_versions_fini) struct versions versions = {0};
    int rc = past_places(r, rid, &places);
    if (rc == 0)
        rc = past_versions(r, rid, &places, &versions);
    for (size_t i = 0; rc == 0 && i < versions.n; i++)
        rc = fn(ctx, &versions.v[i]);
    return replica_done(r, rc);
}

int replica_places(struct replica *r, const struct rid *rid,
                   int (*fn)(void *ctx, const struct history_place *p), void *ctx)
{
    CLEANUP(past_places_fini) struct places places = {0};
    int rc = past_places(r, rid, &places);
    for (size_t i = 0; rc == 0 && i < places.n; i++)
        rc = fn(ctx, &places.v[i]);
    return replica_done(r, rc);
}

/* ---- a directory as it was ------------------------------------------------------------------- */

struct rid_list {
    struct rid *v;
    size_t n, cap;
};

static int add_rid(void *ctx, struct bytes key, struct bytes row)
{
    struct rid_list *l = ctx;
    (void)row;
    if (key.n < 1 + RID_SIZE + 1 + 1 + RID_SIZE)
        return -EUCLEAN;
    if (l->n == l->cap) {
        size_t cap = l->cap == 0 ? 16 : l->cap * 2;
        struct rid *v = reallocarray(l->v, cap, sizeof *v);
        if (v == NULL)
            return -ENOMEM;
        l->v = v;
        l->cap = cap;
    }
    l->v[l->n++] = rid_at(key, key.n - RID_SIZE);
    return 0;
}

static int cmp_rids(const void *a, const void *b)
{
    return rid_cmp(a, b);
}

static int content_at(struct replica *r, const struct rid *rid, const struct places *places,
                      uint64_t at_ms, struct replica_content *ret)
{
    CLEANUP(past_versions_fini) struct versions versions = {0};
    int rc = past_versions(r, rid, places, &versions);
    for (size_t i = 0; rc == 0 && i < versions.n; i++)
        if (hlc_ms(versions.v[i].content.stamp.hlc) <= at_ms)
            *ret = versions.v[i].content;
    return rc;
}

/* Whether place @i is the last of its slot up to @at_ms. */
static bool in_force(const struct places *l, size_t i, uint64_t at_ms)
{
    if (hlc_ms(l->v[i].stamp.hlc) > at_ms)
        return false;
    for (size_t j = i + 1; j < l->n && hlc_ms(l->v[j].stamp.hlc) <= at_ms; j++)
        if (dot_equal(&l->v[j].slot, &l->v[i].slot))
            return false;
    return true;
}

static int show_at(struct replica *r, const struct rid *rid, const struct rid *dir, uint64_t at_ms,
                   int (*fn)(void *ctx, const struct history_entry *e), void *ctx)
{
    CLEANUP(past_places_fini) struct places places = {0};
    int rc = past_places(r, rid, &places);
    for (size_t i = 0; rc == 0 && i < places.n; i++) {
        const struct history_place *p = &places.v[i];
        if (!p->alive || !rid_equal(&p->parent, dir) || !in_force(&places, i, at_ms))
            continue;
        struct history_entry e = {
            .entry = {.rid = *rid, .slot = p->slot, .parent = *dir, .name_len = p->name_len}};
        memcpy(e.entry.name, p->name, p->name_len);
        rc = content_at(r, rid, &places, at_ms, &e.content);
        if (rc == 0)
            rc = fn(ctx, &e);
    }
    return rc;
}

int replica_list_at(struct replica *r, const struct rid *dir, uint64_t at_ms,
                    int (*fn)(void *ctx, const struct history_entry *e), void *ctx)
{
    uint8_t key[KEY_MAX];
    struct rid_list l = {0};
    int rc = txn_scan(&r->txn, DB_VERSION, key_rid(key, HISTORY_NAME, dir), (struct bytes){NULL, 0},
                      add_rid, &l);
    if (l.n > 1)
        qsort(l.v, l.n, sizeof *l.v, cmp_rids);
    for (size_t i = 0; rc == 0 && i < l.n; i++)
        if (i == 0 || !rid_equal(&l.v[i], &l.v[i - 1]))
            rc = show_at(r, &l.v[i], dir, at_ms, fn, ctx);
    free(l.v);
    return replica_done(r, rc);
}

int replica_find(struct replica *r, const struct rid *parent, struct bytes name,
                 int (*fn)(void *ctx, const struct rid *rid), void *ctx)
{
    uint8_t key[KEY_MAX];
    struct rid_list l = {0};
    const struct rid none = {{0}};
    if (name.n == 0 || name.n > LIMIT_NAME)
        return 0;
    struct bytes prefix = past_name_key(key, parent, name, &none);
    prefix.n -= RID_SIZE;
    int rc = txn_scan(&r->txn, DB_VERSION, prefix, (struct bytes){NULL, 0}, add_rid, &l);
    for (size_t i = 0; rc == 0 && i < l.n; i++)
        rc = fn(ctx, &l.v[i]);
    free(l.v);
    return replica_done(r, rc);
}

int replica_find_in(struct replica *r, const struct rid *dir,
                    int (*fn)(void *ctx, const struct rid *rid), void *ctx)
{
    uint8_t key[KEY_MAX];
    struct rid_list l = {0};
    int rc = txn_scan(&r->txn, DB_VERSION, key_rid(key, HISTORY_NAME, dir), (struct bytes){NULL, 0},
                      add_rid, &l);
    for (size_t i = 0; rc == 0 && i < l.n; i++)
        rc = fn(ctx, &l.v[i]);
    free(l.v);
    return replica_done(r, rc);
}
