/* Fixtures of end-to-end tests, and their programs' main. */
#include "tests/support/e2e.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/apart.h"
#include "tests/support/e2e_process.h"
#include "tests/support/scratch.h"

enum { TESTS_MAX = 64, LINE_MAX_BYTES = 4096 };

/* ---- logs ---- */

/* A line that no run without a fault writes. */
static bool is_suspicious(const char *line)
{
    static const char *const words[] = {
        "Z error ", "Sanitizer", "runtime error:", "Assertion", "terminate called", "fuse:",
    };
    for (size_t i = 0; i < ARRAY_N(words); i++)
        if (strstr(line, words[i]) != NULL)
            return true;
    return false;
}

/* Prints a log from its first suspicious line on. */
static void check_log(const struct e2e *f, const char *name)
{
    enum { SHOWN = 60 };
    char path[E2E_PATH_MAX + 300], line[LINE_MAX_BYTES];
    snprintf(path, sizeof path, "%s/log/%s", f->home, name);
    FILE *log = fopen(path, "re");
    unsigned shown = 0;
    while (log != NULL && shown < SHOWN && fgets(line, sizeof line, log) != NULL) {
        if (shown == 0 && !is_suspicious(line))
            continue;
        if (shown++ == 0)
            check_fail("%s has an error:", name);
        fprintf(stderr, "    %s", line);
    }
    if (log != NULL)
        fclose(log);
}

static void check_logs(const struct e2e *f)
{
    char path[E2E_PATH_MAX + 8];
    snprintf(path, sizeof path, "%s/log", f->home);
    DIR *d = opendir(path);
    const struct dirent *e;
    while (d != NULL && (e = readdir(d)) != NULL)
        if (e->d_name[0] != '.')
            check_log(f, e->d_name);
    if (d != NULL)
        closedir(d);
}

/* ---- fixtures ---- */

