/*
 * sync/net/ws_upgrade - how a client makes an HTTP connection a WebSocket (RFC 6455, section 4):
 * its request, and the server's answer. Pure. Thread: any.
 */
#ifndef SYNC_NET_WS_UPGRADE_H
#define SYNC_NET_WS_UPGRADE_H

#include "proto/base/buf.h"

enum {
    WS_NONCE_SIZE = 16,      /* random, of each attempt */
    WS_KEY_SIZE = 25,        /* its text, with the NUL */
    WS_ANSWER_MAX = 8 * 1024 /* bytes of a server's answer up to its empty line */
};

void ws_key_of(const uint8_t nonce[WS_NONCE_SIZE], char ret[WS_KEY_SIZE]);

/* What is asked for. */
struct ws_ask {
    const char *path;
    const char *host; /* as in "Host:" */
    const char *key;
    const char *subprotocol;   /* NULL: none */
    const char *authorization; /* as in its header; NULL: none */
};

/** Appends the request. */
void ws_request_put(struct buf *b, const struct ws_ask *ask);

struct ws_answer {
    unsigned status; /* 101: the connection is a WebSocket */
    size_t n;        /* bytes of the answer; what follows is of the connection */
};

/**
 * Looks whether @in begins with a whole answer to the request with @key for @subprotocol (NULL:
 * none): 1, and *ret; 0: not yet. Errors: -EPROTO it is none of HTTP/1.1, it is too long, or it
 * says 101 and does not agree to what was asked for.
 */
int ws_answer_get(struct bytes in, const char *key, const char *subprotocol,
                  struct ws_answer *ret) MUST_CHECK;

#endif
