/* Processes of a fixture: running commands, the guardian, finding what stayed behind. */
#include "tests/support/e2e_process.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/buf.h"

enum { LINE_MAX_BYTES = 8192, ENVIRON_MAX = 128 << 10 };

uint64_t e2e_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

bool e2e_wait(bool (*condition)(void *arg), void *arg, unsigned ms, const char *what)
{
    uint64_t deadline = e2e_now_ms() + ms;
    for (;;) {
        if (condition(arg))
            return true;
        if (e2e_now_ms() >= deadline)
            break;
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    check_fail("waited %u ms in vain: %s", ms, what);
    return false;
}

/* Waits for the end of a process that need not be a child. */
static bool is_gone_within(pid_t pid, unsigned ms)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0)
        return true;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int n = poll(&p, 1, (int)ms);
    close(fd);
    return n > 0;
}

bool e2e_wait_gone(pid_t pid, unsigned ms)
{
    if (is_gone_within(pid, ms))
        return true;
    check_fail("process %ld is there after %u ms", (long)pid, ms);
    return false;
}

/* ---- commands ---- */

void e2e_enter(const struct e2e *f)
{
    const char *bin = getenv("PERSIST_BIN");
    const char *path = getenv("PATH");
    char whole[LINE_MAX_BYTES];
    if (bin != NULL) {
        const char *slash = strrchr(bin, '/');
        snprintf(whole, sizeof whole, "%.*s:%s", slash != NULL ? (int)(slash - bin) : 1,
                 slash != NULL ? bin : ".", path != NULL ? path : "/usr/bin:/bin");
        setenv("PATH", whole, 1);
    }
    setenv("PERSIST_HOME", f->home, 1);
    setenv("HOME", f->top, 1);
    setenv("TMPDIR", f->top, 1);
    setenv("LC_ALL", "C.UTF-8", 1);
    setenv("TZ", "UTC", 1);
    unsetenv("XDG_STATE_HOME");
    unsetenv("XDG_CONFIG_HOME");
    unsetenv("PERSIST_DEVICE_TOKEN");
    if ((f->net > 0 && setns(f->net, CLONE_NEWNET) < 0) || chdir(f->top) < 0)
        _exit(126);
}

static void run_line(const struct e2e *f, const char *line) __attribute__((noreturn));

static void run_line(const struct e2e *f, const char *line)
{
    e2e_enter(f);
    execl("/bin/sh", "sh", "-c", line, (char *)NULL);
    _exit(127);
}

static bool drain(int *fd, struct buf *to)
{
    uint8_t piece[16384];
    ssize_t n = read(*fd, piece, sizeof piece);
    if (n > 0) {
        buf_put(to, piece, (size_t)n);
        return true;
    }
    close(*fd);
    *fd = -1;
    return false;
}

/* Reads both pipes and waits for the process; false when that lasts too long. */
static bool follow(pid_t pid, int out_fd, int err_fd, unsigned ms, struct buf *out, struct buf *err)
{
    uint64_t deadline = e2e_now_ms() + ms;
    int process_fd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd p[3] = {{out_fd, POLLIN, 0}, {err_fd, POLLIN, 0}, {process_fd, POLLIN, 0}};
    bool ended = false, late = false;
    /* Processes in the background may keep the pipes; what is in them when it ends is all. */
    while (!ended && !late) {
        uint64_t now = e2e_now_ms();
        int n = now < deadline ? poll(p, 3, (int)(deadline - now)) : 0;
        late = n == 0;
        ended = n > 0 && p[2].revents != 0 && p[0].revents == 0 && p[1].revents == 0;
        if (n > 0 && p[0].revents != 0)
            drain(&p[0].fd, out);
        if (n > 0 && p[1].revents != 0)
            drain(&p[1].fd, err);
    }
    for (int i = 0; i < 3; i++)
        if (p[i].fd >= 0)
            close(p[i].fd);
    return !late;
}

static char *text_of(struct buf *b, size_t *ret_n)
{
    *ret_n = b->n;
    buf_put_u8(b, 0);
    return b->failed ? NULL : (char *)b->p;
}

void e2e_result_free(struct e2e_result *r)
{
    free(r->out);
    free(r->err);
    *r = (struct e2e_result){0};
}

