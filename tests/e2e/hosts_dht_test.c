/* Devices that are computers of their own, in networks that a router joins: what they say on the
 * local network reaches nobody. */
#include "tests/support/pair_world.h"
#include "tests/support/posix.h"
#include "tests/support/sync_world.h"

enum { DESK, PHONE, STRANGER, HOSTS };

#define LEADS "/ip4/10.77.3.2/tcp/4001"

static struct lan lan;
static struct e2e *stranger;

/* Both were paired, by an address, and there is somebody without a folder who leads to the DHT. */
static bool begin(struct e2e *f)
{
    if (!pair_world_apart(f, &lan, HOSTS, true))
        return false;
    stranger = pair_world_device("stranger");
    stranger->net = lan.host[STRANGER];
    return e2e_ok(stranger, "persist p2p --listen " LEADS " --dht on >/dev/null");
}

static void end(void)
{
    pair_world_leave(stranger);
    stranger = NULL;
    pair_world_apart_end(&lan);
}

/* While both are off, each gets another address: neither knows where the other is. */
static void move_both(void)
{
    e2e_ok(phone, "persist unmount notes");
    e2e_ok(desk, "persist unmount notes");
    e2e_end_sync(phone);
    e2e_end_sync(desk);
    holds(lan_move(&lan, DESK, "10.77.1.2/24", "10.77.1.9/24"));
    holds(lan_move(&lan, PHONE, "10.77.2.2/24", "10.77.2.9/24"));
    holds(lan_sh(lan.middle, "ip neigh flush all"));
    e2e_ok(desk, "persist mount notes");
    e2e_ok(phone, "persist mount notes");
}

/* One has looked for the other at @there, where it was last: the router has found nobody. */
static void wait_missed(const char *there)
{
    lan_sh(lan.middle,
           "timeout %d sh -c 'until ip neigh show to %s | grep -q FAILED; do sleep 0.1; done'",
           PAIR_WORLD_FOUND_MS / 1000, there);
}

static void who_is_nowhere_to_be_seen_is_found_in_the_dht(struct e2e *f)
{
    if (begin(f)) {
        pair_world_both_ways("before.md");
        move_both();
        world_save(desk, "apart.md", "of the desk\n");
        wait_missed("10.77.1.2");
        wait_missed("10.77.2.2");
        holds(!exists(world_path(phone, "apart.md")));
        e2e_ok(desk, "persist p2p --bootstrap " LEADS " >/dev/null");
        e2e_ok(phone, "persist p2p --bootstrap " LEADS " >/dev/null");
        world_wait_text_within(phone, PAIR_WORLD_FOUND_MS, "apart.md", "of the desk\n");
        pair_world_both_ways("found.md");
        e2e_ok(stranger, "test -z \"$(ls $PERSIST_HOME/spaces 2>/dev/null)\"");
        e2e_ok(phone, "diff -r notes %s && persist check notes", desk->folder);
        e2e_ok(desk, "persist check notes");
    }
    end();
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(who_is_nowhere_to_be_seen_is_found_in_the_dht),
    };
    return e2e_main(argc, argv, E2E_FRESH, tests, ARRAY_N(tests));
}
