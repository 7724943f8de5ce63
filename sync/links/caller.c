/* One connection to the process's socket: of a mount, or of a command. */
#include <errno.h>
#include <stdlib.h>

#include "proto/base/log.h"
#include "proto/frame.h"
#include "sync/links/links_priv.h"

enum { FIRST_FRAME_MS = 10000 };

static void caller_free(struct caller *c)
{
    if (c == NULL)
        return;
    attached_free(c->attached);
    probe_cancel(c->probe);
    pairing_free(c->pairing);
    net_timer_free(c->timer);
    remote_wipe(&c->remote);
    free(c);
}

/* The mount of a space is one process: an older connection is of one that has died. */
static void replace(const struct links *l, const uint8_t space[SPACE_ID_SIZE])
{
    for (size_t i = 0; i < UNIX_CONNECTIONS_MAX; i++) {
        struct caller *c = l->callers[i];
        if (c == NULL || c->attached == NULL || !attached_is_of(c->attached, space))
            continue;
        log_warn("links: a mount attached again");
        attached_free(c->attached);
        c->attached = NULL;
        unix_close(c->conn);
    }
}

static int attach(struct caller *c, const Persist__Attach *a)
{
    struct links *l = c->links;
    replace(l, a->space.data);
    c->asked = true;
    int rc = attached_new(&l->env, l->peers, c->conn, a->space.data, l->remotes, &l->last_id,
                          &c->attached);
    return rc;
}

static int on_local(struct caller *c, const Persist__Local *f)
{
    if (c->attached != NULL)
        return attached_frame(c->attached, f);
    if (c->pairing != NULL)
        return pairing_frame(c->pairing, f);
    if (c->asked)
        return -EPROTO;
    net_timer_cancel(c->timer);
    if (f->kind_case == PERSIST__LOCAL__KIND_ATTACH)
        return attach(c, f->attach);
    c->asked = true;
    return request_run(c, f);
}

/* Frees a frame that may have a token in it. */
static void free_frame(Persist__Local *f)
{
    const Persist__Remote *r = NULL;
    if (f->kind_case == PERSIST__LOCAL__KIND_REMOTE_ADD)
        r = f->remote_add->remote;
    else if (f->kind_case == PERSIST__LOCAL__KIND_REMOTE_SPACES)
        r = f->remote_spaces->remote;
    else if (f->kind_case == PERSIST__LOCAL__KIND_REMOTE_JOIN)
        r = f->remote_join->remote;
    if (r != NULL && r->token != NULL)
        sodium_memzero(r->token, strlen(r->token));
    frame_local_free(f);
}

static void on_frame(struct unix_conn *conn, struct bytes frame, void *user)
{
    struct caller *c = user;
    Persist__Local *f;
    int rc = frame_local_decode(frame, &f);
    if (rc == 0) {
        rc = on_local(c, f);
        free_frame(f);
    }
    if (rc < 0) {
        log_warn("links: a connection is closed: %s",
                 rc == -ENOMEM ? "out of memory" : "it sent what is not allowed");
        unix_close(conn);
    }
}

static void on_writable(struct unix_conn *conn, void *user)
{
    (void)conn;
    struct caller *c = user;
    if (c->attached != NULL)
        attached_writable(c->attached);
}

static void on_closed(struct unix_conn *conn, int error, void *user)
{
    (void)conn;
    (void)error;
    struct caller *c = user;
    if (c == NULL)
        return;
    struct links *l = c->links;
    bool stops = c->stops && error != -ECANCELED;
    for (size_t i = 0; i < UNIX_CONNECTIONS_MAX; i++)
        if (l->callers[i] == c)
            l->callers[i] = NULL;
    caller_free(c);
    if (stops)
        links_stop(l);
}

const struct unix_events caller_events = {on_frame, on_writable, on_closed};

static void on_silence(void *arg)
{
    struct caller *c = arg;
    unix_close(c->conn);
}

struct caller *caller_new(struct links *l, struct unix_conn *conn)
{
    size_t at = 0;
    while (at < UNIX_CONNECTIONS_MAX && l->callers[at] != NULL)
        at++;
    struct caller *c = at < UNIX_CONNECTIONS_MAX ? calloc(1, sizeof *c) : NULL;
    if (c == NULL || l->stopping || net_timer_new(l->loop, on_silence, c, &c->timer) < 0) {
        caller_free(c);
        unix_close(conn);
        return NULL;
    }
    c->links = l;
    c->conn = conn;
    l->callers[at] = c;
    net_timer_set(c->timer, FIRST_FRAME_MS);
    return c;
}
