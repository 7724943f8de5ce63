/*
 * Kademlia between hosts over loopback: eight that know each other by one, what one of them
 * provides and a ninth finds; a peer that is not reached; peers that ask or answer what they like.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <sodium.h>

#include "sync/net/libp2p/kad.h"
#include "sync/net/libp2p/kad_message.h"
#include "sync/net/libp2p/limits.h"
#include "sync/net/libp2p/message.h"
#include "sync/net/libp2p/multiaddr.h"
#include "tests/support/net.h"

enum {
    NODES = 9,
    FINDER = NODES - 1,
    PACE_MS = 1000 / P2P_INBOUND_RATE + 50, /* a host lets in so many of one address */
    CLOSED_PORT = 9
};

/* What a hostile peer does when it is asked. */
enum lie { HONEST, GARBAGE, TOO_LONG, HANGS_UP, OTHER_TYPE, NOBODY_THERE, ASKER_ITSELF, LIES };

struct node {
    struct p2p_host *h;
    struct kad *k;
    struct p2p_peer *last; /* that connected */
    unsigned connected, told, told_peers, identified;
    enum lie lie;
};

/* A lookup, and what it found. */
struct search {
    struct kad_find *f;
    bool done, cancels;
    int rc;
    unsigned found;
    uint8_t id[PEER_ID_BYTES]; /* of the last */
    struct buf addrs;
};

/* A stream of a peer that asks by itself. */
struct ask {
    struct conn_stream *s;
    struct buf got;
    bool closed;
    int rc;
};

static struct net net;
static struct node nodes[NODES];
static const uint8_t digest[KAD_DIGEST_BYTES] = {1, 2, 3};

/* ---- nodes ---- */

static void on_connected(struct p2p_peer *p, void *user)
{
    struct node *x = user;
    x->last = p;
    x->connected++;
}

static void on_identified(struct p2p_peer *p, void *user)
{
    struct node *x = user;
    x->identified++;
    if (x->k != NULL)
        kad_identified(x->k, p);
}

static void on_disconnected(struct p2p_peer *p, void *user)
{
    struct node *x = user;
    x->last = x->last == p ? NULL : x->last;
    x->connected--;
}

static void on_provided(const uint8_t *what, unsigned peers, void *user)
{
    struct node *x = user;
    assert_memory_equal(what, digest, sizeof digest);
    x->told++;
    x->told_peers = peers;
}

static bool lie_opened(struct conn_stream *s, void *user)
{
    (void)s, (void)user;
    return true;
}

static void put_lie(const struct node *x, const struct p2p_peer *p, struct buf *ret)
{
    struct kad_contact liars[P2P_KAD_K] = {0};
    struct kad_said said = {.type = x->lie == OTHER_TYPE ? KAD_PING : KAD_GET_PROVIDERS,
                            .key = bytes_of(digest, sizeof digest)};
    uint8_t ip[SCOPE_IP_BYTES];
    scope_ip(p2p_peer_address(p), ip);
    for (size_t i = 0; i < ARRAY_N(liars); i++) {
        struct buf addr CLEANUP(buf_fini) = {0};
        uint8_t key[PEER_ID_KEY_BYTES];
        randombytes_buf(key, sizeof key);
        peer_id_of_key(key, liars[i].id);
        if (x->lie == ASKER_ITSELF)
            memcpy(liars[i].id, p2p_peer_id(p), PEER_ID_BYTES);
        static const uint8_t port[] = {0, CLOSED_PORT}, here[] = {127, 0, 0, 1};
        maddr_put(&addr, MADDR_IP4, bytes_of(here, sizeof here));
        maddr_put(&addr, MADDR_TCP, bytes_of(port, sizeof port));
        kad_contact_add(&liars[i], ip, buf_bytes(&addr));
        said.closer[said.closer_n++] = &liars[i];
    }
    if (x->lie == ASKER_ITSELF)
        said.providers[said.providers_n++] = &liars[0];
    assert_int_equal(kad_message_put(ret, &said, ip), 0);
    for (size_t i = 0; i < ARRAY_N(liars); i++)
        kad_contact_fini(&liars[i]);
}

