#include "sync/cli/process.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/log.h"

enum { TEXT_MAX = 4096 };

static mode_t umask_before = 022;

void process_harden(void)
{
    umask_before = umask(077);
    struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        log_warn("process: core dumps cannot be switched off error=%d", errno);
    signal(SIGPIPE, SIG_IGN);
    /* Many threads, each with an arena of its own, would keep much memory that nobody uses. */
    mallopt(M_ARENA_MAX, 2);
}

mode_t process_umask(void)
{
    return umask_before;
}

/* The path of a program, in @to; a name with a '/' stands for itself. */
static bool search(const char *name, char to[4096])
{
    static const char more[] = "/usr/bin:/bin";
    const char *path = getenv("PATH");
    const char *lists[] = {path != NULL ? path : "", more};
    for (size_t i = 0; i < ARRAY_N(lists); i++)
        for (const char *p = lists[i]; *p != '\0';) {
            size_t n = strcspn(p, ":");
            /* An empty or relative entry is the current directory: not for a helper. */
            int k = p[0] == '/' ? snprintf(to, 4096, "%.*s/%s", (int)n, p, name) : -1;
            if (k > 0 && k < 4096 && access(to, X_OK) == 0)
                return true;
            p += n + (p[n] == ':');
        }
    return false;
}

bool process_find(const char *name)
{
    char path[4096];
    return search(name, path);
}

static void read_all(int fd, struct buf *ret_text)
{
    for (;;) {
        char piece[512];
        ssize_t n = read(fd, piece, sizeof piece);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        if (ret_text->n + (size_t)n <= TEXT_MAX)
            buf_put(ret_text, piece, (size_t)n);
    }
}

static int wait_status(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int process_run(char *const argv[], struct buf *ret_text)
{
    char path[4096];
    if (!search(argv[0], path))
        return -ENOENT;
    int pipe_fd[2];
    if (pipe2(pipe_fd, O_CLOEXEC) < 0)
        return -errno;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, pipe_fd[1], 1);
    posix_spawn_file_actions_adddup2(&actions, pipe_fd[1], 2);
    pid_t pid;
    int rc = posix_spawn(&pid, path, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(pipe_fd[1]);
    if (rc == 0) {
        read_all(pipe_fd[0], ret_text);
        rc = wait_status(pid);
    } else {
        rc = -rc;
    }
    close(pipe_fd[0]);
    return rc;
}

int process_wait_gone(pid_t pid, unsigned timeout_ms)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0)
        return errno == ESRCH ? 0 : -errno;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int n;
    do
        n = poll(&p, 1, (int)timeout_ms);
    while (n < 0 && errno == EINTR);
    close(fd);
    return n == 0 ? -ETIMEDOUT : 0;
}
