/*
 * Random histories: three devices with wrong clocks work, meet in part, resolve, clean up. After
 * every step the derived state is compared with a full derivation (tests/support/replica_world).
 * Each has a seed, which is printed: PERSIST_TEST_SEED is the first one's, PERSIST_RUNS how many.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/crash_rand.h"
#include "tests/support/replica_world.h"

enum { DEVICES = 3, SAVES_MAX = 512, CHANGES_MAX = 2048 };

struct run {
    struct world *w;
    uint64_t random;
    int saves;
    bool known[SAVES_MAX]; /* a user saw this save, and replaced or deleted it */
    struct buf change[CHANGES_MAX];
    int changes;
    uint64_t taken[DEVICES]; /* own changes of a device that are in @change */
    struct vv ack[DEVICES][DEVICES];
};

static uint64_t rnd(struct run *run, uint64_t n)
{
    run->random ^= run->random << 13;
    run->random ^= run->random >> 7;
    run->random ^= run->random << 17;
    return run->random % n;
}

/* ---- what users do --------------------------------------------------------------------------- */

static void save_name(int k, char ret[32])
{
    snprintf(ret, 32, "save %d", k);
}

/* A user is about to replace or delete what is shown at @path. */
static int seen(struct run *run, int i, const char *path)
{
    struct replica_entry e;
    struct replica_info info;
    if (world_find(run->w, i, path, &e) < 0 || rid_is_dir(&e.rid))
        return -1;
    assert_int_equal(replica_stat(run->w->d[i].r, &e.rid, &info), 0);
    for (int k = 0; k < run->saves; k++) {
        char text[32];
        struct value_content c;
        save_name(k, text);
        world_content(run->w, i, text, &c);
        if (memcmp(c.hash, info.content.hash, HASH_SIZE) == 0)
            return k;
    }
    return -1;
}

static int do_save(struct run *run, int i, const char *path, bool create)
{
    char text[32];
    assert_true(run->saves < SAVES_MAX);
    save_name(run->saves, text);
    int before = seen(run, i, path);
    int rc = create ? world_create(run->w, i, path, text) : world_edit(run->w, i, path, text);
    if (rc == 0)
        run->saves++;
    if (rc == 0 && !create && before >= 0)
        run->known[before] = true;
    return rc;
}

static int do_rm(struct run *run, int i, const char *path)
{
    int before = seen(run, i, path);
    int rc = world_rm(run->w, i, path);
    if (rc == 0 && before >= 0)
        run->known[before] = true;
    if (rc == 0)
        assert_int_equal(world_find(run->w, i, path, &(struct replica_entry){0}), -ENOENT);
    return rc;
}

static int do_mv(struct run *run, int i, const char *from, const char *to)
{
    int before = seen(run, i, to);
    int rc = world_mv(run->w, i, from, to);
    if (rc == 0 && before >= 0 && strcmp(from, to) != 0)
        run->known[before] = true;
    if (rc == 0 && strcmp(from, to) != 0)
        assert_int_equal(world_find(run->w, i, from, &(struct replica_entry){0}), -ENOENT);
    return rc;
}

static void step(struct run *run, int i)
{
    static const char *const names[] = {"a", "b", "f", "x"};
    size_t n;
    char **paths = world_paths(run->w, i, &n);
    const char *from = n > 0 ? paths[rnd(run, n)] : "/a", *up = "";
    struct replica_entry e;
    if (n > 0 && rnd(run, 3) > 0)
        up = paths[rnd(run, n)];
    if (world_find(run->w, i, up, &e) < 0 || !rid_is_dir(&e.rid))
        up = "";
    char *to = NULL;
    assert_true(asprintf(&to, "%s/%s", up, names[rnd(run, ARRAY_N(names))]) > 0);
    switch (rnd(run, 13)) {
    case 0:
    case 1:
        (void)do_save(run, i, to, true);
        break;
    case 2:
    case 3:
        (void)world_mkdir(run->w, i, to);
        break;
    case 4:
    case 5:
        (void)do_save(run, i, from, false);
        break;
    case 6:
    case 7:
    case 8:
        (void)do_mv(run, i, from, to);
        break;
    case 9:
    case 10:
        (void)do_rm(run, i, from);
        break;
    case 11:
        (void)world_ln(run->w, i, from, to);
        break;
    default:
        (void)world_swap(run->w, i, from, n > 0 ? paths[rnd(run, n)] : from);
        break;
    }
    free(to);
    world_paths_free(paths, n);
}

/* ---- the run --------------------------------------------------------------------------------- */

