#include "sync/pair/pair.h"

#include <assert.h>
#include <errno.h>

#include "proto/sealed/xchacha.h"
#include "sync/pair/cpace.h"

enum { SID_HALF = 16, AD_SIZE = 6, ROLE_A = 1, ROLE_B = 2, LENGTH_BYTES = 3, MESSAGES = 7 };

/* The longest of each message, with its number; other versions may have a longer first one. */
static const uint32_t longest[MESSAGES + 1] = {
    0, 64, 64, 1 + CPACE_TAG_SIZE, 1 + CPACE_TAG_SIZE, PAIR_MESSAGE_MAX, PAIR_MESSAGE_MAX, 64};

_Static_assert(PAIR_PROOF_BYTES ==
                   (2 + 1 + SID_HALF) + (2 + CPACE_SHARE_SIZE + AD_SIZE) + (2 + CPACE_TAG_SIZE),
               "each with its length and number");

struct side {
    uint8_t random[SID_HALF], share[CPACE_SHARE_SIZE], ad[AD_SIZE];
};

struct pair {
    bool joins;
    enum pair_state state;
    enum pair_end end;
    struct pair_tries *tries; /* of B, while its run is the one */
    uint64_t began_ms;
    unsigned next; /* number of the message that is awaited */
    uint8_t id_n, peer_id_n;
    uint8_t id[PAIR_ID_MAX], peer_id[PAIR_ID_MAX];
    struct pair_code code;
    struct buf channel, payload; /* payload: what this side gives, then what the peer gave */
    struct side a, b;
    struct cpace cpace;
    uint8_t key[CPACE_KEY_SIZE];
    uint8_t box_ad[crypto_hash_sha512_BYTES + 1]; /* its last byte: the number */
    uint8_t head[LENGTH_BYTES];
    size_t head_n;
    struct buf in; /* of a message, whose length is in_want */
    size_t in_want;
    struct buf out;
    size_t out_at;
};

static void wipe(struct buf *b)
{
    if (b->p != NULL)
        sodium_memzero(b->p, b->cap);
    buf_fini(b);
}

/* Nothing secret is needed any more. */
static void forget(struct pair *p)
{
    cpace_fini(&p->cpace);
    sodium_memzero(p->key, sizeof p->key);
    sodium_memzero(&p->code, sizeof p->code);
    if (p->tries != NULL)
        p->tries->busy = false;
    p->tries = NULL;
}

static void end_run(struct pair *p, enum pair_state state, enum pair_end end)
{
    p->state = state;
    p->end = end;
    forget(p);
    if (state == PAIR_FAILED)
        wipe(&p->payload);
    wipe(&p->in);
}

/* Tells the peer that it is over, and nothing else. */
static void fail(struct pair *p, enum pair_end end)
{
    if (end != PAIR_GONE)
        buf_put_u8(&p->out, 0);
    if (!p->joins && p->next == MESSAGES)
        end = PAIR_NOT_CONFIRMED;
    end_run(p, PAIR_FAILED, end);
}

/* The peer is gone, or says that it is over. */
static void peer_ended(struct pair *p, bool told)
{
    enum pair_end end = PAIR_GONE;
    if (p->joins && told && p->next <= 2)
        end = PAIR_REFUSED;
    else if (p->joins && told && p->next == 4)
        end = PAIR_WRONG_CODE;
    else if (!p->joins && p->next == MESSAGES)
        end = PAIR_NOT_CONFIRMED;
    end_run(p, PAIR_FAILED, end);
}

/* ---- messages out ------------------------------------------------------------------------------
 */

static void put_head(struct pair *p, unsigned number, size_t content)
{
    buf_put_varint(&p->out, 1 + content);
    buf_put_u8(&p->out, (uint8_t)number);
}

static void put_first(struct pair *p)
{
    struct side *own = p->joins ? &p->a : &p->b;
    randombytes_buf(own->random, sizeof own->random);
    put_head(p, 1, 1 + SID_HALF);
    buf_put_u8(&p->out, PAIR_VERSION);
    buf_put(&p->out, own->random, sizeof own->random);
}

