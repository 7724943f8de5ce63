/*
 * Entries that come in: opened, verified, and applied, or kept until what they wait for is here.
 * The rules are those of proto/sealed/verify.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "fs/space/sync_priv.h"
#include "proto/base/log.h"

enum {
    ROOTS = 1024,
    WAITS_HEAD = 16, /* source and bytes before a stored entry that waits for content */
    HELD_HEAD = 16,  /* source and author before one that waits for acts or changes */
    LOCKED_HEAD = 8, /* source before a sealed one */
    LOOK_MAX = 1024, /* waiting entries that are looked at in one go */
};

/* A root that was verified, with the key that it verified with. */
struct sync_root {
    uint8_t root[HASH_SIZE], key[SIGN_KEY_SIZE];
};

static int refuse(struct space *s, const char *what, const struct dot *dot)
{
    struct sync_counts *c = &s->sync->counts;
    pthread_mutex_lock(&s->lock);
    c->refused++;
    snprintf(c->last_refused, sizeof c->last_refused, "change %016llx.%llu %s",
             (unsigned long long)dot->replica, (unsigned long long)dot->counter, what);
    log_warn("sync: refused: %s", c->last_refused);
    pthread_mutex_unlock(&s->lock);
    return SYNC_REFUSED;
}

/* ---- verifying ---------------------------------------------------------------------------------
 */

/* An entry taken apart. */
struct taken {
    struct entry e;
    uint64_t after;
    struct bytes change;
    struct verify_claim *claims;
    size_t claims_n;
    uint64_t content_bytes;
    uint64_t author; /* SYNC_NOBODY until the signature is verified */
    bool chunked;    /* not all of its content is in the change itself */
};

static void add_claim(struct taken *t, struct dots dots, bool origin)
{
    if (dots.n > 0)
        t->claims[t->claims_n++] = (struct verify_claim){dots, origin};
}

static int read_part(struct taken *t, struct reader *r, const struct dot *dot)
{
    struct value v;
    int rc = value_change_next(r, dot, &v);
    if (rc < 0)
        return rc;
    add_claim(t, v.ctx, false);
    if (!v.from_own)
        add_claim(t, v.from, true);
    if (v.facet == FACET_PLACE && !v.place.alive)
        add_claim(t, v.place.cseen, false);
    if (v.facet == FACET_CONTENT) {
        struct content_info info;
        t->content_bytes += v.content.size;
        t->chunked = t->chunked || content_parse(v.content.body, &info) < 0 || !info.is_inline;
    }
    return 0;
}

/* Reads the plaintext of a VALUE. -EBADMSG, -ENOMEM; free claims. */
static int take_apart(struct taken *t)
{
    struct reader r;
    struct dot dot;
    size_t n;
    if (t->e.plain.n < SYNC_AFTER_SIZE)
        return -EBADMSG;
    t->after = get_u64(t->e.plain.p);
    t->change = bytes_of(t->e.plain.p + SYNC_AFTER_SIZE, t->e.plain.n - SYNC_AFTER_SIZE);
    if (value_change_open(t->change, &r, &dot, &n) < 0 || !dot_equal(&dot, &t->e.head.dot) ||
        t->after >= dot.counter || n > LIMIT_CHANGE_PARTS)
        return -EBADMSG;
    t->claims = calloc(3 * n + 1, sizeof *t->claims);
    if (t->claims == NULL)
        return -ENOMEM;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = read_part(t, &r, &dot);
    return rc < 0 ? rc : reader_end(&r);
}

static struct sync_root *root_slot(struct sync *y, const struct sync_root *r)
{
    if (y->roots == NULL)
        y->roots = calloc(ROOTS, sizeof *y->roots);
    return y->roots == NULL ? NULL : &y->roots[get_u64(r->root) % ROOTS];
}

