/* The byte stream to a peer: TCP and WebSockets, dialed and accepted, on real sockets. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/pairs.h"

enum { MANY = 200, BIG = 20 << 20, QUEUE = 256 * 1024 };

_Static_assert(2 * MANY <= PAIRS_ENDS, "both ends of each");

/* ---- bytes ---- */

static void each_kind_carries_bytes_both_ways(void **state)
{
    (void)state;
    for (size_t i = 0; i < PAIRS_KINDS; i++) {
        pairs_make(pairs_kinds[i]);
        for (unsigned j = 0; j < 2; j++) {
            pairs.ends[j].rests = true;
            pairs.ends[j].goal = BIG;
        }
        pairs_pump(&pairs.ends[0]);
        pairs_pump(&pairs.ends[1]);
        pairs_until_done();
        assert_true(pairs.ends[0].writables > 0 && pairs.ends[1].writables > 0);
        wire_close(pairs.ends[i % 2].w);
        pairs_until_all_closed();
        assert_int_equal(pairs.ends[0].opened, 1);
        assert_int_equal(pairs.ends[1].opened, 0);
        pairs_free_ends();
    }
}

static void both_sides_know_the_others_address(void **state)
{
    (void)state;
    for (size_t i = 0; i < PAIRS_KINDS; i++) {
        char listening[128];
        pairs_listen(pairs_kinds[i]);
        snprintf(listening, sizeof listening, "%s",
                 pairs_text(wire_listener_address(pairs.listener)));
        assert_memory_equal(listening, pairs_kinds[i], 9);
        assert_true(pairs_port() != 0);
        struct pairs_end *e = pairs_dial(wire_listener_address(pairs.listener));
        pairs_until_open(e);
        assert_string_equal(pairs_text(wire_remote(pairs.ends[0].w)), listening);
        const char *other = pairs_text(wire_remote(pairs.ends[1].w));
        assert_memory_equal(other, pairs_kinds[i], i % 2 == 0 ? 14 : 9);
        assert_true((strstr(other, "/ws") != NULL) == (i >= 2));
        assert_string_not_equal(pairs_text(wire_remote(pairs.ends[1].w)), listening);
        wire_listener_free(TAKE_PTR(pairs.listener));
        pairs_free_ends();
    }
}

static void what_was_taken_arrives_before_the_end(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * PAIRS_KINDS; i++) {
        pairs_make(pairs_kinds[i / 2]);
        struct pairs_end *from = &pairs.ends[i % 2], *to = &pairs.ends[1 - i % 2];
        wire_pause(to->w);
        wire_pause(from->w);
        from->other = to->n;
        to->goal = 100000; /* that nobody reads: it must not cost what goes the other way */
        pairs_pump(to);
        from->goal = UINT64_MAX;
        pairs_pump(from);
        from->goal = from->sent;
        net_run_ms(&pairs.net, 20);
        wire_close(from->w);
        wire_close(from->w);
        net_run_ms(&pairs.net, 20);
        to->goal += 1000;
        pairs_pump(to);
        net_run_ms(&pairs.net, 20);
        pairs_resume(to);
        pairs_until_closed(to);
        assert_int_equal(to->got, from->sent);
        assert_true(from->sent >= QUEUE - 32 * 1024);
        pairs_until_closed(from);
        pairs_free_ends();
    }
}

/* Bytes that come for a closed socket would have the kernel drop what it still has to send. */
static void who_closes_may_be_sent_more_and_more(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * PAIRS_KINDS; i++) {
        pairs_make(pairs_kinds[i / 2]);
        struct pairs_end *from = &pairs.ends[i % 2], *to = &pairs.ends[1 - i % 2];
        to->paused = true;
        wire_pause(to->w);
        from->goal = UINT64_MAX;
        pairs_pump(from);
        net_run_ms(&pairs.net, 20);
        from->goal = from->sent;
        to->goal = UINT64_MAX;
        pairs_pump(to);
        wire_close(from->w);
        net_run_ms(&pairs.net, 20);
        pairs_resume(to);
        pairs_until_closed(to);
        assert_int_equal(to->got, from->sent);
        pairs_until_closed(from);
        pairs_free_ends();
    }
}