static void get_sid(const struct pair *p, uint8_t ret[static 2 * SID_HALF])
{
    memcpy(ret, p->a.random, SID_HALF);
    memcpy(ret + SID_HALF, p->b.random, SID_HALF);
}

/* Makes the share of this side, which is all that the code is needed for. */
static enum pair_end make_share(struct pair *p)
{
    struct side *own = p->joins ? &p->a : &p->b;
    struct buf ci CLEANUP(buf_fini) = {0};
    uint8_t sid[2 * SID_HALF];
    struct bytes id = bytes_of(p->id, p->id_n), peer_id = bytes_of(p->peer_id, p->peer_id_n);
    get_sid(p, sid);
    buf_put_string(&ci, bytes_str("persist/pair/1"));
    buf_put_string(&ci, p->joins ? id : peer_id);
    buf_put_string(&ci, p->joins ? peer_id : id);
    buf_put_string(&ci, buf_bytes(&p->channel));
    if (buf_status(&ci) < 0 || cpace_init(&p->cpace, bytes_of(p->code.c, sizeof p->code.c),
                                          buf_bytes(&ci), bytes_of(sid, sizeof sid)) < 0)
        return PAIR_NO_MEMORY;
    sodium_memzero(&p->code, sizeof p->code);
    memcpy(own->share, p->cpace.share, sizeof own->share);
    memcpy(own->ad, (uint8_t[AD_SIZE]){p->joins ? ROLE_A : ROLE_B, PAIR_VERSION}, AD_SIZE);
    return PAIR_OK;
}

static void put_share(struct pair *p)
{
    const struct side *own = p->joins ? &p->a : &p->b;
    put_head(p, 2, CPACE_SHARE_SIZE + AD_SIZE);
    buf_put(&p->out, own->share, sizeof own->share);
    buf_put(&p->out, own->ad, sizeof own->ad);
}

static void tag_of(const struct pair *p, const struct side *s, uint8_t ret[static CPACE_TAG_SIZE])
{
    uint8_t sid[2 * SID_HALF];
    struct cpace_sent sent = {bytes_of(s->share, sizeof s->share), bytes_of(s->ad, sizeof s->ad)};
    get_sid(p, sid);
    cpace_tag(p->key, bytes_of(sid, sizeof sid), &sent, ret);
}

static void put_tag(struct pair *p, unsigned number)
{
    uint8_t tag[CPACE_TAG_SIZE];
    tag_of(p, p->joins ? &p->a : &p->b, tag);
    put_head(p, number, sizeof tag);
    buf_put(&p->out, tag, sizeof tag);
}

static void box_key(const struct pair *p, bool of_a, uint8_t ret[static XCHACHA_KEY_SIZE])
{
    uint8_t mac[crypto_auth_hmacsha512_BYTES];
    crypto_auth_hmacsha512_state h;
    struct bytes label = bytes_str(of_a ? "persist pair box A" : "persist pair box B");
    crypto_auth_hmacsha512_init(&h, p->key, sizeof p->key);
    crypto_auth_hmacsha512_update(&h, label.p, label.n);
    crypto_auth_hmacsha512_final(&h, mac);
    memcpy(ret, mac, XCHACHA_KEY_SIZE);
    sodium_memzero(mac, sizeof mac);
    sodium_memzero(&h, sizeof h);
}

static struct bytes box_ad(struct pair *p, unsigned number)
{
    static const uint8_t last[] = {1, 2, 3}; /* of messages 5, 6, 7 */
    p->box_ad[sizeof p->box_ad - 1] = last[number - 5];
    return bytes_of(p->box_ad, sizeof p->box_ad);
}

