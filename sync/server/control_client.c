/* The asking side of a server's control socket. */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "sync/net/unix_frames.h"
#include "sync/server/control.h"

/* A server answers at once, but for the removal of much data, of which nobody knows how long. */
static int connect_to(const char *dir)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return -errno;
    snprintf(a.sun_path, sizeof a.sun_path, "/proc/self/fd/%d/control.sock", dir_fd);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc = fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) < 0 ? -errno : fd;
    if (rc < 0 && fd >= 0)
        close(fd);
    close(dir_fd);
    return rc;
}

static int is_own(int fd)
{
    struct ucred peer;
    socklen_t n = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 && peer.uid == geteuid();
}

static int send_all(int fd, struct bytes v)
{
    while (v.n > 0) {
        ssize_t n = send(fd, v.p, v.n, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -ECONNRESET;
        v.p += n;
        v.n -= (size_t)n;
    }
    return 0;
}

static int receive_all(int fd, uint8_t *to, size_t n)
{
    while (n > 0) {
        ssize_t k = recv(fd, to, n, 0);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return -ECONNRESET;
        to += k;
        n -= (size_t)k;
    }
    return 0;
}

static int exchange(int fd, const Persist__AdminRequest *request, struct buf *ret)
{
    struct buf frame = {0};
    uint8_t length[4];
    buf_put_u32(&frame, (uint32_t)persist__admin_request__get_packed_size(request));
    int rc = srv_admin_encode(request, &frame);
    if (rc == 0)
        rc = send_all(fd, buf_bytes(&frame));
    buf_fini(&frame);
    if (rc == 0)
        rc = receive_all(fd, length, sizeof length);
    if (rc < 0)
        return rc;
    if (get_u32(length) > UNIX_FRAME_MAX)
        return -EBADMSG;
    rc = buf_resize(ret, get_u32(length));
    return rc < 0 ? rc : receive_all(fd, ret->p, ret->n);
}

static int take_reply(struct bytes in, struct buf *out, struct err *err)
{
    Persist__AdminReply *r = persist__admin_reply__unpack(NULL, in.n, in.p);
    if (r == NULL)
        return err_set(err, -EBADMSG, "server: its answer is not understood");
    int rc = 0;
    if (r->error != 0)
        rc = err_set(err, r->error < 4096 ? -(int)r->error : -EIO, "%s", r->text);
    else
        buf_put(out, r->out.data, r->out.len);
    if (r->out.data != NULL)
        sodium_memzero(r->out.data, r->out.len);
    persist__admin_reply__free_unpacked(r, NULL);
    return rc == 0 && buf_status(out) < 0 ? err_set(err, -ENOMEM, "out of memory") : rc;
}

int srv_control_ask(const char *dir, const Persist__AdminRequest *request, bool *ret_served,
                    struct buf *out, struct err *err)
{
    int fd = connect_to(dir);
    *ret_served = fd >= 0;
    if (fd < 0) /* what is wrong with the directory is for who opens it to say */
        return fd == -ENOENT || fd == -ENOTDIR || fd == -ECONNREFUSED
                   ? 0
                   : err_set(err, fd, "%s/control.sock: %s", dir, strerror(-fd));
    struct buf reply = {0};
    int rc = is_own(fd) ? exchange(fd, request, &reply) : -EPERM;
    if (rc == -EPERM)
        rc = err_set(err, rc, "%s: is served by another user; ask as that one", dir);
    else if (rc == -EMSGSIZE)
        rc = err_set(err, -EINVAL, "request: a name or label is too long; choose a shorter one");
    else if (rc < 0)
        rc = err_set(err, rc, "server: went away before it answered; see its log");
    else
        rc = take_reply(buf_bytes(&reply), out, err);
    if (reply.p != NULL)
        sodium_memzero(reply.p, reply.cap);
    buf_fini(&reply);
    close(fd);
    return rc;
}
