#include "sync/cli/local_call.h"

#include <errno.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "fs/space/verb.h"
#include "proto/frame.h"

enum { LENGTH_BYTES = 4 };

static void wiped_fini(struct buf *b)
{
    if (b->p != NULL)
        sodium_memzero(b->p, b->cap);
    buf_fini(b);
}

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int check_peer(int fd, struct err *err)
{
    struct ucred peer;
    socklen_t n = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0)
        return err_set(err, -errno, "sync process: %s", strerror(errno));
    if (peer.uid != geteuid())
        return err_set(err, -EPERM, "sync process: runs as user %u, not as this one",
                       (unsigned)peer.uid);
    return 0;
}

int local_connect(int run_fd, int *ret_fd, struct err *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    snprintf(addr.sun_path, sizeof addr.sun_path, "/proc/self/fd/%d/" LOCAL_SOCKET, run_fd);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_set(err, -errno, "sync process: %s", strerror(errno));
    int rc = 0;
    if (connect(fd, (struct sockaddr *)&addr, sizeof addr) < 0)
        rc = errno == ENOENT || errno == ECONNREFUSED
                 ? err_set(err, -errno, "sync process: does not run; 'persist daemon' starts it")
                 : err_set(err, -errno, "sync process: %s", strerror(errno));
    if (rc == 0)
        rc = check_peer(fd, err);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    *ret_fd = fd;
    return 0;
}

/* Waits until @events are possible. */
static int wait_for(int fd, short events, uint64_t by_ms)
{
    for (;;) {
        uint64_t now = now_ms();
        struct pollfd p = {.fd = fd, .events = events};
        int n = poll(&p, 1, now < by_ms ? (int)min_u64(by_ms - now, INT32_MAX) : 0);
        if (n > 0)
            return 0;
        if (n == 0)
            return -ETIMEDOUT;
        if (errno != EINTR)
            return -errno;
    }
}

static int send_all(int fd, struct bytes v, uint64_t by_ms)
{
    while (v.n > 0) {
        ssize_t n = send(fd, v.p, v.n, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return -ECONNRESET;
        int rc = n < 0 ? wait_for(fd, POLLOUT, by_ms) : 0;
        if (rc < 0)
            return rc;
        v.p += n > 0 ? n : 0;
        v.n -= n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int receive(int fd, uint8_t *to, size_t n, uint64_t by_ms)
{
    while (n > 0) {
        int rc = wait_for(fd, POLLIN, by_ms);
        if (rc < 0)
            return rc;
        ssize_t k = recv(fd, to, n, 0);
        if (k == 0 || (k < 0 && errno != EAGAIN && errno != EINTR))
            return -ECONNRESET;
        to += k > 0 ? k : 0;
        n -= k > 0 ? (size_t)k : 0;
    }
    return 0;
}

int local_receive(int fd, unsigned timeout_ms, Persist__Local **ret)
{
    CLEANUP(wiped_fini) struct buf in = {0};
    uint8_t length[LENGTH_BYTES];
    uint64_t by_ms = now_ms() + timeout_ms;
    int rc = receive(fd, length, sizeof length, by_ms);
    if (rc < 0)
        return rc;
    if (get_u32(length) > FRAME_LOCAL_MAX)
        return -EBADMSG;
    if (buf_resize(&in, get_u32(length)) < 0)
        return -ENOMEM;
    rc = receive(fd, in.p, in.n, by_ms);
    return rc < 0 ? rc : frame_local_decode(buf_bytes(&in), ret);
}

int local_receive_reply(int fd, unsigned timeout_ms, Persist__Local **ret)
{
    int rc = local_receive(fd, timeout_ms, ret);
    if (rc == 0 && (*ret)->kind_case != PERSIST__LOCAL__KIND_REPLY) {
        frame_local_free(*ret);
        rc = -EBADMSG;
    }
    return rc;
}

int local_send(int fd, const Persist__Local *f, unsigned timeout_ms)
{
    CLEANUP(wiped_fini) struct buf out = {0};
    /* One allocation, so that no copy of a token stays behind in the heap. */
    if (buf_reserve(&out, LENGTH_BYTES + persist__local__get_packed_size(f)) < 0)
        return -ENOMEM;
    buf_put_u32(&out, 0);
    int rc = frame_local_encode(f, &out);
    if (rc < 0)
        return rc;
    put_u32(out.p, (uint32_t)(out.n - LENGTH_BYTES));
    return send_all(fd, buf_bytes(&out), now_ms() + timeout_ms);
}

int local_fail(int rc, struct err *err)
{
    if (rc == -ETIMEDOUT)
        return err_set(err, rc, "sync process: does not answer; see log/sync.log");
    if (rc == -ECONNRESET)
        return err_set(err, rc, "sync process: went away; see log/sync.log");
    return err_set(err, rc, "sync process: %s", strerror(-rc));
}

int local_call(int run_fd, const Persist__Local *request, unsigned timeout_ms,
               Persist__Local **ret_reply, struct err *err)
{
    int fd;
    int rc = local_connect(run_fd, &fd, err);
    if (rc < 0)
        return rc;
    rc = local_send(fd, request, timeout_ms);
    if (rc == 0)
        rc = local_receive_reply(fd, timeout_ms, ret_reply);
    close(fd);
    return rc < 0 ? local_fail(rc, err) : 0;
}

int local_error_of(uint32_t status)
{
    switch (status) {
    case VERB_USAGE:
        return -EINVAL;
    case VERB_NOT_FOUND:
        return -ENOENT;
    case VERB_NOT_ALLOWED:
        return -EACCES;
    case VERB_UNREACHABLE:
        return -ENOTCONN;
    default:
        return -EIO;
    }
}

int local_ask(int run_fd, const Persist__Local *request, Persist__Local **ret_reply,
              struct err *err)
{
    Persist__Local *f;
    int rc = local_call(run_fd, request, LOCAL_CALL_MS, &f, err);
    if (rc < 0)
        return rc;
    if (f->reply->status != VERB_OK) {
        rc = err_set(err, local_error_of(f->reply->status), "%s", f->reply->error);
        frame_local_free(f);
        return rc;
    }
    *ret_reply = f;
    return 0;
}
