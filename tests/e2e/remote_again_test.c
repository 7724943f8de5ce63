/* A server that is added again, to change its token or interval: what stays, what an add that fails
 * undoes, and two adds at once.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/e2e_log.h"
#include "tests/support/json_read.h"
#include "tests/support/posix.h"
#include "tests/support/sync_world.h"

static struct sync_world world;

static struct e2e *at(size_t i)
{
    return world_at(&world, i);
}

/* Another token of a device's, which was never used: the server takes it, and then it is bound. */
static void make_token(struct e2e *d, const char *file)
{
    e2e_ok(world.server, "persist token create --user alice --label again --data %s >%s/%s",
           world.data, d->top, file);
}

static void check_remote(struct e2e *d, const char *interval)
{
    e2e_ok(d, "persist remote list --json");
    same(json_read_count(d->last.out, "remotes"), 1);
    same_text(e2e_value(d, "remotes.0.url"), world.url);
    same_text(e2e_value(d, "remotes.0.interval_s"), interval);
}

static void adding_again_keeps_the_passphrase(struct e2e *f)
{
    if (world_begin(&world, f, 1)) {
        struct e2e *d = at(0);
        e2e_ok(d, "persist sync --wait notes");
        e2e_ok(d, "persist remote add %s notes --token-file token --interval 7", world.url);
        holds(strstr(d->last.out, "passphrase: ") == NULL);
        contains(d->last.out, "stays as it is");
        check_remote(d, "7");
        /* Before the mount has sent what a passphrase opens, too. */
        e2e_ok(d, "persist unmount notes && persist remote remove %s notes", world.url);
        e2e_ok(d, "persist remote add %s notes --token-file token >out", world.url);
        e2e_ok(d, "sed -n 's/^passphrase: //p' out >../passphrase && test -s ../passphrase");
        e2e_ok(d, "persist remote add %s notes --token-file token --interval 8", world.url);
        contains(d->last.out, "stays as it is");
        e2e_mount(d, NULL);
        e2e_ok(d, "persist sync --wait notes");
        struct e2e *other = world_add(&world);
        if (other != NULL)
            world_clone(&world, other);
        world_even(&world);
        /* One that is given holds. */
        e2e_ok(d,
               "echo 'a passphrase of mine' >../passphrase && persist remote add %s notes "
               "--token-file token --passphrase-file ../passphrase",
               world.url);
        other = world_add(&world);
        if (other != NULL)
            world_clone(&world, other);
        world_even(&world);
    }
    world_end(&world);
}

static void an_add_that_fails_undoes_no_more_than_itself(struct e2e *f)
{
    if (world_begin(&world, f, 2)) {
        struct e2e *d = at(0);
        e2e_ok(d, "persist remote add %s notes --token-file token --interval 7", world.url);
        make_token(d, "second");
        e2e_unmount(d);
        e2e_ok(d, "cksum <home/sync/tokens >before && mv home/spaces/*/db/CURRENT kept");
        e2e_sh(d,
               "persist remote add %s notes --token-file second --interval 9 "
               "--passphrase-file ../passphrase",
               world.url);
        holds(d->last.status != 0);
        check_remote(d, "7");
        e2e_ok(d, "cksum <home/sync/tokens | cmp - before");
        /* One that was not there before is not there after. */
        e2e_ok(d, "persist remote remove %s notes", world.url);
        e2e_sh(d, "persist remote add %s notes --token-file token", world.url);
        holds(d->last.status != 0);
        e2e_ok(d, "persist remote list --json");
        same(json_read_count(d->last.out, "remotes"), 0);
        e2e_ok(d, "for db in home/spaces/*/db; do mv kept $db/CURRENT; done");
        e2e_ok(d, "persist remote add %s notes --token-file token", world.url);
        e2e_mount(d, NULL);
        world_even(&world);
    }
    world_end(&world);
}

/* How many passphrases two adds at once show. */
static void two_at_once_show_one_passphrase(struct e2e *f)
{
    if (world_begin(&world, f, 1)) {
        struct e2e *d = at(0);
        for (int mounted = 1; mounted >= 0; mounted--) {
            e2e_ok(d, "persist remote remove %s notes", world.url);
            if (!mounted)
                e2e_unmount(d);
            e2e_ok(d,
                   "for i in 1 2; do persist remote add %s notes --token-file token >out.$i & "
                   "p=\"$p $!\"; done; for i in $p; do wait $i || exit 1; done",
                   world.url);
            e2e_ok(d, "cat out.1 out.2 | sed -n 's/^passphrase: //p' | tee ../passphrase | wc -l");
            same_text(d->last.out, "1\n");
        }
        e2e_mount(d, NULL);
        e2e_ok(d, "persist sync --wait notes");
        struct e2e *other = world_add(&world);
        if (other != NULL)
            world_clone(&world, other);
        world_even(&world);
    }
    world_end(&world);
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(adding_again_keeps_the_passphrase),
        E2E_TEST(an_add_that_fails_undoes_no_more_than_itself),
        E2E_TEST(two_at_once_show_one_passphrase),
    };
    return e2e_main(argc, argv, E2E_FRESH, tests, ARRAY_N(tests));
}
