/* The lines of a .persistpolicy, and what comes out of a merge with each strategy. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fs/merge/merge.h"
#include "fs/merge/split.h"

static struct strategy find(const char *text, const char *path)
{
    static char driver[POLICY_DRIVER_MAX];
    struct policy p;
    struct err e = {0};
    if (policy_parse(bytes_str(text), &p, &e) != 0)
        fail_msg("'%s': %s", text, e.msg);
    struct strategy s = policy_find(&p, bytes_str(path));
    if (s.driver.n > 0)
        memcpy(driver, s.driver.p, s.driver.n);
    s.driver.p = (const uint8_t *)driver;
    policy_fini(&p);
    return s;
}

static void find_last_line_that_matches(void **state)
{
    (void)state;
    static const struct {
        const char *text, *path;
        enum strategy_kind ought;
    } rows[] = {
        {"", "a", STRATEGY_DEFAULT},
        {"# *.md union\n\n  \t\n", "a.md", STRATEGY_DEFAULT},
        {"*.md union", "a.md", STRATEGY_UNION},
        {"*.md union", "x/a.md", STRATEGY_UNION},
        {"*.md union", "a.txt", STRATEGY_DEFAULT},
        {"*.md text\n*.md keep-both\n", "a.md", STRATEGY_KEEP_BOTH},
        {"/*.md json\n", "x/a.md", STRATEGY_DEFAULT},
        {"x/** lww\n", "x/y/a.md", STRATEGY_LWW},
        {"x lww\n", "x/a.md", STRATEGY_DEFAULT}, /* of files, not of what is in a folder */
        {"*.md\t \ttext  \r\n", "a.md", STRATEGY_TEXT},
        {"\xef\xbb\xbf*.md text\n", "a.md", STRATEGY_TEXT},
        {"a\\ b union\n", "a b", STRATEGY_UNION},
        {"  a union\n", "a", STRATEGY_UNION},
        {"\\#a union\n", "#a", STRATEGY_UNION},
        {"\\!a union\n", "!a", STRATEGY_UNION},
    };
    for (size_t i = 0; i < ARRAY_N(rows); i++)
        if (find(rows[i].text, rows[i].path).kind != rows[i].ought)
            fail_msg("'%s' of '%s'", rows[i].text, rows[i].path);
    struct strategy s = find("*.po exec:merge-po.2\n", "de.po");
    assert_int_equal(s.kind, STRATEGY_EXEC);
    assert_true(bytes_equal(s.driver, bytes_str("merge-po.2")));
}

static void refuse(const char *text, size_t times, int code, const char *why)
{
    struct policy p;
    struct err e = {0};
    struct buf all = {0};
    for (size_t i = 0; i < times; i++)
        buf_put_bytes(&all, bytes_str(text));
    assert_int_equal(policy_parse(buf_bytes(&all), &p, &e), code);
    if (strstr(e.msg, why) == NULL)
        fail_msg("'%s' is told as '%s', not '%s'", text, e.msg, why);
    assert_int_equal(policy_find(&p, bytes_str("a")).kind, STRATEGY_DEFAULT);
    policy_fini(&p);
    buf_fini(&all);
}

static void parse_says_which_line_is_wrong(void **state)
{
    (void)state;
    refuse("* text\n*.md\n", 1, -EBADMSG, "line 2: no strategy");
    refuse("* text\n\n* merge\n", 1, -EBADMSG, "line 3: 'merge' is no strategy");
    refuse("* text x\n", 1, -EBADMSG, "line 1: 'text x' is no strategy");
    refuse("* te\x1bxt\n", 1, -EBADMSG, "line 1: 'te\\x1bxt' is no strategy");
    refuse("* exec:\n", 1, -EBADMSG, "line 1: 'exec:' is no strategy");
    refuse("* exec:../x\n", 1, -EBADMSG, "line 1: 'exec:../x' is no strategy");
    refuse("!*.md text\n", 1, -EBADMSG, "line 1: a pattern cannot be taken back");
    refuse("* text\nbuild/ lww\n", 1, -EBADMSG, "line 2: 'build/' is of a folder");
    refuse("* text\n", POLICY_LINES_MAX + 1, -E2BIG, "line 513: more than 512 lines");
    refuse("a", POLICY_LINE_MAX + 1, -E2BIG, "line 1: longer than 1024 bytes");
    refuse("12345678", POLICY_FILE_MAX / 8 + 1, -E2BIG, "longer than 64 KiB");
    struct policy p;
    struct buf all = {0};
    for (size_t i = 0; i < POLICY_LINES_MAX; i++)
        buf_put_bytes(&all, bytes_str("a lww\n"));
    assert_int_equal(policy_parse(buf_bytes(&all), &p, NULL), 0);
    assert_int_equal(policy_find(&p, bytes_str("a")).kind, STRATEGY_LWW);
    policy_fini(&p);
    buf_fini(&all);
}

