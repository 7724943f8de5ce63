/* identify and signed peer records: against known ones, and against hostile ones; and the messages
 * that they come in. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <sodium.h>

#include "sync/net/libp2p/identify.h"
#include "sync/net/libp2p/limits.h"
#include "sync/net/libp2p/multiaddr.h"
#include "sync/net/libp2p/peer_record.h"
#include "tests/support/vectors.h"

enum { SEQ_BEFORE = 1 };
static const uint64_t known_seq = UINT64_C(1700000000000);

/* The key pair of the first of the known peers. */
static void identity_of(const char *which, uint8_t ret[PEER_KEY_SECRET_BYTES],
                        uint8_t ret_id[PEER_ID_BYTES])
{
    uint8_t public[PEER_KEY_PUBLIC_BYTES];
    struct buf seed = {0};
    vector_bytes(&seed, "peerIds.%s.seed", which);
    crypto_sign_seed_keypair(public, ret, seed.p);
    peer_id_of_key(public, ret_id);
    buf_fini(&seed);
}

static void addr_of(const char *text, struct buf *ret)
{
    buf_reset(ret);
    assert_int_equal(maddr_parse(bytes_str(text), ret, NULL), 0);
}

/* A message with its length. */
static void put_framed(struct buf *b, struct bytes message)
{
    buf_put_string(b, message);
}

/* Puts a field of bytes. */
static void put_field(struct buf *b, unsigned field, struct bytes v)
{
    buf_put_varint(b, field << 3 | 2);
    buf_put_string(b, v);
}

/* What of @list is at @at. */
static struct bytes at(const struct identify_list *list, size_t at)
{
    struct reader r = reader_of(buf_bytes(&list->b));
    struct bytes v = {0};
    for (size_t i = 0; i <= at; i++)
        v = reader_string(&r, P2P_ADDR_BYTES);
    assert_false(r.failed);
    return v;
}

/* ---- records -----------------------------------------------------------------------------------
 */

static void a_known_record_is_made_and_opened(void **state)
{
    (void)state;
    struct buf addr = {0}, got = {0}, ought = {0};
    uint8_t identity[PEER_KEY_SECRET_BYTES], id[PEER_ID_BYTES];
    struct peer_record r;
    identity_of("0", identity, id);
    addr_of("/ip4/192.0.2.1/tcp/4001/ws", &addr);
    struct bytes addrs[] = {buf_bytes(&addr)};
    assert_int_equal(peer_record_put(&got, identity, addrs, 1, known_seq), 0);
    vector_bytes(&ought, "identify.peerRecord.envelope");
    assert_true(bytes_equal(buf_bytes(&got), buf_bytes(&ought)));
    assert_int_equal(peer_record_open(&r, buf_bytes(&ought), id), 0);
    assert_true(r.seq == known_seq);
    assert_int_equal(r.addrs_n, 1);
    assert_true(bytes_equal(peer_record_addr(&r, 0), buf_bytes(&addr)));
    peer_record_fini(&r);
    buf_fini(&addr);
    buf_fini(&got);
    buf_fini(&ought);
}

static void a_record_that_was_changed_or_is_of_another_is_refused(void **state)
{
    (void)state;
    struct buf b = {0};
    uint8_t identity[PEER_KEY_SECRET_BYTES], id[PEER_ID_BYTES], other[PEER_ID_BYTES];
    struct peer_record r;
    identity_of("1", identity, other);
    identity_of("0", identity, id);
    vector_bytes(&b, "identify.peerRecord.envelope");
    assert_int_equal(peer_record_open(&r, buf_bytes(&b), other), -EBADMSG);
    for (size_t bit = 0; bit < b.n * 8; bit++) {
        b.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(peer_record_open(&r, buf_bytes(&b), id), -EBADMSG);
        b.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t n = 0; n < b.n; n++)
        assert_int_equal(peer_record_open(&r, bytes_of(b.p, n), id), -EBADMSG);
    buf_fini(&b);
}

