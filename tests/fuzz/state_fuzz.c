/* STATEs from others: decoding refuses, or what it accepts has one encoding. */
#include <stdlib.h>

#include "proto/sealed/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct state s;
    struct buf b = {0};
    if (state_decode(bytes_of(data, size), &s) < 0)
        return 0;
    state_encode(&s, &b);
    if (!bytes_equal(buf_bytes(&b), bytes_of(data, size)))
        abort();
    buf_fini(&b);
    return 0;
}
