/*
 * What a session does with frames that come one after the other: sync/engine/session.c, without an
 * engine. Anna makes entries, Bert's session is given them; or Anna's puts them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fs/space/sync_priv.h"
#include "proto/base/log.h"
#include "sync/engine/session.h"
#include "tests/support/sync_meet.h"

enum { ANNA, BERT, DEVICES, MANY = 40 };

#define URL "ws://server.invalid"

static const char *const labels[DEVICES] = {"anna", "bert"};

static struct sync_meet w;
static struct sync_session *x;
static bool failed;
static struct buf came[MANY];
static Persist__Put__WhatCase put[4 * MANY]; /* what was put, in this order */
static size_t put_n;

static void on_send(void *arg, const Persist__Frame *frame)
{
    (void)arg;
    if (frame->kind_case != PERSIST__FRAME__KIND_PUT)
        return;
    assert_true(put_n < ARRAY_N(put));
    put[put_n++] = frame->put->what_case;
    assert_int_equal(frame->put->id, put_n);
}

static bool can_send(void *arg)
{
    (void)arg;
    return true;
}

static void on_room(void *arg, const char *why)
{
    (void)arg;
    (void)why;
}

static void on_failed(void *arg, uint64_t after_ms, const char *why)
{
    (void)arg;
    (void)after_ms;
    (void)why;
    failed = true;
}

static void start_session(size_t device)
{
    struct sync_session_config cfg = {.space = w.d[device].s,
                                      .sources = w.d[device].sources,
                                      .url = URL,
                                      .send = on_send,
                                      .can_send = can_send,
                                      .room = on_room,
                                      .failed = on_failed};
    assert_int_equal(sync_session_new(&cfg, &x), 0);
    sync_session_start(x);
}

static int setup(void **state)
{
    (void)state;
    log_set_level(LOG_LEVEL_NONE);
    failed = false;
    put_n = 0;
    sync_meet_open(&w, labels, DEVICES);
    start_session(BERT);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sync_session_free(x);
    for (size_t i = 0; i < MANY; i++)
        buf_fini(&came[i]);
    sync_meet_close(&w);
    return 0;
}

static void make_files(size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char name[24];
        snprintf(name, sizeof name, "f%zu", i);
        device_save_text(&w.d[ANNA], name, name);
    }
    sync_meet_sign(&w.d[ANNA]);
}

/* Anna makes files, and seals what they are. */
static void make_and_seal_files(void)
{
    struct arrival at;
    make_files(MANY);
    for (size_t i = 0; i < MANY; i++) {
        struct buf chunks CLEANUP(buf_fini) = {0};
        assert_int_equal(space_sync_next(w.d[ANNA].s, w.done[ANNA][BERT], BERT + 1, &at), 1);
        assert_int_equal(space_sync_seal(w.d[ANNA].s, &at, &came[i], &chunks), 0);
        w.done[ANNA][BERT] = at.number;
    }
}

static size_t bert_has(void)
{
    size_t has = 0;
    for (size_t i = 0; i < MANY; i++) {
        char name[24];
        snprintf(name, sizeof name, "f%zu", i);
        has += device_ino(&w.d[BERT], name) != 0;
    }
    return has;
}

static uint64_t stored_cursor(void)
{
    struct sync_remote row;
    assert_int_equal(space_sync_get_remote(w.d[BERT].s, space_sync_remote_id(URL), &row), 0);
    return row.cursor;
}

/* @n: how much the server has; 0: it knows nothing of the space. */
static void give_opened(size_t n)
{
    Persist__Opened o = PERSIST__OPENED__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    o.exists = n > 0;
    o.last = n;
    f.kind_case = PERSIST__FRAME__KIND_OPENED;
    f.opened = &o;
    assert_true(sync_session_frame(x, &f, 0));
}

