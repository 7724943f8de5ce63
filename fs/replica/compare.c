/*
 * A full comparison: what the other one's list says of the records here. Source: README.md, Full
 * comparison. compare_step.c carries out what is found.
 */
#include "fs/replica/compare.h"

#include <errno.h>
#include <stdlib.h>

#include "fs/replica/compare_priv.h"

int comparison_new(struct replica *r, const struct holdings_head *head, bool went_back,
                   struct comparison **ret)
{
    struct comparison *c = calloc(1, sizeof *c);
    if (c == NULL)
        return -ENOMEM;
    c->r = r;
    int rc = vv_join_dots(&c->known, head->known);
    if (rc == 0)
        rc = vv_join_dots(&c->floor, head->floor);
    if (rc == 0)
        c->own = db_iter_new(r->db, DB_RECORD, (struct bytes){NULL, 0}, NULL);
    if (rc == 0 && c->own == NULL)
        rc = -ENOMEM;
    if (rc < 0) {
        comparison_free(c);
        return rc;
    }
    /* Who knows all that was cleaned up there has nothing of it, if nothing is damaged. */
    c->behind = went_back || !vv_covers(&r->known, &c->floor);
    c->more = db_iter_next(c->own);
    *ret = c;
    return 0;
}

void comparison_free(struct comparison *c)
{
    if (c == NULL)
        return;
    db_iter_free(c->own);
    vv_fini(&c->known);
    vv_fini(&c->floor);
    buf_fini(&c->ask);
    rids_fini(&c->gone);
    rids_fini(&c->dead);
    rids_fini(&c->anew);
    rids_fini(&c->above);
    rids_fini(&c->fresh);
    rids_fini(&c->deleted);
    buf_fini(&c->stale);
    free(c);
}

/* Appends, where it is no repetition: the search of rids_add() would be one of all. */
static int append(struct rids *l, const struct rid *rid)
{
    l->head = l->n;
    return rids_add(l, rid) < 0 ? -ENOMEM : 0;
}

bool comparison_has(const struct rids *ascending, const struct rid *rid)
{
    size_t from = 0, to = ascending->n;
    while (from < to) {
        size_t mid = from + (to - from) / 2;
        int order = rid_cmp(&ascending->v[mid], rid);
        if (order == 0)
            return true;
        if (order < 0)
            from = mid + 1;
        else
            to = mid;
    }
    return false;
}

/* ---- one record --------------------------------------------------------------------------------
 */

static void note_odd(struct comparison *c, const struct dot *dot)
{
    c->found.odd++;
    if (c->found.missing == 0 && dot_is_none(&c->found.first))
        c->found.first = *dot;
}

static void note_missing(struct comparison *c, const struct dot *dot)
{
    if (c->found.missing++ == 0)
        c->found.first = *dot;
    for (size_t i = 0; i < c->ask.n; i += DOT_SIZE) {
        struct dot there = dot_decode(c->ask.p + i);
        if (dot_equal(&there, dot))
            return;
    }
    if (c->ask.n < COMPARISON_ASK_MAX * DOT_SIZE)
        dot_put(&c->ask, dot);
}

static bool is_row_of(const struct value *v, const struct holdings_value *h)
{
    return v->facet == h->facet && dot_equal(&v->dot, &h->dot) &&
           (v->facet != FACET_PLACE || dot_equal(&v->slot, &h->slot));
}

/* Whether a value of @rec in the facet of @h has seen @h. */
static bool is_seen(const struct record *rec, const struct holdings_value *h)
{
    struct value v = {.rid = rec->rid, .facet = h->facet, .slot = h->slot, .dot = h->dot};
    return record_has(rec, &v);
}

/* What is held there: here too, or seen or known here, or missing. 1: missing. */
static int look_there(struct comparison *c, const struct record *rec,
                      const struct holdings_value *h)
{
    static const uint8_t unsigned_yet[HOLDINGS_HEAD];
    struct bytes head;
    if (!is_seen(rec, h) && !vv_has(&c->r->known, &h->dot)) {
        note_missing(c, &h->dot);
        return 1;
    }
    int rc = digest_head(c->r, &rec->rid, &h->dot, &head);
    if (rc == 1 && memcmp(head.p, h->head, HOLDINGS_HEAD) != 0 &&
        memcmp(h->head, unsigned_yet, HOLDINGS_HEAD) != 0)
        note_missing(c, &h->dot); /* the other form shows who contradicts itself */
    return rc < 0 ? rc : 0;
}

static bool is_in(const struct holdings_record *theirs, const struct value *v)
{
    struct holdings_value h;
    struct reader r = reader_of(theirs->values);
    while (holdings_next(&r, &h))
        if (is_row_of(v, &h))
            return true;
    return false;
}

