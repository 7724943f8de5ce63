#include "fs/merge/text.h"

#include <errno.h>
#include <stdlib.h>

#include "fs/merge/unite.h"

enum { BASE, A, B };

#define GONE SIZE_MAX

/* One side: what it did to the base, and how far the merge is with that. */
struct side {
    const struct split *text;
    struct buf hunk_buf;
    const struct diff_hunk *hunks;
    size_t n, next;
    size_t old, new; /* behind the last hunk that was taken: the line in the base, and here */
    size_t *line;    /* for each line of the base: where it is here, or GONE */
};

struct merge {
    struct split text[TEXTS];
    struct side side[TEXTS]; /* A and B */
    enum text_overlap overlap;
    struct buf out; /* of struct text_line */
};

/* Lines [lo, hi) of the base, and what they are now on both sides. */
struct region {
    size_t lo, hi;
    size_t from[TEXTS], to[TEXTS];
    bool changed[TEXTS];
};

static void put_line(struct merge *m, struct bytes text, bool crlf)
{
    struct text_line line = {text, crlf};
    buf_put(&m->out, &line, sizeof line);
}

/* What a fact became: whichever side changed it. The first value of each says nothing. */
static int merge_fact(int base, int a, int b)
{
    a = a == 0 ? base : a;
    b = b == 0 ? base : b;
    if (a == b || b == base)
        return a;
    if (a == base)
        return b;
    return a < b ? a : b;
}

/* ---- what overlaps ---- */

static size_t hunk_end(const struct diff_hunk *h)
{
    return h->a + h->an;
}

static bool grows(const struct diff_hunk *h)
{
    return h->bn > h->an;
}

/* An insertion that says the same one line further up is not at the place where it is told. */
static bool slides_up(const struct side *s, const struct diff_hunk *h)
{
    const uint32_t *id = s->text->ids;
    return h->an == 0 && h->a > 0 && h->b > 0 && id[h->b - 1] == id[h->b + h->bn - 1];
}

/* Of hunks of two sides, @first does not come behind @next in the base. */
static bool hunks_overlap(const struct merge *m, const struct side *s,
                          const struct diff_hunk *first, const struct diff_hunk *next)
{
    size_t end = hunk_end(first);
    if (next->a != end)
        return next->a < end;
    if (first->an == 0 && next->an == 0)
        return true;
    return m->overlap == OVERLAP_STOPS && grows(first) && grows(next) && !slides_up(s, first);
}

/* The side whose next hunk comes first; an insertion comes before what is changed behind it. */
static int first_side(const struct merge *m)
{
    const struct side *a = &m->side[A], *b = &m->side[B];
    if (a->next == a->n || b->next == b->n)
        return a->next < a->n ? A : B;
    const struct diff_hunk *x = &a->hunks[a->next], *y = &b->hunks[b->next];
    if (x->a != y->a)
        return x->a < y->a ? A : B;
    return hunk_end(x) <= hunk_end(y) ? A : B;
}

static const struct diff_hunk *take(struct merge *m, int of, struct region *r)
{
    struct side *s = &m->side[of];
    const struct diff_hunk *h = &s->hunks[s->next++];
    if (hunk_end(h) > r->hi)
        r->hi = hunk_end(h);
    r->changed[of] = true;
    s->old = hunk_end(h);
    s->new = h->b + h->bn;
    return h;
}

static void begin_region(const struct merge *m, size_t lo, struct region *r)
{
    *r = (struct region){.lo = lo, .hi = lo};
    for (int i = A; i <= B; i++)
        r->from[i] = m->side[i].new + (lo - m->side[i].old);
}

/* False behind the last one: then it is the end of the texts. */
static bool next_region(struct merge *m, struct region *r)
{
    struct side *s = m->side;
    if (s[A].next == s[A].n && s[B].next == s[B].n) {
        begin_region(m, m->text[BASE].n, r);
        return false;
    }
    int of = first_side(m);
    begin_region(m, s[of].hunks[s[of].next].a, r);
    const struct diff_hunk *last = take(m, of, r);
    /* The hunk that reaches furthest is held against the next one of the other side. */
    for (int other = A + B - of; s[other].next < s[other].n; other = A + B - of) {
        const struct diff_hunk *next = &s[other].hunks[s[other].next];
        if (!hunks_overlap(m, &s[of], last, next))
            break;
        take(m, other, r);
        if (hunk_end(next) >= hunk_end(last)) {
            last = next;
            of = other;
        }
    }
    for (int i = A; i <= B; i++)
        r->to[i] = s[i].new + (r->hi - s[i].old);
    return true;
}

