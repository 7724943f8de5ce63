/* Keys: every secret derives its own, nothing of them is left behind, and names are commitments. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>

#include "proto/sealed/keys.h"

static const uint8_t seed[SEED_SIZE] = {1, 2, 3}, other_seed[SEED_SIZE] = {1, 2, 4};

static bool all_zero(const void *p, size_t n)
{
    return sodium_is_zero(p, n) == 1;
}

static void member_keys_are_those_of_the_seed(void **state)
{
    (void)state;
    struct member_keys a, b, c;
    assert_int_equal(member_keys_init(&a, seed), 0);
    assert_int_equal(member_keys_init(&b, seed), 0);
    assert_int_equal(member_keys_init(&c, other_seed), 0);
    assert_memory_equal(&a, &b, sizeof a);
    assert_memory_not_equal(a.sign_public, c.sign_public, SIGN_KEY_SIZE);
    assert_memory_not_equal(a.box_public, c.box_public, BOX_KEY_SIZE);
    assert_true(sign_key_valid(a.sign_public) && box_key_valid(a.box_public));
    /* As crypto_kdf has it, so that nobody changes a context by accident. */
    uint8_t derived[SEED_SIZE], pk[SIGN_KEY_SIZE], sk[crypto_sign_SECRETKEYBYTES];
    crypto_kdf_derive_from_key(derived, sizeof derived, 1, "psMembr1", seed);
    crypto_sign_seed_keypair(pk, sk, derived);
    assert_memory_equal(pk, a.sign_public, sizeof pk);
    crypto_kdf_derive_from_key(derived, sizeof derived, 2, "psMembr1", seed);
    crypto_box_seed_keypair(pk, sk, derived);
    assert_memory_equal(pk, a.box_public, sizeof pk);
    member_keys_fini(&a);
    assert_true(all_zero(&a, sizeof a));
    member_keys_fini(&b);
    member_keys_fini(&c);
    member_keys_fini(NULL);
}

static void epoch_keys_differ_from_each_other(void **state)
{
    (void)state;
    struct epoch_keys k;
    assert_int_equal(epoch_keys_init(&k, seed), 0);
    const uint8_t *all[] = {k.key, k.body, k.chunk_id, k.chunk, k.label, k.discovery};
    for (size_t i = 0; i < ARRAY_N(all); i++)
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(all[i], all[j], HASH_SIZE);
    for (size_t i = 1; i < ARRAY_N(all); i++) {
        uint8_t derived[HASH_SIZE];
        crypto_kdf_derive_from_key(derived, sizeof derived, i, "psEpoch1", seed);
        assert_memory_equal(derived, all[i], sizeof derived);
    }
    struct epoch_id id = epoch_id_of(seed), other = epoch_id_of(other_seed);
    assert_int_equal(epoch_id_cmp(&id, &k.id), 0);
    assert_int_not_equal(epoch_id_cmp(&id, &other), 0);
    epoch_keys_fini(&k);
    assert_true(all_zero(&k, sizeof k));
}

static void member_id_commits_to_every_key(void **state)
{
    (void)state;
    struct member_public p = {{1}, {2}, {3}};
    struct member_id id = member_id_of(&p);
    for (size_t i = 0; i < sizeof p; i++) {
        struct member_public q = p;
        ((uint8_t *)&q)[i] ^= 1;
        struct member_id changed = member_id_of(&q);
        assert_int_not_equal(member_id_cmp(&id, &changed), 0);
    }
}

static void replica_id_is_of_its_owner_and_its_draw(void **state)
{
    (void)state;
    uint8_t random[REPLICA_RANDOM_SIZE] = {7};
    uint64_t id = replica_id_of(seed, random);
    assert_int_equal(id, replica_id_of(seed, random));
    assert_true(id != replica_id_of(other_seed, random));
    random[15] ^= 1;
    assert_true(id != replica_id_of(seed, random));
}

static void key_that_gives_away_secrets_is_refused(void **state)
{
    (void)state;
    uint8_t key[32] = {0};
    assert_false(sign_key_valid(key)); /* order 4 */
    assert_false(box_key_valid(key));
    key[0] = 1; /* the neutral element */
    assert_false(sign_key_valid(key));
    assert_false(box_key_valid(key));
    memset(key, 0xff, sizeof key); /* not canonical */
    assert_false(sign_key_valid(key));
}

static void signature_holds_for_its_label_key_and_bytes_alone(void **state)
{
    (void)state;
    struct member_keys a, b;
    assert_int_equal(member_keys_init(&a, seed), 0);
    assert_int_equal(member_keys_init(&b, other_seed), 0);
    uint8_t data[SIGNED_MAX] = {5}, sig[SIGNATURE_SIZE];
    struct bytes v = bytes_of(data, sizeof data);
    label_sign(&a, SEAL_LABEL_ROOT, v, sig);
    assert_int_equal(label_verify(a.sign_public, SEAL_LABEL_ROOT, v, sig), 0);
    assert_int_equal(label_verify(b.sign_public, SEAL_LABEL_ROOT, v, sig), -EBADMSG);
    assert_int_equal(label_verify(a.sign_public, SEAL_LABEL_STATE, v, sig), -EBADMSG);
    assert_int_equal(
        label_verify(a.sign_public, SEAL_LABEL_ROOT, bytes_of(data, sizeof data - 1), sig),
        -EBADMSG);
    member_keys_fini(&a);
    member_keys_fini(&b);
}