static bool has_facet(const struct holdings_record *theirs, enum facet facet)
{
    struct holdings_value h;
    struct reader r = reader_of(theirs->values);
    while (holdings_next(&r, &h))
        if (h.facet == facet)
            return true;
    return false;
}

/*
 * Whether of a record there is only what was changed of it here, unseen by those who cleaned it up:
 * it has no place, or lacks what is known there.
 */
static bool is_part(const struct comparison *c, const struct record *rec,
                    const struct holdings_record *theirs)
{
    bool part = !rid_is_root(&rec->rid) && !has_facet(theirs, FACET_PLACE);
    for (size_t i = 0; i < rec->n; i++)
        part = part || (vv_has(&c->known, &rec->v[i].dot) && !has_facet(theirs, rec->v[i].facet));
    return part;
}

static int note_stale(struct comparison *c, const struct value *v)
{
    c->found.stale++;
    rid_put(&c->stale, &v->rid);
    buf_put_u8(&c->stale, (uint8_t)v->facet);
    dot_put(&c->stale, &v->slot);
    dot_put(&c->stale, &v->dot);
    return buf_status(&c->stale);
}

/* Whether something that is held on both sides is in the place of @v: the record stays whole. */
static bool is_replaced(const struct holdings_record *theirs, const struct record *rec,
                        const struct value *v)
{
    struct holdings_value h;
    struct reader r = reader_of(theirs->values);
    while (holdings_next(&r, &h))
        for (size_t i = 0; h.facet == v->facet && i < rec->n; i++)
            if (is_row_of(&rec->v[i], &h))
                return true;
    return false;
}

static bool has_known(const struct comparison *c, const struct record *rec)
{
    for (size_t i = 0; i < rec->n; i++)
        if (vv_has(&c->known, &rec->v[i].dot))
            return true;
    return false;
}

static int note_anew(struct comparison *c, const struct rid *rid)
{
    c->found.again++;
    int rc = append(&c->anew, rid);
    return rc < 0 ? rc : append(&c->fresh, rid);
}

/* A record of which only a part is held there: whoever has all of it writes it anew. */
static int compare_part(struct comparison *c, const struct record *rec)
{
    struct slots s;
    int rc = derive_slots(c->r, rec, &s);
    return rc < 0 || !s.own ? rc : note_anew(c, &rec->rid);
}

/* A record that is held here and not there: it is gone, unless something in it is new there. */
static int compare_gone(struct comparison *c, const struct record *rec)
{
    struct slots s;
    bool fresh = false;
    int rc = derive_slots(c->r, rec, &s);
    for (size_t i = 0; i < rec->n && rc == 0; i++) {
        bool here_alone = !vv_has(&c->known, &rec->v[i].dot);
        if (!c->behind && !here_alone && s.own)
            note_odd(c, &rec->v[i].dot);
        fresh = fresh || here_alone;
    }
    if (rc < 0 || !c->behind || rid_is_root(&rec->rid))
        return rc;
    if (!fresh || !s.own) {
        if (!has_known(c, rec)) /* deleted here by changes that others may have seen: it stays so */
            return append(&c->deleted, &rec->rid);
        c->found.gone++;
        return append(&c->gone, &rec->rid);
    }
    for (size_t i = 0; i < rec->n && rc == 0; i++)
        rc = note_stale(c, &rec->v[i]); /* unless what is written replaces it: deleted names */
    return rc < 0 ? rc : note_anew(c, &rec->rid);
}

static int compare_held(struct comparison *c, const struct record *rec,
                        const struct holdings_record *theirs)
{
    struct slots s;
    bool fresh = false;
    int rc = derive_slots(c->r, rec, &s);
    for (size_t i = 0; i < rec->n && rc == 0; i++) {
        const struct value *v = &rec->v[i];
        bool known = vv_has(&c->known, &v->dot);
        fresh = fresh || !known;
        if (!known || is_in(theirs, v))
            continue;
        if (c->behind && is_replaced(theirs, rec, v))
            rc = note_stale(c, v);
        else if (s.own && theirs->alive)
            note_odd(c, &v->dot);
    }
    if (rc < 0 || !c->behind || rid_is_root(&rec->rid))
        return rc;
    if (rid_is_dir(&rec->rid) && !theirs->alive)
        rc = append(&c->dead, &rec->rid);
    if (rc < 0 || !fresh)
        return rc;
    if (s.own && !theirs->alive)
        return note_anew(c, &rec->rid);
    /* Its places are new there: what they are in is not to go. */
    return s.own ? append(&c->fresh, &rec->rid) : append(&c->deleted, &rec->rid);
}

/* How many values of the record are missing here. */
static int look_at_all(struct comparison *c, const struct record *rec,
                       const struct holdings_record *theirs)
{
    struct holdings_value h;
    struct reader r = reader_of(theirs->values);
    int rc = 0, missing = 0;
    while (rc >= 0 && holdings_next(&r, &h)) {
        rc = look_there(c, rec, &h);
        missing += rc == 1;
    }
    return rc < 0 ? rc : missing;
}

