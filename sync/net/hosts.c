#include "sync/net/hosts.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

static void add(struct hosts *h, const char *text)
{
    size_t n = strlen(text) + 1;
    if (h->n < HOSTS_MAX && n <= sizeof h->addresses[0])
        memcpy(h->addresses[h->n++], text, n);
}

static void on_lookup(int error, const struct addrinfo *list, void *arg)
{
    struct hosts *h = arg;
    h->lookup = NULL;
    if (error != 0)
        h->why = gai_strerror(error);
    for (const struct addrinfo *i = error == 0 ? list : NULL; i != NULL; i = i->ai_next) {
        char text[INET6_ADDRSTRLEN];
        if ((h->family == AF_UNSPEC || h->family == i->ai_family) &&
            getnameinfo(i->ai_addr, i->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST) == 0)
            add(h, text);
    }
    if (h->n == 0 && h->why == NULL)
        h->why = "the name has no such address";
    net_timer_set(h->found, 0);
}

bool hosts_is_numeric(const char *host, int *ret_family)
{
    uint8_t raw[sizeof(struct in6_addr)];
    *ret_family = strchr(host, ':') != NULL ? AF_INET6 : AF_INET;
    return inet_pton(*ret_family, host, raw) == 1;
}

int hosts_find(struct hosts *h, struct net_loop *l, const char *host, int family,
               struct net_timer *found)
{
    int numeric;
    *h = (struct hosts){.family = family, .found = found};
    if (hosts_is_numeric(host, &numeric)) {
        add(h, host);
    } else if (strcasecmp(host, "localhost") == 0) {
        /* Nobody is asked what "localhost" is: the answer could be another machine. */
        if (family != AF_INET6)
            add(h, "127.0.0.1");
        if (family != AF_INET)
            add(h, "::1");
    } else {
        return lookup_start(l, host, on_lookup, h, &h->lookup);
    }
    net_timer_set(found, 0);
    return 0;
}

const char *hosts_next(struct hosts *h)
{
    return hosts_has_more(h) ? h->addresses[h->next++] : NULL;
}

bool hosts_has_more(const struct hosts *h)
{
    return h->next < h->n;
}

void hosts_fini(struct hosts *h)
{
    lookup_cancel(TAKE_PTR(h->lookup));
}
