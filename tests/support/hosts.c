#include "tests/support/hosts.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <sodium.h>

#include "sync/net/libp2p/limits.h"
#include "sync/net/libp2p/multiaddr.h"

struct hosts hosts;

/* ---- what devices do ---- */

static void act(struct hosts_dev *x, struct p2p_peer *p, enum hosts_where where)
{
    if (x->where == HOSTS_NOWHERE || x->where != where)
        return;
    x->where = HOSTS_NOWHERE;
    switch (x->what) {
    case HOSTS_DISCONNECT:
        p2p_disconnect(p);
        break;
    case HOSTS_STOP: /* and gives up what is dialed, which is all x's in the tests that do this */
        p2p_host_stop(x->h);
        for (size_t i = 0; i < HOSTS_DIALS; i++)
            hosts.dials[i].d = NULL;
        break;
    case HOSTS_CANCEL:
        for (size_t i = 0; i < HOSTS_DIALS; i++)
            p2p_dial_cancel(TAKE_PTR(hosts.dials[i].d));
        break;
    case HOSTS_DIAL_AGAIN:
    case HOSTS_WHATS:
        assert_int_equal(hosts_try_dial(&hosts.dials[HOSTS_DIALS - 1], x, NULL, x->again), 0);
    }
}

static bool ask_opened(struct conn_stream *s, void *user)
{
    (void)s, (void)user;
    return true;
}

static void ask_data(struct conn_stream *s, struct bytes data, void *user)
{
    struct hosts_ask *a = user;
    a->got += data.n;
    conn_consumed(s, data.n);
    act(a->dev, p2p_of(s), HOSTS_IN_DATA);
}

static void ask_closed(struct conn_stream *s, int rc, void *user)
{
    struct hosts_ask *a = user;
    assert_ptr_equal(a->s, s);
    a->s = NULL;
    a->rc = rc;
    act(a->dev, p2p_of(s), HOSTS_IN_CLOSED);
}

const struct conn_handler hosts_asking = {
    .opened = ask_opened, .data = ask_data, .closed = ask_closed};

struct hosts_ask *hosts_ask(struct hosts_dev *x, struct p2p_peer *p)
{
    static const uint8_t some[HOSTS_ASKED];
    assert_true(hosts.asks_n < HOSTS_ASKS);
    struct hosts_ask *a = &hosts.asks[hosts.asks_n++];
    *a = (struct hosts_ask){.dev = x};
    assert_int_equal(p2p_open(p, HOSTS_ECHO, &hosts_asking, a, &a->s), 0);
    assert_int_equal(conn_write(a->s, bytes_of(some, sizeof some)), HOSTS_ASKED);
    conn_finish(a->s);
    return a;
}

bool hosts_is_answered(const struct hosts_ask *a)
{
    return a->s == NULL && a->rc == 0 && a->got == HOSTS_ASKED;
}

static bool echo_opened(struct conn_stream *s, void *user)
{
    (void)s, (void)user;
    return true;
}

static void echo_data(struct conn_stream *s, struct bytes data, void *user)
{
    (void)user;
    assert_int_equal(conn_write(s, data), data.n);
    conn_consumed(s, data.n);
}

static void echo_closed(struct conn_stream *s, int rc, void *user)
{
    (void)s, (void)rc, (void)user;
}

static const struct conn_handler echo = {
    .opened = echo_opened, .data = echo_data, .closed = echo_closed};
static const struct conn_protocol protocols[] = {
    {HOSTS_ECHO, &echo, P2P_STREAMS_PROTOCOL, 0, NULL}};

static void on_connected(struct p2p_peer *p, void *user)
{
    struct hosts_dev *x = user;
    assert_ptr_equal(p2p_host_user(p), x);
    assert_ptr_equal(p2p_find(x->h, p2p_peer_id(p)), p);
    assert_null(p2p_identity(p));
    p2p_set_user(p, &x->connected);
    x->connected++;
    x->last = p;
    x->asked = hosts_ask(x, p);
    act(x, p, HOSTS_IN_CONNECTED);
}

static void on_identified(struct p2p_peer *p, void *user)
{
    struct hosts_dev *x = user;
    assert_non_null(p2p_identity(p));
    x->identified++;
    act(x, p, HOSTS_IN_IDENTIFIED);
}

static void on_disconnected(struct p2p_peer *p, void *user)
{
    struct hosts_dev *x = user;
    struct conn_stream *s;
    assert_ptr_equal(p2p_user(p), &x->connected);
    assert_ptr_not_equal(p2p_find(x->h, p2p_peer_id(p)), p);
    assert_true((p2p_peer_address(p).n > 0) == !p2p_peer_is_piped(p));
    assert_false(sodium_is_zero(p2p_peer_hash(p), NOISE_HASH_BYTES));
    assert_int_equal(p2p_open(p, HOSTS_ECHO, &hosts_asking, NULL, &s), -ENOTCONN);
    x->disconnected++;
    x->last = x->last == p ? NULL : x->last;
    act(x, p, HOSTS_IN_DISCONNECTED);
}

static void start(struct hosts_dev *x)
{
    struct err err = {0};
    uint8_t key[crypto_sign_PUBLICKEYBYTES];
    uint8_t secret[PEER_KEY_SECRET_BYTES];
    crypto_sign_keypair(key, secret);
    struct p2p_host_config cfg = {.identity = secret,
                                  .protocols = protocols,
                                  .protocols_n = ARRAY_N(protocols),
                                  .agent = HOSTS_AGENT,
                                  .ws = hosts.net.client,
                                  .connected = on_connected,
                                  .identified = on_identified,
                                  .disconnected = on_disconnected,
                                  .user = x};
    *x = (struct hosts_dev){0};
    if (p2p_host_new(hosts.net.loop, &cfg, &x->h, &err) < 0)
        fail_msg("%s", err.msg);
}

