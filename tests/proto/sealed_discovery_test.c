/* The name of a day: all members compute the same, nobody else any, and no two are equal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "proto/sealed/discovery.h"

static const uint8_t key[EPOCH_KEY_SIZE] = {1, 2, 3}, next_key[EPOCH_KEY_SIZE] = {1, 2, 4};

static void name_is_sha256_of_a_keyed_hash_of_the_day(void **state)
{
    (void)state;
    static const uint64_t days[] = {0, 1, 20787, UINT64_MAX};
    struct epoch_keys k;
    assert_int_equal(epoch_keys_init(&k, key), 0);
    for (size_t i = 0; i < ARRAY_N(days); i++) {
        /* Label, length, number: by libsodium alone, so that nobody changes it by accident. */
        uint8_t text[16 + 8 + 8] = "persist.dht.1", hash[32], ought[32], is[HASH_SIZE];
        put_u64(text + 16, 8);
        put_u64(text + 24, days[i]);
        crypto_generichash(hash, sizeof hash, text, sizeof text, k.discovery, sizeof k.discovery);
        crypto_hash_sha256(ought, hash, sizeof hash);
        discovery_name(&k, days[i], is);
        assert_memory_equal(is, ought, sizeof is);
    }
    epoch_keys_fini(&k);
}

static void name_is_another_one_each_day_and_epoch(void **state)
{
    (void)state;
    enum { DAYS = 100 };
    static uint8_t names[2 * DAYS][HASH_SIZE];
    struct epoch_keys k, next;
    assert_int_equal(epoch_keys_init(&k, key), 0);
    assert_int_equal(epoch_keys_init(&next, next_key), 0);
    for (uint64_t i = 0; i < DAYS; i++) {
        discovery_name(&k, i, names[2 * i]);
        discovery_name(&next, i, names[2 * i + 1]);
    }
    for (size_t i = 0; i < ARRAY_N(names); i++)
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(names[i], names[j], HASH_SIZE);
    epoch_keys_fini(&k);
    epoch_keys_fini(&next);
}

static void day_begins_at_midnight_of_utc(void **state)
{
    (void)state;
    assert_int_equal(discovery_day(0), 0);
    assert_int_equal(discovery_day(86399), 0);
    assert_int_equal(discovery_day(86400), 1);
    assert_int_equal(discovery_day(1795996800 - 1), 20786); /* 2026-11-29 23:59:59 */
    assert_int_equal(discovery_day(1795996800), 20787);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(name_is_sha256_of_a_keyed_hash_of_the_day),
        cmocka_unit_test(name_is_another_one_each_day_and_epoch),
        cmocka_unit_test(day_begins_at_midnight_of_utc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
