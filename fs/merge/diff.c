#include "fs/merge/diff.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/*
 * The lists span a grid: (x, y) is where x lines of the old and y of the new one are behind. A step
 * right deletes, a step down inserts, and where the two lines are equal a diagonal step costs
 * nothing. Diagonal k is where x - y = k.
 */
struct box {
    ptrdiff_t x0, y0, x1, y1;
};

struct diff {
    struct lines a, b;
    /* By diagonal, how far the search from the start (from the end) has come: its x. */
    ptrdiff_t *forward, *backward;
    bool *gone, *come; /* lines that are deleted, inserted */
};

struct point {
    ptrdiff_t x, y;
};

static ptrdiff_t along_forward(const struct diff *d, const struct box *in, ptrdiff_t x, ptrdiff_t k)
{
    while (x < in->x1 && x - k < in->y1 && d->a.p[x] == d->b.p[x - k])
        x++;
    return x;
}

static ptrdiff_t along_backward(const struct diff *d, const struct box *in, ptrdiff_t x,
                                ptrdiff_t k)
{
    while (x > in->x0 && x - k > in->y0 && d->a.p[x - 1] == d->b.p[x - k - 1])
        x--;
    return x;
}

/* The diagonals that a search has reached: every second one from lo to hi. */
struct reach {
    ptrdiff_t lo, hi;
};

/* One edit further, and no further than the grid: what is outside of it never meets. */
static void widen(struct reach *r, const struct box *in, ptrdiff_t *x, ptrdiff_t none)
{
    if (r->lo > in->x0 - in->y1)
        x[--r->lo - 1] = none;
    else
        r->lo++;
    if (r->hi < in->x1 - in->y0)
        x[++r->hi + 1] = none;
    else
        r->hi--;
}

/*
 * A point in the middle of a shortest path through the box. The searches from both ends go on by
 * turns until they meet. @d->forward and backward are indexed by the diagonal.
 */
static int middle(const struct diff *d, const struct box *in, struct point *ret)
{
    ptrdiff_t *f = d->forward, *b = d->backward;
    const ptrdiff_t start = in->x0 - in->y0, end = in->x1 - in->y1;
    const bool odd = ((start - end) & 1) != 0;
    struct reach fr = {start, start}, br = {end, end};
    f[start] = in->x0;
    b[end] = in->x1;
    for (unsigned cost = 1; cost <= DIFF_DISTANCE_MAX / 2; cost++) {
        widen(&fr, in, f, in->x0 - 1);
        for (ptrdiff_t k = fr.hi; k >= fr.lo; k -= 2) {
            ptrdiff_t x = f[k - 1] < f[k + 1] ? f[k + 1] : f[k - 1] + 1;
            f[k] = x = along_forward(d, in, x, k);
            if (odd && br.lo <= k && k <= br.hi && b[k] <= x) {
                *ret = (struct point){x, x - k};
                return 0;
            }
        }
        widen(&br, in, b, in->x1 + 1);
        for (ptrdiff_t k = br.hi; k >= br.lo; k -= 2) {
            ptrdiff_t x = b[k - 1] < b[k + 1] ? b[k - 1] : b[k + 1] - 1;
            b[k] = x = along_backward(d, in, x, k);
            if (!odd && fr.lo <= k && k <= fr.hi && x <= f[k]) {
                *ret = (struct point){x, x - k};
                return 0;
            }
        }
    }
    return -E2BIG;
}

