#include "sync/server/service.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/log.h"
#include "sync/server/control.h"
#include "sync/server/mailbox_ws.h"
#include "sync/server/managed.h"
#include "sync/server/metrics.h"
#include "sync/server/session.h"

enum {
    DESCRIPTORS_MAX = 16384, /* connections, those that come, and the store's */
    SWEEP_EVERY_MS = 3600 * 1000,
    SWEEP_STEP_ROWS = 50, /* some milliseconds of work, */
    SWEEP_STEP_MS = 10,   /* then as long for others */
    SWEEP_SYNC_MS = 1000, /* then what was dropped is so on the disk, and its room is given back */
    ENDING_TRIES = 250,
    ENDING_TRY_MS = 20,
};

static const char pid_name[] = "serve.pid";

struct srv_service {
    struct srv_store *store;
    struct srv_accounts *accounts;
    struct srv_spaces *spaces;
    struct net_loop *loop;
    struct srv_managed *managed;
    struct srv_hub *hub;
    struct srv_mailbox_ws *mailboxes;
    struct ws_server *server;
    struct srv_control *control;
    int dir_fd, signal_fd;
    struct net_watch *signal_watch;
    struct net_timer *sweep_timer;
    struct srv_swept swept; /* in this round */
    bool has_pid_file, stopping;
};

/* ---- requests ---- */

static unsigned authorise(const struct ws_request *request, void *user, void **ret_user)
{
    struct srv_service *s = user;
    return srv_session_accept(s->hub, request, ret_user);
}

static unsigned authorise_pair(const struct ws_request *request, void *user, void **ret_user)
{
    struct srv_service *s = user;
    return srv_mailbox_ws_accept(s->mailboxes, request, ret_user);
}

static void get_metrics(struct srv_service *s, const struct ws_request *request,
                        struct ws_reply *reply)
{
    unsigned refused = request->loopback       ? 0
                       : request->token.n == 0 ? 401
                                               : srv_session_check(s->hub, request);
    if (refused != 0) {
        reply->status = refused;
        return;
    }
    reply->type = "text/plain; version=0.0.4";
    reply->status = 200;
    struct srv_mailbox_stats mailboxes = srv_mailbox_ws_stats(s->mailboxes);
    if (srv_metrics_put(s->hub, s->accounts, s->spaces, s->managed, &mailboxes, &reply->body) < 0)
        reply->status = 503;
}

static void on_get(const struct ws_request *request, struct ws_reply *reply, void *user)
{
    struct srv_service *s = user;
    if (strcmp(request->path, "/healthz") == 0) {
        reply->status = 200;
        buf_put_bytes(&reply->body, bytes_str("ok\n"));
    } else if (strcmp(request->path, "/metrics") == 0) {
        get_metrics(s, request, reply);
    }
}

/* ---- upkeep ---- */

static void sweep(void *arg)
{
    struct srv_service *s = arg;
    int rc = srv_spaces_sweep(s->spaces, srv_now_ms(), SWEEP_STEP_ROWS, &s->swept);
    if (rc == 1) {
        net_timer_set(s->sweep_timer, SWEEP_STEP_MS);
        return;
    }
    if (rc < 0)
        log_error("server: clearing away failed: %s", strerror(-rc));
    else if (s->swept.bytes > 0)
        log_info("server: cleared away %ju bytes that nothing needs any more",
                 (uintmax_t)s->swept.bytes);
    bool gives_back = rc == 0 && s->swept.chunks > 0;
    if (gives_back)
        srv_hub_sync(s->hub);
    s->swept = (struct srv_swept){0};
    srv_logins_seen(s->accounts, srv_now_ms());
    net_timer_set(s->sweep_timer, gives_back ? SWEEP_SYNC_MS : SWEEP_EVERY_MS);
}

/* ---- stopping ---- */

static void on_stopped(void *user)
{
    struct srv_service *s = user;
    net_loop_stop(s->loop);
}

static void on_signal(uint32_t events, void *arg)
{
    (void)events;
    struct srv_service *s = arg;
    struct signalfd_siginfo info;
    if (read(s->signal_fd, &info, sizeof info) != sizeof info || s->stopping)
        return;
    s->stopping = true;
    log_info("server: stops");
    ws_server_stop(s->server, SERVICE_STOP_MS, on_stopped);
}

/* Before there is any thread, so that the signals come to the descriptor alone. */
static int take_signals(struct srv_service *s)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    int rc = pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (rc != 0)
        return -rc;
    s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return s->signal_fd < 0 ? -errno : 0;
}

/* ---- beginning ---- */

static int write_pid(struct srv_service *s, const char *dir, struct err *err)
{
    char text[32];
    s->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->dir_fd < 0)
        return err_set(err, -errno, "%s: %s", dir, strerror(errno));
    /* An old one is not written into: who has it open sees all of it or nothing. */
    (void)unlinkat(s->dir_fd, pid_name, 0);
    int fd = openat(s->dir_fd, pid_name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (fd < 0)
        return err_set(err, -errno, "%s/%s: %s", dir, pid_name, strerror(errno));
    /* The number is for people; a full disk must not keep a server from its data. */
    ssize_t written = write(fd, text, (size_t)n);
    (void)written;
    close(fd);
    s->has_pid_file = true;
    return 0;
}

