/* sync/net/libp2p/wire_priv - what wire.c and wire_tcp.c share. Thread: the loop's. */
#ifndef SYNC_NET_LIBP2P_WIRE_PRIV_H
#define SYNC_NET_LIBP2P_WIRE_PRIV_H

#include "sync/net/hosts.h"
#include "sync/net/libp2p/wire.h"
#include "sync/net/listener.h"
#include "sync/net/stream.h"

enum {
    WIRE_QUEUE = 256 * 1024, /* that waits to be sent */
    WIRE_WHY = 160
};

/* Of TCP. */
struct wire_tcp {
    enum { TCP_CONNECTING, TCP_OPEN, TCP_CLOSING, TCP_GONE } stage;
    struct net_loop *loop;
    struct hosts hosts;
    uint16_t port;
    const char *address; /* that is tried, in hosts */
    struct stream *stream;
    struct net_timer *step;  /* the next attempt, or the end */
    struct net_timer *limit; /* of connecting, and of closing */
    bool wants_room;
    bool finished;  /* closing: all is written, and the peer knows */
    struct buf out; /* from out_at on it waits to be sent */
    size_t out_at;
    char why[WIRE_WHY];
};

struct wire {
    const struct wire_events *events;
    void *user;
    struct wire_listener *listener; /* of an accepted WebSocket, until it is open */
    struct ws *ws;                  /* a WebSocket, or NULL: TCP */
    struct wire_tcp tcp;
    bool paused;
    bool busy;  /* a callback runs */
    bool freed; /* in it */
    struct buf remote;
};

struct wire *wire_alloc(const struct wire_events *events, void *user);

/** Calls closed() and frees it. */
void wire_end(struct wire *w, const char *why);

/** Keeps the address of the other side, in numbers. */
void wire_name(struct wire *w, const char *address, uint16_t port);

/* A wire of TCP; as those of wire.h. */

/** @host: a name or an address. */
int wire_tcp_dial(struct wire *w, struct net_loop *l, const char *host, int family,
                  uint16_t port) MUST_CHECK;
/** Takes @fd, when it returns 0. */
int wire_tcp_adopt(struct wire *w, struct net_loop *l, int fd) MUST_CHECK;
ssize_t wire_tcp_write(struct wire *w, struct bytes data) MUST_CHECK;
/** After w->paused changed. */
void wire_tcp_flow(struct wire *w);
void wire_tcp_close(struct wire *w);
/** Cuts it, and frees all but @w. */
void wire_tcp_fini(struct wire *w);

#endif
