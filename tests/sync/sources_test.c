/*
 * A device that has several sources for the same content: sync/engine/sources.c by itself, and
 * sessions that share it, over links in memory (tests/support/peer_link). Anna, Bert and Carl have
 * all, Dora is linked with each of them.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fs/space/sync_priv.h"
#include "proto/base/log.h"
#include "sync/engine/sources.h"
#include "tests/support/peer_link.h"
#include "tests/support/sync_meet.h"

enum {
    ANNA,
    BERT,
    CARL,
    DORA,
    SOURCES = DORA,
    BIG = 24 << 20,
    NOTES = 150, /* more than one session fetches at once */
    SLOW_MS = 100,
    FAST = 4, /* frames in the time in which another link brings one */
    ROUNDS = 20000,
    LACKED = 4, /* less than are asked for at once */
    FILMS = 80, /* more than one session fetches at once */
    FILM = 512 << 10,
    FILMS_BEFORE = 4,
    SEEN_MS = 2000, /* until what waits is looked at again */
};

static const char *const labels[] = {"anna", "bert", "carl", "dora"};

static struct sync_meet w;
static struct peer_link line[SOURCES];
static size_t speed[SOURCES]; /* frames that each brings in a round */

static int setup(void **state)
{
    (void)state;
    log_set_level(LOG_LEVEL_NONE);
    sync_meet_open(&w, labels, SOURCES + 1);
    for (size_t i = 0; i < SOURCES; i++) {
        speed[i] = 1;
        peer_link_init(&line[i], &w.d[i], &w.d[DORA]);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < SOURCES; i++)
        peer_link_fini(&line[i]);
    sync_meet_close(&w);
    return 0;
}

/* ---- what happens ------------------------------------------------------------------------------
 */

/* Anna makes it, and the other sources have it, too. */
static void save(const char *name, const void *p, size_t n)
{
    device_save(&w.d[ANNA], name, p, n);
    sync_meet_sign(&w.d[ANNA]);
    sync_meet_give(&w, ANNA, BERT);
    sync_meet_give(&w, ANNA, CARL);
}

static uint8_t *big_bytes(void)
{
    static const uint8_t seed[randombytes_SEEDBYTES] = {1};
    uint8_t *p = malloc(BIG);
    assert_non_null(p);
    randombytes_buf_deterministic(p, BIG, seed);
    return p;
}

static void save_big(void)
{
    uint8_t *p = big_bytes();
    save("big", p, BIG);
    free(p);
}

static bool dora_has(const char *name)
{
    return device_ino(&w.d[DORA], name) != 0;
}

static void open_links(void)
{
    for (size_t i = 0; i < SOURCES; i++)
        peer_link_open(&line[i]);
}

/* When all sessions say that they are settled nothing is missing, but for what a source has not. */
static void expect_true(void)
{
    struct sync_counts counts;
    bool settled = true;
    for (size_t i = 0; i < SOURCES; i++)
        settled = settled && line[i].up && line[i].end[0].none == 0 && !line[i].end[0].lies &&
                  sync_session_is_settled(line[i].end[1].session);
    space_sync_counts(w.d[DORA].s, &counts);
    assert_true(!settled || counts.content_waiting == 0);
}

/* Dora goes on, as an engine does after each frame. */
static void go_on(void)
{
    expect_true();
    for (size_t i = 0; i < SOURCES; i++) {
        if (!line[i].up)
            continue;
        assert_false(line[i].end[1].failed);
        (void)peer_end_pump(&line[i].end[1]);
        while (peer_end_deliver(&line[i].end[1]))
            ;
    }
}

static void step(void)
{
    for (size_t i = 0; i < SOURCES; i++) {
        if (!line[i].up)
            continue;
        (void)peer_end_pump(&line[i].end[0]);
        for (size_t k = 0; k < speed[i] && peer_end_deliver(&line[i].end[0]); k++)
            go_on();
    }
    go_on();
}

