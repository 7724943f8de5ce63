/*
 * Entries that came together and were verified are applied with one write. What fails does so for
 * all of them; then each is taken by itself.
 */
#include <errno.h>
#include <stdlib.h>

#include "fs/space/sync_priv.h"

enum { BYTES_MAX = 512 << 10 }; /* of their stored forms, but for the last one */

struct sync_batch *sync_batch_new(struct space *s)
{
    struct sync_batch *b = malloc(sizeof *b);
    if (b == NULL)
        return NULL;
    b->s = s;
    b->n = b->bytes = 0;
    return b;
}

/* What is in it is plain content. */
static void drop(struct sync_batch *b)
{
    for (size_t i = 0; i < b->n; i++)
        buf_wipe(&b->stored[i]);
    b->n = b->bytes = 0;
}

void sync_batch_free(struct sync_batch *b)
{
    if (b != NULL)
        drop(b);
    free(b);
}

bool sync_batch_has(const struct sync_batch *b, const struct dot *dot)
{
    for (size_t i = 0; i < b->n; i++)
        if (dot_equal(&b->entry[i].dot, dot))
            return true;
    return false;
}

bool sync_batch_is_full(struct sync_batch *b)
{
    return b->n == SYNC_BATCH_MAX || b->bytes >= BYTES_MAX ||
           (b->n > 0 && sync_poison_alone(b->s->sync));
}

void sync_batch_add(struct sync_batch *b, const struct exchange_entry *x, struct buf *stored)
{
    b->entry[b->n] = *x;
    b->fates[b->n] = b->fate;
    b->stored[b->n++] = *stored;
    b->bytes += stored->n;
    *stored = (struct buf){0};
}

/* Notes what is being taken in: one that is by itself is to blame. False: it is to be left out. */
static bool begin(struct sync_batch *b)
{
    struct dot key = sync_poison_key_of(b->entry[0].head_hash);
    if (b->n == 1)
        return sync_poison_begin(b->s->sync, &key);
    sync_poison_begin_many(b->s->sync);
    return true;
}

static int apply_all(struct sync_batch *b)
{
    if (!begin(b))
        return -EPERM;
    int rc = exchange_apply(b->s, b->entry, b->n);
    sync_poison_end(b->s->sync);
    for (size_t i = 0; rc >= 0 && i < b->n; i++)
        *b->fates[i] = b->entry[i].is_new ? SYNC_TAKEN : SYNC_KNOWN;
    return rc;
}

static int apply_each(struct sync_batch *b)
{
    int rc = 0;
    for (size_t i = 0; rc >= 0 && i < b->n; i++)
        rc = *b->fates[i] = sync_take_alone(b->s, b->entry[i].source, buf_bytes(&b->stored[i]));
    return rc;
}

int sync_batch_flush(struct sync_batch *b)
{
    int rc = b->n > 0 ? apply_all(b) : 0;
    if (rc < 0)
        rc = apply_each(b);
    drop(b);
    return rc < 0 ? rc : 0;
}
