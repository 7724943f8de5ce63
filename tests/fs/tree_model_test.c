/*
 * Random operations on a local tree and on a model of it in memory: after each the answers agree,
 * and now and then everything is compared, byte for byte. In between the tree is closed and opened,
 * or its directory is copied as it stands and goes on from the copy, as after the death of the
 * process.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/crash_tree.h"

enum { ROUNDS = 24, OPS_PER_ROUND = 220, COMPARE_EVERY = 60 };

struct fixture {
    char dir[256];
    unsigned dirs_n;
    struct crash_tree c;
    struct crash_model *model;
    struct crash_rand rand;
    uint64_t ops_n, failed_n, published_n;
};

static void place(const struct fixture *f, char path[512])
{
    snprintf(path, 512, "%s/%u", f->dir, f->dirs_n);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    const char *dir = crash_temp_dir();
    assert_non_null(dir);
    snprintf(f->dir, sizeof f->dir, "%s", dir);
    f->model = crash_model_new();
    f->rand.s = crash_seed("tree_model");
    *state = f;
    char path[512];
    place(f, path);
    return crash_tree_open(&f->c, path);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    if (f->c.db != NULL)
        crash_tree_close(&f->c);
    crash_model_free(f->model);
    crash_remove_dir(f->dir);
    free(f);
    return 0;
}

static void compare(struct fixture *f, const char *when)
{
    char why[256] = "";
    if (!crash_model_same(f->model, &f->c.view, "", why))
        fail_msg("%s, %llu operations done: %s", when, (unsigned long long)f->ops_n, why);
    if (!crash_tree_sums_hold(&f->c, why))
        fail_msg("%s, %llu operations done: checksum: %s", when, (unsigned long long)f->ops_n, why);
}

static void publish_one(struct fixture *f)
{
    struct crash_op there;
    crash_model_choose(f->model, &f->rand, "", &there);
    struct attr a;
    if (crash_tree_find(&f->c, there.path, &a) < 0 || !S_ISREG(a.mode))
        return;
    int rc = crash_tree_publish(&f->c, there.path);
    if (rc < 0)
        fail_msg("publishing %s: %s", there.path, strerror(-rc));
    f->published_n++;
}

static void do_one(struct fixture *f)
{
    struct crash_op op;
    crash_model_choose(f->model, &f->rand, "", &op);
    int ought = crash_model_apply(f->model, &op), is = crash_tree_apply(&f->c, &op);
    if (getenv("CRASH_TRACE") != NULL)
        fprintf(stderr, "%llu: %s: %d\n", (unsigned long long)f->ops_n, crash_op_text(&op), is);
    if ((is < 0) != (ought < 0))
        fail_msg("operation %llu, %s: %s, has to be %s", (unsigned long long)f->ops_n,
                 crash_op_text(&op), strerror(-is), strerror(-ought));
    f->failed_n += is < 0;
    f->ops_n++;
    if (crash_chance(&f->rand, 15))
        crash_tree_hold(&f->c, (unsigned)crash_below(&f->rand, CRASH_HELD_MAX), op.path);
    if (crash_chance(&f->rand, 2))
        publish_one(f);
}

/* The database works in the background: a copy counts when nothing has moved meanwhile. */
static void copy_at_rest(const char *from, const char *to)
{
    for (int tries = 0; tries < 50; tries++) {
        uint64_t before = crash_dir_state(from);
        if (crash_copy_dir(from, to) == 0 && crash_dir_state(from) == before)
            return;
        crash_remove_dir(to);
        usleep(20000);
    }
    fail_msg("%s does not come to rest", from);
}

static void restart(struct fixture *f)
{
    char path[512], copy[512];
    place(f, path);
    bool clean = crash_chance(&f->rand, 30);
    if (!clean) {
        f->dirs_n++;
        place(f, copy);
        copy_at_rest(path, copy);
    }
    crash_tree_close(&f->c);
    if (!clean)
        crash_remove_dir(path);
    assert_int_equal(crash_tree_open(&f->c, clean ? path : copy), 0);
    compare(f, clean ? "after a restart" : "after a death");
}

static void random_operations_equal_the_model(void **state)
{
    struct fixture *f = *state;
    uint64_t rounds = crash_env("PERSIST_TEST_ROUNDS", ROUNDS);
    for (uint64_t round = 0; round < rounds; round++) {
        for (int i = 0; i < OPS_PER_ROUND; i++) {
            do_one(f);
            if (i % COMPARE_EVERY == 0)
                compare(f, "running");
        }
        restart(f);
    }
    printf("%llu operations, %llu of them refused, %llu files published, %zu names left\n",
           (unsigned long long)f->ops_n, (unsigned long long)f->failed_n,
           (unsigned long long)f->published_n, crash_model_names(f->model));
    assert_true(f->failed_n < f->ops_n / 2);
    assert_true(f->published_n > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(random_operations_equal_the_model, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
