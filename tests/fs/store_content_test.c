/* Building from scratch and reading. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/support/content_fixture.h"

enum { BYTES_MAX = 4 << 20 };

static struct content_fixture fixture;
static uint8_t *data, *out;

static int setup(void **state)
{
    (void)state;
    data = calloc(1, BYTES_MAX);
    out = malloc(BYTES_MAX);
    content_fixture_init(&fixture);
    return data == NULL || out == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    content_fixture_fini(&fixture);
    free(data);
    free(out);
    return 0;
}

static uint64_t next_data_in_memory(uint64_t off, uint64_t size)
{
    while (off < size && data[off] == 0)
        off++;
    return off;
}

/* What SEEK_DATA and SEEK_HOLE say is true, and covers the content once. */
static void check_holes(struct content *c, uint64_t size)
{
    uint64_t off = 0;
    while (off < size) {
        uint64_t from, end;
        int rc = content_next_data(c, off, &from);
        if (rc == -ENXIO)
            from = size;
        else
            assert_int_equal(rc, 0);
        assert_true(from >= off && from <= size);
        assert_true(next_data_in_memory(off, from) == from);
        if (rc == -ENXIO)
            break;
        assert_int_equal(content_next_hole(c, from, &end), 0);
        assert_true(end > from && end <= size);
        if (end < size)
            assert_true(next_data_in_memory(end, size) - end >= CONTENT_HOLE_MIN);
        off = end;
    }
    assert_int_equal(content_next_data(c, size, &off), -ENXIO);
    assert_int_equal(content_next_hole(c, size, &off), -ENXIO);
}

static void check_reads(struct content *c, uint64_t size, struct content_random *r)
{
    assert_int_equal(content_size(c), size);
    assert_int_equal(content_read(c, 0, out, BYTES_MAX), size);
    assert_memory_equal(out, data, size);
    assert_int_equal(content_read(c, size, out, 1), 0);
    assert_int_equal(content_read(c, size + 5, out, 1), 0);
    for (int i = 0; i < 50 && size > 0; i++) {
        uint64_t off = content_random_below(r, size);
        size_t n = (size_t)content_random_below(r, i % 2 == 0 ? 5000 : BYTES_MAX / 4);
        ssize_t got = content_read(c, off, out, n);
        assert_int_equal(got, min_u64(n, size - off));
        assert_memory_equal(out, data + off, (size_t)got);
    }
}

/* Builds `data` with and without a source that tells of holes, and reads it back. */
static void check_round_trip(uint64_t size, struct content_random *r)
{
    struct buf a = {0}, b = {0};
    struct content_memory m = {.p = data, .size = size};
    struct content_source plain = content_memory_source(&m, false);
    struct content_source telling = content_memory_source(&m, true);
    content_fixture_build(&fixture, &plain, NULL, &a);
    assert_int_equal(m.read_bytes, size);
    content_fixture_build(&fixture, &telling, NULL, &b);
    assert_true(bytes_equal(buf_bytes(&a), buf_bytes(&b)));
    assert_true(m.read_bytes <= 2 * size);
    assert_int_equal(content_check_body(fixture.db, buf_bytes(&a)), 0);
    struct content *c = content_fixture_open(&fixture, &a);
    check_reads(c, size, r);
    check_holes(c, size);
    content_free(c);
    buf_fini(&a);
    buf_fini(&b);
}

static const uint64_t sizes[] = {
    0,
    1,
    4095,
    CONTENT_INLINE_MAX - 1,
    CONTENT_INLINE_MAX,
    CONTENT_INLINE_MAX + 1,
    CONTENT_CHUNK_MAX - 1,
    CONTENT_CHUNK_MAX,
    CONTENT_CHUNK_MAX + 1,
    2 * CONTENT_CHUNK_MAX,
    2 * CONTENT_CHUNK_MAX + 1,
    (1 << 20) - 1,
    1 << 20,
    (1 << 20) + 1,
    BYTES_MAX,
};

static void build_random_bytes_come_back(void **state)
{
    (void)state;
    struct content_random r = content_random_seeded();
    content_random_fill(&r, data, BYTES_MAX);
    for (size_t i = 0; i < ARRAY_N(sizes); i++)
        check_round_trip(sizes[i], &r);
}

static void build_zeros_come_back(void **state)
{
    (void)state;
    struct content_random r = {1};
    memset(data, 0, BYTES_MAX);
    for (size_t i = 0; i < ARRAY_N(sizes); i++)
        check_round_trip(sizes[i], &r);
}

