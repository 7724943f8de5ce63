#include "sync/server/mailbox_ws.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "proto/base/log.h"
#include "sync/net/ws_pair.h"
#include "sync/server/request.h"

enum {
    QUEUE = 64 << 10, /* more waits for one end: the other one is not read, */
    ROOMY = QUEUE / 4 /* until no more than this does */
};

struct srv_mailbox_ws {
    struct srv_accounts *accounts;
    struct srv_mailboxes *boxes;
    struct net_timer *timer; /* of the oldest */
    int cut_fd;              /* written to when a token ended */
    struct net_watch *cut_watch;
};

/* ---- ends ---- */

static int send_ws(void *to, struct bytes message)
{
    int rc = ws_send(to, message);
    if (rc < 0 || ws_queued(to) <= QUEUE)
        return rc;
    ws_want_room(to);
    return 1;
}

static void read_ws(void *to, bool on)
{
    if (on)
        ws_resume(to);
    else
        ws_pause(to);
}

static void close_ws(void *to, unsigned code, const char *text)
{
    ws_close(to, code, text);
}

static const struct srv_mailbox_wire wire = {send_ws, read_ws, close_ws};

static void on_opened(struct ws *w, void *user)
{
    srv_mailbox_opened(user, w);
}

static void on_message(struct ws *w, struct bytes message, void *user)
{
    (void)w;
    srv_mailbox_message(user, message);
}

static void on_writable(struct ws *w, void *user)
{
    if (ws_queued(w) > ROOMY)
        ws_want_room(w);
    else
        srv_mailbox_writable(user);
}

static void on_closed(struct ws *w, const struct ws_end *end, void *user)
{
    (void)w;
    (void)end;
    srv_mailbox_closed(user);
}

const struct ws_events srv_mailbox_events = {on_opened, on_message, on_writable, on_closed};

/* ---- requests ---- */

static void tend(void *arg)
{
    struct srv_mailbox_ws *m = arg;
    uint64_t wait_ms = srv_mailboxes_tend(m->boxes, net_now_ms());
    if (wait_ms > 0)
        net_timer_set(m->timer, wait_ms);
}

struct srv_mailbox_stats srv_mailbox_ws_stats(const struct srv_mailbox_ws *m)
{
    return srv_mailboxes_stats(m->boxes);
}

unsigned srv_mailbox_ws_accept(struct srv_mailbox_ws *m, const struct ws_request *request,
                               void **ret_user)
{
    struct srv_token token = {.account = 0};
    struct srv_mailbox_end *e = NULL;
    uint8_t raw[16];
    unsigned nameplate;
    bool inviting;
    if (ws_pair_path_parse(request->path, &nameplate, &inviting) < 0)
        return 404;
    unsigned status = request->token.n > 0 ? srv_request_token(m->accounts, request, &token)
                      : inviting           ? 401
                                           : 0;
    if (status != 0)
        return status;
    uint64_t now = net_now_ms();
    if (inviting)
        status = srv_mailbox_invite(m->boxes, nameplate, token.account, token.id, now, &e);
    else
        status = srv_mailbox_join(m->boxes, nameplate, token.account,
                                  srv_request_address(request, raw), now, &e);
    if (status == 0 && inviting)
        tend(m);
    else if (status == 0)
        log_info("server: a mailbox was joined; %ju were so far",
                 (uintmax_t)srv_mailbox_ws_stats(m).joined);
    *ret_user = e;
    return status;
}

/* ---- tokens that end ---- */

/* Thread: any. */
static void on_ended(void *arg)
{
    const struct srv_mailbox_ws *m = arg;
    uint64_t one = 1;
    /* Fails only when the counter is full, that is, when it was written already. */
    ssize_t n = write(m->cut_fd, &one, sizeof one);
    (void)n;
}

static bool is_live(void *arg, const uint8_t id[TOKEN_ID_BYTES])
{
    const struct srv_mailbox_ws *m = arg;
    return srv_token_is_live(m->accounts, id);
}

static void on_cut(uint32_t events, void *arg)
{
    (void)events;
    struct srv_mailbox_ws *m = arg;
    uint64_t n;
    if (read(m->cut_fd, &n, sizeof n) == sizeof n)
        srv_mailboxes_check(m->boxes, is_live, m);
}

/* ---- beginning and end ---- */

static int start(struct srv_mailbox_ws *m, struct net_loop *l)
{
    int rc = srv_mailboxes_new(&wire, &m->boxes);
    if (rc < 0)
        return rc;
    m->cut_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (m->cut_fd < 0)
        return -errno;
    rc = net_watch_new(l, m->cut_fd, EPOLLIN, on_cut, m, &m->cut_watch);
    if (rc == 0)
        rc = net_timer_new(l, tend, m, &m->timer);
    if (rc == 0)
        srv_accounts_on_ended(m->accounts, on_ended, m);
    return rc;
}

int srv_mailbox_ws_new(struct net_loop *l, struct srv_accounts *accounts,
                       struct srv_mailbox_ws **ret, struct err *err)
{
    struct srv_mailbox_ws *m = calloc(1, sizeof *m);
    if (m == NULL)
        return err_set(err, -ENOMEM, "server: out of memory");
    m->accounts = accounts;
    m->cut_fd = -1;
    int rc = start(m, l);
    if (rc < 0) {
        srv_mailbox_ws_free(m);
        return err_set(err, rc, "server: %s", strerror(-rc));
    }
    *ret = m;
    return 0;
}

void srv_mailbox_ws_free(struct srv_mailbox_ws *m)
{
    if (m == NULL)
        return;
    srv_accounts_on_ended(m->accounts, NULL, NULL);
    net_timer_free(m->timer);
    net_watch_free(m->cut_watch);
    if (m->cut_fd >= 0)
        close(m->cut_fd);
    srv_mailboxes_free(m->boxes);
    free(m);
}