/* Keeps each own change as it was when it was made. */
static void take_changes(struct run *run)
{
    for (int i = 0; i < DEVICES; i++) {
        struct device *d = &run->w->d[i];
        uint64_t last = vv_get(replica_knowledge(d->r), d->id);
        while (run->taken[i] < last) {
            struct dot dot = {d->id, ++run->taken[i]};
            assert_true(run->changes < CHANGES_MAX);
            int rc = replica_change_get(d->r, &dot, &run->change[run->changes]);
            assert_true(rc == 0 || rc == -ENOENT);
            run->changes += rc == 0;
        }
    }
}

static void pull(struct run *run, int to, int from, int cut)
{
    struct replica *src = run->w->d[from].r;
    assert_true(world_may_exchange(run->w, to, from));
    world_pull(run->w, to, from, cut);
    if (cut >= 0)
        return;
    for (int m = 0; m < DEVICES; m++)
        assert_int_equal(vv_join(&run->ack[to][m], &run->ack[from][m]), 0);
    assert_int_equal(vv_join(&run->ack[to][from], replica_knowledge(src)), 0);
}

static void clean(struct run *run, int i)
{
    struct device *d = &run->w->d[i];
    struct replica_ack acks[DEVICES];
    size_t n = 0;
    for (int m = 0; m < DEVICES; m++)
        if (m != i)
            acks[n++] = (struct replica_ack){run->w->d[m].id, &run->ack[i][m]};
    assert_int_equal(replica_raise_floor(d->r, d->batch, acks, n), 0);
    assert_true(replica_clean(d->r, d->batch, 1000) >= 0);
    world_write(run->w, i);
}

static void exchange(struct run *run)
{
    for (int round = 0; round < 2; round++)
        for (int a = 0; a < DEVICES; a++)
            for (int b = 0; b < DEVICES; b++)
                if (a != b)
                    pull(run, a, b, -1);
}

static void check_kept(struct run *run)
{
    size_t n;
    bool shown[SAVES_MAX] = {false};
    char **paths = world_paths(run->w, 0, &n);
    for (size_t k = 0; k < n; k++) {
        int s = seen(run, 0, paths[k]);
        if (s >= 0)
            shown[s] = true;
    }
    world_paths_free(paths, n);
    for (int k = 0; k < run->saves; k++) {
        if (!shown[k] && !run->known[k])
            print_error("save %d is lost\n", k);
        assert_true(shown[k] || run->known[k]);
    }
}

/* All changes, shuffled, some twice, into an empty replica: the same tree. */
static void check_order(struct run *run)
{
    struct world *w = world_new(1);
    struct device *d = &w->d[0];
    w->unchecked = true;
    int n = run->changes;
    int *order = calloc((size_t)n * 2 + 1, sizeof *order);
    for (int k = 0; k < 2 * n; k++)
        order[k] = k % n;
    for (int k = 2 * n; k > 1; k--) {
        int j = (int)rnd(run, (uint64_t)k), t = order[j];
        order[j] = order[k - 1];
        order[k - 1] = t;
    }
    for (int k = 0; k < 2 * n; k++) {
        assert_true(replica_apply(d->r, d->batch, buf_bytes(&run->change[order[k]]), NULL) >= 0);
        if (rnd(run, 3) == 0) /* several in one batch, too */
            world_write(w, 0);
    }
    world_write(w, 0);
    free(order);
    struct buf here = {0}, there = {0};
    world_show(run->w, 0, &here);
    world_show(w, 0, &there);
    if (!bytes_equal(buf_bytes(&here), buf_bytes(&there)))
        print_error("ought:\n%.*sis:\n%.*s", (int)here.n, (char *)here.p, (int)there.n,
                    (char *)there.p);
    assert_true(bytes_equal(buf_bytes(&here), buf_bytes(&there)));
    buf_fini(&here);
    buf_fini(&there);
    world_free(w);
}

struct rids_seen {
    struct rid parent[4096];
    struct rid rid[4096];
    int n;
};

static int note_place(void *ctx, const struct value *v)
{
    struct rids_seen *s = ctx;
    if (v->facet != FACET_PLACE || s->n == 4096)
        return 0;
    s->rid[s->n] = v->rid;
    s->parent[s->n++] = v->place.parent;
    return 0;
}

/* What is deleted and held is needed by something below it. */
static void check_clean(struct run *run, int i)
{
    static struct rids_seen s;
    s.n = 0;
    assert_int_equal(replica_values(run->w->d[i].r, note_place, &s), 0);
    for (int k = 0; k < s.n; k++) {
        struct replica_info info;
        bool used = false;
        assert_int_equal(replica_stat(run->w->d[i].r, &s.rid[k], &info), 0);
        for (int j = 0; j < s.n; j++)
            used = used || rid_equal(&s.parent[j], &s.rid[k]);
        assert_true(info.shown || used);
    }
}

