/*
 * What is sent to others: arrivals, and the chunks that entries name.
 */
#include <errno.h>

#include "fs/space/sync_priv.h"
#include "proto/sealed/chunk.h"

/* ---- sending -----------------------------------------------------------------------------------
 */

uint64_t space_sync_last(struct space *s)
{
    if (s->sync == NULL)
        return 0;
    pthread_mutex_lock(&s->lock);
    uint64_t last = s->sync->next - 1;
    pthread_mutex_unlock(&s->lock);
    return last;
}

struct dot space_sync_signed(struct space *s)
{
    pthread_mutex_lock(&s->lock);
    struct dot dot = {replica_id(s->replica), s->sync->signed_last};
    pthread_mutex_unlock(&s->lock);
    return dot;
}

static int list(struct space *s, bool acts_alone, uint64_t after, uint64_t remote,
                struct arrival *ret, size_t max)
{
    const uint8_t prefix = SYNC_ARRIVAL;
    struct sync_key from = sync_key_u64(SYNC_ARRIVAL, after + 1);
    struct arrival a;
    size_t n = 0;
    if (s->sync == NULL)
        return -ENOTCONN;
    pthread_mutex_lock(&s->lock);
    uint64_t durable = s->sync->durable;
    pthread_mutex_unlock(&s->lock);
    struct db_iter *it = db_iter_new(s->db, DB_SYNC, bytes_of(&prefix, 1), NULL);
    if (it == NULL)
        return -ENOMEM;
    db_iter_seek(it, sync_key_bytes(&from));
    int rc = 0;
    while (rc == 0 && n < max && db_iter_next(it)) {
        rc = sync_arrival_decode(db_iter_key(it), db_iter_value(it), &a);
        /* What may not be on disk yet is not told: it comes with the next collection. */
        if (rc < 0 || (a.source == 0 && a.number > durable))
            break;
        after = a.number;
        rc = a.source == remote || (acts_alone && a.kind != ARRIVAL_ACT)
                 ? 1
                 : sync_is_left_out(s, remote, a.number);
        if (rc == 0)
            ret[n++] = a;
        rc = rc < 0 ? rc : 0;
    }
    if (rc == 0)
        rc = db_iter_status(it);
    db_iter_free(it);
    if (rc == 0 && n == 0)
        ret->number = after;
    return rc < 0 ? rc : (int)n;
}

int space_sync_list(struct space *s, uint64_t after, uint64_t remote, struct arrival *ret,
                    size_t max)
{
    return list(s, false, after, remote, ret, max);
}

int space_sync_list_acts(struct space *s, uint64_t after, uint64_t remote, struct arrival *ret,
                         size_t max)
{
    return list(s, true, after, remote, ret, max);
}

int space_sync_next(struct space *s, uint64_t after, uint64_t remote, struct arrival *ret)
{
    return space_sync_list(s, after, remote, ret, 1);
}

/* The stored form of an entry or STATE into @ret. -ENOENT. */
static int get_stored(struct space *s, const struct arrival *a, struct buf *ret)
{
    struct sync_key key = sync_key_u64(SYNC_STATE, a->dot.replica);
    struct buf row CLEANUP(buf_fini) = {0};
    uint64_t number;
    if (a->kind == ARRIVAL_ENTRY) {
        int rc = sync_get_entry(s, &a->dot, &number, ret);
        return rc == 0 && number != a->number ? -ENOENT : rc;
    }
    int rc = sync_get(s, &key, 0, &row);
    if (rc < 0)
        return rc;
    if (row.n < 8)
        return -EUCLEAN;
    if (get_u64(row.p) != a->number)
        return -ENOENT;
    buf_reset(ret);
    buf_put(ret, row.p + 8, row.n - 8);
    return buf_status(ret);
}

int space_sync_offer(struct space *s, const struct arrival *a, struct sync_offered *ret)
{
    struct buf stored CLEANUP(buf_wipe) = {0};
    uint8_t hash[HASH_SIZE];
    *ret = (struct sync_offered){.dot = a->dot, .state = a->kind == ARRIVAL_STATE};
    int rc = get_stored(s, a, &stored);
    if (rc == 0 && stored.n < ENTRY_HEAD_SIZE)
        rc = -EUCLEAN;
    if (rc < 0 || ret->state)
        return rc;
    entry_head_hash(stored.p, hash);
    memcpy(ret->head, hash, sizeof ret->head);
    return 0;
}

