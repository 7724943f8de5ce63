#include "fs/replica/names.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "fs/replica/effects.h"
#include "fs/replica/losers.h"
#include "fs/replica/mutant.h"

enum { GROUP_FORMAT = 1 };

static struct bytes group_key(uint8_t key[KEY_MAX], const struct rid *parent, struct bytes name)
{
    return key_of(key, SHOWN_NAME, rid_bytes(parent), name, (struct bytes){NULL, 0});
}

/* ---- rows --------------------------------------------------------------------------------------
 */

static void read_claimant(struct reader *r, struct claimant *c)
{
    c->rid = rid_read(r);
    c->slot = dot_read(r);
    c->stamp.hlc = reader_u64(r);
    c->stamp.replica = reader_u64(r);
    c->dot = dot_read(r);
    uint8_t as = reader_u8(r);
    if (as > SHOWN_AS_LOSER)
        r->failed = true;
    c->as = r->failed ? SHOWN_NOT_YET : (enum shown_as)as;
    c->name = reader_string(r, LIMIT_NAME);
}

int names_decode(struct txn *arena, struct bytes key, struct bytes row, struct group *ret)
{
    if (key.n <= 1 + RID_SIZE || key.n > 1 + RID_SIZE + LIMIT_NAME)
        return -EUCLEAN;
    struct reader r = reader_of(row);
    uint8_t format = reader_u8(&r);
    uint64_t n = reader_varint(&r);
    if (r.failed || format != GROUP_FORMAT || n == 0 || n > r.n) /* each takes bytes */
        return -EUCLEAN;
    ret->parent = rid_at(key, 1);
    ret->name = bytes_of(key.p + 1 + RID_SIZE, key.n - 1 - RID_SIZE);
    ret->n = (size_t)n;
    ret->v = txn_alloc(arena, (ret->n + 1) * sizeof *ret->v); /* one more may be added */
    if (ret->v == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < ret->n; i++)
        read_claimant(&r, &ret->v[i]);
    return reader_end(&r) < 0 ? -EUCLEAN : 0;
}

int names_group(struct replica *r, const struct rid *parent, struct bytes name, struct group *ret)
{
    uint8_t k[KEY_MAX];
    struct bytes key = group_key(k, parent, name), row;
    int rc = txn_get(&r->txn, DB_SHOWN, key, &row);
    if (rc < 0)
        return rc;
    *ret = (struct group){.parent = *parent};
    if (rc == 1)
        rc = names_decode(&r->txn, key, row, ret);
    else
        ret->v = txn_alloc(&r->txn, sizeof *ret->v);
    if (rc == 0 && ret->v == NULL)
        rc = -ENOMEM;
    /* The key above is on the stack. */
    return rc < 0 ? rc : txn_copy(&r->txn, name, &ret->name);
}

int names_store(struct replica *r, const struct group *g)
{
    uint8_t k[KEY_MAX];
    struct bytes key = group_key(k, &g->parent, g->name);
    if (g->n == 0)
        return txn_delete(&r->txn, DB_SHOWN, key);
    struct buf *b = &r->scratch;
    buf_reset(b);
    buf_put_u8(b, GROUP_FORMAT);
    buf_put_varint(b, g->n);
    for (size_t i = 0; i < g->n; i++) {
        const struct claimant *c = &g->v[i];
        rid_put(b, &c->rid);
        dot_put(b, &c->slot);
        buf_put_u64(b, c->stamp.hlc);
        buf_put_u64(b, c->stamp.replica);
        dot_put(b, &c->dot);
        buf_put_u8(b, (uint8_t)c->as);
        buf_put_string(b, c->name);
    }
    if (buf_status(b) < 0)
        return -ENOMEM;
    return txn_put(&r->txn, DB_SHOWN, key, buf_bytes(b));
}

/* ---- claims ------------------------------------------------------------------------------------
 */

struct claimant *names_find(const struct group *g, const struct rid *rid, const struct dot *slot)
{
    for (size_t i = 0; i < g->n; i++)
        if (rid_equal(&g->v[i].rid, rid) && dot_equal(&g->v[i].slot, slot))
            return &g->v[i];
    return NULL;
}

struct bytes names_shown(const struct group *g, const struct claimant *c)
{
    if (c->as == SHOWN_AS_NAMED)
        return g->name;
    return c->as == SHOWN_AS_LOSER ? c->name : (struct bytes){NULL, 0};
}

