#include "sync/net/libp2p/host_priv.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <time.h>

enum { TICK_MS = 1000 };

/* ---- links -------------------------------------------------------------------------------------
 */

struct p2p_link *p2p_link_new(struct p2p_host *h, struct p2p_dial *d, bool dials)
{
    struct p2p_link *k = calloc(1, sizeof *k);
    if (k == NULL)
        return NULL;
    *k = (struct p2p_link){.h = h, .dial = d, .dialed = dials};
    ring_init(&k->all);
    ring_init(&k->kicked);
    ring_add(&h->links, &k->all);
    h->links_n++;
    return k;
}

/* Its streams are closed, then its peer is gone. */
static void leave_peer(struct p2p_link *k)
{
    struct p2p_peer *p = k->peer;
    if (p != NULL)
        ring_remove(&p->all); /* nobody finds it any more */
    conn_free(TAKE_PTR(k->conn));
    k->peer = NULL;
    if (p == NULL)
        return;
    if (!k->h->freeing)
        k->h->cfg.disconnected(p, k->h->cfg.user);
    identify_fini(&p->said);
    free(p);
}

void p2p_link_free(struct p2p_link *k)
{
    leave_peer(k);
    wire_free(k->wire);
    ring_remove(&k->all);
    ring_remove(&k->kicked); /* last: what was called may have put it there */
    k->h->links_n--;
    free(k);
}

/* Writes what the machine has, as far as the wire takes it. */
static void pump(struct p2p_link *k)
{
    for (struct bytes out; k->conn != NULL && (out = conn_out(k->conn)).n > 0;) {
        ssize_t n = wire_write(k->wire, out);
        if (n < 0)
            return; /* closed() follows */
        conn_sent(k->conn, (size_t)n);
        if ((size_t)n < out.n)
            break;
    }
    if (k->conn == NULL)
        return;
    bool paused = !conn_wants_read(k->conn);
    if (paused != k->paused)
        (paused ? wire_pause : wire_resume)(k->wire);
    k->paused = paused;
}

/* Says good bye, and closes when that is written. Not from within its machine. */
static void end_link(struct p2p_link *k)
{
    if (k->closing)
        return;
    if (k->conn != NULL)
        conn_go_away(k->conn);
    pump(k);
    k->closing = true;
    leave_peer(k);
    wire_close(k->wire);
}

/* The connection is at its end, as its peer or this device failed. */
static void give_up(struct p2p_link *k, int rc)
{
    struct p2p_dial *d = TAKE_PTR(k->dial);
    if (d != NULL)
        p2p_dial_failed(d, k, rc, conn_why(k->conn));
    end_link(k);
}

/* Looks at it in a turn of its own. */
static void kick(struct p2p_link *k)
{
    ring_remove(&k->kicked);
    ring_add(&k->h->kicked, &k->kicked);
    net_timer_set(k->h->kick, 0);
}

static void on_kicked(struct conn *c, void *user)
{
    (void)c;
    kick(user);
}

static void tick(struct p2p_link *k)
{
    k->due = false;
    if (k->conn == NULL)
        return;
    int rc = conn_tick(k->conn, net_now_ms());
    if (rc < 0)
        give_up(k, rc);
}

static void pump_kicked(void *arg)
{
    struct p2p_host *h = arg;
    while (!ring_is_empty(&h->kicked)) {
        struct p2p_link *k = CONTAINER_OF(h->kicked.next, struct p2p_link, kicked);
        ring_remove(&k->kicked);
        if (k->due)
            tick(k);
        if (k->retired)
            end_link(k);
        else
            pump(k);
    }
}

/* ---- peers -------------------------------------------------------------------------------------
 */

struct p2p_peer *p2p_find(struct p2p_host *h, const uint8_t *id)
{
    for (struct ring *r = h->peers.next; r != &h->peers; r = r->next) {
        struct p2p_peer *p = CONTAINER_OF(r, struct p2p_peer, all);
        if (memcmp(p->id, id, PEER_ID_BYTES) == 0)
            return p;
    }
    return NULL;
}

/*
 * Of two connections with one peer the one stays that the lesser of both ids has dialed, so that
 * both sides give up the same when both have dialed; of two that one side has dialed, the newer:
 * who has a connection gives up its dials, so the older is dead on that side. A pipe is worse than
 * all others.
 */
static bool is_better(const struct p2p_link *k, const struct p2p_link *than)
{
    if (k->piped != than->piped)
        return than->piped;
    if (k->dialed == than->dialed)
        return true;
    bool lesser = memcmp(k->h->id, than->peer->id, PEER_ID_BYTES) < 0;
    return k->dialed == lesser;
}

