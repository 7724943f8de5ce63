#include "sync/engine/window.h"

#include "proto/base/base.h"

void window_init(struct window *w)
{
    *w = (struct window){.bytes = WINDOW_MIN, .base_ms = {UINT64_MAX, UINT64_MAX}};
    for (size_t i = 0; i < WINDOW_LAST; i++)
        w->last_ms[i] = UINT64_MAX;
}

void window_answered(struct window *w, size_t bytes, uint64_t took_ms, uint64_t now_ms)
{
    if (now_ms >= w->base_at_ms + WINDOW_BASE_MS) {
        w->base_ms[1] = w->base_ms[0];
        w->base_ms[0] = UINT64_MAX;
        w->base_at_ms = now_ms;
    }
    w->base_ms[0] = min_u64(w->base_ms[0], took_ms);
    w->last_ms[w->last_at++ % WINDOW_LAST] = took_ms;
    uint64_t least = took_ms, base = min_u64(w->base_ms[0], w->base_ms[1]);
    for (size_t i = 0; i < WINDOW_LAST; i++)
        least = min_u64(least, w->last_ms[i]);
    uint64_t queue_ms = least - min_u64(base, least); /* it may be older than the base is */
    if (queue_ms < WINDOW_QUEUE_MS)
        w->bytes = (size_t)min_u64(WINDOW_MAX, w->bytes + bytes / 8);
    else
        w->bytes -= (size_t)min_u64(w->bytes - WINDOW_MIN, bytes / 8);
}
