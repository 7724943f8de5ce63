/* Multiaddrs: text and bytes, against known vectors; what can be dialed. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/peer_id.h"
#include "sync/net/libp2p/limits.h"
#include "sync/net/libp2p/multiaddr.h"
#include "tests/support/vectors.h"

#define ID "12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5"
#define QM "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"

static struct bytes parsed(struct buf *b, const char *text)
{
    struct err err;
    buf_reset(b);
    assert_int_equal(maddr_parse(bytes_str(text), b, &err), 0);
    return buf_bytes(b);
}

static void text_and_bytes_of_known_addresses(void **state)
{
    (void)state;
    struct buf got = {0}, ought = {0};
    char text[VECTOR_TEXT_SIZE];
    size_t n = vector_count("multiaddrs");
    for (size_t i = 0; i < n; i++) {
        vector_bytes(&ought, "multiaddrs.%zu.bytes", i);
        vector_text(text, "multiaddrs.%zu.text", i);
        assert_true(bytes_equal(parsed(&got, text), buf_bytes(&ought)));
        buf_reset(&got);
        assert_int_equal(maddr_text(buf_bytes(&ought), &got), 0);
        assert_true(bytes_equal(buf_bytes(&got), bytes_str(text)));
        for (size_t cut = 1; cut < ought.n; cut++) { /* no beginning is read past its end */
            uint8_t *copy = malloc(cut);
            memcpy(copy, ought.p, cut);
            assert_true(maddr_check(bytes_of(copy, cut)) <= 0);
            free(copy);
        }
    }
    buf_fini(&got);
    buf_fini(&ought);
}

static void other_texts_of_an_address_are_read(void **state)
{
    (void)state;
    static const char *const same[][2] = {
        {"/ip4/1.2.3.4/tcp/1/ipfs/" QM, "/ip4/1.2.3.4/tcp/1/p2p/" QM},
        {"/ip6/2001:DB8:0:0::1/tcp/1", "/ip6/2001:db8::1/tcp/1"},
        {"/ip6zone/eth0/ip6/fe80::1/tcp/1", "/ip6zone/eth0/ip6/fe80::1/tcp/1"},
        {"/dns/a.example/tcp/80/ws/http-path/a%2fb%20c",
         "/dns/a.example/tcp/80/ws/http-path/a%2Fb%20c"},
    };
    struct buf b = {0}, text = {0};
    for (size_t i = 0; i < ARRAY_N(same); i++) {
        buf_reset(&text);
        assert_int_equal(maddr_text(parsed(&b, same[i][0]), &text), 0);
        assert_true(bytes_equal(buf_bytes(&text), bytes_str(same[i][1])));
    }
    buf_fini(&b);
    buf_fini(&text);
}

static void parse_of_what_is_none_fails_and_leaves_the_buffer(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int error;
    } bad[] = {
        {"", -EBADMSG},
        {"/", -ENOTSUP},
        {"ip4/1.2.3.4", -EBADMSG},
        {"/ip4", -EBADMSG},
        {"/ip4/", -EBADMSG},
        {"/ip4/1.2.3", -EBADMSG},
        {"/ip4/1.2.3.256", -EBADMSG},
        {"/ip4/01.2.3.4", -EBADMSG},
        {"/ip4/1.2.3.4/", -ENOTSUP},
        {"/ip4/1.2.3.4/tcp", -EBADMSG},
        {"/ip4/1.2.3.4/tcp/", -EBADMSG},
        {"/ip4/1.2.3.4/tcp/65536", -EBADMSG},
        {"/ip4/1.2.3.4/tcp/0x1", -EBADMSG},
        {"/ip4/1.2.3.4/tcp/01", -EBADMSG},
        {"/ip4/1.2.3.4/tcp/+1", -EBADMSG},
        {"/ip4/1.2.3.4/sctp/1", -ENOTSUP},
        {"/ip4/1.2.3.4/tcp/1/wsx", -ENOTSUP},
        {"/ip6/1.2.3.4/tcp/1", -EBADMSG},
        {"/ip6/fe80::1%eth0/tcp/1", -EBADMSG},
        {"/dns//tcp/1", -EBADMSG},
        {"/dns/a b/tcp/1", -EBADMSG},
        {"/dns/a\nb/tcp/1", -EBADMSG},
        {"/p2p/12D3KooW", -EBADMSG},
        {"/ip4/1.2.3.4/tcp/1/ws/http-path/a%2", -EBADMSG},
        {"/ip4/1.2.3.4/tcp/1/ws/http-path/%zz", -EBADMSG},
        {"/ip4/1.2.3.4/tcp/1/ws/http-path/", -EBADMSG},
    };
    struct buf b = {0};
    struct err err;
    char longest[P2P_ADDR_TEXT + 2];
    buf_put_u8(&b, 7);
    for (size_t i = 0; i < ARRAY_N(bad); i++) {
        err.msg[0] = '\0';
        assert_int_equal(maddr_parse(bytes_str(bad[i].text), &b, &err), bad[i].error);
        assert_int_equal(strncmp(err.msg, "address: ", 9), 0);
        assert_int_equal(b.n, 1);
    }
    for (size_t i = 0; i < sizeof longest; i++)
        longest[i] = "/ws"[i % 3];
    assert_int_equal(maddr_parse(bytes_of(longest, P2P_ADDR_TEXT + 2), &b, &err), -EBADMSG);
    assert_int_equal(maddr_parse(bytes_of(longest, 3 * (P2P_ADDR_BYTES / 2)), &b, &err), 0);
    assert_int_equal(b.n, 1 + P2P_ADDR_BYTES);
    assert_int_equal(maddr_parse(bytes_of(longest, 3 * (P2P_ADDR_BYTES / 2 + 1)), &b, &err),
                     -EBADMSG);
    assert_int_equal(b.n, 1 + P2P_ADDR_BYTES);
    buf_fini(&b);
}

