#include "fs/merge/front.h"

#include <ctype.h>
#include <errno.h>

#include "fs/merge/split.h"

struct parser {
    struct front *front;
    struct bytes left;
};

/* ---- lines ---- */

/* The next line with its end. */
static struct bytes peek_line(struct bytes left)
{
    const uint8_t *end = left.n > 0 ? memchr(left.p, '\n', left.n) : NULL;
    return bytes_of(left.p, end != NULL ? (size_t)(end - left.p) + 1 : left.n);
}

static struct bytes take_line(struct parser *p)
{
    struct bytes line = peek_line(p->left);
    p->left = bytes_behind(p->left, line.n);
    return line;
}

static size_t blanks(struct bytes v)
{
    size_t n = 0;
    while (n < v.n && v.p[n] == ' ')
        n++;
    return n;
}

/* Without blanks and the line's end behind it. */
static struct bytes trim_right(struct bytes v)
{
    while (v.n > 0 && memchr(" \r\n", v.p[v.n - 1], 3) != NULL)
        v.n--;
    return v;
}

static struct bytes trim(struct bytes v)
{
    return trim_right(bytes_behind(v, blanks(v)));
}

static bool is_line(struct bytes line, const char *is)
{
    return bytes_equal(trim_right(line), bytes_str(is));
}

static bool is_remark(struct bytes line)
{
    line = trim(line);
    return line.n == 0 || line.p[0] == '#';
}

/* ---- values ---- */

static bool has(struct bytes v, const char *what)
{
    return memmem(v.p, v.n, what, strlen(what)) != NULL;
}

/* How long the text in quotes is that @v begins with; 0 when it has no end. */
static size_t quoted(struct bytes v)
{
    for (size_t i = 1; i < v.n; i++) {
        if (v.p[0] == '"' && v.p[i] == '\\') {
            i++;
        } else if (v.p[i] == v.p[0]) {
            if (v.p[0] == '"' || i + 1 == v.n || v.p[i + 1] != '\'')
                return i + 1;
            i++; /* '' is an escape */
        }
    }
    return 0;
}

static bool is_quote(uint8_t c)
{
    return c == '"' || c == '\'';
}

/* Whether YAML takes it for a string, a number or the like, all of it. */
static bool is_scalar(struct bytes v)
{
    if (v.n == 0)
        return false;
    if (is_quote(v.p[0]))
        return quoted(v) == v.n;
    if (memchr("[]{},#&*!|>%@`\t", v.p[0], 15) != NULL)
        return false;
    if (memchr("-?:", v.p[0], 3) != NULL && (v.n == 1 || v.p[1] == ' '))
        return false;
    return !has(v, ": ") && !has(v, " #") && v.p[v.n - 1] != ':';
}

static struct bytes plain(struct bytes v)
{
    if (!is_quote(v.p[0]) || has(v, "\\") || has(v, "''"))
        return v;
    return bytes_of(v.p + 1, v.n - 2);
}

static int put_item(struct parser *p, struct front_entry *e, struct bytes v)
{
    struct buf *items = &p->front->items;
    if (!is_scalar(v) || items->n / sizeof(struct front_item) == FRONT_ITEMS_MAX)
        return -EBADMSG;
    struct front_item item = {v, plain(v)};
    buf_put(items, &item, sizeof item);
    e->n++;
    return buf_status(items);
}

/* Between the brackets. */
static int parse_flow(struct parser *p, struct front_entry *e, struct bytes v)
{
    e->kind = FRONT_FLOW;
    if (trim(v).n == 0)
        return 0;
    for (;;) {
        v = bytes_behind(v, blanks(v));
        size_t n = v.n > 0 && is_quote(v.p[0]) ? quoted(v) : 0;
        const uint8_t *comma = memchr(v.p + n, ',', v.n - n);
        struct bytes item = trim(bytes_of(v.p, comma != NULL ? (size_t)(comma - v.p) : v.n));
        if (n == 0 && (has(item, "[") || has(item, "]") || has(item, "{") || has(item, "}")))
            return -EBADMSG;
        int rc = put_item(p, e, item);
        if (rc < 0 || comma == NULL)
            return rc;
        v = bytes_behind(v, (size_t)(comma - v.p) + 1);
    }
}

