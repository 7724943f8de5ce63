/*
 * Chunks that a server passes on while another device puts them: to whom it does, and what a device
 * makes of them, also when the server keeps to no rule.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "fs/space/sync_priv.h"
#include "tests/support/hostile_world.h"
#include "tests/support/session_world.h"

/* ---- the server --------------------------------------------------------------------------------
 */

/* A session that wants chunks ahead, caught up. */
static struct caller start_listener(struct session_world *w, unsigned who)
{
    struct caller d = caller_join(w, who);
    Persist__Open open = PERSIST__OPEN__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    open.space = frame_data(bytes_of(w->at.space, SPACE_ID_SIZE));
    open.passing = true;
    f.kind_case = PERSIST__FRAME__KIND_OPEN;
    f.open = &open;
    assert_true(wire_send(d.end, &f));
    Persist__Frame *opened = wire_wait(d.end, PERSIST__FRAME__KIND_OPENED, WIRE_WAIT_MS);
    assert_non_null(opened);
    frame_free(opened);
    caller_catch_up(&d);
    return d;
}

static void put_chunk(struct caller *d, unsigned number, size_t n)
{
    static uint8_t sealed[CHUNK_SEALED_MAX];
    uint8_t id[CHUNK_ID_SIZE];
    server_chunk_id(number, id);
    assert_true(n <= sizeof sealed);
    assert_true(wire_put_chunk(d->end, ++d->puts, id, bytes_of(sealed, n)));
}

/* The next frame is that chunk. */
static void expect_passing(struct caller *d, unsigned number, size_t n)
{
    uint8_t id[CHUNK_ID_SIZE];
    server_chunk_id(number, id);
    Persist__Frame *f = wire_next(d->end, WIRE_WAIT_MS);
    assert_true(f != NULL && f->kind_case == PERSIST__FRAME__KIND_PASSING);
    assert_memory_equal(f->passing->id.data, id, CHUNK_ID_SIZE);
    assert_int_equal(f->passing->sealed.len, n);
    frame_free(f);
}

static void a_chunk_is_passed_on_before_an_entry_names_it(void **state)
{
    struct session_world *w = *state;
    struct caller a = caller_start(w, ANNA_1, NULL);
    caller_fill(w, &a, 1);
    struct caller b = start_listener(w, ANNA_2);
    struct caller c = caller_start(w, ANNA_3, NULL); /* did not ask for that */
    struct caller ben = start_listener(w, BEN);      /* of another account */
    caller_catch_up(&c);
    put_chunk(&a, 1, 8000);
    expect_passing(&b, 1, 8000);
    put_chunk(&a, 1, 8000); /* it is there already */
    put_chunk(&a, 2, 100000);
    expect_passing(&b, 2, 100000);
    caller_wait_done(&a);
    put_chunk(&b, 3, 9000); /* one's own does not come back */
    caller_wait_done(&b);
    assert_int_equal(server_process_metric(&w->server, "passed_chunks_total"), 2);
    assert_null(wire_next(c.end, 100));
    assert_null(wire_next(ben.end, 1));
    struct caller *const all[] = {&a, &b, &c, &ben};
    for (size_t i = 0; i < ARRAY_N(all); i++)
        caller_end(all[i]);
}

static void say_passed(struct caller *d, uint64_t bytes)
{
    Persist__Passed p = PERSIST__PASSED__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    p.bytes = bytes;
    f.kind_case = PERSIST__FRAME__KIND_PASSED;
    f.passed = &p;
    assert_true(wire_send(d->end, &f));
}

