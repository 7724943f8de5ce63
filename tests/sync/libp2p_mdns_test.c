/*
 * What is said over multicast DNS: which strings are believed and sent, which packets reach the
 * library. The rest is in tests/e2e/libp2p_mdns_test.c, as it takes networks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "sync/net/libp2p/limits.h"
#include "sync/net/libp2p/mdns_packet.h"
#include "sync/net/libp2p/multiaddr.h"

#define ID "12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5"
#define RSA_ID "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"
#define PEER "/p2p/" ID

/* The address that a string says, as text; "" when it is not believed. */
static const char *read_string(const char *string, bool loopback)
{
    static char shown[P2P_ADDR_TEXT];
    struct buf list CLEANUP(buf_fini) = {0};
    struct buf text CLEANUP(buf_fini) = {0};
    uint8_t id[PEER_ID_BYTES], ought[PEER_ID_BYTES];
    assert_int_equal(peer_id_parse(bytes_str(ID), ought), 0);
    if (!mdns_string_read(bytes_str(string), loopback, id, &list)) {
        assert_int_equal(list.n, 0);
        return "";
    }
    assert_memory_equal(id, ought, sizeof id);
    struct reader r = reader_of(buf_bytes(&list));
    assert_int_equal(maddr_text(reader_string(&r, P2P_ADDR_BYTES), &text), 0);
    assert_int_equal(reader_end(&r), 0);
    snprintf(shown, sizeof shown, "%.*s", (int)text.n, (const char *)text.p);
    return shown;
}

static void strings_of_a_private_network_are_believed(void **state)
{
    static const char *const addrs[] = {
        "/ip4/10.1.2.3/tcp/4001",         "/ip4/172.16.0.1/tcp/1",
        "/ip4/172.31.255.1/tcp/65535/ws", "/ip4/192.168.1.1/tcp/4001/wss",
        "/ip4/169.254.7.7/tcp/80",        "/ip6/fd00::1/tcp/4001",
        "/ip6/fe80::1/tcp/4001/tls/ws",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_N(addrs); i++) {
        char string[P2P_MDNS_STRING + 1];
        snprintf(string, sizeof string, "dnsaddr=%s" PEER, addrs[i]);
        const char *got = read_string(string, false);
        assert_string_equal(got, addrs[i]);
    }
}

static void other_strings_are_not(void **state)
{
    static const char *const strings[] = {
        "",
        "dnsaddr=",
        "dnsaddr",
        "dnsaddr=/ip4/10.1.2.3/tcp/1",
        "dnsaddr=" PEER,
        "dnsaddr=10.1.2.3",
        "DNSADDR=/ip4/10.1.2.3/tcp/1" PEER,
        "dnsaddr=/ip4/10.1.2.3/tcp/1/p2p/" RSA_ID,
        "dnsaddr=/ip4/10.1.2.3/tcp/1/p2p/12D3",
        "dnsaddr=/ip4/8.8.8.8/tcp/1" PEER,
        "dnsaddr=/ip4/172.32.0.1/tcp/1" PEER,
        "dnsaddr=/ip6/2001:db8::1/tcp/1" PEER,
        "dnsaddr=/ip6/::ffff:8.8.8.8/tcp/1" PEER,
        "dnsaddr=/ip4/127.0.0.1/tcp/1" PEER,
        "dnsaddr=/ip6/::1/tcp/1" PEER,
        "dnsaddr=/ip6/::ffff:127.0.0.1/tcp/1" PEER,
        "dnsaddr=/ip4/0.0.0.0/tcp/1" PEER,
        "dnsaddr=/ip4/224.0.0.251/tcp/1" PEER,
        "dnsaddr=/dns4/router.lan/tcp/1" PEER,
        "dnsaddr=/ip4/10.1.2.3/tcp/0" PEER,
        "dnsaddr=/ip4/10.1.2.3/udp/1/quic-v1" PEER,
        "dnsaddr=/ip4/10.1.2.3/tcp/1" PEER "/p2p-circuit" PEER,
        "dnsaddr=/ip4/10.1.2.3/tcp/1/tls/sni/"
        "a.very.long.name.of.a.host.that.does.not.fit.into.a.string.of.txt.because.it.is.longer."
        "a.very.long.name.of.a.host.that.does.not.fit.into.a.string.of.txt.because.it.is.longer"
        "/ws" PEER,
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_N(strings); i++)
        assert_string_equal(read_string(strings[i], false), "");
}

static void loopback_is_believed_when_asked(void **state)
{
    (void)state;
    assert_string_equal(read_string("dnsaddr=/ip4/127.0.0.1/tcp/1" PEER, true),
                        "/ip4/127.0.0.1/tcp/1");
    assert_string_equal(read_string("dnsaddr=/ip4/8.8.8.8/tcp/1" PEER, true), "");
}

/* The string for an address; "" when it is not sent. */
static const char *write_string(const char *addr)
{
    static char shown[P2P_MDNS_STRING + 1];
    struct buf bytes CLEANUP(buf_fini) = {0};
    struct buf string CLEANUP(buf_fini) = {0};
    uint8_t id[PEER_ID_BYTES];
    assert_int_equal(peer_id_parse(bytes_str(ID), id), 0);
    assert_int_equal(maddr_parse(bytes_str(addr), &bytes, NULL), 0);
    bool written = mdns_string_write(buf_bytes(&bytes), id, &string);
    assert_int_equal(written, string.n > 0);
    snprintf(shown, sizeof shown, "%.*s", (int)string.n, written ? (const char *)string.p : "");
    return shown;
}