static void run_within(struct e2e *f, unsigned ms, const char *line)
{
    int out[2], err[2];
    e2e_result_free(&f->last);
    f->last.status = -EIO;
    if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0)
        abort();
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        int none = open("/dev/null", O_RDONLY | O_CLOEXEC);
        setpgid(0, 0);
        dup2(none, 0);
        dup2(out[1], 1);
        dup2(err[1], 2);
        run_line(f, line);
    }
    close(out[1]);
    close(err[1]);
    struct buf out_text = {0}, err_text = {0};
    bool done = pid > 0 && follow(pid, out[0], err[0], ms, &out_text, &err_text);
    int status = 0;
    if (!done && pid > 0)
        kill(-pid, SIGKILL);
    if (pid > 0)
        waitpid(pid, &status, 0);
    f->last.status = !done               ? -ETIMEDOUT
                     : WIFEXITED(status) ? WEXITSTATUS(status)
                                         : 128 + WTERMSIG(status);
    f->last.out = text_of(&out_text, &f->last.out_n);
    f->last.err = text_of(&err_text, &f->last.err_n);
    if (f->last.out == NULL || f->last.err == NULL)
        abort();
}

#define FORMAT_LINE(line, fmt)                                                                     \
    do {                                                                                           \
        va_list ap;                                                                                \
        va_start(ap, fmt);                                                                         \
        int n_ = vsnprintf(line, sizeof line, fmt, ap);                                            \
        va_end(ap);                                                                                \
        if (n_ < 0 || (size_t)n_ >= sizeof line)                                                   \
            abort();                                                                               \
    } while (0)

const struct e2e_result *e2e_sh(struct e2e *f, const char *fmt, ...)
{
    char line[LINE_MAX_BYTES];
    FORMAT_LINE(line, fmt);
    run_within(f, E2E_COMMAND_MS, line);
    return &f->last;
}

const struct e2e_result *e2e_sh_within(struct e2e *f, unsigned ms, const char *fmt, ...)
{
    char line[LINE_MAX_BYTES];
    FORMAT_LINE(line, fmt);
    run_within(f, ms, line);
    return &f->last;
}

bool e2e_ok(struct e2e *f, const char *fmt, ...)
{
    char line[LINE_MAX_BYTES];
    FORMAT_LINE(line, fmt);
    run_within(f, E2E_COMMAND_MS, line);
    if (f->last.status != 0)
        check_fail("'%s' gave %d: %.300s%.800s", line, f->last.status, f->last.out, f->last.err);
    return f->last.status == 0;
}

bool e2e_refused(struct e2e *f, int status, const char *part, const char *fmt, ...)
{
    char line[LINE_MAX_BYTES];
    FORMAT_LINE(line, fmt);
    run_within(f, E2E_COMMAND_MS, line);
    const struct e2e_result *r = &f->last;
    const char *newline = strchr(r->err, '\n');
    bool good = r->status == status && r->out_n == 0 && strncmp(r->err, "persist: ", 9) == 0 &&
                newline != NULL && newline[1] == '\0' && strstr(r->err, part) != NULL;
    if (!good)
        check_fail("'%s' gave %d, expected %d and one line with \"%s\": %.300s%.800s", line,
                   r->status, status, part, r->out, r->err);
    return good;
}

struct tried {
    struct e2e *f;
    const char *line;
};

static bool succeeds(void *arg)
{
    const struct tried *t = arg;
    run_within(t->f, E2E_COMMAND_MS, t->line);
    return t->f->last.status == 0;
}

bool e2e_until(struct e2e *f, const char *fmt, ...)
{
    char line[LINE_MAX_BYTES];
    FORMAT_LINE(line, fmt);
    struct tried t = {f, line};
    return e2e_wait(succeeds, &t, E2E_LONG_MS, line);
}

pid_t e2e_start(struct e2e *f, const char *fmt, ...)
{
    char line[LINE_MAX_BYTES];
    FORMAT_LINE(line, fmt);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        setsid();
        run_line(f, line);
    }
    return pid;
}