/* A frame with one entry. */
static bool give_item(size_t i)
{
    Persist__Items__Item item = PERSIST__ITEMS__ITEM__INIT, *list = &item;
    Persist__Items items = PERSIST__ITEMS__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    item.seq = i + 1;
    item.what_case = PERSIST__ITEMS__ITEM__WHAT_ENTRY;
    item.entry = frame_data(buf_bytes(&came[i]));
    items.n_items = 1;
    items.items = &list;
    f.kind_case = PERSIST__FRAME__KIND_ITEMS;
    f.items = &items;
    return sync_session_frame(x, &f, 0);
}

static void give_caught_up(void)
{
    Persist__CaughtUp c = PERSIST__CAUGHT_UP__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    c.seq = MANY;
    f.kind_case = PERSIST__FRAME__KIND_CAUGHT_UP;
    f.caught_up = &c;
    assert_true(sync_session_frame(x, &f, 0));
}

static void give_done(uint64_t id)
{
    Persist__Done d = PERSIST__DONE__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    d.id = id;
    f.kind_case = PERSIST__FRAME__KIND_DONE;
    f.done = &d;
    assert_false(sync_session_frame(x, &f, 0));
}

/* Anna opens a door, for a server that is to be given @text. */
static void make_door(const char *text)
{
    struct door_key key = {.wrap = {1}, .commitment = {2}};
    const uint8_t salt[DOOR_SALT_SIZE] = {3};
    struct buf blob CLEANUP(buf_fini) = {0};
    assert_int_equal(space_sync_door(w.d[ANNA].s, &key, salt, &blob), 0);
    assert_int_equal(space_sync_set_blob(w.d[ANNA].s, space_sync_remote_id(URL), bytes_str(text)),
                     0);
}

static bool waits_for_door(const char *text)
{
    struct buf blob CLEANUP(buf_fini) = {0};
    int rc = space_sync_get_blob(w.d[ANNA].s, space_sync_remote_id(URL), &blob);
    return rc == 0 && bytes_equal(buf_bytes(&blob), bytes_str(text));
}

/* Bert's session is replaced by one of Anna's, with a server that has nothing. */
static void start_anna(void)
{
    sync_session_free(x);
    start_session(ANNA);
    give_opened(0);
}

static uint64_t pushed(void)
{
    struct sync_remote row;
    assert_int_equal(space_sync_get_remote(w.d[ANNA].s, space_sync_remote_id(URL), &row), 0);
    return row.pushed;
}

/* The number of the first arrival that is no act. */
static uint64_t first_entry(void)
{
    struct arrival at = {.number = 0};
    do
        assert_int_equal(space_sync_next(w.d[ANNA].s, at.number, 1, &at), 1);
    while (at.kind == ARRIVAL_ACT);
    return at.number;
}

/* ---- tests -------------------------------------------------------------------------------------
 */

static void entries_of_several_frames_are_taken_with_few_writes(void **state)
{
    (void)state;
    make_and_seal_files();
    give_opened(MANY);
    uint64_t before = db_written(w.d[BERT].s->db);
    for (size_t i = 0; i < MANY; i++)
        assert_false(give_item(i));
    assert_int_equal(bert_has(), 0);
    assert_false(sync_session_is_settled(x));
    (void)sync_session_pump(x, 0, false);
    assert_int_equal(bert_has(), MANY);
    assert_in_range(db_written(w.d[BERT].s->db) - before, 1, 4);
    assert_int_equal(stored_cursor(), MANY);
    assert_false(failed);
}

static void what_comes_after_entries_finds_them_taken(void **state)
{
    (void)state;
    make_and_seal_files();
    give_opened(MANY);
    for (size_t i = 0; i < MANY; i++)
        assert_false(give_item(i));
    give_caught_up();
    assert_int_equal(bert_has(), MANY);
    assert_true(sync_session_is_caught_up(x));
    assert_int_equal(stored_cursor(), MANY);
}

