#include "sync/links/line.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/escape.h"
#include "sync/links/handshake.h"

enum { HANDSHAKE_MS = 10000 }; /* from the open connection to the Welcome */

struct line {
    struct line_env *env;
    struct ws *ws;
    struct net_timer *timer;          /* of the handshake */
    const struct line_events *events; /* NULL: it was left */
    void *user;
    struct handshake handshake;
    bool welcomed;
};

/* ---- how it ended ---- */

static bool is_refusal(unsigned code)
{
    return code == PERSIST__CODE__CODE_TOKEN || code == PERSIST__CODE__CODE_PROOF ||
           code == PERSIST__CODE__CODE_VERSION;
}

/* What a code means when nothing better was said. */
static const char *meaning(unsigned code)
{
    switch (code) {
    case PERSIST__CODE__CODE_PROTOCOL:
        return "what was sent is not allowed by the protocol";
    case PERSIST__CODE__CODE_VERSION:
        return "the server speaks other versions of the protocol";
    case PERSIST__CODE__CODE_TOKEN:
        return "the server refuses the token";
    case PERSIST__CODE__CODE_PROOF:
        return "the server does not accept this device's identity";
    case PERSIST__CODE__CODE_NO_SPACE:
        return "the server does not have the space";
    case PERSIST__CODE__CODE_QUOTA:
        return "the account is full";
    case PERSIST__CODE__CODE_FULL:
        return "the server's disk is full";
    case PERSIST__CODE__CODE_LIMIT:
        return "the server allows no more connections";
    case PERSIST__CODE__CODE_INTERNAL:
        return "the server failed";
    case PERSIST__CODE__CODE_STOPPING:
    case WS_GOING_AWAY:
        return "the server stops";
    default:
        return "the server closed the connection";
    }
}

static void describe(const struct line *l, const struct ws_end *end, struct line_end *ret)
{
    unsigned code = l->handshake.code != 0 ? l->handshake.code : end->code;
    ret->refused = end->http_status == 401 || is_refusal(code);
    ret->token = end->http_status == 401 || code == PERSIST__CODE__CODE_TOKEN;
    if (end->http_status == 401)
        snprintf(ret->text, sizeof ret->text, "the server refuses the token");
    else if (l->handshake.text[0] != '\0')
        snprintf(ret->text, sizeof ret->text, "%s", l->handshake.text);
    else if (end->reason[0] != '\0')
        escape_to(ret->text, sizeof ret->text, bytes_str(end->reason));
    else
        snprintf(ret->text, sizeof ret->text, "%s", meaning(code));
}

/* ---- the connection ---- */

static void on_opened(struct ws *w, void *user)
{
    (void)w;
    struct line *l = user;
    net_timer_set(l->timer, HANDSHAKE_MS);
}

static void on_timeout(void *arg)
{
    struct line *l = arg;
    snprintf(l->handshake.text, sizeof l->handshake.text, "the server did not greet in time");
    ws_close(l->ws, PERSIST__CODE__CODE_PROTOCOL, l->handshake.text);
}

static void shake(struct line *l, struct bytes message)
{
    struct buf answer = {0};
    int rc = handshake_step(&l->handshake, message, &answer);
    bool lost = answer.n > 0 && ws_send(l->ws, buf_bytes(&answer)) < 0;
    buf_fini(&answer);
    if (lost || rc == -ENOMEM) {
        ws_close(l->ws, WS_INTERNAL, "out of memory");
    } else if (rc < 0) {
        ws_close(l->ws, l->handshake.code != 0 ? l->handshake.code : WS_NORMAL, l->handshake.text);
    } else if (rc == HANDSHAKE_WELCOMED) {
        net_timer_cancel(l->timer);
        l->welcomed = true;
        if (l->events != NULL && l->events->welcomed != NULL)
            l->events->welcomed(l, l->user);
    }
}

static void on_message(struct ws *w, struct bytes message, void *user)
{
    (void)w;
    struct line *l = user;
    if (!l->welcomed)
        shake(l, message);
    else if (l->events != NULL && l->events->message != NULL)
        l->events->message(l, message, l->user);
}

static void on_writable(struct ws *w, void *user)
{
    (void)w;
    struct line *l = user;
    if (l->events != NULL && l->events->writable != NULL)
        l->events->writable(l, l->user);
}

static void line_free(struct line *l)
{
    net_timer_free(l->timer);
    sodium_memzero(&l->handshake, sizeof l->handshake);
    free(l);
}

static void on_closed(struct ws *w, const struct ws_end *end, void *user)
{
    (void)w;
    struct line *l = user;
    struct line_env *env = l->env;
    l->ws = NULL;
    if (l->events != NULL) {
        struct line_end how = {.refused = false};
        describe(l, end, &how);
        l->events->closed(l, &how, l->user);
    }
    line_free(l);
    assert(env->lines > 0);
    if (--env->lines == 0 && env->idle != NULL)
        env->idle(env->arg);
}

static const struct ws_events ws_side = {on_opened, on_message, on_writable, on_closed};

int line_open(struct line_env *env, const struct remote *remote, const struct line_events *events,
              void *user, struct line **ret, struct err *err)
{
    struct ws_client *client;
    int rc = clients_get(env->clients, remote->ca_file, remote->insecure, &client, err);
    if (rc < 0)
        return rc;
    struct line *l = calloc(1, sizeof *l);
    if (l == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    *l = (struct line){.env = env, .events = events, .user = user};
    handshake_init(&l->handshake, env->identity, bytes_str(remote->token));
    rc = net_timer_new(env->loop, on_timeout, l, &l->timer);
    if (rc < 0)
        rc = err_set(err, rc, "out of memory");
    else
        rc = ws_connect(client, remote->url, bytes_str(remote->token), &ws_side, l, &l->ws, err);
    if (rc < 0) {
        line_free(l);
        return rc;
    }
    env->lines++;
    *ret = l;
    return 0;
}

int line_send(struct line *l, struct bytes message)
{
    return l->welcomed ? ws_send(l->ws, message) : -ENOTCONN;
}

void line_pause(struct line *l)
{
    ws_pause(l->ws);
}

void line_resume(struct line *l)
{
    ws_resume(l->ws);
}

struct bytes line_member(const struct line *l)
{
    return bytes_of(l->handshake.member, l->handshake.member_n);
}

void line_close(struct line *l, unsigned code)
{
    ws_close(l->ws, code, NULL);
}

void line_leave(struct line *l)
{
    if (l == NULL)
        return;
    l->events = NULL;
    line_close(l, WS_GOING_AWAY);
}
