#include "proto/hash.h"

#include <assert.h>
#include <errno.h>

enum { LABEL_SIZE = 16, GATHER_MAX = 256 };

int space_keys_init(struct space_keys *k, const uint8_t secret[static SPACE_SECRET_SIZE])
{
    static const char context[crypto_kdf_CONTEXTBYTES + 1] = "psSpace1";
    _Static_assert(SPACE_SECRET_SIZE == crypto_kdf_KEYBYTES, "the secret is a kdf key");
    if (sodium_init() < 0)
        return -EIO;
    uint8_t *const out[] = {k->rid, k->equal, k->gear, k->digest, k->chunk};
    for (size_t i = 0; i < ARRAY_N(out); i++)
        if (crypto_kdf_derive_from_key(out[i], HASH_SIZE, i + 1, context, secret) != 0)
            return -EIO;
    return 0;
}

void space_keys_fini(struct space_keys *k)
{
    sodium_memzero(k, sizeof *k);
}

static void start(crypto_generichash_state *s, const uint8_t *key, const char *label)
{
    uint8_t head[LABEL_SIZE] = {0};
    size_t n = strlen(label);
    assert(n > 0 && n <= sizeof head);
    memcpy(head, label, n);
    crypto_generichash_init(s, key, key == NULL ? 0 : HASH_SIZE, HASH_SIZE);
    crypto_generichash_update(s, head, sizeof head);
}

/* Short input in one piece, which is faster: its length, or 0 when it is too long. */
static size_t gather(const char *label, const struct bytes *parts, size_t n,
                     uint8_t ret[static GATHER_MAX])
{
    size_t used = LABEL_SIZE, len = strlen(label);
    assert(len > 0 && len <= LABEL_SIZE);
    memset(ret, 0, LABEL_SIZE);
    memcpy(ret, label, len);
    for (size_t i = 0; i < n; i++) {
        if (parts[i].n > GATHER_MAX - 8 || used > GATHER_MAX - 8 - parts[i].n)
            return 0;
        put_u64(ret + used, parts[i].n);
        if (parts[i].n > 0)
            memcpy(ret + used + 8, parts[i].p, parts[i].n);
        used += 8 + parts[i].n;
    }
    return used;
}

void hash_parts(const uint8_t *key, const char *label, const struct bytes *parts, size_t n,
                uint8_t ret[static HASH_SIZE])
{
    uint8_t all[GATHER_MAX];
    size_t used = gather(label, parts, n, all);
    if (used > 0) {
        crypto_generichash(ret, HASH_SIZE, all, used, key, key == NULL ? 0 : HASH_SIZE);
        return;
    }
    crypto_generichash_state s;
    start(&s, key, label);
    for (size_t i = 0; i < n; i++) {
        uint8_t len[8];
        put_u64(len, parts[i].n);
        crypto_generichash_update(&s, len, sizeof len);
        crypto_generichash_update(&s, parts[i].p, parts[i].n);
    }
    crypto_generichash_final(&s, ret, HASH_SIZE);
}

/* A record id: the first bytes of a hash, the kind in its last two bits. */
static struct rid rid_from(const uint8_t h[static HASH_SIZE], enum kind kind)
{
    struct rid rid;
    memcpy(rid.b, h, RID_SIZE);
    rid.b[RID_SIZE - 1] = (uint8_t)((rid.b[RID_SIZE - 1] & ~3) | (int)kind);
    return rid;
}

struct rid hash_rid(const struct space_keys *k, enum kind kind, const struct rid *parent,
                    struct bytes name, uint64_t generation)
{
    uint8_t kind_byte = (uint8_t)kind, gen[8], h[HASH_SIZE];
    put_u64(gen, generation);
    const struct bytes parts[] = {bytes_of(&kind_byte, 1), bytes_of(parent->b, RID_SIZE), name,
                                  bytes_of(gen, sizeof gen)};
    hash_parts(k->rid, "persist.rid.1", parts, ARRAY_N(parts), h);
    return rid_from(h, kind);
}

struct rid hash_sibling(const struct space_keys *k, const struct rid *rid, struct dots from)
{
    uint8_t h[HASH_SIZE];
    const struct bytes parts[] = {bytes_of(rid->b, RID_SIZE), bytes_of(from.p, from.n * DOT_SIZE)};
    hash_parts(k->rid, "persist.sib.1", parts, ARRAY_N(parts), h);
    return rid_from(h, rid_kind(rid));
}

void hash_equal_init(struct hash_equal *h, const struct space_keys *k)
{
    start(&h->state, k->equal, "persist.equal.1");
}

void hash_equal_update(struct hash_equal *h, struct bytes piece)
{
    crypto_generichash_update(&h->state, piece.p, piece.n);
}

void hash_equal_final(struct hash_equal *h, uint8_t ret[static HASH_SIZE])
{
    crypto_generichash_final(&h->state, ret, HASH_SIZE);
}

void hash_equal_of(const struct space_keys *k, struct bytes content, uint8_t ret[static HASH_SIZE])
{
    struct hash_equal h;
    hash_equal_init(&h, k);
    hash_equal_update(&h, content);
    hash_equal_final(&h, ret);
}
