/* Content from other devices, honest and hostile, and the verification of what is stored. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fs/store/chunk.h"
#include "fs/store/list.h"
#include "tests/support/content_fixture.h"

enum { BYTES = 12 << 20 };

static struct content_fixture here, there;
static uint8_t *data;

static int setup(void **state)
{
    (void)state;
    struct content_random r = {12};
    data = calloc(1, BYTES);
    if (data == NULL)
        return -1;
    content_random_fill(&r, data, BYTES);
    content_fixture_init(&here);
    content_fixture_init(&there);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    content_fixture_fini(&here);
    content_fixture_fini(&there);
    free(data);
    return 0;
}

static void build(struct content_fixture *f, struct buf *ret_body)
{
    struct content_memory m = {.p = data, .size = BYTES};
    struct content_source src = content_memory_source(&m, false);
    content_fixture_build(f, &src, NULL, ret_body);
}

struct wanted {
    struct content_need need[64];
    uint8_t id[64][CONTENT_ID_BYTES];
    size_t n, max;
};

static int want(void *arg, const struct content_need *need)
{
    struct wanted *w = arg;
    memcpy(w->id[w->n], need->id, CONTENT_ID_BYTES);
    w->need[w->n] = *need;
    w->need[w->n].id = w->id[w->n];
    return ++w->n == w->max ? 1 : 0;
}

static void fetch(const uint8_t *id)
{
    struct db_value v;
    assert_int_equal(content_get_chunk(here.db, id, &v), 0);
    assert_int_equal(content_put_chunk(there.db, &there.keys, id, v.v), 0);
    db_value_fini(&v);
}

/* Gives what is missing of a body, without its ids; its bytes. */
static uint64_t put_unnamed(struct content_put *put, const struct buf *body)
{
    uint64_t bytes = 0;
    struct wanted w = {.max = 1};
    for (uint64_t from = 0; content_missing(there.db, buf_bytes(body), from, want, &w) == 1;
         w.n = 0) {
        struct db_value v;
        assert_int_equal(content_get_chunk(here.db, w.id[0], &v), 0);
        assert_int_equal(content_put_new_one(put, &there.keys, w.need[0].level > 0, v.v), 0);
        bytes += v.v.n;
        db_value_fini(&v);
        from = w.need[0].off + w.need[0].len;
    }
    return bytes;
}

static void chunks_without_ids_are_stored_under_them(void **state)
{
    (void)state;
    CLEANUP(buf_fini) struct buf body = {0};
    struct content_put *put;
    build(&here, &body);
    assert_int_equal(content_put_new(there.db, &put), 0);
    for (uint64_t bytes; (bytes = put_unnamed(put, &body)) > 0;) {
        assert_int_equal(put_unnamed(put, &body), bytes); /* again: it is not kept twice */
        assert_int_equal(content_put_flush(put), 0);
        assert_int_equal(content_put_known(put), bytes);
        assert_int_equal(content_put_known(put), 0);
    }
    assert_int_equal(content_check_body(there.db, buf_bytes(&body)), 0);
    content_put_free(put);
}

static void missing_chunks_are_fetched_once(void **state)
{
    (void)state;
    struct buf body = {0};
    build(&here, &body);
    memset(data + BYTES / 2, 'x', 100000);
    struct buf other = {0};
    build(&there, &other); /* has much of it already */
    content_fixture_ref(&there, &body, "v");
    size_t before = content_fixture_count(&there).chunks, fetched = 0;
    for (uint64_t from = 0;;) {
        struct wanted w = {.max = ARRAY_N(w.need)};
        int rc = content_missing(there.db, buf_bytes(&body), from, want, &w);
        assert_true(rc == 0 || rc == 1);
        if (rc == 0 && w.n == 0 && from == 0)
            break;
        bool nodes = false;
        for (size_t i = 0; i < w.n; i++) {
            nodes |= w.need[i].level > 0;
            fetched += w.need[i].level == 0;
            fetch(w.id[i]);
        }
        /* Below nodes that came there is more to ask for. */
        from = rc == 0 || nodes ? 0 : w.need[w.n - 1].off + w.need[w.n - 1].len;
    }
    assert_int_equal(content_fixture_count(&there).chunks - before, fetched);
    assert_true(fetched < 12);
    assert_int_equal(content_check_body(there.db, buf_bytes(&body)), 0);
    buf_fini(&body);
    buf_fini(&other);
}

