#include "sync/server/control.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/frame.h"
#include "sync/net/unix_frames.h"

static const char socket_name[] = "control.sock";

enum { OUT_MAX = UNIX_FRAME_MAX - 4096 };

/* One connection: it is paused while its request is carried out. */
struct asker {
    struct srv_control *control;
    struct unix_conn *conn;         /* NULL: it has gone, and is freed when its request is done */
    struct asker *next;             /* in the queue of the thread, or of what is done */
    Persist__AdminRequest *request; /* NULL: none */
    struct buf reply;
};

struct srv_control {
    struct srv_control_config cfg;
    char *dir;
    int dir_fd, listen_fd, event_fd;
    struct net_watch *watch;
    struct unix_server *server;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock; /* all below */
    pthread_cond_t asked;
    struct asker *queue, **queue_end, *done;
    bool ends;
};

/* ---- the thread ---- */

static void carry_out(struct srv_control *c, struct asker *a)
{
    struct srv_admin admin = {.accounts = c->cfg.accounts, .spaces = c->cfg.spaces, .dir = c->dir};
    struct buf out = {0};
    struct err err = {0};
    int rc = srv_admin_call(&admin, a->request, &out, &err);
    Persist__AdminReply reply;
    persist__admin_reply__init(&reply);
    if (rc == 0 && out.n > OUT_MAX)
        rc = err_set(&err, -E2BIG, "list: is too long for the running server; stop it first");
    reply.error = (uint32_t)-rc;
    reply.text = err.msg;
    if (rc == 0)
        reply.out = frame_data(buf_bytes(&out));
    size_t n = persist__admin_reply__get_packed_size(&reply);
    if (buf_reserve(&a->reply, n) == 0)
        a->reply.n = persist__admin_reply__pack(&reply, a->reply.p);
    if (out.p != NULL)
        sodium_memzero(out.p, out.cap); /* it may hold a token */
    buf_fini(&out);
}

static void *run(void *arg)
{
    struct srv_control *c = arg;
    pthread_mutex_lock(&c->lock);
    for (;;) {
        while (c->queue == NULL && !c->ends)
            pthread_cond_wait(&c->asked, &c->lock);
        struct asker *a = c->queue;
        if (a == NULL)
            break;
        c->queue = a->next;
        if (c->queue == NULL)
            c->queue_end = &c->queue;
        pthread_mutex_unlock(&c->lock);
        carry_out(c, a);
        pthread_mutex_lock(&c->lock);
        a->next = c->done;
        c->done = a;
        uint64_t one = 1;
        /* Fails only when the counter is full, that is, when it was written already. */
        ssize_t n = write(c->event_fd, &one, sizeof one);
        (void)n;
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

/* ---- connections ---- */

static void asker_free(struct asker *a)
{
    if (a->request != NULL)
        persist__admin_request__free_unpacked(a->request, NULL);
    if (a->reply.p != NULL)
        sodium_memzero(a->reply.p, a->reply.cap);
    buf_fini(&a->reply);
    free(a);
}

static void answer(struct asker *a)
{
    if (a->conn == NULL) {
        asker_free(a);
        return;
    }
    persist__admin_request__free_unpacked(a->request, NULL);
    a->request = NULL;
    /* Without memory, who asked sees the connection end. */
    if (buf_status(&a->reply) < 0 || unix_send(a->conn, buf_bytes(&a->reply)) < 0)
        unix_close(a->conn);
    else
        unix_resume(a->conn);
    buf_fini(&a->reply);
}

static void on_event(uint32_t events, void *arg)
{
    (void)events;
    struct srv_control *c = arg;
    uint64_t n;
    if (read(c->event_fd, &n, sizeof n) < 0)
        return;
    pthread_mutex_lock(&c->lock);
    struct asker *a = c->done;
    c->done = NULL;
    pthread_mutex_unlock(&c->lock);
    while (a != NULL) {
        struct asker *next = a->next;
        answer(a);
        a = next;
    }
}

static void on_frame(struct unix_conn *conn, struct bytes frame, void *user)
{
    struct asker *a = user;
    struct srv_control *c = a->control;
    if (srv_admin_decode(frame, &a->request) < 0) {
        unix_close(conn);
        return;
    }
    unix_pause(conn);
    a->next = NULL;
    pthread_mutex_lock(&c->lock);
    *c->queue_end = a;
    c->queue_end = &a->next;
    pthread_cond_signal(&c->asked);
    pthread_mutex_unlock(&c->lock);
}

static void on_closed(struct unix_conn *conn, int error, void *user)
{
    (void)conn;
    (void)error;
    struct asker *a = user;
    if (a == NULL)
        return; /* there was no memory for it */
    a->conn = NULL;
    if (a->request == NULL)
        asker_free(a);
}

static void *on_opened(struct unix_conn *conn, void *user)
{
    struct asker *a = calloc(1, sizeof *a);
    if (a == NULL) {
        unix_close(conn);
        return NULL;
    }
    a->control = user;
    a->conn = conn;
    return a;
}

static const struct unix_events events = {.frame = on_frame, .closed = on_closed};

/* ---- the socket ---- */

/* By way of the directory's descriptor: the length of its path does not count. */
static struct sockaddr_un address_of(int dir_fd)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "/proc/self/fd/%d/%s", dir_fd, socket_name);
    return a;
}

