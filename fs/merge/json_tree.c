#include "fs/merge/json_tree.h"

#include <errno.h>
#include <stdlib.h>

#include "fs/merge/split.h"
#include "proto/base/utf8.h"

struct parser {
    struct json_tree *tree;
    struct bytes left;
};

static int parse_value(struct parser *p, uint32_t at, unsigned depth);

static struct json_node *node(struct parser *p, uint32_t at)
{
    return (struct json_node *)(void *)p->tree->nodes.p + at;
}

static int new_node(struct parser *p, uint32_t *ret)
{
    struct json_node n = {.first = JSON_NONE, .next = JSON_NONE};
    size_t count = p->tree->nodes.n / sizeof n;
    if (count > JSON_MEMBERS_MAX)
        return -E2BIG;
    *ret = (uint32_t)count;
    buf_put(&p->tree->nodes, &n, sizeof n);
    return buf_status(&p->tree->nodes);
}

static struct bytes skip(struct parser *p, size_t n)
{
    struct bytes v = bytes_of(p->left.p, n);
    p->left = bytes_behind(p->left, n);
    return v;
}

static struct bytes skip_blanks(struct parser *p)
{
    size_t n = 0;
    while (n < p->left.n && memchr(" \t\r\n", p->left.p[n], 4) != NULL)
        n++;
    return skip(p, n);
}

static bool skip_byte(struct parser *p, char c)
{
    if (p->left.n == 0 || p->left.p[0] != (uint8_t)c)
        return false;
    skip(p, 1);
    return true;
}

/* ---- strings ---- */

static int hex4(struct bytes v, uint32_t *ret)
{
    if (v.n < 4)
        return -EBADMSG;
    uint32_t c = 0;
    for (size_t i = 0; i < 4; i++) {
        uint8_t d = v.p[i], lower = d | 0x20;
        if (d >= '0' && d <= '9')
            c = c << 4 | (uint32_t)(d - '0');
        else if (lower >= 'a' && lower <= 'f')
            c = c << 4 | (uint32_t)(lower - 'a' + 10);
        else
            return -EBADMSG;
    }
    *ret = c;
    return 0;
}

/* Half of a surrogate pair alone is written as a character of its own: RFC 8259 lets it be. */
static void put_char(struct buf *b, uint32_t c)
{
    static const uint8_t first[] = {0, 0, 0xc0, 0xe0, 0xf0};
    unsigned n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    buf_put_u8(b, (uint8_t)(first[n] | c >> (6 * (n - 1))));
    for (unsigned i = n - 1; i-- > 0;)
        buf_put_u8(b, (uint8_t)(0x80 | (c >> (6 * i) & 0x3f)));
}

/* Behind "\u". */
static int unescape_hex(struct parser *p)
{
    uint32_t c, low;
    if (hex4(p->left, &c) < 0)
        return -EBADMSG;
    skip(p, 4);
    if (c >= 0xd800 && c <= 0xdbff && p->left.n >= 6 && memcmp(p->left.p, "\\u", 2) == 0 &&
        hex4(bytes_of(p->left.p + 2, 4), &low) == 0 && low >= 0xdc00 && low <= 0xdfff) {
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        skip(p, 6);
    }
    put_char(&p->tree->unescaped, c);
    return 0;
}

/* Behind a backslash. */
static int unescape(struct parser *p)
{
    static const char from[] = "\"\\/bfnrtu", to[] = "\"\\/\b\f\n\r\t";
    const char *c = p->left.n > 0 ? memchr(from, p->left.p[0], sizeof from - 1) : NULL;
    if (c == NULL)
        return -EBADMSG;
    skip(p, 1);
    if (*c == 'u')
        return unescape_hex(p);
    buf_put_u8(&p->tree->unescaped, (uint8_t)to[c - from]);
    return 0;
}

