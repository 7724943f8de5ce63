/* A save by a program that has an older version open than what came meanwhile replaces nothing. */
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
    static const struct e2e_test tests[] = {E2E_TEST(while_it_is_open)};
    return e2e_main(argc, argv, E2E_FRESH, tests, ARRAY_N(tests));
}
