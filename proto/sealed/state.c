#include "proto/sealed/state.h"

#include <errno.h>

#include "proto/sealed/keys.h"

void state_encode(const struct state *s, struct buf *b)
{
    dots_put(b, s->known);
    act_ids_put(b, s->heads);
    buf_put(b, s->digest.b, HASH_SIZE);
    buf_put_u64(b, s->time_ms);
    state_more_encode(&s->more, b);
}

static bool says_nothing(const struct state_more *m)
{
    return m->floor.n == 0 && m->asks == 0 && m->after == 0 && m->missing.n == 0 &&
           m->list_number == 0 && m->list.n == 0;
}

void state_more_encode(const struct state_more *m, struct buf *b)
{
    if (says_nothing(m))
        return;
    dots_put(b, m->floor);
    buf_put_u64(b, m->asks);
    buf_put_u64(b, m->after);
    dots_put(b, m->missing);
    buf_put_u64(b, m->list_number);
    buf_put_string(b, m->list);
}

int state_more_decode(struct bytes in, struct state_more *ret)
{
    struct reader r = reader_of(in);
    *ret = (struct state_more){.asks = 0};
    if (in.n == 0)
        return 0;
    ret->floor = dots_read_vector(&r, LIMIT_VECTOR);
    ret->asks = reader_u64(&r);
    ret->after = reader_u64(&r);
    ret->missing = dots_read_set(&r, STATE_MISSING_MAX);
    ret->list_number = reader_u64(&r);
    ret->list = reader_string(&r, LIMIT_BODY);
    int rc = reader_end(&r);
    return rc < 0 || says_nothing(ret) ? -EBADMSG : 0;
}

static bool is_within(struct dots vector, struct dots of)
{
    for (size_t i = 0; i < vector.n; i++) {
        struct dot d = dots_at(vector, i);
        if (!dots_cover(of, &d))
            return false;
    }
    return true;
}

int state_decode(struct bytes in, struct state *ret)
{
    struct reader r = reader_of(in);
    ret->known = dots_read_vector(&r, LIMIT_VECTOR);
    ret->heads = act_ids_read(&r);
    reader_copy(&r, ret->digest.b, HASH_SIZE);
    ret->time_ms = reader_u64(&r);
    if (r.failed || state_more_decode(bytes_of(r.p, r.n), &ret->more) < 0 ||
        !is_within(ret->more.floor, ret->known))
        return -EBADMSG;
    return 0;
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
