/*
 * Replicas that ended: what is void is taken over, and all devices hold the same again. Directed
 * cases, then random histories in which two devices write under one id, and others hear of the one,
 * the other or both. After every step the derived state is compared with a full derivation. Each
 * history has a seed, which is printed: PERSIST_TEST_SEED is the first one's, PERSIST_RUNS how
 * many.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/support/crash_rand.h"
#include "tests/support/replica_world.h"

#define DO(call) assert_int_equal(call, 0)

/* Two devices that hear, and two that write under one id: the second is a copy of the first. */
enum { ANNA, BERT, FORKED, COPY, DEVICES, FORKED_ID = FORKED + 1, NEW_ID = 20 };

struct run {
    struct world *w;
    uint64_t random;
    struct dot end; /* of the forked id, once it is known */
    int saves;
    int n; /* devices that are left */
};

static void begin(struct run *run)
{
    *run = (struct run){.w = world_new(DEVICES), .n = DEVICES};
    assert_non_null(run->w);
}

static int setup(void **state)
{
    static struct run run;
    begin(&run);
    *state = &run;
    return 0;
}

static int teardown(void **state)
{
    struct run *run = *state;
    world_free(run->w);
    return 0;
}

/* What ANNA, BERT and FORKED have done so far is known to all; then FORKED's disk is copied. */
static void fork_now(struct run *run)
{
    struct buf disk = {0};
    struct world *w = run->w;
    world_exchange(w);
    world_copy(w, FORKED, &disk);
    world_restore(w, COPY, buf_bytes(&disk));
    buf_fini(&disk);
    w->d[COPY].id = FORKED_ID;
    w->d[COPY].signed_to = w->d[FORKED].signed_to;
    run->end = (struct dot){FORKED_ID, vv_get(replica_knowledge(w->d[FORKED].r), FORKED_ID)};
}

static bool is_void(const struct run *run, const struct dot *dot)
{
    return dot->replica == run->end.replica && dot->counter > run->end.counter;
}

/* As world_pull(). @ended: void ones do not go. */
static void pull(struct run *run, int to, int from, bool ended)
{
    struct device *d = &run->w->d[to];
    struct replica_stream *s;
    struct buf change = {0};
    struct dot dot;
    world_sign(run->w, from);
    DO(replica_stream_new(run->w->d[from].r, replica_knowledge(d->r), &s));
    int rc;
    while ((rc = replica_stream_next(s, &dot, &change)) == 1) {
        if (ended && is_void(run, &dot))
            continue;
        int taken = replica_apply(d->r, d->batch, buf_bytes(&change), world_head(run->w, &dot));
        assert_true(taken >= 0);
        if (taken == 1)
            DO(world_write(run->w, to));
    }
    DO(rc);
    DO(replica_know(d->r, d->batch, replica_stream_knowledge(s)));
    DO(world_write(run->w, to));
    buf_fini(&change);
    replica_stream_free(s);
}

static void pull_all(struct run *run, bool ended)
{
    for (int round = 0; round < 2; round++)
        for (int a = 0; a < run->n; a++)
            for (int b = 0; b < run->n; b++)
                if (a != b)
                    pull(run, a, b, ended);
}

static void say_end(struct run *run, int i)
{
    struct device *d = &run->w->d[i];
    DO(replica_set_ends(d->r, &run->end, 1));
    assert_true(replica_end(d->r, d->batch) >= 0);
    DO(world_write(run->w, i));
    assert_true(vv_get(replica_knowledge(d->r), FORKED_ID) <= run->end.counter);
}

/* An owner goes on under a new id. */
static void renew(struct run *run, int i)
{
    struct device *d = &run->w->d[i];
    d->id = NEW_ID + (uint64_t)i;
    d->signed_to = 0;
    DO(replica_renew(d->r, d->batch, d->id, run->end.counter));
    DO(world_write(run->w, i));
}

/* The first @n hear of the end, owners among them go on. */
static void end_fork(struct run *run, int n)
{
    run->n = n;
    for (int i = FORKED; i < n; i++)
        renew(run, i);
    for (int i = 0; i < n; i++)
        say_end(run, i);
}

/* How many own changes it took. */
static uint64_t adopt(struct run *run, int i, bool alone)
{
    struct device *d = &run->w->d[i];
    uint64_t before = vv_get(replica_knowledge(d->r), d->id);
    int rc = replica_adopt(d->r, d->batch, alone, 2);
    while (rc > 0) {
        DO(world_write(run->w, i));
        rc = alone ? replica_adopt(d->r, d->batch, alone, 2) : 0;
    }
    DO(rc);
    assert_true(!alone || replica_has_void(d->r) == 0);
    return vv_get(replica_knowledge(d->r), d->id) - before;
}

