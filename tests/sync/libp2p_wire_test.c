/* The byte stream to a peer: TCP and WebSockets, dialed and accepted, on real sockets. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "sync/net/libp2p/wire.h"
#include "sync/net/ws_codec.h"
#include "tests/support/crash_rand.h"
#include "tests/support/net.h"

enum { MANY = 200, BIG = 20 << 20, ENDS = 2 * MANY + 8, QUEUE = 256 * 1024 };

/* What an end does in a callback. */
enum { FREE_IN_OPENED = 1, FREE_IN_DATA = 2, FREE_IN_WRITABLE = 4, FREE_IN_CLOSED = 8 };

struct end {
    struct wire *w; /* NULL: closed or freed */
    unsigned n;     /* which bytes it sends */
    unsigned other; /* and which it gets */
    unsigned does;
    unsigned opened, writables, closed;
    uint64_t goal, sent, got;
    bool paused, rests, wrong;
    char why[256];
    struct net_timer *timer; /* to go on reading */
};

static struct net net;
static struct wire_listener *listener;
static struct end ends[ENDS];
static unsigned ends_n, refused, frees_listener;
static bool refuses;
static struct crash_rand rnd;
static unsigned fds;

static unsigned count_fds(void)
{
    unsigned n = 0;
    DIR *d = opendir("/proc/self/fd");
    assert_non_null(d);
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}

static void resume(void *arg)
{
    struct end *e = arg;
    e->paused = false;
    if (e->w != NULL)
        wire_resume(e->w);
}

static void pump(struct end *e)
{
    static uint8_t some[100 * 1000];
    while (e->w != NULL && e->sent < e->goal) {
        size_t n = (size_t)min_u64(1 + crash_below(&rnd, sizeof some), e->goal - e->sent);
        crash_fill(e->n, e->sent, some, n);
        ssize_t taken = wire_write(e->w, bytes_of(some, n));
        assert_true(taken >= 0 && (size_t)taken <= n);
        e->sent += (uint64_t)taken;
        if ((size_t)taken < n)
            return;
    }
}

static bool frees(struct end *e, unsigned when)
{
    if ((e->does & when) == 0)
        return false;
    wire_free(TAKE_PTR(e->w));
    return true;
}

static void on_opened(struct wire *w, void *user)
{
    struct end *e = user;
    assert_true(e->w == w || e->w == NULL);
    e->opened++;
    if (!frees(e, FREE_IN_OPENED))
        pump(e);
}

static void on_data(struct wire *w, struct bytes data, void *user)
{
    static uint8_t expected[256 * 1024];
    struct end *e = user;
    assert_ptr_equal(e->w, w);
    assert_false(e->paused);
    assert_true(data.n > 0 && data.n <= sizeof expected);
    crash_fill(e->other, e->got, expected, data.n);
    e->wrong = e->wrong || memcmp(expected, data.p, data.n) != 0;
    e->got += data.n;
    if (frees(e, FREE_IN_DATA))
        return;
    if (e->rests && crash_chance(&rnd, 5)) {
        e->paused = true;
        wire_pause(w);
        net_timer_set(e->timer, crash_below(&rnd, 3));
    }
}

static void on_writable(struct wire *w, void *user)
{
    struct end *e = user;
    assert_ptr_equal(e->w, w);
    e->writables++;
    if (!frees(e, FREE_IN_WRITABLE))
        pump(e);
}

static void on_closed(struct wire *w, const char *why, void *user)
{
    struct end *e = user;
    assert_true(e->w == w);
    snprintf(e->why, sizeof e->why, "%s", why);
    assert_true(e->why[0] != '\0');
    e->closed++;
    if (!frees(e, FREE_IN_CLOSED))
        e->w = NULL;
}

static const struct wire_events events = {on_opened, on_data, on_writable, on_closed};

static struct end *new_end(void)
{
    struct end *e = &ends[ends_n++];
    assert_true(ends_n <= ENDS);
    *e = (struct end){0};
    assert_int_equal(net_timer_new(net.loop, resume, e, &e->timer), 0);
    return e;
}

