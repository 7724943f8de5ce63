#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fs/store/list.h"
#include "fs/store/lister.h"
#include "tests/support/content_fixture.h"

static struct list_entry entry(uint64_t len, bool hole, bool node, unsigned n)
{
    struct list_entry e = {.len = len, .hole = hole};
    e.id[0] = node ? 0x80 : 0;
    put_u32(e.id + 20, n);
    e.id[CONTENT_ID_BYTES - 1] = 1;
    return e;
}

/* A body made of the given parts, right or wrong. */
static int parse(unsigned level, uint64_t size, const struct list_entry *e, size_t n,
                 struct list_head *ret)
{
    struct buf b = {0};
    struct content_info info;
    list_put_body_head(&b, level, size);
    for (size_t i = 0; i < n; i++)
        list_put_entry(&b, level, &e[i]);
    assert_int_equal(buf_status(&b), 0);
    int rc = list_parse_body(buf_bytes(&b), &info, ret);
    for (size_t cut = 0; rc == 0 && cut < b.n; cut++)
        assert_int_equal(list_parse_body(bytes_of(b.p, cut), &info, ret), -EBADMSG);
    if (rc == 0) {
        assert_int_equal(info.size, size);
        assert_int_equal(info.children_n, n);
        assert_int_equal(info.level, level);
        ret->entries = bytes_of(NULL, 0); /* freed below */
    }
    buf_fini(&b);
    return rc;
}

static void parse_body_wrong_entries_are_refused(void **state)
{
    (void)state;
    struct list_head h;
    const uint64_t chunk = CONTENT_CHUNK_MAX, hole = CONTENT_HOLE_MIN;
    struct list_entry e[3] = {entry(chunk, false, false, 1), entry(hole, true, false, 2),
                              entry(1, false, false, 3)};
    assert_int_equal(parse(0, chunk + hole + 1, e, 3, &h), 0);
    assert_true(h.holes);
    assert_int_equal(parse(0, chunk + hole, e, 3, &h), -EBADMSG); /* another size */
    assert_int_equal(parse(0, chunk + hole + 2, e, 3, &h), -EBADMSG);
    e[0].len = chunk + 1; /* too long */
    assert_int_equal(parse(0, chunk + hole + 2, e, 3, &h), -EBADMSG);
    e[0] = entry(chunk, false, true, 1); /* a node among chunks */
    assert_int_equal(parse(0, chunk + hole + 1, e, 3, &h), -EBADMSG);
    e[0] = entry(hole, true, false, 1); /* two holes in a row */
    assert_int_equal(parse(0, 2 * hole + 1, e, 3, &h), -EBADMSG);
    e[0] = entry(chunk, false, false, 1);
    e[1].len = hole - 1; /* a short hole */
    assert_int_equal(parse(0, chunk + hole, e, 3, &h), -EBADMSG);
    e[0] = entry(100000, false, false, 1); /* a chunk among nodes */
    assert_int_equal(parse(1, 100000, e, 1, &h), -EBADMSG);
    e[0] = entry(100000, false, true, 1);
    assert_int_equal(parse(1, 100000, e, 1, &h), 0);
    assert_false(h.holes);
    e[0] = entry(CONTENT_SIZE_MAX, true, true, 1); /* larger than anything may be */
    e[1] = entry(1, true, true, 2);
    assert_int_equal(parse(1, CONTENT_SIZE_MAX, e, 1, &h), 0);
    assert_int_equal(parse(1, CONTENT_SIZE_MAX, e, 2, &h), -EBADMSG);
    assert_int_equal(parse(0, 40000, e, 0, &h), -EBADMSG); /* nothing */
}

static void parse_body_too_many_entries_are_refused(void **state)
{
    (void)state;
    static struct list_entry e[LIST_CHILDREN_MAX + 1];
    struct list_head h;
    for (size_t i = 0; i < ARRAY_N(e); i++)
        e[i] = entry(CONTENT_INLINE_MAX, false, true, (unsigned)i);
    const uint64_t one = CONTENT_INLINE_MAX;
    assert_int_equal(parse(2, LIST_ROOT_MAX * one, e, LIST_ROOT_MAX, &h), 0);
    assert_int_equal(parse(2, (LIST_ROOT_MAX + 1) * one, e, LIST_ROOT_MAX + 1, &h), -EBADMSG);
    assert_int_equal(parse(3, LIST_CHILDREN_MAX * one, e, LIST_CHILDREN_MAX, &h), 0);
    assert_int_equal(parse(3, (LIST_CHILDREN_MAX + 1) * one, e, LIST_CHILDREN_MAX + 1, &h),
                     -EBADMSG);
}

