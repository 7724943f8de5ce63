/* Wires whose other side is a bare socket, that keeps to no rule or wants to see every byte. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "sync/net/ws_codec.h"
#include "tests/support/pairs.h"

#define GET(PATH, MORE)                                                                            \
    "GET " PATH " HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"            \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" MORE "\r\n"

/* ---- who connects ---- */

static bool is_accepted(void *arg)
{
    (void)arg;
    return pairs.ends_n == 1;
}

/* No descriptor is left for what connects, and then there are some. */
static void a_want_of_descriptors_passes(void **state)
{
    (void)state;
    for (size_t i = 0; i < PAIRS_KINDS; i += 2) {
        struct rlimit before, none;
        pairs.ends_n = 0;
        pairs_listen(pairs_kinds[i]);
        int fd = pairs_raw();
        int next = dup(fd);
        close(next);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
        none = before;
        none.rlim_cur = (rlim_t)next;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
        net_run_ms(&pairs.net, 250);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_int_equal(pairs.ends_n, 0);
        if (i == 2)
            assert_int_equal(send(fd, GET("/", ""), sizeof GET("/", "") - 1, MSG_NOSIGNAL),
                             sizeof GET("/", "") - 1);
        net_until(&pairs.net, is_accepted, NULL);
        wire_listener_free(TAKE_PTR(pairs.listener));
        pairs_free_ends();
        close(fd);
        net_run_ms(&pairs.net, 10);
    }
}

/* ---- what it says ---- */

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
        net_run_ms(&pairs.net, 2);
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
    pairs_listen(pairs_kinds[2]);
    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        struct buf heard CLEANUP(buf_fini) = {0};
        int fd = pairs_raw();
        if (!exchange(fd, bytes_str(rows[i].said), &heard))
            shutdown(fd, SHUT_WR); /* a close frame came, and libwebsockets waits for its answer */
        (void)exchange(fd, bytes_of(NULL, 0), &heard);
        assert_true(begins(&heard, rows[i].answer));
        close(fd);
    }
    for (int i = 0; i < 50; i++) {
        uint8_t junk[2000];
        size_t n = 1 + (size_t)crash_below(&pairs.rnd, sizeof junk - 1);
        crash_fill((uint64_t)i, 0, junk, n);
        int fd = pairs_raw();
        assert_int_equal(send(fd, junk, n, MSG_NOSIGNAL), n);
        net_run_ms(&pairs.net, 2);
        close(fd);
    }
    pairs_until_all_closed();
    for (unsigned i = 0; i < pairs.ends_n; i++)
        pairs.ends[i].wrong =
            false; /* of frames that are not masked, libwebsockets takes the bytes */
    pairs_free_ends();
    struct pairs_end *e =
        pairs_dial(wire_listener_address(pairs.listener)); /* it is as good as before */
    pairs_until_open(e);
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
    pairs_listen(pairs_kinds[2]);
    int fd = pairs_raw();
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
    assert_int_equal(pairs.ends_n, 1);
    assert_int_equal(pairs.ends[0].got, at);
    assert_null(pairs.ends[0].w == NULL ? "closed" : NULL);
    assert_non_null(memmem(heard.p, heard.n, "\x8a\x05hello", 7));
    close(fd);
    pairs_until_closed(&pairs.ends[0]);
}

static void messages_are_not_long(void **state)
{
    (void)state;
    static uint8_t some[200000];
    struct buf heard CLEANUP(buf_fini) = {0};
    pairs_listen(pairs_kinds[2]);
    int fd = pairs_raw();
    (void)exchange(fd, bytes_str(GET("/", "")), &heard);
    assert_int_equal(pairs.ends_n, 1);
    assert_int_equal(wire_write(pairs.ends[0].w, bytes_of(some, sizeof some)), sizeof some);
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
    pairs_until_closed(&pairs.ends[0]);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, pairs_setup, pairs_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_want_of_descriptors_passes),
        TEST(what_is_no_websocket_is_refused),
        TEST(messages_have_any_size),
        TEST(messages_are_not_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
