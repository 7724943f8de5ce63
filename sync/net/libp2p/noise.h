/*
 * sync/net/libp2p/noise - the Noise XX handshake of libp2p, and what is said under its keys: bytes
 * in, bytes out. Pure, but for the random numbers. Thread: any, one at a time.
 *
 * A side knows nothing of the other until noise_handshake() returned 1; then its identity is
 * proven. Any failure ends the machine: its keys are wiped, and every later call fails with the
 * same error. Source: libp2p specs, noise.
 */
#ifndef SYNC_NET_LIBP2P_NOISE_H
#define SYNC_NET_LIBP2P_NOISE_H

#include "proto/peer_id.h"
#include "sync/net/libp2p/noise_payload.h"

struct noise_config {
    bool initiator;
    const struct noise_keys *keys; /* borrowed until the handshake is over */
    const uint8_t *expect;         /* PEER_ID_BYTES: who was dialed; NULL: anyone. Copied */
    const char *const *muxers;     /* what is offered, the best first; borrowed as keys */
    size_t muxers_n;
};

enum noise_stage {
    NOISE_AWAITS_1, /* the responder: the first message */
    NOISE_AWAITS_2, /* the initiator: the second */
    NOISE_AWAITS_3, /* the responder: the third */
    NOISE_OPEN,
    NOISE_FAILED
};

struct noise {
    enum noise_stage stage;
    int failure; /* the error of NOISE_FAILED */

    /* Once it is open. */
    uint8_t remote[PEER_ID_BYTES];
    uint8_t hash[NOISE_HASH_BYTES]; /* of the handshake: both have the same, no other has it */
    int muxer;                      /* see struct noise_payload */
    struct noise_cipher out, in;

    /* Of the handshake. */
    struct noise_config cfg;
    bool expects;
    uint8_t expect[PEER_ID_BYTES];
    struct noise_state state;
    uint8_t e_secret[NOISE_KEY_BYTES];
    uint8_t remote_e[NOISE_KEY_BYTES];

    struct buf part; /* of a message that is not whole */
};

/** Begins; an initiator's first message is appended to @out. Free: noise_fini(). Errors: -ENOMEM.
 */
int noise_init(struct noise *n, const struct noise_config *cfg, struct buf *out) MUST_CHECK;

/** Wipes and frees. Accepts NULL. */
void noise_fini(struct noise *n);

/**
 * Takes bytes of the handshake off the front of *in, and appends answers to @out. 1: it is over,
 * and what is left of *in is for noise_decrypt(); 0: more is needed. What an initiator's last
 * call appended must go out even so.
 * Errors, with a message: -EPROTO a message of another length; -EBADMSG what does not decrypt,
 * parse or verify; -ENOTSUP a peer without an Ed25519 key; -EPERM another peer than was dialed, or
 * this one itself; -ENOPROTOOPT no muxer in common; -ENOMEM.
 */
int noise_handshake(struct noise *n, struct bytes *in, struct buf *out, struct err *err) MUST_CHECK;

/** Appends @plain, encrypted, to @out: a message for every P2P_NOISE_PLAIN bytes. Only when it is
 * open. Errors: -EOVERFLOW, -ENOMEM. */
int noise_encrypt(struct noise *n, struct bytes plain, struct buf *out) MUST_CHECK;

/**
 * Takes all of @in and appends what it decrypts to, no longer than @in and what was kept, to @out.
 * Only when it is open. Errors: -EBADMSG, -EOVERFLOW, -ENOMEM; what was appended before is good.
 */
int noise_decrypt(struct noise *n, struct bytes in, struct buf *out) MUST_CHECK;

#endif