static int sum_value(void *ctx, const struct value *v)
{
    uint64_t *sum = ctx, x = v->dot.replica << 40 ^ v->dot.counter << 8 ^ (uint64_t)v->facet;
    for (size_t i = 0; i < RID_SIZE; i++)
        x = (x ^ v->rid.b[i]) * UINT64_C(0x100000001b3);
    *sum += x; /* in any order */
    return 0;
}

/* All know the same: then all hold the same. */
static void check_held(struct run *run)
{
    uint64_t first = 0;
    assert_int_equal(replica_values(run->w->d[0].r, sum_value, &first), 0);
    for (int i = 1; i < DEVICES; i++) {
        uint64_t sum = 0;
        assert_int_equal(replica_values(run->w->d[i].r, sum_value, &sum), 0);
        assert_true(sum == first);
    }
}

static void quiesce(struct run *run, enum resolve how)
{
    for (int round = 0;; round++) {
        int n = 0;
        assert_true(round < 12);
        exchange(run);
        world_meet(run->w);
        for (int i = 0; i < DEVICES; i++)
            n += world_resolve(run->w, i, how);
        take_changes(run);
        if (n == 0)
            return;
    }
}

static void finish(struct run *run, bool cleaning, enum resolve how)
{
    quiesce(run, how);
    if (how == RESOLVE_KEEP_BOTH)
        check_kept(run);
    if (!cleaning) {
        check_held(run);
        check_order(run);
        return;
    }
    for (int round = 0; round < 3; round++) {
        exchange(run);
        for (int i = 0; i < DEVICES; i++)
            clean(run, i);
    }
    world_meet(run->w);
    check_held(run);
    for (int i = 0; i < DEVICES; i++)
        check_clean(run, i);
    for (int k = 0; k < 6; k++) /* and life goes on */
        step(run, k % DEVICES);
    quiesce(run, how);
}

static void history(uint64_t seed, int steps, bool cleaning)
{
    struct run *run = calloc(1, sizeof *run);
    run->random = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15);
    run->w = world_new(DEVICES);
    assert_int_equal(world_mkdir(run->w, 0, "/a"), 0);
    assert_int_equal(world_mkdir(run->w, 0, "/b"), 0);
    assert_int_equal(world_mkdir(run->w, 0, "/a/b"), 0);
    assert_int_equal(do_save(run, 0, "/a/f", true), 0);
    take_changes(run);
    exchange(run);
    for (int i = 0; i < DEVICES; i++)
        run->w->d[i].ahead_ms = (int64_t)rnd(run, 60000) - 30000;
    enum resolve how = rnd(run, 4) == 0 ? RESOLVE_MERGED : RESOLVE_KEEP_BOTH;
    for (int k = 0; k < steps; k++) {
        uint64_t x = rnd(run, 100);
        int a = (int)rnd(run, DEVICES), b = (a + 1 + (int)rnd(run, DEVICES - 1)) % DEVICES;
        if (x < 65)
            step(run, a);
        else if (x < 90)
            pull(run, a, b, rnd(run, 3) == 0 ? (int)rnd(run, 6) : -1);
        else if (x < 94)
            (void)world_resolve(run->w, a, how);
        else if (cleaning)
            clean(run, a);
        take_changes(run);
    }
    finish(run, cleaning, how);
    world_free(run->w);
    for (int k = 0; k < CHANGES_MAX; k++)
        buf_fini(&run->change[k]);
    for (int a = 0; a < DEVICES; a++)
        for (int b = 0; b < DEVICES; b++)
            vv_fini(&run->ack[a][b]);
    free(run);
}

static void run_seeds(uint64_t runs, int steps, bool cleaning)
{
    uint64_t seed = crash_seed("histories"), end = seed + crash_env("PERSIST_RUNS", runs);
    for (; seed < end; seed++) {
        fprintf(stderr, "\rPERSIST_TEST_SEED=%llu ", (unsigned long long)seed);
        history(seed, steps, cleaning);
    }
    fprintf(stderr, "\n");
}

static void random_histories_converge(void **state)
{
    (void)state;
    run_seeds(8, 60, false);
}

static void random_histories_with_clean_up_converge(void **state)
{
    (void)state;
    run_seeds(8, 80, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_histories_converge),
        cmocka_unit_test(random_histories_with_clean_up_converge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
