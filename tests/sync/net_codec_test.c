/* Frames and the handshake of a client, against the examples of RFC 6455. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sync/net/ws.h"
#include "sync/net/ws_codec.h"
#include "sync/net/ws_upgrade.h"

#define BYTES(...) bytes_of((const uint8_t[]){__VA_ARGS__}, sizeof(uint8_t[]){__VA_ARGS__})
#define TEXT(s) bytes_of(s, sizeof s - 1)

static const uint8_t mask[WS_MASK_SIZE] = {0x37, 0xfa, 0x21, 0x3d};

/* ---- frames out --------------------------------------------------------------------------------
 */

static void a_frame_is_that_of_the_standard(void **state)
{
    (void)state;
    struct buf b = {0};
    struct bytes ought[] = {
        BYTES(0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58),
        BYTES(0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58),
        BYTES(0x02, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58),
    };
    ws_frame_put(&b, WS_OP_TEXT, true, mask, TEXT("Hello"));
    assert_true(bytes_equal(buf_bytes(&b), ought[0]));
    buf_reset(&b);
    ws_frame_put(&b, WS_OP_PONG, true, mask, TEXT("Hello"));
    assert_true(bytes_equal(buf_bytes(&b), ought[1]));
    buf_reset(&b);
    ws_frame_put(&b, WS_OP_BINARY, false, mask, TEXT("Hello"));
    assert_true(bytes_equal(buf_bytes(&b), ought[2]));
    buf_fini(&b);
}

static void lengths_are_written_in_as_few_bytes_as_can_be(void **state)
{
    (void)state;
    static const struct {
        size_t n, head_n;
        uint8_t head[10];
    } all[] = {
        {0, 2, {0x82, 0x80}},
        {125, 2, {0x82, 0xfd}},
        {126, 4, {0x82, 0xfe, 0, 126}},
        {256, 4, {0x82, 0xfe, 1, 0}},
        {65535, 4, {0x82, 0xfe, 0xff, 0xff}},
        {65536, 10, {0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0}},
    };
    static uint8_t payload[65536];
    for (size_t i = 0; i < sizeof payload; i++)
        payload[i] = (uint8_t)(i * 7 + i / 251);
    for (size_t i = 0; i < ARRAY_N(all); i++) {
        struct buf b = {0};
        size_t head_n = all[i].head_n + WS_MASK_SIZE;
        ws_frame_put(&b, WS_OP_BINARY, true, mask, bytes_of(payload, all[i].n));
        assert_int_equal(b.n, head_n + all[i].n);
        assert_memory_equal(b.p, all[i].head, all[i].head_n);
        assert_memory_equal(b.p + all[i].head_n, mask, WS_MASK_SIZE);
        for (size_t at = 0; at < all[i].n; at++)
            assert_int_equal(b.p[head_n + at] ^ mask[at % WS_MASK_SIZE], payload[at]);
        buf_fini(&b);
    }
}

/* ---- frames in ---------------------------------------------------------------------------------
 */

/* What came: "B:" or "T:" a message, "P:", "Q:", "C:" a ping, pong or close; "|" after each. */
static void note(struct buf *seen, bool *in_message, const struct ws_event *e)
{
    bool control = (e->op & 8) != 0;
    static const char names[] = {[WS_OP_TEXT] = 'T',
                                 [WS_OP_BINARY] = 'B',
                                 [WS_OP_CLOSE] = 'C',
                                 [WS_OP_PING] = 'P',
                                 [WS_OP_PONG] = 'Q'};
    assert_true(!control || e->last);
    if (control || !*in_message) {
        buf_put_u8(seen, (uint8_t)names[e->op]);
        buf_put_u8(seen, ':');
    }
    buf_put_bytes(seen, e->data);
    if (!control)
        *in_message = !e->last;
    if (e->last)
        buf_put_u8(seen, '|');
}

/* Decodes @in in pieces of @step bytes: 0, or the error. */
static int decode(struct bytes in, size_t step, struct buf *seen)
{
    struct ws_decoder d = {0};
    bool in_message = false;
    while (in.n > 0) {
        struct bytes piece = bytes_of(in.p, (size_t)min_u64(step, in.n));
        struct ws_event e;
        int rc;
        in = bytes_of(in.p + piece.n, in.n - piece.n);
        while ((rc = ws_decode(&d, &piece, &e)) == 1)
            note(seen, &in_message, &e);
        if (rc < 0)
            return rc;
        assert_int_equal(piece.n, 0);
    }
    return 0;
}