/* Under lock. What verifies backs its counter from then on, also while it waits. */
static enum verify_result verify(struct space *s, struct taken *t)
{
    struct sync *y = s->sync;
    struct sync_root root, *slot = NULL;
    if (y->members == NULL)
        return VERIFY_HOLD_ACTS;
    enum verify_result r = verify_owner(y->members, &t->e, root.key);
    if (r != VERIFY_ACCEPT)
        return r;
    entry_root(&t->e, root.root);
    slot = root_slot(y, &root);
    struct verify_value v = {.members = y->members,
                             .entry = &t->e,
                             .claims = t->claims,
                             .claims_n = t->claims_n,
                             .highest = &y->highest,
                             .signature_known =
                                 slot != NULL && memcmp(slot, &root, sizeof root) == 0};
    r = verify_value(&v);
    if (r != VERIFY_ACCEPT && r != VERIFY_HOLD_VECTOR)
        return r;
    t->author = sync_author_of(root.key);
    if (slot != NULL)
        *slot = root;
    if (!vv_has(&y->highest, &t->e.head.dot)) {
        if (vv_add(&y->highest, &t->e.head.dot) < 0)
            return VERIFY_MEMORY;
        y->look_again = true;
    }
    return r;
}

/* ---- keeping -----------------------------------------------------------------------------------
 */

static int keep(struct space *s, const struct sync_key *key, const uint64_t *head, size_t head_n,
                struct bytes bytes)
{
    struct buf row CLEANUP(buf_fini) = {0};
    struct db_batch *batch = db_batch_new(s->db);
    for (size_t i = 0; i < head_n; i++)
        buf_put_u64(&row, head[i]);
    buf_put_bytes(&row, bytes);
    int rc = batch == NULL ? -ENOMEM : buf_status(&row);
    if (rc == 0) {
        db_batch_put(batch, DB_SYNC, sync_key_bytes(key), buf_bytes(&row));
        rc = db_write(s->db, batch, false);
    }
    db_batch_free(batch);
    return rc;
}

static int drop(struct space *s, const struct sync_key *key)
{
    struct db_batch *batch = db_batch_new(s->db);
    if (batch == NULL)
        return -ENOMEM;
    db_batch_delete(batch, DB_SYNC, sync_key_bytes(key));
    int rc = db_write(s->db, batch, false);
    db_batch_free(batch);
    return rc;
}

static void count(struct space *s, int64_t content, int64_t bytes)
{
    struct sync_counts *c = &s->sync->counts;
    pthread_mutex_lock(&s->lock);
    c->content_waiting += (uint64_t)content;
    c->content_bytes += (uint64_t)bytes;
    pthread_mutex_unlock(&s->lock);
}

/* Where an entry was kept when it is looked at. */
enum kept { KEPT_NOWHERE, KEPT_HELD, KEPT_CONTENT };

static struct sync_key held_key(const struct entry *e)
{
    uint8_t hash[HASH_SIZE];
    entry_head_hash(e->head_raw, hash);
    return sync_key_held(&e->head.dot, hash);
}

static int keep_held(struct space *s, uint64_t source, const struct taken *t, struct bytes stored,
                     enum kept kept)
{
    const uint64_t head[] = {source, t->author};
    struct sync_key key = held_key(&t->e);
    if (kept == KEPT_HELD)
        return SYNC_WAITS;
    if (!sync_wait_begins(s, t->author, stored.n))
        return refuse(s, "would wait, where too much waits already", &t->e.head.dot);
    int rc = keep(s, &key, head, ARRAY_N(head), stored);
    if (rc < 0)
        sync_wait_ends(s, t->author, stored.n);
    return rc < 0 ? rc : SYNC_WAITS;
}

static int keep_content(struct space *s, uint64_t source, const struct taken *t,
                        struct bytes stored, enum kept kept)
{
    const uint64_t head[] = {source, t->content_bytes};
    struct sync_key key = sync_key_dot(SYNC_CONTENT_WAITS, &t->e.head.dot);
    if (kept == KEPT_CONTENT)
        return SYNC_CONTENT;
    int rc = keep(s, &key, head, ARRAY_N(head), stored);
    if (rc == 0)
        count(s, 1, (int64_t)t->content_bytes);
    return rc < 0 ? rc : SYNC_CONTENT;
}

