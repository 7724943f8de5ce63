/* From what a person types to a place in a space; the kernel's mount table; moving originals. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "sync/cli/mount_import.h"
#include "sync/cli/mounts.h"
#include "sync/cli/resolve.h"
#include "sync/cli/term.h"
#include "sync/state/statefile.h"
#include "tests/support/scratch.h"

struct fixture {
    char path[64];
    struct space_entry entries[2]; /* PATH/notes and, inside it by name only, PATH/notes2 */
    struct space_list list;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    if (f == NULL)
        return -1;
    char made[64];
    char *real = scratch_dir(made, sizeof made, "resolve") ? realpath(made, NULL) : NULL;
    if (real == NULL)
        return -1;
    snprintf(f->path, sizeof f->path, "%s", real);
    free(real);
    if (chdir(f->path) < 0 || mkdir("notes", 0700) < 0 || mkdir("notes2", 0700) < 0 ||
        mkdir("notes/dir", 0700) < 0 || symlink("notes", "link") < 0 ||
        symlink("dir", "notes/inner") < 0 || symlink("/etc", "notes/out") < 0)
        return -1;
    f->list = (struct space_list){.v = f->entries, .n = 2};
    for (size_t i = 0; i < 2; i++)
        if (asprintf(&f->entries[i].folder, "%s/%s", f->path, i == 0 ? "notes" : "notes2") < 0)
            return -1;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    int rc = chdir("/");
    if (rc == 0)
        rc = statefile_remove_tree(AT_FDCWD, f->path, NULL);
    for (size_t i = 0; i < 2; i++)
        free(f->entries[i].folder);
    free(f);
    return rc;
}

static void resolve_clean_is_text_only(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"/", "a", "/a"},        {"/b/c", "a", "/b/c/a"}, {"/b/c", "../a/./x//y/", "/b/a/x/y"},
        {"/b", "../../..", "/"}, {"/b", "/x/../y", "/y"}, {"/b", "/", "/"},
        {"/b", "...", "/b/..."},
    };
    for (size_t i = 0; i < ARRAY_N(cases); i++) {
        struct buf b = {0};
        resolve_clean(cases[i][0], cases[i][1], &b);
        buf_put_u8(&b, 0);
        assert_string_equal(b.p, cases[i][2]);
        buf_fini(&b);
    }
}

static void target_find_paths(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *path;
        bool folder;
        int space; /* -1: none */
        const char *rel;
    } cases[] = {
        {"notes", true, 0, ""},
        {"notes/", true, 0, ""},
        {"notes/dir/gone/deeper.txt", false, 0, "dir/gone/deeper.txt"},
        {"notes/gone/../x", false, 0, "x"},
        {"notes/dir/..", false, 0, ""},
        {"notes/./dir/.", false, 0, "dir"},
        {"link", true, 0, ""},
        {"link", false, 0, ""}, /* is itself in no space: what it names is meant */
        {"link/a", false, 0, "a"},
        {"notes/inner", false, 0, "inner"}, /* the link itself has a history */
        {"notes/inner/a", false, 0, "dir/a"},
        {"notes/inner/", false, 0, "dir"},
        {"notes/out", false, 0, "out"},
        {"notes/out/passwd", false, -1, NULL},
        {"notes2", true, 1, ""},
        {"notes23", true, -1, NULL},
        {"note", true, -1, NULL},
        {"notes/../notes2/x", false, 1, "x"},
        {"nowhere/../notes/x", false, 0, "x"},
        {"/", true, -1, NULL},
        {"..", true, -1, NULL},
        {"", false, -1, NULL},
    };
    for (size_t i = 0; i < ARRAY_N(cases); i++) {
        struct target t = {.space = NULL};
        int rc = target_find(&f->list, cases[i].path, cases[i].folder, &t, NULL);
        if (cases[i].space < 0) {
            assert_true(rc == -ENOENT || rc == -EINVAL);
        } else {
            assert_int_equal(rc, 0);
            assert_ptr_equal(t.space, &f->entries[cases[i].space]);
            assert_string_equal(t.path.p, cases[i].rel);
        }
        target_fini(&t);
    }
}

static void target_default_here_or_only(void **state)
{
    struct fixture *f = *state;
    struct target t = {.space = NULL};
    struct err err = {0};
    assert_int_equal(target_default(&f->list, &t, &err), -EINVAL);
    assert_int_equal(chdir("notes/dir"), 0);
    assert_int_equal(target_default(&f->list, &t, &err), 0);
    assert_ptr_equal(t.space, &f->entries[0]);
    assert_string_equal(t.path.p, "dir");
    assert_int_equal(chdir("/"), 0);
    f->list.n = 1;
    assert_int_equal(target_default(&f->list, &t, &err), 0);
    f->list.n = 0;
    assert_int_equal(target_default(&f->list, &t, &err), -ENOENT);
    target_fini(&t);
}

