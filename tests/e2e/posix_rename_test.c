/* rename(2) and renameat2(2): every pair of types, flags, permissions, and what others see. */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/posix.h"

static bool is_dir(enum kind kind)
{
    return kind == KIND_DIR || kind == KIND_FULL_DIR;
}

static int rename_with(const char *from, const char *to, unsigned flags)
{
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, flags);
}

static int expected(enum kind from, enum kind to, unsigned flags)
{
    if (from == KIND_NONE)
        return ENOENT;
    if ((flags & RENAME_EXCHANGE) != 0)
        return to == KIND_NONE ? ENOENT : 0;
    if (to == KIND_NONE)
        return 0;
    if ((flags & RENAME_NOREPLACE) != 0)
        return EEXIST;
    if (is_dir(from) != is_dir(to))
        return is_dir(to) ? EISDIR : ENOTDIR;
    return to == KIND_FULL_DIR ? ENOTEMPTY : 0;
}

/* The two directories' links are their subdirectories, whatever was moved between them. */
static void check_links(const char *dir)
{
    unsigned n = 2;
    DIR *d = opendir(dir);
    for (const struct dirent *e; d != NULL && (e = readdir(d)) != NULL;)
        n += e->d_type == DT_DIR && e->d_name[0] != '.';
    if (d != NULL)
        closedir(d);
    same(links_of(dir), n);
}

static void pair(enum kind from, enum kind to, unsigned flags)
{
    kind_make(from, "a/x");
    kind_make(to, "b/y");
    bool had_to = to != KIND_NONE, extra = had_to && !is_dir(to);
    if (extra)
        ok(link("b/y", "watch"));
    ino_t from_ino = from != KIND_NONE ? ino_of("a/x") : 0, to_ino = had_to ? ino_of("b/y") : 0;
    int error = expected(from, to, flags);
    gives(rename_with("a/x", "b/y", flags), error);
    bool swapped = error == 0 && (flags & RENAME_EXCHANGE) != 0;
    same(exists("a/x"), swapped || (error != 0 && from != KIND_NONE));
    same(exists("b/y"), error == 0 || had_to);
    if (error == 0)
        same(ino_of("b/y"), from_ino);
    else if (had_to)
        same(ino_of("b/y"), to_ino);
    if (swapped)
        same(ino_of("a/x"), to_ino);
    if (extra)
        same(links_of("watch"), error != 0 || swapped ? 2 : 1);
    if (error == 0 && from == KIND_FULL_DIR)
        check_file("b/y/inside", "inside");
    check_links("a");
    check_links("b");
    kind_remove("a/x");
    kind_remove("b/y");
    if (extra)
        ok(unlink("watch"));
}

static void every_pair_of_types(struct e2e *f)
{
    (void)f;
    static const unsigned flags[] = {0, RENAME_NOREPLACE, RENAME_EXCHANGE};
    make_dir("a", 0755);
    make_dir("b", 0755);
    for (size_t i = 0; i < ARRAY_N(flags); i++)
        for (enum kind from = KIND_NONE; from < KIND_N; from++)
            for (enum kind to = KIND_NONE; to < KIND_N; to++) {
                check_about("%s over %s, flags %u", kind_name(from), kind_name(to), flags[i]);
                pair(from, to, flags[i]);
            }
}

static void places_that_cannot_be(struct e2e *f)
{
    (void)f;
    make_dir("d", 0755);
    make_dir("d/e", 0755);
    make_dir("d/e/f", 0755);
    make_dir("other", 0755);
    put_file("file", "text");
    fails(rename("d", "d/x"), EINVAL);
    fails(rename("d", "d/e/f/x"), EINVAL);
    fails(rename("d", "d/e"), EINVAL);
    fails(rename("d/e", "d"), ENOTEMPTY);
    fails(rename_with("d", "d/e/f", RENAME_EXCHANGE), EINVAL);
    fails(rename_with("d/e/f", "d", RENAME_EXCHANGE), EINVAL);
    fails(rename_with("d", "d/x", RENAME_NOREPLACE), EINVAL);
    fails(rename_with("d", "other", RENAME_EXCHANGE | RENAME_NOREPLACE), EINVAL);
    fails(rename_with("d", "other", 0x100), EINVAL);
    fails(rename("d/.", "x"), EBUSY);
    fails(rename("d/e/..", "x"), EBUSY);
    fails(rename("other", "d/."), EBUSY);
    fails(rename("none", "x"), ENOENT);
    fails(rename("file", "none/x"), ENOENT);
    fails(rename("none/x", "y"), ENOENT);
    fails(rename("file/x", "y"), ENOTDIR);
    fails(rename("file", "file/x"), ENOTDIR);
    fails(rename("file", "new/"), ENOTDIR);
    fails(rename("file/", "new"), ENOTDIR);
    fails(rename("file", "/proc/x"), EXDEV);
    fails(rename("/proc/version", "x"), EXDEV);
    fails(rename("", "x"), ENOENT);
    fails(rename("file", ""), ENOENT);
    ok(rename("other", "moved/"));
    ok(rename("moved/", "other"));
    check_file("file", "text");
    holds(exists("d/e/f"));
}

