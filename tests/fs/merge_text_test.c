/* Texts that were edited apart: what is merged, what overlaps, and that no line is lost. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fs/merge/text.h"
#include "tests/support/crash_rand.h"

static int merge(struct bytes base, struct bytes a, struct bytes b, enum text_overlap overlap,
                 struct buf *ret)
{
    struct buf swapped = {0};
    int rc = text_merge(base, a, b, overlap, ret);
    assert_int_equal(text_merge(base, b, a, overlap, &swapped), rc);
    assert_int_equal(ret->n, swapped.n);
    if (ret->n > 0)
        assert_memory_equal(ret->p, swapped.p, ret->n);
    buf_fini(&swapped);
    return rc;
}

/* ---- cases ---- */

struct row {
    const char *base, *a, *b;
    const char *ought; /* NULL: they overlap */
};

static void check_row(const struct row *row, enum text_overlap overlap)
{
    struct buf got = {0};
    int rc = merge(bytes_str(row->base), bytes_str(row->a), bytes_str(row->b), overlap, &got);
    struct bytes ought = bytes_str(row->ought != NULL ? row->ought : "");
    if (rc != (row->ought != NULL) || !bytes_equal(buf_bytes(&got), ought))
        fail_msg("'%s' with '%s' and '%s' is %d, '%.*s', ought to be '%s'", row->base, row->a,
                 row->b, rc, (int)got.n, (const char *)got.p, row->ought ? row->ought : "-");
    buf_fini(&got);
}

static void merge_edits_of_different_lines_has_both(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"1\n2\n3\n", "x\n2\n3\n", "1\n2\ny\n", "x\n2\ny\n"},
        {"1\n2\n", "x\n2\n", "1\ny\n", "x\ny\n"},             /* neighbours */
        {"1\n2\n3\n", "x\ny\n3\n", "1\n2\nz\n", "x\ny\nz\n"}, /* of more than one line */
        {"1\n2\n", "2\n", "1\nx\n", "x\n"},                   /* a deletion beside a change */
        {"1\n2\n", "0\n1\n2\n", "x\n2\n", "0\nx\n2\n"},       /* an insertion before one */
        {"1\n2\n", "1\nn\n2\n", "x\n2\n", "x\nn\n2\n"},       /* and behind one */
        {"1\n2\n", "1\nn\n2\n", "2\n", "n\n2\n"},             /* or a deletion */
        {"1\n2\n", "x\n2\n", "x\ny\n", "x\ny\n"},             /* one has the edit of the other */
        {"1\n2\n3\n", "x\ny\n3\n", "x\n2\nz\n", "x\ny\nz\n"}, /* both have some of it */
        {"1\n", "x\n", "x\n", "x\n"},                         /* the same edit */
        {"1\n", "1\n2\n", "1\n2\n", "1\n2\n"},                /* the same insertion */
        {"1\n2\n3\n", "1\n3\n", "1\n3\n", "1\n3\n"},          /* the same deletion */
        {"1\n2\n3\n", "1\n", "1\n3\n", "1\n"},                /* one deletes more */
        {"1\n2\n", "", "1\n2\n", ""},                         /* all */
        {"1\n2\n3\n4\n", "1\n4\n", "1\n2\n", "1\n"},          /* and the other something else */
        {"", "1\n", "", "1\n"},
        {"", "", "", ""},
        {"", "same\n", "same\n", "same\n"},
        /* A paragraph between two others, where one side changes the next to be longer. */
        {"p\n\nq\n", "p\n\nn\n\nq\n", "p\n\nq1\nq2\n", "p\n\nn\n\nq1\nq2\n"},
        /* What one inserts is told in the same place for both, though the empty lines are alike. */
        {"p\n\nq\n\nr\n", "p\n\nn\n\nq\n\nr\n", "p\n\nn\n\nq\n\ns\n", "p\n\nn\n\nq\n\ns\n"},
        {"p\n\nq\n\nr\n", "q\n\nr\n", "p\n\nq\n\nR\n", "q\n\nR\n"},
    };
    for (size_t i = 0; i < ARRAY_N(rows); i++)
        check_row(&rows[i], OVERLAP_STOPS);
}