static enum pair_end put_box(struct pair *p, unsigned number, struct bytes plain)
{
    uint8_t key[XCHACHA_KEY_SIZE], nonce[XCHACHA_NONCE_SIZE];
    size_t sealed = plain.n + XCHACHA_TAG_SIZE;
    randombytes_buf(nonce, sizeof nonce);
    put_head(p, number, sizeof nonce + sealed);
    buf_put(&p->out, nonce, sizeof nonce);
    if (buf_reserve(&p->out, sealed) < 0)
        return PAIR_NO_MEMORY;
    box_key(p, p->joins, key);
    int rc = xchacha_seal(key, nonce, box_ad(p, number), plain, p->out.p + p->out.n);
    sodium_memzero(key, sizeof key);
    p->out.n += sealed;
    return rc == 0 ? PAIR_OK : PAIR_NO_MEMORY;
}

/* This side's PeerId and what it gives. */
static enum pair_end put_payload(struct pair *p, unsigned number, struct bytes payload)
{
    struct buf plain CLEANUP(wipe) = {0};
    if (buf_reserve(&plain, 1 + p->id_n + payload.n) < 0)
        return PAIR_NO_MEMORY;
    buf_put_string(&plain, bytes_of(p->id, p->id_n));
    buf_put_bytes(&plain, payload);
    return put_box(p, number, buf_bytes(&plain));
}

/* ---- messages in -------------------------------------------------------------------------------
 */

static enum pair_end on_first(struct pair *p, struct bytes m)
{
    struct side *peer = p->joins ? &p->b : &p->a;
    if (!p->joins) /* the peer learns which version there is */
        put_first(p);
    if (m.n < 1 || (m.p[0] == PAIR_VERSION && m.n != 1 + SID_HALF))
        return PAIR_FAULT;
    if (m.p[0] != PAIR_VERSION)
        return PAIR_OTHER_VERSION;
    memcpy(peer->random, m.p + 1, SID_HALF);
    p->next = 2;
    if (!p->joins)
        return PAIR_OK;
    enum pair_end end = make_share(p);
    if (end == PAIR_OK)
        put_share(p);
    return end;
}

static enum pair_end spend_try(struct pair_tries *t, uint64_t now_ms)
{
    if (now_ms >= t->expires_ms)
        return PAIR_EXPIRED;
    if (t->tries >= PAIR_TRIES_MAX)
        return PAIR_TOO_MANY;
    t->tries++;
    return PAIR_OK;
}

static enum pair_end agree(struct pair *p)
{
    struct buf transcript CLEANUP(buf_fini) = {0};
    struct cpace_sent a = {bytes_of(p->a.share, CPACE_SHARE_SIZE), bytes_of(p->a.ad, AD_SIZE)};
    struct cpace_sent b = {bytes_of(p->b.share, CPACE_SHARE_SIZE), bytes_of(p->b.ad, AD_SIZE)};
    uint8_t sid[2 * SID_HALF];
    get_sid(p, sid);
    cpace_transcript(&a, &b, &transcript);
    if (buf_status(&transcript) < 0)
        return PAIR_NO_MEMORY;
    int rc = cpace_key(&p->cpace, p->joins ? b.share : a.share, bytes_of(sid, sizeof sid),
                       buf_bytes(&transcript), p->key);
    crypto_hash_sha512(p->box_ad, transcript.p, transcript.n);
    cpace_fini(&p->cpace);
    return rc == 0 ? PAIR_OK : PAIR_FAULT;
}

static enum pair_end on_share(struct pair *p, struct bytes m, uint64_t now_ms)
{
    struct side *peer = p->joins ? &p->b : &p->a;
    enum pair_end end = p->joins ? PAIR_OK : spend_try(p->tries, now_ms);
    if (end != PAIR_OK)
        return end;
    if (m.n != CPACE_SHARE_SIZE + AD_SIZE)
        return PAIR_FAULT;
    memcpy(peer->share, m.p, CPACE_SHARE_SIZE);
    memcpy(peer->ad, m.p + CPACE_SHARE_SIZE, AD_SIZE);
    if (peer->ad[0] != (p->joins ? ROLE_B : ROLE_A) || peer->ad[1] != PAIR_VERSION)
        return PAIR_FAULT;
    if (!p->joins)
        end = make_share(p);
    if (end == PAIR_OK)
        end = agree(p);
    if (end != PAIR_OK)
        return end;
    if (p->joins)
        put_tag(p, 3);
    else
        put_share(p);
    p->next = p->joins ? 4 : 3;
    return PAIR_OK;
}