static void was_kept(struct space *s, const struct taken *t, enum kept kept)
{
    if (kept == KEPT_CONTENT)
        count(s, -1, -(int64_t)t->content_bytes);
}

/* ---- taking ------------------------------------------------------------------------------------
 */

static struct exchange_entry entry_of(uint64_t source, const struct taken *t, struct bytes stored)
{
    struct exchange_entry x = {.dot = t->e.head.dot,
                               .after = t->after,
                               .source = source,
                               .change = t->change,
                               .stored = stored};
    entry_head_hash(t->e.head_raw, x.head_hash);
    return x;
}

static int apply_taken(struct space *s, uint64_t source, const struct taken *t, struct bytes stored,
                       enum kept kept)
{
    struct exchange_entry x = entry_of(source, t, stored);
    int rc = t->e.refs.chunks.n > 0 ? sync_flush_chunks(s) : 0; /* they may have come ahead */
    if (rc == 0)
        rc = exchange_apply(s, &x, 1);
    if (rc == -ENODATA)
        return keep_content(s, source, t, stored, kept);
    if (rc == -EAGAIN) /* too many concurrent values of one facet: when some were superseded */
        return keep_held(s, source, t, stored, kept);
    if (rc == -EBADMSG)
        return refuse(s, "has a body that makes no sense", &t->e.head.dot);
    if (rc < 0)
        return rc;
    was_kept(s, t, kept);
    sync_chunks_named(s, t->content_bytes);
    return rc == 1 ? SYNC_TAKEN : SYNC_KNOWN;
}

/* Takes a parsed entry apart, and verifies it: 0 and @ret, or what became of it. Free claims. */
static int examine(struct space *s, const struct entry *e, struct taken *t, enum verify_result *ret)
{
    *t = (struct taken){.author = SYNC_NOBODY, .e = *e};
    int rc = take_apart(t);
    if (rc < 0)
        return rc == -EBADMSG ? refuse(s, "is malformed", &t->e.head.dot) : rc;
    pthread_mutex_lock(&s->lock);
    *ret = verify(s, t);
    pthread_mutex_unlock(&s->lock);
    return 0;
}

/* Does with an examined entry what is to be done. */
static int carry_out(struct space *s, uint64_t source, const struct taken *t, struct bytes stored,
                     enum kept kept, enum verify_result r)
{
    if (r == VERIFY_ACCEPT)
        return apply_taken(s, source, t, stored, kept);
    if (verify_holds(r))
        return keep_held(s, source, t, stored, kept);
    return refuse(s, verify_text(r), &t->e.head.dot);
}

/* Takes a stored entry, which may have been kept. */
static int take_stored(struct space *s, uint64_t source, struct bytes stored, enum kept kept)
{
    struct entry e;
    struct taken t = {.claims = NULL};
    enum verify_result r;
    int rc = entry_parse_stored(stored, &e);
    if (rc < 0)
        rc = rc == -EBADMSG ? refuse(s, "is malformed", &e.head.dot) : rc;
    if (rc == 0)
        rc = examine(s, &e, &t, &r);
    if (rc == 0)
        rc = carry_out(s, source, &t, stored, kept, r);
    if (rc == SYNC_REFUSED && kept == KEPT_CONTENT) {
        struct sync_key key = sync_key_dot(SYNC_CONTENT_WAITS, &t.e.head.dot);
        int dropped = drop(s, &key);
        was_kept(s, &t, kept);
        rc = dropped < 0 ? dropped : rc;
    }
    free(t.claims);
    return rc;
}

