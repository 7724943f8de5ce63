/*
 * sync/net/ws_pair - a mailbox: a pipe of bytes for two devices that meet at a server under four
 * digits, the nameplate. What both sides of it say; pure. Thread: any.
 *
 * It is a WebSocket with WS_PAIR_SUBPROTOCOL for each device:
 *
 *   /v1/pair/NNNN/inviting   who made the code whose nameplate NNNN is; with a token
 *   /v1/pair/NNNN            who was given the code; with a token or without
 *
 * The server's first message, WS_PAIR_HELLO, tells each end that the other one is there. Nobody
 * sends before it. From then on the messages of each end come to the other as they are; when one
 * closes, so does the server the other one. The server sees what the devices encrypt.
 */
#ifndef SYNC_NET_WS_PAIR_H
#define SYNC_NET_WS_PAIR_H

#include <stdbool.h>

#include "proto/base/err.h"
#include "sync/net/ws.h"

enum {
    WS_PAIR_NAMEPLATES = 10000,
    WS_PAIR_DIGITS = 4,
    WS_PAIR_PATH_SIZE = sizeof WS_PAIR_PATH "NNNN/inviting",
    WS_PAIR_HELLO = 1 /* the only byte of the first message */
};

/* Why the server closes, beside the codes of ws.h. */
enum {
    WS_PAIR_LEFT = 4100,     /* the other end did */
    WS_PAIR_EXPIRED = 4101,  /* the nameplate's time is over */
    WS_PAIR_FULL = 4102,     /* more bytes than a mailbox takes */
    WS_PAIR_REPLACED = 4103, /* the same user invites anew */
    WS_PAIR_TOKEN = 4104,    /* the token of who invites is gone */
    WS_PAIR_EARLY = 4105     /* something was sent before the hello */
};

/** The path of an end; -EINVAL: the nameplate is not four digits. */
int ws_pair_path(const char *nameplate, bool inviting, char ret[static WS_PAIR_PATH_SIZE],
                 struct err *err) MUST_CHECK;

/** Takes it apart. -EINVAL: it is none. */
int ws_pair_path_parse(const char *path, unsigned *ret_nameplate, bool *ret_inviting) MUST_CHECK;

#endif
