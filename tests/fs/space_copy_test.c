/* Taking the files of a directory in, and copying them out again. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs/space/import.h"
#include "tests/support/space_fixture.h"

enum { BIG = 700000, HOLE_AT = 4 << 20 };

static int at(struct space_fixture *f, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", f->root, name);
    assert_true(mkdir(path, 0755) == 0 || errno == EEXIST);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void put(int dir, const char *name, const void *p, size_t n, mode_t mode)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, p, n), n);
    assert_int_equal(fchmod(fd, mode), 0);
    const struct timespec times[] = {{1100000000, 1}, {1200000000, 987654321}};
    assert_int_equal(futimens(fd, times), 0);
    close(fd);
}

static void fill_big(uint8_t *p, size_t n)
{
    uint64_t x = 88172645463325252;
    for (size_t i = 0; i < n; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        p[i] = (uint8_t)x;
    }
}

/* Owner rw, user 7 rw, group r, mask rw, others nothing. */
static const char acl[] = "\2\0\0\0\1\0\6\0\0\0\0\0\2\0\6\0\7\0\0\0\4\0\4\0\0\0\0\0"
                          "\20\0\6\0\0\0\0\0\40\0\0\0\0\0\0\0";

/* A directory with one of each kind. */
static void make_source(int dir)
{
    uint8_t *big = malloc(BIG);
    assert_non_null(big);
    fill_big(big, BIG);
    put(dir, "small", "hello\n", 6, 0640);
    put(dir, "empty", "", 0, 0444);
    put(dir, "big", big, BIG, 0755);
    put(dir, "odd \n\xff name", "x", 1, 0600);
    free(big);
    assert_int_equal(mkdirat(dir, "sub", 0700), 0);
    assert_int_equal(mkdirat(dir, "sub/deeper", 0711), 0);
    put(dir, "sub/deeper/file", "deep", 4, 0600);
    assert_int_equal(linkat(dir, "big", dir, "sub/hard", 0), 0);
    assert_int_equal(symlinkat("../nowhere", dir, "sub/link"), 0);
    assert_int_equal(mkfifoat(dir, "pipe", 0620), 0);
    int fd = openat(dir, "sparse", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "mid", 3, HOLE_AT), 3);
    assert_int_equal(ftruncate(fd, 3 * HOLE_AT), 0);
    (void)fsetxattr(fd, "user.note", "value", 5, 0); /* tmpfs may have none */
    (void)fsetxattr(fd, "system.posix_acl_access", acl, sizeof acl - 1, 0);
    close(fd);
    const struct timespec times[] = {{1100000000, 1}, {1300000000, 42}};
    assert_int_equal(utimensat(dir, "sub", times, 0), 0);
}

