/* The Noise handshake of libp2p: against a known one, both sides against each other, and against
 * hostile ones. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <sodium.h>

#include "sync/net/libp2p/limits.h"
#include "sync/net/libp2p/noise.h"
#include "tests/support/vectors.h"

static const char *const yamux[] = {"/yamux/1.0.0"};
static const char *const two[] = {"/other", "/yamux/1.0.0"};
static const char *const two_turned[] = {"/yamux/1.0.0", "/other"};
static const char *const other[] = {"/other"};

/* ---- fixed random numbers ----------------------------------------------------------------------
 */

/* Every number is this byte, again and again. */
static uint8_t fixed;

static const char *fixed_name(void)
{
    return "fixed";
}

static void fixed_buf(void *const to, const size_t n)
{
    memset(to, fixed, n);
}

static uint32_t fixed_u32(void)
{
    return fixed;
}

static void set_random(bool fix)
{
    static struct randombytes_implementation known = {
        .implementation_name = fixed_name, .random = fixed_u32, .buf = fixed_buf};
    assert_int_equal(
        randombytes_set_implementation(fix ? &known : &randombytes_sysrandom_implementation), 0);
}

/* ---- two sides ---------------------------------------------------------------------------------
 */

struct side {
    struct noise_keys keys;
    struct noise n;
    struct buf out;
    struct err err;
    uint8_t id[PEER_ID_BYTES];
    int rc;
};

static void identity_of(uint8_t seed, uint8_t ret[PEER_KEY_SECRET_BYTES])
{
    uint8_t public[PEER_KEY_PUBLIC_BYTES], s[32];
    memset(s, seed, sizeof s);
    crypto_sign_seed_keypair(public, ret, s);
}

static void make_keys(struct side *s, uint8_t seed)
{
    uint8_t identity[PEER_KEY_SECRET_BYTES];
    memset(s, 0, sizeof *s);
    identity_of(seed, identity);
    assert_int_equal(noise_keys_init(&s->keys, identity), 0);
    peer_id_of_key(s->keys.identity, s->id);
}

static void begin(struct side *s, bool initiator, const uint8_t *expect, const char *const *muxers,
                  size_t muxers_n)
{
    struct noise_config cfg = {.initiator = initiator,
                               .keys = &s->keys,
                               .expect = expect,
                               .muxers = muxers,
                               .muxers_n = muxers_n};
    assert_int_equal(noise_init(&s->n, &cfg, &s->out), 0);
}

static void end(struct side *s)
{
    noise_fini(&s->n);
    assert_true(sodium_is_zero((const uint8_t *)&s->n, sizeof s->n));
    noise_keys_fini(&s->keys);
    buf_fini(&s->out);
}

/* Gives @to what @from has to say, @step bytes at a time, and what is no handshake is left. */
static void deliver(struct side *from, struct side *to, size_t step)
{
    size_t at = 0;
    while (to->rc == 0 && at < from->out.n) {
        struct bytes in = bytes_of(from->out.p + at, (size_t)min_u64(step, from->out.n - at));
        const uint8_t *first = in.p;
        to->rc = noise_handshake(&to->n, &in, &to->out, &to->err);
        at += (size_t)(in.p - first);
    }
    if (at > 0)
        memmove(from->out.p, from->out.p + at, from->out.n -= at);
}

/* Shakes hands; both sides have begun. */
static void shake(struct side *a, struct side *b, size_t step)
{
    deliver(a, b, step);
    deliver(b, a, step);
    deliver(a, b, step);
}

static void two_sides(struct side *a, struct side *b)
{
    make_keys(a, 1);
    make_keys(b, 2);
    begin(a, true, b->id, yamux, 1);
    begin(b, false, NULL, yamux, 1);
}

/* ---- the known handshake -----------------------------------------------------------------------
 */

static void check_message(const struct buf *out, const char *place)
{
    struct buf ought = {0};
    vector_bytes(&ought, "noise.%s", place);
    assert_int_equal(out->n, 2 + ought.n);
    assert_int_equal(out->p[0] << 8 | out->p[1], ought.n);
    assert_memory_equal(out->p + 2, ought.p, ought.n);
    buf_fini(&ought);
}

