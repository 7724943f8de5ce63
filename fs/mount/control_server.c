/* The server side of the control socket: one thread that accepts, one thread for each connection.
 */
#include "fs/mount/control.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "fs/tree/tree.h"
#include "proto/base/escape.h"
#include "proto/base/log.h"

enum slot_state { SLOT_FREE, SLOT_RUNNING, SLOT_FINISHED };

struct slot {
    struct control_server *server;
    /* State and descriptor: under the lock while the thread lives, else as the thread. The
     * connection's thread closes the descriptor. */
    enum slot_state state;
    int fd;
    pthread_t thread; /* owned by the accepting thread, and by stop after that one ended */
};

struct control_server {
    struct control_server_config cfg;
    int dir_fd, listen_fd;
    int wake_fd; /* an eventfd: a connection has ended, or stop */
    char name[sizeof((struct sockaddr_un *)NULL)->sun_path];
    pthread_t thread;
    pthread_mutex_t lock;
    bool stopping; /* lock */
    struct slot slots[CONTROL_CONNECTIONS_MAX];
};

static uint64_t monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Reads until @b holds one whole frame, which is returned. Nothing is allocated ahead of its bytes.
 */
static int read_frame(int fd, struct buf *b, uint64_t deadline_ms, struct control_frame *ret)
{
    for (;;) {
        ssize_t whole = control_decode(buf_bytes(b), ret);
        if (whole < 0)
            return (int)whole;
        if (whole > 0)
            return (size_t)whole == b->n ? 0 : -EBADMSG; /* one request, then silence */
        uint64_t now = monotonic_ms();
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int ready = now >= deadline_ms ? 0 : poll(&p, 1, (int)(deadline_ms - now));
        if (ready == 0)
            return -ETIMEDOUT;
        if (ready < 0 && errno == EINTR)
            continue;
        if (buf_reserve(b, 4096) < 0)
            return -ENOMEM;
        ssize_t n = recv(fd, b->p + b->n, b->cap - b->n, 0);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n <= 0)
            return -ECONNRESET;
        b->n += (size_t)n;
    }
}

static int run(const struct control_server_config *cfg, struct control_request *req,
               struct out *out)
{
    struct verb_call *call = &req->call;
    call->folder = cfg->folder;
    call->name = cfg->space_name;
    call->mounted = true;
    const struct verb *v = cfg->find(call->verb);
    char name[64];
    if (v == NULL || call->args_n < v->args_min || call->args_n > v->args_max) {
        out_error(out, "%s: the mount process does not know this request; unmount and mount again",
                  escape_to(name, sizeof name, bytes_str(call->verb)));
        return VERB_USAGE;
    }
    int status = v->run(cfg->space, call, out);
    assert(status >= VERB_OK && status <= VERB_UNREACHABLE);
    return status;
}

int control_serve(const struct control_server_config *cfg, int fd)
{
    struct buf in = {0};
    struct control_frame frame;
    struct control_request req = {0};
    int rc = read_frame(fd, &in, monotonic_ms() + CONTROL_REQUEST_TIMEOUT_MS, &frame);
    if (rc == 0)
        rc = frame.type == CONTROL_REQUEST ? control_get_request(frame.payload, &req) : -EBADMSG;
    buf_fini(&in);
    if (rc < 0)
        return rc;
    struct control_out out;
    control_out_init(&out, fd);
    rc = run(cfg, &req, &out.out);
    /* A client that has gone does not hear it; its request was carried out or cancelled anyway. */
    (void)!control_out_exit(&out, rc);
    control_out_fini(&out);
    control_request_fini(&req);
    return rc;
}

static void wake(struct control_server *s)
{
    uint64_t one = 1;
    /* It can only fail when the counter is full, and then the reader is awake already. */
    ssize_t ignored = write(s->wake_fd, &one, sizeof one);
    (void)ignored;
}

static void *connection_thread(void *arg)
{
    struct slot *slot = arg;
    struct control_server *s = slot->server;
    int rc = control_serve(&s->cfg, slot->fd);
    if (rc < 0 && rc != -ECONNRESET)
        log_warn("control: a request could not be read error=%d", -rc);
    pthread_mutex_lock(&s->lock);
    close(slot->fd);
    slot->fd = -1;
    slot->state = SLOT_FINISHED;
    pthread_mutex_unlock(&s->lock);
    wake(s);
    tree_thread_done();
    return NULL;
}

static bool peer_allowed(int fd)
{
    struct ucred peer;
    socklen_t n = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0)
        return false;
    return peer.uid == geteuid() || peer.uid == 0;
}

/* Joins what has ended; returns a free slot or NULL. */
static struct slot *reap(struct control_server *s)
{
    struct slot *found = NULL;
    for (size_t i = 0; i < ARRAY_N(s->slots); i++) {
        struct slot *slot = &s->slots[i];
        pthread_mutex_lock(&s->lock);
        enum slot_state state = slot->state;
        pthread_mutex_unlock(&s->lock);
        /* Past FINISHED a thread takes the lock no more: this join does not wait for work. */
        if (state == SLOT_FINISHED) {
            pthread_join(slot->thread, NULL);
            slot->state = SLOT_FREE;
        }
        if (state != SLOT_RUNNING)
            found = slot;
    }
    return found;
}

static void refuse(int fd, const char *why)
{
    struct control_out out;
    control_out_init(&out, fd);
    out_error(&out.out, "%s", why);
    (void)!control_out_exit(&out, VERB_FAILED);
    control_out_fini(&out);
}

