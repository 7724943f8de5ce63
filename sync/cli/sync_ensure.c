#include "sync/cli/sync_ensure.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fs/space/verb.h"
#include "proto/base/log.h"
#include "sync/cli/local_call.h"

enum { TRIES = 100, TRY_MS = 50, TEXT_MAX = 512 };

/* Whether it listens: 0, or why not. */
static int look(int run_fd, struct err *err)
{
    int fd;
    int rc = local_connect(run_fd, &fd, err);
    if (rc == 0)
        close(fd);
    return rc == -EAGAIN ? 0 : rc; /* it is only busy */
}

/*
 * This process's environment without the token, which is not for others, and with the state
 * directory as @home ("PERSIST_HOME=PATH"), if it is in there: a mount process is in another
 * directory than the command that it came from. Free it, not what is in it.
 */
static char **own_environment(char *home)
{
    static const char token[] = "PERSIST_DEVICE_TOKEN=", variable[] = "PERSIST_HOME=";
    size_t n = 0;
    while (environ[n] != NULL)
        n++;
    char **v = calloc(n + 1, sizeof(char *));
    size_t k = 0;
    for (size_t i = 0; v != NULL && i < n; i++)
        if (strncmp(environ[i], token, sizeof token - 1) != 0) {
            bool is_home = strncmp(environ[i], variable, sizeof variable - 1) == 0 &&
                           environ[i][sizeof variable - 1] != '\0';
            v[k++] = is_home ? home : environ[i];
        }
    return v;
}

/* Starts `persist daemon`, its errors to the pipe; no signal is blocked there, whoever starts it.
 */
static int spawn_with(char **env, int error_fd, pid_t *ret_pid)
{
    static char name[] = "persist", command[] = "daemon";
    char *argv[] = {name, command, NULL};
    sigset_t none;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_t actions;
    sigemptyset(&none);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, error_fd, STDERR_FILENO);
    int rc = posix_spawn(ret_pid, "/proc/self/exe", &actions, &attributes, argv, env);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return -rc;
}

static int spawn(const struct home *h, int error_fd, pid_t *ret_pid)
{
    char *home;
    if (asprintf(&home, "PERSIST_HOME=%s", h->path) < 0)
        return -ENOMEM;
    char **env = own_environment(home);
    int rc = env != NULL ? spawn_with(env, error_fd, ret_pid) : -ENOMEM;
    free(env);
    free(home);
    return rc;
}

/* Its exit status, and the line it said why. */
static int follow(pid_t pid, int error_fd, char text[TEXT_MAX])
{
    size_t n = 0;
    ssize_t k;
    while (n < TEXT_MAX - 1 && (k = read(error_fd, text + n, TEXT_MAX - 1 - n)) != 0)
        if (k > 0)
            n += (size_t)k;
        else if (errno != EINTR)
            break;
    text[n] = '\0';
    text[strcspn(text, "\n")] = '\0';
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return VERB_FAILED;
    return WIFEXITED(status) ? WEXITSTATUS(status) : VERB_FAILED;
}

/* Why it did not start, by what it said. */
static int tell(const struct home *h, int status, const char *text, struct err *err)
{
    static const char prefix[] = "persist: ";
    int rc = local_error_of((uint32_t)status);
    if (text[0] == '\0')
        return err_set(err, rc, "sync process: cannot be started; see %s/log/sync.log", h->path);
    bool ours = strncmp(text, prefix, sizeof prefix - 1) == 0;
    return err_set(err, rc, "%s", text + (ours ? sizeof prefix - 1 : 0));
}

int sync_start(const struct home *h, struct err *err)
{
    int fds[2];
    pid_t pid;
    char text[TEXT_MAX];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_set(err, -errno, "sync process: %s", strerror(errno));
    int rc = spawn(h, fds[1], &pid);
    close(fds[1]);
    int status = rc == 0 ? follow(pid, fds[0], text) : VERB_OK;
    close(fds[0]);
    if (rc < 0)
        return err_set(err, rc, "sync process: cannot be started: %s", strerror(-rc));
    return status == VERB_OK ? 0 : tell(h, status, text, err);
}

int sync_ensure(const struct home *h, int run_fd, struct err *err)
{
    struct err why = {0};
    int rc = look(run_fd, &why);
    if (rc != -ENOENT && rc != -ECONNREFUSED)
        return rc < 0 ? err_set(err, rc, "%s", why.msg) : 0;
    rc = sync_start(h, err);
    /* Another command may be starting it at this moment. */
    for (int i = 0; rc == 0 && look(run_fd, &why) < 0; i++) {
        if (i == TRIES)
            return err_set(err, -ETIMEDOUT, "%s", why.msg);
        nanosleep(&(struct timespec){.tv_nsec = TRY_MS * 1000000L}, NULL);
    }
    return rc;
}
