/* A client and a server that is none of libwebsockets: what it sends is made byte by byte. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <sodium.h>

#include "sync/net/ws_codec.h"
#include "tests/support/net.h"

static struct net net;
static struct net_end end; /* the client's */
static int listener, conn;
static struct buf heard; /* what the client sent after its request */

static int start(void **state)
{
    (void)state;
    end = (struct net_end){0};
    heard = (struct buf){0};
    net_start(&net, (struct ws_server_config){0});
    net_client(&net, (struct ws_client_config){0});
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    conn = -1;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(listener, 4), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &n), 0);
    snprintf(net.url, sizeof net.url, "ws://127.0.0.1:%u", ntohs(at.sin_port));
    return 0;
}

static int stop(void **state)
{
    (void)state;
    net_end(&net);
    buf_fini(&heard);
    close(listener);
    if (conn >= 0)
        close(conn);
    return 0;
}

static void say(const void *p, size_t n)
{
    assert_int_equal(send(conn, p, n, MSG_NOSIGNAL), n);
}

#define SAY(...) say((uint8_t[]){__VA_ARGS__}, sizeof(uint8_t[]){__VA_ARGS__})

/* Takes what is there of the client's. False: it has ended. */
static bool hear(void)
{
    uint8_t some[4096];
    ssize_t n;
    while ((n = recv(conn, some, sizeof some, MSG_DONTWAIT)) > 0)
        buf_put(&heard, some, (size_t)n);
    return n < 0 && errno == EAGAIN;
}

/* Waits for the client's request. */
static void accept_request(void)
{
    net_connect(&net, &end);
    net_run_ms(&net, 20);
    conn = accept(listener, NULL, NULL);
    assert_true(conn >= 0);
    while (heard.n < 4 || memcmp(heard.p + heard.n - 4, "\r\n\r\n", 4) != 0) {
        net_run_ms(&net, 5);
        assert_true(hear());
    }
    buf_put_u8(&heard, 0);
}

/* The answer that the request asks for. */
static void answer_of(char *ret, size_t size)
{
    char key[64] = "", text[128], accept_text[32];
    unsigned char sum[20];
    const char *at = strstr((char *)heard.p, "Sec-WebSocket-Key: ");
    assert_non_null(at);
    assert_int_equal(sscanf(at, "Sec-WebSocket-Key: %63s", key), 1);
    snprintf(text, sizeof text, "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    assert_int_equal(EVP_Digest(text, strlen(text), sum, NULL, EVP_sha1(), NULL), 1);
    sodium_bin2base64(accept_text, sizeof accept_text, sum, sizeof sum,
                      sodium_base64_VARIANT_ORIGINAL);
    snprintf(ret, size,
             "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Protocol: persist.sync.v1\r\nSec-WebSocket-Accept: %s\r\n\r\n",
             accept_text);
}

static void open_it(void)
{
    char answer[256];
    accept_request();
    answer_of(answer, sizeof answer);
    buf_reset(&heard);
    say(answer, strlen(answer));
    while (end.opened == 0)
        net_run_ms(&net, 1);
}

/* The client's frame at the front of what was heard, unmasked into @ret; waits for it. */
static void next_frame(uint8_t *ret_first, char *ret, size_t size)
{
    while (heard.n < 6 || heard.n < 6u + (heard.p[1] & 0x7fu)) {
        net_run_ms(&net, 1);
        assert_true(hear() || heard.n >= 6);
    }
    size_t n = heard.p[1] & 0x7f;
    assert_true((heard.p[1] & 0x80) != 0 && n < 126 && n < size);
    for (size_t i = 0; i < n; i++)
        ret[i] = (char)(heard.p[6 + i] ^ heard.p[2 + i % 4]);
    ret[n] = '\0';
    *ret_first = heard.p[0];
    memmove(heard.p, heard.p + 6 + n, heard.n - 6 - n);
    heard.n -= 6 + n;
}

static void frames_right_behind_the_answer_are_messages(void **state)
{
    (void)state;
    char answer[300];
    accept_request();
    answer_of(answer, 256);
    size_t n = strlen(answer);
    memcpy(answer + n,
           "\x82\x02hi\x02\x01"
           "a",
           7);
    say(answer, n + 7);
    net_until_messages(&net, &end, 1);
    assert_memory_equal(end.last.p, "hi", 2);
    SAY(0x80, 1, 'b');
    net_until_messages(&net, &end, 2);
    assert_int_equal(end.last.n, 2);
    assert_memory_equal(end.last.p, "ab", 2);
}

static void an_answer_in_single_bytes_is_one(void **state)
{
    (void)state;
    char answer[256];
    accept_request();
    answer_of(answer, sizeof answer);
    for (size_t i = 0; i < strlen(answer); i++) {
        assert_int_equal(end.opened, 0);
        say(answer + i, 1);
        net_run_ms(&net, 1);
    }
    net_run_ms(&net, 20);
    assert_int_equal(end.opened, 1);
}

static void a_ping_is_answered_with_what_it_carries(void **state)
{
    (void)state;
    uint8_t first;
    char text[126];
    open_it();
    SAY(0x02, 1, 'a', 0x89, 3, 'y', 'o', 'u', 0x80, 1, 'b');
    next_frame(&first, text, sizeof text);
    assert_int_equal(first, 0x8a);
    assert_string_equal(text, "you");
    net_until_messages(&net, &end, 1);
    assert_int_equal(end.last.n, 2);
}

static void masks_are_never_the_same(void **state)
{
    (void)state;
    uint8_t first, masks[3][4];
    char text[126];
    open_it();
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ws_send(end.ws, bytes_str("x")), 0);
        while (heard.n < 7) {
            net_run_ms(&net, 1);
            assert_true(hear());
        }
        memcpy(masks[i], heard.p + 2, 4);
        next_frame(&first, text, sizeof text);
        assert_int_equal(first, 0x82);
        assert_string_equal(text, "x");
    }
    assert_memory_not_equal(masks[0], masks[1], 4);
    assert_memory_not_equal(masks[1], masks[2], 4);
}

