/* mkdir(2), rmdir(2), readdir(3) and the names that files may have. */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/posix.h"

enum { ENTRIES = 1500 };

static void mkdir_refuses_what_is_there(struct e2e *f)
{
    (void)f;
    for (enum kind kind = KIND_NONE; kind < KIND_N; kind++) {
        check_about("%s", kind_name(kind));
        kind_make(kind, "x");
        gives(mkdir("x", 0755), kind == KIND_NONE ? 0 : EEXIST);
        kind_remove("x");
    }
    check_about_nothing();
    fails(mkdir("a/b", 0755), ENOENT);
    fails(mkdir(".", 0755), EEXIST);
    fails(mkdir("..", 0755), EEXIST);
    ok(mkdir("a", 0755));
    fails(mkdir("a/", 0755), EEXIST);
    ok(mkdir("a/b/", 0755));
    fails(mkdir("a/b/..", 0755), EEXIST);
}

static void rmdir_takes_empty_directories_only(struct e2e *f)
{
    static const int errors[KIND_N] = {
        [KIND_NONE] = ENOENT,        [KIND_FILE] = ENOTDIR, [KIND_DIR] = 0,
        [KIND_FULL_DIR] = ENOTEMPTY, [KIND_LINK] = ENOTDIR, [KIND_LINK_FILE] = ENOTDIR,
        [KIND_LINK_DIR] = ENOTDIR,   [KIND_LOOP] = ENOTDIR, [KIND_FIFO] = ENOTDIR,
        [KIND_SOCKET] = ENOTDIR,
    };
    for (enum kind kind = KIND_NONE; kind < KIND_N; kind++) {
        check_about("%s", kind_name(kind));
        kind_make(kind, "x");
        gives(rmdir("x"), errors[kind]);
        same(exists("x"), kind != KIND_NONE && kind != KIND_DIR);
        kind_remove("x");
    }
    check_about_nothing();
    make_dir("a", 0755);
    make_dir("a/b", 0755);
    fails(rmdir("a/."), EINVAL);
    fails(rmdir("a/b/.."), ENOTEMPTY);
    fails(rmdir("a"), ENOTEMPTY);
    ok(rmdir("a/b/"));
    ok(rmdir("a"));
    if (!f->foreign) {
        fails(rmdir(f->folder), EBUSY);
        fails(rename(f->folder, "/tmp/persist-e2e-nowhere"), EBUSY);
    }
}

static void directories_count_their_links(struct e2e *f)
{
    (void)f;
    make_dir("a", 0755);
    same(links_of("a"), 2);
    make_dir("a/b", 0755);
    make_dir("a/c", 0755);
    same(links_of("a"), 4);
    same(links_of("a/b"), 2);
    put_file("a/file", "");
    ok(symlink("b", "a/link"));
    same(links_of("a"), 4);
    ok(rmdir("a/b"));
    same(links_of("a"), 3);
    make_dir("d", 0755);
    ok(rename("a/c", "d/c"));
    same(links_of("a"), 2);
    same(links_of("d"), 3);
    same(ino_of("d/c/.."), ino_of("d"));
    same(ino_of("a/."), ino_of("a"));
    same(S_ISDIR(lstat_of("a/..").st_mode), true);
    same(ino_of("a/.."), ino_of("."));
}

