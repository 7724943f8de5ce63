#include "proto/sealed/state.h"

#include <errno.h>

#include "proto/sealed/keys.h"

void state_encode(const struct state *s, struct buf *b)
{
    dots_put(b, s->known);
    act_ids_put(b, s->heads);
    buf_put(b, s->digest.b, HASH_SIZE);
    buf_put_u64(b, s->time_ms);
}

int state_decode(struct bytes in, struct state *ret)
{
    struct reader r = reader_of(in);
    ret->known = dots_read_vector(&r, LIMIT_VECTOR);
    ret->heads = act_ids_read(&r);
    reader_copy(&r, ret->digest.b, HASH_SIZE);
    ret->time_ms = reader_u64(&r);
    return reader_end(&r);
}

void state_digest_toggle(struct state_digest *d, const struct space_keys *k, const struct value *v,
                         const uint8_t head_hash[static HASH_SIZE])
{
    uint8_t facet = (uint8_t)v->facet, slot[DOT_SIZE] = {0}, dot[DOT_SIZE], h[HASH_SIZE];
    if (v->facet == FACET_PLACE)
        dot_encode(&v->slot, slot);
    dot_encode(&v->dot, dot);
    const struct bytes parts[] = {bytes_of(v->rid.b, RID_SIZE), bytes_of(&facet, 1),
                                  bytes_of(slot, sizeof slot), bytes_of(dot, sizeof dot),
                                  bytes_of(head_hash, HASH_SIZE)};
    hash_parts(k->digest, SEAL_LABEL_DIGEST, parts, ARRAY_N(parts), h);
    for (size_t i = 0; i < HASH_SIZE; i++)
        d->b[i] ^= h[i];
}
