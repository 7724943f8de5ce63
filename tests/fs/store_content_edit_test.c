/* Building on a base: the same body as from scratch, for a cost in proportion to the change. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/support/content_fixture.h"

enum { BYTES_MAX = 32 << 20, DIRTY_MAX = 16 };

static struct content_fixture fixture;
static uint8_t *data;

static int setup(void **state)
{
    (void)state;
    data = calloc(1, BYTES_MAX);
    content_fixture_init(&fixture);
    return data == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    content_fixture_fini(&fixture);
    free(data);
    return 0;
}

struct edit {
    uint64_t size;
    struct content_range dirty[DIRTY_MAX];
    size_t dirty_n;
};

static int by_off(const void *a, const void *b)
{
    const struct content_range *x = a, *y = b;
    return (x->off > y->off) - (x->off < y->off);
}

static void mark(struct edit *e, uint64_t off, uint64_t end)
{
    assert_true(e->dirty_n < DIRTY_MAX);
    e->dirty[e->dirty_n++] = (struct content_range){off, end};
    qsort(e->dirty, e->dirty_n, sizeof e->dirty[0], by_off);
}

/* One change to the content in `data`, of a random kind and place, as a file system would do it. */
static void change(struct edit *e, uint64_t size_max, struct content_random *r)
{
    static const uint64_t lens[] = {1, 100, 4096, 70000, 300000, 1000000};
    uint64_t len = 1 + content_random_below(r, lens[content_random_below(r, ARRAY_N(lens))]);
    uint64_t off = content_random_below(r, e->size + 1);
    uint64_t kind = content_random_below(r, 10);
    if (kind < 6) { /* overwrite with data, or zeros */
        len = min_u64(len, size_max - off);
        if (kind < 4)
            content_random_fill(r, data + off, len);
        else
            memset(data + off, 0, len);
        e->size = max_u64(e->size, off + len);
        mark(e, off, off + len);
    } else if (kind < 8) { /* append */
        off = e->size;
        len = min_u64(len, size_max - off);
        content_random_fill(r, data + off, len);
        e->size += len;
        mark(e, off, e->size);
    } else if (kind < 9) { /* truncate */
        uint64_t size = e->size - min_u64(e->size, len);
        memset(data + size, 0, e->size - size);
        mark(e, size, e->size);
        e->size = size;
    } else { /* extend by zeros */
        len = min_u64(len, size_max - e->size);
        mark(e, e->size, e->size + len);
        e->size += len;
    }
}

/* Builds on the base, and from scratch in a database of its own: the bodies are equal. */
static void check_edit(const struct buf *base, const struct edit *e, bool tells_holes,
                       struct buf *ret_body)
{
    struct content *c = content_fixture_open(&fixture, base);
    struct content_edit edit = {c, e->dirty, e->dirty_n};
    struct content_memory m = {.p = data, .size = e->size};
    struct content_source src = content_memory_source(&m, tells_holes);
    struct buf body = {0}, scratch = {0};
    content_fixture_build(&fixture, &src, &edit, &body);
    content_free(c);
    src = content_memory_source(&m, false);
    content_fixture_build(&fixture, &src, NULL, &scratch);
    assert_true(bytes_equal(buf_bytes(&body), buf_bytes(&scratch)));
    assert_int_equal(content_check_body(fixture.db, buf_bytes(&body)), 0);
    buf_fini(&scratch);
    buf_fini(ret_body);
    *ret_body = body;
}

static void random_edits(uint64_t size_max, int rounds, uint64_t start_holes)
{
    struct content_random r = content_random_seeded();
    struct edit e = {.size = size_max / 2};
    content_random_fill(&r, data, e.size);
    for (uint64_t i = 0; i < start_holes; i++) {
        uint64_t off = content_random_below(&r, e.size);
        memset(data + off, 0, min_u64(e.size - off, content_random_below(&r, 1500000)));
    }
    struct content_memory m = {.p = data, .size = e.size};
    struct content_source src = content_memory_source(&m, false);
    struct buf body = {0};
    content_fixture_build(&fixture, &src, NULL, &body);
    for (int i = 0; i < rounds; i++) {
        e.dirty_n = 0;
        for (uint64_t n = 1 + content_random_below(&r, 4); n > 0; n--)
            change(&e, size_max, &r);
        check_edit(&body, &e, i % 2 == 0, &body);
    }
    buf_fini(&body);
}