static int compare_one(struct comparison *c, const struct rid *rid,
                       const struct holdings_record *theirs)
{
    struct record rec;
    int rc = record_load(c->r, rid, &rec);
    if (rc == 0 && theirs != NULL)
        rc = look_at_all(c, &rec, theirs);
    /* What replaces what is held here has to come first. */
    if (rc != 0 || rec.n == 0)
        return rc < 0 ? rc : 0;
    if (theirs == NULL)
        return compare_gone(c, &rec);
    return is_part(c, &rec, theirs) ? compare_part(c, &rec) : compare_held(c, &rec, theirs);
}

/* ---- all of them -------------------------------------------------------------------------------
 */

/* The own records before @to (NULL: all that are left). */
static int compare_before(struct comparison *c, const struct rid *to)
{
    int rc = 0;
    while (rc == 0 && c->more) {
        if (db_iter_key(c->own).n != RID_SIZE)
            return -EUCLEAN;
        struct rid rid = rid_at(db_iter_key(c->own), 0);
        int order = to == NULL ? -1 : rid_cmp(&rid, to);
        if (order > 0)
            return 0;
        if (order < 0)
            rc = compare_one(c, &rid, NULL);
        c->more = db_iter_next(c->own);
    }
    return rc < 0 ? rc : db_iter_status(c->own);
}

int comparison_record(struct comparison *c, const struct holdings_record *theirs)
{
    int rc = compare_before(c, &theirs->rid);
    if (rc == 0)
        rc = compare_one(c, &theirs->rid, theirs);
    return replica_done(c->r, rc < 0 ? rc : buf_status(&c->ask));
}

/* A directory, and those above it. */
static int note_dirs(struct comparison *c, struct rid at)
{
    int rc = 0;
    while (rc == 0 && !rid_is_root(&at)) {
        struct node up;
        size_t before = c->above.n;
        rc = rids_add(&c->above, &at);
        if (rc == 0 && c->above.n == before) /* it was there, with those above it */
            break;
        if (rc == 0)
            rc = node_load(c->r, &at, &up);
        if (rc == 0 && !up.held)
            break;
        if (rc == 0)
            rc = node_up(c->r, &up, &at);
    }
    return rc;
}

/* Those that a record is shown in, and those that its new places name. */
static int note_above(struct comparison *c, const struct rid *rid)
{
    struct node n;
    struct record rec;
    int rc = node_load(c->r, rid, &n);
    if (rc == 0)
        rc = record_load(c->r, rid, &rec);
    for (size_t i = 0; rc == 0 && i < n.claims_n; i++)
        rc = note_dirs(c, n.claims[i].parent);
    for (size_t i = 0; rc == 0 && i < rec.n; i++)
        if (rec.v[i].facet == FACET_PLACE && !vv_has(&c->known, &rec.v[i].dot))
            rc = note_dirs(c, rec.v[i].place.parent);
    return rc;
}

static int by_rid(const void *a, const void *b)
{
    return rid_cmp(a, b);
}

/* Those that are gone or deleted there are written anew instead. */
static int settle_above(struct comparison *c)
{
    const size_t n = c->anew.n;
    int rc = 0;
    for (size_t i = 0; i < c->fresh.n && rc == 0; i++)
        rc = replica_done(c->r, note_above(c, &c->fresh.v[i]));
    for (size_t i = 0; i < c->above.n && rc == 0; i++) {
        const struct rid *rid = &c->above.v[i];
        const struct rids noted = {.v = c->anew.v, .n = n};
        if (!comparison_has(&noted, rid) &&
            (comparison_has(&c->gone, rid) || comparison_has(&c->dead, rid))) {
            c->found.again++;
            rc = append(&c->anew, rid);
        }
    }
    if (c->anew.n > 1)
        qsort(c->anew.v, c->anew.n, sizeof c->anew.v[0], by_rid);
    size_t kept = 0;
    for (size_t i = 0; i < c->gone.n; i++)
        if (!comparison_has(&c->anew, &c->gone.v[i]))
            c->gone.v[kept++] = c->gone.v[i];
    c->found.gone -= c->gone.n - kept;
    c->gone.n = kept;
    return rc;
}

static int by_dot(const void *a, const void *b)
{
    return memcmp(a, b, DOT_SIZE);
}

int comparison_end(struct comparison *c)
{
    int rc = replica_done(c->r, compare_before(c, NULL));
    if (c->ask.n > 0)
        qsort(c->ask.p, c->ask.n / DOT_SIZE, DOT_SIZE, by_dot);
    return rc < 0 ? rc : settle_above(c);
}

void comparison_found(const struct comparison *c, struct comparison_found *ret)
{
    *ret = c->found;
}

struct bytes comparison_ask(const struct comparison *c)
{
    return buf_bytes(&c->ask);
}