static void merge_edits_of_one_line_overlap(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"1\n", "x\n", "y\n", NULL},
        {"1\n2\n", "2\n", "x\n2\n", NULL},             /* changed, deleted */
        {"1\n", "1\nx\n", "1\ny\n", NULL},             /* two insertions at one place */
        {"1\n", "x\n1\n", "x\ny\n1\n", NULL},          /* also if one begins like the other */
        {"", "x\n", "y\n", NULL},                      /* nothing in common */
        {"1\n2\n", "", "1\nn\n2\n", NULL},             /* in the middle of a deletion */
        {"1\n2\n", "x\ny\n", "1\nn\n2\n", NULL},       /* of a change */
        {"1\n", "x\nm\n", "1\nn\n", NULL},             /* m may belong before or behind n */
        {"1\n2\n", "x\nm\n2\n", "1\nn\ny\n", NULL},    /* likewise */
        {"1\n2\n3\n", "x\ny\n3\n", "x\nz\n3\n", NULL}, /* one line the same, one not */
    };
    for (size_t i = 0; i < ARRAY_N(rows); i++)
        check_row(&rows[i], OVERLAP_STOPS);
}

static void merge_line_ends_apart_from_lines(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"1\n2\n", "1\r\n2\r\n", "1\nx\n", "1\r\nx\r\n"},
        {"1\r\n2\r\n", "1\n2\n", "1\r\nx\r\n3\r\n", "1\nx\n3\n"},
        {"1\n2\n", "1\r\n2\r\n", "1\r\nx\r\n", "1\r\nx\r\n"},
        {"1\n2\r\n3\n", "1\n2\r\n3\n4\n", "x\n2\r\n3\n", "x\n2\r\n3\n4\n"}, /* mixed stays mixed */
        {"1\n2\n3\n", "1\n2\r\n3\n", "x\n2\n3\n", "x\n2\r\n3\n"},           /* one end */
        {"1\n2\r\n", "1\n2\n", "1\n2\r\n3\r\n", "1\n2\n3\n"},               /* made all alike */
        {"", "1\n", "1\r\n", "1\n"},
        {"1\n2", "1\n2\n", "x\n2", "x\n2\n"}, /* the last newline */
        {"1\n2\n", "1\n2", "x\n2\n", "x\n2"},
        {"1\n2", "1\n2\n3", "x\n2", "x\n2\n3"},
        {"1\n2\n", "1\n2\n3", "x\n2\n", "x\n2\n3"},
        {"1\r\n2", "1\r\n2\r\n3", "x\r\n2", "x\r\n2\r\n3"},
        {"1\n\nz", "1\n", "1\n\ny\n", NULL},
        {"1\n\nz\n", "1\n\n", "x\n\nz", "x\n\n"}, /* an empty last line needs its end */
        {"1", "1\r\n2", "x", "x\r\n2"},
        {"1", "", "1", ""},
        {"", "1", "1\n", "1\n"},
        {"\xef\xbb\xbf"
         "1\n2\n",
         "1\n2\n",
         "\xef\xbb\xbf"
         "x\n2\n",
         "x\n2\n"}, /* the mark */
        {"1\n2\n",
         "\xef\xbb\xbf"
         "1\n2\n",
         "x\n2\n",
         "\xef\xbb\xbf"
         "x\n2\n"},
        {"1\r2\n", "1\rx\n", "1\r2\n3\n", "1\rx\n3\n"}, /* a CR alone is text */
        {"1\r\r\n", "1\r\n", "1\r\r\n2\r\n", "1\r\n2\r\n"},
    };
    for (size_t i = 0; i < ARRAY_N(rows); i++)
        check_row(&rows[i], OVERLAP_STOPS);
}

