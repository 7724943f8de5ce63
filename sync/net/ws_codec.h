/*
 * sync/net/ws_codec - frames of a WebSocket as a client sends and gets them (RFC 6455, section 5),
 * sans IO and without extensions. Pure. Thread: any.
 */
#ifndef SYNC_NET_WS_CODEC_H
#define SYNC_NET_WS_CODEC_H

#include "proto/base/buf.h"

enum ws_opcode {
    WS_OP_CONTINUATION = 0,
    WS_OP_TEXT = 1,
    WS_OP_BINARY = 2,
    WS_OP_CLOSE = 8,
    WS_OP_PING = 9,
    WS_OP_PONG = 10
};

enum {
    WS_MASK_SIZE = 4,
    WS_CONTROL_MAX = 125, /* bytes that a close, a ping or a pong carries */
    WS_HEAD_MAX = 14      /* bytes before the payload of a frame */
};

/** Appends a frame with its payload masked; @last: the message, or the control frame, ends with it.
 * Each frame has a @mask that nobody can foresee. */
void ws_frame_put(struct buf *b, enum ws_opcode op, bool last, const uint8_t mask[WS_MASK_SIZE],
                  struct bytes payload);

/* What came of a server's frames so far; all zero is valid, of a connection that begins. */
struct ws_decoder {
    uint8_t head[10];
    size_t head_n;
    bool in_frame, last;
    enum ws_opcode op;      /* of the frame; of a continuation, that of its message */
    enum ws_opcode message; /* of the message that goes on in the next frame; 0: none does */
    uint64_t left;          /* bytes of the frame that are still to come */
    uint8_t control[WS_CONTROL_MAX];
    size_t control_n;
};

struct ws_event {
    enum ws_opcode op; /* text or binary: a piece of a message; or a whole control frame */
    bool last;         /* of a piece: the message ends with it */
    uint64_t coming;   /* of a piece: bytes of the same frame that follow it */
    struct bytes data; /* borrowed: a piece from what was given, else until the next call */
};

/**
 * Takes what comes next off the front of @in: 1, and *ret. 0: all was taken, and more is needed.
 * Errors: -EPROTO what no server may send; then the connection is to be ended.
 */
int ws_decode(struct ws_decoder *d, struct bytes *in, struct ws_event *ret) MUST_CHECK;

#endif