static void edit_random_of_small_content_is_as_from_scratch(void **state)
{
    (void)state;
    random_edits(200000, 150, 0);
}

static void edit_random_with_holes_is_as_from_scratch(void **state)
{
    (void)state;
    random_edits(6 << 20, 80, 5);
}

/* Large enough for list nodes, which come and go around this size. */
static void edit_random_with_nodes_is_as_from_scratch(void **state)
{
    (void)state;
    random_edits(16 << 20, 12, 4);
    random_edits(BYTES_MAX, 6, 0);
}

/* Ends that fall on the borders of chunks, where a cut and an end are easily taken for each other.
 */
static void edit_truncate_at_chunk_borders_is_as_from_scratch(void **state)
{
    (void)state;
    struct content_random r = {9};
    struct edit e = {.size = 10 << 20};
    content_random_fill(&r, data, e.size);
    memset(data + (3 << 20), 0, 1 << 20);
    struct content_memory m = {.p = data, .size = e.size};
    struct content_source src = content_memory_source(&m, false);
    struct buf body = {0}, shorter = {0};
    content_fixture_build(&fixture, &src, NULL, &body);
    struct content *c = content_fixture_open(&fixture, &body);
    uint64_t hole, border;
    assert_int_equal(content_next_hole(c, 0, &hole), 0);
    assert_int_equal(content_next_data(c, hole, &border), 0);
    content_free(c);
    const uint64_t ends[] = {
        hole - 1, hole,       hole + 1, hole + CONTENT_HOLE_MIN - 1, hole + CONTENT_HOLE_MIN,
        border,   border + 1, 10 << 20};
    for (size_t i = 0; i < ARRAY_N(ends); i++) {
        e = (struct edit){.size = ends[i]};
        check_edit(&body, &e, false, &shorter); /* no dirty range: the size says it */
        struct edit back = {.size = 10 << 20};
        mark(&back, ends[i], back.size);
        check_edit(&shorter, &back, false, &shorter);
    }
    buf_fini(&body);
    buf_fini(&shorter);
}

/* Content that is generated, with some of its bytes overwritten. */
struct large {
    struct content_sparse under;
    struct content_range dirty;
    uint64_t read_bytes;
};

static int large_read(void *arg, uint64_t off, void *p, size_t n)
{
    struct large *l = arg;
    struct content_source under = content_sparse_source(&l->under);
    uint8_t *q = p;
    l->read_bytes += n;
    int rc = under.read(under.arg, off, p, n);
    for (size_t i = 0; i < n; i++)
        if (off + i >= l->dirty.off && off + i < l->dirty.end)
            q[i] = (uint8_t)(q[i] + 1);
    return rc;
}

static void edit_small_change_of_large_content_costs_little(void **state)
{
    (void)state;
    struct content_piece all = {0, 128 << 20, 17};
    struct large l = {.under = {&all, 1, all.len, 0}};
    struct content_source src = {.size = all.len, .read = large_read, .arg = &l};
    struct buf base = {0}, body = {0};
    content_fixture_build(&fixture, &src, NULL, &base);
    struct content_count before = content_fixture_count(&fixture);
    assert_true(before.nodes > 3);
    for (uint64_t at = 0; at < all.len; at += 37 << 20) {
        struct content *c = content_fixture_open(&fixture, &base);
        l.dirty = (struct content_range){at, at + 4096};
        l.read_bytes = 0;
        struct content_edit edit = {c, &l.dirty, 1};
        content_fixture_build(&fixture, &src, &edit, &body);
        content_free(c);
        assert_true(l.read_bytes <= 1 << 20);
        struct content_count after = content_fixture_count(&fixture);
        assert_true(after.chunks - before.chunks <= 5);
        assert_true(after.nodes - before.nodes <= 3);
        before = after;
        assert_int_equal(content_check_body(fixture.db, buf_bytes(&body)), 0);
    }
    buf_fini(&base);
    buf_fini(&body);
}

