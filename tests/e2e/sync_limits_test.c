/*
 * What cannot go to the other devices: it is told, by name, what to do about it, and the rest goes
 * on.
 */
#include <stdio.h>
#include <stdlib.h>
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

/* What is not sent of the first device: the number of files. */
static long not_sent(void)
{
    char n[32];
    const struct e2e_result *r = e2e_sh(at(0), "persist status %s --json", at(0)->folder);
    return r->status == 0 && json_read_at(r->out, "not_sent_files", n, sizeof n)[0] != '\0'
               ? strtol(n, NULL, 10)
               : -1;
}

static bool is_not_sent(void *arg)
{
    return not_sent() == *(long *)arg;
}

static bool wait_not_sent(long n)
{
    return e2e_wait(is_not_sent, &n, WORLD_EVEN_MS, "telling what is not sent");
}

static void names_of_a_file_beyond_a_thousand_are_told(struct e2e *f)
{
    if (world_begin(&world, f, 2)) {
        e2e_ok(at(0), "cd %s && echo x > f && for i in $(seq 1003); do ln f n$i; done",
               at(0)->folder);
        wait_not_sent(4); /* with the first one there are 1004 */
        e2e_ok(at(0), "persist status %s", at(0)->folder);
        holds(strstr(at(0)->last.out, "the file has 1,000 other names") != NULL);
        e2e_ok(at(0), "grep -q 'not sent .*1,000 other names' %s/.persist/status", at(0)->folder);
        world_save(at(0), "other.md", "goes on");
        world_wait_text(at(1), "other.md", "goes on");
        e2e_until(at(1), "test $(ls notes | grep -c n) = 999");
        e2e_ok(at(0), "cd %s && ls | grep ^n | head -n 10 | xargs rm", at(0)->folder);
        e2e_ok(at(0), "persist sync --wait %s", at(0)->folder);
        wait_not_sent(0);
        world_even(&world);
    }
    world_end(&world);
}

static void what_is_too_deep_is_told(struct e2e *f)
{
    if (world_begin(&world, f, 2)) {
        e2e_ok(
            at(0),
            "cd %s && mkdir -p $(seq -s/ 1 250) && cd $(seq -s/ 1 250) && mkdir -p a/b/c/d/e/f/g/h"
            " && echo deep > a/note.md",
            at(0)->folder);
        wait_not_sent(1);
        e2e_ok(at(0), "persist status %s", at(0)->folder);
        holds(strstr(at(0)->last.out, "/250/a/b/c/d/e/f/g/h: it is more than 256 folders deep") !=
              NULL);
        world_save(at(0), "other.md", "goes on");
        world_wait_text(at(1), "other.md", "goes on");
        e2e_ok(at(0), "cd %s && mv $(seq -s/ 1 250)/a .", at(0)->folder);
        e2e_ok(at(0), "persist sync --wait %s", at(0)->folder);
        wait_not_sent(0);
        world_even(&world);
        same_text(world_text(at(1), "a/note.md"), "deep\n");
    }
    world_end(&world);
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(names_of_a_file_beyond_a_thousand_are_told),
        E2E_TEST(what_is_too_deep_is_told),
    };
    return e2e_main(argc, argv, E2E_FRESH, tests, ARRAY_N(tests));
}