/* ---- one entry to all ---- */

static int merge(enum strategy_kind kind, const char *name, struct bytes base, struct bytes a,
                 struct bytes b, struct buf *ret)
{
    const struct strategy how = {.kind = kind};
    struct merge_input in = {bytes_str(name), base, a, b, true},
                       swapped = {bytes_str(name), base, b, a, false};
    struct buf other = {0};
    buf_reset(ret);
    int outcome = merge_contents(&how, &in, ret);
    assert_int_equal(merge_contents(&how, &swapped, &other), outcome);
    assert_true(bytes_equal(buf_bytes(ret), buf_bytes(&other)));
    assert_true(outcome == MERGE_DONE || ret->n == 0);
    buf_fini(&other);
    return outcome;
}

static void merge_outcome_is_as_the_strategy_says(void **state)
{
    (void)state;
    static const struct {
        enum strategy_kind kind;
        const char *name, *base, *a, *b; /* b is later */
        enum merge_outcome ought;
        const char *result;
    } rows[] = {
        {STRATEGY_DEFAULT, "x", "1\n2\n", "x\n2\n", "1\ny\n", MERGE_DONE, "x\ny\n"},
        {STRATEGY_DEFAULT, "x", "1\n", "x\n", "y\n", MERGE_KEEP_BOTH, ""},
        {STRATEGY_DEFAULT, "x", "", "x\n", "y\n", MERGE_KEEP_BOTH, ""},
        {STRATEGY_DEFAULT, "x", "", "x\n", "x\r\n", MERGE_DONE, "x\n"},
        {STRATEGY_DEFAULT, "x", "1\n2\n", "x\n2\n", "1\n\xff\n", MERGE_KEEP_BOTH, ""}, /* bytes */
        {STRATEGY_DEFAULT, "x", "1\n\xff\n", "x\n2\n", "1\n2\n", MERGE_KEEP_BOTH, ""},
        {STRATEGY_DEFAULT, "x", "\xff", "\xff", "\xfe", MERGE_DONE, "\xfe"}, /* only one changed */
        {STRATEGY_DEFAULT, "x.json", "{\"a\":1,\"b\":1}", "{\"a\":2,\"b\":1}", "{\"a\":1,\"b\":2}",
         MERGE_KEEP_BOTH, ""}, /* text, as nothing says json */
        {STRATEGY_JSON, "x.json", "{\"a\":1,\"b\":1}", "{\"a\":2,\"b\":1}", "{\"a\":1,\"b\":2}",
         MERGE_DONE, "{\"a\":2,\"b\":2}"},
        {STRATEGY_JSON, "x.json", "{}", "{", "{\"a\":1}", MERGE_KEEP_BOTH, ""},
        {STRATEGY_JSON, "x.md", "---\na: 1\n---\n", "---\na: 2\n---\n", "---\na: 3\n---\n",
         MERGE_DONE, "---\na: 3\n---\n"},
        {STRATEGY_DEFAULT, "d/x.MD", "---\na: 1\n---\n", "---\na: 2\n---\n", "---\na: 3\n---\n",
         MERGE_DONE, "---\na: 3\n---\n"},
        {STRATEGY_DEFAULT, "x.txt", "---\na: 1\n---\n", "---\na: 2\n---\n", "---\na: 3\n---\n",
         MERGE_KEEP_BOTH, ""},
        {STRATEGY_TEXT, "x.md", "---\na: 1\n---\n", "---\na: 2\n---\n", "---\na: 3\n---\n",
         MERGE_KEEP_BOTH, ""},
        {STRATEGY_TEXT, "x", "1\n2\n", "x\n2\n", "1\n\xff\n", MERGE_DONE, "x\n\xff\n"},
        {STRATEGY_UNION, "x", "1\n", "1\ny\n", "1\nx\n", MERGE_DONE, "1\nx\ny\n"},
        {STRATEGY_LWW, "x", "1\n", "1\n", "x\n", MERGE_LATER, ""},
        {STRATEGY_LWW, "x", "1\n", "x\n", "1\n", MERGE_LATER, ""}, /* taken back is a change, too */
        {STRATEGY_LWW, "x", "1\n", "x\n", "x\n", MERGE_DONE, "x\n"},
        {STRATEGY_KEEP_BOTH, "x", "1\n2\n", "x\n2\n", "1\ny\n", MERGE_KEEP_BOTH, ""},
        {STRATEGY_KEEP_BOTH, "x", "1\n", "x\n", "x\n", MERGE_DONE, "x\n"},
        {STRATEGY_EXEC, "x", "1\n2\n", "x\n2\n", "1\ny\n", MERGE_EXEC, ""},
    };
    struct buf got = {0};
    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        int is = merge(rows[i].kind, rows[i].name, bytes_str(rows[i].base), bytes_str(rows[i].a),
                       bytes_str(rows[i].b), &got);
        if (is != (int)rows[i].ought || !bytes_equal(buf_bytes(&got), bytes_str(rows[i].result)))
            fail_msg("row %zu is %d, '%.*s'", i, is, (int)got.n, (const char *)got.p);
    }
    buf_fini(&got);
}

