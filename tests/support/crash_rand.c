#include "crash_rand.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

uint64_t crash_env(const char *name, uint64_t fallback)
{
    const char *text = getenv(name);
    return text != NULL && *text != '\0' ? strtoull(text, NULL, 0) : fallback;
}

uint64_t crash_seed(const char *what)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    uint64_t own =
        ((uint64_t)t.tv_nsec << 20 ^ (uint64_t)t.tv_sec ^ (uint64_t)getpid()) % 1000000007;
    uint64_t seed = crash_env("PERSIST_TEST_SEED", own);
    printf("%s: PERSIST_TEST_SEED=%llu\n", what, (unsigned long long)seed);
    fflush(stdout);
    return seed;
}

uint64_t crash_share(uint64_t n)
{
    return (n + TEST_SHARE - 1) / TEST_SHARE;
}

static uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

uint64_t crash_next(struct crash_rand *r)
{
    r->s += UINT64_C(0x9e3779b97f4a7c15);
    return mix(r->s);
}

uint64_t crash_below(struct crash_rand *r, uint64_t n)
{
    return crash_next(r) % n;
}

bool crash_chance(struct crash_rand *r, unsigned percent)
{
    return crash_below(r, 100) < percent;
}

void crash_fill(uint64_t seed, uint64_t from, void *p, size_t n)
{
    uint8_t *to = p;
    for (size_t i = 0; i < n;) {
        uint64_t at = from + i, word = mix(seed * UINT64_C(0x9e3779b97f4a7c15) + at / 8);
        size_t skip = (size_t)(at % 8), k = 8 - skip < n - i ? 8 - skip : n - i;
        uint8_t bytes[8];
        memcpy(bytes, &word, sizeof bytes);
        memcpy(to + i, bytes + skip, k);
        i += k;
    }
}