/* Takes an entry that came into a batch, when it can be applied by itself; else at once. */
static int take_into(struct sync_batch *b, uint64_t source, const struct entry *e,
                     struct buf *stored)
{
    struct taken t;
    enum verify_result r;
    int rc = examine(b->s, e, &t, &r);
    if (rc == 0 && r == VERIFY_ACCEPT && !t.chunked) {
        struct exchange_entry x = entry_of(source, &t, buf_bytes(stored));
        sync_batch_add(b, &x, stored);
        rc = SYNC_TAKEN;
    } else if (rc == 0) {
        rc = carry_out(b->s, source, &t, buf_bytes(stored), KEPT_NOWHERE, r);
    }
    free(t.claims);
    return rc;
}

static int has_row(struct space *s, int tag, const struct dot *dot)
{
    struct sync_key key = sync_key_dot(tag, dot);
    return db_has(s->db, DB_SYNC, sync_key_bytes(&key));
}

/* Whether a verified VALUE with this dot was here before: 1, 0. */
static int is_known(struct space *s, const struct dot *dot)
{
    pthread_mutex_lock(&s->lock);
    int rc = vv_has(replica_knowledge(s->replica), dot);
    /* Else there is no row of it. One that was ended leaves rows of what it had. */
    const struct members *m = s->sync->members;
    bool row = vv_has(replica_applied(s->replica), dot) ||
               (m != NULL && members_cut(m, dot->replica) != MEMBERS_NO_CUT);
    bool waits = s->sync->counts.content_waiting > 0;
    pthread_mutex_unlock(&s->lock);
    if (rc == 0 && row)
        rc = has_row(s, SYNC_ENTRY, dot);
    if (rc == 0 && waits)
        rc = has_row(s, SYNC_CONTENT_WAITS, dot);
    return rc;
}

/* The same, or this one waits. What waits is perhaps not signed: another with its dot is welcome.
 */
static int is_known_or_held(struct space *s, const struct entry *e)
{
    int rc = is_known(s, &e->head.dot);
    pthread_mutex_lock(&s->lock);
    bool waits = s->sync->counts.waiting > 0;
    pthread_mutex_unlock(&s->lock);
    if (rc != 0 || !waits)
        return rc;
    struct sync_key key = held_key(e);
    return db_has(s->db, DB_SYNC, sync_key_bytes(&key));
}

/* Of the own replica nothing counts but what is signed: another copy may have gone on. */
static int foresee_entry(struct space *s, const struct sync_offered *o)
{
    struct dot own = space_sync_signed(s);
    int rc = o->dot.replica == own.replica ? o->dot.counter <= own.counter : is_known(s, &o->dot);
    if (rc == 1)
        rc = sync_is_other_form(s, o) ? 0 : 1;
    if (rc <= 0)
        return rc < 0 ? rc : SYNC_TAKEN;
    pthread_mutex_lock(&s->lock);
    bool waits = s->sync->counts.content_waiting > 0;
    pthread_mutex_unlock(&s->lock);
    rc = waits ? has_row(s, SYNC_CONTENT_WAITS, &o->dot) : 0;
    return rc < 0 ? rc : rc == 1 ? SYNC_CONTENT : SYNC_KNOWN;
}

static int foresee_state(struct space *s, const struct dot *dot)
{
    const struct sync *y = s->sync;
    pthread_mutex_lock(&s->lock);
    bool known = dot->replica == replica_id(s->replica) && dot->counter <= y->states;
    for (size_t i = 0; !known && i < y->state_n; i++)
        known = y->state[i].replica == dot->replica && dot->counter <= y->state[i].number;
    pthread_mutex_unlock(&s->lock);
    return known ? SYNC_KNOWN : SYNC_TAKEN;
}

int space_sync_foresee(struct space *s, const struct sync_offered *o)
{
    if (s->sync == NULL)
        return -ENOTCONN;
    return o->state ? foresee_state(s, &o->dot) : foresee_entry(s, o);
}

