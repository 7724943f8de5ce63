/* PeerIds, keys and bases, against known vectors. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <sodium.h>

#include "proto/multibase.h"
#include "proto/peer_id.h"
#include "proto/peer_key.h"
#include "tests/support/vectors.h"

static const char qm[] = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N";

static void peer_id_of_known_keys(void **state)
{
    (void)state;
    struct buf b = {0};
    char ought[VECTOR_TEXT_SIZE], text[PEER_ID_TEXT_SIZE];
    for (size_t i = 0; i < 3; i++) {
        uint8_t id[PEER_ID_BYTES], key[PEER_ID_KEY_BYTES];
        peer_id_of_key(vector_bytes(&b, "peerIds.%zu.publicKey", i).p, id);
        assert_string_equal(peer_id_text(id, text), vector_text(ought, "peerIds.%zu.text", i));
        assert_int_equal(peer_id_key(bytes_of(id, sizeof id), key), 0);
        assert_memory_equal(key, b.p, sizeof key);
        vector_bytes(&b, "peerIds.%zu.multihash", i);
        assert_true(bytes_equal(bytes_of(id, sizeof id), buf_bytes(&b)));
    }
    buf_fini(&b);
}

static void peer_id_text_of_extremes_fits(void **state)
{
    (void)state;
    uint8_t id[PEER_ID_ANY_MAX] = {0};
    char text[PEER_ID_TEXT_SIZE], any[PEER_ID_ANY_TEXT_SIZE];
    assert_string_equal(peer_id_text(id, text), "11111111111111111111111111111111111111");
    memset(id, 0xff, sizeof id);
    assert_int_equal(strlen(peer_id_text(id, text)), 52);
    assert_int_equal(strlen(peer_id_any_text(bytes_of(id, sizeof id), any)), 61);
}

static void peer_id_parse_of_every_form_gives_the_id(void **state)
{
    (void)state;
    /* The first key's, in the bases that the file of examples does not have. */
    static const char *const forms[] = {
        "f0172002408011220"
        "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c",
        "F0172002408011220"
        "8A88E3DD7409F195FD52DB2D3CBA5D72CA6709BF1D94121BF3748801B40F6F5C",
        "BAFZAAJAIAEJCBCUI4POXICPRSX6VFWZNHS5F24WKM4E36HMUCIN7G5EIAG2A6324",
        "mAXIAJAgBEiCKiOPddAnxlf1S2y08ul1yymcJvx2UEhvzdIgBtA9vXA",
        "uAXIAJAgBEiCKiOPddAnxlf1S2y08ul1yymcJvx2UEhvzdIgBtA9vXA",
    };
    struct buf b = {0};
    char text[VECTOR_TEXT_SIZE];
    uint8_t id[PEER_ID_BYTES];
    for (size_t i = 0; i < 3; i++) {
        vector_bytes(&b, "peerIds.%zu.multihash", i);
        vector_text(text, "peerIds.%zu.text", i);
        assert_int_equal(peer_id_parse(bytes_str(text), id), 0);
        assert_memory_equal(id, b.p, sizeof id);
        memset(id, 0, sizeof id);
        vector_text(text, "peerIds.%zu.cid", i);
        assert_int_equal(peer_id_parse(bytes_str(text), id), 0);
        assert_memory_equal(id, b.p, sizeof id);
    }
    vector_bytes(&b, "peerIds.0.multihash");
    for (size_t i = 0; i < ARRAY_N(forms); i++) {
        memset(id, 0, sizeof id);
        assert_int_equal(peer_id_parse(bytes_str(forms[i]), id), 0);
        assert_memory_equal(id, b.p, sizeof id);
    }
    buf_fini(&b);
}

