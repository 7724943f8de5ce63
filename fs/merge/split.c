#include "fs/merge/split.h"

#include <errno.h>
#include <stdlib.h>

static const char utf8_mark[] = "\xef\xbb\xbf";

size_t text_mark_bytes(struct bytes text)
{
    const size_t n = sizeof utf8_mark - 1;
    return text.n >= n && memcmp(text.p, utf8_mark, n) == 0 ? n : 0;
}

void text_put_mark(struct buf *b)
{
    buf_put(b, utf8_mark, sizeof utf8_mark - 1);
}

/* The next line of @text, which is moved behind it. Returns whether it is ended. */
static bool next_line(struct bytes *text, struct text_line *ret)
{
    const uint8_t *end = memchr(text->p, '\n', text->n);
    size_t n = end != NULL ? (size_t)(end - text->p) : text->n, skip = n + (end != NULL);
    ret->crlf = end != NULL && n > 0 && text->p[n - 1] == '\r';
    ret->text = bytes_of(text->p, n - ret->crlf);
    *text = bytes_behind(*text, skip);
    return end != NULL;
}

static enum text_ends ends_with(enum text_ends ends, bool crlf)
{
    enum text_ends one = crlf ? ENDS_CRLF : ENDS_LF;
    return ends == ENDS_UNKNOWN || ends == one ? one : ENDS_MIXED;
}

enum text_ends text_ends(struct bytes text)
{
    enum text_ends ends = ENDS_UNKNOWN;
    struct text_line line;
    while (text.n > 0 && next_line(&text, &line))
        ends = ends_with(ends, line.crlf);
    return ends;
}

static size_t count_lines(struct bytes text)
{
    size_t n = 0;
    for (struct text_line line; text.n > 0; n++)
        next_line(&text, &line);
    return n;
}

static int split(struct split *s, struct bytes text)
{
    if (text.n > TEXT_BYTES_MAX)
        return -E2BIG;
    size_t mark = text_mark_bytes(text), n;
    text = bytes_behind(text, mark);
    n = count_lines(text);
    if (n > TEXT_LINES_MAX)
        return -E2BIG;
    s->lines = calloc(n + 1, sizeof *s->lines);
    s->ids = calloc(n + 1, sizeof *s->ids);
    if (s->lines == NULL || s->ids == NULL)
        return -ENOMEM;
    s->facts.mark = mark > 0 ? MARK_UTF8 : MARK_NONE;
    for (; s->n < n; s->n++) {
        struct text_line *line = &s->lines[s->n];
        if (next_line(&text, line)) {
            s->facts.last = LAST_ENDED;
            s->facts.ends = ends_with(s->facts.ends, line->crlf);
        } else {
            s->facts.last = LAST_OPEN;
            line->crlf = s->n > 0 && line[-1].crlf;
        }
    }
    return 0;
}

/* ---- numbers of lines ---- */

struct numbered {
    struct bytes text;
    uint32_t *id;
};

static int compare(const void *a, const void *b)
{
    const struct numbered *x = a, *y = b;
    return bytes_cmp(x->text, y->text);
}

/* By sorting: a table of hashes could be made slow by who knows its function. */
static int number(struct split s[static TEXTS])
{
    size_t n = 0;
    struct numbered *all = calloc(s[0].n + s[1].n + s[2].n + 1, sizeof *all);
    if (all == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < TEXTS; i++)
        for (size_t k = 0; k < s[i].n; k++)
            all[n++] = (struct numbered){s[i].lines[k].text, &s[i].ids[k]};
    qsort(all, n, sizeof *all, compare);
    uint32_t id = 0;
    for (size_t i = 0; i < n; i++) {
        id += i > 0 && !bytes_equal(all[i - 1].text, all[i].text);
        *all[i].id = id;
    }
    free(all);
    return 0;
}

int splits_init(struct split ret[static TEXTS], const struct bytes texts[static TEXTS])
{
    int rc = 0;
    memset(ret, 0, TEXTS * sizeof *ret);
    for (size_t i = 0; rc == 0 && i < TEXTS; i++)
        rc = split(&ret[i], texts[i]);
    return rc < 0 ? rc : number(ret);
}

void splits_fini(struct split s[static TEXTS])
{
    for (size_t i = 0; i < TEXTS; i++) {
        free(s[i].lines);
        free(s[i].ids);
    }
}
