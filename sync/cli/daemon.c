#include "sync/cli/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

void daemon_close_inherited(void)
{
    /* A pipe of the caller's that stayed open in the background would keep its reader waiting. */
    (void)!close_range(3, ~0U, 0);
}

static int redirect(int log_fd)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return -errno;
    int rc = 0;
    if (dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
        dup2(log_fd, STDERR_FILENO) < 0 || chdir("/") < 0)
        rc = -errno;
    if (null > STDERR_FILENO)
        close(null);
    return rc;
}

/* The grandchild: never returns. */
static _Noreturn void be_role(daemon_fn role, void *arg, int log_fd, int fd)
{
    struct control_out report;
    control_out_init(&report, fd);
    int rc = redirect(log_fd);
    int status;
    if (rc < 0) {
        out_error(&report.out, "background: %s", strerror(-rc));
        status = VERB_FAILED;
        (void)!control_out_exit(&report, status);
    } else {
        status = role(&report, arg);
    }
    control_out_fini(&report);
    exit(status);
}

static void be_session_leader(daemon_fn role, void *arg, int log_fd, int fd)
{
    setsid();
    /* Not the leader any more, the role can never get a terminal. */
    pid_t pid = fork();
    if (pid == 0)
        be_role(role, arg, log_fd, fd);
    _exit(pid < 0 ? 1 : 0);
}

int daemon_start(daemon_fn role, void *arg, int log_fd, struct out *out, int *ret_status,
                 struct err *err)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        return err_set(err, -errno, "background: %s", strerror(errno));
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        be_session_leader(role, arg, log_fd, fds[1]);
    }
    close(fds[1]);
    int rc = 0;
    int status = 0;
    if (pid < 0)
        rc = err_set(err, -errno, "background: %s", strerror(errno));
    while (rc == 0 && waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            rc = err_set(err, -errno, "background: %s", strerror(errno));
    if (rc == 0 && status != 0)
        rc = err_set(err, -EAGAIN, "background: no more processes; try again later");
    if (rc == 0)
        rc = control_relay(fds[0], out, ret_status, err);
    close(fds[0]);
    return rc;
}
