/*
 * The processes: this one - the warden - (the first process of a namespace of its own, where that
 * can be had) - the driver. The warden keeps the time and ends all that is left: with a namespace
 * by ending its first process, else by ending its own children until there are none, as what lost
 * its parent becomes its child. It dies when the thread does that waits for it.
 *
 * All of them come from fork() in a program with threads: until exec() they call only what is
 * allowed in a signal handler.
 */
#include "fs/space/driver_run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/buf.h"

/* What the warden says of the driver. */
enum { DRIVER_DONE, DRIVER_FAILED, DRIVER_LATE, DRIVER_NOT_RUN, DRIVER_NO_WARDEN };

enum { LOOK_MS = 5, ENDING_MS = 2000, WORDS_MAX = 64, NOT_FOUND = 127 };

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void rest(void)
{
    nanosleep(&(struct timespec){.tv_nsec = LOOK_MS * 1000000L}, NULL);
}

/* ---- in the child ---- */

static void limit(int what, rlim_t most)
{
    setrlimit((__rlimit_resource_t)what, &(struct rlimit){most, most});
}

static void default_signals(void)
{
    struct sigaction act = {.sa_handler = SIG_DFL};
    sigset_t none;
    sigemptyset(&none);
    for (int i = 1; i < NSIG; i++)
        sigaction(i, &act, NULL);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* No file of this process but the directory as the current one, and nothing to read or write. */
static bool close_files(int dir_fd)
{
    if (fchdir(dir_fd) < 0)
        return false;
    int fd = open("/dev/null", O_RDWR);
    bool ok = fd >= 0 && dup2(fd, 0) == 0 && dup2(fd, 1) == 1 && dup2(fd, 2) == 2;
    return ok && syscall(SYS_close_range, 3U, ~0U, 0U) == 0;
}

static _Noreturn void be_driver(char *const *argv, bool alone)
{
    static char *const no_environment[] = {NULL};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setsid();
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_AS, DRIVER_MEMORY_BYTES);
    limit(RLIMIT_FSIZE, DRIVER_OUTPUT_BYTES);
    limit(RLIMIT_NOFILE, DRIVER_FILES);
    limit(RLIMIT_CPU, DRIVER_MS / 1000 + 1);
    if (alone) /* elsewhere it would count all that the user runs */
        limit(RLIMIT_NPROC, DRIVER_PROCESSES);
    execve(argv[0], argv, no_environment);
    _exit(NOT_FOUND);
}

/* The first process of the namespace: when it ends, so does all in it. */
static _Noreturn void be_first(char *const *argv)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    pid_t driver = fork();
    if (driver == 0)
        be_driver(argv, true);
    int status = 0;
    pid_t pid = driver < 0 ? -1 : 0;
    while (pid >= 0 && pid != driver)
        pid = waitpid(-1, &status, 0);
    _exit(pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : NOT_FOUND - 1);
}

/* Ends each child of this process that /proc tells of. */
static void kill_children(void)
{
    char list[4096];
    int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, list, sizeof list) : 0;
    if (fd >= 0)
        close(fd);
    pid_t pid = 0;
    for (ssize_t i = 0; i < n; i++) {
        if (list[i] >= '0' && list[i] <= '9') {
            pid = pid * 10 + (list[i] - '0');
            continue;
        }
        if (pid > 1)
            kill(pid, SIGKILL);
        pid = 0;
    }
}

/* Until nothing of it is left. */
static void end_all(pid_t first)
{
    uint64_t until_ms = now_ms() + ENDING_MS;
    kill(-first, SIGKILL);
    kill(first, SIGKILL);
    for (;;) {
        kill_children();
        pid_t pid = waitpid(-1, NULL, WNOHANG);
        if ((pid < 0 && errno == ECHILD) || now_ms() > until_ms)
            return;
        if (pid == 0)
            rest();
    }
}

/* Namespaces: of processes, and of a network with nothing in it. */
static bool shut_in(void)
{
    return unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWPID) == 0 ||
           unshare(CLONE_NEWNET | CLONE_NEWPID) == 0;
}

static volatile sig_atomic_t told_to_end;

static void on_term(int sig)
{
    (void)sig;
    told_to_end = 1;
}

