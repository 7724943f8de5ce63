/* CPace against the vectors of draft-irtf-cfrg-cpace-21, appendix B.3, and those of drafts
 * before 19. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sync/pair/cpace.h"

enum { SCALAR = crypto_core_ristretto255_SCALARBYTES };

/* What randombytes() gives: the secret of a vector. */
static uint8_t drawn[SCALAR];

static const char *name(void)
{
    return "vector";
}

static void fill(void *p, size_t n)
{
    assert_int_equal(n, SCALAR);
    memcpy(p, drawn, n);
}

static uint32_t word(void)
{
    return 0;
}

static void no_stir(void)
{
}

static int no_close(void)
{
    return 0;
}

static struct randombytes_implementation vector_random = {name, word, no_stir,
                                                          NULL, fill, no_close};

/* Bytes of @hex in @ret. */
static struct bytes unhex(const char *hex, uint8_t ret[static 256])
{
    size_t n;
    assert_int_equal(sodium_hex2bin(ret, 256, hex, strlen(hex), NULL, &n, NULL), 0);
    return bytes_of(ret, n);
}

static void assert_hex(const uint8_t *p, size_t n, const char *hex)
{
    uint8_t ought[256];
    struct bytes b = unhex(hex, ought);
    assert_int_equal(b.n, n);
    assert_memory_equal(p, ought, n);
}

static const char sid_hex[] = "7e4b4791d6a8ef019b936c79fb7f2c57";
static const char ya_hex[] = "da3d23700a9e5699258aef94dc060dfda5ebb61f02a5ea77fad53f4ff0976d08";
static const char yb_hex[] = "d2316b454718c35362d83d69df6320f38578ed5984651435e2949762d900b80d";

static const struct {
    const char *ci, *g, *share_a, *share_b, *key_ir, *key_oc;
} sets[] = {
    {"0b415f696e69746961746f720b425f726573706f6e646572",
     "222b6b195fe84b1652badb6f6a3ae3d24341e7306967f0b8115b40d5698c7e56",
     "d6bac480f2c386c394efc7c47adb9925dcd2630b64f240c50f8d0eec482b9157",
     "3ea7e0b19560d7c0b0f5734f63b955286dfa8232b5ebe63324e2d9e7433f7258",
     "b69effbf61b51d56401c0f65601abe428de8206feaaf0e32198896dcae7b35cd"
     "2b38950a39dfd5d4a79164614c2984f7daa460b588c1e80c3fa2068af7900447",
     "544199d71f62f8d9a1fee55727e24fe4a45844593c2b6013c4fa3969d0e5debb"
     "2244675c0b43397cbb68d342b01fc0f98fc961469a25134de9f0f813c1a57476"},
    {"6f630b425f726573706f6e6465720b415f696e69746961746f72",
     "a6fc82c3b8968fbb2e06fee81ca858586dea50d248f0c7ca6a18b0902a30b36b",
     "d40fb265a7abeaee7939d91a585fe59f7053f982c296ec413c624c669308f87a",
     "08bcf6e9777a9c313a3db6daa510f2d398403319c2341bd506a92e672eb7e307",
     "4c5469a16b2364c4b944ebc1a79e51d1674ad47db26e8718154f59faebfaa52d"
     "8346f30aa58377117eb20d527f2cbc5c76381f7fd372e89df8239f87f2e02ed1",
     "980dcc5a1c52ceea031e75f38ed266586616488c5c5780285fcbcf79087c7bcd"
     "bd993502eee606b718ba31e840a000a7b7befe15ea427c5cfe88344fa1237f35"},
};

static void start(struct cpace *c, const char *secret, struct bytes ci)
{
    uint8_t sid[256], room[256];
    memcpy(drawn, unhex(secret, room).p, SCALAR);
    assert_int_equal(cpace_init(c, bytes_str("Password"), ci, unhex(sid_hex, sid)), 0);
}

static void keys_are_those_of_the_draft(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_N(sets); i++) {
        uint8_t ci_room[256], sid_room[256], g[CPACE_SHARE_SIZE], key[CPACE_KEY_SIZE];
        struct bytes ci = unhex(sets[i].ci, ci_room), sid = unhex(sid_hex, sid_room);
        struct cpace a, b;
        struct buf ir CLEANUP(buf_fini) = {0}, oc CLEANUP(buf_fini) = {0},
                      co CLEANUP(buf_fini) = {0};
        cpace_generator(bytes_str("Password"), ci, sid, g);
        assert_hex(g, sizeof g, sets[i].g);
        start(&a, ya_hex, ci);
        start(&b, yb_hex, ci);
        assert_hex(a.share, sizeof a.share, sets[i].share_a);
        assert_hex(b.share, sizeof b.share, sets[i].share_b);
        struct cpace_sent as = {bytes_of(a.share, sizeof a.share), bytes_str("ADa")};
        struct cpace_sent bs = {bytes_of(b.share, sizeof b.share), bytes_str("ADb")};
        cpace_transcript(&as, &bs, &ir);
        cpace_transcript_oc(&as, &bs, &oc);
        cpace_transcript_oc(&bs, &as, &co);
        assert_true(bytes_equal(buf_bytes(&oc), buf_bytes(&co)));
        assert_int_equal(cpace_key(&a, bs.share, sid, buf_bytes(&ir), key), 0);
        assert_hex(key, sizeof key, sets[i].key_ir);
        assert_int_equal(cpace_key(&b, as.share, sid, buf_bytes(&ir), key), 0);
        assert_hex(key, sizeof key, sets[i].key_ir);
        assert_int_equal(cpace_key(&b, as.share, sid, buf_bytes(&oc), key), 0);
        assert_hex(key, sizeof key, sets[i].key_oc);
        cpace_fini(&a);
        cpace_fini(&b);
        assert_true(sodium_is_zero(a.secret, sizeof a.secret));
    }
}

