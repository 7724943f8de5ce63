/* The listening socket, and the connections of a server as a whole; ws_http.c has the requests. */
#include "sync/net/ws_server.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sync/net/ws_server_priv.h"
#include "sync/net/ws_tls.h"

enum {
    ACCEPTS = 32, /* in one turn of the loop */
    BACKLOG = 1024,
    RETRY_MS = 200, /* after the process ran out of descriptors */
    HANDSHAKE_MS = 10000,
    SPARE = 64 /* sockets for handshakes and GETs beside a full server, and a quarter of it */
};

static size_t sockets_max(const struct ws_server *s)
{
    return s->cfg.connections_max + s->cfg.connections_max / 4 + SPARE;
}

static void listen_again(void *arg)
{
    struct ws_server *s = arg;
    if (!s->stopping && s->connections.count < sockets_max(s))
        net_watch_want(s->watch, EPOLLIN);
}

/* "::ffff:192.0.2.1", which a socket of both families shows, is 192.0.2.1. */
static void set_address(struct ws *w, const struct sockaddr_storage *from)
{
    const void *raw;
    int family = from->ss_family;
    if (family == AF_INET) {
        raw = &((const struct sockaddr_in *)from)->sin_addr;
    } else {
        const struct in6_addr *a = &((const struct sockaddr_in6 *)from)->sin6_addr;
        raw = a;
        if (IN6_IS_ADDR_V4MAPPED(a)) {
            raw = a->s6_addr + 12;
            family = AF_INET;
        }
    }
    if (inet_ntop(family, raw, w->address, sizeof w->address) == NULL)
        w->address[0] = '\0';
}

static void adopt(struct ws_server *s, int fd, const struct sockaddr_storage *from)
{
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct ws *w = ws_new(s->loop, &ws_server_side, s, &s->connections, &s->cfg.keep);
    if (w == NULL) {
        close(fd);
        return;
    }
    set_address(w, from);
    lws_adopt_desc_t desc = {
        .vh = s->vhost,
        .type = (lws_adoption_type)(LWS_ADOPT_SOCKET | LWS_ADOPT_HTTP | LWS_ADOPT_ALLOW_SSL),
        .fd.sockfd = fd,
    };
    /* The descriptor is closed when this fails. */
    struct lws *wsi = lws_adopt_descriptor_vhost_via_info(&desc);
    if (wsi == NULL) {
        ws_finish(w);
        return;
    }
    lws_set_opaque_user_data(wsi, w);
    w->wsi = wsi;
    net_timer_set(w->timer, s->cfg.handshake_ms);
}

static void on_connection(uint32_t events, void *arg)
{
    (void)events;
    struct ws_server *s = arg;
    for (int i = 0; i < ACCEPTS && s->connections.count < sockets_max(s); i++) {
        struct sockaddr_storage from;
        socklen_t n = sizeof from;
        int fd = accept4(s->fd, (struct sockaddr *)&from, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            adopt(s, fd, &from);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            net_watch_want(s->watch, 0);
            net_timer_set(s->timer, RETRY_MS);
            return;
        } else if (errno == EAGAIN) {
            return;
        }
    }
    if (s->connections.count >= sockets_max(s))
        net_watch_want(s->watch, 0);
}

/* getaddrinfo() takes 99999 for 34463. */
static bool is_port(const char *text)
{
    size_t n = strspn(text, "0123456789");
    return n > 0 && n <= 5 && text[n] == '\0' && strtoul(text, NULL, 10) <= UINT16_MAX;
}

/* Splits "ADDRESS:PORT" or "[ADDRESS]:PORT" and resolves it, numbers only. */
static int parse_listen(const char *text, struct addrinfo **ret, struct err *err)
{
    char host[INET6_ADDRSTRLEN];
    const char *colon = strrchr(text, ':');
    size_t n = colon != NULL ? (size_t)(colon - text) : 0;
    const char *from = text;
    if (n >= 2 && text[0] == '[' && text[n - 1] == ']') {
        from++;
        n -= 2;
    }
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};
    bool ok = n > 0 && n < sizeof host && is_port(colon + 1);
    if (ok) {
        memcpy(host, from, n);
        host[n] = '\0';
        ok = getaddrinfo(host, colon + 1, &hints, ret) == 0;
    }
    return ok ? 0
              : err_set(err, -EINVAL, "%s: not an address and a port; give them as 127.0.0.1:8440",
                        text);
}

static int listen_on(const char *text, int *ret_fd, struct err *err)
{
    struct addrinfo *a;
    int rc = parse_listen(text, &a, err);
    if (rc < 0)
        return rc;
    int on = 1;
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0) {
        rc = err_set(err, -errno, "%s: cannot listen: %s", text, strerror(errno));
        if (fd >= 0)
            close(fd);
    }
    freeaddrinfo(a);
    *ret_fd = fd;
    return rc;
}

