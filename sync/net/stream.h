/*
 * sync/net/stream - a TCP connection, with TLS or without: bytes both ways, and nothing waits.
 * A computer at the other end that is gone is noticed (tcp_alive.h): then reading and writing fail
 * with ETIMEDOUT, and its function is called with EPOLLERR.
 * Thread: the loop's.
 */
#ifndef SYNC_NET_STREAM_H
#define SYNC_NET_STREAM_H

#include <openssl/ssl.h>
#include <stdbool.h>

#include "proto/base/err.h"
#include "sync/net/loop.h"

struct stream;

struct stream_config {
    const char *address; /* in numbers */
    unsigned port;
    SSL_CTX *tls;     /* NULL: none; else it is not needed any more when stream_new() returns */
    const char *name; /* with TLS, what the certificate has to be of: a name or an address */
    bool numeric;     /* it is an address */
    net_watch_fn fn;  /* called when what is wanted may be possible; with 0 while it connects */
    void *arg;
};

/** Begins to connect; wants nothing yet. Errors: -ENOMEM, -EINVAL no address, and those of
 * socket(2) and connect(2). */
int stream_new(struct net_loop *l, const struct stream_config *cfg, struct stream **ret) MUST_CHECK;

/** Takes @fd, which was accepted and does not wait: it is connected, without TLS. Errors: -ENOMEM,
 * -EEXIST; then it stays the caller's. */
int stream_adopt(struct net_loop *l, int fd, net_watch_fn fn, void *arg,
                 struct stream **ret) MUST_CHECK;

/** Says that nothing more is written. Without TLS. */
void stream_finish(struct stream *s);

/** Cuts it, also from its own function. Accepts NULL. */
void stream_free(struct stream *s);

/** Goes on connecting: 1 connected; 0 not yet; or a negative errno, -EPROTO when TLS failed. */
int stream_connect(struct stream *s) MUST_CHECK;

/** Why the certificate is refused, or NULL. */
const char *stream_verdict(const struct stream *s);

/** What its function is called for from now on, once it is connected. */
void stream_want(struct stream *s, bool read, bool write);

/** Bytes read; 0: none are there; -EPIPE: the server has ended, or another negative errno. */
ssize_t stream_read(struct stream *s, void *to, size_t n) MUST_CHECK;

/** Why its function was called with EPOLLHUP or EPOLLERR, when nothing is read: -EPIPE or another
 * negative errno. */
int stream_error(const struct stream *s);

/** Bytes that were read from the socket already, and which its function is not called for. */
bool stream_has_read(const struct stream *s);

/** Bytes written; 0: none can be now; or a negative errno. */
ssize_t stream_write(struct stream *s, const void *from, size_t n) MUST_CHECK;

#endif