static void both_may_close_at_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < PAIRS_KINDS; i++) {
        pairs_make(pairs_kinds[i]);
        for (unsigned j = 0; j < 2; j++) {
            pairs.ends[j].goal = 100000;
            pairs_pump(&pairs.ends[j]);
            wire_close(pairs.ends[j].w);
        }
        pairs_until_closed(&pairs.ends[0]);
        pairs_until_closed(&pairs.ends[1]);
        pairs_free_ends();
    }
}

static void a_close_waits_for_no_one_forever(void **state)
{
    (void)state;
    for (size_t i = 0; i < PAIRS_KINDS; i += 2) {
        pairs_make(pairs_kinds[i]);
        wire_pause(pairs.ends[1].w);
        do {
            pairs.ends[0].goal = pairs.ends[0].sent + 1000000;
            pairs_pump(&pairs.ends[0]);
            net_run_ms(&pairs.net, 20);
        } while (pairs.ends[0].sent == pairs.ends[0].goal);
        wire_close(pairs.ends[0].w);
        pairs_until_closed(&pairs.ends[0]);
        pairs_free_ends();
    }
}

static void a_slow_reader_is_waited_for(void **state)
{
    (void)state;
    for (size_t i = 0; i < PAIRS_KINDS; i++) {
        pairs_make(pairs_kinds[i]);
        uint64_t before;
        pairs.ends[1].paused = true;
        wire_pause(pairs.ends[1].w);
        pairs.ends[0].goal = UINT64_MAX;
        pairs_pump(&pairs.ends[0]);
        do {
            before = pairs.ends[0].sent;
            net_run_ms(&pairs.net, 50);
        } while (pairs.ends[0].sent > before);
        assert_true(before < 32 << 20);
        pairs.ends[0].goal = pairs.ends[0].sent + 1000000;
        unsigned writables = pairs.ends[0].writables;
        pairs_resume(&pairs.ends[1]);
        pairs_until_done();
        assert_true(pairs.ends[0].writables > writables);
        pairs_free_ends();
    }
}

static void a_queue_is_bounded(void **state)
{
    (void)state;
    static const uint8_t zeros[8 << 20];
    for (size_t i = 0; i < PAIRS_KINDS; i++) {
        pairs_make(pairs_kinds[i]);
        pairs.ends[1].other = 0;
        wire_pause(pairs.ends[1].w);
        ssize_t taken = 1;
        for (int j = 0; j < 100 && taken != 0; j++) {
            taken = wire_write(pairs.ends[0].w, bytes_of(zeros, sizeof zeros));
            assert_true(taken >= 0 && (size_t)taken < sizeof zeros);
        }
        assert_int_equal(taken, 0);
        pairs_free_ends();
    }
}

/* ---- dialing ---- */

static void names_are_looked_up(void **state)
{
    (void)state;
    static const struct {
        size_t kind;
        const char *name;
    } rows[] = {{0, "/dns/localhost/tcp/*"},    {0, "/dns4/localhost/tcp/*"},
                {1, "/dns/localhost/tcp/*"}, /* the second address */
                {1, "/dns6/localhost/tcp/*"},   {2, "/dns/localhost/tcp/*/ws"},
                {3, "/dns/localhost/tcp/*/ws"}, {3, "/dns6/localhost/tcp/*/ws"}};
    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        pairs_listen(pairs_kinds[rows[i].kind]);
        struct pairs_end *e = pairs_dial_text(rows[i].name, pairs_port());
        pairs_until_open(e);
        wire_listener_free(TAKE_PTR(pairs.listener));
        pairs_free_ends();
    }
}

static void a_name_has_the_family_that_was_asked_for(void **state)
{
    (void)state;
    pairs_listen(pairs_kinds[0]);
    unsigned port = pairs_port();
    pairs_until_closed(pairs_dial_text("/dns6/localhost/tcp/*", port));
    pairs_until_closed(pairs_dial_text("/dns6/localhost/tcp/*/ws", port));
    assert_int_equal(pairs.ends[0].opened + pairs.ends[1].opened, 0);
    assert_non_null(strstr(pairs.ends[0].why, "refused"));
}

