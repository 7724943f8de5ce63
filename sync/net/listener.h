/*
 * sync/net/listener - a listening socket of TCP, which outlives the want of descriptors.
 * Thread: the loop's.
 */
#ifndef SYNC_NET_LISTENER_H
#define SYNC_NET_LISTENER_H

#include <netinet/in.h>
#include <stdbool.h>

#include "proto/base/err.h"
#include "sync/net/loop.h"

struct listener;

/* Who connected. */
struct listener_peer {
    char address[INET6_ADDRSTRLEN]; /* in numbers; of IPv4 as such, also on a socket of both */
    uint16_t port;
};

struct listener_config {
    const char *at; /* ADDRESS:PORT in numbers, [ADDRESS]:PORT of IPv6; port 0: a free one */
    bool only_ip6;  /* an IPv6 address is no IPv4 one, too: also :: is not */
    /** Takes @fd, which does not wait and sends small things at once. False: listener_pause() or
     * listener_free() was called in here. */
    bool (*accepted)(int fd, const struct listener_peer *from, void *arg);
    void *arg;
};

/** Listens. The text is not needed any more when it returns. Errors: -EINVAL the address;
 * -EADDRINUSE, -EADDRNOTAVAIL, -EACCES, -EMFILE; -ENOMEM. */
int listener_new(struct net_loop *l, const struct listener_config *cfg, struct listener **ret,
                 struct err *err) MUST_CHECK;

/** Takes no connection, until listener_resume(). */
void listener_pause(struct listener *l);
void listener_resume(struct listener *l);

/** The port it listens on. */
unsigned listener_port(const struct listener *l);

/** Takes no more. Accepts NULL. */
void listener_free(struct listener *l);

#endif