static enum pair_end on_tag(struct pair *p, struct bytes m)
{
    uint8_t ought[CPACE_TAG_SIZE], own[CPACE_TAG_SIZE];
    if (m.n != CPACE_TAG_SIZE)
        return PAIR_FAULT;
    tag_of(p, p->joins ? &p->b : &p->a, ought);
    tag_of(p, p->joins ? &p->a : &p->b, own);
    bool right = sodium_memcmp(m.p, ought, sizeof ought) == 0;
    bool mirror = sodium_memcmp(m.p, own, sizeof own) == 0;
    sodium_memzero(ought, sizeof ought);
    sodium_memzero(own, sizeof own);
    if (mirror)
        return PAIR_FAULT;
    if (!right)
        return PAIR_WRONG_CODE;
    if (p->joins) {
        p->next = 6;
        return put_payload(p, 5, buf_bytes(&p->payload));
    }
    p->tries->used = true;
    p->next = 5;
    put_tag(p, 4);
    return PAIR_OK;
}

/* Opens a box into @ret. */
static enum pair_end open_box(struct pair *p, struct bytes m, struct buf *ret)
{
    uint8_t key[XCHACHA_KEY_SIZE];
    if (m.n < XCHACHA_NONCE_SIZE + XCHACHA_TAG_SIZE)
        return PAIR_FAULT;
    struct bytes sealed = bytes_of(m.p + XCHACHA_NONCE_SIZE, m.n - XCHACHA_NONCE_SIZE);
    if (buf_resize(ret, sealed.n) < 0)
        return PAIR_NO_MEMORY;
    ret->n = sealed.n - XCHACHA_TAG_SIZE;
    box_key(p, !p->joins, key);
    int rc = xchacha_open(key, m.p, box_ad(p, p->next), sealed, ret->p);
    sodium_memzero(key, sizeof key);
    if (rc == -ENOMEM)
        return PAIR_NO_MEMORY;
    return rc == 0 ? PAIR_OK : PAIR_FAULT;
}

static enum pair_end on_payload(struct pair *p, struct bytes m)
{
    struct buf plain CLEANUP(wipe) = {0};
    enum pair_end end = open_box(p, m, &plain);
    if (end != PAIR_OK)
        return end;
    struct reader r = reader_of(buf_bytes(&plain));
    struct bytes id = reader_string(&r, PAIR_ID_MAX);
    if (r.failed || !bytes_equal(id, bytes_of(p->peer_id, p->peer_id_n)))
        return PAIR_FAULT;
    wipe(&p->payload);
    buf_put(&p->payload, r.p, r.n);
    if (buf_status(&p->payload) < 0)
        return PAIR_NO_MEMORY;
    p->state = PAIR_ASKS;
    return PAIR_OK;
}

static enum pair_end on_done(struct pair *p, struct bytes m)
{
    struct buf plain CLEANUP(wipe) = {0};
    enum pair_end end = open_box(p, m, &plain);
    if (end != PAIR_OK)
        return end;
    if (plain.n != 0)
        return PAIR_FAULT;
    end_run(p, PAIR_DONE, PAIR_OK);
    return PAIR_OK;
}

static enum pair_end on_message(struct pair *p, uint64_t now_ms)
{
    struct bytes m = bytes_of(p->in.p + 1, p->in.n - 1);
    if (p->in.p[0] != p->next)
        return PAIR_FAULT;
    switch (p->next) {
    case 1:
        return on_first(p, m);
    case 2:
        return on_share(p, m, now_ms);
    case 3:
    case 4:
        return on_tag(p, m);
    case 5:
    case 6:
        return on_payload(p, m);
    default:
        return on_done(p, m);
    }
}

