/*
 * proto/frame - frames of proto/session.proto and proto/local.proto as bytes.
 *
 * Decoding checks what the .proto files say of lengths and counts, so that who handles a frame need
 * not. It allocates a small multiple of the length of what came. Thread: any.
 * Source: Protocol Buffers, proto3 encoding.
 */
#ifndef PROTO_FRAME_H
#define PROTO_FRAME_H

#include "proto/base/buf.h"
#include "proto/local.pb-c.h"
#include "proto/session.pb-c.h"

enum {
    FRAME_VERSION = 1,         /* of proto/session.proto: that which this program speaks */
    FRAME_MAX = 512 * 1024,    /* a frame of a session, encoded */
    FRAME_LOCAL_MAX = 1 << 20, /* one between processes */
    FRAME_ITEMS_MAX = 1024,    /* items in an Items */
    FRAME_CHUNKS_MAX = 256,    /* ids in a GetChunks, and chunks asked for in all */
    FRAME_DOTS_MAX = 4096,     /* dots in a Dots */
    FRAME_OFFER_MAX = 256,     /* dots in an Offer */
    FRAME_HEAD_SIZE = 8,       /* of each, the beginning of a hash */
    FRAME_OFFERS_MAX = 4,      /* Offers that are not answered */
    FRAME_SPACES_MAX = 100,    /* spaces in a Spaces */
    FRAME_ONLINE_MAX = 64,     /* devices in an Online: as many as a space has members */
    FRAME_NAMES_MAX = 6,       /* names in a Members */
    FRAME_LISTEN_MAX = 64,     /* addresses in a P2p */
    FRAME_PAIR_MAX = 64 << 10, /* bytes in a PairData */
    FRAME_CHANNEL_SIZE = 32,
    FRAME_TEXT_MAX = 512,      /* bytes of a sentence; longer ones are refused */
    FRAME_VERSIONS_SIZE = 124, /* of frame_versions_text(): fits the reason of a close */
    FRAME_NONCE_SIZE = 32,
    FRAME_RUN_SIZE = 16,
    FRAME_PUT_WINDOW = 16 << 20,    /* bytes of Puts that are not Done */
    FRAME_PASSING_WINDOW = 2 << 20, /* and of chunks in Passing that are not Passed */
};

/** Decodes and checks a session frame. -EBADMSG, -ENOMEM. Free: frame_free(). */
int frame_decode(struct bytes in, Persist__Frame **ret) MUST_CHECK;
void frame_free(Persist__Frame *f); /* accepts NULL */

/** Appends the encoding of @f. -EMSGSIZE longer than FRAME_MAX; -ENOMEM. */
int frame_encode(const Persist__Frame *f, struct buf *ret) MUST_CHECK;

/** The same for a local frame, with FRAME_LOCAL_MAX. */
int frame_local_decode(struct bytes in, Persist__Local **ret) MUST_CHECK;
void frame_local_free(Persist__Local *f); /* accepts NULL */
int frame_local_encode(const Persist__Local *f, struct buf *ret) MUST_CHECK;

/** Appends the encoding of any message. -EMSGSIZE longer than @max; -ENOMEM. */
int frame_pack(const ProtobufCMessage *m, size_t max, struct buf *ret) MUST_CHECK;

/**
 * What either side says when the two have no version in common: which program is older, and what
 * to do. @server: the newest that it speaks.
 */
const char *frame_versions_text(uint32_t device, uint32_t server, char ret[FRAME_VERSIONS_SIZE]);

/** Views between this program's bytes and protobuf-c's. The result is not written to. */
static inline struct bytes frame_bytes(ProtobufCBinaryData v)
{
    return bytes_of(v.data, v.len);
}

ProtobufCBinaryData frame_data(struct bytes v);

#endif
