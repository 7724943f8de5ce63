#include "sync/net/unix_frames.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "sync/net/sendq.h"

enum {
    LENGTH_BYTES = 4,
    FRAMES = 16, /* in one turn of the loop */
    CLOSE_MS = 5000,
    KEEP_BUFFER = 64 * 1024 /* a longer one is freed when its frame is delivered */
};

struct unix_conn {
    struct net_loop *loop;
    struct unix_server *server; /* NULL: of unix_adopt() */
    int fd;
    struct net_watch *watch;
    struct net_timer *timer; /* of closing */
    const struct unix_events *events;
    void *user;
    bool paused, closing;
    uint8_t length[LENGTH_BYTES]; /* of the frame that is coming in */
    size_t got;                   /* bytes of it, the length included */
    struct buf in;
    struct sendq out;
};

struct unix_server {
    struct net_loop *loop;
    struct unix_server_config cfg;
    struct net_watch *watch;
    struct unix_conn *conns[UNIX_CONNECTIONS_MAX]; /* NULL: free */
};

static void release(struct unix_conn *c)
{
    net_watch_free(c->watch);
    net_timer_free(c->timer);
    close(c->fd);
    buf_fini(&c->in);
    sendq_fini(&c->out);
    free(c);
}

static void end(struct unix_conn *c, int error)
{
    for (size_t i = 0; c->server != NULL && i < UNIX_CONNECTIONS_MAX; i++)
        if (c->server->conns[i] == c)
            c->server->conns[i] = NULL;
    c->events->closed(c, error, c->user);
    release(c);
}

/* What the connection waits for. */
static void rewatch(struct unix_conn *c)
{
    uint32_t in = c->paused || c->closing ? 0 : EPOLLIN;
    net_watch_want(c->watch, in | (c->out.first != NULL || c->closing ? EPOLLOUT : 0));
}

/* Reads what is missing of the length or of the frame, never beyond it, so that what is paused is
 * still in the socket. 1: read; 0: nothing there; or the error that ends the connection. */
