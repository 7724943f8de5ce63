/*
 * kill -9 of the process that serves a folder, at random moments, while programs work in it. After
 * each: the folder is mounted again, every answered operation is there, and the one that each
 * program was in the middle of is there wholly or not at all (a write inside a large file: by
 * blocks).
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/crash_posix.h"
#include "tests/support/e2e.h"

enum { KILLS = 200, WORKERS = 4, RUN_MS_MIN = 20, RUN_MS_MAX = 200, STOP_MS = 20000 };

struct shared {
    atomic_bool stop;
    struct crash_log logs[WORKERS];
};

struct run {
    struct e2e *f;
    struct crash_rand rand;
    struct crash_model *model;
    struct shared *shared;
    pid_t workers[WORKERS];
    unsigned counts[4]; /* by enum crash_settled */
    uint64_t ops_n, failed_n;
};

static bool start_workers(struct run *r)
{
    atomic_store(&r->shared->stop, false);
    for (unsigned i = 0; i < WORKERS; i++) {
        struct crash_log *log = &r->shared->logs[i];
        atomic_store(&log->begun, 0);
        atomic_store(&log->answered, 0);
        log->stop = false;
        snprintf(log->top, sizeof log->top, "w%u", i);
        uint64_t seed = crash_next(&r->rand);
        r->workers[i] = fork();
        if (r->workers[i] == 0)
            crash_posix_work(r->f->folder, log, r->model, seed, &r->shared->stop);
        if (!holds(r->workers[i] > 0))
            return false;
    }
    return true;
}

static void stop_workers(struct run *r)
{
    atomic_store(&r->shared->stop, true);
    for (unsigned i = 0; i < WORKERS; i++) {
        if (r->workers[i] <= 0)
            continue;
        unsigned ms = 0;
        while (waitpid(r->workers[i], NULL, WNOHANG) == 0) {
            if (ms++ == STOP_MS) {
                check_fail("worker %u does not come to an end", i);
                kill(r->workers[i], SIGKILL);
                waitpid(r->workers[i], NULL, 0);
                break;
            }
            usleep(1000);
        }
        r->workers[i] = 0;
    }
}

/* Brings the model to what the folder has to show, and compares. */
static bool look(struct run *r)
{
    struct crash_view view = crash_posix_view(r->f->folder);
    char why[256];
    for (unsigned i = 0; i < WORKERS; i++) {
        struct crash_log *log = &r->shared->logs[i];
        const struct crash_op *open = NULL;
        r->ops_n += log->answered;
        for (unsigned k = 0; k < log->answered; k++)
            r->failed_n += log->at[k].rc < 0;
        if (!crash_log_replay(log, r->model, &open, why)) {
            check_fail("%s", why);
            return false;
        }
        if (open == NULL) {
            if (!crash_model_same(r->model, &view, log->top, why)) {
                check_fail("%s", why);
                return false;
            }
            continue;
        }
        enum crash_settled settled = crash_model_settle(r->model, &view, log->top, open, why);
        r->counts[settled]++;
        if (settled == CRASH_WRONG) {
            check_fail("%s; under way was: %s", why, crash_op_text(open));
            return false;
        }
    }
    return true;
}

static bool kill_once(struct run *r)
{
    bool started = start_workers(r);
    unsigned ms = RUN_MS_MIN + (unsigned)crash_below(&r->rand, RUN_MS_MAX - RUN_MS_MIN);
    usleep(ms * 1000);
    pid_t pid = e2e_mount_pid(r->f);
    bool killed = started && holds(pid > 0) && ok(kill(pid, SIGKILL)) == 0;
    atomic_store(&r->shared->stop, true);
    if (killed && holds(e2e_wait_gone(pid, STOP_MS)))
        killed = e2e_mount(r->f, NULL);
    stop_workers(r);
    return killed && look(r);
}

static void every_answered_operation_survives_kills(struct e2e *f)
{
    struct run r = {.f = f, .model = crash_model_new()};
    r.rand.s = crash_seed("kill");
    r.shared = crash_shared(sizeof *r.shared);
    unsigned kills = (unsigned)crash_env("PERSIST_TEST_ROUNDS", KILLS), done = 0;
    if (holds(r.shared != NULL) && e2e_mount(f, NULL)) {
        while (done < kills && kill_once(&r))
            done++;
        same(done, kills);
        e2e_unmount(f);
    }
    printf("%u kills, %llu operations answered, %llu of them refused; of those under way %u were "
           "done, %u not, %u in part\n",
           done, (unsigned long long)r.ops_n, (unsigned long long)r.failed_n, r.counts[CRASH_WITH],
           r.counts[CRASH_WITHOUT], r.counts[CRASH_MIXED]);
    holds(r.ops_n > kills && r.failed_n < r.ops_n / 4 * 3);
    crash_model_free(r.model);
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {E2E_TEST(every_answered_operation_survives_kills)};
    return e2e_main(argc, argv, E2E_FRESH, tests, ARRAY_N(tests));
}