static void lie_data(struct conn_stream *s, struct bytes data, void *user)
{
    struct node *x = user;
    struct buf out CLEANUP(buf_fini) = {0};
    conn_consumed(s, data.n);
    switch (x->lie) {
    case GARBAGE:
        buf_put(&out, "\x05garbage", 8);
        break;
    case TOO_LONG:
        buf_put_varint(&out, P2P_KAD_MESSAGE + 1);
        break;
    case HANGS_UP:
        conn_reset(s);
        return;
    case HONEST:
    case OTHER_TYPE:
    case NOBODY_THERE:
    case ASKER_ITSELF:
    case LIES:
        put_lie(x, p2p_of(s), &out);
    }
    assert_int_equal(conn_write(s, buf_bytes(&out)), out.n);
}

static void lie_closed(struct conn_stream *s, int rc, void *user)
{
    (void)s, (void)rc, (void)user;
}

static const struct conn_handler lying = {
    .opened = lie_opened, .data = lie_data, .closed = lie_closed};

static void listen_at(struct node *x)
{
    struct buf at CLEANUP(buf_fini) = {0};
    struct err err = {0};
    assert_int_equal(maddr_parse(bytes_str("/ip4/127.0.0.1/tcp/0"), &at, &err), 0);
    assert_int_equal(p2p_host_listen(x->h, buf_bytes(&at), &err), 0);
}

static void start_host(struct node *x)
{
    struct err err = {0};
    uint8_t public[crypto_sign_PUBLICKEYBYTES], secret[PEER_KEY_SECRET_BYTES];
    crypto_sign_keypair(public, secret);
    struct p2p_host_config cfg = {.identity = secret,
                                  .agent = "kad/1",
                                  .ws = net.client,
                                  .connected = on_connected,
                                  .identified = on_identified,
                                  .disconnected = on_disconnected,
                                  .user = x};
    *x = (struct node){0};
    if (p2p_host_new(net.loop, &cfg, &x->h, &err) < 0)
        fail_msg("%s", err.msg);
}

/* One of the network: @serves and listens, or asks alone. */
static void start(struct node *x, bool serves)
{
    struct err err = {0};
    start_host(x);
    struct kad_config cfg = {
        .host = x->h, .protocol = KAD_PROTOCOL, .provided = on_provided, .user = x};
    if (kad_new(net.loop, &cfg, &x->k, &err) < 0)
        fail_msg("%s", err.msg);
    if (!serves)
        return;
    listen_at(x);
    kad_serve(x->k, true);
}

static void start_liar(struct node *x, enum lie lie)
{
    start_host(x);
    x->lie = lie;
    const struct conn_protocol p = {
        .id = KAD_PROTOCOL, .handler = &lying, .streams_max = 16, .user = x};
    assert_int_equal(p2p_host_serve(x->h, &p), 0);
    listen_at(x);
}

static int setup(void **state)
{
    (void)state;
    struct err err = {0};
    assert_true(sodium_init() >= 0);
    memset(&net, 0, sizeof net);
    memset(nodes, 0, sizeof nodes);
    assert_int_equal(net_loop_new(8192, &net.loop, &err), 0);
    net_client(&net, (struct ws_client_config){0});
    return 0;
}

static void stop(struct node *x)
{
    kad_free(TAKE_PTR(x->k));
    p2p_host_free(TAKE_PTR(x->h));
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < NODES; i++)
        stop(&nodes[i]);
    net_end(&net);
    return 0;
}

/* ---- who knows whom ---- */

static void bootstrap(struct node *x, const struct node *by)
{
    struct buf addrs CLEANUP(buf_fini) = {0};
    assert_int_equal(p2p_host_addresses(by->h, &addrs), 0);
    assert_int_equal(kad_bootstrap(x->k, buf_bytes(&addrs)), 0);
}