/* The lines below a key without a value. */
static int parse_block(struct parser *p, struct front_entry *e)
{
    for (;;) {
        struct bytes line = peek_line(p->left);
        size_t indent = blanks(line);
        struct bytes v = trim(line);
        if (v.n < 2 || v.p[0] != '-' || v.p[1] != ' ')
            return 0;
        if (e->kind == FRONT_BLOCK && e->indent.n != indent)
            return -EBADMSG;
        e->kind = FRONT_BLOCK;
        e->indent = bytes_of(line.p, indent);
        int rc = put_item(p, e, trim(bytes_behind(v, 1)));
        if (rc < 0)
            return rc;
        take_line(p);
    }
}

/* ---- entries ---- */

static bool is_key(struct bytes key)
{
    for (size_t i = 0; i < key.n; i++)
        if (key.p[i] < 0x80 && !isalnum(key.p[i]) && key.p[i] != '_' &&
            (i == 0 || memchr("-./ ", key.p[i], 4) == NULL))
            return false;
    return key.n > 0 && key.p[key.n - 1] != ' ';
}

static bool is_known(const struct front *f, struct bytes key)
{
    for (size_t i = 0; i < front_count(f); i++)
        if (bytes_equal(front_entry(f, i)->key, key))
            return true;
    return false;
}

static int parse_entry(struct parser *p, struct bytes above)
{
    struct front *f = p->front;
    struct front_entry e = {.above = above, .items = f->items.n / sizeof(struct front_item)};
    struct bytes line = trim_right(take_line(p));
    const uint8_t *colon = line.n > 0 ? memchr(line.p, ':', line.n) : NULL;
    e.key = bytes_of(line.p, colon != NULL ? (size_t)(colon - line.p) : 0);
    if (!is_key(e.key) || is_known(f, e.key) || front_count(f) == FRONT_KEYS_MAX)
        return -EBADMSG;
    struct bytes v = bytes_behind(line, e.key.n + 1);
    if (v.n > 0 && v.p[0] != ' ')
        return -EBADMSG;
    v = trim(v);
    int rc = 0;
    if (v.n == 0)
        rc = parse_block(p, &e);
    else if (v.n >= 2 && v.p[0] == '[' && v.p[v.n - 1] == ']')
        rc = parse_flow(p, &e, bytes_of(v.p + 1, v.n - 2));
    else if (is_scalar(v))
        e.value = v;
    else
        rc = -EBADMSG;
    e.lines = bytes_of(above.p, (size_t)(p->left.p - above.p));
    buf_put(&f->entries, &e, sizeof e);
    return rc < 0 ? rc : buf_status(&f->entries);
}

bool front_begins(struct bytes file)
{
    file = bytes_behind(file, text_mark_bytes(file));
    return is_line(peek_line(file), "---");
}

int front_init(struct front *ret, struct bytes file)
{
    struct parser p = {ret, bytes_behind(file, text_mark_bytes(file))};
    *ret = (struct front){.body = p.left};
    if (!front_begins(file))
        return 0;
    ret->opening = take_line(&p);
    for (;;) {
        struct bytes above = bytes_of(p.left.p, 0);
        while (p.left.n > 0 && is_remark(peek_line(p.left)))
            above.n += take_line(&p).n;
        if (p.left.n == 0)
            return -EBADMSG;
        struct bytes line = peek_line(p.left);
        if (is_line(line, "---") || is_line(line, "...")) {
            ret->below = above;
            ret->closing = take_line(&p);
            ret->body = p.left;
            return 1;
        }
        int rc = parse_entry(&p, above);
        if (rc < 0)
            return rc;
    }
}

void front_fini(struct front *f)
{
    buf_fini(&f->entries);
    buf_fini(&f->items);
}