static void modes_and_groups_of_new_directories(struct e2e *f)
{
    (void)f;
    static const struct {
        mode_t mask, mode, result;
    } rows[] = {{0, 0777, 0777},   {022, 0777, 0755},   {077, 0777, 0700},
                {0, 01777, 01777}, {022, 01777, 01755}, {0, 0, 0}};
    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        check_about("umask %03o, mode %04o", (unsigned)rows[i].mask, (unsigned)rows[i].mode);
        umask(rows[i].mask);
        ok(mkdir("x", rows[i].mode));
        same(mode_of("x"), rows[i].result);
        ok(rmdir("x"));
        umask(rows[i].mask);
        int fd = (int)ok(open("x", O_CREAT | O_WRONLY, rows[i].mode & 0777));
        close(fd);
        same(mode_of("x"), rows[i].result & 0777);
        ok(unlink("x"));
        ok(mkfifo("x", rows[i].mode & 0777));
        same(mode_of("x"), rows[i].result & 0777);
        ok(unlink("x"));
        ok(symlink("y", "x"));
        same(mode_of("x"), 0777);
        ok(unlink("x"));
    }
    umask(0);
    check_about("in a setgid directory");
    make_dir("g", 0777);
    ok(chown("g", E2E_OTHER, E2E_OTHER));
    ok(chmod("g", 02777));
    AS(E2E_USER, E2E_USER)
    {
        put_file("g/file", "");
        same(lstat_of("g/file").st_uid, E2E_USER);
        same(lstat_of("g/file").st_gid, E2E_OTHER);
        ok(mkdir("g/dir", 0755));
        same(lstat_of("g/dir").st_gid, E2E_OTHER);
        same(mode_of("g/dir"), 02755);
        ok(mkfifo("g/fifo", 0644));
        same(lstat_of("g/fifo").st_gid, E2E_OTHER);
        ok(symlink("x", "g/link"));
        same(lstat_of("g/link").st_gid, E2E_OTHER);
        /* Not a member of the group: the bit would be a present. */
        int fd = (int)ok(open("g/suid", O_CREAT | O_WRONLY, 02771));
        same(fstat_of(fd).st_mode & 07777, 0771);
        close(fd);
    }
    check_about("in an ordinary directory");
    make_dir("n", 0777);
    ok(chown("n", E2E_OTHER, E2E_OTHER));
    AS(E2E_USER, E2E_USER)
    {
        ok(mkdir("n/dir", 0755));
        same(lstat_of("n/dir").st_gid, E2E_USER);
        same(mode_of("n/dir"), 0755);
    }
}

static void permissions_of_directories(struct e2e *f)
{
    (void)f;
    for (mode_t bits = 0; bits < 8; bits++) {
        check_about("directory mode %03o", (unsigned)bits);
        make_dir("d", 0777);
        put_file("d/file", "x");
        ok(chown("d/file", E2E_USER, E2E_USER));
        make_dir("d/dir", 0777);
        ok(chmod("d", bits));
        bool r = (bits & 4) != 0, w = (bits & 2) != 0, x = (bits & 1) != 0;
        AS(E2E_USER, E2E_USER)
        {
            gives(try_open("d", O_RDONLY | O_DIRECTORY), r ? 0 : EACCES);
            gives(try_open("d/file", O_RDONLY), x ? 0 : EACCES);
            gives(lstat("d/file", &(struct stat){0}), x ? 0 : EACCES);
            gives(access("d/none", F_OK), x ? ENOENT : EACCES);
            gives(chdir("d/dir"), x ? 0 : EACCES);
            if (x)
                ok(chdir("../.."));
            gives(mkdir("d/new", 0755), w && x ? 0 : EACCES);
            gives(try_open("d/new2", O_CREAT | O_WRONLY), w && x ? 0 : EACCES);
            gives(symlink("x", "d/new3"), w && x ? 0 : EACCES);
            gives(link("d/file", "d/new4"), w && x ? 0 : EACCES);
            gives(rename("d/file", "d/new5"), w && x ? 0 : EACCES);
            gives(rmdir("d/dir"), w && x ? 0 : EACCES);
            gives(unlink(w && x ? "d/new5" : "d/file"), w && x ? 0 : EACCES);
        }
        kind_remove("d");
    }
}

static void a_removed_directory_is_dead(struct e2e *f)
{
    (void)f;
    make_dir("d", 0755);
    int fd = (int)ok(open("d", O_RDONLY | O_DIRECTORY));
    ok(rmdir("d"));
    struct stat st = fstat_of(fd);
    same(st.st_nlink, 0);
    fails(openat(fd, "x", O_CREAT | O_WRONLY, 0600), ENOENT);
    fails(mkdirat(fd, "x", 0700), ENOENT);
    fails(symlinkat("y", fd, "x"), ENOENT);
    put_file("file", "");
    fails(linkat(AT_FDCWD, "file", fd, "x", 0), ENOENT);
    fails(renameat(AT_FDCWD, "file", fd, "x"), ENOENT);
    DIR *d = fdopendir(fd);
    holds(d != NULL);
    if (d == NULL)
        return;
    for (const struct dirent *e; (e = readdir(d)) != NULL;)
        holds(e->d_name[0] == '.');
    closedir(d);
    make_dir("d", 0755);
    ok(chdir("d"));
    ok(rmdir("../d"));
    fails(try_open("x", O_CREAT | O_WRONLY), ENOENT);
    fails(access("../nothing", F_OK), ENOENT);
    holds(getcwd((char[PATH_MAX]){0}, PATH_MAX) == NULL && errno == ENOENT);
    ok(chdir(".."));
}