static void what_is_not_there_is_told(void **state)
{
    (void)state;
    pairs_listen(pairs_kinds[0]);
    unsigned port = pairs_port();
    wire_listener_free(TAKE_PTR(pairs.listener));
    static const char *const there[] = {"/ip4/127.0.0.1/tcp/*", "/ip6/::1/tcp/*",
                                        "/ip4/127.0.0.1/tcp/*/ws", "/dns/localhost/tcp/*",
                                        "/dns/localhost/tcp/*/ws"};
    for (size_t i = 0; i < ARRAY_N(there); i++) {
        struct pairs_end *e = pairs_dial_text(there[i], port);
        pairs_until_closed(e);
        assert_non_null(strstr(e->why, "refused"));
    }
    static const char *const nowhere[] = {"/dns/nobody.invalid/tcp/*",
                                          "/dns/nobody.invalid/tcp/*/ws", "/ip4/240.0.0.1/tcp/*",
                                          "/ip6/2001:db8::1/tcp/*/ws"};
    for (size_t i = 0; i < ARRAY_N(nowhere); i++)
        (void)pairs_dial_text(nowhere[i], port);
    pairs_until_all_closed();
    for (unsigned i = 0; i < pairs.ends_n; i++)
        assert_int_equal(pairs.ends[i].opened, 0);
}

static int listen_silently(int backlog, unsigned *ret_port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &n), 0);
    *ret_port = ntohs(at.sin_port);
    return fd;
}

static void silence_is_not_waited_for_forever(void **state)
{
    (void)state;
    unsigned port;
    /* A full backlog: the fourth gets no answer at all. */
    int fd = listen_silently(0, &port);
    for (int i = 0; i < 4; i++)
        (void)pairs_dial_text("/ip4/127.0.0.1/tcp/*", port);
    struct pairs_end *e = pairs_dial_text("/ip4/127.0.0.1/tcp/*", port);
    ws_client_free(pairs.net.client);
    net_client(&pairs.net, (struct ws_client_config){.connect_ms = 300});
    int quiet = listen_silently(8, &port);
    struct pairs_end *ws = pairs_dial_text("/ip4/127.0.0.1/tcp/*/ws", port);
    pairs_until_closed(ws);
    pairs_until_closed(e);
    assert_non_null(strstr(ws->why, "in time"));
    assert_non_null(strstr(e->why, "in time"));
    assert_int_equal(ws->opened + e->opened, 0);
    close(fd);
    close(quiet);
}

static void a_dial_may_be_given_up(void **state)
{
    (void)state;
    static const char *const all[] = {"/dns/nobody.invalid/tcp/*", "/dns/nobody.invalid/tcp/*/ws",
                                      "/ip4/127.0.0.1/tcp/*", "/ip4/127.0.0.1/tcp/*/ws"};
    unsigned port;
    int fd = listen_silently(8, &port);
    for (size_t i = 0; i < 4 * ARRAY_N(all); i++) {
        struct pairs_end *e = pairs_dial_text(all[i / 4], port);
        if (i % 2 == 1)
            net_run_ms(&pairs.net, 2);
        if (e->w == NULL)
            continue;
        if (i % 4 < 2)
            wire_free(TAKE_PTR(e->w));
        else
            wire_close(e->w);
    }
    pairs_until_all_closed();
    close(fd);
}

/* ---- listening ---- */