struct count {
    size_t first, n, neighbours;
};

static bool know_each_other(void *arg)
{
    const struct count *c = arg;
    for (size_t i = c->first; i < c->n; i++)
        if (kad_neighbours(nodes[i].k) < c->neighbours)
            return false;
    return true;
}

static void until_known(size_t first, size_t n, size_t neighbours)
{
    struct count c = {first, n, neighbours};
    net_until(&net, know_each_other, &c);
}

/* @n of them that serve, each new one by the first, one after the other. */
static void make_network(size_t n)
{
    for (size_t i = 0; i < n; i++) {
        start(&nodes[i], true);
        if (i > 0)
            bootstrap(&nodes[i], &nodes[0]);
        until_known(0, i + 1, i);
        net_run_ms(&net, PACE_MS);
    }
}

/* ---- lookups ---- */

static void on_found(const uint8_t *id, struct bytes addrs, void *user)
{
    struct search *s = user;
    assert_false(s->done);
    memcpy(s->id, id, sizeof s->id);
    buf_reset(&s->addrs);
    buf_put_bytes(&s->addrs, addrs);
    s->found++;
    if (s->cancels)
        kad_find_cancel(TAKE_PTR(s->f));
}

static void on_done(int rc, void *user)
{
    struct search *s = user;
    assert_false(s->done || s->f == NULL);
    s->done = true;
    s->f = NULL;
    s->rc = rc;
}

static const struct kad_events events = {.found = on_found, .done = on_done};

static bool is_done(void *arg)
{
    return ((struct search *)arg)->done;
}

static void search_providers(struct search *s, struct node *x)
{
    assert_int_equal(kad_find_providers(x->k, digest, &events, s, &s->f), 0);
    net_until(&net, is_done, s);
}

static void search_fini(struct search *s)
{
    buf_fini(&s->addrs);
}

static bool is_told(void *arg)
{
    return ((struct node *)arg)->told > 0;
}

static void on_dialed(void *arg, int rc, struct p2p_peer *p, const char *why)
{
    struct search *s = arg;
    (void)why;
    s->done = true;
    s->rc = rc;
    assert_true(p == NULL || memcmp(p2p_peer_id(p), s->id, PEER_ID_BYTES) == 0);
}

static void what_one_provides_another_finds(void **state)
{
    (void)state;
    struct search s CLEANUP(search_fini) = {0}, peer CLEANUP(search_fini) = {0};
    struct buf own CLEANUP(buf_fini) = {0}, of_peer CLEANUP(buf_fini) = {0};
    struct p2p_dial *d;
    struct err err = {0};
    make_network(FINDER);
    assert_int_equal(kad_provide(nodes[1].k, digest), 0);
    net_until(&net, is_told, &nodes[1]);
    assert_int_equal(nodes[1].told_peers, FINDER - 1);
    kad_withdraw(nodes[1].k, digest); /* it says nothing of it any more, others do */

    /* Who asks knows one of them, and at first not even that. */
    struct node *finder = &nodes[FINDER];
    start(finder, false);
    assert_int_equal(kad_find_providers(finder->k, digest, &events, &s, &s.f), 0);
    assert_int_equal(kad_find_peer(finder->k, p2p_host_id(nodes[3].h), &events, &peer, &peer.f), 0);
    bootstrap(finder, &nodes[0]);
    net_until(&net, is_done, &s);
    net_until(&net, is_done, &peer);
    assert_int_equal(s.rc, 0);
    assert_int_equal(s.found, 1);
    assert_memory_equal(s.id, p2p_host_id(nodes[1].h), PEER_ID_BYTES);
    assert_int_equal(p2p_host_addresses(nodes[1].h, &own), 0);
    assert_true(bytes_equal(buf_bytes(&own), buf_bytes(&s.addrs)));
    assert_int_equal(peer.rc, 0);
    assert_memory_equal(peer.id, p2p_host_id(nodes[3].h), PEER_ID_BYTES);
    assert_int_equal(p2p_host_addresses(nodes[3].h, &of_peer), 0);
    assert_true(bytes_equal(buf_bytes(&of_peer), buf_bytes(&peer.addrs)));

    s.done = false;
    assert_int_equal(p2p_dial(finder->h, s.id, buf_bytes(&s.addrs), on_dialed, &s, &d, &err), 0);
    net_until(&net, is_done, &s);
    assert_int_equal(s.rc, 0);
    assert_int_equal(kad_neighbours(nodes[0].k), FINDER - 1); /* who asks alone is no neighbour */
}

