/* Runs: which process of which server added what to the log of a space. */
#include <errno.h>
#include <sodium.h>

#include "sync/server/spaces_priv.h"

enum {
    RUN_ROW_BYTES = 8 + SRV_RUN_SIZE, /* first sequence number, id */
    RUNS_MAX = 4096                   /* kept of a space, so many starts of a server */
};

/* What the rows of a space say; a run is looked for. */
struct runs {
    uint64_t next; /* number of the next row */
    bool found, ended;
    uint64_t last; /* the last sequence number of the one that was found, when it has ended */
};

/* Known before there is a row, so that also a device that is about to make a space can be told. */
static void own_run(const struct srv_spaces *s, const struct srv_at *at, uint8_t ret[SRV_RUN_SIZE])
{
    uint8_t place[8 + SPACE_ID_SIZE];
    put_u64(place, at->account);
    memcpy(place + 8, at->space, SPACE_ID_SIZE);
    crypto_generichash(ret, SRV_RUN_SIZE, place, sizeof place, s->run_key, sizeof s->run_key);
}

static struct row_key row_run(uint64_t space, uint64_t number)
{
    struct row_key k = row_of(space, 'g');
    row_add_u64(&k, number);
    return k;
}

static int see_run(struct runs *r, struct bytes key, struct bytes row, struct bytes wanted)
{
    if (key.n != SPACE_PREFIX_BYTES + 8 || row.n != RUN_ROW_BYTES)
        return -EUCLEAN;
    r->next = get_u64(key.p + SPACE_PREFIX_BYTES) + 1;
    if (r->found && !r->ended) {
        r->ended = true;
        r->last = get_u64(row.p) - 1;
    }
    if (bytes_equal(bytes_of(row.p + 8, SRV_RUN_SIZE), wanted))
        r->found = true;
    return 0;
}

static int read_runs(struct srv_spaces *s, uint64_t space, struct bytes wanted, struct runs *ret)
{
    struct row_key prefix = row_of(space, 'g');
    struct srv_iter *it =
        srv_iter_new(s->store, SRV_ENTRIES, row_bytes(&prefix), bytes_of(NULL, 0));
    if (it == NULL)
        return -ENOMEM;
    *ret = (struct runs){.next = 0};
    int rc = 0;
    while (rc == 0 && srv_iter_next(it))
        rc = see_run(ret, srv_iter_key(it), srv_iter_value(it), wanted);
    if (rc == 0)
        rc = srv_iter_status(it);
    srv_iter_free(it);
    return rc;
}

int spaces_batch_run(struct srv_spaces *s, struct srv_batch *b, const struct space *sp,
                     uint64_t first)
{
    struct srv_at at = {.account = sp->account->number};
    memcpy(at.space, sp->now.id, SPACE_ID_SIZE);
    struct runs runs;
    int rc = read_runs(s, sp->number, bytes_of(NULL, 0), &runs);
    if (rc < 0)
        return rc;
    uint8_t row[RUN_ROW_BYTES];
    put_u64(row, first);
    own_run(s, &at, row + 8);
    struct row_key k = row_run(sp->number, runs.next);
    srv_batch_put(b, SRV_ENTRIES, row_bytes(&k), bytes_of(row, sizeof row));
    if (runs.next >= RUNS_MAX) {
        struct row_key old = row_run(sp->number, runs.next - RUNS_MAX);
        srv_batch_delete(b, SRV_ENTRIES, row_bytes(&old));
    }
    return 0;
}

void spaces_take_run(const struct srv_spaces *s, struct space *sp)
{
    sp->has_run = true;
    sp->run_sync = s->begun + 1;
}

/* Begins the run of this process in a space that was there before. */
static int begin_run(struct srv_spaces *s, struct space *sp)
{
    struct srv_batch *b = srv_batch_new(s->store);
    int rc = b == NULL ? -ENOMEM : spaces_batch_run(s, b, sp, sp->now.last_seq + 1);
    if (rc == 0)
        rc = srv_store_write(s->store, b, SRV_URGENT);
    srv_batch_free(b);
    if (rc == 0)
        spaces_take_run(s, sp);
    return rc;
}

static int open_space(struct srv_spaces *s, struct space *sp, struct bytes run, uint64_t cursor,
                      struct srv_opened *ret)
{
    struct runs runs;
    int rc = read_runs(s, sp->number, run, &runs);
    if (rc == 0 && !sp->has_run)
        rc = begin_run(s, sp);
    if (rc < 0)
        return rc;
    ret->exists = true;
    ret->on_disk = s->synced >= sp->run_sync;
    ret->last_seq = sp->now.last_seq;
    if (runs.found)
        ret->stale = cursor > (runs.ended ? runs.last : sp->now.last_seq);
    return 0;
}

int srv_space_open(struct srv_spaces *s, const struct srv_at *at, struct bytes run, uint64_t cursor,
                   struct srv_opened *ret)
{
    struct account *a;
    struct space *sp;
    *ret = (struct srv_opened){.on_disk = true};
    own_run(s, at, ret->run);
    /* Of what is not here only that is known which this process has told. */
    ret->stale = cursor > 0 || (run.n > 0 && !bytes_equal(run, bytes_of(ret->run, SRV_RUN_SIZE)));
    pthread_mutex_lock(&s->lock);
    int rc = spaces_account(s, at->account, &a);
    if (rc == 0) {
        ret->quota_bytes = a->quota_bytes;
        ret->used_bytes = a->bytes;
        rc = spaces_find(s, at, &sp);
        rc = rc == -ENOENT ? 0 : rc < 0 ? rc : open_space(s, sp, run, cursor, ret);
    }
    pthread_mutex_unlock(&s->lock);
    return rc;
}
