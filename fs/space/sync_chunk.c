/*
 * Chunks that come: opened, checked against their names, and stored, many with one write.
 */
#include <errno.h>

#include "fs/space/sync_priv.h"
#include "proto/sealed/chunk.h"

enum {
    FLUSH_BYTES = 2 << 20,
    KEPT_FOR_SMALL = 16 << 20, /* what content of others leaves of the room that there is */
};

/* The keys of the epoch in which a chunk has its id, copied; false: in none that is held. */
static bool find_epoch(struct space *s, const struct sync_chunk *c, struct epoch_keys *ret)
{
    pthread_mutex_lock(&s->lock);
    const struct epoch_keys *k = sync_epoch_of_chunk(s, c);
    if (k != NULL)
        *ret = *k;
    pthread_mutex_unlock(&s->lock);
    return k != NULL;
}

/* What comes is put together there. */
static int need_incoming(struct space *s)
{
    return s->sync->incoming == NULL ? content_put_new(s->db, &s->sync->incoming) : 0;
}

int space_sync_chunk_has(struct space *s, const uint8_t name[static CONTENT_ID_BYTES])
{
    if (s->sync == NULL)
        return -ENOTCONN;
    pthread_mutex_lock(&s->sync->incoming_lock);
    int rc = need_incoming(s);
    if (rc == 0)
        rc = content_put_has(s->sync->incoming, name);
    pthread_mutex_unlock(&s->sync->incoming_lock);
    return rc;
}

static int store(struct space *s, const struct sync_chunk *c, struct bytes plain)
{
    struct sync *y = s->sync;
    int rc = db_room(s->db, KEPT_FOR_SMALL);
    if (rc == 0)
        rc = need_incoming(s);
    if (rc == 0)
        rc = content_put_add(y->incoming, &s->keys, c->name, plain);
    if (rc == 0)
        y->incoming_bytes += plain.n;
    return rc;
}

static int flush(struct space *s)
{
    struct sync *y = s->sync;
    y->incoming_bytes = 0;
    if (y->incoming == NULL)
        return 0;
    int rc = content_put_flush(y->incoming);
    y->ahead_bytes -= min_u64(content_put_known(y->incoming), y->ahead_bytes);
    return rc;
}

int space_sync_chunk_take(struct space *s, const struct sync_chunk *c, struct bytes sealed)
{
    struct buf plain CLEANUP(buf_fini) = {0};
    struct epoch_keys k;
    if (s->sync == NULL)
        return -ENOTCONN;
    if (!find_epoch(s, c, &k))
        return -EBADMSG;
    int rc = chunk_open(&k, &s->sync->space, &c->id, sealed, &plain);
    epoch_keys_fini(&k);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&s->sync->incoming_lock);
    pthread_rwlock_rdlock(&s->builds);
    rc = store(s, c, buf_bytes(&plain));
    if (rc == 0 && s->sync->incoming_bytes >= FLUSH_BYTES)
        rc = flush(s);
    pthread_rwlock_unlock(&s->builds);
    pthread_mutex_unlock(&s->sync->incoming_lock);
    return rc;
}

/* The keys of the newest epoch, copied; false: there is none. */
static bool newest_epoch(struct space *s, struct epoch_keys *ret)
{
    pthread_mutex_lock(&s->lock);
    size_t n = s->keyring.epochs_n;
    if (n > 0)
        *ret = s->keyring.epochs[n - 1];
    pthread_mutex_unlock(&s->lock);
    return n > 0;
}

static int store_ahead(struct space *s, bool is_node, struct bytes plain)
{
    struct sync *y = s->sync;
    if (plain.n > SYNC_AHEAD_MAX - y->ahead_bytes)
        return -ENOSPC;
    int rc = need_incoming(s);
    if (rc == 0)
        rc = content_put_new_one(y->incoming, &s->keys, is_node, plain);
    if (rc == 0) {
        y->incoming_bytes += plain.n;
        y->ahead_bytes += plain.n;
    }
    return rc;
}

int space_sync_chunk_ahead(struct space *s, const struct chunk_id *id, struct bytes sealed)
{
    struct buf plain CLEANUP(buf_fini) = {0};
    struct epoch_keys k;
    struct chunk_ids names;
    if (s->sync == NULL)
        return -ENOTCONN;
    int rc = chunk_names(sealed, &names);
    if (rc < 0 || !newest_epoch(s, &k))
        return -EBADMSG;
    rc = chunk_open(&k, &s->sync->space, id, sealed, &plain);
    epoch_keys_fini(&k);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&s->sync->incoming_lock);
    pthread_rwlock_rdlock(&s->builds);
    rc = store_ahead(s, names.n > 0, buf_bytes(&plain));
    if (rc == 0 && s->sync->incoming_bytes >= FLUSH_BYTES)
        rc = flush(s);
    pthread_rwlock_unlock(&s->builds);
    pthread_mutex_unlock(&s->sync->incoming_lock);
    return rc;
}

void sync_chunks_named(struct space *s, uint64_t bytes)
{
    struct sync *y = s->sync;
    pthread_mutex_lock(&y->incoming_lock);
    y->ahead_bytes -= min_u64(bytes, y->ahead_bytes);
    pthread_mutex_unlock(&y->incoming_lock);
}

int sync_flush_chunks(struct space *s)
{
    pthread_mutex_lock(&s->sync->incoming_lock);
    pthread_rwlock_rdlock(&s->builds);
    int rc = flush(s);
    pthread_rwlock_unlock(&s->builds);
    pthread_mutex_unlock(&s->sync->incoming_lock);
    return rc;
}
