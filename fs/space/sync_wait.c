/*
 * How much of what came waits for acts, keys or changes, by author: nobody fills this device's disk
 * with it, nor keeps what is another's from waiting.
 */
#include <errno.h>
#include <stdlib.h>

#include "fs/space/sync_priv.h"

enum { ENTRIES_MAX = 10000, BYTES_MAX = 64 << 20, AUTHORS_MAX = 2 + LIMIT_EPOCH_BOXES };

uint64_t sync_author_of(const uint8_t key[static SIGN_KEY_SIZE])
{
    uint64_t author = get_u64(key);
    return author > SYNC_LOCKED_ONES ? author : UINT64_MAX;
}

static struct sync_wait_sum *find_sum(const struct sync *y, uint64_t author)
{
    for (size_t i = 0; i < y->wait_n; i++)
        if (y->wait[i].author == author)
            return &y->wait[i];
    return NULL;
}

/* Made when there is none; NULL: no memory, or too many. */
static struct sync_wait_sum *need_sum(struct sync *y, uint64_t author)
{
    struct sync_wait_sum *sum = find_sum(y, author);
    if (sum != NULL || y->wait_n == AUTHORS_MAX)
        return sum;
    struct sync_wait_sum *v = reallocarray(y->wait, y->wait_n + 1, sizeof *v);
    if (v == NULL)
        return NULL;
    y->wait = v;
    sum = &v[y->wait_n++];
    *sum = (struct sync_wait_sum){.author = author};
    return sum;
}

static void add(struct sync *y, struct sync_wait_sum *sum, size_t bytes)
{
    sum->n++;
    sum->bytes += bytes;
    y->counts.waiting++;
}

bool sync_wait_begins(struct space *s, uint64_t author, size_t bytes)
{
    struct sync *y = s->sync;
    pthread_mutex_lock(&s->lock);
    struct sync_wait_sum *sum = need_sum(y, author);
    bool fits = sum != NULL && sum->n < ENTRIES_MAX && sum->bytes + bytes <= BYTES_MAX;
    if (fits)
        add(y, sum, bytes);
    pthread_mutex_unlock(&s->lock);
    return fits;
}

void sync_wait_ends(struct space *s, uint64_t author, size_t bytes)
{
    struct sync *y = s->sync;
    pthread_mutex_lock(&s->lock);
    struct sync_wait_sum *sum = find_sum(y, author);
    if (sum != NULL && sum->n > 0) {
        sum->n--;
        sum->bytes -= min_u64(sum->bytes, bytes);
        y->counts.waiting--;
    }
    pthread_mutex_unlock(&s->lock);
}

uint64_t sync_wait_count(const struct sync *y, uint64_t author)
{
    const struct sync_wait_sum *sum = find_sum(y, author);
    return sum == NULL ? 0 : sum->n;
}

/* ---- at the start ------------------------------------------------------------------------------
 */

static int load_row(struct sync *y, int tag, struct bytes key, struct bytes row)
{
    if (row.n < 16 || key.n < 1 + DOT_SIZE)
        return -EUCLEAN;
    if (tag == SYNC_CONTENT_WAITS) {
        /* Its signature was verified before it was kept. */
        struct dot dot = dot_decode(key.p + 1);
        y->counts.content_waiting++;
        y->counts.content_bytes += get_u64(row.p + 8);
        return vv_add(&y->highest, &dot);
    }
    bool held = tag == SYNC_HELD;
    struct sync_wait_sum *sum = need_sum(y, held ? get_u64(row.p + 8) : SYNC_LOCKED_ONES);
    if (sum == NULL)
        return -ENOMEM;
    add(y, sum, row.n - (held ? 16 : 8));
    return 0;
}

int sync_load_waiting(struct space *s)
{
    static const uint8_t tags[] = {SYNC_HELD, SYNC_CONTENT_WAITS, SYNC_LOCKED};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < ARRAY_N(tags); i++) {
        struct db_iter *it = db_iter_new(s->db, DB_SYNC, bytes_of(&tags[i], 1), NULL);
        rc = it == NULL ? -ENOMEM : 0;
        while (rc == 0 && db_iter_next(it))
            rc = load_row(s->sync, tags[i], db_iter_key(it), db_iter_value(it));
        if (rc == 0)
            rc = db_iter_status(it);
        db_iter_free(it);
    }
    return rc;
}
