/*
 * Own changes become signed entries: in the order of their counters, up to 256 under one signature.
 */
#include <errno.h>
#include <stdlib.h>

#include "fs/space/sync_priv.h"
#include "proto/base/log.h"
#include "proto/sealed/chunk.h"

enum { TREE_BYTES_MAX = 4 << 20 };

/* What is signed together. */
struct tree_draft {
    struct entry_draft draft[ENTRY_TREE_MAX];
    struct dot dot[ENTRY_TREE_MAX];
    struct buf stored[ENTRY_TREE_MAX];
    size_t n, bytes;
    struct db_batch *batch;
    uint64_t to; /* all own counters up to here were looked at */
};

static void tree_draft_free(struct tree_draft *t)
{
    for (size_t i = 0; i < t->n; i++) {
        entry_draft_fini(&t->draft[i]);
        buf_wipe(&t->stored[i]);
    }
    db_batch_free(t->batch);
    free(t);
}

/* ---- what an entry refers to -------------------------------------------------------------------
 */

int sync_add_name(void *arg, const uint8_t id[CONTENT_ID_BYTES])
{
    struct buf *names = arg;
    for (size_t i = 0; i < names->n; i += CONTENT_ID_BYTES)
        if (memcmp(names->p + i, id, CONTENT_ID_BYTES) == 0)
            return 0;
    buf_put(names, id, CONTENT_ID_BYTES);
    return buf_status(names);
}

static int add_names(void *arg, const struct value *v)
{
    return content_body_ids(v->content.body, sync_add_name, arg);
}

int sync_names_of(struct bytes change, struct buf *ret)
{
    return exchange_each_content(change, add_names, ret);
}

static int ids_of(const struct epoch_keys *k, const struct buf *names, struct buf *ret)
{
    for (size_t i = 0; i < names->n; i += CONTENT_ID_BYTES) {
        struct chunk_id id = chunk_id_of(k, names->p + i);
        buf_put(ret, id.b, CHUNK_ID_SIZE);
    }
    return buf_status(ret);
}

/* ---- drafts ------------------------------------------------------------------------------------
 */

static uint64_t stamp_of(struct bytes change)
{
    struct reader r;
    struct dot dot;
    size_t n;
    struct value v;
    if (value_change_open(change, &r, &dot, &n) < 0 || n == 0 ||
        value_change_next(&r, &dot, &v) < 0)
        return 0;
    return v.stamp.hlc;
}

static int add_draft(struct space *s, struct tree_draft *t, const struct dot *dot,
                     struct bytes change, uint64_t after)
{
    struct sync *y = s->sync;
    struct buf names CLEANUP(buf_fini) = {0}, ids CLEANUP(buf_fini) = {0};
    struct buf plain CLEANUP(buf_wipe) = {0};
    uint8_t heads[LIMIT_ACT_HEADS * ACT_ID_SIZE];
    struct entry_head head = {.kind = ENTRY_VALUE, .space = y->space, .dot = *dot};
    int rc = sync_names_of(change, &names);
    if (rc == 0)
        rc = ids_of(sync_epoch(s), &names, &ids);
    if (rc < 0)
        return rc;
    buf_put_u64(&plain, after);
    buf_put_bytes(&plain, change);
    if (buf_status(&plain) < 0)
        return -ENOMEM;
    head.stamp = stamp_of(change);
    struct buf replaced CLEANUP(buf_fini) = {0};
    if (t->n == 0) /* one entry of a tree names what was superseded since the last one */
        rc = sync_take_replaced(s, t->batch, &replaced);
    if (rc < 0)
        return rc;
    struct entry_refs refs = {.acts = {heads, members_heads(y->members, heads)},
                              .replaced = {replaced.p, replaced.n / DOT_SIZE},
                              .chunks = {ids.p, min_u64(ids.n / CHUNK_ID_SIZE, LIMIT_CHUNK_IDS)}};
    rc = entry_draft_init(&t->draft[t->n], &head, &refs, buf_bytes(&plain));
    if (rc < 0)
        return rc;
    t->dot[t->n++] = *dot;
    t->bytes += plain.n;
    return 0;
}

/* Drafts what is left of one change. */
static int draft_change(struct space *s, struct tree_draft *t, const struct dot *dot,
                        struct bytes change, uint64_t *after)
{
    int rc = add_draft(s, t, dot, change, *after);
    if (rc == -E2BIG) { /* a conflict of many contents with many attributes; hundreds of devices */
        log_warn("one change is too big to be sent; 'persist status' says of what");
        struct sync_key key = sync_key_dot(SYNC_TOO_BIG, dot);
        db_batch_put(t->batch, DB_SYNC, sync_key_bytes(&key), bytes_of(NULL, 0));
        return 0;
    }
    *after = dot->counter;
    return rc;
}