/* A length as uvarint, of at most three bytes, written as short as can be. */
static enum pair_end take_length(struct pair *p, uint8_t byte)
{
    p->head[p->head_n++] = byte;
    if (byte >= 0x80)
        return p->head_n < LENGTH_BYTES ? PAIR_OK : PAIR_FAULT;
    struct reader r = reader_of(bytes_of(p->head, p->head_n));
    uint64_t n = reader_varint(&r);
    p->head_n = 0;
    if (r.failed || n > longest[p->next])
        return PAIR_FAULT;
    if (n == 0)
        peer_ended(p, true);
    p->in_want = (size_t)n;
    buf_reset(&p->in);
    return buf_reserve(&p->in, p->in_want) < 0 ? PAIR_NO_MEMORY : PAIR_OK;
}

static enum pair_end take(struct pair *p, struct bytes *in, uint64_t now_ms)
{
    if (p->in_want == 0) {
        uint8_t byte = in->p[0];
        *in = bytes_of(in->p + 1, in->n - 1);
        return take_length(p, byte);
    }
    size_t n = (size_t)min_u64(in->n, p->in_want - p->in.n);
    buf_put(&p->in, in->p, n);
    *in = bytes_of(in->p + n, in->n - n);
    if (p->in.n < p->in_want)
        return PAIR_OK;
    p->in_want = 0;
    return on_message(p, now_ms);
}

enum pair_state pair_feed(struct pair *p, struct bytes in, uint64_t now_ms)
{
    while (in.n > 0 && (p->state == PAIR_TALKS || p->state == PAIR_ASKS)) {
        enum pair_end end = PAIR_FAULT; /* of who speaks before the answer, but to end it */
        if (p->state == PAIR_TALKS)
            end = take(p, &in, now_ms);
        else if (in.p[0] == 0)
            end = PAIR_GONE;
        if (end == PAIR_OK && buf_status(&p->out) < 0)
            end = PAIR_NO_MEMORY;
        if (end != PAIR_OK)
            fail(p, end);
    }
    return p->state;
}

/* ---- its life ----------------------------------------------------------------------------------
 */

static enum pair_end begin(struct pair *p, struct pair_tries *t, uint64_t now_ms)
{
    if (t->busy)
        return PAIR_BUSY;
    if (t->used)
        return PAIR_USED;
    if (t->tries >= PAIR_TRIES_MAX)
        return PAIR_TOO_MANY;
    if (now_ms >= t->expires_ms)
        return PAIR_EXPIRED;
    t->busy = true;
    p->tries = t;
    return PAIR_OK;
}

int pair_new(const struct pair_config *cfg, uint64_t now_ms, struct pair **ret)
{
    if (cfg->own_id.n > PAIR_ID_MAX || cfg->peer_id.n > PAIR_ID_MAX ||
        cfg->payload.n > PAIR_PAYLOAD_MAX)
        return -EINVAL;
    if (sodium_init() < 0)
        return -EIO;
    struct pair *p = sodium_malloc(sizeof *p);
    if (p == NULL)
        return -ENOMEM;
    memset(p, 0, sizeof *p);
    p->joins = cfg->joins;
    p->code = cfg->code;
    p->next = 1;
    p->began_ms = now_ms;
    p->id_n = (uint8_t)cfg->own_id.n;
    p->peer_id_n = (uint8_t)cfg->peer_id.n;
    memcpy(p->id, cfg->own_id.p, p->id_n);
    memcpy(p->peer_id, cfg->peer_id.p, p->peer_id_n);
    buf_put_bytes(&p->channel, cfg->channel);
    buf_put_bytes(&p->payload, cfg->payload);
    enum pair_end end = cfg->joins ? PAIR_OK : begin(p, cfg->tries, now_ms);
    if (end != PAIR_OK)
        fail(p, end);
    else if (p->joins)
        put_first(p);
    if (p->channel.failed || p->payload.failed || p->out.failed) {
        pair_free(p);
        return -ENOMEM;
    }
    *ret = p;
    return 0;
}

