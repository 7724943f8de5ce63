#include "proto/hlc.h"

static const uint64_t ms_max = (UINT64_C(1) << 48) - 1;

int stamp_cmp(const struct stamp *a, const struct stamp *b)
{
    if (a->hlc != b->hlc)
        return a->hlc < b->hlc ? -1 : 1;
    return (a->replica > b->replica) - (a->replica < b->replica);
}

uint64_t hlc_next(struct hlc *h, uint64_t now_ms)
{
    uint64_t wall = (now_ms > ms_max ? ms_max : now_ms) << 16;
    if (wall > h->last)
        h->last = wall;
    else if (h->last < UINT64_MAX)
        h->last++; /* a full count carries into the milliseconds */
    return h->last;
}

bool hlc_observe(struct hlc *h, uint64_t now_ms, uint64_t stamp)
{
    uint64_t limit = now_ms > ms_max - HLC_AHEAD_MAX_MS ? ms_max : now_ms + HLC_AHEAD_MAX_MS;
    if (hlc_ms(stamp) > limit)
        return false;
    bool agrees = now_ms <= ms_max && hlc_ms(stamp) + HLC_AHEAD_MAX_MS >= now_ms;
    if (stamp > h->last || (agrees && hlc_ms(h->last) > limit))
        h->last = stamp;
    return true;
}
