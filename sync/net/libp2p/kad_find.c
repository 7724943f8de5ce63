/*
 * What is looked for: a walk towards a place, whose queries run over the host. Some run at once,
 * the others wait; all is done in turns of their own, so that a callback may ask for more.
 */
#include <errno.h>
#include <stdlib.h>

#include "sync/net/libp2p/kad_priv.h"

enum { HASH_BYTES = 8 };

int kad_find_new(struct kad *k, enum kad_kind kind, struct bytes key,
                 const struct kad_events *events, void *user, struct kad_find **ret)
{
    struct kad_place target = kad_place_of(key);
    if (k->finds_n == P2P_KAD_FINDS)
        return -EBUSY;
    struct kad_find *f = calloc(1, sizeof *f);
    if (f == NULL)
        return -ENOMEM;
    f->kad = k;
    f->kind = kind;
    memcpy(f->key, key.p, key.n);
    f->key_n = key.n;
    f->events = events;
    f->user = user;
    f->by_ms = net_now_ms() + P2P_KAD_LOOKUP_MS; /* to begin; then anew */
    kad_lookup_init(&f->lookup, &target, p2p_host_id(k->cfg.host));
    ring_init(&f->queries);
    ring_init(&f->all);
    ring_add(&k->finds, &f->all);
    k->finds_n++;
    kad_kick(k);
    if (ret != NULL)
        *ret = f;
    return 0;
}

void kad_find_free(struct kad_find *f)
{
    while (!ring_is_empty(&f->queries))
        kad_query_free(CONTAINER_OF(f->queries.next, struct kad_query, all));
    ring_remove(&f->all);
    f->kad->finds_n--;
    f->kad->running -= f->runs;
    kad_lookup_fini(&f->lookup);
    buf_fini(&f->told);
    free(f);
}

void kad_find_cancel(struct kad_find *f)
{
    if (f == NULL)
        return;
    struct kad *k = f->kad;
    f->gone = true;
    if (!f->calling) {
        kad_find_free(f);
        kad_kick(k); /* another one may begin */
    }
}

/* ---- what is told ------------------------------------------------------------------------------
 */

/* Whether it is new; then it is remembered. All that 64 answers can have is a bounded number. */
static bool is_news(struct kad_find *f, const uint8_t *id, struct bytes addrs)
{
    struct buf text CLEANUP(buf_fini) = {0};
    uint8_t hash[crypto_generichash_BYTES];
    buf_put(&text, id, PEER_ID_BYTES);
    buf_put_bytes(&text, addrs);
    if (buf_status(&text) < 0)
        return false;
    crypto_generichash(hash, sizeof hash, text.p, text.n, NULL, 0);
    for (size_t at = 0; at < f->told.n; at += HASH_BYTES)
        if (memcmp(f->told.p + at, hash, HASH_BYTES) == 0)
            return false;
    buf_put(&f->told, hash, HASH_BYTES);
    return buf_status(&f->told) == 0;
}

static void found(struct kad_find *f, const uint8_t *id, struct bytes addrs)
{
    if (f->gone || f->events == NULL ||
        memcmp(id, p2p_host_id(f->kad->cfg.host), PEER_ID_BYTES) == 0 || !is_news(f, id, addrs))
        return;
    f->calling = true;
    f->events->found(id, addrs, f->user);
    f->calling = false;
}

static void found_contact(struct kad_find *f, const struct kad_contact *c)
{
    found(f, c->id, buf_bytes(&c->addrs));
}

