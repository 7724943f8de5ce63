/* The parts of sync/net without a loop: waits, URLs, the queue of a sender. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sync/net/backoff.h"
#include "sync/net/sendq.h"
#include "sync/net/ws.h"
#include "sync/net/ws_url.h"

static void waits_double_from_one_second_to_sixty(void **state)
{
    (void)state;
    static const uint32_t least[] = {1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000};
    static const uint32_t most[] = {2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000};
    struct backoff low = {0};
    struct backoff high = {0};
    for (size_t i = 0; i < ARRAY_N(least); i++) {
        assert_int_equal(backoff_next(&low, 0), least[i]);
        assert_int_equal(backoff_next(&high, UINT32_MAX), most[i]);
    }
    for (int i = 0; i < 1000; i++)
        assert_int_equal(backoff_next(&low, 0), 30000);
    backoff_reset(&low);
    uint32_t first = backoff_next(&low, UINT32_MAX / 2);
    assert_true(first > 1400 && first < 1600);
}

static void urls_are_taken_apart(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool tls, numeric, loopback;
        const char *host;
        unsigned port;
    } rows[] = {
        {"wss://sync.example.org", true, false, false, "sync.example.org", 443},
        {"WSS://a-b.example:8443/", true, false, false, "a-b.example", 8443},
        {"wss://192.0.2.7:1/v1/sync", true, true, false, "192.0.2.7", 1},
        {"ws://localhost:7447", false, false, true, "localhost", 7447},
        {"ws://LocalHost", false, false, true, "LocalHost", 80},
        {"ws://127.3.2.1:65535", false, true, true, "127.3.2.1", 65535},
        {"ws://[::1]:80/v1/sync", false, true, true, "::1", 80},
    };
    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        struct ws_url u;
        struct err err = {0};
        if (ws_url_parse(rows[i].text, false, &u, &err) < 0)
            fail_msg("%s", err.msg);
        assert_int_equal(u.tls, rows[i].tls);
        assert_int_equal(u.numeric, rows[i].numeric);
        assert_int_equal(u.loopback, rows[i].loopback);
        assert_string_equal(u.host, rows[i].host);
        assert_int_equal(u.port, rows[i].port);
    }
}

static void a_url_has_one_spelling(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"WSS://Sync.Example.ORG:443/v1/sync", "wss://sync.example.org"},
        {"wss://sync.example.org:80/", "wss://sync.example.org:80"},
        {"ws://LocalHost:80", "ws://localhost"},
        {"ws://127.0.0.1:8440", "ws://127.0.0.1:8440"},
        {"ws://[::1]:8440", "ws://[::1]:8440"},
    };
    char text[WS_URL_SIZE];
    struct ws_url u, again;
    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        assert_int_equal(ws_url_parse(rows[i][0], false, &u, NULL), 0);
        assert_string_equal(ws_url_text(&u, text), rows[i][1]);
        assert_int_equal(ws_url_parse(text, false, &again, NULL), 0);
    }
    /* The longest there is. */
    char longest[WS_HOST_MAX + 32] = "wss://";
    memset(longest + 6, 'a', WS_HOST_MAX);
    snprintf(longest + 6 + WS_HOST_MAX, 26, ":65535");
    assert_int_equal(ws_url_parse(longest, false, &u, NULL), 0);
    assert_string_equal(ws_url_text(&u, text), longest);
}

static void what_is_no_url_of_a_server_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "sync.example.org",
        "https://sync.example.org",
        "ws://",
        "wss://:443",
        "wss://host:",
        "wss://host:0",
        "wss://host:65536",
        "wss://host:443443",
        "wss://host:44x",
        "wss://host/other",
        "wss://host/v1/sync?token=1",
        "wss://user@host",
        "wss://ho st",
        "wss://host\r\nX: y",
        "wss://[::1",
        "wss://[]",
        "ws://[127.0.0.1]",
        "ws://[localhost]",
        "ws://::1",
        "wss://[2001:db8::1]",
        "wss://"
        "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234"
        "56789012345678901",
    };
    struct ws_url u;
    for (size_t i = 0; i < ARRAY_N(texts); i++)
        if (ws_url_parse(texts[i], true, &u, NULL) != -EINVAL)
            fail_msg("%s", texts[i]);
}

static void the_clear_is_for_loopback_unless_insecure(void **state)
{
    (void)state;
    static const char *const texts[] = {"ws://sync.example.org", "ws://192.0.2.1",
                                        "ws://[2001:db8::1]:80", "ws://localhost.example.org",
                                        "ws://0.0.0.0",          "ws://126.0.0.1"};
    struct ws_url u;
    struct err err;
    for (size_t i = 0; i < ARRAY_N(texts); i++) {
        assert_int_equal(ws_url_parse(texts[i], false, &u, &err), -EACCES);
        assert_non_null(strstr(err.msg, "use wss://"));
        assert_int_equal(ws_url_parse(texts[i], true, &u, NULL), 0);
    }
}

static void a_full_queue_refuses_until_there_is_room(void **state)
{
    (void)state;
    static const uint8_t big[WS_MESSAGE_MAX];
    struct sendq q = {0};
    assert_false(sendq_has_room(&q));
    assert_int_equal(sendq_push(&q, bytes_of(big, sizeof big)), 0);
    assert_int_equal(sendq_push(&q, bytes_of(big, sizeof big)), -EAGAIN);
    assert_int_equal(sendq_push(&q, bytes_str("small")), 0);
    assert_false(sendq_has_room(&q));
    sendq_pop(&q);
    assert_true(sendq_has_room(&q));
    assert_false(sendq_has_room(&q));
    assert_int_equal(q.first->n, 5);
    assert_memory_equal(q.first->data, "small", 5);
    sendq_pop(&q);
    assert_int_equal(q.bytes, 0);
    sendq_fini(&q);
}

static void a_first_message_always_has_room(void **state)
{
    (void)state;
    static const uint8_t frame[SENDQ_MAX];
    struct sendq q = {0};
    assert_int_equal(sendq_push(&q, bytes_of(frame, sizeof frame)), 0);
    assert_int_equal(sendq_push(&q, bytes_str("")), -EAGAIN);
    sendq_fini(&q);
    assert_int_equal(q.bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_double_from_one_second_to_sixty),
        cmocka_unit_test(urls_are_taken_apart),
        cmocka_unit_test(a_url_has_one_spelling),
        cmocka_unit_test(what_is_no_url_of_a_server_is_refused),
        cmocka_unit_test(the_clear_is_for_loopback_unless_insecure),
        cmocka_unit_test(a_full_queue_refuses_until_there_is_room),
        cmocka_unit_test(a_first_message_always_has_room),
    };
    return cmocka_run_group_tests_name("net_pure", tests, NULL, NULL);
}