static int note_value(void *ctx, const struct value *v)
{
    struct buf *b = ctx;
    value_encode(v, VALUE_STORED, b);
    return buf_status(b);
}

/* All show the same, hold the same values, and know the same; nothing void. */
static void expect_equal(struct run *run)
{
    struct buf first = {0}, other = {0};
    for (int i = 0; i < run->n; i++) {
        struct buf *b = i == 0 ? &first : &other;
        buf_reset(b);
        world_show(run->w, i, b);
        DO(replica_values(run->w->d[i].r, note_value, b));
        DO(replica_has_void(run->w->d[i].r));
        assert_true(world_same_digest(run->w, 0, i));
        if (i > 0)
            assert_true(bytes_equal(buf_bytes(&first), buf_bytes(&other)));
        assert_true(vv_equal(replica_knowledge(run->w->d[0].r), replica_knowledge(run->w->d[i].r)));
    }
    buf_fini(&first);
    buf_fini(&other);
}

static void meet(struct run *run)
{
    pull_all(run, true);
    for (int i = 0; i < run->n; i++) {
        adopt(run, i, true);
        pull_all(run, true);
    }
    expect_equal(run);
}

/* A file with these bytes is shown, or they are one side of an open conflict. */
static bool is_somewhere(struct run *run, int i, const char *text)
{
    size_t n;
    bool found = false;
    char **paths = world_paths(run->w, i, &n);
    for (size_t k = 0; k < n; k++)
        found = found || world_has(run->w, i, paths[k], text);
    world_paths_free(paths, n);
    return found;
}

/* ---- cases -------------------------------------------------------------------------------------
 */

static void both_forms_live_on(void **state)
{
    struct run *run = *state;
    struct world *w = run->w;
    DO(world_create(w, ANNA, "/a", "before"));
    fork_now(run);
    DO(world_edit(w, FORKED, "/a", "of the original"));
    DO(world_create(w, FORKED, "/b", "b"));
    DO(world_edit(w, COPY, "/a", "of the copy"));
    DO(world_create(w, COPY, "/c", "c"));
    pull(run, ANNA, FORKED, false);
    pull(run, BERT, COPY, false);
    end_fork(run, DEVICES);
    meet(run);
    world_quiesce(w, RESOLVE_KEEP_BOTH);
    for (int i = 0; i < DEVICES; i++) {
        assert_true(is_somewhere(run, i, "of the original"));
        assert_true(is_somewhere(run, i, "of the copy"));
        assert_true(world_has(w, i, "/b", "b"));
        assert_true(world_has(w, i, "/c", "c"));
        assert_int_equal(world_count(w, i, NULL), 4);
    }
}

/* The owners are gone: who holds a form takes it over, the first one for all. */
static void one_is_enough(void **state)
{
    struct run *run = *state;
    struct world *w = run->w;
    DO(world_create(w, ANNA, "/a", "before"));
    fork_now(run);
    DO(world_edit(w, COPY, "/a", "after"));
    DO(world_create(w, COPY, "/c", "c"));
    pull(run, ANNA, COPY, false);
    pull(run, BERT, COPY, false);
    say_end(run, ANNA);
    say_end(run, BERT);
    assert_int_equal(adopt(run, BERT, false), 0);
    assert_int_equal(adopt(run, ANNA, true), 2);
    pull(run, BERT, ANNA, true);
    assert_int_equal(adopt(run, BERT, true), 0);
    end_fork(run, DEVICES);
    meet(run);
    for (int i = 0; i < DEVICES; i++) {
        assert_true(world_has(w, i, "/a", "after"));
        assert_true(world_has(w, i, "/c", "c"));
        assert_int_equal(world_count(w, i, NULL), 2);
    }
}

