/* What a peer sends before anything is agreed on, to whoever dialed and whoever was dialed; and
 * what one says under the keys of a handshake, to an application that does all there is. */
#include <errno.h>

#include "sync/net/libp2p/conn.h"
#include "tests/fuzz/parts.h"
#include "tests/support/far.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t calls;

static void do_something(struct conn_stream *s)
{
    static const uint8_t zeros[20000];
    switch (calls++ % 7) {
    case 0:
        must(conn_write(s, bytes_of(zeros, sizeof zeros)) != -ENOMEM);
        return;
    case 3:
        conn_finish(s);
        return;
    case 5:
        conn_reset(s);
        return;
    default:
        return;
    }
}

static bool on_opened(struct conn_stream *s, void *user)
{
    (void)s, (void)user;
    return calls++ % 11 != 0;
}

static void on_data(struct conn_stream *s, struct bytes data, void *user)
{
    (void)user;
    must(data.n > 0);
    if (calls % 3 != 0)
        conn_consumed(s, data.n);
    do_something(s);
}

static void on_stream(struct conn_stream *s, void *user)
{
    (void)user;
    do_something(s);
}

static void on_closed(struct conn_stream *s, int rc, void *user)
{
    (void)rc, (void)user;
    must(conn_of(s) != NULL);
}

static const struct conn_handler handler = {on_opened, on_data, on_stream, on_stream, on_closed};

static void on_conn(struct conn *c, void *user)
{
    struct conn_stream *s;
    (void)user;
    must(conn_open(c, "/a", &handler, NULL, &s) == 0);
}

static void on_kicked(struct conn *c, void *user)
{
    (void)c, (void)user;
}

static struct conn *begin(bool dials, const struct noise_keys *keys)
{
    static const struct conn_protocol protocols[] = {{"/a", &handler, 3, 0, NULL},
                                                     {"/b", &handler, 1, 1000, NULL}};
    struct conn_config cfg = {.dials = dials,
                              .keys = keys,
                              .protocols = protocols,
                              .protocols_n = ARRAY_N(protocols),
                              .opened = on_conn,
                              .kicked = on_kicked};
    struct conn *c;
    must(conn_new(&cfg, 0, &c) == 0);
    return c;
}

/* Takes what waits to be written. */
static void drain(struct conn *c, struct far *f)
{
    for (struct bytes out; (out = conn_out(c)).n > 0;) {
        if (f != NULL)
            far_feed(f, out);
        conn_sent(c, out.n);
    }
}

static void feed(struct conn *c, struct bytes in)
{
    if (conn_wants_read(c))
        must(conn_feed(c, in, calls) <= 0);
}

/* Bytes as they are. */
static void to_strangers(struct bytes in, bool dials, const struct noise_keys *keys)
{
    struct conn *c = begin(dials, keys);
    size_t half = in.n / 2;
    drain(c, NULL);
    feed(c, bytes_of(in.p, half));
    drain(c, NULL);
    feed(c, bytes_of(in.p + half, in.n - half));
    must(!conn_is_open(c));
    drain(c, NULL);
    conn_free(c);
}

/* Bytes as frames of yamux, in pieces that begin with their length. */
static void to_acquaintances(struct bytes in, bool dials, const struct noise_keys *keys,
                             const struct noise_keys *others)
{
    struct conn *c = begin(dials, keys);
    struct far f;
    uint64_t now = 0;
    far_init(&f, !dials, true, others);
    while (f.stage != FAR_OPEN || f.out.n > 0) {
        drain(c, &f);
        must(f.stage != FAR_FAILED);
        must(conn_feed(c, buf_bytes(&f.out), now) == 0);
        buf_reset(&f.out);
    }
    must(conn_is_open(c));
    struct reader r = reader_of(in);
    while (r.n > 0) {
        size_t n = (size_t)min_u64(reader_u8(&r), r.n);
        buf_reset(&f.out);
        far_say(&f, reader_bytes(&r, n));
        feed(c, buf_bytes(&f.out));
        if (n % 4 != 0)
            drain(c, NULL);
        must(conn_tick(c, now += n) <= 0);
    }
    drain(c, NULL);
    conn_free(c);
    far_fini(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct noise_keys keys, others;
    static bool made;
    if (!made) {
        far_keys(&keys, NULL);
        far_keys(&others, NULL);
        made = true;
    }
    if (size == 0)
        return 0;
    calls = 0;
    struct bytes in = bytes_of(data + 1, size - 1);
    bool dials = (data[0] & 1) != 0;
    if ((data[0] & 2) != 0)
        to_acquaintances(in, dials, &keys, &others);
    else
        to_strangers(in, dials, &keys);
    return 0;
}
