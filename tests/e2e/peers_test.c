/* Devices that link with each other directly, without a server and beside one. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/e2e_log.h"
#include "tests/support/posix.h"
#include "tests/support/sync_world.h"

enum { ANNA, BERT, CARL, DEVICES };
enum { NOT_MS = 1500, BIG_MIB = 24 };

static struct sync_world world;

static struct e2e *at(size_t i)
{
    return world_at(&world, i);
}

static bool all_is_direct(void *arg)
{
    size_t i = *(size_t *)arg;
    e2e_sh(at(i), "persist status notes | grep '^  direct' | grep -v 'up to date'; "
                  "persist status notes | grep -q '^  direct .* up to date'");
    return at(i)->last.status == 0 && at(i)->last.out[0] == '\0';
}

static void wait_direct(size_t i)
{
    e2e_wait(all_is_direct, &i, E2E_LONG_MS, "its direct links are up to date");
}

/* Anna and Carl each know Bert, and not each other. */
static void link_in_a_row(void)
{
    const char *bert = world_listen(at(BERT));
    for (size_t i = ANNA; i <= CARL; i += CARL - ANNA) {
        world_listen(at(i));
        e2e_ok(at(i), "persist p2p --peer %s", bert);
    }
}

/* All have the plan, and are linked in a row; then the server goes. */
static void go_on_without_server(void)
{
    world_save(at(ANNA), "plan.md", "one\n\ntwo\n\nthree\n");
    world_even(&world);
    link_in_a_row();
    world_server_stop(&world, SIGTERM);
    wait_direct(BERT);
}

static void both_ways(size_t i, size_t j, const char *name)
{
    char text[64];
    snprintf(text, sizeof text, "%s of %zu\n", name, i);
    world_save(at(i), name, text);
    world_wait_text(at(j), name, text);
    snprintf(text, sizeof text, "%s of %zu, edited by %zu\n", name, i, j);
    world_save(at(j), name, text);
    world_wait_text(at(i), name, text);
}

static void they_need_no_server(struct e2e *f)
{
    if (world_begin(&world, f, DEVICES)) {
        go_on_without_server();
        both_ways(ANNA, BERT, "next.md");
        both_ways(ANNA, CARL, "far.md");
        both_ways(CARL, ANNA, "back.md");
        e2e_ok(at(ANNA), "head -c %dM /dev/urandom >notes/big", BIG_MIB);
        world_even(&world);
        e2e_ok(at(CARL), "cmp %s notes/big", world_path(at(ANNA), "big"));
        e2e_ok(at(ANNA), "persist sync --wait notes");
        e2e_ok(at(ANNA), "persist peers >peers && test $(grep -c online peers) -ge 1");
        for (size_t i = 0; i < DEVICES; i++)
            e2e_ok(at(i), "persist check notes");
    }
    world_end(&world);
}

/* Edits of both while nothing links them, and a process that is killed meanwhile. */
static void what_was_done_apart_is_merged(struct e2e *f)
{
    if (world_begin(&world, f, DEVICES)) {
        go_on_without_server();
        world_offline(at(BERT));
        world_save(at(ANNA), "plan.md", "one of anna\n\ntwo\n\nthree\n");
        world_save(at(CARL), "plan.md", "one\n\ntwo\n\nthree of carl\n");
        world_online(at(BERT));
        world_wait_text(at(ANNA), "plan.md", "one of anna\n\ntwo\n\nthree of carl\n");
        world_wait_text(at(CARL), "plan.md", "one of anna\n\ntwo\n\nthree of carl\n");
        for (int i = 0; i < 3; i++) {
            char name[32];
            at(BERT)->errors_expected = true;
            e2e_ok(at(BERT), "pid=$(cat $PERSIST_HOME/run/sync.pid); kill -9 $pid; "
                             "while kill -0 $pid 2>/dev/null; do sleep 0.02; done");
            world_online(at(BERT)); /* it would start by itself, but not at once each time */
            snprintf(name, sizeof name, "killed%d.md", i);
            both_ways(ANNA, CARL, name);
        }
        world_even(&world);
    }
    world_end(&world);
}

/* One has no server at all, the others have both: all is everywhere, each by some way. */
static void with_a_server_and_without(struct e2e *f)
{
    if (world_begin(&world, f, DEVICES)) {
        world_even(&world);
        link_in_a_row();
        e2e_ok(at(CARL), "persist remote remove %s notes", world.url);
        wait_direct(BERT);
        both_ways(ANNA, CARL, "one.md");
        both_ways(CARL, BERT, "two.md");
        e2e_ok(at(BERT), "persist p2p --listen off");
        both_ways(ANNA, BERT, "three.md"); /* by the server */
        usleep(NOT_MS * 1000);
        holds(!exists(world_path(at(CARL), "three.md")));
        e2e_ok(at(CARL), "persist p2p --peer %s", world_listen(at(BERT)));
        world_even(&world);
    }
    world_end(&world);
}

static bool has_no_direct_link(void *arg)
{
    size_t i = *(size_t *)arg;
    e2e_sh(at(i), "persist status notes | grep '^  direct .* up to date'");
    return at(i)->last.out[0] == '\0';
}

static void who_is_put_out_is_served_no_more(struct e2e *f)
{
    if (world_begin(&world, f, DEVICES)) {
        size_t carl = CARL;
        world_even(&world);
        link_in_a_row();
        world_server_stop(&world, SIGTERM);
        wait_direct(BERT);
        at(CARL)->errors_expected = true;
        e2e_sh(at(CARL), "persist id --json");
        e2e_ok(at(BERT), "persist revoke --yes %s >/dev/null", e2e_value(at(CARL), "peer_id"));
        e2e_wait(has_no_direct_link, &carl, E2E_LONG_MS, "the link with who is out is cut");
        world_save(at(ANNA), "after.md", "not for carl\n");
        world_wait_text(at(BERT), "after.md", "not for carl\n");
        world_save(at(CARL), "carl.md", "for nobody\n");
        usleep(NOT_MS * 1000);
        holds(!exists(world_path(at(CARL), "after.md")));
        holds(!exists(world_path(at(BERT), "carl.md")));
    }
    world_end(&world);
}

static void what_is_no_address_changes_nothing(struct e2e *f)
{
    if (world_begin(&world, f, 1)) {
        e2e_refused(at(ANNA), 2, "on or off", "persist p2p --mdns perhaps");
        e2e_refused(at(ANNA), 2, "", "persist p2p --listen nowhere");
        e2e_refused(at(ANNA), 2, "/p2p/", "persist p2p --peer /ip4/127.0.0.1/tcp/4001");
        e2e_refused(at(ANNA), 1, "", "persist p2p --listen /ip4/192.0.2.1/tcp/4001");
        e2e_ok(at(ANNA), "persist p2p --listen off >p2p && grep -q '^direct .*off' p2p");
        const char *was = world_listen(at(ANNA));
        e2e_refused(at(ANNA), 2, "", "persist p2p --listen nowhere");
        e2e_ok(at(ANNA), "persist p2p >p2p && grep -q %s p2p", was);
    }
    world_end(&world);
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(they_need_no_server),
        E2E_TEST(what_was_done_apart_is_merged),
        E2E_TEST(with_a_server_and_without),
        E2E_TEST(who_is_put_out_is_served_no_more),
        E2E_TEST(what_is_no_address_changes_nothing),
    };
    return e2e_main(argc, argv, E2E_FRESH, tests, ARRAY_N(tests));
}
