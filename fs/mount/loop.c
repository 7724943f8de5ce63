#include "fs/mount/loop.h"

#define FUSE_USE_VERSION 312
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "fs/mount/keeper.h"

enum {
    THREADS = 6,           /* at most KEEPER_SERVERS_MAX */
    SPIN_NS = 40000,       /* how long the leader asks again before it sleeps */
    LONG_BYTES = 64 << 10, /* a read or write of this size is long */
    STOP_MS = 10,          /* between two calls to end a wait */
    WAKE_SIGNAL = SIGUSR1,
};

struct loop {
    struct fuse_session *se;
    const struct loop_hooks *hooks;
    struct keeper *keeper; /* NULL: the leader spins instead */
    pthread_mutex_t lead;  /* held by the leader, where there is no keeper */
    pthread_t threads[THREADS];
    unsigned n;
    _Atomic unsigned running;
    _Atomic int error;
    int done_fd;
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* The next request, as leader: its length, 0 at the end, or a negative errno. */
static int receive(struct loop *l, struct fuse_buf *buf)
{
    uint64_t since = 0;
    while (!fuse_session_exited(l->se)) {
        int n = fuse_session_receive_buf(l->se, buf); /* waits where there is a keeper */
        if (n != -EAGAIN && n != -EINTR)
            return n;
        uint64_t now = now_ns();
        if (since == 0)
            since = now;
        /* Not by sched_yield(): on a busy machine that gives a whole time slice away. */
        if (now - since < SPIN_NS) {
            keeper_pause();
            continue;
        }
        struct pollfd p = {.fd = fuse_session_fd(l->se), .events = POLLIN};
        if (l->keeper == NULL && poll(&p, 1, -1) < 0 && errno != EINTR)
            return -errno;
        since = 0;
    }
    return 0;
}

/* The head of a request; of what is no request, one that says nothing. */
static struct fuse_in_header head_of(const struct fuse_buf *buf)
{
    struct fuse_in_header h = {0};
    if (buf->size >= sizeof h)
        memcpy(&h, buf->mem, sizeof h);
    return h;
}

/* Will it wait for a disk, or move many bytes? */
static bool is_long(const struct loop *l, const struct fuse_in_header *h)
{
    switch (h->opcode) {
    case FUSE_FSYNC:
    case FUSE_FSYNCDIR:
        return !l->hooks->no_disk;
    case FUSE_READ:
    case FUSE_FALLOCATE:
    case FUSE_COPY_FILE_RANGE:
    case FUSE_LSEEK:
    case FUSE_READDIR:
    case FUSE_READDIRPLUS:
        return true;
    default:
        return h->len >= LONG_BYTES;
    }
}

/* Several of these come at a time when a file is read ahead: they are answered side by side. */
static bool reads_much(const struct fuse_in_header *h, const struct fuse_buf *buf)
{
    struct fuse_read_in in;
    if (h->opcode != FUSE_READ || buf->size < sizeof *h + sizeof in)
        return false;
    memcpy(&in, (const uint8_t *)buf->mem + sizeof *h, sizeof in);
    return in.size >= LONG_BYTES;
}

/* It takes much longer than what wakes who answers it. */
static bool writes_much(const struct fuse_in_header *h)
{
    return h->opcode == FUSE_WRITE && h->len >= LONG_BYTES;
}

/*
 * Beside a keeper all threads wait in the kernel, which wakes one for each request. Otherwise one
 * leads: the others would sleep where asking again is what saves the wait.
 */
static void lead(struct loop *l)
{
    if (l->keeper == NULL)
        pthread_mutex_lock(&l->lead);
}

static void lead_no_more(struct loop *l)
{
    if (l->keeper == NULL)
        pthread_mutex_unlock(&l->lead);
}

static void *serve(void *arg)
{
    struct loop *l = arg;
    struct fuse_buf buf = {0};
    keeper_join(l->keeper);
    lead(l);
    while (!fuse_session_exited(l->se)) {
        int n = receive(l, &buf);
        if (n <= 0) {
            if (n < 0 && n != -ENODEV)
                atomic_store(&l->error, n);
            fuse_session_exit(l->se);
            break;
        }
        struct fuse_in_header h = head_of(&buf);
        if (!writes_much(&h))
            keeper_note(l->keeper);
        if (reads_much(&h, &buf))
            keeper_yield(l->keeper);
        bool hand_over = is_long(l, &h);
        if (hand_over)
            lead_no_more(l);
        if (l->hooks->before != NULL)
            l->hooks->before(l->hooks->arg, buf.mem, buf.size);
        fuse_session_process_buf(l->se, &buf);
        if (l->hooks->after != NULL)
            l->hooks->after(l->hooks->arg);
        if (hand_over)
            lead(l);
    }
    lead_no_more(l);
    free(buf.mem);
    if (l->hooks->thread_done != NULL)
        l->hooks->thread_done();
    if (atomic_fetch_sub(&l->running, 1) == 1)
        eventfd_write(l->done_fd, 1);
    return NULL;
}

static int do_not_wait(struct fuse_session *se)
{
    int fd = fuse_session_fd(se);
    return fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0 ? -errno : 0;
}

/* Nothing but the end of the wait that it comes in. */
static void on_wake(int number)
{
    (void)number;
}

int loop_start(struct fuse_session *se, const struct loop_hooks *hooks, struct loop **ret,
               struct err *err)
{
    struct loop *l = calloc(1, sizeof *l);
    if (l == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    l->se = se;
    l->hooks = hooks;
    l->done_fd = eventfd(0, EFD_CLOEXEC);
    pthread_mutex_init(&l->lead, NULL);
    atomic_store(&l->running, THREADS);
    int rc = l->done_fd < 0 ? -errno : keeper_start(&l->keeper, err);
    if (rc == 0 && l->keeper == NULL)
        rc = do_not_wait(se);
    sigaction(WAKE_SIGNAL, &(struct sigaction){.sa_handler = on_wake}, NULL);
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
    /* Again and again: it may come before the wait that it is to end. */
    struct pollfd done = {.fd = l->done_fd, .events = POLLIN};
    do
        for (unsigned i = 0; i < l->n; i++)
            pthread_kill(l->threads[i], WAKE_SIGNAL);
    while (atomic_load(&l->running) > 0 && poll(&done, 1, STOP_MS) <= 0);
}

int loop_fd(const struct loop *l)
{
    return l->done_fd;
}

int loop_join(struct loop *l)
{
    for (unsigned i = 0; i < l->n; i++)
        pthread_join(l->threads[i], NULL);
    keeper_stop(l->keeper);
    int rc = atomic_load(&l->error);
    if (l->done_fd >= 0)
        close(l->done_fd);
    pthread_mutex_destroy(&l->lead);
    free(l);
    return rc;
}