/* @n messages of the one go to the other and are the known ones. */
static void check_transport(struct side *a, struct side *b)
{
    struct buf plain = {0}, sealed = {0}, got = {0};
    char from[VECTOR_TEXT_SIZE];
    size_t n = vector_count("noise.transport");
    for (size_t i = 0; i < n; i++) {
        bool forth = strcmp(vector_text(from, "noise.transport.%zu.from", i), "initiator") == 0;
        struct side *s = forth ? a : b, *r = forth ? b : a;
        vector_bytes(&plain, "noise.transport.%zu.plaintext", i);
        vector_bytes(&sealed, "noise.transport.%zu.ciphertext", i);
        buf_reset(&s->out);
        buf_reset(&got);
        assert_int_equal(noise_encrypt(&s->n, buf_bytes(&plain), &s->out), 0);
        assert_int_equal(s->out.p[0] << 8 | s->out.p[1], sealed.n);
        assert_true(bytes_equal(bytes_of(s->out.p + 2, s->out.n - 2), buf_bytes(&sealed)));
        assert_int_equal(noise_decrypt(&r->n, buf_bytes(&s->out), &got), 0);
        assert_true(bytes_equal(buf_bytes(&got), buf_bytes(&plain)));
    }
    buf_fini(&plain);
    buf_fini(&sealed);
    buf_fini(&got);
}

static void a_known_handshake_is_byte_exact(void **state)
{
    (void)state;
    struct side a, b;
    struct buf ought = {0};
    set_random(true);
    fixed = 3;
    make_keys(&a, 1);
    fixed = 4;
    make_keys(&b, 2);
    assert_memory_equal(a.keys.static_public,
                        vector_bytes(&ought, "noise.initiator.staticPublic").p, NOISE_KEY_BYTES);
    assert_int_equal(noise_payload_put(&b.out, &b.keys, yamux, 1), 0);
    assert_true(bytes_equal(buf_bytes(&b.out), vector_bytes(&ought, "noise.responder.payload")));
    buf_reset(&b.out);
    fixed = 5;
    begin(&a, true, b.id, yamux, 1);
    check_message(&a.out, "message1");
    begin(&b, false, NULL, yamux, 1);
    fixed = 6;
    deliver(&a, &b, 1000);
    check_message(&b.out, "message2");
    deliver(&b, &a, 1000);
    check_message(&a.out, "message3");
    deliver(&a, &b, 1000);
    set_random(false);
    assert_int_equal(a.rc, 1);
    assert_int_equal(b.rc, 1);
    vector_bytes(&ought, "noise.handshakeHash");
    assert_memory_equal(a.n.hash, ought.p, sizeof a.n.hash);
    assert_memory_equal(b.n.hash, ought.p, sizeof b.n.hash);
    vector_bytes(&ought, "noise.keys.initiatorToResponder");
    assert_memory_equal(a.n.out.key, ought.p, NOISE_KEY_BYTES);
    vector_bytes(&ought, "noise.keys.responderToInitiator");
    assert_memory_equal(b.n.out.key, ought.p, NOISE_KEY_BYTES);
    check_transport(&a, &b);
    buf_fini(&ought);
    end(&a);
    end(&b);
}

/* ---- between two of these ----------------------------------------------------------------------
 */

static void each_learns_the_other_whatever_the_pieces(void **state)
{
    (void)state;
    for (size_t step = 1; step < 300; step += 7) {
        struct side a, b;
        two_sides(&a, &b);
        shake(&a, &b, step);
        assert_int_equal(a.rc, 1);
        assert_int_equal(b.rc, 1);
        assert_memory_equal(a.n.remote, b.id, PEER_ID_BYTES);
        assert_memory_equal(b.n.remote, a.id, PEER_ID_BYTES);
        assert_memory_equal(a.n.hash, b.n.hash, NOISE_HASH_BYTES);
        assert_int_equal(a.n.muxer, 0);
        assert_int_equal(b.n.muxer, 0);
        assert_int_equal(a.out.n + b.out.n, 0);
        assert_true(sodium_is_zero((const uint8_t *)&a.n.state, sizeof a.n.state));
        assert_true(sodium_is_zero(b.n.e_secret, sizeof b.n.e_secret));
        end(&a);
        end(&b);
    }
}

