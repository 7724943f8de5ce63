/* Pushing: acts, entries, chunks. Each push is one batch, with the numbers of its space. */
#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>

#include "proto/base/human.h"
#include "proto/sealed/act.h"
#include "proto/sealed/door.h"
#include "sync/server/spaces_priv.h"

/* A push under way, with the lock held. */
struct push {
    struct srv_spaces *s;
    const struct srv_at *at;
    struct space *sp;
    struct srv_space_info next; /* what the space is when this is written */
    struct srv_batch *b;
    uint64_t now_ms;
    struct err *err;
    bool is_new;    /* the space */
    bool is_logged; /* it has a place in the log */
};

/* ---- how much, and how fast ---- */

static void refill(const struct srv_spaces *s, struct account *a, uint64_t now_ms)
{
    const uint64_t full = UINT64_C(1000) * SPACES_BURST;
    if (now_ms > a->credit_ms) { /* a clock that was set back gives nothing, and takes nothing */
        uint64_t ms = min_u64(now_ms - a->credit_ms, full / s->rate_s + 1);
        a->credit = min_u64(full, a->credit + ms * s->rate_s);
    }
    a->credit_ms = now_ms;
}

static uint64_t wait_ms(const struct srv_spaces *s, const struct account *a)
{
    return a->credit >= 1000 ? 0 : (1000 - a->credit + s->rate_s - 1) / s->rate_s;
}

uint64_t srv_spaces_wait_ms(struct srv_spaces *s, uint64_t account, uint64_t now_ms)
{
    struct account *a;
    uint64_t wait = 0;
    pthread_mutex_lock(&s->lock);
    if (spaces_account(s, account, &a) == 0) {
        refill(s, a, now_ms);
        wait = wait_ms(s, a);
    }
    pthread_mutex_unlock(&s->lock);
    return wait;
}

static int take_credit(struct push *p)
{
    struct account *a;
    int rc = spaces_account(p->s, p->at->account, &a);
    if (rc < 0)
        return rc;
    refill(p->s, a, p->now_ms);
    if (wait_ms(p->s, a) > 0) {
        p->s->stats.over_rate++;
        return err_set(p->err, -EAGAIN,
                       "too many changes in too short a time; go on in %" PRIu64 " ms",
                       wait_ms(p->s, a));
    }
    a->credit -= 1000;
    return 0;
}

/* What pieces of content leave of a quota to what is small. */
static uint64_t kept_of(uint64_t quota)
{
    return quota < SPACES_KEPT_FROM ? 0 : min_u64(quota / 64, SPACES_KEPT_MAX);
}

/* @kept: bytes that are to be left. */
static int check_quota(struct push *p, uint64_t bytes, uint64_t kept, uint64_t entries)
{
    const struct account *a = p->sp->account;
    char text[HUMAN_MAX];
    int rc = 0;
    if (bytes + kept > a->quota_bytes - min_u64(a->bytes, a->quota_bytes))
        rc = err_set(p->err, -EDQUOT, "the quota of %s on the server is used up",
                     human_bytes(a->quota_bytes, text));
    else if (entries > a->quota_entries - min_u64(a->entries, a->quota_entries))
        rc = err_set(p->err, -EDQUOT, "the quota of %s entries on the server is used up",
                     human_count(a->quota_entries, text));
    p->s->stats.over_quota += rc < 0;
    return rc;
}

/* ---- beginning and end ---- */

static int begin(struct push *p)
{
    int rc = spaces_find(p->s, p->at, &p->sp);
    if (rc < 0)
        return rc;
    p->next = p->sp->now;
    p->b = srv_batch_new(p->s->store);
    return p->b == NULL ? -ENOMEM : 0;
}

static int commit(struct push *p, enum srv_urgency urgency)
{
    spaces_batch_info(p->b, p->sp, &p->next);
    int rc = srv_store_write(p->s->store, p->b, urgency);
    if (rc < 0)
        return rc;
    spaces_take_info(p->sp, &p->next);
    if (p->is_logged && !p->sp->has_run)
        spaces_take_run(p->s, p->sp);
    return 1;
}

