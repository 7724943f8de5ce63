#include "sync/pair/payload.h"

#include <errno.h>

#include "proto/base/utf8.h"

static void put_label(const char *label, struct buf *ret)
{
    size_t n = strnlen(label, PAIR_LABEL_SIZE - 1);
    buf_put_u8(ret, (uint8_t)n);
    buf_put(ret, label, n);
}

static bool get_label(struct reader *r, char ret[static PAIR_LABEL_SIZE])
{
    struct bytes label = reader_bytes(r, reader_u8(r));
    if (r->failed || label.n >= PAIR_LABEL_SIZE || !utf8_is_label(label))
        return false;
    memcpy(ret, label.p, label.n);
    ret[label.n] = '\0';
    return true;
}

void pair_joiner_put(const struct pair_joiner *j, struct buf *ret)
{
    buf_put(ret, j->member, sizeof j->member);
    put_label(j->label, ret);
}

int pair_joiner_get(struct bytes in, struct pair_joiner *ret)
{
    struct reader r = reader_of(in);
    *ret = (struct pair_joiner){.label = ""};
    reader_copy(&r, ret->member, sizeof ret->member);
    return get_label(&r, ret->label) && reader_end(&r) == 0 ? 0 : -EBADMSG;
}

void pair_inviter_put(const struct pair_inviter *v, struct buf *ret)
{
    put_label(v->label, ret);
    buf_put_u8(ret, (uint8_t)v->grants_n);
    for (size_t i = 0; i < v->grants_n; i++) {
        buf_put_u32(ret, (uint32_t)v->grants[i].n);
        buf_put_bytes(ret, v->grants[i]);
    }
}

int pair_inviter_get(struct bytes in, struct pair_inviter *ret)
{
    struct reader r = reader_of(in);
    *ret = (struct pair_inviter){.label = ""};
    if (!get_label(&r, ret->label))
        return -EBADMSG;
    size_t n = reader_u8(&r);
    if (n == 0 || n > PAIR_SPACES_MAX)
        return -EBADMSG;
    for (; ret->grants_n < n && !r.failed; ret->grants_n++)
        ret->grants[ret->grants_n] = reader_bytes(&r, reader_u32(&r));
    return reader_end(&r) < 0 ? -EBADMSG : 0;
}
