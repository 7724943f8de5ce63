/*
 * Chunks of big files on their way while the publisher still cuts: what it has stored, sessions may
 * send. A hint alone: what is lost of it goes with the entry.
 */
#include <errno.h>

#include "fs/space/sync_priv.h"
#include "proto/sealed/chunk.h"

enum { FRESH_MAX = 4096 }; /* names */

/* Appends a name, unless it is a list node's: that is sent after what is below it. */
static void put(struct sync *y, const uint8_t *name)
{
    if (content_id_is_node(name))
        return;
    buf_put(&y->fresh, name, CONTENT_ID_BYTES);
    y->fresh_end++;
}

void sync_put_fresh(struct space *s, struct bytes names)
{
    struct sync *y = s->sync;
    if (y == NULL)
        return;
    pthread_mutex_lock(&s->lock);
    bool listens = y->kick != NULL;
    for (size_t at = 0; listens && at < names.n; at += CONTENT_ID_BYTES)
        put(y, names.p + at);
    if (buf_status(&y->fresh) < 0)
        buf_fini(&y->fresh);
    size_t max = (size_t)FRESH_MAX * CONTENT_ID_BYTES;
    size_t over = y->fresh.n > max ? y->fresh.n - max : 0;
    if (over > 0)
        memmove(y->fresh.p, y->fresh.p + over, max);
    y->fresh.n -= over;
    if (listens)
        y->kick(y->kick_arg, false);
    pthread_mutex_unlock(&s->lock);
}

int space_sync_fresh(struct space *s, uint64_t *at, struct sync_chunk *ret)
{
    struct sync *y = s->sync;
    int rc = 0;
    if (y == NULL)
        return -ENOTCONN;
    pthread_mutex_lock(&s->lock);
    const struct epoch_keys *k = y->members == NULL ? NULL : sync_epoch(s);
    uint64_t n = min_u64(y->fresh_end - *at, y->fresh.n / CONTENT_ID_BYTES);
    if (ret == NULL || k == NULL)
        n = 0;
    if (n > 0) {
        memcpy(ret->name, y->fresh.p + y->fresh.n - n * CONTENT_ID_BYTES, CONTENT_ID_BYTES);
        ret->id = chunk_id_of(k, ret->name);
        n--;
        rc = 1;
    }
    *at = y->fresh_end - n;
    pthread_mutex_unlock(&s->lock);
    return rc;
}
