#include "fs/store/crc32c.h"

#include <pthread.h>

static uint32_t table[256];
static uint8_t by_top[256]; /* which entry of the table has this highest byte: each has another */

static void make_table(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++)
            c = (c & 1) != 0 ? c >> 1 ^ UINT32_C(0x82f63b78) : c >> 1;
        table[i] = c;
        by_top[c >> 24] = (uint8_t)i;
    }
}

static void need_table(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_table);
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t by_processor(uint32_t c, const uint8_t *p,
                                                               size_t n)
{
    uint64_t wide = c, eight;
    for (; n >= sizeof eight; p += sizeof eight, n -= sizeof eight) {
        memcpy(&eight, p, sizeof eight);
        wide = __builtin_ia32_crc32di(wide, eight);
    }
    c = (uint32_t)wide;
    for (; n > 0; p++, n--)
        c = __builtin_ia32_crc32qi(c, *p);
    return c;
}
#endif

uint32_t crc32c(uint32_t crc, struct bytes b)
{
    uint32_t c = ~crc;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        return ~by_processor(c, b.p, b.n);
#endif
    need_table();
    for (size_t i = 0; i < b.n; i++)
        c = table[(c ^ b.p[i]) & 0xff] ^ c >> 8;
    return ~c;
}

bool crc32c_find(struct crc32c_flip *f, size_t *ret_at, uint8_t *ret_xor)
{
    need_table();
    while (f->n > 0) {
        uint8_t x = by_top[f->off >> 24];
        bool here = x != 0 && table[x] == f->off;
        f->off = (f->off ^ table[x]) << 8 | x; /* as it was one byte before */
        f->n--;
        if (!here)
            continue;
        *ret_at = f->n;
        *ret_xor = x;
        return true;
    }
    return false;
}
