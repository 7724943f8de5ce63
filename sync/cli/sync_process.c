#include "sync/cli/sync_process.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/base/log.h"
#include "sync/cli/confine.h"
#include "sync/cli/identity.h"
#include "sync/cli/local_call.h"
#include "sync/cli/runfile.h"
#include "sync/links/links.h"
#include "sync/net/unix_frames.h"

enum { DESCRIPTORS_MAX = 1024 };

struct state {
    int run_fd, dir_fd, run_file, listen_fd, signal_fd, inotify_fd; /* -1: not open */
    struct member_keys identity;
    struct net_loop *loop;
    struct net_watch *signals, *directory;
    struct links *links;
    bool watches; /* the directory */
};

/*
 * The socket has its name before the process is confined, and listens last: until then who connects
 * is refused, as by one that was left behind.
 */
static int open_socket(struct state *st, struct err *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    snprintf(addr.sun_path, sizeof addr.sun_path, "/proc/self/fd/%d/" LOCAL_SOCKET, st->run_fd);
    /* The pid file is ours: a socket that is there is of one that died. */
    if (unlinkat(st->run_fd, LOCAL_SOCKET, 0) < 0 && errno != ENOENT)
        return err_set(err, -errno, "run/" LOCAL_SOCKET ": the old one stays: %s", strerror(errno));
    st->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (st->listen_fd < 0)
        return err_set(err, -errno, "sync process: %s", strerror(errno));
    /* Linux gives the file the mode of the socket: it is never open to others, not for a moment. */
    if (fchmod(st->listen_fd, 0600) < 0 ||
        bind(st->listen_fd, (struct sockaddr *)&addr, sizeof addr) < 0)
        return err_set(err, -errno, "run/" LOCAL_SOCKET ": %s", strerror(errno));
    return 0;
}

static void on_stopped(void *arg)
{
    struct state *st = arg;
    net_loop_stop(st->loop);
}

static void on_signal(uint32_t events, void *arg)
{
    (void)events;
    struct state *st = arg;
    struct signalfd_siginfo info;
    if (read(st->signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
        links_stop(st->links);
}

/* Who removes the state directory, or puts another in its place, ends this process. */
static void on_directory(uint32_t events, void *arg)
{
    (void)events;
    struct state *st = arg;
    char dropped[4096];
    while (read(st->inotify_fd, dropped, sizeof dropped) > 0)
        continue;
    if (!runfile_is_current(st->run_fd, SYNC_RUNFILE, st->run_file)) {
        log_warn("sync: run/" SYNC_RUNFILE " is gone");
        links_stop(st->links);
    }
}

/* Before the process is confined: then it can watch nothing any more. */
static void open_watch(struct state *st)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", st->run_fd);
    st->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    st->watches =
        st->inotify_fd >= 0 &&
        inotify_add_watch(st->inotify_fd, path, IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO) >= 0;
}

static void watch_directory(struct state *st)
{
    if (!st->watches ||
        net_watch_new(st->loop, st->inotify_fd, EPOLLIN, on_directory, st, &st->directory) < 0)
        log_warn("sync: a removal of the state directory is not noticed");
}

/* Signals come through a descriptor; before there are threads. */
static int open_signals(struct state *st, struct err *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return err_set(err, -errno, "sync process: %s", strerror(errno));
    st->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return st->signal_fd < 0 ? err_set(err, -errno, "sync process: %s", strerror(errno)) : 0;
}

static int start_links(struct state *st, struct err *err)
{
    struct links_config cfg = {.listen_fd = st->listen_fd,
                               .dir_fd = st->dir_fd,
                               .identity = &st->identity,
                               .stopped = on_stopped,
                               .arg = st};
    int rc = net_loop_new(DESCRIPTORS_MAX, &st->loop, err);
    if (rc == 0)
        rc = links_new(st->loop, &cfg, &st->links, err);
    if (rc == 0 && net_watch_new(st->loop, st->signal_fd, EPOLLIN, on_signal, st, &st->signals) < 0)
        rc = err_set(err, -ENOMEM, "sync process: out of memory");
    if (rc == 0)
        watch_directory(st);
    return rc;
}

/* All that a confined process could not open. */
static int open_all(const struct home *h, struct state *st, struct err *err)
{
    int rc = home_dir(h, "run", true, &st->run_fd, err);
    if (rc == 0)
        rc = runfile_take_named(st->run_fd, SYNC_RUNFILE, "sync process", &st->run_file, err);
    if (rc == 0)
        rc = identity_keys(h, &st->identity, err);
    if (rc == 0)
        rc = home_dir(h, "sync", true, &st->dir_fd, err);
    if (rc == 0)
        rc = open_signals(st, err);
    if (rc == 0)
        rc = open_socket(st, err);
    if (rc == 0)
        open_watch(st);
    return rc;
}

static int start(const struct home *h, struct state *st, struct err *err)
{
    int rc = open_all(h, st, err);
    /* While there is one thread and no network. */
    if (rc == 0)
        rc = confine_sync(st->dir_fd, st->run_fd, err);
    struct err why = {0};
    if (rc == 0) {
        rc = start_links(st, &why);
        if (rc < 0)
            err_set(err, rc, "%s/sync/%s", h->path, why.msg);
    }
    /* Last: who can connect would take a process that fails now for one that was ended. */
    if (rc == 0 && listen(st->listen_fd, UNIX_CONNECTIONS_MAX) < 0)
        rc = err_set(err, -errno, "run/" LOCAL_SOCKET ": %s", strerror(errno));
    return rc;
}

static void close_fd(int fd)
{
    if (fd >= 0)
        close(fd);
}

static void end(struct state *st)
{
    links_free(st->links);
    net_watch_free(st->signals);
    net_watch_free(st->directory);
    net_loop_free(st->loop);
    member_keys_fini(&st->identity);
    if (st->listen_fd >= 0 && runfile_is_current(st->run_fd, SYNC_RUNFILE, st->run_file))
        unlinkat(st->run_fd, LOCAL_SOCKET, 0);
    close_fd(st->listen_fd);
    close_fd(st->inotify_fd);
    close_fd(st->signal_fd);
    close_fd(st->dir_fd);
    if (st->run_file >= 0)
        runfile_release_named(st->run_fd, SYNC_RUNFILE, st->run_file);
    close_fd(st->run_fd);
}

int sync_process_run(const struct home *h, struct out *out, struct control_out *report)
{
    struct state st = {.run_fd = -1,
                       .dir_fd = -1,
                       .run_file = -1,
                       .listen_fd = -1,
                       .signal_fd = -1,
                       .inotify_fd = -1};
    struct err err = {0};
    int rc = start(h, &st, &err);
    bool listens = rc == 0;
    if (listens) {
        log_info("sync: listens pid=%ld", (long)getpid());
        if (report != NULL)
            (void)!control_out_exit(report, VERB_OK);
        rc = net_loop_run(st.loop);
        log_info("sync: ends");
    }
    end(&st);
    int status = verb_status_of(rc);
    if (listens) {
        if (rc < 0)
            log_error("sync: ended with an error: %s", strerror(-rc));
        return status;
    }
    /* Another command has started it meanwhile: that will do. */
    if (rc == -EBUSY)
        status = VERB_OK;
    else
        out_error(out, "%s", err.msg);
    if (report != NULL)
        (void)!control_out_exit(report, status);
    return status;
}
