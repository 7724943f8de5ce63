/* What a server answers to requests, byte by byte over plain sockets; limits; how it stops. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/net.h"

static struct net net;
static struct net_end end; /* of the client */

static void serve_http(const struct ws_request *r, struct ws_reply *reply, void *user)
{
    (void)user;
    if (strcmp(r->path, "/healthz") == 0) {
        reply->status = 200;
        buf_put_bytes(&reply->body, bytes_str("well\n"));
    } else if (strcmp(r->path, "/metrics") == 0 && r->loopback) {
        reply->status = 200;
        reply->type = "text/plain; version=0.0.4";
        for (int i = 0; i < 20000; i++)
            buf_put_bytes(&reply->body, bytes_str("line of a long answer\n"));
    } else if (strcmp(r->path, "/from") == 0) {
        reply->status = 200;
        buf_put_bytes(&reply->body, bytes_str(r->address));
        buf_put_bytes(&reply->body, bytes_str(r->loopback ? " here" : " elsewhere"));
    } else if (strcmp(r->path, "/token") == 0) {
        reply->status = r->token.n > 0 ? 200 : 401;
        buf_put_bytes(&reply->body, r->token);
        buf_put_bytes(&reply->body, bytes_str(r->address));
    }
}

static int start(void **state)
{
    (void)state;
    end = (struct net_end){0};
    net_start(&net, (struct ws_server_config){
                        .http = serve_http, .connections_max = 3, .handshake_ms = 400});
    net_client(&net, (struct ws_client_config){0});
    return 0;
}

static int start_thread(void **state)
{
    start(state);
    net_thread(&net);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    net_end(&net);
    return 0;
}

static void say(int fd, const char *text)
{
    size_t n = strlen(text);
    while (n > 0) {
        ssize_t k = send(fd, text, n, MSG_NOSIGNAL);
        if (k <= 0)
            return; /* the answer says why */
        text += k;
        n -= (size_t)k;
    }
}

/* All that comes until the server closes, or all of the head when it is a 101. */
static void hear(int fd, struct buf *to)
{
    buf_reset(to);
    for (;;) {
        char piece[4096];
        ssize_t n = recv(fd, piece, sizeof piece, 0);
        if (n <= 0)
            break;
        buf_put(to, piece, (size_t)n);
        if (to->n > 12 && memcmp(to->p, "HTTP/1.1 101", 12) == 0)
            break;
    }
    buf_put_u8(to, 0);
}

/* The status of the answer to a whole request; 0: none. */
static unsigned ask(const char *request, struct buf *answer)
{
    int fd = net_raw(&net);
    say(fd, request);
    hear(fd, answer);
    close(fd);
    unsigned status = 0;
    (void)sscanf((const char *)answer->p, "HTTP/1.1 %u", &status);
    return status;
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: localhost\r\n"
#define UPGRADE                                                                                    \
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: "                             \
    "dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define SUBPROTOCOL "Sec-WebSocket-Protocol: persist.sync.v1\r\n"
#define GOOD "Authorization: Bearer good\r\n"
#define END "\r\n"

static void each_request_gets_its_status(void **state)
{
    (void)state;
    static const struct {
        unsigned status;
        const char *request;
    } rows[] = {
        {101, GET("/v1/sync") UPGRADE VERSION SUBPROTOCOL GOOD END},
        {101,
         GET("/v1/sync") UPGRADE VERSION "Sec-WebSocket-Protocol: other, "
                                         "persist.sync.v1\r\nauthorization: bearer good\r\n" END},
        {401, GET("/v1/sync") UPGRADE VERSION SUBPROTOCOL END},
        {401, GET("/v1/sync") UPGRADE VERSION SUBPROTOCOL "Authorization: Bearer bad\r\n" END},
        {401, GET("/v1/sync") UPGRADE VERSION SUBPROTOCOL "Authorization: Basic good\r\n" END},
        {401, GET("/v1/sync") UPGRADE VERSION SUBPROTOCOL "Authorization: Bearer \r\n" END},
        {403,
         GET("/v1/sync") UPGRADE VERSION SUBPROTOCOL "Authorization: Bearer forbidden\r\n" END},
        {429, GET("/v1/sync") UPGRADE VERSION SUBPROTOCOL "Authorization: Bearer often\r\n" END},
        {503, GET("/v1/sync") UPGRADE VERSION SUBPROTOCOL "Authorization: Bearer later\r\n" END},
        {403,
         GET("/v1/sync") UPGRADE VERSION SUBPROTOCOL GOOD "Origin: https://evil.example\r\n" END},
        {403, GET("/v1/sync") UPGRADE VERSION SUBPROTOCOL GOOD "Origin: null\r\n" END},
        {400, GET("/v1/sync") UPGRADE VERSION GOOD END},
        {400, GET("/v1/sync") UPGRADE VERSION "Sec-WebSocket-Protocol: other\r\n" GOOD END},
        {400, GET("/v1/sync") UPGRADE SUBPROTOCOL GOOD END},
        {400, GET("/v1/sync") "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n"
                              "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n" GOOD END},
        {404, GET("/v1/sync") END},
        {404, GET("/v1/sync?token=good") UPGRADE VERSION SUBPROTOCOL GOOD END},
        {404, GET("/v1/sync/") UPGRADE VERSION SUBPROTOCOL GOOD END},
        {404, GET("/") UPGRADE VERSION SUBPROTOCOL GOOD END},
        {404, GET("/other") END},
        {404, "POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n" END},
        {404, "HEAD /healthz HTTP/1.1\r\nHost: x\r\n" END},
        {200, GET("/healthz") END},
        {200, GET("/token") "Authorization: Bearer abc\r\n" END},
        {401, GET("/token") END},
        {0, "CONNECT example.org:80 HTTP/1.1\r\nHost: x\r\n" END},
        {0, "\x16\x03\x01 no HTTP at all\r\n\r\n"},
    };
    struct buf answer = {0};
    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        unsigned status = ask(rows[i].request, &answer);
        if (status != rows[i].status)
            fail_msg("row %zu: %u instead of %u:\n%s%s", i, status, rows[i].status, rows[i].request,
                     (const char *)answer.p);
    }
    buf_fini(&answer);
}

