/*
 * fs/replica/thin - which of the history is kept. Source: README.md, History.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "fs/replica/past_list.h"
#include "fs/replica/record.h"

#define HOUR_MS (UINT64_C(60) * 60 * 1000)
#define DAY_MS (24 * HOUR_MS)
#define WEEK_MS (7 * DAY_MS)

const struct history_policy history_policy_default = {
    .all_ms = DAY_MS, .hourly_ms = 7 * DAY_MS, .daily_ms = 30 * DAY_MS, .weekly_ms = 90 * DAY_MS};

/* ---- versions -------------------------------------------------------------------------------- */

/* The span of time of which one version is kept: 0 all of it, UINT64_MAX nothing. */
static uint64_t span_of(const struct history_policy *p, uint64_t age_ms)
{
    if (age_ms < p->all_ms)
        return 0;
    if (age_ms < p->hourly_ms)
        return HOUR_MS;
    if (age_ms < p->daily_ms)
        return DAY_MS;
    return age_ms < p->weekly_ms ? WEEK_MS : UINT64_MAX;
}

static uint64_t age_of(uint64_t now_ms, uint64_t then_ms)
{
    return then_ms < now_ms ? now_ms - then_ms : 0;
}

/* A version counts from when it ended; the last one to end in a span is kept. */
static bool is_kept(const struct versions *l, size_t i, const struct history_policy *p,
                    uint64_t now_ms)
{
    const struct history_version *v = &l->v[i];
    if (v->current)
        return true;
    uint64_t age = age_of(now_ms, v->until_ms), span = span_of(p, age);
    if (span == 0)
        return true;
    if (v->deleted)
        return age < p->weekly_ms;
    if (span == UINT64_MAX)
        return false;
    for (size_t j = i + 1; j < l->n; j++) {
        const struct history_version *later = &l->v[j];
        if (!later->current && later->until_ms >= v->until_ms &&
            span_of(p, age_of(now_ms, later->until_ms)) == span &&
            later->until_ms / span == v->until_ms / span)
            return false;
    }
    return true;
}

static int delete_version(struct replica *r, const struct rid *rid, const struct dot *dot)
{
    uint8_t k[KEY_MAX];
    struct bytes key = past_version_key(k, rid, dot), row;
    int rc = txn_get(&r->txn, DB_VERSION, key, &row); /* its body is handed out when it goes */
    return rc <= 0 ? rc : txn_delete(&r->txn, DB_VERSION, key);
}

static int thin_versions(struct replica *r, const struct rid *rid, const struct places *places,
                         const struct history_policy *p, uint64_t now_ms, size_t *ret_kept)
{
    CLEANUP(past_versions_fini) struct versions l = {0};
    int rc = past_versions(r, rid, places, &l);
    *ret_kept = 0;
    for (size_t i = 0; rc == 0 && i < l.n; i++) {
        const struct dot *dot = &l.v[i].content.dot;
        int keep = is_kept(&l, i, p, now_ms);
        if (!keep && r->cfg.version_kept != NULL)
            keep = r->cfg.version_kept(r->cfg.ctx, rid, dot);
        *ret_kept += keep > 0;
        rc = keep < 0 ? keep : keep > 0 ? 0 : delete_version(r, rid, dot);
    }
    return rc;
}

/* ---- places ---------------------------------------------------------------------------------- */

static bool is_old(const struct history_place *p, const struct history_policy *policy,
                   uint64_t now_ms)
{
    return age_of(now_ms, hlc_ms(p->stamp.hlc)) >= policy->weekly_ms;
}

/* An old place goes when a later old one of the slot follows it; all, when the record is forgotten.
 */
static bool place_goes(const struct places *l, size_t i, const struct history_policy *policy,
                       uint64_t now_ms, bool forgotten)
{
    if (!is_old(&l->v[i], policy, now_ms))
        return false;
    for (size_t j = i + 1; j < l->n; j++)
        if (dot_equal(&l->v[j].slot, &l->v[i].slot) && is_old(&l->v[j], policy, now_ms))
            return true;
    return forgotten;
}

