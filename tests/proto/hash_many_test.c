/* Many hashes at once: each is what it is alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "proto/hash_many.h"

enum { INPUTS = 150, LONGEST = 3000 };

static uint8_t key[HASH_SIZE], data[INPUTS + LONGEST];

static void expect_same(const struct bytes *in, size_t n)
{
    static uint8_t got[INPUTS][HASH_SIZE];
    uint8_t alone[HASH_SIZE];
    memset(got, 0, sizeof got);
    hash_many(key, in, n, got);
    for (size_t i = 0; i < n; i++) {
        crypto_generichash(alone, sizeof alone, in[i].p, in[i].n, key, sizeof key);
        assert_memory_equal(got[i], alone, sizeof alone);
    }
}

static void inputs_of_one_length_are_hashed(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 1, 127, 128, 129, 255, 256, 257, 1024, LONGEST};
    struct bytes in[INPUTS];
    for (size_t k = 0; k < ARRAY_N(lengths); k++) {
        for (size_t i = 0; i < INPUTS; i++)
            in[i] = bytes_of(data + i, lengths[k]);
        for (size_t n = 0; n <= INPUTS; n += n < 20 ? 1 : 26)
            expect_same(in, n);
    }
}

static void inputs_of_any_length_are_hashed(void **state)
{
    (void)state;
    struct bytes in[INPUTS];
    for (int round = 0; round < 50; round++) {
        size_t n = randombytes_uniform(INPUTS);
        for (size_t i = 0; i < n; i++) {
            size_t max = randombytes_uniform(3) == 0 ? 2 * 128 : LONGEST;
            in[i] =
                bytes_of(data + randombytes_uniform(INPUTS), randombytes_uniform((uint32_t)max));
        }
        expect_same(in, n);
    }
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    randombytes_buf(key, sizeof key);
    randombytes_buf(data, sizeof data);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inputs_of_one_length_are_hashed),
        cmocka_unit_test(inputs_of_any_length_are_hashed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
