#include "tests/support/net.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <linux/filter.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { TICK_MS = 1 };

static void on_opened(struct ws *w, void *user)
{
    struct net_end *e = user;
    e->ws = w;
    e->opened++;
}

static void on_message(struct ws *w, struct bytes m, void *user)
{
    struct net_end *e = user;
    e->messages++;
    e->bytes += m.n;
    buf_reset(&e->last);
    buf_put_bytes(&e->last, m);
    if (e->pause_each)
        ws_pause(w);
    if (e->on_message != NULL)
        e->on_message(e, m);
    if (e->echo && ws_send(w, m) == -EAGAIN) {
        buf_reset(&e->pending);
        buf_put_bytes(&e->pending, m);
        ws_pause(w);
    }
}

static void on_writable(struct ws *w, void *user)
{
    struct net_end *e = user;
    e->writables++;
    if (e->on_writable != NULL)
        e->on_writable(e);
    if (e->echo && e->pending.n > 0) {
        assert_int_equal(ws_send(w, buf_bytes(&e->pending)), 0);
        buf_reset(&e->pending);
        ws_resume(w);
    }
}

static void on_closed(struct ws *w, const struct ws_end *end, void *user)
{
    (void)w;
    struct net_end *e = user;
    e->ws = NULL;
    e->closed++;
    e->end = *end;
    buf_fini(&e->last);
    buf_fini(&e->pending);
}

const struct ws_events net_events = {on_opened, on_message, on_writable, on_closed};

static bool token_is(const struct ws_request *r, const char *token)
{
    return bytes_equal(r->token, bytes_str(token));
}

unsigned net_authorise(const struct ws_request *r, void *user, void **ret_user)
{
    struct net *n = user;
    if (r->token.n == 0 || r->token.n > WS_TOKEN_MAX)
        return 500; /* is not asked about */
    if (!token_is(r, "good"))
        return token_is(r, "forbidden") ? 403
               : token_is(r, "often")   ? 429
               : token_is(r, "later")   ? 503
                                        : 401;
    assert_true(n->server_ends_n < NET_ENDS_MAX);
    struct net_end *e = &n->server_ends[n->server_ends_n++];
    e->echo = n->echo;
    *ret_user = e;
    return 0;
}

void net_start(struct net *n, struct ws_server_config cfg)
{
    struct err err = {0};
    memset(n, 0, sizeof *n);
    if (net_loop_new(8192, &n->loop, &err) < 0)
        fail_msg("%s", err.msg);
    if (cfg.listen == NULL)
        cfg.listen = "127.0.0.1:0";
    if (cfg.connections_max == 0)
        cfg.connections_max = NET_ENDS_MAX;
    if (cfg.authorise == NULL)
        cfg.authorise = net_authorise;
    if (cfg.events == NULL)
        cfg.events = &net_events;
    cfg.user = n;
    if (ws_server_start(n->loop, &cfg, &n->server, &err) < 0)
        fail_msg("%s", err.msg);
    snprintf(n->url, sizeof n->url, "%s://localhost:%u", cfg.cert_file != NULL ? "wss" : "ws",
             ws_server_port(n->server));
}

void net_client(struct net *n, struct ws_client_config cfg)
{
    struct err err = {0};
    if (ws_client_new(n->loop, &cfg, &n->client, &err) < 0)
        fail_msg("%s", err.msg);
}

void net_end(struct net *n)
{
    if (n->threaded) {
        net_loop_stop(n->loop);
        pthread_join(n->thread, NULL);
    }
    ws_client_free(n->client);
    ws_server_free(n->server);
    net_loop_free(n->loop);
}

void net_connect_as(struct net *n, struct net_end *e, const char *token)
{
    struct err err = {0};
    if (ws_connect(n->client, n->url, bytes_str(token), &net_events, e, &e->ws, &err) < 0)
        fail_msg("%s", err.msg);
}

void net_connect(struct net *n, struct net_end *e)
{
    net_connect_as(n, e, "good");
}

