/*
 * Devices whose clocks are years off: one ahead, one behind, one right. Nothing is lost by it, and
 * once the clocks are right it is over.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/e2e_log.h"
#include "tests/support/posix.h"
#include "tests/support/sync_world.h"

enum { RIGHT, AHEAD, BEHIND, DEVICES };

static const int64_t ten_years = INT64_C(3650) * 24 * 3600;

static struct sync_world world;

static struct e2e *at(size_t i)
{
    return world_at(&world, i);
}

/* From now on the clock of a device is so many seconds off. */
static void set_clock(const struct e2e *d, int64_t off)
{
    int fd = open(world_path(d, "../clock"), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (ok(fd) >= 0)
        same(write(fd, &off, sizeof off), sizeof off);
    close(fd);
}

/* What is started from now on has the clock of @d; NULL: that of the machine. */
static void use_clock(const struct e2e *d)
{
    if (d == NULL) {
        unsetenv("LD_PRELOAD");
        unsetenv("PERSIST_TEST_CLOCK");
        return;
    }
    setenv("PERSIST_TEST_CLOCK", world_path(d, "../clock"), 1);
    setenv("LD_PRELOAD", TEST_CLOCK, 1);
}

static bool begin(struct e2e *f)
{
    static const int64_t off[DEVICES] = {0, ten_years, -ten_years};
    if (!world_begin(&world, f, 0))
        return false;
    for (size_t i = 0; i < DEVICES; i++) {
        struct e2e *d = world_add(&world);
        if (d == NULL)
            return false;
        set_clock(d, off[i]);
        use_clock(d);
        bool there = i == 0 ? world_found(&world, d) : world_clone(&world, d);
        use_clock(NULL);
        if (!there)
            return false;
    }
    return true;
}

/* Each saves over what the one before has saved: that is what all have then. */
static void save_in_turn(const char *round)
{
    static const unsigned turns[] = {AHEAD, RIGHT, BEHIND, AHEAD, BEHIND, RIGHT};
    for (size_t i = 0; i < ARRAY_N(turns); i++) {
        char text[64];
        snprintf(text, sizeof text, "%s: turn %zu, device %u\n", round, i, turns[i]);
        world_save(at(turns[i]), "note.md", text);
        for (size_t k = 0; k < DEVICES; k++)
            world_wait_text(at(k), "note.md", text);
    }
}

/* All save the same file at once, and one of their own: each is found on every device. */
static void save_at_once(const char *round)
{
    char name[64], token[64];
    for (size_t i = 0; i < DEVICES; i++)
        world_offline(at(i));
    for (size_t i = 0; i < DEVICES; i++) {
        snprintf(token, sizeof token, "%s: by device %zu\n", round, i);
        world_save(at(i), "same.md", token);
        snprintf(name, sizeof name, "%s-%zu.md", round, i);
        world_save(at(i), name, token);
    }
    for (size_t i = 0; i < DEVICES; i++) {
        use_clock(at(i));
        world_online(at(i));
        use_clock(NULL);
    }
    world_even(&world);
    for (size_t i = 0; i < DEVICES; i++)
        for (size_t by = 0; by < DEVICES; by++) {
            snprintf(name, sizeof name, "%s-%zu.md", round, by);
            snprintf(token, sizeof token, "%s: by device %zu\n", round, by);
            same_text(world_text(at(i), name), token);
            e2e_ok(at(i), "cat notes/same*.md | grep -q '%s: by device %zu'", round, by);
        }
    e2e_ok(at(0), "rm notes/'same (conflict'*.md");
    world_even(&world);
}

/* One saves, offline, what another one saves later: that is what is shown, the first is beside it.
 */
static void the_later_one_is_shown(unsigned first, unsigned later)
{
    char text[64];
    world_offline(at(first));
    world_save(at(first), "last.md", "by the first\n");
    e2e_ok(at(first), "persist log notes/last.md"); /* it is published by then */
    usleep(20 * 1000);
    snprintf(text, sizeof text, "by the later one, %u\n", later);
    world_save(at(later), "last.md", text);
    e2e_ok(at(later), "persist sync --wait %s", at(later)->folder);
    world_online(at(first));
    world_even(&world);
    for (size_t i = 0; i < DEVICES; i++)
        same_text(world_text(at(i), "last.md"), text);
    e2e_ok(at(first), "cat notes/'last (conflict'*.md");
    same_text(at(first)->last.out, "by the first\n");
    e2e_ok(at(first), "rm notes/'last (conflict'*.md");
    world_even(&world);
}

static void years_ahead_and_behind_lose_nothing(struct e2e *f)
{
    if (begin(f)) {
        save_in_turn("wrong");
        save_at_once("wrong");
        for (size_t i = 0; i < DEVICES; i++) {
            e2e_ok(at(i), "persist sync --wait %s && persist status %s", at(i)->folder,
                   at(i)->folder);
            contains(at(i)->last.out, "up to date");
            contains(at(i)->last.out, "last error  none");
        }
        for (size_t i = 1; i < DEVICES; i++)
            set_clock(at(i), 0);
        save_in_turn("right");
        save_at_once("right");
        the_later_one_is_shown(AHEAD, RIGHT);
        the_later_one_is_shown(RIGHT, AHEAD);
        the_later_one_is_shown(AHEAD, BEHIND);
        the_later_one_is_shown(BEHIND, RIGHT);
    }
    world_end(&world);
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {E2E_TEST(years_ahead_and_behind_lose_nothing)};
    e2e_allow_preload();
    return e2e_main(argc, argv, E2E_FRESH, tests, ARRAY_N(tests));
}