/* An envelope around @payload, signed for @domain and @type by @identity. */
static void put_envelope(struct buf *b, const uint8_t *identity, const char *domain,
                         struct bytes type, struct bytes payload)
{
    struct buf text = {0};
    uint8_t key[PEER_KEY_BYTES], signature[crypto_sign_BYTES];
    buf_put_string(&text, bytes_str(domain));
    buf_put_string(&text, type);
    buf_put_string(&text, payload);
    crypto_sign_detached(signature, NULL, text.p, text.n, identity);
    peer_key_encode(identity + PEER_KEY_SECRET_BYTES - PEER_KEY_PUBLIC_BYTES, key);
    put_field(b, 1, bytes_of(key, sizeof key));
    put_field(b, 2, type);
    put_field(b, 3, payload);
    put_field(b, 5, bytes_of(signature, sizeof signature));
    buf_fini(&text);
}

static void a_record_signed_for_something_else_is_refused(void **state)
{
    (void)state;
    struct buf payload = {0}, other_payload = {0}, b = {0};
    uint8_t identity[PEER_KEY_SECRET_BYTES], id[PEER_ID_BYTES], other[PEER_ID_BYTES];
    struct bytes type = bytes_of("\x03\x01", 2);
    struct peer_record r;
    identity_of("1", identity, other);
    identity_of("0", identity, id);
    vector_bytes(&payload, "identify.peerRecord.payload");
    put_field(&other_payload, 1, bytes_of(other, sizeof other));
    put_envelope(&b, identity, "libp2p-peer-record", type, buf_bytes(&payload));
    assert_int_equal(peer_record_open(&r, buf_bytes(&b), id), 0);
    peer_record_fini(&r);
    buf_reset(&b);
    put_envelope(&b, identity, "libp2p-relay-rsvp", type, buf_bytes(&payload));
    assert_int_equal(peer_record_open(&r, buf_bytes(&b), id), -EBADMSG);
    buf_reset(&b);
    put_envelope(&b, identity, "libp2p-peer-record", bytes_of("\x03\x02", 2), buf_bytes(&payload));
    assert_int_equal(peer_record_open(&r, buf_bytes(&b), id), -EBADMSG);
    buf_reset(&b); /* its own word about another */
    put_envelope(&b, identity, "libp2p-peer-record", type, buf_bytes(&other_payload));
    assert_int_equal(peer_record_open(&r, buf_bytes(&b), id), -EBADMSG);
    assert_int_equal(peer_record_open(&r, buf_bytes(&b), other), -EBADMSG);
    buf_fini(&payload);
    buf_fini(&other_payload);
    buf_fini(&b);
}

/* ---- identify ----------------------------------------------------------------------------------
 */

static void check_known(const struct identify *i)
{
    struct buf addr = {0};
    assert_true(i->has_key && i->has_record);
    assert_true(i->seq == known_seq);
    addr_of("/ip4/192.0.2.1/tcp/4001/ws", &addr);
    assert_int_equal(i->addrs.n, 1);
    assert_true(bytes_equal(at(&i->addrs, 0), buf_bytes(&addr)));
    assert_int_equal(i->protocols.n, 2);
    assert_true(bytes_equal(at(&i->protocols, 0), bytes_str("/ipfs/id/1.0.0")));
    assert_true(bytes_equal(at(&i->protocols, 1), bytes_str("/ipfs/ping/1.0.0")));
    addr_of("/ip4/198.51.100.7/tcp/50000", &addr);
    assert_true(bytes_equal(buf_bytes(&i->observed), buf_bytes(&addr)));
    assert_true(bytes_equal(buf_bytes(&i->version), bytes_str("ipfs/0.1.0")));
    assert_true(bytes_equal(buf_bytes(&i->agent), bytes_str("agent/1.0.0")));
    buf_fini(&addr);
}

static void a_known_message_is_read_whatever_the_pieces(void **state)
{
    (void)state;
    struct buf message = {0}, b = {0};
    uint8_t identity[PEER_KEY_SECRET_BYTES], id[PEER_ID_BYTES];
    identity_of("0", identity, id);
    vector_bytes(&message, "identify.message");
    put_framed(&b, buf_bytes(&message));
    for (size_t step = 1; step <= b.n; step += 13) {
        struct identify i;
        struct err err;
        identify_init(&i, id, SEQ_BEFORE);
        for (size_t from = 0; from < b.n; from += step) {
            assert_int_equal(identify_end(&i, false, &err), -EPROTO);
            struct bytes in = bytes_of(b.p + from, (size_t)min_u64(step, b.n - from));
            assert_int_equal(identify_feed(&i, in, &err), 0);
        }
        assert_int_equal(identify_end(&i, false, &err), 0);
        check_known(&i);
        identify_fini(&i);
    }
    buf_fini(&message);
    buf_fini(&b);
}

