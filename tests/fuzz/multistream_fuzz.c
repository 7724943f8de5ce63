/* What a peer sends in a negotiation, to both roles: the same whatever the pieces, and bounded. */
#include <errno.h>

#include "sync/net/libp2p/multistream.h"
#include "tests/fuzz/parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const protocols[] = {"/noise", "/yamux/1.0.0", "/ipfs/id/1.0.0"};

enum { ANSWERS_MAX = 2 * 32 + P2P_NEGOTIATION_PROPOSALS * 32 };

static int feed(bool initiator, struct bytes in, size_t step, size_t *ret_left, size_t *ret_at,
                struct buf *out)
{
    struct mss m;
    int rc = 0;
    mss_init(&m, initiator, protocols, ARRAY_N(protocols), out);
    while (rc == 0 && in.n > 0) {
        struct bytes piece = bytes_of(in.p, (size_t)min_u64(step, in.n));
        const uint8_t *first = piece.p;
        rc = mss_feed(&m, &piece, out);
        must(rc != 0 || piece.n == 0);
        in = bytes_of(in.p + (piece.p - first), in.n - (size_t)(piece.p - first));
    }
    must(rc == 0 || rc == 1 || rc == -EPROTO || rc == -ENOPROTOOPT);
    must(rc != 1 || m.at < ARRAY_N(protocols));
    must(out->n <= ANSWERS_MAX);
    *ret_left = in.n;
    *ret_at = m.at;
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int initiator = 0; initiator < 2; initiator++) {
        struct buf one = {0}, whole = {0};
        size_t left[2], at[2];
        struct bytes in = bytes_of(data, size);
        int rc = feed(initiator == 1, in, 1, &left[0], &at[0], &one);
        must(feed(initiator == 1, in, size + 1, &left[1], &at[1], &whole) == rc);
        must(left[0] == left[1] && (rc != 1 || at[0] == at[1]));
        must(bytes_equal(buf_bytes(&one), buf_bytes(&whole)));
        buf_fini(&one);
        buf_fini(&whole);
    }
    return 0;
}
