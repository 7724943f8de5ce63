#include "tests/support/sides.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sync/net/libp2p/limits.h"
#include "tests/support/far.h"

struct sides sides;

struct sides_end *sides_new_end(struct conn_stream *s)
{
    assert_true(sides.ends_n < SIDES_ENDS);
    struct sides_end *e = &sides.ends[sides.ends_n++];
    *e = (struct sides_end){.s = s, .other = UINT64_MAX};
    return e;
}

void sides_pump(struct sides_end *e)
{
    static uint8_t some[30000];
    while (e->s != NULL && e->sent < e->goal) {
        size_t n = (size_t)min_u64(1 + crash_below(&sides.rnd, sizeof some), e->goal - e->sent);
        crash_fill((uint64_t)(e - sides.ends), e->sent, some, n);
        ssize_t taken = conn_write(e->s, bytes_of(some, n));
        assert_true(taken >= 0);
        e->sent += (uint64_t)taken;
        if ((size_t)taken < n)
            return;
    }
    if (e->s != NULL && e->ends && e->sent == e->goal)
        conn_finish(e->s);
}

static bool act(struct sides_end *e, enum sides_call call)
{
    return sides.act == NULL || sides.act(e, call);
}

static bool on_opened(struct conn_stream *s, void *user)
{
    struct sides_end *e = user;
    if (e == NULL) {
        e = sides_new_end(s);
        conn_set_user(s, e);
    }
    assert_ptr_equal(e->s, s);
    e->opened++;
    return act(e, SIDES_OPENED);
}

static void on_data(struct conn_stream *s, struct bytes data, void *user)
{
    static uint8_t expected[1 << 16];
    struct sides_end *e = user;
    assert_ptr_equal(e->s, s);
    assert_true(e->opened == 1 && data.n > 0 && data.n <= sizeof expected);
    if (e->other != UINT64_MAX) {
        crash_fill(e->other, e->got, expected, data.n);
        e->wrong = e->wrong || memcmp(expected, data.p, data.n) != 0;
    }
    e->got += data.n;
    conn_consumed(s, data.n);
    (void)act(e, SIDES_DATA);
}

static void on_writable(struct conn_stream *s, void *user)
{
    struct sides_end *e = user;
    assert_ptr_equal(e->s, s);
    sides_pump(e);
    (void)act(e, SIDES_WRITABLE);
}

static void on_finished(struct conn_stream *s, void *user)
{
    struct sides_end *e = user;
    assert_ptr_equal(e->s, s);
    e->finished++;
    (void)act(e, SIDES_FINISHED);
}

static void on_closed(struct conn_stream *s, int rc, void *user)
{
    struct sides_end *e = user;
    assert_ptr_equal(e->s, s);
    e->s = NULL;
    e->closed++;
    e->rc = rc;
    (void)act(e, SIDES_CLOSED);
}

const struct conn_handler sides_handler = {on_opened, on_data, on_writable, on_finished, on_closed};

static bool picky_opened(struct conn_stream *s, void *user)
{
    (void)s, (void)user;
    return false;
}

static const struct conn_handler picky = {.opened = picky_opened, .closed = on_closed};

const struct conn_protocol sides_protocols[SIDES_PROTOCOLS] = {
    {SIDES_ECHO, &sides_handler, P2P_STREAMS_IN, 0, NULL},
    {SIDES_FEW, &sides_handler, SIDES_LIMIT, 0, NULL},
    {SIDES_BRIEF, &sides_handler, P2P_STREAMS_IN, SIDES_IDLE_MS, NULL},
    {SIDES_PICKY, &picky, P2P_STREAMS_IN, 0, NULL},
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

void sides_begin(struct side *x, bool dials, const uint8_t *expect)
{
    struct conn_config cfg = {.dials = dials,
                              .keys = &x->keys,
                              .expect = expect,
                              .protocols = sides_protocols,
                              .protocols_n = SIDES_PROTOCOLS,
                              .opened = on_conn,
                              .away = on_away,
                              .kicked = on_kicked,
                              .user = x};
    assert_int_equal(conn_new(&cfg, sides.now, &x->c), 0);
}

int sides_setup(void **state)
{
    (void)state;
    memset(&sides, 0, sizeof sides);
    sides.rnd.s = crash_seed("conn");
    sides.now = 1000;
    far_keys(&sides.a.keys, sides.a.id);
    far_keys(&sides.b.keys, sides.b.id);
    return 0;
}

void sides_end(struct side *x)
{
    conn_free(TAKE_PTR(x->c));
    buf_fini(&x->line);
}

int sides_teardown(void **state)
{
    (void)state;
    sides.act = NULL;
    sides_end(&sides.a);
    sides_end(&sides.b);
    for (size_t i = 0; i < sides.ends_n; i++)
        assert_true(sides.ends[i].s == NULL && !sides.ends[i].wrong && sides.ends[i].closed <= 1);
    return 0;
}

/* ---- the line ---- */

size_t sides_piece(size_t n)
{
    return n == 0 ? 0
                  : 1 + (size_t)crash_below(&sides.rnd,
                                            crash_chance(&sides.rnd, 50) ? n : min_u64(n, 40));
}

bool sides_take(struct side *x)
{
    struct bytes out = conn_out(x->c);
    size_t n = sides_piece(out.n);
    buf_put_bytes(&x->line, bytes_of(out.p, n));
    conn_sent(x->c, n);
    return n > 0;
}

void sides_cut_front(struct buf *line, size_t n)
{
    memmove(line->p, line->p + n, line->n - n);
    line->n -= n;
}

bool sides_give(struct side *from, struct side *to)
{
    size_t n = sides_piece(from->line.n);
    if (n == 0 || to->failed || !conn_wants_read(to->c))
        return false;
    struct bytes in = bytes_of(malloc(n), n); /* its end is seen by a sanitizer */
    memcpy((uint8_t *)(uintptr_t)in.p, from->line.p, n);
    sides_cut_front(&from->line, n);
    to->failed = conn_feed(to->c, in, sides.now) < 0;
    free((void *)(uintptr_t)in.p);
    return true;
}

bool sides_step(void)
{
    bool moved = sides_take(&sides.a);
    moved = sides_take(&sides.b) || moved;
    moved = sides_give(&sides.a, &sides.b) || moved;
    return sides_give(&sides.b, &sides.a) || moved;
}

void sides_settle(void)
{
    while (sides_step())
        ;
}

void sides_connect(void)
{
    sides_begin(&sides.a, true, sides.b.id);
    sides_begin(&sides.b, false, NULL);
    sides_settle();
    assert_true(conn_is_open(sides.a.c) && conn_is_open(sides.b.c));
}

struct sides_end *sides_open(struct side *x, const char *protocol)
{
    struct sides_end *e = sides_new_end(NULL);
    assert_int_equal(conn_open(x->c, protocol, &sides_handler, e, &e->s), 0);
    return e;
}
