/*
 * sync/net/libp2p/yamux_frame - the header of a yamux frame. Pure. Thread: any.
 *
 *   version 1 (0) · type 1 · flags 2 · stream 4 · length 4
 *
 * Source: libp2p specs, yamux.
 */
#ifndef SYNC_NET_LIBP2P_YAMUX_FRAME_H
#define SYNC_NET_LIBP2P_YAMUX_FRAME_H

#include "proto/base/buf.h"

enum { YAMUX_HEADER_SIZE = 12 };

enum yamux_type {
    YAMUX_TYPE_DATA,   /* length: bytes that follow */
    YAMUX_TYPE_WINDOW, /* length: how many more bytes the other side may send */
    YAMUX_TYPE_PING,   /* length: any value, which the answer repeats */
    YAMUX_TYPE_AWAY    /* length: enum yamux_code */
};

enum { YAMUX_SYN = 1, YAMUX_ACK = 2, YAMUX_FIN = 4, YAMUX_RST = 8 };

struct yamux_header {
    uint8_t type; /* one of enum yamux_type */
    uint16_t flags;
    uint32_t stream;
    uint32_t length;
};

void yamux_header_put(const struct yamux_header *h, uint8_t ret[static YAMUX_HEADER_SIZE]);

/** 0; -EPROTO another version, an unknown type, or a stream where none belongs and the reverse.
 * Flags that nobody knows are left as they are. */
int yamux_header_get(const uint8_t p[static YAMUX_HEADER_SIZE],
                     struct yamux_header *ret) MUST_CHECK;

#endif
