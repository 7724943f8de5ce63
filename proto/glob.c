#include "proto/glob.h"

#include <ctype.h>

/* ---- one name ---- */

static bool in_class(struct bytes name, uint8_t c)
{
    static const struct {
        const char *name;
        int (*is)(int c);
    } classes[] = {
        {"alnum", isalnum}, {"alpha", isalpha}, {"blank", isblank}, {"cntrl", iscntrl},
        {"digit", isdigit}, {"graph", isgraph}, {"lower", islower}, {"print", isprint},
        {"punct", ispunct}, {"space", isspace}, {"upper", isupper}, {"xdigit", isxdigit},
    };
    for (size_t i = 0; i < ARRAY_N(classes); i++)
        if (bytes_equal(name, bytes_str(classes[i].name)))
            return c < 0x80 && classes[i].is(c) != 0;
    return false;
}

/* One byte of a set, which a backslash may stand before. False: the set ends before it. */
static bool set_byte(struct bytes p, size_t *at, uint8_t *ret)
{
    *at += p.p[*at] == '\\';
    if (*at >= p.n)
        return false;
    *ret = p.p[(*at)++];
    return true;
}

/* A set, from behind its '[' at *@at on, which is moved behind its ']'. -1: it has no end. */
static int match_set(struct bytes p, size_t *at, uint8_t c)
{
    bool found = false, inverse = *at < p.n && (p.p[*at] == '!' || p.p[*at] == '^');
    *at += inverse;
    for (size_t first = *at; *at < p.n;) {
        uint8_t lo, hi;
        if (p.p[*at] == ']' && *at > first) {
            ++*at;
            return found != inverse;
        }
        const uint8_t *end = p.p[*at] == '[' && *at + 1 < p.n && p.p[*at + 1] == ':'
                                 ? memmem(p.p + *at + 2, p.n - *at - 2, ":]", 2)
                                 : NULL;
        if (end != NULL) {
            const uint8_t *name = p.p + *at + 2;
            found = in_class(bytes_of(name, (size_t)(end - name)), c) || found;
            *at = (size_t)(end - p.p) + 2;
            continue;
        }
        if (!set_byte(p, at, &lo))
            return -1;
        hi = lo;
        if (*at + 1 < p.n && p.p[*at] == '-' && p.p[*at + 1] != ']') {
            ++*at;
            if (!set_byte(p, at, &hi))
                return -1;
        }
        found = found || (lo <= c && c <= hi);
    }
    return -1;
}

/* What is at *@at, which is no star, against one byte; *@at is moved behind it. -1: no pattern. */
static int match_one(struct bytes p, size_t *at, uint8_t c)
{
    uint8_t byte = p.p[(*at)++];
    if (byte == '?')
        return 1;
    if (byte == '[')
        return match_set(p, at, c);
    if (byte == '\\') {
        if (*at == p.n)
            return -1;
        byte = p.p[(*at)++];
    }
    return byte == c;
}

/*
 * A pattern without '/' against a name. Only the last star is ever gone back to: what those before
 * it took can stay as short as it is, for the last one takes the rest.
 */
static bool match_name(struct bytes p, struct bytes name)
{
    size_t at = 0, i = 0, star = SIZE_MAX, from = 0;
    while (i < name.n || at < p.n) {
        if (at < p.n && p.p[at] == '*') {
            star = ++at;
            from = i;
            continue;
        }
        int m = at < p.n && i < name.n ? match_one(p, &at, name.p[i]) : 0;
        if (m < 0)
            return false;
        if (m > 0) {
            i++;
            continue;
        }
        if (star == SIZE_MAX || from >= name.n)
            return false;
        at = star;
        i = ++from;
    }
    return true;
}

/* ---- a path ---- */

/* The part of @v from @at on to the next "/". A set of a pattern cannot hold one. */
static struct bytes part(struct bytes v, size_t at)
{
    const uint8_t *end = memchr(v.p + at, '/', v.n - at);
    return bytes_of(v.p + at, end != NULL ? (size_t)(end - v.p) - at : v.n - at);
}

static bool is_any_dirs(struct bytes part)
{
    return part.n == 2 && part.p[0] == '*' && part.p[1] == '*';
}

/* As match_name(), with parts for bytes, and for the star a part that is two of them. */
static bool match_path(struct bytes p, struct bytes path)
{
    size_t at = 0, i = 0, star = SIZE_MAX, from = 0;
    while (i <= path.n || at <= p.n) {
        struct bytes want = at <= p.n ? part(p, at) : bytes_of(NULL, 0);
        if (at <= p.n && is_any_dirs(want)) {
            if (at + want.n == p.n) /* at the end: all that is inside, not what it is inside of */
                return i <= path.n;
            star = at += want.n + 1;
            from = i;
            continue;
        }
        struct bytes name = i <= path.n ? part(path, i) : bytes_of(NULL, 0);
        if (at <= p.n && i <= path.n && match_name(want, name)) {
            at += want.n + 1;
            i += name.n + 1;
            continue;
        }
        if (star == SIZE_MAX || from > path.n)
            return false;
        at = star;
        i = from += part(path, from).n + 1;
    }
    return true;
}

/* ---- a pattern ---- */

struct glob glob_of(struct bytes pattern)
{
    struct glob g = {pattern, memchr(pattern.p, '/', pattern.n) != NULL};
    if (pattern.n > 0 && pattern.p[0] == '/')
        g.pattern = bytes_of(pattern.p + 1, pattern.n - 1);
    return g;
}

bool glob_match(const struct glob *g, struct bytes path)
{
    if (g->anchored)
        return match_path(g->pattern, path);
    const uint8_t *slash = memrchr(path.p, '/', path.n);
    size_t before = slash != NULL ? (size_t)(slash - path.p) + 1 : 0;
    return match_name(g->pattern, bytes_of(path.p + before, path.n - before));
}