/* Notes the outcome, and says what an error means that nobody has said yet. */
static int end(struct push *p, int rc, uint64_t *count)
{
    struct srv_stats *stats = &p->s->stats;
    srv_batch_free(p->b);
    if (rc == 1)
        ++*count;
    stats->there += rc == 0;
    stats->refused += rc == -EBADMSG || rc == -EEXIST || rc == -ENOTSUP;
    stats->no_space += rc == -ENOSPC;
    if (rc == -ENOENT)
        err_set(p->err, rc, "there is no such space here");
    else if (rc == -ENOSPC)
        err_set(p->err, rc, "the server is full; tell who runs it");
    else if (rc < 0 && rc != -EDQUOT && rc != -EAGAIN && rc != -EEXIST && rc != -EMFILE)
        err_set(p->err, rc, "the server cannot store it: %s", strerror(-rc));
    return rc;
}

/* The place in the log; the first one of this process begins a run. */
static int put_log(struct push *p, const void *value, size_t n)
{
    struct row_key k = row_of(p->sp->number, 'l');
    row_add_u64(&k, p->next.last_seq);
    srv_batch_put(p->b, SRV_LOG, row_bytes(&k), bytes_of(value, n));
    p->is_logged = true;
    return p->sp->has_run ? 0 : spaces_batch_run(p->s, p->b, p->sp, p->next.last_seq);
}

/* The row of an act or entry: its head, and the bytes as they came. */
static void put_entry(struct push *p, const struct row_key *k, uint64_t second, struct bytes bytes)
{
    uint8_t head[ENTRY_HEAD_BYTES];
    put_u64(head, p->next.last_seq);
    put_u64(head + 8, second);
    srv_batch_put_parts(p->b, SRV_ENTRIES, row_bytes(k), bytes_of(head, sizeof head), bytes);
}

/* ---- acts ---- */

/* A space that is there once the push is written. */
static int begin_new(struct push *p, struct account *a)
{
    if (a->spaces_n == SPACES_MAX_OF_ACCOUNT)
        return err_set(p->err, -EMFILE, "the account has %d spaces already", SPACES_MAX_OF_ACCOUNT);
    struct space *sp = calloc(1, sizeof *sp);
    if (sp == NULL)
        return -ENOMEM;
    *sp = (struct space){.account = a, .number = p->s->next_space};
    memcpy(sp->now.id, p->at->space, SPACE_ID_SIZE);
    p->sp = sp;
    p->is_new = true;
    p->b = srv_batch_new(p->s->store);
    if (p->b == NULL)
        return -ENOMEM;
    p->next = (struct srv_space_info){.created_ms = p->now_ms};
    randombytes_buf(&p->next.log_id, sizeof p->next.log_id);
    memcpy(p->next.id, p->at->space, SPACE_ID_SIZE);
    uint8_t number[8];
    put_u64(number, sp->number);
    struct row_key k = row_meta('s', a->number);
    row_add(&k, p->at->space, SPACE_ID_SIZE);
    srv_batch_put(p->b, SRV_ACCOUNTS, row_bytes(&k), bytes_of(number, 8));
    put_u64(number, sp->number + 1);
    srv_batch_put(p->b, SRV_META, bytes_str("space-next"), bytes_of(number, 8));
    return 0;
}

static void end_new(struct push *p, bool written)
{
    struct account *a = p->sp->account;
    if (written) {
        a->spaces[a->spaces_n++] = p->sp;
        p->s->next_space++;
        return;
    }
    free(p->sp);
}