static void run_until_dora_has(const char *name)
{
    for (int i = 0; i < ROUNDS && !dora_has(name); i++)
        step();
    assert_true(dora_has(name));
}

/* As far as it goes. */
static void run(void)
{
    size_t before = SIZE_MAX, now = 0;
    for (int still = 0; still < 3; still = now == before ? still + 1 : 0) {
        before = now;
        step();
        now = 0;
        for (size_t i = 0; i < SOURCES; i++)
            now += line[i].end[0].frames + line[i].end[1].frames;
    }
}

static void run_until_brought(size_t source, size_t chunks)
{
    for (int i = 0; i < ROUNDS && line[source].end[0].chunks < chunks; i++)
        step();
    assert_true(line[source].end[0].chunks >= chunks);
}

static void pass_time(uint64_t ms)
{
    for (size_t i = 0; i < SOURCES; i++)
        line[i].now_ms += ms;
}

/* ---- what is looked at -------------------------------------------------------------------------
 */

static size_t asked_of(size_t source)
{
    return line[source].end[1].asked.n / CONTENT_ID_BYTES;
}

static int by_name(const void *a, const void *b)
{
    return memcmp(a, b, CONTENT_ID_BYTES);
}

/* How many chunks were asked for, each counted once, and how often one was again. */
static size_t count_asked(size_t *ret_again)
{
    struct buf all CLEANUP(buf_fini) = {0};
    for (size_t i = 0; i < SOURCES; i++)
        buf_put_bytes(&all, buf_bytes(&line[i].end[1].asked));
    assert_int_equal(buf_status(&all), 0);
    size_t n = all.n / CONTENT_ID_BYTES;
    qsort(all.p, n, CONTENT_ID_BYTES, by_name);
    *ret_again = 0;
    for (size_t i = 1; i < n; i++)
        *ret_again +=
            by_name(all.p + (i - 1) * CONTENT_ID_BYTES, all.p + i * CONTENT_ID_BYTES) == 0;
    return n - *ret_again;
}

/* Nothing was asked for twice, but for these. */
static void expect_again(size_t most)
{
    size_t again, n = count_asked(&again);
    assert_in_range(n, BIG / CONTENT_CHUNK_MAX, BIG / 1024);
    assert_in_range(again, 0, most);
}

static void expect_whole(void)
{
    uint8_t *p = big_bytes(), *got = malloc(BIG);
    assert_non_null(got);
    run_until_dora_has("big");
    run();
    for (size_t i = 0; i < SOURCES; i++)
        if (line[i].up && speed[i] > 0)
            assert_true(sync_session_is_settled(line[i].end[1].session));
    sync_meet_expect_equal(&w, SOURCES + 1);
    assert_int_equal(tree_read(w.d[DORA].s->tree, device_ino(&w.d[DORA], "big"), 0, got, BIG), BIG);
    assert_memory_equal(got, p, BIG);
    free(got);
    free(p);
}

/* ---- the table ---------------------------------------------------------------------------------
 */