static void transcripts_are_those_of_the_draft(void **state)
{
    (void)state;
    static const struct {
        const char *ya, *ada, *yb, *adb, *hex;
        bool oc;
    } all[] = {
        {"123", "PartyA", "234", "PartyB", "03313233065061727479410332333406506172747942", false},
        {"123", "PartyA", "234", "PartyB", "6f6303323334065061727479420331323306506172747941",
         true},
        {"3456", "PartyA", "2345", "PartyB", "6f63043334353606506172747941043233343506506172747942",
         true},
    };
    for (size_t i = 0; i < ARRAY_N(all); i++) {
        struct buf b CLEANUP(buf_fini) = {0};
        struct cpace_sent one = {bytes_str(all[i].ya), bytes_str(all[i].ada)};
        struct cpace_sent two = {bytes_str(all[i].yb), bytes_str(all[i].adb)};
        (all[i].oc ? cpace_transcript_oc : cpace_transcript)(&one, &two, &b);
        assert_hex(b.p, b.n, all[i].hex);
    }
}

/* No vector has a code of so many bytes: the rule of the padding is worked out here. */
static void a_long_code_has_a_length_of_two_bytes_and_no_padding(void **state)
{
    (void)state;
    for (size_t n = 100; n < 140; n++) {
        uint8_t prs[140], hash[crypto_hash_sha512_BYTES], g[CPACE_SHARE_SIZE],
            ought[CPACE_SHARE_SIZE];
        struct buf b CLEANUP(buf_fini) = {0};
        static const uint8_t zeros[128];
        memset(prs, 'x', sizeof prs);
        size_t head = n < 128 ? 1 : 2;
        buf_put_string(&b, bytes_str("CPaceRistretto255"));
        buf_put_string(&b, bytes_of(prs, n));
        buf_put_string(&b, bytes_of(zeros, n + head < 109 ? 109 - n - head : 0));
        buf_put_string(&b, bytes_str("ci"));
        buf_put_string(&b, bytes_str(""));
        crypto_hash_sha512(hash, b.p, b.n);
        crypto_core_ristretto255_from_hash(ought, hash);
        cpace_generator(bytes_of(prs, n), bytes_str("ci"), bytes_str(""), g);
        assert_memory_equal(g, ought, sizeof g);
    }
}

static void what_is_no_share_gives_no_key(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "2b3c6b8c4f3800e7aef6864025b4ed79bd599117e427c41bd47d93d654b4a51c", /* no element */
        "0000000000000000000000000000000000000000000000000000000000000000", /* the identity */
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", /* not canonical */
        "0100000000000000000000000000000000000000000000000000000000000000", /* negative */
        "2c3c6b8c4f3800e7aef6864025b4ed79bd599117e427c41bd47d93d654b4a5",   /* too short */
        "2c3c6b8c4f3800e7aef6864025b4ed79bd599117e427c41bd47d93d654b4a51c00", "",
    };
    struct cpace c;
    uint8_t room[256], key[CPACE_KEY_SIZE];
    start(&c, "7cd0e075fa7955ba52c02759a6c90dbbfc10e6d40aea8d283e407d88cf538a05", bytes_str("ci"));
    for (size_t i = 0; i < ARRAY_N(bad); i++) {
        memset(key, 1, sizeof key);
        assert_int_equal(cpace_key(&c, unhex(bad[i], room), bytes_str("s"), bytes_str("t"), key),
                         -EBADMSG);
        assert_true(sodium_is_zero(key, sizeof key));
    }
    struct bytes own = bytes_of(c.share, sizeof c.share);
    assert_int_equal(cpace_key(&c, own, bytes_str("s"), bytes_str("t"), key), -EBADMSG);
    struct bytes good =
        unhex("2c3c6b8c4f3800e7aef6864025b4ed79bd599117e427c41bd47d93d654b4a51c", room);
    assert_int_equal(cpace_key(&c, good, bytes_str("s"), bytes_str("t"), key), 0);
    cpace_fini(&c);
}

static void tags_are_of_key_run_and_what_was_sent(void **state)
{
    (void)state;
    static const uint8_t key[2][CPACE_KEY_SIZE] = {{1}, {2}};
    struct cpace_sent sent[] = {{bytes_str("Y"), bytes_str("AD")},
                                {bytes_str("YA"), bytes_str("D")},
                                {bytes_str("Z"), bytes_str("AD")}};
    uint8_t one[CPACE_TAG_SIZE], two[CPACE_TAG_SIZE];
    cpace_tag(key[0], bytes_str("sid"), &sent[0], one);
    cpace_tag(key[0], bytes_str("sid"), &sent[0], two);
    assert_memory_equal(one, two, sizeof one);
    cpace_tag(key[1], bytes_str("sid"), &sent[0], two);
    assert_memory_not_equal(one, two, sizeof one);
    cpace_tag(key[0], bytes_str("sie"), &sent[0], two);
    assert_memory_not_equal(one, two, sizeof one);
    for (size_t i = 1; i < ARRAY_N(sent); i++) {
        cpace_tag(key[0], bytes_str("sid"), &sent[i], two);
        assert_memory_not_equal(one, two, sizeof one);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_those_of_the_draft),
        cmocka_unit_test(transcripts_are_those_of_the_draft),
        cmocka_unit_test(a_long_code_has_a_length_of_two_bytes_and_no_padding),
        cmocka_unit_test(what_is_no_share_gives_no_key),
        cmocka_unit_test(tags_are_of_key_run_and_what_was_sent),
    };
    if (sodium_init() < 0)
        return 1;
    randombytes_set_implementation(&vector_random);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