static bool has_found(void *arg)
{
    return ((struct search *)arg)->found > 0;
}

static void a_lookup_may_be_given_up(void **state)
{
    (void)state;
    struct search in CLEANUP(search_fini) = {.cancels = true}, at_once = {0};
    make_network(2);
    assert_int_equal(kad_provide(nodes[1].k, digest), 0);
    net_until(&net, is_told, &nodes[1]);
    assert_int_equal(kad_find_providers(nodes[0].k, digest, &events, &in, &in.f), 0);
    assert_int_equal(kad_find_providers(nodes[0].k, digest, &events, &at_once, &at_once.f), 0);
    kad_find_cancel(TAKE_PTR(at_once.f));
    net_until(&net, has_found, &in);
    net_run_ms(&net, 50);
    assert_true(in.found == 1 && !in.done && at_once.found == 0 && !at_once.done);
}

static void lookups_are_limited_and_fail_without_neighbours(void **state)
{
    (void)state;
    static struct search s[P2P_KAD_FINDS + 1];
    memset(s, 0, sizeof s);
    start(&nodes[0], false);
    for (size_t i = 0; i < P2P_KAD_FINDS; i++)
        assert_int_equal(kad_find_providers(nodes[0].k, digest, &events, &s[i], &s[i].f), 0);
    assert_int_equal(kad_find_providers(nodes[0].k, digest, &events, &s[P2P_KAD_FINDS], &s[0].f),
                     -EBUSY);
    net_run_ms(&net, 50);
    for (size_t i = 0; i < P2P_KAD_FINDS; i++)
        assert_false(s[i].done);
    uint8_t key[KAD_DIGEST_BYTES] = {0};
    for (unsigned i = 0; i < P2P_KAD_PROVIDED; i++) {
        put_u32(key, i);
        assert_int_equal(kad_provide(nodes[0].k, key), 0);
        assert_int_equal(kad_provide(nodes[0].k, key), 0);
    }
    assert_int_equal(kad_provide(nodes[0].k, digest), -ENOBUFS);
    kad_withdraw(nodes[0].k, key);
    kad_withdraw(nodes[0].k, key);
    assert_int_equal(kad_provide(nodes[0].k, digest), 0);
}

static bool is_alone(void *arg)
{
    return ((struct node *)arg)->connected == 0;
}

/* Takes as long as they are kept. */
static void connections_of_lookups_are_closed(void **state)
{
    (void)state;
    make_network(2);
    assert_true(nodes[0].connected == 1 && nodes[1].connected == 1);
    net_run_ms(&net, P2P_KAD_IDLE_MS / 2);
    assert_true(nodes[0].connected == 1 && nodes[1].connected == 1);
    net_run_ms(&net, P2P_KAD_IDLE_MS / 2);
    net_until(&net, is_alone, &nodes[0]);
    net_until(&net, is_alone, &nodes[1]);
    /* And made again when they are needed. */
    struct search s CLEANUP(search_fini) = {0};
    search_providers(&s, &nodes[1]);
    assert_int_equal(s.rc, 0);
    assert_int_equal(kad_neighbours(nodes[1].k), 1);
}

/* ---- peers that ask what they like ---- */

static bool ask_opened(struct conn_stream *s, void *user)
{
    (void)s, (void)user;
    return true;
}

static void ask_data(struct conn_stream *s, struct bytes data, void *user)
{
    struct ask *a = user;
    conn_consumed(s, data.n);
    buf_put_bytes(&a->got, data);
}

