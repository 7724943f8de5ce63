/*
 * sync/net/libp2p/peer_record - the addresses of a peer as it signs them itself, in an envelope
 * that says who signed what. Pure. Thread: any.
 *
 * Source: libp2p specs, RFC 0002 and RFC 0003; domain and type as go, js and rust have them.
 */
#ifndef SYNC_NET_LIBP2P_PEER_RECORD_H
#define SYNC_NET_LIBP2P_PEER_RECORD_H

#include "proto/peer_id.h"
#include "proto/peer_key.h"
#include "sync/net/libp2p/message.h"

/**
 * Appends an envelope with a record of @addrs, binary and without /p2p/ID, signed by the Ed25519
 * key pair @identity. @seq is greater than that of every earlier record. Errors: -EMSGSIZE longer
 * than P2P_IDENTIFY_SENT; -ENOMEM.
 */
int peer_record_put(struct buf *b, const uint8_t identity[static PEER_KEY_SECRET_BYTES],
                    const struct bytes *addrs, size_t addrs_n, uint64_t seq) MUST_CHECK;

/* A record. Free: peer_record_fini(). */
struct peer_record {
    uint64_t seq;
    size_t addrs_n; /* not looked at yet */
    struct message message;
    const void *inner; /* what protobuf-c made of it */
};

/**
 * Opens an envelope. What is accepted is signed by the peer with @id, about itself; whether its seq
 * is new is for the caller to see. Errors: -EBADMSG.
 */
int peer_record_open(struct peer_record *r, struct bytes envelope,
                     const uint8_t id[static PEER_ID_BYTES]) MUST_CHECK;

/** Its address @i; borrowed, and may be anything. */
struct bytes peer_record_addr(const struct peer_record *r, size_t i);

/** Accepts NULL, and all zero. */
void peer_record_fini(struct peer_record *r);

#endif
