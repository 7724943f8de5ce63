#include "fs/replica/losers.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "fs/replica/conflict_name.h"
#include "fs/replica/effects.h"

enum { CLUSTER_FORMAT = 1 };

struct cluster {
    struct rid parent;
    struct bytes root;
    struct loser *v;
    size_t n;
};

int place_names_add(struct place_names *l, const struct rid *parent, struct bytes name)
{
    for (size_t i = 0; i < l->n; i++)
        if (bytes_equal(l->v[i].name, name) && rid_equal(&l->v[i].parent, parent))
            return 0;
    if (l->n == l->cap) {
        size_t cap = l->cap == 0 ? 8 : l->cap * 2;
        struct place_name *v = reallocarray(l->v, cap, sizeof *v);
        if (v == NULL)
            return -ENOMEM;
        l->v = v;
        l->cap = cap;
    }
    l->v[l->n++] = (struct place_name){*parent, name};
    return 0;
}

static struct bytes root_of(struct bytes name)
{
    while (name.n > 0 && name.p[name.n - 1] == '+')
        name.n--;
    return name;
}

/* The conflict name of a loser, before any '+', into @ret. */
static struct bytes base_name(struct replica *r, const struct loser *l, char ret[LIMIT_NAME + 1])
{
    char label[LIMIT_LABEL + 1];
    replica_label(r, l->stamp.replica, label);
    size_t n = conflict_name(l->wanted, label, l->stamp.hlc, &l->rid, ret);
    return bytes_of(ret, n);
}

/* ---- rows --------------------------------------------------------------------------------------
 */

static struct bytes cluster_key(uint8_t key[KEY_MAX], const struct rid *parent, struct bytes root)
{
    return key_of(key, SHOWN_LOSER, rid_bytes(parent), root, (struct bytes){NULL, 0});
}

static int decode(struct replica *r, struct bytes row, struct cluster *c)
{
    struct reader in = reader_of(row);
    uint8_t format = reader_u8(&in);
    uint64_t n = reader_varint(&in);
    if (in.failed || format != CLUSTER_FORMAT || n == 0 || n > in.n) /* each takes bytes */
        return -EUCLEAN;
    c->n = (size_t)n;
    c->v = txn_alloc(&r->txn, (c->n + 1) * sizeof *c->v);
    if (c->v == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < c->n; i++) {
        struct loser *l = &c->v[i];
        l->rid = rid_read(&in);
        l->slot = dot_read(&in);
        l->stamp.hlc = reader_u64(&in);
        l->stamp.replica = reader_u64(&in);
        l->dot = dot_read(&in);
        l->wanted = reader_string(&in, LIMIT_NAME);
        if (l->wanted.n == 0)
            return -EUCLEAN;
    }
    return reader_end(&in) < 0 ? -EUCLEAN : 0;
}

static int load(struct replica *r, const struct rid *parent, struct bytes root, struct cluster *ret)
{
    uint8_t k[KEY_MAX];
    struct bytes row;
    int rc = txn_get(&r->txn, DB_SHOWN, cluster_key(k, parent, root), &row);
    if (rc < 0)
        return rc;
    *ret = (struct cluster){.parent = *parent};
    if (rc == 1)
        rc = decode(r, row, ret);
    else
        ret->v = txn_alloc(&r->txn, sizeof *ret->v);
    if (rc == 0 && ret->v == NULL)
        rc = -ENOMEM;
    return rc < 0 ? rc : txn_copy(&r->txn, root, &ret->root);
}

static int store(struct replica *r, const struct cluster *c)
{
    uint8_t k[KEY_MAX];
    struct bytes key = cluster_key(k, &c->parent, c->root);
    if (c->n == 0)
        return txn_delete(&r->txn, DB_SHOWN, key);
    struct buf *b = &r->scratch;
    buf_reset(b);
    buf_put_u8(b, CLUSTER_FORMAT);
    buf_put_varint(b, c->n);
    for (size_t i = 0; i < c->n; i++) {
        const struct loser *l = &c->v[i];
        rid_put(b, &l->rid);
        dot_put(b, &l->slot);
        buf_put_u64(b, l->stamp.hlc);
        buf_put_u64(b, l->stamp.replica);
        dot_put(b, &l->dot);
        buf_put_string(b, l->wanted);
    }
    if (buf_status(b) < 0)
        return -ENOMEM;
    return txn_put(&r->txn, DB_SHOWN, key, buf_bytes(b));
}

