/*
 * Devices of a space that look for each other among strangers, in the DHT: this one has others keep
 * that it is there, under a name that only members know, and looks for those that it does not
 * reach. All that is found is a hint where to dial a device that is a member anyway.
 */
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#include "proto/base/log.h"
#include "proto/frame.h"
#include "sync/links/peers_priv.h"
#include "sync/net/libp2p/kad.h"
#include "sync/net/libp2p/limits.h"
#include "sync/net/libp2p/scope.h"

enum {
    TODAY = 1, /* of the names, which begin with yesterday's */
    TICK_MS = 1000,
    SEEK_MS = 60000,      /* a space is looked for again after so long, */
    SEEK_MS_MAX = 600000, /* doubled to this */
    SEEKS_MAX = 24,       /* lookups at once: the others that there may be are for telling */
    HINT_MS = 5000,       /* a hint is followed at once if none was for so long */
    HINTS_BYTES = 2048,   /* of a device's hints: the oldest go */
    HINTS_AT_ONCE = 4,    /* the others of P2P_DIAL_ADDRS are for what the device said itself */
};

/* A name that is looked for. */
struct seek {
    struct dht_space *space;
    struct kad_find *find; /* NULL: not now */
};

struct dht_space {
    struct peers_dht *dht;
    struct ring all; /* in dht->spaces */
    uint8_t id[SPACE_ID_SIZE];
    uint8_t names[FRAME_NAMES_MAX][HASH_SIZE];
    size_t n;
    struct seek seeks[FRAME_NAMES_MAX];
    uint64_t sought_ms, wait_ms; /* when it began, and until the next time; wait_ms 0: never yet */
};

struct peers_dht {
    struct peers *peers;
    struct kad *kad; /* NULL: off, or there are no direct links */
    struct net_timer *tick;
    struct ring spaces;
    size_t seeks_n;
};

/* ---- hints -------------------------------------------------------------------------------------
 */

static bool has(struct bytes list, struct bytes addr)
{
    struct reader r = reader_of(list);
    while (r.n > 0)
        if (bytes_equal(reader_string(&r, P2P_ADDR_BYTES), addr))
            return true;
    return false;
}

/* Takes the first one off. */
static struct bytes take_first(struct buf *list, uint8_t ret[static P2P_ADDR_BYTES])
{
    struct reader r = reader_of(buf_bytes(list));
    struct bytes first = reader_string(&r, P2P_ADDR_BYTES);
    memcpy(ret, first.p, first.n);
    memmove(list->p, list->p + list->n - r.n, r.n);
    list->n = r.n;
    return bytes_of(ret, first.n);
}

static void add_hints(struct peer_link *l, struct bytes addrs)
{
    uint8_t gone[P2P_ADDR_BYTES];
    struct reader r = reader_of(addrs);
    while (r.n > 0) {
        struct bytes addr = reader_string(&r, P2P_ADDR_BYTES);
        if (!has(buf_bytes(&l->hints), addr))
            buf_put_string(&l->hints, addr);
    }
    if (buf_status(&l->hints) < 0)
        buf_fini(&l->hints);
    while (l->hints.n > HINTS_BYTES)
        (void)take_first(&l->hints, gone);
}

/* What was given goes to the end, so that whoever says much does not hide what is true. */
static void give_hints(struct peer_link *l, struct buf *ret)
{
    uint8_t first[P2P_ADDR_BYTES];
    struct buf given CLEANUP(buf_fini) = {0};
    for (size_t i = 0; i < HINTS_AT_ONCE && l->hints.n > 0; i++)
        buf_put_string(&given, take_first(&l->hints, first));
    buf_put_bytes(ret, buf_bytes(&given));
    buf_put_bytes(&l->hints, buf_bytes(&given));
    if (buf_status(&l->hints) < 0)
        buf_fini(&l->hints);
}

void peers_dht_hints(struct peers *p, const uint8_t *peer_id, struct buf *ret)
{
    for (struct ring *r = p->links.next; r != &p->links; r = r->next) {
        struct peer_link *l = CONTAINER_OF(r, struct peer_link, all);
        if (l->hints.n == 0 || memcmp(l->peer_id, peer_id, PEER_ID_BYTES) != 0)
            continue;
        give_hints(l, ret);
        return; /* those of one space are enough, and are told of in each */
    }
}

/* ---- looking -----------------------------------------------------------------------------------
 */

static struct peer_link *link_with(const struct dht_space *s, const uint8_t *peer_id)
{
    const struct peers *p = s->dht->peers;
    for (struct ring *r = p->links.next; r != &p->links; r = r->next) {
        struct peer_link *l = CONTAINER_OF(r, struct peer_link, all);
        if (memcmp(l->space, s->id, SPACE_ID_SIZE) == 0 &&
            memcmp(l->peer_id, peer_id, PEER_ID_BYTES) == 0)
            return l;
    }
    return NULL;
}

