#include "fs/store/cdc.h"

#include <assert.h>
#include <sodium.h>

enum {
    /* Up to here a cut is made harder (18 bits of the hash), from here on easier (14 bits): sizes
     * gather around the mean. With these numbers the mean is CDC_MEAN. */
    NORMAL = 52 * 1024,
    HARD_BITS = 18,
    EASY_BITS = 14,
};

void cdc_init(struct cdc *c, const uint8_t seed[static CDC_SEED_BYTES])
{
    uint8_t raw[sizeof c->gear];
    _Static_assert(CDC_SEED_BYTES == randombytes_SEEDBYTES, "a seed is a seed");
    randombytes_buf_deterministic(raw, sizeof raw, seed);
    for (size_t i = 0; i < ARRAY_N(c->gear); i++) {
        uint64_t v = 0;
        for (size_t k = 0; k < 8; k++)
            v = v << 8 | raw[i * 8 + k];
        c->gear[i] = v;
    }
    sodium_memzero(raw, sizeof raw);
}

/*
 * Rolls on from @i to @end until the hash is below @below, that is, its top bits are zero: these
 * are the bits that depend on the most bytes (64). Returns the position after the last byte.
 */
static inline size_t roll(const uint64_t *gear, const uint8_t *p, size_t i, size_t end,
                          uint64_t below, uint64_t *hash)
{
    uint64_t h = *hash;
    while (i < end) {
        h = (h << 1) + gear[p[i++]];
        if (h < below)
            break;
    }
    *hash = h;
    return i;
}

size_t cdc_cut(const struct cdc *c, const uint8_t *p, size_t n)
{
    assert(n > 0);
    const uint64_t hard = UINT64_C(1) << (64 - HARD_BITS);
    const uint64_t easy = UINT64_C(1) << (64 - EASY_BITS);
    if (n <= CDC_MIN)
        return n;
    size_t end = n < CDC_MAX ? n : CDC_MAX;
    size_t normal = end < NORMAL ? end : NORMAL;
    uint64_t hash = 0;
    size_t i = roll(c->gear, p, CDC_MIN, normal, hard, &hash);
    if (i < normal || hash < hard)
        return i;
    return roll(c->gear, p, i, end, easy, &hash);
}
