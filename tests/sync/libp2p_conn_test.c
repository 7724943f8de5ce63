/* Connections to peers, in memory: two machines with a line between them that cuts where it likes,
 * or one with a far side that breaks the rules. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sync/net/libp2p/conn.h"
#include "sync/net/libp2p/limits.h"
#include "sync/net/libp2p/yamux.h"
#include "tests/support/crash_rand.h"
#include "tests/support/far.h"

enum { STREAMS = 4096, MANY = 100, LIMIT = 2, IDLE_MS = 1000 };

#define ECHO "/test/echo/1"
#define FEW "/test/few/1"
#define BRIEF "/test/brief/1"
#define PICKY "/test/picky/1"

/* A stream, as one side's application sees it. */
struct end {
    struct conn_stream *s; /* NULL: gone */
    unsigned opened, finished, closed;
    int rc;
    uint64_t goal, sent, got, other;
    bool ends, wrong; /* finishes when all is sent */
};

struct side {
    struct conn *c;
    struct noise_keys keys;
    uint8_t id[PEER_ID_BYTES];
    unsigned opened, away, kicks;
    struct buf line; /* to the other side */
    bool failed;
};

static struct side a, b; /* a dials */
static struct end ends[STREAMS];
static size_t ends_n;
static struct crash_rand rnd;
static uint64_t now;
static bool mad; /* callbacks do anything */

static void act_mad(struct end *e, bool may_reset);

static struct end *new_end(struct conn_stream *s)
{
    assert_true(ends_n < STREAMS);
    struct end *e = &ends[ends_n++];
    *e = (struct end){.s = s, .other = UINT64_MAX};
    return e;
}

static void pump(struct end *e)
{
    static uint8_t some[30000];
    while (e->s != NULL && e->sent < e->goal) {
        size_t n = (size_t)min_u64(1 + crash_below(&rnd, sizeof some), e->goal - e->sent);
        crash_fill((uint64_t)(e - ends), e->sent, some, n);
        ssize_t taken = conn_write(e->s, bytes_of(some, n));
        assert_true(taken >= 0);
        e->sent += (uint64_t)taken;
        if ((size_t)taken < n)
            return;
    }
    if (e->s != NULL && e->ends && e->sent == e->goal)
        conn_finish(e->s);
}

static bool on_opened(struct conn_stream *s, void *user)
{
    struct end *e = user;
    if (e == NULL) {
        e = new_end(s);
        conn_set_user(s, e);
    }
    assert_ptr_equal(e->s, s);
    e->opened++;
    if (mad && crash_chance(&rnd, 10)) {
        e->s = NULL;
        return false;
    }
    if (mad)
        act_mad(e, false);
    return true;
}

static void on_data(struct conn_stream *s, struct bytes data, void *user)
{
    static uint8_t expected[1 << 16];
    struct end *e = user;
    assert_ptr_equal(e->s, s);
    assert_true(e->opened == 1 && data.n > 0 && data.n <= sizeof expected);
    if (e->other != UINT64_MAX) {
        crash_fill(e->other, e->got, expected, data.n);
        e->wrong = e->wrong || memcmp(expected, data.p, data.n) != 0;
    }
    e->got += data.n;
    conn_consumed(s, data.n);
    if (mad)
        act_mad(e, true);
}

static void on_writable(struct conn_stream *s, void *user)
{
    struct end *e = user;
    assert_ptr_equal(e->s, s);
    pump(e);
    if (mad)
        act_mad(e, true);
}

static void on_finished(struct conn_stream *s, void *user)
{
    struct end *e = user;
    assert_ptr_equal(e->s, s);
    e->finished++;
    if (mad)
        act_mad(e, true);
}

static void on_closed(struct conn_stream *s, int rc, void *user)
{
    struct end *e = user;
    assert_ptr_equal(e->s, s);
    e->s = NULL;
    e->closed++;
    e->rc = rc;
    if (mad)
        act_mad(e, true);
}

static const struct conn_handler handler = {on_opened, on_data, on_writable, on_finished,
                                            on_closed};

static bool picky_opened(struct conn_stream *s, void *user)
{
    (void)s, (void)user;
    return false;
}

static const struct conn_handler picky = {.opened = picky_opened, .closed = on_closed};

