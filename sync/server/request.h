/*
 * sync/server/request - whom a request is from, and the token that it shows. Thread: any.
 */
#ifndef SYNC_SERVER_REQUEST_H
#define SYNC_SERVER_REQUEST_H

#include "sync/net/ws_server.h"
#include "sync/server/accounts.h"

/** The address as accounts.h and limiter.h take it, in @raw. */
struct bytes srv_request_address(const struct ws_request *request, uint8_t raw[static 16]);

/** Looks at the token of a request: 0 and *ret, or an HTTP status. */
unsigned srv_request_token(struct srv_accounts *a, const struct ws_request *request,
                           struct srv_token *ret);

#endif