/* ---- listing ---- */

struct listing {
    unsigned total, dots, wrong;
    unsigned char seen[ENTRIES];
};

static void note(const struct dirent *e, struct listing *l)
{
    l->total++;
    if (e->d_name[0] == '.') {
        l->dots++;
        l->wrong += e->d_type != DT_DIR;
        return;
    }
    unsigned long i = strtoul(e->d_name + 1, NULL, 10);
    if (i < ENTRIES)
        l->seen[i]++;
    else
        l->wrong++;
}

static void make_entries(unsigned n)
{
    char name[32];
    for (unsigned i = 0; i < n; i++) {
        snprintf(name, sizeof name, "e%u", i);
        int fd = open(name, O_CREAT | O_WRONLY, 0600);
        if (fd < 0)
            check_fail("%s: %s", name, strerror(errno));
        close(fd);
    }
}

static void a_listing_has_each_entry_once(struct e2e *f)
{
    (void)f;
    static const unsigned counts[] = {0, 1, 2, 100, ENTRIES};
    for (size_t c = 0; c < ARRAY_N(counts); c++) {
        check_about("%u entries", counts[c]);
        struct listing l = {0};
        make_dir("d", 0755);
        ok(chdir("d"));
        make_entries(counts[c]);
        DIR *d = opendir(".");
        for (const struct dirent *e; (e = readdir(d)) != NULL;)
            note(e, &l);
        same(l.total, counts[c] + 2);
        same(l.dots, 2);
        same(l.wrong, 0);
        for (unsigned i = 0; i < counts[c]; i++)
            if (l.seen[i] != 1)
                check_fail("entry %u was listed %u times", i, l.seen[i]);
        /* Again, and with what came since. */
        put_file("e0", "");
        rewinddir(d);
        unsigned again = 0;
        while (readdir(d) != NULL)
            again++;
        same(again, counts[c] + 2 + (counts[c] == 0));
        closedir(d);
        ok(chdir(".."));
        kind_remove("d");
    }
}

static void a_listing_tells_types_and_numbers(struct e2e *f)
{
    (void)f;
    static const unsigned char types[KIND_N] = {
        [KIND_FILE] = DT_REG, [KIND_DIR] = DT_DIR,       [KIND_FULL_DIR] = DT_DIR,
        [KIND_LINK] = DT_LNK, [KIND_LINK_FILE] = DT_LNK, [KIND_LINK_DIR] = DT_LNK,
        [KIND_LOOP] = DT_LNK, [KIND_FIFO] = DT_FIFO,     [KIND_SOCKET] = DT_SOCK,
    };
    make_dir("d", 0755);
    for (enum kind kind = KIND_FILE; kind < KIND_N; kind++) {
        char name[32];
        snprintf(name, sizeof name, "d/%d", (int)kind);
        kind_make(kind, name);
    }
    DIR *d = opendir("d");
    for (const struct dirent *e; (e = readdir(d)) != NULL;) {
        char path[300];
        snprintf(path, sizeof path, "d/%s", e->d_name);
        check_about("%s", path);
        struct stat st = lstat_of(path);
        same(e->d_ino, st.st_ino);
        unsigned long kind = strtoul(e->d_name, NULL, 10);
        if (e->d_name[0] != '.' && strchr(e->d_name, '.') == NULL && kind < KIND_N)
            same(e->d_type, types[kind]);
    }
    closedir(d);
}

