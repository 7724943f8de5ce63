/* A connection of a client until it is open: names, addresses, attempts, the handshake. */
#include "sync/net/ws_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "sync/net/lookup.h"
#include "sync/net/ws_priv.h"
#include "sync/net/ws_tls.h"
#include "sync/net/ws_url.h"

enum {
    CONNECT_MS = 10000,
    ATTEMPT_MS = 3000, /* while there is another address to try */
    ADDRESSES_MAX = 8
};

struct ws_client {
    struct net_loop *loop;
    struct lws_vhost *vhost;
    bool insecure;
    unsigned connect_ms;
    struct ws_keepalive keep;
    lws_dll2_owner_t connections; /* struct ws */
};

/* The owner of a client's struct ws. */
struct ws_attempts {
    struct ws_client *client;
    struct ws *ws;
    struct ws_url url;
    char authorization[sizeof "Bearer " + WS_TOKEN_MAX];
    struct lookup *lookup;
    char addresses[ADDRESSES_MAX][INET6_ADDRSTRLEN];
    size_t addresses_n, next;
    struct net_timer *step;      /* does what comes next, in the loop */
    struct net_timer *deadline;  /* of all attempts */
    struct net_timer *patience;  /* of one */
    bool connecting;             /* inside lws_client_connect_via_info() */
    unsigned status;             /* the server's answer */
    char why[WS_REASON_MAX + 1]; /* the last attempt failed */
};

/* libwebsockets frees the virtual host when the loop ends, and its context with it. */
static void free_roots(struct lws_vhost *vhost, void *ssl_ctx)
{
    (void)vhost;
    SSL_CTX_free(ssl_ctx);
}

int ws_client_new(struct net_loop *l, const struct ws_client_config *cfg, struct ws_client **ret,
                  struct err *err)
{
    SSL_CTX *roots;
    int rc = ws_tls_client(cfg->ca_file, &roots, err);
    if (rc < 0)
        return rc;
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .protocols = ws_protocols,
        .vhost_name = "client",
        .options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT,
        .provided_client_ssl_ctx = roots,
        .finalize = free_roots,
        .finalize_arg = roots,
        .alpn = "http/1.1",
        .retry_and_idle_policy = &net_loop_no_keepalive,
        .http_proxy_address = "", /* else it is taken from the environment */
    };
    struct ws_client *c = calloc(1, sizeof *c);
    struct lws_vhost *vhost = c != NULL ? lws_create_vhost(net_loop_lws(l), &info) : NULL;
    if (vhost == NULL) {
        SSL_CTX_free(roots);
        free(c);
        return err_set(err, -ENOMEM, "client: out of memory");
    }
    *c = (struct ws_client){
        .loop = l,
        .vhost = vhost,
        .insecure = cfg->insecure,
        .connect_ms = cfg->connect_ms != 0 ? cfg->connect_ms : CONNECT_MS,
        .keep = cfg->keep,
    };
    *ret = c;
    return 0;
}

static void attempts_free(struct ws_attempts *a)
{
    if (a == NULL)
        return;
    lookup_cancel(a->lookup);
    net_timer_free(a->step);
    net_timer_free(a->deadline);
    net_timer_free(a->patience);
    sodium_memzero(a, sizeof *a);
    free(a);
}

static void end(struct ws_attempts *a)
{
    struct ws *w = a->ws;
    attempts_free(a);
    ws_finish(w);
}

void ws_client_free(struct ws_client *c)
{
    if (c == NULL)
        return;
    ws_abandon_all(&c->connections);
    while (c->connections.head != NULL)
        end(ws_of(c->connections.head)->owner);
    free(c);
}

static void add_address(struct ws_attempts *a, const char *text)
{
    size_t n = strlen(text) + 1;
    if (a->addresses_n < ADDRESSES_MAX && n <= sizeof a->addresses[0])
        memcpy(a->addresses[a->addresses_n++], text, n);
}

