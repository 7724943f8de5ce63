/*
 * tests/support/far - the other side of a connection to a libp2p peer, up to the frames of yamux:
 * what it says there is the test's. Thread: one.
 */
#ifndef TESTS_SUPPORT_FAR_H
#define TESTS_SUPPORT_FAR_H

#include "sync/net/libp2p/multistream.h"
#include "sync/net/libp2p/noise.h"
#include "sync/net/libp2p/yamux_frame.h"

struct far {
    bool early; /* the handshake agrees on yamux; else that is negotiated behind it */
    bool dials;
    enum { FAR_SECURITY, FAR_HANDSHAKE, FAR_MUXER, FAR_OPEN, FAR_FAILED } stage;
    const struct noise_keys *keys;
    struct mss mss;
    struct noise noise;
    struct buf out;   /* for the peer */
    struct buf plain; /* that came when it is open */
};

/** @keys: borrowed. */
void far_init(struct far *f, bool dials, bool early, const struct noise_keys *keys);
void far_fini(struct far *f);
/** Takes what the peer wrote. */
void far_feed(struct far *f, struct bytes in);
/** Says @plain, when it is open. */
void far_say(struct far *f, struct bytes plain);
/** Says a frame of yamux, with its payload when it is of data. */
void far_frame(struct far *f, unsigned type, unsigned flags, uint32_t stream, uint32_t length,
               struct bytes payload);

/** Keys of a new identity, whose id is in ret_id (NULL: not asked for). */
void far_keys(struct noise_keys *ret, uint8_t ret_id[PEER_ID_BYTES]);

#endif
