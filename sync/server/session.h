/*
 * sync/server/session - the server's side of proto/session.proto, one for each WebSocket.
 *
 * A session is made when the token of a request is known, and goes with its connection. All that
 * sessions share is in a hub: who is in which space, what waits for the disk, which tokens have
 * ended. Nothing is queued but one frame that the connection had no room for: what is to be sent
 * is kept as what it is made of (a cursor, ids), and made when there is room. A session that
 * cannot send, or whose account pushes too fast, reads nothing. Thread: the loop's.
 */
#ifndef SYNC_SERVER_SESSION_H
#define SYNC_SERVER_SESSION_H

#include "sync/net/ws_server.h"
#include "sync/server/accounts.h"
#include "sync/server/spaces.h"

enum { SESSION_PROOF_MS = 10000 };

struct srv_hub;
struct srv_managed;

struct srv_hub_config {
    struct net_loop *loop;
    struct srv_accounts *accounts;
    struct srv_spaces *spaces;
    struct srv_managed *managed; /* the spaces that this server is a member of */
};

/** Errors: -ENOMEM, -EMFILE, -EAGAIN. */
int srv_hub_new(const struct srv_hub_config *cfg, struct srv_hub **ret, struct err *err) MUST_CHECK;
/** After all connections are closed. What was pushed is on disk. Accepts NULL. */
void srv_hub_free(struct srv_hub *h);

/** Has what was written put on the disk, soon. */
void srv_hub_sync(struct srv_hub *h);

/** Looks at the token of a request: 0, or an HTTP status. */
unsigned srv_session_check(struct srv_hub *h, const struct ws_request *request);
/** The same: 0 and a session for srv_session_events, or an HTTP status. */
unsigned srv_session_accept(struct srv_hub *h, const struct ws_request *request, void **ret_user);

/** Of every connection that was accepted so. */
extern const struct ws_events srv_session_events;

/* For /metrics. */
struct srv_hub_stats {
    uint64_t sessions;      /* connections with a token, now */
    uint64_t opened;        /* sessions that were opened, ever */
    uint64_t items, chunks; /* sent */
    uint64_t passed;        /* chunks that were sent on as they came */
    uint64_t sent_bytes;    /* of frames */
    uint64_t ended;         /* by an error of either side */
};
struct srv_hub_stats srv_hub_stats(const struct srv_hub *h);

/** Milliseconds since 1970. Thread: any. */
uint64_t srv_now_ms(void);

#endif