static void accept_one(struct control_server *s)
{
    int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    if (!peer_allowed(fd)) {
        close(fd);
        return;
    }
    struct slot *slot = reap(s);
    if (slot == NULL) {
        refuse(fd, "mount process: too many commands at once; try again when one has ended");
        close(fd);
        return;
    }
    slot->fd = fd;
    slot->state = SLOT_RUNNING;
    int rc = pthread_create(&slot->thread, NULL, connection_thread, slot);
    if (rc != 0) {
        slot->state = SLOT_FREE;
        slot->fd = -1;
        refuse(fd, "mount process: no more threads; try again later");
        close(fd);
    }
}

static void *accept_thread(void *arg)
{
    struct control_server *s = arg;
    for (;;) {
        struct pollfd p[] = {{.fd = s->listen_fd, .events = POLLIN},
                             {.fd = s->wake_fd, .events = POLLIN}};
        if (poll(p, ARRAY_N(p), -1) < 0)
            continue;
        pthread_mutex_lock(&s->lock);
        bool stopping = s->stopping;
        pthread_mutex_unlock(&s->lock);
        if (stopping)
            return NULL;
        if (p[1].revents != 0) {
            uint64_t count;
            ssize_t ignored = read(s->wake_fd, &count, sizeof count);
            (void)ignored;
            (void)reap(s);
        }
        if (p[0].revents != 0)
            accept_one(s);
    }
}

/* The address by way of the directory's descriptor: the length of its path does not count. */
static int address_of(int dir_fd, const char *name, struct sockaddr_un *ret, struct err *err)
{
    ret->sun_family = AF_UNIX;
    int n = snprintf(ret->sun_path, sizeof ret->sun_path, "/proc/self/fd/%d/%s", dir_fd, name);
    if (n < 0 || (size_t)n >= sizeof ret->sun_path)
        return err_set(err, -ENAMETOOLONG, "control socket: the name is too long; use --name");
    return 0;
}

static int bind_socket(struct control_server *s, struct err *err)
{
    struct sockaddr_un addr = {0};
    int rc = address_of(s->dir_fd, s->name, &addr, err);
    if (rc < 0)
        return rc;
    s->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->listen_fd < 0)
        return err_set(err, -errno, "control socket: %s", strerror(errno));
    if (unlinkat(s->dir_fd, s->name, 0) < 0 && errno != ENOENT)
        return err_set(err, -errno, "control socket: the old one stays: %s", strerror(errno));
    /* Linux gives the file the mode of the socket: it is never open to others, not for a moment. */
    if (fchmod(s->listen_fd, 0600) < 0 ||
        bind(s->listen_fd, (struct sockaddr *)&addr, sizeof addr) < 0)
        return err_set(err, -errno, "control socket: %s", strerror(errno));
    if (listen(s->listen_fd, CONTROL_CONNECTIONS_MAX) < 0) {
        rc = err_set(err, -errno, "control socket: %s", strerror(errno));
        unlinkat(s->dir_fd, s->name, 0);
        return rc;
    }
    return 0;
}

static void server_free(struct control_server *s)
{
    if (s->listen_fd >= 0)
        close(s->listen_fd);
    if (s->wake_fd >= 0)
        close(s->wake_fd);
    if (s->dir_fd >= 0)
        close(s->dir_fd);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static struct control_server *server_new(const struct control_server_config *cfg)
{
    struct control_server *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->cfg = *cfg;
    s->listen_fd = -1;
    pthread_mutex_init(&s->lock, NULL);
    for (size_t i = 0; i < ARRAY_N(s->slots); i++)
        s->slots[i] = (struct slot){.server = s, .fd = -1};
    s->dir_fd = fcntl(cfg->dir_fd, F_DUPFD_CLOEXEC, 3);
    s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    snprintf(s->name, sizeof s->name, "%s", cfg->name);
    return s;
}

/* Its threads take no signals: those belong to the thread that serves the mount. */
static int start_thread(struct control_server *s)
{
    sigset_t all;
    sigset_t old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&s->thread, NULL, accept_thread, s);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return -rc;
}

int control_server_start(const struct control_server_config *cfg, struct control_server **ret,
                         struct err *err)
{
    assert(cfg->find != NULL && strchr(cfg->name, '/') == NULL);
    struct control_server *s = server_new(cfg);
    if (s == NULL)
        return err_set(err, -ENOMEM, "control socket: out of memory");
    int rc = 0;
    if (s->dir_fd < 0 || s->wake_fd < 0)
        rc = err_set(err, -EMFILE, "control socket: no more descriptors");
    if (rc == 0)
        rc = bind_socket(s, err);
    if (rc == 0) {
        rc = start_thread(s);
        if (rc < 0) {
            err_set(err, rc, "control socket: no more threads: %s", strerror(-rc));
            unlinkat(s->dir_fd, s->name, 0);
        }
    }
    if (rc < 0) {
        server_free(s);
        return rc;
    }
    *ret = s;
    return 0;
}

void control_server_stop(struct control_server *s)
{
    if (s == NULL)
        return;
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    pthread_mutex_unlock(&s->lock);
    wake(s);
    pthread_join(s->thread, NULL);
    unlinkat(s->dir_fd, s->name, 0);
    for (size_t i = 0; i < ARRAY_N(s->slots); i++) {
        struct slot *slot = &s->slots[i];
        pthread_mutex_lock(&s->lock);
        enum slot_state state = slot->state;
        if (slot->fd >= 0)
            shutdown(slot->fd, SHUT_RDWR);
        pthread_mutex_unlock(&s->lock);
        if (state != SLOT_FREE)
            pthread_join(slot->thread, NULL);
    }
    server_free(s);
}
