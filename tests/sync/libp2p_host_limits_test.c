/* Who may connect to a host: floods of strangers, and the honest one among them. */
#include <arpa/inet.h>
#include <errno.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "sync/net/libp2p/limits.h"
#include "sync/net/libp2p/multiaddr.h"
#include "tests/support/hosts.h"

static unsigned port_of(const struct hosts_dev *x)
{
    struct buf list CLEANUP(buf_fini) = {0};
    struct maddr_dial to;
    assert_int_equal(p2p_host_addresses(x->h, &list), 0);
    struct reader r = reader_of(buf_bytes(&list));
    assert_int_equal(maddr_dial(reader_string(&r, P2P_ADDR_BYTES), &to), 0);
    return to.port;
}

/* A socket that is connected from 127.0.0.0 + @host. */
static int connect_from(uint32_t host, unsigned port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000000 + host)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    at.sin_port = htons((uint16_t)port);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

/* Whether it is not closed; what came is thrown away. */
static bool is_open(int fd)
{
    uint8_t some[4096];
    ssize_t n;
    while ((n = recv(fd, some, sizeof some, MSG_DONTWAIT)) > 0)
        ;
    return n < 0 && errno == EAGAIN;
}

static unsigned count_open(const int fds[], unsigned n)
{
    unsigned open = 0;
    for (unsigned i = 0; i < n; i++)
        open += is_open(fds[i]);
    return open;
}

static void close_all(const int fds[], unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        close(fds[i]);
}

static void one_host_connects_so_often(void **state)
{
    (void)state;
    for (size_t k = 0; k < HOSTS_KINDS; k++) {
        int fds[40];
        hosts_renew();
        hosts_listen(&hosts.devs[0], hosts_kinds[k]);
        uint64_t from = net_now_ms();
        for (unsigned i = 0; i < ARRAY_N(fds); i++)
            fds[i] = connect_from(2, port_of(&hosts.devs[0]));
        net_run_ms(&hosts.net, 50);
        unsigned open = count_open(fds, ARRAY_N(fds));
        uint64_t seconds = (net_now_ms() - from) / 1000;
        assert_true(open >= P2P_INBOUND_RATE && open <= P2P_INBOUND_RATE * (1 + seconds));
        int other = connect_from(3, port_of(&hosts.devs[0]));
        net_run_ms(&hosts.net, 20);
        assert_true(is_open(other));
        close(other);
        close_all(fds, ARRAY_N(fds));
    }
}

/* Those of many hosts that say nothing have few places, and the newest have them. */
static void strangers_have_few_places(void **state)
{
    (void)state;
    int fds[100];
    hosts_listen(&hosts.devs[0], hosts_kinds[0]);
    for (unsigned i = 0; i < ARRAY_N(fds); i++) {
        fds[i] = connect_from(256 + i, port_of(&hosts.devs[0]));
        net_run_ms(&hosts.net, 1);
    }
    net_run_ms(&hosts.net, 50);
    assert_int_equal(count_open(fds, ARRAY_N(fds)), P2P_UPGRADES);
    assert_int_equal(count_open(fds + ARRAY_N(fds) - P2P_UPGRADES, P2P_UPGRADES), P2P_UPGRADES);
    close_all(fds, ARRAY_N(fds));
}

enum { FLOOD = 1000, FLOOD_BYTES = 20 << 20 };

static bool both_know(void *arg)
{
    (void)arg;
    return hosts.devs[0].identified > 0 && hosts.devs[1].identified > 0;
}

/* Who has but one place keeps it when others want more. */
static void a_crowd_makes_room_of_its_own(void **state)
{
    (void)state;
    int fds[P2P_UPGRADES + 3];
    hosts_listen(&hosts.devs[0], hosts_kinds[0]);
    int quiet = connect_from(3, port_of(&hosts.devs[0]));
    for (unsigned i = 0; i < ARRAY_N(fds); i++) {
        fds[i] = connect_from(256 + (i < P2P_UPGRADES - 1 ? i : 0), port_of(&hosts.devs[0]));
        net_run_ms(&hosts.net, 1);
    }
    net_run_ms(&hosts.net, 50);
    assert_int_equal(count_open(fds, ARRAY_N(fds)), P2P_UPGRADES - 1);
    assert_true(is_open(quiet));
    close(quiet);
    close_all(fds, ARRAY_N(fds));
}

/* A thousand that say nothing, of one host and of many: who is honest connects meanwhile. */
static void a_flood_keeps_nobody_out(void **state)
{
    (void)state;
    static int fds[FLOOD];
    for (unsigned i = 0; i < 2 * HOSTS_KINDS; i++) {
        hosts_renew();
        hosts_listen(&hosts.devs[1], hosts_kinds[i % 2]);
        unsigned port = port_of(&hosts.devs[1]);
        size_t before = mallinfo2().uordblks + mallinfo2().hblkhd, most = 0;
        for (unsigned j = 0; j < FLOOD; j++) {
            fds[j] = connect_from(i < 2 ? 2 : 256 + j / 3, port);
            if (j % 10 == 0)
                hosts_turns(2);
            size_t now = mallinfo2().uordblks + mallinfo2().hblkhd;
            most = now > most ? now : most;
            if (j == FLOOD / 2)
                hosts_dial(&hosts.dials[0], &hosts.devs[0], &hosts.devs[1]);
        }
        hosts_until_dialed(&hosts.dials[0]);
        assert_int_equal(hosts.dials[0].rc, 0);
        net_until(&hosts.net, both_know, NULL);
        hosts_until_rest();
        assert_true(hosts_is_answered(hosts.devs[0].asked));
        assert_true(hosts_is_answered(hosts.devs[1].asked));
        assert_true(most < before + FLOOD_BYTES);
        close_all(fds, FLOOD);
        net_run_ms(&hosts.net, 50);
        assert_int_equal(hosts_peers(&hosts.devs[0]), 1);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, hosts_setup, hosts_teardown)
    const struct CMUnitTest tests[] = {
        TEST(one_host_connects_so_often),
        TEST(strangers_have_few_places),
        TEST(a_crowd_makes_room_of_its_own),
        TEST(a_flood_keeps_nobody_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
