#include "sync/net/libp2p/kad.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "sync/net/libp2p/kad_priv.h"

enum { TICK_MS = 1000, SWEEP_MS = 60000 };

void kad_kick(struct kad *k)
{
    net_timer_set(k->step, 0);
}

/* ---- connections -------------------------------------------------------------------------------
 */

static void drop_conn(struct kad *k, struct kad_conn *c)
{
    *c = k->conns[--k->conns_n];
}

void kad_note_conn(struct kad *k, const uint8_t *id, bool dialed)
{
    struct kad_conn *c = k->conns;
    while (c < k->conns + k->conns_n && memcmp(c->id, id, PEER_ID_BYTES) != 0)
        c++;
    if (c == k->conns + ARRAY_N(k->conns))
        return; /* more than the host has: some are gone */
    if (c == k->conns + k->conns_n) {
        *c = (struct kad_conn){0};
        memcpy(c->id, id, PEER_ID_BYTES);
        k->conns_n++;
    }
    c->dialed = c->dialed || dialed;
    c->moved_ms = net_now_ms();
}

/* Closes those that rest. */
static void close_idle(struct kad *k, uint64_t now_ms)
{
    for (size_t i = k->conns_n; i-- > 0;) {
        struct kad_conn *c = &k->conns[i];
        struct p2p_peer *p = p2p_find(k->cfg.host, c->id);
        if (p != NULL && p2p_peer_streams(p) > 0)
            c->moved_ms = now_ms;
        if (p != NULL && now_ms < c->moved_ms + P2P_KAD_IDLE_MS)
            continue;
        if (p != NULL)
            p2p_disconnect(p);
        drop_conn(k, c);
    }
}

/* Makes room for one more that is dialed. */
static bool close_one(struct kad *k)
{
    struct kad_conn *oldest = NULL;
    for (struct kad_conn *c = k->conns; c < k->conns + k->conns_n; c++) {
        struct p2p_peer *p = p2p_find(k->cfg.host, c->id);
        if (c->dialed && (p == NULL || p2p_peer_streams(p) == 0) &&
            (oldest == NULL || c->moved_ms < oldest->moved_ms))
            oldest = c;
    }
    if (oldest == NULL)
        return false;
    struct p2p_peer *p = p2p_find(k->cfg.host, oldest->id);
    if (p != NULL)
        p2p_disconnect(p);
    drop_conn(k, oldest);
    return true;
}

bool kad_may_dial(struct kad *k)
{
    size_t made = k->dialing;
    for (size_t i = 0; i < k->conns_n; i++)
        made += k->conns[i].dialed;
    if (k->dials == 0 || (made >= P2P_KAD_CONNECTIONS && !close_one(k)))
        return false;
    k->dials--;
    return true;
}

/* ---- neighbours --------------------------------------------------------------------------------
 */

static bool serves(const struct identify *said, const char *protocol)
{
    struct reader r = reader_of(buf_bytes(&said->protocols.b));
    while (r.n > 0)
        if (bytes_equal(reader_string(&r, P2P_PROTOCOL_BYTES), bytes_str(protocol)))
            return true;
    return false;
}

/* Where it is: where it was dialed, and what it says of the very host that it is connected from; so
 * it can send nobody to another one. */
static void put_addresses(struct kad_contact *c, const struct p2p_peer *p,
                          const struct identify *said, const uint8_t *ip)
{
    struct reader r = reader_of(buf_bytes(&said->addrs.b));
    if (p2p_peer_is_dialed(p))
        kad_contact_add(c, ip, p2p_peer_address(p));
    while (r.n > 0) {
        struct bytes addr = reader_string(&r, P2P_ADDR_BYTES);
        uint8_t there[SCOPE_IP_BYTES];
        scope_ip(addr, there);
        if (memcmp(there, ip, sizeof there) == 0)
            kad_contact_add(c, ip, addr);
    }
}

