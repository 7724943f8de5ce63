#include "proto/hash_many.h"

#include <assert.h>

static void one_by_one(const uint8_t *key, const struct bytes *in, size_t n,
                       uint8_t (*ret)[HASH_SIZE])
{
    for (size_t i = 0; i < n; i++) {
        int rc = crypto_generichash(ret[i], HASH_SIZE, in[i].p, in[i].n, key, HASH_SIZE);
        assert(rc == 0);
        (void)rc;
    }
}

#ifdef __x86_64__

/* BLAKE2b as in RFC 7693, sections 2 and 3. */
enum {
    BLOCK = 128,
    LANES = 8,
    FEW = 4,    /* inputs that are faster one by one */
    GROUP = 64, /* inputs that are ordered together */
};

typedef uint64_t vec __attribute__((vector_size(8 * LANES)));

static const uint64_t iv[8] = {0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b,
                               0xa54ff53a5f1d36f1, 0x510e527fade682d1, 0x9b05688c2b3e6c1f,
                               0x1f83d9abfb41bd6b, 0x5be0cd19137e2179};
static const uint64_t keyed_256 = UINT64_C(0x01010000) | HASH_SIZE << 8 | HASH_SIZE;

struct lanes {
    vec h[8], count, last; /* bytes so far; all bits set: the next block is the last one */
    const uint8_t *at[LANES];
    size_t step[LANES]; /* to the next block; 0: the lane is idle */
};

/* clang-format off */
#define ROTATE(v, n) ((v) >> (n) | (v) << (64 - (n)))
#define MIX(a, b, c, d, x, y)               \
    do {                                    \
        v[a] += v[b] + m[x];                \
        v[d] = ROTATE(v[d] ^ v[a], 32);     \
        v[c] += v[d];                       \
        v[b] = ROTATE(v[b] ^ v[c], 24);     \
        v[a] += v[b] + m[y];                \
        v[d] = ROTATE(v[d] ^ v[a], 16);     \
        v[c] += v[d];                       \
        v[b] = ROTATE(v[b] ^ v[c], 63);     \
    } while (0)
#define ROUND(s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15) \
    do {                                                                            \
        MIX(0, 4, 8, 12, s0, s1);                                                   \
        MIX(1, 5, 9, 13, s2, s3);                                                   \
        MIX(2, 6, 10, 14, s4, s5);                                                  \
        MIX(3, 7, 11, 15, s6, s7);                                                  \
        MIX(0, 5, 10, 15, s8, s9);                                                  \
        MIX(1, 6, 11, 12, s10, s11);                                                \
        MIX(2, 7, 8, 13, s12, s13);                                                 \
        MIX(3, 4, 9, 14, s14, s15);                                                 \
    } while (0)

/* One block of each lane. */
__attribute__((always_inline)) static inline void compress(struct lanes *x)
{
    vec m[16], v[16];
    for (size_t i = 0; i < ARRAY_N(m); i++) {
        uint64_t word[LANES];
        for (size_t k = 0; k < LANES; k++)
            memcpy(&word[k], x->at[k] + 8 * i, sizeof word[k]);
        memcpy(&m[i], word, sizeof m[i]);
    }
    for (size_t i = 0; i < ARRAY_N(iv); i++) {
        v[i] = x->h[i];
        v[8 + i] = (vec){0} + iv[i];
    }
    v[12] ^= x->count;
    v[14] ^= x->last;
    ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3);
    ROUND(11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4);
    ROUND(7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8);
    ROUND(9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13);
    ROUND(2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9);
    ROUND(12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11);
    ROUND(13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10);
    ROUND(6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5);
    ROUND(10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0);
    ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3);
    for (size_t i = 0; i < ARRAY_N(iv); i++)
        x->h[i] ^= v[i] ^ v[8 + i];
}
/* clang-format on */

/* @n whole blocks of each lane, of which none is the last one. */
__attribute__((always_inline)) static inline void run(struct lanes *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        x->count += BLOCK;
        compress(x);
        for (size_t k = 0; k < LANES; k++)
            x->at[k] += x->step[k];
    }
}

typedef void run_fn(struct lanes *x, size_t n);
typedef void compress_fn(struct lanes *x);

__attribute__((target("avx512f"))) static void run_avx512(struct lanes *x, size_t n)
{
    run(x, n);
}

__attribute__((target("avx512f"))) static void compress_avx512(struct lanes *x)
{
    compress(x);
}

__attribute__((target("avx2"))) static void run_avx2(struct lanes *x, size_t n)
{
    run(x, n);
}

__attribute__((target("avx2"))) static void compress_avx2(struct lanes *x)
{
    compress(x);
}

/* What is under way. */
struct many {
    struct lanes x;
    vec keyed[8]; /* after the block with the key */
    run_fn *run;
    compress_fn *compress;
    const struct bytes *in;
    size_t n, begun; /* inputs; the next one that is begun is order[begun] */
    uint8_t (*ret)[HASH_SIZE];
    size_t of[LANES], left[LANES]; /* which input, and its bytes that are not hashed yet; 0: idle */
    uint8_t tail[LANES][BLOCK];    /* a last block, filled up with zeros */
    size_t order[GROUP];
};

