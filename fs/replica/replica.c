#include "fs/replica/replica.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "fs/replica/author.h"
#include "fs/replica/digest.h"
#include "fs/replica/mutant.h"
#include "fs/replica/names.h"
#include "fs/replica/past.h"

enum { STATE_FORMAT = 2 };

static const char state_key[] = "replica";

struct bytes key_of(uint8_t key[KEY_MAX], int tag, struct bytes a, struct bytes b, struct bytes c)
{
    assert(1 + a.n + b.n + c.n <= KEY_MAX);
    key[0] = (uint8_t)tag;
    size_t n = 1;
    const struct bytes parts[] = {a, b, c};
    for (size_t i = 0; i < ARRAY_N(parts); i++) {
        if (parts[i].n > 0)
            memcpy(key + n, parts[i].p, parts[i].n);
        n += parts[i].n;
    }
    return bytes_of(key, n);
}

/* ---- the replica's own row ----------------------------------------------------------------------
 */

static int load_state(struct replica *r)
{
    struct db_value row = {0};
    int rc = db_get(r->db, DB_META, bytes_str(state_key), &row);
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    struct reader in = reader_of(row.v);
    uint8_t format = reader_u8(&in);
    r->id = reader_u64(&in);
    r->hlc.last = reader_u64(&in);
    rc = vv_read(&in, &r->known);
    if (rc == 0 && MUTANT(dot_again) && vv_get(&r->known, r->id) > 0)
        rc = vv_set(&r->known, r->id, vv_get(&r->known, r->id) - 1);
    if (rc == 0)
        rc = vv_read(&in, &r->floor);
    if (rc == 0)
        rc = vv_read(&in, &r->applied);
    if (rc == 0)
        rc = vv_join(&r->applied, &r->known);
    reader_copy(&in, r->digest.b, HASH_SIZE);
    if (format > STATE_FORMAT)
        rc = -ENOTSUP;
    else if (rc == -EBADMSG || (rc == 0 && reader_end(&in) < 0))
        rc = -EUCLEAN;
    db_value_fini(&row);
    return rc;
}

/* Little of what was applied is not known yet: that alone is written. */
static void put_beyond(struct buf *b, const struct vv *applied, const struct vv *known)
{
    uint64_t n = 0;
    for (size_t i = 0; i < applied->n; i++)
        n += !vv_has(known, &applied->v[i]);
    buf_put_varint(b, n);
    for (size_t i = 0; i < applied->n; i++)
        if (!vv_has(known, &applied->v[i]))
            dot_put(b, &applied->v[i]);
}

static int put_state(struct replica *r)
{
    struct buf *b = &r->scratch;
    buf_reset(b);
    buf_put_u8(b, STATE_FORMAT);
    buf_put_u64(b, r->id);
    buf_put_u64(b, r->hlc.last);
    vv_put(b, &r->known);
    vv_put(b, &r->floor);
    put_beyond(b, &r->applied, &r->known);
    buf_put(b, r->digest.b, HASH_SIZE);
    if (buf_status(b) < 0)
        return -ENOMEM;
    return txn_put(&r->txn, DB_META, bytes_str(state_key), buf_bytes(b));
}

/* ---- opening and closing ------------------------------------------------------------------------
 */

