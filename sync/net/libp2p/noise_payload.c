#include "sync/net/libp2p/noise_payload.h"

#include <errno.h>
#include <sodium.h>

#include "proto/frame.h"
#include "proto/libp2p.pb-c.h"
#include "sync/net/libp2p/limits.h"
#include "sync/net/libp2p/message.h"

#define LABEL "noise-libp2p-static-key:"

enum { LABEL_BYTES = sizeof LABEL - 1, SIGNED_BYTES = LABEL_BYTES + NOISE_KEY_BYTES };

_Static_assert(crypto_scalarmult_curve25519_BYTES == NOISE_KEY_BYTES, "X25519");
_Static_assert(crypto_sign_BYTES == NOISE_SIGNATURE_BYTES, "Ed25519");

static void signed_of(const uint8_t static_public[static NOISE_KEY_BYTES],
                      uint8_t ret[static SIGNED_BYTES])
{
    memcpy(ret, LABEL, LABEL_BYTES);
    memcpy(ret + LABEL_BYTES, static_public, NOISE_KEY_BYTES);
}

int noise_keys_init(struct noise_keys *k, const uint8_t identity[static PEER_KEY_SECRET_BYTES])
{
    uint8_t m[SIGNED_BYTES];
    if (sodium_init() < 0)
        return -EIO;
    memcpy(k->identity, identity + PEER_KEY_SECRET_BYTES - sizeof k->identity, sizeof k->identity);
    randombytes_buf(k->static_secret, sizeof k->static_secret);
    crypto_scalarmult_curve25519_base(k->static_public, k->static_secret);
    signed_of(k->static_public, m);
    crypto_sign_detached(k->signature, NULL, m, sizeof m, identity);
    return 0;
}

void noise_keys_fini(struct noise_keys *k)
{
    sodium_memzero(k, sizeof *k);
}

int noise_payload_put(struct buf *b, const struct noise_keys *k, const char *const *muxers,
                      size_t muxers_n)
{
    uint8_t key[PEER_KEY_BYTES];
    ProtobufCBinaryData list[P2P_MUXERS];
    Libp2p__NoiseExtensions e = LIBP2P__NOISE_EXTENSIONS__INIT;
    Libp2p__NoisePayload p = LIBP2P__NOISE_PAYLOAD__INIT;
    peer_key_encode(k->identity, key);
    for (size_t i = 0; i < muxers_n && i < ARRAY_N(list); i++)
        list[e.n_stream_muxers++] = frame_data(bytes_str(muxers[i]));
    e.stream_muxers = list;
    p.has_identity_key = p.has_identity_sig = true;
    p.identity_key = frame_data(bytes_of(key, sizeof key));
    p.identity_sig = frame_data(bytes_of(k->signature, sizeof k->signature));
    p.extensions = muxers_n > 0 ? &e : NULL;
    return frame_pack(&p.base, P2P_NOISE_HANDSHAKE, b);
}

/* The place of @name in ours, or -1. */
static int ours_named(struct bytes name, const char *const *muxers, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (bytes_equal(name, bytes_str(muxers[i])))
            return (int)i;
    return -1;
}

static int choose(const Libp2p__NoiseExtensions *e, const char *const *muxers, size_t n,
                  bool theirs_first)
{
    int best = -1;
    for (size_t i = 0; i < e->n_stream_muxers; i++) {
        int at = ours_named(frame_bytes(e->stream_muxers[i]), muxers, n);
        if (at >= 0 && (best < 0 || (!theirs_first && at < best)))
            best = at;
    }
    return best;
}

int noise_payload_get(struct bytes in, const uint8_t static_public[static NOISE_KEY_BYTES],
                      const char *const *muxers, size_t muxers_n, bool theirs_first,
                      struct noise_payload *ret, struct err *err)
{
    uint8_t m[SIGNED_BYTES];
    struct message message CLEANUP(message_fini) = {0};
    const Libp2p__NoisePayload *p =
        message_unpack(&message, &libp2p__noise_payload__descriptor, in);
    if (p == NULL || !p->has_identity_key || !p->has_identity_sig)
        return err_set(err, -EBADMSG, "handshake: the peer does not say who it is");
    int rc = peer_key_decode(frame_bytes(p->identity_key), ret->identity);
    if (rc < 0)
        return err_set(err, rc, "handshake: the peer's key is %s",
                       rc == -ENOTSUP ? "none of Ed25519" : "not to be read");
    signed_of(static_public, m);
    if (p->identity_sig.len != NOISE_SIGNATURE_BYTES ||
        crypto_sign_verify_detached(p->identity_sig.data, m, sizeof m, ret->identity) != 0)
        return err_set(err, -EBADMSG, "handshake: the peer is not who it says it is");
    const Libp2p__NoiseExtensions *e = p->extensions;
    ret->muxer = -1;
    if (e == NULL || e->n_stream_muxers == 0 || muxers_n == 0)
        return 0;
    if (e->n_stream_muxers <= P2P_MUXERS)
        ret->muxer = choose(e, muxers, muxers_n, theirs_first);
    if (ret->muxer < 0)
        return err_set(err, -ENOPROTOOPT, "handshake: the peer has no muxer that is known here");
    return 0;
}
