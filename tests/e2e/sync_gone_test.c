/* What becomes of files that are open for writing when others delete them. */
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/posix.h"
#include "tests/support/pty.h"
#include "tests/support/sync_world.h"

static struct sync_world world;

static struct e2e *at(size_t i)
{
    return world_at(&world, i);
}

/* ---- open, and nothing in it unpublished, when others delete it ----
 */

static void writes(int fd)
{
    same(pwrite(fd, "new\n", 4, 4), 4);
}

static void writes_by_memory(int fd)
{
    char *p = mmap(NULL, 4, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (!holds(p != MAP_FAILED))
        return;
    memcpy(p, "new", 3);
    ok(msync(p, 4, MS_SYNC));
    ok(munmap(p, 4));
}

static void cuts(int fd)
{
    ok(ftruncate(fd, 2));
}

static void allocates(int fd)
{
    ok(fallocate(fd, 0, 0, 6));
}

static void copies(int fd)
{
    off_t from = 0, to = 4;
    same(copy_file_range(fd, &from, fd, &to, 4, 0), 4);
}

/* What is open of the first device, what is done to it then, and where that is in the end. */
static const struct open_file {
    const char *name;
    int flags;
    void (*how)(int fd);
    const char *back, *text;
} open_files[] = {
    {"deleted", O_RDWR, writes, "deleted", "old\nnew\n"},
    {"log", O_WRONLY | O_APPEND, writes, "log", "old\nnew\n"},
    {"mapped", O_RDWR, writes_by_memory, "mapped", "new\n"},
    {"cut", O_RDWR, cuts, "cut", "ol"},
    {"allocated", O_RDWR, allocates, "allocated", "old\n"},
    {"copied", O_RDWR, copies, "copied", "old\nold\n"},
    {"replaced by a folder", O_RDWR, writes, "replaced by a folder (local 1)", "old\nnew\n"},
    {"replaced by a file", O_RDWR, writes, "replaced by a file (local 1)", "old\nnew\n"},
    {"folder/below/first", O_RDWR, writes, "folder/below/first", "old\nnew\n"},
    {"folder/below/second", O_RDWR, writes, "folder/below/second", "old\nnew\n"},
    {"folder/below/deep/third", O_RDWR, writes, "folder/below/deep/third", "old\nnew\n"},
};

static void open_all(int fds[static ARRAY_N(open_files)])
{
    e2e_ok(at(1), "mkdir -p notes/folder/below/deep && echo gone >notes/folder/other");
    for (size_t i = 0; i < ARRAY_N(open_files); i++)
        world_save(at(1), open_files[i].name, "old\n");
    world_save(at(0), "another", "another\n"); /* so that to rename it over one is no save */
    world_even(&world);
    for (size_t i = 0; i < ARRAY_N(open_files); i++) {
        fds[i] = open(world_path(at(0), "%s", open_files[i].name), open_files[i].flags | O_CLOEXEC);
        ok(fds[i]);
    }
}

static void others_delete_all(void)
{
    e2e_ok(at(1),
           "cd notes && rm deleted log mapped cut allocated copied 'replaced by a folder' && "
           "mkdir 'replaced by a folder' && mv another 'replaced by a file' && "
           "rm folder/below/first && persist sync --wait . && rm -r folder");
    world_even(&world);
    holds(!exists(world_path(at(0), "deleted")) && !exists(world_path(at(0), "folder")));
    same_text(world_text(at(0), "replaced by a file"), "another\n");
}

static void all_are_back(void)
{
    for (size_t i = 0; i < ARRAY_N(open_files); i++) {
        check_about("%s", open_files[i].name);
        if (open_files[i].how == allocates) /* with zeros behind */
            same(stat_of(world_path(at(0), "%s", open_files[i].back)).st_size, 6);
        world_wait_text(at(0), open_files[i].back, open_files[i].text);
        world_wait_text(at(1), open_files[i].back, open_files[i].text);
    }
    check_about_nothing();
    world_even(&world);
    holds(!exists(world_path(at(0), "folder/other")));
    same_text(world_text(at(1), "replaced by a file"), "another\n");
    same(world_named(at(1), "conflict"), 0);
    for (size_t i = 0; i < 2; i++)
        e2e_ok(at(i), "persist check %s", at(i)->folder);
}

/* The first write brings each back, with the folders that went, though it stays open for long. */
static void writers_bring_back_what_others_delete(struct e2e *f)
{
    int fds[ARRAY_N(open_files)];
    if (world_begin(&world, f, 2)) {
        open_all(fds);
        int reader = open(world_path(at(0), "deleted"), O_RDONLY | O_CLOEXEC);
        others_delete_all();
        char old[8] = "";
        same(pread(reader, old, 8, 0), 4); /* as it was, for who only reads */
        same_text(old, "old\n");
        for (size_t i = 0; i < ARRAY_N(open_files); i++)
            open_files[i].how(fds[i]);
        all_are_back();
        same(ino_of(world_path(at(0), "deleted")), fstat_of(fds[0]).st_ino);
        same(pwrite(fds[0], "more\n", 5, 8), 5);
        ok(unlink(world_path(at(1), "log"))); /* seen by its writer as little as the first time */
        world_even(&world);
        same(write(fds[1], "more\n", 5), 5);
        for (size_t i = 0; i < ARRAY_N(open_files); i++)
            ok(close(fds[i]));
        ok(close(reader));
        world_wait_text(at(1), "deleted", "old\nnew\nmore\n");
        world_wait_text(at(1), "log", "old\nnew\nmore\n");
        world_even(&world);
    }
    world_end(&world);
}

/* The mount dies right after the writes, before anybody closes a file. */
static void what_writers_bring_back_outlives_the_mount(struct e2e *f)
{
    int fds[ARRAY_N(open_files)];
    if (world_begin(&world, f, 2)) {
        open_all(fds);
        others_delete_all();
        pid_t pid = e2e_mount_pid(at(0));
        for (size_t i = 0; i < ARRAY_N(open_files); i++)
            open_files[i].how(fds[i]);
        ok(kill(pid, SIGKILL));
        e2e_wait_gone(pid, WORLD_EVEN_MS);
        for (size_t i = 0; i < ARRAY_N(open_files); i++)
            close(fds[i]);
        e2e_mount(at(0), NULL);
        all_are_back();
    }
    world_end(&world);
}

/* Who deletes a file on this device does that in sight of its programs, as on any disk. */
static void what_is_deleted_here_stays_deleted(struct e2e *f)
{
    if (world_begin(&world, f, 2)) {
        world_save(at(1), "file", "old\n");
        world_save(at(1), "again", "old\n");
        e2e_ok(at(1), "mkdir notes/folder && echo old >notes/folder/file");
        world_even(&world);
        int file = open(world_path(at(0), "file"), O_RDWR | O_CLOEXEC);
        int again = open(world_path(at(0), "again"), O_RDWR | O_CLOEXEC);
        int below = open(world_path(at(0), "folder/file"), O_RDWR | O_CLOEXEC);
        ok(unlink(world_path(at(0), "file")));
        ok(unlink(world_path(at(1), "again")));
        ok(unlink(world_path(at(1), "folder/file")));
        world_even(&world);
        ok(rmdir(world_path(at(0), "folder")));
        writes(again);
        world_wait_text(at(1), "again", "old\nnew\n");
        ok(unlink(world_path(at(0), "again")));
        writes(file);
        writes(again);
        writes(below);
        ok(close(file));
        ok(close(again));
        ok(close(below));
        world_even(&world);
        holds(!exists(world_path(at(0), "file")) && !exists(world_path(at(0), "again")));
        holds(!exists(world_path(at(0), "folder")));
    }
    world_end(&world);
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(writers_bring_back_what_others_delete),
        E2E_TEST(what_writers_bring_back_outlives_the_mount),
        E2E_TEST(what_is_deleted_here_stays_deleted),
    };
    return e2e_main(argc, argv, E2E_FRESH, tests, ARRAY_N(tests));
}
