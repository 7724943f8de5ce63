/*
 * sync/net/libp2p/noise_state - the symmetric half of Noise: ciphers, and the state that each
 * message of a handshake is mixed into. ChaCha20-Poly1305 and SHA-256. Pure. Thread: any.
 *
 * Everything in these structs is secret: wipe them.
 * Source: the Noise Protocol Framework, sections 5.1 and 5.2.
 */
#ifndef SYNC_NET_LIBP2P_NOISE_STATE_H
#define SYNC_NET_LIBP2P_NOISE_STATE_H

#include "proto/base/buf.h"

enum { NOISE_HASH_BYTES = 32, NOISE_KEY_BYTES = 32, NOISE_TAG_BYTES = 16 };

struct noise_cipher {
    uint8_t key[NOISE_KEY_BYTES];
    uint64_t n; /* of the next message: no number is used twice */
};

/** Writes ciphertext and tag, plain.n + NOISE_TAG_BYTES, to @to. Errors: -EOVERFLOW: no number is
 * left. */
int noise_cipher_seal(struct noise_cipher *c, struct bytes ad, struct bytes plain,
                      uint8_t *to) MUST_CHECK;
/** Writes the plaintext, sealed.n - NOISE_TAG_BYTES, to @to. Errors: -EBADMSG, -EOVERFLOW. */
int noise_cipher_open(struct noise_cipher *c, struct bytes ad, struct bytes sealed,
                      uint8_t *to) MUST_CHECK;

struct noise_state {
    uint8_t h[NOISE_HASH_BYTES];  /* of all that was said */
    uint8_t ck[NOISE_HASH_BYTES]; /* of all secrets that were agreed on */
    struct noise_cipher cipher;
};

/** Begins: @name has 32 bytes, the prologue is empty. */
void noise_state_init(struct noise_state *s, const char *name);

/** Mixes in what went over in clear. */
void noise_mix_hash(struct noise_state *s, struct bytes v);
/** Mixes in a secret; the cipher begins anew with what comes out. */
void noise_mix_key(struct noise_state *s, const uint8_t secret[static NOISE_KEY_BYTES]);

/** As the cipher's, with all that was said so far bound to it; what goes over is mixed in. */
int noise_state_seal(struct noise_state *s, struct bytes plain, uint8_t *to) MUST_CHECK;
int noise_state_open(struct noise_state *s, struct bytes sealed, uint8_t *to) MUST_CHECK;

/** Ends: the ciphers of the two directions. @s is of no more use. */
void noise_split(const struct noise_state *s, struct noise_cipher *ret_initiator,
                 struct noise_cipher *ret_responder);

#endif
