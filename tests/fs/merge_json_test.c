/* JSON by key: who changed what, in the text of the later document; and what is no JSON. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fs/merge/json.h"
#include "fs/merge/split.h"
#include "tests/support/crash_rand.h"
#include "tests/support/merge_rows.h"

static void merge_keys_each_as_changed(void **state)
{
    (void)state;
    static const struct merge_row rows[] = {
        {"{\"a\":1,\"b\":2}", "{\"a\":3,\"b\":2}", "{\"a\":1,\"b\":4}", "{\"a\":3,\"b\":4}"},
        {"{\"a\":1}", "{\"a\":2}", "{\"a\":3}", "{\"a\":3}"}, /* both: the later */
        {"{\"a\":1}", "{}", "{\"a\":2}", "{\"a\":2}"},        /* a change outlives a */
        {"{\"a\":1}", "{\"a\":2}", "{}", "{\"a\":2}"},        /* removal, either way */
        {"{\"a\":1,\"b\":2}", "{\"b\":2}", "{\"a\":1,\"b\":3}", "{\"b\":3}"},
        {"{\"a\":1,\"b\":2}", "{\"a\":3,\"b\":2}", "{\"a\":1}", "{\"a\":3}"},
        {"{\"a\":1}", "{}", "{}", "{}"},
        {"{\"a\":1}", "{}", "{\"a\":1}", "{}"},
        {"{\"a\":{\"x\":1,\"y\":1}}", "{\"a\":{\"x\":2,\"y\":1}}", "{\"a\":{\"x\":1,\"y\":2}}",
         "{\"a\":{\"x\":2,\"y\":2}}"},
        {"{\"a\":{\"x\":1}}", "{\"a\":{\"x\":2}}", "{\"a\":7}", "{\"a\":7}"},
        {"{}", "{\"a\":{\"x\":1}}", "{\"a\":{\"y\":2}}", "{\"a\":{\"x\":1,\"y\":2}}"},
        {"", "{\"a\":1,\"c\":1}", "{\"b\":1,\"c\":2}", "{\"a\":1,\"b\":1,\"c\":2}"}, /* no base */
        {"{\"a\":1}", "{\"\\u0061\":2}", "{\"a\":1,\"b\":1}", "{\"a\":2,\"b\":1}"},  /* one key */
        {"{\"a\":\"x\"}", "{\"a\":\"\\u0078\"}", "{\"a\":\"y\"}", "{\"a\":\"y\"}"},
        {"{\"a\":1e2}", "{\"a\":1e2,\"b\":1.50}", "{ \"a\" : 100 }", "{ \"a\" : 100,\"b\":1.50 }"},
        {"1", "2", "1", "2"},
        {"1", "1", "2", "2"},
        {"1", "2", "3", NULL}, /* the whole documents: no key says whose it is */
        {"[{}]", "[{\"a\":1}]", "[{\"b\":1}]", NULL},
        {"[1]", "[1,2]", "[1, 3]", "[1, 2, 3]"},
    };
    merge_check_rows(json_merge, rows, ARRAY_N(rows));
}

static void merge_arrays_of_scalars_as_sets(void **state)
{
    (void)state;
    static const struct merge_row rows[] = {
        {"{\"t\":[\"a\",\"b\"]}", "{\"t\":[\"a\",\"b\",\"c\"]}", "{\"t\":[\"b\",\"d\"]}",
         "{\"t\":[\"b\",\"c\",\"d\"]}"},
        {"[1,2,3]", "[3,2,1,5,4]", "[4,1,3]", "[1,3,5,4]"}, /* the base's order, then added */
        {"[1]", "[]", "[1,2]", "[2]"},
        {"[1,2]", "[1]", "[2]", "[]"},
        {"[1]", "[]", "[2]", "[2]"},
        {"{\"t\":[]}", "{\"t\":[1,2]}", "{\"t\":[3]}", "{\"t\":[1,2,3]}"},
        {"{}", "{\"t\":[\"x\"]}", "{\"t\":[\"\\u0078\",true,null,\"true\"]}",
         "{\"t\":[\"x\",true,null,\"true\"]}"},
        {"{\"t\":[0,0]}", "{\"t\":[0,1]}", "{\"t\":[2,0]}", "{\"t\":[2,0]}"}, /* no set */
        {"{\"t\":[1]}", "{\"t\":[1,[2]]}", "{\"t\":[1,3]}", "{\"t\":[1,3]}"},
        {"{\"t\":[{}]}", "{\"t\":[{\"a\":1}]}", "{\"t\":[{}]}", "{\"t\":[{\"a\":1}]}"},
        {"{\"t\":[\n  1,\n  2\n]}", "{\"t\":[1,2,3]}", "{\"t\":[\n  1,\n  4\n]}",
         "{\"t\":[\n  1,\n  3,\n  4\n]}"},
    };
    merge_check_rows(json_merge, rows, ARRAY_N(rows));
}