void kad_identified(struct kad *k, struct p2p_peer *p)
{
    struct kad_contact c CLEANUP(kad_contact_fini) = {0};
    const struct identify *said = p2p_identity(p);
    uint8_t ip[SCOPE_IP_BYTES];
    if (said == NULL || !serves(said, k->cfg.protocol))
        return;
    memcpy(c.id, p2p_peer_id(p), sizeof c.id);
    scope_ip(p2p_peer_address(p), ip);
    put_addresses(&c, p, said, ip);
    if (buf_status(&c.addrs) == 0 && kad_table_put(&k->table, &c, ip, net_now_ms()) == 1) {
        if (k->table.n == 1)
            k->around_ms = 0;
        kad_kick(k);
    }
}

size_t kad_neighbours(const struct kad *k)
{
    return k->table.n;
}

/* ---- looking around ----------------------------------------------------------------------------
 */

/* A key whose place is in the bucket @at. */
static void key_in(const struct kad *k, unsigned at, uint8_t ret[PEER_ID_BYTES])
{
    struct kad_place place;
    do {
        randombytes_buf(ret, PEER_ID_BYTES);
        place = kad_place_of(bytes_of(ret, PEER_ID_BYTES));
    } while (kad_place_common(&k->table.self, &place) != at);
}

/* First near this peer, then in each bucket that is in use. */
void kad_look_around(struct kad *k)
{
    uint8_t key[PEER_ID_BYTES];
    unsigned at = k->around_at++;
    k->looks = at <= min_u64(kad_table_depth(&k->table), P2P_KAD_REFRESH_BITS);
    if (!k->looks)
        return;
    if (at == 0)
        memcpy(key, k->table.id, sizeof key);
    else
        key_in(k, at - 1, key);
    k->looks = kad_find_new(k, KAD_FIND_NEAR, bytes_of(key, sizeof key), NULL, NULL, NULL) == 0;
}

static void look_around(struct kad *k, uint64_t now_ms)
{
    if (k->looks || k->table.n == 0 || now_ms < k->around_ms)
        return;
    k->around_ms = now_ms + P2P_KAD_REFRESH_MS;
    k->around_at = 0;
    kad_look_around(k);
}

/* Asks whether who is in another one's place is still there. */
static void look_after(struct kad *k, uint64_t now_ms)
{
    const struct kad_contact *c = kad_table_doubtful(&k->table, now_ms);
    for (struct ring *r = k->finds.next; r != &k->finds; r = r->next)
        if (CONTAINER_OF(r, struct kad_find, all)->kind == KAD_FIND_ONE)
            return;
    if (c == NULL)
        return;
    int rc = kad_find_new(k, KAD_FIND_ONE, bytes_of(c->id, sizeof c->id), NULL, NULL, NULL);
    (void)rc; /* later, then */
}

/* ---- who is named by a person ------------------------------------------------------------------
 */

static void on_named(void *arg, int rc, struct p2p_peer *p, const char *why)
{
    struct kad_named *n = arg;
    (void)why;
    n->dial = NULL;
    if (rc < 0)
        return;
    kad_note_conn(n->kad, p2p_peer_id(p), true);
    kad_identified(n->kad, p);
}

static void dial_named(struct kad *k)
{
    k->named_ms = net_now_ms() + P2P_KAD_BOOTSTRAP_MS;
    for (struct kad_named *n = k->named; n < k->named + k->named_n; n++) {
        struct err ignored = {0};
        if (n->dial != NULL)
            continue;
        int rc = p2p_dial(k->cfg.host, NULL, buf_bytes(&n->addr), on_named, n, &n->dial, &ignored);
        (void)rc; /* it is tried again */
    }
}

static void forget_named(struct kad *k)
{
    while (k->named_n > 0) {
        struct kad_named *n = &k->named[--k->named_n];
        p2p_dial_cancel(TAKE_PTR(n->dial));
        buf_fini(&n->addr);
    }
}

