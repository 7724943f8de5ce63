#include "tests/support/pairs.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct pairs pairs;
static unsigned fds;

const char *const pairs_kinds[PAIRS_KINDS] = {"/ip4/127.0.0.1/tcp/0", "/ip6/::1/tcp/0",
                                              "/ip4/127.0.0.1/tcp/0/ws", "/ip6/::1/tcp/0/ws"};

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

void pairs_resume(void *end)
{
    struct pairs_end *e = end;
    e->paused = false;
    if (e->w != NULL)
        wire_resume(e->w);
}

void pairs_pump(struct pairs_end *e)
{
    static uint8_t some[100 * 1000];
    while (e->w != NULL && e->sent < e->goal) {
        size_t n = (size_t)min_u64(1 + crash_below(&pairs.rnd, sizeof some), e->goal - e->sent);
        crash_fill(e->n, e->sent, some, n);
        ssize_t taken = wire_write(e->w, bytes_of(some, n));
        assert_true(taken >= 0 && (size_t)taken <= n);
        e->sent += (uint64_t)taken;
        if ((size_t)taken < n)
            return;
    }
}

static bool frees(struct pairs_end *e, unsigned when)
{
    if ((e->does & when) == 0)
        return false;
    wire_free(TAKE_PTR(e->w));
    return true;
}

static void on_opened(struct wire *w, void *user)
{
    struct pairs_end *e = user;
    assert_true(e->w == w || e->w == NULL);
    e->opened++;
    if (!frees(e, PAIRS_FREE_IN_OPENED))
        pairs_pump(e);
}

static void on_data(struct wire *w, struct bytes data, void *user)
{
    static uint8_t expected[256 * 1024];
    struct pairs_end *e = user;
    assert_ptr_equal(e->w, w);
    assert_false(e->paused);
    assert_true(data.n > 0 && data.n <= sizeof expected);
    crash_fill(e->other, e->got, expected, data.n);
    e->wrong = e->wrong || memcmp(expected, data.p, data.n) != 0;
    e->got += data.n;
    if (frees(e, PAIRS_FREE_IN_DATA))
        return;
    if (e->rests && crash_chance(&pairs.rnd, 5)) {
        e->paused = true;
        wire_pause(w);
        net_timer_set(e->timer, crash_below(&pairs.rnd, 3));
    }
}

static void on_writable(struct wire *w, void *user)
{
    struct pairs_end *e = user;
    assert_ptr_equal(e->w, w);
    e->writables++;
    if (!frees(e, PAIRS_FREE_IN_WRITABLE))
        pairs_pump(e);
}

static void on_closed(struct wire *w, const char *why, void *user)
{
    struct pairs_end *e = user;
    assert_true(e->w == w);
    snprintf(e->why, sizeof e->why, "%s", why);
    assert_true(e->why[0] != '\0');
    e->closed++;
    if (!frees(e, PAIRS_FREE_IN_CLOSED))
        e->w = NULL;
}

static const struct wire_events events = {on_opened, on_data, on_writable, on_closed};

static struct pairs_end *new_end(void)
{
    struct pairs_end *e = &pairs.ends[pairs.ends_n++];
    assert_true(pairs.ends_n <= PAIRS_ENDS);
    *e = (struct pairs_end){0};
    assert_int_equal(net_timer_new(pairs.net.loop, pairs_resume, e, &e->timer), 0);
    return e;
}

static void *on_accepted(struct wire *w, void *user)
{
    (void)user;
    pairs.refused += pairs.refuses;
    if (pairs.frees_listener > 0 && --pairs.frees_listener == 0)
        wire_listener_free(TAKE_PTR(pairs.listener));
    if (pairs.refuses)
        return NULL;
    struct pairs_end *e = new_end();
    e->w = w;
    e->n = 1;
    return e;
}

void pairs_free_ends(void)
{
    for (unsigned i = 0; i < pairs.ends_n; i++) {
        wire_free(TAKE_PTR(pairs.ends[i].w));
        net_timer_free(pairs.ends[i].timer);
        assert_false(pairs.ends[i].wrong);
    }
    pairs.ends_n = 0;
}