void e2e_stop(pid_t pid)
{
    if (pid <= 0)
        return;
    kill(-pid, SIGKILL);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

void e2e_allow_preload(void)
{
    const char *now = getenv("ASAN_OPTIONS");
    char all[256];
    snprintf(all, sizeof all, "%s%sverify_asan_link_order=0", now != NULL ? now : "",
             now != NULL ? ":" : "");
    setenv("ASAN_OPTIONS", all, 1);
}

/* ---- what stayed behind ---- */

/* Reads a file of /proc, terminated; its length. */
static size_t read_proc(pid_t pid, const char *name, char *to, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/%s", (long)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t n = 0;
    ssize_t k;
    while (fd >= 0 && n < size - 1 && (k = read(fd, to + n, size - 1 - n)) > 0)
        n += (size_t)k;
    if (fd >= 0)
        close(fd);
    to[n] = '\0';
    return n;
}

/* Whether a variable of the environment begins so. */
static bool has_variable(const char *environment, size_t n, const char *variable)
{
    for (const char *p = environment; p < environment + n; p += strlen(p) + 1)
        if (strncmp(p, variable, strlen(variable)) == 0)
            return true;
    return false;
}

static bool is_zombie(pid_t pid)
{
    char text[512];
    read_proc(pid, "stat", text, sizeof text);
    const char *p = strrchr(text, ')');
    return p == NULL || p[1] == '\0' || p[2] == 'Z' || p[2] == 'X';
}

void e2e_processes(const char *top, pid_t but, void (*each)(pid_t pid, const char *what, void *arg),
                   void *arg)
{
    static char environment[ENVIRON_MAX];
    char variable[E2E_PATH_MAX + 16], what[256];
    snprintf(variable, sizeof variable, "PERSIST_HOME=%s/", top);
    DIR *d = opendir("/proc");
    const struct dirent *e;
    while (d != NULL && (e = readdir(d)) != NULL) {
        pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);
        if (pid <= 0 || pid == but || pid == getpid())
            continue;
        size_t n = read_proc(pid, "environ", environment, sizeof environment);
        if (!has_variable(environment, n, variable) || is_zombie(pid))
            continue;
        n = read_proc(pid, "cmdline", what, sizeof what);
        for (size_t i = 0; i + 1 < n; i++)
            if (what[i] == '\0')
                what[i] = ' ';
        each(pid, what, arg);
    }
    if (d != NULL)
        closedir(d);
}

/* The mount point of a line of mountinfo, or NULL. Our paths have nothing to unescape. */
static char *mount_point(char *line)
{
    char *p = line;
    for (int i = 0; i < 4 && p != NULL; i++) {
        p = strchr(p, ' ');
        p = p != NULL ? p + 1 : NULL;
    }
    if (p != NULL)
        p[strcspn(p, " \n")] = '\0';
    return p;
}

/* Calls umount2() for the last mount at @top or below. */
static bool unmount_one(const char *top)
{
    char line[4096], found[4096] = "";
    FILE *f = fopen("/proc/self/mountinfo", "re");
    size_t n = strlen(top);
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        const char *p = mount_point(line);
        if (p != NULL && strncmp(p, top, n) == 0 && (p[n] == '/' || p[n] == '\0'))
            memcpy(found, p, strlen(p) + 1);
    }
    if (f != NULL)
        fclose(f);
    return found[0] != '\0' && umount2(found, MNT_DETACH) == 0;
}

unsigned e2e_unmount_below(const char *top)
{
    unsigned n = 0;
    while (unmount_one(top))
        n++;
    return n;
}

bool e2e_is_mounted(const char *path)
{
    char line[4096];
    bool found = false;
    FILE *f = fopen("/proc/self/mountinfo", "re");
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        const char *p = mount_point(line);
        found = found || (p != NULL && strcmp(p, path) == 0);
    }
    if (f != NULL)
        fclose(f);
    return found;
}

static void end_one(pid_t pid, const char *what, void *arg)
{
    (void)what;
    kill(pid, *(const int *)arg);
    is_gone_within(pid, 2000);
}

void e2e_clean(const char *top, pid_t but)
{
    int ask = SIGTERM, force = SIGKILL;
    e2e_unmount_below(top);
    e2e_processes(top, but, end_one, &ask);
    e2e_processes(top, but, end_one, &force);
    e2e_unmount_below(top);
}

/* ---- the guardian ---- */

static void guard(const struct e2e *f, int fd)
{
    char done;
    /* Terminal signals are for the test program; this one has to outlive it. */
    setsid();
    if (chdir("/") < 0 || read(fd, &done, 1) == 1)
        _exit(0);
    e2e_clean(f->top, 0);
    char *argv[] = {(char[]){"rm"}, (char[]){"-rf"}, (char[]){"--one-file-system"}, strdup(f->top),
                    NULL};
    execv("/bin/rm", argv);
    _exit(1);
}

bool e2e_guard_start(struct e2e *f)
{
    int fd[2];
    if (pipe2(fd, O_CLOEXEC) < 0)
        return false;
    fflush(NULL);
    f->guard = fork();
    if (f->guard == 0) {
        close(fd[1]);
        guard(f, fd[0]);
    }
    close(fd[0]);
    f->guard_fd = fd[1];
    return f->guard > 0;
}

void e2e_guard_end(struct e2e *f)
{
    if (f->guard <= 0)
        return;
    ssize_t n = write(f->guard_fd, "", 1);
    close(f->guard_fd);
    if (n != 1)
        kill(f->guard, SIGKILL);
    waitpid(f->guard, NULL, 0);
    f->guard = 0;
}
