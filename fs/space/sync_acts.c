/*
 * The acts of a space on this device: loaded, taken from others, and made here.
 */
#include <errno.h>
#include <stdio.h>

#include "fs/space/sync_priv.h"
#include "proto/base/log.h"

/* ---- taking ------------------------------------------------------------------------------------
 */

static struct sync_key act_key(int tag, size_t i)
{
    uint8_t b[4];
    put_u32(b, (uint32_t)i);
    return sync_key(tag, bytes_of(b, sizeof b));
}

static void put_time(size_t i, struct db_batch *batch)
{
    uint8_t now[8];
    struct sync_key key = act_key(SYNC_ACT_TIME, i);
    put_u64(now, tidy_now_ms());
    db_batch_put(batch, DB_SYNC, sync_key_bytes(&key), bytes_of(now, sizeof now));
}

uint64_t sync_act_time(struct space *s, size_t i)
{
    struct buf row CLEANUP(buf_fini) = {0};
    struct sync_key key = act_key(SYNC_ACT_TIME, i);
    return sync_get(s, &key, 0, &row) == 0 && row.n == 8 ? get_u64(row.p) : 0;
}

/* Rows and arrivals of the acts from @from on, which are in memory already. */
static void put_acts(struct sync *y, size_t from, uint64_t source, struct db_batch *batch)
{
    for (size_t i = from; i < members_acts_n(y->members); i++) {
        const struct act *a = members_act(y->members, i);
        struct act_id id = act_id_of(a->raw);
        struct sync_key key = act_key(SYNC_ACT, i),
                        waits = sync_key(SYNC_ACT_WAITS, bytes_of(id.b, ACT_ID_SIZE));
        struct arrival at = {.kind = ARRIVAL_ACT, .source = source, .act = (uint32_t)i};
        db_batch_put(batch, DB_SYNC, sync_key_bytes(&key), a->raw);
        put_time(i, batch);
        db_batch_delete(batch, DB_SYNC, sync_key_bytes(&waits));
        sync_put_arrival(y, batch, &at);
    }
    sync_put_own(y, batch);
}

/* What waits no more without being taken has no row either. */
static void delete_dropped(const struct members *m, struct db_batch *batch)
{
    struct act_ids dropped = members_dropped(m);
    for (size_t i = 0; i < dropped.n; i++) {
        struct sync_key key =
            sync_key(SYNC_ACT_WAITS, bytes_of(dropped.p + i * ACT_ID_SIZE, ACT_ID_SIZE));
        db_batch_delete(batch, DB_SYNC, sync_key_bytes(&key));
    }
}

int sync_insert_act(struct space *s, struct bytes act, uint64_t source, struct db_batch *batch)
{
    struct sync *y = s->sync;
    size_t from = y->members == NULL ? 0 : members_acts_n(y->members);
    int rc;
    if (y->members == NULL) {
        rc = members_new(act, &y->space, &y->members);
        rc = rc == 0 ? 1 : rc;
    } else {
        rc = members_insert(y->members, act);
        delete_dropped(y->members, batch);
    }
    if (rc == 1) {
        put_acts(y, from, source, batch);
    } else if (rc == -EAGAIN) {
        struct act_id id = act_id_of(act);
        struct sync_key key = sync_key(SYNC_ACT_WAITS, bytes_of(id.b, ACT_ID_SIZE));
        db_batch_put(batch, DB_SYNC, sync_key_bytes(&key), act);
    }
    return rc;
}

