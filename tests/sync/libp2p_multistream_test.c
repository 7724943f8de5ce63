/* The negotiation of protocols: both sides against each other, and against hostile ones. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sync/net/libp2p/multistream.h"
#include "tests/support/vectors.h"

#define HEADER "\x13/multistream/1.0.0\n"
#define TEXT(s) bytes_of(s, sizeof s - 1)

static const char *const noise[] = {"/noise"};
static const char *const several[] = {"/a", "/b/1.0.0", "/noise"};

static void messages_are_as_known(void **state)
{
    (void)state;
    struct mss m;
    struct buf out = {0}, ought = {0};
    mss_init(&m, true, noise, 1, &out);
    vector_bytes(&ought, "multistream.0.bytes");
    assert_memory_equal(out.p, ought.p, ought.n);
    struct bytes rest = bytes_of(out.p + ought.n, out.n - ought.n);
    assert_true(bytes_equal(rest, vector_bytes(&ought, "multistream.1.bytes")));
    struct bytes in = bytes_of(out.p, out.n);
    struct buf answer = {0};
    mss_init(&m, false, several, 2, &answer); /* it has none of it */
    buf_reset(&answer);
    assert_int_equal(mss_feed(&m, &in, &answer), 0);
    assert_true(bytes_equal(buf_bytes(&answer), vector_bytes(&ought, "multistream.4.bytes")));
    buf_fini(&out);
    buf_fini(&ought);
    buf_fini(&answer);
}

/* Feeds what is in @from, @step bytes at a time, until it is agreed; what is over stays. */
static int deliver(struct mss *to, struct buf *from, size_t step, struct buf *out)
{
    int rc = 0;
    size_t at = 0;
    while (rc == 0 && at < from->n) {
        struct bytes in = bytes_of(from->p + at, (size_t)min_u64(step, from->n - at));
        const uint8_t *begin = in.p;
        rc = mss_feed(to, &in, out);
        at += (size_t)(in.p - begin);
    }
    memmove(from->p, from->p + at, from->n - at);
    from->n -= at;
    return rc;
}

static void two_sides_agree_whatever_the_pieces(void **state)
{
    (void)state;
    for (size_t step = 1; step < 64; step++) {
        struct mss a, b;
        struct buf ab = {0}, ba = {0};
        mss_init(&a, true, several, 3, &ab);
        mss_init(&b, false, &several[1], 2, &ba);
        int rc_a = 0, rc_b = 0;
        for (int i = 0; i < 8 && rc_a == 0; i++) {
            if (rc_b == 0)
                rc_b = deliver(&b, &ab, step, &ba);
            rc_a = deliver(&a, &ba, step, &ab);
        }
        assert_int_equal(rc_a, 1);
        assert_int_equal(rc_b, 1);
        assert_string_equal(a.protocols[a.at], "/b/1.0.0");
        assert_string_equal(b.protocols[b.at], "/b/1.0.0");
        assert_int_equal(ab.n + ba.n, 0);
        buf_fini(&ab);
        buf_fini(&ba);
    }
}

static void data_behind_the_proposal_is_left(void **state)
{
    (void)state;
    for (size_t step = 1; step < 48; step++) {
        struct mss m;
        struct buf in = {0}, out = {0};
        buf_put_bytes(&in, TEXT(HEADER "\x03/c\n\x07/noise\n\x00\x20"
                                       "early"));
        mss_init(&m, false, noise, 1, &out);
        buf_reset(&out);
        assert_int_equal(deliver(&m, &in, step, &out), 1);
        assert_true(bytes_equal(buf_bytes(&in), TEXT("\x00\x20"
                                                     "early")));
        assert_true(bytes_equal(buf_bytes(&out), TEXT("\x03na\n\x07/noise\n")));
        buf_fini(&in);
        buf_fini(&out);
    }
}

static void a_responder_refuses_what_it_does_not_serve(void **state)
{
    (void)state;
    static const char *const proposals[] = {"ls",
                                            "/noise/",
                                            "/nois",
                                            "/Noise",
                                            "",
                                            "/tls/1.0.0",
                                            "/libp2p/simultaneous-connect",
                                            "/multistream/1.0.0"};
    for (size_t i = 0; i < ARRAY_N(proposals); i++) {
        struct mss m;
        struct buf in = {0}, out = {0};
        buf_put_bytes(&in, TEXT(HEADER));
        buf_put_u8(&in, (uint8_t)(strlen(proposals[i]) + 1));
        buf_put_bytes(&in, bytes_str(proposals[i]));
        buf_put_bytes(&in, TEXT("\n\x07/noise\n"));
        mss_init(&m, false, noise, 1, &out);
        buf_reset(&out);
        assert_int_equal(deliver(&m, &in, 5, &out), 1);
        assert_true(bytes_equal(buf_bytes(&out), TEXT("\x03na\n\x07/noise\n")));
        buf_fini(&in);
        buf_fini(&out);
    }
}

