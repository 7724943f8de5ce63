/*
 * sync/net/tcp_alive - notices within TCP_ALIVE_MS that the computer at the other end of a
 * connection is gone: without power, or without a network. That its process hangs, it does not see;
 * for this the connections ask by pings (ws.h, libp2p/yamux.h).
 *
 * While nothing is under way the kernel asks (keepalive: RFC 9293, section 3.8.4), which costs no
 * process anything; while something is, how long nothing was acknowledged is looked at. A peer that
 * acknowledges and reads nothing lives; when it is gone, that shows by what it was asked since,
 * which is seldom after a long while. Thread: the loop's.
 */
#ifndef SYNC_NET_TCP_ALIVE_H
#define SYNC_NET_TCP_ALIVE_H

#include "proto/base/err.h"
#include "sync/net/loop.h"

enum { TCP_ALIVE_MS = 4000 };

struct tcp_alive;

/**
 * Watches @fd, which stays the caller's and outlives it. When something sent is not acknowledged in
 * time, calls @gone, once; when a question of the kernel's is not, the socket has the error
 * ETIMEDOUT. Errors: -ENOMEM.
 */
int tcp_alive_new(struct net_loop *l, int fd, void (*gone)(void *arg), void *arg,
                  struct tcp_alive **ret) MUST_CHECK;

/** Something was written to the socket. */
void tcp_alive_sent(struct tcp_alive *a);

/** Also from gone(). Accepts NULL. */
void tcp_alive_free(struct tcp_alive *a);

#endif
