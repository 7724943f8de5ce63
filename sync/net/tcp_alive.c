#include "sync/net/tcp_alive.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

enum {
    IDLE_S = 1, /* without a byte, then the kernel asks */
    INTERVAL_S = 1,
    PROBES = 3,     /* of which a short outage, or a line that loses some, does not swallow all */
    LOOK_MS = 1000, /* after the first byte: some retransmissions, also on a slow line */
    FULL_PROBES = 3 /* to a peer that had no room: so many without an answer */
};

_Static_assert(1000 * (IDLE_S + PROBES * INTERVAL_S) == TCP_ALIVE_MS, "either way");

struct tcp_alive {
    int fd;
    struct net_timer *timer;
    bool looking; /* it is set */
    void (*gone)(void *arg);
    void *arg;
};

/* While something is under way, or waits for the peer to have room, the kernel does not ask of
 * itself; to one without room it sends probes, which a computer that is there answers. */
static void look(void *arg)
{
    struct tcp_alive *a = arg;
    struct tcp_info info;
    socklen_t n = sizeof info;
    int waiting = 0;
    a->looking = getsockopt(a->fd, IPPROTO_TCP, TCP_INFO, &info, &n) == 0 &&
                 ioctl(a->fd, SIOCOUTQ, &waiting) == 0 && waiting > 0;
    if (!a->looking)
        return;
    if (info.tcpi_last_ack_recv < TCP_ALIVE_MS)
        net_timer_set(a->timer, TCP_ALIVE_MS - info.tcpi_last_ack_recv);
    else if (info.tcpi_unacked > 0 || info.tcpi_probes >= FULL_PROBES)
        a->gone(a->arg);
    else
        net_timer_set(a->timer, LOOK_MS);
}

/* A socket that cannot be asked for it is no TCP, and is looked after by pings alone. */
static void let_kernel_ask(int fd)
{
    static const struct {
        int level, name, value;
    } options[] = {{IPPROTO_TCP, TCP_KEEPIDLE, IDLE_S},
                   {IPPROTO_TCP, TCP_KEEPINTVL, INTERVAL_S},
                   {IPPROTO_TCP, TCP_KEEPCNT, PROBES},
                   {SOL_SOCKET, SO_KEEPALIVE, 1}};
    for (size_t i = 0; i < ARRAY_N(options); i++)
        (void)setsockopt(fd, options[i].level, options[i].name, &options[i].value,
                         sizeof options[i].value);
}

int tcp_alive_new(struct net_loop *l, int fd, void (*gone)(void *arg), void *arg,
                  struct tcp_alive **ret)
{
    struct tcp_alive *a = malloc(sizeof *a);
    if (a == NULL)
        return -ENOMEM;
    *a = (struct tcp_alive){.fd = fd, .gone = gone, .arg = arg};
    int rc = net_timer_new(l, look, a, &a->timer);
    if (rc < 0) {
        free(a);
        return rc;
    }
    let_kernel_ask(fd);
    *ret = a;
    return 0;
}

void tcp_alive_sent(struct tcp_alive *a)
{
    if (a->looking)
        return;
    a->looking = true;
    net_timer_set(a->timer, LOOK_MS);
}

void tcp_alive_free(struct tcp_alive *a)
{
    if (a == NULL)
        return;
    net_timer_free(a->timer);
    free(a);
}
