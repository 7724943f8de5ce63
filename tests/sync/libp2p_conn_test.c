/* Connections to peers, in memory: two machines with a line between them that cuts where it likes,
 * or one with a far side that breaks the rules. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sync/net/libp2p/limits.h"
#include "sync/net/libp2p/yamux.h"
#include "tests/support/far.h"
#include "tests/support/sides.h"

enum { MANY = 100 };

/* ---- the handshake ---- */

static void both_sides_prove_who_they_are(void **state)
{
    (void)state;
    sides_connect();
    assert_int_equal(sides.a.opened, 1);
    assert_int_equal(sides.b.opened, 1);
    assert_memory_equal(conn_peer(sides.a.c), sides.b.id, PEER_ID_BYTES);
    assert_memory_equal(conn_peer(sides.b.c), sides.a.id, PEER_ID_BYTES);
    assert_memory_equal(conn_hash(sides.a.c), conn_hash(sides.b.c), NOISE_HASH_BYTES);
    assert_true(conn_dials(sides.a.c) && !conn_dials(sides.b.c));
}

static void nothing_depends_on_pieces(void **state)
{
    (void)state;
    sides_begin(&sides.a, true, sides.b.id);
    sides_begin(&sides.b, false, NULL);
    struct sides_end *e = NULL;
    for (int i = 0; i < 20000; i++) {
        struct side *from = i % 2 == 0 ? &sides.a : &sides.b,
                    *to = i % 2 == 0 ? &sides.b : &sides.a;
        struct bytes out = conn_out(from->c);
        if (out.n > 0) {
            uint8_t one = out.p[0];
            conn_sent(from->c, 1);
            assert_int_equal(conn_feed(to->c, bytes_of(&one, 1), sides.now), 0);
        }
        if (e == NULL && conn_is_open(sides.a.c)) {
            e = sides_open(&sides.a, SIDES_ECHO);
            e->goal = 3000;
            e->ends = true;
            sides_pump(e);
        }
    }
    assert_int_equal(sides.ends_n, 2);
    assert_int_equal(sides.ends[1].got, 3000);
    assert_int_equal(sides.ends[1].finished, 1);
}

static void another_peer_than_was_dialed_is_refused(void **state)
{
    (void)state;
    sides_begin(&sides.a, true, sides.a.id);
    sides_begin(&sides.b, false, NULL);
    sides_settle();
    assert_true(sides.a.failed);
    assert_false(sides.b.failed || conn_is_open(sides.b.c) || conn_is_open(sides.a.c));
    assert_int_equal(sides.a.opened + sides.b.opened, 0);
    assert_int_equal(conn_feed(sides.a.c, bytes_str("more"), sides.now), -EPERM);
    assert_int_equal(conn_tick(sides.a.c, sides.now), -EPERM);
    assert_true(conn_why(sides.a.c)[0] != '\0');
    struct sides_end *e = sides_new_end(NULL);
    assert_int_equal(conn_open(sides.a.c, SIDES_ECHO, &sides_handler, e, &e->s), -ENOTCONN);
}

static void a_handshake_has_its_time(void **state)
{
    (void)state;
    sides_begin(&sides.a, true, NULL);
    sides_begin(&sides.b, false, NULL);
    sides_take(&sides.a);
    sides_give(&sides.a, &sides.b);
    assert_int_equal(conn_tick(sides.b.c, sides.now + P2P_UPGRADE_MS - 1), 0);
    assert_int_equal(conn_tick(sides.b.c, sides.now + P2P_UPGRADE_MS), -ETIMEDOUT);
    assert_int_equal(conn_feed(sides.b.c, bytes_str("x"), sides.now), -ETIMEDOUT);
    assert_true(conn_why(sides.b.c)[0] != '\0');
}