/* ---- what both changed ---- */

static bool same_line(const struct merge *m, int x, size_t i, int y, size_t k)
{
    return m->text[x].ids[i] == m->text[y].ids[k];
}

/* A line that both sides have, and the base does not. */
static void put_shared(struct merge *m, size_t a, size_t b)
{
    const struct text_line *x = &m->text[A].lines[a], *y = &m->text[B].lines[b];
    put_line(m, x->text, x->crlf && y->crlf);
}

static void put_kept(struct merge *m, size_t base, size_t a, size_t b)
{
    bool was = m->text[BASE].lines[base].crlf;
    bool x = m->text[A].lines[a].crlf, y = m->text[B].lines[b].crlf;
    put_line(m, m->text[BASE].lines[base].text, x == y || y == was ? x : y);
}

static void put_side(struct merge *m, int of, size_t i)
{
    put_line(m, m->text[of].lines[i].text, m->text[of].lines[i].crlf);
}

/* Both made the same of it. */
static bool put_equal(struct merge *m, const struct region *r)
{
    size_t n = r->to[A] - r->from[A];
    if (r->to[B] - r->from[B] != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!same_line(m, A, r->from[A] + i, B, r->from[B] + i))
            return false;
    for (size_t i = 0; i < n; i++)
        put_shared(m, r->from[A] + i, r->from[B] + i);
    return true;
}

/* No line was added or removed: each for itself is as at least one of the sides has it. */
static bool put_one_by_one(struct merge *m, const struct region *r)
{
    const size_t n = r->hi - r->lo, a = r->from[A], b = r->from[B];
    if (r->to[A] - a != n || r->to[B] - b != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!same_line(m, A, a + i, B, b + i) && !same_line(m, A, a + i, BASE, r->lo + i) &&
            !same_line(m, B, b + i, BASE, r->lo + i))
            return false;
    for (size_t i = 0; i < n; i++)
        if (same_line(m, A, a + i, B, b + i))
            put_shared(m, a + i, b + i);
        else if (same_line(m, A, a + i, BASE, r->lo + i))
            put_side(m, B, b + i);
        else
            put_side(m, A, a + i);
    return true;
}

/* Whether all that a side did is to delete lines. */
static bool only_deletes(const struct merge *m, const struct region *r, int of)
{
    size_t n = r->to[of] - r->from[of];
    for (size_t i = r->lo; i < r->hi; i++)
        n -= m->side[of].line[i] != GONE;
    return n == 0;
}

static bool put_what_none_deleted(struct merge *m, const struct region *r)
{
    const size_t *a = m->side[A].line, *b = m->side[B].line;
    if (!only_deletes(m, r, A) || !only_deletes(m, r, B))
        return false;
    for (size_t i = r->lo; i < r->hi; i++)
        if (a[i] != GONE && b[i] != GONE)
            put_kept(m, i, a[i], b[i]);
    return true;
}

/* The lines of one side, but for those of the base that the other one deleted. */
static int list_lines(const struct merge *m, const struct region *r, int of, struct buf *ret_at,
                      struct buf *ret_ids)
{
    const struct side *s = &m->side[of], *other = &m->side[A + B - of];
    size_t base = r->lo;
    for (size_t i = r->from[of]; i < r->to[of]; i++) {
        while (base < r->hi && (s->line[base] == GONE || s->line[base] < i))
            base++;
        if (base < r->hi && s->line[base] == i && other->line[base] == GONE)
            continue;
        buf_put(ret_at, &i, sizeof i);
        buf_put(ret_ids, &s->text->ids[i], sizeof *s->text->ids);
    }
    return buf_status(ret_at) < 0 ? -ENOMEM : buf_status(ret_ids);
}

static int put_united(struct merge *m, const struct region *r)
{
    CLEANUP(buf_fini) struct buf at_a = {0}, ids_a = {0}, at_b = {0}, ids_b = {0}, all = {0};
    int rc = list_lines(m, r, A, &at_a, &ids_a);
    if (rc == 0)
        rc = list_lines(m, r, B, &at_b, &ids_b);
    if (rc < 0)
        return rc;
    const size_t *a = (const void *)at_a.p, *b = (const void *)at_b.p;
    rc = unite_lines((struct lines){(const void *)ids_a.p, ids_a.n / sizeof(uint32_t)},
                     (struct lines){(const void *)ids_b.p, ids_b.n / sizeof(uint32_t)}, &all);
    const struct united *u = (const void *)all.p;
    for (size_t i = 0; rc == 0 && i < all.n / sizeof *u; i++)
        if (u[i].a == UNITED_NONE)
            put_side(m, B, b[u[i].b]);
        else if (u[i].b == UNITED_NONE)
            put_side(m, A, a[u[i].a]);
        else
            put_shared(m, a[u[i].a], b[u[i].b]);
    return rc;
}