static void gets_are_answered_whole(void **state)
{
    (void)state;
    struct buf answer = {0};
    assert_int_equal(ask(GET("/healthz") END, &answer), 200);
    assert_non_null(strstr((char *)answer.p, "Content-Type: text/plain\r\n"));
    assert_non_null(strstr((char *)answer.p, "Content-Length: 5\r\n"));
    assert_non_null(strstr((char *)answer.p, "\r\n\r\nwell\n"));
    assert_int_equal(ask(GET("/token") "Authorization: Bearer abc\r\n" END, &answer), 200);
    assert_non_null(strstr((char *)answer.p, "\r\n\r\nabc127.0.0.1"));
    assert_int_equal(ask(GET("/metrics") END, &answer), 200);
    assert_non_null(strstr((char *)answer.p, "Content-Type: text/plain; version=0.0.4\r\n"));
    const char *body = strstr((char *)answer.p, "\r\n\r\n");
    assert_int_equal(strlen(body + 4), 20000 * strlen("line of a long answer\n"));
    assert_int_equal(ask(GET("/v1/sync") UPGRADE VERSION SUBPROTOCOL END, &answer), 401);
    assert_non_null(strstr((char *)answer.p, "WWW-Authenticate: Bearer\r\n"));
    buf_fini(&answer);
}

/* A proxy on this machine tells whose a request is; it is then not this machine's. */
static void a_forwarded_request_is_its_clients(void **state)
{
    (void)state;
    static const struct {
        const char *headers, *address;
        bool loopback;
    } rows[] = {
        {"Host: localhost\r\n", "127.0.0.1", true},
        {"Host: 127.0.0.1:8440\r\n", "127.0.0.1", true},
        {"Host: [::1]:8440\r\n", "127.0.0.1", true},
        {"Host: sync.example.org\r\n", "127.0.0.1", false},
        {"Host: 127.example.org\r\n", "127.0.0.1", false},
        {"Host: localhost.example.org\r\n", "127.0.0.1", false},
        {"Host: localhost\r\nX-Forwarded-For: 192.0.2.7\r\n", "192.0.2.7", false},
        {"Host: localhost\r\nX-Forwarded-For: 127.0.0.1\r\n", "127.0.0.1", false},
        {"Host: localhost\r\nX-Forwarded-For: 127.0.0.1, 192.0.2.7 \r\n", "192.0.2.7", false},
        {"Host: localhost\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-For: 192.0.2.7\r\n",
         "192.0.2.7", false},
        {"Host: localhost\r\nX-Forwarded-For: 1.2.3.4,2001:db8::7\r\n", "2001:db8::7", false},
        {"Host: localhost\r\nX-Forwarded-For: ::ffff:192.0.2.7\r\n", "192.0.2.7", false},
        {"Host: localhost\r\nX-Forwarded-For: 192.0.2.7, unknown\r\n", "127.0.0.1", false},
        {"Host: localhost\r\nX-Real-IP: 192.0.2.7\r\n", "127.0.0.1", false},
        {"Host: localhost\r\nVia: 1.1 proxy\r\n", "127.0.0.1", false},
        {"Host: localhost\r\nForwarded: for=192.0.2.7\r\n", "127.0.0.1", false},
    };
    struct buf answer = {0};
    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        char request[512], body[128];
        snprintf(request, sizeof request, "GET /from HTTP/1.1\r\n%s\r\n", rows[i].headers);
        assert_int_equal(ask(request, &answer), 200);
        snprintf(body, sizeof body, "\r\n\r\n%s %s", rows[i].address,
                 rows[i].loopback ? "here" : "elsewhere");
        if (strstr((char *)answer.p, body) == NULL)
            fail_msg("row %zu: not '%s' for:\n%s%s", i, body + 4, request, (char *)answer.p);
    }
    buf_fini(&answer);
}

