/* The words of a command line: options, near names, moments, fstab's options. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sync/cli/args.h"
#include "sync/cli/mount_helper.h"
#include "sync/cli/near.h"
#include "sync/cli/when.h"

enum { OPT_NAME, OPT_IMPORT, OPT_O, OPT_F };
static const struct args_option options[] = {
    {.long_name = "name", .has_value = true},
    {.long_name = "import"},
    {.short_name = 'o', .has_value = true, .repeats = true},
    {.short_name = 'f', .long_name = "foreground"},
    {0},
};

static int parse(const char *const *words, struct args *ret, struct err *err)
{
    char *argv[ARGS_WORDS_MAX * 2] = {NULL};
    int n = 0;
    for (; words[n] != NULL; n++)
        argv[n] = strdup(words[n]);
    int rc = args_parse(options, n, argv, ret, err);
    /* Values are borrowed from the words: keep those that a test looks at alive. */
    static char kept[8][64];
    for (size_t w = 0; rc == 0 && w < ret->words_n && w < ARRAY_N(kept); w++)
        if (ret->words[w].value != NULL) {
            snprintf(kept[w], sizeof kept[w], "%s", ret->words[w].value);
            ret->words[w].value = kept[w];
        }
    for (int i = 0; i < n; i++)
        free(argv[i]);
    return rc;
}

static void args_parse_mixed_order_accepts(void **state)
{
    (void)state;
    struct args a;
    const char *words[] = {"-fo",   "ro", "folder", "--name=n=1", "--import",
                           "-oa,b", "--", "-x",     NULL};
    assert_int_equal(parse(words, &a, NULL), 0);
    assert_int_equal(args_plain_n(&a), 2);
    assert_string_equal(args_plain(&a, 0), "folder");
    assert_string_equal(args_plain(&a, 1), "-x");
    assert_null(args_plain(&a, 2));
    assert_string_equal(args_value(&a, OPT_NAME, 0), "n=1");
    assert_int_equal(args_count(&a, OPT_IMPORT), 1);
    assert_int_equal(args_count(&a, OPT_F), 1);
    assert_int_equal(args_count(&a, OPT_O), 2);
    assert_string_equal(args_value(&a, OPT_O, 1), "a,b");
    const char *dash[] = {"-", NULL};
    assert_int_equal(parse(dash, &a, NULL), 0);
    assert_int_equal(args_plain_n(&a), 1);
}

static void args_parse_wrong_words_says_which(void **state)
{
    (void)state;
    static const struct {
        const char *words[3];
        const char *message;
    } cases[] = {
        {{"--nope"}, "unknown option '--nope'"},
        {{"-x"}, "unknown option '-x'"},
        {{"--nam", "x"}, "unknown option '--nam'"},
        {{"--name"}, "option --name needs a value"},
        {{"-o"}, "option -o needs a value"},
        {{"--import=yes"}, "option --import takes no value"},
        {{"--import", "--import"}, "option --import is given twice"},
        {{"--\x1b[2J"}, "unknown option '--\\x1b[2J'"},
    };
    for (size_t i = 0; i < ARRAY_N(cases); i++) {
        struct args a;
        struct err err = {0};
        assert_int_equal(parse(cases[i].words, &a, &err), -EINVAL);
        assert_string_equal(err.msg, cases[i].message);
    }
}

static void args_parse_too_many_words_refuses(void **state)
{
    (void)state;
    const char *words[ARGS_WORDS_MAX + 2];
    struct args a;
    for (size_t i = 0; i <= ARGS_WORDS_MAX; i++)
        words[i] = "x";
    words[ARGS_WORDS_MAX + 1] = NULL;
    assert_int_equal(parse(words, &a, NULL), -EINVAL);
}

