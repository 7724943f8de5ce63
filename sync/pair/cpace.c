#include "sync/pair/cpace.h"

#include <errno.h>

#define DSI "CPaceRistretto255"
#define DSI_KEY "CPaceRistretto255_ISK"
#define DSI_MAC "CPaceMac"

enum { HASH_BLOCK = 128, VARINT_MAX = 10 };

/* A length as LEB128. Returns its bytes. */
static size_t put_length(size_t n, uint8_t ret[static VARINT_MAX])
{
    size_t at = 0;
    for (; n >= 0x80; n >>= 7)
        ret[at++] = (uint8_t)(n | 0x80);
    ret[at++] = (uint8_t)n;
    return at;
}

/* Hashes @v with its length before it, so that nothing secret is put together in memory. */
static void update_lv(crypto_hash_sha512_state *h, struct bytes v)
{
    uint8_t length[VARINT_MAX];
    crypto_hash_sha512_update(h, length, put_length(v.n, length));
    if (v.n > 0)
        crypto_hash_sha512_update(h, v.p, v.n);
}

/* Code and padding fill the first block, so that nothing about the code shows in how long the rest
 * takes. */
void cpace_generator(struct bytes prs, struct bytes ci, struct bytes sid,
                     uint8_t ret[static CPACE_SHARE_SIZE])
{
    static const uint8_t zeros[HASH_BLOCK];
    uint8_t hash[crypto_hash_sha512_BYTES], length[VARINT_MAX];
    crypto_hash_sha512_state h;
    size_t used = 1 + put_length(prs.n, length) + prs.n + 1 + strlen(DSI);
    crypto_hash_sha512_init(&h);
    update_lv(&h, bytes_str(DSI));
    update_lv(&h, prs);
    update_lv(&h, bytes_of(zeros, used < HASH_BLOCK ? HASH_BLOCK - used : 0));
    update_lv(&h, ci);
    update_lv(&h, sid);
    crypto_hash_sha512_final(&h, hash);
    crypto_core_ristretto255_from_hash(ret, hash);
    sodium_memzero(hash, sizeof hash);
    sodium_memzero(&h, sizeof h);
}

int cpace_init(struct cpace *c, struct bytes prs, struct bytes ci, struct bytes sid)
{
    uint8_t g[CPACE_SHARE_SIZE];
    if (sodium_init() < 0)
        return -EIO;
    cpace_generator(prs, ci, sid, g);
    crypto_core_ristretto255_scalar_random(c->secret);
    int rc = crypto_scalarmult_ristretto255(c->share, c->secret, g) == 0 ? 0 : -EIO;
    sodium_memzero(g, sizeof g);
    if (rc < 0)
        cpace_fini(c);
    return rc;
}

void cpace_fini(struct cpace *c)
{
    if (c != NULL)
        sodium_memzero(c, sizeof *c);
}

void cpace_transcript(const struct cpace_sent *a, const struct cpace_sent *b, struct buf *ret)
{
    buf_put_string(ret, a->share);
    buf_put_string(ret, a->ad);
    buf_put_string(ret, b->share);
    buf_put_string(ret, b->ad);
}

/* The larger is first; each is compared with its lengths, as it is sent. */
void cpace_transcript_oc(const struct cpace_sent *a, const struct cpace_sent *b, struct buf *ret)
{
    struct buf one CLEANUP(buf_fini) = {0}, two CLEANUP(buf_fini) = {0};
    buf_put_string(&one, a->share);
    buf_put_string(&one, a->ad);
    buf_put_string(&two, b->share);
    buf_put_string(&two, b->ad);
    bool swap = bytes_cmp(buf_bytes(&one), buf_bytes(&two)) < 0;
    ret->failed = ret->failed || one.failed || two.failed;
    buf_put(ret, "oc", 2);
    buf_put_bytes(ret, buf_bytes(swap ? &two : &one));
    buf_put_bytes(ret, buf_bytes(swap ? &one : &two));
}

int cpace_key(const struct cpace *c, struct bytes share, struct bytes sid, struct bytes transcript,
              uint8_t ret[static CPACE_KEY_SIZE])
{
    uint8_t k[crypto_scalarmult_ristretto255_BYTES];
    sodium_memzero(ret, CPACE_KEY_SIZE);
    /* The call refuses what is no element or not written as one, and the identity. */
    if (share.n != CPACE_SHARE_SIZE || memcmp(share.p, c->share, CPACE_SHARE_SIZE) == 0 ||
        crypto_scalarmult_ristretto255(k, c->secret, share.p) != 0)
        return -EBADMSG;
    crypto_hash_sha512_state h;
    crypto_hash_sha512_init(&h);
    update_lv(&h, bytes_str(DSI_KEY));
    update_lv(&h, sid);
    update_lv(&h, bytes_of(k, sizeof k));
    crypto_hash_sha512_update(&h, transcript.p, transcript.n);
    crypto_hash_sha512_final(&h, ret);
    sodium_memzero(k, sizeof k);
    sodium_memzero(&h, sizeof h);
    return 0;
}

void cpace_tag(const uint8_t key[static CPACE_KEY_SIZE], struct bytes sid,
               const struct cpace_sent *own, uint8_t ret[static CPACE_TAG_SIZE])
{
    uint8_t mac_key[crypto_hash_sha512_BYTES], length[VARINT_MAX];
    crypto_hash_sha512_state h;
    crypto_auth_hmacsha512_state mac;
    crypto_hash_sha512_init(&h);
    crypto_hash_sha512_update(&h, (const uint8_t *)DSI_MAC, strlen(DSI_MAC));
    crypto_hash_sha512_update(&h, sid.p, sid.n);
    crypto_hash_sha512_update(&h, key, CPACE_KEY_SIZE);
    crypto_hash_sha512_final(&h, mac_key);
    crypto_auth_hmacsha512_init(&mac, mac_key, sizeof mac_key);
    crypto_auth_hmacsha512_update(&mac, length, put_length(own->share.n, length));
    crypto_auth_hmacsha512_update(&mac, own->share.p, own->share.n);
    crypto_auth_hmacsha512_update(&mac, length, put_length(own->ad.n, length));
    crypto_auth_hmacsha512_update(&mac, own->ad.p, own->ad.n);
    crypto_auth_hmacsha512_final(&mac, ret);
    sodium_memzero(mac_key, sizeof mac_key);
    sodium_memzero(&h, sizeof h);
    sodium_memzero(&mac, sizeof mac);
}