static void what_was_changed_on_the_way_ends_it(void **state)
{
    (void)state;
    uint64_t runs = crash_share(400);
    unsigned failed = 0;
    for (uint64_t i = 0; i < runs; i++) {
        sides_begin(&sides.a, true, sides.b.id);
        sides_begin(&sides.b, false, NULL);
        sides.a.opened = sides.b.opened = 0;
        sides.a.failed = sides.b.failed = false;
        size_t at = (size_t)crash_below(&sides.rnd, 1200), seen = 0;
        bool flipped = false, first = true;
        struct sides_end *e = NULL;
        for (unsigned quiet = 0; quiet < 3; quiet++) {
            for (unsigned j = 0; j < 2; j++) {
                struct side *from = j == 0 ? &sides.a : &sides.b,
                            *to = j == 0 ? &sides.b : &sides.a;
                struct bytes out = conn_out(from->c);
                if (out.n == 0 || to->failed)
                    continue;
                quiet = 0;
                buf_reset(&from->line);
                buf_put_bytes(&from->line, out);
                conn_sent(from->c, out.n);
                if (!flipped && seen + out.n > at) {
                    from->line.p[at - seen] ^= (uint8_t)(1u << crash_below(&sides.rnd, 8));
                    flipped = true;
                }
                seen += out.n;
                to->failed = conn_feed(to->c, buf_bytes(&from->line), sides.now) < 0;
            }
            if (first && conn_is_open(sides.a.c)) {
                first = false;
                e = sides_open(&sides.a, SIDES_ECHO);
                e->goal = 2000;
                sides_pump(e);
            }
        }
        /* A changed proposal may be no more than another one, which ends the same way; a length
         * that is greater now waits for what does not come. */
        bool is_whole = e != NULL && e->got == e->goal;
        failed += sides.a.failed || sides.b.failed;
        assert_true(!flipped || sides.a.failed || sides.b.failed || !is_whole);
        buf_reset(&sides.a.line);
        buf_reset(&sides.b.line);
        conn_free(TAKE_PTR(sides.a.c));
        conn_free(TAKE_PTR(sides.b.c));
    }
    assert_true(failed > runs / 2);
}

/* ---- streams ---- */

static void a_stream_has_the_protocol_that_was_asked_for(void **state)
{
    (void)state;
    sides_connect();
    struct sides_end *e = sides_open(&sides.a, SIDES_ECHO);
    assert_int_equal(e->opened, 0);
    assert_true(sides.a.kicks > 0);
    sides_settle();
    assert_int_equal(e->opened, 1);
    assert_int_equal(sides.ends_n, 2);
    assert_int_equal(sides.ends[1].opened, 1);
    assert_int_equal(conn_streams(sides.a.c), 1);
    assert_ptr_equal(conn_of(e->s), sides.a.c);
    struct sides_end *back = sides_open(&sides.b, SIDES_ECHO);
    sides_settle();
    assert_int_equal(back->opened, 1);
    assert_int_equal(conn_streams(sides.a.c), 2);
}

static void an_unknown_protocol_is_refused(void **state)
{
    (void)state;
    sides_connect();
    struct sides_end *e = sides_open(&sides.a, "/nobody/has/this");
    assert_int_equal(conn_write(e->s, bytes_str("lost")), 4);
    sides_settle();
    assert_int_equal(e->opened, 0);
    assert_int_equal(e->closed, 1);
    assert_int_equal(e->rc, -ENOPROTOOPT);
    assert_int_equal(conn_streams(sides.a.c) + conn_streams(sides.b.c), 0);
    assert_int_equal(sides.ends_n, 1);
}

static void what_a_handler_does_not_want_is_reset(void **state)
{
    (void)state;
    sides_connect();
    struct sides_end *e = sides_open(&sides.a, SIDES_PICKY);
    sides_settle();
    assert_int_equal(e->closed, 1);
    assert_int_equal(e->rc, -ECONNRESET);
    assert_int_equal(conn_streams(sides.b.c), 0);
}

/* All of it goes out before the other side has said a word. */
static void a_stream_is_written_to_at_once(void **state)
{
    (void)state;
    sides_connect();
    struct sides_end *e = sides_open(&sides.a, SIDES_ECHO);
    e->goal = 100000;
    e->ends = true;
    sides_pump(e);
    assert_int_equal(e->sent, 100000);
    while (sides_take(&sides.a))
        ;
    while (sides_give(&sides.a, &sides.b))
        ;
    assert_int_equal(e->opened, 0);
    assert_int_equal(sides.ends[1].got, 100000);
    assert_int_equal(sides.ends[1].finished, 1);
    sides.ends[1].other = 0;
    conn_finish(sides.ends[1].s);
    sides_settle();
    assert_int_equal(e->opened, 1);
    assert_int_equal(e->rc + sides.ends[1].rc, 0);
    assert_int_equal(e->closed + sides.ends[1].closed, 2);
}