static int make_vhost(struct ws_server *s, struct err *err)
{
    bool tls = s->cfg.cert_file != NULL;
    struct ws_tls_files files = {s->cfg.cert_file, s->cfg.key_file, err};
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .protocols = ws_lws_protocols,
        .vhost_name = "server",
        /* Without TLS no flag: see make_context() in loop.c. */
        .options =
            tls ? LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT | LWS_SERVER_OPTION_CREATE_VHOST_SSL_CTX : 0,
        .alpn = "http/1.1",
        .user = &files,
        .retry_and_idle_policy = &net_loop_no_keepalive,
        .http_proxy_address = "",
    };
    if (err != NULL)
        err->code = 0;
    s->vhost = lws_create_vhost(net_loop_lws(s->loop), &info);
    if (s->vhost != NULL)
        return 0;
    return err != NULL && err->code != 0 ? err->code
                                         : err_set(err, -ENOMEM, "server: cannot be set up");
}

static int start(struct ws_server *s, struct err *err)
{
    int rc = listen_on(s->cfg.listen, &s->fd, err);
    if (rc == 0)
        rc = make_vhost(s, err);
    if (rc < 0)
        return rc;
    rc = net_timer_new(s->loop, listen_again, s, &s->timer);
    if (rc == 0)
        rc = net_timer_new(s->loop, ws_server_cut, s, &s->stop_timer);
    if (rc == 0)
        rc = net_watch_new(s->loop, s->fd, EPOLLIN, on_connection, s, &s->watch);
    return rc < 0 ? err_set(err, rc, "server: %s", strerror(-rc)) : 0;
}

int ws_server_start(struct net_loop *l, const struct ws_server_config *cfg, struct ws_server **ret,
                    struct err *err)
{
    assert((cfg->cert_file == NULL) == (cfg->key_file == NULL));
    struct ws_server *s = calloc(1, sizeof *s);
    if (s == NULL)
        return err_set(err, -ENOMEM, "server: out of memory");
    s->loop = l;
    s->cfg = *cfg;
    s->fd = -1;
    if (s->cfg.handshake_ms == 0)
        s->cfg.handshake_ms = HANDSHAKE_MS;
    int rc = start(s, err);
    if (rc < 0) {
        ws_server_free(s);
        return rc;
    }
    *ret = s;
    return 0;
}

unsigned ws_server_port(const struct ws_server *s)
{
    struct sockaddr_storage a;
    socklen_t n = sizeof a;
    if (s->fd < 0 || getsockname(s->fd, (struct sockaddr *)&a, &n) < 0)
        return 0;
    return ntohs(a.ss_family == AF_INET ? ((struct sockaddr_in *)&a)->sin_port
                                        : ((struct sockaddr_in6 *)&a)->sin6_port);
}

size_t ws_server_count(const struct ws_server *s)
{
    return s->open;
}

static void stop_listening(struct ws_server *s)
{
    net_watch_free(s->watch);
    s->watch = NULL;
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

/* The deadline of a stop. */
void ws_server_cut(void *arg)
{
    struct ws_server *s = arg;
    lws_start_foreach_dll(lws_dll2_t *, d, lws_dll2_get_head(&s->connections))
    {
        ws_kill(ws_of(d), WS_GOING_AWAY, "the server stops");
    }
    lws_end_foreach_dll(d);
    if (s->connections.count == 0 && s->stopped != NULL) {
        void (*stopped)(void *user) = s->stopped;
        s->stopped = NULL;
        stopped(s->cfg.user);
    }
}

void ws_server_stop(struct ws_server *s, unsigned deadline_ms, void (*stopped)(void *user))
{
    s->stopping = true;
    s->stopped = stopped;
    stop_listening(s);
    lws_start_foreach_dll(lws_dll2_t *, d, lws_dll2_get_head(&s->connections))
    {
        ws_close(ws_of(d), WS_GOING_AWAY, "the server stops");
    }
    lws_end_foreach_dll(d);
    net_timer_set(s->stop_timer, s->connections.count > 0 ? deadline_ms : 0);
}

/* A connection ended: there is room for another one, or the server has stopped. */
void ws_server_gone(struct ws *w)
{
    struct ws_server *s = w->owner;
    if (w->events != NULL)
        s->open--;
    ws_finish(w);
    if (net_loop_is_ending(s->loop))
        return;
    if (!s->stopping)
        listen_again(s);
    else if (s->connections.count == 0 && s->stopped != NULL)
        net_timer_set(s->stop_timer, 0);
}

void ws_server_free(struct ws_server *s)
{
    if (s == NULL)
        return;
    s->stopping = true;
    s->stopped = NULL;
    stop_listening(s);
    ws_abandon_all(&s->connections);
    net_timer_free(s->timer);
    net_timer_free(s->stop_timer);
    /* Its virtual host stays until the loop ends: libwebsockets lets connections of one refer to
     * another. */
    free(s);
}