static void *on_accepted(struct wire *w, void *user)
{
    (void)user;
    refused += refuses;
    if (frees_listener > 0 && --frees_listener == 0)
        wire_listener_free(TAKE_PTR(listener));
    if (refuses)
        return NULL;
    struct end *e = new_end();
    e->w = w;
    e->n = 1;
    return e;
}

static const char *const kinds[] = {"/ip4/127.0.0.1/tcp/0", "/ip6/::1/tcp/0",
                                    "/ip4/127.0.0.1/tcp/0/ws", "/ip6/::1/tcp/0/ws"};

static int setup(void **state)
{
    (void)state;
    struct err err = {0};
    memset(&net, 0, sizeof net);
    rnd.s = crash_seed("wire");
    ends_n = refused = frees_listener = 0;
    refuses = false;
    fds = count_fds();
    assert_int_equal(net_loop_new(8192, &net.loop, &err), 0);
    net_client(&net, (struct ws_client_config){0});
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ends_n; i++) {
        wire_free(ends[i].w);
        net_timer_free(ends[i].timer);
        assert_false(ends[i].wrong);
    }
    wire_listener_free(TAKE_PTR(listener));
    net_end(&net);
    assert_int_equal(count_fds(), fds);
    return 0;
}

static int try_listen(const char *at)
{
    struct buf b CLEANUP(buf_fini) = {0};
    struct err err = {0};
    assert_int_equal(maddr_parse(bytes_str(at), &b, &err), 0);
    struct wire_listener_config cfg = {
        .at = buf_bytes(&b), .events = &events, .accepted = on_accepted};
    int rc = wire_listen(net.loop, &cfg, &listener, &err);
    assert_true(rc == 0 || err.msg[0] != '\0');
    return rc;
}

static void start_listening(const char *at)
{
    assert_int_equal(try_listen(at), 0);
}

static const char *text_of(struct bytes address)
{
    static char text[128];
    struct buf b CLEANUP(buf_fini) = {0};
    assert_int_equal(maddr_text(address, &b), 0);
    assert_true(b.n < sizeof text);
    memcpy(text, b.p, b.n);
    text[b.n] = '\0';
    return text;
}

static unsigned port_of(struct bytes address)
{
    struct maddr_dial d;
    assert_int_equal(maddr_dial(address, &d), 0);
    return d.port;
}

static struct end *dial(struct bytes address)
{
    struct maddr_dial to;
    struct err err = {0};
    struct end *e = new_end();
    e->other = 1;
    assert_int_equal(maddr_dial(address, &to), 0);
    if (wire_dial(net.loop, net.client, &to, &events, e, &e->w, &err) < 0)
        fail_msg("%s", err.msg);
    return e;
}

/* @form: an address with * for the port. */
static struct end *dial_text(const char *form, unsigned port)
{
    char text[128];
    struct buf b CLEANUP(buf_fini) = {0};
    const char *gap = strchr(form, '*');
    snprintf(text, sizeof text, "%.*s%u%s", (int)(gap - form), form, port, gap + 1);
    assert_int_equal(maddr_parse(bytes_str(text), &b, NULL), 0);
    return dial(buf_bytes(&b));
}

/* ---- waiting ---- */

static bool closed(void *arg)
{
    return ((struct end *)arg)->closed > 0;
}

static bool all_closed(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < ends_n; i++)
        if (ends[i].w != NULL)
            return false;
    return true;
}

static bool is_pair(void *arg)
{
    return ((struct end *)arg)->opened > 0 && ends_n >= 2;
}

static bool both_done(void *arg)
{
    (void)arg;
    return ends[0].got == ends[1].goal && ends[1].got == ends[0].goal;
}

static void until_closed(struct end *e)
{
    net_until(&net, closed, e);
    assert_int_equal(e->closed, 1);
}

/* ends[0] dials, ends[1] is the other one. */
static void make_pair(const char *kind)
{
    ends_n = 0;
    start_listening(kind);
    struct end *e = dial(wire_listener_address(listener));
    net_until(&net, is_pair, e);
    wire_listener_free(TAKE_PTR(listener));
}

static void free_ends(void)
{
    for (unsigned i = 0; i < ends_n; i++) {
        wire_free(TAKE_PTR(ends[i].w));
        net_timer_free(ends[i].timer);
        assert_false(ends[i].wrong);
    }
    ends_n = 0;
}

