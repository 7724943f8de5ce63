/* The door: a passphrase opens its blob, and nothing about a blob is believed before that. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <sys/resource.h>

#include "proto/sealed/door.h"
#include "tests/support/sealed_fixture.h"

static const uint8_t salt[DOOR_SALT_SIZE] = {1, 2, 3};
static struct door door, out;

/* A key made without the second that a passphrase takes. */
static struct door_key a_key(uint8_t n)
{
    return (struct door_key){{n, 1}, {n, 2}};
}

static void make_door(size_t epochs)
{
    randombytes_buf(&door, sizeof door);
    door.epochs_n = epochs;
}

static struct buf a_blob(size_t epochs, const struct door_key *k)
{
    struct buf b = {0};
    struct space_id space = sealed_space(1);
    make_door(epochs);
    assert_int_equal(door_seal(&door, k, salt, &space, &b), 0);
    return b;
}

static void passphrase_opens_what_it_closed(void **state)
{
    (void)state;
    struct door_key k, again;
    char typed[PASSPHRASE_SIZE], normal[PASSPHRASE_MAX];
    uint8_t read[DOOR_SALT_SIZE];
    struct space_id space = sealed_space(1);
    passphrase_new(typed);
    int n = passphrase_normal(bytes_str(typed), normal);
    assert_int_equal(n, PASSPHRASE_SYMBOLS);
    assert_int_equal(door_key_init(&k, bytes_of(normal, (size_t)n), salt), 0);
    struct buf b = a_blob(2, &k);
    assert_int_equal(door_salt(buf_bytes(&b), read), 0);
    assert_int_equal(door_key_init(&again, bytes_of(normal, (size_t)n), read), 0);
    assert_int_equal(door_open(buf_bytes(&b), &again, &space, &out), 0);
    assert_memory_equal(out.seed, door.seed, SEED_SIZE);
    assert_memory_equal(out.secret, door.secret, SPACE_SECRET_SIZE);
    assert_int_equal(out.epochs_n, 2);
    assert_memory_equal(out.epochs, door.epochs, 2 * EPOCH_KEY_SIZE);
    normal[0] ^= 1;
    assert_int_equal(door_key_init(&again, bytes_of(normal, (size_t)n), read), 0);
    assert_int_equal(door_open(buf_bytes(&b), &again, &space, &out), -EKEYREJECTED);
#ifndef __SANITIZE_THREAD__ /* it needs memory of its own for each byte */
    struct rusage use;
    assert_int_equal(getrusage(RUSAGE_SELF, &use), 0);
    assert_in_range(use.ru_maxrss, 256 * 1024, 300 * 1024);
#endif
    buf_fini(&b);
    door_key_fini(&k);
    assert_true(sodium_is_zero((const uint8_t *)&k, sizeof k));
}

/* The one change of the constants that nobody may make by accident. */
static void key_is_argon2id_of_fixed_cost(void **state)
{
    (void)state;
    struct door_key k;
    uint8_t key[32], wrap[32];
    assert_int_equal(door_key_init(&k, bytes_str("correct horse"), salt), 0);
    assert_int_equal(crypto_pwhash(key, sizeof key, "correct horse", 13, salt, 3, (size_t)256 << 20,
                                   crypto_pwhash_ALG_ARGON2ID13),
                     0);
    crypto_kdf_derive_from_key(wrap, sizeof wrap, 1, "psDoor_1", key);
    assert_memory_equal(k.wrap, wrap, sizeof wrap);
    crypto_kdf_derive_from_key(wrap, sizeof wrap, 2, "psDoor_1", key);
    assert_memory_equal(k.commitment, wrap, sizeof wrap);
}

static bool opens(void *ctx, struct bytes in)
{
    struct space_id space = sealed_space(1);
    uint8_t is[DOOR_SALT_SIZE];
    /* A salt that differs makes another key. */
    return door_salt(in, is) == 0 && memcmp(is, salt, sizeof is) == 0 &&
           door_open(in, ctx, &space, &out) == 0;
}

static void flipped_bit_or_cut_is_refused(void **state)
{
    (void)state;
    struct door_key k = a_key(1);
    struct buf b = a_blob(3, &k);
    assert_true(opens(&k, buf_bytes(&b)));
    assert_int_equal(sealed_flips(buf_bytes(&b), opens, &k), 0);
    for (size_t n = 0; n < b.n; n++)
        assert_false(opens(&k, bytes_of(b.p, n)));
    struct space_id other = sealed_space(2);
    assert_int_equal(door_open(buf_bytes(&b), &k, &other, &out), -EBADMSG);
    assert_true(sodium_is_zero((const uint8_t *)&out, sizeof out));
    buf_fini(&b);
}

/* A blob whose cipher opens under another key than it commits to is not even tried. */
static void commitment_is_checked_before_the_cipher(void **state)
{
    (void)state;
    struct door_key k = a_key(1), other = a_key(1);
    struct space_id space = sealed_space(1);
    other.commitment[31] ^= 1;
    struct buf b = a_blob(1, &k);
    assert_int_equal(door_open(buf_bytes(&b), &other, &space, &out), -EKEYREJECTED);
    other = k;
    other.wrap[0] ^= 1;
    assert_int_equal(door_open(buf_bytes(&b), &other, &space, &out), -EBADMSG);
    buf_fini(&b);
}

