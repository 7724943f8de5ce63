#include "sync/links/peers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/log.h"
#include "sync/links/peers_priv.h"
#include "sync/net/libp2p/limits.h"
#include "sync/net/libp2p/multiaddr.h"

enum { AGAIN_MS = 2000, PORT_TRIES = 5 /* before another port is taken than was free once */ };

/* A device that is being dialed, for all its links. */
struct peers_dial {
    struct peers *peers;
    struct ring all; /* in peers->dials */
    uint8_t peer_id[PEER_ID_BYTES];
    struct p2p_dial *dial;
};

static bool is_of(const struct peer_link *l, const uint8_t *peer_id)
{
    return memcmp(l->peer_id, peer_id, PEER_ID_BYTES) == 0;
}

/* Calls @fn for the links with a device, each of which may go meanwhile. */
static void each_link(struct peers *p, const uint8_t *peer_id,
                      void (*fn)(struct peer_link *l, const char *why), const char *why)
{
    for (struct ring *r = p->links.next, *next; r != &p->links; r = next) {
        struct peer_link *l = CONTAINER_OF(r, struct peer_link, all);
        next = r->next;
        if (is_of(l, peer_id))
            fn(l, why);
    }
}

/* ---- the local network -------------------------------------------------------------------------
 */

static bool has_link(const struct peers *p, const uint8_t *peer_id)
{
    for (struct ring *r = p->links.next; r != &p->links; r = r->next)
        if (is_of(CONTAINER_OF(r, struct peer_link, all), peer_id))
            return true;
    return false;
}

static struct peers_near *find_near(struct peers *p, const uint8_t *peer_id)
{
    for (size_t i = 0; i < PEERS_NEAR_MAX; i++)
        if (p->near[i].addrs.n > 0 && memcmp(p->near[i].peer_id, peer_id, PEER_ID_BYTES) == 0)
            return &p->near[i];
    return NULL;
}

/* A place for a device: a free one, or that of one that is nothing to this one. */
static struct peers_near *need_near(struct peers *p, const uint8_t *peer_id, const char *plate)
{
    bool wanted = has_link(p, peer_id) || pairing_looks(p, plate);
    struct peers_near *n = find_near(p, peer_id);
    for (size_t i = 0; n == NULL && i < PEERS_NEAR_MAX; i++)
        if (p->near[i].addrs.n == 0)
            n = &p->near[i];
    for (size_t i = 0; n == NULL && wanted && i < PEERS_NEAR_MAX; i++)
        if (!has_link(p, p->near[i].peer_id))
            n = &p->near[i];
    return n;
}

static void set_near(struct peers *p, const uint8_t *peer_id, struct bytes addrs, const char *plate)
{
    struct peers_near *n = need_near(p, peer_id, plate);
    if (n == NULL)
        return;
    memcpy(n->peer_id, peer_id, PEER_ID_BYTES);
    snprintf(n->plate, sizeof n->plate, "%s", plate);
    buf_reset(&n->addrs);
    buf_put_bytes(&n->addrs, addrs);
    if (buf_status(&n->addrs) < 0)
        buf_fini(&n->addrs);
}

static void forget_near(struct peers *p)
{
    for (size_t i = 0; i < PEERS_NEAR_MAX; i++)
        buf_fini(&p->near[i].addrs);
}

/* ---- dialing -----------------------------------------------------------------------------------
 */

static void dial_free(struct peers_dial *d)
{
    ring_remove(&d->all);
    free(d);
}

static void unreached(struct peer_link *l, const char *why)
{
    peer_link_unreached(l, why);
}

static void on_dialed(void *arg, int rc, struct p2p_peer *peer, const char *why)
{
    struct peers_dial *d = arg;
    (void)peer; /* connected() told of it */
    if (rc < 0)
        each_link(d->peers, d->peer_id, unreached, why);
    dial_free(d);
}

static bool is_dialing(const struct peers *p, const uint8_t *peer_id)
{
    for (struct ring *r = p->dials.next; r != &p->dials; r = r->next)
        if (memcmp(CONTAINER_OF(r, struct peers_dial, all)->peer_id, peer_id, PEER_ID_BYTES) == 0)
            return true;
    return false;
}