static void put_chunk_wrong_bytes_are_refused(void **state)
{
    (void)state;
    uint8_t id[CONTENT_ID_BYTES];
    struct bytes chunk = {data, 70000};
    chunk_id(there.keys.id, false, chunk, id);
    assert_int_equal(content_put_chunk(there.db, &there.keys, id, bytes_of(data, 69999)), -EBADMSG);
    assert_int_equal(content_put_chunk(there.db, &there.keys, id, bytes_of(data, 0)), -EBADMSG);
    struct content_keys other = there.keys;
    other.id[0] ^= 1;
    assert_int_equal(content_put_chunk(there.db, &other, id, chunk), -EBADMSG);
    other.old_ids = there.keys.id; /* an older key is as good */
    other.old_ids_n = 1;
    assert_int_equal(content_put_chunk(there.db, &other, id, chunk), 0);
    id[0] |= 0x80; /* bytes of a file as a node */
    assert_int_equal(content_put_chunk(there.db, &there.keys, id, chunk), -EBADMSG);
    chunk.n = CONTENT_CHUNK_MAX + 1;
    chunk_id(there.keys.id, false, chunk, id);
    assert_int_equal(content_put_chunk(there.db, &there.keys, id, chunk), -EBADMSG);
}

/* Stores a node of the entries and gives the entry by which a parent would name it. */
static struct list_entry put_node(unsigned level, const struct list_entry *e, size_t n)
{
    struct list_entry up = {0};
    struct buf b = {0};
    list_put_node_head(&b, level);
    for (size_t i = 0; i < n; i++) {
        list_put_entry(&b, level, &e[i]);
        up.len += e[i].len;
        up.hole |= e[i].hole;
    }
    chunk_id(there.keys.id, true, buf_bytes(&b), up.id);
    assert_int_equal(content_put_chunk(there.db, &there.keys, up.id, buf_bytes(&b)), 0);
    buf_fini(&b);
    return up;
}

static struct list_entry put_data(size_t off, size_t n)
{
    struct list_entry e = {.len = n};
    chunk_id(there.keys.id, false, bytes_of(data + off, n), e.id);
    assert_int_equal(content_put_chunk(there.db, &there.keys, e.id, bytes_of(data + off, n)), 0);
    return e;
}

static void make_body(unsigned level, const struct list_entry *e, size_t n, struct buf *b)
{
    uint64_t size = 0;
    for (size_t i = 0; i < n; i++)
        size += e[i].len;
    buf_reset(b);
    list_put_body_head(b, level, size);
    for (size_t i = 0; i < n; i++)
        list_put_entry(b, level, &e[i]);
    assert_int_equal(buf_status(b), 0);
}

/* A body of one entry, all of whose parts are there: what checking and reading it give. */
static void check_lie(unsigned level, const struct list_entry *e, int rc_check, int rc_read)
{
    struct buf b = {0};
    make_body(level, e, 1, &b);
    assert_int_equal(content_check_body(there.db, buf_bytes(&b)), rc_check);
    struct content *c = content_fixture_open(&there, &b);
    uint8_t byte;
    uint64_t off;
    assert_int_equal(content_read(c, 0, &byte, 1), rc_read);
    int rc = content_next_hole(c, 0, &off);
    assert_true(rc == 0 || rc == rc_read);
    rc = content_next_data(c, 0, &off);
    assert_true(rc == 0 || rc == rc_read);
    content_free(c);
    buf_fini(&b);
}

static void read_lists_that_lie_are_refused(void **state)
{
    (void)state;
    struct list_entry chunk = put_data(0, 50000), lie = chunk;
    check_lie(0, &chunk, 0, 1);
    lie.len = 49999; /* of another length */
    check_lie(0, &lie, -EBADMSG, -EBADMSG);
    struct list_entry node = put_node(0, &chunk, 1);
    check_lie(1, &node, 0, 1);
    lie = node;
    lie.len = 60000; /* longer than what is below */
    check_lie(1, &lie, -EBADMSG, -EBADMSG);
    lie = node;
    lie.hole = true; /* no hole below */
    check_lie(1, &lie, -EBADMSG, -EBADMSG);
    check_lie(2, &node, -EBADMSG, -EBADMSG); /* of another level */
    struct list_entry up = put_node(1, &node, 1);
    check_lie(2, &up, 0, 1);
    check_lie(3, &up, -EBADMSG, -EBADMSG);
    struct list_entry gone = {.len = 40000};
    check_lie(0, &gone, -ENODATA, -ENODATA);
    gone.id[0] = 0x80;
    check_lie(1, &gone, -ENODATA, -ENODATA);
}