static struct p2p_peer *peer_new(struct p2p_link *k)
{
    struct p2p_peer *p = calloc(1, sizeof *p);
    if (p == NULL)
        return NULL;
    p->h = k->h;
    p->link = k;
    memcpy(p->id, conn_peer(k->conn), PEER_ID_BYTES);
    memcpy(p->hash, conn_hash(k->conn), NOISE_HASH_BYTES);
    identify_init(&p->said, p->id, 0);
    ring_init(&p->all);
    ring_add(&k->h->peers, &p->all);
    k->peer = p;
    return p;
}

/* Who it is has been proved. Runs in the machine: it ends later what is not to stay. */
static void on_opened(struct conn *c, void *user)
{
    struct p2p_link *k = user;
    struct p2p_host *h = k->h;
    struct p2p_dial *d = TAKE_PTR(k->dial);
    struct p2p_peer *p = p2p_find(h, conn_peer(c));
    if (d != NULL) /* first: what is called below may give the dial up */
        p2p_dial_opened(d, k);
    if (p != NULL && !is_better(k, p->link)) {
        conn_doubt(p->link->conn); /* who dials may have lost it */
        k->retired = true;
        return;
    }
    if (p != NULL)
        end_link(p->link);
    p = peer_new(k);
    if (p == NULL) {
        k->retired = true;
        return;
    }
    p2p_identify_ask(p);
    h->cfg.connected(p, h->cfg.user);
}

const uint8_t *p2p_peer_id(const struct p2p_peer *p)
{
    return p->id;
}

struct bytes p2p_peer_address(const struct p2p_peer *p)
{
    return wire_remote(p->link->wire);
}

bool p2p_peer_is_dialed(const struct p2p_peer *p)
{
    return p->link->dialed;
}

bool p2p_peer_is_piped(const struct p2p_peer *p)
{
    return p->link->piped;
}

const uint8_t *p2p_peer_hash(const struct p2p_peer *p)
{
    return p->hash;
}

const struct identify *p2p_identity(const struct p2p_peer *p)
{
    return p->has_said ? &p->said : NULL;
}

size_t p2p_peer_streams(const struct p2p_peer *p)
{
    return p->link->conn == NULL ? 0 : conn_streams(p->link->conn);
}

struct p2p_peer *p2p_of(const struct conn_stream *s)
{
    struct p2p_link *k = conn_user(conn_of(s));
    return k->peer;
}

void p2p_set_user(struct p2p_peer *p, void *user)
{
    p->user = user;
}

void *p2p_user(const struct p2p_peer *p)
{
    return p->user;
}

void *p2p_host_user(const struct p2p_peer *p)
{
    return p->h->cfg.user;
}

int p2p_open(struct p2p_peer *p, const char *protocol, const struct conn_handler *handler,
             void *user, struct conn_stream **ret)
{
    struct conn *c = p->link->conn;
    return c == NULL ? -ENOTCONN : conn_open(c, protocol, handler, user, ret);
}

void p2p_disconnect(struct p2p_peer *p)
{
    p->link->retired = true;
    kick(p->link);
}

/* ---- wires -------------------------------------------------------------------------------------
 */

int p2p_link_begin(struct p2p_link *k, const uint8_t *expect)
{
    struct conn_config cfg = {.dials = k->dialed,
                              .keys = k->h->keys,
                              .expect = expect,
                              .protocols = k->h->protocols,
                              .protocols_n = k->h->protocols_n,
                              .opened = on_opened,
                              .kicked = on_kicked,
                              .user = k};
    int rc = conn_new(&cfg, net_now_ms(), &k->conn);
    if (rc == 0)
        pump(k);
    return rc;
}

static void on_data(struct wire *w, struct bytes data, void *user)
{
    struct p2p_link *k = user;
    (void)w;
    if (k->closing)
        return;
    if (k->dial != NULL && p2p_dial_is_met(k->dial)) {
        p2p_dial_opened(TAKE_PTR(k->dial), k);
        p2p_link_free(k);
        return;
    }
    int rc = conn_feed(k->conn, data, net_now_ms());
    if (rc < 0)
        give_up(k, rc);
    else
        pump(k);
    if (k->retired)
        end_link(k);
}

static void on_writable(struct wire *w, void *user)
{
    struct p2p_link *k = user;
    (void)w;
    if (!k->closing)
        pump(k);
}

static void on_closed(struct wire *w, const char *why, void *user)
{
    struct p2p_link *k = user;
    struct p2p_dial *d = TAKE_PTR(k->dial);
    (void)w;
    if (d != NULL)
        p2p_dial_failed(d, k, -ECONNREFUSED, why);
    p2p_link_free(k);
}

static void on_connected(struct wire *w, void *user)
{
    (void)w;
    p2p_dial_connected(user);
}

