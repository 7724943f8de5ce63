/*
 * libwebsockets waits in an event loop of libev, which costs what is active and not what is
 * connected; all other descriptors are in one epoll set, which is a single descriptor to it.
 */
#include "sync/net/loop.h"

#include <assert.h>
#include <errno.h>
#include <ev.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/log.h"
#include "sync/net/loop_priv.h"

enum {
    BATCH = 64,
    HANDSHAKE_S = 10,       /* of libwebsockets' own limits; ws_server.c has the one that counts */
    HEADER_MAX = 8192,      /* all headers of a request together */
    READ_BYTES = 64 * 1024, /* of one read(), which is one turn of the loop: many small frames */
    LOGGED = LLL_ERR | LLL_WARN
};

struct net_loop {
    struct ev_loop *ev; /* libwebsockets borrows it */
    struct lws_context *lws;
    struct lws_vhost *vhost; /* of the epoll set */
    int epoll_fd;            /* closed by libwebsockets once it has adopted it */
    int stop_fd;
    struct net_watch *stop_watch;
    struct net_timers timers;
    bool stopped, ending;
    struct epoll_event batch[BATCH]; /* being served; freed watches are taken out */
    int batch_n;
};

struct net_watch {
    struct net_loop *loop;
    int fd;
    net_watch_fn fn;
    void *arg;
};

const lws_retry_bo_t net_loop_no_keepalive = {0};

struct lws_context *net_loop_lws(struct net_loop *l)
{
    return l->lws;
}

struct net_timers *net_loop_timers(struct net_loop *l)
{
    return &l->timers;
}

bool net_loop_is_ending(const struct net_loop *l)
{
    return l->ending;
}

uint64_t net_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void serve_watches(struct net_loop *l)
{
    l->batch_n = epoll_wait(l->epoll_fd, l->batch, BATCH, 0);
    for (int i = 0; i < l->batch_n; i++) {
        struct net_watch *w = l->batch[i].data.ptr;
        if (w != NULL)
            w->fn(l->batch[i].events, w->arg);
    }
    l->batch_n = 0;
}

/* Of the only connection on the loop's own vhost, the epoll set. */
static int on_epoll(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t len)
{
    (void)user;
    (void)in;
    (void)len;
    if (reason == LWS_CALLBACK_RAW_RX_FILE)
        serve_watches(lws_get_opaque_user_data(wsi));
    return 0;
}

static void log_line(int level, const char *line)
{
    (void)level;
    /* What a peer did wrong is no news; what concerns the user is told by closed(). */
    log_debug("net: %.*s", (int)strcspn(line, "\n"), line);
}

/* Tables of libwebsockets have an entry for each descriptor that the process may open. */
static void limit_fds(size_t fd_max)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) < 0)
        return;
    r.rlim_cur = (rlim_t)min_u64(fd_max, r.rlim_max);
    (void)setrlimit(RLIMIT_NOFILE, &r);
}

static int make_context(struct net_loop *l)
{
    static const struct lws_protocols protocols[] = {
        {.name = "epoll", .callback = on_epoll},
        {0},
    };
    l->ev = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
    if (l->ev == NULL)
        return -ENOMEM;
    void *loops[] = {l->ev};
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .protocols = protocols,
        .vhost_name = "loop",
        .options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT |
                   LWS_SERVER_OPTION_SKIP_SERVER_CANONICAL_NAME | LWS_SERVER_OPTION_LIBEV,
        .foreign_loops = loops,
        .max_http_header_data = HEADER_MAX,
        .pt_serv_buf_size = READ_BYTES,
        .timeout_secs = HANDSHAKE_S,
        .gid = -1,
        .uid = -1,
        .retry_and_idle_policy = &net_loop_no_keepalive,
        .http_proxy_address = "", /* else it is taken from the environment */
    };
    lws_set_log_level(LOGGED, log_line);
    l->lws = lws_create_context(&info);
    if (l->lws == NULL)
        return -ELIBACC;
    /* This one has no connections: without the flag it does not read the roots of the system, which
     * take 1 MB and stay behind when a process has several loops. */
    info.options &= ~(uint64_t)LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
    l->vhost = lws_create_vhost(l->lws, &info);
    if (l->vhost == NULL)
        return -ENOMEM;
    lws_adopt_desc_t adopt = {
        .vh = l->vhost,
        .type = LWS_ADOPT_RAW_FILE_DESC,
        .fd.filefd = l->epoll_fd,
        .vh_prot_name = protocols[0].name,
        .opaque = l,
    };
    return lws_adopt_descriptor_vhost_via_info(&adopt) != NULL ? 0 : -ENOMEM;
}