static const struct conn_protocol protocols[] = {
    {ECHO, &handler, P2P_STREAMS_IN, 0},
    {FEW, &handler, LIMIT, 0},
    {BRIEF, &handler, P2P_STREAMS_IN, IDLE_MS},
    {PICKY, &picky, P2P_STREAMS_IN, 0},
};

static void on_conn(struct conn *c, void *user)
{
    struct side *x = user;
    assert_ptr_equal(x->c, c);
    x->opened++;
}

static void on_away(struct conn *c, void *user)
{
    (void)c;
    ((struct side *)user)->away++;
}

static void on_kicked(struct conn *c, void *user)
{
    (void)c;
    ((struct side *)user)->kicks++;
}

static void begin(struct side *x, bool dials, const uint8_t *expect)
{
    struct conn_config cfg = {.dials = dials,
                              .keys = &x->keys,
                              .expect = expect,
                              .protocols = protocols,
                              .protocols_n = ARRAY_N(protocols),
                              .opened = on_conn,
                              .away = on_away,
                              .kicked = on_kicked,
                              .user = x};
    assert_int_equal(conn_new(&cfg, now, &x->c), 0);
}

static int setup(void **state)
{
    (void)state;
    rnd.s = crash_seed("conn");
    now = 1000;
    mad = false;
    ends_n = 0;
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    far_keys(&a.keys, a.id);
    far_keys(&b.keys, b.id);
    return 0;
}

static void end_side(struct side *x)
{
    conn_free(TAKE_PTR(x->c));
    buf_fini(&x->line);
}

static int teardown(void **state)
{
    (void)state;
    mad = false;
    end_side(&a);
    end_side(&b);
    for (size_t i = 0; i < ends_n; i++)
        assert_true(ends[i].s == NULL && !ends[i].wrong && ends[i].closed <= 1);
    return 0;
}

/* ---- the line ---- */

static size_t piece(size_t n)
{
    return n == 0 ? 0 : 1 + (size_t)crash_below(&rnd, crash_chance(&rnd, 50) ? n : min_u64(n, 40));
}

static bool take(struct side *x)
{
    struct bytes out = conn_out(x->c);
    size_t n = piece(out.n);
    buf_put_bytes(&x->line, bytes_of(out.p, n));
    conn_sent(x->c, n);
    return n > 0;
}

static void cut_front(struct buf *line, size_t n)
{
    memmove(line->p, line->p + n, line->n - n);
    line->n -= n;
}

static bool give(struct side *from, struct side *to)
{
    size_t n = piece(from->line.n);
    if (n == 0 || to->failed || !conn_wants_read(to->c))
        return false;
    struct bytes in = bytes_of(malloc(n), n); /* its end is seen by a sanitizer */
    memcpy((uint8_t *)(uintptr_t)in.p, from->line.p, n);
    cut_front(&from->line, n);
    to->failed = conn_feed(to->c, in, now) < 0;
    free((void *)(uintptr_t)in.p);
    return true;
}

static bool step(void)
{
    bool moved = take(&a);
    moved = take(&b) || moved;
    moved = give(&a, &b) || moved;
    return give(&b, &a) || moved;
}

static void settle(void)
{
    while (step())
        ;
}

static void connect_both(void)
{
    begin(&a, true, b.id);
    begin(&b, false, NULL);
    settle();
    assert_true(conn_is_open(a.c) && conn_is_open(b.c));
}

static struct end *open_on(struct side *x, const char *protocol)
{
    struct end *e = new_end(NULL);
    assert_int_equal(conn_open(x->c, protocol, &handler, e, &e->s), 0);
    return e;
}

/* ---- the handshake ---- */

static void both_sides_prove_who_they_are(void **state)
{
    (void)state;
    connect_both();
    assert_int_equal(a.opened, 1);
    assert_int_equal(b.opened, 1);
    assert_memory_equal(conn_peer(a.c), b.id, PEER_ID_BYTES);
    assert_memory_equal(conn_peer(b.c), a.id, PEER_ID_BYTES);
    assert_memory_equal(conn_hash(a.c), conn_hash(b.c), NOISE_HASH_BYTES);
    assert_true(conn_dials(a.c) && !conn_dials(b.c));
}

