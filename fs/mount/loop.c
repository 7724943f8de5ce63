#include "fs/mount/loop.h"

#define FUSE_USE_VERSION 312
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "fs/mount/device.h"
#include "fs/mount/ll.h"

enum {
    THREADS = 6,
    SPIN_NS = 40000,       /* how long the leader asks again before it sleeps */
    LONG_BYTES = 64 << 10, /* a write of this size is long */
};

struct loop {
    struct fuse_session *se;
    pthread_mutex_t lead; /* held by the leader */
    pthread_t threads[THREADS];
    unsigned n;
    _Atomic unsigned running;
    _Atomic int error;
    int done_fd, stop_fd;
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void pause_cpu(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* The next request, as leader: its length, 0 when unmounted, or a negative errno. */
static int receive(struct loop *l, struct fuse_buf *buf)
{
    uint64_t since = 0;
    for (;;) {
        int n = fuse_session_receive_buf(l->se, buf);
        if (n == -EINTR)
            continue;
        if (n != -EAGAIN)
            return n;
        uint64_t now = now_ns();
        if (since == 0)
            since = now;
        /* Not by sched_yield(): on a busy machine that gives a whole time slice away. */
        if (now - since < SPIN_NS) {
            pause_cpu();
            continue;
        }
        struct pollfd p[2] = {{.fd = fuse_session_fd(l->se), .events = POLLIN},
                              {.fd = l->stop_fd, .events = POLLIN}};
        if (poll(p, ARRAY_N(p), -1) < 0 && errno != EINTR)
            return -errno;
        if (p[1].revents != 0)
            return 0;
        since = 0;
    }
}

/* Will it wait for a disk, or move many bytes? */
static bool is_long(const struct fuse_buf *buf)
{
    struct fuse_in_header h;
    if (buf->size < sizeof h)
        return false;
    memcpy(&h, buf->mem, sizeof h);
    switch (h.opcode) {
    case FUSE_FSYNC:
    case FUSE_FSYNCDIR:
    case FUSE_READ:
    case FUSE_FALLOCATE:
    case FUSE_COPY_FILE_RANGE:
    case FUSE_LSEEK:
    case FUSE_READDIR:
    case FUSE_READDIRPLUS:
        return true;
    default:
        return h.len >= LONG_BYTES;
    }
}

static void *serve(void *arg)
{
    struct loop *l = arg;
    struct fuse_buf buf = {0};
    pthread_mutex_lock(&l->lead);
    while (!fuse_session_exited(l->se)) {
        int n = receive(l, &buf);
        if (n <= 0) {
            if (n < 0 && n != -ENODEV)
                atomic_store(&l->error, n);
            fuse_session_exit(l->se);
            break;
        }
        bool hand_over = is_long(&buf);
        if (hand_over)
            pthread_mutex_unlock(&l->lead);
        device_look(buf.mem, buf.size);
        fuse_session_process_buf(l->se, &buf);
        if (hand_over)
            pthread_mutex_lock(&l->lead);
    }
    pthread_mutex_unlock(&l->lead);
    free(buf.mem);
    ll_thread_done();
    if (atomic_fetch_sub(&l->running, 1) == 1)
        eventfd_write(l->done_fd, 1);
    return NULL;
}

int loop_start(struct fuse_session *se, struct loop **ret, struct err *err)
{
    int fd = fuse_session_fd(se);
    if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
        return err_set(err, -errno, "preparing the FUSE device: %s", strerror(errno));
    struct loop *l = calloc(1, sizeof *l);
    if (l == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    l->se = se;
    l->done_fd = eventfd(0, EFD_CLOEXEC);
    l->stop_fd = eventfd(0, EFD_CLOEXEC);
    pthread_mutex_init(&l->lead, NULL);
    atomic_store(&l->running, THREADS);
    int rc = l->done_fd < 0 || l->stop_fd < 0 ? -errno : 0;
    while (rc == 0 && l->n < THREADS) {
        rc = -pthread_create(&l->threads[l->n], NULL, serve, l);
        l->n += rc == 0;
    }
    if (rc < 0) {
        atomic_fetch_sub(&l->running, THREADS - l->n);
        loop_stop(l);
        loop_join(l);
        return err_set(err, rc, "starting threads: %s", strerror(-rc));
    }
    *ret = l;
    return 0;
}

void loop_stop(struct loop *l)
{
    fuse_session_exit(l->se);
    eventfd_write(l->stop_fd, 1);
}

int loop_fd(const struct loop *l)
{
    return l->done_fd;
}

int loop_join(struct loop *l)
{
    for (unsigned i = 0; i < l->n; i++)
        pthread_join(l->threads[i], NULL);
    int rc = atomic_load(&l->error);
    if (l->done_fd >= 0)
        close(l->done_fd);
    if (l->stop_fd >= 0)
        close(l->stop_fd);
    pthread_mutex_destroy(&l->lead);
    free(l);
    return rc;
}
