/* Hard links, symbolic links, mknod(2), and files that lost their last name. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/support/posix.h"

static void names_of_one_file_share_everything(struct e2e *f)
{
    (void)f;
    make_dir("d", 0755);
    put_file("a", "one");
    ok(link("a", "b"));
    ok(link("b", "d/c"));
    same(links_of("a"), 3);
    same(ino_of("b"), ino_of("a"));
    same(ino_of("d/c"), ino_of("a"));
    put_file("d/c", "two");
    check_file("a", "two");
    ok(chmod("b", 0600));
    same(mode_of("a"), 0600);
    ok(chown("a", E2E_USER, E2E_OTHER));
    same(lstat_of("d/c").st_uid, E2E_USER);
    ok(unlink("a"));
    same(links_of("b"), 2);
    check_file("b", "two");
    ok(rename("b", "d/b"));
    same(links_of("d/c"), 2);
    ok(unlink("d/b"));
    same(links_of("d/c"), 1);
    check_file("d/c", "two");
    ok(unlink("d/c"));
    holds(!exists("d/c"));
}

static void many_names_count_right(struct e2e *f)
{
    (void)f;
    enum { N = 300 };
    char name[32];
    put_file("x", "x");
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "l%d", i);
        ok(link("x", name));
    }
    same(links_of("x"), N + 1);
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "l%d", i);
        ok(unlink(name));
    }
    same(links_of("x"), 1);
    check_file("x", "x");
}

static void link_refuses(struct e2e *f)
{
    (void)f;
    for (enum kind from = KIND_NONE; from < KIND_N; from++) {
        for (enum kind to = KIND_NONE; to < KIND_N; to++) {
            check_about("link from %s to %s", kind_name(from), kind_name(to));
            kind_make(from, "from");
            kind_make(to, "to");
            int error = from == KIND_NONE                           ? ENOENT
                        : to != KIND_NONE                           ? EEXIST
                        : from == KIND_DIR || from == KIND_FULL_DIR ? EPERM
                                                                    : 0;
            gives(link("from", "to"), error);
            if (error == 0) {
                /* The link itself, not what it points to. */
                same(ino_of("from"), ino_of("to"));
                same(links_of("to"), 2);
            }
            kind_remove("to");
            if (error == 0)
                same(links_of("from"), 1);
            kind_remove("from");
        }
    }
    check_about_nothing();
    put_file("file", "text");
    ok(symlink("file", "soft"));
    ok(linkat(AT_FDCWD, "soft", AT_FDCWD, "hard", AT_SYMLINK_FOLLOW));
    same(ino_of("hard"), ino_of("file"));
    fails(link("file", "none/x"), ENOENT);
    fails(link("file", "file/x"), ENOTDIR);
    fails(link("file/x", "y"), ENOTDIR);
    fails(link("file", "y/"), ENOENT);
    fails(link("/proc/version", "y"), EXDEV);
    make_dir("closed", 0700);
    make_dir("open", 0777);
    ok(chown("file", E2E_USER, E2E_USER));
    AS(E2E_USER, E2E_USER)
    {
        fails(link("file", "closed/x"), EACCES);
        fails(link("file", "x"), EACCES);
        put_file("open/mine", "");
        ok(link("open/mine", "open/too"));
    }
}

static void unlink_refuses(struct e2e *f)
{
    (void)f;
    for (enum kind kind = KIND_NONE; kind < KIND_N; kind++) {
        check_about("%s", kind_name(kind));
        kind_make(kind, "x");
        bool dir = kind == KIND_DIR || kind == KIND_FULL_DIR;
        gives(unlink("x"), kind == KIND_NONE ? ENOENT : dir ? EISDIR : 0);
        same(exists("x"), dir);
        /* What a link points to stays. */
        if (kind == KIND_LINK_FILE || kind == KIND_LINK_DIR)
            holds(exists("x.to"));
        kind_remove("x");
    }
    check_about_nothing();
    put_file("file", "");
    fails(unlink("file/"), ENOTDIR);
    fails(unlink("file/x"), ENOTDIR);
    fails(unlinkat(AT_FDCWD, "file", AT_REMOVEDIR), ENOTDIR);
    fails(unlinkat(AT_FDCWD, "file", 0x40000), EINVAL);
    AS(E2E_USER, E2E_USER)
    {
        fails(unlink("file"), EACCES);
    }
}

