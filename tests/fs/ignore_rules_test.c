/* What gitignore(5) says of patterns, and that no pattern takes long. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "fs/space/ignore_rules.h"

static enum ignore_verdict verdict(const char *text, const char *path)
{
    struct ignore_rules r;
    struct bytes p = bytes_str(path);
    bool is_dir = p.n > 0 && p.p[p.n - 1] == '/';
    p.n -= is_dir;
    assert_int_equal(ignore_rules_parse(bytes_str(text), &r), 0);
    enum ignore_verdict v = ignore_rules_match(&r, p, is_dir);
    ignore_rules_fini(&r);
    return v;
}

static void match_is_as_gitignore_says(void **state)
{
    (void)state;
    /* A path that ends in '/' is a folder. Y: ignored, N: kept by a '!', -: no rule matches. */
    static const struct {
        const char *rules, *path;
        char ought;
    } rows[] = {
        {"*.o", "a.o", 'Y'},
        {"*.o", "d/a.o", 'Y'},
        {"*.o", "a.oo", '-'},
        {"*.o", ".o", 'Y'},
        {"build/", "build/", 'Y'},
        {"build/", "build", '-'},
        {"build/", "x/build/", 'Y'},
        {"/build", "build", 'Y'},
        {"/build", "x/build", '-'},
        {"doc/*.txt", "doc/a.txt", 'Y'},
        {"doc/*.txt", "doc/x/a.txt", '-'},
        {"doc/*.txt", "x/doc/a.txt", '-'},
        {"/doc/frotz", "doc/frotz", 'Y'},
        {"a/b/", "a/b/", 'Y'},
        {"a/b/", "x/a/b/", '-'},
        {"**/foo", "foo", 'Y'},
        {"**/foo", "a/b/foo", 'Y'},
        {"**/foo/bar", "x/foo/bar", 'Y'},
        {"abc/**", "abc/x/y", 'Y'},
        {"abc/**", "abc/", '-'},
        {"a/**/b", "a/b", 'Y'},
        {"a/**/b", "a/x/y/b", 'Y'},
        {"a/**/b", "ab", '-'},
        {"a**b", "axxb", 'Y'},
        {"a**b", "a/b", '-'},
        {"/**", "x", 'Y'},
        {"**", "x/y", 'Y'},
        {"?", "x", 'Y'},
        {"?", "xy", '-'},
        {"a/?b", "a//b", '-'},
        {"[a-c]x", "bx", 'Y'},
        {"[a-c]x", "dx", '-'},
        {"[!a-c]x", "dx", 'Y'},
        {"[^a-c]x", "bx", '-'},
        {"[]x]", "]", 'Y'},
        {"[a-]", "-", 'Y'},
        {"[\\]]", "]", 'Y'},
        {"[[:digit:]x]", "7", 'Y'},
        {"[[:digit:]x]", "x", 'Y'},
        {"[[:digit:]x]", "y", '-'},
        {"[a", "[a", '-'},
        {"a\\", "a\\", '-'},
        {"\\*", "*", 'Y'},
        {"\\*", "a", '-'},
        {"# a", "# a", '-'},
        {"\\#a", "#a", 'Y'},
        {"\\!a", "!a", 'Y'},
        {"a  ", "a", 'Y'},
        {"a\\ ", "a ", 'Y'},
        {"a\\ ", "a", '-'},
        {"a\\  ", "a ", 'Y'},
        {" a", " a", 'Y'},
        {"a\r\nb\r\n", "a", 'Y'},
        {"a\r\nb\r\n", "b", 'Y'},
        {"\xef\xbb\xbf*.o", "a.o", 'Y'},
        {"*.o\n!keep.o", "keep.o", 'N'},
        {"*.o\n!keep.o", "x.o", 'Y'},
        {"!keep.o\n*.o", "keep.o", 'Y'},
        {"", "a", '-'},
        {"/", "a", '-'},
        {"!", "a", '-'},
        {"\n\n  \n", "a", '-'},
        {"\xff?", "\xff\xfe", 'Y'},
        {"A", "a", '-'},
    };
    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        char is = "-YN"[verdict(rows[i].rules, rows[i].path)];
        if (is != rows[i].ought)
            fail_msg("'%s' of '%s' is %c, ought to be %c", rows[i].rules, rows[i].path, is,
                     rows[i].ought);
    }
}

static int parse_repeated(const char *line, size_t times)
{
    struct buf text = {0};
    struct ignore_rules r;
    for (size_t i = 0; i < times; i++)
        buf_put_bytes(&text, bytes_str(line));
    assert_int_equal(buf_status(&text), 0);
    int rc = ignore_rules_parse(buf_bytes(&text), &r);
    if (rc == 0)
        ignore_rules_fini(&r);
    buf_fini(&text);
    return rc;
}

static void parse_refuses_what_is_too_long(void **state)
{
    (void)state;
    assert_int_equal(parse_repeated("a\n", IGNORE_LINES_MAX), 0);
    assert_int_equal(parse_repeated("a\n", IGNORE_LINES_MAX + 1), -E2BIG);
    assert_int_equal(parse_repeated("a", IGNORE_LINE_MAX), 0);
    assert_int_equal(parse_repeated("a", IGNORE_LINE_MAX + 1), -E2BIG);
    assert_int_equal(parse_repeated("1234567\n", IGNORE_FILE_MAX / 8), -E2BIG);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The longest patterns there may be, against paths that match up to their last byte. */
static void match_takes_no_longer_than_pattern_times_path(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *path;
    } rows[] = {{"*a", "a"}, {"**/a/", "a/"}, {"*[a-b]", "a"}, {"**/*a*/", "aaaaaaaa/"}};
    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        char line[IGNORE_LINE_MAX + 1] = "", path[4096] = "";
        while (strlen(line) + strlen(rows[i].pattern) + 1 < sizeof line)
            strcat(line, rows[i].pattern);
        while (strlen(path) + strlen(rows[i].path) + 1 < sizeof path)
            strcat(path, rows[i].path);
        strcat(line, "b");
        double began = seconds();
        (void)verdict(line, path);
        assert_true(seconds() - began < 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(match_is_as_gitignore_says),
        cmocka_unit_test(parse_refuses_what_is_too_long),
        cmocka_unit_test(match_takes_no_longer_than_pattern_times_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
