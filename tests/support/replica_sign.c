/* Head hashes in a world: a hash of what was left of a change when its author signed it. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "fs/replica/check.h"
#include "tests/support/replica_world.h"

static size_t place_of(const struct world *w, const struct dot *dot)
{
    size_t lo = 0, hi = w->heads_n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (dot_cmp(&w->heads[mid].dot, dot) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

const uint8_t *world_head(const struct world *w, const struct dot *dot)
{
    size_t at = place_of(w, dot);
    return at < w->heads_n && dot_equal(&w->heads[at].dot, dot) ? w->heads[at].hash : NULL;
}

static void add_head(struct world *w, const struct dot *dot, struct bytes change)
{
    size_t at = place_of(w, dot);
    w->heads = reallocarray(w->heads, w->heads_n + 1, sizeof *w->heads);
    assert(w->heads != NULL);
    memmove(&w->heads[at + 1], &w->heads[at], (w->heads_n++ - at) * sizeof *w->heads);
    w->heads[at].dot = *dot;
    hash_parts(NULL, "head", &change, 1, w->heads[at].hash);
}

static struct replica_head head_of(struct device *d, const struct dot *dot)
{
    CLEANUP(buf_fini) struct buf change = {0};
    struct replica_head head = {.dot = *dot, .hash = {1}}; /* of nothing */
    int rc = replica_change_get(d->r, dot, &change);
    assert(rc == 0 || rc == -ENOENT);
    if (rc == 0 && world_head(d->w, dot) == NULL)
        add_head(d->w, dot, buf_bytes(&change));
    const uint8_t *hash = rc == 0 ? world_head(d->w, dot) : NULL;
    if (hash != NULL)
        memcpy(head.hash, hash, HASH_SIZE);
    return head;
}

/* Some at a time, so that a batch is signed in more than one call. */
static void sign_all(struct device *d, uint64_t last)
{
    struct replica_head heads[3];
    size_t n = 0;
    for (uint64_t c = d->signed_to + 1; c <= last; c++) {
        heads[n++] = head_of(d, &(struct dot){d->id, c});
        if (n < ARRAY_N(heads) && c < last)
            continue;
        int rc = replica_signed(d->r, d->batch, heads, n);
        assert(rc == 0);
        n = 0;
    }
}

void world_sign(struct world *w, int i)
{
    struct device *d = &w->d[i];
    uint64_t last = vv_get(replica_knowledge(d->r), d->id);
    if (d->joined != NULL || d->signed_to >= last)
        return;
    struct state_digest before, after;
    replica_digest(d->r, &before);
    if (last % 3 == 0) { /* the write fails at first */
        sign_all(d, last);
        replica_abort(d->r);
        db_batch_clear(d->batch);
        replica_digest(d->r, &after);
        assert(memcmp(&before, &after, sizeof before) == 0);
    }
    enum world_crash crash = d->crash;
    d->crash = CRASH_NOT;
    sign_all(d, last);
    d->signed_to = last;
    int rc = world_write(w, i);
    assert(rc == 0);
    d->crash = crash;
}

void world_check_digest(struct world *w, int i)
{
    struct state_digest kept, anew;
    replica_digest(w->d[i].r, &kept);
    int rc = replica_digest_recount(w->d[i].r, &anew);
    assert(rc == 0);
    if (memcmp(&kept, &anew, sizeof kept) != 0)
        fprintf(stderr, "dev%d keeps another digest than that of its values\n", i + 1);
    assert(memcmp(&kept, &anew, sizeof kept) == 0);
}

bool world_same_digest(struct world *w, int a, int b)
{
    struct state_digest x, y;
    replica_digest(w->d[a].r, &x);
    replica_digest(w->d[b].r, &y);
    return memcmp(&x, &y, sizeof x) == 0;
}
