/*
 * What two contents have in common, and resolutions that merge only some of a conflict's contents.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/crash_rand.h"
#include "tests/support/replica_world.h"

enum { DEVICES = 3 };

static int setup(void **state)
{
    struct world *w = world_new(DEVICES);
    if (world_create(w, 0, "/f", "base") != 0)
        return -1;
    world_meet(w);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_free(*state);
    return 0;
}

#define DO(call) assert_int_equal(call, 0)

struct contents {
    struct replica_content v[16];
    size_t n;
    struct rid rid;
};

static int add(void *ctx, const struct replica_content *c)
{
    struct contents *l = ctx;
    assert_true(l->n < ARRAY_N(l->v));
    l->v[l->n++] = *c;
    return 0;
}

static struct contents contents_of(struct world *w, int i)
{
    struct replica_entry e;
    struct contents l = {.n = 0};
    DO(world_find(w, i, "/f", &e));
    l.rid = e.rid;
    DO(replica_contents(w->d[i].r, &e.rid, add, &l));
    return l;
}

/* The base of the two contents of the conflict at device @i. */
static void expect_base(struct world *w, int i, const char *content, bool whole)
{
    struct contents l = contents_of(w, i);
    struct replica_content base;
    struct value_content wanted;
    bool is_whole = !whole;
    assert_int_equal(l.n, 2);
    for (int turn = 0; turn < 2; turn++) {
        DO(replica_base(w->d[i].r, &l.rid, &l.v[turn].dot, 1, &l.v[1 - turn].dot, &base,
                        &is_whole));
        assert_int_equal(is_whole, whole);
        if (content == NULL) {
            assert_true(dot_is_none(&base.dot));
            continue;
        }
        world_content(w, i, content, &wanted);
        assert_false(dot_is_none(&base.dot));
        assert_memory_equal(base.hash, wanted.hash, HASH_SIZE);
    }
}

static void base_of_two_edits_is_what_both_edited(void **state)
{
    struct world *w = *state;
    DO(world_edit(w, 0, "/f", "next"));
    world_meet(w);
    DO(world_edit(w, 0, "/f", "a1"));
    DO(world_edit(w, 0, "/f", "a2"));
    DO(world_edit(w, 1, "/f", "b"));
    world_exchange(w);
    expect_base(w, 0, "next", true);
    expect_base(w, 1, "next", true);
    expect_base(w, 2, "next", true);
}

static void base_that_never_came_here_is_told(void **state)
{
    struct world *w = *state;
    DO(world_edit(w, 0, "/f", "next"));
    world_pull(w, 1, 0, -1);
    DO(world_edit(w, 0, "/f", "a"));
    DO(world_edit(w, 1, "/f", "b"));
    world_pull(w, 2, 0, -1);
    world_pull(w, 2, 1, -1);
    expect_base(w, 2, "base", false);
}

static void base_of_two_that_were_made_apart_is_none(void **state)
{
    (void)state;
    struct world *fresh = world_new(2);
    DO(world_create(fresh, 0, "/f", "a"));
    DO(world_create(fresh, 1, "/f", "b"));
    world_exchange(fresh);
    expect_base(fresh, 0, NULL, true);
    expect_base(fresh, 1, NULL, true);
    world_free(fresh);
}

static void base_of_contents_whose_last_steps_were_not_told_is_older(void **state)
{
    struct world *w = *state;
    DO(world_edit(w, 0, "/f", "same"));
    DO(world_edit(w, 1, "/f", "same"));
    DO(world_edit(w, 0, "/f", "a"));
    DO(world_edit(w, 1, "/f", "b"));
    world_exchange(w);
    expect_base(w, 0, "base", true); /* neither heard of the other's step */
    expect_base(w, 1, "base", true);
}

static void base_is_not_what_one_went_back_to(void **state)
{
    struct world *w = *state;
    DO(world_edit(w, 0, "/f", "next"));
    world_meet(w);
    DO(world_edit(w, 0, "/f", "base"));
    DO(world_edit(w, 1, "/f", "b"));
    world_exchange(w);
    expect_base(w, 0, "next", true);
    expect_base(w, 1, "next", true);
}

/* What was kept beside is seen, but not a part of what is shown. */
static void base_after_keeping_both_is_older_than_what_was_kept_beside(void **state)
{
    struct world *w = *state;
    DO(world_edit(w, 0, "/f", "a"));
    world_pull(w, 2, 0, -1);
    DO(world_edit(w, 1, "/f", "b"));
    world_pull(w, 0, 1, -1);
    struct contents l = contents_of(w, 0);
    DO(world_resolve_one(w, 0, &l.rid, RESOLVE_KEEP_BOTH, "", NULL,
                         0));        /* shows b, a is beside it */
    DO(world_edit(w, 2, "/f", "c")); /* of a */
    world_exchange(w);
    expect_base(w, 0, "base", true);
}

