/* What all wires have in common, and those that are a WebSocket. */
#include "sync/net/libp2p/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "sync/net/libp2p/limits.h"
#include "sync/net/libp2p/wire_priv.h"
#include "sync/net/ws_server.h"

enum {
    MESSAGE = 32 * 1024, /* some releases of go refuse longer ones */
    ROOMY = WIRE_QUEUE / 4,
    ACCEPTED_MAX = 1024 /* open at once on one listener; its owner takes less */
};

_Static_assert((int)WIRE_QUEUE <= (int)WS_MESSAGE_MAX, "less than a queue of ws.h takes");

struct wire_listener {
    struct wire_listener_config cfg;
    struct net_loop *loop;
    struct listener *tcp; /* or */
    struct ws_server *ws;
    bool busy, freed; /* as of a wire */
    struct buf address;
};

/* ---- a wire ------------------------------------------------------------------------------------
 */

struct wire *wire_alloc(const struct wire_events *events, void *user)
{
    struct wire *w = calloc(1, sizeof *w);
    if (w != NULL)
        *w = (struct wire){.events = events, .user = user};
    return w;
}

static void destroy(struct wire *w)
{
    wire_tcp_fini(w);
    buf_fini(&w->remote);
    free(w);
}

void wire_free(struct wire *w)
{
    if (w == NULL)
        return;
    if (w->ws != NULL)
        ws_drop(TAKE_PTR(w->ws));
    w->freed = true;
    if (!w->busy)
        destroy(w);
}

void wire_end(struct wire *w, const char *why)
{
    w->ws = NULL;
    w->busy = true;
    w->events->closed(w, why, w->user);
    destroy(w);
}

/* Appends /ip4|ip6/…/tcp/PORT, and /ws. */
static void put_address(struct buf *b, const char *host, uint16_t port, bool ws)
{
    uint8_t raw[sizeof(struct in6_addr)];
    int family;
    if (!hosts_is_numeric(host, &family))
        return;
    inet_pton(family, host, raw);
    if (family == AF_INET)
        maddr_put(b, MADDR_IP4, bytes_of(raw, sizeof(struct in_addr)));
    else
        maddr_put(b, MADDR_IP6, bytes_of(raw, sizeof raw));
    maddr_put(b, MADDR_TCP, bytes_of((uint8_t[]){(uint8_t)(port >> 8), (uint8_t)port}, 2));
    if (ws)
        maddr_put(b, MADDR_WS, bytes_of(NULL, 0));
}

void wire_name(struct wire *w, const char *host, uint16_t port)
{
    put_address(&w->remote, host, port, w->ws != NULL);
}

struct bytes wire_remote(const struct wire *w)
{
    return buf_bytes(&w->remote);
}

void wire_set_user(struct wire *w, void *user)
{
    w->user = user;
}

/* ---- WebSockets --------------------------------------------------------------------------------
 */

static ssize_t write_messages(struct wire *w, struct bytes data)
{
    size_t sent = 0;
    while (sent < data.n) {
        size_t n = (size_t)min_u64(data.n - sent, MESSAGE);
        if (ws_queued(w->ws) + n > WIRE_QUEUE) {
            ws_want_room(w->ws);
            break;
        }
        int rc = ws_send(w->ws, bytes_of(data.p + sent, n));
        if (rc < 0) {
            ws_close(w->ws, WS_INTERNAL, "out of memory");
            return rc;
        }
        sent += n;
    }
    return (ssize_t)sent;
}

static void on_message(struct ws *ws, struct bytes piece, void *user)
{
    struct wire *w = user;
    (void)ws;
    w->events->data(w, piece, w->user);
}

static void on_writable(struct ws *ws, void *user)
{
    struct wire *w = user;
    if (ws_queued(ws) > ROOMY)
        ws_want_room(ws);
    else
        w->events->writable(w, w->user);
}

static void on_opened(struct ws *ws, void *user)
{
    struct wire *w = user;
    wire_name(w, ws_address(ws), ws_port(ws));
    if (w->paused)
        ws_pause(ws);
    w->events->opened(w, w->user);
}

static void on_closed(struct ws *ws, const struct ws_end *end, void *user)
{
    (void)ws;
    /* A peer's own words are not for people. */
    wire_end(user, end->by_peer             ? "the peer closed the connection"
                   : end->reason[0] != '\0' ? end->reason
                                            : "closed");
}

static const struct ws_events ws_events = {on_opened, on_message, on_writable, on_closed};

struct wire *wire_adopt(struct ws *ws, const struct wire_events *events, void *user)
{
    struct wire *w = wire_alloc(events, user);
    if (w == NULL)
        return NULL;
    w->ws = ws;
    ws_hand_over(ws, &ws_events, w);
    return w;
}