static void check(struct bytes in, const char *ought)
{
    for (size_t step = 1; step <= in.n; step++) {
        struct buf seen = {0};
        assert_int_equal(decode(in, step, &seen), 0);
        assert_true(bytes_equal(buf_bytes(&seen), bytes_str(ought)));
        buf_fini(&seen);
    }
}

static void frames_are_read_however_they_are_cut(void **state)
{
    (void)state;
    check(BYTES(0x81, 5, 'H', 'e', 'l', 'l', 'o'), "T:Hello|");
    check(BYTES(0x01, 3, 'H', 'e', 'l', 0x80, 2, 'l', 'o'), "T:Hello|");
    check(BYTES(0x89, 5, 'H', 'e', 'l', 'l', 'o', 0x8a, 0, 0x88, 2, '3', '4'), "P:Hello|Q:|C:34|");
    /* A ping in the middle of a message, empty fragments, and the next message. */
    check(BYTES(0x02, 1, 'a', 0x89, 1, 'p', 0x00, 0, 0x00, 1, 'b', 0x80, 0, 0x82, 1, 'c', 0x82, 0),
          "B:aP:p|b|B:c|B:|");
}

static void long_frames_are_read(void **state)
{
    (void)state;
    static const size_t sizes[] = {126, 256, 65535, 65536, 300000};
    for (size_t i = 0; i < ARRAY_N(sizes); i++) {
        struct buf b = {0}, seen = {0};
        bool is_short = sizes[i] < 65536;
        buf_put_u8(&b, 0x82);
        buf_put_u8(&b, is_short ? 126 : 127);
        if (is_short)
            buf_put_u16(&b, (uint16_t)sizes[i]);
        else
            buf_put_u64(&b, sizes[i]);
        size_t head_n = b.n;
        assert_int_equal(buf_resize(&b, head_n + sizes[i]), 0);
        memset(b.p + head_n, 'x', sizes[i]);
        assert_int_equal(decode(buf_bytes(&b), 4099, &seen), 0);
        assert_int_equal(seen.n, sizes[i] + 3);
        buf_fini(&b);
        buf_fini(&seen);
    }
}

/* So that a message that is too long is known before it is there. */
static void what_of_a_frame_is_still_to_come_is_told(void **state)
{
    (void)state;
    struct ws_decoder d = {0};
    struct ws_event e;
    struct bytes in = BYTES(0x02, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 'x');
    assert_int_equal(ws_decode(&d, &in, &e), 1);
    assert_int_equal(e.coming, INT64_MAX - 1);
    assert_int_equal(e.data.n, 1);
    assert_false(e.last);
}

static void what_no_server_sends_is_refused(void **state)
{
    (void)state;
    const struct bytes all[] = {
        BYTES(0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58), /* masked */
        BYTES(0xc2, 0),
        BYTES(0xa2, 0),
        BYTES(0x92, 0), /* extensions */
        BYTES(0x83, 0),
        BYTES(0x87, 0),
        BYTES(0x8b, 0),
        BYTES(0x8f, 0), /* opcodes */
        BYTES(0x09, 0),
        BYTES(0x08, 0), /* a control frame in fragments */
        BYTES(0x89, 126, 0, 126),
        BYTES(0x88, 126, 0, 200), /* and a long one */
        BYTES(0x80, 0),
        BYTES(0x00, 1, 'x'),                            /* nothing goes on */
        BYTES(0x02, 1, 'x', 0x82, 1, 'y'),              /* a message in another one */
        BYTES(0x82, 126, 0, 125),                       /* lengths in too many bytes */
        BYTES(0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff), /* the same */
        BYTES(0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0),    /* and negative */
    };
    for (size_t i = 0; i < ARRAY_N(all); i++) {
        struct buf seen = {0};
        assert_int_equal(decode(all[i], 1, &seen), -EPROTO);
        assert_int_equal(decode(all[i], all[i].n, &seen), -EPROTO);
        buf_fini(&seen);
    }
}

