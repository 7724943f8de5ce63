/*
 * sync/net/libp2p/multistream - two sides agree on the protocol of a stream (multistream-select
 * 1.0): of a connection before Noise, after it, and of each stream of a muxer. Pure. Thread: any.
 *
 * Both say first which language this is, without waiting for the other. The initiator proposes, the
 * responder repeats what it takes and says "na" to all else. The byte after that is the protocol's.
 *
 * An initiator may send the protocol's first bytes at once, behind what mss_init() put out. When
 * the responder says "na" these are lost with it: only with a list of one proposal, where the
 * stream fails then anyway.
 *
 * Source: libp2p specs, connections.
 */
#ifndef SYNC_NET_LIBP2P_MULTISTREAM_H
#define SYNC_NET_LIBP2P_MULTISTREAM_H

#include <stdbool.h>

#include "proto/base/buf.h"
#include "sync/net/libp2p/limits.h"

struct mss {
    const char *const *protocols;
    size_t n;
    size_t at; /* initiator: the proposal that is out; both: what was agreed on */
    bool initiator;
    bool greeted;        /* the other side's first message came */
    unsigned refused;    /* proposals */
    size_t have, length; /* of the message that comes; its length is known when have_length */
    bool have_length;
    uint8_t message[P2P_NEGOTIATION_BYTES];
};

/**
 * Begins: appends to @out what is said first. @protocols: the initiator's proposals, the best
 * first, or what the responder serves; at least one, borrowed until the end. An id that a
 * responder is proposed must be one of these exactly.
 */
void mss_init(struct mss *m, bool initiator, const char *const *protocols, size_t n,
              struct buf *out);

/**
 * Takes off the front of *in exactly the bytes that belong to the negotiation, and appends answers
 * to @out. 1: agreed on m->protocols[m->at], and what is left of *in is the protocol's; 0: more
 * is needed. Errors, after which the stream is to be reset: -EPROTO no message, too long, or not
 * an answer; -ENOPROTOOPT nothing in common, or too many proposals; -ENOMEM (of @out).
 */
int mss_feed(struct mss *m, struct bytes *in, struct buf *out) MUST_CHECK;

#endif
