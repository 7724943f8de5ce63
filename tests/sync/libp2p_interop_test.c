/*
 * This peer and one of js-libp2p (tests/interop), over TCP and WebSocket, each dialing the other:
 * who it is, ping, what is echoed, many streams, half-close, reset, a peer that does not read, the
 * end of a connection, and one that is not who was dialed.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sodium.h>

#include "sync/net/libp2p/host.h"
#include "sync/net/libp2p/multiaddr.h"
#include "tests/support/json_read.h"

enum {
    WAIT_MS = 60000,
    ECHO_BYTES = 100 << 20,
    STREAMS = 100,
    STREAM_BYTES = 256 << 10,
    NODES = 2
};

#define ECHO "/interop/echo/1.0.0"

/* ---- a process of the other peer ---------------------------------------------------------------
 */

struct node {
    pid_t pid;
    int fd;
    char line[16384]; /* the last one that was read */
};

static void node_start(struct node *n, const char *const *args)
{
    const char *argv[16] = {"node", INTEROP_DIR "/peer.mjs"};
    size_t argc = 2;
    int out[2];
    for (; *args != NULL; args++)
        argv[argc++] = *args;
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    n->pid = fork();
    assert_true(n->pid >= 0);
    if (n->pid == 0) {
        dup2(out[1], STDOUT_FILENO);
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    close(out[1]);
    n->fd = out[0];
}

/* Reads its next line. False: it has ended. */
static bool node_line(struct node *n)
{
    size_t at = 0;
    while (at + 1 < sizeof n->line && read(n->fd, n->line + at, 1) == 1 && n->line[at] != '\n')
        at++;
    n->line[at] = '\0';
    return at > 0;
}

static int node_end(struct node *n, int sig)
{
    int status = 0;
    if (sig != 0)
        kill(n->pid, sig);
    assert_int_equal(waitpid(n->pid, &status, 0), n->pid);
    close(n->fd);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* ---- this peer ---------------------------------------------------------------------------------
 */

struct fixture {
    struct net_loop *loop;
    struct net_timer *timer;
    struct ws_client *ws;
    struct p2p_host *host;
    struct p2p_peer *peer; /* the one that is connected */
    unsigned connected, disconnected, identified;
    bool dialed, late;
    int dial_rc;
    bool (*until)(const struct fixture *f);
    unsigned open; /* streams that are not closed */
    unsigned wrong;
};

static void on_connected(struct p2p_peer *p, void *user)
{
    struct fixture *f = user;
    f->peer = p;
    f->connected++;
}

static void on_disconnected(struct p2p_peer *p, void *user)
{
    struct fixture *f = user;
    f->peer = f->peer == p ? NULL : f->peer;
    f->disconnected++;
}

static void on_identified(struct p2p_peer *p, void *user)
{
    struct fixture *f = user;
    (void)p;
    f->identified++;
}

/* What came and has no room to go back: it is not consumed before it has. */
struct echo {
    struct buf rest;
    bool finished;
};

static bool echo_opened(struct conn_stream *s, void *user)
{
    (void)user;
    struct echo *e = calloc(1, sizeof *e);
    conn_set_user(s, e);
    return e != NULL;
}

static void echo_writable(struct conn_stream *s, void *user)
{
    struct echo *e = user;
    ssize_t n = conn_write(s, buf_bytes(&e->rest));
    assert_true(n >= 0);
    conn_consumed(s, (size_t)n);
    memmove(e->rest.p, e->rest.p + n, e->rest.n - (size_t)n);
    e->rest.n -= (size_t)n;
    if (e->finished && e->rest.n == 0)
        conn_finish(s);
}

static void echo_data(struct conn_stream *s, struct bytes data, void *user)
{
    struct echo *e = user;
    buf_put_bytes(&e->rest, data);
    echo_writable(s, e);
}

static void echo_finished(struct conn_stream *s, void *user)
{
    struct echo *e = user;
    e->finished = true;
    if (e->rest.n == 0)
        conn_finish(s);
}

static void echo_closed(struct conn_stream *s, int rc, void *user)
{
    struct echo *e = user;
    (void)s, (void)rc;
    buf_fini(&e->rest);
    free(e);
}

static const struct conn_handler echoer = {.opened = echo_opened,
                                           .data = echo_data,
                                           .writable = echo_writable,
                                           .finished = echo_finished,
                                           .closed = echo_closed};

static const struct conn_protocol served[] = {{.id = ECHO, .handler = &echoer, .streams_max = 16}};

static void on_timer(void *arg)
{
    struct fixture *f = arg;
    f->late = true;
    net_loop_stop(f->loop);
}

static void setup(struct fixture *f)
{
    uint8_t public[crypto_sign_PUBLICKEYBYTES], secret[crypto_sign_SECRETKEYBYTES];
    struct err err = {0};
    *f = (struct fixture){0};
    crypto_sign_keypair(public, secret);
    assert_int_equal(net_loop_new(256, &f->loop, &err), 0);
    assert_int_equal(net_timer_new(f->loop, on_timer, f, &f->timer), 0);
    struct ws_client_config ws = {.insecure = true};
    assert_int_equal(ws_client_new(f->loop, &ws, &f->ws, &err), 0);
    struct p2p_host_config cfg = {.identity = secret,
                                  .protocols = served,
                                  .protocols_n = ARRAY_N(served),
                                  .agent = "persist/test",
                                  .ws = f->ws,
                                  .connected = on_connected,
                                  .identified = on_identified,
                                  .disconnected = on_disconnected,
                                  .user = f};
    assert_int_equal(p2p_host_new(f->loop, &cfg, &f->host, &err), 0);
}

static void teardown(struct fixture *f)
{
    p2p_host_free(f->host);
    ws_client_free(f->ws);
    net_timer_free(f->timer);
    net_loop_free(f->loop);
}

/* Looks again and again: what is waited for has no event of its own. */
static void look(void *arg)
{
    struct fixture *f = arg;
    if (f->until(f))
        net_loop_stop(f->loop);
}

static void run_until(struct fixture *f, bool (*until)(const struct fixture *f))
{
    struct net_timer *t;
    uint64_t end = net_now_ms() + WAIT_MS;
    f->until = until;
    f->late = false;
    assert_int_equal(net_timer_new(f->loop, look, f, &t), 0);
    while (!until(f)) {
        assert_true(net_now_ms() < end);
        net_timer_set(t, 2);
        net_timer_set(f->timer, 20);
        assert_int_equal(net_loop_run(f->loop), 0);
    }
    net_timer_cancel(f->timer);
    net_timer_free(t);
}

static void on_dialed(void *arg, int rc, struct p2p_peer *p, const char *why)
{
    struct fixture *f = arg;
    (void)p, (void)why;
    f->dialed = true;
    f->dial_rc = rc;
}

static bool is_dialed(const struct fixture *f)
{
    return f->dialed;
}

static int dial(struct fixture *f, const char *address)
{
    struct buf addr CLEANUP(buf_fini) = {0};
    struct buf list CLEANUP(buf_fini) = {0};
    struct p2p_dial *d;
    struct err err = {0};
    assert_int_equal(maddr_parse(bytes_str(address), &addr, &err), 0);
    buf_put_string(&list, buf_bytes(&addr));
    f->dialed = false;
    assert_int_equal(p2p_dial(f->host, NULL, buf_bytes(&list), on_dialed, f, &d, &err), 0);
    run_until(f, is_dialed);
    return f->dial_rc;
}

/* ---- streams of this peer ----------------------------------------------------------------------
 */

/* Sends @total bytes, byte i is i mod 251, and looks at what comes back. */
struct flow {
    struct fixture *f;
    struct conn_stream *s;
    size_t total, sent, got;
    bool opened, finished;
    int rc; /* of closed() */
    bool keep_open;
    char text[256]; /* of what came, its beginning */
};

static void send_more(struct flow *w)
{
    static uint8_t pattern[251 * 261];
    if (pattern[1] == 0)
        for (size_t i = 0; i < sizeof pattern; i++)
            pattern[i] = (uint8_t)(i % 251);
    while (w->sent < w->total) {
        size_t at = w->sent % 251, n = (size_t)min_u64(sizeof pattern - at, w->total - w->sent);
        ssize_t took = conn_write(w->s, bytes_of(pattern + at, n));
        assert_true(took >= 0);
        w->sent += (size_t)took;
        if ((size_t)took < n)
            return;
    }
    if (!w->keep_open)
        conn_finish(w->s);
}

static bool flow_opened(struct conn_stream *s, void *user)
{
    struct flow *w = user;
    w->s = s;
    w->opened = true;
    send_more(w);
    return true;
}

static void flow_data(struct conn_stream *s, struct bytes data, void *user)
{
    struct flow *w = user;
    for (size_t i = 0; i < data.n; i++) {
        if (w->got + i < sizeof w->text - 1)
            w->text[w->got + i] = (char)data.p[i];
        w->f->wrong += data.p[i] != (w->got + i) % 251;
    }
    w->got += data.n;
    conn_consumed(s, data.n);
}

static void flow_writable(struct conn_stream *s, void *user)
{
    (void)s;
    send_more(user);
}

static void flow_finished(struct conn_stream *s, void *user)
{
    struct flow *w = user;
    (void)s;
    w->finished = true;
}

static void flow_closed(struct conn_stream *s, int rc, void *user)
{
    struct flow *w = user;
    (void)s;
    w->s = NULL;
    w->rc = rc;
    w->f->open--;
}

static const struct conn_handler flow_handler = {.opened = flow_opened,
                                                 .data = flow_data,
                                                 .writable = flow_writable,
                                                 .finished = flow_finished,
                                                 .closed = flow_closed};

static void flow_start(struct fixture *f, struct flow *w, const char *protocol)
{
    w->f = f;
    f->open++;
    assert_int_equal(p2p_open(f->peer, protocol, &flow_handler, w, &w->s), 0);
}

static bool none_open(const struct fixture *f)
{
    return f->open == 0;
}

/* ---- who is dialed -----------------------------------------------------------------------------
 */

struct other {
    struct fixture f;
    struct node node;
    char addr[NODES][512]; /* over TCP, over a WebSocket */
};

static int other_start(void **state)
{
    static const char *const args[] = {"listen", "--tcp", "--ws", "--max-inbound-streams",
                                       "1000",   NULL};
    struct other *o = calloc(1, sizeof *o);
    setup(&o->f);
    node_start(&o->node, args);
    assert_true(node_line(&o->node));
    for (int i = 0; i < NODES; i++) {
        char place[32];
        snprintf(place, sizeof place, "addrs.%d", i);
        json_read_at(o->node.line, place, o->addr[i], sizeof o->addr[i]);
    }
    *state = o;
    return 0;
}

static int other_end(void **state)
{
    struct other *o = *state;
    teardown(&o->f);
    node_end(&o->node, SIGTERM);
    free(o);
    return 0;
}

static bool is_identified(const struct fixture *f)
{
    return f->identified > 0;
}

static void it_says_who_it_is(void **state)
{
    struct other *o = *state;
    for (int i = 0; i < NODES; i++) {
        o->f.identified = 0;
        assert_int_equal(dial(&o->f, o->addr[i]), 0);
        run_until(&o->f, is_identified);
        const struct identify *said = p2p_identity(o->f.peer);
        assert_non_null(said);
        assert_true(said->has_record);
        assert_true(said->protocols.n > 3);
        assert_non_null(memmem(said->agent.p, said->agent.n, "libp2p", 6));
        assert_true(said->observed.n > 0);
        p2p_disconnect(o->f.peer);
    }
}

static void what_is_sent_comes_back(void **state)
{
    struct other *o = *state;
    for (int i = 0; i < NODES; i++) {
        struct flow w = {.total = ECHO_BYTES};
        assert_int_equal(dial(&o->f, o->addr[i]), 0);
        flow_start(&o->f, &w, ECHO);
        run_until(&o->f, none_open);
        assert_int_equal(w.rc, 0);
        assert_int_equal(w.got, ECHO_BYTES);
        assert_int_equal(o->f.wrong, 0);
    }
}

static void pings_are_answered(void **state)
{
    struct other *o = *state;
    struct flow w = {.total = 32};
    assert_int_equal(dial(&o->f, o->addr[0]), 0);
    flow_start(&o->f, &w, "/ipfs/ping/1.0.0");
    run_until(&o->f, none_open);
    assert_int_equal(w.got, 32);
    assert_int_equal(o->f.wrong, 0);
}

static void many_streams_at_once(void **state)
{
    struct other *o = *state;
    for (int i = 0; i < NODES; i++) {
        static struct flow w[STREAMS];
        memset(w, 0, sizeof w);
        assert_int_equal(dial(&o->f, o->addr[i]), 0);
        for (int j = 0; j < STREAMS; j++) {
            w[j].total = STREAM_BYTES;
            flow_start(&o->f, &w[j], ECHO);
        }
        run_until(&o->f, none_open);
        for (int j = 0; j < STREAMS; j++)
            assert_int_equal(w[j].got, STREAM_BYTES);
        assert_int_equal(o->f.wrong, 0);
    }
}

/* The sink answers when this side has finished, and not before. */
static void one_side_finishes_first(void **state)
{
    struct other *o = *state;
    struct flow w = {.total = 1 << 20};
    assert_int_equal(dial(&o->f, o->addr[0]), 0);
    flow_start(&o->f, &w, "/interop/sink/1.0.0");
    run_until(&o->f, none_open);
    assert_int_equal(w.rc, 0);
    char bytes[32];
    w.text[strcspn(w.text, "\n")] = '\0';
    assert_string_equal(json_read_at(w.text, "bytes", bytes, sizeof bytes), "1048576");
}

static void a_reset_is_noticed(void **state)
{
    struct other *o = *state;
    struct flow w = {.total = 10, .keep_open = true};
    assert_int_equal(dial(&o->f, o->addr[0]), 0);
    flow_start(&o->f, &w, "/interop/reset/1.0.0");
    run_until(&o->f, none_open);
    assert_int_equal(w.rc, -ECONNRESET);
    assert_non_null(o->f.peer);
}

static void an_unknown_protocol_is_refused(void **state)
{
    struct other *o = *state;
    struct flow w = {.total = 0};
    assert_int_equal(dial(&o->f, o->addr[0]), 0);
    flow_start(&o->f, &w, "/nobody/has/this/1.0.0");
    run_until(&o->f, none_open);
    assert_false(w.opened);
    assert_int_equal(w.rc, -ENOPROTOOPT);
}

static bool has_waited(const struct fixture *f)
{
    static uint64_t since;
    if (since == 0)
        since = net_now_ms();
    (void)f;
    return net_now_ms() > since + 1000;
}

/* One that does not read takes no more than its window and this side's queue, and holds up nobody.
 */
static void who_does_not_read_holds_up_nobody(void **state)
{
    struct other *o = *state;
    struct flow stalled = {.total = 64 << 20}, w = {.total = 1 << 20};
    assert_int_equal(dial(&o->f, o->addr[0]), 0);
    flow_start(&o->f, &stalled, "/interop/stall/1.0.0");
    run_until(&o->f, has_waited);
    assert_true(stalled.opened);
    assert_true(stalled.sent < 2 << 20);
    o->f.open--; /* it stays open */
    flow_start(&o->f, &w, ECHO);
    run_until(&o->f, none_open);
    assert_int_equal(w.got, 1 << 20);
    o->f.open++;
    p2p_disconnect(o->f.peer);
    run_until(&o->f, none_open);
    assert_int_equal(stalled.rc, -ENOTCONN);
}

static void another_peer_is_refused(void **state)
{
    static const char other[] = "12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5";
    struct other *o = *state;
    for (int i = 0; i < NODES; i++) {
        char addr[512];
        snprintf(addr, sizeof addr, "%s", o->addr[i]);
        char *id = strstr(addr, "/p2p/");
        assert_non_null(id);
        snprintf(id, sizeof addr - (size_t)(id - addr), "/p2p/%s", other);
        assert_int_equal(dial(&o->f, addr), -EPERM);
        assert_null(o->f.peer);
    }
}

static bool is_gone(const struct fixture *f)
{
    return f->peer == NULL;
}

static void a_peer_that_stops_is_noticed(void **state)
{
    struct other *o = *state;
    assert_int_equal(dial(&o->f, o->addr[1]), 0);
    kill(o->node.pid, SIGTERM);
    run_until(&o->f, is_gone);
    assert_int_equal(o->f.connected, o->f.disconnected);
}

/* ---- who dials ---------------------------------------------------------------------------------
 */

static bool node_has_ended(const struct fixture *f)
{
    return f->connected > 0 && f->connected == f->disconnected;
}

static void other_dials(const char *at)
{
    struct fixture f;
    struct node n;
    struct err err = {0};
    struct buf addr CLEANUP(buf_fini) = {0};
    struct buf own CLEANUP(buf_fini) = {0};
    struct buf text CLEANUP(buf_fini) = {0};
    char id[PEER_ID_TEXT_SIZE], full[512], bytes[16];
    setup(&f);
    assert_int_equal(maddr_parse(bytes_str(at), &addr, &err), 0);
    assert_int_equal(p2p_host_listen(f.host, buf_bytes(&addr), &err), 0);
    assert_int_equal(p2p_host_addresses(f.host, &own), 0);
    struct reader r = reader_of(buf_bytes(&own));
    assert_int_equal(maddr_text(reader_string(&r, 512), &text), 0);
    snprintf(full, sizeof full, "%.*s/p2p/%s", (int)text.n, (const char *)text.p,
             peer_id_text(p2p_host_id(f.host), id));
    snprintf(bytes, sizeof bytes, "%d", ECHO_BYTES);
    const char *const args[] = {"dial",   full,      "--identify", "--ping",    "--count", "3",
                                "--echo", "--bytes", bytes,        "--timeout", "60",      NULL};
    node_start(&n, args);
    run_until(&f, node_has_ended);
    char event[32], ok[8] = "", agent[64] = "";
    unsigned pings = 0;
    while (node_line(&n)) {
        json_read_at(n.line, "event", event, sizeof event);
        pings += strcmp(event, "ping") == 0;
        if (strcmp(event, "echo") == 0)
            json_read_at(n.line, "ok", ok, sizeof ok);
        if (strcmp(event, "identified") == 0)
            json_read_at(n.line, "agent", agent, sizeof agent);
    }
    assert_int_equal(node_end(&n, 0), 0);
    assert_int_equal(pings, 3);
    assert_string_equal(ok, "true");
    assert_string_equal(agent, "persist/test");
    teardown(&f);
}

static void it_dials_over_tcp(void **state)
{
    (void)state;
    other_dials("/ip4/127.0.0.1/tcp/0");
}

static void it_dials_over_a_websocket(void **state)
{
    (void)state;
    other_dials("/ip4/127.0.0.1/tcp/0/ws");
}

#define DIALED(test) cmocka_unit_test_setup_teardown(test, other_start, other_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DIALED(it_says_who_it_is),
        DIALED(what_is_sent_comes_back),
        DIALED(pings_are_answered),
        DIALED(many_streams_at_once),
        DIALED(one_side_finishes_first),
        DIALED(a_reset_is_noticed),
        DIALED(an_unknown_protocol_is_refused),
        DIALED(who_does_not_read_holds_up_nobody),
        DIALED(another_peer_is_refused),
        DIALED(a_peer_that_stops_is_noticed),
        cmocka_unit_test(it_dials_over_tcp),
        cmocka_unit_test(it_dials_over_a_websocket),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