static void bytes_behind_the_last_message_are_left(void **state)
{
    (void)state;
    struct side a, b;
    struct buf got = {0};
    two_sides(&a, &b);
    deliver(&a, &b, 1000);
    deliver(&b, &a, 1000);
    assert_int_equal(noise_encrypt(&a.n, bytes_str("early"), &a.out), 0);
    deliver(&a, &b, 1000);
    assert_int_equal(b.rc, 1);
    assert_int_equal(a.out.n, 2 + 5 + 16);
    assert_int_equal(noise_decrypt(&b.n, buf_bytes(&a.out), &got), 0);
    assert_true(bytes_equal(buf_bytes(&got), bytes_str("early")));
    buf_fini(&got);
    end(&a);
    end(&b);
}

static void the_muxer_is_the_initiators_choice(void **state)
{
    (void)state;
    static const struct {
        const char *const *a, *const *b;
        size_t a_n, b_n;
        int a_has, b_has; /* -2: it fails */
    } all[] = {
        {yamux, yamux, 1, 1, 0, 0},  {two, yamux, 2, 1, 1, 0},      {yamux, two, 1, 2, 0, 1},
        {two, two, 2, 2, 0, 0},      {yamux, NULL, 1, 0, -1, -1},   {NULL, yamux, 0, 1, -1, -1},
        {other, yamux, 1, 1, -2, 0}, {two, two_turned, 2, 2, 0, 1}, {NULL, NULL, 0, 0, -1, -1},
    };
    for (size_t i = 0; i < ARRAY_N(all); i++) {
        struct side a, b;
        make_keys(&a, 1);
        make_keys(&b, 2);
        begin(&a, true, b.id, all[i].a, all[i].a_n);
        begin(&b, false, NULL, all[i].b, all[i].b_n);
        shake(&a, &b, 1000);
        if (all[i].a_has == -2) {
            assert_int_equal(a.rc, -ENOPROTOOPT);
            assert_int_equal(a.n.stage, NOISE_FAILED);
        } else {
            assert_int_equal(a.rc, 1);
            assert_int_equal(b.rc, 1);
            assert_int_equal(a.n.muxer, all[i].a_has);
            assert_int_equal(b.n.muxer, all[i].b_has);
        }
        end(&a);
        end(&b);
    }
}

static void much_data_goes_in_the_greatest_messages_whatever_the_pieces(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, P2P_NOISE_PLAIN, P2P_NOISE_PLAIN + 1, 200000};
    static const size_t steps[] = {1, 4096, 65537, 1000000};
    struct side a, b;
    struct buf plain = {0}, got = {0};
    two_sides(&a, &b);
    shake(&a, &b, 1000);
    for (size_t i = 0; i < ARRAY_N(sizes) * ARRAY_N(steps); i++) {
        size_t n = sizes[i % ARRAY_N(sizes)], step = steps[i / ARRAY_N(sizes)];
        size_t messages = (n + P2P_NOISE_PLAIN - 1) / P2P_NOISE_PLAIN;
        assert_int_equal(buf_resize(&plain, n), 0);
        for (size_t at = 0; at < n; at++)
            plain.p[at] = (uint8_t)(at * 31 + at / 251 + i);
        buf_reset(&a.out);
        buf_reset(&got);
        assert_int_equal(noise_encrypt(&a.n, buf_bytes(&plain), &a.out), 0);
        assert_int_equal(a.out.n, n + messages * (2 + NOISE_TAG_BYTES));
        for (size_t at = 0; at < a.out.n; at += step) {
            struct bytes piece = bytes_of(a.out.p + at, (size_t)min_u64(step, a.out.n - at));
            assert_int_equal(noise_decrypt(&b.n, piece, &got), 0);
        }
        assert_true(bytes_equal(buf_bytes(&got), buf_bytes(&plain)));
    }
    buf_fini(&plain);
    buf_fini(&got);
    end(&a);
    end(&b);
}

/* ---- hostile sides -----------------------------------------------------------------------------
 */

