/*
 * A mount is killed in the middle of a save that goes through a temporary file: whatever the other
 * device is shown of it, the file itself is never empty there.
 */
#include <fcntl.h>
#include <signal.h>
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

static void kill_mount(struct e2e *d)
{
    pid_t pid = e2e_mount_pid(d);
    if (!holds(pid > 0))
        return;
    ok(kill(pid, SIGKILL));
    e2e_wait_gone(pid, E2E_LONG_MS);
    e2e_mount(d, NULL);
}

/* The temporary file of a save that ended right after it was made: it is published, empty. */
static void leave_temporary(struct e2e *d, const char *tmp)
{
    int fd = open(world_path(d, "%s", tmp), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    ok(fd);
    kill_mount(d);
    close(fd); /* of a mount that is gone */
    world_even(&world);
    holds(exists(world_path(d, "%s", tmp)));
}

/* The next save takes the same temporary file; the kill comes before the mount hears of its close.
 */
static void a_file_renamed_before_it_is_closed(struct e2e *f)
{
    static const char before[] = "what was there before\n", after[] = "what was saved\n";
    if (world_begin(&world, f, 2)) {
        world_save(at(0), "note.md", before);
        world_wait_text(at(1), "note.md", before);
        leave_temporary(at(0), "note.tmp");
        int fd = open(world_path(at(0), "note.tmp"), O_WRONLY | O_TRUNC | O_CLOEXEC);
        ok(fd);
        same(write(fd, after, strlen(after)), (intmax_t)strlen(after));
        ok(rename(world_path(at(0), "note.tmp"), world_path(at(0), "note.md")));
        kill_mount(at(0));
        close(fd);
        world_even(&world);
        same_text(world_text(at(0), "note.md"), after);
        same_text(world_text(at(1), "note.md"), after);
    }
    world_end(&world);
}

/* Nothing was written by who emptied the file: it is as it was, here as elsewhere. */
static void a_file_that_was_just_emptied(struct e2e *f)
{
    static const char before[] = "what was there before\n";
    if (world_begin(&world, f, 2)) {
        world_save(at(0), "note.md", before);
        world_wait_text(at(1), "note.md", before);
        int fd = open(world_path(at(0), "note.md"), O_WRONLY | O_TRUNC | O_CLOEXEC);
        ok(fd);
        kill_mount(at(0));
        close(fd);
        world_wait_text(at(0), "note.md", before);
        world_even(&world);
        same_text(world_text(at(1), "note.md"), before);
        e2e_ok(at(0), "persist check %s", at(0)->folder);
    }
    world_end(&world);
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(a_file_renamed_before_it_is_closed),
        E2E_TEST(a_file_that_was_just_emptied),
    };
    return e2e_main(argc, argv, E2E_FRESH, tests, ARRAY_N(tests));
}