/* Runs of zeros of every length around the limits, between runs of data. */
static void build_mixed_bytes_come_back(void **state)
{
    (void)state;
    struct content_random r = content_random_seeded();
    for (int round = 0; round < 12; round++) {
        memset(data, 0, BYTES_MAX);
        for (uint64_t off = 0; off < BYTES_MAX;) {
            uint64_t zeros = content_random_below(&r, 3) == 0
                                 ? CONTENT_HOLE_MIN - 2 + content_random_below(&r, 5)
                                 : content_random_below(&r, 2 * CONTENT_HOLE_MIN);
            uint64_t len = content_random_below(&r, round % 2 == 0 ? 300 : 2 * CONTENT_CHUNK_MAX);
            off = min_u64(BYTES_MAX, off + (content_random_below(&r, 4) == 0 ? 0 : zeros));
            len = min_u64(BYTES_MAX - off, len);
            content_random_fill(&r, data + off, len);
            off += len + 1;
        }
        check_round_trip(BYTES_MAX - content_random_below(&r, 2) * content_random_below(&r, 100000),
                         &r);
    }
}

static void build_repeated_bytes_are_stored_once(void **state)
{
    (void)state;
    struct content_random r = {3};
    content_random_fill(&r, data, BYTES_MAX / 2);
    memcpy(data + BYTES_MAX / 2, data, BYTES_MAX / 2);
    check_round_trip(BYTES_MAX, &r);
    struct content_count n = content_fixture_count(&fixture);
    assert_true(n.bytes < BYTES_MAX / 2 + 5 * CONTENT_CHUNK_MAX);
}

/* Pieces so small and so many that there are nodes of nodes. */
static void build_sparse_with_many_pieces_has_levels(void **state)
{
    (void)state;
    enum { N = 40000 };
    struct content_piece *pieces = calloc(N, sizeof *pieces);
    assert_non_null(pieces);
    for (unsigned i = 0; i < N; i++)
        pieces[i] = (struct content_piece){(uint64_t)i << 24, 50 + i % 100, i};
    struct content_sparse s = {pieces, N, (uint64_t)N << 24, 0};
    struct content_source src = content_sparse_source(&s);
    struct buf body = {0};
    content_fixture_build(&fixture, &src, NULL, &body);
    assert_true(s.asked_n < 5 * N);
    struct content_info info;
    assert_int_equal(content_parse(buf_bytes(&body), &info), 0);
    assert_int_equal(info.level, 2);
    assert_int_equal(content_check_body(fixture.db, buf_bytes(&body)), 0);
    struct content *c = content_fixture_open(&fixture, &body);
    for (unsigned i = 0; i < N; i += 7) {
        uint8_t want[150], got[152];
        uint64_t off = pieces[i].off, at;
        size_t n = pieces[i].len;
        assert_int_equal(src.read(&s, off, want, n), 0);
        assert_int_equal(content_read(c, off, got, n + 1), n + 1);
        assert_memory_equal(got, want, n);
        assert_int_equal(got[n], 0);
        assert_int_equal(content_next_hole(c, off, &at), 0);
        assert_int_equal(at, off + n);
        if (i + 1 < N) {
            assert_int_equal(content_next_data(c, at, &at), 0);
            assert_int_equal(at, pieces[i + 1].off);
        }
    }
    content_free(c);
    buf_fini(&body);
    free(pieces);
}

static void build_largest_hole_is_short_body(void **state)
{
    (void)state;
    struct content_piece end = {CONTENT_SIZE_MAX - 1, 1, 5};
    struct content_sparse s = {&end, 0, CONTENT_SIZE_MAX, 0};
    struct content_source src = content_sparse_source(&s);
    struct buf body = {0};
    content_fixture_build(&fixture, &src, NULL, &body);
    assert_true(body.n < 32);
    s.n = 1;
    content_fixture_build(&fixture, &src, NULL, &body);
    struct content *c = content_fixture_open(&fixture, &body);
    uint8_t want, got[2];
    assert_int_equal(src.read(&s, CONTENT_SIZE_MAX - 1, &want, 1), 0);
    assert_int_equal(content_read(c, CONTENT_SIZE_MAX - 2, got, 5), 2);
    assert_int_equal(got[0], 0);
    assert_int_equal(got[1], want);
    content_free(c);
    src.size++;
    uint8_t hash[CONTENT_HASH_BYTES];
    assert_int_equal(content_build(fixture.db, &fixture.keys, &src, NULL, &body, hash), -EFBIG);
    buf_fini(&body);
}