/* ---- the handshake -----------------------------------------------------------------------------
 */

#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define GOOD_BUT_ACCEPT                                                                            \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"            \
    "Sec-WebSocket-Protocol: persist.sync.v1\r\n"
#define ACCEPT "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"

static void the_request_asks_for_a_websocket(void **state)
{
    (void)state;
    char key[WS_KEY_SIZE];
    struct buf b = {0};
    ws_key_of((const uint8_t *)"the sample nonce", key);
    assert_string_equal(key, KEY);
    ws_request_put(&b, &(struct ws_ask){WS_PATH, "server.example.com:8440", key, WS_SUBPROTOCOL,
                                        "Bearer t0ken"});
    buf_put_u8(&b, 0);
    assert_string_equal((char *)b.p,
                        "GET /v1/sync HTTP/1.1\r\nHost: server.example.com:8440\r\n"
                        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: "
                        "13\r\nSec-WebSocket-Protocol: persist.sync.v1\r\nSec-WebSocket-Key: " KEY
                        "\r\nAuthorization: Bearer t0ken\r\n\r\n");
    buf_fini(&b);
}

static void a_plain_request_has_neither_path_nor_protocol_nor_token(void **state)
{
    (void)state;
    struct buf b = {0};
    ws_request_put(&b, &(struct ws_ask){"/", "server.example.com:8440", KEY, NULL, NULL});
    buf_put_u8(&b, 0);
    assert_string_equal((char *)b.p,
                        "GET / HTTP/1.1\r\nHost: server.example.com:8440\r\n"
                        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: "
                        "13\r\nSec-WebSocket-Key: " KEY "\r\n\r\n");
    buf_fini(&b);
}

static void an_answer_is_known_when_it_is_whole(void **state)
{
    (void)state;
    struct bytes all = TEXT(GOOD_BUT_ACCEPT ACCEPT "\r\n\x82\x01x");
    struct ws_answer a;
    size_t whole = all.n - 3;
    for (size_t n = 0; n < whole; n++)
        assert_int_equal(ws_answer_get(bytes_of(all.p, n), KEY, WS_SUBPROTOCOL, &a), 0);
    assert_int_equal(ws_answer_get(all, KEY, WS_SUBPROTOCOL, &a), 1);
    assert_int_equal(a.status, 101);
    assert_int_equal(a.n, whole);
    assert_int_equal(ws_answer_get(all, KEY, WS_PAIR_SUBPROTOCOL, &a), -EPROTO);
    assert_int_equal(ws_answer_get(TEXT("HTTP/1.1 401 Unauthorized\r\nX: y\r\n\r\nbody"), KEY,
                                   WS_SUBPROTOCOL, &a),
                     1);
    assert_int_equal(a.status, 401);
}

static void headers_are_read_as_http_has_them(void **state)
{
    (void)state;
    struct ws_answer a;
    assert_int_equal(ws_answer_get(TEXT("HTTP/1.1 101 \r\nconnection:keep-alive,  UPGRADE\t\r\n"
                                        "UPGRADE:\tWebSocket \r\nServer: some: thing\r\n"
                                        "sec-websocket-protocol:persist.sync.v1\r\n" ACCEPT "\r\n"),
                                   KEY, WS_SUBPROTOCOL, &a),
                     1);
    assert_int_equal(a.status, 101);
}

static void an_answer_that_does_not_agree_is_refused(void **state)
{
    (void)state;
    static const char *const all[] = {
        GOOD_BUT_ACCEPT "\r\n",
        GOOD_BUT_ACCEPT "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOO=\r\n\r\n",
        GOOD_BUT_ACCEPT "Sec-WebSocket-Accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n\r\n",
        GOOD_BUT_ACCEPT ACCEPT ACCEPT "\r\n",
        GOOD_BUT_ACCEPT ACCEPT "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
        GOOD_BUT_ACCEPT ACCEPT "Sec-WebSocket-Protocol: other\r\n\r\n",
        "HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" ACCEPT "\r\n",
        "HTTP/1.1 101 Yes\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n" ACCEPT
        "Sec-WebSocket-Protocol: persist.sync.v1\r\n\r\n",
        "HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: close\r\n" ACCEPT
        "Sec-WebSocket-Protocol: persist.sync.v1\r\n\r\n",
        "HTTP/1.1 1o1 Yes\r\n\r\n",
        "HTTP/1.1 099 No\r\n\r\n",
        "HTTP/1.1101 Yes\r\n\r\n",
        "HTTP/1.1\r\n\r\n",
        "\x16\x03\x01",
        "SSH-2.0-OpenSSH",
        "h",
    };
    struct ws_answer a;
    for (size_t i = 0; i < ARRAY_N(all); i++)
        assert_int_equal(ws_answer_get(bytes_str(all[i]), KEY, WS_SUBPROTOCOL, &a), -EPROTO);
}