static int delete_place(struct replica *r, const struct rid *rid, const struct history_place *p)
{
    uint8_t key[KEY_MAX];
    return txn_delete(&r->txn, DB_VERSION, past_place_key(key, rid, p));
}

static bool same_name(const struct history_place *a, const struct history_place *b)
{
    return rid_equal(&a->parent, &b->parent) && a->name_len == b->name_len &&
           memcmp(a->name, b->name, a->name_len) == 0;
}

static int thin_places(struct replica *r, const struct rid *rid, const struct places *l,
                       const struct history_policy *policy, uint64_t now_ms, bool forgotten)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < l->n; i++) {
        if (!place_goes(l, i, policy, now_ms, forgotten))
            continue;
        rc = delete_place(r, rid, &l->v[i]);
        bool named = false; /* by a place that stays */
        for (size_t j = 0; j < l->n; j++)
            named = named ||
                    (same_name(&l->v[i], &l->v[j]) && !place_goes(l, j, policy, now_ms, forgotten));
        uint8_t key[KEY_MAX];
        if (rc == 0 && !named)
            rc = txn_delete(
                &r->txn, DB_VERSION,
                past_name_key(key, &l->v[i].parent, bytes_of(l->v[i].name, l->v[i].name_len), rid));
    }
    return rc;
}

/* ---- all ------------------------------------------------------------------------------------- */

struct batch_of_rids {
    struct rid *v;
    size_t n, max;
};

static int next_rid(void *ctx, struct bytes key, struct bytes row)
{
    struct batch_of_rids *b = ctx;
    (void)row;
    if (key.n < 1 + RID_SIZE)
        return -EUCLEAN;
    struct rid rid = rid_at(key, 1);
    if (b->n > 0 && rid_equal(&b->v[b->n - 1], &rid))
        return 0;
    b->v[b->n++] = rid;
    return b->n > b->max; /* one more than wanted: where to go on */
}

static int thin_record(struct replica *r, const struct rid *rid,
                       const struct history_policy *policy, uint64_t now_ms)
{
    CLEANUP(past_places_fini) struct places places = {0};
    struct record rec;
    size_t kept = 0;
    int rc = past_places(r, rid, &places);
    if (rc == 0)
        rc = thin_versions(r, rid, &places, policy, now_ms, &kept);
    if (rc == 0)
        rc = record_load(r, rid, &rec);
    return rc < 0 ? rc : thin_places(r, rid, &places, policy, now_ms, rec.n == 0 && kept == 0);
}

static int thin(struct replica *r, uint64_t now_ms, const struct history_policy *policy,
                struct rid *cursor, size_t max)
{
    struct batch_of_rids b = {.max = max};
    const uint8_t tag = HISTORY_PLACE;
    uint8_t key[KEY_MAX];
    b.v = txn_alloc(&r->txn, (max + 1) * sizeof *b.v);
    if (b.v == NULL)
        return -ENOMEM;
    int more = txn_scan(&r->txn, DB_VERSION, bytes_of(&tag, 1), key_rid(key, HISTORY_PLACE, cursor),
                        next_rid, &b);
    int rc = more < 0 ? more : 0;
    for (size_t i = 0; rc == 0 && i < b.n && i < max; i++)
        rc = thin_record(r, &b.v[i], policy, now_ms);
    if (rc == 0)
        *cursor = more > 0 ? b.v[b.n - 1] : RID_ROOT;
    return rc < 0 ? rc : more;
}

int replica_thin(struct replica *r, struct db_batch *batch, uint64_t now_ms,
                 const struct history_policy *policy, struct rid *cursor, size_t max)
{
    assert(!r->change.open && max > 0);
    struct rid next = *cursor;
    int rc = replica_pend(r);
    size_t mark = txn_mark(&r->txn);
    int more = rc < 0 ? rc : thin(r, now_ms, policy, &next, max < 65536 ? max : 65536);
    if (more >= 0 && txn_mark(&r->txn) != mark)
        rc = replica_flush(r, mark, batch);
    if (more < 0 || rc < 0) {
        replica_undo(r, mark);
        return more < 0 ? more : rc;
    }
    replica_undo(r, txn_mark(&r->txn)); /* nothing is pending when nothing was thinned */
    *cursor = next;
    return more;
}
