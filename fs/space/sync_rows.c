#include <assert.h>
#include <errno.h>

#include "fs/space/sync_priv.h"

enum { ARRIVAL_ROW_MIN = 1 + 8 };

struct sync_key sync_key(int tag, struct bytes v)
{
    struct sync_key k = {.n = 1 + v.n};
    assert(k.n <= sizeof k.p);
    k.p[0] = (uint8_t)tag;
    if (v.n > 0)
        memcpy(k.p + 1, v.p, v.n);
    return k;
}

struct sync_key sync_key_u64(int tag, uint64_t v)
{
    uint8_t b[8];
    put_u64(b, v);
    return sync_key(tag, bytes_of(b, sizeof b));
}

struct sync_key sync_key_dot(int tag, const struct dot *dot)
{
    uint8_t b[DOT_SIZE];
    dot_encode(dot, b);
    return sync_key(tag, bytes_of(b, sizeof b));
}

struct sync_key sync_key_held(const struct dot *dot, const uint8_t head_hash[static HASH_SIZE])
{
    uint8_t b[DOT_SIZE + HASH_SIZE / 2];
    dot_encode(dot, b);
    memcpy(b + DOT_SIZE, head_hash, HASH_SIZE / 2);
    return sync_key(SYNC_HELD, bytes_of(b, sizeof b));
}

void sync_put_own(const struct sync *y, struct db_batch *batch)
{
    uint8_t row[REPLICA_RANDOM_SIZE + 32];
    const uint8_t key = SYNC_OWN;
    memcpy(row, y->random, REPLICA_RANDOM_SIZE);
    put_u64(row + REPLICA_RANDOM_SIZE, y->signed_to);
    put_u64(row + REPLICA_RANDOM_SIZE + 8, y->signed_last);
    put_u64(row + REPLICA_RANDOM_SIZE + 16, y->next);
    put_u64(row + REPLICA_RANDOM_SIZE + 24, y->states);
    db_batch_put(batch, DB_SYNC, bytes_of(&key, 1), bytes_of(row, sizeof row));
}

void sync_put_arrival(struct sync *y, struct db_batch *batch, struct arrival *a)
{
    uint8_t row[ARRIVAL_ROW_MIN + DOT_SIZE];
    size_t n = ARRIVAL_ROW_MIN;
    a->number = y->next++;
    if (a->source == 0)
        y->own_last = a->number;
    row[0] = (uint8_t)a->kind;
    put_u64(row + 1, a->source);
    if (a->kind == ARRIVAL_ACT) {
        put_u32(row + n, a->act);
        n += 4;
    } else {
        dot_encode(&a->dot, row + n);
        n += DOT_SIZE;
    }
    struct sync_key key = sync_key_u64(SYNC_ARRIVAL, a->number);
    db_batch_put(batch, DB_SYNC, sync_key_bytes(&key), bytes_of(row, n));
}

int sync_arrival_decode(struct bytes key, struct bytes row, struct arrival *ret)
{
    struct reader r = reader_of(row);
    uint8_t kind = reader_u8(&r);
    if (key.n != 9 || kind > ARRIVAL_STATE)
        return -EUCLEAN;
    *ret = (struct arrival){.number = get_u64(key.p + 1), .kind = (enum arrival_kind)kind};
    ret->source = reader_u64(&r);
    if (ret->kind == ARRIVAL_ACT) {
        ret->act = reader_u32(&r);
    } else {
        struct bytes dot = reader_bytes(&r, DOT_SIZE);
        if (dot.n == DOT_SIZE)
            ret->dot = dot_decode(dot.p);
    }
    return reader_end(&r) < 0 ? -EUCLEAN : 0;
}

int sync_get(struct space *s, const struct sync_key *key, size_t skip, struct buf *ret)
{
    struct db_value v;
    int rc = db_get(s->db, DB_SYNC, sync_key_bytes(key), &v);
    if (rc < 0)
        return rc;
    buf_reset(ret);
    if (v.v.n < skip)
        rc = -EUCLEAN;
    else
        buf_put(ret, v.v.p + skip, v.v.n - skip);
    db_value_fini(&v);
    return rc < 0 ? rc : buf_status(ret);
}

/* ---- remotes -----------------------------------------------------------------------------------
 */

enum { REMOTE_ROW = SYNC_RUN_SIZE + 16 };

uint64_t space_sync_remote_id(const char *url)
{
    uint8_t h[HASH_SIZE];
    struct bytes part = bytes_str(url);
    hash_parts(NULL, "persist.remote.1", &part, 1, h);
    return get_u64(h) | 1;
}