/* What this peer knows already. Copies: the callback may change what there is. */
static void look_here(struct kad_find *f)
{
    const struct kad_contact *here[P2P_KAD_PROVIDERS];
    struct kad_contact copies[P2P_KAD_PROVIDERS] = {0};
    size_t n = 0, copied = 0;
    struct p2p_peer *p = f->kind == KAD_FIND_PEER ? p2p_find(f->kad->cfg.host, f->key) : NULL;
    if (f->kind == KAD_FIND_PROVIDERS)
        n = kad_store_find(&f->kad->store, bytes_of(f->key, f->key_n), net_now_ms(), here);
    while (copied < n && kad_contact_copy(&copies[copied], here[copied]) == 0)
        copied++;
    for (size_t i = 0; i < copied; i++) {
        found_contact(f, &copies[i]);
        kad_contact_fini(&copies[i]);
    }
    if (p != NULL) {
        struct buf list CLEANUP(buf_fini) = {0};
        buf_put_string(&list, p2p_peer_address(p));
        if (buf_status(&list) == 0)
            found(f, f->key, buf_bytes(&list));
    }
}

/* ---- the end -----------------------------------------------------------------------------------
 */

static int result_of(const struct kad_find *f)
{
    if (f->lookup.answered > 0)
        return 0;
    return f->lookup.asked > 0 && f->late ? -ETIMEDOUT : -ENETUNREACH;
}

/* It is over. */
static void finish(struct kad_find *f)
{
    struct kad *k = f->kad;
    const struct kad_events *events = f->gone ? NULL : f->events;
    void *user = f->user;
    enum kad_kind kind = f->kind;
    unsigned took = f->took;
    int rc = result_of(f);
    uint8_t digest[KAD_DIGEST_BYTES];
    memcpy(digest, f->key + KAD_MULTIHASH_BYTES - KAD_DIGEST_BYTES, sizeof digest);
    kad_find_free(f);
    if (events != NULL)
        events->done(rc, user);
    else if (kind == KAD_FIND_PLACES)
        kad_own_told(k, digest, took);
    else if (kind == KAD_FIND_NEAR)
        kad_look_around(k);
}

/* ---- answers -----------------------------------------------------------------------------------
 */

/* Whether it says something of the peer that was asked: not what failed here. */
static bool is_its_fault(int rc)
{
    return rc != -ENOMEM && rc != -ESHUTDOWN && rc != -EINVAL && rc != -EAGAIN && rc != -ENOBUFS &&
           rc != -EADDRNOTAVAIL;
}

static void judge(struct kad *k, const struct kad_query *q)
{
    struct p2p_peer *p = p2p_find(k->cfg.host, q->to.id);
    if (q->rc == 0 && p != NULL)
        kad_identified(k, p);
    if (q->rc == 0)
        kad_table_seen(&k->table, q->to.id, net_now_ms());
    else if (is_its_fault(q->rc))
        kad_table_failed(&k->table, q->to.id);
}

static void take_answer(struct kad_find *f, const struct kad_message *m)
{
    if (f->kind == KAD_FIND_ONE)
        return;
    for (size_t i = 0; i < m->closer.n; i++) {
        const struct kad_contact *c = &m->closer.v[i];
        int rc = kad_lookup_add(&f->lookup, c);
        (void)rc; /* out of memory: then it is not asked */
        if (f->kind == KAD_FIND_PEER && c->addrs_n > 0 &&
            bytes_equal(bytes_of(c->id, PEER_ID_BYTES), bytes_of(f->key, f->key_n)))
            found_contact(f, c);
    }
    for (size_t i = 0; f->kind == KAD_FIND_PROVIDERS && i < m->providers.n; i++)
        found_contact(f, &m->providers.v[i]);
}

static struct kad_query *find_ended(const struct kad_find *f)
{
    for (struct ring *r = f->queries.next; r != &f->queries; r = r->next)
        if (CONTAINER_OF(r, struct kad_query, all)->ended)
            return CONTAINER_OF(r, struct kad_query, all);
    return NULL;
}

static void take_ended(struct kad_find *f)
{
    for (struct kad_query *q; !f->gone && (q = find_ended(f)) != NULL;) {
        judge(f->kad, q);
        if (f->telling) {
            f->tell_open--;
            f->took += q->rc == 0;
        } else {
            kad_lookup_ended(&f->lookup, q->to.id, q->rc == 0);
        }
        if (q->rc == 0 && !f->telling)
            take_answer(f, &q->answer);
        kad_query_free(q);
    }
}