static void unite_overlapping_edits_has_lines_of_both(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"1\n", "1\ny\n", "1\nx\n", "1\nx\ny\n"},
        {"", "y\nz\n", "x\nz\n", "x\ny\nz\n"}, /* what is shared once */
        {"", "z\ny\n", "x\nz\n", "x\nz\ny\n"},
        {"1\n", "x\nm\n", "1\nn\n", "x\nm\nn\n"},                /* touching is no overlap here */
        {"1\n2\n3\n", "x\ny\n3\n", "1\nz\n3\n", "x\ny\nz\n3\n"}, /* what one changed is not back */
        {"1\n2\n3\n", "1\nn\n2\n3\n", "1\nm\n3\n", "1\nn\nm\n3\n"},
        {"1\n2\n", "1\nx\n", "1\n", "1\nx\n"},
        {"1\n2\n3\n", "3\n", "1\n2\nx\n3\n", "x\n3\n"},
    };
    for (size_t i = 0; i < ARRAY_N(rows); i++)
        check_row(&rows[i], OVERLAP_UNITES);
}

static void merge_too_long_texts_e2big(void **state)
{
    (void)state;
    static uint8_t p[TEXT_BYTES_MAX + 1];
    struct bytes none = bytes_str("");
    struct buf got = {0};
    assert_int_equal(merge(none, none, bytes_of(p, TEXT_BYTES_MAX), OVERLAP_STOPS, &got), 1);
    buf_reset(&got);
    assert_int_equal(merge(none, none, bytes_of(p, TEXT_BYTES_MAX + 1), OVERLAP_STOPS, &got),
                     -E2BIG);
    memset(p, '\n', sizeof p);
    assert_int_equal(merge(none, none, bytes_of(p, TEXT_LINES_MAX), OVERLAP_STOPS, &got), 1);
    buf_reset(&got);
    assert_int_equal(merge(none, none, bytes_of(p, TEXT_LINES_MAX + 1), OVERLAP_STOPS, &got),
                     -E2BIG);
    assert_int_equal(got.n, 0);
    buf_fini(&got);
}

/* ---- random edits ---- */

enum { LINES_MAX = 40, SIDES = 2, TEXT_MAX = 1 << 14 };

struct random_text {
    char p[TEXT_MAX];
    size_t n;
};

static void put(struct random_text *t, const char *line)
{
    t->n += (size_t)snprintf(t->p + t->n, sizeof t->p - t->n, "%s\n", line);
    assert_true(t->n < sizeof t->p);
}

static struct bytes bytes_in(const struct random_text *t)
{
    return bytes_of(t->p, t->n);
}

struct edits {
    struct random_text base, side[SIDES], both;
};

enum edit { KEEP, CHANGE, DELETE, EDITS };

static void put_edit(struct crash_rand *r, struct edits *e, size_t owner, enum edit edit,
                     const char *line)
{
    char now[64];
    snprintf(now, sizeof now, "new %llu", (unsigned long long)crash_next(r));
    put(&e->base, line);
    for (size_t i = 0; i < SIDES; i++)
        if (i != owner || edit == KEEP)
            put(&e->side[i], line);
        else if (edit == CHANGE)
            put(&e->side[i], now);
    if (edit != DELETE)
        put(&e->both, edit == CHANGE ? now : line);
}

static void put_insertion(struct crash_rand *r, struct edits *e, size_t owner)
{
    char now[64];
    snprintf(now, sizeof now, "in %llu", (unsigned long long)crash_next(r));
    put(&e->side[owner], now);
    put(&e->both, now);
}

static void check_both(const struct edits *e)
{
    struct buf got = {0};
    int rc = merge(bytes_in(&e->base), bytes_in(&e->side[0]), bytes_in(&e->side[1]), OVERLAP_STOPS,
                   &got);
    if (rc != 1 || !bytes_equal(buf_bytes(&got), bytes_in(&e->both)))
        fail_msg("%d:\n%s\n--- and\n%s\n--- of\n%s\n--- is\n%.*s\n", rc, e->side[0].p, e->side[1].p,
                 e->base.p, (int)got.n, (const char *)got.p);
    buf_fini(&got);
}

/* Each line is changed or deleted by one side or by none, whatever is beside it. */
static void merge_random_edits_of_different_lines_has_both(void **state)
{
    (void)state;
    struct crash_rand r = {crash_seed("lines")};
    for (int i = 0; i < 5000; i++) {
        static struct edits e;
        memset(&e, 0, sizeof e);
        size_t n = crash_below(&r, LINES_MAX);
        for (size_t k = 0; k < n; k++) {
            char line[32];
            snprintf(line, sizeof line, "line %zu", k);
            put_edit(&r, &e, crash_below(&r, SIDES), (enum edit)crash_below(&r, EDITS), line);
        }
        check_both(&e);
    }
}