static int read_some(struct unix_conn *c)
{
    bool head = c->got < LENGTH_BYTES;
    uint8_t *to = head ? c->length + c->got : c->in.p + (c->got - LENGTH_BYTES);
    size_t n = head ? LENGTH_BYTES - c->got : c->in.n - (c->got - LENGTH_BYTES);
    ssize_t k = recv(c->fd, to, n, 0);
    if (k == 0)
        return c->got == 0 ? -EPIPE : -ECONNRESET;
    if (k < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -ECONNRESET;
    c->got += (size_t)k;
    if (!head || c->got < LENGTH_BYTES)
        return 1;
    uint32_t length = get_u32(c->length);
    if (length > UNIX_FRAME_MAX)
        return -EBADMSG;
    if (buf_reserve(&c->in, length) < 0) /* read into before anybody looks: no need of zeros */
        return -ENOMEM;
    c->in.n = length;
    return 1;
}

static void deliver(struct unix_conn *c)
{
    c->got = 0;
    if (c->events->frame != NULL)
        c->events->frame(c, buf_bytes(&c->in), c->user);
    if (c->in.cap > KEEP_BUFFER)
        buf_fini(&c->in);
    else
        buf_reset(&c->in);
}

static int read_frames(struct unix_conn *c)
{
    for (int frames = 0; frames < FRAMES && !c->paused && !c->closing;) {
        int rc = read_some(c);
        if (rc <= 0)
            return rc;
        if (c->got >= LENGTH_BYTES && c->got - LENGTH_BYTES == c->in.n) {
            deliver(c);
            frames++;
        }
    }
    return 0;
}

/* What is left of a frame, as two pieces. Here sent counts the length, too. */
static void pieces_of(struct sendq_item *i, uint8_t length[LENGTH_BYTES], struct iovec ret[2])
{
    put_u32(length, (uint32_t)i->n);
    size_t head = i->sent < LENGTH_BYTES ? LENGTH_BYTES - i->sent : 0;
    size_t from = i->sent > LENGTH_BYTES ? i->sent - LENGTH_BYTES : 0;
    ret[0] = (struct iovec){length + (LENGTH_BYTES - head), head};
    ret[1] = (struct iovec){i->data + from, i->n - from};
}

/* One write, of several frames. */
static int write_some(struct unix_conn *c)
{
    uint8_t length[FRAMES][LENGTH_BYTES];
    struct iovec v[2 * FRAMES];
    size_t n = 0;
    for (struct sendq_item *i = c->out.first; i != NULL && n < FRAMES; i = i->next, n++)
        pieces_of(i, length[n], v + 2 * n);
    if (n == 0)
        return 0;
    struct msghdr m = {.msg_iov = v, .msg_iovlen = 2 * n};
    ssize_t k = sendmsg(c->fd, &m, MSG_NOSIGNAL);
    if (k < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -EPIPE;
    for (size_t sent = (size_t)k; sent > 0;) {
        struct sendq_item *i = c->out.first;
        size_t of = min_u64(sent, i->n + LENGTH_BYTES - i->sent);
        i->sent += of;
        sent -= of;
        if (i->sent == i->n + LENGTH_BYTES)
            sendq_pop(&c->out);
    }
    return 0;
}

static void on_event(uint32_t events, void *arg)
{
    struct unix_conn *c = arg;
    int rc = 0;
    if ((events & EPOLLOUT) != 0)
        rc = write_some(c);
    if (rc == 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
        /* The other end is gone, and nothing that it sent is to be read any more. */
        if (c->paused || c->closing)
            rc = (events & (EPOLLHUP | EPOLLERR)) != 0 ? -EPIPE : 0;
        else
            rc = read_frames(c);
    }
    if (rc == 0 && !c->closing && sendq_has_room(&c->out) && c->events->writable != NULL)
        c->events->writable(c, c->user);
    if (rc == 0 && c->closing && c->out.first == NULL)
        rc = -EPIPE;
    if (rc < 0)
        end(c, rc == -EPIPE ? 0 : rc);
    else
        rewatch(c);
}

static void on_timeout(void *arg)
{
    end(arg, -ETIMEDOUT);
}

static bool is_own(int fd)
{
    struct ucred peer;
    socklen_t n = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 && peer.uid == geteuid();
}

static int set_up(struct unix_conn *c)
{
    if (!is_own(c->fd))
        return -EPERM;
    int flags = fcntl(c->fd, F_GETFL);
    if (flags < 0 || fcntl(c->fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    int rc = net_timer_new(c->loop, on_timeout, c, &c->timer);
    return rc < 0 ? rc : net_watch_new(c->loop, c->fd, EPOLLIN, on_event, c, &c->watch);
}

int unix_adopt(struct net_loop *l, int fd, const struct unix_events *events, void *user,
               struct unix_conn **ret)
{
    struct unix_conn *c = calloc(1, sizeof *c);
    if (c == NULL) {
        close(fd);
        return -ENOMEM;
    }
    *c = (struct unix_conn){.loop = l, .fd = fd, .events = events, .user = user};
    int rc = set_up(c);
    if (rc < 0) {
        release(c);
        return rc;
    }
    *ret = c;
    return 0;
}

int unix_send(struct unix_conn *c, struct bytes frame)
{
    if (c->closing)
        return -ENOTCONN;
    if (frame.n > UNIX_FRAME_MAX)
        return -EMSGSIZE;
    int rc = sendq_push(&c->out, frame);
    if (rc == 0)
        rewatch(c);
    return rc;
}

void unix_pause(struct unix_conn *c)
{
    c->paused = true;
    rewatch(c);
}

void unix_resume(struct unix_conn *c)
{
    c->paused = false;
    rewatch(c);
}

void unix_close(struct unix_conn *c)
{
    if (c->closing)
        return;
    c->closing = true;
    net_timer_set(c->timer, CLOSE_MS);
    rewatch(c);
}

static void on_connection(uint32_t events, void *arg)
{
    (void)events;
    struct unix_server *s = arg;
    int fd = accept4(s->cfg.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    struct unix_conn **slot = NULL;
    for (size_t i = 0; slot == NULL && i < UNIX_CONNECTIONS_MAX; i++)
        if (s->conns[i] == NULL)
            slot = &s->conns[i];
    struct unix_conn *c;
    if (slot == NULL)
        close(fd);
    else if (unix_adopt(s->loop, fd, s->cfg.events, NULL, &c) == 0) {
        *slot = c;
        c->server = s;
        c->user = s->cfg.opened(c, s->cfg.user);
    }
}

int unix_server_start(struct net_loop *l, const struct unix_server_config *cfg,
                      struct unix_server **ret)
{
    struct unix_server *s = calloc(1, sizeof *s);
    if (s == NULL)
        return -ENOMEM;
    s->loop = l;
    s->cfg = *cfg;
    int rc = net_watch_new(l, cfg->fd, EPOLLIN, on_connection, s, &s->watch);
    if (rc < 0) {
        free(s);
        return rc;
    }
    *ret = s;
    return 0;
}

void unix_server_free(struct unix_server *s)
{
    if (s == NULL)
        return;
    net_watch_free(s->watch);
    for (size_t i = 0; i < UNIX_CONNECTIONS_MAX; i++)
        if (s->conns[i] != NULL)
            end(s->conns[i], -ECANCELED);
    free(s);
}