/* What the loop runs until. */
struct wait {
    struct net *net;
    struct net_timer *timer;
    bool (*done)(void *arg);
    void *arg;
    uint64_t by_ms;
    bool late;
};

static void look(void *arg)
{
    struct wait *w = arg;
    w->late = net_now_ms() >= w->by_ms;
    if (w->late || w->done(w->arg))
        net_loop_stop(w->net->loop);
    else
        net_timer_set(w->timer, TICK_MS);
}

static bool run(struct net *n, bool (*done)(void *arg), void *arg, unsigned ms)
{
    struct wait w = {.net = n, .done = done, .arg = arg, .by_ms = net_now_ms() + ms};
    assert_int_equal(net_timer_new(n->loop, look, &w, &w.timer), 0);
    net_timer_set(w.timer, 0);
    assert_int_equal(net_loop_run(n->loop), 0);
    net_timer_free(w.timer);
    return !w.late;
}

void net_until(struct net *n, bool (*done)(void *arg), void *arg)
{
    if (!run(n, done, arg, NET_WAIT_MS))
        fail_msg("what was waited for did not happen");
}

static bool never(void *arg)
{
    (void)arg;
    return false;
}

void net_run_ms(struct net *n, unsigned ms)
{
    (void)run(n, never, NULL, ms);
}

static bool is_closed(void *arg)
{
    return ((struct net_end *)arg)->closed > 0;
}

void net_until_closed(struct net *n, struct net_end *e)
{
    net_until(n, is_closed, e);
}

struct count {
    struct net_end *end;
    unsigned messages;
};

static bool has_messages(void *arg)
{
    struct count *c = arg;
    return c->end->messages >= c->messages;
}

void net_until_messages(struct net *n, struct net_end *e, unsigned messages)
{
    struct count c = {e, messages};
    net_until(n, has_messages, &c);
}

struct opening {
    struct net *net;
    struct net_end *end;
    size_t server_end;
};

static bool are_open(void *arg)
{
    struct opening *o = arg;
    return o->end->closed > 0 ||
           (o->end->opened > 0 && o->net->server_ends[o->server_end].opened > 0);
}

struct net_end *net_open(struct net *n, struct net_end *e)
{
    struct opening o = {n, e, n->server_ends_n};
    net_connect(n, e);
    net_until(n, are_open, &o);
    if (e->closed > 0)
        fail_msg("%s", e->end.reason);
    return &n->server_ends[o.server_end];
}

static void *run_thread(void *arg)
{
    struct net *n = arg;
    return net_loop_run(n->loop) < 0 ? arg : NULL;
}

void net_thread(struct net *n)
{
    assert_int_equal(pthread_create(&n->thread, NULL, run_thread, n), 0);
    n->threaded = true;
}

int net_raw(struct net *n)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)ws_server_port(n->server)),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval limit = {.tv_sec = NET_WAIT_MS / 1000};
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0)
        fail_msg("cannot connect: %s", strerror(errno));
    return fd;
}

static void hear(int fd, bool on)
{
    static struct sock_filter drop[] = {{.code = BPF_RET | BPF_K, .k = 0}};
    static const struct sock_fprog all = {.len = 1, .filter = drop};
    struct sockaddr_storage far;
    socklen_t n = sizeof far;
    if (getpeername(fd, (struct sockaddr *)&far, &n) == 0 && far.ss_family != AF_UNIX)
        assert_int_equal(
            setsockopt(fd, SOL_SOCKET, on ? SO_DETACH_FILTER : SO_ATTACH_FILTER, &all, sizeof all),
            0);
}

static void hear_all(bool on)
{
    DIR *d = opendir("/proc/self/fd");
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        if (e->d_name[0] != '.')
            hear(atoi(e->d_name), on);
    closedir(d);
}

void net_pull_out(void)
{
    hear_all(false);
}

void net_plug_in(void)
{
    hear_all(true);
}