static void many_streams_carry_their_bytes(void **state)
{
    (void)state;
    sides_connect();
    for (size_t i = 0; i < MANY; i++) {
        struct sides_end *e = sides_open(i % 3 == 0 ? &sides.b : &sides.a, SIDES_ECHO);
        sides_settle(); /* so that its other end is the next one */
        assert_int_equal(sides.ends_n, 2 * (i + 1));
        e->other = 2 * i + 1;
        sides.ends[2 * i + 1].other = 2 * i;
    }
    for (size_t i = 0; i < sides.ends_n; i++) {
        sides.ends[i].goal = crash_below(&sides.rnd, 200000);
        sides.ends[i].ends = true;
        sides_pump(&sides.ends[i]);
    }
    sides_settle();
    for (size_t i = 0; i < sides.ends_n; i++) {
        assert_int_equal(sides.ends[i].got, sides.ends[i ^ 1].goal);
        assert_int_equal(sides.ends[i].finished, 1);
        assert_int_equal(sides.ends[i].closed, 1);
        assert_int_equal(sides.ends[i].rc, 0);
    }
    assert_int_equal(conn_streams(sides.a.c) + conn_streams(sides.b.c), 0);
}

static void either_side_may_finish_first(void **state)
{
    (void)state;
    sides_connect();
    struct sides_end *e = sides_open(&sides.a, SIDES_ECHO);
    conn_finish(e->s);
    sides_settle();
    assert_int_equal(sides.ends[1].finished, 1);
    assert_int_equal(e->closed, 0);
    sides.ends[1].goal = 500000;
    e->other = 1;
    sides_pump(&sides.ends[1]);
    sides_settle();
    assert_int_equal(e->got, 500000);
    conn_finish(sides.ends[1].s);
    sides_settle();
    assert_int_equal(e->finished, 1);
    assert_true(e->closed == 1 && sides.ends[1].closed == 1);
}

static void a_reset_ends_both_directions(void **state)
{
    (void)state;
    sides_connect();
    struct sides_end *e = sides_open(&sides.a, SIDES_ECHO);
    sides_settle();
    conn_reset(TAKE_PTR(e->s));
    sides_settle();
    assert_int_equal(sides.ends[1].closed, 1);
    assert_int_equal(sides.ends[1].rc, -ECONNRESET);
    assert_int_equal(e->closed, 0);
    assert_int_equal(conn_streams(sides.a.c) + conn_streams(sides.b.c), 0);
}

static void a_protocol_has_so_many_streams(void **state)
{
    (void)state;
    sides_connect();
    for (int i = 0; i < SIDES_LIMIT + 1; i++)
        (void)sides_open(&sides.a, SIDES_FEW);
    sides_settle();
    unsigned refused = 0;
    for (size_t i = 0; i < sides.ends_n; i++)
        refused += sides.ends[i].closed == 1 && sides.ends[i].rc == -ECONNRESET;
    assert_int_equal(refused, 1);
    assert_int_equal(conn_streams(sides.b.c), SIDES_LIMIT);
    for (size_t i = 0; i < SIDES_LIMIT + 1; i++)
        if (sides.ends[i].s != NULL)
            conn_reset(TAKE_PTR(sides.ends[i].s));
    sides_settle();
    struct sides_end *e = sides_open(&sides.a, SIDES_FEW); /* there is room again */
    sides_settle();
    assert_int_equal(e->opened, 1);
}

static void a_resting_stream_is_reset_where_it_may_not(void **state)
{
    (void)state;
    sides_connect();
    struct sides_end *brief = sides_open(&sides.a, SIDES_BRIEF),
                     *rests = sides_open(&sides.a, SIDES_ECHO);
    sides_settle();
    sides.now += SIDES_IDLE_MS - 1;
    assert_int_equal(conn_write(brief->s, bytes_str("x")), 1);
    sides_settle();
    assert_int_equal(conn_tick(sides.b.c, sides.now), 0);
    sides.now += SIDES_IDLE_MS - 1;
    assert_int_equal(conn_tick(sides.b.c, sides.now), 0);
    sides_settle();
    assert_int_equal(brief->closed, 0);
    sides.now += 1;
    assert_int_equal(conn_tick(sides.b.c, sides.now), 0);
    sides_settle();
    assert_int_equal(brief->rc, -ECONNRESET);
    assert_int_equal(rests->closed, 0);
    unsigned late = 0;
    for (size_t i = 0; i < sides.ends_n; i++)
        late += sides.ends[i].rc == -ETIMEDOUT;
    assert_int_equal(late, 1);
}

