/* Devices that are computers of their own, on one local network: found there by multicast DNS, at
 * other addresses all of a sudden, and parted for a while. */
#include "tests/support/pair_world.h"
#include "tests/support/posix.h"
#include "tests/support/sync_world.h"

enum { DESK, PHONE, HOSTS };

static struct lan lan;

/* Both are paired, without a word of where they are. */
static bool begin(struct e2e *f)
{
    return pair_world_apart(f, &lan, HOSTS, false);
}

static void end(void)
{
    pair_world_apart_end(&lan);
}

static void expect_same(void)
{
    e2e_ok(phone, "diff -r notes %s && persist check notes", desk->folder);
    e2e_ok(desk, "persist check notes");
    same(world_named(desk, "conflict"), 0);
}

static void they_are_paired_and_linked_without_an_address(struct e2e *f)
{
    if (begin(f)) {
        pair_world_both_ways("next.md");
        expect_same();
    }
    end();
}

/* First one has another address, and finds the other where it was; then neither is where it was. */
static void who_has_another_address_is_found_there(struct e2e *f)
{
    if (begin(f)) {
        pair_world_both_ways("before.md");
        holds(lan_move(&lan, PHONE, "10.77.0.2/24", "10.77.0.9/24"));
        pair_world_both_ways("moved.md");
        holds(lan_move(&lan, PHONE, "10.77.0.9/24", "10.78.0.2/24"));
        holds(lan_move(&lan, DESK, "10.77.0.1/24", "10.78.0.1/24"));
        pair_world_both_ways("all-moved.md");
        expect_same();
    }
    end();
}

static void what_was_done_apart_is_in_one_when_the_network_heals(struct e2e *f)
{
    static const char merged[] = "one of the desk\n\ntwo\n\nthree of the phone\n";
    if (begin(f)) {
        world_save(desk, "plan.md", "one\n\ntwo\n\nthree\n");
        world_wait_text(phone, "plan.md", "one\n\ntwo\n\nthree\n");
        holds(lan_sh(lan.middle, "ip link set lan down"));
        world_save(desk, "plan.md", "one of the desk\n\ntwo\n\nthree\n");
        world_save(phone, "plan.md", "one\n\ntwo\n\nthree of the phone\n");
        world_save(desk, "desk.md", "of the desk\n");
        world_save(phone, "phone.md", "of the phone\n");
        pair_world_link(desk, "offline");
        pair_world_link(phone, "offline");
        holds(!exists(world_path(phone, "desk.md")) && !exists(world_path(desk, "phone.md")));
        holds(lan_sh(lan.middle, "ip link set lan up"));
        world_wait_text_within(desk, PAIR_WORLD_FOUND_MS, "plan.md", merged);
        world_wait_text_within(phone, PAIR_WORLD_FOUND_MS, "plan.md", merged);
        world_wait_text(phone, "desk.md", "of the desk\n");
        world_wait_text(desk, "phone.md", "of the phone\n");
        pair_world_both_ways("after.md");
        expect_same();
    }
    end();
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(they_are_paired_and_linked_without_an_address),
        E2E_TEST(who_has_another_address_is_found_there),
        E2E_TEST(what_was_done_apart_is_in_one_when_the_network_heals),
    };
    return e2e_main(argc, argv, E2E_FRESH, tests, ARRAY_N(tests));
}
