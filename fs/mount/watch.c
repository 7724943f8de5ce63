#include "fs/mount/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/mount/device.h"
#include "fs/mount/pass_fd.h"

enum { DEATH_SIGNAL = SIGUSR1, NOTIFY_RESEND = 7 /* of linux/fuse.h, protocol 7.40 */ };

struct watch {
    pid_t pid;
    int fd; /* the other end hears when this process has ended, or wants its end */
};

/* ---- the process ---- */

struct watched {
    int fd, fuse_fd;
    uint32_t number; /* of the connection */
};

static bool is_cut(const struct watched *w)
{
    struct pollfd p = {.fd = w->fuse_fd};
    return poll(&p, 1, 0) > 0 && (p.revents & POLLERR) != 0;
}

static bool has_ended(const struct watched *w)
{
    struct pollfd p = {.fd = w->fd};
    return poll(&p, 1, 0) > 0;
}

static bool abort_connection(const struct watched *w)
{
    char path[64];
    snprintf(path, sizeof path, "/sys/fs/fuse/connections/%u/abort", w->number);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool done = fd >= 0 && write(fd, "1", 1) == 1;
    if (fd >= 0)
        close(fd);
    return done;
}

/* Where it is not mounted, for this process alone; only root can. */
static bool mount_fusectl(void)
{
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("fusectl", "/sys/fs/fuse/connections", "fusectl", 0, NULL) == 0;
}

static void refuse_one(const struct watched *w)
{
    static uint8_t request[DEVICE_REQUEST_MAX]; /* takes no memory until it is used */
    struct fuse_in_header h;
    ssize_t n = read(w->fuse_fd, request, sizeof request);
    if (n < (ssize_t)sizeof h)
        return;
    memcpy(&h, request, sizeof h);
    if (h.opcode == FUSE_FORGET || h.opcode == FUSE_BATCH_FORGET || h.opcode == FUSE_INTERRUPT)
        return;
    struct fuse_out_header out = {.len = sizeof out, .error = -ENOTCONN, .unique = h.unique};
    (void)!write(w->fuse_fd, &out, sizeof out);
}

/* Until the process, which nothing keeps any more, has ended. */
static void refuse_all(const struct watched *w)
{
    struct fuse_out_header resend = {.len = sizeof resend, .error = NOTIFY_RESEND};
    struct pollfd p[2] = {{.fd = w->fd}, {.fd = w->fuse_fd, .events = POLLIN}};
    (void)!write(w->fuse_fd, &resend, sizeof resend); /* what it had read, too */
    while (p[0].revents == 0 && (p[1].revents & POLLERR) == 0) {
        if ((p[1].revents & POLLIN) != 0)
            refuse_one(w);
        if (poll(p, ARRAY_N(p), -1) < 0 && errno != EINTR)
            return;
    }
}

static void cut_off(const struct watched *w)
{
    if (has_ended(w) || is_cut(w) || abort_connection(w))
        return;
    if (mount_fusectl() && abort_connection(w))
        return;
    refuse_all(w);
}

/* Nothing of the mount process is kept, and nobody else's signal ends this one. */
static void settle(int fd)
{
    static const int ignored[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE};
    for (size_t i = 0; i < ARRAY_N(ignored); i++)
        signal(ignored[i], SIG_IGN);
    prctl(PR_SET_NAME, "persist-watch");
    if (fd > 0)
        (void)!close_range(0, (unsigned)fd - 1, 0);
    (void)!close_range((unsigned)fd + 1, ~0U, 0);
    (void)!chdir("/");
}

static _Noreturn void be_watch(int fd, pid_t mount, int (*confine)(void))
{
    sigset_t death;
    if (confine() < 0) /* it says why, to the log, which goes then */
        _exit(1);
    settle(fd);
    sigemptyset(&death);
    sigaddset(&death, DEATH_SIGNAL);
    sigprocmask(SIG_BLOCK, &death, NULL);
    prctl(PR_SET_PDEATHSIG, DEATH_SIGNAL);
    int signal_fd = signalfd(-1, &death, SFD_CLOEXEC);
    struct watched w = {.fd = fd, .fuse_fd = pass_fd_receive(fd)};
    if (signal_fd < 0 || w.fuse_fd < 0 || recv(fd, &w.number, sizeof w.number, 0) <= 0)
        _exit(1);
    struct pollfd p[2] = {{.fd = fd}, {.fd = signal_fd, .events = POLLIN}};
    while (getppid() == mount && p[0].revents == 0 && p[1].revents == 0)
        (void)poll(p, ARRAY_N(p), -1);
    cut_off(&w);
    _exit(0);
}

/* ---- the mount process ---- */

int watch_start(int (*confine)(void), struct watch **ret, struct err *err)
{
    int pair[2];
    struct watch *w = calloc(1, sizeof *w);
    if (w == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        int rc = err_set(err, -errno, "starting the watch: %s", strerror(errno));
        free(w);
        return rc;
    }
    pid_t mount = getpid();
    w->fd = pair[0];
    w->pid = fork();
    if (w->pid == 0)
        be_watch(pair[1], mount, confine);
    int rc = w->pid < 0 ? err_set(err, -errno, "starting the watch: %s", strerror(errno)) : 0;
    close(pair[1]);
    if (rc < 0) {
        close(w->fd);
        free(w);
        return rc;
    }
    *ret = w;
    return 0;
}

int watch_connect(struct watch *w, int fuse_fd, const char *folder, struct err *err)
{
    struct statx st;
    uint32_t of = (uint32_t)fuse_fd;
    int fd = open("/dev/fuse", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    int rc = fd < 0 || ioctl(fd, FUSE_DEV_IOC_CLONE, &of) < 0 ||
                     statx(AT_FDCWD, folder, AT_STATX_DONT_SYNC, 0, &st) < 0
                 ? -errno
                 : pass_fd_send(w->fd, fd);
    if (rc == 0 && send(w->fd, &(uint32_t){st.stx_dev_minor}, sizeof(uint32_t), MSG_NOSIGNAL) < 0)
        rc = -errno;
    if (fd >= 0)
        close(fd);
    return rc < 0 ? err_set(err, -EIO, "the watch of the mount: %s", strerror(-rc)) : 0;
}

void watch_stop(struct watch *w)
{
    if (w == NULL)
        return;
    close(w->fd);
    while (waitpid(w->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    free(w);
}
