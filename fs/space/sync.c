#include "fs/space/sync.h"

#include <errno.h>
#include <stdlib.h>

#include "fs/space/sync_priv.h"

/* ---- opening -----------------------------------------------------------------------------------
 */

/* The own row: 1, or 0 when there is none so far. */
static int load_own(struct space *s)
{
    struct sync *y = s->sync;
    struct buf row CLEANUP(buf_fini) = {0};
    struct sync_key key = sync_key(SYNC_OWN, bytes_of(NULL, 0));
    int rc = sync_get(s, &key, 0, &row);
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    struct reader r = reader_of(buf_bytes(&row));
    reader_copy(&r, y->random, sizeof y->random);
    y->signed_to = reader_u64(&r);
    y->signed_last = reader_u64(&r);
    y->next = reader_u64(&r);
    y->states = reader_u64(&r);
    return reader_end(&r) < 0 ? -EUCLEAN : 1;
}

static int store_own(struct space *s)
{
    struct db_batch *batch = db_batch_new(s->db);
    if (batch == NULL)
        return -ENOMEM;
    sync_put_own(s->sync, batch);
    int rc = db_write(s->db, batch, false);
    db_batch_free(batch);
    return rc;
}

static int opening_failed(const struct space *s, int rc, struct err *err)
{
    if (rc == -EUCLEAN)
        return err_set(err, rc,
                       "the table of what is exchanged with others is damaged; restore %s from a "
                       "copy, or clone the folder again",
                       s->cfg.dir);
    return err_set(err, rc, "opening what is exchanged with others: %s", strerror(-rc));
}

int sync_prepare(struct space *s, uint64_t *ret_replica, struct err *err)
{
    if (s->cfg.member == NULL || sodium_is_zero(s->keyring.space.b, SPACE_ID_SIZE)) {
        randombytes_buf(ret_replica, sizeof *ret_replica);
        return 0;
    }
    struct sync *y = calloc(1, sizeof *y);
    if (y == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    s->sync = y;
    y->me = s->cfg.member;
    y->id = member_id_of(&y->me->pub);
    y->space = s->keyring.space;
    y->next = 1;
    y->compare.spool = -1;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&y->moved, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&y->incoming_lock, NULL);
    randombytes_buf(y->random, sizeof y->random);
    int rc = load_own(s);
    if (rc == 0)
        rc = store_own(s);
    if (rc < 0)
        return opening_failed(s, rc, err);
    *ret_replica = replica_id_of(y->me->pub.sign, y->random);
    return 0;
}

/* A space that was made here begins with its genesis and what makes its first member write. */
static int make_first_acts(struct space *s)
{
    struct sync *y = s->sync;
    struct db_batch *batch = db_batch_new(s->db);
    if (batch == NULL)
        return -ENOMEM;
    int rc = sync_insert_act(s, buf_bytes(&s->keyring.genesis), 0, batch);
    rc = rc == 1 ? 0 : rc < 0 ? rc : -EUCLEAN;
    if (rc == 0)
        rc = sync_author_own(s, batch);
    if (rc >= 0)
        rc = db_write(s->db, batch, true);
    y->durable = y->next - 1;
    db_batch_free(batch);
    return rc;
}

int sync_open(struct space *s, struct err *err)
{
    struct sync *y = s->sync;
    if (y == NULL)
        return 0;
    int rc = sync_poison_open(s);
    if (rc == 0)
        rc = sync_load_acts(s);
    if (rc == 0)
        rc = vv_copy(&y->highest, replica_applied(s->replica));
    if (rc == 0)
        rc = sync_load_waiting(s);
    if (rc == 0)
        rc = sync_load_states(s);
    if (rc == 0)
        rc = sync_load_compare(s);
    if (rc == 0)
        rc = sync_load_bare(s);
    if (rc == 0)
        rc = sync_load_left_out(s);
    if (rc == 0)
        rc = sync_load_ends(s);
    y->look_again = true;
    if (rc == 0 && y->members == NULL && s->keyring.genesis.n > 0)
        rc = make_first_acts(s);
    if (rc < 0)
        return opening_failed(s, rc, err);
    /* What an earlier process signed and did not wait for is made durable before it is sent. */
    y->durable = 0;
    return 0;
}

