/*
 * A hostile peer in a Noise handshake and after it. The first byte says what the rest is: what is
 * said to one of the roles, what is done to the messages of an honest peer, what follows on a
 * handshake, or a payload that decrypted.
 */
#include <sodium.h>

#include "sync/net/libp2p/limits.h"
#include "sync/net/libp2p/noise.h"
#include "tests/fuzz/parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const muxers[] = {"/yamux/1.0.0"};

struct side {
    struct noise n;
    struct buf out;
    int rc;
};

/* The same at each run, so that an input does the same each time. */
static const struct noise_keys *keys_of(unsigned who)
{
    static struct noise_keys keys[2];
    static bool made;
    for (unsigned i = 0; !made && i < 2; i++) {
        uint8_t seed[32], public[PEER_KEY_PUBLIC_BYTES], secret[PEER_KEY_SECRET_BYTES];
        memset(seed, (int)i + 1, sizeof seed);
        crypto_sign_seed_keypair(public, secret, seed);
        must(noise_keys_init(&keys[i], secret) == 0);
    }
    made = true;
    return &keys[who];
}

static void begin(struct side *s, bool initiator)
{
    struct noise_config cfg = {.initiator = initiator,
                               .keys = keys_of(initiator ? 0 : 1),
                               .muxers = muxers,
                               .muxers_n = 1};
    memset(s, 0, sizeof *s);
    must(noise_init(&s->n, &cfg, &s->out) == 0);
}

static void end(struct side *s)
{
    noise_fini(&s->n);
    buf_fini(&s->out);
}

/* Pieces of @step bytes. */
static void say(struct side *to, struct bytes in, size_t step)
{
    struct err err;
    while (to->rc == 0 && in.n > 0) {
        struct bytes piece = bytes_of(in.p, (size_t)min_u64(step, in.n));
        in = bytes_of(in.p + piece.n, in.n - piece.n);
        to->rc = noise_handshake(&to->n, &piece, &to->out, &err);
        must(to->rc != 0 || piece.n == 0);
        must(to->rc >= 0 || (err.code == to->rc && err.msg[0] != '\0'));
    }
    must(to->n.part.n <= 2 + P2P_NOISE_HANDSHAKE);
}

/* Nobody without a key gets to the end of a handshake. */
static void check_role(struct bytes in, bool initiator)
{
    for (size_t step = 1; step <= in.n + 1; step += in.n + 1) {
        struct side s;
        begin(&s, initiator);
        say(&s, in, step);
        must(s.rc <= 0);
        end(&s);
    }
}

static void pass(struct side *from, struct side *to)
{
    say(to, buf_bytes(&from->out), SIZE_MAX);
    buf_reset(&from->out);
}

/* The bytes of @in are added to those of message @which of an honest handshake, from @at on. */
static void check_changed(struct bytes in, unsigned which, size_t at)
{
    struct side a, b;
    bool changed = false;
    begin(&a, true);
    begin(&b, false);
    for (unsigned message = 1; message <= 3; message++) {
        struct side *from = message == 2 ? &b : &a, *to = message == 2 ? &a : &b;
        for (size_t i = 0; message == which && i < in.n && at + i < from->out.n; i++) {
            changed = changed || in.p[i] != 0;
            from->out.p[at + i] ^= in.p[i];
        }
        pass(from, to);
    }
    must(changed ? a.rc <= 0 || b.rc <= 0 : a.rc == 1 && b.rc == 1);
    end(&a);
    end(&b);
}

/* What follows on a handshake: an honest message, then anything. */
static void check_transport(struct bytes in)
{
    struct side a, b;
    struct buf got = {0};
    begin(&a, true);
    begin(&b, false);
    pass(&a, &b);
    pass(&b, &a);
    pass(&a, &b);
    must(a.rc == 1 && b.rc == 1 && memcmp(a.n.hash, b.n.hash, sizeof a.n.hash) == 0);
    must(noise_encrypt(&a.n, in, &a.out) == 0);
    must(noise_decrypt(&b.n, buf_bytes(&a.out), &got) == 0);
    must(bytes_equal(buf_bytes(&got), in));
    size_t before = got.n;
    int rc = noise_decrypt(&b.n, in, &got);
    must(got.n == before && b.n.part.n <= in.n);
    must(rc == 0 || noise_decrypt(&b.n, bytes_of(NULL, 0), &got) == rc);
    buf_fini(&got);
    end(&a);
    end(&b);
}

static void check_payload(struct bytes in)
{
    struct noise_payload p;
    struct err err;
    const struct noise_keys *k = keys_of(0);
    if (noise_payload_get(in, k->static_public, muxers, 1, true, &p, &err) == 0)
        must(memcmp(p.identity, k->identity, sizeof p.identity) == 0 && p.muxer < 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || sodium_init() < 0)
        return 0;
    struct bytes in = bytes_of(data + 2, size - 2);
    switch (data[0] % 8) {
    case 0:
        check_role(in, false);
        break;
    case 1:
        check_role(in, true);
        break;
    case 2:
    case 3:
    case 4:
        check_changed(in, data[0] % 8u - 1, data[1]);
        break;
    case 5:
        check_transport(in);
        break;
    default:
        check_payload(in);
        break;
    }
    return 0;
}
