#include "sync/server/own_link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "sync/net/unix_frames.h"
#include "sync/server/session_priv.h"

enum { LINK_ID = 1, AGAIN_MS = 1000 };

static const char socket_name[] = "sync.sock";

struct srv_own_link {
    struct srv_hub *hub;
    uint64_t account;
    int dir_fd, fd;
    struct unix_server *server;
    struct unix_conn *conn;      /* the engine's; NULL: it is not attached */
    struct srv_session *session; /* NULL: the link is down */
    struct net_timer *timer;     /* until the session is freed, or the link is up again */
    uint64_t generation;
};

/* ---- to the engine ---- */

static int send_local(struct srv_own_link *o, const Persist__Local *f)
{
    CLEANUP(buf_fini) struct buf b = {0};
    int rc = frame_local_encode(f, &b);
    return rc < 0 ? rc : unix_send(o->conn, buf_bytes(&b));
}

/* An engine that cannot be told is cut: it attaches again. */
static void tell(struct srv_own_link *o, Persist__LinkState state)
{
    static char url[] = OWN_LINK_URL;
    Persist__Link link;
    Persist__Local f = PERSIST__LOCAL__INIT;
    persist__link__init(&link);
    link.id = LINK_ID;
    link.generation = o->generation;
    link.state = state;
    link.url = url;
    f.kind_case = PERSIST__LOCAL__KIND_LINK;
    f.link = &link;
    if (send_local(o, &f) < 0)
        unix_close(o->conn);
}

/* ---- the wire of the session ---- */

static int send_frame(void *to, struct bytes frame)
{
    struct srv_own_link *o = to;
    Persist__Data data = PERSIST__DATA__INIT;
    Persist__Local f = PERSIST__LOCAL__INIT;
    data.link = LINK_ID;
    data.generation = o->generation;
    data.frame = frame_data(frame);
    f.kind_case = PERSIST__LOCAL__KIND_DATA;
    f.data = &data;
    return send_local(o, &f);
}

static void read_frames(void *to, bool on)
{
    struct srv_own_link *o = to;
    if (on)
        unix_resume(o->conn);
    else
        unix_pause(o->conn);
}

/* Called from within the session, which is freed when that has returned. */
static void close_wire(void *to, unsigned code, const char *text)
{
    struct srv_own_link *o = to;
    (void)code;
    (void)text;
    net_timer_set(o->timer, 0);
}

static const struct srv_wire wire = {send_frame, read_frames, close_wire};

/* ---- the link ---- */

static void come_up(struct srv_own_link *o)
{
    o->generation++;
    o->session = session_new_own(o->hub, o->account, &wire, o);
    if (o->session != NULL)
        tell(o, PERSIST__LINK_STATE__LINK_UP);
    else
        net_timer_set(o->timer, AGAIN_MS);
}

static void go_down(struct srv_own_link *o, uint64_t ms)
{
    session_free(TAKE_PTR(o->session));
    unix_resume(o->conn);
    tell(o, PERSIST__LINK_STATE__LINK_DOWN);
    net_timer_set(o->timer, ms);
}

static void on_timer(void *arg)
{
    struct srv_own_link *o = arg;
    if (o->session != NULL)
        go_down(o, AGAIN_MS);
    else if (o->conn != NULL)
        come_up(o);
}

/* ---- from the engine ---- */

static void on_frame(struct unix_conn *c, struct bytes frame, void *user)
{
    struct srv_own_link *o = user;
    Persist__Local *f;
    if (frame_local_decode(frame, &f) < 0) {
        unix_close(c);
        return;
    }
    if (f->kind_case == PERSIST__LOCAL__KIND_ATTACH && o->session == NULL)
        come_up(o);
    else if (f->kind_case == PERSIST__LOCAL__KIND_DATA && o->session != NULL &&
             f->data->generation == o->generation)
        session_message(o->session, frame_bytes(f->data->frame));
    else if (f->kind_case == PERSIST__LOCAL__KIND_RETRY && o->session != NULL &&
             f->retry->generation == o->generation)
        go_down(o, f->retry->after_ms);
    frame_local_free(f);
}

static void on_writable(struct unix_conn *c, void *user)
{
    struct srv_own_link *o = user;
    (void)c;
    if (o->session != NULL)
        session_writable(o->session);
}

static void on_closed(struct unix_conn *c, int error, void *user)
{
    struct srv_own_link *o = user;
    (void)error;
    if (c != o->conn)
        return; /* one too many */
    o->conn = NULL;
    net_timer_cancel(o->timer);
    session_free(TAKE_PTR(o->session));
}

static void *on_opened(struct unix_conn *c, void *user)
{
    struct srv_own_link *o = user;
    if (o->conn != NULL)
        unix_close(c);
    else
        o->conn = c;
    return o;
}

static const struct unix_events events = {on_frame, on_writable, on_closed};

/* ---- life ---- */

static int bind_socket(struct srv_own_link *o)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "/proc/self/fd/%d/%s", o->dir_fd, socket_name);
    o->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (o->fd < 0 || (unlinkat(o->dir_fd, socket_name, 0) < 0 && errno != ENOENT))
        return -errno;
    /* Linux gives the file the mode of the socket: it is never open to others, not for a moment. */
    if (fchmod(o->fd, 0600) < 0 || bind(o->fd, (struct sockaddr *)&a, sizeof a) < 0 ||
        listen(o->fd, 1) < 0)
        return -errno;
    return 0;
}

int srv_own_link_start(struct srv_hub *h, uint64_t account, int dir_fd, struct srv_own_link **ret)
{
    struct srv_own_link *o = calloc(1, sizeof *o);
    if (o == NULL)
        return -ENOMEM;
    *o = (struct srv_own_link){.hub = h, .account = account, .dir_fd = dir_fd, .fd = -1};
    int rc = net_timer_new(h->cfg.loop, on_timer, o, &o->timer);
    if (rc == 0)
        rc = bind_socket(o);
    struct unix_server_config server = {
        .fd = o->fd, .events = &events, .opened = on_opened, .user = o};
    if (rc == 0)
        rc = unix_server_start(h->cfg.loop, &server, &o->server);
    if (rc < 0) {
        srv_own_link_free(o);
        return rc;
    }
    *ret = o;
    return 0;
}

void srv_own_link_free(struct srv_own_link *o)
{
    if (o == NULL)
        return;
    unix_server_free(o->server);
    net_timer_free(o->timer);
    if (o->fd >= 0) {
        close(o->fd);
        (void)unlinkat(o->dir_fd, socket_name, 0);
    }
    free(o);
}
