/* The rules of yamux: frames as they lie on the wire, limits, and what a peer must not do. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sync/net/libp2p/yamux.h"

enum { TAKE = 64 * 1024 };

/* A machine whose application keeps what happens. */
struct app {
    struct yamux *y;
    struct yamux_stream *last;                         /* that the peer opened */
    bool refuses, consumes, resets;                    /* what it does with one */
    size_t accepted, finished, closed, writable, away; /* calls */
    enum yamux_end how;
    uint32_t code;
    struct buf got, sent; /* of all streams; and what was taken */
};

static bool on_accept(struct yamux_stream *s, void *user)
{
    struct app *a = user;
    a->accepted++;
    a->last = s;
    return !a->refuses;
}

static void on_data(struct yamux_stream *s, struct bytes data, void *user)
{
    struct app *a = user;
    buf_put_bytes(&a->got, data);
    if (a->resets)
        yamux_reset(s);
    else if (a->consumes)
        yamux_consumed(s, data.n);
}

static void on_writable(struct yamux_stream *s, void *user)
{
    (void)s;
    ((struct app *)user)->writable++;
}

static void on_finished(struct yamux_stream *s, void *user)
{
    (void)s;
    ((struct app *)user)->finished++;
}

static void on_closed(struct yamux_stream *s, enum yamux_end how, void *user)
{
    struct app *a = user;
    (void)s;
    a->closed++;
    a->how = how;
}

static void on_away(struct yamux *y, uint32_t code, void *user)
{
    struct app *a = user;
    (void)y;
    a->away++;
    a->code = code;
}

static const struct yamux_events events = {on_accept,   on_data,   on_writable,
                                           on_finished, on_closed, on_away};

static void app_init(struct app *a, bool dials)
{
    *a = (struct app){.consumes = true};
    assert_int_equal(yamux_new(dials, &events, a, 0, &a->y), 0);
}

static void app_fini(struct app *a)
{
    yamux_free(a->y);
    buf_fini(&a->got);
    buf_fini(&a->sent);
}

/* All that it has to send, in a->sent. */
static struct bytes taken(struct app *a)
{
    static uint8_t to[TAKE];
    size_t n;
    buf_reset(&a->sent);
    while ((n = yamux_take(a->y, to, sizeof to)) > 0)
        buf_put(&a->sent, to, n);
    assert_false(yamux_has_more(a->y));
    return buf_bytes(&a->sent);
}

static struct buf frame(unsigned type, unsigned flags, uint32_t stream, uint32_t length, size_t n)
{
    struct buf b = {0};
    uint8_t head[YAMUX_HEADER_SIZE];
    struct yamux_header h = {(uint8_t)type, (uint16_t)flags, stream, length};
    yamux_header_put(&h, head);
    buf_put(&b, head, sizeof head);
    assert_int_equal(buf_resize(&b, b.n + n), 0);
    return b;
}

/* Feeds a frame with @n zeros behind its header. */
static int feed(struct app *a, unsigned type, unsigned flags, uint32_t stream, uint32_t length,
                size_t n)
{
    struct buf b CLEANUP(buf_fini) = frame(type, flags, stream, length, n);
    struct bytes in = buf_bytes(&b);
    int rc = yamux_feed(a->y, &in);
    assert_true(rc < 0 || in.n == 0);
    return rc;
}

static void assert_sent(struct app *a, unsigned type, unsigned flags, uint32_t stream,
                        uint32_t length)
{
    struct buf b CLEANUP(buf_fini) = frame(type, flags, stream, length, 0);
    struct bytes out = taken(a);
    assert_int_equal(out.n, YAMUX_HEADER_SIZE);
    assert_memory_equal(out.p, b.p, b.n);
}

static int syn(struct app *a, uint32_t stream)
{
    return feed(a, YAMUX_TYPE_WINDOW, YAMUX_SYN, stream, 0, 0);
}

/* ---- frames ------------------------------------------------------------------------------------
 */