/* Inserts what rows with @tag hold, without writing. */
static int load_rows(struct space *s, int tag)
{
    const uint8_t prefix = (uint8_t)tag;
    struct db_batch *unused = db_batch_new(s->db);
    struct db_iter *it = db_iter_new(s->db, DB_SYNC, bytes_of(&prefix, 1), NULL);
    uint64_t next = s->sync->next;
    int rc = unused == NULL || it == NULL ? -ENOMEM : 0;
    while (rc == 0 && db_iter_next(it)) {
        rc = sync_insert_act(s, db_iter_value(it), 0, unused);
        if (rc == -EBADMSG && tag == SYNC_ACT)
            rc = -EUCLEAN;
        else if (rc == 1 || tag == SYNC_ACT_WAITS)
            rc = 0;
    }
    if (rc == 0)
        rc = db_iter_status(it);
    s->sync->next = next;
    db_iter_free(it);
    db_batch_free(unused);
    return rc;
}

int sync_load_acts(struct space *s)
{
    int rc = load_rows(s, SYNC_ACT);
    return rc < 0 || s->sync->members == NULL ? rc : load_rows(s, SYNC_ACT_WAITS);
}

/* ---- making ------------------------------------------------------------------------------------
 */

int sync_author(struct space *s, struct act *a, const struct member_keys *k, struct db_batch *batch)
{
    struct sync *y = s->sync;
    struct buf raw CLEANUP(buf_fini) = {0};
    uint8_t heads[LIMIT_ACT_HEADS * ACT_ID_SIZE];
    if (y->failed)
        return -EIO;
    a->space = y->space;
    a->number = members_next_number(y->members, &a->author);
    a->parents = (struct act_ids){heads, members_heads(y->members, heads)};
    int rc = act_sign(a, k, &raw);
    if (rc == 0)
        rc = sync_insert_act(s, buf_bytes(&raw), 0, batch);
    return rc < 0 ? rc : 0;
}

int sync_write_acts(struct space *s, struct db_batch *batch)
{
    struct sync *y = s->sync;
    int rc = db_write(s->db, batch, true);
    y->failed = y->failed || rc < 0;
    if (rc == 0)
        y->durable = y->next - 1;
    return rc;
}

static struct act new_act(const struct sync *y, enum act_kind kind)
{
    struct act a;
    memset(&a, 0, sizeof a);
    a.kind = kind;
    a.author = y->id;
    return a;
}

const struct member_public *sync_owner_of(const struct sync *y, uint64_t replica,
                                          struct members_past **ret_past)
{
    uint8_t heads[LIMIT_ACT_HEADS * ACT_ID_SIZE];
    struct act_ids ids = {heads, members_heads(y->members, heads)};
    if (members_past_new(y->members, ids, ret_past) < 0)
        return NULL;
    return members_past_owner(*ret_past, replica);
}

bool sync_owns_replica(struct space *s)
{
    struct sync *y = s->sync;
    if (y == NULL || y->members == NULL || y->failed || members_find(y->members, &y->id) == NULL)
        return false;
    struct members_past *past = NULL;
    const struct member_public *owner = sync_owner_of(y, replica_id(s->replica), &past);
    bool mine = owner != NULL && memcmp(owner->sign, y->me->pub.sign, SIGN_KEY_SIZE) == 0;
    members_past_free(past);
    return mine;
}

bool sync_may_sign(struct space *s)
{
    return sync_owns_replica(s) &&
           members_cut(s->sync->members, replica_id(s->replica)) == MEMBERS_NO_CUT;
}

const struct epoch_keys *sync_epoch(struct space *s)
{
    const struct act *e = members_epoch(s->sync->members);
    return e == NULL ? NULL : keyring_find(&s->keyring, &e->epoch.id);
}

static int author_epoch(struct space *s, struct db_batch *batch)
{
    struct sync *y = s->sync;
    const struct epoch_keys *k = &s->keyring.epochs[s->keyring.epochs_n - 1];
    uint8_t box[ACT_BOX_SIZE];
    struct act a = new_act(y, ACT_EPOCH);
    a.epoch = (struct act_epoch){
        .id = k->id, .generation = members_next_generation(y->members), .boxes = box, .boxes_n = 1};
    int rc = act_box_seal(k, &y->space, &y->me->pub, box);
    return rc < 0 ? rc : sync_author(s, &a, &y->me->keys, batch);
}