/* ---- symbolic links ---- */

static void symlinks_hold_any_text(struct e2e *f)
{
    (void)f;
    static const size_t lengths[] = {1, 2, 59, 60, 61, 255, 256, 1023, 1024, 4094, 4095};
    static char target[PATH_MAX + 1], found[PATH_MAX + 16];
    for (size_t i = 0; i < ARRAY_N(lengths); i++) {
        check_about("a target of %zu bytes", lengths[i]);
        for (size_t k = 0; k < lengths[i]; k++)
            target[k] = (char)(1 + (k + i) % 255);
        target[lengths[i]] = '\0';
        ok(symlink(target, "x"));
        struct stat st = lstat_of("x");
        same(st.st_size, lengths[i]);
        same(st.st_mode, S_IFLNK | 0777);
        same(st.st_nlink, 1);
        same(readlink("x", found, sizeof found), lengths[i]);
        same_bytes(found, target, lengths[i]);
        if (lengths[i] > 1)
            same(readlink("x", found, lengths[i] - 1), lengths[i] - 1);
        ok(unlink("x"));
    }
    check_about_nothing();
    memset(target, 'x', PATH_MAX);
    target[PATH_MAX] = '\0';
    fails(symlink(target, "x"), ENAMETOOLONG);
    fails(symlink("", "x"), ENOENT);
    for (enum kind kind = KIND_FILE; kind < KIND_N; kind++) {
        kind_make(kind, "x");
        check_about("%s", kind_name(kind));
        fails(symlink("to", "x"), EEXIST);
        if (!S_ISLNK(lstat_of("x").st_mode))
            fails(readlink("x", found, sizeof found), EINVAL);
        kind_remove("x");
    }
    fails(symlink("a", "none/x"), ENOENT);
    ok(symlink("a", "x"));
    fails(readlink("x", found, 0), EINVAL);
    make_dir("closed", 0700);
    AS(E2E_USER, E2E_USER)
    {
        fails(symlink("a", "closed/x"), EACCES);
        fails(symlink("a", "y"), EACCES);
        ok(readlink("x", found, sizeof found));
    }
}

static void symlinks_are_followed(struct e2e *f)
{
    (void)f;
    enum { CHAIN = 41 };
    char name[32], to[32];
    make_dir("d", 0755);
    make_dir("d/e", 0755);
    put_file("d/e/file", "text");
    ok(symlink("d/e", "short"));
    ok(symlink("../e/file", "d/e/self"));
    ok(symlink("/proc/self/cwd", "out"));
    check_file("short/file", "text");
    check_file("d/e/self", "text");
    check_file("short/../e/file", "text");
    check_file("out/d/e/file", "text");
    ok(symlink("missing/x", "dangling"));
    fails(try_open("dangling", O_RDONLY), ENOENT);
    fails(try_open("dangling", O_CREAT | O_WRONLY), ENOENT);
    ok(symlink("b", "a"));
    ok(symlink("a", "b"));
    fails(try_open("a", O_RDONLY), ELOOP);
    fails(stat("a/x", &(struct stat){0}), ELOOP);
    ok(lstat("a", &(struct stat){0}));
    put_file("c0", "end");
    for (int i = 1; i <= CHAIN; i++) {
        snprintf(name, sizeof name, "c%d", i);
        snprintf(to, sizeof to, "c%d", i - 1);
        ok(symlink(to, name));
    }
    check_file("c40", "end");
    fails(try_open("c41", O_RDONLY), ELOOP);
    /* A new target under an old name is seen at once. */
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "t%d", i);
        put_file(name, name);
        ok(symlink(name, "tmp"));
        ok(rename("tmp", "current"));
        check_file("current", name);
    }
}

