/*
 * What was taken in of a replica before its end was known is void, but not lost: who holds it
 * writes it as its own change. One device is enough, so each waits for a random time, and drops
 * what it then has from another one.
 */
#include <errno.h>

#include "fs/space/sync_priv.h"
#include "proto/base/log.h"

enum { WAIT_MS = 60000, AGAIN_MS = 10000, SLICE = 500 };

int sync_plan_adoption(struct space *s)
{
    struct sync *y = s->sync;
    int rc = replica_has_void(s->replica);
    if (rc < 0)
        return rc;
    if (rc == 0)
        y->adopt_at_ms = 0;
    else if (y->adopt_at_ms == 0)
        y->adopt_at_ms = space_now_ms() + 1 + randombytes_uniform(WAIT_MS);
    return 0;
}

int sync_put_adopted(struct space *s, struct db_batch *batch)
{
    /* An onlooker writes no files: it waits until a device has. */
    bool alone = !s->cfg.onlooker && sync_may_sign(s);
    return replica_adopt(s->replica, batch, alone, SLICE);
}

uint64_t space_sync_adopt(struct space *s, uint64_t now_ms)
{
    struct sync *y = s->sync;
    if (y == NULL)
        return 0;
    if (sync_take_ends(s) < 0) /* of an own revocation, or of one before the start */
        return now_ms + AGAIN_MS;
    pthread_mutex_lock(&s->lock);
    uint64_t at = y->adopt_at_ms;
    pthread_mutex_unlock(&s->lock);
    if (at == 0 || at > now_ms)
        return at;
    int rc = 1;
    while (rc > 0)
        rc = exchange_adopt(s);
    if (rc < 0)
        log_warn("sync: taking over what another device left: %s", strerror(-rc));
    pthread_mutex_lock(&s->lock);
    y->adopt_at_ms = 0;
    if (sync_plan_adoption(s) < 0 || rc < 0)
        y->adopt_at_ms = now_ms + AGAIN_MS;
    at = y->adopt_at_ms;
    pthread_mutex_unlock(&s->lock);
    return at;
}