/* The copy, whose deletions they were, is gone. */
static void deletions_are_taken_back(void **state)
{
    struct run *run = *state;
    struct world *w = run->w;
    DO(world_mkdir(w, ANNA, "/d"));
    DO(world_create(w, ANNA, "/d/f", "f"));
    DO(world_create(w, ANNA, "/g", "g"));
    DO(world_create(w, ANNA, "/h", "h"));
    fork_now(run);
    DO(world_rmtree(w, COPY, "/d"));
    DO(world_rm(w, COPY, "/g"));
    DO(world_rm(w, COPY, "/h"));
    pull(run, ANNA, COPY, false);
    pull(run, BERT, COPY, false);
    DO(world_rm(w, FORKED, "/h")); /* it says so again, so this one stays deleted */
    end_fork(run, COPY);
    meet(run);
    for (int i = ANNA; i < COPY; i++) {
        assert_true(world_has(w, i, "/d/f", "f"));
        assert_true(world_has(w, i, "/g", "g"));
        assert_int_equal(world_find(w, i, "/h", &(struct replica_entry){0}), -ENOENT);
    }
}

/* What somebody deleted after all stays so. */
static void what_others_deleted_stays_deleted(void **state)
{
    struct run *run = *state;
    struct world *w = run->w;
    DO(world_create(w, ANNA, "/a", "a"));
    DO(world_create(w, ANNA, "/b", "b"));
    DO(world_create(w, ANNA, "/c", "c"));
    fork_now(run);
    DO(world_edit(w, COPY, "/a", "void"));
    DO(world_rm(w, COPY, "/b"));
    DO(world_mv(w, COPY, "/c", "/moved"));
    pull(run, ANNA, COPY, false);
    pull(run, BERT, COPY, false);
    DO(world_rm(w, BERT, "/a"));
    DO(world_rm(w, BERT, "/moved"));
    DO(world_rm(w, FORKED, "/b"));
    end_fork(run, COPY);
    meet(run);
    for (int i = ANNA; i < COPY; i++) {
        assert_int_equal(world_find(w, i, "/a", &(struct replica_entry){0}), -ENOENT);
        assert_int_equal(world_find(w, i, "/moved", &(struct replica_entry){0}), -ENOENT);
        assert_int_equal(world_find(w, i, "/b", &(struct replica_entry){0}), -ENOENT);
    }
}

/* An own edit beside a void one: own values of a file stay a chain, and both contents are there. */
static void a_void_edit_beside_an_own_one(void **state)
{
    struct run *run = *state;
    struct world *w = run->w;
    struct buf change = {0};
    DO(world_create(w, ANNA, "/a", "a"));
    fork_now(run);
    DO(world_edit(w, ANNA, "/a", "anna's"));
    DO(world_chmod(w, ANNA, "/a", 0640));
    DO(world_edit(w, COPY, "/a", "void"));
    DO(world_chmod(w, COPY, "/a", 0600));
    pull(run, ANNA, COPY, false);
    end_fork(run, FORKED);
    assert_int_equal(adopt(run, ANNA, true), 2);
    /* Bert hears of the first of these changes alone, and writes over it. */
    struct dot dot = {w->d[ANNA].id, vv_get(replica_knowledge(w->d[ANNA].r), w->d[ANNA].id) - 1};
    DO(replica_change_get(w->d[ANNA].r, &dot, &change));
    assert_int_equal(replica_apply(w->d[BERT].r, w->d[BERT].batch, buf_bytes(&change), NULL), 1);
    DO(world_write(w, BERT));
    buf_fini(&change);
    assert_true(world_has(w, BERT, "/a", "void"));
    DO(world_edit(w, BERT, "/a", "bert's"));
    meet(run);
    for (int i = ANNA; i <= BERT; i++) {
        assert_true(world_has(w, i, "/a", "bert's"));
        assert_true(is_somewhere(run, i, "anna's"));
    }
}

/* What was written over one form replaces no other. */
static void a_form_is_not_replaced_by_what_saw_another(void **state)
{
    struct run *run = *state;
    struct world *w = run->w;
    DO(world_create(w, ANNA, "/a", "a"));
    fork_now(run);
    DO(world_edit(w, FORKED, "/a", "of the original"));
    DO(world_edit(w, COPY, "/a", "of the copy"));
    pull(run, ANNA, FORKED, false);
    pull(run, BERT, COPY, false);
    DO(world_edit(w, BERT, "/a", "bert's, over that of the copy"));
    end_fork(run, FORKED);
    meet(run);
    assert_int_equal(world_resolve(w, ANNA, RESOLVE_KEEP_BOTH), 1);
    pull(run, BERT, ANNA, true);
    for (int i = ANNA; i <= BERT; i++) {
        assert_true(world_has(w, i, "/a", "bert's, over that of the copy"));
        assert_true(is_somewhere(run, i, "of the original"));
    }
}