/* ---- all of it ---- */

/* 1, or 0 when both sides changed it and nothing can be made of it. */
static int put_region(struct merge *m, const struct region *r)
{
    if (!r->changed[A] || !r->changed[B]) {
        int of = r->changed[A] ? A : B;
        for (size_t i = r->from[of]; i < r->to[of]; i++)
            put_side(m, of, i);
        return 1;
    }
    if (put_equal(m, r) || put_one_by_one(m, r) || put_what_none_deleted(m, r))
        return 1;
    if (m->overlap == OVERLAP_STOPS)
        return 0;
    int rc = put_united(m, r);
    return rc < 0 ? rc : 1;
}

static int put_lines(struct merge *m)
{
    struct region r;
    for (size_t base = 0;; base = r.hi) {
        bool more = next_region(m, &r);
        for (; base < r.lo; base++)
            put_kept(m, base, r.from[A] - (r.lo - base), r.from[B] - (r.lo - base));
        int rc = more ? put_region(m, &r) : 1;
        if (rc <= 0 || !more)
            return rc;
    }
}

static int init_side(struct merge *m, int of)
{
    struct side *s = &m->side[of];
    size_t base = 0, n = m->text[BASE].n;
    s->text = &m->text[of];
    int rc = diff_lines(split_lines(&m->text[BASE]), split_lines(s->text), &s->hunk_buf);
    s->hunks = (const void *)s->hunk_buf.p;
    s->n = s->hunk_buf.n / sizeof *s->hunks;
    s->line = calloc(n + 1, sizeof *s->line);
    if (rc < 0 || s->line == NULL)
        return rc < 0 ? rc : -ENOMEM;
    for (size_t i = 0, line = 0; i <= s->n; i++) {
        struct diff_hunk h = i < s->n ? s->hunks[i] : (struct diff_hunk){n, 0, s->text->n, 0};
        while (base < h.a)
            s->line[base++] = line++;
        while (base < h.a + h.an)
            s->line[base++] = GONE;
        line += h.bn;
    }
    return 0;
}

static struct text_facts merge_facts(const struct merge *m)
{
    const struct text_facts *base = &m->text[BASE].facts;
    const struct text_facts *a = &m->text[A].facts, *b = &m->text[B].facts;
    return (struct text_facts){
        (enum text_mark)merge_fact((int)base->mark, (int)a->mark, (int)b->mark),
        (enum text_ends)merge_fact((int)base->ends, (int)a->ends, (int)b->ends),
        (enum text_last)merge_fact((int)base->last, (int)a->last, (int)b->last),
    };
}

static int render(const struct merge *m, struct buf *ret)
{
    struct text_facts facts = merge_facts(m);
    const struct text_line *lines = (const void *)m->out.p;
    size_t n = m->out.n / sizeof *lines, before = ret->n;
    if (facts.mark == MARK_UTF8)
        text_put_mark(ret);
    for (size_t i = 0; i < n; i++) {
        bool crlf = facts.ends == ENDS_MIXED ? lines[i].crlf : facts.ends == ENDS_CRLF;
        buf_put_bytes(ret, lines[i].text);
        /* An empty line without an end would be none. */
        if (i + 1 < n || facts.last != LAST_OPEN || lines[i].text.n == 0)
            buf_put(ret, crlf ? "\r\n" : "\n", crlf ? 2 : 1);
    }
    if (buf_status(ret) == 0)
        return 1;
    ret->n = before;
    return -ENOMEM;
}

int text_merge(struct bytes base, struct bytes a, struct bytes b, enum text_overlap overlap,
               struct buf *ret)
{
    struct merge m = {.overlap = overlap};
    int rc = splits_init(m.text, (const struct bytes[TEXTS]){base, a, b});
    if (rc == 0)
        rc = init_side(&m, A);
    if (rc == 0)
        rc = init_side(&m, B);
    if (rc == 0)
        rc = put_lines(&m);
    if (rc > 0)
        rc = buf_status(&m.out) < 0 ? -ENOMEM : render(&m, ret);
    for (int i = A; i <= B; i++) {
        buf_fini(&m.side[i].hunk_buf);
        free(m.side[i].line);
    }
    splits_fini(m.text);
    buf_fini(&m.out);
    return rc;
}
