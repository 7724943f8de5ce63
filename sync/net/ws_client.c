/* A connection of a client until it is open: names, addresses, attempts, the handshake. */
#include "sync/net/ws_client.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "sync/net/hosts.h"
#include "sync/net/ws_tls.h"
#include "sync/net/ws_url.h"
#include "sync/net/ws_wire.h"

struct ws_client {
    struct net_loop *loop;
    SSL_CTX *roots;
    bool insecure;
    unsigned connect_ms;
    struct ws_keepalive keep;
    lws_dll2_owner_t connections; /* struct ws */
};

/* The owner of a client's struct ws. */
struct ws_attempts {
    struct ws_client *client;
    struct ws *ws;
    char host[WS_NAME_MAX + 1], name[WS_NAME_MAX + 1];
    unsigned port;
    bool tls;
    char path[WS_SERVICE_PATH_SIZE];
    const char *subprotocol;                             /* NULL: it is plain */
    char authorization[sizeof "Bearer " + WS_TOKEN_MAX]; /* "": none */
    struct hosts hosts;
    struct net_timer *step;      /* does what comes next, in the loop */
    struct net_timer *deadline;  /* of all attempts */
    struct net_timer *patience;  /* of one */
    unsigned status;             /* the server's answer */
    char why[WS_REASON_MAX + 1]; /* the first attempt failed, or the connection later; or "" */
};

int ws_client_new(struct net_loop *l, const struct ws_client_config *cfg, struct ws_client **ret,
                  struct err *err)
{
    SSL_CTX *roots;
    int rc = ws_tls_client(cfg->ca_file, &roots, err);
    if (rc < 0)
        return rc;
    struct ws_client *c = calloc(1, sizeof *c);
    if (c == NULL) {
        SSL_CTX_free(roots);
        return err_set(err, -ENOMEM, "client: out of memory");
    }
    *c = (struct ws_client){
        .loop = l,
        .roots = roots,
        .insecure = cfg->insecure,
        .connect_ms = cfg->connect_ms != 0 ? cfg->connect_ms : HOSTS_CONNECT_MS,
        .keep = cfg->keep,
    };
    *ret = c;
    return 0;
}

static void attempts_free(struct ws_attempts *a)
{
    if (a == NULL)
        return;
    hosts_fini(&a->hosts);
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
    SSL_CTX_free(c->roots);
    free(c);
}

/* Of several addresses, what is wrong with the first one is told. */
static void note_failure(struct ws_attempts *a, const char *why)
{
    if (a->why[0] == '\0')
        snprintf(a->why, sizeof a->why, "%s", why);
}

static void on_failed(struct ws *w, unsigned status, const char *why)
{
    struct ws_attempts *a = w->owner;
    a->status = status;
    note_failure(a, why);
}

static void attempt(struct ws_attempts *a, const char *address)
{
    struct ws *w = a->ws;
    char host[WS_NAME_MAX + 16];
    int family;
    bool brackets = strchr(a->host, ':') != NULL;
    snprintf(host, sizeof host, "%s%s%s:%u", brackets ? "[" : "", a->host, brackets ? "]" : "",
             a->port);
    snprintf(w->address, sizeof w->address, "%s", address);
    struct ws_wire_config cfg = {
        .stream = {.address = address,
                   .port = a->port,
                   .tls = a->tls ? a->client->roots : NULL,
                   .name = a->name,
                   .numeric = hosts_is_numeric(a->name, &family)},
        .path = a->path,
        .host = host,
        .subprotocol = a->subprotocol,
        .authorization = a->authorization[0] != '\0' ? a->authorization : NULL,
        .failed = on_failed,
    };
    int rc = ws_wire_new(w, &cfg);
    if (rc < 0) {
        char why[WS_REASON_MAX + 1];
        snprintf(why, sizeof why, "cannot connect: %s", strerror(-rc));
        note_failure(a, why);
        net_timer_set(a->step, 0);
    } else if (hosts_has_more(&a->hosts)) {
        net_timer_set(a->patience, HOSTS_ATTEMPT_MS);
    }
}

