/*
 * Names: which are allowed, what a rename does and refuses, that a listing can be gone on with
 * while names come and go, numbers and files without a name over a restart.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/crash_tree.h"

enum { DEADLOCK_S = 60 };

struct fixture {
    char dir[256], path[300];
    struct crash_tree c;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    const char *dir = crash_temp_dir();
    assert_non_null(dir);
    snprintf(f->dir, sizeof f->dir, "%s", dir);
    snprintf(f->path, sizeof f->path, "%s/space", dir);
    *state = f;
    alarm(DEADLOCK_S);
    return crash_tree_open(&f->c, f->path);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    if (f->c.db != NULL)
        crash_tree_close(&f->c);
    crash_remove_dir(f->dir);
    free(f);
    return 0;
}

static int act(struct fixture *f, unsigned kind, const char *path, const char *to)
{
    struct crash_op op = {.kind = kind, .mode = 0755};
    snprintf(op.path, sizeof op.path, "%s", path);
    snprintf(op.to, sizeof op.to, "%s", to);
    return crash_tree_apply(&f->c, &op);
}

#define GIVES(rc, call) assert_int_equal(call, rc)

static uint64_t ino_of(struct fixture *f, const char *path)
{
    struct attr a;
    return crash_tree_find(&f->c, path, &a) == 0 ? a.ino : 0;
}

static void names_that_cannot_be_are_refused(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *name;
        size_t n; /* 0: its length */
        int rc;
    } cases[] = {
        {"", 0, -EINVAL},     {".", 0, -EEXIST}, {"..", 0, -EEXIST}, {"a/b", 0, -EINVAL},
        {"a\0b", 3, -EINVAL}, {"...", 0, 0},     {" ", 0, 0},        {"\n", 0, 0},
        {"\xff\xfe", 0, 0},   {"a", 0, 0},       {"a", 0, -EEXIST},
    };
    struct tree_new what = {.mode = S_IFREG | 0644};
    struct attr a;
    for (size_t i = 0; i < ARRAY_N(cases); i++) {
        struct bytes name =
            bytes_of(cases[i].name, cases[i].n != 0 ? cases[i].n : strlen(cases[i].name));
        GIVES(cases[i].rc, tree_make(f->c.tree, TREE_ROOT, name, &what, &a));
    }
    char longest[TREE_NAME_MAX + 1];
    memset(longest, 'x', sizeof longest);
    GIVES(0, tree_make(f->c.tree, TREE_ROOT, bytes_of(longest, TREE_NAME_MAX), &what, &a));
    struct bytes over = bytes_of(longest, sizeof longest);
    GIVES(-ENAMETOOLONG, tree_make(f->c.tree, TREE_ROOT, over, &what, &a));
    GIVES(-ENAMETOOLONG, tree_lookup(f->c.tree, TREE_ROOT, over, &a));
    GIVES(-ENAMETOOLONG, tree_unlink(f->c.tree, TREE_ROOT, over));
    GIVES(-ENAMETOOLONG, tree_rename(f->c.tree, TREE_ROOT, bytes_str("a"), TREE_ROOT, over, 0));
    GIVES(-ENAMETOOLONG, tree_rename(f->c.tree, TREE_ROOT, over, TREE_ROOT, bytes_str("b"), 0));
}

static void renames_are_refused_as_on_a_local_disk(void **state)
{
    struct fixture *f = *state;
    GIVES(0, act(f, CRASH_MKDIR, "d", ""));
    GIVES(0, act(f, CRASH_MKDIR, "d/e", ""));
    GIVES(0, act(f, CRASH_MKDIR, "d/e/g", ""));
    GIVES(0, act(f, CRASH_MKDIR, "empty", ""));
    GIVES(0, act(f, CRASH_CREATE, "file", ""));
    GIVES(0, act(f, CRASH_CREATE, "d/file", ""));
    GIVES(-EINVAL, act(f, CRASH_RENAME, "d", "d/e/x"));
    GIVES(-EINVAL, act(f, CRASH_RENAME, "d", "d/x"));
    GIVES(-EINVAL, act(f, CRASH_EXCHANGE, "d", "d/e/g"));
    GIVES(-EINVAL, act(f, CRASH_EXCHANGE, "d/e/g", "d"));
    GIVES(-ENOTEMPTY, act(f, CRASH_RENAME, "empty", "d"));
    GIVES(-ENOTDIR, act(f, CRASH_RENAME, "empty", "file"));
    GIVES(-EISDIR, act(f, CRASH_RENAME, "file", "empty"));
    GIVES(-EEXIST, act(f, CRASH_NOREPLACE, "file", "d/file"));
    GIVES(-ENOENT, act(f, CRASH_RENAME, "none", "x"));
    GIVES(-ENOENT, act(f, CRASH_EXCHANGE, "file", "none"));
    GIVES(-EPERM, act(f, CRASH_LINK, "d", "x"));
    GIVES(-ENOTEMPTY, act(f, CRASH_RMDIR, "d", ""));
    GIVES(-ENOTDIR, act(f, CRASH_RMDIR, "file", ""));
    GIVES(-EINVAL,
          tree_rename(f->c.tree, TREE_ROOT, bytes_str("file"), TREE_ROOT, bytes_str("x"), 8));
}