/* As js-libp2p writes them. */
static void headers_are_those_of_others(void **state)
{
    (void)state;
    static const struct {
        struct yamux_header h;
        uint8_t bytes[YAMUX_HEADER_SIZE];
    } all[] = {
        {{YAMUX_TYPE_WINDOW, YAMUX_SYN, 1, 0}, {0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0}},
        {{YAMUX_TYPE_WINDOW, YAMUX_SYN, 3, 262144}, {0, 1, 0, 1, 0, 0, 0, 3, 0, 4, 0, 0}},
        {{YAMUX_TYPE_WINDOW, YAMUX_ACK, 1, 0}, {0, 1, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0}},
        {{YAMUX_TYPE_DATA, 0, 1, 5}, {0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 5}},
        {{YAMUX_TYPE_WINDOW, YAMUX_FIN, 1, 0}, {0, 1, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0}},
        {{YAMUX_TYPE_WINDOW, YAMUX_RST, 1, 0}, {0, 1, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0}},
        {{YAMUX_TYPE_PING, YAMUX_SYN, 0, 7}, {0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7}},
        {{YAMUX_TYPE_PING, YAMUX_ACK, 0, 7}, {0, 2, 0, 2, 0, 0, 0, 0, 0, 0, 0, 7}},
        {{YAMUX_TYPE_AWAY, 0, 0, 0}, {0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
        {{YAMUX_TYPE_AWAY, 0, 0, 1}, {0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}},
    };
    for (size_t i = 0; i < ARRAY_N(all); i++) {
        uint8_t bytes[YAMUX_HEADER_SIZE];
        struct yamux_header h;
        yamux_header_put(&all[i].h, bytes);
        assert_memory_equal(bytes, all[i].bytes, sizeof bytes);
        assert_int_equal(yamux_header_get(bytes, &h), 0);
        assert_true(h.type == all[i].h.type && h.flags == all[i].h.flags);
        assert_true(h.stream == all[i].h.stream && h.length == all[i].h.length);
    }
}

static void the_life_of_a_stream_is_these_frames(void **state)
{
    (void)state;
    struct app a;
    struct yamux_stream *s;
    app_init(&a, true);
    assert_int_equal(yamux_open(a.y, NULL, &s), 0);
    assert_int_equal(yamux_id(s), 1);
    assert_sent(&a, YAMUX_TYPE_WINDOW, YAMUX_SYN, 1, 0);
    assert_int_equal(feed(&a, YAMUX_TYPE_WINDOW, YAMUX_ACK, 1, 0, 0), 0);
    assert_int_equal(yamux_write(s, bytes_str("hello")), 5);
    struct bytes out = taken(&a);
    static const uint8_t data[] = {0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 5, 'h', 'e', 'l', 'l', 'o'};
    assert_true(bytes_equal(out, bytes_of(data, sizeof data)));
    yamux_finish(s);
    yamux_finish(s);
    assert_int_equal(yamux_write(s, bytes_str("more")), -EPIPE);
    assert_sent(&a, YAMUX_TYPE_WINDOW, YAMUX_FIN, 1, 0);
    assert_int_equal(feed(&a, YAMUX_TYPE_DATA, 0, 1, 3, 3), 0);
    assert_int_equal(a.got.n, 3);
    assert_int_equal(a.closed, 0);
    assert_int_equal(feed(&a, YAMUX_TYPE_DATA, YAMUX_FIN, 1, 2, 2), 0);
    assert_int_equal(a.got.n, 5);
    assert_true(a.finished == 1 && a.closed == 1 && a.how == YAMUX_DONE);
    assert_int_equal(yamux_streams(a.y), 0);
    assert_int_equal(taken(&a).n, 0);
    app_fini(&a);
}

static void data_comes_after_the_frame_that_opens_and_before_the_end(void **state)
{
    (void)state;
    struct app a;
    struct yamux_stream *s;
    app_init(&a, false);
    assert_int_equal(yamux_open(a.y, NULL, &s), 0);
    assert_int_equal(yamux_id(s), 2);
    assert_int_equal(yamux_write(s, bytes_str("x")), 1);
    yamux_finish(s);
    static const uint8_t ought[] = {0, 1, 0, 1, 0, 0,   0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                    2, 0, 0, 0, 1, 'x', 0, 1, 0, 4, 0, 0, 0, 2, 0, 0, 0, 0};
    assert_true(bytes_equal(taken(&a), bytes_of(ought, sizeof ought)));
    app_fini(&a);
}

static void a_stream_of_the_peer_is_acknowledged_or_refused(void **state)
{
    (void)state;
    struct app a;
    app_init(&a, true);
    assert_int_equal(syn(&a, 2), 0);
    assert_sent(&a, YAMUX_TYPE_WINDOW, YAMUX_ACK, 2, 0);
    a.refuses = true;
    assert_int_equal(feed(&a, YAMUX_TYPE_DATA, YAMUX_SYN, 4, 9, 9), 0); /* as rust opens */
    assert_sent(&a, YAMUX_TYPE_WINDOW, YAMUX_RST, 4, 0);
    assert_int_equal(a.got.n, 0);
    assert_true(a.accepted == 2 && a.closed == 0 && yamux_streams(a.y) == 1);
    a.refuses = false;
    assert_int_equal(feed(&a, YAMUX_TYPE_DATA, YAMUX_SYN | YAMUX_FIN, 6, 9, 9), 0);
    assert_true(a.got.n == 9 && a.finished == 1);
    assert_sent(&a, YAMUX_TYPE_WINDOW, YAMUX_ACK, 6, 0);
    assert_int_equal(feed(&a, YAMUX_TYPE_WINDOW, YAMUX_SYN | YAMUX_RST, 8, 0, 0), 0);
    assert_true(a.accepted == 3 && taken(&a).n == 0);
    app_fini(&a);
    assert_int_equal(a.closed, 2);
    assert_int_equal(a.how, YAMUX_CONNECTION);
}

static void a_reset_ends_both_directions(void **state)
{
    (void)state;
    struct app a;
    struct yamux_stream *s;
    app_init(&a, true);
    assert_int_equal(yamux_open(a.y, NULL, &s), 0);
    yamux_reset(s); /* the peer has not heard of it */
    assert_int_equal(taken(&a).n, 0);
    assert_int_equal(yamux_open(a.y, NULL, &s), 0);
    assert_sent(&a, YAMUX_TYPE_WINDOW, YAMUX_SYN, 3, 0);
    assert_int_equal(yamux_write(s, bytes_str("never sent")), 10);
    yamux_reset(s);
    assert_int_equal(yamux_queued(a.y), 0);
    assert_sent(&a, YAMUX_TYPE_WINDOW, YAMUX_RST, 3, 0);
    assert_int_equal(feed(&a, YAMUX_TYPE_DATA, 0, 3, 100, 100), 0); /* on the way, skipped */
    assert_true(a.got.n == 0 && a.closed == 0 && yamux_streams(a.y) == 0);
    assert_int_equal(syn(&a, 2), 0);
    assert_int_equal(feed(&a, YAMUX_TYPE_WINDOW, YAMUX_RST, 2, 0, 0), 0);
    assert_true(a.closed == 1 && a.how == YAMUX_RESET && yamux_streams(a.y) == 0);
    assert_int_equal(taken(&a).n, 0);
    app_fini(&a);
}

static void a_reset_from_within_data_skips_the_rest_of_the_frame(void **state)
{
    (void)state;
    struct app a;
    app_init(&a, true);
    a.resets = true;
    struct buf b CLEANUP(buf_fini) = frame(YAMUX_TYPE_DATA, YAMUX_SYN | YAMUX_FIN, 2, 100, 100);
    struct bytes in = bytes_of(b.p, 50);
    assert_int_equal(yamux_feed(a.y, &in), 0);
    assert_int_equal(a.got.n, 38);
    in = bytes_of(b.p + 50, b.n - 50);
    assert_int_equal(yamux_feed(a.y, &in), 0);
    assert_true(a.got.n == 38 && a.finished == 0 && a.closed == 0);
    assert_sent(&a, YAMUX_TYPE_WINDOW, YAMUX_RST, 2, 0);
    app_fini(&a);
}

static void a_stream_ends_once_and_with_the_last_byte(void **state)
{
    (void)state;
    struct app a;
    app_init(&a, true);
    assert_int_equal(syn(&a, 4), 0);
    struct buf b CLEANUP(buf_fini) = frame(YAMUX_TYPE_DATA, YAMUX_SYN | YAMUX_FIN, 2, 100, 100);
    struct bytes in = bytes_of(b.p, 50);
    assert_int_equal(yamux_feed(a.y, &in), 0);
    assert_int_equal(a.finished, 0);
    in = bytes_of(b.p + 50, b.n - 50);
    assert_int_equal(yamux_feed(a.y, &in), 0);
    assert_true(a.got.n == 100 && a.finished == 1);
    assert_int_equal(feed(&a, YAMUX_TYPE_WINDOW, YAMUX_FIN, 2, 0, 0), 0);
    assert_int_equal(feed(&a, YAMUX_TYPE_DATA, 0, 4, 10, 10), 0); /* another's goes on */
    assert_int_equal(a.finished, 1);
    app_fini(&a);
}

/* ---- windows -----------------------------------------------------------------------------------
 */

static const uint8_t zeros[4 * 1024 * 1024];

static void a_window_opens_when_half_of_it_is_consumed(void **state)
{
    (void)state;
    struct app a;
    app_init(&a, true);
    a.consumes = false;
    assert_int_equal(yamux_tick(a.y, 1000), 0); /* so slow that it does not grow */
    assert_int_equal(syn(&a, 2), 0);
    assert_int_equal(yamux_tick(a.y, 2000), 0);
    (void)taken(&a);
    assert_int_equal(feed(&a, YAMUX_TYPE_DATA, 0, 2, YAMUX_WINDOW, YAMUX_WINDOW), 0);
    assert_int_equal(taken(&a).n, 0);
    yamux_consumed(a.last, YAMUX_WINDOW / 2 - 1);
    assert_int_equal(taken(&a).n, 0);
    yamux_consumed(a.last, 1);
    assert_sent(&a, YAMUX_TYPE_WINDOW, 0, 2, YAMUX_WINDOW / 2);
    assert_int_equal(feed(&a, YAMUX_TYPE_DATA, 0, 2, YAMUX_WINDOW / 2, YAMUX_WINDOW / 2), 0);
    assert_int_equal(feed(&a, YAMUX_TYPE_DATA, 0, 2, 1, 1), -EPROTO);
    app_fini(&a);
}

static void windows_grow_together_up_to_a_maximum(void **state)
{
    (void)state;
    struct app a;
    app_init(&a, true);
    for (uint32_t first = 2; first < 14; first += 4) { /* of two streams, which then go */
        uint64_t granted[2] = {0}, got[2] = {0}, wide = 0;
        for (uint32_t i = 0; i < 2; i++)
            assert_int_equal(syn(&a, first + 2 * i), 0);
        (void)taken(&a);
        for (unsigned round = 0; round < 400; round++) {
            uint32_t i = round & 1, n = 128 * 1024;
            buf_reset(&a.got);
            assert_int_equal(feed(&a, YAMUX_TYPE_DATA, 0, first + 2 * i, n, n), 0);
            got[i] += n;
            struct bytes out = taken(&a);
            for (; out.n > 0; out = bytes_of(out.p + 12, out.n - 12))
                granted[(get_u32(out.p + 4) - first) / 2] += get_u32(out.p + 8);
        }
        for (uint32_t i = 0; i < 2; i++) {
            uint64_t window = YAMUX_WINDOW + granted[i] - got[i];
            assert_in_range(window, YAMUX_WINDOW, YAMUX_WINDOW_MAX);
            wide += window;
            assert_int_equal(feed(&a, YAMUX_TYPE_WINDOW, YAMUX_RST, first + 2 * i, 0, 0), 0);
        }
        assert_in_range(wide, 8 * 1024 * 1024, YAMUX_GROWTH_MAX + 2 * YAMUX_WINDOW);
    }
    app_fini(&a);
}

static void a_write_takes_what_the_window_has_room_for(void **state)
{
    (void)state;
    struct app a;
    struct yamux_stream *s;
    app_init(&a, true);
    assert_int_equal(yamux_open(a.y, NULL, &s), 0);
    assert_int_equal(yamux_write(s, bytes_of(zeros, sizeof zeros)), YAMUX_WINDOW);
    assert_true(taken(&a).n > YAMUX_WINDOW && yamux_queued(a.y) == 0);
    assert_true(a.writable == 0 && yamux_write(s, bytes_of(zeros, 1)) == 0);
    assert_int_equal(feed(&a, YAMUX_TYPE_WINDOW, YAMUX_ACK, 1, 5, 0), 0);
    assert_int_equal(a.writable, 1);
    assert_int_equal(yamux_write(s, bytes_of(zeros, 5)), 5);
    assert_int_equal(feed(&a, YAMUX_TYPE_WINDOW, 0, 1, 5, 0), 0);
    assert_int_equal(a.writable, 1); /* all was taken: nobody waits */
    app_fini(&a);
}

static void queues_are_bounded_and_who_waits_is_called_in_turn(void **state)
{
    (void)state;
    enum { N = 8 };
    struct app a;
    struct yamux_stream *s[N];
    uint8_t to[TAKE];
    app_init(&a, true);
    for (uint32_t i = 0; i < N; i++) {
        assert_int_equal(yamux_open(a.y, NULL, &s[i]), 0);
        (void)taken(&a);
        assert_int_equal(feed(&a, YAMUX_TYPE_WINDOW, 0, 1 + 2 * i, 1 << 30, 0), 0);
    }
    for (uint32_t i = 0; i < N; i++)
        assert_int_equal(yamux_write(s[i], bytes_of(zeros, sizeof zeros)),
                         i < 4 ? YAMUX_STREAM_QUEUE : 0);
    assert_int_equal(yamux_queued(a.y), YAMUX_QUEUE);
    while (yamux_queued(a.y) > YAMUX_QUEUE / 2) {
        assert_int_equal(a.writable, 0);
        assert_true(yamux_take(a.y, to, sizeof to) > 0);
    }
    assert_int_equal(a.writable, N); /* four had no room, four half of theirs again */
    app_fini(&a);
}

static void streams_take_turns_and_what_is_no_data_goes_first(void **state)
{
    (void)state;
    struct app a;
    struct yamux_stream *big, *small, *third;
    app_init(&a, true);
    assert_int_equal(yamux_open(a.y, NULL, &big), 0);
    assert_int_equal(yamux_open(a.y, NULL, &small), 0);
    (void)taken(&a);
    assert_int_equal(yamux_write(big, bytes_of(zeros, YAMUX_WINDOW)), YAMUX_WINDOW);
    assert_int_equal(yamux_write(small, bytes_of(zeros, 100)), 100);
    assert_int_equal(yamux_open(a.y, NULL, &third), 0);
    assert_int_equal(feed(&a, YAMUX_TYPE_PING, YAMUX_SYN, 0, 7, 0), 0);
    static const struct {
        uint8_t type;
        uint32_t stream, length;
    } ought[] = {{YAMUX_TYPE_PING, 0, 7},
                 {YAMUX_TYPE_WINDOW, 5, 0},
                 {YAMUX_TYPE_DATA, 1, YAMUX_PAYLOAD_MAX},
                 {YAMUX_TYPE_DATA, 3, 100},
                 {YAMUX_TYPE_DATA, 1, YAMUX_PAYLOAD_MAX}};
    struct bytes out = taken(&a);
    for (size_t i = 0; i < ARRAY_N(ought); i++) {
        struct yamux_header h;
        assert_int_equal(yamux_header_get(out.p, &h), 0);
        assert_true(h.type == ought[i].type && h.stream == ought[i].stream);
        assert_int_equal(h.length, ought[i].length);
        size_t n = YAMUX_HEADER_SIZE + (h.type == YAMUX_TYPE_DATA ? h.length : 0);
        out = bytes_of(out.p + n, out.n - n);
    }
    app_fini(&a);
}

/* ---- what a peer must not do -------------------------------------------------------------------
 */

static void a_peer_that_breaks_the_rules_is_left(void **state)
{
    (void)state;
    enum { DATA = YAMUX_TYPE_DATA, WINDOW = YAMUX_TYPE_WINDOW };
    /* Streams 1 (ours) and 2 (the peer's) are there; 2 has finished, 8 was reset. */
    static const struct {
        unsigned version, type, flags;
        uint32_t stream, length;
    } all[] = {
        {1, WINDOW, 0, 1, 0},                  /* another version */
        {0, 4, 0, 0, 0},                       /* no type */
        {0, 255, 0, 1, 0},                     /* the same */
        {0, DATA, 0, 0, 1},                    /* data of no stream */
        {0, WINDOW, 0, 0, 1},                  /* the same */
        {0, YAMUX_TYPE_PING, YAMUX_SYN, 1, 1}, /* a ping of a stream */
        {0, YAMUX_TYPE_AWAY, 0, 1, 0},         /* the same */
        {0, WINDOW, YAMUX_SYN, 3, 0},          /* an id of this side */
        {0, WINDOW, YAMUX_SYN, 1, 0},          /* the same, in use */
        {0, WINDOW, YAMUX_SYN, 2, 0},          /* in use */
        {0, WINDOW, YAMUX_SYN, 8, 0},          /* used */
        {0, DATA, YAMUX_SYN, 10, YAMUX_WINDOW + 1},
        {0, DATA, YAMUX_SYN, 10, UINT32_MAX},
        {0, DATA, 0, 1, YAMUX_WINDOW + 1},
        {0, DATA, 0, 1, UINT32_MAX},
        {0, DATA, 0, 77, YAMUX_WINDOW_MAX + 1},             /* to skip, but nobody may send that */
        {0, DATA, 0, 2, 1},                                 /* after the end */
        {0, WINDOW, 0, 1, UINT32_MAX},                      /* the window overflows */
        {0, WINDOW, 0, 1, UINT32_MAX - YAMUX_WINDOW + 101}, /* 100 are used */
        {0, WINDOW, YAMUX_SYN, 10, UINT32_MAX},
    };
    for (size_t i = 0; i < ARRAY_N(all); i++) {
        struct app a;
        struct yamux_stream *s;
        app_init(&a, true);
        assert_int_equal(yamux_open(a.y, NULL, &s), 0);
        assert_int_equal(feed(&a, WINDOW, YAMUX_SYN | YAMUX_FIN, 2, 0, 0), 0);
        assert_int_equal(syn(&a, 8), 0);
        assert_int_equal(feed(&a, WINDOW, YAMUX_RST, 8, 0, 0), 0);
        (void)taken(&a);
        struct buf b CLEANUP(buf_fini) =
            frame(all[i].type, all[i].flags, all[i].stream, all[i].length,
                  all[i].type == DATA ? (size_t)min_u64(all[i].length, 100) : 0);
        b.p[0] = (uint8_t)all[i].version;
        struct bytes in = buf_bytes(&b);
        assert_int_equal(yamux_write(s, bytes_of(zeros, 100)), 100);
        size_t before = yamux_streams(a.y);
        assert_int_equal(yamux_feed(a.y, &in), -EPROTO);
        assert_int_equal(a.got.n, 0);
        assert_true(yamux_streams(a.y) <= before + (all[i].type == WINDOW));
        assert_false(yamux_wants_read(a.y));
        assert_sent(&a, YAMUX_TYPE_AWAY, 0, 0, YAMUX_PROTOCOL_ERROR); /* and no data */
        assert_int_equal(syn(&a, 12), -EPROTO);
        assert_int_equal(yamux_open(a.y, NULL, &s), -ESHUTDOWN);
        app_fini(&a);
    }
}

static void what_is_at_a_limit_is_taken(void **state)
{
    (void)state;
    struct app a;
    struct yamux_stream *s;
    app_init(&a, true);
    assert_int_equal(yamux_open(a.y, NULL, &s), 0);
    (void)taken(&a);
    assert_int_equal(feed(&a, YAMUX_TYPE_WINDOW, 0, 1, UINT32_MAX - YAMUX_WINDOW, 0), 0);
    assert_int_equal(feed(&a, YAMUX_TYPE_DATA, 0, 1, YAMUX_WINDOW, YAMUX_WINDOW), 0);
    assert_int_equal(feed(&a, YAMUX_TYPE_DATA, YAMUX_SYN, 2, YAMUX_WINDOW, YAMUX_WINDOW), 0);
    assert_int_equal(syn(&a, UINT32_MAX - 1), 0);
    app_fini(&a);
}

static void frames_of_unknown_streams_are_skipped(void **state)
{
    (void)state;
    struct app a;
    struct yamux_stream *s;
    app_init(&a, true);
    assert_int_equal(yamux_open(a.y, NULL, &s), 0); /* 1, of which the peer cannot know */
    for (uint32_t id = 1; id < 5; id++) {
        assert_int_equal(feed(&a, YAMUX_TYPE_DATA, 0, id, 70000, 70000), 0);
        assert_int_equal(feed(&a, YAMUX_TYPE_WINDOW, YAMUX_FIN, id, UINT32_MAX, 0), 0);
        assert_int_equal(feed(&a, YAMUX_TYPE_WINDOW, YAMUX_RST, id, 0, 0), 0);
    }
    assert_int_equal(feed(&a, YAMUX_TYPE_PING, YAMUX_ACK, 0, 99, 0), 0); /* nobody asked */
    assert_true(a.got.n == 0 && a.finished == 0 && a.closed == 0);
    assert_sent(&a, YAMUX_TYPE_WINDOW, YAMUX_SYN, 1, 0);
    app_fini(&a);
}

static void ids_may_come_a_little_out_of_order_but_once(void **state)
{
    (void)state;
    static const struct {
        uint32_t id;
        int rc;
    } all[] = {{5, 0},        {1, 0},        {3, 0},         {201, 0},       {199, 0},    {75, 0},
               {73, -EPROTO}, {75, -EPROTO}, {199, -EPROTO}, {201, -EPROTO}, {1, -EPROTO}};
    for (size_t i = 0; i < ARRAY_N(all); i++) {
        struct app a;
        app_init(&a, false);
        for (size_t k = 0; k < i; k++)
            if (all[k].rc == 0)
                assert_int_equal(syn(&a, all[k].id), 0);
        assert_int_equal(syn(&a, all[i].id), all[i].rc);
        app_fini(&a);
    }
}

static void a_peer_has_so_many_streams_and_no_more(void **state)
{
    (void)state;
    struct app a;
    app_init(&a, true);
    for (uint32_t i = 1; i <= YAMUX_INBOUND_MAX; i++)
        assert_int_equal(syn(&a, 2 * i), 0);
    (void)taken(&a);
    assert_int_equal(a.accepted, YAMUX_INBOUND_MAX);
    assert_int_equal(feed(&a, YAMUX_TYPE_DATA, YAMUX_SYN, 1000, 10, 10), 0);
    assert_int_equal(a.accepted, YAMUX_INBOUND_MAX);
    assert_int_equal(a.got.n, 0);
    assert_sent(&a, YAMUX_TYPE_WINDOW, YAMUX_RST, 1000, 0);
    yamux_reset(a.last);
    assert_int_equal(syn(&a, 1002), 0); /* it is there until the peer is told */
    assert_int_equal(a.accepted, YAMUX_INBOUND_MAX);
    (void)taken(&a);
    assert_int_equal(syn(&a, 1004), 0);
    assert_int_equal(a.accepted, YAMUX_INBOUND_MAX + 1);
    app_fini(&a);
}

/* It opens streams and asks, and reads nothing of the answers. */
static void answers_that_a_peer_does_not_take_stop_its_reading(void **state)
{
    (void)state;
    enum { N = 10000 };
    struct app a;
    struct buf flood CLEANUP(buf_fini) = {0};
    app_init(&a, true);
    for (uint32_t i = 1; i <= N; i++) {
        struct buf ping CLEANUP(buf_fini) = frame(YAMUX_TYPE_PING, YAMUX_SYN, 0, i, 0);
        struct buf open CLEANUP(buf_fini) = frame(YAMUX_TYPE_WINDOW, YAMUX_SYN, 2 * i, 0, 0);
        buf_put_bytes(&flood, buf_bytes(&ping));
        buf_put_bytes(&flood, buf_bytes(&open));
    }
    struct bytes in = buf_bytes(&flood);
    assert_int_equal(yamux_feed(a.y, &in), 0);
    size_t read = (YAMUX_INBOUND_MAX + YAMUX_REFUSALS_MAX) * 2 * YAMUX_HEADER_SIZE;
    assert_int_equal(flood.n - in.n, read);
    assert_false(yamux_wants_read(a.y));
    assert_int_equal(yamux_feed(a.y, &in), 0);
    assert_int_equal(flood.n - in.n, read);
    assert_int_equal(taken(&a).n, (1 + YAMUX_INBOUND_MAX + YAMUX_REFUSALS_MAX) * YAMUX_HEADER_SIZE);
    while (in.n > 0) {
        assert_true(yamux_wants_read(a.y));
        assert_int_equal(yamux_feed(a.y, &in), 0);
        (void)taken(&a);
    }
    assert_true(a.accepted == YAMUX_INBOUND_MAX && yamux_streams(a.y) == YAMUX_INBOUND_MAX);
    app_fini(&a);
}

static void so_many_streams_wait_for_an_answer_and_no_more(void **state)
{
    (void)state;
    struct app a;
    struct yamux_stream *s;
    app_init(&a, true);
    for (size_t i = 0; i < YAMUX_UNANSWERED_MAX; i++)
        assert_int_equal(yamux_open(a.y, NULL, &s), 0);
    (void)taken(&a);
    assert_int_equal(yamux_open(a.y, NULL, &s), -EAGAIN);
    assert_int_equal(feed(&a, YAMUX_TYPE_WINDOW, YAMUX_ACK, 7, 0, 0), 0);
    assert_int_equal(feed(&a, YAMUX_TYPE_WINDOW, YAMUX_ACK, 7, 0, 0), 0);
    assert_int_equal(feed(&a, YAMUX_TYPE_WINDOW, YAMUX_RST, 9, 0, 0), 0);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(yamux_open(a.y, NULL, &s), 0);
    yamux_reset(s);
    assert_int_equal(yamux_open(a.y, NULL, &s), 0);
    assert_int_equal(yamux_open(a.y, NULL, &s), -EAGAIN);
    app_fini(&a);
}

/* ---- the connection ----------------------------------------------------------------------------
 */

static void a_ping_is_answered_and_one_is_sent_into_silence(void **state)
{
    (void)state;
    struct app a;
    app_init(&a, true);
    assert_int_equal(feed(&a, YAMUX_TYPE_PING, YAMUX_SYN, 0, 0xfedcba98, 0), 0);
    assert_sent(&a, YAMUX_TYPE_PING, YAMUX_ACK, 0, 0xfedcba98);
    assert_int_equal(yamux_tick(a.y, YAMUX_PING_MS - 1), 0);
    assert_int_equal(taken(&a).n, 0);
    assert_int_equal(yamux_tick(a.y, YAMUX_PING_MS), 0);
    assert_sent(&a, YAMUX_TYPE_PING, YAMUX_SYN, 0, 1);
    assert_int_equal(yamux_tick(a.y, YAMUX_PING_MS + YAMUX_ANSWER_MS - 1), 0);
    assert_int_equal(feed(&a, YAMUX_TYPE_PING, YAMUX_ACK, 0, 1, 0), 0);
    assert_int_equal(yamux_tick(a.y, 2 * YAMUX_PING_MS + YAMUX_ANSWER_MS - 1), 0);
    assert_sent(&a, YAMUX_TYPE_PING, YAMUX_SYN, 0, 2);
    assert_int_equal(yamux_tick(a.y, 2 * YAMUX_PING_MS + 2 * YAMUX_ANSWER_MS - 2), 0);
    assert_int_equal(yamux_tick(a.y, 2 * YAMUX_PING_MS + 2 * YAMUX_ANSWER_MS - 1), -ETIMEDOUT);
    app_fini(&a);
}

static void a_peer_that_is_doubted_is_asked_at_once(void **state)
{
    (void)state;
    struct app a;
    app_init(&a, true);
    yamux_doubt(a.y);
    assert_int_equal(yamux_tick(a.y, 1000), 0);
    assert_sent(&a, YAMUX_TYPE_PING, YAMUX_SYN, 0, 1);
    yamux_doubt(a.y); /* it is asked already */
    assert_int_equal(yamux_tick(a.y, 2000), 0);
    assert_int_equal(taken(&a).n, 0);
    assert_int_equal(feed(&a, YAMUX_TYPE_PING, YAMUX_ACK, 0, 1, 0), 0);
    assert_int_equal(yamux_tick(a.y, 3000), 0);
    assert_int_equal(taken(&a).n, 0);
    yamux_doubt(a.y);
    assert_int_equal(yamux_tick(a.y, 4000), 0);
    assert_sent(&a, YAMUX_TYPE_PING, YAMUX_SYN, 0, 2);
    assert_int_equal(yamux_tick(a.y, 4000 + YAMUX_ANSWER_MS - 1), 0);
    assert_int_equal(yamux_tick(a.y, 4000 + YAMUX_ANSWER_MS), -ETIMEDOUT);
    app_fini(&a);
}

static void a_peer_that_takes_nothing_is_dead(void **state)
{
    (void)state;
    struct app a;
    struct yamux_stream *s;
    app_init(&a, true);
    assert_int_equal(yamux_tick(a.y, 5000), 0);
    assert_int_equal(yamux_open(a.y, NULL, &s), 0);
    assert_int_equal(yamux_tick(a.y, 5000 + YAMUX_DRAIN_MS - 1), 0);
    assert_int_equal(syn(&a, 2), 0); /* that it sends does not matter */
    assert_int_equal(yamux_tick(a.y, 5000 + YAMUX_DRAIN_MS), -ETIMEDOUT);
    (void)taken(&a);
    assert_int_equal(yamux_tick(a.y, 5000 + YAMUX_DRAIN_MS), 0);
    app_fini(&a);
}

static void after_a_go_away_nothing_new_is_opened(void **state)
{
    (void)state;
    struct app a;
    struct yamux_stream *s, *none;
    app_init(&a, true);
    assert_int_equal(yamux_open(a.y, NULL, &s), 0);
    (void)taken(&a);
    yamux_go_away(a.y, YAMUX_NORMAL);
    assert_sent(&a, YAMUX_TYPE_AWAY, 0, 0, YAMUX_NORMAL);
    assert_int_equal(yamux_open(a.y, NULL, &none), -ESHUTDOWN);
    assert_int_equal(syn(&a, 2), 0);
    assert_sent(&a, YAMUX_TYPE_WINDOW, YAMUX_RST, 2, 0);
    assert_int_equal(yamux_write(s, bytes_str("goes on")), 7);
    assert_int_equal(taken(&a).n, YAMUX_HEADER_SIZE + 7);
    app_fini(&a);
    app_init(&a, true);
    assert_int_equal(feed(&a, YAMUX_TYPE_AWAY, 0, 0, 77, 0), 0);
    assert_true(a.away == 1 && a.code == 77);
    assert_int_equal(yamux_open(a.y, NULL, &none), -ESHUTDOWN);
    app_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_are_those_of_others),
        cmocka_unit_test(the_life_of_a_stream_is_these_frames),
        cmocka_unit_test(data_comes_after_the_frame_that_opens_and_before_the_end),
        cmocka_unit_test(a_stream_of_the_peer_is_acknowledged_or_refused),
        cmocka_unit_test(a_reset_ends_both_directions),
        cmocka_unit_test(a_reset_from_within_data_skips_the_rest_of_the_frame),
        cmocka_unit_test(a_stream_ends_once_and_with_the_last_byte),
        cmocka_unit_test(a_window_opens_when_half_of_it_is_consumed),
        cmocka_unit_test(windows_grow_together_up_to_a_maximum),
        cmocka_unit_test(a_write_takes_what_the_window_has_room_for),
        cmocka_unit_test(queues_are_bounded_and_who_waits_is_called_in_turn),
        cmocka_unit_test(streams_take_turns_and_what_is_no_data_goes_first),
        cmocka_unit_test(a_peer_that_breaks_the_rules_is_left),
        cmocka_unit_test(what_is_at_a_limit_is_taken),
        cmocka_unit_test(frames_of_unknown_streams_are_skipped),
        cmocka_unit_test(ids_may_come_a_little_out_of_order_but_once),
        cmocka_unit_test(a_peer_has_so_many_streams_and_no_more),
        cmocka_unit_test(answers_that_a_peer_does_not_take_stop_its_reading),
        cmocka_unit_test(so_many_streams_wait_for_an_answer_and_no_more),
        cmocka_unit_test(a_ping_is_answered_and_one_is_sent_into_silence),
        cmocka_unit_test(a_peer_that_is_doubted_is_asked_at_once),
        cmocka_unit_test(a_peer_that_takes_nothing_is_dead),
        cmocka_unit_test(after_a_go_away_nothing_new_is_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
