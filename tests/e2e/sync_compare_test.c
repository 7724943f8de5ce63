/*
 * Devices that have to be compared in full: one that is restored from a copy which is older than
 * what the others have cleaned up since.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/e2e_log.h"
#include "tests/support/posix.h"
#include "tests/support/sync_world.h"

static struct sync_world world;

static struct e2e *at(size_t i)
{
    return world_at(&world, i);
}

/* ---- waiting ---- */

/* Whether each device has cleaned up a record that was deleted, since it was first asked. */
static bool is_cleaned(void *arg)
{
    unsigned *removed = arg;
    bool all = true;
    for (size_t i = 0; i < world.n; i++) {
        e2e_sh(at(i), "persist gc %s --json", at(i)->folder);
        removed[i] += (unsigned)strtoul(e2e_value(at(i), "deleted_removed"), NULL, 10);
        all = all && removed[i] >= 4;
    }
    return all;
}

/* Each says of each other device that it holds the same. */
static bool all_equal(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < world.n; i++) {
        e2e_sh(at(i),
               "persist status %s | grep '^  device' | grep 'equal to this one' | "
               "wc -l",
               at(i)->folder);
        if (strtoul(at(i)->last.out, NULL, 10) != world.n - 1)
            return false;
    }
    return true;
}

static bool is_gone(void *arg)
{
    return !exists(arg);
}

static void wait_gone(size_t i, const char *name)
{
    char path[512], what[600];
    snprintf(path, sizeof path, "%s", world_path(at(i), "%s", name));
    snprintf(what, sizeof what, "%s is gone", path);
    e2e_wait(is_gone, path, E2E_LONG_MS, what);
}

/* ---- tests ---- */

static void stop(struct e2e *d)
{
    e2e_unmount(d);
    world_offline(d);
}

static bool make_files(void)
{
    world_save(at(0), "gone.md", "to be deleted\n");
    world_save(at(0), "edited.md", "to be deleted, too\n");
    world_save(at(1), "kept.md", "one\n");
    return e2e_ok(at(0), "mkdir -p %s/dir/in && echo a >%s/dir/in/a", at(0)->folder,
                  at(0)->folder) &&
           world_even(&world);
}

static void delete_files(unsigned removed[WORLD_DEVICES_MAX])
{
    e2e_ok(at(0), "rm -r %s/gone.md %s/edited.md %s/dir", at(0)->folder, at(0)->folder,
           at(0)->folder);
    world_save(at(1), "kept.md", "two\n");
    world_even(&world);
    e2e_wait(is_cleaned, removed, E2E_LONG_MS, "what was deleted is cleaned up");
}

/* The server is put back, too, so nothing there tells of the deletions. */
static void what_was_cleaned_up_goes_from_a_restored_device(struct e2e *f)
{
    unsigned removed[WORLD_DEVICES_MAX] = {0};
    if (world_begin(&world, f, 3) && make_files()) {
        struct e2e *old = at(2);
        e2e_wait(all_equal, NULL, E2E_LONG_MS, "all are equal");
        stop(old);
        e2e_ok(old, "cp -a home copy");
        world_server_stop(&world, SIGTERM);
        e2e_ok(world.server, "cp -a data copy");
        world_server_start(&world);
        e2e_mount(old, NULL);
        delete_files(removed);
        stop(old);
        world_server_stop(&world, SIGTERM);
        e2e_ok(world.server, "rm -rf data && mv copy data");
        e2e_ok(old, "rm -rf home && mv copy home");
        e2e_mount(old, NULL);
        world_wait_text(old, "gone.md", "to be deleted\n");
        world_save(old, "edited.md", "edited meanwhile\n");
        world_save(old, "dir/in/new", "made meanwhile\n");
        world_server_start(&world);
        wait_gone(2, "gone.md");
        wait_gone(2, "dir/in/a");
        world_wait_text(at(0), "edited.md", "edited meanwhile\n");
        world_wait_text(at(1), "dir/in/new", "made meanwhile\n");
        world_wait_text(old, "kept.md", "two\n");
        world_even(&world);
        holds(!exists(world_path(at(0), "gone.md")));
        holds(!exists(world_path(at(0), "dir/in/a")));
        e2e_wait(all_equal, NULL, E2E_LONG_MS, "all are equal");
        e2e_ok(old, "grep -h 'compared with another device' home/log/*");
        for (size_t i = 0; i < world.n; i++)
            e2e_ok(at(i), "persist check %s", at(i)->folder);
    }
    world_end(&world);
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(what_was_cleaned_up_goes_from_a_restored_device),
    };
    return e2e_main(argc, argv, E2E_FRESH, tests, ARRAY_N(tests));
}