static int store_act(struct push *p, const uint8_t id[ACT_ID_SIZE], struct bytes act)
{
    struct row_key k = row_of(p->sp->number, 'a');
    row_add(&k, id, ACT_ID_SIZE);
    int rc = srv_store_has(p->s->store, SRV_ENTRIES, row_bytes(&k));
    if (rc != 0)
        return rc < 0 ? rc : 0;
    rc = check_quota(p, act.n, 0, 1);
    if (rc < 0)
        return rc;
    p->next.last_seq++;
    p->next.bytes += act.n;
    p->next.entries++;
    uint8_t log[1 + ACT_ID_SIZE] = {SRV_ACT};
    memcpy(log + 1, id, ACT_ID_SIZE);
    struct row_key acts = row_of(p->sp->number, 'a');
    row_add_u64(&acts, p->next.last_seq);
    srv_batch_put(p->b, SRV_LOG, row_bytes(&acts), bytes_of(log, sizeof log));
    rc = put_log(p, log, sizeof log);
    if (rc < 0)
        return rc;
    put_entry(p, &k, p->now_ms, act);
    return commit(p, SRV_ORDINARY);
}

static int push_act(struct push *p, struct bytes act)
{
    if (act.n == 0 || act.n > LIMIT_ACT)
        return -EBADMSG;
    int rc = take_credit(p);
    if (rc < 0)
        return rc;
    struct act_id id = act_id_of(act);
    _Static_assert((int)ACT_ID_SIZE == (int)SPACE_ID_SIZE, "a space is its genesis");
    rc = begin(p);
    struct account *a;
    if (rc == -ENOENT && memcmp(id.b, p->at->space, SPACE_ID_SIZE) == 0 &&
        spaces_account(p->s, p->at->account, &a) == 0)
        rc = begin_new(p, a);
    if (rc == 0)
        rc = store_act(p, id.b, act);
    if (p->is_new)
        end_new(p, rc == 1);
    return rc;
}

int srv_push_act(struct srv_spaces *s, const struct srv_at *at, struct bytes act, uint64_t now_ms,
                 uint64_t *ret_seq, struct err *err)
{
    struct push p = {.s = s, .at = at, .now_ms = now_ms, .err = err};
    pthread_mutex_lock(&s->lock);
    int rc = end(&p, push_act(&p, act), &s->stats.acts);
    if (rc == 1 && ret_seq != NULL)
        *ret_seq = p.next.last_seq;
    pthread_mutex_unlock(&s->lock);
    if (rc == 1 && s->grown != NULL)
        s->grown(s->grown_arg, at->account, at->space);
    return rc;
}

/* ---- entries ---- */

/* Names of chunks, by a variant of a value. */
static void put_named(struct push *p, const struct entry *e, unsigned variant)
{
    for (size_t i = 0; i < e->refs.chunks.n; i++) {
        struct chunk_id id = chunk_ids_at(e->refs.chunks, i);
        struct row_key k = row_named_by_value(p->sp->number, id.b, &e->head.dot, variant);
        srv_batch_put(p->b, SRV_CHUNKS, row_bytes(&k), bytes_of(NULL, 0));
    }
}

/* From the first time that anything replaces a dot, it has its days; whether it is here or not. */
static int put_replaced(struct push *p, struct dots replaced)
{
    for (size_t i = 0; i < replaced.n; i++) {
        struct dot dot = dots_at(replaced, i);
        struct row_key k = row_of(p->sp->number, 'x');
        row_add_dot(&k, &dot);
        int rc = srv_store_has(p->s->store, SRV_ENTRIES, row_bytes(&k));
        if (rc < 0)
            return rc;
        if (rc == 1)
            continue;
        uint8_t ms[8];
        put_u64(ms, p->now_ms);
        srv_batch_put(p->b, SRV_ENTRIES, row_bytes(&k), bytes_of(ms, sizeof ms));
        struct row_key queue =
            row_queue('r', p->now_ms, p->sp->number, replaced.p + i * DOT_SIZE, DOT_SIZE);
        srv_batch_put(p->b, SRV_META, row_bytes(&queue), bytes_of(NULL, 0));
    }
    return 0;
}

