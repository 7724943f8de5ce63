/* Markdown: the block by key, the body as text, and what is not understood as text altogether. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fs/merge/front.h"
#include "fs/merge/frontmatter.h"
#include "tests/support/merge_rows.h"

static void merge_block_by_key(void **state)
{
    (void)state;
    static const struct merge_row rows[] = {
        {"---\na: 1\nb: 2\n---\nx\n", "---\na: 3\nb: 2\n---\nx\n", "---\na: 1\nb: 4\n---\nx\n",
         "---\na: 3\nb: 4\n---\nx\n"},
        {"---\na: 1\n---\n", "---\na: 2\n---\n", "---\na: 3\n---\n", "---\na: 3\n---\n"},
        {"---\na: 1\n---\n", "---\n---\n", "---\na: 3\n---\n", "---\na: 3\n---\n"},
        {"---\na: 1\n---\n", "---\na: 2\n---\n", "---\n---\n", "---\na: 2\n---\n"},
        {"---\na: 1\nb: 1\n---\n", "---\nb: 1\n---\n", "---\na: 1\nb: 2\n---\n",
         "---\nb: 2\n---\n"},
        /* An addition stands behind what it stood behind, with the comment above it. */
        {"---\na: 1\nc: 1\n---\n", "---\na: 1\n# why\nb: 1\nc: 1\n---\n", "---\na: 1\nc: 2\n---\n",
         "---\na: 1\n# why\nb: 1\nc: 2\n---\n"},
        {"x\n", "---\na: 1\n---\nx\n", "---\nb: 2\n---\nx\ny\n",
         "---\na: 1\nb: 2\n---\nx\ny\n"}, /* no block before */
        {"", "---\na: 1\n---\n", "---\nb: 2\n...\n", "---\na: 1\nb: 2\n...\n"},
        {"---\n# one\na: 1\n# end\n---\n", "---\n# two\na: 1\n# End\n---\n",
         "---\n# one\na: 2\n# end\n---\n", "---\n# two\na: 2\n# End\n---\n"},
    };
    merge_check_rows(frontmatter_merge, rows, ARRAY_N(rows));
}

static void merge_lists_have_items_of_both(void **state)
{
    (void)state;
    static const struct merge_row rows[] = {
        {"---\ntags: [a, b]\n---\n", "---\ntags: [a, b, c]\n---\n", "---\ntags: [b, d]\n---\n",
         "---\ntags: [b, c, d]\n---\n"},
        {"---\ntags:\n  - a\n---\n", "---\ntags:\n  - a\n  - b\n---\n",
         "---\ntags:\n  - a\n  - \"c d\"\n---\n", "---\ntags:\n  - a\n  - b\n  - \"c d\"\n---\n"},
        {"---\ntags: [a]\n---\n", "---\ntags:\n- a\n- b\n---\n", "---\ntags: [c, \"a\"]\n---\n",
         "---\ntags: [a, b, c]\n---\n"}, /* the later form; "a" is a */
        {"---\ntags: [a]\n---\n", "---\ntags: []\n---\n", "---\ntags: [a, b]\n---\n",
         "---\ntags: [b]\n---\n"},
        {"---\ntags:\n- a\n- b\n---\n", "---\ntags:\n- a\n---\n", "---\ntags:\n- b\n---\n",
         "---\ntags: []\n---\n"},
        {"---\nx: 1\n---\n", "---\nx: 1\ntags: [a]\n---\n", "---\nx: 1\ntags: [b, c]\n---\n",
         "---\nx: 1\ntags: [a, b, c]\n---\n"},
        {"---\ntags: a\n---\n", "---\ntags: b\n---\n", "---\ntags: [a]\n---\n",
         "---\ntags: [a]\n---\n"}, /* no two lists: the later */
        {"---\ntags: ['a, b', c]\n---\n", "---\ntags: ['a, b', c, d]\n---\n",
         "---\ntags: [c]\n---\n", "---\ntags: [c, d]\n---\n"},
    };
    merge_check_rows(frontmatter_merge, rows, ARRAY_N(rows));
}

static void merge_body_as_text(void **state)
{
    (void)state;
    static const struct merge_row rows[] = {
        {"---\na: 1\n---\n1\n2\n", "---\na: 2\n---\nx\n2\n", "---\na: 1\n---\n1\ny\n",
         "---\na: 2\n---\nx\ny\n"},
        {"---\na: 1\n---\n1\n", "---\na: 2\n---\nx\n", "---\na: 3\n---\ny\n", NULL},
        {"---\na: 1\n---\n1\n", "---\na: 1\n---\n0\n1\n", "---\na: 2\n---\n1\n",
         "---\na: 2\n---\n0\n1\n"},
        /* Line ends, the mark, the last newline. */
        {"---\na: 1\n---\n1\n", "---\r\na: 1\r\n---\r\n1\r\n", "---\na: 2\n---\n1\n",
         "---\r\na: 2\r\n---\r\n1\r\n"},
        {"---\r\na: 1\r\n---\r\n1", "---\r\na: 1\r\n---\r\nx", "---\na: 1\nb: 1\n---\n1",
         "---\na: 1\nb: 1\n---\nx"},
        {"\xef\xbb\xbf---\na: 1\n---\n1\n", "\xef\xbb\xbf---\na: 1\n---\nx\n",
         "---\na: 2\n---\n1\n", "---\na: 2\n---\nx\n"},
        {"\xef\xbb\xbf---\na: 1\n---\n1\n", "\xef\xbb\xbf---\na: 1\n---\nx\n",
         "\xef\xbb\xbf---\na: 2\n---\n1\n", "\xef\xbb\xbf---\na: 2\n---\nx\n"},
        {"---\na: 1\n---\n1\n", "\xef\xbb\xbf---\na: 1\n---\n1\n", "---\na: 2\n---\n1\n",
         "\xef\xbb\xbf---\na: 2\n---\n1\n"},
        {"---\na: 1\n---", "---\na: 2\n---", "---\na: 1\nb: 1\n---", "---\na: 2\nb: 1\n---"},
        {"---\na: 1\n---\n", "---\na: 2\n---", "---\na: 1\nb: 1\n---\n", "---\na: 2\nb: 1\n---"},
    };
    merge_check_rows(frontmatter_merge, rows, ARRAY_N(rows));
}