/* One that was killed has its files a moment longer than it serves. */
static int open_store(struct srv_service *s, const char *dir, struct err *err)
{
    for (unsigned i = 0;; i++) {
        int rc = srv_store_open(dir, true, &s->store, err);
        if (rc != -EBUSY || i == ENDING_TRIES)
            return rc;
        nanosleep(&(struct timespec){.tv_nsec = ENDING_TRY_MS * 1000000L}, NULL);
    }
}

static int open_data(struct srv_service *s, const struct srv_service_config *cfg, struct err *err)
{
    int rc = open_store(s, cfg->dir, err);
    if (rc == 0)
        rc = srv_accounts_open(s->store, &s->accounts, err);
    if (rc == 0)
        rc = srv_spaces_open(s->store, cfg->rate_s, &s->spaces, err);
    struct srv_managed_config managed = {.dir = cfg->dir,
                                         .mirror = cfg->mirror,
                                         .store = s->store,
                                         .spaces = s->spaces,
                                         .fd_max = DESCRIPTORS_MAX};
    return rc < 0 ? rc : srv_managed_new(&managed, &s->managed, err);
}

static int start_loop(struct srv_service *s, struct err *err)
{
    int rc = net_loop_new(DESCRIPTORS_MAX, &s->loop, err);
    if (rc < 0)
        return rc;
    struct srv_hub_config hub = {
        .loop = s->loop, .accounts = s->accounts, .spaces = s->spaces, .managed = s->managed};
    rc = srv_hub_new(&hub, &s->hub, err);
    if (rc == 0)
        rc = srv_mailbox_ws_new(s->loop, s->accounts, &s->mailboxes, err);
    if (rc < 0)
        return rc;
    rc = net_watch_new(s->loop, s->signal_fd, EPOLLIN, on_signal, s, &s->signal_watch);
    if (rc == 0)
        rc = net_timer_new(s->loop, sweep, s, &s->sweep_timer);
    if (rc < 0)
        return err_set(err, rc, "server: %s", strerror(-rc));
    net_timer_set(s->sweep_timer, SWEEP_STEP_MS);
    return 0;
}

static int start_serving(struct srv_service *s, const struct srv_service_config *cfg,
                         struct err *err)
{
    struct ws_server_config server = {
        .listen = cfg->listen,
        .cert_file = cfg->cert_file,
        .key_file = cfg->key_file,
        .connections_max = SERVICE_CONNECTIONS_MAX,
        .events = &srv_session_events,
        .authorise = authorise,
        .pair = {&srv_mailbox_events, authorise_pair},
        .http = on_get,
        .user = s,
    };
    struct srv_control_config control = {
        .loop = s->loop, .dir = cfg->dir, .accounts = s->accounts, .spaces = s->spaces};
    int rc = srv_control_start(&control, &s->control, err);
    if (rc == 0)
        rc = ws_server_start(s->loop, &server, &s->server, err);
    if (rc == 0)
        rc = srv_managed_start(s->managed, s->hub, s->loop, err);
    return rc < 0 ? rc : write_pid(s, cfg->dir, err);
}

int srv_service_open(const struct srv_service_config *cfg, struct srv_service **ret,
                     struct err *err)
{
    struct srv_service *s = calloc(1, sizeof *s);
    if (s == NULL)
        return err_set(err, -ENOMEM, "server: out of memory");
    s->dir_fd = s->signal_fd = -1;
    int rc = take_signals(s);
    rc = rc < 0 ? err_set(err, rc, "server: %s", strerror(-rc)) : open_data(s, cfg, err);
    if (rc == 0)
        rc = start_loop(s, err);
    if (rc == 0)
        rc = start_serving(s, cfg, err);
    if (rc < 0) {
        srv_service_close(s);
        return rc;
    }
    *ret = s;
    return 0;
}

unsigned srv_service_port(const struct srv_service *s)
{
    return ws_server_port(s->server);
}

int srv_service_run(struct srv_service *s)
{
    return net_loop_run(s->loop);
}

void srv_service_close(struct srv_service *s)
{
    if (s == NULL)
        return;
    if (s->has_pid_file)
        (void)unlinkat(s->dir_fd, pid_name, 0);
    srv_control_free(s->control);
    ws_server_free(s->server);
    srv_managed_free(s->managed);
    srv_mailbox_ws_free(s->mailboxes);
    srv_hub_free(s->hub);
    net_timer_free(s->sweep_timer);
    net_watch_free(s->signal_watch);
    net_loop_free(s->loop);
    srv_spaces_close(s->spaces);
    srv_accounts_close(s->accounts);
    srv_store_close(s->store);
    if (s->signal_fd >= 0)
        close(s->signal_fd);
    if (s->dir_fd >= 0)
        close(s->dir_fd);
    free(s);
}