/* Each half has half the edits, so that this goes no deeper than their number has bits. */
static int compare(struct diff *d, struct box in)
{
    while (in.x0 < in.x1 && in.y0 < in.y1 && d->a.p[in.x0] == d->b.p[in.y0]) {
        in.x0++;
        in.y0++;
    }
    while (in.x0 < in.x1 && in.y0 < in.y1 && d->a.p[in.x1 - 1] == d->b.p[in.y1 - 1]) {
        in.x1--;
        in.y1--;
    }
    if (in.x0 == in.x1 || in.y0 == in.y1) {
        for (ptrdiff_t x = in.x0; x < in.x1; x++)
            d->gone[x] = true;
        for (ptrdiff_t y = in.y0; y < in.y1; y++)
            d->come[y] = true;
        return 0;
    }
    struct point m;
    int rc = middle(d, &in, &m);
    if (rc < 0)
        return rc;
    assert(in.x0 <= m.x && m.x <= in.x1 && in.y0 <= m.y && m.y <= in.y1);
    rc = compare(d, (struct box){in.x0, in.y0, m.x, m.y});
    return rc < 0 ? rc : compare(d, (struct box){m.x, m.y, in.x1, in.y1});
}

/* ---- hunks ---- */

static void put_hunks(const struct diff *d, struct buf *ret)
{
    size_t x = 0, y = 0;
    while (x < d->a.n || y < d->b.n) {
        struct diff_hunk h = {x, 0, y, 0};
        while (x < d->a.n && d->gone[x])
            x++;
        while (y < d->b.n && d->come[y])
            y++;
        h.an = x - h.a;
        h.bn = y - h.b;
        if (h.an + h.bn > 0) {
            buf_put(ret, &h, sizeof h);
        } else {
            x++;
            y++;
        }
    }
}

/* Moves a mere insertion or deletion down by one line, where that says the same. */
static bool slide(const struct diff *d, struct diff_hunk *h, const struct diff_hunk *next)
{
    size_t a_end = h->a + h->an, b_end = h->b + h->bn;
    if ((h->an > 0 && h->bn > 0) || a_end >= next->a || b_end >= next->b)
        return false;
    if (h->an > 0 ? d->a.p[h->a] != d->a.p[a_end] : d->b.p[h->b] != d->b.p[b_end])
        return false;
    h->a++;
    h->b++;
    return true;
}

/*
 * Slides all hunks down, the last one first. Two that come to touch are one. Without this, equal
 * edits of two devices could be told at two places: which one a diff takes depends on all the rest.
 */
static void slide_all(const struct diff *d, struct buf *hunks, size_t from)
{
    struct diff_hunk *first = (struct diff_hunk *)(void *)(hunks->p + from);
    size_t n = (hunks->n - from) / sizeof *first, kept = n;
    for (size_t i = n; i-- > 0;) {
        struct diff_hunk h = first[i], end = {d->a.n, 0, d->b.n, 0};
        for (;;) {
            const struct diff_hunk *next = kept < n ? &first[kept] : &end;
            if (slide(d, &h, next))
                continue;
            if (kept == n || h.a + h.an < next->a || h.b + h.bn < next->b)
                break;
            h.an += next->an;
            h.bn += next->bn;
            kept++;
        }
        first[--kept] = h;
    }
    memmove(first, first + kept, (n - kept) * sizeof *first);
    hunks->n -= kept * sizeof *first;
}

int diff_lines(struct lines a, struct lines b, struct buf *ret)
{
    /* Diagonals from -b.n to a.n, with one on either side that is never reached. */
    size_t diagonals = a.n + b.n + 3, from = ret->n;
    struct diff d = {.a = a, .b = b};
    ptrdiff_t *forward = calloc(diagonals, sizeof *forward);
    ptrdiff_t *backward = calloc(diagonals, sizeof *backward);
    d.gone = calloc(a.n + 1, sizeof *d.gone);
    d.come = calloc(b.n + 1, sizeof *d.come);
    int rc = -ENOMEM;
    if (forward != NULL && backward != NULL && d.gone != NULL && d.come != NULL) {
        d.forward = forward + b.n + 1;
        d.backward = backward + b.n + 1;
        rc = compare(&d, (struct box){0, 0, (ptrdiff_t)a.n, (ptrdiff_t)b.n});
    }
    if (rc == 0) {
        put_hunks(&d, ret);
        rc = buf_status(ret);
    }
    if (rc == 0 && ret->n > from)
        slide_all(&d, ret, from);
    free(forward);
    free(backward);
    free(d.gone);
    free(d.come);
    return rc;
}
