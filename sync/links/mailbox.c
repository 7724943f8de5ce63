#include "sync/links/mailbox.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/escape.h"
#include "sync/net/ws_pair.h"

enum {
    HELLO_MS = 10000, /* to who joins, from when its end is open */
    WHY_MAX = 160,
    TEXT_SIZE = WS_URL_SIZE + WHY_MAX + 4
};

struct mailbox {
    struct p2p_host *host;
    bool inviting;
    void (*waits)(void *user);
    void (*done)(enum mailbox_end end, struct p2p_peer *p, const char *why, void *user);
    void *user;
    struct ws *ws;         /* until it is the host's, or gone */
    struct p2p_dial *dial; /* then */
    struct net_timer *timer;
    char url[WS_URL_SIZE];
};

static void mailbox_free(struct mailbox *m)
{
    net_timer_free(m->timer);
    free(m);
}

void mailbox_cancel(struct mailbox *m)
{
    if (m == NULL)
        return;
    if (m->ws != NULL)
        ws_drop(m->ws);
    p2p_dial_cancel(m->dial);
    mailbox_free(m);
}

/* Tells; @m is gone. */
static void finish(struct mailbox *m, enum mailbox_end end, struct p2p_peer *p, const char *why)
{
    void (*done)(enum mailbox_end end, struct p2p_peer * p, const char *why, void *user) = m->done;
    void *user = m->user;
    if (m->ws != NULL)
        ws_drop(m->ws);
    mailbox_free(m);
    done(end, p, why, user);
}

/* ---- how it ended without the other device ---- */

static enum mailbox_end end_of(const struct ws_end *end)
{
    switch (end->http_status != 0 ? end->http_status : end->by_peer ? end->code : 0) {
    case 401:
    case WS_PAIR_TOKEN:
        return MAILBOX_REFUSED;
    case 404:
        return MAILBOX_NOBODY;
    case 409:
    case WS_PAIR_REPLACED:
        return MAILBOX_TAKEN;
    case 429:
    case WS_PAIR_FULL:
        return MAILBOX_SPENT;
    case WS_PAIR_EXPIRED:
        return MAILBOX_OVER;
    default:
        return MAILBOX_LOST;
    }
}

/* What is said of it; NULL: what the connection says. */
static const char *meaning(enum mailbox_end end, bool inviting)
{
    switch (end) {
    case MAILBOX_NOBODY:
        return inviting ? "the server is older than this program, and cannot make devices meet"
                        : "no device invites there with this code";
    case MAILBOX_TAKEN:
        return inviting ? "another device invites there with the same digits, or you do with a "
                          "newer code"
                        : "another device is just using this code";
    case MAILBOX_SPENT:
        return "the code was tried as often as it can be, or too much was tried from here within "
               "a minute";
    case MAILBOX_REFUSED:
        return "the server refuses the token";
    case MAILBOX_OVER:
        return "the time of the code is over";
    case MAILBOX_MET:
    case MAILBOX_LOST:
    default:
        return NULL;
    }
}

static void on_closed(struct ws *w, const struct ws_end *end, void *user)
{
    (void)w;
    struct mailbox *m = user;
    char reason[WHY_MAX], why[TEXT_SIZE];
    enum mailbox_end how = end_of(end);
    const char *text = meaning(how, m->inviting);
    if (text == NULL)
        text = end->reason[0] == '\0' ? "the server closed the connection"
                                      : escape_to(reason, sizeof reason, bytes_str(end->reason));
    snprintf(why, sizeof why, "%s: %s", m->url, text);
    m->ws = NULL;
    finish(m, how, NULL, why);
}

/* ---- meeting ---- */

static void on_opened(struct ws *w, void *user)
{
    (void)w;
    struct mailbox *m = user;
    if (!m->inviting)
        net_timer_set(m->timer, HELLO_MS);
    else if (m->waits != NULL)
        m->waits(m->user);
}

static void on_timeout(void *arg)
{
    struct mailbox *m = arg;
    char why[TEXT_SIZE];
    snprintf(why, sizeof why, "%s: the other device does not come", m->url);
    finish(m, MAILBOX_LOST, NULL, why);
}

static void on_dialed(void *arg, int rc, struct p2p_peer *p, const char *why)
{
    struct mailbox *m = arg;
    char text[TEXT_SIZE];
    m->dial = NULL;
    snprintf(text, sizeof text, "%s: %.*s", m->url, WHY_MAX, why);
    finish(m, rc == 0 ? MAILBOX_MET : MAILBOX_LOST, p, rc == 0 ? "" : text);
}

/* The other device is there: from now on the pipe is the host's. */
static void on_message(struct ws *w, struct bytes message, void *user)
{
    struct mailbox *m = user;
    struct err err = {0};
    net_timer_cancel(m->timer);
    if (message.n != 1 || message.p[0] != WS_PAIR_HELLO)
        err_set(&err, -EPROTO, "the server does not say what one of this version says");
    else if (p2p_adopt(m->host, w, !m->inviting, on_dialed, m, &m->dial, &err) == 0)
        m->ws = NULL;
    if (m->ws == NULL)
        return;
    char why[TEXT_SIZE];
    snprintf(why, sizeof why, "%s: %.*s", m->url, WHY_MAX, err.msg);
    finish(m, MAILBOX_LOST, NULL, why);
}

static const struct ws_events events = {
    .opened = on_opened, .message = on_message, .closed = on_closed};

/* ---- beginning ---- */

static int start(struct mailbox *m, struct net_loop *l, struct ws_client *client,
                 const struct mailbox_config *cfg, struct err *err)
{
    char path[WS_PAIR_PATH_SIZE];
    int rc = ws_pair_path(cfg->nameplate, cfg->inviting, path, err);
    if (rc < 0)
        return rc;
    rc = net_timer_new(l, on_timeout, m, &m->timer);
    if (rc < 0)
        return err_set(err, rc, "out of memory");
    struct ws_service service = {path, WS_PAIR_SUBPROTOCOL};
    return ws_connect_to(client, cfg->remote->url, &service, bytes_str(cfg->remote->token), &events,
                         m, &m->ws, err);
}

int mailbox_open(struct net_loop *l, struct clients *clients, const struct mailbox_config *cfg,
                 struct mailbox **ret, struct err *err)
{
    const struct remote *r = cfg->remote;
    struct ws_client *client;
    if (cfg->inviting && r->token[0] == '\0')
        return err_set(err, -EINVAL, "%s: no token is stored; add the remote again", r->url);
    int rc = clients_get(clients, r->ca_file, r->insecure, &client, err);
    if (rc < 0)
        return rc;
    struct mailbox *m = calloc(1, sizeof *m);
    if (m == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    *m = (struct mailbox){.host = cfg->host,
                          .inviting = cfg->inviting,
                          .waits = cfg->waits,
                          .done = cfg->done,
                          .user = cfg->user};
    snprintf(m->url, sizeof m->url, "%s", r->url);
    rc = start(m, l, client, cfg, err);
    if (rc < 0) {
        mailbox_free(m);
        return rc;
    }
    *ret = m;
    return 0;
}
