/* Hosts that meet over loopback: who is connected to whom, what is told of it, dialing, the end. */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "sync/net/libp2p/limits.h"
#include "sync/net/libp2p/multiaddr.h"
#include "tests/support/hosts.h"

enum { TURNS = 60 };

static bool all_know(void *arg)
{
    const unsigned *each = arg;
    for (size_t i = 0; i < HOSTS_DEVS; i++)
        if (hosts.devs[i].identified < *each)
            return false;
    return true;
}

static bool is_alone(void *arg)
{
    return hosts_peers(arg) == 0;
}

static bool is_idle(void *arg)
{
    return p2p_host_is_idle(((struct hosts_dev *)arg)->h);
}

static bool has_one(void *arg)
{
    return hosts_peers(arg) == 1;
}

static void dial_to(struct hosts_dial *to, struct hosts_dev *from, const uint8_t *id,
                    struct bytes addrs)
{
    assert_int_equal(hosts_try_dial(to, from, id, addrs), 0);
}

/* ---- who meets ---- */

static bool lists(const struct identify_list *list, struct bytes what)
{
    struct reader r = reader_of(buf_bytes(&list->b));
    while (r.n > 0)
        if (bytes_equal(reader_string(&r, P2P_ADDR_BYTES), what))
            return true;
    return false;
}

static void both_know_each_other(void **state)
{
    (void)state;
    for (size_t i = 0; i < HOSTS_KINDS; i++) {
        struct buf own CLEANUP(buf_fini) = {0};
        hosts_renew();
        hosts_meet(hosts_kinds[i]);
        struct p2p_peer *there = p2p_find(hosts.devs[0].h, p2p_host_id(hosts.devs[1].h));
        struct p2p_peer *here = p2p_find(hosts.devs[1].h, p2p_host_id(hosts.devs[0].h));
        assert_true(there == hosts.dials[0].p && there == hosts.devs[0].last &&
                    here == hosts.devs[1].last);
        assert_int_equal(hosts.dials[0].rc, 0);
        assert_memory_equal(p2p_peer_hash(there), p2p_peer_hash(here), NOISE_HASH_BYTES);
        assert_memory_equal(p2p_peer_id(there), p2p_host_id(hosts.devs[1].h), PEER_ID_BYTES);
        const struct identify *said = p2p_identity(there);
        assert_int_equal(p2p_host_addresses(hosts.devs[1].h, &own), 0);
        struct reader r = reader_of(buf_bytes(&own));
        struct bytes address = reader_string(&r, P2P_ADDR_BYTES);
        assert_true(bytes_equal(p2p_peer_address(there), address));
        assert_true(said->has_record && said->addrs.n == 1 && lists(&said->addrs, address));
        assert_true(bytes_equal(buf_bytes(&said->agent), bytes_str(HOSTS_AGENT)));
        assert_true(bytes_equal(buf_bytes(&said->observed), p2p_peer_address(here)));
        assert_int_equal(p2p_identity(here)->addrs.n, 0);
        static const char *const all[] = {HOSTS_ECHO, "/ipfs/id/1.0.0", "/ipfs/ping/1.0.0"};
        assert_int_equal(said->protocols.n, ARRAY_N(all));
        for (size_t j = 0; j < ARRAY_N(all); j++)
            assert_true(lists(&said->protocols, bytes_str(all[j])));
        assert_true(hosts_is_answered(hosts.devs[0].asked));
        assert_true(hosts_is_answered(hosts.devs[1].asked));
    }
}

static bool is_pinged(void *arg)
{
    return ((struct hosts_ask *)arg)->got == 32;
}

static bool is_gone(void *arg)
{
    return ((struct hosts_ask *)arg)->s == NULL;
}

static void a_ping_comes_back(void **state)
{
    (void)state;
    struct hosts_ask *a = &hosts.asks[HOSTS_ASKS - 1];
    a->dev = &hosts.devs[0];
    hosts_meet(hosts_kinds[0]);
    assert_int_equal(p2p_open(hosts.devs[0].last, "/ipfs/ping/1.0.0", &hosts_asking, a, &a->s), 0);
    for (unsigned i = 0; i < 3; i++) {
        a->got = 0;
        assert_int_equal(conn_write(a->s, bytes_str("01234567890123456789012345678901")), 32);
        net_until(&hosts.net, is_pinged, a);
    }
    conn_finish(a->s);
    net_until(&hosts.net, is_gone, a);
    assert_int_equal(a->rc, 0);
}

