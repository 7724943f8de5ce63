/* A directory that is kept equal to a space, whatever happens in either. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs/space/mirror.h"
#include "tests/support/space_fixture.h"

/* Where the mirror of the test is: "notes" in a directory, its state in another. */
struct place {
    struct mirror *m;
    int dir_fd, state_fd;
    struct mirror_report last;
};

static struct place place;

static int directory(struct space_fixture *f, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", f->root, name);
    assert_true(mkdir(path, 0755) == 0 || errno == EEXIST);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void begin_in(struct space_fixture *f, const char *root)
{
    place.dir_fd = directory(f, root);
    place.state_fd = directory(f, "state");
    struct mirror_config cfg = {
        .space = f->space, .name = "notes", .root = root, .state_fd = place.state_fd};
    assert_int_equal(mirror_new(&cfg, &place.m), 0);
}

static void begin(struct space_fixture *f)
{
    begin_in(f, "mirrors");
}

static void end(void)
{
    mirror_free(place.m);
    close(place.dir_fd);
    close(place.state_fd);
    memset(&place, 0, sizeof place);
}

static const struct mirror_report *run(void)
{
    struct err err = {0};
    if (mirror_run(place.m, place.dir_fd, &place.last, &err) < 0)
        fail_msg("%s", err.msg);
    return &place.last;
}

static int setup(void **state)
{
    int rc = space_fixture_setup(state);
    if (rc == 0)
        begin(*state);
    return rc;
}

static int teardown(void **state)
{
    end();
    return space_fixture_teardown(state);
}

/* ---- what is there ---- */

static struct stat stat_at(const char *path)
{
    struct stat st;
    char full[256];
    snprintf(full, sizeof full, "notes/%s", path);
    if (fstatat(place.dir_fd, full, &st, AT_SYMLINK_NOFOLLOW) < 0)
        memset(&st, 0, sizeof st);
    return st;
}

static bool is_there(const char *path)
{
    return stat_at(path).st_mode != 0;
}

static void expect_text(const char *path, const char *text)
{
    char full[256], is[4096];
    snprintf(full, sizeof full, "notes/%s", path);
    int fd = openat(place.dir_fd, full, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        fail_msg("%s: %s", path, strerror(errno));
    ssize_t n = read(fd, is, sizeof is - 1);
    assert_true(n >= 0);
    is[n] = '\0';
    close(fd);
    assert_string_equal(is, text);
}

static void set_attr(struct space_fixture *f, const char *path, uint32_t mode, time_t mtime)
{
    struct attr a;
    struct tree_set set = {.what = TREE_SET_MODE | TREE_SET_MTIME,
                           .mode = mode,
                           .mtime = {.tv_sec = mtime, .tv_nsec = 123456789}};
    assert_int_equal(tree_setattr(f->tree, space_ino(f, path), &set, &a), 0);
}

static void make_symlink(struct space_fixture *f, const char *name, const char *target)
{
    struct attr a;
    struct tree_new what = {.mode = S_IFLNK | 0777, .target = bytes_str(target)};
    assert_int_equal(tree_make(f->tree, TREE_ROOT, bytes_str(name), &what, &a), 0);
}

/* Entries of the directory that mirrors are in, but for hidden ones. */
static size_t mirrors(void)
{
    DIR *d = fdopendir(openat(place.dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    size_t n = 0;
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d)) != NULL;) {
        assert_true(strcmp(e->d_name, ".notes.new") != 0);
        n += e->d_name[0] != '.';
    }
    closedir(d);
    return n;
}

/* ---- tests ---- */

static void a_tree_is_there_as_it_is(void **state)
{
    struct space_fixture *f = *state;
    space_write_text(f, "a", "hello\n");
    space_mkdir(f, "sub");
    space_mkdir(f, "sub/empty");
    space_write_text(f, "sub/\xff odd", "x");
    space_write_text(f, "none", "");
    make_symlink(f, "link", "/etc/passwd");
    set_attr(f, "a", S_ISUID | S_ISGID | 0751, 1200000000);
    set_attr(f, "sub/empty", 0700, 1300000000);
    assert_int_equal(
        tree_xattr_set(f->tree, space_ino(f, "a"), bytes_str("user.note"), bytes_str("v"), 0), 0);
    const struct mirror_report *r = run();
    assert_int_equal(r->written, 4);
    assert_int_equal(r->files, 4);
    assert_int_equal(r->folders, 2);
    expect_text("a", "hello\n");
    expect_text("sub/\xff odd", "x");
    expect_text("none", "");
    struct stat st = stat_at("a");
    assert_int_equal(st.st_mode, S_IFREG | 0751);
    assert_int_equal(st.st_mtim.tv_sec, 1200000000);
    assert_int_equal(st.st_mtim.tv_nsec, 123456789);
    st = stat_at("sub/empty");
    assert_int_equal(st.st_mode, S_IFDIR | 0700);
    assert_int_equal(st.st_mtim.tv_sec, 1300000000);
    char to[64] = "", value[8] = "";
    assert_int_equal(readlinkat(place.dir_fd, "notes/link", to, sizeof to), 11);
    assert_string_equal(to, "/etc/passwd");
    int fd = openat(place.dir_fd, "notes/a", O_RDONLY | O_CLOEXEC);
    ssize_t n = fgetxattr(fd, "user.note", value, sizeof value);
    assert_true((n == 1 && value[0] == 'v') || (n < 0 && errno == EOPNOTSUPP));
    close(fd);
    /* Again: there is nothing to do. */
    assert_int_equal(run()->written, 0);
    assert_int_equal(mirrors(), 1);
}

static void what_differs_is_written_alone(void **state)
{
    struct space_fixture *f = *state;
    space_write_text(f, "a", "one");
    space_write_text(f, "b", "two");
    space_mkdir(f, "sub");
    space_write_text(f, "sub/c", "three");
    run();
    ino_t a = stat_at("a").st_ino, b = stat_at("b").st_ino;
    struct stat before = stat_at("b");
    space_write_text(f, "a", "ONE");
    set_attr(f, "b", 0600, before.st_mtim.tv_sec + 5);
    assert_int_equal(run()->written, 1);
    expect_text("a", "ONE");
    assert_true(stat_at("a").st_ino != a);
    assert_int_equal(stat_at("b").st_ino, b);
    assert_int_equal(stat_at("b").st_mode, S_IFREG | 0600);
    assert_int_equal(stat_at("b").st_mtim.tv_sec, before.st_mtim.tv_sec + 5);
    /* The same size at the same time: another content all the same. */
    space_write_text(f, "a", "won");
    set_attr(f, "a", 0644, 1200000000);
    run();
    space_write_text(f, "a", "two");
    set_attr(f, "a", 0644, 1200000000);
    assert_int_equal(run()->written, 1);
    expect_text("a", "two");
    space_rename(f, "sub", "moved");
    space_rename(f, "b", "moved/b");
    space_remove(f, "a");
    run();
    assert_false(is_there("sub"));
    assert_false(is_there("a"));
    assert_false(is_there("b"));
    expect_text("moved/b", "two");
    expect_text("moved/c", "three");
}

static void kinds_change(void **state)
{
    struct space_fixture *f = *state;
    space_write_text(f, "x", "file");
    space_mkdir(f, "y");
    space_write_text(f, "y/below", "b");
    make_symlink(f, "z", "nowhere");
    run();
    space_remove(f, "x");
    space_mkdir(f, "x");
    space_write_text(f, "x/in", "in");
    space_remove(f, "y/below");
    space_remove(f, "y");
    make_symlink(f, "y", "x");
    space_remove(f, "z");
    space_write_text(f, "z", "file");
    run();
    expect_text("x/in", "in");
    assert_true(S_ISLNK(stat_at("y").st_mode));
    expect_text("z", "file");
    space_remove(f, "y");
    space_write_text(f, "y", "again a file");
    space_remove(f, "x/in");
    space_remove(f, "x");
    space_write_text(f, "x", "again");
    run();
    expect_text("x", "again");
    expect_text("y", "again a file");
}

static void what_others_do_there_is_put_right(void **state)
{
    struct space_fixture *f = *state;
    int dir = place.dir_fd;
    space_write_text(f, "a", "right");
    space_mkdir(f, "sub");
    space_write_text(f, "sub/b", "b");
    run();
    /* The same size and times, but written to. */
    struct stat st = stat_at("a");
    int fd = openat(dir, "notes/a", O_WRONLY | O_CLOEXEC);
    assert_int_equal(write(fd, "wrong", 5), 5);
    const struct timespec times[] = {st.st_atim, st.st_mtim};
    assert_int_equal(futimens(fd, times), 0);
    close(fd);
    assert_int_equal(mkdirat(dir, "notes/mine", 0500), 0);
    assert_int_equal(mkdirat(dir, "notes/mine/deep", 0755), 0);
    assert_int_equal(unlinkat(dir, "notes/sub/b", 0), 0);
    assert_int_equal(fchmodat(dir, "notes/sub", 0000, 0), 0);
    /* A folder with the name of what is written beside. */
    assert_int_equal(mkdirat(dir, ".notes.new", 0755), 0);
    assert_int_equal(mkdirat(dir, ".notes.new/in", 0755), 0);
    run();
    expect_text("a", "right");
    expect_text("sub/b", "b");
    assert_false(is_there("mine"));
    assert_true((stat_at("sub").st_mode & 0700) == 0700);
}

/* Links that somebody planted are replaced, never followed. */
static void nothing_outside_is_met(void **state)
{
    struct space_fixture *f = *state;
    int outside = directory(f, "outside"), dir = place.dir_fd;
    char to[512];
    int fd = openat(outside, "b", O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
    assert_int_equal(write(fd, "theirs", 6), 6);
    close(fd);
    snprintf(to, sizeof to, "%s/outside", f->root);
    space_mkdir(f, "sub");
    space_write_text(f, "sub/b", "ours");
    space_write_text(f, "c", "ours");
    /* A link of the space itself leads there, and then a folder has its name. */
    make_symlink(f, "evil", to);
    run();
    space_remove(f, "evil");
    space_mkdir(f, "evil");
    space_write_text(f, "evil/b", "through the link");
    assert_int_equal(unlinkat(dir, "notes/sub/b", 0), 0);
    assert_int_equal(unlinkat(dir, "notes/sub", AT_REMOVEDIR), 0);
    assert_int_equal(symlinkat(to, dir, "notes/sub"), 0);
    assert_int_equal(unlinkat(dir, "notes/c", 0), 0);
    snprintf(to, sizeof to, "%s/outside/b", f->root);
    assert_int_equal(symlinkat(to, dir, "notes/c"), 0);
    run();
    expect_text("evil/b", "through the link");
    expect_text("sub/b", "ours");
    expect_text("c", "ours");
    /* The mirror's own directory is a link. */
    assert_int_equal(renameat(dir, "notes", dir, "gone"), 0);
    snprintf(to, sizeof to, "%s/outside", f->root);
    assert_int_equal(symlinkat(to, dir, "notes"), 0);
    run();
    assert_true(S_ISDIR(stat_at(".").st_mode));
    expect_text("sub/b", "ours");
    /* A file with the name of what is written beside. */
    assert_int_equal(symlinkat(to, dir, ".notes.new"), 0);
    space_write_text(f, "d", "d");
    run();
    expect_text("d", "d");
    struct stat st;
    char is[16] = "";
    assert_int_equal(fstatat(outside, "b", &st, 0), 0);
    assert_int_equal(st.st_mode, S_IFREG | 0640);
    fd = openat(outside, "b", O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, is, sizeof is), 6);
    assert_string_equal(is, "theirs");
    close(fd);
    DIR *d = fdopendir(outside);
    size_t n = 0;
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    assert_int_equal(n, 3);
}

static void a_lost_state_costs_no_writing(void **state)
{
    struct space_fixture *f = *state;
    space_write_text(f, "a", "a");
    space_write_text(f, "b", "bb");
    run();
    end();
    begin(f);
    assert_int_equal(run()->written, 0); /* it was kept */
    end();
    int fd = directory(f, "state");
    assert_int_equal(unlinkat(fd, "mirror", 0), 0);
    begin(f);
    assert_int_equal(run()->written, 0);
    end();
    int file = openat(fd, "mirror", O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(file, "damaged", 7, 20), 7);
    close(file);
    close(fd);
    begin(f);
    assert_int_equal(run()->written, 0);
}

/* ---- the brake ---- */

static void make_files(struct space_fixture *f, const char *dir, int n)
{
    char path[64], text[32];
    space_mkdir(f, dir);
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%s/%d", dir, i);
        snprintf(text, sizeof text, "file %d", i);
        space_write_text(f, path, text);
        set_attr(f, path, 0644, 1200000000 + i);
    }
}