/* The highest counter of a replica; that of the one that pushed last is remembered. */
static int get_highest(struct push *p, uint64_t replica, const struct row_key *k, uint64_t *ret)
{
    const struct dot *last = &p->sp->highest;
    *ret = last->counter;
    if (last->replica == replica && last->counter > 0)
        return 0;
    struct buf v = {0};
    int rc = srv_store_get(p->s->store, SRV_ENTRIES, row_bytes(k), &v);
    *ret = rc == 0 && v.n == 8 ? get_u64(v.p) : 0;
    buf_fini(&v);
    return rc == -ENOENT ? 0 : rc;
}

/* @ret: what is the highest when this is written. */
static int put_highest(struct push *p, const struct dot *dot, struct dot *ret)
{
    struct row_key k = row_of(p->sp->number, 'v');
    row_add_u64(&k, dot->replica);
    *ret = *dot;
    uint64_t highest;
    int rc = get_highest(p, dot->replica, &k, &highest);
    if (rc < 0)
        return rc;
    ret->counter = max_u64(highest, dot->counter);
    uint8_t counter[8];
    put_u64(counter, dot->counter);
    if (dot->counter > highest)
        srv_batch_put(p->b, SRV_ENTRIES, row_bytes(&k), bytes_of(counter, sizeof counter));
    return 0;
}

/* Whether a row holds these bytes behind its head. */
static bool row_has(const struct buf *row, size_t head, struct bytes bytes)
{
    return row->n >= head && bytes_equal(bytes_of(row->p + head, row->n - head), bytes);
}

/* The number of the first free variant of a value; -EALREADY: these bytes are there. */
static int free_variant(struct push *p, const struct dot *dot, struct bytes entry)
{
    struct buf row = {0};
    int n = 0;
    int rc = 0;
    for (; n < SPACES_VARIANTS_MAX; n++) {
        struct row_key k = row_value(p->sp->number, dot, (unsigned)n);
        rc = srv_store_get(p->s->store, SRV_ENTRIES, row_bytes(&k), &row);
        if (rc == 0 && row_has(&row, ENTRY_HEAD_BYTES, entry))
            rc = -EALREADY;
        if (rc < 0)
            break;
    }
    buf_fini(&row);
    return rc == 0 || rc == -ENOENT ? n : rc;
}

static int full_of_variants(struct push *p)
{
    return err_set(p->err, -EEXIST, "the server has %d other forms of it already",
                   SPACES_VARIANTS_MAX);
}

static int store_value(struct push *p, const struct entry *e, struct bytes entry)
{
    int variant = free_variant(p, &e->head.dot, entry);
    if (variant < 0)
        return variant == -EALREADY ? 0 : variant;
    if (variant == SPACES_VARIANTS_MAX)
        return full_of_variants(p);
    int rc = check_quota(p, entry.n, 0, 1);
    if (rc < 0)
        return rc;
    p->next.last_seq++;
    p->next.bytes += entry.n;
    p->next.entries++;
    struct row_key k = row_value(p->sp->number, &e->head.dot, (unsigned)variant);
    uint8_t log[1 + VARIANT_KEY_DOT] = {SRV_VALUE};
    memcpy(log + 1, k.p + SPACE_PREFIX_BYTES, VARIANT_KEY_DOT);
    put_named(p, e, (unsigned)variant);
    struct dot highest;
    rc = put_log(p, log, sizeof log);
    if (rc == 0)
        rc = put_replaced(p, e->refs.replaced);
    if (rc == 0)
        rc = put_highest(p, &e->head.dot, &highest);
    if (rc < 0)
        return rc;
    put_entry(p, &k, p->now_ms, entry);
    rc = commit(p, SRV_ORDINARY);
    if (rc == 1)
        p->sp->highest = highest;
    return rc;
}