static void build_failing_source_ends_with_its_error(void **state)
{
    (void)state;
    struct content_memory m = {.p = data, .size = BYTES_MAX, .fail = -ENXIO};
    struct content_source src = content_memory_source(&m, false);
    atomic_bool cancel = true;
    struct buf body = {0};
    uint8_t hash[CONTENT_HASH_BYTES];
    assert_int_equal(content_build(fixture.db, &fixture.keys, &src, NULL, &body, hash), -ENXIO);
    m.fail = 0;
    src.cancel = &cancel;
    assert_int_equal(content_build(fixture.db, &fixture.keys, &src, NULL, &body, hash), -ECANCELED);
    assert_null(body.p);
}

static void read_chunk_not_here_is_enodata(void **state)
{
    (void)state;
    struct content_random r = {4};
    content_random_fill(&r, data, BYTES_MAX);
    struct content_memory m = {.p = data, .size = BYTES_MAX};
    struct content_source src = content_memory_source(&m, false);
    struct buf body = {0};
    content_fixture_build(&fixture, &src, NULL, &body);
    assert_int_equal(content_gc(fixture.db, NULL), 0);
    struct content *c = content_fixture_open(&fixture, &body);
    assert_int_equal(content_read(c, 0, out, 10), -ENODATA);
    assert_int_equal(content_check_body(fixture.db, buf_bytes(&body)), -ENODATA);
    content_free(c);
    buf_fini(&body);
}

static void hash_differs_by_body_and_key(void **state)
{
    (void)state;
    struct buf a = {0}, b = {0};
    uint8_t ha[CONTENT_HASH_BYTES], hb[CONTENT_HASH_BYTES];
    struct content_keys other = fixture.keys;
    other.equal[0] ^= 1;
    assert_int_equal(content_inline(bytes_str("same"), &a), 0);
    assert_int_equal(content_inline(bytes_str("samf"), &b), 0);
    content_hash(&fixture.keys, buf_bytes(&a), ha);
    content_hash(&fixture.keys, buf_bytes(&b), hb);
    assert_memory_not_equal(ha, hb, sizeof ha);
    content_hash(&other, buf_bytes(&a), hb);
    assert_memory_not_equal(ha, hb, sizeof ha);
    struct content_memory m = {.p = (const uint8_t *)"same", .size = 4};
    struct content_source src = content_memory_source(&m, false);
    content_fixture_build(&fixture, &src, NULL, &b);
    assert_true(bytes_equal(buf_bytes(&a), buf_bytes(&b)));
    buf_fini(&a);
    buf_fini(&b);
}

struct reader_thread {
    struct content *c;
    uint64_t seed;
    bool ok;
};

static void *read_much(void *arg)
{
    struct reader_thread *t = arg;
    struct content_random r = {t->seed};
    uint8_t *p = malloc(100000);
    t->ok = p != NULL;
    for (int i = 0; t->ok && i < 300; i++) {
        uint64_t off = content_random_below(&r, BYTES_MAX);
        size_t n = (size_t)content_random_below(&r, 100000);
        ssize_t got = content_read(t->c, off, p, n);
        t->ok =
            got == (ssize_t)min_u64(n, BYTES_MAX - off) && memcmp(p, data + off, (size_t)got) == 0;
    }
    free(p);
    return NULL;
}

static void read_by_many_threads_gives_right_bytes(void **state)
{
    (void)state;
    struct content_random r = {5};
    content_random_fill(&r, data, BYTES_MAX);
    struct content_memory m = {.p = data, .size = BYTES_MAX};
    struct content_source src = content_memory_source(&m, false);
    struct buf body = {0};
    content_fixture_build(&fixture, &src, NULL, &body);
    struct content *c = content_fixture_open(&fixture, &body);
    struct reader_thread t[4];
    pthread_t id[ARRAY_N(t)];
    for (size_t i = 0; i < ARRAY_N(t); i++) {
        t[i] = (struct reader_thread){c, i, false};
        assert_int_equal(pthread_create(&id[i], NULL, read_much, &t[i]), 0);
    }
    for (size_t i = 0; i < ARRAY_N(t); i++) {
        pthread_join(id[i], NULL);
        assert_true(t[i].ok);
    }
    content_free(c);
    buf_fini(&body);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(build_random_bytes_come_back),
        TEST(build_zeros_come_back),
        TEST(build_mixed_bytes_come_back),
        TEST(build_repeated_bytes_are_stored_once),
        TEST(build_sparse_with_many_pieces_has_levels),
        TEST(build_largest_hole_is_short_body),
        TEST(build_failing_source_ends_with_its_error),
        TEST(read_chunk_not_here_is_enodata),
        TEST(hash_differs_by_body_and_key),
        TEST(read_by_many_threads_gives_right_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
