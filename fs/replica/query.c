/*
 * fs/replica/query - what is shown.
 */
#include <assert.h>
#include <errno.h>

#include "fs/replica/author.h"

static int fill_entry(struct replica_entry *e, const struct rid *rid, const struct dot *slot,
                      const struct rid *parent, struct bytes name)
{
    if (name.n == 0 || name.n > LIMIT_NAME)
        return -EUCLEAN;
    *e = (struct replica_entry){
        .rid = *rid, .slot = *slot, .parent = *parent, .name_len = (uint8_t)name.n};
    memcpy(e->name, name.p, name.n);
    return 0;
}

static void fill_content(struct replica_content *c, const struct value *v)
{
    *c = (struct replica_content){
        .dot = v->dot, .stamp = v->stamp, .size = v->content.size, .mtime_ns = v->content.mtime_ns};
    memcpy(c->hash, v->content.hash, HASH_SIZE);
}

int replica_lookup(struct replica *r, const struct rid *parent, struct bytes name,
                   struct replica_entry *ret)
{
    struct rid rid;
    struct dot slot;
    int rc = author_lookup(r, parent, name, &rid, &slot);
    if (rc == 1)
        rc = fill_entry(ret, &rid, &slot, parent, name);
    else if (rc == 0)
        rc = -ENOENT;
    return replica_done(r, rc);
}

struct listing {
    struct replica *r;
    replica_entry_fn fn;
    void *ctx;
};

static int list_group(void *ctx, struct bytes key, struct bytes row)
{
    const struct listing *l = ctx;
    struct group g;
    int rc = names_decode(&l->r->txn, key, row, &g);
    for (size_t i = 0; rc == 0 && i < g.n; i++) {
        struct bytes shown = names_shown(&g, &g.v[i]);
        struct replica_entry e;
        if (shown.n == 0)
            continue;
        rc = fill_entry(&e, &g.v[i].rid, &g.v[i].slot, &g.parent, shown);
        if (rc == 0)
            rc = l->fn(l->ctx, &e);
    }
    return rc;
}

int replica_list(struct replica *r, const struct rid *dir, replica_entry_fn fn, void *ctx)
{
    struct listing l = {r, fn, ctx};
    uint8_t key[KEY_MAX];
    return replica_done(r, txn_scan(&r->txn, DB_SHOWN, key_rid(key, SHOWN_NAME, dir),
                                    (struct bytes){NULL, 0}, list_group, &l));
}

static int each_entry(struct replica *r, const struct rid *rid, replica_entry_fn fn, void *ctx)
{
    struct node n;
    int rc = node_load(r, rid, &n);
    for (size_t i = 0; rc == 0 && i < n.claims_n; i++) {
        const struct claim *c = &n.claims[i];
        struct group g;
        struct replica_entry e;
        rc = names_group(r, &c->parent, c->name, &g);
        const struct claimant *at = rc < 0 ? NULL : names_find(&g, rid, &c->slot);
        if (rc == 0 && at == NULL)
            rc = -EUCLEAN;
        if (rc < 0 || names_shown(&g, at).n == 0)
            continue;
        rc = fill_entry(&e, rid, &c->slot, &c->parent, names_shown(&g, at));
        if (rc == 0)
            rc = fn(ctx, &e);
    }
    return rc;
}

int replica_entries(struct replica *r, const struct rid *rid, replica_entry_fn fn, void *ctx)
{
    return replica_done(r, each_entry(r, rid, fn, ctx));
}

static int count_entry(void *ctx, const struct replica_entry *e)
{
    (void)ctx;
    (void)e;
    return 1;
}

static int stat_record(struct replica *r, const struct rid *rid, struct replica_info *ret)
{
    struct record rec;
    struct node n;
    int rc = node_load(r, rid, &n);
    if (rc == 0)
        rc = record_load(r, rid, &rec);
    if (rc == 0)
        rc = each_entry(r, rid, count_entry, NULL);
    if (rc < 0)
        return rc;
    bool root = rid_is_root(rid);
    *ret = (struct replica_info){.held = root || n.held,
                                 .alive = root || n.own,
                                 .shown = root || rc == 1,
                                 .suspended = n.level > 0,
                                 .conflict = n.conflict};
    const struct value *meta = derive_meta(&rec), *content = derive_content(&rec);
    ret->has_meta = meta != NULL;
    ret->mode = meta != NULL ? meta->meta.mode : 0;
    if (content != NULL)
        fill_content(&ret->content, content);
    return 0;
}

int replica_stat(struct replica *r, const struct rid *rid, struct replica_info *ret)
{
    return replica_done(r, stat_record(r, rid, ret));
}

int replica_is_superseded(struct replica *r, const struct value *v)
{
    struct record rec;
    int rc = record_load(r, &v->rid, &rec);
    return replica_done(r, rc < 0 ? rc : record_has(&rec, v) && !record_holds(&rec, &v->dot));
}

int replica_xattrs(struct replica *r, const struct rid *rid, struct buf *ret)
{
    struct record rec;
    buf_reset(ret);
    int rc = record_load(r, rid, &rec);
    const struct value *meta = rc < 0 ? NULL : derive_meta(&rec);
    if (meta != NULL)
        buf_put_bytes(ret, meta->meta.xattrs);
    return replica_done(r, rc < 0 ? rc : buf_status(ret));
}

static int each_content(struct replica *r, const struct rid *rid,
                        int (*fn)(void *ctx, const struct replica_content *content), void *ctx)
{
    struct record rec;
    const struct value **unsettled;
    size_t n = 0;
    int rc = record_load(r, rid, &rec);
    if (rc == 0)
        rc = derive_unsettled(r, &rec, &unsettled, &n);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        struct replica_content c;
        fill_content(&c, unsettled[i]);
        rc = fn(ctx, &c);
    }
    return rc;
}

int replica_contents(struct replica *r, const struct rid *rid,
                     int (*fn)(void *ctx, const struct replica_content *content), void *ctx)
{
    return replica_done(r, each_content(r, rid, fn, ctx));
}

int replica_version_get(struct replica *r, const struct rid *rid, const struct dot *dot,
                        struct buf *ret)
{
    uint8_t k[KEY_MAX];
    struct bytes key = past_version_key(k, rid, dot), row, body;
    struct replica_content c;
    int rc = txn_get(&r->txn, DB_VERSION, key, &row);
    if (rc == 1)
        rc = past_version(key, row, &c, &body);
    else if (rc == 0)
        rc = -ENOENT;
    buf_reset(ret);
    if (rc == 0) {
        buf_put_bytes(ret, body);
        rc = buf_status(ret);
    }
    return replica_done(r, rc);
}

struct conflicts {
    int (*fn)(void *ctx, const struct rid *rid);
    void *ctx;
};

static int conflict_row(void *ctx, struct bytes key, struct bytes row)
{
    const struct conflicts *c = ctx;
    (void)row;
    if (key.n != 1 + RID_SIZE)
        return -EUCLEAN;
    struct rid rid = rid_at(key, 1);
    return c->fn(c->ctx, &rid);
}

int replica_conflicts(struct replica *r, int (*fn)(void *ctx, const struct rid *rid), void *ctx)
{
    struct conflicts c = {fn, ctx};
    const uint8_t tag = SHOWN_CONFLICT;
    return replica_done(r, txn_scan(&r->txn, DB_SHOWN, bytes_of(&tag, 1), (struct bytes){NULL, 0},
                                    conflict_row, &c));
}