static void a_chunk_is_asked_of_one_source_while_that_may_bring_it(void **state)
{
    (void)state;
    const uint8_t name[CONTENT_ID_BYTES] = {1}, other[CONTENT_ID_BYTES] = {2}; /* of one slot */
    struct sources *s;
    assert_int_equal(sources_new(&s), 0);
    int a = sources_join(s), b = sources_join(s), c = sources_join(s);
    assert_int_equal(sources_claim(s, a, name, 5), 0);
    assert_int_equal(sources_claim(s, a, other, 5), 0);
    assert_true(sources_claim(s, a, name, 5) == SOURCES_NEVER);
    assert_int_equal(sources_claim(s, b, name, 6), 5 + SOURCES_STALLED_MS);
    assert_false(sources_freed(s));
    /* It has not got it. */
    sources_answered(s, a, name, false);
    assert_true(sources_freed(s));
    assert_false(sources_freed(s));
    assert_int_equal(sources_claim(s, b, name, 7), 0);
    /* It is late. */
    assert_int_equal(sources_claim(s, c, name, 7 + SOURCES_STALLED_MS), 0);
    assert_int_equal(sources_claim(s, a, name, 8 + SOURCES_STALLED_MS), 7 + 2 * SOURCES_STALLED_MS);
    assert_true(sources_claim(s, b, name, 7 + 2 * SOURCES_STALLED_MS) == SOURCES_NEVER);
    /* Who was late has not got it: it is still to come from the other one, which then ends. */
    sources_answered(s, b, name, false);
    assert_int_equal(sources_claim(s, a, name, 8 + SOURCES_STALLED_MS), 7 + 2 * SOURCES_STALLED_MS);
    sources_leave(s, c);
    assert_true(sources_freed(s));
    assert_int_equal(sources_claim(s, a, name, 8 + SOURCES_STALLED_MS), 0);
    /* It came. */
    sources_answered(s, a, name, true);
    assert_false(sources_freed(s));
    assert_int_equal(sources_claim(s, b, name, 9), 0);
    assert_int_equal(sources_claim(s, b, other, 9), 5 + SOURCES_STALLED_MS);
    sources_free(s);
}

static void what_is_open_is_late_when_its_source_stalls_or_takes_too_long(void **state)
{
    (void)state;
    const uint8_t name[CONTENT_ID_BYTES] = {1};
    struct sources *s;
    assert_int_equal(sources_new(&s), 0);
    int a = sources_join(s), b = sources_join(s);
    assert_int_equal(sources_claim(s, a, name, 5), 0);
    sources_heard(s, b, 900);
    assert_int_equal(sources_claim(s, b, name, 900), 5 + SOURCES_STALLED_MS);
    sources_heard(s, a, 900);
    assert_int_equal(sources_claim(s, b, name, 900), 900 + SOURCES_STALLED_MS);
    sources_heard(s, a, SOURCES_LATE_MS);
    assert_int_equal(sources_claim(s, b, name, SOURCES_LATE_MS), 5 + SOURCES_LATE_MS);
    assert_int_equal(sources_claim(s, b, name, 5 + SOURCES_LATE_MS), 0);
    sources_free(s);
}

static void there_are_so_many_sources_and_no_more(void **state)
{
    (void)state;
    struct sources *s;
    assert_int_equal(sources_new(&s), 0);
    for (int i = 0; i < SOURCES_MAX; i++)
        assert_int_equal(sources_join(s), i);
    assert_int_equal(sources_join(s), -EMFILE);
    sources_leave(s, 7);
    assert_int_equal(sources_join(s), 7);
    sources_free(s);
}

/* ---- sessions ----------------------------------------------------------------------------------
 */

static void every_chunk_crosses_one_link_and_each_link_brings_its_part(void **state)
{
    (void)state;
    save_big();
    open_links();
    expect_whole();
    expect_again(0);
    size_t again, all = count_asked(&again), brought = 0;
    for (size_t i = 0; i < SOURCES; i++) {
        assert_in_range(line[i].end[0].chunks, all / SOURCES * 3 / 4, all / SOURCES * 5 / 4);
        brought += line[i].end[0].chunks;
    }
    assert_int_equal(brought, all);
}

static void a_fast_link_brings_more_than_slow_ones(void **state)
{
    (void)state;
    speed[BERT] = FAST;
    save_big();
    open_links();
    expect_whole();
    expect_again(0);
    assert_true(line[BERT].end[0].chunks > 2 * line[ANNA].end[0].chunks);
    assert_true(line[BERT].end[0].chunks > 2 * line[CARL].end[0].chunks);
    assert_true(line[ANNA].end[0].chunks > 0 && line[CARL].end[0].chunks > 0);
}

