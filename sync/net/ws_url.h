/*
 * sync/net/ws_url - the address of a server, as a person writes it: "wss://HOST[:PORT]" or, where
 * nothing can listen in, "ws://localhost:PORT". Pure. Thread: any.
 */
#ifndef SYNC_NET_WS_URL_H
#define SYNC_NET_WS_URL_H

#include <stdbool.h>

#include "proto/base/err.h"

enum {
    WS_HOST_MAX = 100,
    WS_URL_SIZE = WS_HOST_MAX + 16 /* of ws_url_text(), with its NUL */
};

struct ws_url {
    bool tls;
    bool numeric;               /* the host is an address */
    bool loopback;              /* it is one of this machine, or the name "localhost" */
    char host[WS_HOST_MAX + 1]; /* without the brackets of an IPv6 address */
    unsigned port;              /* 443 or 80 when none is named */
};

/**
 * Takes a URL apart; nothing but "/" or WS_PATH may follow the port.
 * Errors: -EINVAL with a message; -EACCES plain ws:// to another machine, unless @insecure.
 */
int ws_url_parse(const char *text, bool insecure, struct ws_url *ret, struct err *err) MUST_CHECK;

/**
 * The one spelling of an address: small letters, without a path and the port that goes without
 * saying. Returns @ret.
 */
const char *ws_url_text(const struct ws_url *u, char ret[WS_URL_SIZE]);

#endif