static void on_lookup(int error, const struct addrinfo *list, void *arg)
{
    struct ws_attempts *a = arg;
    a->lookup = NULL;
    if (error != 0)
        snprintf(a->why, sizeof a->why, "%s", gai_strerror(error));
    for (const struct addrinfo *i = error == 0 ? list : NULL; i != NULL; i = i->ai_next) {
        char text[INET6_ADDRSTRLEN];
        if (getnameinfo(i->ai_addr, i->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST) == 0)
            add_address(a, text);
    }
    net_timer_set(a->step, 0);
}

/* Fills the addresses in, now or later. */
static int find_addresses(struct ws_attempts *a)
{
    if (a->url.numeric) {
        add_address(a, a->url.host);
    } else if (a->url.loopback) {
        /* Nobody is asked what "localhost" is: the answer could be another machine. */
        add_address(a, "127.0.0.1");
        add_address(a, "::1");
    } else {
        return lookup_start(a->client->loop, a->url.host, on_lookup, a, &a->lookup);
    }
    net_timer_set(a->step, 0);
    return 0;
}

static void attempt(struct ws_attempts *a)
{
    struct ws *w = a->ws;
    const char *address = a->addresses[a->next++];
    char host[WS_HOST_MAX + 16];
    bool brackets = strchr(a->url.host, ':') != NULL;
    snprintf(host, sizeof host, "%s%s%s:%u", brackets ? "[" : "", a->url.host, brackets ? "]" : "",
             a->url.port);
    snprintf(w->address, sizeof w->address, "%s", address);
    struct lws_client_connect_info info = {
        .context = net_loop_lws(w->loop),
        .vhost = a->client->vhost,
        .address = address,
        .port = (int)a->url.port,
        .host = host,
        .path = WS_PATH,
        .protocol = WS_SUBPROTOCOL,
        .alpn = "http/1.1",
        .ssl_connection = LCCSCF_HTTP_NO_FOLLOW_REDIRECT | (a->url.tls ? LCCSCF_USE_SSL : 0),
        .retry_and_idle_policy = &net_loop_no_keepalive,
        .opaque_user_data = w,
    };
    snprintf(a->why, sizeof a->why, "cannot connect");
    a->connecting = true;
    w->wsi = lws_client_connect_via_info(&info);
    a->connecting = false;
    if (w->wsi == NULL)
        net_timer_set(a->step, 0);
    else if (a->next < a->addresses_n)
        net_timer_set(a->patience, ATTEMPT_MS);
}

/* The next attempt, or the end: nothing is left to try, or the server has answered. */
static void next_step(void *arg)
{
    struct ws_attempts *a = arg;
    struct ws *w = a->ws;
    if (w->state == WS_HANDSHAKE && a->status == 0 && a->next < a->addresses_n) {
        attempt(a);
        return;
    }
    w->end.http_status = a->status;
    if (a->status != 0)
        snprintf(a->why, sizeof a->why, "the server answers %u", a->status);
    ws_set_end(w, WS_BROKEN, a->why);
    end(a);
}

static void on_deadline(void *arg)
{
    struct ws_attempts *a = arg;
    snprintf(a->why, sizeof a->why, "no connection in time");
    ws_kill(a->ws, WS_BROKEN, a->why);
}