static void nothing_depends_on_pieces(void **state)
{
    (void)state;
    begin(&a, true, b.id);
    begin(&b, false, NULL);
    struct end *e = NULL;
    for (int i = 0; i < 20000; i++) {
        struct side *from = i % 2 == 0 ? &a : &b, *to = i % 2 == 0 ? &b : &a;
        struct bytes out = conn_out(from->c);
        if (out.n > 0) {
            uint8_t one = out.p[0];
            conn_sent(from->c, 1);
            assert_int_equal(conn_feed(to->c, bytes_of(&one, 1), now), 0);
        }
        if (e == NULL && conn_is_open(a.c)) {
            e = open_on(&a, ECHO);
            e->goal = 3000;
            e->ends = true;
            pump(e);
        }
    }
    assert_int_equal(ends_n, 2);
    assert_int_equal(ends[1].got, 3000);
    assert_int_equal(ends[1].finished, 1);
}

static void another_peer_than_was_dialed_is_refused(void **state)
{
    (void)state;
    begin(&a, true, a.id);
    begin(&b, false, NULL);
    settle();
    assert_true(a.failed);
    assert_false(b.failed || conn_is_open(b.c) || conn_is_open(a.c));
    assert_int_equal(a.opened + b.opened, 0);
    assert_int_equal(conn_feed(a.c, bytes_str("more"), now), -EPERM);
    assert_int_equal(conn_tick(a.c, now), -EPERM);
    assert_true(conn_why(a.c)[0] != '\0');
    struct end *e = new_end(NULL);
    assert_int_equal(conn_open(a.c, ECHO, &handler, e, &e->s), -ENOTCONN);
}

static void a_handshake_has_its_time(void **state)
{
    (void)state;
    begin(&a, true, NULL);
    begin(&b, false, NULL);
    take(&a);
    give(&a, &b);
    assert_int_equal(conn_tick(b.c, now + P2P_UPGRADE_MS - 1), 0);
    assert_int_equal(conn_tick(b.c, now + P2P_UPGRADE_MS), -ETIMEDOUT);
    assert_int_equal(conn_feed(b.c, bytes_str("x"), now), -ETIMEDOUT);
    assert_true(conn_why(b.c)[0] != '\0');
}

static void what_was_changed_on_the_way_ends_it(void **state)
{
    (void)state;
    uint64_t runs = crash_share(400);
    unsigned failed = 0;
    for (uint64_t i = 0; i < runs; i++) {
        begin(&a, true, b.id);
        begin(&b, false, NULL);
        a.opened = b.opened = 0;
        a.failed = b.failed = false;
        size_t at = (size_t)crash_below(&rnd, 1200), seen = 0;
        bool flipped = false, first = true;
        struct end *e = NULL;
        for (unsigned quiet = 0; quiet < 3; quiet++) {
            for (unsigned j = 0; j < 2; j++) {
                struct side *from = j == 0 ? &a : &b, *to = j == 0 ? &b : &a;
                struct bytes out = conn_out(from->c);
                if (out.n == 0 || to->failed)
                    continue;
                quiet = 0;
                buf_reset(&from->line);
                buf_put_bytes(&from->line, out);
                conn_sent(from->c, out.n);
                if (!flipped && seen + out.n > at) {
                    from->line.p[at - seen] ^= (uint8_t)(1u << crash_below(&rnd, 8));
                    flipped = true;
                }
                seen += out.n;
                to->failed = conn_feed(to->c, buf_bytes(&from->line), now) < 0;
            }
            if (first && conn_is_open(a.c)) {
                first = false;
                e = open_on(&a, ECHO);
                e->goal = 2000;
                pump(e);
            }
        }
        /* A changed proposal may be no more than another one, which ends the same way. */
        failed += a.failed || b.failed;
        assert_true(!flipped || a.failed || b.failed || !conn_is_open(a.c) || !conn_is_open(b.c));
        buf_reset(&a.line);
        buf_reset(&b.line);
        conn_free(TAKE_PTR(a.c));
        conn_free(TAKE_PTR(b.c));
    }
    assert_true(failed > runs / 2);
}

/* ---- streams ---- */

