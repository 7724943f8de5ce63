#include "sync/net/lookup.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Shared by the loop and the thread; the last of them frees it. */
struct lookup {
    atomic_int owners;
    int done_fd; /* the thread writes to it when error and list are set */
    int error;
    struct addrinfo *list;
    /* of the loop: */
    struct net_watch *watch;
    lookup_fn fn;
    void *arg;
    char host[];
};

static void drop(struct lookup *l)
{
    if (atomic_fetch_sub(&l->owners, 1) != 1)
        return;
    if (l->list != NULL)
        freeaddrinfo(l->list);
    close(l->done_fd);
    free(l);
}

static void *resolve(void *arg)
{
    struct lookup *l = arg;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    l->error = getaddrinfo(l->host, NULL, &hints, &l->list);
    uint64_t one = 1;
    ssize_t n = write(l->done_fd, &one, sizeof one); /* an empty counter takes it */
    (void)n;
    drop(l);
    return NULL;
}

static void on_done(uint32_t events, void *arg)
{
    (void)events;
    struct lookup *l = arg;
    uint64_t n;
    if (read(l->done_fd, &n, sizeof n) < 0)
        return;
    net_watch_free(l->watch);
    l->fn(l->error, l->list, l->arg);
    drop(l);
}

/* Signals stay with the thread that waits for them. */
static int start_thread(struct lookup *l)
{
    sigset_t all;
    sigset_t before;
    pthread_attr_t attr;
    pthread_t thread;
    if (pthread_attr_init(&attr) != 0)
        return -ENOMEM;
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&thread, &attr, resolve, l);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return -rc;
}

int lookup_start(struct net_loop *loop, const char *host, lookup_fn fn, void *arg,
                 struct lookup **ret)
{
    size_t n = strlen(host) + 1;
    struct lookup *l = calloc(1, sizeof *l + n);
    if (l == NULL)
        return -ENOMEM;
    l->fn = fn;
    l->arg = arg;
    memcpy(l->host, host, n);
    atomic_init(&l->owners, 2);
    l->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int rc =
        l->done_fd < 0 ? -errno : net_watch_new(loop, l->done_fd, EPOLLIN, on_done, l, &l->watch);
    if (rc == 0)
        rc = start_thread(l);
    if (rc < 0) {
        net_watch_free(l->watch);
        if (l->done_fd >= 0)
            close(l->done_fd);
        free(l);
        return rc;
    }
    *ret = l;
    return 0;
}

void lookup_cancel(struct lookup *l)
{
    if (l == NULL)
        return;
    net_watch_free(l->watch);
    drop(l);
}