/* Each paragraph is edited at will by one side; all are kept apart by one line, always the same. */
static void merge_random_edits_of_different_paragraphs_has_both(void **state)
{
    (void)state;
    struct crash_rand r = {crash_seed("paragraphs")};
    for (int i = 0; i < 5000; i++) {
        static struct edits e;
        memset(&e, 0, sizeof e);
        size_t n = 1 + crash_below(&r, LINES_MAX / 4);
        for (size_t k = 0; k < n; k++) {
            size_t owner = crash_below(&r, SIDES), lines = 1 + crash_below(&r, 4);
            for (size_t l = 0; l < lines; l++) {
                char line[64];
                snprintf(line, sizeof line, "line %zu.%zu", k, l);
                for (int in = (int)crash_below(&r, 6) - 3; in > 0; in--)
                    put_insertion(&r, &e, owner);
                put_edit(&r, &e, owner, (enum edit)crash_below(&r, l == 0 ? DELETE : EDITS), line);
            }
            put_edit(&r, &e, owner, KEEP, "");
        }
        check_both(&e);
    }
}

/* ---- random texts ---- */

static void random_edit(struct crash_rand *r, const struct random_text *from, bool unique,
                        struct random_text *ret)
{
    ret->n = 0;
    for (size_t at = 0; at <= from->n;) {
        char line[64];
        const char *end = at < from->n ? memchr(from->p + at, '\n', from->n - at) : NULL;
        if (crash_chance(r, 15)) {
            snprintf(line, sizeof line, "%llu",
                     (unsigned long long)(unique ? crash_next(r) : crash_below(r, 5)));
            put(ret, line);
        }
        if (end == NULL)
            break;
        snprintf(line, sizeof line, "%.*s", (int)(end - from->p - (ptrdiff_t)at), from->p + at);
        if (!crash_chance(r, 15))
            put(ret, line);
        at = (size_t)(end - from->p) + 1;
    }
}

static void random_base(struct crash_rand *r, bool unique, struct random_text *ret)
{
    ret->n = 0;
    size_t n = crash_below(r, LINES_MAX);
    for (size_t i = 0; i < n; i++) {
        char line[32];
        snprintf(line, sizeof line, "%llu",
                 (unsigned long long)(unique ? 1000 + i : crash_below(r, 5)));
        put(ret, line);
    }
}

/* Other line ends, no last newline, a mark: what must survive. */
static void random_ends(struct crash_rand *r, struct random_text *t)
{
    static struct random_text old;
    unsigned percent = crash_chance(r, 50) ? 0 : crash_chance(r, 50) ? 100 : 50;
    old = *t;
    t->n = 0;
    if (crash_chance(r, 20))
        t->n = (size_t)snprintf(t->p, sizeof t->p, "\xef\xbb\xbf");
    for (size_t i = 0; i < old.n; i++) {
        bool last = i + 1 == old.n;
        if (old.p[i] == '\n' && crash_chance(r, percent))
            t->p[t->n++] = '\r';
        t->p[t->n++] = old.p[i];
        if (last && crash_chance(r, 30))
            t->n--;
    }
}

static void assert_is(const struct buf *got, const struct random_text *ought)
{
    assert_int_equal(got->n, ought->n);
    if (got->n > 0)
        assert_memory_equal(got->p, ought->p, got->n);
}

