#include "fs/replica/digest.h"

#include <assert.h>
#include <errno.h>

#include "fs/replica/check.h"
#include "fs/replica/derive.h"
#include "fs/replica/mutant.h"

/* ---- what counts -------------------------------------------------------------------------------
 */

/* A record as the digest sees it: what others may have cleaned up does not count. */
struct counted {
    const struct record *rec;
    struct slots s;
    bool all; /* its values count, but for deleted names */
};

static int count(struct replica *r, const struct record *rec, struct counted *ret)
{
    *ret = (struct counted){.rec = rec, .all = rid_is_root(&rec->rid)};
    int rc = ret->all ? 0 : derive_slots(r, rec, &ret->s);
    ret->all = ret->all || ret->s.own || MUTANT(digest_of_dead);
    return rc;
}

/* A deleted name of a living record may be left from before it was cleaned up elsewhere. */
static bool counts(const struct counted *c, const struct value *v)
{
    if (!c->all || v->facet != FACET_PLACE || MUTANT(digest_of_dead))
        return c->all;
    const struct slot *slot = derive_slot(&c->s, &v->slot);
    return slot != NULL && slot->shown;
}

static int toggle(struct replica *r, struct state_digest *d, const struct value *v)
{
    struct bytes head;
    int rc = digest_head(r, &v->rid, &v->dot, &head);
    if (rc == 1)
        state_digest_toggle(d, &r->keys, v, head.p);
    return rc < 0 ? rc : 0;
}

/* ---- keeping it --------------------------------------------------------------------------------
 */

static const struct bytes digest_key = {NULL, 0};

/* The transaction remembers it, so that it goes back with it. */
static int store(struct replica *r, const struct state_digest *d)
{
    if (memcmp(d, &r->digest, sizeof *d) == 0)
        return 0;
    r->digest = *d;
    return txn_put(&r->txn, TXN_DIGEST, digest_key, bytes_of(d->b, HASH_SIZE));
}

int digest_begin(struct replica *r)
{
    struct bytes none;
    return txn_get(&r->txn, TXN_DIGEST, digest_key,
                   &none); /* once there, it is found without fail */
}

void digest_rolled_back(struct replica *r)
{
    struct bytes was;
    if (!r->pending || MUTANT(digest_not_undone))
        return;
    int rc = txn_get(&r->txn, TXN_DIGEST, digest_key, &was);
    assert(rc >= 0);
    memcpy(r->digest.b, rc == 1 ? was.p : r->saved.digest.b, HASH_SIZE);
}

/* Two records' values in step: those that count in one of them alone. */
int digest_follow(struct replica *r, const struct record *was, const struct record *is)
{
    struct counted a, b;
    struct state_digest d = r->digest;
    int rc = count(r, was, &a);
    if (rc == 0)
        rc = count(r, is, &b);
    for (size_t i = 0, j = 0; rc == 0 && (i < was->n || j < is->n);) {
        int c = i == was->n ? 1 : j == is->n ? -1 : value_cmp(&was->v[i], &is->v[j]);
        const struct value *v = c <= 0 ? &was->v[i] : &is->v[j];
        bool before = c <= 0 && counts(&a, v) && !MUTANT(digest_keeps_old);
        bool after = c >= 0 && counts(&b, v);
        i += c <= 0;
        j += c >= 0;
        if (before != after)
            rc = toggle(r, &d, v);
    }
    return rc < 0 ? rc : store(r, &d);
}

/* ---- head hashes -------------------------------------------------------------------------------
 */

int digest_head(struct replica *r, const struct rid *rid, const struct dot *dot, struct bytes *ret)
{
    uint8_t key[LOG_KEY];
    int rc = txn_get(&r->txn, DB_LOG, record_log_key(key, dot, rid), ret);
    if (rc == 1 && ret->n != 0 && ret->n != HASH_SIZE)
        return -EUCLEAN;
    return rc == 1 ? ret->n == HASH_SIZE : rc;
}

int digest_sign(struct replica *r, const struct rid *rid, const struct dot *dot,
                const uint8_t head_hash[static HASH_SIZE])
{
    uint8_t key[LOG_KEY];
    struct bytes head;
    struct record rec;
    struct counted c;
    int rc = digest_head(r, rid, dot, &head);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    rc = record_load(r, rid, &rec);
    if (rc < 0 || !record_holds(&rec, dot))
        return rc;
    rc = txn_put(&r->txn, DB_LOG, record_log_key(key, dot, rid), bytes_of(head_hash, HASH_SIZE));
    if (rc == 0)
        rc = count(r, &rec, &c);
    struct state_digest d = r->digest;
    for (size_t i = 0; i < rec.n && rc == 0; i++)
        if (dot_equal(&rec.v[i].dot, dot) && counts(&c, &rec.v[i]))
            state_digest_toggle(&d, &r->keys, &rec.v[i], head_hash);
    return rc < 0 ? rc : store(r, &d);
}