/* What comes of an entry whose dot is known. */
static int see_form(struct space *s, const struct entry *e)
{
    int rc = sync_see_form(s, e);
    return rc == -EBADMSG ? refuse(s, verify_text(VERIFY_SIGNATURE), &e->head.dot) : rc;
}

/* The keys of an epoch, copied; false: they are not held. */
static bool find_epoch(struct space *s, const struct epoch_id *id, struct epoch_keys *ret)
{
    pthread_mutex_lock(&s->lock);
    const struct epoch_keys *k = keyring_find(&s->keyring, id);
    if (k != NULL)
        *ret = *k;
    pthread_mutex_unlock(&s->lock);
    return k != NULL;
}

static int keep_locked(struct space *s, uint64_t source, const struct dot *dot, struct bytes sealed)
{
    uint8_t hash[HASH_SIZE];
    hash_parts(NULL, "persist.locked.1", &sealed, 1, hash);
    struct sync_key key = sync_key(SYNC_LOCKED, bytes_of(hash, sizeof hash));
    int rc = db_has(s->db, DB_SYNC, sync_key_bytes(&key));
    if (rc != 0)
        return rc < 0 ? rc : SYNC_WAITS;
    if (!sync_wait_begins(s, SYNC_LOCKED_ONES, sealed.n))
        return refuse(s, "is of an unknown epoch, of which too much waits already", dot);
    rc = keep(s, &key, &source, 1, sealed);
    if (rc < 0)
        sync_wait_ends(s, SYNC_LOCKED_ONES, sealed.n);
    return rc < 0 ? rc : SYNC_WAITS;
}

/* Takes what was opened. */
static int take_opened(struct sync_batch *b, uint64_t remote, const struct entry *e,
                       struct buf *stored)
{
    struct space *s = b->s;
    bool own = e->head.dot.replica == replica_id(s->replica);
    if (e->head.kind == ENTRY_STATE)
        return sync_take_state(s, remote, buf_bytes(stored));
    int rc = own ? sync_check_own(s, e) : 0;
    if (rc == -EBADMSG)
        return refuse(s, "is not signed by this device", &e->head.dot);
    if (rc != 0)
        return rc < 0 ? rc : SYNC_KNOWN;
    return take_into(b, remote, e, stored);
}

/* Opens and takes a parsed entry. */
static int open_and_take(struct sync_batch *b, uint64_t remote, const struct entry *e,
                         struct bytes sealed)
{
    struct space *s = b->s;
    struct buf stored CLEANUP(buf_wipe) = {0};
    struct entry opened;
    struct epoch_keys k;
    if (!find_epoch(s, &e->epoch, &k))
        return keep_locked(s, remote, &e->head.dot, sealed);
    int rc = entry_open(e, &k, &stored, &opened);
    epoch_keys_fini(&k);
    if (rc < 0)
        return rc == -ENOMEM ? rc : refuse(s, "does not open", &e->head.dot);
    return take_opened(b, remote, &opened, &stored);
}

/* Takes one of many: what became of it, which of one in the batch is told when that is flushed. */
static int take_sealed(struct sync_batch *b, uint64_t remote, struct bytes sealed)
{
    struct space *s = b->s;
    struct entry e;
    int rc = entry_parse_sealed(sealed, &e);
    if (rc < 0)
        return refuse(s, "is malformed", &(struct dot){0, 0});
    bool own = e.head.dot.replica == replica_id(s->replica);
    /* Before what looks at all that is here, and before another one of the same dot. */
    if (own || e.head.kind != ENTRY_VALUE || sync_batch_has(b, &e.head.dot))
        rc = sync_batch_flush(b);
    if (rc < 0)
        return rc;
    if (e.head.kind == ENTRY_VALUE && !own && (rc = is_known_or_held(s, &e)) != 0)
        return rc < 0 ? rc : see_form(s, &e);
    struct dot key = sync_poison_key(&e);
    if (!sync_poison_begin(s->sync, &key))
        return refuse(s, "makes this program crash, and is left out", &e.head.dot);
    rc = open_and_take(b, remote, &e, sealed);
    sync_poison_end(s->sync);
    return rc;
}