/* What was asked for is long on its way, but comes. */
static void slow_links_bring_nothing_twice(void **state)
{
    (void)state;
    save_big();
    open_links();
    for (int i = 0; i < ROUNDS && !dora_has("big"); i++) {
        step();
        pass_time(SLOW_MS);
    }
    expect_whole();
    expect_again(0);
}

/* No time passes: what it was to bring is asked of the others at once. */
static void when_a_source_ends_the_others_bring_what_it_was_to(void **state)
{
    (void)state;
    save_big();
    open_links();
    run_until_brought(ANNA, LACKED);
    size_t open = asked_of(ANNA) - line[ANNA].end[0].chunks;
    assert_true(open > 0);
    peer_link_cut(&line[ANNA]);
    expect_whole();
    expect_again(open);
}

static void when_all_end_and_come_again_nothing_comes_twice(void **state)
{
    (void)state;
    size_t open = 0;
    save_big();
    open_links();
    run_until_brought(CARL, LACKED);
    for (size_t i = 0; i < SOURCES; i++) {
        open += asked_of(i) - line[i].end[0].chunks;
        peer_link_cut(&line[i]);
    }
    open_links();
    expect_whole();
    expect_again(open);
}

/* It neither brings anything nor ends. */
static void what_a_stalled_source_was_to_bring_comes_from_others_in_time(void **state)
{
    (void)state;
    save_big();
    open_links();
    run_until_brought(ANNA, LACKED);
    size_t open = asked_of(ANNA) - line[ANNA].end[0].chunks;
    speed[ANNA] = 0;
    run();
    assert_false(dora_has("big"));
    assert_in_range(asked_of(ANNA) - line[ANNA].end[0].chunks, open, FRAME_CHUNKS_MAX);
    open = asked_of(ANNA) - line[ANNA].end[0].chunks;
    uint64_t then = line[BERT].now_ms + SOURCES_STALLED_MS;
    assert_int_equal(sync_session_pump(line[BERT].end[1].session, line[BERT].now_ms, false), then);
    pass_time(SOURCES_STALLED_MS);
    run_until_dora_has("big");
    expect_again(open);
    /* It goes on, and nothing is missed. */
    speed[ANNA] = 1;
    expect_whole();
    expect_again(open);
}

/* While the others have the big one to bring, too. */
static void a_note_is_not_held_up_by_a_stalled_source(void **state)
{
    (void)state;
    const uint8_t note[CONTENT_INLINE_MAX + 1] = {0};
    open_links();
    run();
    save("note", note, sizeof note);
    while (asked_of(ANNA) == 0) /* at once, as it is hers */
        step();
    speed[ANNA] = 0;
    run();
    assert_false(dora_has("note"));
    save_big();
    run_until_brought(BERT, 1);
    pass_time(SOURCES_STALLED_MS);
    run_until_dora_has("note");
    assert_false(dora_has("big"));
}

static void many_notes_come_from_those_that_bring_them(void **state)
{
    (void)state;
    uint8_t note[CONTENT_INLINE_MAX + 1] = {0};
    size_t has = 0;
    save_big(); /* comes last */
    for (size_t i = 0; i < NOTES; i++) {
        char name[24];
        snprintf(name, sizeof name, "note%zu", i);
        note[0] = (uint8_t)i;
        device_save(&w.d[ANNA], name, note, sizeof note);
    }
    save("last", note, sizeof note);
    open_links();
    while (asked_of(ANNA) == 0)
        step();
    speed[ANNA] = 0;
    run();
    for (size_t i = 0; i < NOTES; i++) {
        char name[24];
        snprintf(name, sizeof name, "note%zu", i);
        has += dora_has(name);
    }
    assert_true(has >= NOTES - asked_of(ANNA));
    assert_true(asked_of(BERT) > 0 && asked_of(CARL) > 0);
    pass_time(SOURCES_STALLED_MS);
    run_until_dora_has("big");
}