/* One long header, and many short ones. */
static void long_headers_are_refused(void **state)
{
    (void)state;
    struct buf answer = {0};
    struct buf request = {0};
    buf_put_bytes(&request, bytes_str(GET("/healthz") "X-Long: "));
    for (int i = 0; i < 9000; i++)
        buf_put_u8(&request, 'x');
    buf_put_bytes(&request, bytes_str("\r\n\r\n"));
    buf_put_u8(&request, 0);
    assert_int_equal(ask((char *)request.p, &answer), 0);
    buf_reset(&request);
    buf_put_bytes(&request, bytes_str(GET("/healthz")));
    for (int i = 0; i < 1000; i++)
        buf_put_bytes(&request, bytes_str("X-Header: 01234\r\n"));
    buf_put_bytes(&request, bytes_str("\r\n"));
    buf_put_u8(&request, 0);
    assert_int_equal(ask((char *)request.p, &answer), 0);
    /* Just as many as are allowed. */
    buf_reset(&request);
    buf_put_bytes(&request, bytes_str(GET("/healthz") "X-Long: "));
    for (int i = 0; i < 7000; i++)
        buf_put_u8(&request, 'x');
    buf_put_bytes(&request, bytes_str("\r\n\r\n"));
    buf_put_u8(&request, 0);
    assert_int_equal(ask((char *)request.p, &answer), 200);
    buf_fini(&answer);
    buf_fini(&request);
}

/* How long a connection lives that says @text and then a letter of a header now and then. */
static uint64_t life_of(const char *text, bool drip)
{
    int fd = net_raw(&net);
    uint64_t from = net_now_ms();
    say(fd, text);
    char c;
    struct timeval pause = {.tv_usec = 50000};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &pause, sizeof pause), 0);
    while (recv(fd, &c, 1, 0) < 0 && (errno == EAGAIN || errno == EINTR) &&
           net_now_ms() - from < NET_WAIT_MS)
        if (drip)
            say(fd, "x");
    close(fd);
    return net_now_ms() - from;
}

static void slow_handshakes_are_cut(void **state)
{
    (void)state;
    uint64_t lives[] = {life_of("", false), life_of("GET /heal", false),
                        life_of(GET("/healthz") "X-Slow: ", true)};
    for (size_t i = 0; i < ARRAY_N(lives); i++)
        assert_true(lives[i] >= 390 && lives[i] < 5000);
}