/* The newest STATE of a replica, from each device that sends it. */
static int store_state(struct push *p, const struct entry *e, struct bytes entry)
{
    struct row_key k = row_of(p->sp->number, 's');
    row_add_u64(&k, e->head.dot.replica);
    row_add(&k, p->at->token, TOKEN_ID_BYTES);
    struct buf old = {0};
    int rc = srv_store_get(p->s->store, SRV_ENTRIES, row_bytes(&k), &old);
    bool is_there = rc == 0 && old.n >= ENTRY_HEAD_BYTES;
    if (is_there &&
        (get_u64(old.p + 8) > e->head.dot.counter || row_has(&old, ENTRY_HEAD_BYTES, entry))) {
        buf_fini(&old);
        return 0;
    }
    uint64_t old_bytes = is_there ? old.n - ENTRY_HEAD_BYTES : 0;
    if (is_there) {
        struct row_key log = row_of(p->sp->number, 'l');
        row_add(&log, old.p, 8);
        srv_batch_delete(p->b, SRV_LOG, row_bytes(&log));
    }
    buf_fini(&old);
    if (rc < 0 && rc != -ENOENT)
        return rc;
    rc = check_quota(p, entry.n - min_u64(old_bytes, entry.n), 0, !is_there);
    if (rc < 0)
        return rc;
    p->next.last_seq++;
    p->next.bytes += entry.n - old_bytes;
    p->next.entries += !is_there;
    uint8_t log[1 + 8 + TOKEN_ID_BYTES] = {SRV_STATE};
    memcpy(log + 1, k.p + SPACE_PREFIX_BYTES, 8 + TOKEN_ID_BYTES);
    rc = put_log(p, log, sizeof log);
    if (rc < 0)
        return rc;
    put_entry(p, &k, e->head.dot.counter, entry);
    return commit(p, SRV_ORDINARY);
}

static int push_entry(struct push *p, struct bytes entry)
{
    struct entry e;
    int rc = entry_parse_sealed(entry, &e);
    if (rc == 0 && memcmp(e.head.space.b, p->at->space, SPACE_ID_SIZE) != 0)
        rc = -EBADMSG;
    if (rc == 0)
        rc = take_credit(p);
    if (rc == 0)
        rc = begin(p);
    if (rc < 0)
        return rc;
    return e.head.kind == ENTRY_STATE ? store_state(p, &e, entry) : store_value(p, &e, entry);
}

int srv_push_entry(struct srv_spaces *s, const struct srv_at *at, struct bytes entry,
                   uint64_t now_ms, uint64_t *ret_seq, struct err *err)
{
    struct push p = {.s = s, .at = at, .now_ms = now_ms, .err = err};
    pthread_mutex_lock(&s->lock);
    int rc = end(&p, push_entry(&p, entry), &s->stats.entries);
    if (rc == 1 && ret_seq != NULL)
        *ret_seq = p.next.last_seq;
    pthread_mutex_unlock(&s->lock);
    if (rc == 1 && s->grown != NULL)
        s->grown(s->grown_arg, at->account, at->space);
    return rc;
}

/* ---- chunks ---- */

/* 1 when a row has these bytes, else 0. What is damaged has none. */
static int chunk_row_has(struct srv_store *store, const struct chunk_row *c, struct buf *b,
                         struct bytes sealed)
{
    struct bytes has;
    int rc = c->n != sealed.n ? -EUCLEAN : chunk_row_bytes(store, c, b, &has);
    return rc == -EUCLEAN ? 0 : rc < 0 ? rc : bytes_equal(has, sealed);
}

/*
 * The number of the first free variant, or SPACES_VARIANTS_MAX; -EALREADY: these bytes are there.
 * Where none has number 0 there is none, unless it was torn: then what has another number may be
 * kept twice, which is no harm.
 */