static void a_rename_moves_between_directories(void **state)
{
    struct fixture *f = *state;
    GIVES(0, act(f, CRASH_MKDIR, "a", ""));
    GIVES(0, act(f, CRASH_MKDIR, "b", ""));
    GIVES(0, act(f, CRASH_MKDIR, "b/deep", ""));
    GIVES(0, act(f, CRASH_MKDIR, "a/moved", ""));
    GIVES(0, act(f, CRASH_CREATE, "a/moved/file", ""));
    uint64_t moved = ino_of(f, "a/moved"), file = ino_of(f, "a/moved/file");
    GIVES(0, act(f, CRASH_RENAME, "a/moved", "b/deep/moved"));
    assert_int_equal(ino_of(f, "b/deep/moved"), moved);
    assert_int_equal(ino_of(f, "b/deep/moved/file"), file);
    assert_int_equal(ino_of(f, "b/deep/moved/.."), ino_of(f, "b/deep"));
    assert_int_equal(ino_of(f, "a/moved"), 0);
    struct attr a;
    GIVES(0, crash_tree_find(&f->c, "a", &a));
    assert_int_equal(a.nlink, 2);
    GIVES(0, crash_tree_find(&f->c, "b/deep", &a));
    assert_int_equal(a.nlink, 3);
    GIVES(0, act(f, CRASH_CREATE, "a/other", ""));
    GIVES(0, act(f, CRASH_EXCHANGE, "a/other", "b/deep/moved"));
    assert_int_equal(ino_of(f, "a/other"), moved);
    GIVES(0, crash_tree_find(&f->c, "a", &a));
    assert_int_equal(a.nlink, 3);
    GIVES(0, crash_tree_find(&f->c, "b/deep", &a));
    assert_int_equal(a.nlink, 2);
    GIVES(0, act(f, CRASH_LINK, "b/deep/moved", "second"));
    GIVES(0, act(f, CRASH_RENAME, "second", "b/deep/moved")); /* one file: nothing happens */
    assert_int_equal(ino_of(f, "second"), ino_of(f, "b/deep/moved"));
}

/* ---- listing ---- */

enum { LISTED = 500 };

struct listing {
    unsigned seen[LISTED], others, take;
    int64_t last;
};

static bool list_some(void *arg, const struct tree_entry *e)
{
    struct listing *l = arg;
    if (l->take == 0)
        return false;
    l->take--;
    l->last = e->offset;
    char name[TREE_NAME_MAX + 1];
    memcpy(name, e->name.p, e->name.n);
    name[e->name.n] = '\0';
    if (strncmp(name, "keep", 4) == 0)
        l->seen[strtoul(name + 4, NULL, 10)]++;
    else
        l->others++;
    return true;
}

static void a_listing_gives_each_name_that_stays_once(void **state)
{
    struct fixture *f = *state;
    char name[32];
    for (unsigned i = 0; i < LISTED; i++) {
        snprintf(name, sizeof name, "keep%u", i);
        GIVES(0, act(f, CRASH_CREATE, name, ""));
        snprintf(name, sizeof name, "go%u", i);
        GIVES(0, act(f, CRASH_CREATE, name, ""));
    }
    struct listing l = {0};
    int64_t at = 0;
    for (unsigned round = 0;; round++) {
        l.take = 7;
        GIVES(0, tree_list(f->c.tree, TREE_ROOT, at, false, list_some, &l));
        if (l.last == at)
            break;
        at = l.last;
        snprintf(name, sizeof name, "go%u", round % LISTED);
        GIVES(0, act(f, CRASH_UNLINK, name, ""));
        snprintf(name, sizeof name, "new%u", round);
        GIVES(0, act(f, CRASH_CREATE, name, ""));
    }
    for (unsigned i = 0; i < LISTED; i++)
        assert_int_equal(l.seen[i], 1);
}