static void an_address_is_listened_at_as_it_says(void **state)
{
    (void)state;
    static const char *const wrong[] = {"/ip4/127.0.0.1/udp/1", "/ip4/127.0.0.1",
                                        "/dns/localhost/tcp/1", "/ip4/127.0.0.1/tcp/1/wss",
                                        "/ip4/127.0.0.1/tcp/1/ws/ws"};
    for (size_t i = 0; i < ARRAY_N(wrong); i++)
        assert_int_equal(pairs_try_listen(wrong[i]), -EINVAL);
    assert_int_equal(pairs_try_listen("/ip4/192.0.2.1/tcp/0"), -EADDRNOTAVAIL);
    assert_int_equal(pairs_try_listen("/ip4/192.0.2.1/tcp/0/ws"), -EADDRNOTAVAIL);
    for (size_t i = 0; i < PAIRS_KINDS; i++) {
        pairs_listen(pairs_kinds[i]);
        struct wire_listener *first = pairs.listener;
        char text[128];
        snprintf(text, sizeof text, "%s", pairs_text(wire_listener_address(first)));
        assert_int_equal(pairs_try_listen(text), -EADDRINUSE);
        wire_listener_free(first);
        pairs.listener = NULL;
    }
    /* All of IPv6 is nothing of IPv4. */
    static const char *const any[] = {"/ip6/::/tcp/0", "/ip6/::/tcp/0/ws"};
    for (size_t i = 0; i < ARRAY_N(any); i++) {
        pairs.ends_n = 0;
        pairs_listen(any[i]);
        const char *shown = pairs_text(wire_listener_address(pairs.listener));
        unsigned port = (unsigned)strtoul(shown + strlen("/ip6/::/tcp/"), NULL, 10);
        struct pairs_end *four =
            pairs_dial_text(i == 0 ? "/ip4/127.0.0.1/tcp/*" : "/ip4/127.0.0.1/tcp/*/ws", port);
        pairs_until_closed(four);
        assert_non_null(strstr(four->why, "refused"));
        struct pairs_end *six =
            pairs_dial_text(i == 0 ? "/ip6/::1/tcp/*" : "/ip6/::1/tcp/*/ws", port);
        pairs_until_open(six);
        wire_listener_free(TAKE_PTR(pairs.listener));
        pairs_free_ends();
    }
}

static void connections_outlive_their_listener(void **state)
{
    (void)state;
    for (size_t i = 0; i < PAIRS_KINDS; i++) {
        char gone[128];
        pairs.ends_n = 0;
        pairs_listen(pairs_kinds[i]);
        struct pairs_end *e = pairs_dial(wire_listener_address(pairs.listener));
        pairs_until_open(e);
        snprintf(gone, sizeof gone, "%s", pairs_text(wire_listener_address(pairs.listener)));
        wire_listener_free(TAKE_PTR(pairs.listener));
        struct buf b CLEANUP(buf_fini) = {0};
        assert_int_equal(maddr_parse(bytes_str(gone), &b, NULL), 0);
        struct pairs_end *late = pairs_dial(buf_bytes(&b));
        pairs_until_closed(late);
        assert_int_equal(late->opened, 0);
        pairs.ends[0].goal = pairs.ends[1].goal = 1000000;
        pairs_pump(&pairs.ends[0]);
        pairs_pump(&pairs.ends[1]);
        pairs_until_done();
        pairs_free_ends();
        net_run_ms(&pairs.net, 10);
    }
}

static bool many_open(void *arg)
{
    (void)arg;
    unsigned opened = 0;
    for (unsigned i = 0; i < pairs.ends_n; i++)
        opened += pairs.ends[i].opened;
    return opened == MANY && pairs.ends_n == 2 * MANY;
}

static void many_come_and_go(void **state)
{
    (void)state;
    for (size_t i = 0; i < PAIRS_KINDS; i += 2) {
        pairs.ends_n = 0;
        pairs_listen(pairs_kinds[i]);
        for (unsigned j = 0; j < MANY; j++)
            (void)pairs_dial(wire_listener_address(pairs.listener));
        net_until(&pairs.net, many_open, NULL);
        for (unsigned j = 0; j < 2 * MANY; j++)
            if (crash_chance(&pairs.rnd, 60) || j < MANY)
                wire_close(pairs.ends[j].w);
        pairs_until_all_closed();
        for (unsigned j = 0; j < pairs.ends_n; j++)
            assert_int_equal(pairs.ends[j].closed, 1);
        pairs_free_ends();
        wire_listener_free(TAKE_PTR(pairs.listener));
    }
}

static void whom_nobody_wants_is_dropped(void **state)
{
    (void)state;
    pairs.refuses = true;
    for (size_t i = 0; i < PAIRS_KINDS; i++) {
        pairs_listen(pairs_kinds[i]);
        struct pairs_end *e = pairs_dial(wire_listener_address(pairs.listener));
        pairs_until_closed(e);
        assert_int_equal(pairs.refused, i + 1);
        wire_listener_free(TAKE_PTR(pairs.listener));
    }
}