static void on_stop(uint32_t events, void *arg)
{
    (void)events;
    struct net_loop *l = arg;
    uint64_t n;
    if (read(l->stop_fd, &n, sizeof n) > 0)
        l->stopped = true;
}

int net_loop_new(size_t fd_max, struct net_loop **ret, struct err *err)
{
    struct net_loop *l = calloc(1, sizeof *l);
    if (l == NULL)
        return err_set(err, -ENOMEM, "event loop: out of memory");
    limit_fds(fd_max);
    l->timers.fd = -1;
    l->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int rc = l->stop_fd < 0 || l->epoll_fd < 0 ? -EMFILE : make_context(l);
    if (rc == 0)
        rc = net_timers_init(&l->timers, l);
    if (rc == 0)
        rc = net_watch_new(l, l->stop_fd, EPOLLIN, on_stop, l, &l->stop_watch);
    if (rc < 0) {
        net_loop_free(l);
        return rc == -ELIBACC ? err_set(err, rc,
                                        "event loop: libwebsockets does not find libev; "
                                        "install libwebsockets-evlib-ev")
                              : err_set(err, rc, "event loop: cannot start: %s", strerror(-rc));
    }
    *ret = l;
    return 0;
}

void net_loop_free(struct net_loop *l)
{
    if (l == NULL)
        return;
    l->ending = true;
    net_watch_free(l->stop_watch);
    net_watch_free(TAKE_PTR(l->timers.watch));
    bool adopted = l->vhost != NULL;
    if (l->lws != NULL)
        lws_context_destroy(l->lws);
    if (l->ev != NULL)
        ev_loop_destroy(l->ev);
    net_timers_fini(&l->timers);
    if (!adopted && l->epoll_fd >= 0)
        close(l->epoll_fd);
    if (l->stop_fd >= 0)
        close(l->stop_fd);
    free(l);
}

int net_loop_run(struct net_loop *l)
{
    l->stopped = false;
    while (!l->stopped) {
        ev_run(l->ev, EVRUN_ONCE);
        /* What was read from a socket already and waits: else it is served in an idle turn only. */
        if (lws_service_adjust_timeout(l->lws, 1, 0) == 0)
            (void)_lws_plat_service_forced_tsi(l->lws, 0);
    }
    return 0;
}

void net_loop_stop(struct net_loop *l)
{
    int error = errno; /* a signal handler leaves it alone */
    uint64_t one = 1;
    /* Fails only when the counter is full, that is, when it was written already. */
    ssize_t n = write(l->stop_fd, &one, sizeof one);
    (void)n;
    errno = error;
}

int net_watch_new(struct net_loop *l, int fd, uint32_t events, net_watch_fn fn, void *arg,
                  struct net_watch **ret)
{
    struct net_watch *w = calloc(1, sizeof *w);
    if (w == NULL)
        return -ENOMEM;
    *w = (struct net_watch){.loop = l, .fd = fd, .fn = fn, .arg = arg};
    struct epoll_event e = {.events = events, .data.ptr = w};
    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0) {
        int rc = -errno;
        free(w);
        return rc;
    }
    *ret = w;
    return 0;
}

void net_watch_want(struct net_watch *w, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = w};
    int rc = epoll_ctl(w->loop->epoll_fd, EPOLL_CTL_MOD, w->fd, &e);
    assert(rc == 0); /* fails only for a descriptor that was closed first */
    (void)rc;
}

void net_watch_free(struct net_watch *w)
{
    if (w == NULL)
        return;
    struct net_loop *l = w->loop;
    (void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
    for (int i = 0; i < l->batch_n; i++)
        if (l->batch[i].data.ptr == w)
            l->batch[i].data.ptr = NULL;
    free(w);
}