/* A peer that sends frames by hand. */
static int raw_websocket(void)
{
    struct buf answer = {0};
    int fd = net_raw(&net);
    say(fd, GET("/v1/sync") UPGRADE VERSION SUBPROTOCOL GOOD END);
    hear(fd, &answer);
    assert_non_null(strstr((char *)answer.p, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_null(strstr((char *)answer.p, "Extensions"));
    buf_fini(&answer);
    return fd;
}

/* The code of the close frame that comes; 0: none came before the end. */
static unsigned close_code(int fd)
{
    uint8_t b[4096];
    size_t n = 0;
    ssize_t k;
    while (n < 4 && (k = recv(fd, b + n, sizeof b - n, 0)) > 0)
        n += (size_t)k;
    return n >= 4 && b[0] == 0x88 ? (unsigned)b[2] << 8 | b[3] : 0;
}

static void hostile_frames_are_answered_with_their_close_code(void **state)
{
    (void)state;
    static const struct {
        unsigned code;
        size_t n;
        const char *frame;
    } rows[] = {
        /* A length of 512 KiB + 1: refused with its first byte. */
        {WS_TOO_BIG, 15, "\x82\xff\0\0\0\0\0\x08\0\x01\0\0\0\0x"},
        {WS_TOO_BIG, 15, "\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0x"},
        {WS_BAD_TYPE, 7, "\x81\x81\0\0\0\0x"},
        {1002, 7, "\xc2\x81\0\0\0\0x"},        /* compressed */
        {1002, 7, "\x80\x81\0\0\0\0x"},        /* continues nothing */
        {1002, 7, "\x8b\x81\0\0\0\0x"},        /* unknown type */
        {1002, 7, "\x09\x81\0\0\0\0x"},        /* a ping in fragments */
        {4321, 8, "\x88\x82\0\0\0\0\x10\xe1"}, /* a close comes back */
    };
    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        int fd = raw_websocket();
        assert_int_equal(send(fd, rows[i].frame, rows[i].n, MSG_NOSIGNAL), rows[i].n);
        unsigned code = close_code(fd);
        if (code != rows[i].code)
            fail_msg("row %zu: %u instead of %u", i, code, rows[i].code);
        close(fd);
    }
}

/* 9 fragments of 64 KiB, each of which is short enough. */
static void a_long_message_in_fragments_is_refused(void **state)
{
    (void)state;
    static uint8_t frame[14 + 65536] = {0x02, 0xff, 0, 0, 0, 0, 0, 1, 0, 0};
    int fd = raw_websocket();
    for (int i = 0; i < 9; i++) {
        (void)send(fd, frame, sizeof frame, MSG_NOSIGNAL);
        frame[0] = 0;
    }
    assert_int_equal(close_code(fd), WS_TOO_BIG);
    close(fd);
}

static void a_ping_is_answered(void **state)
{
    (void)state;
    int fd = raw_websocket();
    uint8_t b[4];
    assert_int_equal(send(fd, "\x89\x82\0\0\0\0hi", 8, MSG_NOSIGNAL), 8);
    assert_int_equal(recv(fd, b, 4, MSG_WAITALL), 4);
    assert_memory_equal(b, "\x8a\x02hi", 4);
    close(fd);
}

static void the_client_is_told_the_status(void **state)
{
    (void)state;
    static const struct {
        const char *token;
        unsigned status;
    } rows[] = {{"bad", 401}, {"forbidden", 403}, {"often", 429}, {"later", 503}};
    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        struct net_end e = {0};
        net_connect_as(&net, &e, rows[i].token);
        net_until_closed(&net, &e);
        assert_int_equal(e.opened, 0);
        assert_int_equal(e.closed, 1);
        assert_int_equal(e.end.http_status, rows[i].status);
        assert_int_equal(e.end.code, WS_BROKEN);
    }
    assert_int_equal(net.server_ends_n, 0);
}

static void a_full_server_refuses_until_one_goes(void **state)
{
    (void)state;
    static struct net_end ends[3]; /* as the next one open until the client is freed */
    static struct net_end again;
    for (int i = 0; i < 3; i++)
        (void)net_open(&net, &ends[i]);
    net_connect(&net, &end);
    net_until_closed(&net, &end);
    assert_int_equal(end.end.http_status, 503);
    ws_close(ends[1].ws, WS_NORMAL, NULL);
    net_until_closed(&net, &net.server_ends[1]);
    (void)net_open(&net, &again);
}

/* More sockets than a server of three connections takes: the rest waits and is served then. */
static void more_handshakes_than_there_is_room_for_wait(void **state)
{
    (void)state;
    int fds[100];
    for (size_t i = 0; i < ARRAY_N(fds); i++)
        fds[i] = net_raw(&net);
    struct buf answer = {0};
    assert_int_equal(ask(GET("/healthz") END, &answer), 200);
    buf_fini(&answer);
    for (size_t i = 0; i < ARRAY_N(fds); i++)
        close(fds[i]);
}

static void on_stopped(void *user)
{
    ((struct net *)user)->stopped++;
}

static bool has_stopped(void *arg)
{
    return ((struct net *)arg)->stopped > 0;
}