#define BYTES(...) bytes_of((const uint8_t[]){__VA_ARGS__}, sizeof(uint8_t[]){__VA_ARGS__})

static void check_of_bytes_that_are_none_fails(void **state)
{
    (void)state;
    struct buf b = {0};
    assert_int_equal(maddr_check(bytes_of(NULL, 0)), -EBADMSG);
    assert_int_equal(maddr_check(BYTES(0x04, 1, 2, 3)), -EBADMSG);             /* cut */
    assert_int_equal(maddr_check(BYTES(0x84, 0x00, 1, 2, 3, 4)), -EBADMSG);    /* a longer code */
    assert_int_equal(maddr_check(BYTES(0x04, 1, 2, 3, 4, 0x07)), -ENOTSUP);    /* not known */
    assert_int_equal(maddr_check(BYTES(0x35, 0x00)), -EBADMSG);                /* no name */
    assert_int_equal(maddr_check(BYTES(0x35, 0x81, 0x00, 'a')), -EBADMSG);     /* a longer length */
    assert_int_equal(maddr_check(BYTES(0x35, 0x03, 'a', 0, 'b')), -EBADMSG);   /* a NUL */
    assert_int_equal(maddr_check(BYTES(0x35, 0x03, 'a', '/', 'b')), -EBADMSG); /* two parts */
    assert_int_equal(maddr_check(BYTES(0xa5, 0x03, 0x02, 0x00, 0x01)), -EBADMSG);
    assert_int_equal(
        maddr_check(BYTES(0x35, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 'a')),
        -EBADMSG);
    for (size_t i = 0; i < P2P_ADDR_BYTES / 2; i++)
        maddr_put(&b, MADDR_WS, bytes_of(NULL, 0));
    assert_int_equal(maddr_check(buf_bytes(&b)), 0);
    maddr_put(&b, MADDR_WS, bytes_of(NULL, 0));
    assert_int_equal(maddr_check(buf_bytes(&b)), -EBADMSG);
    buf_fini(&b);
}

static void split_peer_takes_the_last_id_off(void **state)
{
    (void)state;
    static const char *const all[][3] = {
        {"/ip4/1.2.3.4/tcp/1", "/ip4/1.2.3.4/tcp/1", NULL},
        {"/ip4/1.2.3.4/tcp/1/p2p/" ID, "/ip4/1.2.3.4/tcp/1", ID},
        {"/ip4/1.2.3.4/tcp/1/p2p/" QM "/p2p-circuit/p2p/" ID,
         "/ip4/1.2.3.4/tcp/1/p2p/" QM "/p2p-circuit", ID},
        {"/ip4/1.2.3.4/tcp/1/p2p/" ID "/p2p-circuit", "/ip4/1.2.3.4/tcp/1/p2p/" ID "/p2p-circuit",
         NULL},
        {"/p2p/" ID, NULL, ID},
    };
    struct buf b = {0}, ought = {0};
    char text[PEER_ID_ANY_TEXT_SIZE];
    for (size_t i = 0; i < ARRAY_N(all); i++) {
        struct bytes base, id;
        assert_int_equal(maddr_split_peer(parsed(&b, all[i][0]), &base, &id), 0);
        buf_reset(&ought);
        assert_true(
            bytes_equal(base, all[i][1] != NULL ? parsed(&ought, all[i][1]) : buf_bytes(&ought)));
        if (all[i][2] != NULL)
            assert_string_equal(peer_id_any_text(id, text), all[i][2]);
        else
            assert_int_equal(id.n, 0);
    }
    buf_fini(&b);
    buf_fini(&ought);
}

