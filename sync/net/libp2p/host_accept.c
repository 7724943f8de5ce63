/*
 * Listening, and who may connect: a flood of strangers takes a bounded number of places, and none
 * that a quiet one needs.
 */
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include "sync/net/libp2p/host_priv.h"
#include "sync/net/libp2p/scope.h"

enum { SECOND_MS = 1000 };

/* ---- who --------------------------------------------------------------------------------------
 */

/* Whether both are in one public network, which has one owner. */
static bool is_near(const uint8_t a[16], const uint8_t b[16])
{
    uint8_t net_a[SCOPE_IP_BYTES], net_b[SCOPE_IP_BYTES];
    scope_net(a, net_a);
    scope_net(b, net_b);
    return memcmp(net_a, net_b, sizeof net_a) == 0;
}

/* Those that connected in the last second from @host; the new one is noted. */
static unsigned count_of_late(struct p2p_host *h, const uint8_t host[16], uint64_t now)
{
    unsigned n = 0;
    for (size_t i = 0; i < P2P_SEEN; i++)
        n += h->seen[i].at_ms != 0 && now < h->seen[i].at_ms + SECOND_MS &&
             memcmp(h->seen[i].host, host, 16) == 0;
    struct p2p_seen *s = &h->seen[h->seen_at++ % P2P_SEEN];
    memcpy(s->host, host, 16);
    s->at_ms = now;
    return n;
}

/* ---- places ------------------------------------------------------------------------------------
 */

struct places {
    size_t upgrades, net; /* before the end of their handshake; of one network */
    struct p2p_link
        *crowd; /* the oldest upgrade of the host that has, or would have, most of them */
    size_t crowd_n;
};

static size_t count_upgrades(const struct p2p_host *h, const uint8_t host[16],
                             struct p2p_link **ret_oldest)
{
    size_t n = 0;
    *ret_oldest = NULL;
    for (struct ring *r = h->links.next; r != &h->links; r = r->next) {
        struct p2p_link *k = CONTAINER_OF(r, struct p2p_link, all);
        if (k->dialed || k->piped || k->closing || k->peer != NULL ||
            memcmp(k->host, host, 16) != 0)
            continue;
        *ret_oldest = *ret_oldest == NULL ? k : *ret_oldest;
        n++;
    }
    return n;
}

static struct places look(struct p2p_host *h, const uint8_t host[16])
{
    struct places p = {0};
    for (struct ring *r = h->links.next; r != &h->links; r = r->next) {
        struct p2p_link *k = CONTAINER_OF(r, struct p2p_link, all), *oldest;
        if (k->dialed || k->piped || k->closing)
            continue;
        p.net += is_near(k->host, host);
        p.upgrades += k->peer == NULL;
        size_t n = k->peer == NULL ? count_upgrades(h, k->host, &oldest) : 0;
        n += n > 0 && memcmp(k->host, host, 16) == 0; /* the new one */
        if (n > p.crowd_n) {
            p.crowd_n = n;
            p.crowd = oldest;
        }
    }
    return p;
}

/* Whether there is a place for one more from @host; an older one may have to go for it. */
static bool has_place(struct p2p_host *h, const uint8_t host[16])
{
    struct places p = look(h, host);
    if (!scope_is_private(host) && p.net >= P2P_CONNECTIONS_NET)
        return false;
    if (p.upgrades >= P2P_UPGRADES) {
        p2p_link_free(p.crowd); /* who has most of the places gives one */
        return true;
    }
    return h->links_n < P2P_CONNECTIONS;
}

/* ---- listening ---------------------------------------------------------------------------------
 */

static bool on_admits(struct bytes from, void *user)
{
    struct p2p_host *h = user;
    uint8_t host[16];
    scope_ip(from, host);
    return !h->stopping && count_of_late(h, host, net_now_ms()) < P2P_INBOUND_RATE;
}

