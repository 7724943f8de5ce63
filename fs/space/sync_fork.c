/*
 * Forks: two changes of one replica under one dot, both signed by its owner. A copy of a device
 * does that, or malice. Who has seen both makes an act of it, which ends the replica for everybody
 * just before that dot (sync_ends.c).
 */
#include <errno.h>

#include "fs/space/sync_priv.h"
#include "proto/base/log.h"

/* Acts of a member that are left for other things than forks, of which others can make enough. */
enum { ACTS_LEFT = LIMIT_AUTHOR_ACTS / 4 };

/* The entry that is here under a dot, in @row. -ENOENT. */
static int find(struct space *s, const struct dot *dot, struct buf *row)
{
    enum { WAITS_HEAD = 16 };
    struct sync_key waits = sync_key_dot(SYNC_CONTENT_WAITS, dot);
    uint64_t number;
    int rc = sync_get_entry(s, dot, &number, row);
    if (rc == -ENOENT)
        rc = sync_get(s, &waits, WAITS_HEAD, row);
    return rc == 0 && row->n < ENTRY_HEAD_SIZE ? -EUCLEAN : rc;
}

/* The same, if it is not @e: 1; 0: there is none, or it is the same. */
static int find_other(struct space *s, const struct entry *e, struct buf *row, struct entry *ret)
{
    int rc = find(s, &e->head.dot, row);
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    if (memcmp(row->p, e->head_raw, ENTRY_HEAD_SIZE) == 0)
        return 0;
    return entry_parse_stored(buf_bytes(row), ret) < 0 ? -EUCLEAN : 1;
}

/* Whether a fork of this dot would say something new. Lock held. */
static bool is_news(const struct sync *y, const struct dot *dot)
{
    return y->members != NULL && members_cut(y->members, dot->replica) >= dot->counter;
}

bool sync_is_other_form(struct space *s, const struct sync_offered *o)
{
    struct buf row CLEANUP(buf_wipe) = {0};
    uint8_t hash[HASH_SIZE];
    pthread_mutex_lock(&s->lock);
    bool news = is_news(s->sync, &o->dot);
    pthread_mutex_unlock(&s->lock);
    if (!news || find(s, &o->dot, &row) < 0)
        return false;
    entry_head_hash(row.p, hash);
    return memcmp(hash, o->head, sizeof o->head) != 0;
}

static int author_fork(struct space *s, const struct entry *a, const struct entry *b,
                       struct db_batch *batch)
{
    struct sync *y = s->sync;
    struct act fork;
    memset(&fork, 0, sizeof fork);
    fork.kind = ACT_FORK;
    fork.author = y->id;
    fork.fork.head[0] = a->head_raw;
    fork.fork.head[1] = b->head_raw;
    fork.fork.sign[0] = a->sign;
    fork.fork.sign[1] = b->sign;
    return sync_author(s, &fork, &y->me->keys, batch);
}

/* Lock held. -ENOTCONN: this device is no member; -ENOBUFS: it has made too many acts. */
static int write_fork(struct space *s, const struct entry *a, const struct entry *b)
{
    struct sync *y = s->sync;
    if (y->failed || members_find(y->members, &y->id) == NULL)
        return -ENOTCONN;
    if (members_next_number(y->members, &y->id) > LIMIT_AUTHOR_ACTS - ACTS_LEFT)
        return -ENOBUFS;
    struct db_batch *batch = db_batch_new(s->db);
    if (batch == NULL)
        return -ENOMEM;
    int rc = author_fork(s, a, b, batch);
    if (rc == 0)
        rc = sync_write_acts(s, batch);
    if (rc == 0)
        y->look_again = y->ends_due = true;
    db_batch_free(batch);
    return rc;
}

/* @e is as valid as @other, which was verified when it came: 1; 0. Lock held. */
static bool is_signed(struct space *s, const struct entry *e)
{
    struct members_past *past = NULL;
    const struct member_public *owner = sync_owner_of(s->sync, e->head.dot.replica, &past);
    bool ok = owner != NULL && entry_verify(e, owner->sign) == 0;
    members_past_free(past);
    return ok;
}

int sync_see_form(struct space *s, const struct entry *e)
{
    struct buf row CLEANUP(buf_wipe) = {0};
    struct entry other;
    pthread_mutex_lock(&s->lock);
    bool news = is_news(s->sync, &e->head.dot);
    pthread_mutex_unlock(&s->lock);
    int rc = news ? find_other(s, e, &row, &other) : 0;
    if (rc <= 0)
        return rc < 0 ? rc : SYNC_KNOWN;
    pthread_mutex_lock(&s->lock);
    rc = is_signed(s, e) ? write_fork(s, &other, e) : -EBADMSG;
    pthread_mutex_unlock(&s->lock);
    if (rc == -ENOTCONN || rc == -ENOBUFS) {
        log_error("sync: change %016llx.%llu came in two forms, of which this device cannot tell "
                  "the others",
                  (unsigned long long)e->head.dot.replica, (unsigned long long)e->head.dot.counter);
        return SYNC_KNOWN;
    }
    return rc < 0 ? rc : SYNC_TAKEN;
}