static void merge_text_is_that_of_the_later(void **state)
{
    (void)state;
    static const struct merge_row rows[] = {
        /* Additions stand behind what they stood behind, indented as the rest. */
        {"{\n  \"a\": 1,\n  \"c\": 3\n}\n", "{\n  \"a\": 1,\n  \"b\": 2,\n  \"c\": 3\n}\n",
         "{\n  \"a\": 1,\n  \"c\": 3,\n  \"d\": 4.0\n}\n",
         "{\n  \"a\": 1,\n  \"b\": 2,\n  \"c\": 3,\n  \"d\": 4.0\n}\n"},
        {"{\n\t\"b\": 1\n}", "{\n  \"a\": 1,\n  \"b\": 1,\n  \"c\": 1\n}", "{\n\t\"b\": 2\n}",
         "{\n\t\"a\": 1,\n\t\"b\": 2,\n\t\"c\": 1\n}"},
        {"{\"a\": {\"x\": 1}, \"b\": [1]}", "{\"a\":{\"x\":2},\"b\":[1]}",
         "{\r\n  \"b\": [1, 2],\r\n  \"a\": {\"x\": 1}\r\n}\r\n",
         "{\r\n  \"b\": [1, 2],\r\n  \"a\": {\"x\": 2}\r\n}\r\n"},
        {"{\"a\":1,\"b\":2,\"c\":3}", "{\"b\":2,\"c\":3}", "{\"a\":1,\n \"b\":2,\n \"c\":4}",
         "{\"b\":2,\n \"c\":4}"},
        {"{ \"a\":1\n, \"b\":2\n, \"c\":3\n}", "{\"a\":1,\"b\":2}",
         "{ \"a\":1\n, \"b\":7\n, \"c\":3\n}", "{ \"a\":1\n, \"b\":7\n}"},
        {"{ }", "{ }", " { } ", " { } "},
        {"{}", "{\n  \"a\": 1\n}", "{}\n", "{\n  \"a\": 1\n}\n"},
        {"\xef\xbb\xbf{\"a\":1}", "{\"a\":2}", "\xef\xbb\xbf{\"a\":1}", "\xef\xbb\xbf{\"a\":2}"},
        {"{\"a\":1}", "{\"a\":1, \"b\": 2}", "{\"a\":3}", "{\"a\":3, \"b\": 2}"},
    };
    merge_check_rows(json_merge, rows, ARRAY_N(rows));
}

static int parse(struct bytes text)
{
    struct json_tree t;
    int rc = json_tree_init(&t, text);
    json_tree_fini(&t);
    return rc;
}