static void another_peer_than_was_dialed_is_refused(void **state)
{
    (void)state;
    struct side a, b, c;
    make_keys(&a, 1);
    make_keys(&b, 2);
    make_keys(&c, 3);
    begin(&a, true, c.id, yamux, 1);
    begin(&b, false, NULL, yamux, 1);
    shake(&a, &b, 1000);
    assert_int_equal(a.rc, -EPERM);
    assert_non_null(strstr(a.err.msg, "another peer"));
    assert_int_equal(a.out.n, 0); /* who this is was not said to it */
    assert_int_equal(b.rc, 0);
    assert_int_equal(noise_encrypt(&a.n, bytes_str("x"), &a.out), -EPERM);
    struct bytes none = bytes_of(NULL, 0);
    assert_int_equal(noise_handshake(&a.n, &none, &a.out, NULL), -EPERM);
    end(&a);
    end(&b);
    end(&c);
}

static void this_very_device_is_refused_by_both_sides(void **state)
{
    (void)state;
    struct side a, b;
    make_keys(&a, 1);
    make_keys(&b, 1);
    begin(&a, true, NULL, yamux, 1);
    begin(&b, false, NULL, yamux, 1);
    shake(&a, &b, 1000);
    assert_int_equal(a.rc, -EPERM);
    assert_non_null(strstr(a.err.msg, "this very device"));
    end(&a);
    end(&b);
    /* To a responder that shows another identity in message 2 than it has. */
    two_sides(&a, &b);
    deliver(&a, &b, 1000);
    memcpy(b.keys.identity, a.keys.identity, sizeof b.keys.identity);
    deliver(&b, &a, 1000);
    deliver(&a, &b, 1000);
    assert_int_equal(b.rc, -EPERM);
    end(&a);
    end(&b);
}

static void a_wrong_signature_is_refused(void **state)
{
    (void)state;
    /* Of another static key, and of another identity: on either side. */
    for (unsigned i = 0; i < 4; i++) {
        struct side a, b, thief;
        two_sides(&a, &b);
        make_keys(&thief, 3);
        struct side *liar = i & 1 ? &b : &a;
        if (i & 2)
            memcpy(liar->keys.identity, thief.keys.identity, sizeof thief.keys.identity);
        else
            memcpy(liar->keys.signature, thief.keys.signature, sizeof thief.keys.signature);
        shake(&a, &b, 1000);
        assert_int_equal(i & 1 ? a.rc : b.rc, -EBADMSG);
        assert_non_null(strstr(i & 1 ? a.err.msg : b.err.msg, "not who it says"));
        end(&a);
        end(&b);
        end(&thief);
    }
}