static void another_version_is_refused(void **state)
{
    (void)state;
    struct door_key k = a_key(1);
    struct space_id space = sealed_space(1);
    struct buf b = a_blob(1, &k);
    uint8_t read[DOOR_SALT_SIZE];
    for (unsigned v = 0; v < 256; v++) {
        b.p[0] = (uint8_t)v;
        assert_int_equal(door_salt(buf_bytes(&b), read), v == 1 ? 0 : -ENOTSUP);
        assert_int_equal(door_open(buf_bytes(&b), &k, &space, &out), v == 1 ? 0 : -ENOTSUP);
    }
    buf_fini(&b);
}

/* Sealed by one who knows the passphrase, with a count of his own. */
static int open_count(uint16_t claimed, size_t given)
{
    static uint8_t plain[DOOR_PLAIN_MIN + (LIMIT_EPOCHS + 1) * EPOCH_KEY_SIZE];
    struct door_key k = a_key(1);
    struct space_id space = sealed_space(1);
    struct buf b = {0};
    uint8_t ad[17];
    plain[64] = (uint8_t)(claimed >> 8);
    plain[65] = (uint8_t)claimed;
    memcpy(ad, space.b, 16);
    ad[16] = 1;
    buf_put_u8(&b, 1);
    buf_put(&b, salt, sizeof salt);
    buf_put(&b, k.commitment, 32);
    seal_put(&b, k.wrap, bytes_of(ad, sizeof ad),
             bytes_of(plain, DOOR_PLAIN_MIN + given * EPOCH_KEY_SIZE));
    int rc = door_open(buf_bytes(&b), &k, &space, &out);
    buf_fini(&b);
    return rc;
}

static void more_epochs_than_the_limit_are_refused(void **state)
{
    (void)state;
    assert_int_equal(open_count(LIMIT_EPOCHS, LIMIT_EPOCHS), 0);
    assert_int_equal(open_count(LIMIT_EPOCHS + 1, LIMIT_EPOCHS + 1), -EBADMSG);
    assert_int_equal(open_count(LIMIT_EPOCHS + 1, LIMIT_EPOCHS), -EBADMSG);
    assert_int_equal(open_count(UINT16_MAX, 1), -EBADMSG);
    assert_int_equal(open_count(1, 2), -EBADMSG);
    assert_int_equal(open_count(0, 0), 0);
}

static void made_passphrase_has_eighty_bits(void **state)
{
    (void)state;
    unsigned seen[128] = {0};
    for (unsigned i = 0; i < 400; i++) {
        char p[PASSPHRASE_SIZE];
        passphrase_new(p);
        assert_int_equal(strlen(p), 19);
        for (size_t at = 0; at < 19; at++)
            seen[(unsigned char)p[at]]++;
    }
    unsigned kinds = 0;
    for (unsigned c = 0; c < 128; c++)
        kinds += seen[c] > 0;
    assert_int_equal(kinds, 33); /* 32 symbols and the hyphen */
    assert_int_equal(seen['-'], 1200);
    assert_true(seen['I'] + seen['L'] + seen['O'] + seen['U'] == 0);
}

static void assert_normal(const char *typed, const char *expected)
{
    char normal[PASSPHRASE_MAX];
    int n = passphrase_normal(bytes_str(typed), normal);
    assert_int_equal(n, strlen(expected));
    assert_memory_equal(normal, expected, strlen(expected));
}

static void typed_passphrase_is_normalised(void **state)
{
    (void)state;
    char normal[PASSPHRASE_MAX];
    static char longest[PASSPHRASE_MAX + 1];
    assert_normal("0123-4567-89AB-CDEF", "0123456789ABCDEF");
    assert_normal("o1il 4567 89ab cdef\r\n", "0111456789ABCDEF");
    assert_normal("0123456789abcdefg\n", "0123456789abcdefg"); /* 17: not one of ours */
    assert_normal("0123-4567-89AB-CDEU", "0123-4567-89AB-CDEU");
    assert_normal("correct horse battery", "correct horse battery");
    assert_int_equal(passphrase_normal(bytes_str("elevenbytes"), normal), -EINVAL);
    memset(longest, '!', sizeof longest);
    assert_int_equal(passphrase_normal(bytes_of(longest, PASSPHRASE_MAX), normal), PASSPHRASE_MAX);
    assert_int_equal(passphrase_normal(bytes_of(longest, PASSPHRASE_MAX + 1), normal), -EINVAL);
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passphrase_opens_what_it_closed),
        cmocka_unit_test(key_is_argon2id_of_fixed_cost),
        cmocka_unit_test(flipped_bit_or_cut_is_refused),
        cmocka_unit_test(commitment_is_checked_before_the_cipher),
        cmocka_unit_test(another_version_is_refused),
        cmocka_unit_test(more_epochs_than_the_limit_are_refused),
        cmocka_unit_test(made_passphrase_has_eighty_bits),
        cmocka_unit_test(typed_passphrase_is_normalised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
