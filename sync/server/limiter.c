#include "sync/server/limiter.h"

#include <assert.h>
#include <sodium.h>

struct address {
    uint8_t b[16];
};

static struct address shorten(struct bytes address)
{
    struct address a = {{0}};
    if (address.n == 4) {
        memcpy(a.b + 12, address.p, 4);
        memset(a.b + 8, 0xff, 4); /* nothing that begins with an IPv6 network */
    } else if (address.n == 16) {
        memcpy(a.b, address.p, 8);
    }
    return a;
}

static size_t set_of(const struct limiter *l, const struct address *a)
{
    uint8_t h[crypto_shorthash_BYTES];
    crypto_shorthash(h, a->b, sizeof a->b, l->seed);
    return get_u32(h) % LIMITER_SETS;
}

static uint64_t newest(const struct limiter *l, const struct limiter_place *p)
{
    return p->n == 0 ? 0 : p->fail_ms[(p->next + l->times - 1) % l->times];
}

void limiter_init(struct limiter *l, unsigned times)
{
    assert(times > 0 && times <= LIMITER_TIMES_MAX);
    _Static_assert(sizeof l->seed == crypto_shorthash_KEYBYTES, "the seed is a key");
    memset(l, 0, sizeof *l);
    l->times = times;
    randombytes_buf(l->seed, sizeof l->seed);
}

uint64_t limiter_wait(const struct limiter *l, struct bytes address, uint64_t now_ms)
{
    struct address a = shorten(address);
    const struct limiter_place *set = l->place[set_of(l, &a)];
    for (int i = 0; i < LIMITER_WAYS; i++) {
        const struct limiter_place *p = &set[i];
        if (p->n < l->times || memcmp(p->address, a.b, sizeof a.b) != 0)
            continue;
        uint64_t oldest = p->fail_ms[p->next];
        /* A clock that was set back must not lock anybody out for long. */
        if (newest(l, p) > now_ms + LIMITER_WINDOW_MS || now_ms >= oldest + LIMITER_WINDOW_MS)
            return 0;
        return oldest + LIMITER_WINDOW_MS - now_ms;
    }
    return 0;
}

void limiter_fail(struct limiter *l, struct bytes address, uint64_t now_ms)
{
    if (address.n == 0)
        return;
    struct address a = shorten(address);
    struct limiter_place *set = l->place[set_of(l, &a)];
    struct limiter_place *p = &set[0];
    for (int i = 0; i < LIMITER_WAYS; i++) {
        if (set[i].n > 0 && memcmp(set[i].address, a.b, sizeof a.b) == 0) {
            p = &set[i];
            break;
        }
        if (newest(l, &set[i]) < newest(l, p))
            p = &set[i];
    }
    if (p->n == 0 || memcmp(p->address, a.b, sizeof a.b) != 0) {
        *p = (struct limiter_place){0};
        memcpy(p->address, a.b, sizeof a.b);
    }
    p->fail_ms[p->next] = now_ms;
    p->next = (p->next + 1) % l->times;
    p->n += p->n < l->times;
}