/* A new id after an edit and a deletion that nobody heard of. */
static void a_renewed_deletion_covers_what_it_covered(void **state)
{
    struct run *run = *state;
    struct world *w = run->w;
    DO(world_create(w, ANNA, "/a", "a"));
    world_exchange(w);
    DO(world_edit(w, ANNA, "/a", "b"));
    DO(world_rm(w, ANNA, "/a"));
    DO(replica_renew(w->d[ANNA].r, w->d[ANNA].batch, NEW_ID, 1));
    DO(world_write(w, ANNA));
    assert_int_equal(world_find(w, ANNA, "/a", &(struct replica_entry){0}), -ENOENT);
}

/* ---- random ------------------------------------------------------------------------------------
 */

static uint64_t rnd(struct run *run, uint64_t n)
{
    run->random ^= run->random << 13;
    run->random ^= run->random >> 7;
    run->random ^= run->random << 17;
    return run->random % n;
}

static void work(struct run *run, int i)
{
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    char text[32], to[64];
    size_t n;
    char **paths = world_paths(run->w, i, &n);
    const char *from = n > 0 ? paths[rnd(run, n)] : "/a";
    struct replica_entry e;
    bool in = n > 0 && world_find(run->w, i, paths[rnd(run, n)], &e) == 0 && rid_is_dir(&e.rid);
    snprintf(to, sizeof to, "%s%.20s/%s", in ? "/" : "", in ? e.name : "",
             names[rnd(run, ARRAY_N(names))]);
    snprintf(text, sizeof text, "save %d", run->saves++);
    switch (rnd(run, 9)) {
    case 0:
    case 1:
        (void)world_create(run->w, i, to, text);
        break;
    case 2:
        (void)world_mkdir(run->w, i, to);
        break;
    case 3:
    case 4:
        (void)world_edit(run->w, i, from, text);
        break;
    case 5:
        (void)world_mv(run->w, i, from, to);
        break;
    case 6:
        (void)world_rm(run->w, i, from);
        break;
    case 7:
        (void)world_ln(run->w, i, from, to);
        break;
    default:
        (void)world_chmod(run->w, i, from, 0600 + (uint32_t)rnd(run, 64));
        break;
    }
    world_paths_free(paths, n);
}

static void one_history(uint64_t seed)
{
    struct run run;
    begin(&run);
    run.random = seed;
    int steps = 4 + (int)rnd(&run, 8);
    for (int k = 0; k < steps; k++)
        work(&run, (int)rnd(&run, COPY));
    fork_now(&run);
    steps = 6 + (int)rnd(&run, 10);
    for (int k = 0; k < steps; k++) {
        work(&run, (int)rnd(&run, DEVICES));
        /* Who heard of one form hears of it alone, as when servers keep two of them apart. */
        if (rnd(&run, 3) == 0)
            pull(&run, ANNA, FORKED, false);
        if (rnd(&run, 3) == 0)
            pull(&run, BERT, COPY, false);
    }
    /* The copy, or both, may be gone. */
    unsigned n = FORKED + (unsigned)rnd(&run, 3);
    end_fork(&run, (int)n);
    for (int k = 0; k < 6; k++) {
        int a = (int)rnd(&run, n), b = (int)rnd(&run, n);
        if (a != b)
            pull(&run, a, b, true);
        if (rnd(&run, 3) == 0)
            adopt(&run, (int)rnd(&run, n), rnd(&run, 2) == 0);
        if (rnd(&run, 4) == 0)
            work(&run, (int)rnd(&run, n));
    }
    meet(&run);
    world_free(run.w);
}

static void random_forks_converge(void **state)
{
    (void)state;
    const char *runs = getenv("PERSIST_RUNS");
    uint64_t seed = crash_env("PERSIST_TEST_SEED", 1);
    for (uint64_t i = 0, n = runs == NULL ? 30 : strtoull(runs, NULL, 10); i < n; i++) {
        printf("seed %llu\n", (unsigned long long)(seed + i));
        fflush(stdout);
        one_history((seed + i) * UINT64_C(0x9e3779b97f4a7c15) | 1);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(both_forms_live_on),
        TEST(one_is_enough),
        TEST(deletions_are_taken_back),
        TEST(what_others_deleted_stays_deleted),
        TEST(a_void_edit_beside_an_own_one),
        TEST(a_form_is_not_replaced_by_what_saw_another),
        TEST(a_renewed_deletion_covers_what_it_covered),
        cmocka_unit_test(random_forks_converge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