/* ---- bytes ---- */

static void each_kind_carries_bytes_both_ways(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_N(kinds); i++) {
        make_pair(kinds[i]);
        for (unsigned j = 0; j < 2; j++) {
            ends[j].rests = true;
            ends[j].goal = BIG;
        }
        pump(&ends[0]);
        pump(&ends[1]);
        net_until(&net, both_done, NULL);
        assert_true(ends[0].writables > 0 && ends[1].writables > 0);
        wire_close(ends[i % 2].w);
        net_until(&net, all_closed, NULL);
        assert_int_equal(ends[0].opened, 1);
        assert_int_equal(ends[1].opened, 0);
        free_ends();
    }
}

static void both_sides_know_the_others_address(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_N(kinds); i++) {
        char listening[128];
        start_listening(kinds[i]);
        snprintf(listening, sizeof listening, "%s", text_of(wire_listener_address(listener)));
        assert_memory_equal(listening, kinds[i], 9);
        assert_true(port_of(wire_listener_address(listener)) != 0);
        struct end *e = dial(wire_listener_address(listener));
        net_until(&net, is_pair, e);
        assert_string_equal(text_of(wire_remote(ends[0].w)), listening);
        const char *other = text_of(wire_remote(ends[1].w));
        assert_memory_equal(other, kinds[i], i % 2 == 0 ? 14 : 9);
        assert_true((strstr(other, "/ws") != NULL) == (i >= 2));
        assert_true(port_of(wire_remote(ends[1].w)) != port_of(wire_listener_address(listener)));
        wire_listener_free(TAKE_PTR(listener));
        free_ends();
    }
}

static void what_was_taken_arrives_before_the_end(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * ARRAY_N(kinds); i++) {
        make_pair(kinds[i / 2]);
        struct end *from = &ends[i % 2], *to = &ends[1 - i % 2];
        wire_pause(to->w);
        wire_pause(from->w);
        from->other = to->n;
        to->goal = 100000; /* that nobody reads: it must not cost what goes the other way */
        pump(to);
        from->goal = UINT64_MAX;
        pump(from);
        from->goal = from->sent;
        net_run_ms(&net, 20);
        wire_close(from->w);
        wire_close(from->w);
        net_run_ms(&net, 20);
        to->goal += 1000;
        pump(to);
        net_run_ms(&net, 20);
        resume(to);
        until_closed(to);
        assert_int_equal(to->got, from->sent);
        assert_true(from->sent >= QUEUE - 32 * 1024);
        until_closed(from);
        free_ends();
    }
}

static void both_may_close_at_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_N(kinds); i++) {
        make_pair(kinds[i]);
        for (unsigned j = 0; j < 2; j++) {
            ends[j].goal = 100000;
            pump(&ends[j]);
            wire_close(ends[j].w);
        }
        until_closed(&ends[0]);
        until_closed(&ends[1]);
        free_ends();
    }
}

static void a_close_waits_for_no_one_forever(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_N(kinds); i += 2) {
        make_pair(kinds[i]);
        wire_pause(ends[1].w);
        do {
            ends[0].goal = ends[0].sent + 1000000;
            pump(&ends[0]);
            net_run_ms(&net, 20);
        } while (ends[0].sent == ends[0].goal);
        wire_close(ends[0].w);
        until_closed(&ends[0]);
        free_ends();
    }
}

static void a_slow_reader_is_waited_for(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_N(kinds); i++) {
        make_pair(kinds[i]);
        uint64_t before;
        ends[1].paused = true;
        wire_pause(ends[1].w);
        ends[0].goal = UINT64_MAX;
        pump(&ends[0]);
        do {
            before = ends[0].sent;
            net_run_ms(&net, 50);
        } while (ends[0].sent > before);
        assert_true(before < 32 << 20);
        ends[0].goal = ends[0].sent + 1000000;
        unsigned writables = ends[0].writables;
        resume(&ends[1]);
        net_until(&net, both_done, NULL);
        assert_true(ends[0].writables > writables);
        free_ends();
    }
}