static void parse_knows_what_is_json(void **state)
{
    (void)state;
    static const char *const good[] = {
        "0",
        "-0",
        "10.5e-3",
        "1E+9",
        "true",
        "false",
        "null",
        "\"\"",
        "\"\\u0000\\ud83d\\ude00\"",
        "\"\\ud800\"",
        "[]",
        "{}",
        " [ 1 , [ ] , { } ] ",
        "{\"a\":{\"a\":1}}",
        "\"\x7f\"",
        "{\"\":1}",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
    };
    static const char *const bad[] = {
        "",
        " ",
        "01",
        "1.",
        ".5",
        "-",
        "1e",
        "+1",
        "nul",
        "truex",
        "\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\\u12",
        "\"a\nb\"",
        "\"\xff\"",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[",
        "]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":1,\"a\":2}",
        "{\"a\":1,\"\\u0061\":2}",
        "{} {}",
        "// c\n{}",
        "'a'",
        "[1}",
        "\"\\",
    };
    for (size_t i = 0; i < ARRAY_N(good); i++)
        if (parse(bytes_str(good[i])) != 0)
            fail_msg("'%s' is JSON", good[i]);
    for (size_t i = 0; i < ARRAY_N(bad); i++)
        if (parse(bytes_str(bad[i])) != -EBADMSG)
            fail_msg("'%s' is no JSON", bad[i]);
    struct buf got = {0};
    assert_int_equal(json_merge(bytes_str("{}"), bytes_str("{"), bytes_str("{}"), &got), -EBADMSG);
    assert_int_equal(json_merge(bytes_str("x"), bytes_str("{}"), bytes_str("{}"), &got), -EBADMSG);
    assert_int_equal(got.n, 0);
}

static void unescape_as_written(void **state)
{
    (void)state;
    struct json_tree t;
    assert_int_equal(json_tree_init(&t, bytes_str("\"a\\u00e9\\ud83d\\ude00\\n\\u20ac\\/z\"")), 0);
    struct bytes is = json_node(&t, 0)->string;
    struct bytes ought = bytes_str("a\xc3\xa9\xf0\x9f\x98\x80\n\xe2\x82\xac/z");
    assert_true(bytes_equal(is, ought));
    json_tree_fini(&t);
}

static int parse_repeated(const char *one, size_t n, const char *before, const char *behind)
{
    struct buf text = {0};
    buf_put_bytes(&text, bytes_str(before));
    for (size_t i = 0; i < n; i++)
        buf_put_bytes(&text, bytes_str(one));
    buf_put_bytes(&text, bytes_str(behind));
    for (size_t i = 0; i < n && *one == '['; i++)
        buf_put_u8(&text, ']');
    assert_int_equal(buf_status(&text), 0);
    int rc = parse(buf_bytes(&text));
    buf_fini(&text);
    return rc;
}

static void parse_too_much_e2big(void **state)
{
    (void)state;
    assert_int_equal(parse_repeated("[", JSON_NEST_MAX, "", ""), 0);
    assert_int_equal(parse_repeated("[", JSON_NEST_MAX + 1, "", ""), -E2BIG);
    assert_int_equal(parse_repeated("[", 1000000, "", ""), -E2BIG);
    assert_int_equal(parse_repeated("1,", JSON_MEMBERS_MAX - 1, "[", "1]"), 0);
    assert_int_equal(parse_repeated("1,", JSON_MEMBERS_MAX, "[", "1]"), -E2BIG);
    static char long_one[TEXT_BYTES_MAX + 2];
    struct buf got = {0};
    memset(long_one, ' ', sizeof long_one - 1);
    long_one[0] = '1';
    assert_int_equal(json_merge(bytes_str("1"), bytes_str("1"), bytes_str(long_one), &got), -E2BIG);
    long_one[TEXT_BYTES_MAX] = '\0';
    assert_int_equal(json_merge(bytes_str("1"), bytes_str("1"), bytes_str(long_one), &got), 1);
    buf_fini(&got);
}

/* ---- random documents ---- */

enum { KEYS = 6 };

/* Values of the keys a to f; 0: it is not there. */
struct doc {
    unsigned v[KEYS];
};

static struct doc random_edit(struct crash_rand *r, struct doc d)
{
    for (size_t i = 0; i < KEYS; i++)
        if (crash_chance(r, 40))
            d.v[i] = (unsigned)crash_below(r, 4);
    return d;
}

static void write_doc(struct crash_rand *r, struct doc d, char *to, size_t size)
{
    static const char *const blank[] = {"", " ", "\n\t", "\r\n"};
    size_t n = 0, start = (size_t)crash_below(r, KEYS);
    const char *comma = "{";
    for (size_t k = 0; k < KEYS; k++) {
        size_t i = (start + k) % KEYS;
        if (d.v[i] == 0)
            continue;
        n += (size_t)snprintf(to + n, size - n, "%s%s\"%c\":%s%u%s", comma,
                              blank[crash_below(r, 4)], (char)('a' + i), blank[crash_below(r, 4)],
                              d.v[i], blank[crash_below(r, 4)]);
        comma = ",";
    }
    snprintf(to + n, size - n, "%s%s", *comma == '{' ? "{" : "", "}");
}

static unsigned value_of(const struct json_tree *t, size_t i)
{
    uint8_t key = (uint8_t)('a' + i);
    uint32_t at = json_find(t, 0, bytes_of(&key, 1));
    return at == JSON_NONE ? 0 : (unsigned)(json_node(t, at)->text.p[0] - '0');
}

static void merge_random_objects_as_the_rule_says(void **state)
{
    (void)state;
    struct crash_rand r = {crash_seed("json")};
    for (int i = 0; i < 5000; i++) {
        char text[3][512];
        struct buf got = {0};
        struct json_tree t;
        struct doc none = {{0}}, base = random_edit(&r, none);
        struct doc x = random_edit(&r, base), y = random_edit(&r, base);
        write_doc(&r, base, text[0], sizeof text[0]);
        write_doc(&r, x, text[1], sizeof text[1]);
        write_doc(&r, y, text[2], sizeof text[2]);
        assert_int_equal(
            json_merge(bytes_str(text[0]), bytes_str(text[1]), bytes_str(text[2]), &got), 1);
        assert_int_equal(json_tree_init(&t, buf_bytes(&got)), 0);
        for (size_t k = 0; k < KEYS; k++) {
            unsigned b = base.v[k], old = x.v[k], new = y.v[k];
            unsigned ought = new == b || new == 0 ? old : new;
            if (old == b)
                ought = new;
            if (value_of(&t, k) != ought)
                fail_msg("key %zu of %s, %s, %s is %.*s", k, text[0], text[1], text[2], (int)got.n,
                         (const char *)got.p);
        }
        json_tree_fini(&t);
        buf_reset(&got);
        assert_int_equal(
            json_merge(bytes_str(text[0]), bytes_str(text[0]), bytes_str(text[2]), &got), 1);
        assert_true(bytes_equal(buf_bytes(&got), bytes_str(text[2]))); /* to the byte */
        buf_fini(&got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merge_keys_each_as_changed),
        cmocka_unit_test(merge_arrays_of_scalars_as_sets),
        cmocka_unit_test(merge_text_is_that_of_the_later),
        cmocka_unit_test(parse_knows_what_is_json),
        cmocka_unit_test(unescape_as_written),
        cmocka_unit_test(parse_too_much_e2big),
        cmocka_unit_test(merge_random_objects_as_the_rule_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
