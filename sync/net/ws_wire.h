/*
 * sync/net/ws_wire - what carries a client's connection: a stream, the handshake, frames.
 * Thread: the loop's.
 *
 * libwebsockets does this too, but it masks and reads byte by byte, which is a third of what a big
 * file costs.
 */
#ifndef SYNC_NET_WS_WIRE_H
#define SYNC_NET_WS_WIRE_H

#include "sync/net/stream.h"
#include "sync/net/ws_priv.h"

struct ws_wire_config {
    struct stream_config stream; /* without its function */
    const char *path, *host;
    const char *subprotocol;   /* NULL: none; as long as the wire lives */
    const char *authorization; /* of the header; NULL: none */
    /** Called before ws_gone() when it was not opened: the server's answer or 0, and what
     * failed. */
    void (*failed)(struct ws *w, unsigned status, const char *why);
};

extern const struct ws_carrier ws_wire_carrier;

/** Begins to connect: then @w has a wire. Its texts are not needed any more. Errors: those of
 * stream_new(); then failed() is not called. */
int ws_wire_new(struct ws *w, const struct ws_wire_config *cfg) MUST_CHECK;

#endif