static void a_stop_sends_what_is_queued_and_says_why(void **state)
{
    (void)state;
    static const uint8_t message[WS_MESSAGE_MAX];
    struct net_end half = {0};
    struct net_end *far = net_open(&net, &end);
    int idle = net_raw(&net);
    net_connect(&net, &half);
    assert_int_equal(ws_send(far->ws, bytes_of(message, sizeof message)), 0);
    ws_server_stop(net.server, 5000, on_stopped);
    uint64_t from = net_now_ms();
    net_until(&net, has_stopped, &net);
    assert_true(net_now_ms() - from < 4000);
    assert_int_equal(far->closed, 1);
    net_until_closed(&net, &end);
    assert_int_equal(end.bytes, sizeof message);
    assert_int_equal(end.end.code, WS_GOING_AWAY);
    assert_true(end.end.by_peer);
    assert_string_equal(end.end.reason, "the server stops");
    net_until_closed(&net, &half);
    struct net_end late = {0};
    net_connect(&net, &late);
    net_until_closed(&net, &late);
    assert_int_equal(late.opened, 0);
    assert_int_equal(net.stopped, 1);
    close(idle);
}

static void a_stop_does_not_wait_longer_than_its_deadline(void **state)
{
    (void)state;
    static const uint8_t message[WS_MESSAGE_MAX];
    struct net_end *far = net_open(&net, &end);
    ws_pause(end.ws);
    /* Until the sockets' buffers are full, too. */
    for (int i = 0; i < 200; i++) {
        while (ws_send(far->ws, bytes_of(message, sizeof message)) == 0)
            continue;
        net_run_ms(&net, 1);
    }
    ws_server_stop(net.server, 300, on_stopped);
    uint64_t from = net_now_ms();
    net_until(&net, has_stopped, &net);
    assert_true(net_now_ms() - from >= 290 && net_now_ms() - from < 3000);
    assert_int_equal(far->closed, 1);
    ws_resume(end.ws);
    net_until_closed(&net, &end);
    assert_int_equal(end.end.code, WS_BROKEN);
}

static void addresses_to_listen_on_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *listen;
        int error;
    } rows[] = {{"", -EINVAL},
                {"127.0.0.1", -EINVAL},
                {"127.0.0.1:", -EINVAL},
                {":80", -EINVAL},
                {"localhost:80", -EINVAL},
                {"127.0.0.1:x", -EINVAL},
                {"[]:80", -EINVAL},
                {"[127.0.0.1:80", -EINVAL},
                {"127.0.0.1:99999", -EINVAL},
                {"127.0.0.1:65536", -EINVAL},
                {"127.0.0.1:+1", -EINVAL},
                {"127.0.0.1:-1", -EINVAL},
                {"127.0.0.1:4294967377", -EINVAL},
                {"198.51.100.1:65535", -EADDRNOTAVAIL},
                {"198.51.100.1:0", -EADDRNOTAVAIL}};
    struct err err;
    struct ws_server *s;
    struct ws_server_config cfg = {.authorise = net_authorise, .events = &net_events};
    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        cfg.listen = rows[i].listen;
        assert_int_equal(ws_server_start(net.loop, &cfg, &s, &err), rows[i].error);
        assert_int_equal(strncmp(err.msg, rows[i].listen, strlen(rows[i].listen)), 0);
    }
    char taken[64];
    snprintf(taken, sizeof taken, "127.0.0.1:%u", ws_server_port(net.server));
    cfg.listen = taken;
    assert_int_equal(ws_server_start(net.loop, &cfg, &s, &err), -EADDRINUSE);
    cfg.listen = "[::1]:0";
    if (ws_server_start(net.loop, &cfg, &s, &err) == 0)
        ws_server_free(s);
    else
        assert_int_equal(err.code, -EADDRNOTAVAIL); /* a machine without IPv6 */
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, start, stop)
#define CASE_IN_THREAD(f) cmocka_unit_test_setup_teardown(f, start_thread, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE_IN_THREAD(each_request_gets_its_status),
        CASE_IN_THREAD(gets_are_answered_whole),
        CASE_IN_THREAD(a_forwarded_request_is_its_clients),
        CASE_IN_THREAD(long_headers_are_refused),
        CASE_IN_THREAD(slow_handshakes_are_cut),
        CASE_IN_THREAD(hostile_frames_are_answered_with_their_close_code),
        CASE_IN_THREAD(a_long_message_in_fragments_is_refused),
        CASE_IN_THREAD(a_ping_is_answered),
        CASE_IN_THREAD(more_handshakes_than_there_is_room_for_wait),
        CASE(the_client_is_told_the_status),
        CASE(a_full_server_refuses_until_one_goes),
        CASE(a_stop_sends_what_is_queued_and_says_why),
        CASE(a_stop_does_not_wait_longer_than_its_deadline),
        CASE(addresses_to_listen_on_are_checked),
    };
    return cmocka_run_group_tests_name("net_server", tests, NULL, NULL);
}