int pairs_setup(void **state)
{
    (void)state;
    struct err err = {0};
    memset(&pairs, 0, sizeof pairs);
    pairs.rnd.s = crash_seed("wire");
    fds = count_fds();
    assert_int_equal(net_loop_new(8192, &pairs.net.loop, &err), 0);
    net_client(&pairs.net, (struct ws_client_config){0});
    return 0;
}

int pairs_teardown(void **state)
{
    (void)state;
    pairs_free_ends();
    wire_listener_free(TAKE_PTR(pairs.listener));
    net_end(&pairs.net);
    assert_int_equal(count_fds(), fds);
    return 0;
}

int pairs_try_listen(const char *at)
{
    struct buf b CLEANUP(buf_fini) = {0};
    struct err err = {0};
    assert_int_equal(maddr_parse(bytes_str(at), &b, &err), 0);
    struct wire_listener_config cfg = {
        .at = buf_bytes(&b), .events = &events, .accepted = on_accepted};
    int rc = wire_listen(pairs.net.loop, &cfg, &pairs.listener, &err);
    assert_true(rc == 0 || err.msg[0] != '\0');
    return rc;
}

void pairs_listen(const char *at)
{
    assert_int_equal(pairs_try_listen(at), 0);
}

const char *pairs_text(struct bytes address)
{
    static char text[128];
    struct buf b CLEANUP(buf_fini) = {0};
    assert_int_equal(maddr_text(address, &b), 0);
    assert_true(b.n < sizeof text);
    memcpy(text, b.p, b.n);
    text[b.n] = '\0';
    return text;
}

unsigned pairs_port(void)
{
    struct maddr_dial d;
    assert_int_equal(maddr_dial(wire_listener_address(pairs.listener), &d), 0);
    return d.port;
}

struct pairs_end *pairs_dial(struct bytes address)
{
    struct maddr_dial to;
    struct err err = {0};
    struct pairs_end *e = new_end();
    e->other = 1;
    assert_int_equal(maddr_dial(address, &to), 0);
    if (wire_dial(pairs.net.loop, pairs.net.client, &to, &events, e, &e->w, &err) < 0)
        fail_msg("%s", err.msg);
    return e;
}

struct pairs_end *pairs_dial_text(const char *form, unsigned port)
{
    char text[128];
    struct buf b CLEANUP(buf_fini) = {0};
    const char *gap = strchr(form, '*');
    snprintf(text, sizeof text, "%.*s%u%s", (int)(gap - form), form, port, gap + 1);
    assert_int_equal(maddr_parse(bytes_str(text), &b, NULL), 0);
    return pairs_dial(buf_bytes(&b));
}

/* ---- waiting ---- */

static bool closed(void *arg)
{
    return ((struct pairs_end *)arg)->closed > 0;
}

static bool all_closed(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < pairs.ends_n; i++)
        if (pairs.ends[i].w != NULL)
            return false;
    return true;
}

static bool is_pair(void *arg)
{
    return ((struct pairs_end *)arg)->opened > 0 && pairs.ends_n >= 2;
}

static bool both_done(void *arg)
{
    (void)arg;
    return pairs.ends[0].got == pairs.ends[1].goal && pairs.ends[1].got == pairs.ends[0].goal;
}

void pairs_until_open(struct pairs_end *e)
{
    net_until(&pairs.net, is_pair, e);
}

void pairs_until_closed(struct pairs_end *e)
{
    net_until(&pairs.net, closed, e);
    assert_int_equal(e->closed, 1);
}

void pairs_until_all_closed(void)
{
    net_until(&pairs.net, all_closed, NULL);
}

void pairs_until_done(void)
{
    net_until(&pairs.net, both_done, NULL);
}

/* ---- connecting ---- */

void pairs_make(const char *kind)
{
    pairs.ends_n = 0;
    pairs_listen(kind);
    pairs_until_open(pairs_dial(wire_listener_address(pairs.listener)));
    wire_listener_free(TAKE_PTR(pairs.listener));
}

int pairs_raw(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)pairs_port()),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}