/* The chunks that an entry names. */
static int put_chunks(const struct entry *e, struct buf *ret)
{
    struct buf names CLEANUP(buf_fini) = {0};
    int rc = 0;
    if (e->refs.chunks.n > 0)
        rc = sync_names_of(bytes_of(e->plain.p + SYNC_AFTER_SIZE, e->plain.n - SYNC_AFTER_SIZE),
                           &names);
    for (size_t i = 0; rc == 0 && i < e->refs.chunks.n && i < names.n / CONTENT_ID_BYTES; i++) {
        struct sync_chunk c = {.id = chunk_ids_at(e->refs.chunks, i)};
        memcpy(c.name, names.p + i * CONTENT_ID_BYTES, CONTENT_ID_BYTES);
        buf_put(ret, &c, sizeof c);
    }
    return rc < 0 ? rc : buf_status(ret);
}

/* What others would refuse is not sent: void changes, and STATEs of a replica that ended. */
static bool counts(struct space *s, const struct arrival *a)
{
    pthread_mutex_lock(&s->lock);
    uint64_t cut = members_cut(s->sync->members, a->dot.replica);
    pthread_mutex_unlock(&s->lock);
    return cut == MEMBERS_NO_CUT || (a->kind == ARRIVAL_ENTRY && a->dot.counter <= cut);
}

/* The chunks of the list that a STATE names. */
static int put_list_chunks(struct space *s, const struct entry *e, struct buf *ret)
{
    struct state v;
    struct buf names CLEANUP(buf_fini) = {0};
    struct sync_chunk c;
    int rc = state_decode(e->plain, &v);
    if (rc == 0 && v.more.list.n > 0)
        rc = content_body_ids(v.more.list, sync_add_name, &names);
    for (size_t i = 0; rc == 0 && i < names.n; i += CONTENT_ID_BYTES) {
        memcpy(c.name, names.p + i, CONTENT_ID_BYTES);
        rc = space_sync_chunk_id(s, c.name, 0, &c.id);
        buf_put(ret, &c, sizeof c);
    }
    return rc < 0 ? rc : buf_status(ret);
}

static int look_bare(void *space, const struct value *v)
{
    return sync_is_bare(space, &v->rid, &v->dot);
}

/* What is not whole here is for others to give: 1, 0. */
static int is_bare(struct space *s, const struct entry *e)
{
    return e->refs.chunks.n == 0 ? 0
                                 : exchange_each_content(bytes_of(e->plain.p + SYNC_AFTER_SIZE,
                                                                  e->plain.n - SYNC_AFTER_SIZE),
                                                         look_bare, s);
}

static int seal_entry(struct space *s, const struct arrival *a, struct buf *ret,
                      struct buf *ret_chunks)
{
    struct buf stored CLEANUP(buf_fini) = {0};
    struct entry e;
    int rc = counts(s, a) ? get_stored(s, a, &stored) : -ENOENT;
    if (rc == 0 && entry_parse_stored(buf_bytes(&stored), &e) < 0)
        rc = -EUCLEAN;
    if (rc == 0 && a->kind == ARRIVAL_ENTRY && (rc = is_bare(s, &e)) == 1)
        rc = -ENOENT;
    if (rc == 0 && a->kind == ARRIVAL_ENTRY)
        rc = put_chunks(&e, ret_chunks);
    else if (rc == 0 && a->dot.replica == replica_id(s->replica))
        rc = put_list_chunks(s, &e, ret_chunks);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&s->lock);
    const struct epoch_keys *k = sync_epoch(s);
    if (k != NULL)
        rc = entry_seal(&e, k, ret);
    else /* a later STATE says more */
        rc = a->kind == ARRIVAL_STATE ? -ENOENT : -ENOKEY;
    pthread_mutex_unlock(&s->lock);
    return rc;
}

int space_sync_seal(struct space *s, const struct arrival *a, struct buf *ret,
                    struct buf *ret_chunks)
{
    if (s->sync == NULL || s->sync->members == NULL)
        return -ENOTCONN;
    if (a->kind != ARRIVAL_ACT)
        return seal_entry(s, a, ret, ret_chunks);
    pthread_mutex_lock(&s->lock);
    int rc = a->act < members_acts_n(s->sync->members) ? 0 : -ENOENT;
    if (rc == 0) {
        buf_put_bytes(ret, members_act(s->sync->members, a->act)->raw);
        rc = buf_status(ret);
    }
    pthread_mutex_unlock(&s->lock);
    return rc;
}