static void dial_of_the_forms_that_are_known(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum maddr_code kind;
        uint16_t port;
        bool ws, tls;
        const char *sni, *id;
    } good[] = {
        {"/ip4/1.2.3.4/tcp/4001", MADDR_IP4, 4001, false, false, "", ""},
        {"/ip6/::1/tcp/1/p2p/" ID, MADDR_IP6, 1, false, false, "", ID},
        {"/dns/a.b/tcp/1/ws", MADDR_DNS, 1, true, false, "", ""},
        {"/dns4/a.b/tcp/1/wss/p2p/" ID, MADDR_DNS4, 1, true, true, "", ID},
        {"/dns6/a.b/tcp/1/tls/ws", MADDR_DNS6, 1, true, true, "", ""},
        {"/dns/a.b/tcp/1/tls/sni/c.d/ws/p2p/" ID, MADDR_DNS, 1, true, true, "c.d", ID},
        {"/dns/a.b/ws", MADDR_DNS, 80, true, false, "", ""},
        {"/dns/a.b/wss", MADDR_DNS, 443, true, true, "", ""},
        {"/dns/a.b/tls/ws/p2p/" ID, MADDR_DNS, 443, true, true, "", ID},
        {"/ip6/::ffff:1.2.3.4/tcp/1", MADDR_IP6, 1, false, false, "", ""},
    };
    struct buf b = {0};
    char text[PEER_ID_ANY_TEXT_SIZE];
    for (size_t i = 0; i < ARRAY_N(good); i++) {
        struct maddr_dial d;
        assert_int_equal(maddr_dial(parsed(&b, good[i].text), &d), 0);
        assert_int_equal(d.host_kind, good[i].kind);
        assert_int_equal(d.port, good[i].port);
        assert_int_equal(d.ws, good[i].ws);
        assert_int_equal(d.tls, good[i].tls);
        assert_true(bytes_equal(d.sni, bytes_str(good[i].sni)));
        assert_string_equal(d.id.n > 0 ? peer_id_any_text(d.id, text) : "", good[i].id);
        assert_int_equal(d.host.n, d.host_kind == MADDR_IP4   ? 4
                                   : d.host_kind == MADDR_IP6 ? 16
                                                              : 3);
    }
    buf_fini(&b);
}

static void dial_of_all_else_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int error;
    } bad[] = {
        {"/ip4/1.2.3.4", -ENOTSUP},
        {"/tcp/1", -ENOTSUP},
        {"/ip4/1.2.3.4/udp/1/quic-v1", -ENOTSUP},
        {"/ip4/1.2.3.4/tcp/1/tls", -ENOTSUP},
        {"/ip4/1.2.3.4/tcp/1/ws/ws", -ENOTSUP},
        {"/ip4/1.2.3.4/tcp/1/tls/wss", -ENOTSUP},
        {"/ip4/1.2.3.4/tcp/1/sni/a.b/ws", -ENOTSUP},
        {"/ip4/1.2.3.4/tcp/1/p2p/" ID "/ws", -ENOTSUP},
        {"/ip4/1.2.3.4/tcp/1/p2p/" ID "/p2p-circuit", -ENOTSUP},
        {"/ip4/1.2.3.4/tcp/1/p2p/" ID "/p2p-circuit/p2p/" ID, -ENOTSUP},
        {"/ip4/1.2.3.4/tcp/1/p2p/" QM, -ENOTSUP}, /* not to be verified */
        {"/ip6zone/eth0/ip6/fe80::1/tcp/1", -ENOTSUP},
        {"/dnsaddr/a.b/tcp/1", -ENOTSUP},
        {"/dnsaddr/a.b", -ENOTSUP},
        {"/ip4/0.0.0.0/tcp/1", -EACCES},
        {"/ip4/0.1.2.3/tcp/1", -EACCES},
        {"/ip4/224.0.0.251/tcp/1", -EACCES},
        {"/ip4/239.255.255.255/tcp/1", -EACCES},
        {"/ip4/255.255.255.255/tcp/1", -EACCES},
        {"/ip4/1.2.3.4/tcp/0", -EACCES},
        {"/ip6/::/tcp/1/ws", -EACCES},
        {"/ip6/ff02::1/tcp/1", -EACCES},
        {"/ip6/::ffff:0.0.0.0/tcp/1", -EACCES},
        {"/ip6/::ffff:224.0.0.1/tcp/1", -EACCES},
    };
    struct buf b = {0};
    struct maddr_dial d;
    for (size_t i = 0; i < ARRAY_N(bad); i++)
        assert_int_equal(maddr_dial(parsed(&b, bad[i].text), &d), bad[i].error);
    assert_int_equal(maddr_dial(BYTES(0x04, 1, 2, 3), &d), -EBADMSG);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_and_bytes_of_known_addresses),
        cmocka_unit_test(other_texts_of_an_address_are_read),
        cmocka_unit_test(parse_of_what_is_none_fails_and_leaves_the_buffer),
        cmocka_unit_test(check_of_bytes_that_are_none_fails),
        cmocka_unit_test(split_peer_takes_the_last_id_off),
        cmocka_unit_test(dial_of_the_forms_that_are_known),
        cmocka_unit_test(dial_of_all_else_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
