/* The connections of a server as a whole; ws_http.c has the requests. */
#include "sync/net/ws_server.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "sync/net/listener.h"
#include "sync/net/ws_server_priv.h"
#include "sync/net/ws_tls.h"

enum {
    HANDSHAKE_MS = 10000,
    SPARE = 64 /* sockets for handshakes and GETs beside a full server, and a quarter of it */
};

static size_t sockets_max(const struct ws_server *s)
{
    return s->cfg.connections_max + s->cfg.connections_max / 4 + SPARE;
}

static void on_far_gone(void *arg)
{
    ws_kill(arg, WS_BROKEN, WS_NO_ANSWER);
}

static void adopt(struct ws_server *s, int fd, const struct listener_peer *from)
{
    struct ws *w = ws_new(s->loop, &ws_server_side, s, &s->connections, &s->cfg.keep);
    if (w == NULL || tcp_alive_new(s->loop, fd, on_far_gone, w, &w->alive) < 0) {
        close(fd);
        if (w != NULL)
            ws_finish(w);
        return;
    }
    memcpy(w->address, from->address, sizeof w->address);
    w->port = from->port;
    w->plain = s->cfg.plain;
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

static bool on_connection(int fd, const struct listener_peer *from, void *arg)
{
    struct ws_server *s = arg;
    if (s->cfg.admits == NULL || s->cfg.admits(from, s->cfg.user))
        adopt(s, fd, from);
    else
        close(fd);
    if (s->connections.count < sockets_max(s))
        return true;
    listener_pause(s->listener);
    return false;
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
    struct listener_config cfg = {
        .at = s->cfg.listen, .only_ip6 = s->cfg.plain, .accepted = on_connection, .arg = s};
    int rc = listener_new(s->loop, &cfg, &s->listener, err);
    if (rc == 0)
        rc = make_vhost(s, err);
    if (rc < 0)
        return rc;
    rc = net_timer_new(s->loop, ws_server_cut, s, &s->stop_timer);
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
    return s->listener == NULL ? 0 : listener_port(s->listener);
}

size_t ws_server_count(const struct ws_server *s)
{
    return s->open;
}

static void stop_listening(struct ws_server *s)
{
    s->stopping = true;
    listener_free(TAKE_PTR(s->listener));
}

static void tell_stopped(struct ws_server *s)
{
    void (*stopped)(void *user) = TAKE_PTR(s->stopped);
    stopped(s->cfg.user);
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
    if (s->connections.count == 0 && s->stopped != NULL)
        tell_stopped(s);
}

void ws_server_stop(struct ws_server *s, unsigned deadline_ms, void (*stopped)(void *user))
{
    s->stopped = stopped;
    stop_listening(s);
    lws_start_foreach_dll(lws_dll2_t *, d, lws_dll2_get_head(&s->connections))
    {
        ws_close(ws_of(d), WS_GOING_AWAY, "the server stops");
    }
    lws_end_foreach_dll(d);
    net_timer_set(s->stop_timer, s->connections.count > 0 ? deadline_ms : 0);
}

void ws_server_retire(struct ws_server *s, void (*stopped)(void *user))
{
    s->stopped = stopped;
    stop_listening(s);
    if (s->connections.count == 0)
        tell_stopped(s);
}

/* A connection ended: there is room for another one, or the server has stopped. */
void ws_server_gone(struct ws *w)
{
    struct ws_server *s = w->owner;
    if (w->events != NULL)
        s->open--;
    ws_finish(w);
    bool last = s->connections.count == 0 && s->stopped != NULL;
    if (net_loop_is_ending(s->loop)) {
        if (last)
            tell_stopped(s);
    } else if (last) {
        net_timer_set(s->stop_timer, 0);
    } else if (!s->stopping && s->connections.count < sockets_max(s)) {
        listener_resume(s->listener);
    }
}

void ws_server_free(struct ws_server *s)
{
    if (s == NULL)
        return;
    s->stopped = NULL;
    stop_listening(s);
    ws_abandon_all(&s->connections);
    net_timer_free(s->stop_timer);
    /* Its virtual host stays until the loop ends: libwebsockets lets connections of one refer to
     * another. */
    free(s);
}