static void peer_id_parse_of_a_cid_in_numbers_gives_the_id(void **state)
{
    (void)state;
    /* Bases 36 and 58 of 01 72 and the id, made here by long division. */
    static const struct {
        char prefix;
        const char *alphabet;
    } bases[] = {{'k', "0123456789abcdefghijklmnopqrstuvwxyz"},
                 {'K', "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"},
                 {'z', "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"}};
    struct buf b = {0};
    struct bytes id = vector_bytes(&b, "peerIds.0.multihash");
    for (size_t i = 0; i < ARRAY_N(bases); i++) {
        uint8_t number[2 + PEER_ID_BYTES] = {0x01, 0x72}, got[PEER_ID_BYTES];
        char text[80];
        size_t at = sizeof text;
        unsigned radix = (unsigned)strlen(bases[i].alphabet);
        memcpy(number + 2, id.p, id.n);
        while (!sodium_is_zero(number, sizeof number)) {
            unsigned rest = 0;
            for (size_t d = 0; d < sizeof number; d++) {
                rest = rest << 8 | number[d];
                number[d] = (uint8_t)(rest / radix);
                rest %= radix;
            }
            text[--at] = bases[i].alphabet[rest];
        }
        text[--at] = bases[i].prefix;
        assert_int_equal(peer_id_parse(bytes_of(text + at, sizeof text - at), got), 0);
        assert_memory_equal(got, id.p, sizeof got);
    }
    buf_fini(&b);
}

static void peer_id_of_another_kind_is_a_name_and_no_more(void **state)
{
    (void)state;
    struct buf b = {0};
    char text[VECTOR_TEXT_SIZE], any[PEER_ID_ANY_TEXT_SIZE];
    uint8_t id[PEER_ID_ANY_MAX], key[PEER_ID_KEY_BYTES];
    struct bytes ought = vector_bytes(&b, "peerIds.3.multihash");
    assert_int_equal(peer_id_any_parse(bytes_str(qm), id), ought.n);
    assert_memory_equal(id, ought.p, ought.n);
    vector_text(text, "peerIds.3.cid");
    assert_int_equal(peer_id_any_parse(bytes_str(text), id), ought.n);
    assert_memory_equal(id, ought.p, ought.n);
    assert_string_equal(peer_id_any_text(ought, any), qm);
    assert_int_equal(peer_id_parse(bytes_str(qm), id), -ENOTSUP);
    assert_int_equal(peer_id_key(ought, key), -ENOTSUP);
    /* A key of Secp256k1 is its own id, too. */
    uint8_t secp[39] = {0x00, 0x25, 0x08, 0x02, 0x12, 0x21, 0x02};
    assert_int_equal(
        peer_id_any_parse(bytes_str(peer_id_any_text(bytes_of(secp, sizeof secp), any)), id),
        sizeof secp);
    assert_int_equal(peer_id_parse(bytes_str(any), id), -ENOTSUP);
    buf_fini(&b);
}

static void peer_id_parse_of_what_is_none_fails(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "1",
        "Qm",
        "b",
        "x",
        "12D3KooW",
        "12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH0",  /* no digit of base58 */
        "12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5x", /* longer */
        "112D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5", /* a zero byte more */
        " 12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5",
        "bafzbeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xqxf", /* bits left over */
        "bafzaajaiaejcbcui4poxicprsx6vfwznhs5f24wkm4e36hmucin7g5eiag2a6324a",
        "bafzaajaiaejcbcui4poxicprsx6vfwznhs5f24wkm4e36hmucin7g5eiag2a632",
        "bAFZAAJAIAEJCBCUI4POXICPRSX6VFWZNHS5F24WKM4E36HMUCIN7G5EIAG2A6324", /* the wrong case */
        "f01700024080112208a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c",
        "f00720024080112208a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c",
        "f01720025080112208a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c",
        "f01721120",
        "f0172",
        "f01",
    };
    uint8_t id[PEER_ID_ANY_MAX];
    char longest[MULTIBASE_TEXT_MAX + 2];
    for (size_t i = 0; i < ARRAY_N(bad); i++)
        assert_int_equal(peer_id_any_parse(bytes_str(bad[i]), id), -EBADMSG);
    memset(longest, 'z', sizeof longest);
    for (size_t n = 0; n <= sizeof longest; n++)
        assert_int_equal(peer_id_parse(bytes_of(longest, n), id), -EBADMSG);
}