static int dial(struct peers *p, const struct peer_link *l, struct err *err)
{
    struct buf addrs CLEANUP(buf_fini) = {0};
    const struct peers_near *near = find_near(p, l->peer_id);
    if (near != NULL)
        buf_put_bytes(&addrs, buf_bytes(&near->addrs));
    peers_dht_hints(p, l->peer_id, &addrs);
    buf_put_bytes(&addrs, p2p_file_find(&p->file, l->identity));
    if (buf_status(&addrs) < 0)
        return err_set(err, -ENOMEM, "out of memory");
    if (addrs.n == 0)
        return err_set(err, -ENOENT, "where the device is is not known");
    struct peers_dial *d = calloc(1, sizeof *d);
    if (d == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    d->peers = p;
    memcpy(d->peer_id, l->peer_id, PEER_ID_BYTES);
    int rc = p2p_dial(p->host, d->peer_id, buf_bytes(&addrs), on_dialed, d, &d->dial, err);
    if (rc < 0) {
        free(d);
        return rc;
    }
    ring_init(&d->all);
    ring_add(&p->dials, &d->all);
    return 0;
}

void peers_dial(struct peers *p, const struct peer_link *l)
{
    struct err err = {0};
    uint8_t peer_id[PEER_ID_BYTES];
    memcpy(peer_id, l->peer_id, sizeof peer_id);
    if (!is_dialing(p, peer_id) && dial(p, l, &err) < 0)
        each_link(p, peer_id, unreached, err.msg);
}

/* ---- who is connected --------------------------------------------------------------------------
 */

static void connected(struct peer_link *l, const char *why)
{
    (void)why;
    backoff_reset(&l->backoff);
    buf_fini(&l->hints); /* where it is, is known now */
    peer_link_connected(l);
}

static void on_connected(struct p2p_peer *peer, void *user)
{
    each_link(user, p2p_peer_id(peer), connected, NULL);
}

static void on_disconnected(struct p2p_peer *peer, void *user)
{
    pairing_left(user, p2p_peer_id(peer)); /* its streams were closed */
}

void peers_remember(struct peers *p, struct p2p_peer *peer, bool any)
{
    const struct identify *said = p2p_identity(peer);
    uint8_t identity[SIGN_KEY_SIZE];
    struct err err = {0};
    if ((!any && !has_link(p, p2p_peer_id(peer))) || said == NULL || !said->has_record ||
        said->addrs.n == 0 || peer_id_key(bytes_of(p2p_peer_id(peer), PEER_ID_BYTES), identity) < 0)
        return;
    if (p2p_file_put(&p->file, identity, buf_bytes(&said->addrs.b), &err) < 0)
        log_warn("peers: where a device is is not remembered: %s", err.msg);
}

static void on_identified(struct p2p_peer *peer, void *user)
{
    struct peers *p = user;
    peers_remember(p, peer, false);
    peers_dht_identified(p->dht, peer);
}

/* ---- announcing, and looking around ------------------------------------------------------------
 */

static void try_near(struct peer_link *l, const char *why)
{
    (void)why;
    peer_link_try(l);
}

static void on_found(const uint8_t *id, struct bytes addrs, const char *plate, void *user)
{
    set_near(user, id, addrs, plate);
    each_link(user, id, try_near, NULL);
    pairing_look(user);
}

static void on_lost(const uint8_t *id, void *user)
{
    struct peers_near *n = find_near(user, id);
    if (n != NULL)
        buf_fini(&n->addrs);
}

void peers_announce(struct peers *p)
{
    struct buf addrs CLEANUP(buf_fini) = {0};
    if (p->mdns == NULL)
        return;
    int rc = p2p_host_addresses(p->host, &addrs);
    if (rc == 0)
        rc = mdns_announce(p->mdns, buf_bytes(&addrs), pairing_plate(p));
    if (rc < 0)
        log_warn("peers: not announced on the local network: %s", strerror(-rc));
}

static void look_near(struct peers *p)
{
    struct err err = {0};
    struct mdns_config cfg = {
        .id = p2p_host_id(p->host), .found = on_found, .lost = on_lost, .user = p};
    if (!p->file.mdns || p->mdns != NULL)
        return;
    if (mdns_new(p->loop, &cfg, &p->mdns, &err) < 0)
        log_warn("peers: devices are not looked for on the local network: %s", err.msg);
    peers_announce(p);
}

/* ---- listening ---------------------------------------------------------------------------------
 */

static int start_host(struct peers *p, struct bytes listen, struct p2p_host **ret, struct err *err)
{
    struct ws_client *ws;
    uint8_t secret[PEER_KEY_SECRET_BYTES];
    int rc = clients_get(p->cfg.clients, "", true, &ws, err);
    if (rc < 0)
        return rc;
    memcpy(secret, p->cfg.identity->sign_secret, sizeof secret);
    const struct conn_protocol protocols[] = {peer_link_protocol, pairing_protocol};
    struct p2p_host_config cfg = {.identity = secret,
                                  .protocols = protocols,
                                  .protocols_n = ARRAY_N(protocols),
                                  .agent = "persist/" PERSIST_VERSION,
                                  .ws = ws,
                                  .connected = on_connected,
                                  .identified = on_identified,
                                  .disconnected = on_disconnected,
                                  .user = p};
    rc = p2p_host_new(p->loop, &cfg, ret, err);
    sodium_memzero(secret, sizeof secret);
    if (rc == 0)
        peers_dht_begin(p->dht, *ret);
    struct reader r = reader_of(listen);
    while (rc == 0 && r.n > 0)
        rc = p2p_host_listen(*ret, reader_string(&r, P2P_ADDR_BYTES), err);
    if (rc < 0) {
        peers_dht_end(p->dht);
        p2p_host_free(*ret);
        *ret = NULL;
    }
    return rc;
}

static void stop_host(struct peers *p)
{
    mdns_free(p->mdns);
    p->mdns = NULL;
    forget_near(p);
    pairing_host_gone(p);
    peers_dht_end(p->dht);
    p2p_host_free(p->host);
    p->host = NULL;
    while (!ring_is_empty(&p->dials))
        dial_free(CONTAINER_OF(p->dials.next, struct peers_dial, all));
}

static int parse(const char *text, struct buf *ret, struct err *err)
{
    struct buf addr CLEANUP(buf_fini) = {0};
    if (maddr_parse(bytes_str(text), &addr, err) < 0)
        return err_wrap(err, -EINVAL, "%s", text);
    buf_put_string(ret, buf_bytes(&addr));
    return 0;
}

/* A port that was found free stays, as others remember it. */
static int keep_port(struct peers *p, struct p2p_host *host, bool any_port, bool mdns,
                     struct err *err)
{
    struct buf real CLEANUP(buf_fini) = {0};
    if (p2p_host_listening(host, &real) < 0)
        return err_set(err, -ENOMEM, "out of memory");
    return p2p_file_set(&p->file, buf_bytes(&real), any_port, mdns, err);
}

/* At any port, instead of one that was free once. */
static int listen_anywhere(struct peers *p, struct err *err)
{
    struct buf any CLEANUP(buf_fini) = {0};
    if (parse(P2P_FILE_ANY, &any, err) < 0 || buf_status(&any) < 0)
        return err_set(err, -ENOMEM, "out of memory");
    return start_host(p, buf_bytes(&any), &p->host, err);
}

/* Listens where the file says, or does not, and says why. */
static int listen_as_stored(struct peers *p, struct err *err)
{
    struct err ignored = {0};
    p->trouble[0] = '\0';
    if (p->file.listen.n == 0)
        return 0;
    int rc = start_host(p, buf_bytes(&p->file.listen), &p->host, err);
    if (rc == -EADDRINUSE && p->file.any_port && ++p->port_taken >= PORT_TRIES)
        rc = listen_anywhere(p, err);
    if (rc == 0 && p->file.any_port && keep_port(p, p->host, true, p->file.mdns, &ignored) < 0)
        log_warn("peers: the port is another one next time: %s", ignored.msg);
    if (rc == 0) {
        look_near(p);
        peers_dht_go(p->dht);
    }
    if (rc < 0) {
        snprintf(p->trouble, sizeof p->trouble, "%.200s", err->msg);
        net_timer_set(p->again, AGAIN_MS);
    }
    return rc;
}

/* What kept it from listening, a process that was ending or an interface that was down, is over. */
static void on_again(void *arg)
{
    struct peers *p = arg;
    struct err ignored = {0};
    if (p->host == NULL && !p->stopping && listen_as_stored(p, &ignored) == 0)
        p->cfg.turned_on(p->cfg.arg);
}

int peers_new(const struct peers_config *cfg, struct peers **ret, struct err *err)
{
    struct err why = {0};
    struct peers *p = calloc(1, sizeof *p);
    if (p == NULL)
        return err_set(err, -ENOMEM, "peers: out of memory");
    p->cfg = *cfg;
    p->loop = cfg->loop;
    ring_init(&p->links);
    ring_init(&p->dials);
    ring_init(&p->pairings);
    int rc = p2p_file_open(cfg->dir_fd, &p->file, err);
    if (rc == 0 &&
        (net_timer_new(p->loop, on_again, p, &p->again) < 0 || peers_dht_new(p, &p->dht) < 0))
        rc = err_set(err, -ENOMEM, "peers: out of memory");
    if (rc < 0) {
        net_timer_free(p->again);
        p2p_file_fini(&p->file);
        free(p);
        return rc;
    }
    if (listen_as_stored(p, &why) < 0)
        log_warn("peers: there are no direct links: %s", why.msg);
    *ret = p;
    return 0;
}

void peers_free(struct peers *p)
{
    if (p == NULL)
        return;
    stop_host(p);
    peers_dht_free(p->dht);
    net_timer_free(p->again);
    p2p_file_fini(&p->file);
    free(p);
}

void peers_stop(struct peers *p)
{
    p->stopping = true;
    pairing_host_gone(p);
    peers_dht_end(p->dht);
    if (p->host != NULL)
        p2p_host_stop(p->host);
}

bool peers_is_idle(const struct peers *p)
{
    return p->host == NULL || p2p_host_is_idle(p->host);
}

void peers_hurry(struct peers *p)
{
    peers_announce(p);
    peers_dht_hurry(p->dht);
    if (p->host != NULL)
        p2p_host_doubt(p->host);
    for (struct ring *r = p->links.next, *next; r != &p->links; r = next) {
        next = r->next;
        peer_link_try(CONTAINER_OF(r, struct peer_link, all));
    }
}

/* ---- settings ----------------------------------------------------------------------------------
 */

static int parse_all(char *const *text, size_t n, struct buf *ret, struct err *err)
{
    int rc = n > P2P_LISTEN_MAX
                 ? err_set(err, -EINVAL, "at most %d addresses can be listened at", P2P_LISTEN_MAX)
                 : 0;
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = parse(text[i], ret, err);
    return rc < 0 ? rc : buf_status(ret);
}

/* Listens at @listen instead; what was before is there again when that fails. */
static int listen_at(struct peers *p, struct bytes listen, bool mdns, struct err *err)
{
    struct err ignored = {0};
    struct p2p_host *host = NULL;
    stop_host(p); /* it may be the same port */
    int rc = listen.n == 0 ? p2p_file_set(&p->file, listen, false, mdns, err)
                           : start_host(p, listen, &host, err);
    if (rc == 0 && host != NULL)
        rc = keep_port(p, host, false, mdns, err);
    if (rc == 0) {
        p->host = host;
        p->trouble[0] = '\0';
        if (host != NULL) {
            look_near(p);
            peers_dht_go(p->dht);
        }
    } else {
        peers_dht_end(p->dht);
        p2p_host_free(host);
        (void)!listen_as_stored(p, &ignored); /* the first reason is told */
    }
    peers_hurry(p);
    return rc;
}

static int set_mdns(struct peers *p, struct bytes listen, bool mdns, struct err *err)
{
    int rc = p2p_file_set(&p->file, listen, p->file.any_port, mdns, err);
    if (rc < 0)
        return rc;
    if (!mdns) {
        mdns_free(p->mdns);
        p->mdns = NULL;
    } else if (p->host != NULL) {
        look_near(p);
    }
    return 0;
}

/* Whether an address can be dialed, of whoever is there. */
static int can_dial(struct bytes addr, const char *text, struct err *err)
{
    struct maddr_dial ignored;
    int rc = maddr_dial(addr, &ignored);
    return rc < 0
               ? err_set(err, -EINVAL,
                         "%s: a bootstrap peer has an address like /ip4/192.0.2.7/tcp/4001", text)
               : 0;
}

static int parse_bootstrap(char *const *text, size_t n, struct buf *ret, struct err *err)
{
    int rc = n > P2P_BOOTSTRAP_MAX
                 ? err_set(err, -EINVAL, "at most %d bootstrap peers can be set", P2P_BOOTSTRAP_MAX)
                 : 0;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        struct buf one CLEANUP(buf_fini) = {0};
        rc = parse(text[i], &one, err);
        struct reader r = reader_of(buf_bytes(&one));
        if (rc == 0)
            rc = can_dial(reader_string(&r, P2P_ADDR_BYTES), text[i], err);
        buf_put_bytes(ret, buf_bytes(&one));
    }
    return rc < 0 ? rc : buf_status(ret);
}

