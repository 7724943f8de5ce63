/*
 * Several threads on one tree, each in a directory of its own against a model, and all of them in a
 * shared one; another lists and reads everything meanwhile. For ThreadSanitizer as well.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/crash_tree.h"

enum { THREADS = 4, OPS = 1500, SHARED_NAMES = 6 };

struct fixture {
    char dir[256];
    struct crash_tree c;
    uint64_t seed;
    atomic_bool done;
};

struct worker {
    pthread_t thread;
    struct fixture *f;
    struct crash_model *model;
    struct crash_rand rand;
    char top[16];
    char why[256]; /* empty: all is well */
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    const char *dir = crash_temp_dir();
    assert_non_null(dir);
    snprintf(f->dir, sizeof f->dir, "%s", dir);
    f->seed = crash_seed("tree_threads");
    *state = f;
    return crash_tree_open(&f->c, f->dir);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    crash_tree_close(&f->c);
    crash_remove_dir(f->dir);
    free(f);
    return 0;
}

/* An operation on names that the others use too: anything may happen, but no damage. */
static void shared_op(struct worker *w)
{
    static const unsigned kinds[] = {CRASH_CREATE, CRASH_UNLINK,  CRASH_RENAME, CRASH_EXCHANGE,
                                     CRASH_LINK,   CRASH_WRITE,   CRASH_MKDIR,  CRASH_RMDIR,
                                     CRASH_FSYNC,  CRASH_TRUNCATE};
    struct crash_op op = {.kind = kinds[crash_below(&w->rand, ARRAY_N(kinds))], .mode = 0755};
    snprintf(op.path, sizeof op.path, "shared/%u", (unsigned)crash_below(&w->rand, SHARED_NAMES));
    snprintf(op.to, sizeof op.to, "shared/%u", (unsigned)crash_below(&w->rand, SHARED_NAMES));
    op.length = 1 + crash_below(&w->rand, 60000);
    int rc = crash_tree_apply(&w->f->c, &op);
    if (rc == -EUCLEAN || rc == -EIO || rc == -EBADMSG || rc == -ENOMEM)
        snprintf(w->why, sizeof w->why, "%.200s: %s", crash_op_text(&op), strerror(-rc));
}

static void *work(void *arg)
{
    struct worker *w = arg;
    struct crash_op op = {.kind = CRASH_MKDIR, .mode = 0755};
    snprintf(op.path, sizeof op.path, "%s", w->top);
    for (int i = 0; i < OPS && w->why[0] == '\0'; i++) {
        int ought = crash_model_apply(w->model, &op), is = crash_tree_apply(&w->f->c, &op);
        if ((is < 0) != (ought < 0))
            snprintf(w->why, sizeof w->why, "operation %d, kind %u of %.100s: %s, has to be %s", i,
                     op.kind, op.path, strerror(-is), strerror(-ought));
        crash_model_choose(w->model, &w->rand, w->top, &op);
        if (i % 4 == 0)
            shared_op(w);
    }
    if (w->why[0] == '\0')
        crash_model_same(w->model, &w->f->c.view, w->top, w->why);
    tree_thread_done();
    return NULL;
}

static void look_at(void *arg, const char *name);

struct looker {
    struct fixture *f;
    char path[CRASH_PATH_MAX];
    struct buf bytes;
};

static void look_below(struct looker *l)
{
    l->f->c.view.list(&l->f->c, l->path, look_at, l);
}

static void look_at(void *arg, const char *name)
{
    struct looker *l = arg;
    size_t n = strlen(l->path);
    struct stat st;
    snprintf(l->path + n, sizeof l->path - n, "%s%s", n > 0 ? "/" : "", name);
    if (l->f->c.view.stat(&l->f->c, l->path, &st) == 0) {
        if (S_ISDIR(st.st_mode))
            look_below(l);
        else if (S_ISREG(st.st_mode))
            l->f->c.view.read(&l->f->c, l->path, &l->bytes);
    }
    l->path[n] = '\0';
}

static void *look(void *arg)
{
    struct looker l = {.f = arg};
    while (!atomic_load(&l.f->done))
        look_below(&l);
    buf_fini(&l.bytes);
    tree_thread_done();
    return NULL;
}

/* Each name of the shared directory has a file, and each file as many names as it says. */
struct census {
    struct crash_tree *c;
    unsigned names;
    uint64_t inos[SHARED_NAMES];
    unsigned links[SHARED_NAMES];
};

static bool count_entry(void *arg, const struct tree_entry *e)
{
    struct census *k = arg;
    if (e->name.n <= 2 && e->name.p[0] == '.')
        return true;
    if (k->names < SHARED_NAMES && e->attr != NULL) {
        k->inos[k->names] = e->ino;
        k->links[k->names] = S_ISDIR(e->attr->mode) ? 1 : e->attr->nlink;
    }
    k->names++;
    return true;
}

static void check_shared(struct fixture *f)
{
    struct attr a;
    struct census k = {.c = &f->c};
    assert_int_equal(crash_tree_find(&f->c, "shared", &a), 0);
    assert_int_equal(tree_list(f->c.tree, a.ino, 0, true, count_entry, &k), 0);
    assert_true(k.names <= SHARED_NAMES);
    for (unsigned i = 0; i < k.names; i++) {
        unsigned same = 0;
        for (unsigned j = 0; j < k.names; j++)
            same += k.inos[j] == k.inos[i];
        assert_int_equal(same, k.links[i]);
    }
}

static void threads_do_not_disturb_each_other(void **state)
{
    struct fixture *f = *state;
    static struct worker workers[THREADS];
    struct crash_op op = {.kind = CRASH_MKDIR, .path = "shared", .mode = 0755};
    assert_int_equal(crash_tree_apply(&f->c, &op), 0);
    pthread_t looker;
    assert_int_equal(pthread_create(&looker, NULL, look, f), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.f = f, .model = crash_model_new(), .rand = {f->seed + i}};
        snprintf(workers[i].top, sizeof workers[i].top, "w%u", i);
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(workers[i].thread, NULL);
    atomic_store(&f->done, true);
    pthread_join(looker, NULL);
    for (int i = 0; i < THREADS; i++) {
        crash_model_free(workers[i].model);
        if (workers[i].why[0] != '\0')
            fail_msg("thread %d: %s", i, workers[i].why);
    }
    check_shared(f);
    char why[256] = "";
    if (!crash_tree_sums_hold(&f->c, why))
        fail_msg("%s", why);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(threads_do_not_disturb_each_other, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
