#include "tests/support/far.h"

#include <sodium.h>
#include <stdlib.h>

static const char *const security[] = {"/noise"};
static const char *const muxer[] = {"/yamux/1.0.0"};

void far_keys(struct noise_keys *ret, uint8_t ret_id[PEER_ID_BYTES])
{
    uint8_t public[PEER_KEY_PUBLIC_BYTES];
    uint8_t secret[PEER_KEY_SECRET_BYTES];
    crypto_sign_keypair(public, secret);
    if (noise_keys_init(ret, secret) < 0)
        abort();
    if (ret_id != NULL)
        peer_id_of_key(public, ret_id);
}

void far_init(struct far *f, bool dials, bool early, const struct noise_keys *keys)
{
    *f = (struct far){.dials = dials, .early = early, .keys = keys};
    mss_init(&f->mss, dials, security, 1, &f->out);
}

void far_fini(struct far *f)
{
    noise_fini(&f->noise);
    buf_fini(&f->out);
    buf_fini(&f->plain);
}

void far_say(struct far *f, struct bytes plain)
{
    if (noise_encrypt(&f->noise, plain, &f->out) < 0)
        f->stage = FAR_FAILED;
}

void far_frame(struct far *f, unsigned type, unsigned flags, uint32_t stream, uint32_t length,
               struct bytes payload)
{
    struct buf b CLEANUP(buf_fini) = {0};
    buf_put_u8(&b, 0);
    buf_put_u8(&b, (uint8_t)type);
    buf_put_u16(&b, (uint16_t)flags);
    buf_put_u32(&b, stream);
    buf_put_u32(&b, length);
    buf_put_bytes(&b, payload);
    far_say(f, buf_bytes(&b));
}

static int begin_noise(struct far *f)
{
    struct noise_config cfg = {
        .initiator = f->dials, .keys = f->keys, .muxers = muxer, .muxers_n = f->early ? 1 : 0};
    f->stage = FAR_HANDSHAKE;
    return noise_init(&f->noise, &cfg, &f->out);
}

static int begin_muxer(struct far *f)
{
    struct buf said CLEANUP(buf_fini) = {0};
    f->stage = f->noise.muxer >= 0 ? FAR_OPEN : FAR_MUXER;
    if (f->stage == FAR_OPEN)
        return 0;
    mss_init(&f->mss, f->dials, muxer, 1, &said);
    return noise_encrypt(&f->noise, buf_bytes(&said), &f->out);
}

static int feed_muxer(struct far *f)
{
    struct buf said CLEANUP(buf_fini) = {0};
    struct bytes in = buf_bytes(&f->plain);
    int rc = mss_feed(&f->mss, &in, &said);
    if (said.n > 0 && noise_encrypt(&f->noise, buf_bytes(&said), &f->out) < 0)
        return -1;
    memmove(f->plain.p, in.p, in.n);
    f->plain.n = in.n;
    if (rc == 1)
        f->stage = FAR_OPEN;
    return rc < 0 ? rc : 0;
}

void far_feed(struct far *f, struct bytes in)
{
    struct err err;
    int rc = 0;
    if (f->stage == FAR_SECURITY) {
        rc = mss_feed(&f->mss, &in, &f->out);
        rc = rc == 1 ? begin_noise(f) : rc;
    }
    if (rc == 0 && f->stage == FAR_HANDSHAKE) {
        rc = noise_handshake(&f->noise, &in, &f->out, &err);
        rc = rc == 1 ? begin_muxer(f) : rc;
    }
    if (rc == 0 && in.n > 0 && (f->stage == FAR_MUXER || f->stage == FAR_OPEN))
        rc = noise_decrypt(&f->noise, in, &f->plain);
    if (rc == 0 && f->plain.n > 0 && f->stage == FAR_MUXER)
        rc = feed_muxer(f);
    if (rc < 0)
        f->stage = FAR_FAILED;
}
