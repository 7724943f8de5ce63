/* Two yamux machines with a wire between them, which cuts where it likes: each stream's bytes
 * arrive whole and in order, beside a model of what was done. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sync/net/libp2p/yamux.h"
#include "tests/support/crash_rand.h"

enum { IDS = 4096, LIVE_MAX = 50, WIRE_MAX = 256 * 1024, TAKE = 64 * 1024 };

/* One end of a stream, as the application sees it. */
struct half {
    struct yamux_stream *s; /* NULL: there is none (any more) */
    uint32_t id;
    uint64_t sent, got, held; /* held: got and not consumed */
    bool finishes, finished, reset, closed;
    enum yamux_end how;
    bool stopped; /* its write took less than all */
};

struct side {
    struct yamux *y;
    unsigned n;
    struct half halves[IDS];
    struct half *live[2 * LIVE_MAX + YAMUX_INBOUND_MAX];
    size_t live_n;
    struct buf wire; /* to the other, of which wire_at bytes are there */
    size_t wire_at;
};

static struct side sides[2];
static struct crash_rand rnd;
static uint8_t scratch[128 * 1024];

static uint32_t draw(uint32_t below)
{
    return (uint32_t)crash_below(&rnd, below);
}

/* What side @n sends on stream @id, from @at on, into scratch. */
static struct bytes text(unsigned n, uint32_t id, uint64_t at, size_t len)
{
    assert_true(len <= sizeof scratch);
    crash_fill(id * 2 + n, at, scratch, len);
    return bytes_of(scratch, len);
}

static void live_add(struct side *x, struct yamux_stream *s)
{
    struct half *h = &x->halves[yamux_id(s)];
    assert_true(yamux_id(s) < IDS && h->s == NULL && !h->closed && !h->reset);
    h->s = s;
    h->id = yamux_id(s);
    yamux_set_user(s, h);
    x->live[x->live_n++] = h;
}

static void live_remove(struct side *x, struct half *h)
{
    for (size_t i = 0; i < x->live_n; i++)
        if (x->live[i] == h)
            x->live[i] = x->live[--x->live_n];
    h->s = NULL;
}

static bool on_accept(struct yamux_stream *s, void *user)
{
    live_add(user, s);
    return true;
}

static void on_data(struct yamux_stream *s, struct bytes data, void *user)
{
    struct half *h = yamux_user(s);
    struct side *x = user;
    assert_false(h->finished || h->closed || h->reset);
    assert_true(bytes_equal(data, text(!x->n, h->id, h->got, data.n)));
    h->got += data.n;
    h->held += data.n;
    assert_true(h->held <= YAMUX_WINDOW_MAX);
}

static void on_writable(struct yamux_stream *s, void *user)
{
    struct half *h = yamux_user(s);
    (void)user;
    assert_true(h->stopped && !h->finishes && !h->closed && !h->reset);
    h->stopped = false;
}

static void on_finished(struct yamux_stream *s, void *user)
{
    struct half *h = yamux_user(s);
    (void)user;
    assert_false(h->finished || h->closed || h->reset);
    h->finished = true;
}

static void on_closed(struct yamux_stream *s, enum yamux_end how, void *user)
{
    struct half *h = yamux_user(s);
    assert_false(h->closed || h->reset);
    assert_true(how != YAMUX_DONE || (h->finished && h->finishes));
    h->closed = true;
    h->how = how;
    live_remove(user, h);
}

static const struct yamux_events events = {on_accept,   on_data,   on_writable,
                                           on_finished, on_closed, NULL};

static void write_some(struct side *x, struct half *h, uint32_t n)
{
    ssize_t took = yamux_write(h->s, text(x->n, h->id, h->sent, n));
    assert_in_range(took, 0, n);
    h->sent += (uint64_t)took;
    h->stopped = h->stopped || took < (ssize_t)n;
}

static void act(struct side *x)
{
    struct half *h = x->live_n > 0 ? x->live[draw((uint32_t)x->live_n)] : NULL;
    struct yamux_stream *s;
    uint32_t what = draw(100);
    if (what < 3 && x->live_n < LIVE_MAX) {
        if (yamux_open(x->y, NULL, &s) == 0)
            live_add(x, s);
    } else if (h == NULL) {
        return;
    } else if (what < 60 && !h->finishes) {
        write_some(x, h, draw(10) == 0 ? draw(sizeof scratch) : draw(2000));
    } else if (what < 95) {
        uint64_t n = draw(3) == 0 ? h->held : draw((uint32_t)h->held + 1);
        yamux_consumed(h->s, n);
        h->held -= n;
    } else if (what < 99) {
        yamux_finish(h->s);
        h->finishes = true;
        h->stopped = false;
    } else if (draw(2) == 0) {
        yamux_reset(h->s);
        h->reset = true;
        live_remove(x, h);
    }
}