/* ---- restarts ---- */

static void numbers_are_not_used_twice(void **state)
{
    struct fixture *f = *state;
    uint64_t highest = 0;
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 5; i++) {
            GIVES(0, act(f, CRASH_CREATE, "n", ""));
            assert_true(ino_of(f, "n") > highest);
            highest = ino_of(f, "n");
            GIVES(0, act(f, CRASH_UNLINK, "n", ""));
        }
        crash_tree_close(&f->c);
        assert_int_equal(crash_tree_open(&f->c, f->path), 0);
    }
}

static void a_file_without_a_name_lives_until_it_is_forgotten(void **state)
{
    struct fixture *f = *state;
    struct tree_new what = {.mode = S_IFREG | 0644};
    struct tree_write how = {0};
    struct attr a;
    char text[8];
    GIVES(0, tree_make(f->c.tree, TREE_ROOT, bytes_str("f"), &what, &a));
    GIVES(0, tree_open_file(f->c.tree, a.ino, true, false, &a));
    GIVES(0, tree_write(f->c.tree, a.ino, bytes_str("text"), &how));
    GIVES(0, tree_unlink(f->c.tree, TREE_ROOT, bytes_str("f")));
    tree_forget(f->c.tree, a.ino); /* open: it stays */
    GIVES(4, tree_read(f->c.tree, a.ino, 0, text, sizeof text));
    struct attr again;
    GIVES(-ENOENT, tree_link(f->c.tree, a.ino, TREE_ROOT, bytes_str("g"), &again));
    tree_close_file(f->c.tree, a.ino, true);
    tree_forget(f->c.tree, a.ino);
    GIVES(-ESTALE, tree_getattr(f->c.tree, a.ino, &again));
    /* One that nobody forgot goes with the next opening, and its bytes too. */
    GIVES(0, tree_make(f->c.tree, TREE_ROOT, bytes_str("f"), &what, &a));
    GIVES(0, tree_write(f->c.tree, a.ino, bytes_str("text"), &how));
    GIVES(0, tree_unlink(f->c.tree, TREE_ROOT, bytes_str("f")));
    crash_tree_close(&f->c);
    assert_int_equal(crash_tree_open(&f->c, f->path), 0);
    GIVES(-ESTALE, tree_getattr(f->c.tree, a.ino, &again));
    struct db_iter *it = db_iter_new(f->c.db, DB_DATA, bytes_of(NULL, 0), NULL);
    bool any = db_iter_next(it);
    db_iter_free(it);
    assert_false(any);
}

/* An opening that failed half-way must not pass for a clean end. */
static void a_failed_opening_leaves_the_recovery_to_the_next(void **state)
{
    struct fixture *f = *state;
    GIVES(0, act(f, CRASH_CREATE, "f", ""));
    char copy[300], staging[400];
    assert_int_equal(db_flush(f->c.db), 0);
    snprintf(copy, sizeof copy, "%.256s/copy", f->dir);
    GIVES(0, crash_copy_dir(f->path, copy));
    struct db_config how = {0};
    struct db *db;
    char db_dir[400];
    snprintf(db_dir, sizeof db_dir, "%s/db", copy);
    /* A value that recovery must stumble over. */
    GIVES(0, db_open(db_dir, &how, &db, NULL));
    struct db_batch *b = db_batch_new(db);
    db_batch_put(b, DB_MAP, bytes_str("bad"), bytes_str("bad"));
    GIVES(0, db_write(db, b, true));
    db_batch_free(b);
    db_close(db);
    struct crash_tree broken;
    assert_true(crash_tree_open(&broken, copy) < 0);
    assert_true(crash_tree_open(&broken, copy) < 0);
    snprintf(staging, sizeof staging, "%s/staging", copy);
    assert_int_equal(access(staging, F_OK), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(names_that_cannot_be_are_refused),
        TEST(renames_are_refused_as_on_a_local_disk),
        TEST(a_rename_moves_between_directories),
        TEST(a_listing_gives_each_name_that_stays_once),
        TEST(numbers_are_not_used_twice),
        TEST(a_file_without_a_name_lives_until_it_is_forgotten),
        TEST(a_failed_opening_leaves_the_recovery_to_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
