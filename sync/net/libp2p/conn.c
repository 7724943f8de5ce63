#include "sync/net/libp2p/conn.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#include "sync/net/libp2p/conn_priv.h"

#define NOISE_PROTOCOL "/noise"

static const char *const securities[] = {NOISE_PROTOCOL};
static const char *const muxers[] = {YAMUX_PROTOCOL};

/* ---- begin and end -----------------------------------------------------------------------------
 */

int conn_new(const struct conn_config *cfg, uint64_t now_ms, struct conn **ret)
{
    assert(cfg->protocols_n <= CONN_PROTOCOLS_MAX);
    struct conn *c = calloc(1, sizeof *c);
    if (c == NULL)
        return -ENOMEM;
    c->cfg = *cfg;
    c->began_ms = c->now_ms = now_ms;
    ring_init(&c->streams);
    if (cfg->expect != NULL) {
        memcpy(c->expect, cfg->expect, PEER_ID_BYTES);
        c->cfg.expect = c->expect;
    }
    for (size_t i = 0; i < cfg->protocols_n; i++)
        c->served[i] = cfg->protocols[i].id;
    mss_init(&c->mss, cfg->dials, securities, ARRAY_N(securities), &c->out);
    if (buf_status(&c->out) < 0) {
        conn_free(c);
        return -ENOMEM;
    }
    *ret = c;
    return 0;
}

static void wipe(struct buf *b)
{
    if (b->p != NULL)
        sodium_memzero(b->p, b->cap);
    buf_fini(b);
}

void conn_free(struct conn *c)
{
    if (c == NULL)
        return;
    c->calling = true;
    c->stage = CONN_FAILED; /* closed() can open nothing */
    yamux_free(c->y);
    noise_fini(&c->noise);
    wipe(&c->plain);
    wipe(&c->frames);
    buf_fini(&c->out);
    free(c);
}

static int fail(struct conn *c, int rc)
{
    if (c->stage == CONN_FAILED)
        return c->failure;
    if (c->why.msg[0] == '\0')
        err_set(&c->why, rc, "the peer broke the rules of %s",
                c->stage == CONN_OPEN ? "yamux" : "the negotiation");
    c->stage = CONN_FAILED;
    c->failure = rc;
    return rc;
}

/* ---- what comes --------------------------------------------------------------------------------
 */

static int begin_noise(struct conn *c)
{
    struct noise_config cfg = {.initiator = c->cfg.dials,
                               .keys = c->cfg.keys,
                               .expect = c->cfg.expect,
                               .muxers = muxers,
                               .muxers_n = ARRAY_N(muxers)};
    c->stage = CONN_HANDSHAKE;
    return noise_init(&c->noise, &cfg, &c->out);
}

static int begin_streams(struct conn *c)
{
    int rc = yamux_new(c->cfg.dials, &conn_yamux_events, c, c->now_ms, &c->y);
    if (rc < 0)
        return rc;
    c->stage = CONN_OPEN;
    c->cfg.opened(c, c->cfg.user);
    return 0;
}

/* The handshake is over. */
static int begin_muxer(struct conn *c)
{
    if (c->noise.muxer >= 0)
        return begin_streams(c);
    struct buf said CLEANUP(buf_fini) = {0};
    c->stage = CONN_MUXER;
    mss_init(&c->mss, c->cfg.dials, muxers, ARRAY_N(muxers), &said);
    int rc = buf_status(&said);
    return rc < 0 ? rc : noise_encrypt(&c->noise, buf_bytes(&said), &c->out);
}

static int feed_muxer(struct conn *c, struct bytes *in)
{
    struct buf said CLEANUP(buf_fini) = {0};
    int rc = mss_feed(&c->mss, in, &said);
    int put = said.n == 0 ? 0 : noise_encrypt(&c->noise, buf_bytes(&said), &c->out);
    if (rc == 1 && put == 0)
        return begin_streams(c);
    return rc < 0 ? rc : put;
}

/* What is decrypted goes to whoever it is for; yamux leaves some when it has to wait. */
static int feed_plain(struct conn *c)
{
    struct bytes in = buf_bytes(&c->plain);
    int rc = 0;
    if (c->stage == CONN_MUXER)
        rc = feed_muxer(c, &in);
    if (rc == 0 && c->stage == CONN_OPEN)
        rc = yamux_feed(c->y, &in);
    memmove(c->plain.p, in.p, in.n);
    c->plain.n = in.n;
    return rc;
}