static void remove_files(struct space_fixture *f, const char *dir, int from, int n)
{
    char path[64];
    for (int i = from; i < n; i++) {
        snprintf(path, sizeof path, "%s/%d", dir, i);
        space_remove(f, path);
    }
}

static void more_than_half_is_kept_aside(void **state)
{
    struct space_fixture *f = *state;
    make_files(f, "d", 20);
    run();
    remove_files(f, "d", 0, 11);
    const struct mirror_report *r = run();
    assert_int_equal(strncmp(r->kept, "notes.before-2", 14), 0);
    assert_int_equal(r->files, 9);
    assert_int_equal(mirrors(), 2);
    char path[400];
    struct stat st;
    for (int i = 0; i < 20; i++) {
        snprintf(path, sizeof path, "%s/d/%d", r->kept, i);
        assert_int_equal(fstatat(place.dir_fd, path, &st, 0), 0);
        snprintf(path, sizeof path, "d/%d", i);
        assert_int_equal(is_there(path), i >= 11);
    }
    assert_string_equal(run()->kept, "");
}

static void half_is_not(void **state)
{
    struct space_fixture *f = *state;
    make_files(f, "d", 20);
    run();
    remove_files(f, "d", 0, 10);
    assert_string_equal(run()->kept, "");
    /* Of fewer than 20 all may go. */
    make_files(f, "e", 9);
    run();
    remove_files(f, "d", 10, 20);
    remove_files(f, "e", 0, 9);
    assert_string_equal(run()->kept, "");
    assert_int_equal(place.last.files, 0);
    assert_int_equal(mirrors(), 1);
}