static void ask_closed(struct conn_stream *s, int rc, void *user)
{
    struct ask *a = user;
    (void)s;
    a->s = NULL;
    a->closed = true;
    a->rc = rc;
}

static const struct conn_handler asking = {
    .opened = ask_opened, .data = ask_data, .closed = ask_closed};

static bool is_closed(void *arg)
{
    return ((struct ask *)arg)->closed;
}

static bool has_answer(void *arg)
{
    const struct ask *a = arg;
    return a->closed || (a->got.n > 0 && a->got.n == (size_t)a->got.p[0] + 1) || a->got.n > 127;
}

static void open_ask(struct ask *a, struct node *x, struct bytes request)
{
    *a = (struct ask){0};
    assert_int_equal(p2p_open(x->last, KAD_PROTOCOL, &asking, a, &a->s), 0);
    assert_int_equal(conn_write(a->s, request), request.n);
}

static void ask_fini(struct ask *a)
{
    buf_fini(&a->got);
}

/* Both know each other; 1 has no Kademlia of its own. */
static void meet(bool serves)
{
    struct buf addrs CLEANUP(buf_fini) = {0};
    struct search s = {0};
    struct p2p_dial *d;
    struct err err = {0};
    start(&nodes[0], serves);
    if (!serves)
        listen_at(&nodes[0]);
    start_host(&nodes[1]);
    listen_at(&nodes[1]);
    memcpy(s.id, p2p_host_id(nodes[0].h), sizeof s.id);
    assert_int_equal(p2p_host_addresses(nodes[0].h, &addrs), 0);
    assert_int_equal(p2p_dial(nodes[1].h, s.id, buf_bytes(&addrs), on_dialed, &s, &d, &err), 0);
    net_until(&net, is_done, &s);
    assert_int_equal(s.rc, 0);
}

static void put_request(struct buf *b, enum kad_type type, struct bytes key,
                        const struct kad_contact *provider)
{
    static const uint8_t here[SCOPE_IP_BYTES] = {0, 0, 0,    0,    0,   0, 0, 0,
                                                 0, 0, 0xff, 0xff, 127, 0, 0, 1};
    struct kad_said said = {
        .type = type, .key = key, .providers = {provider}, .providers_n = provider != NULL};
    assert_int_equal(kad_message_put(b, &said, here), 0);
}

static void requests_of_anybody_are_answered_or_reset(void **state)
{
    (void)state;
    uint8_t key[KAD_MULTIHASH_BYTES];
    struct buf b[8] = {0};
    static const bool answered[ARRAY_N(b)] = {true, true, true};
    kad_multihash(digest, key);
    meet(true);
    struct bytes k = bytes_of(key, sizeof key), none = bytes_of(NULL, 0);
    put_request(&b[0], KAD_FIND_NODE, bytes_str("any"), NULL);
    put_request(&b[1], KAD_GET_PROVIDERS, k, NULL);
    put_request(&b[2], KAD_PING, none, NULL);
    put_request(&b[3], KAD_PUT_VALUE, k, NULL);
    put_request(&b[4], KAD_GET_VALUE, k, NULL);
    put_request(&b[5], KAD_FIND_NODE, none, NULL);
    put_request(&b[6], KAD_ADD_PROVIDER, bytes_str("any"), NULL);
    buf_put_varint(&b[7], P2P_KAD_MESSAGE + 1);
    for (size_t i = 0; i < ARRAY_N(b); i++) {
        struct ask a CLEANUP(ask_fini);
        open_ask(&a, &nodes[1], buf_bytes(&b[i]));
        net_until(&net, has_answer, &a);
        assert_true(answered[i] == (a.got.n > 0));
        assert_true(answered[i] || a.rc == -ECONNRESET);
        if (a.s != NULL)
            conn_finish(a.s);
        net_until(&net, is_closed, &a);
        buf_fini(&b[i]);
    }
}