static void a_stream_has_the_protocol_that_was_asked_for(void **state)
{
    (void)state;
    connect_both();
    struct end *e = open_on(&a, ECHO);
    assert_int_equal(e->opened, 0);
    assert_true(a.kicks > 0);
    settle();
    assert_int_equal(e->opened, 1);
    assert_int_equal(ends_n, 2);
    assert_int_equal(ends[1].opened, 1);
    assert_int_equal(conn_streams(a.c), 1);
    assert_ptr_equal(conn_of(e->s), a.c);
    struct end *back = open_on(&b, ECHO);
    settle();
    assert_int_equal(back->opened, 1);
    assert_int_equal(conn_streams(a.c), 2);
}

static void an_unknown_protocol_is_refused(void **state)
{
    (void)state;
    connect_both();
    struct end *e = open_on(&a, "/nobody/has/this");
    assert_int_equal(conn_write(e->s, bytes_str("lost")), 4);
    settle();
    assert_int_equal(e->opened, 0);
    assert_int_equal(e->closed, 1);
    assert_int_equal(e->rc, -ENOPROTOOPT);
    assert_int_equal(conn_streams(a.c) + conn_streams(b.c), 0);
    assert_int_equal(ends_n, 1);
}

static void what_a_handler_does_not_want_is_reset(void **state)
{
    (void)state;
    connect_both();
    struct end *e = open_on(&a, PICKY);
    settle();
    assert_int_equal(e->closed, 1);
    assert_int_equal(e->rc, -ECONNRESET);
    assert_int_equal(conn_streams(b.c), 0);
}

/* All of it goes out before the other side has said a word. */
static void a_stream_is_written_to_at_once(void **state)
{
    (void)state;
    connect_both();
    struct end *e = open_on(&a, ECHO);
    e->goal = 100000;
    e->ends = true;
    pump(e);
    assert_int_equal(e->sent, 100000);
    while (take(&a))
        ;
    while (give(&a, &b))
        ;
    assert_int_equal(e->opened, 0);
    assert_int_equal(ends[1].got, 100000);
    assert_int_equal(ends[1].finished, 1);
    ends[1].other = 0;
    conn_finish(ends[1].s);
    settle();
    assert_int_equal(e->opened, 1);
    assert_int_equal(e->rc + ends[1].rc, 0);
    assert_int_equal(e->closed + ends[1].closed, 2);
}

static void many_streams_carry_their_bytes(void **state)
{
    (void)state;
    connect_both();
    for (size_t i = 0; i < MANY; i++) {
        struct end *e = open_on(i % 3 == 0 ? &b : &a, ECHO);
        settle(); /* so that its other end is the next one */
        assert_int_equal(ends_n, 2 * (i + 1));
        e->other = 2 * i + 1;
        ends[2 * i + 1].other = 2 * i;
    }
    for (size_t i = 0; i < ends_n; i++) {
        ends[i].goal = crash_below(&rnd, 200000);
        ends[i].ends = true;
        pump(&ends[i]);
    }
    settle();
    for (size_t i = 0; i < ends_n; i++) {
        assert_int_equal(ends[i].got, ends[i ^ 1].goal);
        assert_int_equal(ends[i].finished, 1);
        assert_int_equal(ends[i].closed, 1);
        assert_int_equal(ends[i].rc, 0);
    }
    assert_int_equal(conn_streams(a.c) + conn_streams(b.c), 0);
}

static void either_side_may_finish_first(void **state)
{
    (void)state;
    connect_both();
    struct end *e = open_on(&a, ECHO);
    conn_finish(e->s);
    settle();
    assert_int_equal(ends[1].finished, 1);
    assert_int_equal(e->closed, 0);
    ends[1].goal = 500000;
    e->other = 1;
    pump(&ends[1]);
    settle();
    assert_int_equal(e->got, 500000);
    conn_finish(ends[1].s);
    settle();
    assert_int_equal(e->finished, 1);
    assert_true(e->closed == 1 && ends[1].closed == 1);
}

static void a_reset_ends_both_directions(void **state)
{
    (void)state;
    connect_both();
    struct end *e = open_on(&a, ECHO);
    settle();
    conn_reset(TAKE_PTR(e->s));
    settle();
    assert_int_equal(ends[1].closed, 1);
    assert_int_equal(ends[1].rc, -ECONNRESET);
    assert_int_equal(e->closed, 0);
    assert_int_equal(conn_streams(a.c) + conn_streams(b.c), 0);
}

