/*
 * sync/server/mailbox_ws - the mailboxes of a server (mailbox.h) as WebSockets, below WS_PAIR_PATH.
 * Thread: the loop's.
 */
#ifndef SYNC_SERVER_MAILBOX_WS_H
#define SYNC_SERVER_MAILBOX_WS_H

#include "sync/net/loop.h"
#include "sync/net/ws_server.h"
#include "sync/server/accounts.h"
#include "sync/server/mailbox.h"

struct srv_mailbox_ws;

/** Also hears from @accounts, which stays the caller's, of tokens that end. -ENOMEM, -EMFILE. */
int srv_mailbox_ws_new(struct net_loop *l, struct srv_accounts *accounts,
                       struct srv_mailbox_ws **ret, struct err *err) MUST_CHECK;
/** After all connections are closed. Accepts NULL. */
void srv_mailbox_ws_free(struct srv_mailbox_ws *m);

/** Answers a request: 0 and a user for srv_mailbox_events, or an HTTP status. */
unsigned srv_mailbox_ws_accept(struct srv_mailbox_ws *m, const struct ws_request *request,
                               void **ret_user);
extern const struct ws_events srv_mailbox_events;

struct srv_mailbox_stats srv_mailbox_ws_stats(const struct srv_mailbox_ws *m);

#endif