static void a_listener_may_go_while_it_accepts(void **state)
{
    (void)state;
    for (size_t i = 0; i < PAIRS_KINDS; i++) {
        pairs.ends_n = 0;
        pairs.frees_listener = 2;
        pairs_listen(pairs_kinds[i]);
        (void)pairs_dial(wire_listener_address(pairs.listener));
        (void)pairs_dial(wire_listener_address(pairs.listener));
        (void)pairs_dial(wire_listener_address(pairs.listener));
        net_run_ms(&pairs.net, 50);
        assert_null(pairs.listener);
        assert_int_equal(pairs.ends_n, 5);
        pairs_free_ends();
        net_run_ms(&pairs.net, 10);
    }
}

/* ---- freed in callbacks ---- */

static bool first_is_freed(void *arg)
{
    return ((struct pairs_end *)arg)->w == NULL;
}

static void a_wire_may_be_freed_in_each_callback(void **state)
{
    (void)state;
    static const unsigned all[] = {PAIRS_FREE_IN_OPENED, PAIRS_FREE_IN_DATA, PAIRS_FREE_IN_WRITABLE,
                                   PAIRS_FREE_IN_CLOSED};
    for (size_t i = 0; i < PAIRS_KINDS * ARRAY_N(all); i++) {
        pairs.ends_n = 0;
        pairs_listen(pairs_kinds[i / ARRAY_N(all)]);
        struct pairs_end *e = pairs_dial(wire_listener_address(pairs.listener));
        e->does = all[i % ARRAY_N(all)];
        if (e->does == PAIRS_FREE_IN_OPENED) {
            net_until(&pairs.net, first_is_freed, e);
        } else {
            pairs_until_open(e);
            pairs.ends[0].goal = pairs.ends[1].goal = BIG;
            pairs_pump(&pairs.ends[0]);
            pairs_pump(&pairs.ends[1]);
            if (e->does == PAIRS_FREE_IN_CLOSED)
                wire_close(pairs.ends[1].w);
            net_until(&pairs.net, first_is_freed, e);
        }
        assert_int_equal(e->closed, e->does == PAIRS_FREE_IN_CLOSED);
        net_run_ms(&pairs.net, 5);
        pairs_until_closed(&pairs.ends[1]);
        wire_listener_free(TAKE_PTR(pairs.listener));
        pairs_free_ends();
    }
}

/* One that rests, one that is sent to, and one that is not read from. */
static void whoever_is_gone_did_not_close(void **state)
{
    (void)state;
    for (size_t i = 0; i < PAIRS_KINDS; i += 2) {
        pairs_listen(pairs_kinds[i]);
        for (unsigned j = 0; j < 3; j++)
            pairs_until_open(pairs_dial(wire_listener_address(pairs.listener)));
        wire_pause(pairs.ends[4].w);
        net_run_ms(&pairs.net, 500);
        net_pull_out();
        pairs.ends[2].goal = BIG;
        pairs_pump(&pairs.ends[2]);
        pairs_until_all_closed();
        for (unsigned j = 0; j < 6; j++)
            assert_null(strstr(pairs.ends[j].why, "closed"));
        wire_listener_free(TAKE_PTR(pairs.listener));
        pairs_free_ends();
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, pairs_setup, pairs_teardown)
    const struct CMUnitTest tests[] = {
        TEST(each_kind_carries_bytes_both_ways),
        TEST(both_sides_know_the_others_address),
        TEST(what_was_taken_arrives_before_the_end),
        TEST(who_closes_may_be_sent_more_and_more),
        TEST(both_may_close_at_once),
        TEST(a_close_waits_for_no_one_forever),
        TEST(a_slow_reader_is_waited_for),
        TEST(a_queue_is_bounded),
        TEST(whoever_is_gone_did_not_close),
        TEST(names_are_looked_up),
        TEST(a_name_has_the_family_that_was_asked_for),
        TEST(what_is_not_there_is_told),
        TEST(silence_is_not_waited_for_forever),
        TEST(a_dial_may_be_given_up),
        TEST(an_address_is_listened_at_as_it_says),
        TEST(connections_outlive_their_listener),
        TEST(many_come_and_go),
        TEST(whom_nobody_wants_is_dropped),
        TEST(a_listener_may_go_while_it_accepts),
        TEST(a_wire_may_be_freed_in_each_callback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