int space_sync_take_entries(struct space *s, uint64_t remote, const struct bytes *sealed, size_t n,
                            int *ret)
{
    if (s->sync == NULL)
        return -ENOTCONN;
    struct sync_batch *b = sync_batch_new(s);
    int rc = b == NULL ? -ENOMEM : 0;
    for (size_t i = 0; rc >= 0 && i < n; i++) {
        b->fate = &ret[i];
        rc = ret[i] = take_sealed(b, remote, sealed[i]);
        if (rc >= 0 && sync_batch_is_full(b))
            rc = sync_batch_flush(b);
    }
    if (rc >= 0)
        rc = sync_batch_flush(b);
    sync_batch_free(b);
    return rc < 0 ? rc : 0;
}

int space_sync_take_entry(struct space *s, uint64_t remote, struct bytes sealed)
{
    int fate;
    int rc = space_sync_take_entries(s, remote, &sealed, 1, &fate);
    return rc < 0 ? rc : fate;
}

int sync_take_alone(struct space *s, uint64_t source, struct bytes stored)
{
    struct entry e;
    if (entry_parse_stored(stored, &e) < 0)
        return -EUCLEAN;
    struct dot key = sync_poison_key(&e);
    if (!sync_poison_begin(s->sync, &key))
        return refuse(s, "makes this program crash, and is left out", &e.head.dot);
    int rc = take_stored(s, source, stored, KEPT_NOWHERE);
    sync_poison_end(s->sync);
    return rc;
}

/* What was kept is taken again, under the same care. */
static int take_kept(struct space *s, uint64_t source, struct bytes stored, enum kept kept)
{
    struct entry e;
    if (entry_parse_stored(stored, &e) < 0)
        return take_stored(s, source, stored, kept); /* says so */
    struct dot key = sync_poison_key(&e);
    if (!sync_poison_begin(s->sync, &key))
        return kept == KEPT_HELD ? SYNC_WAITS : SYNC_CONTENT;
    int rc = take_stored(s, source, stored, kept);
    sync_poison_end(s->sync);
    return rc;
}

/* ---- looking again -----------------------------------------------------------------------------
 */

/* Reads up to LOOK_MAX keys with a tag, those behind @after, whole, into @ret. */
static int list_keys(struct space *s, int tag, const struct sync_key *after, struct buf *ret)
{
    const uint8_t prefix = (uint8_t)tag;
    struct db_iter *it = db_iter_new(s->db, DB_SYNC, bytes_of(&prefix, 1), NULL);
    if (it == NULL)
        return -ENOMEM;
    if (after->n > 0)
        db_iter_seek(it, sync_key_bytes(after));
    for (size_t i = 0; i < LOOK_MAX && db_iter_next(it);)
        if (bytes_cmp(db_iter_key(it), sync_key_bytes(after)) > 0) {
            buf_put_string(ret, db_iter_key(it));
            i++;
        }
    int rc = db_iter_status(it);
    db_iter_free(it);
    return rc < 0 ? rc : buf_status(ret);
}

/* An entry that waited does so no more. */
static int forget(struct space *s, const struct sync_key *key, uint64_t author, size_t bytes)
{
    int rc = drop(s, key);
    if (rc == 0)
        sync_wait_ends(s, author, bytes);
    return rc;
}

