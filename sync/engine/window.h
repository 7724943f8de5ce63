/*
 * sync/engine/window - how many bytes of chunks may be on their way to a remote, or from it. What
 * is small goes behind them: so there are only as many as keep the line busy. Sans IO.
 *
 * Steered by the time that answers take, as in RFC 6817 (LEDBAT): the least of it is the way there
 * and back, what comes on top of that is the queue. Of the last ones the least counts, too: what is
 * late by chance, or long itself (chunks are 16 to 256 KiB), says nothing of a queue.
 */
#ifndef SYNC_ENGINE_WINDOW_H
#define SYNC_ENGINE_WINDOW_H

#include <stddef.h>
#include <stdint.h>

enum {
    WINDOW_MIN = 512 << 10, /* with less a line that is slow, and far, would rest */
    WINDOW_MAX = 2 << 20,
    WINDOW_QUEUE_MS = 10,   /* what it is to be */
    WINDOW_BASE_MS = 30000, /* the least of so long, and of as long before it; ways change */
    WINDOW_LAST = 8,        /* answers, the last ones */
};

struct window {
    size_t bytes;
    uint64_t base_ms[2], base_at_ms; /* the least now and before, and when now began; 0: not yet */
    uint64_t last_ms[WINDOW_LAST];   /* a ring; UINT64_MAX: none yet */
    size_t last_at;
};

void window_init(struct window *w);
/** @bytes are answered that were sent, or asked for, @took_ms ago. @now_ms: of a steady clock. */
void window_answered(struct window *w, size_t bytes, uint64_t took_ms, uint64_t now_ms);

#endif