/* ---- dialing -----------------------------------------------------------------------------------
 */

/* @to->host as a text. */
static int host_of(const struct maddr_dial *to, char ret[P2P_ADDR_NAME + 1], int *ret_family)
{
    _Static_assert((int)P2P_ADDR_NAME >= (int)INET6_ADDRSTRLEN, "room for an address, too");
    bool name = to->host_kind != MADDR_IP4 && to->host_kind != MADDR_IP6;
    *ret_family = to->host_kind == MADDR_IP4 || to->host_kind == MADDR_DNS4   ? AF_INET
                  : to->host_kind == MADDR_IP6 || to->host_kind == MADDR_DNS6 ? AF_INET6
                                                                              : AF_UNSPEC;
    if (!name)
        return inet_ntop(*ret_family, to->host.p, ret, P2P_ADDR_NAME + 1) != NULL ? 0 : -EINVAL;
    if (to->host.n > P2P_ADDR_NAME)
        return -EINVAL;
    snprintf(ret, P2P_ADDR_NAME + 1, "%.*s", (int)to->host.n, (const char *)to->host.p);
    return 0;
}

static int dial_ws(struct wire *w, struct ws_client *c, const struct maddr_dial *to,
                   const char *host, int family, struct err *err)
{
    char sni[P2P_ADDR_NAME + 1];
    snprintf(sni, sizeof sni, "%.*s", (int)to->sni.n, (const char *)to->sni.p);
    struct ws_target target = {.host = host,
                               .family = family,
                               .port = to->port,
                               .tls = to->tls,
                               .name = to->sni.n > 0 ? sni : NULL};
    return ws_connect_plain(c, &target, &ws_events, w, &w->ws, err);
}