/* Drafts what is left of own changes that are not signed, from the next one on. 1: there is more.
 */
static int draft_tree(struct space *s, struct tree_draft *t)
{
    struct sync *y = s->sync;
    struct buf change CLEANUP(buf_fini) = {0};
    struct replica_stream *own = NULL;
    struct dot dot;
    uint64_t after = y->signed_last;
    bool more = false;
    t->to = vv_get(replica_knowledge(s->replica), replica_id(s->replica));
    int rc = replica_stream_own(s->replica, y->signed_to, &own);
    while (rc == 0 && (rc = replica_stream_next(own, &dot, &change)) == 1) {
        more = t->n == ENTRY_TREE_MAX || t->bytes >= TREE_BYTES_MAX;
        if (more) {
            t->to = dot.counter - 1;
            break;
        }
        rc = draft_change(s, t, &dot, buf_bytes(&change), &after);
    }
    replica_stream_free(own);
    return rc < 0 ? rc : more;
}

/* ---- signing -----------------------------------------------------------------------------------
 */

static int put_entry(struct sync *y, const struct tree_draft *t, size_t i, struct db_batch *batch)
{
    struct arrival a = {.kind = ARRIVAL_ENTRY, .dot = t->dot[i]};
    struct bytes stored = buf_bytes(&t->stored[i]), plain = entry_draft_plain(&t->draft[i], stored);
    /* The body of each content in it was read from its version. */
    struct entry_shared shared =
        sync_shared(stored, bytes_of(plain.p + SYNC_AFTER_SIZE, plain.n - SYNC_AFTER_SIZE));
    sync_put_arrival(y, batch, &a);
    return sync_put_entry(batch, &t->dot[i], a.number, stored, &shared);
}

/* What is held of the changes gets the hashes of their heads. */
static int put_heads(struct space *s, const struct tree_draft *t)
{
    struct replica_head heads[ENTRY_TREE_MAX];
    for (size_t i = 0; i < t->n; i++) {
        heads[i].dot = t->dot[i];
        entry_head_hash(t->draft[i].head, heads[i].hash);
    }
    return replica_signed(s->replica, t->batch, heads, t->n);
}

static int write_tree(struct space *s, struct tree_draft *t)
{
    struct sync *y = s->sync;
    struct sync before = *y;
    int rc = 0;
    if (t->n > 0)
        y->signed_last = t->dot[t->n - 1].counter;
    y->signed_to = t->to;
    for (size_t i = 0; rc == 0 && i < t->n; i++)
        rc = put_entry(s->sync, t, i, t->batch);
    if (rc == 0)
        rc = put_heads(s, t);
    if (rc == 0) {
        sync_put_own(y, t->batch);
        rc = db_write(s->db, t->batch, false);
    }
    if (rc == 0) {
        replica_committed(s->replica);
        rc = vv_add(&y->highest, &(struct dot){replica_id(s->replica), y->signed_to});
        y->look_again = y->look_again || t->n > 0;
    } else {
        replica_abort(s->replica);
        y->signed_last = before.signed_last;
        y->signed_to = before.signed_to;
        y->next = before.next;
    }
    return rc;
}

/* 1: there is more. */
static int sign_some(struct space *s)
{
    struct sync *y = s->sync;
    struct tree_draft *t = calloc(1, sizeof *t);
    if (t == NULL)
        return -ENOMEM;
    t->batch = db_batch_new(s->db);
    int more = t->batch == NULL ? -ENOMEM : draft_tree(s, t);
    int rc = more < 0 ? more : 0;
    if (rc == 0 && t->n > 0)
        rc = entry_sign(&y->me->keys, t->draft, t->n, t->stored);
    if (rc == 0 && (t->n > 0 || t->to > y->signed_to))
        rc = write_tree(s, t);
    tree_draft_free(t);
    return rc < 0 ? rc : more;
}

int space_sync_collect(struct space *s)
{
    struct sync *y = s->sync;
    if (y == NULL)
        return -ENOTCONN;
    pthread_mutex_lock(&s->lock);
    int rc = y->members == NULL || !sync_may_sign(s) ? -ENOTCONN : 0;
    if (rc == 0 && sync_epoch(s) == NULL)
        rc = -ENOKEY;
    if (rc == 0 && sync_has_unsigned(s) && !sync_is_behind(s))
        rc = sign_some(s);
    uint64_t last = y->next - 1;
    bool sync = rc >= 0 && y->own_last > y->durable;
    pthread_mutex_unlock(&s->lock);
    if (!sync)
        return rc;
    int synced = db_sync(s->db);
    if (synced < 0)
        return synced;
    pthread_mutex_lock(&s->lock);
    y->durable = max_u64(y->durable, last);
    pthread_mutex_unlock(&s->lock);
    return rc;
}