static void seal_opens_with_its_key_and_data_alone(void **state)
{
    (void)state;
    struct buf b = {0}, out = {0};
    buf_put(&b, "public", 6);
    for (size_t n = 0; n < 300; n += 37) {
        static const uint8_t zeros[300];
        b.n = 6;
        seal_put(&b, seed, bytes_of(b.p, 6), bytes_of(zeros, n));
        struct bytes sealed = bytes_of(b.p + 6, b.n - 6);
        assert_int_equal(seal_open(sealed, seed, bytes_str("public"), &out), 0);
        assert_true(bytes_equal(buf_bytes(&out), bytes_of(zeros, n)));
        assert_int_equal(seal_open(sealed, other_seed, bytes_str("public"), &out), -EBADMSG);
        assert_int_equal(seal_open(sealed, seed, bytes_str("publiC"), &out), -EBADMSG);
        assert_int_equal(out.n, 0);
        for (size_t i = 0; i < sealed.n; i++)
            assert_int_equal(seal_open(bytes_of(sealed.p, i), seed, bytes_str("public"), &out),
                             -EBADMSG);
    }
    buf_wipe(&out);
    buf_fini(&b);
    buf_wipe(NULL);
}

/* What libsodium seals is opened, and the other way round: it is the same to the byte. */
static void seal_is_that_of_libsodium(void **state)
{
    (void)state;
    static uint8_t plain[70000], sealed[sizeof plain + 64], opened[sizeof plain];
    static const size_t sizes[] = {0, 1, 15, 16, 63, 64, 65, 255, 4096, 65537, sizeof plain};
    uint8_t nonce[SEAL_NONCE_SIZE];
    struct buf b = {0}, out = {0};
    randombytes_buf(plain, sizeof plain);
    for (size_t i = 0; i < ARRAY_N(sizes); i++) {
        size_t n = sizes[i], ad_n = i * 13;
        unsigned long long len;
        struct bytes ad = bytes_of(plain, ad_n);
        buf_reset(&b);
        seal_put(&b, seed, ad, bytes_of(plain, n));
        assert_int_equal(b.n, n + SEAL_NONCE_SIZE + SEAL_TAG_SIZE);
        memcpy(nonce, b.p, sizeof nonce);
        crypto_aead_xchacha20poly1305_ietf_encrypt(sealed, &len, plain, n, ad.p, ad.n, NULL, nonce,
                                                   seed);
        assert_int_equal(len, b.n - sizeof nonce);
        assert_memory_equal(b.p + sizeof nonce, sealed, len);
        assert_int_equal(
            crypto_aead_xchacha20poly1305_ietf_decrypt(opened, &len, NULL, b.p + sizeof nonce,
                                                       b.n - sizeof nonce, ad.p, ad.n, nonce, seed),
            0);
        assert_int_equal(seal_open(buf_bytes(&b), seed, ad, &out), 0);
        assert_true(bytes_equal(buf_bytes(&out), bytes_of(plain, n)));
        for (size_t at = 0; at < b.n; at += 1 + b.n / 40) {
            b.p[at] ^= 1;
            assert_int_equal(seal_open(buf_bytes(&b), seed, ad, &out), -EBADMSG);
            b.p[at] ^= 1;
        }
    }
    buf_fini(&b);
    buf_wipe(&out);
}

/* What is sent again is no other form of itself; what is not the same shows no likeness. */
typedef void (*seal_fn)(struct buf *b, const uint8_t *key, struct bytes ad, struct bytes plain);

static void check_same(seal_fn put)
{
    static const struct {
        const char *ad, *plain;
    } rows[] = {
        {"ad", "plain"}, {"ad", "plaiN"}, {"aD", "plain"}, {"adp", "lain"}, {"", "adplain"}};
    struct buf out = {0}, v[ARRAY_N(rows)] = {{0}}, again = {0}, other = {0};
    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        struct bytes ad = bytes_str(rows[i].ad), plain = bytes_str(rows[i].plain);
        buf_reset(&again);
        buf_reset(&other);
        put(&v[i], seed, ad, plain);
        put(&again, seed, ad, plain);
        put(&other, other_seed, ad, plain);
        assert_true(bytes_equal(buf_bytes(&v[i]), buf_bytes(&again)));
        assert_memory_not_equal(v[i].p, other.p, SEAL_NONCE_SIZE);
        assert_int_equal(seal_open(buf_bytes(&v[i]), seed, ad, &out), 0);
        assert_true(bytes_equal(buf_bytes(&out), plain));
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(v[i].p, v[k].p, SEAL_NONCE_SIZE);
    }
    for (size_t i = 0; i < ARRAY_N(rows); i++)
        buf_fini(&v[i]);
    buf_fini(&again);
    buf_fini(&other);
    buf_wipe(&out);
}

static void seal_of_the_same_is_the_same(void **state)
{
    (void)state;
    check_same(seal_put_same);
}

static void seal_of_what_is_named_is_the_same_too(void **state)
{
    (void)state;
    check_same(seal_put_named);
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(member_keys_are_those_of_the_seed),
        cmocka_unit_test(epoch_keys_differ_from_each_other),
        cmocka_unit_test(member_id_commits_to_every_key),
        cmocka_unit_test(replica_id_is_of_its_owner_and_its_draw),
        cmocka_unit_test(key_that_gives_away_secrets_is_refused),
        cmocka_unit_test(signature_holds_for_its_label_key_and_bytes_alone),
        cmocka_unit_test(seal_opens_with_its_key_and_data_alone),
        cmocka_unit_test(seal_is_that_of_libsodium),
        cmocka_unit_test(seal_of_the_same_is_the_same),
        cmocka_unit_test(seal_of_what_is_named_is_the_same_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
