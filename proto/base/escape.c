#include "proto/base/escape.h"

#include <assert.h>
#include <stdio.h>

#include "proto/base/utf8.h"

enum { PIECE_MAX = 16 };

/* Escapes the character that @v begins with; returns the bytes consumed. */
static size_t piece(struct bytes v, char out[PIECE_MAX], size_t *ret_n)
{
    uint32_t c = 0;
    size_t used = utf8_decode(v, &c);
    int n;
    if (used == 0 || (used == 1 && utf8_is_hidden(c))) {
        char short_form = v.p[0] == '\n' ? 'n' : v.p[0] == '\t' ? 't' : v.p[0] == '\r' ? 'r' : 0;
        n = short_form != 0 ? snprintf(out, PIECE_MAX, "\\%c", short_form)
                            : snprintf(out, PIECE_MAX, "\\x%02x", v.p[0]);
        used = 1;
    } else if (c == '\\') {
        n = snprintf(out, PIECE_MAX, "\\\\");
    } else if (utf8_is_hidden(c)) {
        n = snprintf(out, PIECE_MAX, "\\u{%x}", (unsigned)c);
    } else {
        memcpy(out, v.p, used);
        n = (int)used;
    }
    *ret_n = (size_t)n;
    return used;
}

void escape_put(struct buf *b, struct bytes v)
{
    while (v.n > 0) {
        char out[PIECE_MAX];
        size_t n;
        size_t used = piece(v, out, &n);
        buf_put(b, out, n);
        v.p += used;
        v.n -= used;
    }
}

char *escape_to(char *to, size_t size, struct bytes v)
{
    assert(size >= 4);
    size_t n = 0;
    size_t fits = 0; /* the end of the last piece after which "..." has room */
    while (v.n > 0) {
        char out[PIECE_MAX];
        size_t k;
        size_t used = piece(v, out, &k);
        if (n + k >= size) {
            memcpy(to + fits, "...", 4);
            return to;
        }
        memcpy(to + n, out, k);
        n += k;
        if (n + 4 <= size)
            fits = n;
        v.p += used;
        v.n -= used;
    }
    to[n] = '\0';
    return to;
}

size_t escape_columns(struct bytes v)
{
    size_t columns = 0;
    while (v.n > 0) {
        uint32_t c;
        size_t n = utf8_decode(v, &c);
        columns += n == 0 ? 1 : utf8_columns(c);
        if (n == 0)
            n = 1;
        v.p += n;
        v.n -= n;
    }
    return columns;
}