static void no_more_is_passed_on_than_a_device_takes(void **state)
{
    struct session_world *w = *state;
    enum { FIT = FRAME_PASSING_WINDOW / CHUNK_SEALED_MAX, N = 20 };
    struct caller a = caller_start(w, ANNA_1, NULL);
    caller_fill(w, &a, 1);
    struct caller b = start_listener(w, ANNA_2);
    wire_end_pause(b.end, true);
    for (unsigned i = 0; i < N; i++)
        put_chunk(&a, i, CHUNK_SEALED_MAX);
    caller_wait_done(&a); /* whatever b does */
    assert_int_equal(server_process_metric(&w->server, "passed_chunks_total"), FIT);
    wire_end_pause(b.end, false);
    for (unsigned i = 0; i < FIT; i++)
        expect_passing(&b, i, CHUNK_SEALED_MAX);
    /* What was left out is there for those who ask. */
    uint8_t id[CHUNK_ID_SIZE];
    server_chunk_id(N - 1, id);
    assert_true(wire_get_chunks(b.end, bytes_of(id, sizeof id)));
    Persist__Frame *f = wire_next(b.end, WIRE_WAIT_MS);
    assert_true(f != NULL && f->kind_case == PERSIST__FRAME__KIND_CHUNK);
    assert_int_equal(f->chunk->sealed.len, CHUNK_SEALED_MAX);
    frame_free(f);
    say_passed(&b, 2 * CHUNK_SEALED_MAX);
    assert_true(wire_ask_chunks(b.end, bytes_of(id, sizeof id)));
    frame_free(wire_wait(b.end, PERSIST__FRAME__KIND_MISSING_CHUNKS, WIRE_WAIT_MS));
    for (unsigned i = N; i < N + 3; i++)
        put_chunk(&a, i, CHUNK_SEALED_MAX);
    expect_passing(&b, N, CHUNK_SEALED_MAX);
    expect_passing(&b, N + 1, CHUNK_SEALED_MAX);
    assert_null(wire_next(b.end, 200));
    say_passed(&b, FIT * CHUNK_SEALED_MAX + 1); /* more than it was sent */
    caller_expect_end(&b, PERSIST__CODE__CODE_PROTOCOL);
    buf_fini(&b.run);
    caller_end(&a);
}

/* ---- devices -----------------------------------------------------------------------------------
 */

enum { BIG = 300000 };

static struct sync_meet w;
static struct online on[DEVICES];
static struct hostile_server bad, good;

static struct hostile_world world = {&w, on, &bad, &good};

static void start(size_t i, const struct hostile_server *s)
{
    const char *urls[] = {s->url};
    online_start(&on[i], &w.d[i], (unsigned)i + 1, urls, ARRAY_N(urls));
}

static void fill_big(uint8_t big[BIG])
{
    const uint8_t key[randombytes_SEEDBYTES] = {1};
    randombytes_buf_deterministic(big, BIG, key);
}

static bool has_big(void *arg)
{
    static uint8_t big[BIG], got[BIG + 1];
    uint64_t ino = device_ino(&w.d[BERT], "big");
    (void)arg;
    fill_big(big);
    return ino != 0 && tree_read_unseen(w.d[BERT].s->tree, ino, 0, got, sizeof got) == BIG &&
           memcmp(got, big, BIG) == 0;
}

static bool has_note(void *arg)
{
    (void)arg;
    return device_ino(&w.d[BERT], "note") != 0;
}

/* Anna's big file is at the good server; she is off, and bert at the bad one, which has nothing. */
static void begin(void)
{
    static uint8_t big[BIG];
    fill_big(big);
    start(ANNA, &good);
    device_save(&w.d[ANNA], "big", big, sizeof big);
    assert_int_equal(publisher_flush(w.d[ANNA].s), 0);
    online_sync(&on[ANNA]);
    online_stop(&on[ANNA]);
    assert_true(good.chunks_n > 2);
    start(BERT, &bad);
    online_sync(&on[BERT]);
}

static void say_passing(const struct chunk_id *id, struct bytes sealed)
{
    struct buf b CLEANUP(buf_fini) = {0};
    Persist__SealedChunk c = PERSIST__SEALED_CHUNK__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    c.id = frame_data(bytes_of(id->b, CHUNK_ID_SIZE));
    c.sealed = frame_data(sealed);
    f.kind_case = PERSIST__FRAME__KIND_PASSING;
    f.passing = &c;
    assert_int_equal(frame_encode(&f, &b), 0);
    hostile_server_say(&bad, buf_bytes(&b));
}

