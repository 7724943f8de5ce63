#include "sync/links/links.h"

#include <errno.h>
#include <stdlib.h>

#include "proto/base/log.h"
#include "sync/links/links_priv.h"

enum { STOP_MS = 6000 /* a close has 5 s to go out */, STOP_STEP_MS = 10 };

struct attached *links_attached(const struct links *l, const uint8_t space[SPACE_ID_SIZE])
{
    for (size_t i = 0; i < UNIX_CONNECTIONS_MAX; i++) {
        struct caller *c = l->callers[i];
        if (c != NULL && c->attached != NULL && attached_is_of(c->attached, space))
            return c->attached;
    }
    return NULL;
}

void links_look_at_peers(void *arg)
{
    struct links *l = arg;
    for (size_t i = 0; i < UNIX_CONNECTIONS_MAX; i++)
        if (l->callers[i] != NULL && l->callers[i]->attached != NULL &&
            attached_look_at_peers(l->callers[i]->attached) < 0)
            unix_close(l->callers[i]->conn); /* it attaches again */
}

static void on_network(void *arg)
{
    struct links *l = arg;
    log_debug("links: the network is another");
    for (size_t i = 0; i < UNIX_CONNECTIONS_MAX; i++)
        if (l->callers[i] != NULL && l->callers[i]->attached != NULL)
            attached_hurry(l->callers[i]->attached);
    peers_hurry(l->peers);
}

static void *on_connection(struct unix_conn *c, void *user)
{
    return caller_new(user, c);
}

/* ---- the end ---- */

static void tell_stopped(struct links *l)
{
    if (!l->stopping || l->stopped)
        return;
    l->stopped = true;
    net_timer_cancel(l->timer);
    l->cfg.stopped(l->cfg.arg);
}

static void on_idle(void *arg)
{
    struct links *l = arg;
    if (!l->stopped && peers_is_idle(l->peers))
        tell_stopped(l);
}

/* Lines say when they are closed, direct links do not. */
static void on_stop_timer(void *arg)
{
    struct links *l = arg;
    if ((l->env.lines == 0 && peers_is_idle(l->peers)) || net_now_ms() >= l->stop_by_ms)
        tell_stopped(l);
    else
        net_timer_set(l->timer, STOP_STEP_MS);
}

void links_stop(struct links *l)
{
    if (l->stopping)
        return;
    l->stopping = true;
    for (size_t i = 0; i < UNIX_CONNECTIONS_MAX; i++) {
        struct caller *c = l->callers[i];
        if (c == NULL)
            continue;
        attached_free(c->attached);
        c->attached = NULL;
        unix_close(c->conn);
    }
    peers_stop(l->peers);
    l->stop_by_ms = net_now_ms() + STOP_MS;
    net_timer_set(l->timer, 0);
}

void links_free(struct links *l)
{
    if (l == NULL)
        return;
    l->stopped = true; /* nobody is told any more */
    unix_server_free(l->server);
    netwatch_free(l->netwatch);
    peers_free(l->peers);
    clients_free(l->env.clients);
    net_timer_free(l->timer);
    remotes_free(l->remotes);
    remote_wipe(&l->replaced);
    free(l);
}

/* ---- the beginning ---- */

static int start(struct links *l, struct err *err)
{
    int rc = remotes_open(l->cfg.dir_fd, &l->remotes, err);
    if (rc < 0)
        return rc;
    remotes_tidy(l->remotes);
    rc = clients_new(l->loop, &l->env.clients);
    if (rc < 0)
        return err_set(err, rc, "sync process: %s", strerror(-rc));
    struct peers_config peers = {.loop = l->loop,
                                 .clients = l->env.clients,
                                 .identity = l->cfg.identity,
                                 .dir_fd = l->cfg.dir_fd,
                                 .turned_on = links_look_at_peers,
                                 .arg = l};
    rc = peers_new(&peers, &l->peers, err);
    if (rc < 0)
        return rc;
    rc = net_timer_new(l->loop, on_stop_timer, l, &l->timer);
    struct unix_server_config cfg = {
        .fd = l->cfg.listen_fd, .events = &caller_events, .opened = on_connection, .user = l};
    if (rc == 0)
        rc = unix_server_start(l->loop, &cfg, &l->server);
    if (rc < 0)
        return err_set(err, rc, "sync process: %s", strerror(-rc));
    if (netwatch_new(l->loop, on_network, l, &l->netwatch) < 0)
        log_warn("links: changes of the network are not noticed");
    return 0;
}

int links_new(struct net_loop *loop, const struct links_config *cfg, struct links **ret,
              struct err *err)
{
    struct links *l = calloc(1, sizeof *l);
    if (l == NULL)
        return err_set(err, -ENOMEM, "sync process: out of memory");
    l->cfg = *cfg;
    l->loop = loop;
    l->env = (struct line_env){.loop = loop, .identity = cfg->identity, .idle = on_idle, .arg = l};
    int rc = start(l, err);
    if (rc < 0) {
        links_free(l);
        return rc;
    }
    *ret = l;
    return 0;
}