static void a_protocol_has_so_many_streams(void **state)
{
    (void)state;
    connect_both();
    for (int i = 0; i < LIMIT + 1; i++)
        (void)open_on(&a, FEW);
    settle();
    unsigned refused = 0;
    for (size_t i = 0; i < ends_n; i++)
        refused += ends[i].closed == 1 && ends[i].rc == -ECONNRESET;
    assert_int_equal(refused, 1);
    assert_int_equal(conn_streams(b.c), LIMIT);
    for (size_t i = 0; i < LIMIT + 1; i++)
        if (ends[i].s != NULL)
            conn_reset(TAKE_PTR(ends[i].s));
    settle();
    struct end *e = open_on(&a, FEW); /* there is room again */
    settle();
    assert_int_equal(e->opened, 1);
}

static void a_resting_stream_is_reset_where_it_may_not(void **state)
{
    (void)state;
    connect_both();
    struct end *brief = open_on(&a, BRIEF), *rests = open_on(&a, ECHO);
    settle();
    now += IDLE_MS - 1;
    assert_int_equal(conn_write(brief->s, bytes_str("x")), 1);
    settle();
    assert_int_equal(conn_tick(b.c, now), 0);
    now += IDLE_MS - 1;
    assert_int_equal(conn_tick(b.c, now), 0);
    settle();
    assert_int_equal(brief->closed, 0);
    now += 1;
    assert_int_equal(conn_tick(b.c, now), 0);
    settle();
    assert_int_equal(brief->rc, -ECONNRESET);
    assert_int_equal(rests->closed, 0);
    unsigned late = 0;
    for (size_t i = 0; i < ends_n; i++)
        late += ends[i].rc == -ETIMEDOUT;
    assert_int_equal(late, 1);
}

static void who_goes_away_keeps_what_is_open(void **state)
{
    (void)state;
    connect_both();
    struct end *e = open_on(&a, ECHO);
    settle();
    conn_go_away(b.c);
    settle();
    assert_int_equal(a.away, 1);
    struct conn_stream *s;
    assert_int_equal(conn_open(a.c, ECHO, &handler, NULL, &s), -ESHUTDOWN);
    e->goal = 1000;
    pump(e);
    settle();
    assert_int_equal(ends[1].got, 1000);
}

static void streams_end_with_their_connection(void **state)
{
    (void)state;
    connect_both();
    struct end *e = open_on(&a, ECHO), *early = open_on(&a, ECHO);
    settle();
    (void)early;
    (void)open_on(&a, ECHO);
    conn_free(TAKE_PTR(a.c));
    assert_int_equal(e->rc, -ENOTCONN);
    assert_int_equal(ends[ends_n - 1].rc, -ENOTCONN);
    assert_int_equal(ends[ends_n - 1].closed, 1);
}

/* ---- a far side of the test's own ---- */