/* Of providers that the answer has, those that are @id. */
static size_t count_providers(const struct ask *a, const uint8_t *id, size_t *ret_all)
{
    static const uint8_t here[SCOPE_IP_BYTES] = {0, 0, 0,    0,    0,   0, 0, 0,
                                                 0, 0, 0xff, 0xff, 127, 0, 0, 1};
    struct kad_message m CLEANUP(kad_message_fini) = {0};
    struct reader r = reader_of(buf_bytes(&a->got));
    size_t n = 0;
    assert_int_equal(kad_message_read(&m, reader_string(&r, P2P_KAD_MESSAGE), here), 0);
    *ret_all = m.providers.n;
    for (size_t i = 0; i < m.providers.n; i++)
        n += memcmp(m.providers.v[i].id, id, PEER_ID_BYTES) == 0;
    return n;
}

static void nobody_speaks_for_another(void **state)
{
    (void)state;
    uint8_t key[KAD_MULTIHASH_BYTES];
    kad_multihash(digest, key);
    meet(true);
    const uint8_t *ids[] = {p2p_host_id(nodes[0].h), p2p_host_id(nodes[1].h)};
    for (size_t i = 0; i < ARRAY_N(ids); i++) { /* first another's, then its own */
        struct buf add CLEANUP(buf_fini) = {0}, get CLEANUP(buf_fini) = {0};
        struct buf addr CLEANUP(buf_fini) = {0};
        struct kad_contact c CLEANUP(kad_contact_fini) = {0};
        struct ask a CLEANUP(ask_fini), again CLEANUP(ask_fini);
        uint8_t ip[SCOPE_IP_BYTES];
        size_t all;
        memcpy(c.id, ids[i], sizeof c.id);
        assert_int_equal(maddr_parse(bytes_str("/ip4/127.0.0.1/tcp/7"), &addr, NULL), 0);
        scope_ip(buf_bytes(&addr), ip);
        kad_contact_add(&c, ip, buf_bytes(&addr));
        put_request(&add, KAD_ADD_PROVIDER, bytes_of(key, sizeof key), &c);
        put_request(&get, KAD_GET_PROVIDERS, bytes_of(key, sizeof key), NULL);
        open_ask(&a, &nodes[1], buf_bytes(&add));
        conn_finish(a.s);
        net_until(&net, is_closed, &a);
        assert_true(a.rc == 0 && a.got.n == 0);
        open_ask(&again, &nodes[1], buf_bytes(&get));
        conn_finish(again.s);
        net_until(&net, is_closed, &again);
        assert_int_equal(count_providers(&again, ids[i], &all), i);
        assert_int_equal(all, i);
    }
}

static bool lists_kad(const struct p2p_peer *p)
{
    struct reader r = reader_of(buf_bytes(&p2p_identity(p)->protocols.b));
    while (r.n > 0)
        if (bytes_equal(reader_string(&r, P2P_PROTOCOL_BYTES), bytes_str(KAD_PROTOCOL)))
            return true;
    return false;
}

static bool is_identified(void *arg)
{
    return ((struct node *)arg)->identified > 0;
}

static void who_is_not_reached_serves_nobody(void **state)
{
    (void)state;
    struct buf ping CLEANUP(buf_fini) = {0};
    struct ask a CLEANUP(ask_fini), b CLEANUP(ask_fini), c CLEANUP(ask_fini);
    put_request(&ping, KAD_PING, bytes_of(NULL, 0), NULL);
    meet(false);
    net_until(&net, is_identified, &nodes[1]);
    assert_false(lists_kad(nodes[1].last));
    open_ask(&a, &nodes[1], buf_bytes(&ping));
    net_until(&net, is_closed, &a);
    assert_true(a.rc == -ECONNRESET && a.got.n == 0);
    kad_serve(nodes[0].k, true); /* on this connection, too */
    open_ask(&b, &nodes[1], buf_bytes(&ping));
    net_until(&net, has_answer, &b);
    assert_true(!b.closed && b.got.n > 0);
    kad_serve(nodes[0].k, false);
    net_until(&net, is_closed, &b);
    assert_int_equal(b.rc, -ECONNRESET);
    open_ask(&c, &nodes[1], buf_bytes(&ping));
    net_until(&net, is_closed, &c);
    assert_int_equal(c.got.n, 0);
}