/* The cursor is not beyond what was taken, so that the next session is given the rest. */
static void a_session_that_ends_before_entries_are_taken_loses_none(void **state)
{
    (void)state;
    make_and_seal_files();
    give_opened(MANY);
    for (size_t i = 0; i < MANY / 2; i++)
        assert_false(give_item(i));
    (void)sync_session_pump(x, 0, false);
    for (size_t i = MANY / 2; i < MANY; i++)
        assert_false(give_item(i));
    sync_session_free(x);
    assert_int_equal(bert_has(), MANY / 2);
    assert_int_equal(stored_cursor(), MANY / 2);
    start_session(BERT);
    give_opened(MANY);
    for (size_t i = MANY / 2; i < MANY; i++)
        assert_false(give_item(i));
    (void)sync_session_pump(x, 0, false);
    assert_int_equal(bert_has(), MANY);
    assert_int_equal(stored_cursor(), MANY);
}

static void acts_and_a_door_go_before_the_entries_that_were_there(void **state)
{
    (void)state;
    make_files(2 * MANY);
    make_door("a door");
    start_anna();
    (void)sync_session_pump(x, 0, false);
    size_t ahead = 0;
    while (put[ahead] == PERSIST__PUT__WHAT_ACT)
        ahead++;
    assert_true(ahead > 0);
    assert_int_equal(put[ahead++], PERSIST__PUT__WHAT_DOOR);
    assert_true(put_n >= ahead + 2 * MANY);
    for (size_t i = ahead; i < put_n; i++)
        assert_int_equal(put[i], PERSIST__PUT__WHAT_ENTRY);
    /* What is Done is not taken for all that arrived before it. */
    give_done(ahead - 2);
    assert_true(waits_for_door("a door"));
    (void)sync_session_pump(x, 0, false);
    assert_true(pushed() < first_entry());
    give_done(ahead);
    assert_false(waits_for_door("a door"));
    (void)sync_session_pump(x, 0, false);
    assert_true(pushed() < first_entry());
    give_done(put_n);
    (void)sync_session_pump(x, 0, false);
    assert_int_equal(pushed(), space_sync_last(w.d[ANNA].s));
    assert_true(sync_session_is_settled(x));
}

static void acts_that_went_ahead_are_not_put_twice(void **state)
{
    (void)state;
    make_files(MANY);
    start_anna();
    (void)sync_session_pump(x, 0, false);
    size_t before = put_n;
    make_door("a door");
    (void)sync_session_pump(x, 0, false);
    assert_int_equal(put_n, before + 2);
    assert_int_equal(put[before], PERSIST__PUT__WHAT_ACT);
    assert_int_equal(put[before + 1], PERSIST__PUT__WHAT_DOOR);
    give_done(put_n);
    (void)sync_session_pump(x, 0, false);
    assert_int_equal(put_n, before + 2);
    assert_int_equal(pushed(), space_sync_last(w.d[ANNA].s));
}

static void a_door_that_is_made_while_another_is_under_way_goes_too(void **state)
{
    (void)state;
    make_door("a door");
    start_anna();
    (void)sync_session_pump(x, 0, false);
    make_door("another");
    give_done(put_n);
    assert_true(waits_for_door("another"));
    size_t before = put_n;
    (void)sync_session_pump(x, 0, false);
    assert_int_equal(put_n, before + 2);
    assert_int_equal(put[put_n - 1], PERSIST__PUT__WHAT_DOOR);
    give_done(put_n);
    assert_false(waits_for_door("another"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(entries_of_several_frames_are_taken_with_few_writes),
        TEST(what_comes_after_entries_finds_them_taken),
        TEST(a_session_that_ends_before_entries_are_taken_loses_none),
        TEST(acts_and_a_door_go_before_the_entries_that_were_there),
        TEST(acts_that_went_ahead_are_not_put_twice),
        TEST(a_door_that_is_made_while_another_is_under_way_goes_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
