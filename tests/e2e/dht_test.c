/* Devices that find each other in the DHT: by a peer that is no member of their folder, and no
 * address that they knew is right any more. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/e2e_log.h"
#include "tests/support/posix.h"
#include "tests/support/sync_world.h"

enum { ANNA, BERT, STRANGER };
enum { NOT_MS = 4000, BOOTSTRAPS_MAX = 16 };
enum { DAY_S = 86400, FAR_DAYS = 10 };

static struct sync_world world;

static struct e2e *at(size_t i)
{
    return world_at(&world, i);
}

static bool is_direct(void *arg)
{
    size_t i = *(size_t *)arg;
    e2e_sh(at(i), "persist status notes | grep -q '^  direct .* up to date'");
    return at(i)->last.status == 0;
}

static void wait_direct(size_t i)
{
    e2e_wait(is_direct, &i, 2 * E2E_LONG_MS, "its direct link is up to date");
}

/* From now on the clock of a device's mount is so many days off. */
static void set_clock(size_t i, int64_t days)
{
    int64_t off = days * DAY_S;
    int fd = open(world_path(at(i), "../clock"), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (ok(fd) >= 0)
        same(write(fd, &off, sizeof off), sizeof off);
    close(fd);
}

/* The first makes the folder, the other one clones it. */
static bool begin_device(size_t i)
{
    if (!holds(world_add(&world) != NULL))
        return false;
    set_clock(i, 0);
    setenv("PERSIST_TEST_CLOCK", world_path(at(i), "../clock"), 1);
    setenv("LD_PRELOAD", TEST_CLOCK, 1);
    bool there = i == ANNA ? world_found(&world, at(i)) : world_clone(&world, at(i));
    unsetenv("LD_PRELOAD");
    unsetenv("PERSIST_TEST_CLOCK");
    return there;
}

/* They listen elsewhere: no address that they know leads to the other. */
static bool move(const char *name)
{
    e2e_ok(at(BERT), "persist p2p --listen off");
    world_listen(at(ANNA));
    world_listen(at(BERT));
    world_save(at(ANNA), name, "of anna\n");
    usleep(NOT_MS * 1000);
    return holds(!exists(world_path(at(BERT), "%s", name)));
}

/* Both have met, without a server by now, and each is elsewhere. */
static bool part(struct e2e *f)
{
    e2e_allow_preload();
    if (!world_begin(&world, f, 0) || !begin_device(ANNA) || !begin_device(BERT))
        return false;
    world_even(&world);
    if (!holds(world_add(&world) != NULL)) /* who has no folder */
        return false;
    const char *bert = world_listen(at(BERT));
    world_listen(at(ANNA));
    e2e_ok(at(ANNA), "persist p2p --peer %s", bert);
    world_server_stop(&world, SIGTERM);
    wait_direct(ANNA);
    return move("apart.md");
}

static bool has_neighbour(void *arg)
{
    size_t i = *(size_t *)arg;
    e2e_sh(at(i), "persist p2p | grep '^dht ' | grep -q 'on, [1-9]'");
    return at(i)->last.status == 0;
}

static void both_ways(const char *name)
{
    world_save(at(ANNA), name, "of anna\n");
    world_wait_text(at(BERT), name, "of anna\n");
    world_save(at(BERT), name, "edited by bert\n");
    world_wait_text(at(ANNA), name, "edited by bert\n");
}

static void they_find_each_other_by_a_stranger(struct e2e *f)
{
    size_t bert = BERT;
    if (part(f)) {
        const char *stranger = world_listen(at(STRANGER));
        e2e_ok(at(STRANGER), "persist p2p --dht on >/dev/null");
        e2e_ok(at(ANNA), "persist p2p --bootstrap %s >/dev/null", stranger);
        e2e_ok(at(BERT), "persist p2p --bootstrap %s >/dev/null", stranger);
        e2e_wait(has_neighbour, &bert, E2E_LONG_MS, "it knows a peer of the DHT");
        wait_direct(BERT);
        world_wait_text(at(BERT), "apart.md", "of anna\n");
        both_ways("found.md");
        e2e_ok(at(STRANGER), "test -z \"$(ls $PERSIST_HOME/spaces 2>/dev/null)\"");
        for (size_t i = ANNA; i <= BERT; i++)
            e2e_ok(at(i), "persist check notes");
    }
    world_end(&world);
}

/* What was set is there after a start, and a device that moves is found where it is. */
static void one_that_moves_is_found_again(struct e2e *f)
{
    if (part(f)) {
        const char *stranger = world_listen(at(STRANGER));
        e2e_ok(at(STRANGER), "persist p2p --dht on >/dev/null");
        e2e_ok(at(BERT), "persist p2p --bootstrap %s >/dev/null", stranger);
        world_offline(at(BERT));
        world_offline(at(STRANGER));
        world_online(at(STRANGER));
        world_online(at(BERT));
        e2e_ok(at(ANNA), "persist p2p --bootstrap %s >/dev/null", stranger);
        wait_direct(ANNA);
        both_ways("found.md");
    }
    world_end(&world);
}

/* Who is in another DHT is found by nobody until it is in the same. */
static void the_dht_of_ipfs_is_another_one(struct e2e *f)
{
    size_t anna = ANNA;
    if (part(f)) {
        const char *stranger = world_listen(at(STRANGER));
        e2e_ok(at(STRANGER), "persist p2p --dht on --dht-protocol ipfs >/dev/null");
        e2e_ok(at(BERT), "persist p2p --bootstrap %s >/dev/null", stranger);
        e2e_ok(at(ANNA), "persist p2p --bootstrap %s --dht-protocol ipfs >/dev/null", stranger);
        e2e_wait(has_neighbour, &anna, E2E_LONG_MS, "it knows a peer of the DHT");
        e2e_ok(at(BERT), "persist p2p | grep -q '^dht *on, 0 neighbours, protocol persist$'");
        e2e_ok(at(BERT), "persist p2p --dht-protocol ipfs >/dev/null");
        world_offline(at(BERT));
        world_online(at(BERT));
        e2e_ok(at(BERT), "persist p2p | grep -q 'protocol ipfs$'");
        wait_direct(BERT);
        both_ways("found.md");
    }
    world_end(&world);
}

/* Clocks that are a day apart, and then both go to another day. */
static void names_change_with_the_day(struct e2e *f)
{
    if (part(f)) {
        const char *stranger = world_listen(at(STRANGER));
        e2e_ok(at(STRANGER), "persist p2p --dht on >/dev/null");
        set_clock(ANNA, 1);
        world_save(at(ANNA), "day.md", "the next\n");
        e2e_ok(at(ANNA), "persist p2p --bootstrap %s >/dev/null", stranger);
        e2e_ok(at(BERT), "persist p2p --bootstrap %s >/dev/null", stranger);
        wait_direct(BERT);
        both_ways("found.md");
        set_clock(ANNA, FAR_DAYS);
        world_save(at(ANNA), "day.md", "far away\n");
        world_wait_text(at(BERT), "day.md", "far away\n");
        holds(move("far.md"));
        set_clock(BERT, FAR_DAYS);
        world_save(at(BERT), "day.md", "of bert\n");
        wait_direct(BERT);
        world_wait_text(at(ANNA), "day.md", "of bert\n");
    }
    world_end(&world);
}

/* How the DHT is set, as a part of the JSON document. */
static void expect_set(const char *part)
{
    e2e_ok(at(ANNA), "persist p2p --json >p2p && cat p2p");
    if (strstr(at(ANNA)->last.out, part) == NULL)
        check_fail("\"%s\" is not in \"%s\"", part, at(ANNA)->last.out);
}

static void what_is_no_peer_changes_nothing(struct e2e *f)
{
    static const char set[] = "\"dht\":true,\"dht_protocol\":\"persist\","
                              "\"bootstrap\":[\"/ip4/192.0.2.7/tcp/4001\"],";
    if (world_begin(&world, f, 1)) {
        char many[BOOTSTRAPS_MAX * 48 + 48] = "";
        for (size_t i = 0; i <= BOOTSTRAPS_MAX; i++)
            strcat(many, " --bootstrap /ip4/192.0.2.8/tcp/4001");
        expect_set("\"dht\":false,\"dht_protocol\":\"persist\",\"bootstrap\":[],"
                   "\"neighbours\":0");
        const char *was = world_listen(at(ANNA));
        e2e_ok(at(ANNA), "persist p2p --bootstrap /ip4/192.0.2.7/tcp/4001 >/dev/null");
        expect_set(set);
        e2e_refused(at(ANNA), 2, "--dht is on or off", "persist p2p --dht perhaps");
        e2e_refused(at(ANNA), 2, "--dht-protocol is persist or ipfs",
                    "persist p2p --dht-protocol /ipfs/kad/1.0.0 --dht off");
        e2e_refused(at(ANNA), 2, "nowhere", "persist p2p --bootstrap nowhere --dht off");
        e2e_refused(at(ANNA), 2, "nowhere", "persist p2p --bootstrap nowhere --dht-protocol ipfs");
        e2e_refused(at(ANNA), 2, "bootstrap peer", "persist p2p --bootstrap /ip4/0.0.0.0/tcp/1");
        e2e_refused(at(ANNA), 2, "at most 16", "persist p2p%s", many);
        e2e_refused(at(ANNA), 2, "nowhere",
                    "persist p2p --listen /ip4/127.0.0.1/tcp/0 --mdns on --bootstrap nowhere");
        expect_set(set);
        expect_set("\"mdns\":false");
        expect_set(was);
        e2e_ok(at(ANNA), "persist p2p --dht off >p2p && grep -q '^dht *off$' p2p");
        e2e_ok(at(ANNA), "persist p2p --bootstrap none --dht on >/dev/null");
        expect_set("\"dht\":true,\"dht_protocol\":\"persist\",\"bootstrap\":[],");
    }
    world_end(&world);
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(they_find_each_other_by_a_stranger), E2E_TEST(one_that_moves_is_found_again),
        E2E_TEST(the_dht_of_ipfs_is_another_one),     E2E_TEST(names_change_with_the_day),
        E2E_TEST(what_is_no_peer_changes_nothing),
    };
    return e2e_main(argc, argv, E2E_FRESH, tests, ARRAY_N(tests));
}
