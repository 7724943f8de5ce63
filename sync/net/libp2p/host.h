/*
 * sync/net/libp2p/host - this device among its peers: it listens, dials, keeps at most one
 * connection to each peer, and answers identify and ping.
 *
 * Who is connected has proved its PeerId, and that is all: whether it may do anything is for the
 * protocols. Callbacks come from the loop, never inside a call of this file. Thread: the loop's.
 * Source: libp2p specs, connections, identify, ping.
 */
#ifndef SYNC_NET_LIBP2P_HOST_H
#define SYNC_NET_LIBP2P_HOST_H

#include "sync/net/libp2p/conn.h"
#include "sync/net/libp2p/identify.h"
#include "sync/net/loop.h"
#include "sync/net/ws_client.h"

struct p2p_host;
struct p2p_peer;
struct p2p_dial;

struct p2p_host_config {
    const uint8_t *identity; /* PEER_KEY_SECRET_BYTES; copied, and wiped with the host */
    const struct conn_protocol *protocols; /* served beside identify and ping; borrowed */
    size_t protocols_n;
    const char *agent;    /* this program and its version; borrowed */
    struct ws_client *ws; /* dials WebSockets; borrowed */
    /** There is a connection to @p; its streams are opened with p2p_open(). */
    void (*connected)(struct p2p_peer *p, void *user);
    /** What it says of itself came: p2p_identity(). May be NULL. */
    void (*identified)(struct p2p_peer *p, void *user);
    /** The connection is gone, or is given up for a better one, of which connected() tells next.
     * Its streams were closed before, p2p_find() does not find @p any more. */
    void (*disconnected)(struct p2p_peer *p, void *user);
    void *user;
};

/** Errors, with a message: -ENOMEM, -EIO no random numbers. */
int p2p_host_new(struct net_loop *l, const struct p2p_host_config *cfg, struct p2p_host **ret,
                 struct err *err) MUST_CHECK;

/** Cuts all, and gives up what is dialed. disconnected() and done() are not called, closed() of
 * streams is. Not from within a callback. Accepts NULL. */
void p2p_host_free(struct p2p_host *h);

/** Says good bye to all peers and closes; nothing is accepted or dialed any more, and what is being
 * dialed is given up: done() is not called. In 5 s at most p2p_host_is_idle(). */
void p2p_host_stop(struct p2p_host *h);
bool p2p_host_is_idle(const struct p2p_host *h);

/** Listens at a multiaddr, /ip4|ip6/…/tcp/PORT or with /ws behind. Errors: as wire_listen(). */
int p2p_host_listen(struct p2p_host *h, struct bytes at, struct err *err) MUST_CHECK;

/** Where it listens, as it was told to, with the real ports; each as buf_put_string() does. */
int p2p_host_listening(const struct p2p_host *h, struct buf *ret) MUST_CHECK;

/** The addresses it listens at, each as buf_put_string() does, without /p2p/ID; appended. What
 * stands for all interfaces is replaced by each of these, loopback last. */
int p2p_host_addresses(const struct p2p_host *h, struct buf *ret) MUST_CHECK;

const uint8_t *p2p_host_id(const struct p2p_host *h); /* PEER_ID_BYTES */

/**
 * Serves one more protocol, as p2p_host_config has them, or has @p take the place of that with its
 * id. With 0 streams it is neither served nor named to peers; connections that are there already
 * serve it later when it was known to the host, with 0 streams or more, before they were made. The
 * id is borrowed as long as @h lives. Errors: -ENOBUFS no place for one more.
 */
int p2p_host_serve(struct p2p_host *h, const struct conn_protocol *p) MUST_CHECK;

/** The network is another: each connection that no answer comes on any more is at its end soon, in
 * some 10 s, not after a silence only. */
void p2p_host_doubt(struct p2p_host *h);

/* ---- peers ---- */

/** NULL: there is no connection to it. @id: PEER_ID_BYTES. */
struct p2p_peer *p2p_find(struct p2p_host *h, const uint8_t *id);
const uint8_t *p2p_peer_id(const struct p2p_peer *p);
/** Where it is connected from, or was dialed: a multiaddr; borrowed. Empty: through a pipe. */
struct bytes p2p_peer_address(const struct p2p_peer *p);
/** Whether it was dialed; else it came by itself, from any port. */
bool p2p_peer_is_dialed(const struct p2p_peer *p);
/** Whether it is connected through a pipe (p2p_adopt()), which is for a few bytes and soon over. */
bool p2p_peer_is_piped(const struct p2p_peer *p);
/** The hash of its connection's handshake: NOISE_HASH_BYTES. */
const uint8_t *p2p_peer_hash(const struct p2p_peer *p);
/** What it said of itself; NULL: nothing yet. */
const struct identify *p2p_identity(const struct p2p_peer *p);
/** Streams that are open on its connection, of either side. */
size_t p2p_peer_streams(const struct p2p_peer *p);
/** The peer of a stream. */
struct p2p_peer *p2p_of(const struct conn_stream *s);
void p2p_set_user(struct p2p_peer *p, void *user);
void *p2p_user(const struct p2p_peer *p);
/** What p2p_host_config has. */
void *p2p_host_user(const struct p2p_peer *p);

/** Opens a stream, as conn_open(); -ENOTCONN in disconnected(). */
int p2p_open(struct p2p_peer *p, const char *protocol, const struct conn_handler *handler,
             void *user, struct conn_stream **ret) MUST_CHECK;

/** Closes its connection; disconnected() is called. */
void p2p_disconnect(struct p2p_peer *p);

/* ---- dialing ---- */

/**
 * Dials @id (PEER_ID_BYTES) at @addrs, multiaddrs each as buf_put_string() does, of which those
 * that cannot be dialed, or are of another peer, are left out: at most P2P_DIAL_ADDRS,
 * P2P_DIAL_AT_ONCE at once. @id NULL: whoever is there. @done is called once: 0, and @p is
 * connected, as told before, or has been; or an error and why: -EPERM another peer, or this very
 * device, is there, -ETIMEDOUT, -ECONNREFUSED, -ECONNRESET. Errors: -EINVAL nothing can be dialed,
 * or it is this device; -ESHUTDOWN after p2p_host_stop(); -ENOMEM.
 */
int p2p_dial(struct p2p_host *h, const uint8_t *id, struct bytes addrs,
             void (*done)(void *arg, int rc, struct p2p_peer *p, const char *why), void *arg,
             struct p2p_dial **ret, struct err *err) MUST_CHECK;

/**
 * Connects over a pipe to another host: a WebSocket that is open, by now the host's, also from
 * within one of its callbacks. Of the two ends one @dials. The connection is like any other, but it
 * has no address, counts for no network, and a direct one to the same peer stays, or comes in its
 * place. @done as that of p2p_dial(); @p may be connected directly. Errors, and then the pipe stays
 * the caller's: -ESHUTDOWN after p2p_host_stop(); -ENOBUFS too many connections; -ENOMEM.
 */
int p2p_adopt(struct p2p_host *h, struct ws *pipe, bool dials,
              void (*done)(void *arg, int rc, struct p2p_peer *p, const char *why), void *arg,
              struct p2p_dial **ret, struct err *err) MUST_CHECK;

/** Gives it up; done() is not called. Accepts NULL, not one whose done() was called. */
void p2p_dial_cancel(struct p2p_dial *d);

#endif