static void target_split_version_at_last_at(void **state)
{
    (void)state;
    const char *version = NULL;
    char fine[] = "dir@home/a@b.md@12";
    assert_int_equal(target_split_version(fine, &version, NULL), 0);
    assert_string_equal(fine, "dir@home/a@b.md");
    assert_string_equal(version, "12");
    static const char *const wrong[] = {"a", "a@", "@1", "", "dir@home/a"};
    for (size_t i = 0; i < ARRAY_N(wrong); i++) {
        char text[32];
        snprintf(text, sizeof text, "%s", wrong[i]);
        assert_int_equal(target_split_version(text, &version, NULL), -EINVAL);
    }
}

static void mounts_parse_line_forms(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        int rc;
        const char *folder;
        bool ours;
    } cases[] = {
        {"36 35 98:0 / /mnt rw,noatime master:1 - ext3 /dev/root rw\n", 0, "/mnt", false},
        {"36 35 0:50 / /mnt rw shared:1 master:2 - fuse.persist persist rw\n", 0, "/mnt", true},
        {"36 35 0:50 / /a\\040b\\011\\012\\134 rw - fuse.persist p rw\n", 0, "/a b\t\n\\", true},
        {"36 35 0:50 / /mnt rw - fuse.persistent p rw\n", 0, "/mnt", false},
        {"36 35 0:50 / /mnt rw", -EBADMSG, NULL, false},
        {"36 35 0:50 / mnt rw - x y z", -EBADMSG, NULL, false},
        {"", -EBADMSG, NULL, false},
    };
    struct mounts_line l = {.ours = false};
    for (size_t i = 0; i < ARRAY_N(cases); i++) {
        assert_int_equal(mounts_parse_line(bytes_str(cases[i].line), &l), cases[i].rc);
        if (cases[i].rc == 0) {
            assert_string_equal(l.folder.p, cases[i].folder);
            assert_int_equal(l.ours, cases[i].ours);
        }
    }
    buf_fini(&l.folder);
    assert_int_equal(mounts_at("/proc", NULL), 1);
    assert_int_equal(mounts_at("/proc/self", NULL), 0);
}

static void mounts_is_below_whole_components(void **state)
{
    (void)state;
    assert_true(mounts_is_below("/a/b", "/a"));
    assert_true(mounts_is_below("/a", "/a"));
    assert_true(mounts_is_below("/a", "/"));
    assert_false(mounts_is_below("/ab", "/a"));
    assert_false(mounts_is_below("/", "/a"));
}

static void mount_import_move_takes_all_aside(void **state)
{
    (void)state;
    struct buf aside = {0};
    char path[128];
    assert_int_equal(mkdir("notes/.hidden", 0700), 0);
    for (int i = 0; i < 500; i++) {
        snprintf(path, sizeof path, "notes/%d", i);
        assert_int_equal(close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
    }
    assert_int_equal(mkdir("notes.before-persist", 0700), 0);
    char *folder = realpath("notes", NULL);
    assert_non_null(folder);
    assert_int_equal(mount_import_check(folder, NULL), 0);
    assert_int_equal(mount_import_move(folder, &aside, NULL), 0);
    assert_non_null(strstr((const char *)aside.p, "/notes.before-persist-2"));
    assert_int_equal(rmdir("notes"), 0); /* nothing is left in it */
    assert_int_equal(access("notes.before-persist-2/499", F_OK), 0);
    assert_int_equal(access("notes.before-persist-2/dir", F_OK), 0);
    assert_int_equal(access("notes.before-persist-2/.hidden", F_OK), 0);
    assert_int_equal(mount_import_check("/proc", NULL), -EXDEV);
    free(folder);
    buf_fini(&aside);
}

static void term_progress_line_fits(void **state)
{
    (void)state;
    static const uint64_t totals[] = {0, 1, 1000, 1ULL << 40, UINT64_MAX};
    char line[512];
    for (unsigned columns = 1; columns < 200; columns += 7)
        for (size_t i = 0; i < ARRAY_N(totals); i++) {
            size_t n = term_progress_line(line, sizeof line, columns, "importing", totals[i] / 3,
                                          totals[i], 5000);
            assert_int_equal(strlen(line), n);
            assert_true(columns < 2 ? n <= 1 : n < columns);
        }
    term_progress_line(line, sizeof line, 100, "importing", 1 << 20, 4 << 20, 2000);
    assert_string_equal(line, "importing [######.....................]  25%  1.0 MiB of 4.0 MiB"
                              "  512 KiB/s  6s left");
    term_progress_line(line, sizeof line, 100, OUT_COUNTED, 260, 1040, 500);
    assert_non_null(strstr(line, " 25%  260 of 1,040  520/s"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resolve_clean_is_text_only),
        cmocka_unit_test_setup_teardown(target_find_paths, setup, teardown),
        cmocka_unit_test_setup_teardown(target_default_here_or_only, setup, teardown),
        cmocka_unit_test(target_split_version_at_last_at),
        cmocka_unit_test(mounts_parse_line_forms),
        cmocka_unit_test(mounts_is_below_whole_components),
        cmocka_unit_test_setup_teardown(mount_import_move_takes_all_aside, setup, teardown),
        cmocka_unit_test(term_progress_line_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