/* ---- keys --------------------------------------------------------------------------------------
 */

static void peer_key_has_one_encoding(void **state)
{
    (void)state;
    struct buf b = {0};
    uint8_t key[PEER_KEY_PUBLIC_BYTES], again[PEER_KEY_BYTES];
    for (size_t i = 0; i < 3; i++) {
        struct bytes in = vector_bytes(&b, "peerIds.%zu.publicKeyProtobuf", i);
        assert_int_equal(peer_key_decode(in, key), 0);
        peer_key_encode(key, again);
        assert_true(bytes_equal(bytes_of(again, sizeof again), in));
    }
    for (size_t n = 0; n < PEER_KEY_BYTES; n++)
        assert_int_equal(peer_key_decode(bytes_of(b.p, n), key), -EBADMSG);
    for (size_t i = 0; i < 4; i++) {
        b.p[i] ^= 0x40;
        assert_int_equal(peer_key_decode(buf_bytes(&b), key), -EBADMSG);
        b.p[i] ^= 0x40;
    }
    for (uint8_t type = 0; type < 4; type++) {
        b.p[1] = type;
        assert_int_equal(peer_key_decode(buf_bytes(&b), key), type == 1 ? 0 : -ENOTSUP);
    }
    b.p[1] = 1;
    buf_put_u8(&b, 0); /* more behind it */
    assert_int_equal(peer_key_decode(buf_bytes(&b), key), -EBADMSG);
    buf_fini(&b);
}

static void peer_key_decode_secret_takes_both_forms_and_only_true_pairs(void **state)
{
    (void)state;
    struct buf seed = {0}, key = {0}, in = {0};
    uint8_t got[PEER_KEY_SECRET_BYTES];
    vector_bytes(&seed, "peerIds.0.seed");
    vector_bytes(&key, "peerIds.0.publicKey");
    for (unsigned twice = 0; twice < 2; twice++) {
        buf_reset(&in);
        buf_put(&in, (uint8_t[]){0x08, 0x01, 0x12, twice ? 0x60 : 0x40}, 4);
        buf_put_bytes(&in, buf_bytes(&seed));
        buf_put_bytes(&in, buf_bytes(&key));
        if (twice)
            buf_put_bytes(&in, buf_bytes(&key));
        assert_int_equal(peer_key_decode_secret(buf_bytes(&in), got), 0);
        assert_memory_equal(got, in.p + 4, sizeof got);
        for (size_t i = 0; i < in.n; i++) { /* each byte counts */
            in.p[i] ^= 0x80;
            assert_int_equal(peer_key_decode_secret(buf_bytes(&in), got), -EBADMSG);
            in.p[i] ^= 0x80;
        }
        for (size_t n = 0; n < in.n; n++)
            assert_true(peer_key_decode_secret(bytes_of(in.p, n), got) < 0);
        in.p[1] = 2;
        assert_int_equal(peer_key_decode_secret(buf_bytes(&in), got), -ENOTSUP);
    }
    buf_fini(&seed);
    buf_fini(&key);
    buf_fini(&in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(peer_id_of_known_keys),
        cmocka_unit_test(peer_id_text_of_extremes_fits),
        cmocka_unit_test(peer_id_parse_of_every_form_gives_the_id),
        cmocka_unit_test(peer_id_parse_of_a_cid_in_numbers_gives_the_id),
        cmocka_unit_test(peer_id_of_another_kind_is_a_name_and_no_more),
        cmocka_unit_test(peer_id_parse_of_what_is_none_fails),
        cmocka_unit_test(peer_key_has_one_encoding),
        cmocka_unit_test(peer_key_decode_secret_takes_both_forms_and_only_true_pairs),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