static void a_queue_is_bounded(void **state)
{
    (void)state;
    static const uint8_t zeros[8 << 20];
    for (size_t i = 0; i < ARRAY_N(kinds); i++) {
        make_pair(kinds[i]);
        ends[1].other = 0;
        wire_pause(ends[1].w);
        ssize_t taken = 1;
        for (int j = 0; j < 100 && taken != 0; j++) {
            taken = wire_write(ends[0].w, bytes_of(zeros, sizeof zeros));
            assert_true(taken >= 0 && (size_t)taken < sizeof zeros);
        }
        assert_int_equal(taken, 0);
        free_ends();
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
        start_listening(kinds[rows[i].kind]);
        struct end *e = dial_text(rows[i].name, port_of(wire_listener_address(listener)));
        net_until(&net, is_pair, e);
        wire_listener_free(TAKE_PTR(listener));
        free_ends();
    }
}

static void a_name_has_the_family_that_was_asked_for(void **state)
{
    (void)state;
    start_listening(kinds[0]);
    unsigned port = port_of(wire_listener_address(listener));
    until_closed(dial_text("/dns6/localhost/tcp/*", port));
    until_closed(dial_text("/dns6/localhost/tcp/*/ws", port));
    assert_int_equal(ends[0].opened + ends[1].opened, 0);
    assert_non_null(strstr(ends[0].why, "refused"));
}

static void what_is_not_there_is_told(void **state)
{
    (void)state;
    start_listening(kinds[0]);
    unsigned port = port_of(wire_listener_address(listener));
    wire_listener_free(TAKE_PTR(listener));
    static const char *const there[] = {"/ip4/127.0.0.1/tcp/*", "/ip6/::1/tcp/*",
                                        "/ip4/127.0.0.1/tcp/*/ws", "/dns/localhost/tcp/*",
                                        "/dns/localhost/tcp/*/ws"};
    for (size_t i = 0; i < ARRAY_N(there); i++) {
        struct end *e = dial_text(there[i], port);
        until_closed(e);
        assert_non_null(strstr(e->why, "refused"));
    }
    static const char *const nowhere[] = {"/dns/nobody.invalid/tcp/*",
                                          "/dns/nobody.invalid/tcp/*/ws", "/ip4/240.0.0.1/tcp/*",
                                          "/ip6/2001:db8::1/tcp/*/ws"};
    for (size_t i = 0; i < ARRAY_N(nowhere); i++)
        (void)dial_text(nowhere[i], port);
    net_until(&net, all_closed, NULL);
    for (unsigned i = 0; i < ends_n; i++)
        assert_int_equal(ends[i].opened, 0);
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
        (void)dial_text("/ip4/127.0.0.1/tcp/*", port);
    struct end *e = dial_text("/ip4/127.0.0.1/tcp/*", port);
    ws_client_free(net.client);
    net_client(&net, (struct ws_client_config){.connect_ms = 300});
    int quiet = listen_silently(8, &port);
    struct end *ws = dial_text("/ip4/127.0.0.1/tcp/*/ws", port);
    until_closed(ws);
    until_closed(e);
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
        struct end *e = dial_text(all[i / 4], port);
        if (i % 2 == 1)
            net_run_ms(&net, 2);
        if (e->w == NULL)
            continue;
        if (i % 4 < 2)
            wire_free(TAKE_PTR(e->w));
        else
            wire_close(e->w);
    }
    net_until(&net, all_closed, NULL);
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
        assert_int_equal(try_listen(wrong[i]), -EINVAL);
    assert_int_equal(try_listen("/ip4/192.0.2.1/tcp/0"), -EADDRNOTAVAIL);
    assert_int_equal(try_listen("/ip4/192.0.2.1/tcp/0/ws"), -EADDRNOTAVAIL);
    for (size_t i = 0; i < ARRAY_N(kinds); i++) {
        start_listening(kinds[i]);
        struct wire_listener *first = listener;
        char text[128];
        snprintf(text, sizeof text, "%s", text_of(wire_listener_address(first)));
        assert_int_equal(try_listen(text), -EADDRINUSE);
        wire_listener_free(first);
        listener = NULL;
    }
    /* All of IPv6 is nothing of IPv4. */
    static const char *const any[] = {"/ip6/::/tcp/0", "/ip6/::/tcp/0/ws"};
    for (size_t i = 0; i < ARRAY_N(any); i++) {
        ends_n = 0;
        start_listening(any[i]);
        const char *shown = text_of(wire_listener_address(listener));
        unsigned port = (unsigned)strtoul(shown + strlen("/ip6/::/tcp/"), NULL, 10);
        struct end *four =
            dial_text(i == 0 ? "/ip4/127.0.0.1/tcp/*" : "/ip4/127.0.0.1/tcp/*/ws", port);
        until_closed(four);
        assert_non_null(strstr(four->why, "refused"));
        struct end *six = dial_text(i == 0 ? "/ip6/::1/tcp/*" : "/ip6/::1/tcp/*/ws", port);
        net_until(&net, is_pair, six);
        wire_listener_free(TAKE_PTR(listener));
        free_ends();
    }
}