/* A few nodes that name each other a thousand times over describe 2^30 chunks. */
static void missing_shared_nodes_are_walked_once(void **state)
{
    (void)state;
    static struct list_entry e[LIST_CHILDREN_MAX];
    struct list_entry one = put_data(0, 200);
    for (unsigned level = 0; level < LIST_LEVEL_MAX; level++) {
        for (size_t i = 0; i < ARRAY_N(e); i++)
            e[i] = one;
        one = put_node(level, e, ARRAY_N(e));
    }
    struct buf b = {0};
    for (size_t i = 0; i < 3; i++)
        e[i] = one;
    make_body(LIST_LEVEL_MAX, e, 3, &b);
    assert_int_equal(content_check_body(there.db, buf_bytes(&b)), 0);
    struct content *c = content_fixture_open(&there, &b);
    uint8_t got[300];
    uint64_t off;
    assert_int_equal(content_read(c, content_size(c) / 200 * 100, got, 200), 200);
    assert_memory_equal(got, data, 200);
    assert_int_equal(content_next_hole(c, 5, &off), 0);
    assert_int_equal(off, content_size(c));
    content_free(c);
    content_fixture_ref(&there, &b, "bomb");
    content_fixture_unref(&there, &b, "bomb");
    assert_int_equal(content_sweep(there.db, NULL), 0);
    assert_int_equal(content_fixture_count(&there).bytes, 0);
    buf_fini(&b);
}

static int count_bad(void *arg, const uint8_t id[CONTENT_ID_BYTES])
{
    struct wanted *w = arg;
    assert_true(w->n < w->max);
    memcpy(w->id[w->n++], id, CONTENT_ID_BYTES);
    return 0;
}

/* Changes the value of @key, or deletes it. */
static void overwrite(enum db_cf cf, struct bytes key, const struct bytes *value)
{
    struct db_batch *b = db_batch_new(here.db);
    assert_non_null(b);
    if (value != NULL)
        db_batch_put(b, cf, key, *value);
    else
        db_batch_delete(b, cf, key);
    assert_int_equal(db_write(here.db, b, false), 0);
    db_batch_free(b);
}

/* Makes a chunk's bytes others than their sums say, or deletes the row of its place. */
static void damage(const uint8_t *id, bool all)
{
    struct db_value row;
    struct bytes key = bytes_of(id, CONTENT_ID_BYTES);
    assert_int_equal(db_get(here.db, DB_CHUNKREF, key, &row), 0);
    struct buf flipped = {0};
    buf_put_bytes(&flipped, row.v);
    flipped.p[flipped.n - 1] ^= 0x10;
    struct bytes wrong = buf_bytes(&flipped);
    if (all)
        overwrite(DB_CHUNK, bytes_of(row.v.p + 4, 8), NULL); /* after the length */
    else
        overwrite(DB_CHUNKREF, key, &wrong);
    buf_fini(&flipped);
    db_value_fini(&row);
}

static void check_all_finds_flipped_and_lost(void **state)
{
    (void)state;
    struct buf body = {0};
    build(&here, &body);
    content_fixture_ref(&here, &body, "v");
    struct wanted bad = {.max = ARRAY_N(bad.id)};
    assert_int_equal(content_check_all(here.db, &here.keys, count_bad, &bad, NULL), 0);
    assert_int_equal(bad.n, 0);
    /* Some chunks, from an empty database's view of what is missing. */
    struct wanted w = {.max = 1};
    assert_int_equal(content_missing(there.db, buf_bytes(&body), 0, want, &w), 1);
    fetch(w.id[0]); /* a node: now its chunks are known */
    w = (struct wanted){.max = 3};
    assert_int_equal(content_missing(there.db, buf_bytes(&body), 0, want, &w), 1);
    damage(w.id[0], false);
    damage(w.id[1], true);
    overwrite(DB_CHUNKREF, bytes_of(w.id[2], CONTENT_ID_BYTES), NULL);
    assert_int_equal(content_check_all(here.db, &here.keys, count_bad, &bad, NULL), 0);
    assert_int_equal(bad.n, 3);
    for (size_t i = 0; i < 3; i++) {
        bool found = false;
        for (size_t k = 0; k < 3; k++)
            found |= memcmp(bad.id[k], w.id[i], CONTENT_ID_BYTES) == 0;
        assert_true(found);
        assert_int_equal(content_drop_chunk(here.db, w.id[i]), 0);
    }
    /* What was dropped is asked for again, and then all is well. */
    assert_int_equal(content_check_body(here.db, buf_bytes(&body)), -ENODATA);
    build(&here, &body);
    assert_int_equal(content_check_body(here.db, buf_bytes(&body)), 0);
    bad.n = 0;
    assert_int_equal(content_check_all(here.db, &here.keys, count_bad, &bad, NULL), 0);
    assert_int_equal(bad.n, 0);
    buf_fini(&body);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(chunks_without_ids_are_stored_under_them), TEST(missing_chunks_are_fetched_once),
        TEST(put_chunk_wrong_bytes_are_refused),        TEST(read_lists_that_lie_are_refused),
        TEST(missing_shared_nodes_are_walked_once),     TEST(check_all_finds_flipped_and_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