static void what_is_put_is_what_is_read(void **state)
{
    (void)state;
    static const char *const protocols[] = {"/ipfs/id/1.0.0", "/ipfs/ping/1.0.0"};
    struct buf addr = {0}, observed = {0}, record = {0}, b = {0};
    uint8_t identity[PEER_KEY_SECRET_BYTES], id[PEER_ID_BYTES];
    struct identify i;
    identity_of("0", identity, id);
    addr_of("/ip4/192.0.2.1/tcp/4001/ws", &addr);
    addr_of("/ip4/198.51.100.7/tcp/50000", &observed);
    struct bytes addrs[] = {buf_bytes(&addr)};
    assert_int_equal(peer_record_put(&record, identity, addrs, 1, known_seq), 0);
    struct identify_self self = {.key = identity + 32,
                                 .addrs = addrs,
                                 .addrs_n = 1,
                                 .protocols = protocols,
                                 .protocols_n = 2,
                                 .observed = buf_bytes(&observed),
                                 .version = "ipfs/0.1.0",
                                 .agent = "agent/1.0.0",
                                 .record = buf_bytes(&record)};
    assert_int_equal(identify_put(&b, &self), 0);
    identify_init(&i, id, SEQ_BEFORE);
    assert_int_equal(identify_feed(&i, buf_bytes(&b), NULL), 0);
    assert_int_equal(identify_end(&i, false, NULL), 0);
    check_known(&i);
    identify_fini(&i);
    buf_resize(&observed, P2P_IDENTIFY_SENT);
    self.observed = buf_bytes(&observed);
    size_t before = b.n;
    assert_int_equal(identify_put(&b, &self), -EMSGSIZE);
    assert_int_equal(b.n, before);
    buf_fini(&addr);
    buf_fini(&observed);
    buf_fini(&record);
    buf_fini(&b);
}

/* Reads what is in @b, as the first known peer's; the end is as @push says. */
static int read_of(struct identify *i, const struct buf *b, bool push)
{
    uint8_t identity[PEER_KEY_SECRET_BYTES], id[PEER_ID_BYTES];
    struct err err;
    identity_of("0", identity, id);
    identify_init(i, id, SEQ_BEFORE);
    int rc = identify_feed(i, buf_bytes(b), &err);
    return rc < 0 ? rc : identify_end(i, push, &err);
}

static void several_messages_make_one(void **state)
{
    (void)state;
    struct buf m = {0}, b = {0}, v = {0};
    struct identify i;
    put_field(&m, 3, bytes_str("/a"));
    addr_of("/ip4/192.0.2.9/tcp/1", &v);
    put_field(&m, 2, buf_bytes(&v));
    put_framed(&b, buf_bytes(&m));
    assert_int_equal(read_of(&i, &b, false), -EPROTO); /* without the key */
    identify_fini(&i);
    assert_int_equal(read_of(&i, &b, true), 0);
    identify_fini(&i);
    buf_reset(&m);
    put_field(&m, 3, bytes_str("/b"));
    put_field(&m, 1, vector_bytes(&v, "peerIds.0.publicKeyProtobuf"));
    put_framed(&b, buf_bytes(&m));
    assert_int_equal(read_of(&i, &b, false), 0);
    assert_int_equal(i.protocols.n, 2);
    assert_int_equal(i.addrs.n, 1);
    assert_false(i.has_record);
    assert_true(bytes_equal(at(&i.protocols, 1), bytes_str("/b")));
    identify_fini(&i);
    buf_reset(&m); /* addresses that are signed come in place of those that are not */
    put_field(&m, 8, vector_bytes(&v, "identify.peerRecord.envelope"));
    put_framed(&b, buf_bytes(&m));
    assert_int_equal(read_of(&i, &b, false), 0);
    assert_true(i.has_record);
    assert_int_equal(i.addrs.n, 1);
    addr_of("/ip4/192.0.2.1/tcp/4001/ws", &v);
    assert_true(bytes_equal(at(&i.addrs, 0), buf_bytes(&v)));
    identify_fini(&i);
    buf_fini(&m);
    buf_fini(&b);
    buf_fini(&v);
}

