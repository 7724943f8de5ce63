/* References: what is referred to stays, what is not goes, whatever order things happen in. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fs/store/chunk.h"
#include "tests/support/content_fixture.h"

enum { BYTES_MAX = 12 << 20 };

static struct content_fixture fixture;
static uint8_t *data;

static int setup(void **state)
{
    (void)state;
    struct content_random r = {11};
    data = calloc(1, BYTES_MAX);
    if (data == NULL)
        return -1;
    content_random_fill(&r, data, BYTES_MAX);
    content_fixture_init(&fixture);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    content_fixture_fini(&fixture);
    free(data);
    return 0;
}

static void build(uint64_t size, struct buf *ret_body)
{
    struct content_memory m = {.p = data, .size = size};
    struct content_source src = content_memory_source(&m, false);
    content_fixture_build(&fixture, &src, NULL, ret_body);
}

static void assert_empty(void)
{
    struct content_count n = content_fixture_count(&fixture);
    assert_int_equal(n.chunks + n.nodes + n.refs, 0);
    struct db_iter *it = db_iter_new(fixture.db, DB_META, chunk_free_prefix(), NULL);
    assert_non_null(it);
    assert_false(db_iter_next(it));
    db_iter_free(it);
    it = db_iter_new(fixture.db, DB_CHUNK, bytes_of(NULL, 0), NULL);
    assert_non_null(it);
    assert_false(db_iter_next(it));
    db_iter_free(it);
}

static bool whole(const struct buf *body)
{
    int rc = content_check_body(fixture.db, buf_bytes(body));
    assert_true(rc == 0 || rc == -ENODATA);
    return rc == 0;
}

static void sweep_unreferred_content_goes_wholly(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {100, 100000, BYTES_MAX};
    for (size_t i = 0; i < ARRAY_N(sizes); i++) {
        struct buf body = {0};
        build(sizes[i], &body);
        content_fixture_ref(&fixture, &body, "one");
        assert_int_equal(content_sweep(fixture.db, NULL), 0);
        assert_int_equal(content_gc(fixture.db, NULL), 0);
        assert_true(whole(&body));
        content_fixture_unref(&fixture, &body, "one");
        assert_int_equal(content_sweep(fixture.db, NULL), 0);
        assert_empty();
        buf_fini(&body);
    }
}

static void sweep_shared_chunks_stay(void **state)
{
    (void)state;
    struct buf a = {0}, b = {0};
    build(BYTES_MAX, &a);
    content_fixture_ref(&fixture, &a, "a");
    content_fixture_ref(&fixture, &a, "a again");
    data[BYTES_MAX / 2] ^= 1;
    build(BYTES_MAX, &b);
    content_fixture_ref(&fixture, &b, "b");
    content_fixture_unref(&fixture, &a, "a");
    assert_int_equal(content_sweep(fixture.db, NULL), 0);
    assert_true(whole(&a) && whole(&b));
    content_fixture_unref(&fixture, &a, "a again");
    assert_int_equal(content_sweep(fixture.db, NULL), 0);
    assert_true(!whole(&a) && whole(&b));
    content_fixture_unref(&fixture, &b, "b");
    assert_int_equal(content_sweep(fixture.db, NULL), 0);
    assert_empty();
    buf_fini(&a);
    buf_fini(&b);
}

static void sweep_chunk_referred_to_again_stays(void **state)
{
    (void)state;
    struct buf body = {0};
    build(BYTES_MAX, &body);
    content_fixture_ref(&fixture, &body, "old");
    content_fixture_unref(&fixture, &body, "old");
    build(BYTES_MAX, &body); /* puts nothing: all is still there */
    content_fixture_ref(&fixture, &body, "new");
    assert_int_equal(content_sweep(fixture.db, NULL), 0);
    assert_true(whole(&body));
    buf_fini(&body);
}

static bool stop_after(void *arg, uint64_t done_n)
{
    (void)done_n;
    int *left = arg;
    return (*left)-- > 0;
}