static int set_dht(struct peers *p, enum p2p_dht dht, bool ipfs, struct bytes bootstrap,
                   struct err *err)
{
    int rc = p2p_file_set_dht(&p->file, dht, ipfs, bootstrap, err);
    if (rc == 0)
        peers_dht_again(p->dht, p->host);
    return rc;
}

/* All is read before anything is set. */
int peers_set(struct peers *p, const struct peers_settings *s, struct err *err)
{
    struct buf at CLEANUP(buf_fini) = {0};
    struct buf bootstrap CLEANUP(buf_fini) = {0};
    bool mdns = s->mdns < 0 ? p->file.mdns : s->mdns > 0;
    bool ipfs = s->ipfs < 0 ? p->file.ipfs : s->ipfs > 0;
    enum p2p_dht dht = s->dht < 0 ? p->file.dht : s->dht > 0 ? P2P_DHT_ON : P2P_DHT_OFF;
    int rc = 0;
    if (s->set_listen)
        rc = parse_all(s->listen, s->listen_n, &at, err);
    else
        buf_put_bytes(&at, buf_bytes(&p->file.listen));
    if (rc == 0 && s->set_bootstrap)
        rc = parse_bootstrap(s->bootstrap, s->bootstrap_n, &bootstrap, err);
    else
        buf_put_bytes(&bootstrap, buf_bytes(&p->file.bootstrap));
    if (rc == 0 && (buf_status(&at) < 0 || buf_status(&bootstrap) < 0))
        rc = err_set(err, -ENOMEM, "out of memory");
    if (rc == 0 && s->set_listen)
        rc = listen_at(p, buf_bytes(&at), mdns, err);
    else if (rc == 0 && s->mdns >= 0)
        rc = set_mdns(p, buf_bytes(&at), mdns, err);
    if (rc == 0 && (s->set_bootstrap || s->dht >= 0 || s->ipfs >= 0))
        rc = set_dht(p, dht, ipfs, buf_bytes(&bootstrap), err);
    return rc;
}