/* The longest first: then few lanes are idle at the end. */
static void set_order(struct many *y)
{
    for (size_t i = 0; i < y->n; i++) {
        size_t at = i;
        for (; at > 0 && y->in[y->order[at - 1]].n < y->in[i].n; at--)
            y->order[at] = y->order[at - 1];
        y->order[at] = i;
    }
}

/* The lane is idle, or begins with the next input, behind its key. */
static void begin(struct many *y, size_t lane)
{
    struct lanes *x = &y->x;
    x->at[lane] = y->tail[lane];
    x->step[lane] = y->left[lane] = 0;
    if (y->begun == y->n || y->in[y->order[y->begun]].n == 0)
        return;
    size_t i = y->of[lane] = y->order[y->begun++];
    for (size_t k = 0; k < ARRAY_N(iv); k++)
        x->h[k][lane] = y->keyed[k][lane];
    x->count[lane] = BLOCK;
    x->at[lane] = y->in[i].p;
    x->step[lane] = BLOCK;
    y->left[lane] = y->in[i].n;
}

static void begin_all(struct many *y, const uint8_t key[static HASH_SIZE])
{
    struct lanes *x = &y->x;
    for (size_t k = 0; k < ARRAY_N(iv); k++)
        x->h[k] = (vec){0} + iv[k];
    x->h[0] ^= keyed_256;
    memcpy(y->tail[0], key, HASH_SIZE);
    for (size_t lane = 0; lane < LANES; lane++)
        x->at[lane] = y->tail[0];
    y->run(x, 1);
    sodium_memzero(y->tail[0], BLOCK);
    memcpy(y->keyed, x->h, sizeof y->keyed);
    set_order(y);
    for (size_t lane = 0; lane < LANES; lane++)
        begin(y, lane);
}

/* Blocks before the first last one of a lane. SIZE_MAX: all lanes are idle. */
static size_t whole_blocks(const struct many *y)
{
    size_t n = SIZE_MAX;
    for (size_t lane = 0; lane < LANES; lane++)
        if (y->left[lane] > 0)
            n = min_u64(n, (y->left[lane] - 1) / BLOCK);
    return n;
}

static void take(struct many *y, size_t blocks)
{
    y->run(&y->x, blocks);
    for (size_t lane = 0; lane < LANES; lane++)
        if (y->left[lane] > 0)
            y->left[lane] -= blocks * BLOCK;
}

static void put_hash(struct many *y, size_t lane)
{
    uint64_t h[HASH_SIZE / 8];
    for (size_t k = 0; k < ARRAY_N(h); k++)
        h[k] = y->x.h[k][lane];
    memcpy(y->ret[y->of[lane]], h, HASH_SIZE);
}

/* A block of each lane, for some of them the last one. */
static void take_last(struct many *y)
{
    struct lanes *x = &y->x;
    for (size_t lane = 0; lane < LANES; lane++) {
        size_t n = min_u64(y->left[lane], BLOCK);
        x->count[lane] += n;
        if (n == 0 || y->left[lane] > BLOCK)
            continue;
        x->last[lane] = UINT64_MAX;
        memcpy(y->tail[lane], x->at[lane], n);
        memset(y->tail[lane] + n, 0, BLOCK - n);
        x->at[lane] = y->tail[lane];
    }
    y->compress(x);
    for (size_t lane = 0; lane < LANES; lane++) {
        if (x->last[lane] != 0) {
            put_hash(y, lane);
            begin(y, lane);
        } else if (y->left[lane] > 0) {
            x->at[lane] += BLOCK;
            y->left[lane] -= BLOCK;
        }
    }
    x->last = (vec){0};
}

static void in_lanes(struct many *y, const uint8_t key[static HASH_SIZE])
{
    begin_all(y, key);
    for (size_t n; (n = whole_blocks(y)) != SIZE_MAX; take_last(y))
        take(y, n);
    for (; y->begun < y->n; y->begun++) { /* empty ones */
        size_t i = y->order[y->begun];
        one_by_one(key, y->in + i, 1, y->ret + i);
    }
}

void hash_many(const uint8_t key[static HASH_SIZE], const struct bytes *in, size_t n,
               uint8_t (*ret)[HASH_SIZE])
{
    bool wide = __builtin_cpu_supports("avx512f"), some = __builtin_cpu_supports("avx2");
    for (size_t at = 0, k; at < n; at += k) {
        k = min_u64(n - at, GROUP);
        if (k < FEW || !some) {
            one_by_one(key, in + at, k, ret + at);
            continue;
        }
        struct many y = {.run = wide ? run_avx512 : run_avx2,
                         .compress = wide ? compress_avx512 : compress_avx2,
                         .in = in + at,
                         .n = k,
                         .ret = ret + at};
        in_lanes(&y, key);
        sodium_memzero(y.keyed, sizeof y.keyed);
    }
}

#else

void hash_many(const uint8_t key[static HASH_SIZE], const struct bytes *in, size_t n,
               uint8_t (*ret)[HASH_SIZE])
{
    one_by_one(key, in, n, ret);
}

#endif