/* The next attempt, or the end: nothing is left to try, or the server has answered. */
static void next_step(void *arg)
{
    struct ws_attempts *a = arg;
    struct ws *w = a->ws;
    if (w->state == WS_HANDSHAKE && a->status == 0 && hosts_has_more(&a->hosts)) {
        attempt(a, hosts_next(&a->hosts));
        return;
    }
    if (a->hosts.why != NULL)
        note_failure(a, a->hosts.why);
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
    note_failure(a, "cannot connect: no answer");
    if (a->ws->wire != NULL)
        ws_wire_carrier.cut(a->ws);
}

static void on_gone(struct ws *w)
{
    struct ws_attempts *a = w->owner;
    net_timer_cancel(a->patience);
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
    .carrier = &ws_wire_carrier, .opened = on_opened, .gone = on_gone};

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

/* Begins; @token may be empty. */
static int begin(struct ws_client *c, const struct ws_target *to, const struct ws_service *service,
                 struct bytes token, const struct ws_events *events, void *user, struct ws **ret)
{
    struct ws_attempts *a = calloc(1, sizeof *a);
    struct ws *w = a != NULL ? ws_new(c->loop, &client_side, a, &c->connections, &c->keep) : NULL;
    int rc = w == NULL ? -ENOMEM : make_timers(a, c->loop);
    if (rc == 0) {
        a->client = c;
        a->ws = w;
        a->port = to->port;
        a->tls = to->tls;
        a->subprotocol = service->subprotocol;
        snprintf(a->path, sizeof a->path, "%s", service->path);
        snprintf(a->host, sizeof a->host, "%s", to->host);
        snprintf(a->name, sizeof a->name, "%s", to->name != NULL ? to->name : to->host);
        if (token.n > 0)
            snprintf(a->authorization, sizeof a->authorization, "Bearer %.*s", (int)token.n,
                     (const char *)token.p);
        rc = hosts_find(&a->hosts, c->loop, to->host, to->family, a->step);
    }
    if (rc < 0) {
        if (w != NULL)
            ws_finish(w);
        attempts_free(a);
        return rc;
    }
    w->plain = service->subprotocol == NULL;
    w->port = (uint16_t)to->port;
    w->events = events;
    w->user = user;
    net_timer_set(a->deadline, c->connect_ms);
    *ret = w;
    return 0;
}

int ws_connect_to(struct ws_client *c, const char *url, const struct ws_service *service,
                  struct bytes token, const struct ws_events *events, void *user, struct ws **ret,
                  struct err *err)
{
    struct ws_url u;
    assert(strlen(service->path) < WS_SERVICE_PATH_SIZE);
    int rc = ws_url_parse(url, c->insecure, &u, err);
    if (rc == 0 && token.n > 0)
        rc = check_token(token, err);
    if (rc < 0)
        return rc;
    struct ws_target to = {.host = u.host, .family = AF_UNSPEC, .port = u.port, .tls = u.tls};
    rc = begin(c, &to, service, token, events, user, ret);
    return rc < 0 ? err_set(err, rc, "%.200s: %s", url, strerror(-rc)) : 0;
}

int ws_connect(struct ws_client *c, const char *url, struct bytes token,
               const struct ws_events *events, void *user, struct ws **ret, struct err *err)
{
    static const struct ws_service session = {WS_PATH, WS_SUBPROTOCOL};
    int rc = check_token(token, err);
    return rc < 0 ? rc : ws_connect_to(c, url, &session, token, events, user, ret, err);
}

int ws_connect_plain(struct ws_client *c, const struct ws_target *to,
                     const struct ws_events *events, void *user, struct ws **ret, struct err *err)
{
    static const struct ws_service plain = {.path = "/"};
    int rc = strlen(to->host) > WS_NAME_MAX || (to->name != NULL && strlen(to->name) > WS_NAME_MAX)
                 ? -EINVAL
                 : begin(c, to, &plain, bytes_of(NULL, 0), events, user, ret);
    return rc < 0 ? err_set(err, rc, "%.200s: %s", to->host, strerror(-rc)) : 0;
}
