/* Requests to a server: which become WebSockets, and the answers to the others. */
#include <arpa/inet.h>
#include <sodium.h>
#include <stdio.h>
#include <strings.h>

#include "sync/net/ws_server_priv.h"

enum { PATH_SIZE = 256, HEAD_SIZE = 512, HOPS_SIZE = 1024, HOST_SIZE = 300 };

/* A request's texts, wiped when it is answered. */
struct request {
    struct ws_request view;
    char path[PATH_SIZE];
    char authorization[WS_TOKEN_MAX + 16];
    char hops[HOPS_SIZE];
};

static const char *status_text(unsigned status)
{
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 409:
        return "Conflict";
    case 429:
        return "Too Many Requests";
    case 503:
        return "Service Unavailable";
    default:
        return "Status";
    }
}

/* Answers and drops the connection: libwebsockets sends what is left before it closes. */
static int answer(struct ws *w, unsigned status, const char *type, struct bytes body)
{
    char head[HEAD_SIZE];
    int n = snprintf(head, sizeof head,
                     "HTTP/1.1 %u %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
                     "Cache-Control: no-store\r\n%sConnection: close\r\n\r\n",
                     status, status_text(status), type, body.n,
                     status == 401 ? "WWW-Authenticate: Bearer\r\n" : "");
    struct buf all = {0};
    if (n < 0 || (size_t)n >= sizeof head || buf_resize(&all, LWS_PRE) < 0)
        return -1;
    buf_put(&all, head, (size_t)n);
    buf_put_bytes(&all, body);
    if (buf_status(&all) == 0)
        (void)lws_write(w->wsi, all.p + LWS_PRE, all.n - LWS_PRE, LWS_WRITE_HTTP);
    buf_fini(&all);
    return -1;
}

static int refuse(struct ws *w, unsigned status)
{
    const char *text = status_text(status);
    char body[64];
    int n = snprintf(body, sizeof body, "%u %s\n", status, text);
    return answer(w, status, "text/plain", bytes_of(body, (size_t)n));
}

static bool is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0;
}

static bool has(struct ws *w, enum lws_token_indexes header)
{
    return lws_hdr_total_length(w->wsi, header) > 0;
}

/* Whether a proxy says that it passes the request on. */
static bool is_forwarded(struct ws *w)
{
    static const char forwarded[] = "forwarded:";
    return has(w, WSI_TOKEN_X_FORWARDED_FOR) || has(w, WSI_TOKEN_HTTP_X_REAL_IP) ||
           has(w, WSI_TOKEN_HTTP_VIA) ||
           lws_hdr_custom_length(w->wsi, forwarded, sizeof forwarded - 1) >= 0;
}

/* Whether this machine is asked for under its own name: a proxy that says nothing of itself may
 * still pass on the name that the client used. */
static bool is_asked_as_local(struct ws *w)
{
    char host[HOST_SIZE];
    if (lws_hdr_copy(w->wsi, host, sizeof host, WSI_TOKEN_HOST) <= 0)
        return false;
    if (host[0] == '[')
        return strncmp(host, "[::1]", 5) == 0;
    host[strcspn(host, ":")] = '\0';
    struct in_addr a;
    return strcasecmp(host, "localhost") == 0 ||
           (inet_pton(AF_INET, host, &a) == 1 && is_loopback(host));
}

/* The address that the nearest proxy saw, in @r; NULL: it does not say so. What is before the last
 * hop is the client's own word. */
static const char *last_hop(struct ws *w, struct request *r)
{
    static const char mapped[] = "::ffff:";
    uint8_t raw[16];
    if (lws_hdr_copy(w->wsi, r->hops, sizeof r->hops, WSI_TOKEN_X_FORWARDED_FOR) <= 0)
        return NULL;
    char *hop = strrchr(r->hops, ',');
    hop = hop != NULL ? hop + 1 : r->hops;
    hop += strspn(hop, " \t");
    hop[strcspn(hop, " \t")] = '\0';
    if (strncasecmp(hop, mapped, sizeof mapped - 1) == 0 && strchr(hop, '.') != NULL)
        hop += sizeof mapped - 1;
    return inet_pton(AF_INET, hop, raw) == 1 || inet_pton(AF_INET6, hop, raw) == 1 ? hop : NULL;
}

/* Whom a request is from. Only a proxy on this machine is believed. */
static void read_address(struct ws *w, struct request *r)
{
    const char *hop = is_loopback(w->address) ? last_hop(w, r) : NULL;
    r->view.address = hop != NULL ? hop : w->address;
    r->view.loopback = is_loopback(w->address) && !is_forwarded(w) && is_asked_as_local(w);
}

