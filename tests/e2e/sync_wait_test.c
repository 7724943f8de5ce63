/*
 * What `persist sync --wait` waits for: the devices that are online, and only those.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/e2e_log.h"
#include "tests/support/json_read.h"
#include "tests/support/posix.h"
#include "tests/support/sync_world.h"

enum { HERE, STOPPED, OFFLINE, DEVICES, LINGER_MS = 4000 };

static struct sync_world world;

static struct e2e *at(size_t i)
{
    return world_at(&world, i);
}

/* What the label of a device is, as it says itself. */
static const char *label(size_t i)
{
    static char text[128];
    e2e_ok(at(i), "persist id --json");
    json_read_at(at(i)->last.out, "label", text, sizeof text);
    return text;
}

struct online {
    struct e2e *to;
    unsigned n;
};

/* Whether so many other devices are online, as one is told. */
static bool online_is(void *arg)
{
    const struct online *o = arg;
    unsigned n = 0;
    e2e_ok(o->to, "persist status %s --json", o->to->folder);
    for (long i = 0; i < json_read_count(o->to->last.out, "devices"); i++) {
        char path[48];
        snprintf(path, sizeof path, "devices.%ld.online", i);
        n += strcmp(e2e_value(o->to, path), "true") == 0;
    }
    return n == o->n;
}

static bool wait_online(struct e2e *to, unsigned n)
{
    struct online o = {to, n};
    return e2e_wait(online_is, &o, E2E_LONG_MS, "so many devices are online");
}

/* The process that serves the folder of STOPPED: while it is stopped, nothing looks into that. */
static pid_t stop(void)
{
    pid_t pid = e2e_mount_pid(at(STOPPED));
    holds(pid > 0);
    ok(kill(pid, SIGSTOP));
    return pid;
}

static pid_t start_waiting(void)
{
    e2e_ok(at(HERE), "rm -f status");
    return e2e_start(at(HERE), "persist sync --wait %s 2>said; echo $? >status", at(HERE)->folder);
}

static bool has_returned(void *arg)
{
    (void)arg;
    return e2e_sh(at(HERE), "test -s status")->status == 0;
}

/* The servers have it; the command goes on waiting. */
static bool still_waits(void)
{
    for (uint64_t by = e2e_now_ms() + LINGER_MS; e2e_now_ms() < by; usleep(100000))
        if (has_returned(NULL))
            return false;
    e2e_ok(at(HERE), "persist status %s --json", at(HERE)->folder);
    return same_text(e2e_value(at(HERE), "remotes.0.to_push"), "0");
}

static void returns(pid_t waiter)
{
    e2e_wait(has_returned, NULL, E2E_LONG_MS, "sync --wait returns");
    e2e_ok(at(HERE), "cat status said");
    same_text(at(HERE)->last.out, "0\n");
    e2e_stop(waiter);
}

static bool begin(struct e2e *f)
{
    if (!world_begin(&world, f, DEVICES) || !world_even(&world) || !wait_online(at(HERE), 2))
        return false;
    world_offline(at(OFFLINE));
    return wait_online(at(HERE), 1);
}

static void who_is_online_is_waited_for_and_nobody_else(struct e2e *f)
{
    if (begin(f)) {
        pid_t pid = stop();
        world_save(at(HERE), "note", "to be acknowledged\n");
        pid_t waiter = start_waiting();
        holds(still_waits());
        /* Whoever does not want to wait for ever is told whom it was for. */
        e2e_refused(at(HERE), 5, "has not acknowledged", "persist sync --wait --timeout 1 %s",
                    at(HERE)->folder);
        contains(at(HERE)->last.err, label(STOPPED));
        holds(!has_returned(NULL));
        ok(kill(pid, SIGCONT));
        returns(waiter);
        /* It is there when it returns, and not at who is offline. */
        same_text(world_text(at(STOPPED), "note"), "to be acknowledged\n");
        holds(!exists(world_path(at(OFFLINE), "note")));
        world_online(at(OFFLINE));
        world_even(&world);
    }
    world_end(&world);
}

static void who_goes_offline_is_waited_for_no_longer(struct e2e *f)
{
    if (begin(f)) {
        pid_t pid = stop();
        world_save(at(HERE), "note", "for later\n");
        pid_t waiter = start_waiting();
        holds(still_waits());
        world_offline(at(STOPPED));
        returns(waiter);
        holds(wait_online(at(HERE), 0));
        ok(kill(pid, SIGCONT));
        world_online(at(STOPPED));
        world_online(at(OFFLINE));
        world_even(&world);
    }
    world_end(&world);
}

/* Nothing is left to be said, and it does not take the time after which it would be by itself. */
static void it_returns_soon_where_all_are_on(struct e2e *f)
{
    enum { ROUNDS = 5 };
    if (world_begin(&world, f, 2) && world_even(&world) && wait_online(at(0), 1) &&
        wait_online(at(1), 1)) {
        uint64_t began = e2e_now_ms();
        e2e_ok(at(0), "persist sync --wait %s", at(0)->folder);
        for (unsigned i = 0; i < ROUNDS; i++) {
            char text[32];
            snprintf(text, sizeof text, "round %u\n", i);
            world_save(at(i % 2), "note", text);
            e2e_ok(at(i % 2), "persist sync --wait %s", at(i % 2)->folder);
            same_text(world_text(at(1 - i % 2), "note"), text);
        }
        printf("    %u rounds took %ju ms\n", ROUNDS, (uintmax_t)(e2e_now_ms() - began));
        e2e_refused(at(0), 2, "--timeout", "persist sync --timeout 5 %s", at(0)->folder);
        e2e_refused(at(0), 2, "--timeout", "persist sync --wait --timeout 0 %s", at(0)->folder);
    }
    world_end(&world);
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(who_is_online_is_waited_for_and_nobody_else),
        E2E_TEST(who_goes_offline_is_waited_for_no_longer),
        E2E_TEST(it_returns_soon_where_all_are_on),
    };
    return e2e_main(argc, argv, E2E_FRESH, tests, ARRAY_N(tests));
}