static void on_patience(void *arg)
{
    struct ws_attempts *a = arg;
    if (a->ws->wsi != NULL)
        lws_set_timeout(a->ws->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
}

static int append_token(struct ws_attempts *a, struct lws *wsi, unsigned char **p, size_t room)
{
    return lws_add_http_header_by_token(wsi, WSI_TOKEN_HTTP_AUTHORIZATION,
                                        (const unsigned char *)a->authorization,
                                        (int)strlen(a->authorization), p, *p + room);
}

/* The server must agree to the subprotocol. */
static int check_answer(struct lws *wsi)
{
    char name[sizeof WS_SUBPROTOCOL + 1];
    int n = lws_hdr_copy(wsi, name, sizeof name, WSI_TOKEN_PROTOCOL);
    return n > 0 && strcmp(name, WS_SUBPROTOCOL) == 0 ? 0 : -1;
}

/* Why an attempt failed: libwebsockets says it in short, OpenSSL knows what is wrong with a
 * certificate. */
static void note_failure(struct ws_attempts *a, struct lws *wsi, struct bytes text)
{
    SSL *ssl = lws_get_ssl(wsi);
    long verdict = ssl != NULL ? SSL_get_verify_result(ssl) : X509_V_OK;
    if (verdict != X509_V_OK)
        snprintf(a->why, sizeof a->why, "certificate: %s", X509_verify_cert_error_string(verdict));
    else if (ssl != NULL && memmem(text.p, text.n, "SSL err", 7) != NULL)
        snprintf(a->why, sizeof a->why, "cannot connect: the server does not speak TLS there");
    else if (text.n > 0)
        snprintf(a->why, sizeof a->why, "cannot connect: %.*s", (int)min_u64(text.n, WS_REASON_MAX),
                 (const char *)text.p);
}

static int on_handshake(struct ws *w, enum lws_callback_reasons reason, void *in, size_t len)
{
    struct ws_attempts *a = w->owner;
    switch ((int)reason) {
    case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER:
        return append_token(a, w->wsi, in, len);
    case LWS_CALLBACK_ESTABLISHED_CLIENT_HTTP: {
        unsigned status = lws_http_client_http_response(w->wsi);
        a->status = status == 101 ? 0 : status;
        return 0;
    }
    case LWS_CALLBACK_CLIENT_FILTER_PRE_ESTABLISH:
        return check_answer(w->wsi);
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        if (a->status == 0)
            note_failure(a, w->wsi, bytes_of(in, len));
        return 0;
    default:
        return 0;
    }
}

static void on_gone(struct ws *w)
{
    struct ws_attempts *a = w->owner;
    if (a->connecting)
        return; /* attempt() goes on */
    if (net_loop_is_ending(w->loop))
        end(a);
    else
        net_timer_set(a->step, 0);
}

static void on_opened(struct ws *w)
{
    struct ws_attempts *a = w->owner;
    net_timer_cancel(a->deadline);
    net_timer_cancel(a->patience);
    sodium_memzero(a->authorization, sizeof a->authorization);
    snprintf(a->why, sizeof a->why, "the connection broke");
}

static const struct ws_side client_side = {
    .handshake = on_handshake, .opened = on_opened, .gone = on_gone};

static int check_token(struct bytes token, struct err *err)
{
    bool good = token.n > 0 && token.n <= WS_TOKEN_MAX;
    for (size_t i = 0; good && i < token.n; i++)
        good = token.p[i] > ' ' && token.p[i] < 0x7f;
    return good ? 0 : err_set(err, -EINVAL, "the token is not one: up to %d letters", WS_TOKEN_MAX);
}

static int make_timers(struct ws_attempts *a, struct net_loop *l)
{
    int rc = net_timer_new(l, next_step, a, &a->step);
    if (rc == 0)
        rc = net_timer_new(l, on_deadline, a, &a->deadline);
    if (rc == 0)
        rc = net_timer_new(l, on_patience, a, &a->patience);
    return rc;
}

int ws_connect(struct ws_client *c, const char *url, struct bytes token,
               const struct ws_events *events, void *user, struct ws **ret, struct err *err)
{
    struct ws_url u;
    int rc = ws_url_parse(url, c->insecure, &u, err);
    if (rc == 0)
        rc = check_token(token, err);
    if (rc < 0)
        return rc;
    struct ws_attempts *a = calloc(1, sizeof *a);
    struct ws *w = a != NULL ? ws_new(c->loop, &client_side, a, &c->connections, &c->keep) : NULL;
    rc = w == NULL ? -ENOMEM : make_timers(a, c->loop);
    if (rc == 0) {
        *a = (struct ws_attempts){.client = c,
                                  .ws = w,
                                  .url = u,
                                  .step = a->step,
                                  .deadline = a->deadline,
                                  .patience = a->patience};
        snprintf(a->authorization, sizeof a->authorization, "Bearer %.*s", (int)token.n,
                 (const char *)token.p);
        rc = find_addresses(a);
    }
    if (rc < 0) {
        if (w != NULL)
            ws_finish(w);
        attempts_free(a);
        return err_set(err, rc, "%.200s: %s", url, strerror(-rc));
    }
    w->events = events;
    w->user = user;
    net_timer_set(a->deadline, c->connect_ms);
    *ret = w;
    return 0;
}