static _Noreturn void be_warden(int dir_fd, char *const *argv, pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    if (getppid() != parent || setsid() < 0)
        _exit(DRIVER_NO_WARDEN);
    default_signals();
    sigaction(SIGTERM, &(struct sigaction){.sa_handler = on_term}, NULL);
    if (!close_files(dir_fd))
        _exit(DRIVER_NO_WARDEN);
    bool alone = shut_in();
    uint64_t until_ms = now_ms() + DRIVER_MS;
    pid_t first = fork();
    if (first == 0 && alone)
        be_first(argv);
    if (first == 0)
        be_driver(argv, false);
    if (first < 0)
        _exit(DRIVER_NO_WARDEN);
    int status = 0, said = DRIVER_LATE;
    while (said == DRIVER_LATE && !told_to_end && now_ms() < until_ms) {
        if (waitpid(first, &status, WNOHANG) == first)
            said = !WIFEXITED(status)                 ? DRIVER_FAILED
                   : WEXITSTATUS(status) == 0         ? DRIVER_DONE
                   : WEXITSTATUS(status) == NOT_FOUND ? DRIVER_NOT_RUN
                                                      : DRIVER_FAILED;
        else
            rest();
    }
    end_all(first);
    _exit(said);
}

/* ---- in this process ---- */

static void put_word(struct buf *b, const char *word)
{
    for (; *word != '\0'; word++) {
        const char *name = word[0] != '%'   ? NULL
                           : word[1] == 'O' ? DRIVER_BASE
                           : word[1] == 'A' ? DRIVER_OURS
                           : word[1] == 'B' ? DRIVER_THEIRS
                           : word[1] == '%' ? "%"
                                            : NULL;
        if (name == NULL) {
            buf_put_u8(b, (uint8_t)*word);
            continue;
        }
        buf_put_bytes(b, bytes_str(name));
        word++;
    }
    buf_put_u8(b, 0);
}

/* Waits for the warden, which keeps the time itself; that it does is not relied on. */
static int await(pid_t warden, const atomic_bool *cancel, struct err *e)
{
    uint64_t until_ms = now_ms() + DRIVER_MS + 2 * ENDING_MS;
    bool canceled = false;
    int status = 0;
    pid_t pid;
    while ((pid = waitpid(warden, &status, WNOHANG)) == 0 || (pid < 0 && errno == EINTR)) {
        if (now_ms() > until_ms)
            kill(warden, SIGKILL);
        if (!canceled && cancel != NULL && atomic_load(cancel)) {
            canceled = true;
            until_ms = now_ms() + 2 * ENDING_MS;
            kill(warden, SIGTERM);
        }
        rest();
    }
    if (canceled)
        return err_set(e, -ECANCELED, "ended early");
    switch (pid < 0 || !WIFEXITED(status) ? DRIVER_NO_WARDEN : WEXITSTATUS(status)) {
    case DRIVER_DONE:
        return 0;
    case DRIVER_LATE:
        return err_set(e, -ETIMEDOUT, "not done after %d s", DRIVER_MS / 1000);
    case DRIVER_NOT_RUN:
        return err_set(e, -EPROTO, "the command cannot be run");
    case DRIVER_FAILED:
        return err_set(e, -EPROTO, "it failed");
    default:
        return err_set(e, -EIO, "no process can be started for it");
    }
}

int driver_run(int dir_fd, const char *const *argv, const atomic_bool *cancel, struct err *e)
{
    CLEANUP(buf_fini) struct buf words = {0};
    char *v[WORDS_MAX + 1];
    size_t n = 0;
    for (; argv[n] != NULL && n < WORDS_MAX; n++)
        put_word(&words, argv[n]);
    if (buf_status(&words) < 0)
        return err_set(e, -ENOMEM, "out of memory");
    char *at = (char *)words.p;
    for (size_t i = 0; i < n; i++, at += strlen(at) + 1)
        v[i] = at;
    v[n] = NULL;
    pid_t self = getpid(), warden = fork();
    if (warden == 0)
        be_warden(dir_fd, v, self);
    return warden < 0 ? err_set(e, -EIO, "no process can be started for it: %s", strerror(errno))
                      : await(warden, cancel, e);
}