static int free_chunk_variant(struct push *p, const uint8_t *id, struct bytes sealed)
{
    struct buf value = {0};
    struct buf b = {0};
    int free_one = SPACES_VARIANTS_MAX;
    int rc = 0;
    for (int n = 0; rc >= 0 && n < SPACES_VARIANTS_MAX && free_one != 0; n++) {
        struct chunk_row c;
        struct row_key k = row_chunk(p->sp->number, id, (unsigned)n);
        rc = chunk_row_get(p->s->store, &k, &value, &c);
        if (rc == 0)
            free_one = free_one == SPACES_VARIANTS_MAX ? n : free_one;
        else if (rc == 1 && (rc = chunk_row_has(p->s->store, &c, &b, sealed)) == 1)
            rc = -EALREADY;
    }
    buf_fini(&value);
    buf_fini(&b);
    return rc < 0 ? rc : free_one;
}

static int store_chunk(struct push *p, const struct srv_chunk *c, struct chunk_ids names)
{
    int variant = free_chunk_variant(p, c->id, c->sealed);
    if (variant < 0)
        return variant == -EALREADY ? 0 : variant;
    if (variant == SPACES_VARIANTS_MAX)
        return full_of_variants(p);
    int rc = check_quota(p, c->sealed.n, kept_of(p->sp->account->quota_bytes), 0);
    if (rc < 0)
        return rc;
    p->next.bytes += c->sealed.n;
    p->next.chunks++;
    for (size_t i = 0; i < names.n; i++) {
        struct chunk_id id = chunk_ids_at(names, i);
        struct row_key named = row_named_by_chunk(p->sp->number, id.b, c->id, (unsigned)variant);
        srv_batch_put(p->b, SRV_CHUNKS, row_bytes(&named), bytes_of(NULL, 0));
    }
    struct row_key queue = row_queue('u', p->now_ms, p->sp->number, c->id, CHUNK_ID_SIZE);
    srv_batch_put(p->b, SRV_META, row_bytes(&queue), bytes_of(NULL, 0));
    struct row_key k = row_chunk(p->sp->number, c->id, (unsigned)variant);
    struct chunk_row row = {.ms = p->now_ms};
    rc = chunk_row_put(p->s->store, p->b, &k, c->sealed, names.n > 0, &row);
    if (rc < 0)
        return rc;
    rc = commit(p, SRV_BULK);
    if (rc < 0 && row.is_placed)
        srv_store_abandon(p->s->store, &row.place);
    return rc;
}

static int push_chunk(struct push *p, const struct srv_chunk *c)
{
    struct chunk_ids names;
    int rc = row_chunk_names(c->sealed, &names);
    if (rc == 0)
        rc = begin(p);
    return rc < 0 ? rc : store_chunk(p, c, names);
}

int srv_push_chunk(struct srv_spaces *s, const struct srv_at *at, const struct srv_chunk *c,
                   uint64_t now_ms, struct err *err)
{
    struct push p = {.s = s, .at = at, .now_ms = now_ms, .err = err};
    pthread_mutex_lock(&s->lock);
    int rc = end(&p, push_chunk(&p, c), &s->stats.chunks);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

/* ---- the passphrase blob ---- */

static int push_door(struct push *p, struct bytes blob)
{
    int rc = blob.n > DOOR_BLOB_MAX ? -EBADMSG : take_credit(p);
    if (rc == 0)
        rc = begin(p);
    if (rc < 0)
        return rc;
    struct row_key k = row_of(p->sp->number, 'd');
    if (blob.n > 0)
        srv_batch_put(p->b, SRV_ENTRIES, row_bytes(&k), blob);
    else
        srv_batch_delete(p->b, SRV_ENTRIES, row_bytes(&k));
    return commit(p, SRV_ORDINARY);
}

int srv_push_door(struct srv_spaces *s, const struct srv_at *at, struct bytes blob, uint64_t now_ms,
                  struct err *err)
{
    struct push p = {.s = s, .at = at, .now_ms = now_ms, .err = err};
    pthread_mutex_lock(&s->lock);
    int rc = end(&p, push_door(&p, blob), &s->stats.doors);
    pthread_mutex_unlock(&s->lock);
    return rc;
}