int wire_dial(struct net_loop *l, struct ws_client *ws, const struct maddr_dial *to,
              const struct wire_events *events, void *user, struct wire **ret, struct err *err)
{
    char host[P2P_ADDR_NAME + 1];
    int family;
    struct wire *w = wire_alloc(events, user);
    if (w == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    int rc = host_of(to, host, &family);
    if (rc == 0)
        rc = to->ws ? dial_ws(w, ws, to, host, family, err)
                    : wire_tcp_dial(w, l, host, family, to->port);
    if (rc < 0) {
        destroy(w);
        return err_set(err, rc, "cannot connect: %s", strerror(-rc));
    }
    *ret = w;
    return 0;
}

/* ---- either kind -------------------------------------------------------------------------------
 */

ssize_t wire_write(struct wire *w, struct bytes data)
{
    return w->ws != NULL ? write_messages(w, data) : wire_tcp_write(w, data);
}

static void set_paused(struct wire *w, bool paused)
{
    w->paused = paused;
    if (w->ws == NULL)
        wire_tcp_flow(w);
    else if (paused)
        ws_pause(w->ws);
    else
        ws_resume(w->ws);
}

void wire_pause(struct wire *w)
{
    set_paused(w, true);
}

void wire_resume(struct wire *w)
{
    set_paused(w, false);
}

void wire_close(struct wire *w)
{
    if (w->ws != NULL)
        ws_close(w->ws, WS_NORMAL, NULL);
    else
        wire_tcp_close(w);
}

/* ---- listening ---------------------------------------------------------------------------------
 */

static bool admits(const struct wire_listener *l, const struct listener_peer *from)
{
    struct buf b CLEANUP(buf_fini) = {0};
    if (l->cfg.admits == NULL)
        return true;
    put_address(&b, from->address, from->port, false);
    return buf_status(&b) == 0 && l->cfg.admits(buf_bytes(&b), l->cfg.user);
}

/* Asks the owner. False: it did not want it, and it is gone. */
static bool offer(struct wire_listener *l, struct wire *w)
{
    void *user = l->cfg.accepted(w, l->cfg.user);
    if (user == NULL) {
        wire_free(w);
        return false;
    }
    w->user = user;
    return true;
}

static bool on_tcp(int fd, const struct listener_peer *from, void *arg)
{
    struct wire_listener *l = arg;
    struct wire *w = admits(l, from) ? wire_alloc(l->cfg.events, NULL) : NULL;
    int rc = w == NULL ? -ENOMEM : wire_tcp_adopt(w, l->loop, fd);
    if (rc < 0) {
        wire_free(w);
        close(fd);
        return true;
    }
    wire_name(w, from->address, from->port);
    l->busy = true;
    (void)offer(l, w);
    l->busy = false;
    if (!l->freed)
        return true;
    wire_listener_free(l);
    return false;
}

static bool on_ws_admits(const struct listener_peer *from, void *user)
{
    return admits(user, from);
}

static unsigned on_request(const struct ws_request *request, void *user, void **ret_user)
{
    struct wire_listener *l = user;
    struct wire *w = wire_alloc(l->cfg.events, NULL);
    (void)request;
    if (w == NULL)
        return 503;
    w->listener = l;
    *ret_user = w;
    return 0;
}

static void on_ws(struct ws *ws, void *user)
{
    struct wire *w = user;
    struct wire_listener *l = TAKE_PTR(w->listener);
    w->ws = ws;
    wire_name(w, ws_address(ws), ws_port(ws));
    if (l->freed)
        wire_free(w);
    else
        (void)offer(l, w);
}

static void on_ws_closed(struct ws *ws, const struct ws_end *end, void *user)
{
    struct wire *w = user;
    if (w->listener != NULL)
        destroy(w); /* nobody knows of it */
    else
        on_closed(ws, end, user);
}

static int listen_ws(struct wire_listener *l, const char *at, struct err *err)
{
    static const struct ws_events events = {on_ws, on_message, on_writable, on_ws_closed};
    struct ws_server_config cfg = {.listen = at,
                                   .plain = true,
                                   .connections_max = ACCEPTED_MAX,
                                   .events = &events,
                                   .admits = on_ws_admits,
                                   .authorise = on_request,
                                   .user = l};
    return ws_server_start(l->loop, &cfg, &l->ws, err);
}

static int listen_tcp(struct wire_listener *l, const char *at, struct err *err)
{
    struct listener_config cfg = {.at = at, .only_ip6 = true, .accepted = on_tcp, .arg = l};
    return listener_new(l->loop, &cfg, &l->tcp, err);
}

static int step(struct reader *r, struct maddr_part *ret)
{
    ret->code = MADDR_END;
    int rc = maddr_next(r, ret);
    return rc < 0 ? -EINVAL : 0;
}

/* Takes the address to listen at apart: the text of the host, and whether it is of WebSockets. */
static int parse(struct bytes at, char host[INET6_ADDRSTRLEN], unsigned *ret_port, bool *ret_ws)
{
    struct reader r = reader_of(at);
    struct maddr_part ip, tcp, ws;
    if (step(&r, &ip) < 0 || step(&r, &tcp) < 0 || step(&r, &ws) < 0 || r.n > 0 ||
        (ip.code != MADDR_IP4 && ip.code != MADDR_IP6) || tcp.code != MADDR_TCP ||
        (ws.code != MADDR_END && ws.code != MADDR_WS))
        return -EINVAL;
    inet_ntop(ip.code == MADDR_IP4 ? AF_INET : AF_INET6, ip.value.p, host, INET6_ADDRSTRLEN);
    *ret_port = (unsigned)tcp.value.p[0] << 8 | tcp.value.p[1];
    *ret_ws = ws.code == MADDR_WS;
    return 0;
}

int wire_listen(struct net_loop *loop, const struct wire_listener_config *cfg,
                struct wire_listener **ret, struct err *err)
{
    char host[INET6_ADDRSTRLEN];
    char at[INET6_ADDRSTRLEN + 16];
    unsigned port;
    bool ws;
    if (parse(cfg->at, host, &port, &ws) < 0)
        return err_set(err, -EINVAL,
                       "cannot listen there; give an address as /ip4/0.0.0.0/tcp/4001");
    snprintf(at, sizeof at, strchr(host, ':') != NULL ? "[%s]:%u" : "%s:%u", host, port);
    struct wire_listener *l = calloc(1, sizeof *l);
    if (l == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    l->cfg = *cfg;
    l->cfg.at = bytes_of(NULL, 0); /* the caller's */
    l->loop = loop;
    int rc = ws ? listen_ws(l, at, err) : listen_tcp(l, at, err);
    if (rc < 0) {
        free(l);
        return rc;
    }
    port = ws ? ws_server_port(l->ws) : listener_port(l->tcp);
    put_address(&l->address, host, (uint16_t)port, ws);
    *ret = l;
    return 0;
}

struct bytes wire_listener_address(const struct wire_listener *l)
{
    return buf_bytes(&l->address);
}

static void on_retired(void *user)
{
    struct wire_listener *l = user;
    ws_server_free(l->ws);
    buf_fini(&l->address);
    free(l);
}

void wire_listener_free(struct wire_listener *l)
{
    if (l == NULL)
        return;
    l->freed = true;
    if (l->ws != NULL) {
        ws_server_retire(l->ws, on_retired);
    } else if (!l->busy) {
        listener_free(l->tcp);
        buf_fini(&l->address);
        free(l);
    }
}