static void a_file_to_itself_is_nothing(struct e2e *f)
{
    (void)f;
    put_file("a", "text");
    ok(link("a", "b"));
    struct stat before = lstat_of("a");
    ok(rename("a", "a"));
    ok(rename("a", "b"));
    holds(exists("a") && exists("b"));
    same(links_of("a"), 2);
    same(time_cmp(lstat_of("a").st_mtim, before.st_mtim), 0);
    fails(rename_with("a", "b", RENAME_NOREPLACE), EEXIST);
    fails(rename_with("a", "a", RENAME_NOREPLACE), EEXIST);
    ok(rename_with("a", "b", RENAME_EXCHANGE));
    ok(rename_with("a", "a", RENAME_EXCHANGE));
    check_file("a", "text");
    make_dir("d", 0755);
    ok(rename("d", "d"));
    ok(rename("./d", "d/"));
    holds(exists("d"));
}

static void open_files_stay_what_they_are(struct e2e *f)
{
    (void)f;
    char text[8] = "";
    put_file("old", "old");
    put_file("new", "new");
    int old = (int)ok(open("old", O_RDWR)), new = (int)ok(open("new", O_RDWR));
    ok(rename("new", "old"));
    same(pread(old, text, 3, 0), 3);
    same_bytes(text, "old", 3);
    same(fstat_of(old).st_nlink, 0);
    same(fstat_of(new).st_nlink, 1);
    same(pwrite(new, "NEW", 3, 0), 3);
    same(pwrite(old, "OLD", 3, 0), 3);
    check_file("old", "NEW");
    same(pread(old, text, 3, 0), 3);
    same_bytes(text, "OLD", 3);
    ok(rename("old", "again"));
    same(pwrite(new, "!", 1, 3), 1);
    check_file("again", "NEW!");
    close(old);
    close(new);
    put_file("x", "x");
    put_file("y", "y");
    int x = (int)ok(open("x", O_RDWR));
    ok(rename_with("x", "y", RENAME_EXCHANGE));
    same(pwrite(x, "X", 1, 0), 1);
    check_file("y", "X");
    check_file("x", "y");
    close(x);
}

static void directories_take_along_what_is_in_them(struct e2e *f)
{
    (void)f;
    char name[32];
    make_dir("a", 0755);
    make_dir("a/b", 0755);
    make_dir("to", 0755);
    for (int i = 0; i < 50; i++) {
        snprintf(name, sizeof name, "a/b/f%d", i);
        put_file(name, name);
    }
    int fd = (int)ok(open("a/b/f7", O_RDWR));
    ok(rename("a", "to/z"));
    for (int i = 0; i < 50; i++) {
        char at[32];
        snprintf(name, sizeof name, "a/b/f%d", i);
        snprintf(at, sizeof at, "to/z/b/f%d", i);
        check_file(at, name);
        holds(!exists(name));
    }
    same(pwrite(fd, "X", 1, 0), 1);
    check_file("to/z/b/f7", "X/b/f7");
    close(fd);
    same(links_of("to"), 3);
    make_dir("to/empty", 0755);
    ok(rename("to/z", "to/empty"));
    check_file("to/empty/b/f1", "a/b/f1");
    same(links_of("to"), 3);
    /* Exchange of a directory with a file in another one. */
    put_file("file", "f");
    same(links_of("."), 3);
    ok(rename_with("file", "to/empty", RENAME_EXCHANGE));
    same(links_of("."), 4);
    same(links_of("to"), 2);
    check_file("to/empty", "f");
    check_file("file/b/f1", "a/b/f1");
    same(ino_of("file/.."), ino_of("."));
}

