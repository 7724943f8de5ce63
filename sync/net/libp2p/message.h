/*
 * sync/net/libp2p/message - protobuf messages of strangers: taken off a stream, each after its
 * length, and decoded within a budget. Pure. Thread: any.
 */
#ifndef SYNC_NET_LIBP2P_MESSAGE_H
#define SYNC_NET_LIBP2P_MESSAGE_H

#include <protobuf-c/protobuf-c.h>

#include "proto/base/buf.h"

/* What comes on a stream. All zero, but for max, is valid and empty. */
struct message_reader {
    size_t max;      /* bytes of a message */
    struct buf part; /* of a message, its length included */
};

/**
 * Takes bytes off the front of *in, up to the end of one message: 1, and it is *ret, which is valid
 * until the next call; or 0: all was taken, and more is needed. What it keeps grows with what came,
 * not with what a length promises. Errors: -EPROTO longer than max; -ENOMEM.
 */
int message_next(struct message_reader *r, struct bytes *in, struct bytes *ret) MUST_CHECK;

/** Whether the stream ended within a message. */
bool message_cut(const struct message_reader *r);

void message_reader_fini(struct message_reader *r);

/* A decoded message, with all that it is made of. All zero is valid and empty. */
struct message {
    uint8_t *arena;
    size_t used, cap;
};

/**
 * Decodes @in, which costs a small multiple of its length and no more, whatever it says. Returns
 * what protobuf-c makes of @type, which lives as long as @m; NULL: it is no such message, is out of
 * proportion, or memory ran out.
 */
const void *message_unpack(struct message *m, const ProtobufCMessageDescriptor *type,
                           struct bytes in);

/** Frees it. Accepts NULL. */
void message_fini(struct message *m);

#endif