static void only_private_addresses_are_sent(void **state)
{
    (void)state;
    assert_string_equal(write_string("/ip4/192.168.1.7/tcp/4001"),
                        "dnsaddr=/ip4/192.168.1.7/tcp/4001" PEER);
    assert_string_equal(write_string("/ip4/127.0.0.1/tcp/1/ws"),
                        "dnsaddr=/ip4/127.0.0.1/tcp/1/ws" PEER);
    assert_string_equal(write_string("/ip4/8.8.8.8/tcp/4001"), "");
    assert_string_equal(write_string("/ip6/2001:db8::1/tcp/4001"), "");
    assert_string_equal(write_string("/dns4/home.example.org/tcp/4001"), "");
    assert_string_equal(write_string("/ip4/10.0.0.1/tcp/1/p2p/" RSA_ID "/p2p-circuit"), "");
    assert_string_equal(
        write_string("/ip4/10.1.2.3/tcp/1/tls/sni/a.very.long.name.of.a.host.that.does.not.fit.into"
                     ".a.string.of.txt.because.it.is.longer.a.very.long.name.of.a.host.that.does"
                     ".not.fit.into.a.string.of.txt.because.it.is.longer/ws"),
        "");
}

/* ---- packets -----------------------------------------------------------------------------------
 */

#define SERVICE "\x04_p2p\x04_udp\x05local"
#define HTTP "\x05_http\x04_tcp\x05local"

static void put_head(struct buf *b, uint16_t questions, uint16_t answers)
{
    buf_put_u32(b, 0x8400);
    buf_put_u16(b, questions);
    buf_put_u16(b, answers);
    buf_put_u32(b, 0);
}

/* With the end of its name. */
static void put_record(struct buf *b, const char *name, uint16_t type, size_t data)
{
    static const uint8_t zero[P2P_MDNS_PACKET];
    buf_put(b, name, strlen(name) + 1);
    buf_put_u16(b, type);
    buf_put_u16(b, 1);
    buf_put_u32(b, 120);
    buf_put_u16(b, (uint16_t)data);
    buf_put(b, zero, data);
}

static bool good_with(const char *name, uint16_t type, size_t data)
{
    struct buf b CLEANUP(buf_fini) = {0};
    put_head(&b, 0, 1);
    put_record(&b, name, type, data);
    return mdns_packet_good(buf_bytes(&b));
}

static void packets_about_the_service_pass(void **state)
{
    (void)state;
    assert_true(good_with(SERVICE, 12, 2));
    assert_true(good_with("\x04"
                          "abcd" SERVICE,
                          16, P2P_MDNS_TXT));
    assert_true(good_with("\x04_P2P\x04_UDP\x05LOCAL", 12, 2));
    assert_false(good_with(HTTP, 12, 2));
    assert_false(good_with("\x05_p2px\x04_udp\x05local", 12, 2));
    assert_false(good_with("", 12, 2));
}

static void packets_that_the_library_does_not_withstand_do_not(void **state)
{
    (void)state;
    assert_false(good_with(SERVICE, 5, 2));
    assert_false(good_with("\x04"
                           "abcd" SERVICE,
                           16, P2P_MDNS_TXT + 1));
    assert_false(good_with(SERVICE, 12, P2P_MDNS_PACKET));
    /* Behind one that is good. */
    struct buf b CLEANUP(buf_fini) = {0};
    put_head(&b, 0, 2);
    put_record(&b, SERVICE, 12, 2);
    put_record(&b, HTTP, 5, 2);
    assert_false(mdns_packet_good(buf_bytes(&b)));
}

static void names_may_point_backwards_and_to_themselves(void **state)
{
    (void)state;
    static const uint8_t to_first[] = {0xc0, 12}, to_itself[] = {0xc0, 12};
    struct buf b CLEANUP(buf_fini) = {0};
    put_head(&b, 1, 1);
    buf_put(&b, SERVICE, sizeof SERVICE);
    buf_put_u32(&b, 0x000c0001);
    buf_put(&b, to_first, sizeof to_first);
    put_record(&b, "", 12, 2);
    assert_false(mdns_packet_good(buf_bytes(&b))); /* that name has an end too many */
    b.n = 0;
    put_head(&b, 1, 0);
    buf_put(&b, to_itself, sizeof to_itself);
    buf_put_u32(&b, 0x000c0001);
    assert_false(mdns_packet_good(buf_bytes(&b)));
    b.n = 0;
    put_head(&b, 2, 0);
    buf_put(&b, HTTP, sizeof HTTP);
    buf_put_u32(&b, 0x000c0001);
    buf_put(&b, "\x04_p2p\x04_udp\xc0\x17", 12); /* "local" of the first */
    buf_put_u32(&b, 0x000c0001);
    assert_true(mdns_packet_good(buf_bytes(&b)));
}

static void cut_packets_do_not_pass(void **state)
{
    (void)state;
    struct buf b CLEANUP(buf_fini) = {0};
    put_head(&b, 0, 1);
    put_record(&b, SERVICE, 12, 20);
    for (size_t n = 0; n < b.n; n++)
        assert_false(mdns_packet_good(bytes_of(b.p, n)));
    assert_true(mdns_packet_good(buf_bytes(&b)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_of_a_private_network_are_believed),
        cmocka_unit_test(other_strings_are_not),
        cmocka_unit_test(loopback_is_believed_when_asked),
        cmocka_unit_test(only_private_addresses_are_sent),
        cmocka_unit_test(packets_about_the_service_pass),
        cmocka_unit_test(packets_that_the_library_does_not_withstand_do_not),
        cmocka_unit_test(names_may_point_backwards_and_to_themselves),
        cmocka_unit_test(cut_packets_do_not_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