static void permissions_of_both_directories(struct e2e *f)
{
    (void)f;
    make_dir("open", 0777);
    make_dir("shut", 0755);
    make_dir("sticky", 01777);
    put_file("shut/x", "");
    put_file("open/x", "");
    put_file("sticky/roots", "");
    make_dir("sticky/dir", 0777);
    make_dir("open/roots-dir", 0755);
    AS(E2E_USER, E2E_USER)
    {
        fails(rename("shut/x", "open/y"), EACCES);
        fails(rename("open/x", "shut/y"), EACCES);
        ok(rename("open/x", "open/y"));
        ok(rename("open/y", "open/x"));
        fails(rename("sticky/roots", "sticky/y"), EPERM);
        fails(rename("sticky/roots", "open/y"), EPERM);
        fails(rename("open/x", "sticky/roots"), EPERM);
        fails(rename_with("open/x", "sticky/roots", RENAME_EXCHANGE), EPERM);
        fails(unlink("sticky/roots"), EPERM);
        fails(rmdir("sticky/dir"), EPERM);
        put_file("sticky/mine", "mine");
        ok(rename("sticky/mine", "sticky/mine2"));
        ok(unlink("sticky/mine2"));
        /* To another directory, its entry .. changes: that is writing to it. */
        fails(rename("open/roots-dir", "sticky/moved"), EACCES);
        ok(rename("open/roots-dir", "open/same-parent"));
    }
    ok(chown("sticky", E2E_USER, E2E_USER));
    AS(E2E_USER, E2E_USER)
    {
        ok(rename("sticky/roots", "sticky/y"));
        ok(unlink("sticky/y"));
    }
    put_file("sticky/users", "");
    ok(chown("sticky/users", E2E_OTHER, E2E_OTHER));
    AS(E2E_OTHER, E2E_OTHER)
    {
        ok(rename("sticky/users", "open/users"));
    }
    put_file("sticky/r", "");
    ok(rename("sticky/r", "sticky/r2"));
    ok(unlink("sticky/r2"));
}

/* A reader never misses a file that is replaced all the time, and never sees half of one. */
static void replacing_is_atomic(struct e2e *f)
{
    (void)f;
    enum { ROUNDS = 400, SIZE = 9000 };
    static char text[SIZE];
    memset(text, 'a', SIZE);
    put_file("x", "");
    int fd = (int)ok(open("x", O_WRONLY));
    holds(write_all(fd, text, SIZE, 0));
    close(fd);
    pid_t pid = check_fork();
    if (pid == 0) {
        for (int i = 0; i < ROUNDS; i++) {
            memset(text, 'a' + i % 26, SIZE);
            fd = (int)ok(open("new", O_CREAT | O_TRUNC | O_WRONLY, 0600));
            holds(write_all(fd, text, SIZE, 0));
            close(fd);
            ok(rename("new", "x"));
        }
        check_child_end();
    }
    static char found[SIZE + 1];
    unsigned reads = 0, bad = 0;
    int status;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        fd = open("x", O_RDONLY);
        size_t n = fd >= 0 ? read_all(fd, found, sizeof found, 0) : 0;
        bool whole = n == SIZE && memcmp(found, found + 1, SIZE - 1) == 0;
        if (!whole && bad++ == 0)
            check_fail("read %u: %s, %zu bytes from %#x to %#x", reads,
                       fd >= 0 ? "opened" : strerror(errno), n, (unsigned)found[0],
                       (unsigned)found[SIZE - 1]);
        if (fd >= 0)
            close(fd);
        reads++;
    }
    same(status, 0);
    same(bad, 0);
    holds(reads > 10);
}

/* Renames against each other: every file stays there under exactly one name. */
static void renames_against_each_other(struct e2e *f)
{
    (void)f;
    enum { PROCESSES = 4, FILES = 8, ROUNDS = 300 };
    char a[32], b[32];
    make_dir("d0", 0755);
    make_dir("d1", 0755);
    for (int i = 0; i < FILES; i++) {
        snprintf(a, sizeof a, "d0/f%d", i);
        put_file(a, a + 3);
    }
    pid_t pids[PROCESSES];
    for (int p = 0; p < PROCESSES; p++) {
        pids[p] = check_fork();
        if (pids[p] != 0)
            continue;
        struct rng r = {(uint64_t)p};
        for (int i = 0; i < ROUNDS; i++) {
            uint64_t file = rng_below(&r, FILES), to = rng_below(&r, 2);
            snprintf(a, sizeof a, "d%d/f%d", (int)(1 - to), (int)file);
            snprintf(b, sizeof b, "d%d/f%d", (int)to, (int)file);
            if (rename_with(a, b, RENAME_NOREPLACE) < 0)
                holds(errno == ENOENT || errno == EEXIST);
        }
        check_child_end();
    }
    for (int p = 0; p < PROCESSES; p++)
        check_join(pids[p]);
    for (int i = 0; i < FILES; i++) {
        snprintf(a, sizeof a, "d0/f%d", i);
        snprintf(b, sizeof b, "d1/f%d", i);
        same(exists(a) + exists(b), 1);
        check_file(exists(a) ? a : b, a + 3);
    }
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(every_pair_of_types),
        E2E_TEST(places_that_cannot_be),
        E2E_TEST(a_file_to_itself_is_nothing),
        E2E_TEST(open_files_stay_what_they_are),
        E2E_TEST(directories_take_along_what_is_in_them),
        E2E_TEST(permissions_of_both_directories),
        E2E_TEST(replacing_is_atomic),
        E2E_TEST(renames_against_each_other),
    };
    return e2e_main(argc, argv, E2E_SHARED, tests, ARRAY_N(tests));
}
