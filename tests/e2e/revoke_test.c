/* A device is put out while all are connected: what becomes of it, and of the others. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/e2e_log.h"
#include "tests/support/posix.h"
#include "tests/support/sync_world.h"

enum { ANNA, BERT, CARL, DEVICES };
enum { NOT_MS = 1500 };

static struct sync_world world;

static struct e2e *at(size_t i)
{
    return world_at(&world, i);
}

static const char *id_of(size_t i)
{
    static char text[DEVICES][80];
    e2e_sh(at(i), "persist id --json");
    snprintf(text[i], sizeof text[i], "%s", e2e_value(at(i), "peer_id"));
    return text[i];
}

static bool is_cut(void *arg)
{
    (void)arg;
    e2e_sh(at(CARL), "persist remote list --json");
    return strcmp(e2e_value(at(CARL), "remotes.0.state"), "connected") != 0;
}

static bool is_refused(void *arg)
{
    (void)arg;
    e2e_sh(at(CARL), "persist status %s", at(CARL)->folder);
    return strstr(at(CARL)->last.out, "  refused") != NULL;
}

static void is_out_with_its_token(void)
{
    e2e_wait(is_cut, NULL, E2E_LONG_MS, "the session of who is out is cut");
    e2e_wait(is_refused, NULL, E2E_LONG_MS, "its token is dead");
    holds(strstr(at(CARL)->last.out, "  put out     by ") != NULL);
    e2e_ok(world.server,
           "persist token list --data %s >tokens && ! grep -qw d2 tokens && "
           "grep -qw d0 tokens && grep -qw d1 tokens",
           world.data);
    e2e_refused(at(CARL), 4, "member", "persist revoke --yes %s", id_of(ANNA));
}

static void the_others_go_on(void)
{
    world_save(at(CARL), "late.md", "after it was put out\n");
    world_save(at(CARL), "early.md", "overwritten after it was put out\n");
    world_save(at(ANNA), "anna.md", "of anna\n");
    world_save(at(BERT), "bert.md", "of bert\n");
    world_wait_text(at(BERT), "anna.md", "of anna\n");
    world_wait_text(at(ANNA), "bert.md", "of bert\n");
    e2e_ok(at(ANNA), "persist sync --wait notes");
    usleep(NOT_MS * 1000);
    for (size_t i = ANNA; i <= BERT; i++) {
        holds(!exists(world_path(at(i), "late.md")));
        same_text(world_text(at(i), "early.md"), "kept\n");
    }
    holds(!exists(world_path(at(CARL), "anna.md")) && !exists(world_path(at(CARL), "bert.md")));
    same_text(world_text(at(CARL), "late.md"), "after it was put out\n");
    e2e_ok(at(CARL), "persist unmount notes && persist mount notes");
    same_text(world_text(at(CARL), "late.md"), "after it was put out\n");
}

static void who_is_put_out_is_cut_and_the_others_go_on(struct e2e *f)
{
    if (world_begin(&world, f, DEVICES)) {
        at(CARL)->errors_expected = true;
        world_save(at(CARL), "early.md", "kept\n");
        world_wait_text(at(ANNA), "early.md", "kept\n");
        world_even(&world);
        const char *carl = id_of(CARL);
        e2e_refused(at(ANNA), 2, "--yes", "persist revoke %s </dev/null", carl);
        e2e_refused(at(ANNA), 3, "no device", "persist revoke --yes nobody");
        e2e_refused(at(ANNA), 3, "may be", "persist revoke --yes 12D3KooW");
        e2e_refused(at(ANNA), 2, "this device", "persist revoke --yes %s", id_of(ANNA));
        e2e_ok(at(ANNA), "persist revoke --yes %s >said && grep -q 'knows it' said", carl);
        is_out_with_its_token();
        the_others_go_on();
        e2e_refused(at(BERT), 1, "already", "persist revoke --yes %s", carl);
        e2e_ok(at(BERT),
               "persist peers >peers && ! grep -q %s peers && grep -q 'this device' peers", carl);
        e2e_ok(at(BERT), "persist peers --all --json >peers && grep -q %s peers", carl);
        e2e_ok(at(BERT), "persist peer show %s >peer && grep -q '  put out  .* by ' peer", carl);
        e2e_ok(at(BERT), "persist peer show --json %s >/dev/null", id_of(ANNA));
        for (size_t i = 0; i < DEVICES; i++)
            e2e_ok(at(i), "persist check %s", at(i)->folder);
    }
    world_end(&world);
}

/* While no server is reached, and without a mount: it is told later. */
static void a_server_that_was_not_reached_is_told_later(struct e2e *f)
{
    if (world_begin(&world, f, DEVICES)) {
        at(CARL)->errors_expected = true;
        world_even(&world);
        const char *carl = id_of(CARL);
        world_offline(at(ANNA));
        e2e_ok(at(ANNA), "persist unmount notes");
        e2e_ok(at(ANNA),
               "persist revoke --yes %s >said && grep -q 'is told when' said && "
               "grep -q 'passphrase' said",
               carl);
        world_save(at(CARL), "carl.md", "was not known to be out\n");
        world_wait_text(at(BERT), "carl.md", "was not known to be out\n");
        e2e_ok(at(ANNA), "persist mount notes");
        e2e_wait(is_refused, NULL, E2E_LONG_MS, "its token is dead");
        /* Bert had taken it in: it is bert's within a minute. */
        world_wait_text(at(BERT), "carl.md", "was not known to be out\n");
        world_save(at(ANNA), "anna.md", "of anna\n");
        world_wait_text(at(BERT), "anna.md", "of anna\n");
        holds(!exists(world_path(at(CARL), "anna.md")));
        /* The old passphrase lets nobody in, a new one does. */
        struct e2e *d = world_add(&world);
        if (d != NULL) {
            same(e2e_sh(d, "persist clone %s %s --token-file token --passphrase-file ../passphrase",
                        world.url, d->folder)
                         ->status != 0,
                 1);
            e2e_ok(at(ANNA),
                   "persist remote add %s notes --token-file token >added && "
                   "sed -n 's/^passphrase: //p' added >../passphrase && test -s ../passphrase",
                   world.url);
            world_clone(&world, d);
            world_wait_text(d, "anna.md", "of anna\n");
        }
    }
    world_end(&world);
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(who_is_put_out_is_cut_and_the_others_go_on),
        E2E_TEST(a_server_that_was_not_reached_is_told_later),
    };
    return e2e_main(argc, argv, E2E_FRESH, tests, ARRAY_N(tests));
}
