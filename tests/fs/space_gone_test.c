/* A file that another device deletes while a program has it open, and that the program writes to:
 * what is kept of files without a name. (fs/tree/gone.c, orphan.c) */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fs/tree/tree_priv.h"
#include "tests/support/sync_meet.h"

enum { ANNA, BERT };

static int setup(void **state)
{
    static struct sync_meet w;
    static const char *const labels[] = {"anna", "bert"};
    sync_meet_open(&w, labels, 2);
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    sync_meet_close(*state);
    return 0;
}

/* How many files the database notes as those that go when nobody uses them any more. */
static size_t noted(struct device *d)
{
    size_t n = 0;
    struct db_iter *it = db_iter_new(d->s->db, DB_META, bytes_str("orphan"), NULL);
    assert_non_null(it);
    while (db_iter_next(it))
        n++;
    db_iter_free(it);
    return n;
}

static uint64_t files(struct device *d)
{
    struct tree_usage u;
    assert_int_equal(tree_usage(d->s->tree, &u), 0);
    return u.files;
}

static void a_file_that_comes_back_is_a_file_like_any_other(void **state)
{
    struct sync_meet *w = *state;
    struct device *d = &w->d[BERT];
    struct tree_write how = {0};
    struct attr a;
    device_save_text(&w->d[ANNA], "note", "one");
    sync_meet_all(w, 2);
    uint64_t ino = device_ino(d, "note"), before = files(d);
    assert_int_equal(tree_open_file(d->s->tree, ino, true, false, &a), 0);
    device_unlink(&w->d[ANNA], "note");
    sync_meet_give(w, ANNA, BERT);
    assert_int_equal(device_ino(d, "note"), 0);
    assert_int_equal(noted(d), 1);
    assert_int_equal(files(d), before - 1);
    assert_int_equal(d->s->tree->orphans, 1);
    assert_int_equal(tree_write(d->s->tree, ino, bytes_str("two"), &how), 0);
    assert_int_equal(device_ino(d, "note"), ino);
    assert_int_equal(noted(d), 0);
    assert_int_equal(files(d), before);
    assert_int_equal(d->s->tree->orphans, 0);
    tree_close_file(d->s->tree, ino, true);
    tree_forget(d->s->tree, ino);
    device_reopen(d);
    assert_int_equal(files(d), before);
    sync_meet_all(w, 2);
    sync_meet_expect(&w->d[ANNA], "note", "two");
    sync_meet_expect(d, "note", "two");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_that_comes_back_is_a_file_like_any_other, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
