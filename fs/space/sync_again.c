/*
 * After the epoch has moved. Ids and seals of chunks are of the epoch in which their entry was
 * signed, which somebody who is out now may know. So contents that were signed, and that no remote
 * has, are published anew; then their chunks are of the new one. What a remote has stays as it is.
 */
#include <errno.h>
#include <stdlib.h>

#include "fs/space/sync_priv.h"
#include "proto/sealed/chunk.h"

enum { AGAIN_MAX = 64 }; /* changes in one write */

struct unsent_change {
    struct dot dot;
    uint64_t number;
};

/* The last arrival that some remote has; UINT64_MAX: nothing was ever sent to any. */
static int find_sent(struct space *s, uint64_t *ret)
{
    const uint8_t prefix = SYNC_REMOTE;
    struct db_iter *it = db_iter_new(s->db, DB_SYNC, bytes_of(&prefix, 1), NULL);
    bool any = false;
    uint64_t sent = 0;
    if (it == NULL)
        return -ENOMEM;
    while (db_iter_next(it)) {
        struct bytes row = db_iter_value(it);
        if (row.n != SYNC_RUN_SIZE + 16)
            continue;
        any = true;
        sent = max_u64(sent, get_u64(row.p + SYNC_RUN_SIZE + 8));
    }
    int rc = db_iter_status(it);
    db_iter_free(it);
    *ret = any ? sent : UINT64_MAX;
    return rc;
}

/* Whether the chunks of an entry have ids of another epoch than the one to seal under: 1, 0. */
static int is_of_another(struct space *s, const struct dot *dot, uint64_t number)
{
    struct buf stored CLEANUP(buf_fini) = {0}, names CLEANUP(buf_fini) = {0};
    uint64_t at;
    struct entry e;
    int rc = sync_get_entry(s, dot, &at, &stored);
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    if (entry_parse_stored(buf_bytes(&stored), &e) < 0)
        return -EUCLEAN;
    if (at != number || e.refs.chunks.n == 0)
        return 0;
    rc = sync_names_of(bytes_of(e.plain.p + SYNC_AFTER_SIZE, e.plain.n - SYNC_AFTER_SIZE), &names);
    if (rc < 0 || names.n < CONTENT_ID_BYTES)
        return rc;
    struct chunk_id now = chunk_id_of(sync_epoch(s), names.p);
    struct chunk_id id = chunk_ids_at(e.refs.chunks, 0);
    return memcmp(now.b, id.b, CHUNK_ID_SIZE) != 0;
}

/* The first ones after arrival @after, by number. How many. */
static int find_unsent(struct space *s, uint64_t after, struct unsent_change *ret)
{
    const uint8_t prefix = SYNC_ARRIVAL;
    struct sync_key from = sync_key_u64(SYNC_ARRIVAL, after + 1);
    struct arrival a;
    int n = 0, rc = 0;
    struct db_iter *it = db_iter_new(s->db, DB_SYNC, bytes_of(&prefix, 1), NULL);
    if (it == NULL)
        return -ENOMEM;
    db_iter_seek(it, sync_key_bytes(&from));
    while (rc >= 0 && n < AGAIN_MAX && db_iter_next(it)) {
        rc = sync_arrival_decode(db_iter_key(it), db_iter_value(it), &a);
        if (rc < 0 || a.kind != ARRIVAL_ENTRY || a.source != 0 ||
            a.dot.replica != replica_id(s->replica))
            continue;
        rc = is_of_another(s, &a.dot, a.number);
        if (rc == 1)
            ret[n++] = (struct unsent_change){a.dot, a.number};
    }
    if (rc >= 0)
        rc = db_iter_status(it);
    db_iter_free(it);
    return rc < 0 ? rc : n;
}

static int by_dot(const void *a, const void *b)
{
    const struct unsent_change *x = a, *y = b;
    return dot_cmp(&x->dot, &y->dot);
}

int sync_put_again(struct space *s, struct db_batch *batch)
{
    struct unsent_change found[AGAIN_MAX];
    struct dot dots[AGAIN_MAX];
    uint64_t sent;
    if (!sync_may_sign(s) || sync_epoch(s) == NULL || s->keyring.epochs_n < 2)
        return 0;
    int rc = find_sent(s, &sent);
    int n = rc < 0 ? rc : sent == UINT64_MAX ? 0 : find_unsent(s, sent, found);
    if (n <= 0)
        return n;
    qsort(found, (size_t)n, sizeof *found, by_dot);
    for (int i = 0; i < n; i++)
        dots[i] = found[i].dot;
    rc = replica_again(s->replica, batch, dots, (size_t)n);
    for (int i = 0; rc >= 0 && i < n; i++)
        sync_drop_entry(s, batch, &found[i].dot, found[i].number);
    return rc < 0 ? rc : n;
}

int sync_publish_again(struct space *s)
{
    int rc = 1;
    while (rc > 0)
        rc = exchange_again(s);
    return rc;
}
