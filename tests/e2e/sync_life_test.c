/* The sync process dies, is ended, or cannot start: what becomes of it, and what people are told.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/e2e_log.h"
#include "tests/support/posix.h"
#include "tests/support/sync_world.h"

enum { QUIET_MS = 6000 };

static struct sync_world world;

static struct e2e *at(size_t i)
{
    return world_at(&world, i);
}

struct was {
    const struct e2e *d;
    pid_t pid;
};

/* No command is asked: it would start the process itself. */
static bool is_another(void *arg)
{
    const struct was *was = arg;
    pid_t pid = e2e_sync_pid(was->d);
    return pid > 0 && pid != was->pid && kill(pid, 0) == 0;
}

static pid_t kill_sync(const struct e2e *d, int signal)
{
    pid_t pid = e2e_sync_pid(d);
    if (holds(pid > 0) && ok(kill(pid, signal)) == 0)
        e2e_wait_gone(pid, E2E_LONG_MS);
    return pid;
}

/* How often a mount process has said that it starts the sync process. */
static long starts(struct e2e *d)
{
    e2e_sh(d, "grep -c 'sync process does not run; it is started' home/log/mount-notes.log");
    return strtol(d->last.out, NULL, 10);
}

static void one_that_is_killed_is_started_again(struct e2e *f)
{
    if (world_begin(&world, f, 2)) {
        /* Another mount of the device: together they start one. */
        e2e_ok(at(0), "mkdir second && persist mount second");
        for (int i = 0; i < 2; i++) {
            char text[32];
            snprintf(text, sizeof text, "kill %d\n", i);
            struct was was = {at(0), kill_sync(at(0), SIGKILL)};
            world_save(at(0), "note.md", text);
            e2e_wait(is_another, &was, E2E_LONG_MS, "another sync process");
            world_wait_text(at(1), "note.md", text);
        }
        /* Neither a zombie nor another child is left, but for the two that are always there, and
         * these have none. */
        e2e_ok(at(0),
               "for p in $(cat /proc/%ld/task/*/children); do "
               "cat /proc/$p/comm /proc/$p/task/*/children; done",
               (long)e2e_mount_pid(at(0)));
        same_text(at(0)->last.out, "persist-watch\npersist-starter\n");
        e2e_ok(at(0), "persist status %s --json", at(0)->folder);
        same_text(e2e_value(at(0), "sync_error"), "null");
        e2e_ok(at(0), "persist unmount second");
        world_even(&world);
    }
    world_end(&world);
}

static void one_that_was_ended_stays_so_until_it_is_wanted(struct e2e *f)
{
    if (world_begin(&world, f, 2)) {
        kill_sync(at(0), SIGTERM);
        usleep(QUIET_MS * 1000);
        same(e2e_sync_pid(at(0)), 0);
        e2e_ok(at(0), "persist status %s", at(0)->folder);
        contains(at(0)->last.out, "  offline: the sync process is not running");
        contains(at(0)->last.out, "was ended; 'persist sync' starts it");
        world_save(at(0), "note.md", "said later\n");
        e2e_ok(at(0), "persist sync %s", at(0)->folder);
        world_wait_text(at(1), "note.md", "said later\n");
        kill_sync(at(0), SIGTERM);
        e2e_ok(at(0), "persist sync --wait %s", at(0)->folder);
        world_even(&world);
    }
    world_end(&world);
}

static bool says_mode(void *arg)
{
    struct e2e *d = arg;
    e2e_sh(d, "persist status %s --json", d->folder);
    return strstr(e2e_value(d, "sync_error"), "home/sync/tokens: mode 644") != NULL;
}

static bool is_last_error(void *arg)
{
    struct e2e *d = arg;
    e2e_sh(d, "persist status %s --json", d->folder);
    return strstr(e2e_value(d, "last_error"), "mode 644") != NULL;
}

/* What is told of a mount whose sync process does not start. */
static void check_told(struct e2e *d)
{
    e2e_wait(says_mode, d, E2E_LONG_MS, "why it does not start");
    same_text(e2e_value(d, "remotes.0.url"), world.url);
    same_text(e2e_value(d, "remotes.0.state"), "offline");
    e2e_ok(d, "persist status %s && cat notes/.persist/status", d->folder);
    contains(d->last.out, "cannot be started: ");
    contains(d->last.out, "mode 644");
    contains(d->last.out, world.url);
    e2e_refused(d, 4, "mode 644", "persist sync %s", d->folder);
    e2e_refused(d, 4, "mode 644", "persist sync --wait %s", d->folder);
}

static void one_that_cannot_start_is_told_and_heals(struct e2e *f)
{
    if (world_begin(&world, f, 2)) {
        struct e2e *d = at(0);
        d->errors_expected = true;
        /* While it is mounted, and from the mount on. */
        for (int i = 0; i < 2; i++) {
            char text[32];
            snprintf(text, sizeof text, "healed %d\n", i);
            e2e_ok(d, "chmod 644 home/sync/tokens");
            kill_sync(d, SIGKILL);
            if (i == 1) {
                e2e_unmount(d);
                e2e_mount(d, NULL);
                contains(d->last.err, "mode 644");
            }
            check_told(d);
            long before = starts(d);
            usleep(QUIET_MS * 1000);
            holds(starts(d) - before <= 4);
            e2e_wait(is_last_error, d, E2E_LONG_MS, "the error");
            world_save(d, "note.md", text);
            e2e_ok(d, "chmod 600 home/sync/tokens");
            world_wait_text(at(1), "note.md", text);
            e2e_ok(d, "persist status %s --json", d->folder);
            same_text(e2e_value(d, "sync_error"), "null");
        }
        world_even(&world);
    }
    world_end(&world);
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(one_that_is_killed_is_started_again),
        E2E_TEST(one_that_was_ended_stays_so_until_it_is_wanted),
        E2E_TEST(one_that_cannot_start_is_told_and_heals),
    };
    return e2e_main(argc, argv, E2E_FRESH, tests, ARRAY_N(tests));
}