struct e2e *e2e_begin(void)
{
    struct e2e *f = calloc(1, sizeof *f);
    if (f == NULL)
        abort();
    apart_network();
    if (!scratch_dir(f->top, sizeof f->top, "e2e")) {
        check_fail("%s: %s", f->top, strerror(errno));
        free(f);
        return NULL;
    }
    snprintf(f->home, sizeof f->home, "%s/home", f->top);
    snprintf(f->folder, sizeof f->folder, "%s/notes", f->top);
    /* Other users come in to the folder; the state directory is closed by its own mode. */
    if (chmod(f->top, 0755) < 0 || mkdir(f->folder, 0755) < 0 || !e2e_guard_start(f)) {
        check_fail("%s: %s", f->top, strerror(errno));
        rmdir(f->top);
        free(f);
        return NULL;
    }
    return f;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void remove_all(const char *path)
{
    nftw(path, remove_one, 32, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static void tell_left(pid_t pid, const char *what, void *arg)
{
    (void)arg;
    check_fail("process %ld stayed behind: %s", (long)pid, what);
}

static pid_t read_pid(const struct e2e *f, const char *name)
{
    char path[E2E_PATH_MAX + 300], text[32] = "";
    snprintf(path, sizeof path, "%s/run/%s", f->home, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    long pid = n > 0 ? strtol(text, NULL, 10) : 0;
    return pid > 1 ? (pid_t)pid : 0;
}

pid_t e2e_mount_pid(const struct e2e *f)
{
    return read_pid(f, "mount-notes.pid");
}

pid_t e2e_sync_pid(const struct e2e *f)
{
    return read_pid(f, "sync.pid");
}

void e2e_end_sync(const struct e2e *f)
{
    pid_t pid = e2e_sync_pid(f);
    if (pid > 0 && kill(pid, SIGTERM) == 0)
        e2e_wait_gone(pid, E2E_LONG_MS);
}

static bool is_named(pid_t pid, const char *ought)
{
    char path[64], name[32] = "";
    snprintf(path, sizeof path, "/proc/%ld/comm", (long)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool is = fd >= 0 && read(fd, name, sizeof name - 1) > 0 &&
              strncmp(name, ought, strlen(ought)) == 0 && name[strlen(ought)] == '\n';
    if (fd >= 0)
        close(fd);
    return is;
}

static void find_watch(pid_t pid, const char *what, void *arg)
{
    (void)what;
    if (is_named(pid, "persist-watch"))
        *(pid_t *)arg = pid;
}

static void find_helper(pid_t pid, const char *what, void *arg)
{
    (void)what;
    if (is_named(pid, "persist-watch") || is_named(pid, "persist-starter"))
        *(pid_t *)arg = pid;
}

pid_t e2e_watch_pid(const struct e2e *f)
{
    pid_t pid = 0;
    e2e_processes(f->top, f->guard, find_watch, &pid);
    return pid;
}

static bool no_helper(void *arg)
{
    const struct e2e *f = arg;
    pid_t pid = 0;
    e2e_processes(f->top, f->guard, find_helper, &pid);
    return pid == 0;
}

void e2e_leave(struct e2e *f)
{
    if (e2e_is_mounted(f->folder))
        e2e_unmount(f);
    e2e_end_sync(f);
    if (!f->errors_expected)
        check_logs(f);
    if (e2e_unmount_below(f->top) > 0)
        check_fail("a mount stayed behind below %s", f->top);
    /* A mount process that was killed has not waited for the end of its watch and its starter. */
    e2e_wait(no_helper, f, E2E_LONG_MS, "the end of what was beside processes that were killed");
    e2e_processes(f->top, f->guard, tell_left, NULL);
}

void e2e_end(struct e2e *f)
{
    if (f == NULL)
        return;
    if (chdir("/") < 0)
        abort();
    check_about("after the test");
    e2e_leave(f);
    e2e_clean(f->top, f->guard);
    e2e_guard_end(f);
    if (waitpid(-1, NULL, WNOHANG) >= 0)
        check_fail("a child process of the test stayed behind");
    if (check_failures() == 0 || getenv("PERSIST_E2E_KEEP") == NULL)
        remove_all(f->top);
    check_about_nothing();
    e2e_result_free(&f->last);
    free(f);
}

bool e2e_mount(struct e2e *f, const char *options)
{
    return e2e_ok(f, "persist mount %s %s", f->folder, options != NULL ? options : "");
}

bool e2e_unmount(struct e2e *f)
{
    return e2e_ok(f, "persist unmount %s", f->folder);
}

/* ---- programs ---- */

static enum e2e_kind kind_of_run;
static struct e2e *shared;

static void begin_shared(void)
{
    const char *other = getenv("PERSIST_E2E_FOLDER");
    shared = e2e_begin();
    if (shared == NULL)
        return;
    if (other != NULL) {
        shared->foreign = true;
        snprintf(shared->folder, sizeof shared->folder, "%s", other);
    } else if (!e2e_mount(shared, "-o allow_other")) {
        e2e_end(shared);
        shared = NULL;
    } else if (chmod(shared->folder, 0755) < 0) {
        check_fail("%s: %s", shared->folder, strerror(errno));
    }
}

/* An empty directory of the mount, and this process in it. */
static bool enter_directory(const char *name)
{
    char path[E2E_PATH_MAX + 128];
    snprintf(path, sizeof path, "%s/%s", shared->folder, name);
    if (chdir("/") < 0)
        return false;
    remove_all(path);
    return mkdir(path, 0755) == 0 && chdir(path) == 0;
}

static void leave_directory(const char *name)
{
    char path[E2E_PATH_MAX + 128];
    snprintf(path, sizeof path, "%s/%s", shared->folder, name);
    if (chdir("/") < 0)
        abort();
    remove_all(path);
    if (access(path, F_OK) == 0)
        check_fail("%s: cannot be removed", path);
}

static void run_shared(const struct e2e_test *test)
{
    if (!enter_directory(test->name)) {
        check_fail("%s: %s", test->name, strerror(errno));
    } else {
        test->run(shared);
        check_about_nothing();
        leave_directory(test->name);
    }
}

static void run_fresh(const struct e2e_test *test)
{
    struct e2e *f = e2e_begin();
    if (f != NULL)
        test->run(f);
    e2e_end(f);
}

static void run_unit(void **state)
{
    const struct e2e_test *test = *state;
    uint64_t start = e2e_now_ms();
    check_reset();
    umask(0);
    if (kind_of_run == E2E_SHARED)
        run_shared(test);
    else
        run_fresh(test);
    print_message("           %u checks, %u failed, %ju ms\n", check_count(), check_failures(),
                  (uintmax_t)(e2e_now_ms() - start));
    if (check_failures() > 0)
        fail();
}

int e2e_main(int argc, char **argv, enum e2e_kind kind, const struct e2e_test *tests, size_t n)
{
    struct CMUnitTest units[TESTS_MAX] = {0};
    struct e2e_test copies[TESTS_MAX];
    assert_true(n <= TESTS_MAX);
    for (size_t i = 0; i < n; i++) {
        copies[i] = tests[i];
        units[i].name = tests[i].name;
        units[i].test_func = run_unit;
        units[i].initial_state = &copies[i];
    }
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    signal(SIGPIPE, SIG_IGN);
    kind_of_run = kind;
    if (kind == E2E_SHARED) {
        begin_shared();
        if (shared == NULL)
            return 1;
    }
    const char *name = strrchr(argv[0], '/');
    int failed = _cmocka_run_group_tests(name != NULL ? name + 1 : argv[0], units, n, NULL, NULL);
    /* What shows only at the end: the log, what stayed behind. */
    check_reset();
    e2e_end(shared);
    return failed != 0 || check_failures() > 0;
}