static void *on_accepted(struct wire *w, void *user)
{
    struct p2p_host *h = user;
    uint8_t host[16];
    scope_ip(wire_remote(w), host);
    if (h->stopping || !has_place(h, host))
        return NULL;
    struct p2p_link *k = p2p_link_new(h, NULL, false);
    if (k == NULL)
        return NULL;
    memcpy(k->host, host, sizeof host);
    k->wire = w;
    if (p2p_link_begin(k, NULL) == 0)
        return k;
    k->wire = NULL; /* is dropped by who calls */
    p2p_link_free(k);
    return NULL;
}

int p2p_host_listen(struct p2p_host *h, struct bytes at, struct err *err)
{
    struct wire_listener_config cfg = {.at = at,
                                       .events = &p2p_wire_events,
                                       .admits = on_admits,
                                       .accepted = on_accepted,
                                       .user = h};
    if (h->listeners_n == P2P_LISTENERS)
        return err_set(err, -ENOBUFS, "at most %d addresses can be listened at", P2P_LISTENERS);
    int rc = wire_listen(h->loop, &cfg, &h->listeners[h->listeners_n], err);
    h->listeners_n += rc == 0;
    return rc;
}

/* ---- addresses ---------------------------------------------------------------------------------
 */

static bool is_any(const struct maddr_part *part)
{
    for (size_t i = 0; i < part->value.n; i++)
        if (part->value.p[i] != 0)
            return false;
    return true;
}

/* The address with @value for its first part. */
static void put_with(struct buf *ret, enum maddr_code code, struct bytes value, struct bytes rest)
{
    struct buf one CLEANUP(buf_fini) = {0};
    maddr_put(&one, code, value);
    buf_put_bytes(&one, rest);
    ret->failed = ret->failed || one.failed;
    buf_put_string(ret, buf_bytes(&one));
}

static void put_those(struct buf *ret, const struct ifaddrs *list, bool loopback,
                      enum maddr_code code, struct bytes rest)
{
    int family = code == MADDR_IP4 ? AF_INET : AF_INET6;
    for (const struct ifaddrs *i = list; i != NULL; i = i->ifa_next) {
        if (i->ifa_addr == NULL || i->ifa_addr->sa_family != family || !(i->ifa_flags & IFF_UP) ||
            loopback != ((i->ifa_flags & IFF_LOOPBACK) != 0))
            continue;
        const struct sockaddr_in *v4 = (const void *)i->ifa_addr;
        const struct sockaddr_in6 *v6 = (const void *)i->ifa_addr;
        if (family == AF_INET)
            put_with(ret, code, bytes_of(&v4->sin_addr, 4), rest);
        else if (!IN6_IS_ADDR_LINKLOCAL(
                     &v6->sin6_addr)) /* it means nothing without its interface */
            put_with(ret, code, bytes_of(&v6->sin6_addr, 16), rest);
    }
}

/* For each interface that is up its address of @code: last those that lead others to themselves. */
static int put_all(struct buf *ret, enum maddr_code code, struct bytes rest)
{
    struct ifaddrs *list;
    if (getifaddrs(&list) < 0)
        return -errno;
    put_those(ret, list, false, code, rest);
    put_those(ret, list, true, code, rest);
    freeifaddrs(list);
    return 0;
}

int p2p_host_listening(const struct p2p_host *h, struct buf *ret)
{
    for (size_t i = 0; i < h->listeners_n; i++)
        buf_put_string(ret, wire_listener_address(h->listeners[i]));
    return buf_status(ret);
}

int p2p_host_addresses(const struct p2p_host *h, struct buf *ret)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < h->listeners_n; i++) {
        struct bytes at = wire_listener_address(h->listeners[i]);
        struct reader r = reader_of(at);
        struct maddr_part part;
        rc = maddr_next(&r, &part) == 1 ? 0 : -EBADMSG;
        if (rc == 0 && is_any(&part))
            rc = put_all(ret, part.code, bytes_of(r.p, r.n));
        else if (rc == 0)
            buf_put_string(ret, at);
    }
    return rc < 0 ? rc : buf_status(ret);
}