/* @ret: what the string says. The unescaped bytes are no more than the source, so they stay put. */
static int parse_string(struct parser *p, struct bytes *ret)
{
    struct buf *plain = &p->tree->unescaped;
    size_t from = plain->n;
    bool escapes = false;
    if (!skip_byte(p, '"'))
        return -EBADMSG;
    const uint8_t *begin = p->left.p;
    while (p->left.n > 0 && p->left.p[0] != '"') {
        uint32_t c;
        size_t n = utf8_decode(p->left, &c);
        if (n == 0 || c < 0x20)
            return -EBADMSG;
        struct bytes v = skip(p, n);
        int rc = 0;
        if (c == '\\') {
            if (!escapes)
                buf_put(plain, begin, (size_t)(v.p - begin));
            escapes = true;
            rc = unescape(p);
        } else if (escapes) {
            buf_put_bytes(plain, v);
        }
        if (rc < 0)
            return rc;
    }
    size_t n = (size_t)(p->left.p - begin);
    *ret = escapes ? bytes_of(plain->p + from, plain->n - from) : bytes_of(begin, n);
    return skip_byte(p, '"') ? 0 : -EBADMSG;
}

/* ---- other scalars ---- */

static size_t skip_digits(struct parser *p)
{
    size_t n = 0;
    while (n < p->left.n && p->left.p[n] >= '0' && p->left.p[n] <= '9')
        n++;
    skip(p, n);
    return n;
}

static int parse_number(struct parser *p)
{
    skip_byte(p, '-');
    if (!skip_byte(p, '0') && skip_digits(p) == 0)
        return -EBADMSG;
    if (skip_byte(p, '.') && skip_digits(p) == 0)
        return -EBADMSG;
    if (skip_byte(p, 'e') || skip_byte(p, 'E')) {
        if (!skip_byte(p, '+'))
            skip_byte(p, '-');
        if (skip_digits(p) == 0)
            return -EBADMSG;
    }
    return 0;
}

static int parse_word(struct parser *p)
{
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < ARRAY_N(words); i++) {
        struct bytes w = bytes_str(words[i]);
        if (p->left.n >= w.n && memcmp(p->left.p, w.p, w.n) == 0) {
            skip(p, w.n);
            return 0;
        }
    }
    return parse_number(p);
}

/* ---- arrays and objects ---- */

static int parse_head(struct parser *p, struct json_node *n)
{
    const uint8_t *begin = p->left.p;
    int rc = parse_string(p, &n->name);
    if (rc < 0)
        return rc;
    skip_blanks(p);
    if (!skip_byte(p, ':'))
        return -EBADMSG;
    skip_blanks(p);
    n->head = bytes_of(begin, (size_t)(p->left.p - begin));
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    const struct json_name *x = a, *y = b;
    return bytes_cmp(x->name, y->name);
}

static int sort_names(struct parser *p, uint32_t at)
{
    struct buf *names = &p->tree->names;
    struct json_node *object = node(p, at);
    object->names = (uint32_t)(names->n / sizeof(struct json_name));
    for (uint32_t i = object->first; i != JSON_NONE; i = node(p, i)->next) {
        struct json_name name = {node(p, i)->name, i};
        buf_put(names, &name, sizeof name);
    }
    if (buf_status(names) < 0 || object->n == 0)
        return buf_status(names);
    struct json_name *n = (struct json_name *)(void *)names->p + object->names;
    qsort(n, object->n, sizeof *n, compare_names);
    for (uint32_t i = 1; i < object->n; i++)
        if (bytes_equal(n[i - 1].name, n[i].name))
            return -EBADMSG;
    return 0;
}

/* Behind the bracket that opens it. */
static int parse_members(struct parser *p, uint32_t at, unsigned depth)
{
    const bool object = node(p, at)->type == JSON_OBJECT;
    const char end = object ? '}' : ']';
    struct bytes blanks = skip_blanks(p);
    uint32_t member, last = JSON_NONE;
    if (depth > JSON_NEST_MAX)
        return -E2BIG;
    if (!skip_byte(p, end)) {
        do {
            int rc = new_node(p, &member);
            if (rc < 0)
                return rc;
            *(last == JSON_NONE ? &node(p, at)->first : &node(p, last)->next) = member;
            node(p, at)->n++;
            node(p, member)->lead = last == JSON_NONE ? blanks : skip_blanks(p);
            if (object)
                rc = parse_head(p, node(p, member));
            if (rc == 0)
                rc = parse_value(p, member, depth);
            if (rc < 0)
                return rc;
            last = member;
            blanks = node(p, member)->trail = skip_blanks(p);
        } while (skip_byte(p, ','));
        if (!skip_byte(p, end))
            return -EBADMSG;
        node(p, last)->trail.n = 0;
    }
    node(p, at)->close = blanks;
    return object ? sort_names(p, at) : 0;
}