static void three_meet(void **state)
{
    (void)state;
    static const unsigned from[] = {0, 0, 1}, to[] = {1, 2, 2};
    unsigned each = 2;
    for (size_t i = 0; i < HOSTS_DEVS; i++) {
        hosts_listen(&hosts.devs[i], hosts_kinds[0]);
        hosts_listen(&hosts.devs[i], hosts_kinds[1]);
    }
    for (size_t i = 0; i < HOSTS_DEVS; i++)
        hosts_dial(&hosts.dials[i], &hosts.devs[from[i]], &hosts.devs[to[i]]);
    net_until(&hosts.net, all_know, &each);
    hosts_until_rest();
    for (size_t i = 0; i < HOSTS_DEVS; i++) {
        assert_true(hosts.dials[i].done == 1 && hosts.dials[i].rc == 0);
        assert_int_equal(hosts_peers(&hosts.devs[i]), 2);
        assert_true(hosts_is_answered(hosts.devs[i].asked));
    }
    p2p_host_free(TAKE_PTR(hosts.devs[2].h));
    net_until(&hosts.net, has_one, &hosts.devs[0]);
    net_until(&hosts.net, has_one, &hosts.devs[1]);
}

static bool met_once(void *arg)
{
    (void)arg;
    return hosts_rest(NULL) && hosts_peers(&hosts.devs[0]) == 1 &&
           hosts_peers(&hosts.devs[1]) == 1 &&
           memcmp(p2p_peer_hash(hosts.devs[0].last), p2p_peer_hash(hosts.devs[1].last),
                  NOISE_HASH_BYTES) == 0;
}

static bool met_twice(void *arg)
{
    return hosts.devs[0].connected == 2 && hosts.devs[1].connected == 2 && met_once(arg);
}

/* In each order in which it can happen; the connection that stays is the same on both sides. */
static void of_two_dials_one_connection_stays(void **state)
{
    (void)state;
    unsigned better = 0;
    for (uint64_t i = 0; i < crash_share(300) + 3; i++) {
        hosts_renew();
        for (size_t j = 0; j < 2; j++)
            for (size_t k = 0; k < 1 + crash_below(&hosts.rnd, 2); k++)
                hosts_listen(&hosts.devs[j], hosts_kinds[crash_below(&hosts.rnd, 2)]);
        hosts_dial(&hosts.dials[0], &hosts.devs[0], &hosts.devs[1]);
        if (i % 2 == 1) /* else at the very same moment */
            hosts_turns((unsigned)crash_below(&hosts.rnd, 20));
        hosts_dial(&hosts.dials[1], &hosts.devs[1], &hosts.devs[0]);
        if (crash_chance(&hosts.rnd, 30)) /* and again, before anything has come of it */
            hosts_dial(&hosts.dials[2], &hosts.devs[0], &hosts.devs[1]);
        net_until(&hosts.net, met_once, NULL);
        assert_true(hosts.dials[0].rc == 0 && hosts.dials[1].rc == 0 && hosts.dials[2].rc == 0);
        net_run_ms(&hosts.net, 10);
        assert_true(met_once(NULL));
        better += hosts.devs[0].connected > 1 || hosts.devs[1].connected > 1;
        for (size_t j = 0; j < 2; j++) {
            struct hosts_dev *x = &hosts.devs[j];
            assert_true(hosts_is_answered(x->asked));
            struct hosts_ask *late = hosts_ask(x, x->last);
            hosts_until_rest();
            assert_true(hosts_is_answered(late));
        }
    }
    assert_true(better > 0);
}

static void who_is_connected_is_not_dialed_again(void **state)
{
    (void)state;
    hosts_meet(hosts_kinds[0]);
    struct p2p_peer *p = hosts.devs[0].last;
    hosts_dial(&hosts.dials[1], &hosts.devs[0], &hosts.devs[1]);
    hosts_until_dialed(&hosts.dials[1]);
    assert_true(hosts.dials[1].rc == 0 && hosts.dials[1].p == p);
    assert_int_equal(hosts.devs[0].connected, 1);
    hosts_listen(&hosts.devs[0], hosts_kinds[0]);
    hosts_dial(&hosts.dials[2], &hosts.devs[1], &hosts.devs[0]); /* from the other side, too */
    hosts_until_dialed(&hosts.dials[2]);
    net_run_ms(&hosts.net, 20);
    assert_true(hosts.dials[2].rc == 0 && hosts.devs[1].connected == 1 &&
                hosts.devs[0].disconnected == 0);
}

