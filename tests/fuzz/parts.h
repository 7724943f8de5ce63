/*
 * tests/fuzz/parts - an input of several texts: a byte that no text of UTF-8 has is between two.
 */
#ifndef TESTS_FUZZ_PARTS_H
#define TESTS_FUZZ_PARTS_H

#include <stdlib.h>

#include "proto/base/buf.h"

/* The last part has all that is left. */
static inline void parts_of(const uint8_t *data, size_t size, size_t n, struct bytes ret[])
{
    for (size_t i = 0; i < n; i++) {
        const uint8_t *end = size > 0 && i + 1 < n ? memchr(data, 0xff, size) : NULL;
        size_t here = end != NULL ? (size_t)(end - data) : size;
        ret[i] = bytes_of(data, here);
        here += end != NULL;
        data += here;
        size -= here;
    }
}

static inline void must(bool holds)
{
    if (!holds)
        abort();
}

#endif
