/* What a peer sends over yamux, cut by the input itself, to an application that does all there is.
 */
#include <errno.h>

#include "sync/net/libp2p/yamux.h"
#include "tests/fuzz/parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t calls, held;

/* Does this or that, the next time another. */
static void do_something(struct yamux_stream *s)
{
    static const uint8_t zeros[20000];
    switch (calls++ % 7) {
    case 0:
        must(yamux_write(s, bytes_of(zeros, sizeof zeros)) != -ENOMEM);
        return;
    case 3:
        yamux_finish(s);
        return;
    case 5:
        yamux_reset(s);
        return;
    default:
        return;
    }
}

static bool on_accept(struct yamux_stream *s, void *user)
{
    (void)user;
    if (calls % 5 == 0)
        do_something(s);
    return calls++ % 11 != 0;
}

static void on_data(struct yamux_stream *s, struct bytes data, void *user)
{
    (void)user;
    held += data.n;
    if (calls % 3 != 0)
        yamux_consumed(s, data.n);
    do_something(s);
}

static void on_stream(struct yamux_stream *s, void *user)
{
    (void)user;
    do_something(s);
}

static void on_closed(struct yamux_stream *s, enum yamux_end how, void *user)
{
    (void)user;
    (void)how;
    must(yamux_id(s) != 0);
}

static void on_away(struct yamux *y, uint32_t code, void *user)
{
    struct yamux_stream *s;
    (void)code;
    (void)user;
    must(yamux_open(y, NULL, &s) == -ESHUTDOWN);
}

static const struct yamux_events events = {on_accept, on_data,   on_stream,
                                           on_stream, on_closed, on_away};

/* First byte: which side, how long the pieces are and how often this side opens and takes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t to[8192];
    struct yamux *y;
    struct yamux_stream *s;
    uint8_t how = size > 0 ? data[0] : 0;
    struct bytes in = bytes_of(data + (size > 0), size > 0 ? size - 1 : 0);
    calls = how;
    held = 0;
    must(yamux_new((how & 1) != 0, &events, NULL, 0, &y) == 0);
    for (uint64_t turn = 0; in.n > 0; turn++) {
        struct bytes piece = bytes_of(in.p, min_u64(in.n, 1 + (how >> 4) * 9u));
        size_t had = piece.n;
        if (turn % 8 == 0 && yamux_open(y, NULL, &s) == 0 && (how & 2) != 0)
            must(yamux_write(s, in) >= 0);
        int rc = yamux_feed(y, &piece);
        must(rc == 0 || rc == -EPROTO);
        in = bytes_of(in.p + had - piece.n, in.n - had + piece.n);
        if (turn % 4 == 0 || !yamux_wants_read(y))
            must(yamux_take(y, to, YAMUX_TAKE_MIN + how * 16u) <= sizeof to);
        must(yamux_streams(y) <= YAMUX_INBOUND_MAX + YAMUX_UNANSWERED_MAX + size);
        must(yamux_queued(y) <= YAMUX_QUEUE && held <= size);
        if (rc < 0)
            break;
        if (yamux_tick(y, turn * 100) < 0)
            break;
    }
    yamux_free(y);
    return 0;
}