void sync_close(struct space *s)
{
    struct sync *y = s->sync;
    if (y == NULL)
        return;
    sync_poison_close(y);
    members_free(y->members);
    sync_states_fini(y);
    sync_compare_fini(&y->compare);
    free(y->roots);
    free(y->wait);
    free(y->link);
    pthread_cond_destroy(&y->moved);
    content_put_free(y->incoming);
    buf_fini(&y->fresh);
    buf_fini(&y->wanted);
    pthread_mutex_destroy(&y->incoming_lock);
    vv_fini(&y->highest);
    vv_fini(&y->gapless);
    free(y);
    s->sync = NULL;
}

int space_sync_id(struct space *s, struct space_id *ret)
{
    if (s->sync == NULL)
        return -ENOTCONN;
    *ret = s->sync->space;
    return 0;
}

/* ---- for people --------------------------------------------------------------------------------
 */

void space_sync_counts(struct space *s, struct sync_counts *ret)
{
    *ret = (struct sync_counts){.waiting = 0};
    if (s->sync == NULL)
        return;
    pthread_mutex_lock(&s->lock);
    *ret = s->sync->counts;
    ret->taking_over = s->sync->adopt_at_ms != 0;
    ret->behind = s->sync->members != NULL && sync_is_behind(s);
    pthread_mutex_unlock(&s->lock);
}

uint64_t space_sync_to_push(struct space *s, uint64_t remote)
{
    const uint8_t prefix = SYNC_ARRIVAL;
    struct sync_remote r;
    struct arrival a;
    uint64_t n = 0;
    if (s->sync == NULL || space_sync_get_remote(s, remote, &r) < 0)
        return 0;
    struct sync_key from = sync_key_u64(SYNC_ARRIVAL, r.pushed + 1);
    struct db_iter *it = db_iter_new(s->db, DB_SYNC, bytes_of(&prefix, 1), NULL);
    if (it == NULL)
        return 0;
    db_iter_seek(it, sync_key_bytes(&from));
    while (db_iter_next(it))
        n += sync_arrival_decode(db_iter_key(it), db_iter_value(it), &a) == 0 &&
             a.kind != ARRIVAL_STATE && a.source != remote;
    db_iter_free(it);
    return n;
}

uint64_t space_sync_unsigned(struct space *s)
{
    if (s->sync == NULL)
        return 0;
    pthread_mutex_lock(&s->lock);
    uint64_t n = vv_get(replica_knowledge(s->replica), replica_id(s->replica)) - s->sync->signed_to;
    pthread_mutex_unlock(&s->lock);
    return n;
}

/* ---- door --------------------------------------------------------------------------------------
 */

static int author_door(struct space *s, const struct door *d)
{
    struct sync *y = s->sync;
    struct member_keys keys;
    struct act a;
    memset(&a, 0, sizeof a);
    a.kind = ACT_DOOR;
    a.author = y->id;
    struct db_batch *batch = db_batch_new(s->db);
    if (batch == NULL)
        return -ENOMEM;
    int rc = door_keys_init(&keys, d->seed);
    if (rc == 0) {
        memcpy(a.door, keys.sign_public, SIGN_KEY_SIZE);
        rc = sync_author(s, &a, &y->me->keys, batch);
    }
    member_keys_fini(&keys);
    if (rc == 0)
        rc = sync_write_acts(s, batch);
    db_batch_free(batch);
    return rc;
}

int space_sync_door(struct space *s, const struct door_key *k,
                    const uint8_t salt[static DOOR_SALT_SIZE], struct buf *ret_blob)
{
    if (s->sync == NULL)
        return -ENOTCONN;
    struct door *d = sodium_malloc(sizeof *d);
    if (d == NULL)
        return -ENOMEM;
    pthread_mutex_lock(&s->lock);
    randombytes_buf(d->seed, sizeof d->seed);
    memcpy(d->secret, s->keyring.secret, sizeof d->secret);
    d->epochs_n = s->keyring.epochs_n;
    for (size_t i = 0; i < d->epochs_n; i++)
        memcpy(d->epochs[i], s->keyring.epochs[i].key, EPOCH_KEY_SIZE);
    int rc = sync_may_sign(s) ? author_door(s, d) : -ENOTCONN;
    if (rc == 0)
        rc = door_seal(d, k, salt, &s->sync->space, ret_blob);
    pthread_mutex_unlock(&s->lock);
    sodium_free(d);
    return rc;
}
