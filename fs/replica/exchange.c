/*
 * fs/replica/exchange - what a replica gives to others. Source: README.md, Exchange.
 */
#include "fs/replica/exchange.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "fs/replica/mutant.h"
#include "fs/replica/past.h"
#include "fs/replica/record.h"

enum { LOG_KEY_SIZE = DOT_SIZE + RID_SIZE };

/* Where changes are read: iterators over one state of the database, or, without them, as it is. */
struct source {
    struct db *db;
    struct db_iter *record, *version;
    struct txn arena; /* room for what is decoded */
};

struct replica_stream {
    struct db *db;
    struct db_snapshot *snap;
    struct db_iter *log;
    bool on; /* the log is on a key that is still to be looked at */
    struct source from;
    struct vv have, known;
};

/* ---- encoding a change ----------------------------------------------------------------------- */

static int seek_exact(struct db_iter *it, struct bytes key, struct bytes *ret)
{
    db_iter_seek(it, key);
    if (!db_iter_next(it) || !bytes_equal(db_iter_key(it), key)) {
        int rc = db_iter_status(it);
        return rc < 0 ? rc : 0;
    }
    *ret = db_iter_value(it);
    return 1;
}

/* A row, good until the iterator moves, or @hold is given back: 1; 0: there is none. */
static int read_row(struct source *from, struct db_iter *it, enum db_cf cf, struct bytes key,
                    struct db_value *hold, struct bytes *ret)
{
    *hold = (struct db_value){.pin = NULL};
    if (it != NULL)
        return seek_exact(it, key, ret);
    int rc = db_get(from->db, cf, key, hold);
    *ret = hold->v;
    return rc == -ENOENT ? 0 : rc < 0 ? rc : 1;
}

static int encode_part(const struct value *v, struct buf *b)
{
    CLEANUP(buf_fini) struct buf one = {0};
    value_encode(v, VALUE_WIRE, &one);
    buf_put_string(b, buf_bytes(&one));
    return one.failed || b->failed ? -ENOMEM : 0;
}

/* A content, with its body. */
static int put_content(struct source *from, const struct value *stored, struct buf *b)
{
    struct value v = *stored;
    uint8_t k[KEY_MAX];
    struct bytes key = past_version_key(k, &v.rid, &v.dot), row;
    struct replica_content c;
    struct db_value hold;
    int rc = read_row(from, from->version, DB_VERSION, key, &hold, &row);
    if (rc == 1)
        rc = past_version(key, row, &c, &v.content.body);
    else if (rc == 0)
        rc = -EUCLEAN; /* the body of a current value is always there */
    if (rc == 0)
        rc = encode_part(&v, b);
    db_value_fini(&hold);
    return rc;
}

static int put_part(struct source *from, const struct value *v, struct buf *b)
{
    return v->facet == FACET_CONTENT ? put_content(from, v, b) : encode_part(v, b);
}

/* Appends every part of @dot that record @rid holds: their number. */
static int put_record(struct source *from, const struct dot *dot, const struct rid *rid,
                      struct buf *b)
{
    struct bytes row;
    struct record rec;
    struct db_value hold;
    int n = 0, rc = read_row(from, from->record, DB_RECORD, rid_bytes(rid), &hold, &row);
    if (rc <= 0)
        return rc;
    rc = record_decode(&from->arena, rid, row, &rec);
    for (size_t i = 0; rc == 0 && i < rec.n; i++) {
        if (!dot_equal(&rec.v[i].dot, dot))
            continue;
        rc = put_part(from, &rec.v[i], b);
        n++;
    }
    db_value_fini(&hold);
    txn_reset(&from->arena);
    return rc < 0 ? rc : n;
}

/* @snap NULL: as it is. */
static int source_init(struct source *s, struct db *db, const struct db_snapshot *snap)
{
    const struct bytes all = {NULL, 0};
    const uint8_t versions = HISTORY_VERSION;
    int rc = txn_init(&s->arena, db);
    s->db = db;
    if (rc < 0 || snap == NULL)
        return rc;
    s->record = db_iter_new(db, DB_RECORD, all, snap);
    s->version = db_iter_new(db, DB_VERSION, bytes_of(&versions, 1), snap);
    return s->record == NULL || s->version == NULL ? -ENOMEM : 0;
}

static void source_fini(struct source *s)
{
    db_iter_free(s->record);
    db_iter_free(s->version);
    txn_fini(&s->arena);
}

/* ---- a stream -------------------------------------------------------------------------------- */

int replica_stream_new(struct replica *r, const struct vv *have, struct replica_stream **ret_stream)
{
    assert(!r->pending);
    struct replica_stream *s = calloc(1, sizeof *s);
    if (s == NULL)
        return -ENOMEM;
    s->db = r->db;
    s->snap = db_snapshot_new(r->db);
    int rc = s->snap == NULL ? -ENOMEM : source_init(&s->from, r->db, s->snap);
    if (rc == 0)
        s->log = db_iter_new(r->db, DB_LOG, (struct bytes){NULL, 0}, s->snap);
    if (rc == 0 && s->log == NULL)
        rc = -ENOMEM;
    if (rc == 0)
        rc = vv_copy(&s->have, have);
    if (rc == 0)
        rc = vv_copy(&s->known, &r->known);
    if (rc < 0) {
        replica_stream_free(s);
        return rc;
    }
    s->on = db_iter_next(s->log);
    *ret_stream = s;
    return 0;
}

