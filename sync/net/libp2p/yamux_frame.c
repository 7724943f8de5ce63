#include "sync/net/libp2p/yamux_frame.h"

#include <errno.h>

void yamux_header_put(const struct yamux_header *h, uint8_t ret[static YAMUX_HEADER_SIZE])
{
    ret[0] = 0;
    ret[1] = h->type;
    ret[2] = (uint8_t)(h->flags >> 8);
    ret[3] = (uint8_t)h->flags;
    put_u32(ret + 4, h->stream);
    put_u32(ret + 8, h->length);
}

int yamux_header_get(const uint8_t p[static YAMUX_HEADER_SIZE], struct yamux_header *ret)
{
    ret->type = p[1];
    ret->flags = (uint16_t)(p[2] << 8 | p[3]);
    ret->stream = get_u32(p + 4);
    ret->length = get_u32(p + 8);
    bool of_stream = ret->type == YAMUX_TYPE_DATA || ret->type == YAMUX_TYPE_WINDOW;
    if (p[0] != 0 || ret->type > YAMUX_TYPE_AWAY || of_stream != (ret->stream != 0))
        return -EPROTO;
    return 0;
}