static void rewriting_counts_and_moving_does_not(void **state)
{
    struct space_fixture *f = *state;
    char path[64];
    make_files(f, "d", 30);
    run();
    space_rename(f, "d", "moved");
    assert_string_equal(run()->kept, "");
    expect_text("moved/7", "file 7");
    for (int i = 0; i < 16; i++) {
        snprintf(path, sizeof path, "moved/%d", i);
        space_write_text(f, path, "all your files are encrypted");
    }
    assert_true(run()->kept[0] != '\0');
    expect_text("moved/7", "all your files are encrypted");
    snprintf(path, sizeof path, "%.50s", place.last.kept);
    int fd = openat(place.dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat st;
    assert_int_equal(fstatat(fd, "moved/7", &st, 0), 0);
    assert_int_equal(st.st_size, 6);
    close(fd);
}

/* A database that begins anew does not empty what is there from before. */
static void an_empty_space_is_no_reason(void **state)
{
    struct space_fixture *f = *state;
    (void)f;
    char path[64];
    assert_int_equal(mkdirat(place.dir_fd, "notes", 0755), 0);
    for (int i = 0; i < 25; i++) {
        snprintf(path, sizeof path, "notes/%d", i);
        close(openat(place.dir_fd, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    }
    assert_true(run()->kept[0] != '\0');
    assert_int_equal(run()->files, 0);
    assert_int_equal(mirrors(), 2);
}

/* Whoever it is of: a folder, and in another place a file. */
static void what_was_there_before_the_first_run_is_kept(void **state)
{
    struct space_fixture *f = *state;
    space_write_text(f, "a", "ours");
    assert_int_equal(mkdirat(place.dir_fd, "notes", 0755), 0);
    int fd = openat(place.dir_fd, "notes/a", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_int_equal(write(fd, "theirs", 6), 6);
    close(fd);
    char path[400], is[8] = "";
    assert_true(run()->was_other);
    assert_true(mirror_is_kept_name(place.last.kept));
    expect_text("a", "ours");
    snprintf(path, sizeof path, "%s/a", place.last.kept);
    fd = openat(place.dir_fd, path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, is, sizeof is), 6);
    assert_string_equal(is, "theirs");
    close(fd);
    assert_string_equal(run()->kept, "");
    /* From now on what is changed there is put back. */
    fd = openat(place.dir_fd, "notes/a", O_WRONLY | O_TRUNC | O_CLOEXEC);
    close(fd);
    end();
    begin(f);
    assert_string_equal(run()->kept, "");
    expect_text("a", "ours");
    assert_int_equal(mirrors(), 2);
}

/* To have been somewhere else is no reason to take over what is here. */
static void what_was_there_before_the_first_run_in_another_place_is_kept(void **state)
{
    struct space_fixture *f = *state;
    space_write_text(f, "a", "ours");
    assert_string_equal(run()->kept, "");
    end();
    begin_in(f, "other");
    assert_int_equal(mkdirat(place.dir_fd, "notes", 0755), 0);
    close(openat(place.dir_fd, "notes/theirs", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    assert_true(run()->was_other);
    char path[400];
    snprintf(path, sizeof path, "%s/theirs", place.last.kept);
    assert_int_equal(faccessat(place.dir_fd, path, F_OK, 0), 0);
    expect_text("a", "ours");
    end();
    begin_in(f, "other");
    assert_string_equal(run()->kept, "");
    assert_int_equal(mirrors(), 2);
}

static void a_file_of_its_name_is_kept(void **state)
{
    struct space_fixture *f = *state;
    space_write_text(f, "a", "ours");
    close(openat(place.dir_fd, "notes", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    assert_true(run()->was_other);
    expect_text("a", "ours");
    assert_int_equal(mirrors(), 2);
}

static void names_of_what_is_kept(void **state)
{
    (void)state;
    assert_true(mirror_is_kept_name("notes.before-20261122T140305Z"));
    assert_true(mirror_is_kept_name("notes.before-20261122T140305Z-2"));
    static const char *const others[] = {"notes",
                                         "notes.before-",
                                         "notes.before-yesterday",
                                         "notes.before-20261122T140305Zz",
                                         "notes.before-20261122T14030aZ",
                                         ".before-20261122T140305Z"};
    for (size_t i = 0; i < ARRAY_N(others); i++)
        assert_false(mirror_is_kept_name(others[i]));
}

static void allow_files_of(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* As on a disk with too little room for new files, until in another folder old ones have gone. */
static void one_that_fails_keeps_no_other_back(void **state)
{
    enum { BIG = 100000 };
    static const char text[BIG] = "big";
    struct space_fixture *f = *state;
    struct err err = {0};
    space_mkdir(f, "a");
    space_mkdir(f, "b");
    space_write_text(f, "a/gone", "gone");
    space_write_text(f, "b/gone", "gone");
    run();
    space_remove(f, "a/gone");
    space_remove(f, "b/gone");
    space_write(f, "a/big", text, BIG);
    space_write(f, "b/big", text, BIG);
    signal(SIGXFSZ, SIG_IGN);
    allow_files_of(BIG / 2);
    int rc = mirror_run(place.m, place.dir_fd, &place.last, &err);
    allow_files_of(RLIM_INFINITY);
    assert_int_equal(rc, -EFBIG);
    assert_non_null(strstr(err.msg, "/big: "));
    assert_false(is_there("a/gone"));
    assert_false(is_there("b/gone"));
    assert_int_equal(run()->written, 2);
    assert_int_equal(stat_at("a/big").st_size, BIG);
    assert_int_equal(stat_at("b/big").st_size, BIG);
}

static void a_cancelled_run_says_so(void **state)
{
    struct space_fixture *f = *state;
    struct err err = {0};
    space_write_text(f, "a", "a");
    mirror_cancel(place.m);
    assert_int_equal(mirror_run(place.m, place.dir_fd, &place.last, &err), -ECANCELED);
    assert_false(is_there("a"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_tree_is_there_as_it_is, setup, teardown),
        cmocka_unit_test_setup_teardown(what_differs_is_written_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(kinds_change, setup, teardown),
        cmocka_unit_test_setup_teardown(what_others_do_there_is_put_right, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_outside_is_met, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lost_state_costs_no_writing, setup, teardown),
        cmocka_unit_test_setup_teardown(more_than_half_is_kept_aside, setup, teardown),
        cmocka_unit_test_setup_teardown(half_is_not, setup, teardown),
        cmocka_unit_test_setup_teardown(rewriting_counts_and_moving_does_not, setup, teardown),
        cmocka_unit_test_setup_teardown(an_empty_space_is_no_reason, setup, teardown),
        cmocka_unit_test_setup_teardown(
            what_was_there_before_the_first_run_in_another_place_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_there_before_the_first_run_is_kept, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_file_of_its_name_is_kept, setup, teardown),
        cmocka_unit_test(names_of_what_is_kept),
        cmocka_unit_test_setup_teardown(one_that_fails_keeps_no_other_back, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cancelled_run_says_so, setup, teardown),
    };
    return cmocka_run_group_tests_name("space mirror", tests, NULL, NULL);
}