static void say_all(void)
{
    for (size_t i = 0; i < good.chunks_n; i++)
        say_passing(&good.chunks[i].id, buf_bytes(&good.chunks[i].forms[0]));
}

/* The bad server has Anna's entries now, and of the chunks all or none. */
static void show_entries(bool with_chunks)
{
    hostile_server_lock(&bad);
    hostile_server_copy(&bad, &good);
    if (!with_chunks)
        hostile_server_cut(&bad, bad.items_n, 0);
    hostile_server_unlock(&bad);
}

static uint64_t ahead(void)
{
    struct sync *y = w.d[BERT].s->sync;
    pthread_mutex_lock(&y->incoming_lock);
    uint64_t n = y->ahead_bytes;
    pthread_mutex_unlock(&y->incoming_lock);
    return n;
}

static bool ahead_is(void *arg)
{
    return ahead() == *(const uint64_t *)arg;
}

static void expect_ahead(uint64_t n)
{
    online_wait(ahead_is, &n, "so many bytes of chunks that nothing names");
}

static void what_came_ahead_is_not_asked_for(void **state)
{
    (void)state;
    begin();
    say_all();
    expect_ahead(BIG);
    assert_int_equal(device_ino(&w.d[BERT], "big"), 0);
    say_all(); /* what is here is not kept twice */
    show_entries(false);
    online_wait(has_big, NULL, "the file");
    expect_ahead(0);
}

static void false_chunks_that_come_ahead_do_nothing(void **state)
{
    (void)state;
    struct chunk_id other;
    memset(&other, 7, sizeof other);
    begin();
    for (size_t i = 0; i < good.chunks_n; i++) {
        struct buf b CLEANUP(buf_fini) = {0};
        const struct hostile_chunk *c = &good.chunks[i];
        say_passing(&other, buf_bytes(&c->forms[0]));
        say_passing(&c->id, bytes_of(c->forms[0].p, c->forms[0].n - 1));
        buf_put_bytes(&b, buf_bytes(&c->forms[0]));
        b.p[b.n / 2] ^= 1;
        say_passing(&c->id, buf_bytes(&b));
    }
    show_entries(true); /* the session goes on */
    online_wait(has_big, NULL, "the file");
    assert_int_equal(ahead(), 0);
}

static void chunks_that_nothing_names_do_not_fill_the_disk(void **state)
{
    (void)state;
    begin();
    struct sync *y = w.d[BERT].s->sync;
    pthread_mutex_lock(&y->incoming_lock);
    y->ahead_bytes = SYNC_AHEAD_MAX - 1;
    pthread_mutex_unlock(&y->incoming_lock);
    say_all();
    show_entries(true);
    online_wait(has_big, NULL, "the file"); /* by asking */
    expect_ahead(SYNC_AHEAD_MAX - 1 - BIG);
}

static bool waits_for_content(void *arg)
{
    struct sync_counts counts;
    (void)arg;
    space_sync_counts(w.d[BERT].s, &counts);
    return counts.content_waiting == 1;
}

/* However long it takes: content is fetched, and shown, when the tree is there. */
static void content_is_fetched_after_the_list_of_changes(void **state)
{
    enum { LINGER_MS = 300 };
    (void)state;
    begin();
    online_stop(&on[BERT]);
    hostile_server_lock(&bad);
    bad.ways.goes_on = true;
    hostile_server_unlock(&bad);
    show_entries(true);
    start(BERT, &bad);
    online_wait(waits_for_content, NULL, "an entry that waits for content");
    nanosleep(&(struct timespec){.tv_nsec = LINGER_MS * 1000000L}, NULL);
    assert_int_equal(device_ino(&w.d[BERT], "big"), 0);
    hostile_server_lock(&bad);
    unsigned early = bad.early;
    bad.ways.goes_on = false;
    hostile_server_unlock(&bad);
    assert_int_equal(early, 0);
    online_wait(has_big, NULL, "the file");
}