static int count(struct replica *r, int by)
{
    struct counts c;
    int rc = counts_load(r, &c);
    if (rc < 0)
        return rc;
    if (by < 0 && c.losers == 0)
        return -EUCLEAN;
    c.losers += (uint64_t)(int64_t)by;
    return counts_store(r, &c);
}

/* ---- entering and leaving ----------------------------------------------------------------------
 */

static struct loser loser_of(const struct group *g, const struct claimant *c)
{
    return (struct loser){c->rid, c->slot, c->stamp, c->dot, g->name};
}

int losers_add(struct replica *r, const struct group *g, const struct claimant *c)
{
    struct loser l = loser_of(g, c);
    char base[LIMIT_NAME + 1];
    struct cluster k;
    int rc = load(r, &g->parent, root_of(base_name(r, &l, base)), &k);
    if (rc < 0)
        return rc;
    k.v[k.n++] = l;
    rc = store(r, &k);
    if (rc == 0)
        rc = count(r, 1);
    return rc < 0 ? rc : place_names_add(&r->clusters, &k.parent, k.root);
}

static int remove_at(struct replica *r, struct cluster *k, size_t i)
{
    memmove(&k->v[i], &k->v[i + 1], (k->n - i - 1) * sizeof *k->v);
    k->n--;
    int rc = store(r, k);
    if (rc == 0)
        rc = count(r, -1);
    return rc < 0 ? rc : place_names_add(&r->clusters, &k->parent, k->root);
}

static int remove_from(struct replica *r, const struct group *g, const struct claimant *c,
                       struct bytes root)
{
    struct cluster k;
    int rc = load(r, &g->parent, root, &k);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < k.n; i++)
        if (rid_equal(&k.v[i].rid, &c->rid) && dot_equal(&k.v[i].slot, &c->slot) &&
            bytes_equal(k.v[i].wanted, g->name))
            return remove_at(r, &k, i);
    return -ENOENT;
}

int losers_remove(struct replica *r, const struct group *g, const struct claimant *c)
{
    /* Where its decided name says; the label may be another one since. */
    int rc = c->name.n == 0 ? -ENOENT : remove_from(r, g, c, root_of(c->name));
    if (rc != -ENOENT)
        return rc;
    struct loser l = loser_of(g, c);
    char base[LIMIT_NAME + 1];
    rc = remove_from(r, g, c, root_of(base_name(r, &l, base)));
    return rc == -ENOENT ? -EUCLEAN : rc;
}

int losers_touch(struct replica *r, const struct rid *parent, struct bytes name)
{
    struct counts c;
    int rc = counts_load(r, &c);
    if (rc < 0 || c.losers == 0)
        return rc;
    return place_names_add(&r->clusters, parent, root_of(name));
}

/* ---- deciding ----------------------------------------------------------------------------------
 */

static int cmp_losers(const void *ap, const void *bp)
{
    const struct loser *a = ap, *b = bp;
    return names_cmp(&a->rid, &a->stamp, &a->dot, &a->slot, &b->rid, &b->stamp, &b->dot, &b->slot);
}

/* Whether an entry has @name: one that claims it, or a loser before. */
static int taken(struct replica *r, const struct cluster *k, struct bytes name,
                 const struct bytes *given, size_t given_n)
{
    for (size_t i = 0; i < given_n; i++)
        if (bytes_equal(given[i], name))
            return 1;
    uint8_t key[KEY_MAX];
    struct bytes row;
    return txn_get(&r->txn, DB_SHOWN,
                   key_of(key, SHOWN_NAME, rid_bytes(&k->parent), name, (struct bytes){NULL, 0}),
                   &row);
}

/* Stores the decided name of a loser with its claim, and reports what changed. */
static int give(struct replica *r, const struct cluster *k, const struct loser *l,
                struct bytes name)
{
    struct group g;
    int rc = names_group(r, &k->parent, l->wanted, &g);
    if (rc < 0)
        return rc;
    struct claimant *c = names_find(&g, &l->rid, &l->slot);
    if (c == NULL || c->as != SHOWN_AS_LOSER)
        return -EUCLEAN;
    if (bytes_equal(c->name, name))
        return 0;
    struct place_name from = {k->parent, c->name}, to = {k->parent, name};
    rc = effects_entry(r, &l->rid, &l->slot, from.name.n > 0 ? &from : NULL,
                       name.n > 0 ? &to : NULL);
    c->name = name;
    return rc < 0 ? rc : names_store(r, &g);
}