int replica_open(struct db *db, const struct replica_config *cfg, struct replica **ret_replica,
                 struct err *err)
{
    if (cfg->now_ms == NULL || (cfg->label != NULL && strlen(cfg->label) > LIMIT_LABEL))
        return err_set(err, -EINVAL, "replica: no clock, or a label longer than %d bytes",
                       LIMIT_LABEL);
    struct replica *r = calloc(1, sizeof *r);
    if (r == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    r->db = db;
    r->cfg = *cfg;
    sodium_memzero(r->cfg.secret, sizeof r->cfg.secret);
    r->cfg.label = NULL;
    r->id = cfg->id;
    if (cfg->label != NULL)
        memcpy(r->label, cfg->label, strlen(cfg->label));
    int rc = space_keys_init(&r->keys, cfg->secret);
    if (rc == 0)
        rc = txn_init(&r->txn, db);
    if (rc == 0)
        rc = load_state(r);
    if (rc < 0) {
        replica_close(r);
        return err_set(err, rc, "opening the replica: %s",
                       rc == -ENOTSUP ? "written by a newer version" : strerror(-rc));
    }
    *ret_replica = r;
    return 0;
}

void replica_close(struct replica *r)
{
    if (r == NULL)
        return;
    assert(!r->pending && !r->change.open);
    space_keys_fini(&r->keys);
    txn_fini(&r->txn);
    vv_fini(&r->known);
    vv_fini(&r->floor);
    vv_fini(&r->applied);
    vv_fini(&r->saved.known);
    vv_fini(&r->saved.floor);
    vv_fini(&r->saved.applied);
    buf_fini(&r->scratch);
    rids_fini(&r->dirty);
    rids_fini(&r->moved);
    free(r->groups.v);
    free(r->clusters.v);
    free(r->told);
    free(r->ends);
    free(r);
}

const struct space_keys *replica_keys(const struct replica *r)
{
    return &r->keys;
}

uint64_t replica_id(const struct replica *r)
{
    return r->id;
}

const struct vv *replica_knowledge(const struct replica *r)
{
    return &r->known;
}

const struct vv *replica_floor(const struct replica *r)
{
    return &r->floor;
}

const struct vv *replica_applied(const struct replica *r)
{
    return &r->applied;
}

void replica_label(struct replica *r, uint64_t id, char ret[LIMIT_LABEL + 1])
{
    static const char digits[] = "0123456789abcdef";
    ret[0] = '\0';
    if (r->cfg.label_of != NULL && r->cfg.label_of(r->cfg.ctx, id, ret))
        ret[LIMIT_LABEL] = '\0';
    else if (id == r->id)
        memcpy(ret, r->label, sizeof r->label);
    else
        ret[0] = '\0';
    if (ret[0] == '\0') {
        for (int i = 0; i < 8; i++)
            ret[i] = digits[id >> (60 - 4 * i) & 15];
        ret[8] = '\0';
    }
    /* Labels are checked where they come from; a name must be one in any case. */
    for (char *p = ret; *p != '\0'; p++)
        if (*p == '/' || (unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '_';
}

/* ---- pending ------------------------------------------------------------------------------------
 */

int replica_pend(struct replica *r)
{
    if (r->pending)
        return 0;
    int rc = vv_copy(&r->saved.known, &r->known);
    if (rc == 0)
        rc = vv_copy(&r->saved.floor, &r->floor);
    if (rc == 0)
        rc = vv_copy(&r->saved.applied, &r->applied);
    if (rc < 0)
        return rc;
    txn_reset(&r->txn); /* what queries left there may be old, and cost memory */
    rc = digest_begin(r);
    if (rc < 0)
        return rc;
    r->saved.id = r->id;
    r->saved.digest = r->digest;
    r->pending = true;
    return 0;
}

static int flush_row(void *ctx, struct bytes key, bool put, struct bytes value)
{
    const struct change *c = ctx;
    const struct replica_config *cfg = &c->r->cfg;
    int (*fn)(void *, struct db_batch *, const struct rid *, const struct dot *, struct bytes) =
        put ? cfg->version_added : cfg->version_removed;
    if (key.p[0] != HISTORY_VERSION || fn == NULL)
        return 0;
    struct replica_content content;
    struct bytes body;
    int rc = past_version(key, value, &content, &body);
    struct rid rid = rid_at(key, 1);
    return rc < 0 ? rc : fn(cfg->ctx, c->batch, &rid, &content.dot, body);
}

int replica_flush(struct replica *r, size_t mark, struct db_batch *batch)
{
    struct change to = {.r = r, .batch = batch};
    int rc = put_state(r);
    return rc < 0 || batch == NULL ? rc : txn_flush(&r->txn, mark, batch, flush_row, &to);
}

void replica_undo(struct replica *r, size_t mark)
{
    txn_rollback(&r->txn, mark);
    digest_rolled_back(r);
    settle_reset(r);
    if (txn_clean(&r->txn) && r->told_n == 0 && !r->change.open)
        r->pending = false; /* nothing is left for the caller to write */
}

int replica_tell_reserve(struct replica *r)
{
    if (r->told_n < r->told_cap)
        return 0;
    size_t cap = r->told_cap == 0 ? 16 : r->told_cap * 2;
    struct pending_change *v = reallocarray(r->told, cap, sizeof *v);
    if (v == NULL)
        return -ENOMEM;
    r->told = v;
    r->told_cap = cap;
    return 0;
}

void replica_tell(struct replica *r, const struct dot *dot, bool own)
{
    assert(r->told_n < r->told_cap);
    r->told[r->told_n++] = (struct pending_change){*dot, own};
}

int replica_done(struct replica *r, int rc)
{
    if (!r->pending)
        txn_reset(&r->txn);
    return rc;
}

void replica_committed(struct replica *r)
{
    assert(!r->change.open);
    size_t n = r->told_n;
    r->told_n = 0;
    r->pending = false;
    txn_reset(&r->txn);
    for (size_t i = 0; i < n && r->cfg.changed != NULL; i++)
        r->cfg.changed(r->cfg.ctx, &r->told[i].dot, r->told[i].own);
}

void replica_abort(struct replica *r)
{
    r->change.open = false;
    r->told_n = 0;
    settle_reset(r);
    txn_reset(&r->txn);
    if (r->cfg.aborted != NULL)
        r->cfg.aborted(r->cfg.ctx);
    if (!r->pending)
        return;
    r->pending = false;
    vv_swap(&r->known, &r->saved.known);
    vv_swap(&r->floor, &r->saved.floor);
    vv_swap(&r->applied, &r->saved.applied);
    r->digest = r->saved.digest;
    r->id = r->saved.id;
}

int replica_relabel(struct replica *r, struct db_batch *batch)
{
    assert(!r->change.open);
    int rc = replica_pend(r);
    size_t mark = txn_mark(&r->txn);
    if (rc == 0)
        rc = names_touch_losers(r);
    if (rc == 0)
        rc = settle(r);
    if (rc == 0)
        rc = replica_flush(r, mark, batch);
    if (rc < 0)
        replica_undo(r, mark);
    return rc;
}