/* ---- chunks ------------------------------------------------------------------------------------
 */

/* The epoch to seal under, then the others, the newest first. NULL: there are no more. */
static const struct epoch_keys *epoch_at(struct space *s, size_t i)
{
    const struct keyring *r = &s->keyring;
    const struct epoch_keys *now = s->sync->members == NULL ? NULL : sync_epoch(s);
    if (now != NULL && i == 0)
        return now;
    size_t at = r->epochs_n;
    for (size_t left = now == NULL ? i + 1 : i; left > 0 && at > 0; at--)
        left -= &r->epochs[at - 1] != now;
    return i < r->epochs_n ? &r->epochs[at] : NULL;
}

int space_sync_chunk_id(struct space *s, const uint8_t name[static CONTENT_ID_BYTES], size_t i,
                        struct chunk_id *ret)
{
    pthread_mutex_lock(&s->lock);
    const struct epoch_keys *k = epoch_at(s, i);
    if (k != NULL)
        *ret = chunk_id_of(k, name);
    pthread_mutex_unlock(&s->lock);
    return k != NULL ? 0 : -ENOENT;
}

bool space_sync_is_to_send(struct space *s, const struct arrival *a)
{
    struct sync_key key = sync_key_u64(SYNC_ARRIVAL, a->number);
    return db_has(s->db, DB_SYNC, sync_key_bytes(&key)) != 0;
}

const struct epoch_keys *sync_epoch_of_chunk(const struct space *s, const struct sync_chunk *c)
{
    for (size_t i = s->keyring.epochs_n; i > 0; i--) {
        struct chunk_id id = chunk_id_of(&s->keyring.epochs[i - 1], c->name);
        if (memcmp(id.b, c->id.b, CHUNK_ID_SIZE) == 0)
            return &s->keyring.epochs[i - 1];
    }
    return NULL;
}

static int put_below(const struct epoch_keys *k, const struct buf *names, struct buf *ids,
                     struct buf *ret)
{
    for (size_t i = 0; i < names->n; i += CONTENT_ID_BYTES) {
        struct sync_chunk c = {.id = chunk_id_of(k, names->p + i)};
        memcpy(c.name, names->p + i, CONTENT_ID_BYTES);
        buf_put(ids, c.id.b, CHUNK_ID_SIZE);
        buf_put(ret, &c, sizeof c);
    }
    return buf_status(ids) < 0 ? -ENOMEM : buf_status(ret);
}

int space_sync_chunk_seal(struct space *s, const struct sync_chunk *c, struct buf *ret,
                          struct buf *ret_below)
{
    struct buf names CLEANUP(buf_fini) = {0}, ids CLEANUP(buf_fini) = {0};
    struct db_value v;
    if (s->sync == NULL)
        return -ENOTCONN;
    int rc = content_get_chunk(s->db, c->name, &v);
    if (rc < 0)
        return rc;
    if (content_id_is_node(c->name))
        rc = content_node_ids(v.v, sync_add_name, &names);
    pthread_mutex_lock(&s->lock);
    const struct epoch_keys *k = sync_epoch_of_chunk(s, c);
    if (rc == 0)
        rc = k == NULL ? -ENOKEY : put_below(k, &names, &ids, ret_below);
    if (rc == 0)
        rc = chunk_seal(k, &s->sync->space, &c->id,
                        (struct chunk_ids){ids.p, ids.n / CHUNK_ID_SIZE}, v.v, ret);
    pthread_mutex_unlock(&s->lock);
    db_value_fini(&v);
    return rc;
}

int space_sync_chunk_give(struct space *s, const uint8_t name[static CONTENT_ID_BYTES],
                          struct chunk_id *ret_id, struct buf *ret)
{
    struct buf below CLEANUP(buf_fini) = {0};
    struct sync_chunk c;
    if (s->sync == NULL || s->sync->members == NULL)
        return -ENOTCONN;
    memcpy(c.name, name, sizeof c.name);
    pthread_mutex_lock(&s->lock);
    const struct epoch_keys *k = sync_epoch(s);
    if (k != NULL)
        *ret_id = c.id = chunk_id_of(k, name);
    pthread_mutex_unlock(&s->lock);
    return k == NULL ? -ENOKEY : space_sync_chunk_seal(s, &c, ret, &below);
}