static void a_responder_answers_so_many_proposals_and_no_more(void **state)
{
    (void)state;
    struct mss m;
    struct buf in = {0}, out = {0};
    mss_init(&m, false, noise, 1, &out);
    buf_reset(&out);
    buf_put_bytes(&in, TEXT(HEADER));
    for (int i = 0; i < 15; i++)
        buf_put_bytes(&in, TEXT("\x03/x\n"));
    assert_int_equal(deliver(&m, &in, 1000, &out), 0);
    buf_put_bytes(&in, TEXT("\x03/x\n\x07/noise\n"));
    assert_int_equal(deliver(&m, &in, 1000, &out), -ENOPROTOOPT);
    assert_int_equal(out.n, 16 * 4);
    buf_fini(&in);
    buf_fini(&out);
}

/* What one side does with @in, after its own first messages. */
static int fed(bool initiator, struct bytes in)
{
    struct mss m;
    struct buf b = {0}, out = {0};
    buf_put_bytes(&b, in);
    mss_init(&m, initiator, noise, 1, &out);
    int rc = deliver(&m, &b, 1, &out);
    buf_fini(&b);
    buf_fini(&out);
    return rc;
}

static void an_initiator_takes_only_answers(void **state)
{
    (void)state;
    assert_int_equal(fed(true, TEXT(HEADER "\x07/noise\n")), 1);
    assert_int_equal(fed(true, TEXT(HEADER "\x03na\n")), -ENOPROTOOPT);
    assert_int_equal(fed(true, TEXT(HEADER "\x03/b\n")), -EPROTO);
    assert_int_equal(fed(true, TEXT(HEADER HEADER)), -EPROTO);
    assert_int_equal(fed(true, TEXT("\x07/noise\n")), -EPROTO);
    assert_int_equal(fed(true, TEXT("\x03na\n")), -EPROTO);
}

static void what_is_no_message_fails(void **state)
{
    (void)state;
    static const bool sides[] = {false, true};
    for (size_t i = 0; i < ARRAY_N(sides); i++) {
        assert_int_equal(fed(sides[i], TEXT("\x00")), -EPROTO); /* no newline */
        assert_int_equal(fed(sides[i], TEXT("\x93\x00/multistream/1.0.0\n")), -EPROTO);
        assert_int_equal(fed(sides[i], TEXT("\x80\x80\x01")), -EPROTO); /* three bytes */
        assert_int_equal(fed(sides[i], TEXT("\x81\x08")), -EPROTO);     /* 1025 */
        assert_int_equal(fed(sides[i], TEXT("\x80\x08/")), 0);          /* 1024 */
        assert_int_equal(fed(sides[i], TEXT("\x13/multistream/1.0.0x")), -EPROTO);
        assert_int_equal(fed(sides[i], TEXT("\x13/multistream/2.0.0\n")), -EPROTO);
        assert_int_equal(fed(sides[i], TEXT("GET / HTTP/1.1\r\n\r\n")),
                         0); /* waits: its time ends */
        assert_int_equal(fed(sides[i], TEXT("\x16\x03\x01\x02\x00\x01\x00")), 0);
    }
}

static void the_longest_message_is_refused_and_done_with(void **state)
{
    (void)state;
    struct buf in = {0};
    buf_put_bytes(&in, TEXT(HEADER));
    buf_put_varint(&in, P2P_NEGOTIATION_BYTES);
    for (size_t i = 1; i < P2P_NEGOTIATION_BYTES; i++)
        buf_put_u8(&in, 'x');
    buf_put_bytes(&in, TEXT("\n\x07/noise\n"));
    assert_int_equal(fed(false, buf_bytes(&in)), 1);
    buf_fini(&in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_as_known),
        cmocka_unit_test(two_sides_agree_whatever_the_pieces),
        cmocka_unit_test(data_behind_the_proposal_is_left),
        cmocka_unit_test(a_responder_refuses_what_it_does_not_serve),
        cmocka_unit_test(a_responder_answers_so_many_proposals_and_no_more),
        cmocka_unit_test(an_initiator_takes_only_answers),
        cmocka_unit_test(what_is_no_message_fails),
        cmocka_unit_test(the_longest_message_is_refused_and_done_with),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
