/*
 * A token that is revoked while much is on its way: what goes up or down with it is cut at once,
 * half a file is shown nowhere, and with a new token all goes on.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/e2e_log.h"
#include "tests/support/json_read.h"
#include "tests/support/posix.h"
#include "tests/support/sync_world.h"

enum { MUCH_MIB = 200, PART = 20 << 20, AFTER_MS = 300000 };

static struct sync_world world;

static struct e2e *at(size_t i)
{
    return world_at(&world, i);
}

static bool revoke_token(const char *label)
{
    return e2e_ok(world.server,
                  "persist token list --json --data %s | tr '{' '\\n' | grep '\"label\":\"%s\"' | "
                  "sed 's/.*\"id\":\"\\([^\"]*\\)\".*/\\1/' | tail -n 1 >id && test -s id && "
                  "persist token revoke $(cat id) --data %s",
                  world.data, label, world.data);
}

/* Links the device again, with another token. */
static void add_again(struct e2e *d, const char *label)
{
    e2e_ok(world.server, "persist token create --user alice --label %s --data %s >%s/token", label,
           world.data, d->top);
    e2e_ok(d, "persist remote add %s %s --token-file token --passphrase-file ../passphrase",
           world.url, d->folder);
}

/* The bytes that a device has sent (or got) so far. */
static uint64_t moved(struct e2e *d, const char *what)
{
    char n[32], place[64];
    snprintf(place, sizeof place, "remotes.0.%s", what);
    e2e_sh(d, "persist status %s --json", d->folder);
    return strtoull(json_read_at(d->last.out, place, n, sizeof n), NULL, 10);
}

struct transfer {
    struct e2e *d;
    const char *what;
    uint64_t from;
};

static bool is_under_way(void *arg)
{
    const struct transfer *t = arg;
    return moved(t->d, t->what) >= t->from + PART;
}

static bool is_refused(void *arg)
{
    struct e2e *d = arg;
    e2e_sh(d, "persist status %s", d->folder);
    return strstr(d->last.out, "  refused") != NULL;
}

/* Revokes the token of a device in the middle of a transfer, which ends there. */
static void cut(struct transfer *t, const char *label)
{
    char rate[32];
    e2e_wait(is_under_way, t, AFTER_MS, "the transfer");
    snprintf(rate, sizeof rate, "remotes.0.%s_s", t->what);
    holds(strtoull(e2e_value(t->d, rate), NULL, 10) > 0);
    if (!revoke_token(label) || !e2e_wait(is_refused, t->d, E2E_LONG_MS, "the refusal"))
        return;
    holds(strstr(t->d->last.out, "token") != NULL &&
          strstr(t->d->last.out, "'persist remote add' takes a new one") != NULL);
    uint64_t then = moved(t->d, t->what);
    holds(then < t->from + ((uint64_t)MUCH_MIB << 20));
    usleep(1000 * 1000);
    same(moved(t->d, t->what), then);
}

static void a_revoked_token_cuts_transfers_and_a_new_one_goes_on(struct e2e *f)
{
    if (world_begin(&world, f, 3)) {
        world_offline(at(2));
        same(e2e_sh_within(at(0), AFTER_MS,
                           "head -c %dM /dev/urandom >up.bin && sha256sum <up.bin >sum", MUCH_MIB)
                 ->status,
             0);
        struct transfer up = {at(0), "up_bytes", moved(at(0), "up_bytes")};
        pid_t copy = e2e_start(at(0), "exec cp up.bin notes");
        cut(&up, "d0");
        e2e_wait_gone(copy, AFTER_MS);
        e2e_stop(copy);
        /* The others go on, and see nothing of it. */
        world_save(at(1), "note.md", "goes on\n");
        e2e_ok(at(1), "persist sync --wait %s", at(1)->folder);
        holds(!exists(world_path(at(1), "up.bin")));
        same(world_named(at(1), ""), 3); /* the note, "." and ".." */
        world_save(at(0), "unsent.md", "not lost\n");
        add_again(at(0), "d0-new");
        world_wait_text(at(1), "unsent.md", "not lost\n");
        same(e2e_sh_within(at(0), AFTER_MS, "persist sync --wait notes")->status, 0);
        /* Down. */
        world_online(at(2));
        struct transfer down = {at(2), "down_bytes", 0};
        cut(&down, "d2");
        holds(!exists(world_path(at(2), "up.bin")));
        add_again(at(2), "d2-new");
        world_even_within(&world, AFTER_MS);
        for (size_t i = 0; i < 3; i++)
            e2e_ok(at(i), "sha256sum <notes/up.bin | cmp - ../d0/sum");
        same(world_named(at(0), "conflict"), 0);
    }
    world_end(&world);
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(a_revoked_token_cuts_transfers_and_a_new_one_goes_on),
    };
    return e2e_main(argc, argv, E2E_FRESH, tests, ARRAY_N(tests));
}