static int feed(struct conn *c, struct bytes *in)
{
    int rc = 0;
    if (c->stage == CONN_SECURITY) {
        rc = mss_feed(&c->mss, in, &c->out);
        rc = rc == 1 ? begin_noise(c) : rc;
    }
    if (rc == 0 && c->stage == CONN_HANDSHAKE) {
        rc = noise_handshake(&c->noise, in, &c->out, &c->why);
        rc = rc == 1 ? begin_muxer(c) : rc;
    }
    if (rc < 0 || c->stage < CONN_MUXER || in->n == 0)
        return rc;
    rc = noise_decrypt(&c->noise, *in, &c->plain);
    int taken = c->plain.n == 0 ? 0 : feed_plain(c);
    if (rc < 0 && c->why.msg[0] == '\0')
        err_set(&c->why, rc, "what came was changed on the way");
    return rc < 0 ? rc : taken;
}

int conn_feed(struct conn *c, struct bytes in, uint64_t now_ms)
{
    if (c->stage == CONN_FAILED)
        return c->failure;
    c->now_ms = now_ms;
    c->calling = true;
    int rc = feed(c, &in);
    c->calling = false;
    return rc < 0 ? fail(c, rc) : 0;
}

bool conn_wants_read(const struct conn *c)
{
    return c->stage != CONN_OPEN || (c->plain.n == 0 && yamux_wants_read(c->y));
}

/* ---- what goes out -----------------------------------------------------------------------------
 */

/* Fills one Noise message with frames, if there are any. */
static int encrypt_frames(struct conn *c)
{
    int rc = buf_reserve(&c->frames, P2P_NOISE_PLAIN);
    if (rc < 0)
        return rc;
    size_t n = yamux_take(c->y, c->frames.p, P2P_NOISE_PLAIN);
    return n == 0 ? 0 : noise_encrypt(&c->noise, bytes_of(c->frames.p, n), &c->out);
}

/* All is written: what yamux has comes next, be it its last word; then what had to wait for that.
 */
static int refill(struct conn *c)
{
    buf_reset(&c->out);
    c->out_at = 0;
    if (c->y == NULL)
        return 0;
    int rc = encrypt_frames(c);
    if (rc < 0 || c->stage != CONN_OPEN || c->plain.n == 0 || !yamux_wants_read(c->y))
        return rc;
    rc = feed_plain(c);
    return rc == 0 && c->out.n == 0 ? encrypt_frames(c) : rc;
}

struct bytes conn_out(struct conn *c)
{
    c->calling = true;
    int rc = c->out_at == c->out.n ? refill(c) : 0;
    c->calling = false;
    if (rc < 0)
        fail(c, rc);
    size_t n = c->out.n - c->out_at;
    return bytes_of(n == 0 ? NULL : c->out.p + c->out_at, n);
}

void conn_sent(struct conn *c, size_t n)
{
    assert(n <= c->out.n - c->out_at);
    c->out_at += n;
}

int conn_tick(struct conn *c, uint64_t now_ms)
{
    if (c->stage == CONN_FAILED)
        return c->failure;
    c->now_ms = now_ms;
    if (c->stage != CONN_OPEN && now_ms >= c->began_ms + P2P_UPGRADE_MS) {
        err_set(&c->why, -ETIMEDOUT, "the peer did not go through the handshake in time");
        return fail(c, -ETIMEDOUT);
    }
    if (c->stage != CONN_OPEN)
        return 0;
    int rc = yamux_tick(c->y, now_ms);
    if (rc < 0) {
        err_set(&c->why, rc, "the peer does not answer any more");
        return fail(c, rc);
    }
    c->calling = true;
    conn_tick_streams(c);
    c->calling = false;
    return 0;
}

void conn_doubt(struct conn *c)
{
    if (c->stage == CONN_OPEN)
        yamux_doubt(c->y);
}

void conn_go_away(struct conn *c)
{
    if (c->stage == CONN_OPEN)
        yamux_go_away(c->y, YAMUX_NORMAL);
    conn_kick(c);
}

/* ---- what it is --------------------------------------------------------------------------------
 */

bool conn_is_open(const struct conn *c)
{
    return c->stage == CONN_OPEN;
}

const uint8_t *conn_peer(const struct conn *c)
{
    return c->noise.remote;
}

const uint8_t *conn_hash(const struct conn *c)
{
    return c->noise.hash;
}

bool conn_dials(const struct conn *c)
{
    return c->cfg.dials;
}

const char *conn_why(const struct conn *c)
{
    return c->why.msg;
}

void *conn_user(const struct conn *c)
{
    return c->cfg.user;
}

size_t conn_streams(const struct conn *c)
{
    return c->streams_n;
}
