/* sync/links/links_priv - what the files of the service share. */
#ifndef SYNC_LINKS_LINKS_PRIV_H
#define SYNC_LINKS_LINKS_PRIV_H

#include "sync/links/attached.h"
#include "sync/links/links.h"
#include "sync/links/netwatch.h"
#include "sync/links/pairing.h"
#include "sync/links/probe.h"

/* What a Reply says. Source: exit statuses of the program, sync/README.md. */
enum reply_status {
    REPLY_OK = 0,
    REPLY_FAILED = 1,
    REPLY_USAGE = 2,
    REPLY_NOT_FOUND = 3,
    REPLY_NOT_ALLOWED = 4,
    REPLY_UNREACHABLE = 5
};

struct links {
    struct links_config cfg;
    struct net_loop *loop;
    struct line_env env;
    struct remotes *remotes;
    struct peers *peers; /* NULL: the process stops */
    struct netwatch *netwatch;
    struct unix_server *server;
    struct net_timer *timer; /* of stopping */
    uint64_t stop_by_ms;
    struct caller *callers[UNIX_CONNECTIONS_MAX]; /* NULL: free */
    uint32_t last_id;                             /* of a link */
    /* The newest RemoteAdd, for its undoing: its name, and what it replaced, if anything. */
    struct remote replaced;
    bool has_replaced;
    bool stopping, stopped;
};

/* One connection to the socket: a mount once it has attached, else a command. */
struct caller {
    struct links *links;
    struct unix_conn *conn;
    struct net_timer *timer;   /* until its first frame */
    struct attached *attached; /* NULL: not a mount */
    bool asked;                /* its request came */
    bool stops;                /* the process, when it is gone */
    struct probe *probe;       /* its request waits for this; NULL: for nothing */
    struct pairing *pairing;   /* it pairs, and stays; NULL: it does not */
    struct remote remote;      /* of that request */
};

/** The events of a connection, whose user is its caller. */
extern const struct unix_events caller_events;

/** A new connection; NULL, and it is closed, when memory ran out. */
struct caller *caller_new(struct links *l, struct unix_conn *c);

/** Carries a request out. -EPROTO: it is none. */
int request_run(struct caller *c, const Persist__Local *f) MUST_CHECK;

/** Mounts hear of direct links that there are now, or not any more. @links: struct links. */
void links_look_at_peers(void *links);

/** The mount of a space that is attached, or NULL. */
struct attached *links_attached(const struct links *l, const uint8_t space[SPACE_ID_SIZE]);

#endif