static void who_goes_away_keeps_what_is_open(void **state)
{
    (void)state;
    sides_connect();
    struct sides_end *e = sides_open(&sides.a, SIDES_ECHO);
    sides_settle();
    conn_go_away(sides.b.c);
    sides_settle();
    assert_int_equal(sides.a.away, 1);
    struct conn_stream *s;
    assert_int_equal(conn_open(sides.a.c, SIDES_ECHO, &sides_handler, NULL, &s), -ESHUTDOWN);
    e->goal = 1000;
    sides_pump(e);
    sides_settle();
    assert_int_equal(sides.ends[1].got, 1000);
}

static void streams_end_with_their_connection(void **state)
{
    (void)state;
    sides_connect();
    struct sides_end *e = sides_open(&sides.a, SIDES_ECHO),
                     *early = sides_open(&sides.a, SIDES_ECHO);
    sides_settle();
    (void)early;
    (void)sides_open(&sides.a, SIDES_ECHO);
    conn_free(TAKE_PTR(sides.a.c));
    assert_int_equal(e->rc, -ENOTCONN);
    assert_int_equal(sides.ends[sides.ends_n - 1].rc, -ENOTCONN);
    assert_int_equal(sides.ends[sides.ends_n - 1].closed, 1);
}

/* ---- a far side of the test's own ---- */

static void talk(struct side *x, struct far *f)
{
    for (bool moved = true; moved;) {
        struct bytes out = conn_out(x->c);
        size_t n = sides_piece(out.n);
        moved = n > 0 || f->out.n > 0;
        far_feed(f, bytes_of(out.p, n));
        conn_sent(x->c, n);
        n = sides_piece(f->out.n);
        if (n > 0 && !x->failed) {
            x->failed = conn_feed(x->c, bytes_of(f->out.p, n), sides.now) < 0;
            sides_cut_front(&f->out, n);
        } else if (x->failed) {
            buf_reset(&f->out);
        }
    }
}

static void yamux_may_be_agreed_on_later(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct far f;
        bool dials = i % 2 == 0;
        far_init(&f, !dials, i >= 2, &sides.b.keys);
        sides.a.opened = 0;
        sides.a.failed = false;
        sides_begin(&sides.a, dials, NULL);
        talk(&sides.a, &f);
        assert_int_equal(f.stage, FAR_OPEN);
        assert_true(conn_is_open(sides.a.c));
        assert_int_equal(sides.a.opened, 1);
        assert_memory_equal(conn_peer(sides.a.c), sides.b.id, PEER_ID_BYTES);
        buf_reset(&f.plain);
        struct sides_end *e = sides_open(&sides.a, SIDES_ECHO);
        talk(&sides.a, &f);
        assert_true(f.plain.n > 12); /* it speaks yamux */
        (void)e;
        conn_free(TAKE_PTR(sides.a.c));
        far_fini(&f);
    }
}

#define HELLO "\x13/multistream/1.0.0\n"

static void start_far(struct far *f)
{
    far_init(f, true, true, &sides.b.keys);
    sides_begin(&sides.a, false, NULL);
    talk(&sides.a, f);
    assert_true(conn_is_open(sides.a.c));
    buf_reset(&f->plain);
}

static void say(struct far *f, uint32_t stream, unsigned flags, const char *text)
{
    struct bytes t = bytes_str(text);
    far_frame(f, 0, flags, stream, (uint32_t)t.n, t);
    talk(&sides.a, f);
}

/* Whether the last frame that came is a reset of @stream. */
static bool was_reset(const struct far *f, uint32_t stream)
{
    struct reader r = reader_of(buf_bytes(&f->plain));
    bool reset = false;
    while (r.n > 0) {
        (void)reader_u8(&r);
        uint8_t type = reader_u8(&r);
        uint16_t flags = reader_u16(&r);
        uint32_t id = reader_u32(&r), n = reader_u32(&r);
        (void)reader_bytes(&r, type == 0 ? n : 0);
        reset = reset || (id == stream && (flags & 8) != 0);
    }
    return reset;
}

