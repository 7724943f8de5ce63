#include "sync/net/libp2p/message.h"

#include <errno.h>
#include <stdlib.h>

enum {
    LENGTH_BYTES_MAX = 9, /* of a varint of multiformats */
    /* What an honest message costs: its bytes once more, and some 100 for each of its fields. */
    BUDGET = 16 * 1024,
    BUDGET_TIMES = 4,
    ALIGN = _Alignof(max_align_t)
};

/* Bytes of the length at the front: 0 when it is not whole; -EPROTO. */
static int length_of(struct bytes v, uint64_t *ret)
{
    struct reader r = reader_of(v);
    size_t n = 0;
    while (n < v.n && (v.p[n] & 0x80) != 0)
        n++;
    if (n >= LENGTH_BYTES_MAX)
        return -EPROTO;
    if (n == v.n)
        return 0;
    *ret = reader_varint(&r);
    return r.failed ? -EPROTO : (int)n + 1;
}

/* Moves up to @n bytes from *in to what is kept. */
static void keep(struct message_reader *r, struct bytes *in, size_t n)
{
    n = (size_t)min_u64(n, in->n);
    buf_put(&r->part, in->p, n);
    *in = bytes_of(in->p + n, in->n - n);
}

int message_next(struct message_reader *r, struct bytes *in, struct bytes *ret)
{
    uint64_t n = 0;
    int head = length_of(buf_bytes(&r->part), &n);
    if (head > 0 && r->part.n == (size_t)head + n) { /* the one before: it was given out */
        buf_reset(&r->part);
        head = 0;
    }
    for (; head == 0 && in->n > 0; head = length_of(buf_bytes(&r->part), &n))
        keep(r, in, 1);
    if (head < 0 || n > r->max)
        return -EPROTO;
    if (head == 0)
        return buf_status(&r->part);
    keep(r, in, (size_t)head + (size_t)n - r->part.n);
    if (r->part.n < (size_t)head + n || r->part.failed)
        return buf_status(&r->part);
    *ret = bytes_of(r->part.p + head, (size_t)n);
    return 1;
}

bool message_cut(const struct message_reader *r)
{
    uint64_t n = 0;
    int head = length_of(buf_bytes(&r->part), &n);
    return r->part.n > 0 && (head <= 0 || r->part.n < (size_t)head + n);
}

void message_reader_fini(struct message_reader *r)
{
    buf_fini(&r->part);
}

/* ---- decoding ----------------------------------------------------------------------------------
 */

static void *take(void *arg, size_t size)
{
    struct message *m = arg;
    size_t n = (size + ALIGN - 1) / ALIGN * ALIGN;
    if (n < size || n > m->cap - m->used)
        return NULL;
    void *p = m->arena + m->used;
    m->used += n;
    return p;
}

/* All goes at once. */
static void give_back(void *arg, void *p)
{
    (void)arg;
    (void)p;
}

const void *message_unpack(struct message *m, const ProtobufCMessageDescriptor *type,
                           struct bytes in)
{
    ProtobufCAllocator within = {.alloc = take, .free = give_back, .allocator_data = m};
    static const uint8_t none;
    message_fini(m);
    m->cap = BUDGET + BUDGET_TIMES * in.n;
    m->arena = malloc(m->cap);
    if (m->arena == NULL)
        return NULL;
    return protobuf_c_message_unpack(type, &within, in.n, in.n > 0 ? in.p : &none);
}

void message_fini(struct message *m)
{
    if (m == NULL)
        return;
    free(m->arena);
    *m = (struct message){0};
}