static void connections_outlive_their_listener(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_N(kinds); i++) {
        char gone[128];
        ends_n = 0;
        start_listening(kinds[i]);
        struct end *e = dial(wire_listener_address(listener));
        net_until(&net, is_pair, e);
        snprintf(gone, sizeof gone, "%s", text_of(wire_listener_address(listener)));
        wire_listener_free(TAKE_PTR(listener));
        struct buf b CLEANUP(buf_fini) = {0};
        assert_int_equal(maddr_parse(bytes_str(gone), &b, NULL), 0);
        struct end *late = dial(buf_bytes(&b));
        until_closed(late);
        assert_int_equal(late->opened, 0);
        ends[0].goal = ends[1].goal = 1000000;
        pump(&ends[0]);
        pump(&ends[1]);
        net_until(&net, both_done, NULL);
        free_ends();
        net_run_ms(&net, 10);
    }
}

static bool many_open(void *arg)
{
    (void)arg;
    unsigned opened = 0;
    for (unsigned i = 0; i < ends_n; i++)
        opened += ends[i].opened;
    return opened == MANY && ends_n == 2 * MANY;
}

static void many_come_and_go(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_N(kinds); i += 2) {
        ends_n = 0;
        start_listening(kinds[i]);
        for (unsigned j = 0; j < MANY; j++)
            (void)dial(wire_listener_address(listener));
        net_until(&net, many_open, NULL);
        for (unsigned j = 0; j < 2 * MANY; j++)
            if (crash_chance(&rnd, 60) || j < MANY)
                wire_close(ends[j].w);
        net_until(&net, all_closed, NULL);
        for (unsigned j = 0; j < ends_n; j++)
            assert_int_equal(ends[j].closed, 1);
        free_ends();
        wire_listener_free(TAKE_PTR(listener));
    }
}

static void whom_nobody_wants_is_dropped(void **state)
{
    (void)state;
    refuses = true;
    for (size_t i = 0; i < ARRAY_N(kinds); i++) {
        start_listening(kinds[i]);
        struct end *e = dial(wire_listener_address(listener));
        until_closed(e);
        assert_int_equal(refused, i + 1);
        wire_listener_free(TAKE_PTR(listener));
    }
}

static void a_listener_may_go_while_it_accepts(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_N(kinds); i++) {
        ends_n = 0;
        frees_listener = 2;
        start_listening(kinds[i]);
        (void)dial(wire_listener_address(listener));
        (void)dial(wire_listener_address(listener));
        (void)dial(wire_listener_address(listener));
        net_run_ms(&net, 50);
        assert_null(listener);
        assert_int_equal(ends_n, 5);
        free_ends();
        net_run_ms(&net, 10);
    }
}

static bool is_accepted(void *arg)
{
    (void)arg;
    return ends_n == 1;
}

static int connect_raw(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port_of(wire_listener_address(listener))),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

#define GET(PATH, MORE)                                                                            \
    "GET " PATH " HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"            \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" MORE "\r\n"