static void same_bytes(int a, int b, const char *name)
{
    char pa[8192], pb[8192];
    int fa = openat(a, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    int fb = openat(b, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    assert_true(fa >= 0 && fb >= 0);
    ssize_t n = 1;
    while (n > 0) {
        n = read(fa, pa, sizeof pa);
        assert_int_equal(read(fb, pb, sizeof pb), n);
        assert_memory_equal(pa, pb, (size_t)(n > 0 ? n : 0));
    }
    ssize_t xa = fgetxattr(fa, "user.note", pa, sizeof pa);
    assert_int_equal(fgetxattr(fb, "user.note", pb, sizeof pb), xa);
    xa = fgetxattr(fa, "system.posix_acl_access", pa, sizeof pa);
    assert_int_equal(fgetxattr(fb, "system.posix_acl_access", pb, sizeof pb), xa);
    assert_memory_equal(pa, pb, (size_t)(xa > 0 ? xa : 0));
    close(fa);
    close(fb);
}

static void same_tree(int a, int b)
{
    int copy = openat(a, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fdopendir(copy);
    struct dirent *e;
    unsigned n = 0;
    assert_non_null(d);
    while ((e = readdir(d)) != NULL) {
        struct stat sa, sb;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        n++;
        assert_int_equal(fstatat(a, e->d_name, &sa, AT_SYMLINK_NOFOLLOW), 0);
        if (fstatat(b, e->d_name, &sb, AT_SYMLINK_NOFOLLOW) < 0)
            fail_msg("%s is missing", e->d_name);
        assert_int_equal(sa.st_mode, sb.st_mode);
        assert_int_equal(sa.st_mtim.tv_sec, sb.st_mtim.tv_sec);
        assert_int_equal(sa.st_mtim.tv_nsec, sb.st_mtim.tv_nsec);
        if (!S_ISDIR(sa.st_mode))
            assert_int_equal(sa.st_nlink, sb.st_nlink);
        if (S_ISREG(sa.st_mode)) {
            assert_int_equal(sa.st_size, sb.st_size);
            same_bytes(a, b, e->d_name);
        } else if (S_ISLNK(sa.st_mode)) {
            char la[64], lb[64];
            ssize_t k = readlinkat(a, e->d_name, la, sizeof la);
            assert_int_equal(readlinkat(b, e->d_name, lb, sizeof lb), k);
            assert_memory_equal(la, lb, (size_t)k);
        } else if (S_ISDIR(sa.st_mode)) {
            int da = openat(a, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            int db = openat(b, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            same_tree(da, db);
            close(da);
            close(db);
        }
    }
    closedir(d);
    assert_true(n > 0);
}

static void import(struct space_fixture *f, int dir)
{
    struct err err = {0};
    if (space_import(f->space, dir, &f->out, &err) < 0)
        fail_msg("%s", err.msg);
}

static void import_then_export_gives_the_same_files(void **state)
{
    struct space_fixture *f = *state;
    int from = at(f, "from"), to = at(f, "to");
    char path[512];
    make_source(from);
    import(f, from);
    space_fixture_close(f);
    assert_int_equal(space_fixture_open(f), 0);
    snprintf(path, sizeof path, "%s/to", f->root);
    struct verb_call call = {.verb = "export", .json = true};
    assert_int_equal(space_run_call(f, &call, "", path, NULL), VERB_OK);
    same_tree(from, to);
    struct stat st;
    assert_int_equal(fstatat(to, "sparse", &st, 0), 0);
    assert_true(st.st_blocks * 512 < HOLE_AT);
    assert_int_equal(space_run(f, "check", NULL, NULL, NULL), VERB_OK);
    close(from);
    close(to);
}

static void export_wants_an_empty_directory_and_takes_one_file(void **state)
{
    struct space_fixture *f = *state;
    int to = at(f, "to");
    char path[512], got[8] = "";
    snprintf(path, sizeof path, "%s/to", f->root);
    space_mkdir(f, "d");
    space_write_text(f, "d/a", "text");
    assert_int_equal(space_run(f, "export", "d/a", path, NULL), VERB_OK);
    int fd = openat(to, "a", O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, got, sizeof got), 4);
    assert_string_equal(got, "text");
    close(fd);
    assert_int_equal(space_run(f, "export", "d", path, NULL), VERB_FAILED);
    assert_int_equal(space_run(f, "export", "never", path, NULL), VERB_NOT_FOUND);
    close(to);
}

static void import_again_goes_on_where_it_was(void **state)
{
    struct space_fixture *f = *state;
    int from = at(f, "from");
    make_source(from);
    struct err err = {0};
    f->polls_max = 14; /* in the middle of the files */
    assert_int_equal(space_import(f->space, from, &f->out, &err), -ECANCELED);
    f->polls_max = 0;
    import(f, from);
    uint64_t ino = space_ino(f, "big");
    assert_int_equal(space_ino(f, "sub/hard"), ino);
    import(f, from);
    assert_int_equal(space_ino(f, "big"), ino); /* was not made anew */
    put(from, "later", "1", 1, 0600);
    assert_int_equal(unlinkat(from, "small", 0), 0);
    put(from, "small", "longer than before", 18, 0600);
    import(f, from);
    space_expect_text(f, "small", "longer than before");
    space_expect_text(f, "later", "1");
    close(from);
}

static void import_names_what_it_cannot_take(void **state)
{
    struct space_fixture *f = *state;
    struct err err = {0};
    int from = at(f, "from");
    assert_int_equal(mkdirat(from, ".persist", 0700), 0);
    assert_true(space_import(f->space, from, &f->out, &err) < 0);
    assert_non_null(strstr(err.msg, "'.persist'"));
    close(from);
}

/* Else what they keep on this device could be published before they are there. */
static void import_takes_rules_before_what_they_are_about(void **state)
{
    struct space_fixture *f = *state;
    int from = at(f, "from");
    char name[24];
    for (int i = 0; i < 60; i++) {
        snprintf(name, sizeof name, "secret%d", i);
        put(from, name, "1", 1, 0600);
        if (i == 30)
            put(from, ".persistignore", "secret*\n", 8, 0600);
    }
    import(f, from);
    for (int i = 0; i < 60; i++) {
        snprintf(name, sizeof name, "secret%d", i);
        assert_true(space_ino(f, ".persistignore") < space_ino(f, name));
    }
    close(from);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, space_fixture_setup, space_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(import_then_export_gives_the_same_files),
        T(export_wants_an_empty_directory_and_takes_one_file),
        T(import_again_goes_on_where_it_was),
        T(import_names_what_it_cannot_take),
        T(import_takes_rules_before_what_they_are_about),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
