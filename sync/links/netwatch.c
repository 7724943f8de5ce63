#include "sync/links/netwatch.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    SETTLE_MS = 100, /* an address comes with its routes */
    APART_MS = 1000,
    READS = 16, /* in one turn of the loop */
    READ_BYTES = 16 * 1024
};

struct netwatch {
    int fd;
    struct net_watch *watch;
    struct net_timer *timer;
    bool set;         /* the timer */
    uint64_t told_ms; /* 0: not yet */
    void (*changed)(void *arg);
    void *arg;
};

static void on_settled(void *arg)
{
    struct netwatch *w = arg;
    w->set = false;
    w->told_ms = net_now_ms();
    w->changed(w->arg);
}

static void note(struct netwatch *w)
{
    if (w->set)
        return;
    uint64_t now = net_now_ms();
    uint64_t next = w->told_ms == 0 ? 0 : w->told_ms + APART_MS;
    w->set = true;
    net_timer_set(w->timer, max_u64(SETTLE_MS, next > now ? next - now : 0));
}

/* Whether one of the kernel's messages is of something new. */
static bool has_news(struct nlmsghdr *h, size_t n)
{
    for (; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n))
        if (h->nlmsg_type == RTM_NEWADDR || h->nlmsg_type == RTM_NEWROUTE)
            return true;
    return false;
}

static void on_messages(uint32_t events, void *arg)
{
    (void)events;
    struct netwatch *w = arg;
    union {
        struct nlmsghdr h; /* aligns the bytes */
        char b[READ_BYTES];
    } in;
    for (int i = 0; i < READS; i++) {
        struct sockaddr_nl from = {0};
        socklen_t from_n = sizeof from;
        ssize_t n = recvfrom(w->fd, in.b, sizeof in.b, 0, (struct sockaddr *)&from, &from_n);
        /* ENOBUFS: so much has changed that some of it was dropped. */
        if (n < 0 && errno == ENOBUFS)
            note(w);
        else if (n <= 0)
            return;
        else if (from.nl_pid == 0 && has_news(&in.h, (size_t)n))
            note(w);
    }
}

static int set_up(struct netwatch *w, struct net_loop *l)
{
    struct sockaddr_nl own = {.nl_family = AF_NETLINK,
                              .nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
                                           RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE};
    w->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (w->fd < 0 || bind(w->fd, (struct sockaddr *)&own, sizeof own) < 0)
        return -errno;
    int rc = net_timer_new(l, on_settled, w, &w->timer);
    return rc < 0 ? rc : net_watch_new(l, w->fd, EPOLLIN, on_messages, w, &w->watch);
}

int netwatch_new(struct net_loop *l, void (*changed)(void *arg), void *arg, struct netwatch **ret)
{
    struct netwatch *w = calloc(1, sizeof *w);
    if (w == NULL)
        return -ENOMEM;
    *w = (struct netwatch){.fd = -1, .changed = changed, .arg = arg};
    int rc = set_up(w, l);
    if (rc < 0) {
        netwatch_free(w);
        return rc;
    }
    *ret = w;
    return 0;
}

void netwatch_free(struct netwatch *w)
{
    if (w == NULL)
        return;
    net_watch_free(w->watch);
    net_timer_free(w->timer);
    if (w->fd >= 0)
        close(w->fd);
    free(w);
}