int sync_author_label(struct space *s, struct db_batch *batch)
{
    struct sync *y = s->sync;
    uint8_t label[ACT_LABEL_SIZE];
    struct act a = new_act(y, ACT_LABEL);
    const struct epoch_keys *k = sync_epoch(s);
    if (k == NULL || s->label[0] == '\0')
        return 0;
    a.label = label;
    int rc = act_label_seal(k, &y->space, &y->id, bytes_str(s->label), label);
    return rc < 0 ? rc : sync_author(s, &a, &y->me->keys, batch);
}

int sync_author_own(struct space *s, struct db_batch *batch)
{
    struct sync *y = s->sync;
    int rc = 0;
    size_t before = members_acts_n(y->members);
    if (members_epoch(y->members) == NULL && before == 1)
        rc = author_epoch(s, batch);
    if (rc == 0 && !sync_may_sign(s)) {
        struct act a = new_act(y, ACT_OWN);
        a.replica = replica_id(s->replica);
        memcpy(a.random, y->random, sizeof y->random);
        rc = sync_author(s, &a, &y->me->keys, batch);
    }
    if (rc == 0 && before == 1)
        rc = sync_author_label(s, batch);
    return rc < 0 ? rc : members_acts_n(y->members) > before;
}

/* ---- joining -----------------------------------------------------------------------------------
 */

/* The own add, signed by the door. */
static int author_add(struct space *s, const struct member_keys *door, struct db_batch *batch)
{
    struct sync *y = s->sync;
    uint8_t label[ACT_LABEL_SIZE];
    const struct epoch_keys *k = sync_epoch(s);
    const char *shown = s->label[0] != '\0' ? s->label : SYNC_NO_LABEL;
    if (s->keyring.epochs_n == 0)
        return -ENOKEY;
    if (k == NULL) { /* the passphrase is older than the last key: its label comes with a new one */
        k = &s->keyring.epochs[s->keyring.epochs_n - 1];
        shown = SYNC_NO_LABEL;
    }
    struct act a = new_act(y, ACT_ADD);
    memcpy(a.author.b, door->sign_public, SIGN_KEY_SIZE);
    a.add = (struct act_add){
        .by_door = true, .member = y->me->pub, .role = ACT_ROLE_DEVICE, .label = label};
    int rc = act_label_seal(k, &y->space, &y->id, bytes_str(shown), label);
    return rc < 0 ? rc : sync_author(s, &a, door, batch);
}

static int join(struct space *s, struct db_batch *batch)
{
    struct sync *y = s->sync;
    if (members_find(y->members, &y->id) != NULL)
        return sync_author_own(s, batch);
    struct member_keys door;
    if (!s->keyring.has_door)
        return -EKEYREVOKED;
    int rc = door_keys_init(&door, s->keyring.door);
    if (rc == 0 && !members_door_open(y->members, door.sign_public))
        rc = -EKEYREVOKED;
    if (rc == 0)
        rc = author_add(s, &door, batch);
    member_keys_fini(&door);
    return rc < 0 ? rc : sync_author_own(s, batch);
}

int space_sync_join(struct space *s)
{
    struct sync *y = s->sync;
    if (y == NULL || y->members == NULL)
        return -ENOTCONN;
    struct db_batch *batch = db_batch_new(s->db);
    if (batch == NULL)
        return -ENOMEM;
    pthread_mutex_lock(&s->lock);
    int rc = sync_may_sign(s) ? 0 : join(s, batch);
    if (rc == 1) {
        int written = sync_write_acts(s, batch);
        rc = written < 0 ? written : 1;
        y->ends_due = true; /* it may have been given no key of now */
    }
    if (rc == 1 && s->keyring.has_door) {
        struct err err = {0};
        s->keyring.has_door = false;
        sodium_memzero(s->keyring.door, sizeof s->keyring.door);
        if (keyring_write(&s->keyring, s->dir_fd, &err) < 0)
            log_warn("%s", err.msg);
    }
    pthread_mutex_unlock(&s->lock);
    db_batch_free(batch);
    return rc;
}