static void talk(struct side *x, struct far *f)
{
    for (bool moved = true; moved;) {
        struct bytes out = conn_out(x->c);
        size_t n = piece(out.n);
        moved = n > 0 || f->out.n > 0;
        far_feed(f, bytes_of(out.p, n));
        conn_sent(x->c, n);
        n = piece(f->out.n);
        if (n > 0 && !x->failed) {
            x->failed = conn_feed(x->c, bytes_of(f->out.p, n), now) < 0;
            cut_front(&f->out, n);
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
        far_init(&f, !dials, i >= 2, &b.keys);
        a.opened = 0;
        a.failed = false;
        begin(&a, dials, NULL);
        talk(&a, &f);
        assert_int_equal(f.stage, FAR_OPEN);
        assert_true(conn_is_open(a.c));
        assert_int_equal(a.opened, 1);
        assert_memory_equal(conn_peer(a.c), b.id, PEER_ID_BYTES);
        buf_reset(&f.plain);
        struct end *e = open_on(&a, ECHO);
        talk(&a, &f);
        assert_true(f.plain.n > 12); /* it speaks yamux */
        (void)e;
        conn_free(TAKE_PTR(a.c));
        far_fini(&f);
    }
}

#define HELLO "\x13/multistream/1.0.0\n"

static void start_far(struct far *f)
{
    far_init(f, true, true, &b.keys);
    begin(&a, false, NULL);
    talk(&a, f);
    assert_true(conn_is_open(a.c));
    buf_reset(&f->plain);
}

static void say(struct far *f, uint32_t stream, unsigned flags, const char *text)
{
    struct bytes t = bytes_str(text);
    far_frame(f, 0, flags, stream, (uint32_t)t.n, t);
    talk(&a, f);
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
    say(&f, 3, 1, HELLO "\x0d" ECHO "\n");
    uint64_t began = now;
    while (now < began + P2P_NEGOTIATION_MS - 1000) {
        now += 1000;
        say(&f, 1, 0, now == began + 1000 ? "\x40" : "/"); /* it is busy, for ever */
        assert_int_equal(conn_tick(a.c, now), 0);
        talk(&a, &f);
    }
    assert_int_equal(conn_streams(a.c), 2);
    now += 1000;
    assert_int_equal(conn_tick(a.c, now), 0);
    talk(&a, &f);
    assert_int_equal(conn_streams(a.c), 1);
    assert_true(was_reset(&f, 1) && !was_reset(&f, 3));
    /* And one of this side's, which the other does not answer. */
    struct end *e = open_on(&a, ECHO);
    talk(&a, &f);
    now += P2P_NEGOTIATION_MS;
    far_frame(&f, 2, 1, 0, 7, bytes_of(NULL, 0)); /* it lives */
    talk(&a, &f);
    assert_int_equal(conn_tick(a.c, now), 0);
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
    assert_int_equal(conn_streams(a.c), 0);
    assert_false(a.failed);
    assert_int_equal(ends_n, 0);
    far_fini(&f);
}

static void what_is_no_yamux_ends_it(void **state)
{
    (void)state;
    struct far f;
    start_far(&f);
    say(&f, 1, 1, HELLO "\x0d" ECHO "\n");
    far_say(&f, bytes_str("\x01 is no version"));
    talk(&a, &f);
    assert_true(a.failed);
    assert_int_equal(conn_tick(a.c, now), -EPROTO);
    assert_true(f.plain.n >= 12 && f.plain.p[f.plain.n - 11] == 3); /* it went away, saying so */
    assert_int_equal(f.plain.p[f.plain.n - 1], YAMUX_PROTOCOL_ERROR);
    assert_int_equal(ends[0].closed, 0);
    conn_free(TAKE_PTR(a.c));
    assert_int_equal(ends[0].rc, -ENOTCONN);
    far_fini(&f);
}

/* ---- callbacks that do anything ---- */

static void act_mad(struct end *e, bool may_reset)
{
    struct end *other = &ends[crash_below(&rnd, ends_n)];
    struct side *x = crash_chance(&rnd, 50) ? &a : &b;
    struct conn_stream *s;
    switch (crash_below(&rnd, 12)) {
    case 0:
        if (may_reset && e->s != NULL)
            conn_reset(TAKE_PTR(e->s));
        return;
    case 1:
        if (other->s != NULL && (other != e || may_reset))
            conn_reset(TAKE_PTR(other->s));
        return;
    case 2:
        if (e->s != NULL)
            conn_finish(e->s);
        return;
    case 3:
    case 4:
    case 5:
        if (x->c != NULL && ends_n < STREAMS - 300 &&
            conn_open(x->c, protocols[crash_below(&rnd, ARRAY_N(protocols))].id, &handler,
                      &ends[ends_n], &s) == 0)
            (void)new_end(s);
        return;
    case 6:
    case 7:
        if (other->s != NULL && conn_write(other->s, bytes_str("some, and more")) < 0)
            return;
        return;
    default:
        return;
    }
}

static void callbacks_may_do_what_they_like(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < crash_share(40) + 1; i++) {
        ends_n = 0;
        a.failed = b.failed = false;
        connect_both();
        mad = true;
        (void)open_on(&a, ECHO);
        for (int j = 0; j < 4000; j++) {
            (void)step();
            act_mad(&ends[crash_below(&rnd, ends_n)], true);
            now += crash_below(&rnd, 30);
            if (j % 50 == 0) {
                assert_int_equal(conn_tick(a.c, now), 0);
                assert_int_equal(conn_tick(b.c, now), 0);
            }
        }
        assert_false(a.failed || b.failed);
        assert_true(ends_n > 50);
        end_side(&a);
        end_side(&b);
        mad = false;
        for (size_t j = 0; j < ends_n; j++)
            assert_true(ends[j].s == NULL);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
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
        TEST(callbacks_may_do_what_they_like),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
