#include "proto/multibase.h"

#include <assert.h>
#include <errno.h>

#define BASE58 "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

enum { BASE58_TEXT_MAX = BASE58_BYTES_MAX * 138 / 100 + 1 }; /* log(256) / log(58) is 1.366 */

static const struct base {
    char prefix;
    unsigned bits; /* of a character; 0: the text is one big number */
    const char *alphabet;
} bases[] = {
    {'f', 4, DIGITS "abcdef"},
    {'F', 4, DIGITS "ABCDEF"},
    {'b', 5, LOWER "234567"},
    {'B', 5, UPPER "234567"},
    {'k', 0, DIGITS LOWER},
    {'K', 0, DIGITS UPPER},
    {'z', 0, BASE58},
    {'m', 6, UPPER LOWER DIGITS "+/"},
    {'u', 6, UPPER LOWER DIGITS "-_"},
};

/* The value of a character, or -EBADMSG. */
static int value_of(const struct base *base, uint8_t c)
{
    const char *at = memchr(base->alphabet, c, strlen(base->alphabet));
    return at != NULL ? (int)(at - base->alphabet) : -EBADMSG;
}

static int decode_bits(const struct base *base, struct bytes text, uint8_t *ret, size_t size)
{
    unsigned have = 0, bits = 0;
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        int v = value_of(base, text.p[i]);
        if (v < 0)
            return v;
        bits = (bits << base->bits | (unsigned)v) & 0xffff;
        have += base->bits;
        if (have < 8)
            continue;
        if (n == size)
            return -EBADMSG;
        have -= 8;
        ret[n++] = (uint8_t)(bits >> have);
    }
    /* A character more than needed, or bits that say nothing: a second text of the same bytes. */
    if (have >= base->bits || (bits & ((1u << have) - 1)) != 0)
        return -EBADMSG;
    return (int)n;
}

/* Most significant digit first; a leading zero byte is a leading zero digit. */
static int decode_number(const struct base *base, struct bytes text, uint8_t *ret, size_t size)
{
    uint8_t bytes[MULTIBASE_TEXT_MAX]; /* least significant first */
    size_t n = 0, zeros = 0;
    unsigned radix = (unsigned)strlen(base->alphabet);
    while (zeros < text.n && text.p[zeros] == (uint8_t)base->alphabet[0])
        zeros++;
    for (size_t i = zeros; i < text.n; i++) {
        int v = value_of(base, text.p[i]);
        if (v < 0)
            return v;
        unsigned carry = (unsigned)v;
        for (size_t d = 0; d < n; d++, carry >>= 8) {
            carry += bytes[d] * radix;
            bytes[d] = (uint8_t)carry;
        }
        if (carry > 0)
            bytes[n++] = (uint8_t)carry; /* a digit adds less than a byte */
    }
    if (zeros + n > size)
        return -EBADMSG;
    memset(ret, 0, zeros);
    for (size_t i = 0; i < n; i++)
        ret[zeros + i] = bytes[n - 1 - i];
    return (int)(zeros + n);
}

int multibase_decode(char prefix, struct bytes text, uint8_t *ret, size_t size)
{
    if (text.n > MULTIBASE_TEXT_MAX)
        return -EBADMSG;
    for (size_t i = 0; i < ARRAY_N(bases); i++)
        if (bases[i].prefix == prefix)
            return bases[i].bits > 0 ? decode_bits(&bases[i], text, ret, size)
                                     : decode_number(&bases[i], text, ret, size);
    return -EBADMSG;
}

const char *base58_text(struct bytes v, char *ret, size_t size)
{
    uint8_t digits[BASE58_TEXT_MAX]; /* least significant first */
    size_t n = 0, zeros = 0;
    assert(v.n <= BASE58_BYTES_MAX);
    while (zeros < v.n && v.p[zeros] == 0)
        zeros++;
    for (size_t i = zeros; i < v.n; i++) {
        unsigned carry = v.p[i];
        for (size_t d = 0; d < n; d++, carry /= 58) {
            carry += (unsigned)digits[d] << 8;
            digits[d] = (uint8_t)(carry % 58);
        }
        for (; carry > 0; carry /= 58) {
            assert(n < sizeof digits);
            digits[n++] = (uint8_t)(carry % 58);
        }
    }
    assert(zeros + n < size);
    memset(ret, BASE58[0], zeros);
    for (size_t i = 0; i < n; i++)
        ret[zeros + i] = BASE58[digits[n - 1 - i]];
    ret[zeros + n] = '\0';
    return ret;
}
