/*
 * The library's times are those of the clock on the wall. When that is put forward what is due
 * happens early, and when it is put back late: a packet more, or a peer that is found later.
 */
#include "sync/net/libp2p/mdns_poll.h"

#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "sync/net/libp2p/limits.h"
#include "sync/net/libp2p/mdns_packet.h"

enum { US_PER_S = 1000000, US_PER_MS = 1000 };

struct AvahiWatch {
    struct net_watch *watch;
    int fd;
    bool packets; /* it is a UDP socket */
    AvahiWatchEvent now;
    AvahiWatchCallback fn;
    void *user;
};

struct AvahiTimeout {
    struct net_timer *timer;
    AvahiTimeoutCallback fn;
    void *user;
};

/* ---- descriptors -------------------------------------------------------------------------------
 */

/* Looks at the next packet; one that is not good is gone then. This takes an error off, too. */
static bool next_is_good(int fd)
{
    uint8_t packet[P2P_MDNS_PACKET];
    ssize_t n = recv(fd, packet, sizeof packet, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
    if (n < 0)
        return false;
    bool good = (size_t)n <= sizeof packet && mdns_packet_good(bytes_of(packet, (size_t)n));
    if (!good)
        (void)recv(fd, packet, 0, MSG_DONTWAIT);
    return good;
}

/* An error is told as something to read: reading says what it is, and the library, which waits for
 * nothing else, insists on that. */
static void on_watch(uint32_t events, void *arg)
{
    AvahiWatch *w = arg;
    if ((events & (EPOLLIN | EPOLLERR)) == 0 || (w->packets && !next_is_good(w->fd)))
        return;
    w->now = AVAHI_WATCH_IN;
    w->fn(w, w->fd, AVAHI_WATCH_IN, w->user);
}

static uint32_t events_of(AvahiWatchEvent event)
{
    return ((event & AVAHI_WATCH_IN) != 0 ? EPOLLIN : 0U) |
           ((event & AVAHI_WATCH_OUT) != 0 ? EPOLLOUT : 0U);
}

static bool is_udp(int fd)
{
    int domain = 0;
    socklen_t n = sizeof domain;
    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) == 0 &&
           (domain == AF_INET || domain == AF_INET6);
}

static AvahiWatch *watch_new(const AvahiPoll *api, int fd, AvahiWatchEvent event,
                             AvahiWatchCallback callback, void *userdata)
{
    AvahiWatch *w = calloc(1, sizeof *w);
    if (w == NULL)
        return NULL;
    *w = (AvahiWatch){.fd = fd, .packets = is_udp(fd), .fn = callback, .user = userdata};
    if (net_watch_new(api->userdata, fd, events_of(event), on_watch, w, &w->watch) < 0) {
        free(w);
        return NULL;
    }
    return w;
}

static void watch_update(AvahiWatch *w, AvahiWatchEvent event)
{
    net_watch_want(w->watch, events_of(event));
}

static AvahiWatchEvent watch_get_events(AvahiWatch *w)
{
    return w->now;
}

static void watch_free(AvahiWatch *w)
{
    net_watch_free(w->watch);
    free(w);
}

/* ---- times -------------------------------------------------------------------------------------
 */

static void on_timer(void *arg)
{
    AvahiTimeout *t = arg;
    t->fn(t, t->user);
}

/* Milliseconds until then, never too few. */
static uint64_t ms_until(const struct timeval *tv)
{
    struct timeval now;
    gettimeofday(&now, NULL);
    int64_t us = ((int64_t)tv->tv_sec - now.tv_sec) * US_PER_S + (tv->tv_usec - now.tv_usec);
    return us <= 0 ? 0 : ((uint64_t)us + US_PER_MS - 1) / US_PER_MS;
}

static void timeout_update(AvahiTimeout *t, const struct timeval *tv)
{
    if (tv != NULL)
        net_timer_set(t->timer, ms_until(tv));
    else
        net_timer_cancel(t->timer);
}

static AvahiTimeout *timeout_new(const AvahiPoll *api, const struct timeval *tv,
                                 AvahiTimeoutCallback callback, void *userdata)
{
    AvahiTimeout *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    *t = (AvahiTimeout){.fn = callback, .user = userdata};
    if (net_timer_new(api->userdata, on_timer, t, &t->timer) < 0) {
        free(t);
        return NULL;
    }
    timeout_update(t, tv);
    return t;
}

static void timeout_free(AvahiTimeout *t)
{
    net_timer_free(t->timer);
    free(t);
}

void mdns_poll_init(AvahiPoll *ret, struct net_loop *l)
{
    *ret = (AvahiPoll){.userdata = l,
                       .watch_new = watch_new,
                       .watch_update = watch_update,
                       .watch_get_events = watch_get_events,
                       .watch_free = watch_free,
                       .timeout_new = timeout_new,
                       .timeout_update = timeout_update,
                       .timeout_free = timeout_free};
}
