/*
 * New epochs. One is made with each revocation; and by whoever finds that there is none to seal
 * under: all that there are were given to somebody who is out now, or the key was not given to this
 * device, or is another one than its id says. Several devices may do so at once: members_epoch()
 * says which of them counts.
 *
 * The key is on disk before the act that gives it out: a device that dies between the two has a key
 * that nobody uses. So nothing is ever sealed under one that is lost, or that others cannot open.
 */
#include <errno.h>

#include "fs/space/sync_priv.h"
#include "proto/base/log.h"

static bool is_among(const struct act_revoke *out, const struct member_id *id)
{
    for (size_t i = 0; i < out->members_n; i++)
        if (memcmp(out->members + i * MEMBER_ID_SIZE, id->b, MEMBER_ID_SIZE) == 0)
            return true;
    return false;
}

/* A box for each member but those that @out names, appended to @ret: ascending, as members are. */
static int seal_boxes(const struct sync *y, const struct epoch_keys *k,
                      const struct act_revoke *out, struct buf *ret)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < members_n(y->members); i++) {
        const struct member_now *m = members_at(y->members, i);
        uint8_t box[ACT_BOX_SIZE];
        if (is_among(out, &m->id))
            continue;
        rc = act_box_seal(k, &y->space, &m->keys, box);
        buf_put(ret, box, sizeof box);
    }
    return rc < 0 ? rc : buf_status(ret);
}

/* Draws a key and keeps it. */
static int make_key(struct space *s, struct epoch_id *ret)
{
    uint8_t key[EPOCH_KEY_SIZE];
    struct err err = {0};
    randombytes_buf(key, sizeof key);
    *ret = epoch_id_of(key);
    int rc = keyring_add(&s->keyring, key);
    sodium_memzero(key, sizeof key);
    return rc < 0 ? rc : keyring_write(&s->keyring, s->dir_fd, &err);
}

int sync_author_epoch(struct space *s, struct act *a, struct db_batch *batch)
{
    struct sync *y = s->sync;
    struct buf boxes CLEANUP(buf_fini) = {0};
    struct epoch_id id;
    int rc = make_key(s, &id);
    if (rc == 0)
        rc = seal_boxes(y, keyring_find(&s->keyring, &id), &a->revoke, &boxes);
    if (rc < 0)
        return rc;
    a->epoch = (struct act_epoch){.id = id,
                                  .generation = members_next_generation(y->members),
                                  .boxes = boxes.p,
                                  .boxes_n = boxes.n / ACT_BOX_SIZE};
    rc = sync_author(s, a, &y->me->keys, batch);
    a->epoch.boxes = NULL;
    return rc;
}

/* Whether this device may give out keys, and has none to seal under. Lock held. */
static bool is_due(struct space *s)
{
    const struct sync *y = s->sync;
    return y->members != NULL && !y->failed && members_find(y->members, &y->id) != NULL &&
           sync_epoch(s) == NULL;
}

/* Who joined when it had no key of now could not give its label. */
static int author_late_label(struct space *s, struct db_batch *batch)
{
    char label[LIMIT_LABEL + 1];
    bool late = sync_label_of_member(s, &s->sync->me->pub, label) &&
                strcmp(label, SYNC_NO_LABEL) == 0 && strcmp(s->label, SYNC_NO_LABEL) != 0;
    return late ? sync_author_label(s, batch) : 0;
}

/* Lock held. */
static int make_epoch(struct space *s)
{
    struct act a;
    memset(&a, 0, sizeof a);
    a.kind = ACT_EPOCH;
    a.author = s->sync->id;
    struct db_batch *batch = db_batch_new(s->db);
    if (batch == NULL)
        return -ENOMEM;
    int rc = sync_author_epoch(s, &a, batch);
    if (rc == 0)
        rc = author_late_label(s, batch);
    if (rc == 0)
        rc = sync_write_acts(s, batch);
    db_batch_free(batch);
    return rc;
}

int sync_ensure_epoch(struct space *s)
{
    pthread_mutex_lock(&s->lock);
    bool due = is_due(s);
    int rc = due ? make_epoch(s) : 0;
    pthread_mutex_unlock(&s->lock);
    if (rc == -EBADMSG || rc == -ENOBUFS || rc == -E2BIG) {
        /* Others have it refuse to share its acts: that does not get better by trying again. */
        log_error("sync: there is no key to seal changes with, and this device has made as many "
                  "acts as it may; pair it again");
        return 0;
    }
    if (due && rc == 0)
        log_info("sync: a new key is used from now on, as the last one was known to a device that "
                 "is out, or not to this one");
    return rc;
}