/* A device that was started anew has lost its connections, and the others do not know that yet. */
static void a_newer_connection_takes_the_place_of_an_older(void **state)
{
    (void)state;
    hosts_meet(hosts_kinds[0]);
    struct buf list CLEANUP(buf_fini) = {0};
    assert_int_equal(p2p_host_addresses(hosts.devs[1].h, &list), 0);
    dial_to(&hosts.dials[1], &hosts.devs[0], NULL, buf_bytes(&list)); /* it is not said whom */
    hosts_until_dialed(&hosts.dials[1]);
    assert_int_equal(hosts.dials[1].rc, 0);
    net_until(&hosts.net, met_twice, NULL);
    net_run_ms(&hosts.net, 20);
    assert_true(met_twice(NULL));
}

/* ---- dialing ---- */

/* A port where nobody listens. */
static unsigned free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &n), 0);
    close(fd);
    return ntohs(at.sin_port);
}

static void put_port(struct buf *list, const char *form_before, unsigned port, const char *after)
{
    char text[128];
    snprintf(text, sizeof text, "%s%u%s", form_before, port, after);
    hosts_put_text(list, text);
}

static void the_last_of_many_addresses_may_be_right(void **state)
{
    (void)state;
    for (size_t i = 0; i < HOSTS_KINDS; i++) {
        struct buf list CLEANUP(buf_fini) = {0};
        hosts_renew();
        hosts_listen(&hosts.devs[1], hosts_kinds[i]);
        hosts_put_text(&list,
                       "/ip4/127.0.0.1/udp/1/quic-v1"); /* is left out, as others of its kind */
        for (size_t j = 0; j < P2P_DIAL_ADDRS - 1; j++)
            put_port(&list, "/ip4/127.0.0.1/tcp/", free_port(), j % 2 == 0 ? "" : "/ws");
        assert_int_equal(p2p_host_addresses(hosts.devs[1].h, &list), 0);
        dial_to(&hosts.dials[0], &hosts.devs[0], p2p_host_id(hosts.devs[1].h), buf_bytes(&list));
        hosts_until_dialed(&hosts.dials[0]);
        assert_int_equal(hosts.dials[0].rc, 0);
        assert_ptr_equal(hosts.dials[0].p, hosts.devs[0].last);
    }
}

/* What is tried at once ends in one connection, which no other one takes the place of. */
static void of_many_addresses_one_is_taken(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        hosts_renew();
        for (size_t j = 0; j < P2P_DIAL_AT_ONCE; j++)
            hosts_listen(&hosts.devs[1], hosts_kinds[i % HOSTS_KINDS]);
        hosts_dial(&hosts.dials[0], &hosts.devs[0], &hosts.devs[1]);
        net_until(&hosts.net, met_once, NULL);
        net_run_ms(&hosts.net, 5);
        assert_true(hosts.devs[0].connected == 1 && hosts.devs[1].connected == 1);
    }
}

static void what_did_not_work_is_told(void **state)
{
    (void)state;
    struct buf there CLEANUP(buf_fini) = {0}, nobody CLEANUP(buf_fini) = {0};
    struct buf both CLEANUP(buf_fini) = {0}, strange CLEANUP(buf_fini) = {0};
    hosts_listen(&hosts.devs[0], hosts_kinds[0]);
    hosts_listen(&hosts.devs[1], hosts_kinds[0]);
    assert_int_equal(p2p_host_addresses(hosts.devs[1].h, &there), 0);
    put_port(&nobody, "/ip4/127.0.0.1/tcp/", free_port(), "");
    hosts_put_text(&strange, "/ip4/127.0.0.1/udp/1/quic-v1");
    buf_put_bytes(&both, buf_bytes(&nobody));
    buf_put_bytes(&both, buf_bytes(&there));
    dial_to(&hosts.dials[0], &hosts.devs[0], p2p_host_id(hosts.devs[1].h), buf_bytes(&nobody));
    hosts_until_dialed(&hosts.dials[0]);
    assert_int_equal(hosts.dials[0].rc, -ECONNREFUSED);
    /* Another one is there. */
    const struct bytes rows[] = {buf_bytes(&there), buf_bytes(&both)};
    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        dial_to(&hosts.dials[1], &hosts.devs[0], p2p_host_id(hosts.devs[2].h), rows[i]);
        hosts_until_dialed(&hosts.dials[1]);
        assert_int_equal(hosts.dials[1].rc, -EPERM);
    }
    net_run_ms(&hosts.net, 20);
    assert_int_equal(hosts.devs[0].connected + hosts.devs[1].connected, 0);
    /* Nothing can be dialed. */
    assert_int_equal(hosts_try_dial(&hosts.dials[2], &hosts.devs[0], p2p_host_id(hosts.devs[1].h),
                                    buf_bytes(&strange)),
                     -EINVAL);
    assert_int_equal(hosts_try_dial(&hosts.dials[2], &hosts.devs[0], NULL, bytes_of(NULL, 0)),
                     -EINVAL);
    p2p_host_stop(hosts.devs[0].h);
    assert_int_equal(hosts_try_dial(&hosts.dials[2], &hosts.devs[0], NULL, buf_bytes(&there)),
                     -ESHUTDOWN);
}