/* What @c was shown as ends: it is reported, and a loser leaves its cluster. */
static int end(struct replica *r, const struct group *g, struct claimant *c)
{
    struct place_name from = {g->parent, names_shown(g, c)};
    int rc = from.name.n == 0 ? 0 : effects_entry(r, &c->rid, &c->slot, &from, NULL);
    if (rc == 0 && c->as == SHOWN_AS_LOSER)
        rc = losers_remove(r, g, c);
    c->as = SHOWN_NOT_YET;
    c->name = (struct bytes){NULL, 0};
    return rc;
}

int names_claim(struct replica *r, const struct rid *rid, const struct claim *c)
{
    struct group g;
    int rc = names_group(r, &c->parent, c->name, &g);
    if (rc < 0)
        return rc;
    if (names_find(&g, rid, &c->slot) != NULL)
        return -EUCLEAN;
    g.v[g.n++] = (struct claimant){
        .rid = *rid, .slot = c->slot, .stamp = c->stamp, .dot = c->dot, .as = SHOWN_NOT_YET};
    rc = names_store(r, &g);
    return rc < 0 ? rc : place_names_add(&r->groups, &g.parent, g.name);
}

int names_release(struct replica *r, const struct rid *rid, const struct claim *c)
{
    struct group g;
    int rc = names_group(r, &c->parent, c->name, &g);
    if (rc < 0)
        return rc;
    struct claimant *at = names_find(&g, rid, &c->slot);
    if (at == NULL)
        return -EUCLEAN;
    rc = end(r, &g, at);
    if (rc < 0)
        return rc;
    size_t i = (size_t)(at - g.v);
    memmove(at, at + 1, (g.n - i - 1) * sizeof *at);
    g.n--;
    rc = names_store(r, &g);
    return rc < 0 ? rc : place_names_add(&r->groups, &g.parent, g.name);
}

/* ---- deciding ----------------------------------------------------------------------------------
 */

int names_cmp(const struct rid *a_rid, const struct stamp *a_stamp, const struct dot *a_dot,
              const struct dot *a_slot, const struct rid *b_rid, const struct stamp *b_stamp,
              const struct dot *b_dot, const struct dot *b_slot)
{
    int c = MUTANT(files_first) ? 0 : (int)rid_is_dir(b_rid) - (int)rid_is_dir(a_rid);
    if (c == 0)
        c = stamp_cmp(a_stamp, b_stamp);
    if (c == 0)
        c = dot_cmp(a_dot, b_dot);
    if (c == 0)
        c = rid_cmp(a_rid, b_rid);
    return c != 0 ? c : dot_cmp(a_slot, b_slot);
}

static int cmp_claimants(const void *ap, const void *bp)
{
    const struct claimant *a = ap, *b = bp;
    return names_cmp(&a->rid, &a->stamp, &a->dot, &a->slot, &b->rid, &b->stamp, &b->dot, &b->slot);
}

/* How claimant @i of the sorted group is to be shown. Only hard links (@links) can be twins. */
static enum shown_as decide(const struct group *g, size_t i, bool links)
{
    for (size_t j = 0; links && j < i; j++)
        if (rid_equal(&g->v[j].rid, &g->v[i].rid))
            return SHOWN_AS_TWIN;
    return i == 0 ? SHOWN_AS_NAMED : SHOWN_AS_LOSER;
}

static int show(struct replica *r, const struct group *g, struct claimant *c, enum shown_as as)
{
    int rc = 0;
    if (c->as == as)
        return 0;
    if (c->as != SHOWN_NOT_YET)
        rc = end(r, g, c);
    c->as = as;
    if (rc == 0 && as == SHOWN_AS_NAMED) {
        struct place_name to = {g->parent, g->name};
        rc = effects_entry(r, &c->rid, &c->slot, NULL, &to);
    } else if (rc == 0 && as == SHOWN_AS_LOSER) {
        rc = losers_add(r, g, c); /* its name is decided with its cluster */
    }
    return rc;
}

static int settle_group(struct replica *r, const struct place_name *at)
{
    struct group g;
    int rc = names_group(r, &at->parent, at->name, &g);
    if (rc < 0)
        return rc;
    if (g.n > 1)
        qsort(g.v, g.n, sizeof *g.v, cmp_claimants);
    bool links = false;
    for (size_t i = 0; i < g.n; i++)
        links = links || !dot_is_none(&g.v[i].slot);
    for (size_t i = 0; i < g.n && rc == 0; i++)
        rc = show(r, &g, &g.v[i], decide(&g, i, links));
    if (rc == 0 && g.n > 0)
        rc = names_store(r, &g);
    return rc < 0 ? rc : losers_touch(r, &at->parent, at->name);
}

int names_settle(struct replica *r)
{
    int rc = 0;
    for (size_t i = 0; i < r->groups.n && rc == 0; i++)
        rc = settle_group(r, &r->groups.v[i]);
    return rc < 0 ? rc : losers_settle(r);
}
