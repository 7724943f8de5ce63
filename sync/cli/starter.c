#include "sync/cli/starter.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/mount/device.h"
#include "proto/base/log.h"
#include "sync/cli/sync_ensure.h"

enum order { START_SYNC = 1, UNMOUNT };

struct answer {
    int rc;
    struct err err;
};

struct starter {
    pid_t pid;
    int fd;
    pthread_mutex_t lock; /* one order at a time */
};

/* ---- the process ---- */

/* Nothing of the mount process is kept but where its log goes. Signals are blocked, not ignored:
 * what is started gets its own mask, and would inherit that they are ignored. */
static void settle(int fd)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGQUIT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    prctl(PR_SET_NAME, "persist-starter");
    if (fd > STDERR_FILENO + 1)
        (void)!close_range(STDERR_FILENO + 1, (unsigned)fd - 1, 0);
    (void)!close_range((unsigned)fd + 1, ~0U, 0);
    (void)!chdir("/");
}

static _Noreturn void be_starter(int fd, const struct home *h, const char *folder)
{
    uint8_t order;
    settle(fd);
    while (recv(fd, &order, sizeof order, 0) == (ssize_t)sizeof order) {
        struct answer a = {.rc = 0};
        if (order == START_SYNC)
            a.rc = sync_start(h, &a.err);
        else if (order == UNMOUNT)
            device_unmount(folder);
        if (send(fd, &a, sizeof a, MSG_NOSIGNAL) < 0)
            break;
    }
    _exit(0);
}

/* ---- the mount process ---- */

int starter_start(const struct home *h, const char *folder, struct starter **ret, struct err *err)
{
    int pair[2];
    struct starter *s = calloc(1, sizeof *s);
    if (s == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    int rc = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 ? -errno : 0;
    if (rc == 0) {
        s->pid = fork();
        if (s->pid == 0)
            be_starter(pair[1], h, folder);
        rc = s->pid < 0 ? -errno : 0;
        close(pair[1]);
        if (rc < 0)
            close(pair[0]);
    }
    if (rc < 0) {
        free(s);
        return err_set(err, rc, "starting a process: %s", strerror(-rc));
    }
    s->fd = pair[0];
    pthread_mutex_init(&s->lock, NULL);
    *ret = s;
    return 0;
}

void starter_stop(struct starter *s)
{
    if (s == NULL)
        return;
    close(s->fd);
    while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static ssize_t receive(int fd, struct answer *ret)
{
    ssize_t n;
    do
        n = recv(fd, ret, sizeof *ret, 0);
    while (n < 0 && errno == EINTR);
    return n;
}

static int ask(struct starter *s, enum order what, struct err *err)
{
    struct answer a;
    uint8_t order = (uint8_t)what;
    pthread_mutex_lock(&s->lock);
    bool answered = send(s->fd, &order, sizeof order, MSG_NOSIGNAL) == (ssize_t)sizeof order &&
                    receive(s->fd, &a) == (ssize_t)sizeof a;
    pthread_mutex_unlock(&s->lock);
    if (!answered)
        return err_set(err, -EIO, "the process that starts others for the mount is gone");
    return a.rc < 0 ? err_set(err, a.rc, "%s", a.err.msg) : 0;
}

int starter_sync(struct starter *s, struct err *err)
{
    return ask(s, START_SYNC, err);
}

void starter_unmount(struct starter *s)
{
    struct err err = {0};
    if (ask(s, UNMOUNT, &err) < 0)
        log_error("mount: cannot unmount: %s", err.msg);
}
