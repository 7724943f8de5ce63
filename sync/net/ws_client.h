/*
 * sync/net/ws_client - connects to servers, each attempt within 10 s; no retries (backoff.h).
 *
 * All addresses of a name are tried in turn. Redirects are not followed and proxies of the
 * environment are not used: the token goes to the host that was named, or nowhere. Thread: the
 * loop's.
 */
#ifndef SYNC_NET_WS_CLIENT_H
#define SYNC_NET_WS_CLIENT_H

#include "sync/net/loop.h"
#include "sync/net/ws.h"

struct ws_client_config {
    const char *ca_file; /* PEM: trusted instead of the system's roots; NULL: those */
    bool insecure;       /* ws:// to other machines, too */
    unsigned connect_ms; /* until a connection is open; 0: 10 s */
    struct ws_keepalive keep;
};

struct ws_client;

/** The texts of @cfg are not needed any more when it returns. Errors: -ENOENT the roots, -ENOMEM.
 */
int ws_client_new(struct net_loop *l, const struct ws_client_config *cfg, struct ws_client **ret,
                  struct err *err) MUST_CHECK;

/** Cuts its connections (closed() is called). Not from a connection's callback. Accepts NULL. */
void ws_client_free(struct ws_client *c);

/**
 * Connects to @url (ws_url.h) with a bearer @token, of which a copy is kept until the handshake and
 * then wiped. What becomes of it is told by @events: opened(), or closed() with code WS_BROKEN and
 * the reason, and the http_status when the server answered with one.
 * Errors: -EINVAL URL or token, -EACCES see ws_url_parse(), -ENOMEM; then nothing is called.
 */
int ws_connect(struct ws_client *c, const char *url, struct bytes token,
               const struct ws_events *events, void *user, struct ws **ret,
               struct err *err) MUST_CHECK;

/* What is connected to on a server; the path is copied, the subprotocol is not. */
struct ws_service {
    const char *path, *subprotocol;
};

enum { WS_SERVICE_PATH_SIZE = 64 };

/** The same for another service than the session's. @token may be empty: it is shown none. */
int ws_connect_to(struct ws_client *c, const char *url, const struct ws_service *service,
                  struct bytes token, const struct ws_events *events, void *user, struct ws **ret,
                  struct err *err) MUST_CHECK;

enum { WS_NAME_MAX = 253 /* letters of a name in DNS */ };

/* What is connected to without a URL. */
struct ws_target {
    const char *host; /* a name, or an address in numbers */
    int family;       /* of a name's addresses: AF_INET, AF_INET6, or AF_UNSPEC for both */
    unsigned port;
    bool tls;
    const char *name; /* what the certificate has to be of; NULL: the host */
};

/**
 * The same, plain: to "/", without a token and a subprotocol; see ws.h. Also without TLS, to any
 * machine. Errors: -EINVAL too long a name, -ENOMEM; then nothing is called.
 */
int ws_connect_plain(struct ws_client *c, const struct ws_target *to,
                     const struct ws_events *events, void *user, struct ws **ret,
                     struct err *err) MUST_CHECK;

#endif