static void points_of_low_order_are_refused(void **state)
{
    (void)state;
    static const char *const points[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"};
    for (size_t i = 0; i < ARRAY_N(points); i++) {
        struct side a, b;
        uint8_t p[NOISE_KEY_BYTES];
        assert_int_equal(sodium_hex2bin(p, sizeof p, points[i], 64, NULL, NULL, NULL), 0);
        two_sides(&a, &b);
        memcpy(a.out.p + 2, p, sizeof p);
        deliver(&a, &b, 1000);
        assert_int_equal(b.rc, -EBADMSG);
        assert_int_equal(b.out.n, 0);
        end(&a);
        end(&b);
        two_sides(&a, &b);
        deliver(&a, &b, 1000);
        memcpy(b.out.p + 2, p, sizeof p);
        deliver(&b, &a, 1000);
        assert_int_equal(a.rc, -EBADMSG);
        end(&a);
        end(&b);
        /* As a static key, encrypted as it should be. */
        two_sides(&a, &b);
        memcpy(b.keys.static_public, p, sizeof p);
        shake(&a, &b, 1000);
        assert_int_equal(a.rc, -EBADMSG);
        end(&a);
        end(&b);
        two_sides(&a, &b);
        memcpy(a.keys.static_public, p, sizeof p);
        shake(&a, &b, 1000);
        assert_int_equal(b.rc, -EBADMSG);
        end(&a);
        end(&b);
    }
}

/* Shakes hands with bit @bit of message @message turned; whether it went past the end of it. */
static bool shake_turned(unsigned message, size_t bit)
{
    struct side a, b;
    two_sides(&a, &b);
    struct side *sender = message == 2 ? &b : &a, *reader = message == 2 ? &a : &b;
    if (message > 1)
        deliver(&a, &b, 1000);
    if (message > 2)
        deliver(&b, &a, 1000);
    bool within = bit < sender->out.n * 8;
    if (within) {
        sender->out.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        shake(&a, &b, 1000);
        shake(&a, &b, 1000);
        /* Message 1 is not encrypted: what is wrong with it shows in the next. */
        assert_true(message == 1 ? a.rc <= 0 && b.rc <= 0 : reader->rc <= 0);
        assert_true(bit < 16 || (message == 1 ? a.rc : reader->rc) < 0);
    }
    end(&a);
    end(&b);
    return !within;
}

static void a_bit_that_turns_anywhere_ends_the_handshake(void **state)
{
    (void)state;
    for (unsigned message = 1; message <= 3; message++)
        for (size_t bit = 0; !shake_turned(message, bit); bit++)
            ;
}

static void messages_of_impossible_lengths_are_refused(void **state)
{
    (void)state;
    static const struct {
        bool initiator;
        unsigned length;
        int rc;
    } all[] = {{false, 0, -EPROTO},    {false, 31, -EPROTO},   {false, 33, -EPROTO},
               {false, 4097, -EPROTO}, {true, 0, -EPROTO},     {true, 95, -EPROTO},
               {true, 96, -EBADMSG},   {true, 4096, -EBADMSG}, {true, 4097, -EPROTO},
               {true, 65535, -EPROTO}};
    for (size_t i = 0; i < ARRAY_N(all); i++) {
        struct side s, sender = {0};
        make_keys(&s, 1);
        begin(&s, all[i].initiator, NULL, yamux, 1);
        buf_put_u16(&sender.out, (uint16_t)all[i].length);
        for (unsigned at = 0; at < all[i].length; at++)
            buf_put_u8(&sender.out, (uint8_t)(at * 7 + 9));
        deliver(&sender, &s, 11);
        assert_int_equal(s.rc, all[i].rc);
        assert_true(s.err.msg[0] != '\0');
        assert_true(s.n.part.cap == 0);
        buf_fini(&sender.out);
        end(&s);
    }
}

static void a_message_that_never_ends_costs_what_came(void **state)
{
    (void)state;
    struct side a, b;
    struct buf got = {0};
    two_sides(&a, &b);
    shake(&a, &b, 1000);
    assert_int_equal(noise_decrypt(&b.n, bytes_of("\xff\xff\x00", 3), &got), 0);
    assert_true(b.n.part.cap < 1000);
    buf_fini(&got);
    end(&a);
    end(&b);
}

static void what_was_changed_under_way_ends_the_connection(void **state)
{
    (void)state;
    for (size_t bit = 0; bit < (2 + 5 + 16) * 8; bit++) {
        struct side a, b;
        struct buf got = {0};
        two_sides(&a, &b);
        shake(&a, &b, 1000);
        assert_int_equal(noise_encrypt(&a.n, bytes_str("first"), &a.out), 0);
        assert_int_equal(noise_encrypt(&a.n, bytes_str("again"), &a.out), 0);
        a.out.p[a.out.n / 2 + bit / 8] ^= (uint8_t)(1u << bit % 8);
        int rc = noise_decrypt(&b.n, buf_bytes(&a.out), &got);
        assert_true(bytes_equal(buf_bytes(&got), bytes_str("first")));
        assert_true(rc < 0 || bit < 16); /* a longer one is waited for */
        if (rc < 0) {
            assert_int_equal(noise_decrypt(&b.n, bytes_of(NULL, 0), &got), rc);
            assert_true(sodium_is_zero(b.n.in.key, sizeof b.n.in.key));
            assert_true(sodium_is_zero(b.n.out.key, sizeof b.n.out.key));
        }
        buf_fini(&got);
        end(&a);
        end(&b);
    }
}

static void a_message_twice_or_left_out_ends_the_connection(void **state)
{
    (void)state;
    struct side a, b;
    struct buf got = {0};
    two_sides(&a, &b);
    shake(&a, &b, 1000);
    assert_int_equal(noise_encrypt(&a.n, bytes_str("once"), &a.out), 0);
    assert_int_equal(noise_decrypt(&b.n, buf_bytes(&a.out), &got), 0);
    assert_int_equal(noise_decrypt(&b.n, buf_bytes(&a.out), &got), -EBADMSG);
    assert_true(bytes_equal(buf_bytes(&got), bytes_str("once")));
    buf_fini(&got);
    end(&a);
    end(&b);
}

static void the_last_number_is_not_used(void **state)
{
    (void)state;
    struct side a, b;
    struct buf got = {0};
    two_sides(&a, &b);
    shake(&a, &b, 1000);
    a.n.out.n = b.n.in.n = UINT64_MAX - 1;
    assert_int_equal(noise_encrypt(&a.n, bytes_str("last"), &a.out), 0);
    assert_int_equal(noise_decrypt(&b.n, buf_bytes(&a.out), &got), 0);
    assert_int_equal(noise_decrypt(&b.n, buf_bytes(&a.out), &got), -EOVERFLOW);
    assert_int_equal(noise_encrypt(&a.n, bytes_str("more"), &a.out), -EOVERFLOW);
    buf_fini(&got);
    end(&a);
    end(&b);
}

/* ---- payloads ----------------------------------------------------------------------------------
 */

static void a_payload_that_lacks_something_is_refused(void **state)
{
    (void)state;
    struct side a;
    struct buf b = {0}, cut = {0};
    struct noise_payload p;
    struct err err;
    make_keys(&a, 1);
    const uint8_t *key = a.keys.static_public;
    assert_int_equal(noise_payload_put(&b, &a.keys, NULL, 0), 0);
    assert_int_equal(noise_payload_get(buf_bytes(&b), key, yamux, 1, true, &p, &err), 0);
    for (size_t n = 0; n < b.n; n++)
        assert_int_equal(noise_payload_get(bytes_of(b.p, n), key, yamux, 1, true, &p, &err),
                         -EBADMSG);
    buf_put(&cut, b.p + 38, b.n - 38); /* without the key */
    assert_int_equal(noise_payload_get(buf_bytes(&cut), key, yamux, 1, true, &p, &err), -EBADMSG);
    buf_put(&b,
            "\x1a\x04"
            "data\xf8\x07\x01",
            9); /* fields that are not known */
    assert_int_equal(noise_payload_get(buf_bytes(&b), key, yamux, 1, true, &p, &err), 0);
    b.p[3] = 2; /* Secp256k1 */
    assert_int_equal(noise_payload_get(buf_bytes(&b), key, yamux, 1, true, &p, &err), -ENOTSUP);
    buf_fini(&b);
    buf_fini(&cut);
    end(&a);
}

static void a_payload_costs_no_more_than_a_multiple_of_its_length(void **state)
{
    (void)state;
    struct side a;
    struct buf b = {0};
    struct noise_payload p;
    struct err err;
    make_keys(&a, 1);
    assert_int_equal(noise_payload_put(&b, &a.keys, NULL, 0), 0);
    while (b.n + 2 <= P2P_NOISE_HANDSHAKE)
        buf_put(&b, "\x78\x00", 2); /* a field of two bytes: some 100 in memory */
    assert_int_equal(
        noise_payload_get(buf_bytes(&b), a.keys.static_public, yamux, 1, true, &p, &err), -EBADMSG);
    buf_fini(&b);
    end(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_known_handshake_is_byte_exact),
        cmocka_unit_test(each_learns_the_other_whatever_the_pieces),
        cmocka_unit_test(bytes_behind_the_last_message_are_left),
        cmocka_unit_test(the_muxer_is_the_initiators_choice),
        cmocka_unit_test(much_data_goes_in_the_greatest_messages_whatever_the_pieces),
        cmocka_unit_test(another_peer_than_was_dialed_is_refused),
        cmocka_unit_test(this_very_device_is_refused_by_both_sides),
        cmocka_unit_test(a_wrong_signature_is_refused),
        cmocka_unit_test(points_of_low_order_are_refused),
        cmocka_unit_test(a_bit_that_turns_anywhere_ends_the_handshake),
        cmocka_unit_test(messages_of_impossible_lengths_are_refused),
        cmocka_unit_test(a_message_that_never_ends_costs_what_came),
        cmocka_unit_test(what_was_changed_under_way_ends_the_connection),
        cmocka_unit_test(a_message_twice_or_left_out_ends_the_connection),
        cmocka_unit_test(the_last_number_is_not_used),
        cmocka_unit_test(a_payload_that_lacks_something_is_refused),
        cmocka_unit_test(a_payload_costs_no_more_than_a_multiple_of_its_length),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