static void a_close_is_answered_with_its_code(void **state)
{
    (void)state;
    uint8_t first;
    char text[126];
    open_it();
    assert_int_equal(ws_send(end.ws, bytes_str("dropped or sent")), 0);
    SAY(0x88, 5, 0x0f, 0xa1, 'b', 'y', 'e');
    net_until_closed(&net, &end);
    assert_int_equal(end.end.code, 4001);
    assert_true(end.end.by_peer);
    assert_string_equal(end.end.reason, "bye");
    assert_int_equal(end.closed, 1);
    do
        next_frame(&first, text, sizeof text);
    while (first == 0x82);
    assert_int_equal(first, 0x88);
    assert_memory_equal(text,
                        "\x0f\xa1"
                        "bye",
                        5);
    assert_false(hear());
}

/* It has 5 s to answer; bytes that it sends before that are nobody's. */
static void a_close_waits_for_its_answer(void **state)
{
    (void)state;
    uint8_t first;
    char text[126];
    open_it();
    ws_close(end.ws, 4002, "enough");
    next_frame(&first, text, sizeof text);
    assert_int_equal(first, 0x88);
    assert_memory_equal(text,
                        "\x0f\xa2"
                        "enough",
                        8);
    SAY(0x82, 1, 'x');
    net_run_ms(&net, 100);
    assert_int_equal(end.closed + end.messages, 0);
    SAY(0x88, 2, 0x0f, 0xa2);
    net_until_closed(&net, &end);
    assert_int_equal(end.end.code, 4002);
    assert_false(end.end.by_peer);
}

static void what_is_no_frame_breaks_the_connection(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        unsigned code;
    } all[] = {
        {"\x82\x81\x01\x02\x03\x04x", 7, WS_BROKEN}, /* masked */
        {"\xc2\x01x", 3, WS_BROKEN},
        {"\x80\x01x", 3, WS_BROKEN},
        {"\x88\x01x", 3, WS_BROKEN},
        {"\x88\x02\x03\xed", 4, WS_BROKEN}, /* 1005 is never sent */
        {"\x88\x02\x00\x00", 4, WS_BROKEN},
        {"\x81\x01x", 3, WS_BAD_TYPE},
        {"\x82\x7f\x00\x00\x00\x00\x00\x08\x00\x01x", 11, WS_TOO_BIG},
    };
    for (size_t i = 0; i < ARRAY_N(all); i++) {
        open_it();
        say(all[i].bytes, all[i].n);
        if (all[i].code != WS_BROKEN) {
            uint8_t first;
            char text[126];
            next_frame(&first, text, sizeof text);
            assert_int_equal(first, 0x88);
            assert_int_equal((uint8_t)text[0] << 8 | (uint8_t)text[1], all[i].code);
            close(conn);
            conn = -1;
        }
        net_until_closed(&net, &end);
        assert_int_equal(end.end.code, all[i].code);
        assert_int_equal(end.messages, 0);
        if (all[i].code == WS_BROKEN)
            assert_string_equal(end.end.reason, "the server sent what is no frame");
        if (conn >= 0)
            close(conn);
        conn = -1;
        end = (struct net_end){0};
        buf_reset(&heard);
    }
}