static void sweep_stopped_goes_on_later(void **state)
{
    (void)state;
    struct content_piece pieces[3000];
    for (unsigned i = 0; i < ARRAY_N(pieces); i++)
        pieces[i] = (struct content_piece){(uint64_t)i << 20, 20, i};
    struct content_sparse s = {pieces, ARRAY_N(pieces), (uint64_t)ARRAY_N(pieces) << 20, 0};
    struct content_source src = content_sparse_source(&s);
    struct buf body = {0};
    content_fixture_build(&fixture, &src, NULL, &body);
    content_fixture_ref(&fixture, &body, "v");
    content_fixture_unref(&fixture, &body, "v");
    int left = 2, stops = 0;
    struct content_progress progress = {stop_after, &left};
    while (content_sweep(fixture.db, &progress) == -ECANCELED) {
        left = 2;
        stops++;
    }
    assert_in_range(stops, 2, 100);
    assert_empty();
    buf_fini(&body);
}

static void gc_build_without_reference_goes(void **state)
{
    (void)state;
    struct buf kept = {0}, lost = {0};
    build(BYTES_MAX / 2, &kept);
    content_fixture_ref(&fixture, &kept, "kept");
    build(BYTES_MAX, &lost);
    assert_int_equal(content_sweep(fixture.db, NULL), 0);
    assert_true(whole(&lost)); /* nobody took a reference away */
    assert_int_equal(content_gc(fixture.db, NULL), 0);
    assert_true(whole(&kept) && !whole(&lost));
    content_fixture_unref(&fixture, &kept, "kept");
    assert_int_equal(content_gc(fixture.db, NULL), 0);
    assert_empty();
    buf_fini(&kept);
    buf_fini(&lost);
}

static int first_id(void *arg, const uint8_t id[CONTENT_ID_BYTES])
{
    memcpy(arg, id, CONTENT_ID_BYTES);
    return 1;
}

static void gc_node_dropped_children_wait_for_it(void **state)
{
    (void)state;
    struct buf body = {0};
    uint8_t id[CONTENT_ID_BYTES];
    build(BYTES_MAX, &body);
    content_fixture_ref(&fixture, &body, "v");
    assert_int_equal(content_body_ids(buf_bytes(&body), first_id, id), 1);
    assert_true(content_id_is_node(id));
    struct content_count before = content_fixture_count(&fixture);
    assert_int_equal(content_drop_chunk(fixture.db, id), 0);
    assert_false(whole(&body));
    assert_int_equal(content_gc(fixture.db, NULL), 0);
    struct content_count after = content_fixture_count(&fixture);
    assert_int_equal(after.chunks, before.chunks);
    /* Nobody wants the node any more: now what it referred to goes, too. */
    content_fixture_unref(&fixture, &body, "v");
    assert_int_equal(content_gc(fixture.db, NULL), 0);
    assert_empty();
    buf_fini(&body);
}

/* Versions come and go in any order; those that are there are whole, and at the end nothing is. */
static void random_versions_live_as_long_as_referred(void **state)
{
    (void)state;
    enum { VERSIONS = 6 };
    struct content_random r = content_random_seeded();
    struct buf body[VERSIONS] = {{0}};
    for (int round = 0; round < 60; round++) {
        size_t i = (size_t)content_random_below(&r, VERSIONS);
        char name[8];
        snprintf(name, sizeof name, "v%zu", i);
        if (body[i].n > 0) {
            content_fixture_unref(&fixture, &body[i], name);
            buf_fini(&body[i]);
        } else {
            uint64_t at = content_random_below(&r, BYTES_MAX - 10);
            content_random_fill(&r, data + at, 10);
            build(BYTES_MAX - content_random_below(&r, BYTES_MAX / 2), &body[i]);
            content_fixture_ref(&fixture, &body[i], name);
        }
        if (content_random_below(&r, 3) == 0)
            assert_int_equal(content_sweep(fixture.db, NULL), 0);
        if (content_random_below(&r, 9) == 0)
            assert_int_equal(content_gc(fixture.db, NULL), 0);
        for (size_t k = 0; k < VERSIONS; k++)
            assert_true(body[k].n == 0 || whole(&body[k]));
    }
    for (size_t i = 0; i < VERSIONS; i++) {
        char name[8];
        snprintf(name, sizeof name, "v%zu", i);
        if (body[i].n > 0)
            content_fixture_unref(&fixture, &body[i], name);
        buf_fini(&body[i]);
    }
    assert_int_equal(content_sweep(fixture.db, NULL), 0);
    assert_empty();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(sweep_unreferred_content_goes_wholly),     TEST(sweep_shared_chunks_stay),
        TEST(sweep_chunk_referred_to_again_stays),      TEST(sweep_stopped_goes_on_later),
        TEST(gc_build_without_reference_goes),          TEST(gc_node_dropped_children_wait_for_it),
        TEST(random_versions_live_as_long_as_referred),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