static void a_symlink_has_an_owner_and_times(struct e2e *f)
{
    (void)f;
    put_file("file", "x");
    ok(chmod("file", 0640));
    ok(symlink("file", "x"));
    ok(lchown("x", E2E_USER, E2E_OTHER));
    same(lstat_of("x").st_uid, E2E_USER);
    same(lstat_of("x").st_gid, E2E_OTHER);
    same(stat_of("x").st_uid, 0);
    ok(chown("x", E2E_OTHER, E2E_USER));
    same(stat_of("file").st_uid, E2E_OTHER);
    same(lstat_of("x").st_uid, E2E_USER);
    ok(chmod("x", 0604));
    same(mode_of("file"), 0604);
    same(mode_of("x"), 0777);
    struct timespec times[2] = {{1000, 1}, {2000, 2}};
    ok(utimensat(AT_FDCWD, "x", times, AT_SYMLINK_NOFOLLOW));
    same(lstat_of("x").st_mtim.tv_sec, 2000);
    holds(stat_of("x").st_mtim.tv_sec > 1000000);
}

/* ---- files without a name ---- */

static void an_unlinked_file_lives_while_open(struct e2e *f)
{
    (void)f;
    static const size_t sizes[] = {0, 10, 32768, 32769, 300000};
    static uint8_t want[310000], found[310000];
    for (size_t i = 0; i < ARRAY_N(sizes); i++) {
        check_about("%zu bytes", sizes[i]);
        size_t n = sizes[i];
        pattern_fill(want, n, i, 0);
        int fd = (int)ok(open("x", O_CREAT | O_RDWR, 0600)), other = (int)ok(open("x", O_RDONLY));
        holds(write_all(fd, want, n, 0));
        struct stat st = fstat_of(fd);
        ino_t ino = st.st_ino;
        ok(unlink("x"));
        holds(!exists("x"));
        st = fstat_of(fd);
        same(st.st_nlink, 0);
        same(st.st_size, n);
        same(st.st_ino, ino);
        drop_cache(fd);
        same(read_all(other, found, sizeof found, 0), n);
        same_bytes(found, want, n);
        pattern_fill(want + n, 5000, i + 1, 0);
        holds(write_all(fd, want + n, 5000, (off_t)n));
        ok(fchmod(fd, 0644));
        ok(fsync(fd));
        drop_cache(fd);
        same(read_all(other, found, sizeof found, 0), n + 5000);
        same_bytes(found, want, n + 5000);
        /* A new file of the name is another file. */
        put_file("x", "new");
        holds(ino_of("x") != ino);
        ok(ftruncate(fd, 3));
        same(fstat_of(other).st_size, 3);
        check_file("x", "new");
        char path[64];
        snprintf(path, sizeof path, "/proc/self/fd/%d", other);
        int again = (int)ok(open(path, O_RDWR));
        same(pwrite(again, "abc", 3, 0), 3);
        same(pread(fd, found, 8, 0), 3);
        same_bytes(found, "abc", 3);
        close(again);
        fails(linkat(AT_FDCWD, path, AT_FDCWD, "back", AT_SYMLINK_FOLLOW), ENOENT);
        close(fd);
        same(fstat_of(other).st_nlink, 0);
        close(other);
        ok(unlink("x"));
    }
}

static void an_unlinked_name_leaves_the_others(struct e2e *f)
{
    (void)f;
    put_file("a", "text");
    ok(link("a", "b"));
    int fd = (int)ok(open("a", O_RDWR));
    ok(unlink("a"));
    same(fstat_of(fd).st_nlink, 1);
    same(pwrite(fd, "TEXT", 4, 0), 4);
    check_file("b", "TEXT");
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ok(linkat(AT_FDCWD, path, AT_FDCWD, "c", AT_SYMLINK_FOLLOW));
    same(links_of("c"), 2);
    close(fd);
    check_file("c", "TEXT");
}

static void a_mapping_outlives_the_name(struct e2e *f)
{
    (void)f;
    enum { SIZE = 3 * 4096 };
    int fd = (int)ok(open("x", O_CREAT | O_RDWR, 0600));
    ok(ftruncate(fd, SIZE));
    char *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    holds(p != MAP_FAILED);
    if (p == MAP_FAILED)
        return;
    ok(unlink("x"));
    strcpy(p + 5000, "mapped");
    ok(msync(p, SIZE, MS_SYNC));
    char found[8];
    same(pread(fd, found, 7, 5000), 7);
    same_bytes(found, "mapped", 7);
    close(fd);
    same_text(p + 5000, "mapped");
    ok(munmap(p, SIZE));
}