void pair_free(struct pair *p)
{
    if (p == NULL)
        return;
    forget(p);
    wipe(&p->payload);
    wipe(&p->channel);
    wipe(&p->in);
    wipe(&p->out);
    sodium_free(p);
}

enum pair_state pair_gone(struct pair *p)
{
    if (p->state == PAIR_TALKS || p->state == PAIR_ASKS)
        peer_ended(p, false);
    return p->state;
}

enum pair_state pair_tick(struct pair *p, uint64_t now_ms)
{
    if (now_ms - p->began_ms >= PAIR_RUN_MS && (p->state == PAIR_TALKS || p->state == PAIR_ASKS)) {
        buf_put_u8(&p->out, 0);
        peer_ended(p, false);
    }
    return p->state;
}

struct bytes pair_out(const struct pair *p)
{
    if (p->out.failed || p->out_at == p->out.n)
        return bytes_of(NULL, 0);
    return bytes_of(p->out.p + p->out_at, p->out.n - p->out_at);
}

void pair_sent(struct pair *p, size_t n)
{
    assert(n <= p->out.n - p->out_at);
    p->out_at += n;
}

enum pair_state pair_state(const struct pair *p)
{
    return p->state;
}

enum pair_end pair_end(const struct pair *p)
{
    return p->end;
}

struct bytes pair_payload(const struct pair *p)
{
    return p->state == PAIR_ASKS ? buf_bytes(&p->payload) : bytes_of(NULL, 0);
}

int pair_answer(struct pair *p, struct bytes payload)
{
    if (p->state != PAIR_ASKS || payload.n > (p->joins ? 0 : PAIR_PAYLOAD_MAX))
        return -EINVAL;
    enum pair_end end = p->joins ? put_box(p, 7, payload) : put_payload(p, 6, payload);
    if (end == PAIR_OK && buf_status(&p->out) < 0)
        end = PAIR_NO_MEMORY;
    if (end != PAIR_OK) {
        fail(p, end);
        return -ENOMEM;
    }
    wipe(&p->payload);
    p->next = 7;
    p->state = PAIR_TALKS;
    if (p->joins)
        end_run(p, PAIR_DONE, PAIR_OK);
    return 0;
}

const char *pair_end_text(enum pair_end end, bool joins)
{
    switch (end) {
    case PAIR_OK:
        return NULL;
    case PAIR_WRONG_CODE:
        return joins ? "the code is wrong: a typing mistake, or somebody is between the devices; "
                       "ask for a new code when you typed it right"
                     : "the other device has a wrong code: a typing mistake, or somebody guesses";
    case PAIR_EXPIRED:
        return "the code has expired; make a new one";
    case PAIR_USED:
        return "the code was used already; make a new one";
    case PAIR_TOO_MANY:
        return "the code was tried too often; make a new one";
    case PAIR_BUSY:
        return "another device tries the code at the same time; if it is none of yours, make a new "
               "code";
    case PAIR_REFUSED:
        return "the other device does not take this code: it has expired, was used or tried too "
               "often, or another device is at it; ask for a new one";
    case PAIR_GONE:
        return joins ? "the other device is gone, or gave up; try again"
                     : "the other device is gone, or gave up";
    case PAIR_NOT_CONFIRMED:
        return "the other device has the keys, but did not confirm it; revoke it unless it works";
    case PAIR_OTHER_VERSION:
        return "the other device has another version of persist; update the older one";
    case PAIR_NO_MEMORY:
        return "no memory is left";
    case PAIR_FAULT:
    default:
        return joins ? "what the other device sends is not what it should be, or was changed on "
                       "the way; make a new code"
                     : "what the other device sends is not what it should be, or was changed on "
                       "the way";
    }
}