static void a_record_that_is_not_newer_counts_for_nothing(void **state)
{
    (void)state;
    struct buf m = {0}, b = {0};
    uint8_t identity[PEER_KEY_SECRET_BYTES], id[PEER_ID_BYTES];
    struct identify i;
    identity_of("0", identity, id);
    vector_bytes(&m, "identify.message");
    put_framed(&b, buf_bytes(&m));
    identify_init(&i, id, known_seq);
    assert_int_equal(identify_feed(&i, buf_bytes(&b), NULL), 0);
    assert_false(i.has_record);
    assert_int_equal(i.addrs.n, 1); /* what it says beside it */
    identify_fini(&i);
    identify_init(&i, id, known_seq - 1);
    assert_int_equal(identify_feed(&i, buf_bytes(&b), NULL), 0);
    assert_true(i.has_record);
    identify_fini(&i);
    buf_fini(&m);
    buf_fini(&b);
}

static void another_key_is_refused(void **state)
{
    (void)state;
    struct buf m = {0}, b = {0}, v = {0};
    struct identify i;
    put_field(&m, 1, vector_bytes(&v, "peerIds.1.publicKeyProtobuf"));
    put_framed(&b, buf_bytes(&m));
    assert_int_equal(read_of(&i, &b, true), -EPROTO);
    identify_fini(&i);
    buf_reset(&b);
    buf_reset(&m);
    put_field(&m, 1, bytes_str("none"));
    put_framed(&b, buf_bytes(&m));
    assert_int_equal(read_of(&i, &b, true), -EPROTO);
    identify_fini(&i);
    buf_fini(&m);
    buf_fini(&b);
    buf_fini(&v);
}

static void addresses_that_cannot_be_used_are_skipped(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool used;
    } all[] = {
        {"/ip4/192.0.2.1/tcp/1", true},
        {"/ip4/192.0.2.1/tcp/2/p2p/12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5", true},
        {"/ip4/192.0.2.1/tcp/3/p2p/12D3KooWJWoaqZhDaoEFshF7Rh1bpY9ohihFhzcW6d69Lr2NASuq", false},
        {"/p2p/12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5", false},
    };
    struct buf m = {0}, b = {0}, v = {0};
    struct identify i;
    put_field(&m, 2, bytes_of("\x04\x01", 2));
    put_field(&m, 2, bytes_of("\x04\x01\x02\x03\x04\xff\x7f", 7));
    put_field(&m, 2, bytes_of(NULL, 0));
    for (size_t a = 0; a < ARRAY_N(all); a++) {
        addr_of(all[a].text, &v);
        put_field(&m, 2, buf_bytes(&v));
    }
    put_framed(&b, buf_bytes(&m));
    assert_int_equal(read_of(&i, &b, true), 0);
    assert_int_equal(i.addrs.n, 2);
    addr_of("/ip4/192.0.2.1/tcp/2", &v);
    assert_true(bytes_equal(at(&i.addrs, 1), buf_bytes(&v)));
    identify_fini(&i);
    buf_fini(&m);
    buf_fini(&b);
    buf_fini(&v);
}

static void more_than_the_limits_is_cut_off(void **state)
{
    (void)state;
    struct buf m = {0}, b = {0}, v = {0};
    struct identify i;
    char text[P2P_PROTOCOL_BYTES + 1];
    memset(text, 'x', sizeof text);
    put_field(&m, 3, bytes_of(text, P2P_PROTOCOL_BYTES + 1));
    put_field(&m, 6, bytes_of(text, P2P_PROTOCOL_BYTES));
    addr_of("/ip4/192.0.2.1/tcp/1", &v);
    for (int n = 0; n < 100; n++) {
        put_field(&m, 2, buf_bytes(&v));
        put_field(&m, 3, bytes_str("/p"));
    }
    put_framed(&b, buf_bytes(&m));
    assert_int_equal(read_of(&i, &b, true), 0);
    assert_int_equal(i.addrs.n, P2P_ADDRS);
    assert_int_equal(i.protocols.n, P2P_PROTOCOLS);
    assert_true(bytes_equal(at(&i.protocols, 0), bytes_str("/p")));
    assert_int_equal(i.agent.n, P2P_AGENT_BYTES);
    identify_fini(&i);
    buf_fini(&m);
    buf_fini(&b);
    buf_fini(&v);
}