int peers_know(struct peers *p, const char *address, struct err *err)
{
    struct buf addr CLEANUP(buf_fini) = {0};
    struct buf list CLEANUP(buf_fini) = {0};
    struct bytes where, id;
    uint8_t identity[SIGN_KEY_SIZE];
    if (maddr_parse(bytes_str(address), &addr, err) < 0)
        return err_wrap(err, -EINVAL, "%s", address);
    if (maddr_split_peer(buf_bytes(&addr), &where, &id) < 0 || peer_id_key(id, identity) < 0 ||
        where.n == 0)
        return err_set(err, -EINVAL, "%s: does not end with /p2p/ and the id of a device", address);
    buf_put_string(&list, where);
    int rc = buf_status(&list) < 0 ? err_set(err, -ENOMEM, "out of memory")
                                   : p2p_file_put(&p->file, identity, buf_bytes(&list), err);
    if (rc == 0)
        peers_hurry(p);
    return rc;
}

bool peers_is_on(const struct peers *p)
{
    return p->host != NULL;
}

static void put_text(const struct peers *p, struct bytes addr, struct buf *ret)
{
    struct buf text CLEANUP(buf_fini) = {0};
    char id[PEER_ID_TEXT_SIZE];
    if (maddr_text(addr, &text) < 0)
        return;
    buf_put_bytes(&text, bytes_str("/p2p/"));
    buf_put_bytes(&text, bytes_str(peer_id_text(p2p_host_id(p->host), id)));
    ret->failed = ret->failed || text.failed;
    buf_put_string(ret, buf_bytes(&text));
}