static void removing_while_listing_leaves_nothing_out(struct e2e *f)
{
    (void)f;
    make_dir("d", 0755);
    ok(chdir("d"));
    make_entries(ENTRIES);
    DIR *d = opendir(".");
    unsigned n = 0;
    for (const struct dirent *e; (e = readdir(d)) != NULL;)
        if (e->d_name[0] != '.') {
            ok(unlink(e->d_name));
            n++;
        }
    closedir(d);
    same(n, ENTRIES);
    ok(chdir(".."));
    ok(rmdir("d"));
}

static void what_stays_is_listed_once(struct e2e *f)
{
    (void)f;
    static struct listing l;
    memset(&l, 0, sizeof l);
    make_entries(ENTRIES);
    DIR *d = opendir(".");
    unsigned step = 0;
    char name[32], other[32];
    for (const struct dirent *e; (e = readdir(d)) != NULL; step++) {
        if (strncmp(e->d_name, "e", 1) == 0)
            note(e, &l);
        /* Odd entries come and go, even ones stay. */
        unsigned i = (step * 2 + 1) % ENTRIES;
        snprintf(name, sizeof name, "e%u", i);
        snprintf(other, sizeof other, "n%u", step);
        if (step % 3 == 0)
            unlink(name);
        else if (step % 3 == 1)
            rename(name, other);
        else
            put_file(other, "");
    }
    closedir(d);
    for (unsigned i = 0; i < ENTRIES; i += 2)
        if (l.seen[i] != 1)
            check_fail("entry %u, which stayed, was listed %u times", i, l.seen[i]);
    for (unsigned i = 1; i < ENTRIES; i += 2)
        if (l.seen[i] > 1)
            check_fail("entry %u was listed %u times", i, l.seen[i]);
}

static void a_place_in_a_listing_can_be_found_again(struct e2e *f)
{
    (void)f;
    enum { N = 300 };
    static long places[N + 2];
    static char names[N + 2][NAME_MAX + 1];
    make_entries(N);
    DIR *d = opendir(".");
    unsigned n = 0;
    for (;;) {
        places[n < N + 1 ? n : N + 1] = telldir(d);
        const struct dirent *e = readdir(d);
        if (e == NULL || n == N + 2)
            break;
        snprintf(names[n++], sizeof names[0], "%s", e->d_name);
    }
    same(n, N + 2);
    struct rng r = {7};
    for (int i = 0; i < 200 && n == N + 2; i++) {
        unsigned at = (unsigned)rng_below(&r, n);
        seekdir(d, places[at]);
        const struct dirent *e = readdir(d);
        if (e == NULL || strcmp(e->d_name, names[at]) != 0)
            check_fail("place %u is before %s, not %s", at, e != NULL ? e->d_name : "the end",
                       names[at]);
    }
    /* And when entries before it are gone. */
    unsigned at = n / 2;
    for (unsigned i = 0; i < at; i++)
        if (names[i][0] != '.')
            ok(unlink(names[i]));
    seekdir(d, places[at]);
    for (unsigned i = at; i < n; i++) {
        const struct dirent *e = readdir(d);
        if (e == NULL || strcmp(e->d_name, names[i]) != 0) {
            check_fail("after removals entry %u is %s, not %s", i,
                       e != NULL ? e->d_name : "the end", names[i]);
            break;
        }
    }
    closedir(d);
}

/* ---- names ---- */

/* A file of that name can be made, is listed, and found by no other name. */
static void check_name(const char *name)
{
    int fd = open(name, O_CREAT | O_EXCL | O_WRONLY, 0600);
    if (fd < 0) {
        check_fail("a name of %zu bytes, the first %#x: %s", strlen(name), (unsigned char)name[0],
                   strerror(errno));
        return;
    }
    close(fd);
    DIR *d = opendir(".");
    unsigned found = 0, n = 0;
    for (const struct dirent *e; (e = readdir(d)) != NULL; n++)
        found += strcmp(e->d_name, name) == 0;
    closedir(d);
    same(found, 1);
    same(n, 3);
    ok(unlink(name));
    holds(!exists(name));
}