static void base_of_two_equal_merges_is_the_merge(void **state)
{
    struct world *w = *state;
    DO(world_edit(w, 0, "/f", "a"));
    DO(world_edit(w, 1, "/f", "b"));
    world_exchange(w);
    struct contents l = contents_of(w, 0);
    DO(world_resolve_one(w, 0, &l.rid, RESOLVE_MERGED, "ab", NULL, 0));
    DO(world_resolve_one(w, 1, &l.rid, RESOLVE_MERGED, "ab", NULL, 0));
    DO(world_edit(w, 0, "/f", "abc"));
    DO(world_edit(w, 1, "/f", "abd"));
    world_exchange(w);
    expect_base(w, 0, "ab", true);
    expect_base(w, 1, "ab", true);
}

/* ---- resolutions of a part ---- */

static int resolve_partly(struct world *w, int i, const struct contents *l, const char *merged,
                          const struct dot *beside, size_t n)
{
    struct value_content content;
    world_content(w, i, merged, &content);
    struct change *c = replica_begin(w->d[i].r, w->d[i].batch);
    assert_non_null(c);
    int rc = change_resolve(c, &l->rid, RESOLVE_MERGED, &content, beside, n);
    if (rc < 0) {
        replica_cancel(c);
        return rc;
    }
    DO(replica_commit(c, NULL));
    return world_write(w, i);
}

static void resolve_merges_some_and_puts_others_beside(void **state)
{
    struct world *w = *state;
    int named;
    DO(world_edit(w, 0, "/f", "a"));
    DO(world_edit(w, 1, "/f", "b"));
    DO(world_edit(w, 2, "/f", "c"));
    world_exchange(w);
    struct contents l = contents_of(w, 0);
    assert_int_equal(l.n, 3);
    assert_int_equal(resolve_partly(w, 0, &l, "x", &l.v[0].dot, 1), -EALREADY);
    assert_int_equal(resolve_partly(w, 0, &l, "x", &(struct dot){7, 7}, 1), -EALREADY);
    DO(resolve_partly(w, 0, &l, "ac", &l.v[1].dot, 1));
    DO(resolve_partly(w, 1, &l, "ac", &l.v[1].dot, 1));
    world_quiesce(w, RESOLVE_KEEP_BOTH);
    assert_true(world_has(w, 2, "/f", "ac"));
    assert_int_equal(world_count(w, 2, &named), 2);
    assert_int_equal(named, 1);
}

/* Each device resolves as it happens to, whole, in part or not at all: all end alike. */
static void resolve_in_any_parts_ends_alike(void **state)
{
    (void)state;
    unsigned seed = (unsigned)crash_seed("parts");
    for (unsigned run = 0; run < crash_share(150); run++, seed++) {
        struct world *w = world_new(DEVICES);
        w->unchecked = run % 10 != 0;
        srand(seed);
        DO(world_create(w, 0, "/f", "base"));
        world_exchange(w);
        int saves = 1;
        for (int step = 0; step < 40; step++) {
            int i = rand() % DEVICES, j = rand() % DEVICES;
            struct contents l = contents_of(w, i);
            char text[16];
            snprintf(text, sizeof text, "%d", rand() % 1000);
            if (rand() % 3 == 0) {
                saves += saves < 20 && world_edit(w, i, "/f", text) == 0;
            } else if (rand() % 2 == 0) {
                world_pull(w, i, j, -1);
            } else if (l.n > 1) {
                struct dot beside[16];
                size_t n = 0;
                for (size_t k = 1; k < l.n; k++)
                    if (rand() % 2 == 0)
                        beside[n++] = l.v[k].dot;
                int rc = resolve_partly(w, i, &l, text, beside, n);
                assert_true(rc == 0 || rc == -EAGAIN);
            }
        }
        int named;
        world_quiesce(w, RESOLVE_KEEP_BOTH);
        int entries = world_count(w, 0, &named);
        if (entries > saves || named != entries - 1)
            fail_msg("seed %u: %d entries of %d saves", seed, entries, saves);
        world_free(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        CASE(base_of_two_edits_is_what_both_edited),
        CASE(base_that_never_came_here_is_told),
        CASE(base_of_two_that_were_made_apart_is_none),
        CASE(base_of_contents_whose_last_steps_were_not_told_is_older),
        CASE(base_is_not_what_one_went_back_to),
        CASE(base_after_keeping_both_is_older_than_what_was_kept_beside),
        CASE(base_of_two_equal_merges_is_the_merge),
        CASE(resolve_merges_some_and_puts_others_beside),
        CASE(resolve_in_any_parts_ends_alike),
#undef CASE
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
