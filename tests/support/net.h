/*
 * tests/support/net - a loop with a server on a free port of loopback, a client, and ends of
 * connections that note what happens to them. Thread: one, unless said otherwise.
 */
#ifndef TESTS_SUPPORT_NET_H
#define TESTS_SUPPORT_NET_H

#include <pthread.h>

#include "sync/net/loop.h"
#include "sync/net/ws_client.h"
#include "sync/net/ws_server.h"

enum { NET_ENDS_MAX = 1100, NET_WAIT_MS = 120000 };

/* One end of a connection. */
struct net_end {
    struct ws *ws; /* NULL: closed, or not there yet */
    unsigned opened, messages, writables, closed;
    size_t bytes;        /* of all messages */
    struct buf last;     /* the last message */
    struct ws_end end;   /* how it closed */
    bool echo;           /* sends each message back, and reads nothing while it cannot */
    struct buf pending;  /* of echo: what had no room */
    bool pause_each;     /* pauses in each message */
    uint32_t next, sent; /* for a test's own use, as the following */
    bool wrong;
    void (*on_message)(struct net_end *e, struct bytes message);
    void (*on_writable)(struct net_end *e);
};

struct net {
    struct net_loop *loop;
    struct ws_server *server;
    struct ws_client *client;
    char url[64];
    struct net_end server_ends[NET_ENDS_MAX]; /* in the order they were accepted */
    size_t server_ends_n;
    bool echo; /* of the server's ends */
    unsigned stopped;
    pthread_t thread;
    bool threaded;
};

/* Of every net_end. */
extern const struct ws_events net_events;

/** A loop, and a server with what is set in @cfg and else the defaults: any port, no TLS. */
void net_start(struct net *n, struct ws_server_config cfg);
/** A client with @cfg. */
void net_client(struct net *n, struct ws_client_config cfg);
/** Frees all; first stops the thread of net_thread(). */
void net_end(struct net *n);

/** Connects to the server with token "good"; returns before it is open. */
void net_connect(struct net *n, struct net_end *e);
/** Connects with another token. */
void net_connect_as(struct net *n, struct net_end *e, const char *token);
/** Connects, and waits until both ends are open; returns the server's. */
struct net_end *net_open(struct net *n, struct net_end *e);

/** Runs the loop until @done says true. Fails the test after NET_WAIT_MS. */
void net_until(struct net *n, bool (*done)(void *arg), void *arg);
/** Runs the loop until the end was closed. */
void net_until_closed(struct net *n, struct net_end *e);
/** Runs the loop until it got @messages in all. */
void net_until_messages(struct net *n, struct net_end *e, unsigned messages);
/** Runs the loop for so long: to see that something does not happen. */
void net_run_ms(struct net *n, unsigned ms);

/** Runs the loop in a thread, for tests that use blocking sockets. */
void net_thread(struct net *n);
/** A blocking socket connected to the server. Thread: any. */
int net_raw(struct net *n);

/** Nothing comes any more to any socket of this process that is connected by TCP, as when the cable
 * is out. */
void net_pull_out(void);
/** Then it does again. */
void net_plug_in(void);

/** Authorises "good"; "forbidden" 403, "often" 429, "later" 503, others 401. */
unsigned net_authorise(const struct ws_request *request, void *user, void **ret_user);

#endif
