/* The code that a person types. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sync/pair/code.h"

static void typed_codes_are_normalised(void **state)
{
    (void)state;
    static const char *const all[] = {"KXNR-7012",         "kxnr-7012",  "KXNR7012",
                                      "k x n r 7 0 1 2",   "KXNR-7o12",  "KXNR-7Oi2",
                                      " kx-nr--70I2 \r\n", "\tKXNR 7012"};
    for (size_t i = 0; i < ARRAY_N(all); i++) {
        struct pair_code c;
        struct err e = {0};
        char text[PAIR_CODE_TEXT_SIZE], plate[PAIR_NAMEPLATE_SIZE];
        assert_int_equal(pair_code_parse(bytes_str(all[i]), &c, &e), 0);
        assert_string_equal(pair_code_text(&c, text), "KXNR-7012");
        assert_string_equal(pair_code_nameplate(&c, plate), "7012");
    }
}

static void what_is_no_code_is_refused_with_a_reason(void **state)
{
    (void)state;
    static const struct {
        const char *typed, *why;
    } all[] = {
        {"", "too short"},
        {"KXNR-784", "too short"},
        {"KXNR-78421", "too long"},
        {"KXNI-7842", "letter I"},
        {"oXNR-7842", "letter O"},
        {"KXN7-7842", "four letters"},
        {"KXNR-7L42", "four digits"},
        {"KXNR-784Z", "four digits"},
        {"KXNR_7842", "four digits"},
        {"\xc3\x84XNR-7842", "four letters"},
        {"7842-KXNR", "four letters"},
    };
    for (size_t i = 0; i < ARRAY_N(all); i++) {
        struct pair_code c;
        struct err e = {0};
        static const struct pair_code none;
        assert_int_equal(pair_code_parse(bytes_str(all[i].typed), &c, &e), -EINVAL);
        assert_non_null(strstr(e.msg, all[i].why));
        assert_memory_equal(&c, &none, sizeof c); /* nor is a part of it left */
        assert_int_equal(pair_code_parse(bytes_str(all[i].typed), &c, NULL), -EINVAL);
    }
    struct pair_code c;
    assert_int_equal(pair_code_parse(bytes_of("KXN\0-7842", 9), &c, NULL), -EINVAL);
}

static void codes_are_drawn_evenly(void **state)
{
    (void)state;
    enum { N = 40000 };
    unsigned seen[PAIR_CODE_SIZE][128] = {{0}};
    for (size_t i = 0; i < N; i++) {
        struct pair_code c, again;
        char text[PAIR_CODE_TEXT_SIZE];
        pair_code_make(&c);
        assert_int_equal(pair_code_parse(bytes_str(pair_code_text(&c, text)), &again, NULL), 0);
        assert_memory_equal(&c, &again, sizeof c);
        for (size_t k = 0; k < PAIR_CODE_SIZE; k++)
            seen[k][(unsigned char)c.c[k]]++;
    }
    /* 1667 of each letter, 4000 of each digit: ten times the deviation is no chance. */
    for (size_t k = 0; k < PAIR_CODE_SIZE; k++)
        for (unsigned char c = 0; c < 128; c++) {
            bool letter = c >= 'A' && c <= 'Z' && c != 'I' && c != 'O',
                 digit = c >= '0' && c <= '9';
            if (k < PAIR_CODE_LETTERS && letter)
                assert_in_range(seen[k][c], 1267, 2067);
            else if (k >= PAIR_CODE_LETTERS && digit)
                assert_in_range(seen[k][c], 3400, 4600);
            else
                assert_int_equal(seen[k][c], 0);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(typed_codes_are_normalised),
        cmocka_unit_test(what_is_no_code_is_refused_with_a_reason),
        cmocka_unit_test(codes_are_drawn_evenly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
