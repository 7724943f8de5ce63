/*
 * sync/net/ws_server - listens on an address for WebSockets on WS_PATH, and, if it is to, below
 * WS_PAIR_PATH, and answers plain GETs.
 *
 * A request for a WebSocket is refused, in this order: 404 another path; 403 an Origin, which only
 * browsers send; 400 not version 13 or without WS_SUBPROTOCOL; 503 stopping or full; 401 without a
 * bearer token; then authorise() decides. Below WS_PAIR_PATH it is WS_PAIR_SUBPROTOCOL, and
 * whether a token is needed is authorise()'s, too. A plain server does so on "/", and wants neither
 * subprotocol nor token. What is not a WebSocket 10 s after it connected is cut,
 * as is one whose headers are longer than 8 KiB. Thread: the loop's.
 */
#ifndef SYNC_NET_WS_SERVER_H
#define SYNC_NET_WS_SERVER_H

#include "proto/base/err.h"
#include "sync/net/loop.h"
#include "sync/net/ws.h"

/* Borrowed for the call it is given to. */
struct ws_request {
    const char *path;
    struct bytes token; /* of "Authorization: Bearer"; empty: none */
    /* Of the client, in numbers, without the port; as a proxy on this machine tells it, that is,
     * the last hop of X-Forwarded-For. */
    const char *address;
    bool loopback; /* from this machine, asked for as this machine, and through no proxy */
};

struct ws_reply {
    unsigned status;  /* 404 until it is set */
    const char *type; /* of the content; "text/plain" until it is set */
    struct buf body;  /* freed by the server */
};

/* WebSockets of other paths; as the same of struct ws_server_config. */
struct ws_route {
    const struct ws_events *events;
    unsigned (*authorise)(const struct ws_request *request, void *user, void **ret_user);
};

struct listener_peer;

struct ws_server_config {
    const char *listen; /* ADDRESS:PORT in numbers, [ADDRESS]:PORT of IPv6; port 0: a free one */
    bool plain;         /* see struct ws; an address of IPv6 is then none of IPv4 */
    const char *cert_file, *key_file; /* PEM; both NULL: without TLS */
    size_t connections_max;           /* open WebSockets */
    unsigned handshake_ms;            /* 0: 10 s */
    struct ws_keepalive keep;
    const struct ws_events *events; /* of every connection; borrowed until the server is freed */
    struct ws_route pair; /* of all below WS_PAIR_PATH; without events: nothing is there */
    /** Whether who connects may, asked before anything of it is read. NULL: all may. */
    bool (*admits)(const struct listener_peer *from, void *user);
    /** 0 accepts, and *ret_user is given to the events; else the HTTP status of the refusal. */
    unsigned (*authorise)(const struct ws_request *request, void *user, void **ret_user);
    /** Answers a GET of a path other than WS_PATH. NULL: all are 404. */
    void (*http)(const struct ws_request *request, struct ws_reply *reply, void *user);
    void *user;
};

struct ws_server;

/**
 * Listens. The configuration's texts are not needed any more when it returns.
 * Errors: -EINVAL the address; -EADDRINUSE, -EADDRNOTAVAIL, -EACCES; -ENOENT certificate or key;
 * -ENOMEM.
 */
int ws_server_start(struct net_loop *l, const struct ws_server_config *cfg, struct ws_server **ret,
                    struct err *err) MUST_CHECK;

/** The port it listens on. */
unsigned ws_server_port(const struct ws_server *s);

/** Open WebSockets. */
size_t ws_server_count(const struct ws_server *s);

/**
 * Takes no more connections and closes all with WS_GOING_AWAY after what is queued; those that are
 * not gone after @deadline_ms are cut. Then @stopped is called, once, and may free the server.
 */
void ws_server_stop(struct ws_server *s, unsigned deadline_ms, void (*stopped)(void *user));

/**
 * Takes no more connections; those that are open go on. When none is left @stopped is called, once,
 * also from in here or from net_loop_free(), and may free the server.
 */
void ws_server_retire(struct ws_server *s, void (*stopped)(void *user));

/** Cuts what is still connected (closed() is called) and ends. Not from a connection's callback. */
void ws_server_free(struct ws_server *s); /* Accepts NULL. */

#endif