static void merge_what_is_not_understood_as_text(void **state)
{
    (void)state;
    static const struct merge_row rows[] = {
        {"---\na: 1\nb: |\n  x\n---\n", "---\na: 2\nb: |\n  x\n---\n",
         "---\na: 3\nb: |\n  x\n---\n", NULL},
        {"---\na: 1\nb: |\n  x\n---\n1\n", "---\na: 2\nb: |\n  x\n---\n1\n",
         "---\na: 1\nb: |\n  x\n---\n2\n", "---\na: 2\nb: |\n  x\n---\n2\n"},
        {"---\na: 1\n---\n", "---\na: 2\n---\n", "---\na: 3\n", NULL},    /* no end */
        {"---\na: 1\n---\n", "a: 2\n", "---\na: 3\n---\n", NULL},         /* no block in one */
        {"---\n{}\n---\n", "---\na: 2\n---\n", "---\na: 3\n---\n", NULL}, /* nor in the base */
    };
    merge_check_rows(frontmatter_merge, rows, ARRAY_N(rows));
}

static int parse(const char *file)
{
    struct front f;
    int rc = front_init(&f, bytes_str(file));
    front_fini(&f);
    return rc;
}

static void front_knows_what_it_understands(void **state)
{
    (void)state;
    static const char *const good[] = {
        "---\n---",
        "---\r\n---\r\n",
        "---  \na: 1\n---\n",
        "---\na:\n---\n",
        "---\na: 'it''s'\n---\n",
        "---\na: \"x: \\\" # y\"\n---\n",
        "---\na: [x, 'y, z', \"[\"]\n---\n",
        "---\ndate created: 2026-01-01 10:00\n---\n",
        "---\nurl: https://x.y/z#a\n---\n",
        "---\na:\n- x\n- -1\nb: don't\n---\n",
        "---\n\n# c\na: 1\n\n---\n",
        "---\n\xc3\xa9: 1\n---\n",
    };
    static const char *const bad[] = {
        "---\n",
        "---\na\n---\n",
        "---\na:1\n---\n",
        "---\n a: 1\n---\n",
        "---\na: 1\na: 2\n---\n",
        "---\na: {x: 1}\n---\n",
        "---\na: [x, [y]]\n---\n",
        "---\na: [x, ]\n---\n",
        "---\na: [x\n---\n",
        "---\na: |\n  x\n---\n",
        "---\na: x\n  y\n---\n",
        "---\na: \"x\" y\n---\n",
        "---\na: 'x\n---\n",
        "---\na: x: y\n---\n",
        "---\na: x # y\n---\n",
        "---\na: &x y\n---\n",
        "---\na:\n- x: 1\n---\n",
        "---\na:\n- x\n  - y\n---\n",
        "---\na:\n-\n---\n",
        "---\n- a\n---\n",
        "---\na : 1\n---\n",
        "---\n\"a\": 1\n---\n",
        "---\na: [x: 1]\n---\n",
        "---\na: - x\n---\n",
        "---\na: x:\n---\n",
        "---\na: ['x' y]\n---\n",
    };
    static const char *const none[] = {"", "a\n", "\n---\na: 1\n---\n", "----\n---\n",
                                       " ---\n---\n"};
    for (size_t i = 0; i < ARRAY_N(good); i++)
        if (parse(good[i]) != 1)
            fail_msg("'%s' is to be understood", good[i]);
    for (size_t i = 0; i < ARRAY_N(bad); i++)
        if (parse(bad[i]) != -EBADMSG)
            fail_msg("'%s' is not to be understood", bad[i]);
    for (size_t i = 0; i < ARRAY_N(none); i++)
        assert_int_equal(parse(none[i]), 0);
}

static void front_too_much_is_not_understood(void **state)
{
    (void)state;
    for (size_t more = 0; more <= 1; more++) {
        struct buf keys = {0}, items = {0};
        buf_put_bytes(&keys, bytes_str("---\n"));
        buf_put_bytes(&items, bytes_str("---\na:\n"));
        for (size_t i = 0; i < FRONT_KEYS_MAX + more; i++) {
            char line[32];
            snprintf(line, sizeof line, "k%zu: 1\n", i);
            buf_put_bytes(&keys, bytes_str(line));
        }
        for (size_t i = 0; i < FRONT_ITEMS_MAX + more; i++)
            buf_put_bytes(&items, bytes_str("- x\n"));
        buf_put(&keys, "---\n", 5);
        buf_put(&items, "---\n", 5);
        assert_int_equal(parse((const char *)keys.p), more ? -EBADMSG : 1);
        assert_int_equal(parse((const char *)items.p), more ? -EBADMSG : 1);
        buf_fini(&keys);
        buf_fini(&items);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merge_block_by_key),
        cmocka_unit_test(merge_lists_have_items_of_both),
        cmocka_unit_test(merge_body_as_text),
        cmocka_unit_test(merge_what_is_not_understood_as_text),
        cmocka_unit_test(front_knows_what_it_understands),
        cmocka_unit_test(front_too_much_is_not_understood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