int replica_stream_own(struct replica *r, uint64_t after, struct replica_stream **ret_stream)
{
    assert(!r->pending);
    uint8_t prefix[8];
    put_u64(prefix, r->id);
    struct replica_stream *s = calloc(1, sizeof *s);
    if (s == NULL)
        return -ENOMEM;
    s->db = r->db;
    int rc = source_init(&s->from, r->db, NULL);
    s->log = db_iter_new(r->db, DB_LOG, bytes_of(prefix, sizeof prefix), NULL);
    if (rc == 0 && s->log == NULL)
        rc = -ENOMEM;
    if (rc == 0 && after > 0)
        rc = vv_set(&s->have, r->id, after);
    if (rc < 0) {
        replica_stream_free(s);
        return rc;
    }
    uint8_t from[DOT_SIZE];
    dot_encode(&(struct dot){r->id, after + 1}, from);
    db_iter_seek(s->log, bytes_of(from, sizeof from));
    s->on = db_iter_next(s->log);
    *ret_stream = s;
    return 0;
}

void replica_stream_free(struct replica_stream *s)
{
    if (s == NULL)
        return;
    db_iter_free(s->log);
    source_fini(&s->from);
    db_snapshot_free(s->db, s->snap); /* accepts NULL */
    vv_fini(&s->have);
    vv_fini(&s->known);
    free(s);
}

const struct vv *replica_stream_knowledge(const struct replica_stream *s)
{
    return &s->known;
}

/* Moves to the next key whose dot the receiver lacks: 1, 0 at the end. */
static int find_new(struct replica_stream *s, struct dot *ret)
{
    while (s->on) {
        struct bytes key = db_iter_key(s->log);
        if (key.n != LOG_KEY_SIZE)
            return -EUCLEAN;
        *ret = dot_decode(key.p);
        uint64_t has = vv_get(&s->have, ret->replica);
        if (has < ret->counter)
            return 1;
        uint8_t next[DOT_SIZE]; /* over all of this replica that is had */
        dot_encode(&(struct dot){ret->replica, has + 1}, next);
        db_iter_seek(s->log, bytes_of(next, sizeof next));
        s->on = db_iter_next(s->log);
    }
    return db_iter_status(s->log);
}

/* A change's head needs the number of its parts: they are collected first. */
static int finish(const struct dot *dot, size_t n, const struct buf *parts, struct buf *ret)
{
    buf_reset(ret);
    value_change_begin(ret, dot, n);
    buf_put_bytes(ret, buf_bytes(parts));
    return buf_status(ret);
}

int replica_stream_next(struct replica_stream *s, struct dot *ret_dot, struct buf *ret)
{
    CLEANUP(buf_fini) struct buf parts = {0};
    struct dot dot;
    int rc = find_new(s, &dot);
    if (rc <= 0)
        return rc;
    if (MUTANT(one_change_short) && s->have.n > 0 && dot.counter == vv_get(&s->known, dot.replica))
        return 0;
    size_t n = 0;
    while (s->on) {
        struct bytes key = db_iter_key(s->log);
        if (key.n != LOG_KEY_SIZE)
            return -EUCLEAN;
        struct dot at = dot_decode(key.p);
        if (!dot_equal(&at, &dot))
            break;
        struct rid rid = rid_at(key, DOT_SIZE);
        rc = put_record(&s->from, &dot, &rid, &parts);
        if (rc <= 0)
            return rc < 0 ? rc : -EUCLEAN;
        n += (size_t)rc;
        s->on = db_iter_next(s->log);
    }
    rc = finish(&dot, n, &parts, ret);
    *ret_dot = dot;
    return rc < 0 ? rc : 1;
}

/* ---- one change ------------------------------------------------------------------------------ */

int replica_change_get(struct replica *r, const struct dot *dot, struct buf *ret)
{
    uint8_t prefix[DOT_SIZE];
    dot_encode(dot, prefix);
    CLEANUP(buf_fini) struct buf parts = {0};
    struct source from = {0};
    struct db_iter *log = db_iter_new(r->db, DB_LOG, bytes_of(prefix, sizeof prefix), NULL);
    int rc = log == NULL ? -ENOMEM : source_init(&from, r->db, NULL);
    size_t n = 0;
    while (rc >= 0 && db_iter_next(log)) {
        if (db_iter_key(log).n != LOG_KEY_SIZE) {
            rc = -EUCLEAN;
            break;
        }
        struct rid rid = rid_at(db_iter_key(log), DOT_SIZE);
        rc = put_record(&from, dot, &rid, &parts);
        if (rc > 0)
            n += (size_t)rc;
    }
    if (rc >= 0)
        rc = db_iter_status(log);
    db_iter_free(log);
    source_fini(&from);
    if (rc < 0)
        return rc;
    return n == 0 ? -ENOENT : finish(dot, n, &parts, ret);
}

/* ---- all values ------------------------------------------------------------------------------ */

struct each {
    struct replica *r;
    int (*fn)(void *ctx, const struct value *v);
    void *ctx;
};

static int each_record(void *ctx, struct bytes key, struct bytes row)
{
    const struct each *e = ctx;
    struct record rec;
    if (key.n != RID_SIZE)
        return -EUCLEAN;
    struct rid rid = rid_at(key, 0);
    int rc = record_decode(&e->r->txn, &rid, row, &rec);
    for (size_t i = 0; rc == 0 && i < rec.n; i++)
        rc = e->fn(e->ctx, &rec.v[i]);
    return rc;
}

int replica_values(struct replica *r, int (*fn)(void *ctx, const struct value *v), void *ctx)
{
    struct each e = {r, fn, ctx};
    const struct bytes all = {NULL, 0};
    return replica_done(r, txn_scan(&r->txn, DB_RECORD, all, all, each_record, &e));
}