/* Records with a part of one of the heads' changes, each with the place of that head. */
struct signing {
    const struct replica_head *heads;
    size_t n, at;
    struct buf found; /* of struct signed_part */
};

struct signed_part {
    size_t head;
    struct rid rid;
};

static int collect(void *ctx, struct bytes key, struct bytes row)
{
    struct signing *s = ctx;
    (void)row;
    if (key.n != LOG_KEY)
        return -EUCLEAN;
    struct dot dot = dot_decode(key.p);
    while (s->at < s->n && dot_cmp(&s->heads[s->at].dot, &dot) < 0)
        s->at++;
    if (s->at == s->n)
        return 1;
    if (!dot_equal(&s->heads[s->at].dot, &dot))
        return 0;
    struct signed_part p = {s->at, rid_at(key, DOT_SIZE)};
    buf_put(&s->found, &p, sizeof p);
    return buf_status(&s->found);
}

static int sign(struct replica *r, const struct replica_head *heads, size_t n)
{
    struct signing s = {.heads = heads, .n = n};
    uint8_t from[DOT_SIZE];
    if (n == 0)
        return 0;
    dot_encode(&heads[0].dot, from);
    int rc = txn_scan(&r->txn, DB_LOG, bytes_of(from, sizeof heads->dot.replica),
                      bytes_of(from, sizeof from), collect, &s);
    rc = rc < 0 ? rc : 0;
    for (size_t i = 0; i < s.found.n && rc == 0; i += sizeof(struct signed_part)) {
        struct signed_part p;
        memcpy(&p, s.found.p + i, sizeof p);
        rc = digest_sign(r, &p.rid, &heads[p.head].dot, heads[p.head].hash);
    }
    buf_fini(&s.found);
    return rc;
}

int replica_signed(struct replica *r, struct db_batch *batch, const struct replica_head *heads,
                   size_t n)
{
    assert(!r->change.open);
    int rc = replica_pend(r);
    size_t mark = txn_mark(&r->txn);
    if (rc == 0)
        rc = sign(r, heads, n);
    bool changed = txn_mark(&r->txn) != mark;
    if (rc == 0 && changed)
        rc = replica_flush(r, mark, batch);
    if (rc < 0 || !changed)
        replica_undo(r, mark);
    return rc;
}

void replica_digest(const struct replica *r, struct state_digest *ret)
{
    *ret = r->digest;
}

/* ---- anew --------------------------------------------------------------------------------------
 */

static int recount_record(struct replica *r, struct bytes key, struct bytes row,
                          struct state_digest *d)
{
    struct record rec;
    struct counted c;
    if (key.n != RID_SIZE)
        return -EUCLEAN;
    struct rid rid = rid_at(key, 0);
    int rc = record_decode(&r->txn, &rid, row, &rec);
    if (rc == 0)
        rc = count(r, &rec, &c);
    for (size_t i = 0; rc == 0 && i < rec.n; i++)
        if (counts(&c, &rec.v[i]))
            rc = toggle(r, d, &rec.v[i]);
    return rc;
}

int replica_digest_recount(struct replica *r, struct state_digest *ret)
{
    assert(!r->pending);
    *ret = (struct state_digest){0};
    struct db_iter *it = db_iter_new(r->db, DB_RECORD, (struct bytes){NULL, 0}, NULL);
    int rc = it == NULL ? -ENOMEM : 0;
    while (rc == 0 && db_iter_next(it))
        rc = replica_done(r, recount_record(r, db_iter_key(it), db_iter_value(it), ret));
    if (rc == 0)
        rc = db_iter_status(it);
    db_iter_free(it);
    return rc;
}

int replica_digest_repair(struct replica *r, struct db_batch *batch)
{
    struct state_digest d;
    int rc = replica_digest_recount(r, &d);
    if (rc == 0)
        rc = replica_pend(r);
    if (rc < 0)
        return rc;
    size_t mark = txn_mark(&r->txn);
    rc = store(r, &d);
    if (rc == 0)
        rc = replica_flush(r, mark, batch);
    if (rc < 0)
        replica_undo(r, mark);
    return rc;
}