static void too_many_too_long_and_out_of_proportion_is_refused(void **state)
{
    (void)state;
    struct buf m = {0}, b = {0};
    struct identify i;
    for (int n = 0; n < P2P_IDENTIFY_MESSAGES; n++)
        put_framed(&b, bytes_of(NULL, 0));
    assert_int_equal(read_of(&i, &b, true), 0);
    identify_fini(&i);
    put_framed(&b, bytes_of(NULL, 0));
    assert_int_equal(read_of(&i, &b, true), -EPROTO);
    identify_fini(&i);
    buf_reset(&b);
    buf_put_varint(&b, P2P_IDENTIFY_MESSAGE + 1);
    assert_int_equal(read_of(&i, &b, true), -EPROTO);
    assert_true(i.reader.part.cap < 1000);
    identify_fini(&i);
    buf_reset(&b);
    while (m.n < P2P_IDENTIFY_MESSAGE)
        buf_put(&m, "\x12\x00", 2); /* addresses of no bytes */
    put_framed(&b, buf_bytes(&m));
    assert_int_equal(read_of(&i, &b, true), -EBADMSG);
    identify_fini(&i);
    buf_reset(&b);
    put_framed(&b, bytes_of("\x0a\x05\x01", 3));
    assert_int_equal(read_of(&i, &b, true), -EBADMSG);
    identify_fini(&i);
    buf_fini(&m);
    buf_fini(&b);
}

/* ---- messages on a stream ----------------------------------------------------------------------
 */

static void message_next_takes_one_message_and_leaves_the_rest(void **state)
{
    (void)state;
    struct message_reader r = {.max = 300};
    struct buf b = {0};
    uint8_t data[300];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)i;
    static const size_t sizes[] = {0, 1, 127, 128, 300, 0};
    for (size_t i = 0; i < ARRAY_N(sizes); i++)
        buf_put_string(&b, bytes_of(data, sizes[i]));
    for (size_t step = 1; step <= b.n; step++) {
        size_t n = 0;
        for (size_t from = 0; from < b.n; from += step) {
            struct bytes in = bytes_of(b.p + from, (size_t)min_u64(step, b.n - from)), m;
            while (message_next(&r, &in, &m) == 1) {
                assert_true(bytes_equal(m, bytes_of(data, sizes[n++])));
                assert_false(message_cut(&r));
            }
            assert_int_equal(in.n, 0);
        }
        assert_int_equal(n, ARRAY_N(sizes));
    }
    message_reader_fini(&r);
    buf_fini(&b);
}

static void message_next_of_a_wrong_length_fails(void **state)
{
    (void)state;
    static const char *const bad[] = {"\xad\x02", "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
                                      "\xff\xff\xff\xff\xff\xff\xff\xff\x7f"};
    struct bytes m, in;
    for (size_t i = 0; i < ARRAY_N(bad); i++) {
        struct message_reader r = {.max = 300};
        in = bytes_str(bad[i]);
        assert_int_equal(message_next(&r, &in, &m), -EPROTO);
        in = bytes_of("\0\0\0", 3);
        assert_int_equal(message_next(&r, &in, &m), -EPROTO);
        message_reader_fini(&r);
    }
    struct message_reader r = {.max = 300};
    in = bytes_of("\x81\x00", 2); /* a longer encoding of 1 */
    assert_int_equal(message_next(&r, &in, &m), -EPROTO);
    message_reader_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_known_record_is_made_and_opened),
        cmocka_unit_test(a_record_that_was_changed_or_is_of_another_is_refused),
        cmocka_unit_test(a_record_signed_for_something_else_is_refused),
        cmocka_unit_test(a_known_message_is_read_whatever_the_pieces),
        cmocka_unit_test(what_is_put_is_what_is_read),
        cmocka_unit_test(several_messages_make_one),
        cmocka_unit_test(a_record_that_is_not_newer_counts_for_nothing),
        cmocka_unit_test(another_key_is_refused),
        cmocka_unit_test(addresses_that_cannot_be_used_are_skipped),
        cmocka_unit_test(more_than_the_limits_is_cut_off),
        cmocka_unit_test(too_many_too_long_and_out_of_proportion_is_refused),
        cmocka_unit_test(message_next_takes_one_message_and_leaves_the_rest),
        cmocka_unit_test(message_next_of_a_wrong_length_fails),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