const struct wire_events p2p_wire_events = {
    .opened = on_connected, .data = on_data, .writable = on_writable, .closed = on_closed};

/* ---- the host ----------------------------------------------------------------------------------
 */

/* What it calls may end any link: so each has a turn of its own. */
static void on_tick(void *arg)
{
    struct p2p_host *h = arg;
    for (struct ring *r = h->links.next; r != &h->links; r = r->next) {
        struct p2p_link *k = CONTAINER_OF(r, struct p2p_link, all);
        k->due = true;
        kick(k);
    }
    net_timer_set(h->tick, TICK_MS);
}

static int make_keys(struct p2p_host *h)
{
    memcpy(h->secret, h->cfg.identity, sizeof h->secret);
    memcpy(h->key, h->secret + PEER_KEY_SECRET_BYTES - PEER_KEY_PUBLIC_BYTES, sizeof h->key);
    h->cfg.identity = h->secret;
    peer_id_of_key(h->key, h->id);
    h->keys = sodium_malloc(sizeof *h->keys);
    return h->keys == NULL ? -ENOMEM : noise_keys_init(h->keys, h->secret);
}

int p2p_host_new(struct net_loop *l, const struct p2p_host_config *cfg, struct p2p_host **ret,
                 struct err *err)
{
    assert(cfg->protocols_n + 2 <= CONN_PROTOCOLS_MAX);
    struct p2p_host *h = calloc(1, sizeof *h);
    if (h == NULL)
        return err_set(err, -ENOMEM, "peers: out of memory");
    h->loop = l;
    h->cfg = *cfg;
    h->seq = (uint64_t)time(NULL);
    ring_init(&h->links);
    ring_init(&h->peers);
    ring_init(&h->dials);
    ring_init(&h->kicked);
    h->protocols[h->protocols_n++] = p2p_identify_served;
    h->protocols[h->protocols_n++] = p2p_ping_served;
    for (size_t i = 0; i < cfg->protocols_n; i++)
        h->protocols[h->protocols_n++] = cfg->protocols[i];
    int rc = make_keys(h);
    if (rc == 0)
        rc = net_timer_new(l, on_tick, h, &h->tick);
    if (rc == 0)
        rc = net_timer_new(l, pump_kicked, h, &h->kick);
    if (rc < 0) {
        p2p_host_free(h);
        return err_set(err, rc, "peers: %s", strerror(-rc));
    }
    net_timer_set(h->tick, TICK_MS);
    *ret = h;
    return 0;
}

int p2p_host_serve(struct p2p_host *h, const struct conn_protocol *p)
{
    size_t at = 0;
    while (at < h->protocols_n && strcmp(h->protocols[at].id, p->id) != 0)
        at++;
    if (at == CONN_PROTOCOLS_MAX)
        return -ENOBUFS;
    h->protocols[at] = *p; /* connections look at their first ones, and see that it changed */
    h->protocols_n += at == h->protocols_n;
    return 0;
}

void p2p_host_doubt(struct p2p_host *h)
{
    for (struct ring *r = h->links.next; r != &h->links; r = r->next) {
        const struct p2p_link *k = CONTAINER_OF(r, struct p2p_link, all);
        if (k->conn != NULL)
            conn_doubt(k->conn);
    }
}

static void stop_listening(struct p2p_host *h)
{
    while (h->listeners_n > 0)
        wire_listener_free(h->listeners[--h->listeners_n]);
}

void p2p_host_free(struct p2p_host *h)
{
    if (h == NULL)
        return;
    h->freeing = h->stopping = true;
    stop_listening(h);
    while (!ring_is_empty(&h->dials))
        p2p_dial_cancel(CONTAINER_OF(h->dials.next, struct p2p_dial, all));
    while (!ring_is_empty(&h->links))
        p2p_link_free(CONTAINER_OF(h->links.next, struct p2p_link, all));
    net_timer_free(h->tick);
    net_timer_free(h->kick);
    if (h->keys != NULL)
        noise_keys_fini(h->keys);
    sodium_free(h->keys);
    sodium_memzero(h->secret, sizeof h->secret);
    free(h);
}

void p2p_host_stop(struct p2p_host *h)
{
    h->stopping = true;
    stop_listening(h);
    while (!ring_is_empty(&h->dials))
        p2p_dial_cancel(CONTAINER_OF(h->dials.next, struct p2p_dial, all));
    for (struct ring *r = h->links.next; r != &h->links; r = r->next) {
        struct p2p_link *k = CONTAINER_OF(r, struct p2p_link, all);
        k->retired = true;
        kick(k);
    }
}

bool p2p_host_is_idle(const struct p2p_host *h)
{
    return h->links_n == 0;
}

const uint8_t *p2p_host_id(const struct p2p_host *h)
{
    return h->id;
}