/* ---- mknod ---- */

static void special_files_are_what_they_are(struct e2e *f)
{
    (void)f;
    const struct {
        mode_t type;
        dev_t dev;
    } rows[] = {
        {S_IFREG, 0},
        {S_IFIFO, 0},
        {S_IFSOCK, 0},
        {S_IFCHR, makedev(1, 3)},
        {S_IFBLK, makedev(7, 200)},
        {S_IFCHR, makedev(4095, 1048575)},
    };
    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        check_about("type %#o", (unsigned)rows[i].type);
        ok(mknod("x", rows[i].type | 0640, rows[i].dev));
        struct stat st = lstat_of("x");
        same(st.st_mode, rows[i].type | 0640);
        if (rows[i].dev != 0)
            same(st.st_rdev, rows[i].dev);
        same(st.st_size, 0);
        same(st.st_nlink, 1);
        fails(mknod("x", rows[i].type | 0640, rows[i].dev), EEXIST);
        ok(link("x", "y"));
        ok(rename("x", "z"));
        same(lstat_of("z").st_nlink, 2);
        ok(chmod("z", 0604));
        same(lstat_of("y").st_mode, rows[i].type | 0604);
        ok(unlink("y"));
        ok(unlink("z"));
    }
    check_about_nothing();
    make_dir("open", 0777);
    AS(E2E_USER, E2E_USER)
    {
        fails(mknod("open/c", S_IFCHR | 0600, makedev(1, 3)), EPERM);
        fails(mknod("open/b", S_IFBLK | 0600, makedev(7, 0)), EPERM);
        ok(mknod("open/p", S_IFIFO | 0600, 0));
        ok(mknod("open/f", S_IFREG | 0600, 0));
    }
    fails(mknod("d", S_IFDIR | 0700, 0), EPERM);
}

static void a_fifo_carries_bytes(struct e2e *f)
{
    (void)f;
    char text[16] = "";
    ok(mkfifo("p", 0600));
    pid_t pid = check_fork();
    if (pid == 0) {
        int w = (int)ok(open("p", O_WRONLY));
        same(write(w, "through", 7), 7);
        check_child_end();
    }
    int r = (int)ok(open("p", O_RDONLY));
    same(read(r, text, sizeof text - 1), 7);
    same_text(text, "through");
    same(read(r, text, sizeof text), 0);
    fails(lseek(r, 0, SEEK_SET), ESPIPE);
    close(r);
    check_join(pid);
    fails(truncate("p", 0), EINVAL);
}

static void a_socket_can_be_bound(struct e2e *f)
{
    (void)f;
    struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "socket"};
    int server = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
    ok(bind(server, (struct sockaddr *)&a, sizeof a));
    holds(S_ISSOCK(lstat_of("socket").st_mode));
    ok(listen(server, 1));
    ok(connect(client, (struct sockaddr *)&a, sizeof a));
    int second = socket(AF_UNIX, SOCK_STREAM, 0);
    fails(bind(second, (struct sockaddr *)&a, sizeof a), EADDRINUSE);
    close(second);
    close(client);
    close(server);
    client = socket(AF_UNIX, SOCK_STREAM, 0);
    fails(connect(client, (struct sockaddr *)&a, sizeof a), ECONNREFUSED);
    close(client);
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(names_of_one_file_share_everything),
        E2E_TEST(many_names_count_right),
        E2E_TEST(link_refuses),
        E2E_TEST(unlink_refuses),
        E2E_TEST(symlinks_hold_any_text),
        E2E_TEST(symlinks_are_followed),
        E2E_TEST(a_symlink_has_an_owner_and_times),
        E2E_TEST(an_unlinked_file_lives_while_open),
        E2E_TEST(an_unlinked_name_leaves_the_others),
        E2E_TEST(a_mapping_outlives_the_name),
        E2E_TEST(special_files_are_what_they_are),
        E2E_TEST(a_fifo_carries_bytes),
        E2E_TEST(a_socket_can_be_bound),
    };
    return e2e_main(argc, argv, E2E_SHARED, tests, ARRAY_N(tests));
}