static void nobody_is_a_peer_of_its_own(void **state)
{
    (void)state;
    for (size_t i = 0; i < HOSTS_KINDS; i++) {
        struct buf own CLEANUP(buf_fini) = {0};
        hosts_renew();
        hosts_listen(&hosts.devs[0], hosts_kinds[i]);
        assert_int_equal(p2p_host_addresses(hosts.devs[0].h, &own), 0);
        assert_int_equal(hosts_try_dial(&hosts.dials[0], &hosts.devs[0],
                                        p2p_host_id(hosts.devs[0].h), buf_bytes(&own)),
                         -EINVAL);
        dial_to(&hosts.dials[0], &hosts.devs[0], NULL, buf_bytes(&own));
        hosts_until_dialed(&hosts.dials[0]);
        assert_int_equal(hosts.dials[0].rc, -EPERM);
        net_until(&hosts.net, is_idle, &hosts.devs[0]);
        assert_int_equal(hosts.devs[0].connected, 0);
    }
}

static bool agree(void *arg)
{
    (void)arg;
    return hosts_peers(&hosts.devs[0]) == hosts_peers(&hosts.devs[1]);
}

static void a_dial_may_be_cancelled_in_each_phase(void **state)
{
    (void)state;
    unsigned connected = 0;
    for (unsigned i = 0; i < 2 * TURNS; i++) {
        hosts_renew();
        hosts_listen(&hosts.devs[1], hosts_kinds[i % 2]);
        hosts_dial(&hosts.dials[0], &hosts.devs[0], &hosts.devs[1]);
        hosts_turns(i / 2);
        connected += hosts.dials[0].d == NULL;
        p2p_dial_cancel(TAKE_PTR(hosts.dials[0].d));
        net_run_ms(&hosts.net, 5);
        net_until(&hosts.net, agree, NULL);
        assert_true(hosts.dials[0].done <= 1 && hosts_peers(&hosts.devs[0]) <= 1);
        assert_true(hosts.devs[0].last != NULL || hosts.dials[0].done == 0);
    }
    assert_true(connected > 0 && connected < 2 * TURNS);
}

static bool has_acted(void *arg)
{
    return ((struct hosts_dev *)arg)->where == HOSTS_NOWHERE;
}

/* Each of them in each callback, of who dials and of who is dialed. */
static void callbacks_may_end_things(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4 * HOSTS_WHERES * HOSTS_WHATS; i++) {
        unsigned kind = i % 2, acts = i / 2 % 2;
        struct hosts_dev *x = &hosts.devs[acts], *other = &hosts.devs[1 - acts];
        struct buf again CLEANUP(buf_fini) = {0};
        hosts_renew();
        hosts_listen(x, hosts_kinds[kind]);
        hosts_listen(other, hosts_kinds[kind]);
        assert_int_equal(p2p_host_addresses(other->h, &again), 0);
        x->where = i / 4 % HOSTS_WHERES;
        x->what = i / 4 / HOSTS_WHERES;
        x->again = buf_bytes(&again);
        if (x->what == HOSTS_STOP)
            hosts_dial(&hosts.dials[0], x, other); /* what is dialed is given up */
        else
            hosts_dial(&hosts.dials[0], &hosts.devs[0], &hosts.devs[1]);
        if (x->where == HOSTS_IN_DISCONNECTED) {
            net_until(&hosts.net, has_one, x);
            net_until(&hosts.net, has_one, other);
            p2p_disconnect(kind == 0 ? x->last : other->last);
        }
        bool acted = x->where != HOSTS_NOWHERE;
        net_until(&hosts.net, has_acted, x);
        hosts_until_rest();
        if (acted && x->what == HOSTS_STOP)
            net_until(&hosts.net, is_idle, x);
        net_run_ms(&hosts.net, 5);
        net_until(&hosts.net, agree, NULL);
        assert_true(x->connected > 0);
    }
}

/* ---- the end ---- */