static bool is_away(const struct peer_link *l)
{
    return l->stream == NULL && p2p_find(l->peers->host, l->peer_id) == NULL;
}

/* Anybody may have said so of anybody: only where a member of this very space is matters. */
static void on_found(const uint8_t *id, struct bytes addrs, void *user)
{
    const struct seek *k = user;
    struct peer_link *l = link_with(k->space, id);
    uint64_t now_ms = net_now_ms();
    if (l == NULL || !is_away(l))
        return;
    log_debug("peers: a device is found in the DHT: %s", l->url);
    add_hints(l, addrs);
    if (l->hinted_ms != 0 && now_ms < l->hinted_ms + HINT_MS)
        return; /* it is tried again by itself */
    l->hinted_ms = now_ms;
    peer_link_try(l); /* the last: what it tells may end the link */
}

static void on_done(int rc, void *user)
{
    struct seek *k = user;
    (void)rc; /* it is looked for again */
    k->find = NULL;
    k->space->dht->seeks_n--;
}

static const struct kad_events events = {.found = on_found, .done = on_done};

static void stop_seeking(struct dht_space *s)
{
    for (size_t i = 0; i < ARRAY_N(s->seeks); i++) {
        if (s->seeks[i].find == NULL)
            continue;
        kad_find_cancel(TAKE_PTR(s->seeks[i].find));
        s->dht->seeks_n--;
    }
}

/* Whether a device of it was not reached where it is known to be. */
static bool misses_one(const struct dht_space *s)
{
    const struct peers *p = s->dht->peers;
    for (struct ring *r = p->links.next; r != &p->links; r = r->next) {
        const struct peer_link *l = CONTAINER_OF(r, struct peer_link, all);
        if (memcmp(l->space, s->id, SPACE_ID_SIZE) == 0 && is_away(l) &&
            l->state == PERSIST__LINK_STATE__LINK_DOWN)
            return true;
    }
    return false;
}

static bool is_seeking(const struct dht_space *s)
{
    for (size_t i = 0; i < ARRAY_N(s->seeks); i++)
        if (s->seeks[i].find != NULL)
            return true;
    return false;
}

static void seek(struct dht_space *s, uint64_t now_ms)
{
    struct peers_dht *d = s->dht;
    for (size_t i = 0; i < s->n; i++) {
        struct seek *k = &s->seeks[i];
        if (kad_find_providers(d->kad, s->names[i], &events, k, &k->find) == 0)
            d->seeks_n++;
        else
            k->find = NULL;
    }
    s->sought_ms = now_ms;
    s->wait_ms = s->wait_ms == 0 ? SEEK_MS : min_u64(2 * s->wait_ms, SEEK_MS_MAX);
}

static void on_tick(void *arg)
{
    struct peers_dht *d = arg;
    uint64_t now_ms = net_now_ms();
    for (struct ring *r = d->spaces.next; r != &d->spaces; r = r->next) {
        struct dht_space *s = CONTAINER_OF(r, struct dht_space, all);
        if (!misses_one(s))
            s->wait_ms = min_u64(s->wait_ms, SEEK_MS);
        else if (!is_seeking(s) && d->seeks_n + s->n <= SEEKS_MAX &&
                 (s->wait_ms == 0 || now_ms >= s->sought_ms + s->wait_ms))
            seek(s, now_ms);
    }
    net_timer_set(d->tick, TICK_MS);
}

/* ---- spaces ------------------------------------------------------------------------------------
 */

static struct dht_space *space_of(const struct peers_dht *d, const uint8_t *id)
{
    for (struct ring *r = d->spaces.next; r != &d->spaces; r = r->next) {
        struct dht_space *s = CONTAINER_OF(r, struct dht_space, all);
        if (memcmp(s->id, id, SPACE_ID_SIZE) == 0)
            return s;
    }
    return NULL;
}

static void provide(struct dht_space *s)
{
    if (s->dht->kad != NULL && s->n > TODAY && kad_provide(s->dht->kad, s->names[TODAY]) < 0)
        log_warn("peers: a folder is not told of in the DHT: there are too many");
}

static void withdraw(struct dht_space *s)
{
    if (s->dht->kad != NULL && s->n > TODAY)
        kad_withdraw(s->dht->kad, s->names[TODAY]);
}

static void space_free(struct dht_space *s)
{
    stop_seeking(s);
    withdraw(s);
    ring_remove(&s->all);
    sodium_memzero(s->names, sizeof s->names);
    free(s);
}

static struct dht_space *space_new(struct peers_dht *d, const uint8_t *id)
{
    struct dht_space *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->dht = d;
    memcpy(s->id, id, SPACE_ID_SIZE);
    for (size_t i = 0; i < ARRAY_N(s->seeks); i++)
        s->seeks[i].space = s;
    ring_init(&s->all);
    ring_add(&d->spaces, &s->all);
    return s;
}