static void edit_in_terabyte_hole_reads_next_to_nothing(void **state)
{
    (void)state;
    const uint64_t size = UINT64_C(1) << 40;
    struct content_sparse none = {NULL, 0, size, 0};
    struct content_source empty = content_sparse_source(&none);
    struct buf body = {0}, scratch = {0};
    content_fixture_build(&fixture, &empty, NULL, &body);
    struct content *c = content_fixture_open(&fixture, &body);
    struct content_piece piece = {size / 2 + 12345, 5000, 1};
    struct large l = {.under = {&piece, 1, size, 0}};
    struct content_source src = {.size = size, .read = large_read, .arg = &l};
    struct content_range dirty = {piece.off, piece.off + piece.len};
    struct content_edit edit = {c, &dirty, 1};
    content_fixture_build(&fixture, &src, &edit, &body); /* the source tells nothing of holes */
    assert_true(l.read_bytes <= 1 << 20);
    content_free(c);
    src = content_sparse_source(&l.under);
    content_fixture_build(&fixture, &src, NULL, &scratch);
    assert_true(bytes_equal(buf_bytes(&body), buf_bytes(&scratch)));
    buf_fini(&body);
    buf_fini(&scratch);
}

/* Nodes of nodes: edits among tens of thousands of small pieces. */
static void edit_content_of_many_levels_is_as_from_scratch(void **state)
{
    (void)state;
    enum { N = 50000 };
    struct content_random r = content_random_seeded();
    struct content_piece *pieces = calloc(N, sizeof *pieces);
    assert_non_null(pieces);
    for (unsigned i = 0; i < N; i++)
        pieces[i] = (struct content_piece){(uint64_t)i << 20, 8, i};
    struct content_sparse s = {pieces, N, (uint64_t)N << 20, 0};
    struct content_source src = content_sparse_source(&s);
    struct buf body = {0}, next = {0}, scratch = {0};
    content_fixture_build(&fixture, &src, NULL, &body);
    for (int round = 0; round < 6; round++) {
        struct content_range dirty[3];
        uint64_t i = content_random_below(&r, N / 4);
        for (size_t k = 0; k < ARRAY_N(dirty); k++, i += 1 + content_random_below(&r, N / 4)) {
            pieces[i].seed = content_random_u64(&r);
            dirty[k] = (struct content_range){pieces[i].off, pieces[i].off + pieces[i].len};
        }
        if (round % 2 == 1) { /* and shorter by some */
            s.n -= 1 + content_random_below(&r, 3000);
            src.size = s.size = pieces[s.n - 1].off + 100;
        }
        struct content *c = content_fixture_open(&fixture, &body);
        struct content_edit edit = {c, dirty, ARRAY_N(dirty)};
        s.asked_n = 0;
        content_fixture_build(&fixture, &src, &edit, &next);
        assert_true(s.asked_n < 100);
        content_free(c);
        content_fixture_build(&fixture, &src, NULL, &scratch);
        assert_true(bytes_equal(buf_bytes(&next), buf_bytes(&scratch)));
        struct buf t = body;
        body = next;
        next = t;
    }
    buf_fini(&body);
    buf_fini(&next);
    buf_fini(&scratch);
    free(pieces);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(edit_random_of_small_content_is_as_from_scratch),
        TEST(edit_random_with_holes_is_as_from_scratch),
        TEST(edit_random_with_nodes_is_as_from_scratch),
        TEST(edit_truncate_at_chunk_borders_is_as_from_scratch),
        TEST(edit_small_change_of_large_content_costs_little),
        TEST(edit_in_terabyte_hole_reads_next_to_nothing),
        TEST(edit_content_of_many_levels_is_as_from_scratch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