static void wrong_answers_open_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned status;
        const char *why;
    } all[] = {
        {"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: "
         "persist.sync.v1\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
         0, "cannot connect: what answers is no server of persist"},
        {"SSH-2.0-OpenSSH_9\r\n", 0, "cannot connect: what answers is no server of persist"},
        {"HTTP/1.1 200 OK\r\n\r\n<html>", 200, "the server answers 200"},
        {"HTTP/1.1 502 Bad Gateway\r\n\r\n", 502, "the server answers 502"},
        {"", 0, "cannot connect: the server ended the connection"},
    };
    for (size_t i = 0; i < ARRAY_N(all); i++) {
        accept_request();
        say(all[i].text, strlen(all[i].text));
        if (all[i].text[0] == '\0')
            shutdown(conn, SHUT_WR);
        net_until_closed(&net, &end);
        assert_int_equal(end.opened, 0);
        assert_int_equal(end.end.code, WS_BROKEN);
        assert_int_equal(end.end.http_status, all[i].status);
        assert_string_equal(end.end.reason, all[i].why);
        close(conn);
        conn = -1;
        end = (struct net_end){0};
        buf_reset(&heard);
    }
}

static void a_reset_is_noticed_also_when_paused(void **state)
{
    (void)state;
    open_it();
    ws_pause(end.ws);
    struct linger now = {.l_onoff = 1};
    assert_int_equal(setsockopt(conn, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
    close(conn);
    conn = -1;
    net_until_closed(&net, &end);
    assert_int_equal(end.end.code, WS_BROKEN);
}

static void a_pause_holds_back_what_was_read_already(void **state)
{
    (void)state;
    open_it();
    end.pause_each = true;
    SAY(0x82, 1, 'a', 0x82, 1, 'b', 0x82, 1, 'c', 0x88, 0);
    for (unsigned i = 1; i <= 3; i++) {
        net_until_messages(&net, &end, i);
        net_run_ms(&net, 20);
        assert_int_equal(end.messages, i);
        assert_int_equal(end.closed, 0);
        ws_resume(end.ws);
    }
    net_until_closed(&net, &end);
    assert_int_equal(end.end.code, WS_NO_CODE);
}

/* Of "localhost" both addresses are tried. */
static void a_server_on_the_second_address_is_found(void **state)
{
    (void)state;
    struct ws_server *s;
    struct ws_server_config cfg = {.listen = "[::1]:0",
                                   .connections_max = 5,
                                   .events = &net_events,
                                   .authorise = net_authorise,
                                   .user = &net};
    if (ws_server_start(net.loop, &cfg, &s, NULL) < 0)
        skip(); /* a machine without IPv6 */
    snprintf(net.url, sizeof net.url, "ws://localhost:%u", ws_server_port(s));
    (void)net_open(&net, &end);
    assert_string_equal(ws_address(end.ws), "::1");
    ws_server_free(s);
    net_until_closed(&net, &end);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(frames_right_behind_the_answer_are_messages),
        CASE(an_answer_in_single_bytes_is_one),
        CASE(a_ping_is_answered_with_what_it_carries),
        CASE(masks_are_never_the_same),
        CASE(a_close_is_answered_with_its_code),
        CASE(a_close_waits_for_its_answer),
        CASE(what_is_no_frame_breaks_the_connection),
        CASE(wrong_answers_open_nothing),
        CASE(a_reset_is_noticed_also_when_paused),
        CASE(a_pause_holds_back_what_was_read_already),
        CASE(a_server_on_the_second_address_is_found),
    };
    return cmocka_run_group_tests_name("net_wire", tests, NULL, NULL);
}