/* ---- what acts say -----------------------------------------------------------------------------
 */

/* The keys of epochs in boxes for this device. */
static int open_boxes(struct space *s, const struct act_epoch *e, bool *changed)
{
    struct sync *y = s->sync;
    struct epoch_keys k;
    if (keyring_find(&s->keyring, &e->id) != NULL)
        return 0;
    int rc = act_box_open(e, &y->space, &y->id, &y->me->keys, &k);
    if (rc < 0)
        return rc == -ENOKEY || rc == -EBADMSG ? 0 : rc;
    rc = keyring_add(&s->keyring, k.key);
    epoch_keys_fini(&k);
    *changed = true;
    return rc;
}

int sync_acts_changed(struct space *s)
{
    struct sync *y = s->sync;
    bool changed = false;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < members_acts_n(y->members); i++) {
        const struct act *a = members_act(y->members, i);
        if (a->kind == ACT_EPOCH || (a->kind == ACT_REVOKE && a->revoke.with_epoch))
            rc = open_boxes(s, &a->epoch, &changed);
    }
    struct err err = {0};
    if (rc == 0 && changed)
        rc = keyring_write(&s->keyring, s->dir_fd, &err);
    return rc;
}

/* The name of the owner of a replica: of its newest label that opens. */
bool sync_label_of_member(struct space *s, const struct member_public *owner,
                          char ret[LIMIT_LABEL + 1])
{
    struct sync *y = s->sync;
    struct member_id id = member_id_of(owner);
    const struct member_now *m = members_find(y->members, &id);
    if (m == NULL || m->label == NULL)
        return false;
    struct epoch_id epoch = act_label_epoch(m->label);
    const struct epoch_keys *k = keyring_find(&s->keyring, &epoch);
    return k != NULL && act_label_open(k, &y->space, &id, m->label, ret) == 0;
}

bool sync_label_of(void *space, uint64_t replica, char ret[LIMIT_LABEL + 1])
{
    struct space *s = space;
    struct sync *y = s->sync;
    if (y == NULL || y->members == NULL)
        return false;
    struct members_past *past = NULL;
    const struct member_public *owner = sync_owner_of(y, replica, &past);
    bool ok = owner != NULL && sync_label_of_member(s, owner, ret);
    members_past_free(past);
    return ok;
}

int space_sync_take_act(struct space *s, uint64_t remote, struct bytes act)
{
    struct sync *y = s->sync;
    if (y == NULL)
        return -ENOTCONN;
    struct db_batch *batch = db_batch_new(s->db);
    if (batch == NULL)
        return -ENOMEM;
    pthread_mutex_lock(&s->lock);
    int rc = sync_insert_act(s, act, remote, batch);
    if (rc == 1 || rc == -EAGAIN) {
        int written = db_write(s->db, batch, false);
        y->failed = y->failed || written < 0;
        rc = written < 0 ? written : rc == 1 ? SYNC_TAKEN : SYNC_WAITS;
        y->look_again = y->ends_due = true;
        if (rc == SYNC_TAKEN && sync_acts_changed(s) < 0)
            rc = -EIO;
        space_past_changed(s); /* its names have labels */
    } else if (rc == 0) {
        rc = SYNC_KNOWN;
    } else if (rc == -EBADMSG || rc == -ENOTSUP || rc == -ENOBUFS) {
        y->counts.refused++;
        snprintf(y->counts.last_refused, sizeof y->counts.last_refused, "an act is %s",
                 rc == -EBADMSG   ? "not valid"
                 : rc == -ENOTSUP ? "of a newer version"
                                  : "one too many");
        log_warn("sync: refused: %s", y->counts.last_refused);
        rc = SYNC_REFUSED;
    }
    pthread_mutex_unlock(&s->lock);
    db_batch_free(batch);
    return rc;
}