static void streams_of_one_peer_are_few(void **state)
{
    (void)state;
    struct buf ping CLEANUP(buf_fini) = {0};
    struct ask a[P2P_KAD_STREAMS + 2];
    put_request(&ping, KAD_PING, bytes_of(NULL, 0), NULL);
    meet(true);
    for (size_t i = 0; i < ARRAY_N(a); i++) {
        open_ask(&a[i], &nodes[1], buf_bytes(&ping));
        net_until(&net, has_answer, &a[i]);
        assert_true(a[i].closed == (i >= P2P_KAD_STREAMS));
    }
    stop(&nodes[1]);
    for (size_t i = 0; i < ARRAY_N(a); i++)
        ask_fini(&a[i]);
}

/* ---- peers that answer what they like ---- */

static void lies_end_in_nothing(void **state)
{
    (void)state;
    static const int rcs[LIES] = {[GARBAGE] = -ENETUNREACH,
                                  [TOO_LONG] = -ENETUNREACH,
                                  [HANGS_UP] = -ENETUNREACH,
                                  [OTHER_TYPE] = -ENETUNREACH};
    for (enum lie lie = GARBAGE; lie < LIES; lie++) {
        struct search s CLEANUP(search_fini) = {0};
        start_liar(&nodes[0], lie);
        start(&nodes[1], false);
        bootstrap(&nodes[1], &nodes[0]);
        search_providers(&s, &nodes[1]);
        assert_int_equal(s.rc, rcs[lie]);
        assert_int_equal(s.found, 0);
        assert_true(kad_neighbours(nodes[1].k) <= 1);
        stop(&nodes[1]);
        stop(&nodes[0]);
    }
}

/* Of its five. */
static bool knows_all(void *arg)
{
    return ((struct node *)arg)->identified >= 5;
}

static void liars_do_not_hide_what_is_there(void **state)
{
    (void)state;
    struct search s CLEANUP(search_fini) = {0};
    struct buf addrs CLEANUP(buf_fini) = {0};
    enum { HONEST_ONES = 3 };
    make_network(HONEST_ONES);
    assert_int_equal(kad_provide(nodes[1].k, digest), 0);
    net_until(&net, is_told, &nodes[1]);
    kad_withdraw(nodes[1].k, digest); /* others keep it */
    for (enum lie lie = GARBAGE; lie < LIES && HONEST_ONES + lie < FINDER; lie++) {
        start_liar(&nodes[HONEST_ONES + lie], lie);
        assert_int_equal(p2p_host_addresses(nodes[HONEST_ONES + lie].h, &addrs), 0);
    }
    assert_int_equal(p2p_host_addresses(nodes[0].h, &addrs), 0);
    start(&nodes[FINDER], false);
    assert_int_equal(kad_bootstrap(nodes[FINDER].k, buf_bytes(&addrs)), 0);
    net_until(&net, knows_all, &nodes[FINDER]);
    search_providers(&s, &nodes[FINDER]);
    assert_int_equal(s.rc, 0);
    assert_memory_equal(s.id, p2p_host_id(nodes[1].h), PEER_ID_BYTES);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_one_provides_another_finds),
        TEST(a_lookup_may_be_given_up),
        TEST(lookups_are_limited_and_fail_without_neighbours),
        TEST(connections_of_lookups_are_closed),
        TEST(requests_of_anybody_are_answered_or_reset),
        TEST(nobody_speaks_for_another),
        TEST(who_is_not_reached_serves_nobody),
        TEST(streams_of_one_peer_are_few),
        TEST(lies_end_in_nothing),
        TEST(liars_do_not_hide_what_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