static void a_host_may_be_stopped_and_freed_at_any_time(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2 * TURNS; i++) {
        hosts_renew();
        for (size_t j = 0; j < HOSTS_DEVS; j++)
            hosts_listen(&hosts.devs[j], hosts_kinds[(i + j) % 2]);
        for (size_t j = 0; j < HOSTS_DEVS; j++)
            hosts_dial(&hosts.dials[j], &hosts.devs[j], &hosts.devs[(j + 1) % HOSTS_DEVS]);
        hosts_turns(i / 2);
        hosts.dials[0].d = NULL; /* is given up with the host */
        if (i % 2 == 0) {
            p2p_host_free(TAKE_PTR(hosts.devs[0].h));
        } else {
            p2p_host_stop(hosts.devs[0].h);
            net_until(&hosts.net, is_idle, &hosts.devs[0]);
            assert_int_equal(hosts_peers(&hosts.devs[0]), 0);
        }
        hosts_until_rest();
        net_run_ms(&hosts.net, 5);
        net_until(&hosts.net, has_one, &hosts.devs[1]);
        net_until(&hosts.net, has_one, &hosts.devs[2]);
        assert_non_null(p2p_find(hosts.devs[1].h, p2p_host_id(hosts.devs[2].h)));
    }
}

static void who_says_good_bye_is_gone(void **state)
{
    (void)state;
    for (size_t i = 0; i < HOSTS_KINDS; i++) {
        hosts_renew();
        hosts_meet(hosts_kinds[i]);
        p2p_disconnect(hosts.devs[i].last);
        assert_int_equal(hosts.devs[i].disconnected, 0); /* from the loop only */
        net_until(&hosts.net, is_alone, &hosts.devs[0]);
        net_until(&hosts.net, is_alone, &hosts.devs[1]);
        net_until(&hosts.net, is_idle, &hosts.devs[0]);
        net_until(&hosts.net, is_idle, &hosts.devs[1]);
    }
}

/* ---- addresses ---- */

static size_t count_interfaces(int family)
{
    struct ifaddrs *list;
    size_t n = 0;
    assert_int_equal(getifaddrs(&list), 0);
    for (const struct ifaddrs *i = list; i != NULL; i = i->ifa_next)
        n += i->ifa_addr != NULL && i->ifa_addr->sa_family == family && (i->ifa_flags & IFF_UP);
    freeifaddrs(list);
    return n;
}

static void all_interfaces_are_each_of_them(void **state)
{
    (void)state;
    struct buf list CLEANUP(buf_fini) = {0};
    hosts_listen(&hosts.devs[0], "/ip4/0.0.0.0/tcp/0");
    hosts_listen(&hosts.devs[0], "/ip4/0.0.0.0/tcp/0/ws");
    hosts_listen(&hosts.devs[0], "/ip4/127.0.0.1/tcp/0");
    assert_int_equal(p2p_host_addresses(hosts.devs[0].h, &list), 0);
    size_t n = 0;
    unsigned loopback = 0;
    bool is_first = false;
    for (struct reader r = reader_of(buf_bytes(&list)); r.n > 0; n++) {
        struct maddr_dial to;
        struct bytes a = reader_string(&r, P2P_ADDR_BYTES);
        assert_int_equal(maddr_dial(a, &to), 0); /* it is one host's, with a port */
        loopback += to.host.p[0] == 127;
        is_first = is_first || (n == 0 && loopback == 1);
    }
    assert_true(is_first == (count_interfaces(AF_INET) == 1)); /* when there is no other */
    assert_int_equal(n, 2 * count_interfaces(AF_INET) + 1);
    assert_int_equal(loopback, 3);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, hosts_setup, hosts_teardown)
    const struct CMUnitTest tests[] = {
        TEST(both_know_each_other),
        TEST(a_ping_comes_back),
        TEST(three_meet),
        TEST(of_two_dials_one_connection_stays),
        TEST(who_is_connected_is_not_dialed_again),
        TEST(a_newer_connection_takes_the_place_of_an_older),
        TEST(the_last_of_many_addresses_may_be_right),
        TEST(of_many_addresses_one_is_taken),
        TEST(what_did_not_work_is_told),
        TEST(nobody_is_a_peer_of_its_own),
        TEST(a_dial_may_be_cancelled_in_each_phase),
        TEST(callbacks_may_end_things),
        TEST(a_host_may_be_stopped_and_freed_at_any_time),
        TEST(who_says_good_bye_is_gone),
        TEST(all_interfaces_are_each_of_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
