/*
 * sync/net/ws_tls - what TLS is set up with: 1.2 or newer, the server's files, the client's roots.
 * Thread: the loop's.
 */
#ifndef SYNC_NET_WS_TLS_H
#define SYNC_NET_WS_TLS_H

#include <openssl/ssl.h>

#include "proto/base/err.h"

/* What a server's virtual host is made with. */
struct ws_tls_files {
    const char *cert_file; /* PEM: the certificate, then the chain up to the root */
    const char *key_file;  /* PEM, without a passphrase */
    struct err *err;       /* gets what ws_tls_load() says; may be NULL */
};

/** Loads @files into the server's context. 0, or a negative errno that is in files->err, too. */
int ws_tls_load(SSL_CTX *ctx, const struct ws_tls_files *files) MUST_CHECK;

/**
 * A client's context that trusts the system's roots, or only those in @ca_file when not NULL.
 * Errors: -ENOENT it cannot be read or has no certificate, -ENOMEM. Freed by SSL_CTX_free().
 */
int ws_tls_client(const char *ca_file, SSL_CTX **ret, struct err *err) MUST_CHECK;

#endif
