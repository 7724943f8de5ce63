/* What another device gives in a run of pairing: what is read can be written, and is the same. */
#include "sync/pair/payload.h"
#include "tests/fuzz/parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_of(data, size);
    struct pair_joiner joiner;
    struct pair_inviter inviter;
    struct buf again = {0};
    if (pair_joiner_get(in, &joiner) == 0) {
        pair_joiner_put(&joiner, &again);
        must(bytes_equal(buf_bytes(&again), in));
    }
    buf_reset(&again);
    if (pair_inviter_get(in, &inviter) == 0) {
        must(inviter.grants_n <= PAIR_SPACES_MAX);
        pair_inviter_put(&inviter, &again);
        must(bytes_equal(buf_bytes(&again), in));
    }
    buf_fini(&again);
    return 0;
}
