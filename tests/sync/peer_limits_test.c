/*
 * What a device that keeps to no rule may do to another one that it speaks to directly:
 * sync/engine/serve.c and session.c are given frames that make no sense, over a link in memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fs/space/sync_priv.h"
#include "proto/base/log.h"
#include "tests/support/peer_link.h"
#include "tests/support/sync_meet.h"

enum { ANNA, BERT, DEVICES };

static const char *const labels[DEVICES] = {"anna", "bert"};

static struct sync_meet w;
static struct peer_link line;

static int setup(void **state)
{
    (void)state;
    log_set_level(LOG_LEVEL_NONE);
    sync_meet_open(&w, labels, DEVICES);
    peer_link_init(&line, &w.d[ANNA], &w.d[BERT]);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    peer_link_fini(&line);
    sync_meet_close(&w);
    return 0;
}

/* A session in which all is told. */
static void open_link(void)
{
    struct peer_link *one = &line;
    peer_link_open(&line);
    peer_links_run(&one, 1);
}

static Persist__Frame frame_of(Persist__Frame__KindCase kind)
{
    Persist__Frame f = PERSIST__FRAME__INIT;
    f.kind_case = kind;
    return f;
}

/* Anna's serving half is given one frame, in a session that is on: whether it ends that. */
static bool ends_serving(Persist__Frame *f)
{
    peer_link_cut(&line);
    open_link();
    peer_end_take(&line.end[0], f);
    (void)peer_end_pump(&line.end[0]);
    return line.end[0].failed;
}

static void what_was_not_offered_or_sent_is_not_answered(void **state)
{
    (void)state;
    uint8_t bits[1] = {1};
    Persist__Want want = PERSIST__WANT__INIT;
    Persist__Passed passed = PERSIST__PASSED__INIT;
    Persist__Taken taken = PERSIST__TAKEN__INIT;
    Persist__Open open = PERSIST__OPEN__INIT;
    Persist__Frame f = frame_of(PERSIST__FRAME__KIND_WANT);
    want.bits = frame_data(bytes_of(bits, 1));
    f.want = &want;
    assert_true(ends_serving(&f));
    f = frame_of(PERSIST__FRAME__KIND_PASSED);
    passed.bytes = 1;
    f.passed = &passed;
    assert_true(ends_serving(&f));
    f = frame_of(PERSIST__FRAME__KIND_TAKEN);
    taken.seq = space_sync_last(w.d[ANNA].s) + 1;
    f.taken = &taken;
    assert_true(ends_serving(&f));
    f = frame_of(PERSIST__FRAME__KIND_OPEN);
    open.space = frame_data(bytes_of(w.d[ANNA].s->sync->space.b, SPACE_ID_SIZE));
    f.open = &open;
    assert_true(ends_serving(&f));
}

static void another_space_is_not_opened(void **state)
{
    (void)state;
    uint8_t id[SPACE_ID_SIZE] = {1};
    Persist__Open open = PERSIST__OPEN__INIT;
    Persist__Frame f = frame_of(PERSIST__FRAME__KIND_OPEN);
    open.space = frame_data(bytes_of(id, sizeof id));
    f.open = &open;
    peer_link_open(&line);
    peer_end_take(&line.end[0], &f);
    assert_true(line.end[0].failed);
}

static void before_it_is_opened_nothing_is_asked(void **state)
{
    (void)state;
    Persist__ListDots list = PERSIST__LIST_DOTS__INIT;
    Persist__Frame f = frame_of(PERSIST__FRAME__KIND_LIST_DOTS);
    f.list_dots = &list;
    peer_link_open(&line);
    peer_end_take(&line.end[0], &f);
    assert_true(line.end[0].failed);
}

static void give_get_chunks(struct peer_end *e, size_t n)
{
    static const uint8_t name[CONTENT_ID_BYTES]; /* of nothing */
    ProtobufCBinaryData ids[FRAME_CHUNKS_MAX];
    Persist__GetChunks g = PERSIST__GET_CHUNKS__INIT;
    Persist__Frame f = frame_of(PERSIST__FRAME__KIND_GET_CHUNKS);
    for (size_t i = 0; i < n; i++)
        ids[i] = frame_data(bytes_of(name, sizeof name));
    g.n_ids = n;
    g.ids = ids;
    f.get_chunks = &g;
    peer_end_take(e, &f);
}

static void so_many_chunks_may_be_asked_for_and_no_more(void **state)
{
    (void)state;
    open_link();
    give_get_chunks(&line.end[0], FRAME_CHUNKS_MAX);
    assert_false(line.end[0].failed);
    give_get_chunks(&line.end[0], 1);
    assert_true(line.end[0].failed);
}

/* Nobody asked Bert's pulling half for it: what answers nothing ends the session. */
static void an_answer_that_nobody_asked_for_is_refused(void **state)
{
    (void)state;
    open_link();
    give_get_chunks(&line.end[0], 1);
    (void)peer_end_pump(&line.end[0]);
    assert_true(peer_end_deliver(&line.end[0]));
    assert_int_equal(line.end[0].none, 1);
    assert_true(line.end[1].failed);
}

static void give_offer(struct peer_end *e)
{
    static const uint8_t dot[DOT_SIZE] = {1, [15] = 1}, head[FRAME_HEAD_SIZE] = {1};
    Persist__Offer o = PERSIST__OFFER__INIT;
    Persist__Frame f = frame_of(PERSIST__FRAME__KIND_OFFER);
    o.dots = frame_data(bytes_of(dot, sizeof dot));
    o.heads = frame_data(bytes_of(head, sizeof head));
    f.offer = &o;
    peer_end_take(e, &f);
}

static void who_offers_without_end_and_reads_no_answer_is_cut(void **state)
{
    (void)state;
    open_link();
    line.room = 0;
    for (size_t i = 0; i < FRAME_OFFERS_MAX; i++) {
        give_offer(&line.end[1]);
        (void)peer_end_pump(&line.end[1]);
        assert_false(line.end[1].failed);
    }
    give_offer(&line.end[1]);
    assert_true(line.end[1].failed);
}

static void a_device_does_not_say_what_a_server_says(void **state)
{
    (void)state;
    Persist__Online online = PERSIST__ONLINE__INIT;
    Persist__Frame f = frame_of(PERSIST__FRAME__KIND_ONLINE);
    f.online = &online;
    open_link();
    peer_end_take(&line.end[1], &f);
    assert_true(line.end[1].failed);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_was_not_offered_or_sent_is_not_answered),
        TEST(another_space_is_not_opened),
        TEST(before_it_is_opened_nothing_is_asked),
        TEST(so_many_chunks_may_be_asked_for_and_no_more),
        TEST(an_answer_that_nobody_asked_for_is_refused),
        TEST(who_offers_without_end_and_reads_no_answer_is_cut),
        TEST(a_device_does_not_say_what_a_server_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