#define PLAIN "HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"

/* No subprotocol was asked for. */
static void a_plain_answer_needs_no_protocol(void **state)
{
    (void)state;
    struct bytes good = TEXT(PLAIN ACCEPT "\r\n\x82\x01x");
    static const char *const bad[] = {
        PLAIN "\r\n",
        PLAIN "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOO=\r\n\r\n",
        PLAIN ACCEPT ACCEPT "\r\n",
        PLAIN ACCEPT "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
        PLAIN ACCEPT "Sec-WebSocket-Protocol: other\r\n\r\n",
        GOOD_BUT_ACCEPT ACCEPT "\r\n",
    };
    struct ws_answer a;
    for (size_t n = 0; n < good.n - 3; n++)
        assert_int_equal(ws_answer_get(bytes_of(good.p, n), KEY, NULL, &a), 0);
    assert_int_equal(ws_answer_get(good, KEY, NULL, &a), 1);
    assert_int_equal(a.status, 101);
    assert_int_equal(a.n, good.n - 3);
    assert_int_equal(ws_answer_get(good, KEY, WS_SUBPROTOCOL, &a), -EPROTO);
    for (size_t i = 0; i < ARRAY_N(bad); i++)
        assert_int_equal(ws_answer_get(bytes_str(bad[i]), KEY, NULL, &a), -EPROTO);
    assert_int_equal(ws_answer_get(TEXT("HTTP/1.1 404 No\r\n\r\n"), KEY, NULL, &a), 1);
    assert_int_equal(a.status, 404);
}

static void an_answer_without_end_is_refused(void **state)
{
    (void)state;
    struct ws_answer a;
    struct buf b = {0};
    buf_put_bytes(&b, TEXT("HTTP/1.1 200 OK\r\nX: "));
    while (b.n < WS_ANSWER_MAX - 1)
        buf_put_u8(&b, 'y');
    assert_int_equal(ws_answer_get(buf_bytes(&b), KEY, WS_SUBPROTOCOL, &a), 0);
    buf_put_u8(&b, 'y');
    assert_int_equal(ws_answer_get(buf_bytes(&b), KEY, WS_SUBPROTOCOL, &a), -EPROTO);
    buf_put_bytes(&b, TEXT("\r\n\r\n"));
    assert_int_equal(ws_answer_get(buf_bytes(&b), KEY, WS_SUBPROTOCOL, &a), -EPROTO);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frame_is_that_of_the_standard),
        cmocka_unit_test(lengths_are_written_in_as_few_bytes_as_can_be),
        cmocka_unit_test(frames_are_read_however_they_are_cut),
        cmocka_unit_test(long_frames_are_read),
        cmocka_unit_test(what_of_a_frame_is_still_to_come_is_told),
        cmocka_unit_test(what_no_server_sends_is_refused),
        cmocka_unit_test(the_request_asks_for_a_websocket),
        cmocka_unit_test(a_plain_request_has_neither_path_nor_protocol_nor_token),
        cmocka_unit_test(an_answer_is_known_when_it_is_whole),
        cmocka_unit_test(headers_are_read_as_http_has_them),
        cmocka_unit_test(an_answer_that_does_not_agree_is_refused),
        cmocka_unit_test(a_plain_answer_needs_no_protocol),
        cmocka_unit_test(an_answer_without_end_is_refused),
    };
    return cmocka_run_group_tests_name("net_codec", tests, NULL, NULL);
}
