/*
 * Access control lists without a kernel, which lets no value through that is none: what is refused,
 * what a list makes of a mode and a mode of a list, and that a restart keeps both.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs/tree/acl.h"
#include "tests/support/crash_tree.h"

#define ACCESS bytes_str("system.posix_acl_access")
#define DEFAULT bytes_str("system.posix_acl_default")
#define GIVES(rc, call) assert_int_equal(call, rc)

enum { DEADLOCK_S = 60, OWNER = 1, USER = 2, GROUP = 4, MASK = 16, OTHERS = 32 };

struct fixture {
    char dir[256], path[300];
    struct crash_tree c;
    uint8_t bytes[8192];
    size_t n;
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
    crash_tree_close(&f->c);
    crash_remove_dir(f->dir);
    free(f);
    return 0;
}

static void begin_list(struct fixture *f, uint8_t version)
{
    static const uint8_t zeros[4] = {0};
    memcpy(f->bytes, zeros, sizeof zeros);
    f->bytes[0] = version;
    f->n = sizeof zeros;
}

static void entry(struct fixture *f, uint8_t tag, uint8_t perm, uint8_t id)
{
    const uint8_t e[8] = {tag, 0, perm, 0, id, 0, 0, 0};
    assert_true(f->n + sizeof e <= sizeof f->bytes);
    memcpy(f->bytes + f->n, e, sizeof e);
    f->n += sizeof e;
}

static struct bytes list_of(struct fixture *f)
{
    return bytes_of(f->bytes, f->n);
}

/* Owner @owner, user 7 @user, group @group, mask @mask, others @others. */
static struct bytes list5(struct fixture *f, uint8_t owner, uint8_t user, uint8_t group,
                          uint8_t mask, uint8_t others)
{
    begin_list(f, 2);
    entry(f, OWNER, owner, 0);
    entry(f, USER, user, 7);
    entry(f, GROUP, group, 0);
    entry(f, MASK, mask, 0);
    entry(f, OTHERS, others, 0);
    return list_of(f);
}

static uint64_t make(struct fixture *f, uint64_t dir, const char *name, uint32_t mode)
{
    struct tree_new what = {.mode = mode, .inherits = true, .umask = 022};
    struct attr a;
    GIVES(0, tree_make(f->c.tree, dir, bytes_str(name), &what, &a));
    return a.ino;
}

static uint32_t mode_of(struct fixture *f, uint64_t ino)
{
    struct attr a;
    GIVES(0, tree_getattr(f->c.tree, ino, &a));
    return a.mode & 07777;
}

static int set(struct fixture *f, uint64_t ino, struct bytes name, int flags)
{
    return tree_xattr_set(f->c.tree, ino, name, list_of(f), flags);
}

/* The inode's list is that made last. */
static void check_list(struct fixture *f, uint64_t ino, struct bytes name)
{
    CLEANUP(buf_fini) struct buf found = {0};
    GIVES(0, tree_xattr_get(f->c.tree, ino, name, &found));
    assert_int_equal(found.n, f->n);
    assert_memory_equal(found.p, f->bytes, f->n);
}

static void check_none(struct fixture *f, uint64_t ino, struct bytes name)
{
    CLEANUP(buf_fini) struct buf found = {0};
    GIVES(-ENODATA, tree_xattr_get(f->c.tree, ino, name, &found));
}

