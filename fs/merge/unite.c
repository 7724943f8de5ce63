#include "fs/merge/unite.h"

#include <errno.h>
#include <stdlib.h>

/* The lines that one list has where the other has something else. */
struct extra {
    uint32_t id;
    size_t n;
};

static bool comes_first(struct lines a, struct lines b)
{
    for (size_t i = 0; i < a.n && i < b.n; i++)
        if (a.p[i] != b.p[i])
            return a.p[i] < b.p[i];
    return a.n <= b.n;
}

static int compare(const void *a, const void *b)
{
    const struct extra *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

static int count_extra(struct lines first, const struct diff_hunk *hunks, size_t n, struct buf *ret)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < hunks[i].an; k++) {
            struct extra one = {first.p[hunks[i].a + k], 1};
            buf_put(ret, &one, sizeof one);
        }
    int rc = buf_status(ret);
    if (rc < 0 || ret->n == 0)
        return rc;
    struct extra *all = (struct extra *)(void *)ret->p;
    size_t count = ret->n / sizeof *all, last = 0;
    qsort(all, count, sizeof *all, compare);
    for (size_t i = 1; i < count; i++)
        if (all[i].id == all[last].id)
            all[last].n++;
        else
            all[++last] = all[i];
    ret->n = (last + 1) * sizeof *all;
    return 0;
}

/* Whether the first list has the line once more, somewhere else. */
static bool is_there(struct buf *extra, uint32_t id)
{
    struct extra key = {id, 0};
    struct extra *e =
        extra->n > 0 ? bsearch(&key, extra->p, extra->n / sizeof key, sizeof key, compare) : NULL;
    if (e == NULL || e->n == 0)
        return false;
    e->n--;
    return true;
}

static void put(struct buf *ret, size_t first, size_t second, bool swapped)
{
    struct united u = {swapped ? second : first, swapped ? first : second};
    buf_put(ret, &u, sizeof u);
}

int unite_lines(struct lines a, struct lines b, struct buf *ret)
{
    bool swapped = !comes_first(a, b);
    struct lines first = swapped ? b : a, second = swapped ? a : b;
    CLEANUP(buf_fini) struct buf hunk_buf = {0}, extra = {0};
    int rc = diff_lines(first, second, &hunk_buf);
    const struct diff_hunk *hunks = (const struct diff_hunk *)(const void *)hunk_buf.p;
    size_t n = hunk_buf.n / sizeof *hunks;
    if (rc == 0)
        rc = count_extra(first, hunks, n, &extra);
    if (rc < 0)
        return rc;
    for (size_t i = 0, x = 0, y = 0;; i++) {
        struct diff_hunk h = i < n ? hunks[i] : (struct diff_hunk){first.n, 0, second.n, 0};
        for (; x < h.a; x++, y++)
            put(ret, x, y, swapped);
        for (; x < h.a + h.an; x++)
            put(ret, x, UNITED_NONE, swapped);
        for (; y < h.b + h.bn; y++)
            if (!is_there(&extra, second.p[y]))
                put(ret, UNITED_NONE, y, swapped);
        if (i >= n)
            return buf_status(ret);
    }
}
