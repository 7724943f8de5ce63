#include "sync/net/backoff.h"

enum { FIRST_MS = 1000, LONGEST_MS = 60000, DOUBLINGS_MAX = 5 };

uint32_t backoff_next(struct backoff *b, uint32_t random)
{
    uint32_t most = (uint32_t)FIRST_MS << (b->failures + 1);
    if (most > LONGEST_MS)
        most = LONGEST_MS;
    if (b->failures < DOUBLINGS_MAX)
        b->failures++;
    uint32_t least = most / 2;
    return least + (uint32_t)((uint64_t)random * (most - least + 1) >> 32);
}

void backoff_reset(struct backoff *b)
{
    b->failures = 0;
}