static int settle_cluster(struct replica *r, const struct place_name *at)
{
    struct cluster k;
    int rc = load(r, &at->parent, at->name, &k);
    if (rc < 0 || k.n == 0)
        return rc;
    if (k.n > 1)
        qsort(k.v, k.n, sizeof *k.v, cmp_losers);
    struct bytes *given = txn_alloc(&r->txn, k.n * sizeof *given);
    if (given == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < k.n && rc == 0; i++) {
        char buf[LIMIT_NAME + 1];
        struct bytes name = base_name(r, &k.v[i], buf);
        while ((rc = taken(r, &k, name, given, i)) == 1 && name.n < LIMIT_NAME)
            buf[name.n++] = '+';
        /* Only a hostile device makes so many equal names: what is left over stays hidden. */
        if (rc == 1)
            name.n = 0;
        if (rc >= 0)
            rc = txn_copy(&r->txn, name, &given[i]);
        if (rc == 0)
            rc = give(r, &k, &k.v[i], given[i]);
    }
    return rc;
}

/* Losers that lie under another label than that of now go where this one belongs. */
static int move_strays(struct replica *r, const struct place_name *at)
{
    struct cluster k;
    int rc = load(r, &at->parent, at->name, &k);
    if (rc < 0)
        return rc;
    size_t had = k.n, left = 0;
    for (size_t i = 0; i < had && rc == 0; i++) {
        char base[LIMIT_NAME + 1];
        struct cluster to;
        struct bytes root = root_of(base_name(r, &k.v[i], base));
        if (bytes_equal(root, k.root)) {
            k.v[left++] = k.v[i];
            continue;
        }
        rc = load(r, &k.parent, root, &to);
        if (rc == 0) {
            to.v[to.n++] = k.v[i];
            rc = store(r, &to);
        }
        if (rc == 0)
            rc = place_names_add(&r->clusters, &to.parent, to.root);
    }
    k.n = left;
    return rc < 0 || left == had ? rc : store(r, &k);
}

int losers_settle(struct replica *r)
{
    int rc = 0;
    for (size_t i = 0; i < r->clusters.n && rc == 0; i++) {
        const struct place_name at = r->clusters.v[i]; /* more are added */
        rc = move_strays(r, &at);
    }
    for (size_t i = 0; i < r->clusters.n && rc == 0; i++)
        rc = settle_cluster(r, &r->clusters.v[i]);
    return rc;
}

/* ---- after labels changed ----------------------------------------------------------------------
 */

static int touch_one(void *ctx, struct bytes key, struct bytes value)
{
    struct replica *r = ctx;
    struct bytes root;
    struct rid parent = rid_at(key, 1);
    (void)value;
    int rc = txn_copy(&r->txn, bytes_of(key.p + 1 + RID_SIZE, key.n - 1 - RID_SIZE), &root);
    return rc < 0 ? rc : place_names_add(&r->clusters, &parent, root);
}

int names_touch_losers(struct replica *r)
{
    const uint8_t tag = SHOWN_LOSER;
    return txn_scan(&r->txn, DB_SHOWN, bytes_of(&tag, 1), (struct bytes){NULL, 0}, touch_one, r);
}

/* ---- finding -----------------------------------------------------------------------------------
 */

int names_losers(struct replica *r, const struct rid *parent, struct bytes name,
                 struct claimant **ret, size_t *ret_n)
{
    struct counts counts;
    struct cluster k;
    *ret_n = 0;
    *ret = NULL;
    int rc = counts_load(r, &counts);
    if (rc < 0 || counts.losers == 0)
        return rc;
    rc = load(r, parent, root_of(name), &k);
    if (rc < 0)
        return rc;
    struct claimant *v = txn_alloc(&r->txn, (k.n + 1) * sizeof *v);
    if (v == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < k.n; i++) {
        struct group g;
        rc = names_group(r, parent, k.v[i].wanted, &g);
        if (rc < 0)
            return rc;
        const struct claimant *c = names_find(&g, &k.v[i].rid, &k.v[i].slot);
        if (c == NULL || c->as != SHOWN_AS_LOSER)
            return -EUCLEAN;
        v[i] = *c;
    }
    *ret = v;
    *ret_n = k.n;
    return 0;
}
