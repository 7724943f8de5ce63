#include "tests/support/session_world.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

int session_world_setup(void **state)
{
    struct session_world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    server_process_init(&w->server);
    server_process_user(&w->server, "anna", 0, 0, BEN, w->token);
    server_process_user(&w->server, "ben", 0, 0, 1, &w->token[BEN]);
    server_process_start(&w->server);
    w->wire = wire_new(NULL);
    assert_non_null(w->wire);
    w->at = server_at(0, 1, 0);
    *state = w;
    return 0;
}

int session_world_teardown(void **state)
{
    struct session_world *w = *state;
    wire_free_all(w->wire);
    server_process_fini(&w->server);
    free(w);
    return 0;
}

struct caller caller_join(struct session_world *w, unsigned who)
{
    struct caller d = {.end = wire_join(w->wire, w->server.url, w->token[who], 1 + who)};
    assert_non_null(d.end);
    return d;
}

void caller_open(struct session_world *w, struct caller *d, const struct caller *before)
{
    struct bytes run = before != NULL ? buf_bytes(&before->run) : bytes_of(NULL, 0);
    assert_true(wire_open(d->end, w->at.space, run, before != NULL ? before->seq : 0));
    Persist__Frame *f = wire_next(d->end, WIRE_WAIT_MS);
    assert_non_null(f);
    assert_int_equal(f->kind_case, PERSIST__FRAME__KIND_OPENED);
    const Persist__Opened *o = f->opened;
    d->exists = o->exists;
    d->stale = o->stale;
    d->last = o->last;
    d->quota = o->quota_bytes;
    d->used = o->used_bytes;
    d->seq = d->stale || before == NULL ? 0 : before->seq;
    buf_put_bytes(&d->run, frame_bytes(o->run));
    frame_free(f);
}

struct caller caller_start(struct session_world *w, unsigned who, const struct caller *before)
{
    struct caller d = caller_join(w, who);
    caller_open(w, &d, before);
    return d;
}

void caller_leave(struct caller *d)
{
    wire_end_close(d->end);
}

void caller_end(struct caller *d)
{
    wire_end_close(d->end);
    buf_fini(&d->run);
}

void caller_put_genesis(struct caller *d)
{
    struct buf act = {0};
    server_genesis(1, &act);
    assert_true(wire_put_act(d->end, ++d->puts, buf_bytes(&act)));
    buf_fini(&act);
}

void caller_put_value(struct session_world *w, struct caller *d, uint64_t replica, uint64_t counter,
                      size_t sealed_n)
{
    struct server_entry e = {.dot = {replica, counter}, .fill = 1, .sealed_n = sealed_n};
    struct buf b = {0};
    server_entry(&w->at, &e, &b);
    assert_true(wire_put_entry(d->end, ++d->puts, buf_bytes(&b)));
    buf_fini(&b);
}

void caller_wait_done(struct caller *d)
{
    for (uint64_t done = 0; done < d->puts;) {
        Persist__Frame *f = wire_wait(d->end, PERSIST__FRAME__KIND_DONE, WIRE_WAIT_MS);
        assert_non_null(f);
        assert_true(f->done->id > done && f->done->id <= d->puts);
        done = f->done->id;
        frame_free(f);
    }
}

static void take_items(struct caller *d, const Persist__Items *items)
{
    assert_true(items->n_items > 0);
    for (size_t i = 0; i < items->n_items; i++) {
        assert_true(items->items[i]->seq > d->seq);
        d->seq = items->items[i]->seq;
        if (items->items[i]->what_case == PERSIST__ITEMS__ITEM__WHAT_ACT)
            d->acts++;
        else
            d->entries++;
    }
}

void caller_catch_up(struct caller *d)
{
    for (bool is_there = false; !is_there;) {
        Persist__Frame *f = wire_next(d->end, WIRE_WAIT_MS);
        assert_non_null(f);
        is_there = f->kind_case == PERSIST__FRAME__KIND_CAUGHT_UP;
        if (is_there) {
            assert_true(f->caught_up->seq >= d->seq);
            d->seq = f->caught_up->seq;
        } else {
            assert_int_equal(f->kind_case, PERSIST__FRAME__KIND_ITEMS);
            take_items(d, f->items);
        }
        frame_free(f);
    }
}

void caller_wait_items(struct caller *d, unsigned entries, unsigned acts)
{
    while (d->entries < entries || d->acts < acts) {
        Persist__Frame *f = wire_wait(d->end, PERSIST__FRAME__KIND_ITEMS, WIRE_WAIT_MS);
        assert_non_null(f);
        take_items(d, f->items);
        frame_free(f);
    }
    assert_int_equal(d->entries, entries);
    assert_int_equal(d->acts, acts);
}

void caller_fill(struct session_world *w, struct caller *d, unsigned n)
{
    caller_put_genesis(d);
    for (unsigned i = 1; i <= n; i++)
        caller_put_value(w, d, 7, i, 0);
    caller_wait_done(d);
}

void caller_expect_end(struct caller *d, Persist__Code code)
{
    Persist__Frame *f = wire_wait(d->end, PERSIST__FRAME__KIND_END, WIRE_WAIT_MS);
    if (f != NULL)
        assert_int_equal(f->end->code, code);
    frame_free(f);
    assert_true(wire_wait_closed(d->end, WIRE_WAIT_MS));
    assert_true(d->end->end.by_peer);
    assert_int_equal(d->end->end.code, code);
}