/* As many are fetched as may be, and more of them wait. */
static void a_note_goes_before_many_that_are_large(void **state)
{
    (void)state;
    const uint8_t note[CONTENT_INLINE_MAX + 1] = {0};
    uint8_t *p = big_bytes();
    size_t has = 0;
    for (size_t i = 0; i < FILMS; i++) {
        char name[24];
        snprintf(name, sizeof name, "film%zu", i);
        put_u64(p, i);
        device_save(&w.d[ANNA], name, p + i * (BIG - FILM) / FILMS, FILM);
    }
    sync_meet_sign(&w.d[ANNA]);
    peer_link_open(&line[ANNA]);
    run_until_brought(ANNA, 1);
    device_save(&w.d[ANNA], "note", note, sizeof note);
    sync_meet_sign(&w.d[ANNA]);
    pass_time(SEEN_MS);
    run_until_dora_has("note");
    for (size_t i = 0; i < FILMS; i++) {
        char name[24];
        snprintf(name, sizeof name, "film%zu", i);
        has += dora_has(name);
    }
    assert_in_range(has, 0, FILMS_BEFORE);
    free(p);
}

static void what_one_source_lacks_another_one_brings(void **state)
{
    (void)state;
    save_big();
    open_links();
    run_until_brought(CARL, 1);
    size_t n = asked_of(CARL);
    assert_true(n > LACKED);
    for (size_t i = n - LACKED; i < n; i++)
        assert_int_equal(
            content_drop_chunk(w.d[CARL].s->db, line[CARL].end[1].asked.p + i * CONTENT_ID_BYTES),
            0);
    expect_whole();
    assert_in_range(line[CARL].end[0].none, 1, LACKED);
    expect_again(line[CARL].end[0].none);
}

/* No source has all of it, all of them together have: nobody waits until it is tried again. */
static void what_each_source_lacks_in_part_is_whole_by_all_of_them(void **state)
{
    (void)state;
    save_big();
    open_links();
    run_until_brought(CARL, 1);
    for (size_t i = 0; i < SOURCES; i++) {
        struct peer_end *e = &line[i].end[1];
        assert_true(asked_of(i) > LACKED);
        assert_int_equal(
            content_drop_chunk(w.d[i].s->db, e->asked.p + e->asked.n - CONTENT_ID_BYTES), 0);
    }
    expect_whole();
    for (size_t i = 0; i < SOURCES; i++)
        assert_int_equal(line[i].end[0].none, 1);
    expect_again(SOURCES);
}

static void what_one_source_forged_comes_from_another_one(void **state)
{
    (void)state;
    save_big();
    line[BERT].end[0].lies = true;
    open_links();
    expect_whole();
    assert_true(line[BERT].end[0].chunks > 0);
    expect_again(line[BERT].end[0].chunks);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chunk_is_asked_of_one_source_while_that_may_bring_it),
        cmocka_unit_test(what_is_open_is_late_when_its_source_stalls_or_takes_too_long),
        cmocka_unit_test(there_are_so_many_sources_and_no_more),
        TEST(every_chunk_crosses_one_link_and_each_link_brings_its_part),
        TEST(a_fast_link_brings_more_than_slow_ones),
        TEST(slow_links_bring_nothing_twice),
        TEST(when_a_source_ends_the_others_bring_what_it_was_to),
        TEST(when_all_end_and_come_again_nothing_comes_twice),
        TEST(what_a_stalled_source_was_to_bring_comes_from_others_in_time),
        TEST(a_note_is_not_held_up_by_a_stalled_source),
        TEST(many_notes_come_from_those_that_bring_them),
        TEST(a_note_goes_before_many_that_are_large),
        TEST(what_one_source_lacks_another_one_brings),
        TEST(what_each_source_lacks_in_part_is_whole_by_all_of_them),
        TEST(what_one_source_forged_comes_from_another_one),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
