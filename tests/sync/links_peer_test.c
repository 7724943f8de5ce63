/* Direct links between two devices in one process, over loopback: frames and the stream's window.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/base/log.h"
#include "proto/frame.h"
#include "sync/links/peers.h"
#include "sync/net/libp2p/yamux.h"
#include "sync/state/statefile.h"
#include "tests/support/apart.h"
#include "tests/support/crash_rand.h"
#include "tests/support/net.h"

enum { SIDES = 2, SMALL = 64 * 1024, MANY = 64, QUIET_MS = 500 };

/* A device, and its link with the other one. */
struct side {
    char dir[40];
    int dir_fd;
    struct member_keys keys;
    struct peers *peers;
    struct peer_link *link;
    unsigned frames; /* that came, each in its turn */
    size_t bytes;    /* of the last one */
};

static struct net net;
static struct clients *clients;
static struct side side[SIDES];

/* ---- frames ----
 *
 * Each is filled with bytes that say which one it is.
 */

static uint8_t frame[FRAME_MAX], ought[FRAME_MAX];

static int send_frame(struct side *s, unsigned number, size_t n)
{
    crash_fill(number, 0, frame, n);
    return peer_link_send(s->link, peer_link_generation(s->link), bytes_of(frame, n));
}

static void on_frame(struct peer_link *l, struct bytes v, void *user)
{
    struct side *s = user;
    (void)l;
    assert_true(v.n <= sizeof ought);
    crash_fill(s->frames, 0, ought, v.n);
    assert_memory_equal(v.p, ought, v.n);
    s->frames++;
    s->bytes = v.n;
}

static void on_told(struct peer_link *l, void *user)
{
    (void)l, (void)user;
}

static const struct peer_link_events events = {on_told, on_frame, on_told};

/* ---- two devices ---- */

static void on_turned_on(void *arg)
{
    (void)arg;
}

static void start(struct side *s)
{
    char *listen[] = {(char[]){"/ip4/127.0.0.1/tcp/0"}};
    struct peers_settings set = {.set_listen = true, .listen = listen, .listen_n = 1};
    struct err err = {0};
    snprintf(s->dir, sizeof s->dir, "/tmp/persist-peer-XXXXXX");
    assert_non_null(mkdtemp(s->dir));
    s->dir_fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(s->dir_fd >= 0);
    apart_no_direct_links(s->dir_fd);
    crypto_sign_keypair(s->keys.sign_public, s->keys.sign_secret);
    struct peers_config cfg = {.loop = net.loop,
                               .clients = clients,
                               .identity = &s->keys,
                               .dir_fd = s->dir_fd,
                               .turned_on = on_turned_on};
    if (peers_new(&cfg, &s->peers, &err) < 0 || peers_set(s->peers, &set, &err) < 0)
        fail_msg("%s", err.msg);
}

static void know(const struct side *s, const struct side *other)
{
    struct buf all CLEANUP(buf_fini) = {0};
    struct err err = {0};
    char text[256];
    assert_int_equal(peers_addresses(other->peers, &all), 0);
    struct reader r = reader_of(buf_bytes(&all));
    struct bytes first = reader_string(&r, sizeof text - 1);
    snprintf(text, sizeof text, "%.*s", (int)first.n, (const char *)first.p);
    if (peers_know(s->peers, text, &err) < 0)
        fail_msg("%s", err.msg);
}

static bool both_up(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < SIDES; i++) {
        Persist__Link l;
        peer_link_describe(side[i].link, &l);
        if (l.state != PERSIST__LINK_STATE__LINK_UP)
            return false;
    }
    return true;
}

static int setup(void **state)
{
    (void)state;
    static const uint8_t space[SPACE_ID_SIZE] = {1};
    log_set_level(LOG_LEVEL_NONE);
    apart_network();
    memset(&net, 0, sizeof net);
    memset(side, 0, sizeof side);
    assert_true(sodium_init() >= 0);
    assert_int_equal(net_loop_new(256, &net.loop, NULL), 0);
    assert_int_equal(clients_new(net.loop, &clients), 0);
    for (size_t i = 0; i < SIDES; i++)
        start(&side[i]);
    know(&side[0], &side[1]);
    for (size_t i = 0; i < SIDES; i++)
        assert_int_equal(peer_link_new(side[i].peers, space, side[1 - i].keys.sign_public, 1,
                                       &events, &side[i], &side[i].link),
                         0);
    net_until(&net, both_up, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < SIDES; i++) {
        peer_link_free(side[i].link);
        peers_free(side[i].peers);
        close(side[i].dir_fd);
        (void)!statefile_remove_tree(AT_FDCWD, side[i].dir, NULL);
    }
    clients_free(clients);
    net_end(&net);
    return 0;
}

/* ---- tests ---- */

static bool each_has_one(void *arg)
{
    (void)arg;
    return side[0].frames == 1 && side[1].frames == 1;
}

_Static_assert((int)FRAME_MAX > (int)YAMUX_WINDOW, "else it shows nothing");

/* The first one already, when no window has grown yet. */
static void a_frame_that_is_longer_than_the_window_comes(void **state)
{
    (void)state;
    for (size_t i = 0; i < SIDES; i++)
        assert_int_equal(send_frame(&side[i], 0, FRAME_MAX), 0);
    net_until(&net, each_has_one, NULL);
    assert_true(side[0].bytes == FRAME_MAX && side[1].bytes == FRAME_MAX);
}

/* Sends as many as there is room for. */
static unsigned send_on(struct side *s, unsigned from)
{
    int rc = 0;
    while (from < MANY && (rc = send_frame(s, from, SMALL)) == 0)
        from++;
    assert_true(rc == 0 || rc == -EAGAIN);
    return from;
}

static bool has_all(void *arg)
{
    unsigned *sent = arg;
    *sent = send_on(&side[0], *sent);
    return side[1].frames == MANY;
}

/* What a device that takes nothing is sent is bounded by the window, and comes when it goes on. */
static void who_takes_no_frames_gives_no_new_room(void **state)
{
    (void)state;
    unsigned sent = 0;
    peer_link_pause(side[1].link);
    for (unsigned before = MANY; before != sent;) {
        before = sent;
        net_run_ms(&net, QUIET_MS);
        sent = send_on(&side[0], sent);
    }
    assert_int_equal(side[1].frames, 0);
    assert_in_range(sent, YAMUX_WINDOW / SMALL, (YAMUX_WINDOW + YAMUX_STREAM_QUEUE) / SMALL + 1);
    peer_link_resume(side[1].link);
    net_until(&net, has_all, &sent);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_frame_that_is_longer_than_the_window_comes),
        TEST(who_takes_no_frames_gives_no_new_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