/* ---- going on ----------------------------------------------------------------------------------
 */

/* Gives up the queries that are open. */
static void stop_asking(struct kad_find *f)
{
    while (!ring_is_empty(&f->queries))
        kad_query_free(CONTAINER_OF(f->queries.next, struct kad_query, all));
}

/* True: all peers were told. */
static bool tell_more(struct kad_find *f)
{
    while (f->tell_at < f->tell_n && f->tell_open < P2P_KAD_ALPHA && !f->late)
        if (kad_query_new(f, f->tell[f->tell_at++]) == 0)
            f->tell_open++;
    return f->late || f->tell_open == 0;
}

/* True: the walk is at its end. */
static bool ask_more(struct kad_find *f)
{
    const struct kad_contact *c;
    while (!f->late && (c = kad_lookup_next(&f->lookup)) != NULL)
        if (kad_query_new(f, c) < 0)
            kad_lookup_ended(&f->lookup, c->id, false);
    return f->late || kad_lookup_is_over(&f->lookup);
}

/* The nearest are to keep it. */
static void begin_telling(struct kad_find *f)
{
    stop_asking(f);
    f->telling = true;
    f->late = false;
    f->by_ms = net_now_ms() + P2P_KAD_LOOKUP_MS;
    f->tell_n = kad_lookup_nearest(&f->lookup, f->tell);
}

static void go_on(struct kad_find *f)
{
    f->due = false;
    take_ended(f);
    bool over = f->gone || !f->runs; /* who waits is looked at when it is late */
    if (!over && !f->telling && ask_more(f)) {
        over = f->kind != KAD_FIND_PLACES;
        if (!over)
            begin_telling(f);
    }
    if (!over && f->telling)
        over = tell_more(f);
    if (over)
        finish(f);
}

static uint64_t time_of(enum kad_kind kind)
{
    return kind == KAD_FIND_NEAR || kind == KAD_FIND_ONE ? P2P_KAD_REFRESH_TAKES_MS
                                                         : P2P_KAD_LOOKUP_MS;
}

/* Begins where the nearest known peers are. */
static void run(struct kad_find *f)
{
    const struct kad_contact *seeds[P2P_KAD_K];
    size_t n = kad_table_nearest(&f->kad->table, &f->lookup.target, seeds);
    n = f->kind == KAD_FIND_ONE ? (size_t)min_u64(n, 1) : n;
    for (size_t i = 0; i < n; i++) {
        int rc = kad_lookup_add(&f->lookup, seeds[i]);
        (void)rc; /* out of memory: then it is not asked */
    }
    f->runs = f->due = true;
    f->kad->running++;
    f->by_ms = net_now_ms() + time_of(f->kind);
    look_here(f);
}

/* Those that have waited longest begin, once anybody is known. */
static struct kad_find *find_due(struct kad *k)
{
    for (struct ring *r = k->finds.next; r != &k->finds; r = r->next) {
        struct kad_find *f = CONTAINER_OF(r, struct kad_find, all);
        if (!f->runs && !f->due && k->running < P2P_KAD_LOOKUPS && k->table.n > 0)
            run(f);
        if (f->due)
            return f;
    }
    return NULL;
}

void kad_find_step(struct kad *k)
{
    /* From the first one again: a callback may have ended any of them. */
    for (struct kad_find *f; (f = find_due(k)) != NULL;)
        go_on(f);
}

void kad_find_tick(struct kad *k, uint64_t now_ms)
{
    for (struct ring *r = k->finds.next; r != &k->finds; r = r->next) {
        struct kad_find *f = CONTAINER_OF(r, struct kad_find, all);
        /* Who waits for others to end waits as long as they take. */
        if (now_ms >= f->by_ms && (f->runs || k->table.n == 0))
            f->late = f->due = true;
        for (struct ring *q = f->queries.next; q != &f->queries; q = q->next)
            kad_query_tick(CONTAINER_OF(q, struct kad_query, all), now_ms);
    }
}