static void near_match_finds_slips_only(void **state)
{
    (void)state;
    assert_true(near_match("moutn", "mount"));
    assert_true(near_match("stat", "status"));
    assert_true(near_match("statsu", "status"));
    assert_true(near_match("umount", "unmount"));
    assert_true(near_match("gcc", "gc"));
    assert_true(near_match("exprot", "export"));
    assert_false(near_match("x", "export"));
    assert_false(near_match("", "gc"));
    assert_false(near_match("serve", "gc"));
    assert_false(near_match("averyveryverylongwordthatnobodymeant", "mount"));
}

static void when_parse_all_forms(void **state)
{
    (void)state;
    const uint64_t now = 1795392910582; /* 2026-11-23T00:15:10.582Z */
    static const struct {
        const char *text;
        uint64_t ms; /* 0: refused */
    } cases[] = {
        {"2026-11-22", 1795305600000},
        {"2026-11-22 14:03", 1795356180000},
        {"2026-11-22 14:03:05", 1795356185000},
        {"2026-11-22T14:03:05", 1795356185000},
        {"2026-11-22T14:03:05Z", 1795356185000},
        {"2026-11-22T14:03:05+01:00", 1795352585000},
        {"2026-11-22T14:03:05-01:30", 1795361585000},
        {"@1795305600", 1795305600000},
        {"2h", 1795385710582},
        {"2h ago", 1795385710582},
        {"1w", 1794788110582},
        {"999999999w", 0 /* the beginning of time */},
        {"2026-13-01", 0},
        {"2026-02-31", 0},
        {"2026-11-22 25:00", 0},
        {"2026-11-22 14:03 and more", 0},
        {"2099-01-01", 0},
        {"1960-01-01", 0},
        {"", 0},
        {"h", 0},
        {"2x", 0},
        {"@", 0},
        {"@99999999999999999999", 0},
        {"yesterday", 0},
    };
    setenv("TZ", "UTC", 1);
    for (size_t i = 0; i < ARRAY_N(cases); i++) {
        uint64_t ms = 0;
        int rc = when_parse(cases[i].text, now, &ms, NULL);
        bool ancient = cases[i].text[0] == '9';
        assert_int_equal(rc, cases[i].ms == 0 && !ancient ? -EINVAL : 0);
        assert_int_equal(ms, cases[i].ms);
    }
}

static const char *text_of(const struct buf *b)
{
    return b->n > 0 ? (const char *)b->p : "";
}

static void mount_helper_parse_of_fstab_options(void **state)
{
    (void)state;
    static const struct {
        const char *list;
        int rc;
        const char *name, *user, *home, *rest;
    } cases[] = {
        {"", 0, "", "", "", ""},
        {"rw,name=n,uid=alice,home=/h,nofail,ro,x-systemd.automount,allow_other,", 0, "n", "alice",
         "/h", "ro,allow_other"},
        {"defaults,noauto,_netdev,comment=a,dev,suid", 0, "", "", "", ""},
        {"names=x,uidx", 0, "", "", "", "names=x,uidx"},
        {"name", -EINVAL, "", "", "", ""},
        {"uid=", -EINVAL, "", "", "", ""},
        {"name=a,name=b", -EINVAL, "", "", "", ""},
    };
    for (size_t i = 0; i < ARRAY_N(cases); i++) {
        struct mount_helper_options o = {.name = {0}};
        assert_int_equal(mount_helper_parse(cases[i].list, &o, NULL), cases[i].rc);
        assert_string_equal(text_of(&o.name), cases[i].name);
        assert_string_equal(text_of(&o.user), cases[i].user);
        assert_string_equal(text_of(&o.home), cases[i].home);
        assert_string_equal(text_of(&o.rest), cases[i].rest);
        mount_helper_options_fini(&o);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(args_parse_mixed_order_accepts),
        cmocka_unit_test(args_parse_wrong_words_says_which),
        cmocka_unit_test(args_parse_too_many_words_refuses),
        cmocka_unit_test(near_match_finds_slips_only),
        cmocka_unit_test(when_parse_all_forms),
        cmocka_unit_test(mount_helper_parse_of_fstab_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
