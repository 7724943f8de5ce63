#include "proto/holdings.h"

#include <errno.h>

enum { FORMAT = 1 };

void holdings_put_head(struct buf *b, const struct holdings_head *h)
{
    buf_put_u8(b, FORMAT);
    dots_put(b, h->known);
    dots_put(b, h->floor);
}

void holdings_put_record(struct buf *b, const struct rid *rid, bool alive, size_t n)
{
    rid_put(b, rid);
    buf_put_u8(b, alive);
    buf_put_varint(b, n);
}

void holdings_put_value(struct buf *b, const struct holdings_value *v)
{
    buf_put_u8(b, (uint8_t)v->facet);
    if (v->facet == FACET_PLACE)
        dot_put(b, &v->slot);
    dot_put(b, &v->dot);
    buf_put(b, v->head, HOLDINGS_HEAD);
}

int holdings_read_head(struct reader *r, struct holdings_head *ret)
{
    uint8_t format = reader_u8(r);
    ret->known = dots_read_vector(r, LIMIT_VECTOR);
    ret->floor = dots_read_vector(r, LIMIT_VECTOR);
    bool within = !r->failed && format == FORMAT;
    for (size_t i = 0; within && i < ret->floor.n; i++) {
        struct dot d = dots_at(ret->floor, i);
        within = dots_cover(ret->known, &d);
    }
    return within ? 0 : -EBADMSG;
}

static bool read_value(struct reader *r, struct holdings_value *ret)
{
    uint8_t facet = reader_u8(r);
    *ret = (struct holdings_value){.facet = FACET_PLACE};
    if (r->failed || facet > FACET_CONTENT)
        return false;
    ret->facet = (enum facet)facet;
    if (ret->facet == FACET_PLACE)
        ret->slot = dot_read(r);
    ret->dot = dot_read(r);
    struct bytes head = reader_bytes(r, HOLDINGS_HEAD);
    if (r->failed || !dot_valid(&ret->dot) || (!dot_is_none(&ret->slot) && !dot_valid(&ret->slot)))
        return false;
    memcpy(ret->head, head.p, HOLDINGS_HEAD);
    return true;
}

static bool ascends(const struct holdings_value *a, const struct holdings_value *b)
{
    const struct value x = {.facet = a->facet, .slot = a->slot, .dot = a->dot};
    const struct value y = {.facet = b->facet, .slot = b->slot, .dot = b->dot};
    return value_cmp(&x, &y) < 0;
}

int holdings_read_record(struct reader *r, const struct rid *after, struct holdings_record *ret)
{
    ret->rid = rid_read(r);
    uint8_t alive = reader_u8(r);
    uint64_t n = reader_varint(r);
    if (r->failed || alive > 1 || n == 0 || n > HOLDINGS_VALUES_MAX || !rid_valid(&ret->rid) ||
        (after != NULL && rid_cmp(after, &ret->rid) >= 0))
        return -EBADMSG;
    ret->alive = alive == 1;
    struct holdings_value v, before;
    const uint8_t *from = r->p;
    for (uint64_t i = 0; i < n; i++) {
        if (!read_value(r, &v) || (i > 0 && !ascends(&before, &v)))
            return -EBADMSG;
        before = v;
    }
    ret->values = bytes_of(from, (size_t)(r->p - from));
    return 0;
}

bool holdings_next(struct reader *values, struct holdings_value *ret)
{
    return values->n > 0 && read_value(values, ret);
}
