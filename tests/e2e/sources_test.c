/* A device that returns and has three sources for what it missed: a server and two devices. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/e2e_log.h"
#include "tests/support/posix.h"
#include "tests/support/sync_world.h"

enum { ANNA, BERT, DORA, DEVICES, LINKS = 3 };
enum { LONG_MS = 300000, SOME = 2 << 20 };

static const uint64_t SMALL = 96 << 20, LARGE = 160 << 20; /* it has a middle that can be met */

static struct sync_world world;

static struct e2e *at(size_t i)
{
    return world_at(&world, i);
}

/* What came to Dora by each link. */
static void read_down(uint64_t ret[LINKS])
{
    e2e_sh(at(DORA), "persist status notes --json");
    for (size_t i = 0; i < LINKS; i++) {
        char place[32];
        snprintf(place, sizeof place, "remotes.%zu.down_bytes", i);
        ret[i] = strtoull(e2e_value(at(DORA), place), NULL, 10);
    }
}

static uint64_t all_down(void)
{
    uint64_t down[LINKS], sum = 0;
    read_down(down);
    for (size_t i = 0; i < LINKS; i++)
        sum += down[i];
    return sum;
}

static bool has_links(void *arg)
{
    (void)arg;
    e2e_sh(at(DORA), "persist status notes | grep -c 'up to date'");
    return atoi(at(DORA)->last.out) >= LINKS;
}

static bool is_even(void *arg)
{
    size_t i = *(size_t *)arg;
    return e2e_sh(at(i), "cmp %s notes/big", world_path(at(ANNA), "big"))->status == 0;
}

static void wait_even(size_t i)
{
    e2e_wait(is_even, &i, LONG_MS, "it has the big file");
}

/* Dora is linked with all three, and goes. Meanwhile the others get a file of so many bytes. */
static bool begin(struct e2e *f, uint64_t n)
{
    if (!world_begin(&world, f, DEVICES))
        return false;
    for (size_t i = 0; i < DORA; i++) {
        e2e_ok(at(i), "persist p2p --listen /ip4/127.0.0.1/tcp/0 --mdns off --json >p2p");
        e2e_sh(at(i), "cat p2p");
        char address[200];
        snprintf(address, sizeof address, "%s", e2e_value(at(i), "addresses.0"));
        e2e_ok(at(DORA), "persist p2p --peer %s", address);
    }
    e2e_wait(has_links, NULL, LONG_MS, "all links are up");
    world_offline(at(DORA));
    same(e2e_sh_within(at(ANNA), LONG_MS,
                       "head -c %llu /dev/urandom >notes/big && persist sync --wait notes",
                       (unsigned long long)n)
             ->status,
         0);
    wait_even(BERT);
    return holds(!exists(world_path(at(DORA), "big")));
}

/* What else came is some of it at most. */
static void expect_once(uint64_t came, uint64_t n)
{
    holds(came >= n && came < n + n / 4);
    if (came >= n + n / 4)
        fprintf(stderr, "    %llu bytes came\n", (unsigned long long)came);
}

static void several_bring_a_part_and_nothing_comes_twice(struct e2e *f)
{
    if (begin(f, SMALL)) {
        uint64_t before[LINKS], down[LINKS], sum = 0;
        unsigned sources = 0;
        read_down(before);
        world_online(at(DORA));
        wait_even(DORA);
        read_down(down);
        for (size_t i = 0; i < LINKS; i++) {
            sources += down[i] - before[i] >= SOME;
            sum += down[i] - before[i];
        }
        holds(sources >= 2); /* one link may have come late */
        expect_once(sum, SMALL);
        e2e_ok(at(DORA), "persist sync --wait notes");
        e2e_ok(at(DORA), "persist check notes");
    }
    world_end(&world);
}

static bool is_in_the_middle(void *arg)
{
    const uint64_t *before = arg;
    return all_down() >= *before + LARGE / 16;
}

static void one_is_killed_and_the_others_bring_the_rest(struct e2e *f)
{
    if (begin(f, LARGE)) {
        uint64_t before = all_down();
        world_online(at(DORA));
        e2e_wait(is_in_the_middle, &before, LONG_MS, "it is in the middle");
        world_server_stop(&world, SIGKILL);
        holds(!exists(world_path(at(DORA), "big")));
        wait_even(DORA);
        expect_once(all_down() - before, LARGE);
        e2e_ok(at(DORA), "persist check notes");
    }
    world_end(&world);
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(several_bring_a_part_and_nothing_comes_twice),
        E2E_TEST(one_is_killed_and_the_others_bring_the_rest),
    };
    return e2e_main(argc, argv, E2E_FRESH, tests, ARRAY_N(tests));
}
