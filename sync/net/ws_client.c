/* A connection of a client until it is open: names, addresses, attempts, the handshake. */
#include "sync/net/ws_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "sync/net/lookup.h"
#include "sync/net/ws_tls.h"
#include "sync/net/ws_url.h"
#include "sync/net/ws_wire.h"

enum {
    CONNECT_MS = 10000,
    ATTEMPT_MS = 3000, /* while there is another address to try */
    ADDRESSES_MAX = 8
};

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
    struct ws_url url;
    char authorization[sizeof "Bearer " + WS_TOKEN_MAX];
    struct lookup *lookup;
    char addresses[ADDRESSES_MAX][INET6_ADDRSTRLEN];
    size_t addresses_n, next;
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
    SSL_CTX_free(c->roots);
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

static void attempt(struct ws_attempts *a)
{
    struct ws *w = a->ws;
    const char *address = a->addresses[a->next++];
    char host[WS_HOST_MAX + 16];
    bool brackets = strchr(a->url.host, ':') != NULL;
    snprintf(host, sizeof host, "%s%s%s:%u", brackets ? "[" : "", a->url.host, brackets ? "]" : "",
             a->url.port);
    snprintf(w->address, sizeof w->address, "%s", address);
    struct ws_wire_config cfg = {
        .stream = {.address = address,
                   .port = a->url.port,
                   .tls = a->url.tls ? a->client->roots : NULL,
                   .name = a->url.host,
                   .numeric = a->url.numeric},
        .host = host,
        .authorization = a->authorization,
        .failed = on_failed,
    };
    int rc = ws_wire_new(w, &cfg);
    if (rc < 0) {
        char why[WS_REASON_MAX + 1];
        snprintf(why, sizeof why, "cannot connect: %s", strerror(-rc));
        note_failure(a, why);
        net_timer_set(a->step, 0);
    } else if (a->next < a->addresses_n) {
        net_timer_set(a->patience, ATTEMPT_MS);
    }
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
