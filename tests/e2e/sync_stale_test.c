/*
 * A save by a program that opened an older version than the one that is there now: what came
 * meanwhile is not replaced, whichever way the program saves.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/posix.h"
#include "tests/support/sync_world.h"

static struct sync_world world;

static struct e2e *at(size_t i)
{
    return world_at(&world, i);
}

static const char before[] = "# title\n\nthe first paragraph\n\nthe second paragraph\n\n"
                             "the third paragraph\n";
static const char remote[] = "# title\n\nthe first paragraph, by the other\n\n"
                             "the second paragraph\n\nthe third paragraph\n";
static const char local[] = "# title\n\nthe first paragraph\n\nthe second paragraph\n\n"
                            "the third paragraph, by this one\n";
static const char both[] = "# title\n\nthe first paragraph, by the other\n\n"
                           "the second paragraph\n\nthe third paragraph, by this one\n";

static void save_in_place(void)
{
    world_save(at(0), "note.md", local);
}

static void save_by_rename(void)
{
    world_save(at(0), "note.md.tmp", local);
    ok(rename(world_path(at(0), "note.md.tmp"), world_path(at(0), "note.md")));
}

static void save_with_backup(void)
{
    ok(rename(world_path(at(0), "note.md"), world_path(at(0), "note.md~")));
    world_save(at(0), "note.md", local);
    ok(unlink(world_path(at(0), "note.md~")));
}

static void is_merged(struct e2e *f, void (*save)(void))
{
    if (world_begin(&world, f, 2)) {
        world_save(at(1), "note.md", before);
        world_wait_text(at(0), "note.md", before); /* this process has opened that version */
        world_save(at(1), "note.md", remote);
        /* Another process sees the newer one come; this one does not look. */
        e2e_ok(at(0), "for i in $(seq 600); do grep -q 'by the other' notes/note.md && exit 0; "
                      "sleep 0.05; done; exit 1");
        save();
        world_wait_text(at(1), "note.md", both);
        world_wait_text(at(0), "note.md", both);
        world_even(&world);
        same(world_named(at(1), "note"), 1);
    }
    world_end(&world);
}

static void in_place(struct e2e *f)
{
    is_merged(f, save_in_place);
}

static void by_rename(struct e2e *f)
{
    is_merged(f, save_by_rename);
}

static void with_backup(struct e2e *f)
{
    is_merged(f, save_with_backup);
}

/* A file that is open for writing is not changed under its program, which does not miss anything.
 */
static void while_it_is_open(struct e2e *f)
{
    if (world_begin(&world, f, 2)) {
        world_save(at(1), "note.md", before);
        world_wait_text(at(0), "note.md", before);
        int fd = open(world_path(at(0), "note.md"), O_RDWR | O_CLOEXEC);
        ok(fd);
        same(pwrite(fd, local, strlen(local), 0), (intmax_t)strlen(local));
        world_save(at(1), "note.md", remote);
        e2e_ok(at(1), "persist sync --wait %s", at(1)->folder);
        e2e_ok(at(0), "persist sync %s", at(0)->folder);
        ok(close(fd));
        world_wait_text(at(1), "note.md", both);
        world_wait_text(at(0), "note.md", both);
        world_even(&world);
        same(world_named(at(1), "note"), 1);
    }
    world_end(&world);
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(in_place),
        E2E_TEST(by_rename),
        E2E_TEST(with_backup),
        E2E_TEST(while_it_is_open),
    };
    return e2e_main(argc, argv, E2E_FRESH, tests, ARRAY_N(tests));
}
