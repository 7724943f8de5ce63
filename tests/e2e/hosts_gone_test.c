/* Devices whose computer is gone all of a sudden, without a word: that is told within seconds, by
 * all that had to do with it. What it took is printed. */
#include <stdio.h>
#include <unistd.h>

#include "tests/support/pair_world.h"
#include "tests/support/posix.h"
#include "tests/support/sync_world.h"

enum {
    NOTICED_MS = 9500, /* 5 s are promised, and this machine may be busy; pings alone take 10 s */
    REST_MS = 4000,    /* then nothing is under way any more */
};

static struct lan lan;
static uint64_t gone_ms;

static void rest(void)
{
    usleep(REST_MS * 1000);
}

/* The cable of host @i is out: nobody is told, and nothing answers. */
static void pull_out(size_t i)
{
    holds(lan_sh(lan.middle, "ip link set c%zu nomaster", i));
    gone_ms = e2e_now_ms();
}

static void plug_in(size_t i)
{
    holds(lan_sh(lan.middle, "ip link set c%zu master lan", i));
}

struct wanted {
    struct e2e *at;
    const char *state;
};

/* What @at says of the only other device. */
static bool is_other(void *arg)
{
    const struct wanted *w = arg;
    return e2e_sh(w->at, "persist peers notes | grep -v 'this device' | grep -q '  %s  '", w->state)
               ->status == 0;
}

static bool wait_other(struct e2e *at, const char *state)
{
    return e2e_wait(is_other, &(struct wanted){at, state}, PAIR_WORLD_FOUND_MS, state);
}

static void expect_noticed(struct e2e *at, const char *what)
{
    if (e2e_wait(is_other, &(struct wanted){at, "offline"}, NOTICED_MS, what))
        printf("%s: after %.1f s\n", what, (double)(e2e_now_ms() - gone_ms) / 1000);
}

static void comes_back(struct e2e *a, struct e2e *b, size_t host)
{
    plug_in(host);
    wait_other(a, "online");
    wait_other(b, "online");
}

static void a_peer_that_rested(struct e2e *f)
{
    if (pair_world_apart(f, &lan, 2, false) && wait_other(desk, "online") &&
        wait_other(phone, "online")) {
        pair_world_both_ways("next.md");
        rest();
        pull_out(1);
        expect_noticed(desk, "a peer that rested");
        expect_noticed(phone, "as that sees it");
        comes_back(desk, phone, 1);
        pair_world_both_ways("again.md");
    }
    pair_world_apart_end(&lan);
}

/* Then what is under way hides the kernel's own questions. */
static void a_peer_that_is_being_sent_to(struct e2e *f)
{
    if (pair_world_apart(f, &lan, 2, false) && wait_other(desk, "online")) {
        pid_t saves = e2e_start(desk, "while :; do date +%%N >notes/beat.md; sleep 0.1; done");
        e2e_until(phone, "test -s notes/beat.md");
        pull_out(1);
        expect_noticed(desk, "a peer that is being sent to");
        e2e_stop(saves);
        world_save(desk, "after.md", "of the desk\n");
        comes_back(desk, phone, 1);
        world_wait_text_within(phone, PAIR_WORLD_FOUND_MS, "after.md", "of the desk\n");
    }
    pair_world_apart_end(&lan);
}

static void a_device_of_a_server(struct e2e *f)
{
    struct sync_world w = {0};
    if (holds(lan_bridged(&lan, 3)) && world_begin_apart(&w, f, 2, &lan)) {
        struct e2e *a = world_at(&w, 0), *b = world_at(&w, 1);
        wait_other(a, "online");
        world_save(a, "one.md", "one\n");
        world_wait_text(b, "one.md", "one\n");
        rest();
        pull_out(1);
        expect_noticed(a, "a device, as the server tells it");
        comes_back(a, b, 1);
        world_save(b, "two.md", "two\n");
        world_wait_text(a, "two.md", "two\n");
    }
    world_end(&w);
    lan_end(&lan);
}

static void a_server(struct e2e *f)
{
    struct sync_world w = {0};
    if (holds(lan_bridged(&lan, 2)) && world_begin_apart(&w, f, 1, &lan)) {
        struct e2e *a = world_at(&w, 0);
        world_wait_link(a, "connected");
        rest();
        pull_out(1);
        if (world_wait_link(a, "down"))
            printf("a server: after %.1f s\n", (double)(e2e_now_ms() - gone_ms) / 1000);
        holds(e2e_now_ms() - gone_ms < NOTICED_MS);
        plug_in(1);
        world_wait_link(a, "connected");
    }
    world_end(&w);
    lan_end(&lan);
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(a_peer_that_rested),
        E2E_TEST(a_peer_that_is_being_sent_to),
        E2E_TEST(a_device_of_a_server),
        E2E_TEST(a_server),
    };
    return e2e_main(argc, argv, E2E_FRESH, tests, ARRAY_N(tests));
}
