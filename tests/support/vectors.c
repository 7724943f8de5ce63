#include "tests/support/vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <sodium.h>

#include "tests/support/json_read.h"

static const char *document(void)
{
    static char text[1 << 15];
    if (text[0] != '\0')
        return text;
    FILE *f = fopen(VECTORS_PATH, "rb");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    assert_true(n < sizeof text - 1);
    return text;
}

size_t vector_count(const char *place)
{
    long n = json_read_count(document(), place);
    assert_true(n > 0);
    return (size_t)n;
}

__attribute__((format(printf, 2, 0))) static const char *look(char to[VECTOR_TEXT_SIZE],
                                                              const char *fmt, va_list args)
{
    char place[128];
    vsnprintf(place, sizeof place, fmt, args);
    return json_read_at(document(), place, to, VECTOR_TEXT_SIZE);
}

const char *vector_text(char to[VECTOR_TEXT_SIZE], const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    look(to, fmt, args);
    va_end(args);
    return to;
}

struct bytes vector_bytes(struct buf *ret, const char *fmt, ...)
{
    char text[VECTOR_TEXT_SIZE];
    uint8_t bytes[VECTOR_TEXT_SIZE / 2];
    size_t n;
    va_list args;
    va_start(args, fmt);
    look(text, fmt, args);
    va_end(args);
    assert_int_equal(sodium_hex2bin(bytes, sizeof bytes, text, strlen(text), NULL, &n, NULL), 0);
    assert_int_not_equal(n, 0);
    buf_reset(ret);
    buf_put(ret, bytes, n);
    return buf_bytes(ret);
}