/* Moves at most @n bytes from @x to the other. Returns how many there were. */
static size_t move(struct side *x, size_t n)
{
    static uint8_t to[TAKE];
    if (x->wire.n - x->wire_at < WIRE_MAX)
        buf_put(&x->wire, to, yamux_take(x->y, to, YAMUX_TAKE_MIN + draw(TAKE - YAMUX_TAKE_MIN)));
    struct bytes in = bytes_of(x->wire.p + x->wire_at, min_u64(n, x->wire.n - x->wire_at));
    size_t had = in.n;
    assert_int_equal(yamux_feed(sides[!x->n].y, &in), 0);
    x->wire_at += had - in.n;
    if (x->wire_at == x->wire.n) {
        buf_reset(&x->wire);
        x->wire_at = 0;
    }
    assert_true(yamux_queued(x->y) <= YAMUX_QUEUE);
    return had;
}

/* Both finish all that they have and read all that comes. */
static void settle(void)
{
    bool moved = true;
    while (moved) {
        moved = false;
        for (unsigned n = 0; n < 2; n++) {
            struct side *x = &sides[n];
            for (size_t i = 0; i < x->live_n; i++) {
                struct half *h = x->live[i];
                yamux_consumed(h->s, h->held);
                h->held = 0;
                h->finishes = true;
                yamux_finish(h->s);
            }
            moved = move(x, SIZE_MAX) > 0 || moved;
        }
    }
}

static void sides_init(uint64_t seed)
{
    rnd = (struct crash_rand){seed};
    memset(sides, 0, sizeof sides);
    for (unsigned n = 0; n < 2; n++) {
        sides[n].n = n;
        assert_int_equal(yamux_new(n == 0, &events, &sides[n], 0, &sides[n].y), 0);
    }
}

static void sides_fini(void)
{
    for (unsigned n = 0; n < 2; n++) {
        yamux_free(sides[n].y);
        buf_fini(&sides[n].wire);
    }
}

static void check_end(const struct half *a, const struct half *b)
{
    if (a->reset || b->reset) {
        assert_true(a->got <= b->sent && b->got <= a->sent);
        assert_true((a->reset || a->closed) && (b->reset || b->closed || b->id == 0));
        return;
    }
    assert_true(a->closed == b->closed && a->id == b->id);
    assert_true(a->id == 0 || (a->closed && a->how == YAMUX_DONE && b->how == YAMUX_DONE));
    assert_true(a->got == b->sent && b->got == a->sent);
}

/* @cut: the longest piece of the wire. */
static uint64_t run(uint64_t seed, unsigned steps, uint32_t cut)
{
    uint64_t bytes = 0;
    sides_init(seed);
    for (unsigned i = 0; i < steps; i++) {
        uint32_t who = draw(2);
        if (draw(3) > 0)
            act(&sides[who]);
        else
            move(&sides[who], 1 + draw(cut));
        if (draw(50) == 0)
            assert_int_equal(yamux_tick(sides[who].y, i), 0);
    }
    settle();
    for (unsigned n = 0; n < 2; n++)
        assert_true(sides[n].live_n == 0 && yamux_streams(sides[n].y) == 0);
    for (uint32_t id = 1; id < IDS; id++) {
        check_end(&sides[id % 2 == 0].halves[id], &sides[id % 2 == 1].halves[id]);
        bytes += sides[0].halves[id].got + sides[1].halves[id].got;
    }
    sides_fini();
    return bytes;
}

static void random_streams_arrive_whole_and_in_order(void **state)
{
    (void)state;
    uint64_t seed = crash_seed("streams"), bytes = 0;
    for (uint64_t i = 0; i < crash_share(60); i++, seed++)
        bytes += run(seed, 20000, seed % 2 == 0 ? 100000 : 3000);
    assert_true(bytes > 1000000);
}

