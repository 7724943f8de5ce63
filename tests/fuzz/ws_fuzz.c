/* What a server sends a client: its answer to the handshake, then frames, in reads of any length.
 */
#include <stdlib.h>

#include "sync/net/ws.h"
#include "sync/net/ws_codec.h"
#include "sync/net/ws_upgrade.h"
#include "tests/fuzz/parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Decodes in pieces of @step bytes, and adds up what comes. */
static int decode(struct bytes in, size_t step, struct buf *ret)
{
    struct ws_decoder d = {0};
    while (in.n > 0) {
        struct bytes piece = bytes_of(in.p, (size_t)min_u64(step, in.n));
        struct ws_event e;
        int rc;
        in = bytes_of(in.p + piece.n, in.n - piece.n);
        while ((rc = ws_decode(&d, &piece, &e)) == 1) {
            bool control = e.op >= WS_OP_CLOSE;
            must(e.op != WS_OP_CONTINUATION && (!control || (e.last && e.coming == 0)));
            must(!control || e.data.n <= WS_CONTROL_MAX);
            must(!e.last || e.coming == 0);
            buf_put_bytes(ret, e.data);
            if (e.last)
                buf_put_u8(ret, (uint8_t)e.op);
        }
        if (rc < 0)
            return rc;
        must(piece.n == 0);
    }
    return 0;
}

/* A frame of this side, read as one of a server: without its mask. */
static void put_and_get(struct bytes payload)
{
    static const uint8_t mask[WS_MASK_SIZE] = {0x37, 0xfa, 0x21, 0x3d};
    struct buf b = {0};
    struct ws_decoder d = {0};
    struct ws_event e;
    ws_frame_put(&b, WS_OP_BINARY, true, mask, payload);
    must(buf_status(&b) == 0);
    size_t head = b.n - payload.n - WS_MASK_SIZE;
    for (size_t i = 0; i < payload.n; i++)
        must((b.p[b.n - payload.n + i] ^ mask[i % WS_MASK_SIZE]) == payload.p[i]);
    memmove(b.p + head, b.p + head + WS_MASK_SIZE, payload.n);
    b.p[1] &= 0x7f;
    struct bytes in = bytes_of(b.p, b.n - WS_MASK_SIZE);
    must(ws_decode(&d, &in, &e) == 1 && e.last && e.data.n == payload.n && in.n == 0);
    buf_fini(&b);
}

/* What follows the answer, to a request of either kind; all when there is none. */
static struct bytes past_answer(struct bytes in)
{
    static const char key[] = "dGhlIHNhbXBsZSBub25jZQ==";
    struct ws_answer a, plain;
    int rc = ws_answer_get(in, key, WS_SUBPROTOCOL, &a);
    int rc_plain = ws_answer_get(in, key, NULL, &plain);
    must((rc == 0) == (rc_plain == 0));
    if (rc == 1 && rc_plain == 1) /* no answer of 101 is good for both */
        must(a.n == plain.n && a.status == plain.status && a.status != 101);
    if (rc != 1 && rc_plain != 1)
        return in;
    a = rc == 1 ? a : plain;
    must(a.n <= in.n && a.n <= WS_ANSWER_MAX && a.status >= 100 && a.status <= 999);
    return bytes_of(in.p + a.n, in.n - a.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_of(data, size);
    struct buf one = {0}, whole = {0};
    in = past_answer(in);
    int rc_one = decode(in, 1, &one), rc_whole = decode(in, in.n, &whole);
    must(rc_one == rc_whole);
    must(bytes_equal(buf_bytes(&one), buf_bytes(&whole)));
    put_and_get(in);
    buf_fini(&one);
    buf_fini(&whole);
    return 0;
}
