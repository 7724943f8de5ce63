/* sync/net/ws_server_priv - what ws_server.c and ws_http.c share. Thread: the loop's. */
#ifndef SYNC_NET_WS_SERVER_PRIV_H
#define SYNC_NET_WS_SERVER_PRIV_H

#include "sync/net/ws_priv.h"
#include "sync/net/ws_server.h"

struct ws_server {
    struct net_loop *loop;
    struct ws_server_config cfg; /* its texts are valid in ws_server_start() only */
    struct lws_vhost *vhost;
    struct listener *listener; /* NULL: not any more */
    struct net_timer *stop_timer;
    lws_dll2_owner_t connections; /* struct ws: WebSockets, handshakes, GETs */
    size_t open;                  /* of them, accepted as WebSockets */
    bool stopping;
    void (*stopped)(void *user);
};

extern const struct ws_side ws_server_side;

/** Cuts what is connected, and says that the server has stopped when nothing is. */
void ws_server_cut(void *server);

/** See struct ws_side. */
void ws_server_gone(struct ws *w);

#endif
