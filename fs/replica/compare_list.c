/* The list of what a replica holds. */
#include <errno.h>

#include "fs/replica/compare.h"
#include "fs/replica/derive.h"
#include "fs/replica/digest.h"

int replica_list_head(const struct replica *r, uint64_t own, struct buf *ret)
{
    CLEANUP(buf_fini) struct buf known = {0}, floor = {0};
    CLEANUP(vv_fini) struct vv k = {0}, f = {0};
    int rc = vv_copy(&k, &r->known);
    if (rc == 0)
        rc = vv_set(&k, r->id, own);
    if (rc == 0)
        rc = vv_copy(&f, &r->floor);
    if (rc < 0)
        return rc;
    vv_meet(&f, &k);
    vv_put_elements(&known, &k);
    vv_put_elements(&floor, &f);
    if (buf_status(&known) < 0 || buf_status(&floor) < 0)
        return -ENOMEM;
    holdings_put_head(ret, &(struct holdings_head){{known.p, k.n}, {floor.p, f.n}});
    return buf_status(ret);
}

static int put_value(struct replica *r, const struct value *v, struct buf *ret)
{
    struct holdings_value h = {.facet = v->facet, .slot = v->slot, .dot = v->dot};
    struct bytes head;
    int rc = digest_head(r, &v->rid, &v->dot, &head);
    if (rc == 1) /* else zeros: it is not signed yet */
        memcpy(h.head, head.p, HOLDINGS_HEAD);
    holdings_put_value(ret, &h);
    return rc < 0 ? rc : buf_status(ret);
}

struct listing {
    struct replica *r;
    const struct rid *after;
    struct rid at;
    size_t n, max;
    struct buf *out;
};

static int put_record(struct listing *l, const struct record *rec)
{
    struct slots s;
    int rc = rec->n > HOLDINGS_VALUES_MAX ? -E2BIG : derive_slots(l->r, rec, &s);
    if (rc < 0)
        return rc;
    holdings_put_record(l->out, &rec->rid, s.own || rid_is_root(&rec->rid), rec->n);
    for (size_t i = 0; i < rec->n && rc == 0; i++)
        rc = put_value(l->r, &rec->v[i], l->out);
    return rc;
}

static int list_one(void *ctx, struct bytes key, struct bytes row)
{
    struct listing *l = ctx;
    struct record rec;
    if (key.n != RID_SIZE)
        return -EUCLEAN;
    struct rid rid = rid_at(key, 0);
    if (l->after != NULL && rid_cmp(&rid, l->after) <= 0)
        return 0;
    if (l->n == l->max)
        return 1;
    int rc = record_decode(&l->r->txn, &rid, row, &rec);
    if (rc == 0)
        rc = put_record(l, &rec);
    l->at = rid;
    l->n++;
    return rc;
}

int replica_list_put(struct replica *r, struct rid *after, bool first, size_t max, struct buf *ret)
{
    struct listing l = {.r = r, .after = first ? NULL : after, .max = max, .out = ret};
    const struct bytes all = {NULL, 0};
    int rc = txn_scan(&r->txn, DB_RECORD, all, first ? all : rid_bytes(after), list_one, &l);
    if (rc >= 0 && l.n > 0)
        *after = l.at;
    return replica_done(r, rc);
}