/* No descriptor is left for what connects, and then there are some. */
static void a_want_of_descriptors_passes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_N(kinds); i += 2) {
        struct rlimit before, none;
        ends_n = 0;
        start_listening(kinds[i]);
        int fd = connect_raw();
        int next = dup(fd);
        close(next);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
        none = before;
        none.rlim_cur = (rlim_t)next;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
        net_run_ms(&net, 250);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_int_equal(ends_n, 0);
        if (i == 2)
            assert_int_equal(send(fd, GET("/", ""), sizeof GET("/", "") - 1, MSG_NOSIGNAL),
                             sizeof GET("/", "") - 1);
        net_until(&net, is_accepted, NULL);
        wire_listener_free(TAKE_PTR(listener));
        free_ends();
        close(fd);
        net_run_ms(&net, 10);
    }
}

/* ---- freed in callbacks ---- */

static bool first_is_freed(void *arg)
{
    return ((struct end *)arg)->w == NULL;
}

static void a_wire_may_be_freed_in_each_callback(void **state)
{
    (void)state;
    static const unsigned all[] = {FREE_IN_OPENED, FREE_IN_DATA, FREE_IN_WRITABLE, FREE_IN_CLOSED};
    for (size_t i = 0; i < ARRAY_N(kinds) * ARRAY_N(all); i++) {
        ends_n = 0;
        start_listening(kinds[i / ARRAY_N(all)]);
        struct end *e = dial(wire_listener_address(listener));
        e->does = all[i % ARRAY_N(all)];
        if (e->does == FREE_IN_OPENED) {
            net_until(&net, first_is_freed, e);
        } else {
            net_until(&net, is_pair, e);
            ends[0].goal = ends[1].goal = BIG;
            pump(&ends[0]);
            pump(&ends[1]);
            if (e->does == FREE_IN_CLOSED)
                wire_close(ends[1].w);
            net_until(&net, first_is_freed, e);
        }
        assert_int_equal(e->closed, e->does == FREE_IN_CLOSED);
        net_run_ms(&net, 5);
        until_closed(&ends[1]);
        wire_listener_free(TAKE_PTR(listener));
        free_ends();
    }
}

/* ---- others ---- */

/* Sends it and takes what comes, until the other side ends it or nothing comes for a while. */
static bool exchange(int fd, struct bytes said, struct buf *ret)
{
    for (unsigned quiet = 0; quiet < 30;) {
        uint8_t some[4096];
        if (said.n > 0) {
            ssize_t k =
                send(fd, said.p, (size_t)min_u64(said.n, 65536), MSG_NOSIGNAL | MSG_DONTWAIT);
            if (k > 0)
                said = bytes_of(said.p + k, said.n - (size_t)k);
        }
        net_run_ms(&net, 2);
        ssize_t n = recv(fd, some, sizeof some, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN))
            return true;
        if (n > 0)
            buf_put(ret, some, (size_t)n);
        quiet = n > 0 || said.n > 0 ? 0 : quiet + 1;
    }
    return false;
}

static bool begins(const struct buf *b, const char *text)
{
    return b->n >= strlen(text) && memcmp(b->p, text, strlen(text)) == 0;
}

static void what_is_no_websocket_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *said, *answer;
    } rows[] = {
        {GET("/other", ""), "HTTP/1.1 404"},
        {GET("/", "Origin: https://somewhere.example\r\n"), "HTTP/1.1 403"},
        {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404"},
        {"\x13/multistream/1.0.0\n\r\n\r\n", ""},
        {GET("/", "") "\x81\x81mask\x15", "HTTP/1.1 101"}, /* a text */
        {GET("/", "") "\x82\x05nomask", "HTTP/1.1 101"},
        {GET("/", "") "\xf2\x81mask\x15", "HTTP/1.1 101"},
    };
    start_listening(kinds[2]);
    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        struct buf heard CLEANUP(buf_fini) = {0};
        int fd = connect_raw();
        if (!exchange(fd, bytes_str(rows[i].said), &heard))
            shutdown(fd, SHUT_WR); /* a close frame came, and libwebsockets waits for its answer */
        (void)exchange(fd, bytes_of(NULL, 0), &heard);
        assert_true(begins(&heard, rows[i].answer));
        close(fd);
    }
    for (int i = 0; i < 50; i++) {
        struct buf heard CLEANUP(buf_fini) = {0};
        uint8_t junk[2000];
        size_t n = 1 + (size_t)crash_below(&rnd, sizeof junk - 1);
        crash_fill((uint64_t)i, 0, junk, n);
        int fd = connect_raw();
        assert_int_equal(send(fd, junk, n, MSG_NOSIGNAL), n);
        net_run_ms(&net, 2);
        close(fd);
    }
    net_until(&net, all_closed, NULL);
    for (unsigned i = 0; i < ends_n; i++)
        ends[i].wrong = false; /* of frames that are not masked, libwebsockets takes the bytes */
    free_ends();
    struct end *e = dial(wire_listener_address(listener)); /* it is as good as before */
    net_until(&net, is_pair, e);
}

