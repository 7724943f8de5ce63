/* The client side of the control socket. */
#include "fs/mount/control.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { READ_BYTES = 64 * 1024 };

/* Only a server that is this user or root may answer for a folder. */
static int check_peer(int fd, pid_t *ret_pid, struct err *err)
{
    struct ucred peer;
    socklen_t n = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0)
        return err_set(err, -errno, "mount process: %s", strerror(errno));
    if (peer.uid != geteuid() && peer.uid != 0 && geteuid() != 0)
        return err_set(err, -EPERM, "mount process: runs as another user; ask as user %u",
                       (unsigned)peer.uid);
    if (ret_pid != NULL)
        *ret_pid = peer.pid;
    return 0;
}

int control_connect(int dir_fd, const char *name, int *ret_fd, pid_t *ret_pid, struct err *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int n = snprintf(addr.sun_path, sizeof addr.sun_path, "/proc/self/fd/%d/%s", dir_fd, name);
    if (n < 0 || (size_t)n >= sizeof addr.sun_path)
        return err_set(err, -ENOENT, "mount process: no such socket");
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_set(err, -errno, "mount process: %s", strerror(errno));
    int rc = 0;
    if (connect(fd, (struct sockaddr *)&addr, sizeof addr) < 0)
        rc = err_set(err, -errno, "mount process: %s", strerror(errno));
    if (rc == 0)
        rc = check_peer(fd, ret_pid, err);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    *ret_fd = fd;
    return 0;
}

static int handle(const struct control_frame *f, struct out *out, int *ret_status)
{
    switch (f->type) {
    case CONTROL_OUT:
        return out_write(out, f->payload.p, f->payload.n) < 0 ? -ECANCELED : 0;
    case CONTROL_PROGRESS: {
        uint64_t done;
        uint64_t total;
        char label[64];
        int rc = control_get_progress(f->payload, &done, &total, label);
        if (rc == 0)
            out_progress(out, done, total, label);
        return rc;
    }
    case CONTROL_ERROR:
        out_error(out, "%.*s", (int)f->payload.n, (const char *)f->payload.p);
        return 0;
    case CONTROL_EXIT:
        if (f->payload.n != 1 || f->payload.p[0] > VERB_UNREACHABLE)
            return -EBADMSG;
        *ret_status = f->payload.p[0];
        return 1;
    case CONTROL_REQUEST:
        break;
    }
    return -EBADMSG;
}

/* Handles the whole frames in @in and removes them. 1 after EXIT. */
static int handle_all(struct buf *in, struct out *out, int *ret_status)
{
    size_t at = 0;
    int rc = 0;
    while (rc == 0) {
        struct control_frame f;
        ssize_t n = control_decode(bytes_of(in->p + at, in->n - at), &f);
        if (n <= 0) {
            rc = (int)n;
            break;
        }
        at += (size_t)n;
        rc = handle(&f, out, ret_status);
    }
    if (at > 0) {
        memmove(in->p, in->p + at, in->n - at);
        in->n -= at;
    }
    return rc;
}

static int relay_error(int rc, struct err *err)
{
    switch (rc) {
    case -EBADMSG:
        return err_set(err, rc,
                       "mount process: its answer makes no sense; unmount and mount again");
    case -ECANCELED:
        return err_set(err, rc, "output: cannot be written");
    case -ENOMEM:
        return err_set(err, rc, "answer: out of memory");
    default:
        return err_set(err, rc,
                       "mount process: ended before its answer did; if the folder was not "
                       "unmounted, see its log");
    }
}

int control_relay(int fd, struct out *out, int *ret_status, struct err *err)
{
    struct buf in = {0};
    int rc = 0;
    while (rc == 0) {
        if (buf_reserve(&in, READ_BYTES) < 0) {
            rc = -ENOMEM;
            break;
        }
        ssize_t n = recv(fd, in.p + in.n, READ_BYTES, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            rc = -ECONNRESET;
            break;
        }
        in.n += (size_t)n;
        rc = handle_all(&in, out, ret_status);
    }
    buf_fini(&in);
    return rc > 0 ? 0 : relay_error(rc, err);
}

int control_call(int fd, const struct verb_call *call, struct out *out, int *ret_status,
                 struct err *err)
{
    struct buf request = {0};
    control_put_request(&request, call);
    int rc = buf_status(&request);
    for (size_t at = 0; rc == 0 && at < request.n;) {
        ssize_t n = send(fd, request.p + at, request.n - at, MSG_NOSIGNAL);
        if (n >= 0)
            at += (size_t)n;
        else if (errno == EPIPE || errno == ECONNRESET)
            break; /* refused: what it says is still to be read */
        else if (errno != EINTR)
            rc = -ECONNRESET;
    }
    buf_fini(&request);
    return rc < 0 ? relay_error(rc, err) : control_relay(fd, out, ret_status, err);
}
