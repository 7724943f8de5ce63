/*
 * sync/server/service - a server in one process: store, sessions, HTTP, control socket, upkeep.
 *
 * WebSockets on /v1/sync, and below /v1/pair/ (sync/net/ws_pair.h); GET /healthz ("ok") and
 * /metrics (from loopback, or with a token). While it listens, the file serve.pid in its directory
 * holds its process id.
 */
#ifndef SYNC_SERVER_SERVICE_H
#define SYNC_SERVER_SERVICE_H

#include "proto/base/err.h"

struct srv_service;

enum { SERVICE_CONNECTIONS_MAX = 10000, SERVICE_STOP_MS = 3000 };

struct srv_service_config {
    const char *dir;                  /* of the data; made when there is none */
    const char *listen;               /* as of ws_server.h; port 0: a free one */
    const char *cert_file, *key_file; /* both NULL: without TLS */
    const char *mirror;               /* a directory for mirrors of managed spaces; NULL: none */
    uint32_t rate_s;                  /* entries a second of an account, mean; 0: SPACES_RATE_S */
};

/**
 * Opens the data and listens. The configuration is not needed any more when it returns. Blocks
 * SIGTERM and SIGINT in this thread and those that come, as srv_service_run() waits for them.
 * Waits up to 5 s for another process that has the data, as that may be ending. Errors: as
 * srv_store_open(), -EBUSY it still has the data (named in @err), and ws_server_start().
 */
int srv_service_open(const struct srv_service_config *cfg, struct srv_service **ret,
                     struct err *err) MUST_CHECK;

/** The port it listens on. */
unsigned srv_service_port(const struct srv_service *s);

/**
 * Serves until SIGTERM or SIGINT. Then it closes all connections, which have SERVICE_STOP_MS to
 * take what is queued for them. Errors: -EIO.
 */
int srv_service_run(struct srv_service *s) MUST_CHECK;

/** Accepts NULL. */
void srv_service_close(struct srv_service *s);

#endif
