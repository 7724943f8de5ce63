#include "proto/base/utf8.h"

/* How many bytes follow a first byte, or -1. */
static int more_after(uint8_t first)
{
    if (first < 0x80)
        return 0;
    if (first >= 0xc2 && first <= 0xdf)
        return 1;
    if (first >= 0xe0 && first <= 0xef)
        return 2;
    if (first >= 0xf0 && first <= 0xf4)
        return 3;
    return -1;
}

size_t utf8_decode(struct bytes v, uint32_t *ret_char)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    if (v.n == 0)
        return 0;
    int more = more_after(v.p[0]);
    if (more < 0 || v.n < (size_t)more + 1)
        return 0;
    uint32_t c = more == 0 ? v.p[0] : v.p[0] & (0x3fU >> more);
    for (int i = 1; i <= more; i++) {
        if ((v.p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (v.p[i] & 0x3fU);
    }
    if (c < least[more] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return 0;
    *ret_char = c;
    return (size_t)more + 1;
}

bool utf8_valid(struct bytes v)
{
    while (v.n > 0) {
        uint32_t c;
        size_t n = utf8_decode(v, &c);
        if (n == 0)
            return false;
        v.p += n;
        v.n -= n;
    }
    return true;
}

struct bytes utf8_cut(struct bytes v, size_t max)
{
    if (v.n <= max)
        return v;
    size_t n = max;
    /* At most three steps back: further, the bytes are not UTF-8 and may be cut anywhere. */
    for (int i = 0; i < 3 && n > 0 && (v.p[n] & 0xc0) == 0x80; i++)
        n--;
    return bytes_of(v.p, (v.p[n] & 0xc0) == 0x80 ? max : n);
}

struct range {
    uint32_t from, to;
};

static bool in_ranges(uint32_t c, const struct range *r, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (c >= r[i].from && c <= r[i].to)
            return true;
    return false;
}

bool utf8_is_hidden(uint32_t c)
{
    static const struct range hidden[] = {
        {0x00, 0x1f},     {0x7f, 0x9f},     {0xad, 0xad},       {0x61c, 0x61c},
        {0x180e, 0x180e}, {0x200b, 0x200f}, {0x2028, 0x202e},   {0x2060, 0x206f},
        {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe007f},
    };
    return in_ranges(c, hidden, ARRAY_N(hidden));
}

unsigned utf8_columns(uint32_t c)
{
    static const struct range none[] = {
        {0x300, 0x36f},   {0x483, 0x489},   {0x591, 0x5bd},   {0x610, 0x61a},   {0x64b, 0x65f},
        {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff}, {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f},
    };
    static const struct range wide[] = {
        {0x1100, 0x115f},   {0x2e80, 0x303e},   {0x3041, 0x33ff},   {0x3400, 0x4dbf},
        {0x4e00, 0xa4cf},   {0xa960, 0xa97f},   {0xac00, 0xd7a3},   {0xf900, 0xfaff},
        {0xfe30, 0xfe6f},   {0xff00, 0xff60},   {0xffe0, 0xffe6},   {0x1f300, 0x1f64f},
        {0x1f680, 0x1f6ff}, {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd},
    };
    if (c < 0x300)
        return c >= 0x20 ? 1 : 0;
    if (utf8_is_hidden(c) || in_ranges(c, none, ARRAY_N(none)))
        return 0;
    return in_ranges(c, wide, ARRAY_N(wide)) ? 2 : 1;
}

bool utf8_is_label(struct bytes v)
{
    if (v.n == 0 || v.n > LABEL_BYTES_MAX)
        return false;
    while (v.n > 0) {
        uint32_t c;
        size_t n = utf8_decode(v, &c);
        if (n == 0 || utf8_is_hidden(c) || c == '/' || c == '\\')
            return false;
        v.p += n;
        v.n -= n;
    }
    return true;
}