int peers_addresses(const struct peers *p, struct buf *ret)
{
    struct buf addrs CLEANUP(buf_fini) = {0};
    int rc = p->host == NULL ? 0 : p2p_host_addresses(p->host, &addrs);
    struct reader r = reader_of(buf_bytes(&addrs));
    while (rc == 0 && r.n > 0)
        put_text(p, reader_string(&r, P2P_ADDR_BYTES), ret);
    return rc < 0 ? rc : buf_status(ret);
}

bool peers_mdns(const struct peers *p)
{
    return p->file.mdns;
}

bool peers_dht(const struct peers *p)
{
    return p2p_file_is_dht(&p->file);
}

bool peers_is_ipfs(const struct peers *p)
{
    return p->file.ipfs;
}

int peers_bootstrap(const struct peers *p, struct buf *ret)
{
    struct reader r = reader_of(buf_bytes(&p->file.bootstrap));
    while (r.n > 0) {
        struct buf text CLEANUP(buf_fini) = {0};
        if (maddr_text(reader_string(&r, P2P_ADDR_BYTES), &text) < 0)
            return -ENOMEM;
        buf_put_string(ret, buf_bytes(&text));
    }
    return buf_status(ret);
}

const char *peers_trouble(const struct peers *p)
{
    return p->trouble;
}