/* A message of any length in frames of any length is bytes; a compression is not agreed to. */
static void messages_have_any_size(void **state)
{
    (void)state;
    static const uint8_t mask[WS_MASK_SIZE] = {1, 2, 3, 4};
    static const size_t sizes[] = {1, 0, 2, 70000, 0, 3 << 20, 5};
    static uint8_t payload[3 << 20];
    struct buf said CLEANUP(buf_fini) = {0}, heard CLEANUP(buf_fini) = {0};
    uint64_t at = 0;
    start_listening(kinds[2]);
    int fd = connect_raw();
    (void)exchange(fd,
                   bytes_str(GET("/", "Sec-WebSocket-Extensions: permessage-deflate; "
                                      "client_max_window_bits\r\n")),
                   &heard);
    assert_true(begins(&heard, "HTTP/1.1 101"));
    buf_put_u8(&heard, 0);
    assert_null(strcasestr((const char *)heard.p, "deflate"));
    assert_null(strcasestr((const char *)heard.p, "protocol:"));
    for (size_t i = 0; i < ARRAY_N(sizes); i++) {
        crash_fill(0, at, payload, sizes[i]);
        ws_frame_put(&said, i == 0 || i == 5 ? WS_OP_BINARY : WS_OP_CONTINUATION, i == 4 || i == 6,
                     mask, bytes_of(payload, sizes[i]));
        ws_frame_put(&said, WS_OP_PING, true, mask, bytes_str("hello"));
        at += sizes[i];
    }
    (void)exchange(fd, buf_bytes(&said), &heard);
    assert_int_equal(ends_n, 1);
    assert_int_equal(ends[0].got, at);
    assert_null(ends[0].w == NULL ? "closed" : NULL);
    assert_non_null(memmem(heard.p, heard.n, "\x8a\x05hello", 7));
    close(fd);
    until_closed(&ends[0]);
}

static void messages_are_not_long(void **state)
{
    (void)state;
    static uint8_t some[200000];
    struct buf heard CLEANUP(buf_fini) = {0};
    start_listening(kinds[2]);
    int fd = connect_raw();
    (void)exchange(fd, bytes_str(GET("/", "")), &heard);
    assert_int_equal(ends_n, 1);
    assert_int_equal(wire_write(ends[0].w, bytes_of(some, sizeof some)), sizeof some);
    buf_reset(&heard);
    (void)exchange(fd, bytes_of(NULL, 0), &heard);
    size_t message = 0;
    for (size_t i = 0; i < heard.n;) {
        size_t n = heard.p[i + 1], head = 2;
        if (n == 126) {
            n = (size_t)heard.p[i + 2] << 8 | heard.p[i + 3];
            head = 4;
        }
        assert_true(n < 127 || head == 4);
        message += n;
        assert_true(message <= 32 * 1024);
        if ((heard.p[i] & 0x80) != 0)
            message = 0;
        i += head + n;
    }
    close(fd);
    until_closed(&ends[0]);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(each_kind_carries_bytes_both_ways),
        TEST(both_sides_know_the_others_address),
        TEST(what_was_taken_arrives_before_the_end),
        TEST(both_may_close_at_once),
        TEST(a_close_waits_for_no_one_forever),
        TEST(a_slow_reader_is_waited_for),
        TEST(a_queue_is_bounded),
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
        TEST(a_want_of_descriptors_passes),
        TEST(a_wire_may_be_freed_in_each_callback),
        TEST(what_is_no_websocket_is_refused),
        TEST(messages_have_any_size),
        TEST(messages_are_not_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
