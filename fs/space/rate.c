#include "fs/space/rate.h"

#include <string.h>

void rate_add(struct rate *r, uint64_t now_ms, uint64_t n)
{
    uint64_t now = now_ms / 1000;
    if (now >= r->second + RATE_S)
        memset(r->bytes, 0, sizeof r->bytes);
    else
        for (uint64_t s = r->second + 1; s <= now; s++)
            r->bytes[s % RATE_S] = 0;
    r->second = now;
    r->bytes[now % RATE_S] += n;
}

uint64_t rate_of(const struct rate *r, uint64_t now_ms)
{
    struct rate now = *r;
    uint64_t sum = 0;
    rate_add(&now, now_ms, 0);
    for (int i = 0; i < RATE_S; i++)
        sum += now.bytes[i];
    return sum / RATE_S;
}
