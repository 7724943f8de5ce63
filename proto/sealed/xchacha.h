/*
 * proto/sealed/xchacha - XChaCha20-Poly1305 as libsodium's crypto_aead_xchacha20poly1305_ietf does
 * it, byte for byte, with ChaCha20-Poly1305 (RFC 8439) of OpenSSL, which takes less than half the
 * time: a big file is sealed whole. Thread: any.
 */
#ifndef PROTO_SEALED_XCHACHA_H
#define PROTO_SEALED_XCHACHA_H

#include <sodium.h>

#include "proto/base/buf.h"

enum {
    XCHACHA_KEY_SIZE = crypto_aead_xchacha20poly1305_ietf_KEYBYTES,
    XCHACHA_NONCE_SIZE = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
    XCHACHA_TAG_SIZE = crypto_aead_xchacha20poly1305_ietf_ABYTES
};

/** Writes the ciphertext of @plain and the tag to @ret: XCHACHA_TAG_SIZE more bytes. 0 or -ENOMEM.
 */
int xchacha_seal(const uint8_t key[static XCHACHA_KEY_SIZE],
                 const uint8_t nonce[static XCHACHA_NONCE_SIZE], struct bytes ad,
                 struct bytes plain, uint8_t *ret) MUST_CHECK;

/** Opens what that wrote into @ret: XCHACHA_TAG_SIZE fewer bytes, which are zeros when it fails.
 * 0, -EBADMSG or -ENOMEM. */
int xchacha_open(const uint8_t key[static XCHACHA_KEY_SIZE],
                 const uint8_t nonce[static XCHACHA_NONCE_SIZE], struct bytes ad,
                 struct bytes sealed, uint8_t *ret) MUST_CHECK;

#endif