static int look_at_held(struct space *s, const struct sync_key *k, struct bytes row)
{
    if (row.n < HELD_HEAD || k->n < 1 + DOT_SIZE)
        return -EUCLEAN;
    struct bytes stored = bytes_of(row.p + HELD_HEAD, row.n - HELD_HEAD);
    struct dot dot = dot_decode(k->p + 1);
    struct entry e;
    int rc = is_known(s, &dot);
    if (rc == 0)
        rc = take_kept(s, get_u64(row.p), stored, KEPT_HELD);
    else if (rc > 0)
        rc = entry_parse_stored(stored, &e) < 0 ? SYNC_KNOWN : see_form(s, &e);
    return rc < 0 || rc == SYNC_WAITS ? rc : forget(s, k, get_u64(row.p + 8), stored.n);
}

static int look_at_locked(struct space *s, const struct sync_key *k, struct bytes row)
{
    struct entry e;
    if (row.n < LOCKED_HEAD)
        return -EUCLEAN;
    struct bytes sealed = bytes_of(row.p + LOCKED_HEAD, row.n - LOCKED_HEAD);
    struct epoch_keys keys;
    if (entry_parse_sealed(sealed, &e) < 0)
        return -EUCLEAN;
    if (!find_epoch(s, &e.epoch, &keys))
        return 0;
    epoch_keys_fini(&keys);
    int rc = space_sync_take_entry(s, get_u64(row.p), sealed);
    return rc < 0 ? rc : forget(s, k, SYNC_LOCKED_ONES, sealed.n);
}

static int look_at(struct space *s, const struct sync_key *k)
{
    struct buf row CLEANUP(buf_wipe) = {0};
    int rc = sync_get(s, k, 0, &row);
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    return k->p[0] == SYNC_HELD ? look_at_held(s, k, buf_bytes(&row))
                                : look_at_locked(s, k, buf_bytes(&row));
}

static int look_again(struct space *s, int tag)
{
    struct sync_key at = {.n = 0};
    size_t n = LOOK_MAX;
    int rc = 0;
    while (rc >= 0 && n == LOOK_MAX) {
        struct buf keys CLEANUP(buf_fini) = {0};
        rc = list_keys(s, tag, &at, &keys);
        struct reader r = reader_of(buf_bytes(&keys));
        for (n = 0; rc >= 0 && r.n > 0; n++) {
            struct bytes key = reader_string(&r, SYNC_KEY_MAX);
            at = sync_key(key.p[0], bytes_of(key.p + 1, key.n - 1));
            rc = look_at(s, &at);
        }
    }
    return rc < 0 ? rc : 0;
}

int space_sync_settle(struct space *s)
{
    int rc = 0;
    if (s->sync == NULL)
        return 0;
    rc = sync_take_ends(s);
    for (bool again = true; rc == 0 && again;) {
        pthread_mutex_lock(&s->lock);
        again = s->sync->look_again && s->sync->counts.waiting > 0;
        s->sync->look_again = false;
        pthread_mutex_unlock(&s->lock);
        if (again)
            rc = look_again(s, SYNC_LOCKED);
        if (again && rc == 0)
            rc = look_again(s, SYNC_HELD);
        if (again && rc == 0)
            rc = sync_take_ends(s); /* what waited may have been a fork */
    }
    return rc < 0 ? rc : sync_close_by_states(s);
}

/* ---- content -----------------------------------------------------------------------------------
 */

static int by_rank(const void *a, const void *b)
{
    const struct sync_wait *x = a;
    const struct sync_wait *y = b;
    return x->rank < y->rank ? -1 : x->rank > y->rank;
}

struct ranking {
    struct space *s;
    uint64_t bytes;
};

/* Under lock. */
static int rank_content(void *arg, const struct value *v)
{
    struct ranking *k = arg;
    struct replica_info info;
    int rc = replica_is_superseded(k->s->replica, v);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    rc = replica_stat(k->s->replica, &v->rid, &info);
    if (rc < 0)
        return rc;
    if (!info.held || info.alive)
        k->bytes += v->content.size;
    return 0;
}