/* ---- while a file is being cut -----------------------------------------------------------------
 */

enum { CUT_BYTES = 6 << 20 };

static int read_random(void *arg, uint64_t off, void *p, size_t n)
{
    const uint8_t *bytes = arg;
    memcpy(p, bytes + off, n);
    return 0;
}

static void give_fresh(void *arg, struct bytes ids)
{
    (void)arg;
    sync_put_fresh(w.d[ANNA].s, ids);
}

static bool has_fresh(void *arg)
{
    (void)arg;
    hostile_server_lock(&good);
    size_t n = good.chunks_n;
    hostile_server_unlock(&good);
    return n > 30;
}

/* No change is made of them: what is at the server came from the build alone. */
static void chunks_of_a_file_that_is_being_cut_are_put_already(void **state)
{
    (void)state;
    uint8_t *bytes = malloc(CUT_BYTES), hash[CONTENT_HASH_BYTES];
    struct buf body = {0};
    struct content_source src = {
        .size = CUT_BYTES, .read = read_random, .stored = give_fresh, .arg = bytes};
    assert_non_null(bytes);
    randombytes_buf(bytes, CUT_BYTES);
    start(ANNA, &good);
    online_sync(&on[ANNA]);
    assert_int_equal(content_build(w.d[ANNA].s->db, &w.d[ANNA].s->keys, &src, NULL, &body, hash),
                     0);
    online_wait(has_fresh, NULL, "chunks at the server");
    buf_fini(&body);
    free(bytes);
}

/* A server that never gives a chunk: that file waits, and nothing else does. */
static void a_chunk_that_never_comes_keeps_back_its_file_alone(void **state)
{
    (void)state;
    struct sync_counts counts;
    begin();
    say_passing(&good.chunks[0].id, buf_bytes(&good.chunks[0].forms[0]));
    show_entries(false);
    hostile_server_lock(&good);
    size_t n = good.items_n;
    hostile_server_unlock(&good);
    start(ANNA, &good);
    device_save_text(&w.d[ANNA], "note", "small");
    assert_int_equal(publisher_flush(w.d[ANNA].s), 0);
    online_sync(&on[ANNA]);
    online_stop(&on[ANNA]);
    hostile_server_lock(&bad);
    for (; n < good.items_n; n++)
        (void)hostile_server_add(&bad, good.items[n].is_act, buf_bytes(&good.items[n].bytes));
    hostile_server_unlock(&bad);
    online_wait(has_note, NULL, "the note");
    assert_int_equal(device_ino(&w.d[BERT], "big"), 0);
    space_sync_counts(w.d[BERT].s, &counts);
    assert_int_equal(counts.content_waiting, 1);
    assert_int_equal(counts.content_bytes, BIG);
}

int main(void)
{
#define AT_SERVER(test)                                                                            \
    cmocka_unit_test_setup_teardown(test, session_world_setup, session_world_teardown)
#define ON_DEVICES(test) HOSTILE_WORLD_TEST(test, &world)
    const struct CMUnitTest tests[] = {
        AT_SERVER(a_chunk_is_passed_on_before_an_entry_names_it),
        AT_SERVER(no_more_is_passed_on_than_a_device_takes),
        ON_DEVICES(content_is_fetched_after_the_list_of_changes),
        ON_DEVICES(what_came_ahead_is_not_asked_for),
        ON_DEVICES(false_chunks_that_come_ahead_do_nothing),
        ON_DEVICES(chunks_that_nothing_names_do_not_fill_the_disk),
        ON_DEVICES(chunks_of_a_file_that_is_being_cut_are_put_already),
        ON_DEVICES(a_chunk_that_never_comes_keeps_back_its_file_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