static void names_are_any_bytes(struct e2e *f)
{
    (void)f;
    for (int c = 1; c < 256; c++) {
        if (c == '/' || c == '.')
            continue;
        check_about("byte %#x", (unsigned)c);
        check_name((char[]){(char)c, '\0'});
        check_name((char[]){'a', (char)c, 'b', '\0'});
    }
    static const char *const odd[] = {
        "...",
        "..a",
        ".a",
        " ",
        " a ",
        "-rf",
        "a\nb",
        "\xff\xfe",
        "\xc3\x28",
        "\xed\xa0\x80",
        "\xf5\x80\x80\x80",
        "\xe2\x80\xae txt",
        "CON",
        "a:b",
        "a\\b",
        "*?<>|\"",
        "a.",
        "~",
        "#x#",
        "%s%n",
        "$(x)",
        "\xef\xbb\xbf-",
        "4913",
        ".x.swp",
        "x~",
        ".~lock.x#",
        "sedAbCdEf",
        ".goutputstream-X",
    };
    for (size_t i = 0; i < ARRAY_N(odd); i++) {
        check_about("odd name %zu", i);
        check_name(odd[i]);
    }
    char longest[NAME_MAX + 1];
    memset(longest, 0xe4, NAME_MAX);
    longest[NAME_MAX] = '\0';
    check_about("the longest name");
    check_name(longest);
}

static void names_differ_by_every_byte(struct e2e *f)
{
    (void)f;
    static const char *const names[] = {
        "name",        "Name",         "NAME",    "name ", "name.", " name",
        "nam\xc3\xa9", "name\xcc\x81", "nam\xe9", "nam",   "name1",
    };
    for (size_t i = 0; i < ARRAY_N(names); i++)
        put_file(names[i], names[i]);
    for (size_t i = 0; i < ARRAY_N(names); i++)
        check_file(names[i], names[i]);
}

static void directories_go_deep(struct e2e *f)
{
    (void)f;
    enum { DEPTH = 120, NAME = 60 };
    char name[NAME + 1];
    memset(name, 'd', NAME);
    name[NAME] = '\0';
    int fd = (int)ok(open(".", O_RDONLY | O_DIRECTORY)), fds[DEPTH + 1] = {fd};
    for (int i = 0; i < DEPTH; i++) {
        ok(mkdirat(fds[i], name, 0755));
        fds[i + 1] = (int)ok(openat(fds[i], name, O_RDONLY | O_DIRECTORY));
    }
    /* Longer than any path can be, but there. */
    int file = (int)ok(openat(fds[DEPTH], "file", O_CREAT | O_RDWR, 0600));
    same(write(file, "deep", 4), 4);
    close(file);
    ok(renameat(fds[DEPTH], "file", fds[0], "up"));
    check_file("up", "deep");
    for (int i = DEPTH; i > 0; i--) {
        close(fds[i]);
        ok(unlinkat(fds[i - 1], name, AT_REMOVEDIR));
    }
    close(fd);
}

static void the_current_directory_moves_along(struct e2e *f)
{
    (void)f;
    char path[PATH_MAX];
    make_dir("a", 0755);
    make_dir("a/b", 0755);
    make_dir("z", 0755);
    ok(chdir("a/b"));
    put_file("file", "here");
    ok(rename("../../a", "../../z/moved"));
    check_file("file", "here");
    holds(getcwd(path, sizeof path) != NULL);
    contains(path, "/z/moved/b");
    check_file("../../../z/moved/b/file", "here");
    ok(chdir("../../.."));
    check_file("z/moved/b/file", "here");
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(mkdir_refuses_what_is_there),
        E2E_TEST(rmdir_takes_empty_directories_only),
        E2E_TEST(directories_count_their_links),
        E2E_TEST(modes_and_groups_of_new_directories),
        E2E_TEST(permissions_of_directories),
        E2E_TEST(a_removed_directory_is_dead),
        E2E_TEST(a_listing_has_each_entry_once),
        E2E_TEST(a_listing_tells_types_and_numbers),
        E2E_TEST(removing_while_listing_leaves_nothing_out),
        E2E_TEST(what_stays_is_listed_once),
        E2E_TEST(a_place_in_a_listing_can_be_found_again),
        E2E_TEST(names_are_any_bytes),
        E2E_TEST(names_differ_by_every_byte),
        E2E_TEST(directories_go_deep),
        E2E_TEST(the_current_directory_moves_along),
    };
    return e2e_main(argc, argv, E2E_SHARED, tests, ARRAY_N(tests));
}