int space_sync_run(struct space *s, uint8_t ret[static SYNC_RUN_SIZE])
{
    uint8_t h[HASH_SIZE];
    if (s->sync == NULL)
        return -ENOTCONN;
    pthread_mutex_lock(&s->lock);
    struct bytes parts[] = {bytes_of(s->sync->space.b, SPACE_ID_SIZE),
                            bytes_of(s->sync->random, REPLICA_RANDOM_SIZE)};
    hash_parts(NULL, "persist.run.1", parts, ARRAY_N(parts), h);
    pthread_mutex_unlock(&s->lock);
    memcpy(ret, h, SYNC_RUN_SIZE);
    return 0;
}

int space_sync_get_remote(struct space *s, uint64_t remote, struct sync_remote *ret)
{
    struct buf row CLEANUP(buf_fini) = {0};
    struct sync_key key = sync_key_u64(SYNC_REMOTE, remote);
    *ret = (struct sync_remote){.cursor = 0};
    int rc = sync_get(s, &key, 0, &row);
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    if (row.n != REMOTE_ROW)
        return -EUCLEAN;
    memcpy(ret->run, row.p, SYNC_RUN_SIZE);
    ret->cursor = get_u64(row.p + SYNC_RUN_SIZE);
    ret->pushed = get_u64(row.p + SYNC_RUN_SIZE + 8);
    return 0;
}

static int write_remote(struct space *s, uint64_t remote, const uint8_t *row)
{
    struct sync_key key = sync_key_u64(SYNC_REMOTE, remote);
    struct db_batch *batch = db_batch_new(s->db);
    if (batch == NULL)
        return -ENOMEM;
    if (row != NULL)
        db_batch_put(batch, DB_SYNC, sync_key_bytes(&key), bytes_of(row, REMOTE_ROW));
    else
        db_batch_delete(batch, DB_SYNC, sync_key_bytes(&key));
    int rc = db_write(s->db, batch, false);
    db_batch_free(batch);
    return rc;
}

int space_sync_put_remote(struct space *s, uint64_t remote, const struct sync_remote *v)
{
    uint8_t row[REMOTE_ROW];
    memcpy(row, v->run, SYNC_RUN_SIZE);
    put_u64(row + SYNC_RUN_SIZE, v->cursor);
    put_u64(row + SYNC_RUN_SIZE + 8, v->pushed);
    return write_remote(s, remote, row);
}

int space_sync_forget_remote(struct space *s, uint64_t remote)
{
    return write_remote(s, remote, NULL);
}

/* ---- what a remote does not take ---------------------------------------------------------------
 */

static struct sync_key left_out_key(uint64_t remote, uint64_t arrival)
{
    return sync_key_dot(SYNC_LEFT_OUT, &(struct dot){remote, arrival});
}

/* Counts the rows anew. Lock held. */
int sync_load_left_out(struct space *s)
{
    const uint8_t prefix = SYNC_LEFT_OUT;
    struct db_iter *it = db_iter_new(s->db, DB_SYNC, bytes_of(&prefix, 1), NULL);
    if (it == NULL)
        return -ENOMEM;
    s->sync->counts.left_out = 0;
    while (db_iter_next(it))
        s->sync->counts.left_out++;
    int rc = db_iter_status(it);
    db_iter_free(it);
    return rc;
}

static int write_left_out(struct space *s, struct db_batch *batch)
{
    pthread_mutex_lock(&s->lock);
    int rc = db_write(s->db, batch, false);
    if (rc == 0)
        rc = sync_load_left_out(s);
    pthread_mutex_unlock(&s->lock);
    db_batch_free(batch);
    return rc;
}

int space_sync_leave_out(struct space *s, uint64_t remote, uint64_t arrival)
{
    struct sync_key key = left_out_key(remote, arrival);
    struct db_batch *batch = db_batch_new(s->db);
    if (batch == NULL)
        return -ENOMEM;
    db_batch_put(batch, DB_SYNC, sync_key_bytes(&key), bytes_of(NULL, 0));
    return write_left_out(s, batch);
}

int space_sync_leave_none_out(struct space *s, uint64_t remote)
{
    struct sync_key from = left_out_key(remote, 0), to = left_out_key(remote, UINT64_MAX);
    struct db_batch *batch = db_batch_new(s->db);
    if (batch == NULL)
        return -ENOMEM;
    db_batch_delete_range(batch, DB_SYNC, sync_key_bytes(&from), sync_key_bytes(&to));
    return write_left_out(s, batch);
}

int sync_is_left_out(struct space *s, uint64_t remote, uint64_t arrival)
{
    struct sync_key key = left_out_key(remote, arrival);
    pthread_mutex_lock(&s->lock);
    bool any = s->sync->counts.left_out > 0;
    pthread_mutex_unlock(&s->lock);
    return any ? db_has(s->db, DB_SYNC, sync_key_bytes(&key)) : 0;
}
