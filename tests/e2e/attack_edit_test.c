/*
 * Attack 32 of the list in proto/sealed/README.md: a process of this device edits a file so that it
 * is taken for something else, as for what came from another device. There is nothing by which the
 * mount would know such an edit: each one is published.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/support/e2e_log.h"
#include "tests/support/posix.h"
#include "tests/support/sync_world.h"

/* All of one length: neither size nor times tell one from the other. */
static const char before[] = "as it was before it came\n", came[] = "as it came from far away.\n",
                  edited[] = "as a process edits it now\n";

enum { LENGTH = sizeof came - 1 };

_Static_assert((int)sizeof before == (int)LENGTH && (int)sizeof edited == (int)LENGTH + 1,
               "before is one shorter, the others are equal");

static struct sync_world world;

static struct e2e *at(size_t i)
{
    return world_at(&world, i);
}

/* ---- ways to edit, each of a process of its own ----
 *
 * The file holds what came; @path is on the device that edits.
 */

static int open_it(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    ok(fd);
    return fd;
}

static void write_it(int fd)
{
    same(pwrite(fd, edited, LENGTH, 0), LENGTH);
}

/* Not even the time of its newest change differs for who looks. */
static void with_its_times_put_back(const char *path)
{
    struct stat st;
    int fd = open_it(path);
    ok(fstat(fd, &st));
    write_it(fd);
    ok(futimens(fd, (struct timespec[]){st.st_atim, st.st_mtim}));
    ok(close(fd));
}

/* As programs are told of what came: truncated to the size that it has. */
static void between_two_truncations_to_its_size(const char *path)
{
    int fd = open_it(path);
    ok(ftruncate(fd, LENGTH));
    write_it(fd);
    ok(ftruncate(fd, LENGTH));
    ok(close(fd));
}

/* Attributes that might stand for something: those that can be set are taken away again. */
static void with_marks(const char *path)
{
    static const char *const names[] = {
        "user.persist",     "user.persist.echo", "trusted.persist",  "trusted.persist.echo",
        "security.persist", "system.persist",    "user.persist.dot", "user.persist.remote"};
    int fd = open_it(path);
    bool set[ARRAY_N(names)];
    for (size_t i = 0; i < ARRAY_N(names); i++)
        set[i] = fsetxattr(fd, names[i], "1", 1, 0) == 0;
    write_it(fd);
    for (size_t i = 0; i < ARRAY_N(names); i++)
        if (set[i])
            ok(fremovexattr(fd, names[i]));
    ok(close(fd));
}

/* No number is an order to the mount. */
static void with_ioctls(const char *path)
{
    char room[4096] = "";
    int fd = open_it(path);
    for (unsigned type = 0; type < 256; type += 5)
        for (unsigned n = 0; n < 8; n++)
            holds(ioctl(fd, _IOWR(type, n, char[64]), room) < 0);
    write_it(fd);
    ok(close(fd));
}

static void in_memory(const char *path)
{
    int fd = open_it(path);
    char *p = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ok(close(fd));
    if (!holds(p != MAP_FAILED))
        return;
    memcpy(p, edited, LENGTH);
    ok(munmap(p, LENGTH));
}

/* In the place of it, with the times that it had. */
static void by_another_file(const char *path)
{
    char tmp[E2E_PATH_MAX + 64];
    struct stat st;
    snprintf(tmp, sizeof tmp, "%s.tmp", path);
    ok(stat(path, &st));
    int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    ok(fd);
    write_it(fd);
    ok(futimens(fd, (struct timespec[]){st.st_atim, st.st_mtim}));
    ok(close(fd));
    ok(rename(tmp, path));
}

/* As who is called like the processes of the mount. */
static void under_their_names(const char *path)
{
    static const char *const names[] = {"persist", "persist-watch", "persist-starter"};
    for (size_t i = 0; i < ARRAY_N(names); i++) {
        int fd = open_it(path);
        ok(prctl(PR_SET_NAME, names[i], 0, 0, 0));
        same(pwrite(fd, edited, i + 1, 0), (intmax_t)i + 1);
        if (i + 1 == ARRAY_N(names))
            write_it(fd);
        ok(close(fd));
    }
}

/* What is written is what the file was before: as if what came had been undone by who brought it.
 */
static void back_to_what_was(const char *path)
{
    int fd = open_it(path);
    same(pwrite(fd, before, sizeof before - 1, 0), (intmax_t)sizeof before - 1);
    ok(ftruncate(fd, sizeof before - 1));
    ok(close(fd));
}

static const struct way {
    const char *name;
    void (*edit)(const char *path);
    const char *text;
} ways[] = {
    {"times.md", with_its_times_put_back, edited},
    {"truncated.md", between_two_truncations_to_its_size, edited},
    {"marked.md", with_marks, edited},
    {"ordered.md", with_ioctls, edited},
    {"mapped.md", in_memory, edited},
    {"renamed.md", by_another_file, edited},
    {"named.md", under_their_names, edited},
    {"undone.md", back_to_what_was, before},
};

static void edit_all(void)
{
    for (size_t i = 0; i < ARRAY_N(ways); i++) {
        check_about("%s", ways[i].name);
        pid_t pid = check_fork();
        if (pid == 0) {
            ways[i].edit(world_path(at(0), "%s", ways[i].name));
            check_child_end();
        }
        check_join(pid);
    }
    check_about_nothing();
}

static void save_all(const struct e2e *d, const char *text)
{
    for (size_t i = 0; i < ARRAY_N(ways); i++)
        world_save(d, ways[i].name, text);
}

/* All devices have it, and it is a version of its own, beside those of what was and what came. */
static void all_are_published(void)
{
    for (size_t i = 0; i < ARRAY_N(ways); i++) {
        check_about("%s", ways[i].name);
        world_wait_text(at(1), ways[i].name, ways[i].text);
    }
    check_about_nothing();
    world_even(&world);
    for (size_t i = 0; i < ARRAY_N(ways); i++) {
        char path[64];
        snprintf(path, sizeof path, "notes/%s", ways[i].name);
        holds(e2e_versions(at(1), path) >= 3);
    }
    same(world_named(at(1), "conflict"), 0);
}

static void an_edit_is_published_whatever_it_looks_like(struct e2e *f)
{
    if (world_begin(&world, f, 2)) {
        save_all(at(0), before);
        world_even(&world);
        save_all(at(1), came);
        world_even(&world);
        edit_all();
        all_are_published();
    }
    world_end(&world);
}

/* In the very moment in which something comes: what a process wrote is in the file, or beside it.
 */
static void an_edit_while_something_comes_is_published(struct e2e *f)
{
    if (world_begin(&world, f, 2)) {
        save_all(at(0), before);
        world_even(&world);
        save_all(at(1), came);
        edit_all();
        world_even(&world);
        for (size_t i = 0; i < ARRAY_N(ways); i++) {
            char stem[32];
            snprintf(stem, sizeof stem, "%.*s", (int)strcspn(ways[i].name, "."), ways[i].name);
            check_about("%s", stem);
            if (ways[i].text == edited)
                e2e_ok(at(1), "cat notes/%s*.md | grep -q 'as a process edits it now'", stem);
            e2e_ok(at(0), "persist log notes/%s | grep -q .", ways[i].name);
        }
        check_about_nothing();
    }
    world_end(&world);
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(an_edit_is_published_whatever_it_looks_like),
        E2E_TEST(an_edit_while_something_comes_is_published),
    };
    return e2e_main(argc, argv, E2E_FRESH, tests, ARRAY_N(tests));
}