int peers_seek(struct peers *p, const uint8_t space[static SPACE_ID_SIZE], struct bytes names)
{
    struct dht_space *s = space_of(p->dht, space);
    size_t n = (size_t)min_u64(names.n / HASH_SIZE, FRAME_NAMES_MAX);
    if (n == 0) {
        if (s != NULL)
            space_free(s);
        return 0;
    }
    if (s == NULL)
        s = space_new(p->dht, space);
    if (s == NULL)
        return -ENOMEM;
    if (s->n == n && memcmp(s->names, names.p, n * HASH_SIZE) == 0)
        return 0; /* the members are others, the names are not */
    stop_seeking(s);
    withdraw(s);
    memcpy(s->names, names.p, n * HASH_SIZE);
    s->n = n;
    s->wait_ms = 0; /* it was not looked for under these */
    provide(s);
    return 0;
}

/* ---- begin and end -----------------------------------------------------------------------------
 */

/* Whether others than this very computer can come at all. */
static bool is_open(const struct peers *p)
{
    struct reader r = reader_of(buf_bytes(&p->file.listen));
    uint8_t ip[SCOPE_IP_BYTES];
    while (r.n > 0) {
        scope_ip(reader_string(&r, P2P_ADDR_BYTES), ip);
        if (!scope_is_loopback(ip))
            return true;
    }
    return false;
}

/*
 * Whether others may ask this device. One that listens where a person said so is there to be
 * reached; a port that was merely free is mostly behind a router, and whoever tells that it serves
 * and cannot be reached costs all others dials that lead nowhere. What serving costs is bounded by
 * limits.h, and strangers hear of nothing but records and neighbours.
 */
static bool may_serve(const struct peers *p)
{
    return !p->file.any_port && (p->file.dht == P2P_DHT_ON || is_open(p));
}

void peers_dht_begin(struct peers_dht *d, struct p2p_host *host)
{
    struct err err = {0};
    struct kad_config cfg = {.host = host,
                             .protocol = d->peers->file.ipfs ? KAD_PROTOCOL_IPFS : KAD_PROTOCOL};
    if (!p2p_file_is_dht(&d->peers->file))
        return;
    if (kad_new(d->peers->loop, &cfg, &d->kad, &err) < 0) {
        d->kad = NULL;
        log_warn("peers: devices are not looked for in the DHT: %s", err.msg);
    }
}

void peers_dht_go(struct peers_dht *d)
{
    if (d->kad == NULL)
        return;
    if (kad_bootstrap(d->kad, buf_bytes(&d->peers->file.bootstrap)) < 0)
        log_warn("peers: nobody leads to the DHT: out of memory");
    kad_serve(d->kad, may_serve(d->peers));
    for (struct ring *r = d->spaces.next; r != &d->spaces; r = r->next) {
        struct dht_space *s = CONTAINER_OF(r, struct dht_space, all);
        s->wait_ms = 0;
        provide(s);
    }
    net_timer_set(d->tick, TICK_MS);
}

void peers_dht_end(struct peers_dht *d)
{
    if (d->kad == NULL)
        return;
    net_timer_cancel(d->tick);
    for (struct ring *r = d->spaces.next; r != &d->spaces; r = r->next)
        stop_seeking(CONTAINER_OF(r, struct dht_space, all));
    kad_free(TAKE_PTR(d->kad));
}

void peers_dht_again(struct peers_dht *d, struct p2p_host *host)
{
    peers_dht_end(d);
    if (host == NULL)
        return;
    peers_dht_begin(d, host);
    peers_dht_go(d);
}

void peers_dht_identified(struct peers_dht *d, struct p2p_peer *peer)
{
    if (d->kad != NULL)
        kad_identified(d->kad, peer);
}

void peers_dht_hurry(struct peers_dht *d)
{
    if (d->kad == NULL)
        return;
    kad_hurry(d->kad);
    for (struct ring *r = d->spaces.next; r != &d->spaces; r = r->next) {
        struct dht_space *s = CONTAINER_OF(r, struct dht_space, all);
        s->wait_ms = min_u64(s->wait_ms, SEEK_MS);
    }
}

size_t peers_neighbours(const struct peers *p)
{
    return p->dht->kad == NULL ? 0 : kad_neighbours(p->dht->kad);
}

int peers_dht_new(struct peers *p, struct peers_dht **ret)
{
    struct peers_dht *d = calloc(1, sizeof *d);
    if (d == NULL || net_timer_new(p->loop, on_tick, d, &d->tick) < 0) {
        free(d);
        return -ENOMEM;
    }
    d->peers = p;
    ring_init(&d->spaces);
    *ret = d;
    return 0;
}

void peers_dht_free(struct peers_dht *d)
{
    if (d == NULL)
        return;
    peers_dht_end(d);
    while (!ring_is_empty(&d->spaces))
        space_free(CONTAINER_OF(d->spaces.next, struct dht_space, all));
    net_timer_free(d->tick);
    free(d);
}
