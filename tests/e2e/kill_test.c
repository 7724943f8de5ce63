/*
 * kill -9 of the process that serves a folder, at random moments, while programs work in it. After
 * each: the folder is mounted again, every answered operation is there, and the one that each
 * program was in the middle of is there wholly or not at all (a write inside a large file: by
 * blocks). Also while the kernel, told of a changed name, waits for a program that waits for the
 * process: all of that ends.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/crash_posix.h"
#include "tests/support/e2e_log.h"
#include "tests/support/e2e_process.h"

enum { KILLS = 200, WORKERS = 4, RUN_MS_MIN = 20, RUN_MS_MAX = 200 };

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
            if (ms++ == E2E_LONG_MS) {
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

/* A file that was being emptied stays what it is now: empty, or shown again as it was published. */
static void end_save(const struct run *r, const struct crash_op *open_op)
{
    char path[E2E_PATH_MAX + CRASH_PATH_MAX];
    if (open_op->kind != CRASH_TRUNCATE || open_op->length > 0)
        return;
    snprintf(path, sizeof path, "%s/%s", r->f->folder, open_op->path);
    int fd = open(path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) /* there was none */
        return;
    ok(fsync(fd));
    ok(close(fd));
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
        end_save(r, open);
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
    if (killed && holds(e2e_wait_gone(pid, E2E_LONG_MS)))
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

/* ---- in the moment in which the kernel is told of a changed name ---- */

enum { NAMERS = 3, FILES = 200, LOOKS = 4000, SURE_MS = 100 };

/* Has the lock of the directory nearly always, waiting for an answer; until nobody gives one. */
static void name_on(const char *dir, unsigned i)
{
    char path[E2E_PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/namer-%u", dir, i);
    do {
        errno = 0;
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (fd >= 0)
            close(fd);
        if (fd >= 0 || errno == EEXIST)
            unlink(path);
    } while (errno != ENOTCONN && errno != ECONNABORTED);
    check_child_end();
}

/* Counts threads of a process that are in the kernel, where no signal reaches them. */
static void count_deaf(pid_t pid, const char *what, void *arg)
{
    char path[64], text[512];
    (void)what;
    snprintf(path, sizeof path, "/proc/%ld/task", (long)pid);
    DIR *d = opendir(path);
    for (const struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        snprintf(path, sizeof path, "/proc/%ld/task/%.16s/stat", (long)pid, e->d_name);
        int fd = e->d_name[0] == '.' ? -1 : open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;
        if (fd >= 0)
            close(fd);
        text[n > 0 ? n : 0] = '\0';
        const char *state = strrchr(text, ')');
        *(unsigned *)arg += state != NULL && state[1] != '\0' && state[2] == 'D';
    }
    if (d != NULL)
        closedir(d);
}

static bool is_deaf(const struct e2e *f)
{
    unsigned n = 0;
    e2e_processes(f->top, f->guard, count_deaf, &n);
    return n > 0;
}

/* Stops the process in that moment: what then waits in the kernel waits for it. */
static bool stop_when_deaf(const struct e2e *f, pid_t pid)
{
    for (unsigned i = 0; i < LOOKS; i++) {
        kill(pid, SIGSTOP);
        if (is_deaf(f)) {
            usleep(SURE_MS * 1000);
            if (is_deaf(f))
                return true;
        }
        kill(pid, SIGCONT);
        usleep(1000 + i % 7 * 500);
    }
    return false;
}

static void now_text(struct e2e *f, char ret[32])
{
    usleep(20000); /* more than its clock shows */
    e2e_ok(f, "date -u +%%Y-%%m-%%dT%%H:%%M:%%S.%%3NZ");
    snprintf(ret, 32, "%.*s", (int)strcspn(f->last.out, "\n"), f->last.out);
    usleep(20000);
}

struct moments {
    char none[32], all[32];
};

/* When notes/d was empty, and when it had all files. */
static struct moments make_moments(struct e2e *f)
{
    struct moments m;
    e2e_ok(f, "mkdir notes/d");
    e2e_wait_published(f);
    now_text(f, m.none);
    e2e_ok(f, "cd notes/d && for i in $(seq %d); do echo $i >$i; done", FILES);
    e2e_wait_published(f);
    now_text(f, m.all);
    return m;
}

/* A folder that goes back and forth: the kernel is told of many names. */
static pid_t start_restoring(struct e2e *f)
{
    struct moments m = make_moments(f);
    return e2e_start(f,
                     "while persist restore notes/d --at %s && persist restore notes/d --at %s; "
                     "do :; done >>out 2>&1",
                     m.none, m.all);
}

static void kill_deaf(struct e2e *f)
{
    char dir[E2E_PATH_MAX + 8];
    pid_t namers[NAMERS], pid = e2e_mount_pid(f), restoring = start_restoring(f);
    snprintf(dir, sizeof dir, "%s/d", f->folder);
    for (unsigned i = 0; i < NAMERS; i++) {
        namers[i] = check_fork();
        if (namers[i] == 0)
            name_on(dir, i);
    }
    holds(stop_when_deaf(f, pid));
    ok(kill(pid, SIGKILL));
    bool ended = e2e_wait_gone(pid, E2E_LONG_MS);
    for (unsigned i = 0; ended && i < NAMERS; i++)
        ended = e2e_wait_gone(namers[i], E2E_LONG_MS);
    if (!ended) /* or nothing of this test ever does */
        umount2(f->folder, MNT_FORCE);
    for (unsigned i = 0; i < NAMERS; i++)
        check_join(namers[i]);
    e2e_stop(restoring);
}

static void a_kill_while_the_kernel_is_told_ends_all(struct e2e *f)
{
    for (unsigned i = 0; i < 3 && check_failures() == 0 && e2e_mount(f, NULL); i++) {
        e2e_ok(f, "rm -rf notes/d");
        kill_deaf(f);
        e2e_ok(f, "! ls notes");
        e2e_mount(f, NULL);
        e2e_ok(f, "persist check notes");
        e2e_unmount(f);
    }
}

/* Holds the lock of the mount process for a second, as one that was killed may yet do. */
static pid_t start_dying(struct e2e *f)
{
    enum { DYING_US = 1000000 };
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char path[E2E_PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/run/mount-notes.pid", f->home);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ok(fd);
    ok(fcntl(fd, F_OFD_SETLK, &lock));
    pid_t pid = check_fork(); /* which has the lock with the file */
    if (pid == 0) {
        usleep(DYING_US);
        _exit(0);
    }
    close(fd);
    return pid;
}

static void a_mount_waits_for_one_that_is_dying(struct e2e *f)
{
    if (!e2e_mount(f, NULL) || !e2e_unmount(f))
        return;
    pid_t pid = start_dying(f);
    e2e_mount(f, NULL);
    check_join(pid);
    e2e_unmount(f);
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(every_answered_operation_survives_kills),
        E2E_TEST(a_kill_while_the_kernel_is_told_ends_all),
        E2E_TEST(a_mount_waits_for_one_that_is_dying),
    };
    return e2e_main(argc, argv, E2E_FRESH, tests, ARRAY_N(tests));
}