int kad_bootstrap(struct kad *k, struct bytes addrs)
{
    size_t n = 0;
    int rc = 0;
    for (struct reader r = reader_of(addrs); r.n > 0; n++) {
        (void)reader_string(&r, P2P_ADDR_BYTES);
        if (r.failed)
            return -EBADMSG;
    }
    if (n > P2P_KAD_BOOTSTRAPS)
        return -E2BIG;
    forget_named(k);
    for (struct reader r = reader_of(addrs); rc == 0 && r.n > 0;) {
        struct kad_named *new = &k->named[k->named_n++];
        *new = (struct kad_named){.kad = k};
        buf_put_string(&new->addr, reader_string(&r, P2P_ADDR_BYTES));
        rc = buf_status(&new->addr);
    }
    if (rc < 0)
        forget_named(k);
    else
        dial_named(k);
    return rc;
}

/* ---- what this peer provides -------------------------------------------------------------------
 */

int kad_self(const struct kad *k, const uint8_t *ip, struct kad_contact *ret)
{
    struct buf addrs CLEANUP(buf_fini) = {0};
    int rc = k->cfg.addresses != NULL ? k->cfg.addresses(&addrs, k->cfg.user)
                                      : p2p_host_addresses(k->cfg.host, &addrs);
    if (rc < 0)
        return rc;
    memcpy(ret->id, p2p_host_id(k->cfg.host), sizeof ret->id);
    kad_contact_add_all(ret, ip, buf_bytes(&addrs));
    return buf_status(&ret->addrs);
}

static struct kad_own *find_own(struct kad *k, const uint8_t *digest)
{
    for (size_t i = 0; i < k->own_n; i++)
        if (memcmp(k->own[i].digest, digest, KAD_DIGEST_BYTES) == 0)
            return &k->own[i];
    return NULL;
}

/* Half of the places are for who asks. */
static void tell_own(struct kad *k, uint64_t now_ms)
{
    uint8_t key[KAD_MULTIHASH_BYTES];
    for (struct kad_own *o = k->own; o < k->own + k->own_n && k->table.n > 0; o++) {
        if (o->busy || now_ms < o->next_ms || k->finds_n >= P2P_KAD_FINDS / 2)
            continue;
        kad_multihash(o->digest, key);
        o->busy =
            kad_find_new(k, KAD_FIND_PLACES, bytes_of(key, sizeof key), NULL, NULL, NULL) == 0;
    }
}

void kad_own_told(struct kad *k, const uint8_t *digest, unsigned peers)
{
    struct kad_own *o = find_own(k, digest);
    if (o == NULL)
        return; /* it was withdrawn */
    o->busy = false;
    o->next_ms =
        net_now_ms() + (uint64_t)(peers > 0 ? P2P_KAD_REPUBLISH_MS : P2P_KAD_REPUBLISH_SOON_MS);
    if (k->cfg.provided != NULL)
        k->cfg.provided(digest, peers, k->cfg.user);
}

int kad_provide(struct kad *k, const uint8_t *digest)
{
    if (find_own(k, digest) != NULL)
        return 0;
    if (k->own_n == P2P_KAD_PROVIDED)
        return -ENOBUFS;
    struct kad_own *o = &k->own[k->own_n++];
    *o = (struct kad_own){0};
    memcpy(o->digest, digest, sizeof o->digest);
    kad_kick(k);
    return 0;
}

void kad_withdraw(struct kad *k, const uint8_t *digest)
{
    struct kad_own *o = find_own(k, digest);
    if (o != NULL)
        *o = k->own[--k->own_n];
}

void kad_hurry(struct kad *k)
{
    for (size_t i = 0; i < k->own_n; i++)
        k->own[i].next_ms = 0;
    dial_named(k);
    kad_kick(k);
}

/* ---- lookups of others -------------------------------------------------------------------------
 */