static void merge_with_nothing_at_all_as_with_an_empty_file(void **state)
{
    (void)state;
    struct buf got = {0};
    const struct bytes none = {NULL, 0}, x = bytes_str("---\na: 1\n---\nx"), y = bytes_str("y");
    const enum strategy_kind kinds[] = {STRATEGY_DEFAULT, STRATEGY_TEXT, STRATEGY_UNION,
                                        STRATEGY_JSON};
    for (size_t i = 0; i < ARRAY_N(kinds); i++) {
        assert_int_equal(merge(kinds[i], "x.md", none, x, none, &got), MERGE_DONE);
        assert_true(bytes_equal(buf_bytes(&got), x));
        assert_int_equal(merge(kinds[i], "x.md", x, none, y, &got),
                         kinds[i] == STRATEGY_UNION ? MERGE_DONE : MERGE_KEEP_BOTH);
        assert_int_equal(merge(kinds[i], "x.json", x, none, y, &got),
                         kinds[i] == STRATEGY_UNION ? MERGE_DONE : MERGE_KEEP_BOTH);
    }
    struct policy p;
    assert_int_equal(policy_parse(none, &p, NULL), 0);
    assert_int_equal(policy_find(&p, bytes_str("x")).kind, STRATEGY_DEFAULT);
    policy_fini(&p);
    buf_fini(&got);
}

static void merge_bytes_with_nul_and_too_long_ones_keep_both(void **state)
{
    (void)state;
    static uint8_t big[TEXT_BYTES_MAX + 1];
    struct buf got = {0};
    struct bytes text = bytes_str("1\n2\n"), nul = bytes_of("1\n\0\n", 4), a = bytes_str("x\n2\n");
    assert_int_equal(merge(STRATEGY_DEFAULT, "x", text, a, nul, &got), MERGE_KEEP_BOTH);
    assert_int_equal(merge(STRATEGY_TEXT, "x", text, a, nul, &got), MERGE_DONE);
    memset(big, 'x', sizeof big);
    struct bytes too_long = bytes_of(big, sizeof big);
    assert_int_equal(merge(STRATEGY_TEXT, "x", text, a, too_long, &got), MERGE_KEEP_BOTH);
    assert_int_equal(merge(STRATEGY_LWW, "x", text, a, too_long, &got), MERGE_LATER);
    assert_int_equal(merge(STRATEGY_EXEC, "x", text, a, too_long, &got), MERGE_EXEC);
    assert_int_equal(merge(STRATEGY_TEXT, "x", text, text, too_long, &got), MERGE_DONE);
    buf_fini(&got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(find_last_line_that_matches),
        cmocka_unit_test(parse_says_which_line_is_wrong),
        cmocka_unit_test(merge_outcome_is_as_the_strategy_says),
        cmocka_unit_test(merge_with_nothing_at_all_as_with_an_empty_file),
        cmocka_unit_test(merge_bytes_with_nul_and_too_long_ones_keep_both),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
