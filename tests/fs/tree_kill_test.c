/*
 * kill -9 of a process that works on a local tree with several threads, again and again: after each
 * the tree opens, each answered operation is there, and the one under way in each thread is there
 * wholly or not at all (a write inside a large file: by blocks).
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/crash_log.h"
#include "tests/support/crash_tree.h"

enum { KILLS = 100, WORKERS = 3, RUN_MS_MAX = 120, OPEN_MS_MAX = 60000 };

/* What a process has found before it went on; in shared memory. */
struct verdict {
    atomic_int ready; /* 1: all is well, -1: it is not */
    char why[256];
    struct {
        enum crash_settled settled;
        char path[CRASH_PATH_MAX]; /* MIXED: whose bytes these are */
        size_t n;
        uint8_t bytes[CRASH_FILE_MAX];
    } worker[WORKERS];
};

struct fixture {
    char dir[256];
    struct crash_rand rand;
    struct crash_model *model;
    struct crash_log *logs; /* shared; of WORKERS */
    struct verdict *verdict;
    unsigned counts[4]; /* by enum crash_settled */
    uint64_t ops_n;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    const char *dir = crash_temp_dir();
    assert_non_null(dir);
    snprintf(f->dir, sizeof f->dir, "%s", dir);
    f->rand.s = crash_seed("tree_kill");
    f->model = crash_model_new();
    f->logs = crash_shared(WORKERS * sizeof *f->logs);
    f->verdict = crash_shared(sizeof *f->verdict);
    assert_non_null(f->logs);
    assert_non_null(f->verdict);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    crash_model_free(f->model);
    crash_remove_dir(f->dir);
    free(f);
    return 0;
}

/* ---- in the process that will be killed ---- */

struct worker {
    pthread_t thread;
    struct crash_tree *c;
    struct crash_log *log;
    struct crash_model *model;
    struct crash_rand rand;
    unsigned i;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    struct crash_op op = {.kind = CRASH_MKDIR, .mode = 0755};
    snprintf(op.path, sizeof op.path, "%s", w->log->top);
    while (crash_log_begin(w->log, &op)) {
        int rc = crash_tree_apply(w->c, &op);
        crash_log_answer(w->log, rc);
        crash_model_apply(w->model, &op);
        if (crash_chance(&w->rand, 20))
            crash_tree_hold(w->c, w->i * 2 + (unsigned)crash_below(&w->rand, 2), op.path);
        crash_model_choose(w->model, &w->rand, w->log->top, &op);
    }
    pause();
    return NULL;
}

/* Compares what the last one left with the model, in which all answered operations are. */
static bool look(struct fixture *f, struct crash_tree *c, const struct crash_op *open[WORKERS])
{
    struct verdict *v = f->verdict;
    for (int i = 0; i < WORKERS; i++) {
        const char *top = f->logs[i].top;
        v->worker[i].settled = CRASH_WITHOUT;
        if (open[i] == NULL) {
            if (!crash_model_same(f->model, &c->view, top, v->why))
                return false;
            continue;
        }
        v->worker[i].settled = crash_model_settle(f->model, &c->view, top, open[i], v->why);
        if (v->worker[i].settled == CRASH_WRONG) {
            fprintf(stderr, "under way: %s\n", crash_op_text(open[i]));
            return false;
        }
        struct bytes bytes;
        if (v->worker[i].settled == CRASH_MIXED &&
            crash_model_read(f->model, open[i]->path, &bytes)) {
            memcpy(v->worker[i].path, open[i]->path, CRASH_PATH_MAX);
            memcpy(v->worker[i].bytes, bytes.p, bytes.n);
            v->worker[i].n = bytes.n;
        }
    }
    return crash_tree_sums_hold(c, v->why);
}

static void run(struct fixture *f, const struct crash_op *open[WORKERS], uint64_t seed)
{
    static struct crash_tree c;
    static struct worker workers[WORKERS];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (crash_tree_open(&c, f->dir) < 0) {
        snprintf(f->verdict->why, sizeof f->verdict->why, "the tree does not open");
        atomic_store(&f->verdict->ready, -1);
        pause();
    }
    bool well = look(f, &c, open);
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){.c = &c, .log = &f->logs[i], .i = i, .rand = {seed + i}};
        workers[i].model = crash_model_copy(f->model);
        atomic_store(&f->logs[i].begun, 0);
        atomic_store(&f->logs[i].answered, 0);
    }
    for (unsigned i = 0; i < WORKERS && well; i++)
        well = pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0;
    atomic_store(&f->verdict->ready, well ? 1 : -1);
    pause();
    _exit(0);
}

/* ---- in the process that kills ---- */

static void take_verdict(struct fixture *f, const struct crash_op *open[WORKERS])
{
    struct verdict *v = f->verdict;
    for (int i = 0; i < WORKERS; i++) {
        if (open[i] == NULL)
            continue;
        f->counts[v->worker[i].settled]++;
        if (v->worker[i].settled == CRASH_WITH)
            assert_int_equal(crash_model_apply(f->model, open[i]), 0);
        if (v->worker[i].settled == CRASH_MIXED)
            crash_model_put(f->model, v->worker[i].path,
                            bytes_of(v->worker[i].bytes, v->worker[i].n));
    }
}

static void kill_once(struct fixture *f, unsigned round)
{
    const struct crash_op *open[WORKERS];
    struct crash_op kept[WORKERS];
    char why[256];
    for (int i = 0; i < WORKERS; i++) {
        f->ops_n += f->logs[i].answered;
        snprintf(f->logs[i].top, sizeof f->logs[i].top, "w%d", i);
        if (!crash_log_replay(&f->logs[i], f->model, &open[i], why))
            fail_msg("round %u: %s", round, why);
        if (open[i] != NULL) {
            kept[i] = *open[i];
            open[i] = &kept[i];
        }
    }
    atomic_store(&f->verdict->ready, 0);
    uint64_t seed = crash_next(&f->rand);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        run(f, open, seed);
    for (unsigned ms = 0; ms < OPEN_MS_MAX && atomic_load(&f->verdict->ready) == 0; ms++) {
        usleep(1000);
        if (waitpid(pid, NULL, WNOHANG) != 0)
            break;
    }
    usleep((useconds_t)crash_below(&f->rand, RUN_MS_MAX * 1000));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    if (f->verdict->ready != 1)
        fail_msg("round %u: %s", round, f->verdict->why);
    take_verdict(f, open);
}

static void every_answered_operation_survives_a_kill(void **state)
{
    struct fixture *f = *state;
    unsigned kills = (unsigned)crash_env("PERSIST_TEST_ROUNDS", KILLS);
    for (unsigned round = 0; round < kills; round++)
        kill_once(f, round);
    printf(
        "%u kills, %llu operations answered; of those under way %u were done, %u not, %u in part\n",
        kills, (unsigned long long)f->ops_n, f->counts[CRASH_WITH], f->counts[CRASH_WITHOUT],
        f->counts[CRASH_MIXED]);
    assert_true(f->ops_n > kills);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_answered_operation_survives_a_kill, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