static void values_that_are_no_list_are_refused(void **state)
{
    struct fixture *f = *state;
    uint64_t dir = make(f, TREE_ROOT, "d", S_IFDIR | 0777);
    for (size_t n = 1; n < 4; n++) { /* shorter than the version */
        list5(f, 6, 6, 6, 6, 6);
        f->n = n;
        GIVES(-EINVAL, set(f, dir, ACCESS, 0));
    }
    /* Each flip of a byte gives a list again, or is refused: never a mode that the list is not. */
    struct bytes good = list5(f, 6, 4, 4, 6, 0);
    for (size_t at = 0; at < good.n; at++)
        for (unsigned v = 0; v < 256; v++) {
            list5(f, 6, 4, 4, 6, 0);
            f->bytes[at] = (uint8_t)v;
            int rc = set(f, dir, DEFAULT, 0);
            assert_true(rc == 0 || rc == -EINVAL);
            assert_true(rc == 0 || acl_check(list_of(f)) == -EINVAL);
        }
    for (size_t n = 5; n < good.n; n++) {
        list5(f, 6, 4, 4, 6, 0);
        f->n = n;
        GIVES(-EINVAL, set(f, dir, ACCESS, 0));
    }
    begin_list(f, 2);
    entry(f, OWNER, 6, 0);
    for (unsigned i = 0; i < 600; i++)
        entry(f, USER, 4, (uint8_t)i);
    entry(f, GROUP, 4, 0);
    entry(f, MASK, 4, 0);
    entry(f, OTHERS, 4, 0);
    GIVES(-E2BIG, set(f, dir, ACCESS, 0));
    assert_int_equal(mode_of(f, dir), 0755);
    check_none(f, dir, ACCESS);
    uint64_t file = make(f, TREE_ROOT, "f", S_IFREG | 0666);
    list5(f, 6, 4, 4, 6, 0);
    GIVES(-EACCES, set(f, file, DEFAULT, 0));
    uint64_t link = make(f, TREE_ROOT, "l", S_IFLNK | 0777);
    GIVES(-EOPNOTSUPP, set(f, link, ACCESS, 0));
    GIVES(-EOPNOTSUPP, set(f, link, DEFAULT, 0));
    GIVES(-EOPNOTSUPP, set(f, file, bytes_str("system.posix_acl_other"), 0));
}

static void a_list_sets_the_mode_and_the_mode_the_list(void **state)
{
    struct fixture *f = *state;
    uint64_t file = make(f, TREE_ROOT, "f", S_IFREG | 02777);
    assert_int_equal(mode_of(f, file), 02755);
    list5(f, 7, 1, 2, 4, 3);
    GIVES(0, set(f, file, ACCESS, 0));
    assert_int_equal(mode_of(f, file), 02743);
    GIVES(0, set(f, file, ACCESS, TREE_XATTR_KILL_SGID));
    assert_int_equal(mode_of(f, file), 0743);
    struct tree_set how = {.what = TREE_SET_MODE, .mode = 04610};
    struct attr a;
    GIVES(0, tree_setattr(f->c.tree, file, &how, &a));
    assert_int_equal(a.mode & 07777, 04610);
    list5(f, 6, 1, 2, 1, 0);
    check_list(f, file, ACCESS);
    crash_tree_close(&f->c);
    assert_int_equal(crash_tree_open(&f->c, f->path), 0);
    check_list(f, file, ACCESS);
    assert_int_equal(mode_of(f, file), 04610);
    GIVES(0, tree_xattr_remove(f->c.tree, file, ACCESS));
    GIVES(0, tree_xattr_remove(f->c.tree, file, ACCESS));
    check_none(f, file, ACCESS);
    GIVES(0, tree_getattr(f->c.tree, file, &a));
    assert_false(a.has_xattr);
}

static void only_who_makes_a_file_as_open_does_inherits(void **state)
{
    struct fixture *f = *state;
    uint64_t dir = make(f, TREE_ROOT, "d", S_IFDIR | 0777);
    list5(f, 7, 6, 5, 6, 4);
    GIVES(0, set(f, dir, DEFAULT, 0));
    uint64_t sub = make(f, dir, "sub", S_IFDIR | 0777), file = make(f, sub, "f", S_IFREG | 0640);
    assert_int_equal(mode_of(f, sub), 0764);
    check_list(f, sub, DEFAULT);
    check_list(f, sub, ACCESS);
    assert_int_equal(mode_of(f, file), 0640);
    check_none(f, file, DEFAULT);
    list5(f, 6, 6, 5, 4, 0);
    check_list(f, file, ACCESS);
    struct tree_new what = {.mode = S_IFREG | 0666};
    struct attr a;
    GIVES(0, tree_make(f->c.tree, sub, bytes_str("as-told"), &what, &a));
    assert_int_equal(a.mode & 07777, 0666);
    assert_false(a.has_xattr);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(values_that_are_no_list_are_refused),
        TEST(a_list_sets_the_mode_and_the_mode_the_list),
        TEST(only_who_makes_a_file_as_open_does_inherits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