static void parse_body_hostile_bytes_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *p;
        size_t n;
    } bad[] = {
        {"", 0},
        {"\1", 1},
        {"\1\0", 2},
        {"\2\0\0", 3},                                       /* another format */
        {"\1\2\0", 3},                                       /* another kind */
        {"\1\0\2a", 4},                                      /* shorter than announced */
        {"\1\0\0a", 4},                                      /* longer */
        {"\1\0\201\0a", 5},                                  /* a size in two bytes that fits one */
        {"\1\0\377\377\377\377\377\377\377\377\377\1", 12},  /* a huge size */
        {"\1\1\4\200\200\4\200\200\20", 9},                  /* level 4 */
        {"\1\1\0\200\200\2\200\200\4", 9},                   /* would be inline */
        {"\1\1\0\377\377\377\377\377\377\377\377\377\1", 13} /* a huge list */
    };
    for (size_t i = 0; i < ARRAY_N(bad); i++) {
        struct content_info info;
        assert_int_equal(content_parse(bytes_of(bad[i].p, bad[i].n), &info), -EBADMSG);
    }
    struct content_info info;
    assert_int_equal(content_parse(bytes_of("\1\0\0", 3), &info), 0);
    assert_int_equal(content_parse(bytes_of("\1\0\1a", 4), &info), 0);
    assert_int_equal(content_parse(bytes_of("\1\1\0\200\200\20\201\200\40", 9), &info),
                     0); /* hole */
}

static void find_gives_item_around_offset(void **state)
{
    (void)state;
    struct buf b = {0};
    uint64_t size = 0;
    list_put_node_head(&b, 0);
    for (unsigned i = 1; i <= 100; i++, size += i) {
        struct list_entry e = entry(i, false, false, i);
        list_put_entry(&b, 0, &e);
    }
    struct list_head head;
    assert_int_equal(list_parse_node(buf_bytes(&b), &head), 0);
    struct list *l = list_new(&head);
    assert_non_null(l);
    for (uint64_t off = 0; off < head.size; off++) {
        size_t i = list_find(l, off);
        assert_true(off >= list_start(l, i) && off < l->items[i].end);
    }
    free(l);
    buf_fini(&b);
}

struct lister_fixture {
    struct content_fixture f;
    struct chunk_sink sink;
    struct lister lister;
};

static void lister_setup(struct lister_fixture *x)
{
    content_fixture_init(&x->f);
    assert_int_equal(chunk_sink_init(&x->sink, x->f.db, x->f.keys.id), 0);
    lister_init(&x->lister, &x->sink);
}

static void lister_teardown(struct lister_fixture *x)
{
    lister_fini(&x->lister);
    chunk_sink_fini(&x->sink);
    content_fixture_fini(&x->f);
}

/* Adds chunks until a node may come: their ids end a node each LIST_NODE_MIN. */
static void lister_fill(struct lister *l)
{
    for (unsigned i = 1; !lister_takes_node(l, 1); i++) {
        struct list_entry e = entry(1000, false, false, i);
        e.id[CONTENT_ID_BYTES - 1] = i % LIST_NODE_MIN == 0 ? 0 : 1;
        assert_int_equal(lister_add(l, 0, &e), 0);
    }
}

static void lister_many_nodes_make_highest_level(void **state)
{
    (void)state;
    struct lister_fixture *x = calloc(1, sizeof *x);
    assert_non_null(x);
    lister_setup(x);
    lister_fill(&x->lister);
    for (unsigned i = 0; i < 80000; i++) {
        struct list_entry e = entry(70000, false, true, i);
        e.id[CONTENT_ID_BYTES - 1] = (uint8_t)i;
        assert_int_equal(lister_add(&x->lister, 1, &e), 0);
    }
    struct buf body = {0};
    struct content_info info;
    assert_int_equal(lister_finish(&x->lister, &body), 0);
    assert_int_equal(content_parse(buf_bytes(&body), &info), 0);
    assert_int_equal(info.level, LIST_LEVEL_MAX);
    assert_int_equal(info.size, x->lister.size);
    buf_fini(&body);
    lister_teardown(x);
    free(x);
}

static void lister_more_than_lists_hold_is_efbig(void **state)
{
    (void)state;
    struct lister_fixture *x = calloc(1, sizeof *x);
    assert_non_null(x);
    lister_setup(x);
    lister_fill(&x->lister);
    int rc = 0;
    unsigned n = 0;
    for (; rc == 0 && n < 2000000; n++) {
        unsigned level = 3;
        while (!lister_takes_node(&x->lister, level))
            level--;
        struct list_entry e = entry(70000, false, true, n);
        e.id[CONTENT_ID_BYTES - 1] = n % LIST_NODE_MIN == 0 ? 0 : 1;
        rc = lister_add(&x->lister, level, &e);
    }
    assert_int_equal(rc, -EFBIG);
    lister_teardown(x);
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse_body_wrong_entries_are_refused),
        cmocka_unit_test(parse_body_too_many_entries_are_refused),
        cmocka_unit_test(parse_body_hostile_bytes_are_refused),
        cmocka_unit_test(find_gives_item_around_offset),
        cmocka_unit_test(lister_many_nodes_make_highest_level),
        cmocka_unit_test(lister_more_than_lists_hold_is_efbig),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
