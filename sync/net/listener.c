#include "sync/net/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ACCEPTS = 32, /* in one turn of the loop */
    BACKLOG = 1024,
    RETRY_MS = 200 /* after the process ran out of descriptors */
};

struct listener {
    int fd;
    struct net_watch *watch;
    struct net_timer *timer; /* to listen again */
    bool (*accepted)(int fd, const struct listener_peer *from, void *arg);
    void *arg;
};

/* "::ffff:192.0.2.1", which a socket of both families shows, is 192.0.2.1. */
static void name_peer(const struct sockaddr_storage *from, struct listener_peer *ret)
{
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)from;
    const struct sockaddr_in *four = (const struct sockaddr_in *)from;
    bool mapped = from->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&six->sin6_addr);
    const void *raw = from->ss_family == AF_INET ? (const void *)&four->sin_addr
                      : mapped                   ? six->sin6_addr.s6_addr + 12
                                                 : six->sin6_addr.s6_addr;
    int family = mapped ? AF_INET : from->ss_family;
    if (inet_ntop(family, raw, ret->address, sizeof ret->address) == NULL)
        ret->address[0] = '\0';
    ret->port = ntohs(from->ss_family == AF_INET ? four->sin_port : six->sin6_port);
}

static bool hand_on(struct listener *l, int fd, const struct sockaddr_storage *from)
{
    int on = 1;
    struct listener_peer peer;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    name_peer(from, &peer);
    return l->accepted(fd, &peer, l->arg);
}

static void on_connection(uint32_t events, void *arg)
{
    (void)events;
    struct listener *l = arg;
    for (int i = 0; i < ACCEPTS; i++) {
        struct sockaddr_storage from;
        socklen_t n = sizeof from;
        int fd = accept4(l->fd, (struct sockaddr *)&from, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            if (!hand_on(l, fd, &from))
                return;
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            listener_pause(l);
            net_timer_set(l->timer, RETRY_MS);
            return;
        } else if (errno == EAGAIN) {
            return;
        }
    }
}

static void on_timer(void *arg)
{
    listener_resume(arg);
}

/* getaddrinfo() takes 99999 for 34463. */
static bool is_port(const char *text)
{
    size_t n = strspn(text, "0123456789");
    return n > 0 && n <= 5 && text[n] == '\0' && strtoul(text, NULL, 10) <= UINT16_MAX;
}

/* Splits "ADDRESS:PORT" or "[ADDRESS]:PORT" and resolves it, numbers only. */
static int parse(const char *text, struct addrinfo **ret, struct err *err)
{
    char host[INET6_ADDRSTRLEN];
    const char *colon = strrchr(text, ':');
    size_t n = colon != NULL ? (size_t)(colon - text) : 0;
    const char *from = text;
    if (n >= 2 && text[0] == '[' && text[n - 1] == ']') {
        from++;
        n -= 2;
    }
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};
    bool ok = n > 0 && n < sizeof host && is_port(colon + 1);
    if (ok) {
        memcpy(host, from, n);
        host[n] = '\0';
        ok = getaddrinfo(host, colon + 1, &hints, ret) == 0;
    }
    return ok ? 0
              : err_set(err, -EINVAL, "%s: not an address and a port; give them as 127.0.0.1:8440",
                        text);
}

static int bind_to(const struct addrinfo *a, bool only_ip6, int *ret_fd)
{
    int on = 1;
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    *ret_fd = fd;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
        return -errno;
    if (only_ip6 && a->ai_family == AF_INET6 &&
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0)
        return -errno;
    return bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0 ? -errno : 0;
}

int listener_new(struct net_loop *loop, const struct listener_config *cfg, struct listener **ret,
                 struct err *err)
{
    struct addrinfo *a;
    int rc = parse(cfg->at, &a, err);
    if (rc < 0)
        return rc;
    struct listener *l = calloc(1, sizeof *l);
    rc = -ENOMEM;
    if (l != NULL) {
        *l = (struct listener){.accepted = cfg->accepted, .arg = cfg->arg};
        rc = bind_to(a, cfg->only_ip6, &l->fd);
    }
    freeaddrinfo(a);
    if (rc == 0)
        rc = net_timer_new(loop, on_timer, l, &l->timer);
    if (rc == 0)
        rc = net_watch_new(loop, l->fd, EPOLLIN, on_connection, l, &l->watch);
    if (rc < 0) {
        listener_free(l);
        return err_set(err, rc, "%s: cannot listen: %s", cfg->at, strerror(-rc));
    }
    *ret = l;
    return 0;
}

void listener_pause(struct listener *l)
{
    net_watch_want(l->watch, 0);
}

void listener_resume(struct listener *l)
{
    net_watch_want(l->watch, EPOLLIN);
}

unsigned listener_port(const struct listener *l)
{
    struct sockaddr_storage a;
    socklen_t n = sizeof a;
    if (getsockname(l->fd, (struct sockaddr *)&a, &n) < 0)
        return 0;
    return ntohs(a.ss_family == AF_INET ? ((struct sockaddr_in *)&a)->sin_port
                                        : ((struct sockaddr_in6 *)&a)->sin6_port);
}

void listener_free(struct listener *l)
{
    if (l == NULL)
        return;
    net_watch_free(l->watch);
    net_timer_free(l->timer);
    if (l->fd >= 0)
        close(l->fd);
    free(l);
}