static int parse_value(struct parser *p, uint32_t at, unsigned depth)
{
    const uint8_t *begin = p->left.p;
    int rc;
    if (skip_byte(p, '{')) {
        node(p, at)->type = JSON_OBJECT;
        rc = parse_members(p, at, depth + 1);
    } else if (skip_byte(p, '[')) {
        node(p, at)->type = JSON_ARRAY;
        rc = parse_members(p, at, depth + 1);
    } else if (p->left.n > 0 && *begin == '"') {
        node(p, at)->type = JSON_STRING;
        rc = parse_string(p, &node(p, at)->string);
    } else {
        node(p, at)->type = JSON_OTHER;
        rc = parse_word(p);
    }
    node(p, at)->text = bytes_of(begin, (size_t)(p->left.p - begin));
    return rc;
}

int json_tree_init(struct json_tree *ret, struct bytes text)
{
    struct parser p = {ret, text};
    uint32_t root;
    *ret = (struct json_tree){0};
    int rc = buf_reserve(&ret->unescaped, text.n);
    if (rc == 0)
        rc = new_node(&p, &root);
    if (rc < 0)
        return rc;
    skip(&p, text_mark_bytes(text));
    skip_blanks(&p);
    ret->before = bytes_of(text.p, text.n - p.left.n);
    rc = parse_value(&p, root, 0);
    if (rc < 0)
        return rc;
    ret->behind = skip_blanks(&p);
    return p.left.n == 0 ? buf_status(&ret->unescaped) : -EBADMSG;
}

void json_tree_fini(struct json_tree *t)
{
    buf_fini(&t->nodes);
    buf_fini(&t->names);
    buf_fini(&t->unescaped);
}

/* ---- questions ---- */

static const struct json_name *names_of(const struct json_tree *t, uint32_t object)
{
    return (const struct json_name *)(const void *)t->names.p + json_node(t, object)->names;
}

uint32_t json_find(const struct json_tree *t, uint32_t object, struct bytes name)
{
    struct json_name key = {name, 0};
    uint32_t n = json_node(t, object)->n;
    const struct json_name *found =
        n > 0 ? bsearch(&key, names_of(t, object), n, sizeof key, compare_names) : NULL;
    return found != NULL ? found->node : JSON_NONE;
}

static bool objects_equal(const struct json_tree *t, uint32_t at, const struct json_tree *u,
                          uint32_t with)
{
    const uint32_t n = json_node(t, at)->n;
    if (n == 0)
        return true;
    const struct json_name *x = names_of(t, at), *y = names_of(u, with);
    for (uint32_t i = 0; i < n; i++)
        if (!bytes_equal(x[i].name, y[i].name) || !json_equal(t, x[i].node, u, y[i].node))
            return false;
    return true;
}

bool json_equal(const struct json_tree *t, uint32_t at, const struct json_tree *u, uint32_t with)
{
    const struct json_node *x = json_node(t, at), *y = json_node(u, with);
    if (x->type != y->type || x->n != y->n)
        return false;
    if (x->type == JSON_STRING)
        return bytes_equal(x->string, y->string);
    if (x->type == JSON_OTHER)
        return bytes_equal(x->text, y->text);
    if (x->type == JSON_OBJECT)
        return objects_equal(t, at, u, with);
    uint32_t i = x->first, k = y->first;
    for (; i != JSON_NONE; i = json_node(t, i)->next, k = json_node(u, k)->next)
        if (!json_equal(t, i, u, k))
            return false;
    return true;
}