/* False: not a GET, or longer than anything that is served. */
static bool read_request(struct ws *w, struct request *r)
{
    static const char scheme[] = "Bearer ";
    memset(r, 0, sizeof *r);
    if (lws_hdr_copy(w->wsi, r->path, sizeof r->path, WSI_TOKEN_GET_URI) <= 0)
        return false;
    int n = lws_hdr_copy(w->wsi, r->authorization, sizeof r->authorization,
                         WSI_TOKEN_HTTP_AUTHORIZATION);
    r->view.path = r->path;
    read_address(w, r);
    if (n >= (int)sizeof scheme && strncasecmp(r->authorization, scheme, sizeof scheme - 1) == 0)
        r->view.token = bytes_str(r->authorization + sizeof scheme - 1);
    return true;
}

/* Whether the list of a header has @item. */
static bool lists(struct ws *w, enum lws_token_indexes header, const char *item)
{
    char list[256];
    char *rest = list;
    if (lws_hdr_copy(w->wsi, list, sizeof list, header) <= 0)
        return false;
    for (char *p; (p = strsep(&rest, ",")) != NULL;) {
        p += strspn(p, " \t");
        p[strcspn(p, " \t")] = '\0';
        if (strcmp(p, item) == 0)
            return true;
    }
    return false;
}

/* Where requests for a path go; without events: nowhere. */
static struct ws_route route_of(const struct ws_server *s, const char *path)
{
    static const char pair[] = WS_PAIR_PATH;
    struct ws_route own = {s->cfg.events, s->cfg.authorise};
    if (strcmp(path, s->cfg.plain ? "/" : WS_PATH) == 0)
        return own;
    bool is_pair = strncmp(path, pair, sizeof pair - 1) == 0;
    return is_pair ? s->cfg.pair : (struct ws_route){.events = NULL};
}

/* 0, or the status to refuse with. */
static unsigned judge(struct ws *w, struct request *r, const char *upgrade)
{
    struct ws_server *s = w->owner;
    bool is_get = read_request(w, r);
    struct ws_route to = route_of(s, r->path);
    bool own = to.events == s->cfg.events;
    if (!is_get || to.events == NULL || has(w, WSI_TOKEN_HTTP_URI_ARGS))
        return 404;
    if (has(w, WSI_TOKEN_ORIGIN) || has(w, WSI_TOKEN_SWORIGIN))
        return 403;
    if (strcasecmp(upgrade, "websocket") != 0 || !lists(w, WSI_TOKEN_VERSION, "13") ||
        (!s->cfg.plain &&
         !lists(w, WSI_TOKEN_PROTOCOL, own ? WS_SUBPROTOCOL : WS_PAIR_SUBPROTOCOL)))
        return 400;
    if (s->stopping || s->open >= s->cfg.connections_max)
        return 503;
    if (!s->cfg.plain && (r->view.token.n > WS_TOKEN_MAX || (own && r->view.token.n == 0)))
        return 401;
    unsigned status = to.authorise(&r->view, s->cfg.user, &w->user);
    if (status == 0) {
        w->events = to.events;
        s->open++;
    }
    return status;
}

static int on_upgrade(struct ws *w, const char *upgrade)
{
    struct request r;
    unsigned status = judge(w, &r, upgrade);
    sodium_memzero(&r, sizeof r);
    return status == 0 ? 0 : refuse(w, status);
}

static int on_get(struct ws *w)
{
    struct ws_server *s = w->owner;
    struct request r;
    struct ws_reply reply = {.status = 404, .type = "text/plain"};
    if (read_request(w, &r) && s->cfg.http != NULL && strcmp(r.path, WS_PATH) != 0)
        s->cfg.http(&r.view, &reply, s->cfg.user);
    sodium_memzero(&r, sizeof r);
    bool broken = buf_status(&reply.body) < 0;
    int rc = broken || reply.status == 404
                 ? refuse(w, broken ? 503 : 404)
                 : answer(w, reply.status, reply.type, buf_bytes(&reply.body));
    buf_fini(&reply.body);
    return rc;
}

static int on_handshake(struct ws *w, enum lws_callback_reasons reason, void *in, size_t len)
{
    (void)len;
    if (reason == LWS_CALLBACK_HTTP_CONFIRM_UPGRADE)
        return on_upgrade(w, in);
    if (reason == LWS_CALLBACK_HTTP)
        return on_get(w);
    return 0;
}

const struct ws_side ws_server_side = {
    .carrier = &ws_lws_carrier, .handshake = on_handshake, .gone = ws_server_gone};