/* ---- addresses and dialing ---- */

const char *const hosts_kinds[HOSTS_KINDS] = {"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws"};

void hosts_listen(struct hosts_dev *x, const char *at)
{
    struct buf b CLEANUP(buf_fini) = {0};
    struct err err = {0};
    assert_int_equal(maddr_parse(bytes_str(at), &b, NULL), 0);
    if (p2p_host_listen(x->h, buf_bytes(&b), &err) < 0)
        fail_msg("%s", err.msg);
}

void hosts_put_text(struct buf *list, const char *text)
{
    struct buf b CLEANUP(buf_fini) = {0};
    assert_int_equal(maddr_parse(bytes_str(text), &b, NULL), 0);
    buf_put_string(list, buf_bytes(&b));
}

static void on_dialed(void *arg, int rc, struct p2p_peer *p, const char *why)
{
    struct hosts_dial *to = arg;
    assert_true((rc == 0) == (p != NULL));
    assert_true(rc == 0 || why[0] != '\0');
    to->d = NULL;
    to->p = p;
    to->done++;
    to->rc = rc;
}

int hosts_try_dial(struct hosts_dial *to, struct hosts_dev *from, const uint8_t *id,
                   struct bytes addrs)
{
    struct err err = {0};
    *to = (struct hosts_dial){0};
    int rc = p2p_dial(from->h, id, addrs, on_dialed, to, &to->d, &err);
    assert_true(rc == 0 || err.msg[0] != '\0');
    return rc;
}

void hosts_dial(struct hosts_dial *to, struct hosts_dev *from, const struct hosts_dev *x)
{
    struct buf list CLEANUP(buf_fini) = {0};
    assert_int_equal(p2p_host_addresses(x->h, &list), 0);
    assert_int_equal(hosts_try_dial(to, from, p2p_host_id(x->h), buf_bytes(&list)), 0);
}

int hosts_setup(void **state)
{
    (void)state;
    struct err err = {0};
    assert_true(sodium_init() >= 0);
    memset(&hosts, 0, sizeof hosts);
    hosts.rnd.s = crash_seed("host");
    assert_int_equal(net_loop_new(8192, &hosts.net.loop, &err), 0);
    net_client(&hosts.net, (struct ws_client_config){0});
    for (size_t i = 0; i < HOSTS_DEVS; i++)
        start(&hosts.devs[i]);
    return 0;
}

static void free_hosts(void)
{
    for (size_t i = 0; i < HOSTS_DEVS; i++)
        p2p_host_free(TAKE_PTR(hosts.devs[i].h));
    for (size_t i = 0; i < hosts.asks_n; i++)
        assert_null(hosts.asks[i].s);
    hosts.asks_n = 0;
}

int hosts_teardown(void **state)
{
    (void)state;
    free_hosts();
    net_end(&hosts.net);
    return 0;
}

void hosts_renew(void)
{
    free_hosts();
    memset(hosts.dials, 0, sizeof hosts.dials);
    for (size_t i = 0; i < HOSTS_DEVS; i++)
        start(&hosts.devs[i]);
}

/* ---- waiting ---- */

static bool has_ended(void *arg)
{
    return ((struct hosts_dial *)arg)->d == NULL;
}

void hosts_until_dialed(struct hosts_dial *to)
{
    net_until(&hosts.net, has_ended, to);
    assert_int_equal(to->done, 1);
}

unsigned hosts_peers(const struct hosts_dev *x)
{
    return x->connected - x->disconnected;
}

/* Each stream of a device that was opened got its answer, or ended with its connection. */
bool hosts_rest(void *unused)
{
    (void)unused;
    for (size_t i = 0; i < hosts.asks_n; i++)
        if (hosts.asks[i].s != NULL)
            return false;
    for (size_t i = 0; i < HOSTS_DIALS; i++)
        if (hosts.dials[i].d != NULL)
            return false;
    return true;
}

void hosts_until_rest(void)
{
    net_until(&hosts.net, hosts_rest, NULL);
}

struct turns {
    struct net_timer *timer;
    unsigned left;
};

static void turn(void *arg)
{
    struct turns *t = arg;
    if (t->left-- == 0)
        net_loop_stop(hosts.net.loop);
    else
        net_timer_set(t->timer, 0);
}

void hosts_turns(unsigned n)
{
    struct turns t = {.left = n};
    assert_int_equal(net_timer_new(hosts.net.loop, turn, &t, &t.timer), 0);
    net_timer_set(t.timer, 0);
    assert_int_equal(net_loop_run(hosts.net.loop), 0);
    net_timer_free(t.timer);
}

static bool two_know(void *arg)
{
    (void)arg;
    return hosts.devs[0].identified > 0 && hosts.devs[1].identified > 0;
}

void hosts_meet(const char *kind)
{
    hosts_listen(&hosts.devs[1], kind);
    hosts_dial(&hosts.dials[0], &hosts.devs[0], &hosts.devs[1]);
    hosts_until_dialed(&hosts.dials[0]);
    net_until(&hosts.net, two_know, NULL);
    hosts_until_rest();
}