static void the_wire_may_bring_a_byte_at_a_time(void **state)
{
    (void)state;
    assert_true(run(crash_seed("bytes"), 20000, 1) > 0);
}

/* ---- one big stream ----------------------------------------------------------------------------
 */

static struct buf kept; /* what came and was not sent back */
static bool echo_ends;

static void echo(struct yamux_stream *s)
{
    ssize_t n = yamux_write(s, buf_bytes(&kept));
    assert_true(n >= 0);
    yamux_consumed(s, (size_t)n);
    memmove(kept.p, kept.p + n, kept.n - (size_t)n);
    kept.n -= (size_t)n;
    assert_true(kept.n <= YAMUX_WINDOW_MAX);
    if (echo_ends && kept.n == 0)
        yamux_finish(s);
}

static bool accept_echo(struct yamux_stream *s, void *user)
{
    (void)s;
    (void)user;
    return true;
}

static void echo_data(struct yamux_stream *s, struct bytes data, void *user)
{
    (void)user;
    buf_put_bytes(&kept, data);
    echo(s);
}

static void echo_writable(struct yamux_stream *s, void *user)
{
    (void)user;
    echo(s);
}

static void echo_finished(struct yamux_stream *s, void *user)
{
    (void)user;
    echo_ends = true;
    echo(s);
}

static void echo_closed(struct yamux_stream *s, enum yamux_end how, void *user)
{
    (void)s;
    (void)user;
    assert_int_equal(how, YAMUX_DONE);
}

static const struct yamux_events echo_events = {accept_echo,   echo_data,   echo_writable,
                                                echo_finished, echo_closed, NULL};

static void a_big_stream_comes_back_as_it_went(void **state)
{
    (void)state;
    const uint64_t all = 100 * 1024 * 1024 / TEST_SHARE;
    struct yamux_stream *s;
    sides_init(1);
    yamux_free(sides[1].y);
    assert_int_equal(yamux_new(false, &echo_events, NULL, 0, &sides[1].y), 0);
    assert_int_equal(yamux_open(sides[0].y, NULL, &s), 0);
    live_add(&sides[0], s);
    struct half *h = sides[0].live[0];
    while (!h->closed) {
        while (h->sent < all && !h->stopped) {
            uint32_t n = (uint32_t)min_u64(sizeof scratch, all - h->sent);
            ssize_t took =
                yamux_write(s, text(1, h->id, h->sent, n)); /* as if it were the other's */
            h->sent += (uint64_t)took;
            h->stopped = took < (ssize_t)n;
        }
        if (h->sent == all && !h->finishes) {
            h->finishes = true;
            yamux_finish(s);
        }
        size_t moved = move(&sides[0], SIZE_MAX) + move(&sides[1], SIZE_MAX);
        assert_true(moved > 0);
        if (!h->closed) {
            yamux_consumed(s, h->held);
            h->held = 0;
        }
    }
    assert_true(h->got == all && h->how == YAMUX_DONE && yamux_streams(sides[1].y) == 0);
    sides_fini();
    buf_fini(&kept);
}

static void a_slow_reader_costs_a_window_and_a_queue(void **state)
{
    (void)state;
    struct yamux_stream *s;
    sides_init(1);
    assert_int_equal(yamux_open(sides[0].y, NULL, &s), 0);
    live_add(&sides[0], s);
    struct half *h = sides[0].live[0];
    for (unsigned i = 0; i < 1000; i++) {
        if (!h->stopped)
            write_some(&sides[0], h, sizeof scratch);
        (void)move(&sides[0], SIZE_MAX);
        (void)move(&sides[1], SIZE_MAX);
    }
    struct half *other = sides[1].live[0];
    assert_true(h->stopped && h->sent == YAMUX_WINDOW && other->held == YAMUX_WINDOW);
    assert_int_equal(yamux_queued(sides[0].y), 0);
    yamux_consumed(other->s, YAMUX_WINDOW / 2);
    other->held -= YAMUX_WINDOW / 2;
    (void)move(&sides[1], SIZE_MAX);
    assert_false(h->stopped);
    sides_fini();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_streams_arrive_whole_and_in_order),
        cmocka_unit_test(the_wire_may_bring_a_byte_at_a_time),
        cmocka_unit_test(a_big_stream_comes_back_as_it_went),
        cmocka_unit_test(a_slow_reader_costs_a_window_and_a_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
