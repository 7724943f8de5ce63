/*
 * sync/net/libp2p/wire - the byte stream under a connection to a peer: TCP, or a WebSocket whose
 * binary messages follow each other, dialed or accepted, or one that leads to the peer through a
 * server.
 *
 * Nothing is encrypted by it, and nobody is proved to be anyone: that is the connection's
 * (conn.h). No callback runs inside a call of this file, but from the loop. Thread: the loop's.
 * Source: libp2p specs, websockets.
 */
#ifndef SYNC_NET_LIBP2P_WIRE_H
#define SYNC_NET_LIBP2P_WIRE_H

#include <sys/types.h>

#include "sync/net/libp2p/multiaddr.h"
#include "sync/net/loop.h"
#include "sync/net/ws_client.h"

struct wire;

/* @user is what wire_dial() or wire_set_user() gave. */
struct wire_events {
    /** It is connected, and may be written to. Not of an accepted one: that is from the start. */
    void (*opened)(struct wire *w, void *user);
    /** Bytes, borrowed until the callback returns. */
    void (*data)(struct wire *w, struct bytes data, void *user);
    /** wire_write() took less than it was given, and now takes more. */
    void (*writable)(struct wire *w, void *user);
    /** The last call, exactly once, opened or not: @w is freed when it returns. @why: for people.
     */
    void (*closed)(struct wire *w, const char *why, void *user);
};

/** What dials: names are looked up in a thread, addresses tried in turn. @ws: for WebSockets, with
 * the roots for TLS; borrowed as the wires live. Errors: -EINVAL, -ENOMEM, those of connect(2). */
int wire_dial(struct net_loop *l, struct ws_client *ws, const struct maddr_dial *to,
              const struct wire_events *events, void *user, struct wire **ret,
              struct err *err) MUST_CHECK;

/** A WebSocket that is open, and that others made: it is the wire's from now on, and has no
 * address. Also from within one of its callbacks. NULL: out of memory, and it is not. */
struct wire *wire_adopt(struct ws *ws, const struct wire_events *events, void *user) MUST_CHECK;

/**
 * Writes the front of @data: how many bytes were taken, 0 or more. When that is not all, writable()
 * is called later. Negative: it is broken, and closed() follows.
 */
ssize_t wire_write(struct wire *w, struct bytes data) MUST_CHECK;

/** Reads nothing more, until wire_resume(). */
void wire_pause(struct wire *w);
void wire_resume(struct wire *w);

/** Sends what was taken, then closes; no callback but closed() comes any more. In 5 s at most. */
void wire_close(struct wire *w);

/** Cuts and frees it, without a callback; also from its own. Accepts NULL. */
void wire_free(struct wire *w);

void wire_set_user(struct wire *w, void *user);
/** The other side's address, as a multiaddr: /ip4|ip6/…/tcp/PORT, then /ws or nothing; borrowed.
 * Empty: it was adopted. */
struct bytes wire_remote(const struct wire *w);

/* ---- listening ---- */

struct wire_listener;

struct wire_listener_config {
    struct bytes at; /* /ip4|ip6/ADDRESS/tcp/PORT, then /ws or nothing; port 0: a free one */
    const struct wire_events *events; /* of every connection; borrowed */
    /** Whether who connects from there (/ip4|ip6/…/tcp/PORT) may: asked first, of a WebSocket
     * before its handshake. Calls nothing of this file. NULL: all may. */
    bool (*admits)(struct bytes from, void *user);
    /** A connection came: a user for it, or NULL and it is dropped. */
    void *(*accepted)(struct wire *w, void *user);
    void *user;
};

/** Listens. Errors, with a message: -EINVAL, -EADDRINUSE, -EADDRNOTAVAIL, -EACCES, -ENOMEM. */
int wire_listen(struct net_loop *l, const struct wire_listener_config *cfg,
                struct wire_listener **ret, struct err *err) MUST_CHECK;
/** The address it listens on, with the port, as a multiaddr; borrowed. */
struct bytes wire_listener_address(const struct wire_listener *l);
/** Takes no more connections; those that there are go on. */
void wire_listener_free(struct wire_listener *l); /* accepts NULL */

#endif