static int bind_socket(struct srv_control *c)
{
    struct sockaddr_un a = address_of(c->dir_fd);
    c->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->listen_fd < 0 || (unlinkat(c->dir_fd, socket_name, 0) < 0 && errno != ENOENT))
        return -errno;
    /* Linux gives the file the mode of the socket: it is never open to others, not for a moment. */
    if (fchmod(c->listen_fd, 0600) < 0 || bind(c->listen_fd, (struct sockaddr *)&a, sizeof a) < 0 ||
        listen(c->listen_fd, UNIX_CONNECTIONS_MAX) < 0)
        return -errno;
    return 0;
}

static int start(struct srv_control *c, const char *dir)
{
    c->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    c->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int rc = c->dir_fd < 0 || c->event_fd < 0 ? -errno : bind_socket(c);
    if (rc == 0)
        rc = net_watch_new(c->cfg.loop, c->event_fd, EPOLLIN, on_event, c, &c->watch);
    if (rc == 0) {
        rc = -pthread_create(&c->thread, NULL, run, c);
        c->has_thread = rc == 0;
    }
    struct unix_server_config server = {
        .fd = c->listen_fd, .events = &events, .opened = on_opened, .user = c};
    return rc < 0 ? rc : unix_server_start(c->cfg.loop, &server, &c->server);
}

int srv_control_start(const struct srv_control_config *cfg, struct srv_control **ret,
                      struct err *err)
{
    struct srv_control *c = calloc(1, sizeof *c);
    if (c == NULL)
        return err_set(err, -ENOMEM, "control socket: out of memory");
    c->cfg = *cfg;
    c->dir_fd = c->listen_fd = c->event_fd = -1;
    c->queue_end = &c->queue;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->asked, NULL);
    c->dir = strdup(cfg->dir);
    int rc = c->dir == NULL ? -ENOMEM : start(c, cfg->dir);
    if (rc < 0) {
        srv_control_free(c);
        return err_set(err, rc, "%s/%s: %s", cfg->dir, socket_name, strerror(-rc));
    }
    *ret = c;
    return 0;
}

static void end_thread(struct srv_control *c)
{
    pthread_mutex_lock(&c->lock);
    c->ends = true;
    pthread_cond_signal(&c->asked);
    pthread_mutex_unlock(&c->lock);
    if (c->has_thread)
        pthread_join(c->thread, NULL);
}

void srv_control_free(struct srv_control *c)
{
    if (c == NULL)
        return;
    end_thread(c);
    /* Whose request was done last gets no answer, but has no connection any more either. */
    unix_server_free(c->server);
    for (struct asker *a = c->done, *next; a != NULL; a = next) {
        next = a->next;
        asker_free(a);
    }
    net_watch_free(c->watch);
    if (c->server != NULL)
        unlinkat(c->dir_fd, socket_name, 0);
    int *const fds[] = {&c->dir_fd, &c->listen_fd, &c->event_fd};
    for (size_t i = 0; i < ARRAY_N(fds); i++)
        if (*fds[i] >= 0)
            close(*fds[i]);
    pthread_cond_destroy(&c->asked);
    pthread_mutex_destroy(&c->lock);
    free(c->dir);
    free(c);
}