/* What is superseded by now, or deleted, needs nothing, and is taken at once. */
static int rank_of(struct space *s, struct bytes stored, uint64_t *ret)
{
    struct ranking k = {.s = s};
    struct entry e;
    if (entry_parse_stored(stored, &e) < 0 || e.plain.n < SYNC_AFTER_SIZE)
        return -EUCLEAN;
    pthread_mutex_lock(&s->lock);
    int rc = exchange_each_content(
        bytes_of(e.plain.p + SYNC_AFTER_SIZE, e.plain.n - SYNC_AFTER_SIZE), rank_content, &k);
    pthread_mutex_unlock(&s->lock);
    *ret = k.bytes;
    return rc;
}

int space_sync_waiting(struct space *s, struct buf *ret)
{
    const uint8_t prefix = SYNC_CONTENT_WAITS;
    size_t from = ret->n;
    if (s->sync == NULL)
        return -ENOTCONN;
    sync_list_waits(s, ret);
    sync_bare_waits(s, ret);
    struct db_iter *it = db_iter_new(s->db, DB_SYNC, bytes_of(&prefix, 1), NULL);
    if (it == NULL)
        return -ENOMEM;
    int rc = 0;
    while (rc == 0 && db_iter_next(it)) {
        struct bytes key = db_iter_key(it), row = db_iter_value(it);
        if (key.n != 1 + DOT_SIZE || row.n < WAITS_HEAD)
            continue;
        struct sync_wait w = {.dot = dot_decode(key.p + 1)};
        rc = rank_of(s, bytes_of(row.p + WAITS_HEAD, row.n - WAITS_HEAD), &w.rank);
        buf_put(ret, &w, sizeof w);
    }
    if (rc == 0)
        rc = db_iter_status(it);
    db_iter_free(it);
    if (rc < 0 || buf_status(ret) < 0)
        return rc < 0 ? rc : -ENOMEM;
    if (ret->n > from)
        qsort(ret->p + from, (ret->n - from) / sizeof(struct sync_wait), sizeof(struct sync_wait),
              by_rank);
    return 0;
}

/* The row of an entry that waits for content. -ENOENT. */
static int get_waiting(struct space *s, const struct dot *dot, struct buf *ret)
{
    struct sync_key key = sync_key_dot(SYNC_CONTENT_WAITS, dot);
    int rc = sync_get(s, &key, 0, ret);
    return rc == 0 && ret->n < WAITS_HEAD ? -EUCLEAN : rc;
}

int space_sync_needs(struct space *s, const struct dot *dot, content_need_fn fn, void *arg)
{
    struct buf row CLEANUP(buf_wipe) = {0};
    struct entry e;
    if (dot->counter == SYNC_LIST_COUNTER)
        return sync_list_needs(s, fn, arg);
    int rc = get_waiting(s, dot, &row);
    if (rc == -ENOENT)
        return sync_wanted_needs(s, dot, fn, arg);
    if (rc == 0)
        rc = sync_flush_chunks(s);
    if (rc == 0 && (entry_parse_stored(bytes_of(row.p + WAITS_HEAD, row.n - WAITS_HEAD), &e) < 0 ||
                    e.plain.n < SYNC_AFTER_SIZE))
        rc = -EUCLEAN;
    if (rc < 0)
        return rc;
    return space_missing(s, bytes_of(e.plain.p + SYNC_AFTER_SIZE, e.plain.n - SYNC_AFTER_SIZE), fn,
                         arg);
}

int space_sync_retry(struct space *s, const struct dot *dot)
{
    struct buf row CLEANUP(buf_wipe) = {0};
    if (dot->counter == SYNC_LIST_COUNTER)
        return sync_list_is_here(s);
    int rc = get_waiting(s, dot, &row);
    if (rc == -ENOENT)
        return sync_wanted_is_here(s, dot);
    if (rc == 0)
        rc = sync_flush_chunks(s);
    if (rc < 0)
        return rc;
    return take_kept(s, get_u64(row.p), bytes_of(row.p + WAITS_HEAD, row.n - WAITS_HEAD),
                     KEPT_CONTENT);
}