int kad_find_providers(struct kad *k, const uint8_t *digest, const struct kad_events *events,
                       void *user, struct kad_find **ret)
{
    uint8_t key[KAD_MULTIHASH_BYTES];
    kad_multihash(digest, key);
    return kad_find_new(k, KAD_FIND_PROVIDERS, bytes_of(key, sizeof key), events, user, ret);
}

int kad_find_peer(struct kad *k, const uint8_t *id, const struct kad_events *events, void *user,
                  struct kad_find **ret)
{
    return kad_find_new(k, KAD_FIND_PEER, bytes_of(id, PEER_ID_BYTES), events, user, ret);
}

/* ---- time --------------------------------------------------------------------------------------
 */

static void on_step(void *arg)
{
    struct kad *k = arg;
    uint64_t now_ms = net_now_ms();
    look_around(k, now_ms);
    tell_own(k, now_ms);
    kad_find_step(k);
}

static void on_tick(void *arg)
{
    struct kad *k = arg;
    uint64_t now_ms = net_now_ms();
    k->dials = (unsigned)min_u64(k->dials + P2P_KAD_DIALS_RATE, P2P_KAD_DIALS_BURST);
    kad_find_tick(k, now_ms);
    close_idle(k, now_ms);
    look_after(k, now_ms);
    if (k->table.n == 0 && now_ms >= k->named_ms)
        dial_named(k);
    if (now_ms >= k->swept_ms) {
        kad_store_expire(&k->store, now_ms);
        k->swept_ms = now_ms + SWEEP_MS;
    }
    kad_kick(k);
    net_timer_set(k->tick, TICK_MS);
}

/* ---- begin and end -----------------------------------------------------------------------------
 */

static int serve_streams(struct kad *k, unsigned streams_max)
{
    struct conn_protocol p = {.id = k->cfg.protocol,
                              .handler = &kad_server,
                              .streams_max = streams_max,
                              .idle_ms = P2P_STREAM_IDLE_MS,
                              .user = k};
    return p2p_host_serve(k->cfg.host, &p);
}

static void stop_serving(struct kad *k)
{
    int rc = serve_streams(k, 0);
    assert(rc == 0); /* it has a place since kad_new() */
    (void)rc;
    while (!ring_is_empty(&k->served))
        kad_served_free(CONTAINER_OF(k->served.next, struct kad_served, all));
}

void kad_serve(struct kad *k, bool reachable)
{
    if (!reachable) {
        stop_serving(k);
        return;
    }
    int rc = serve_streams(k, P2P_KAD_STREAMS);
    assert(rc == 0);
    (void)rc;
}

static void destroy(struct kad *k)
{
    net_timer_free(k->tick);
    net_timer_free(k->step);
    kad_table_fini(&k->table);
    kad_store_fini(&k->store);
    free(k);
}

int kad_new(struct net_loop *l, const struct kad_config *cfg, struct kad **ret, struct err *err)
{
    struct kad *k = calloc(1, sizeof *k);
    if (k == NULL)
        return err_set(err, -ENOMEM, "looking for peers: out of memory");
    k->cfg = *cfg;
    k->loop = l;
    k->dials = P2P_KAD_DIALS_BURST;
    ring_init(&k->finds);
    ring_init(&k->served);
    kad_store_init(&k->store);
    int rc = kad_table_init(&k->table, p2p_host_id(cfg->host));
    if (rc == 0)
        rc = net_timer_new(l, on_tick, k, &k->tick);
    if (rc == 0)
        rc = net_timer_new(l, on_step, k, &k->step);
    if (rc == 0)
        rc = serve_streams(k, 0);
    if (rc < 0) {
        destroy(k);
        return err_set(err, rc, "looking for peers: %s", strerror(-rc));
    }
    net_timer_set(k->tick, TICK_MS);
    *ret = k;
    return 0;
}

void kad_free(struct kad *k)
{
    if (k == NULL)
        return;
    while (!ring_is_empty(&k->finds))
        kad_find_free(CONTAINER_OF(k->finds.next, struct kad_find, all));
    forget_named(k);
    stop_serving(k);
    destroy(k);
}
