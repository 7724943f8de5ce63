/* The JSON writer, the escaping for terminals and the human forms of numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/base/escape.h"
#include "proto/base/human.h"
#include "proto/base/json.h"
#include "proto/base/utf8.h"

static void check_text(struct buf *b, const char *want)
{
    buf_put_u8(b, 0);
    assert_false(b->failed);
    assert_string_equal(b->p, want);
    buf_fini(b);
}

static void json_nested_document_is_strict(void **state)
{
    (void)state;
    struct buf b = {0};
    struct json j;
    json_init(&j, &b);
    json_object(&j);
    json_key_str(&j, "name", "a");
    json_key(&j, "list");
    json_list(&j);
    json_u64(&j, UINT64_MAX);
    json_i64(&j, INT64_MIN);
    json_object(&j);
    json_end(&j);
    json_list(&j);
    json_end(&j);
    json_null(&j);
    json_end(&j);
    json_key_bool(&j, "yes", true);
    json_key_time(&j, "at", 1795392910582);
    json_key(&j, "hex");
    json_hex(&j, bytes_of("\x00\xff", 2));
    json_key(&j, "raw");
    json_raw(&j, bytes_str("{\"x\":1}"));
    json_end(&j);
    assert_int_equal(json_finish(&j), 0);
    check_text(&b,
               "{\"name\":\"a\",\"list\":[18446744073709551615,-9223372036854775808,{},[],null],"
               "\"yes\":true,\"at\":\"2026-11-23T00:15:10.582Z\",\"hex\":\"00ff\","
               "\"raw\":{\"x\":1}}\n");
}

static void json_string_with_hostile_bytes_stays_valid(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        size_t n;
        const char *want;
    } cases[] = {
        {"\"\\/", 3, "\"\\\"\\\\/\"\n"},
        {"\n\t\x01\x1b\x7f", 5, "\"\\n\\t\\u0001\\u001b\\u007f\"\n"},
        {"a\0b", 3, "\"a\\u0000b\"\n"},
        {"\xff\xc3", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\"\n"},
        {"\xc3\xa9\xe2\x82\xac", 5, "\"\xc3\xa9\xe2\x82\xac\"\n"},
        {"\xe2\x80\xa8", 3, "\"\\u2028\"\n"},
        {"\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"\n"}, /* a surrogate */
        {"\xc0\x80", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\"\n"},                 /* overlong */
        {"", 0, "\"\"\n"},
    };
    for (size_t i = 0; i < ARRAY_N(cases); i++) {
        struct buf b = {0};
        struct json j;
        json_init(&j, &b);
        json_bytes(&j, bytes_of(cases[i].in, cases[i].n));
        assert_int_equal(json_finish(&j), 0);
        check_text(&b, cases[i].want);
    }
}

static void escape_of_hostile_names(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"plain name.md", "plain name.md"},
        {"\xc3\xa4\xe6\xbc\xa2", "\xc3\xa4\xe6\xbc\xa2"},
        {"a\nb\tc\rd", "a\\nb\\tc\\rd"},
        {"\x1b[31mred", "\\x1b[31mred"},
        {"back\\slash", "back\\\\slash"},
        {"\xff\xfe", "\\xff\\xfe"},
        {"\xc2\x9b", "\\u{9b}"},               /* C1: CSI in one character */
        {"x\xe2\x80\xaegpj", "x\\u{202e}gpj"}, /* turns the text around */
        {"\xef\xbb\xbf", "\\u{feff}"},
        {"", ""},
    };
    for (size_t i = 0; i < ARRAY_N(cases); i++) {
        struct buf b = {0};
        escape_put(&b, bytes_str(cases[i][0]));
        check_text(&b, cases[i][1]);
    }
}

static void escape_to_cuts_at_whole_pieces(void **state)
{
    (void)state;
    char to[8];
    assert_string_equal(escape_to(to, sizeof to, bytes_str("1234567")), "1234567");
    assert_string_equal(escape_to(to, sizeof to, bytes_str("12345678")), "1234...");
    assert_string_equal(escape_to(to, sizeof to, bytes_str("123\x1b\x1b")), "123...");
    char tiny[4];
    assert_string_equal(escape_to(tiny, sizeof tiny, bytes_str("abcd")), "...");
}

static void utf8_labels(void **state)
{
    (void)state;
    char longest[66];
    memset(longest, 'a', sizeof longest);
    assert_true(utf8_is_label(bytes_str("Alice's laptop")));
    assert_true(utf8_is_label(bytes_of(longest, 64)));
    assert_false(utf8_is_label(bytes_of(longest, 65)));
    assert_false(utf8_is_label(bytes_str("")));
    assert_false(utf8_is_label(bytes_str("a/b")));
    assert_false(utf8_is_label(bytes_str("a\\b")));
    assert_false(utf8_is_label(bytes_str("a\nb")));
    assert_false(utf8_is_label(bytes_str("a\xe2\x80\xae")));
    assert_false(utf8_is_label(bytes_str("\xff")));
    assert_int_equal(utf8_cut(bytes_str("a\xe2\x82\xac"), 3).n, 1);
    assert_int_equal(utf8_cut(bytes_str("a\xe2\x82\xac"), 4).n, 4);
}

static void human_numbers(void **state)
{
    (void)state;
    char t[HUMAN_MAX];
    assert_string_equal(human_bytes(0, t), "0 B");
    assert_string_equal(human_bytes(1023, t), "1023 B");
    assert_string_equal(human_bytes(1536, t), "1.5 KiB");
    assert_string_equal(human_bytes(12ULL << 20, t), "12 MiB");
    assert_string_equal(human_bytes(UINT64_MAX, t), "15 EiB");
    assert_string_equal(human_count(0, t), "0");
    assert_string_equal(human_count(999, t), "999");
    assert_string_equal(human_count(1234567, t), "1,234,567");
    assert_string_equal(human_count(UINT64_MAX, t), "18,446,744,073,709,551,615");
    assert_string_equal(human_duration(42000, t), "42s");
    assert_string_equal(human_duration(185000, t), "3m 05s");
    assert_string_equal(human_duration(7800000, t), "2h 10m");
    assert_string_equal(human_duration(4 * 86400000 + 3 * 3600000, t), "4d 3h");
    assert_string_equal(human_time_utc(UINT64_MAX, t), "9999-12-31T23:59:59.615Z");
}

static void table_aligns_and_escapes(void **state)
{
    (void)state;
    struct table t = {.columns_n = 3, .right = {false, true, false}};
    struct buf b = {0};
    static const char *const cells[] = {"name", "size",         "note", "a\x1b", "12",
                                        "",     "\xe6\xbc\xa2", "",     "z"};
    for (size_t i = 0; i < ARRAY_N(cells); i++)
        table_cell_str(&t, cells[i]);
    assert_int_equal(table_put(&t, false, &b), 0);
    check_text(&b, "name   size  note\n"
                   "a\\x1b    12\n"
                   "\xe6\xbc\xa2           z\n");
    table_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_nested_document_is_strict),
        cmocka_unit_test(json_string_with_hostile_bytes_stays_valid),
        cmocka_unit_test(escape_of_hostile_names),
        cmocka_unit_test(escape_to_cuts_at_whole_pieces),
        cmocka_unit_test(utf8_labels),
        cmocka_unit_test(human_numbers),
        cmocka_unit_test(table_aligns_and_escapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