static void merge_random_texts_same_edit_once_and_no_edit_nothing(void **state)
{
    (void)state;
    struct crash_rand r = {crash_seed("texts")};
    for (int i = 0; i < 5000; i++) {
        static struct random_text base, a, b;
        struct buf got = {0};
        random_base(&r, false, &base);
        random_edit(&r, &base, false, &a);
        random_edit(&r, &base, false, &b);
        random_ends(&r, &base);
        random_ends(&r, &a);
        random_ends(&r, &b);
        for (int how = OVERLAP_STOPS; how <= OVERLAP_UNITES; how++) {
            enum text_overlap overlap = (enum text_overlap)how;
            assert_int_equal(merge(bytes_in(&base), bytes_in(&a), bytes_in(&a), overlap, &got), 1);
            assert_is(&got, &a);
            buf_reset(&got);
            assert_int_equal(merge(bytes_in(&base), bytes_in(&base), bytes_in(&a), overlap, &got),
                             1);
            assert_is(&got, &a);
            buf_reset(&got);
            int rc = merge(bytes_in(&base), bytes_in(&a), bytes_in(&b), overlap, &got);
            assert_true(rc == 1 || (rc == 0 && overlap == OVERLAP_STOPS));
            buf_reset(&got);
        }
        buf_fini(&got);
    }
}

static bool has_line(struct bytes text, struct bytes line)
{
    while (text.n > 0) {
        const uint8_t *end = memchr(text.p, '\n', text.n);
        size_t n = end != NULL ? (size_t)(end - text.p) : text.n;
        if (bytes_equal(bytes_of(text.p, n), line))
            return true;
        n += end != NULL;
        text = bytes_of(text.p + n, text.n - n);
    }
    return false;
}

/* Calls @check for each line of the text. */
static void each_line(struct bytes text, const struct bytes in[static 4],
                      void (*check)(struct bytes line, const struct bytes in[static 4]))
{
    while (text.n > 0) {
        const uint8_t *end = memchr(text.p, '\n', text.n);
        assert_non_null(end);
        size_t n = (size_t)(end - text.p);
        check(bytes_of(text.p, n), in);
        text = bytes_of(text.p + n + 1, text.n - n - 1);
    }
}

/* in: base, a, b, the merge */
static void check_line(struct bytes line, const struct bytes in[static 4])
{
    bool base = has_line(in[0], line), a = has_line(in[1], line), b = has_line(in[2], line);
    if (has_line(in[3], line) != (base ? a && b : a || b))
        fail_msg("line %.*s is %s:\n%.*s--- of\n%.*s--- and\n%.*s--- is\n%.*s", (int)line.n,
                 (const char *)line.p, has_line(in[3], line) ? "back" : "lost", (int)in[0].n,
                 (const char *)in[0].p, (int)in[1].n, (const char *)in[1].p, (int)in[2].n,
                 (const char *)in[2].p, (int)in[3].n, (const char *)in[3].p);
}

static void merge_random_texts_only_deleted_lines_are_lost(void **state)
{
    (void)state;
    struct crash_rand r = {crash_seed("lost")};
    int merged = 0;
    for (int i = 0; i < 5000; i++) {
        static struct random_text base, a, b;
        struct buf got = {0};
        random_base(&r, true, &base);
        random_edit(&r, &base, true, &a);
        random_edit(&r, &base, true, &b);
        enum text_overlap overlap = crash_chance(&r, 50) ? OVERLAP_UNITES : OVERLAP_STOPS;
        if (merge(bytes_in(&base), bytes_in(&a), bytes_in(&b), overlap, &got) == 1) {
            const struct bytes in[4] = {bytes_in(&base), bytes_in(&a), bytes_in(&b),
                                        buf_bytes(&got)};
            for (size_t k = 0; k < ARRAY_N(in); k++)
                each_line(in[k], in, check_line);
            merged++;
        }
        buf_fini(&got);
    }
    assert_true(merged > 2500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merge_edits_of_different_lines_has_both),
        cmocka_unit_test(merge_edits_of_one_line_overlap),
        cmocka_unit_test(merge_line_ends_apart_from_lines),
        cmocka_unit_test(unite_overlapping_edits_has_lines_of_both),
        cmocka_unit_test(merge_too_long_texts_e2big),
        cmocka_unit_test(merge_random_edits_of_different_lines_has_both),
        cmocka_unit_test(merge_random_edits_of_different_paragraphs_has_both),
        cmocka_unit_test(merge_random_texts_same_edit_once_and_no_edit_nothing),
        cmocka_unit_test(merge_random_texts_only_deleted_lines_are_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
