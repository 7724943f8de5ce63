/*
 * Kademlia with peers of js-libp2p (tests/interop): what this peer provides is kept by theirs and
 * found by them, at theirs and at this one, and the other way round.
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

#include "sync/net/libp2p/kad.h"
#include "sync/net/libp2p/limits.h"
#include "sync/net/libp2p/multiaddr.h"
#include "tests/support/json_read.h"
#include "tests/support/net.h"

/* ---- the others --------------------------------------------------------------------------------
 */

/* A process of theirs; what it says is read whenever somebody looks. */
struct other {
    pid_t pid; /* 0: it has ended */
    int fd;
    size_t n;
    char said[1 << 16], line[1 << 14];
    const char *awaited;
};

static void other_start(struct other *o, const char *const *args)
{
    const char *argv[16] = {"node", INTEROP_DIR "/peer.mjs", "--dht-protocol", KAD_PROTOCOL};
    size_t argc = 4;
    int out[2];
    for (; *args != NULL; args++)
        argv[argc++] = *args;
    *o = (struct other){0};
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(fcntl(out[0], F_SETFL, O_NONBLOCK), 0);
    o->pid = fork();
    assert_true(o->pid >= 0);
    if (o->pid == 0) {
        dup2(out[1], STDOUT_FILENO);
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    close(out[1]);
    o->fd = out[0];
}

static void other_end(struct other *o)
{
    if (o->pid == 0)
        return;
    kill(o->pid, SIGTERM);
    waitpid(o->pid, NULL, 0);
    close(o->fd);
    o->pid = 0;
}

/* The line of the event that is awaited. NULL: it was not said yet. */
static const char *find_line(struct other *o)
{
    char event[64];
    ssize_t got = read(o->fd, o->said + o->n, sizeof o->said - 1 - o->n);
    o->n += got > 0 ? (size_t)got : 0;
    o->said[o->n] = '\0';
    snprintf(event, sizeof event, "{\"event\":\"%s\"", o->awaited);
    const char *line = strstr(o->said, event);
    const char *end = line == NULL ? NULL : strchr(line, '\n');
    if (end == NULL || (size_t)(end - line) >= sizeof o->line)
        return NULL;
    memcpy(o->line, line, (size_t)(end - line));
    o->line[end - line] = '\0';
    return o->line;
}

static bool has_line(void *arg)
{
    struct other *o = arg;
    if (strstr(o->said, "{\"event\":\"error\"") != NULL)
        fail_msg("%s", o->said);
    return find_line(o) != NULL;
}

/* ---- this peer ---------------------------------------------------------------------------------
 */

struct fixture {
    struct net net;
    struct p2p_host *h;
    struct kad *k;
    struct other server, asks;
    char server_at[512]; /* its address, with its id */
    unsigned told, told_peers;
    struct kad_find *f;
    bool done;
    int rc;
    unsigned found;
    char wanted[PEER_ID_TEXT_SIZE]; /* whom to find */
    char digest_text[80];           /* as theirs take it */
    uint8_t digest[KAD_DIGEST_BYTES];
};

static void on_connected(struct p2p_peer *p, void *user)
{
    (void)p, (void)user;
}

static void on_identified(struct p2p_peer *p, void *user)
{
    struct fixture *f = user;
    kad_identified(f->k, p);
}

static void on_provided(const uint8_t *digest, unsigned peers, void *user)
{
    struct fixture *f = user;
    assert_memory_equal(digest, f->digest, sizeof f->digest);
    f->told++;
    f->told_peers = peers;
}

static void start_peer(struct fixture *f)
{
    struct err err = {0};
    struct buf at CLEANUP(buf_fini) = {0};
    uint8_t public[crypto_sign_PUBLICKEYBYTES], secret[PEER_KEY_SECRET_BYTES];
    crypto_sign_keypair(public, secret);
    struct p2p_host_config cfg = {.identity = secret,
                                  .agent = "persist/test",
                                  .ws = f->net.client,
                                  .connected = on_connected,
                                  .identified = on_identified,
                                  .disconnected = on_connected,
                                  .user = f};
    assert_int_equal(p2p_host_new(f->net.loop, &cfg, &f->h, &err), 0);
    struct kad_config kad = {
        .host = f->h, .protocol = KAD_PROTOCOL, .provided = on_provided, .user = f};
    assert_int_equal(kad_new(f->net.loop, &kad, &f->k, &err), 0);
    assert_int_equal(maddr_parse(bytes_str("/ip4/127.0.0.1/tcp/0"), &at, &err), 0);
    assert_int_equal(p2p_host_listen(f->h, buf_bytes(&at), &err), 0);
    kad_serve(f->k, true);
}

static bool has_neighbour(void *arg)
{
    struct fixture *f = arg;
    return kad_neighbours(f->k) > 0;
}

static int setup(void **state)
{
    static const char *const args[] = {"listen", "--tcp", "--dht", "server", NULL};
    struct fixture *f = calloc(1, sizeof *f);
    struct buf addr CLEANUP(buf_fini) = {0}, list CLEANUP(buf_fini) = {0};
    struct err err = {0};
    assert_true(sodium_init() >= 0);
    *state = f;
    assert_int_equal(net_loop_new(1024, &f->net.loop, &err), 0);
    net_client(&f->net, (struct ws_client_config){.insecure = true});
    start_peer(f);
    other_start(&f->server, args);
    f->server.awaited = "listening";
    net_until(&f->net, has_line, &f->server);
    json_read_at(find_line(&f->server), "addrs.0", f->server_at, sizeof f->server_at);
    assert_int_equal(maddr_parse(bytes_str(f->server_at), &addr, &err), 0);
    buf_put_string(&list, buf_bytes(&addr));
    assert_int_equal(kad_bootstrap(f->k, buf_bytes(&list)), 0);
    net_until(&f->net, has_neighbour, f);
    randombytes_buf(f->digest, sizeof f->digest);
    memcpy(f->digest_text, "hex:", 5);
    sodium_bin2hex(f->digest_text + 4, sizeof f->digest_text - 4, f->digest, sizeof f->digest);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    other_end(&f->asks);
    other_end(&f->server);
    kad_free(f->k);
    p2p_host_free(f->h);
    net_end(&f->net);
    free(f);
    return 0;
}

/* ---- tests -------------------------------------------------------------------------------------
 */

static bool is_told(void *arg)
{
    return ((struct fixture *)arg)->told > 0;
}

static void theirs_keep_and_find_what_this_one_provides(void **state)
{
    struct fixture *f = *state;
    const char *args[] = {"dht-find", f->server_at, f->digest_text, NULL};
    char own[PEER_ID_TEXT_SIZE];
    assert_int_equal(kad_provide(f->k, f->digest), 0);
    net_until(&f->net, is_told, f);
    assert_int_equal(f->told_peers, 1);
    other_start(&f->asks, args);
    f->asks.awaited = "providers";
    net_until(&f->net, has_line, &f->asks);
    peer_id_text(p2p_host_id(f->h), own);
    assert_non_null(strstr(find_line(&f->asks), own));
    assert_non_null(strstr(find_line(&f->asks), "/ip4/127.0.0.1/tcp/"));
}

/* Who knows this peer alone. */
static void theirs_find_each_other_by_this_one(void **state)
{
    struct fixture *f = *state;
    struct buf own CLEANUP(buf_fini) = {0}, text CLEANUP(buf_fini) = {0};
    char at[512], id[PEER_ID_TEXT_SIZE];
    const char *server = strstr(f->server_at, "/p2p/") + 5;
    const char *args[] = {"dht-find-peer", at, server, NULL};
    assert_int_equal(p2p_host_addresses(f->h, &own), 0);
    struct reader r = reader_of(buf_bytes(&own));
    assert_int_equal(maddr_text(reader_string(&r, P2P_ADDR_BYTES), &text), 0);
    snprintf(at, sizeof at, "%.*s/p2p/%s", (int)text.n, (const char *)text.p,
             peer_id_text(p2p_host_id(f->h), id));
    other_start(&f->asks, args);
    f->asks.awaited = "peer";
    net_until(&f->net, has_line, &f->asks);
    assert_non_null(strstr(find_line(&f->asks), server));
    assert_non_null(strstr(find_line(&f->asks), "/ip4/127.0.0.1/tcp/"));
}

static void on_found(const uint8_t *id, struct bytes addrs, void *user)
{
    struct fixture *f = user;
    char text[PEER_ID_TEXT_SIZE];
    f->found += addrs.n > 0 && strcmp(peer_id_text(id, text), f->wanted) == 0;
}

static void on_done(int rc, void *user)
{
    struct fixture *f = user;
    f->done = true;
    f->rc = rc;
}

static const struct kad_events events = {.found = on_found, .done = on_done};

static bool is_done(void *arg)
{
    return ((struct fixture *)arg)->done;
}

static void this_one_finds_what_theirs_provide(void **state)
{
    struct fixture *f = *state;
    const char *args[] = {"dht-provide", f->server_at, f->digest_text, "--stay", NULL};
    uint8_t id[PEER_ID_BYTES];
    other_start(&f->asks, args);
    f->asks.awaited = "provided";
    net_until(&f->net, has_line, &f->asks);
    json_read_at(find_line(&f->asks), "peer", f->wanted, sizeof f->wanted);
    assert_int_equal(kad_find_providers(f->k, f->digest, &events, f, &f->f), 0);
    net_until(&f->net, is_done, f);
    assert_int_equal(f->rc, 0);
    assert_true(f->found > 0);
    /* And the peer itself. */
    f->done = false;
    f->found = 0;
    assert_int_equal(peer_id_parse(bytes_str(f->wanted), id), 0);
    assert_int_equal(kad_find_peer(f->k, id, &events, f, &f->f), 0);
    net_until(&f->net, is_done, f);
    assert_true(f->rc == 0 && f->found > 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(theirs_keep_and_find_what_this_one_provides),
        TEST(theirs_find_each_other_by_this_one),
        TEST(this_one_finds_what_theirs_provide),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