static void a_negotiation_has_its_time_and_no_more(void **state)
{
    (void)state;
    struct far f;
    start_far(&f);
    say(&f, 1, 1, HELLO);
    say(&f, 3, 1, HELLO "\x0d" SIDES_ECHO "\n");
    uint64_t began = sides.now;
    while (sides.now < began + P2P_NEGOTIATION_MS - 1000) {
        sides.now += 1000;
        say(&f, 1, 0, sides.now == began + 1000 ? "\x40" : "/"); /* it is busy, for ever */
        assert_int_equal(conn_tick(sides.a.c, sides.now), 0);
        talk(&sides.a, &f);
    }
    assert_int_equal(conn_streams(sides.a.c), 2);
    sides.now += 1000;
    assert_int_equal(conn_tick(sides.a.c, sides.now), 0);
    talk(&sides.a, &f);
    assert_int_equal(conn_streams(sides.a.c), 1);
    assert_true(was_reset(&f, 1) && !was_reset(&f, 3));
    /* And one of this side's, which the other does not answer. */
    struct sides_end *e = sides_open(&sides.a, SIDES_ECHO);
    talk(&sides.a, &f);
    sides.now += P2P_NEGOTIATION_MS;
    far_frame(&f, 2, 1, 0, 7, bytes_of(NULL, 0)); /* it lives */
    talk(&sides.a, &f);
    assert_int_equal(conn_tick(sides.a.c, sides.now), 0);
    assert_int_equal(e->closed, 1);
    assert_int_equal(e->rc, -ETIMEDOUT);
    far_fini(&f);
}

static void what_is_no_negotiation_is_reset(void **state)
{
    (void)state;
    static const char *const all[] = {"\x05nope\n", "\xff\xff\xff", HELLO "\x03xyz"};
    struct far f;
    start_far(&f);
    for (uint32_t i = 0; i < ARRAY_N(all); i++) {
        say(&f, 2 * i + 1, 1, all[i]);
        assert_true(was_reset(&f, 2 * i + 1));
    }
    say(&f, 101, 1 | 4, HELLO); /* it finishes before anything is agreed on */
    assert_true(was_reset(&f, 101));
    assert_int_equal(conn_streams(sides.a.c), 0);
    assert_false(sides.a.failed);
    assert_int_equal(sides.ends_n, 0);
    far_fini(&f);
}

static void what_is_no_yamux_ends_it(void **state)
{
    (void)state;
    struct far f;
    start_far(&f);
    say(&f, 1, 1, HELLO "\x0d" SIDES_ECHO "\n");
    far_say(&f, bytes_str("\x01 is no version"));
    talk(&sides.a, &f);
    assert_true(sides.a.failed);
    assert_int_equal(conn_tick(sides.a.c, sides.now), -EPROTO);
    assert_true(f.plain.n >= 12 && f.plain.p[f.plain.n - 11] == 3); /* it went away, saying so */
    assert_int_equal(f.plain.p[f.plain.n - 1], YAMUX_PROTOCOL_ERROR);
    assert_int_equal(sides.ends[0].closed, 0);
    conn_free(TAKE_PTR(sides.a.c));
    assert_int_equal(sides.ends[0].rc, -ENOTCONN);
    far_fini(&f);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, sides_setup, sides_teardown)
    const struct CMUnitTest tests[] = {
        TEST(both_sides_prove_who_they_are),
        TEST(nothing_depends_on_pieces),
        TEST(another_peer_than_was_dialed_is_refused),
        TEST(a_handshake_has_its_time),
        TEST(what_was_changed_on_the_way_ends_it),
        TEST(a_stream_has_the_protocol_that_was_asked_for),
        TEST(an_unknown_protocol_is_refused),
        TEST(what_a_handler_does_not_want_is_reset),
        TEST(a_stream_is_written_to_at_once),
        TEST(many_streams_carry_their_bytes),
        TEST(either_side_may_finish_first),
        TEST(a_reset_ends_both_directions),
        TEST(a_protocol_has_so_many_streams),
        TEST(a_resting_stream_is_reset_where_it_may_not),
        TEST(who_goes_away_keeps_what_is_open),
        TEST(streams_end_with_their_connection),
        TEST(yamux_may_be_agreed_on_later),
        TEST(a_negotiation_has_its_time_and_no_more),
        TEST(what_is_no_negotiation_is_reset),
        TEST(what_is_no_yamux_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
